"""What the caller is told when the whole ladder failed: the most informative answer (after RFC 3261 §16.7 step 6).

An answer about the number or the callee beats one about the carriers. A carrier's own trouble is never relayed: a bare
503 would make the PBX take *us* out of service (and the challenge of a carrier is not for the PBX), so then the answer
is ours, with Retry-After, and a Warning (§20.43) per trunk that says what it said. Unless the operator wants it so.
"""

from collections.abc import Sequence
from dataclasses import dataclass

RETRY_AFTER = 10
"""Seconds that a PBX is asked to wait when no trunk carried its call. Probes find out faster than that."""
WARNINGS_MAX = 8
"""Trunks that are named in the answer; more would only make the datagram big."""
WARNING_TEXT_MAX = 120
"""Characters."""
AGENT = "sipfailover"
"""Who warns: a pseudonym (§20.43), because our host name is nobody's business."""
FAULTS = frozenset({401, 407, 408})
"""Final answers below 500 that tell of the carrier and not of the call."""
VAGUE = frozenset({403, 480})
"""Answers that may be the carrier's fault: relayed only if nothing clearer is there."""
TELLING = frozenset({404, 410, 484, 485, 486, 487, 488})
"""§16.7: within 4xx, prefer what tells the caller most."""


@dataclass(frozen=True, slots=True)
class Said:
    """How one attempt of the ladder ended."""

    trunk: str
    status: int
    """The final status, 0 if there was none."""
    words: str
    """`503 Service Unavailable`, `no answer within 0.8 s`, …"""
    as_is: bool = False
    """The verdict table wants it relayed, although its status tells of the carrier (`never_retry: 500`)."""


@dataclass(frozen=True, slots=True)
class Final:
    """What the caller is told."""

    index: int | None
    """Which attempt's answer to relay, with its own Reason header and body. None: the answer is ours."""
    status: int
    reason: bytes
    """Reason phrase, empty for the usual one."""
    headers: tuple[tuple[bytes, bytes], ...]
    """To be added, names in lower case."""


def best(said: Sequence[Said], noun: str = "trunk") -> Final:
    """The answer for a ladder that failed. `said`: one per attempt, in order; empty if none could be tried.

    `noun`: what was tried, `trunk` or `PBX`, for the reason phrase.
    """
    ranked = [(max(rank(attempt.status), attempt.as_is), index) for index, attempt in enumerate(said)]
    worth, chosen = max(ranked, default=(0, 0))  # of equal ones the last, whose trunk is not known to fail
    if worth:
        return Final(chosen, said[chosen].status, b"", warnings(said) if len(said) > 1 else ())
    reason = f"No {noun} could carry the call" if said else f"No {noun} available"
    # A carrier is not asked to wait: it would take us out of service, and its own forwarding should act now.
    retry_after = ((b"retry-after", b"%d" % RETRY_AFTER),) if noun == "trunk" else ()
    return Final(None, 503, reason.encode(), (*retry_after, *warnings(said)))


def rank(status: int) -> int:
    """How much an answer tells the caller; 0 for what must not be relayed."""
    if status in FAULTS or status < 300 or 500 <= status < 600:
        return 0
    if status >= 600:
        return 5  # §16.7: a global answer before all others
    if status in TELLING:
        return 4
    if status in VAGUE:
        return 1
    return 3 if status < 400 else 2


def warnings(said: Sequence[Said]) -> tuple[tuple[bytes, bytes], ...]:
    """One Warning 399 per attempt: `399 sipfailover "main: 503 Service Unavailable"`."""
    texts = (quoted(f"{one.trunk}: {one.words}") for one in said[:WARNINGS_MAX])
    return tuple((b"warning", f"399 {AGENT} {text}".encode()) for text in texts)


def quoted(text: str) -> str:
    """A quoted-string (§25.1) on one line: what a carrier wrote must not be able to end our header."""
    plain = "".join(letter if letter.isprintable() else " " for letter in text[:WARNING_TEXT_MAX])
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'
