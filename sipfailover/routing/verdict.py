"""The verdict table: what happened to an attempt → next trunk or not, and evidence of what (DESIGN.md §2.5, §5.4).

One row per status, class or failure; the words of `failover.next_trunk_on` and `never_retry`, for all trunks or for
one, are changes to rows of this table. After ringing there is never a next trunk, because somebody may have lifted the
receiver: RFC 3261 has no way to know. Sources: `field/swisscom.md` §6, `field/peers.md` §2c. Acting is the engine's.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar

from sipfailover.trunk import Evidence, Sign, duration

Key = int | str
"""A status, a class as `4xx`, or a failure: `silent`, `no ringing`, `ringing only`, `unreachable`, `local`."""


class Next(IntEnum):
    """Whether the call goes to the next trunk."""

    NO = 0
    YES = 1
    UNLESS_AGREED = 2
    """Yes, unless a trunk before has said the same: then it is about the number or the caller, and is relayed."""
    SECOND_OPINION = 3
    """Yes, once, while another trunk is fit: what one trunk says of a number is believed when another says so, too."""


@dataclass(frozen=True, slots=True)
class Row:
    """What one outcome, before any ringing, means."""

    next: Next
    sign: Sign | None
    """What it is evidence of, None if of nothing."""
    callee: bool = False
    """The called person, number or device decided. No class word turns this into the next trunk."""
    why: str = ""


NO, YES, UNLESS_AGREED, SECOND_OPINION = Next
GOOD, SILENT, FAULT, REFUSED = Sign.CALL_GOOD, Sign.CALL_SILENT, Sign.CALL_FAULT, Sign.CALL_REFUSED

TABLE: dict[Key, Row] = {
    "silent":       Row(YES, SILENT, why="no answer at all"),
    "no ringing":   Row(YES, FAULT, why="100 and then nothing: Swisscom, January 2018"),
    "ringing only": Row(NO, GOOD, why="it rang and nobody came; the trunk did its work"),
    "unreachable":  Row(YES, SILENT, why="port closed, connection refused or broken, host unreachable"),
    "local":        Row(YES, None, why="our own socket, route or name: never the trunk's fault"),
    "2xx":          Row(NO, GOOD),
    "3xx":          Row(NO, GOOD, why="following it is the PBX's decision (toll fraud)"),
    401:            Row(YES, FAULT, why="wants credentials that we do not have; the PBX's are not for the carrier"),
    403:            Row(UNLESS_AGREED, REFUSED, why="identity, limit, barred or lost registration: ask another"),
    404:            Row(SECOND_OPINION, REFUSED, callee=True, why="no such number"),
    407:            Row(YES, FAULT, why="as 401"),
    408:            Row(YES, FAULT, why="something behind the carrier's edge is silent"),
    480:            Row(SECOND_OPINION, REFUSED, why="callee not there, but some carriers say so for a fault"),
    482:            Row(NO, None, why="a loop, perhaps of our own making"),
    483:            Row(NO, None, why="as 482"),
    484:            Row(SECOND_OPINION, REFUSED, callee=True, why="number incomplete"),
    485:            Row(NO, GOOD, callee=True, why="number ambiguous"),
    486:            Row(NO, GOOD, callee=True, why="busy"),
    487:            Row(NO, GOOD, callee=True, why="cancelled"),
    488:            Row(NO, GOOD, callee=True, why="codec: the PBX may offer another"),
    "4xx":          Row(NO, GOOD, why="about the request (413, 415, 420, 422 …): only the PBX can mend that"),
    500:            Row(YES, FAULT),
    501:            Row(YES, None, why="this carrier does not do it, another may"),
    502:            Row(YES, FAULT),
    503:            Row(YES, FAULT, why="with Retry-After it counts at once and fully"),
    504:            Row(YES, FAULT),
    505:            Row(YES, None, why="as 501"),
    513:            Row(YES, None, why="message too large for this carrier"),
    "5xx":          Row(YES, FAULT),
    600:            Row(NO, GOOD, callee=True, why="busy everywhere"),
    603:            Row(NO, REFUSED, callee=True, why="declined; some carriers say so for a fault"),
    604:            Row(SECOND_OPINION, REFUSED, callee=True, why="exists nowhere"),
    606:            Row(NO, GOOD, callee=True, why="not acceptable"),
    607:            Row(NO, GOOD, callee=True, why="unwanted, RFC 8197"),
    608:            Row(NO, GOOD, callee=True, why="rejected by analytics, RFC 8688"),
    "6xx":          Row(NO, GOOD, callee=True, why="§16.7: a global answer ends the search"),
}  # fmt: skip

CALLEE_ENDS_EMERGENCY = frozenset({486, 487, 600, 603})
"""The only refusals that end the ladder of an emergency call: the centre itself was reached and said no."""

WORDS: dict[str, tuple[Key, ...]] = {
    "timeout": ("silent", "no ringing"),
    "unreachable": ("unreachable",),
}
"""Words of the configuration besides statuses and classes."""


# -- outcomes ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answered:
    """2xx."""

    status: int = 200
    word: ClassVar[str] = "answered"


@dataclass(frozen=True, slots=True)
class Rejected:
    """A final answer from 300 to 699."""

    status: int
    retry_after: float = 0.0
    """Seconds, 0 if there was no Retry-After."""
    ringing: bool = False
    """An 18x came before."""
    reason: str = ""
    """The reason phrase as it came."""
    word: ClassVar[str] = "rejected"


@dataclass(frozen=True, slots=True)
class Silent:
    """No answer at all within the no-answer clock."""

    after: float = 0.0
    """Seconds waited."""
    word: ClassVar[str] = "silent"


@dataclass(frozen=True, slots=True)
class NoRinging:
    """100 Trying, and then neither 18x nor final within the no-ringing clock."""

    after: float = 0.0
    """Seconds waited."""
    word: ClassVar[str] = "no ringing"


@dataclass(frozen=True, slots=True)
class RingingThenSilent:
    """It rang, or played something, until the ring timeout."""

    after: float = 0.0
    """Seconds waited."""
    word: ClassVar[str] = "unanswered"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The transport says that it did not arrive, or its connection broke before the answer."""

    reason: str
    """The transport's word: `refused`, `reset`, `unreachable`, …"""
    local: bool = False
    """The cause is on our side: no route, no socket, too big for our own interface."""
    ringing: bool = False
    """An 18x came before it broke."""
    word: ClassVar[str] = "unreachable"


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The caller hung up first, or the whole ladder's time was over."""

    ringing: bool = False
    word: ClassVar[str] = "cancelled"


Outcome = Answered | Rejected | Silent | NoRinging | RingingThenSilent | Unreachable | Cancelled


@dataclass(frozen=True, slots=True)
class Verdict:
    """What to do about an outcome."""

    next_trunk: bool
    """True: the call goes to the next trunk if there is one. False: relay what came, or stop."""
    sign: Sign | None
    """What it is evidence of for the trunk, None if of nothing."""
    said: str
    """What happened, in words for sentences: `503 Service Unavailable`, `no answer within 0.8 s`."""
    why: str
    """Why so, for the explanation of a call."""
    retry_after: float = 0.0
    as_is: bool = False
    """The table has decided that the caller hears this answer, whatever its status tells."""
    opinion: bool = False
    """The next trunk is asked only for its opinion: not worth it if none is fit."""
    agreed: bool = False
    """Two trunks have said no to this number: it is the number."""

    def evidence(self, destination: str, sent_at: float) -> Evidence | None:
        """The evidence for `Health.observe`, None if there is none. `sent_at`: when our INVITE left, seconds."""
        if self.sign is None:
            return None
        return Evidence(self.sign, self.said, destination, self.retry_after, sent_at)


class Rules:
    """The table as it holds for one trunk: `Rules()` is the built-in one, `changed` gives others."""

    __slots__ = ("rows",)

    def __init__(self, rows: Mapping[Key, Row] = TABLE) -> None:
        self.rows = dict(rows)

    def row(self, key: Key) -> Row:
        """The row of a failure or status; a status without one of its own has that of its class."""
        if isinstance(key, int) and key not in self.rows:
            return self.rows[f"{key // 100}xx"]
        return self.rows[key]

    def changed(self, next_trunk_on: Iterable[str] = (), never_retry: Iterable[str] = ()) -> "Rules":
        """These rules with the words of a configuration added; raises ValueError for a word that is none.

        Words: `timeout`, `unreachable`, a status (`403`) or a class (`5xx`). An exact status goes before a class, and
        of two equal words never_retry wins. A class in next_trunk_on does not touch what the callee decided (486, 404,
        …): only naming the status does, and then it is no longer evidence that the trunk works.
        """
        rows = dict(self.rows)
        words = [(word, YES) for word in next_trunk_on] + [(word, NO) for word in never_retry]
        parsed = [(parse(word), word, wanted) for word, wanted in words]
        for exact in (False, True):
            for keys, word, wanted in parsed:
                if exact is not _is_class(keys):
                    for key in self._meant(keys, wanted):
                        why = f"configured: `{word}` in {'next_trunk_on' if wanted else 'never_retry'}"
                        rows[key] = _turned(rows.get(key) or self.row(key), wanted, why)
        return Rules(rows)

    def _meant(self, keys: tuple[Key, ...], wanted: Next) -> list[Key]:
        if not _is_class(keys):
            return list(keys)
        digit = str(keys[0])[0]
        members: list[Key] = [key for key in self.rows if str(key)[0] == digit]
        return [key for key in members if wanted is NO or key in keys or not self.rows[key].callee]


def judge(
    outcome: Outcome, rules: Rules, *, agreed: Iterable[int] = (), emergency: bool = False, believed: bool = False
) -> Verdict:
    """What to do about the outcome of one attempt. Pure.

    `agreed`: the statuses that trunks before it in the same ladder answered. `believed`: what is said of this number
    needs no second opinion, because another trunk has given it lately. `emergency`: go on after everything but
    an answer, a hang-up, ringing without end and `CALLEE_ENDS_EMERGENCY`, also when it was ringing before it failed.
    """
    match outcome:
        case Answered(status):
            return _answered(status)
        case Cancelled(ringing):
            return Verdict(False, GOOD if ringing else None, "cancelled", "the caller hung up")
        case RingingThenSilent(after):
            row = rules.row("ringing only")
            return Verdict(False, row.sign, f"ringing for {duration(after)} and nobody came", row.why)
        case Silent(after):
            return _failed(rules.row("silent"), emergency, f"no answer within {duration(after)}")
        case NoRinging(after):
            return _failed(rules.row("no ringing"), emergency, f"100 Trying and then nothing for {duration(after)}")
        case Unreachable(reason, local, ringing):
            row = rules.row("local" if local else "unreachable")
            if ringing:
                return Verdict(emergency, None, reason, "it was ringing")
            return _failed(row, emergency, reason)
        case Rejected():
            return _rejected(outcome, rules, list(agreed), emergency, believed)


@lru_cache
def _answered(status: int) -> Verdict:
    """What nearly every verdict is: made once."""
    return Verdict(False, GOOD, f"{status} answered", "answered")


def _failed(row: Row, emergency: bool, said: str) -> Verdict:
    return Verdict(emergency or row.next is not NO, row.sign, said, row.why)


def _rejected(outcome: Rejected, rules: Rules, agreed: Sequence[int], emergency: bool, believed: bool) -> Verdict:
    status, row = outcome.status, rules.row(outcome.status)
    about_the_number = row.next is SECOND_OPINION
    same = status in agreed or (
        about_the_number and any(rules.row(one).next is SECOND_OPINION for one in agreed if one)
    )
    said = f"{status} {outcome.reason}".strip()
    if emergency:
        next_trunk, why = status not in CALLEE_ENDS_EMERGENCY, "emergency call"
    elif outcome.ringing:
        next_trunk, why = False, "it was ringing"
    elif row.next in (UNLESS_AGREED, SECOND_OPINION) and same:
        next_trunk, why = False, "two trunks say the same"
    elif about_the_number:
        next_trunk, why = not believed, row.why if believed else f"{row.why}? one other trunk is asked"
    else:
        next_trunk, why = row.next is not NO, row.why
    as_is = row.next in (NO, SECOND_OPINION) and not next_trunk
    if status == 503 and outcome.retry_after > 0:
        return Verdict(next_trunk, Sign.RETRY_AFTER, said, why, outcome.retry_after, as_is)
    # A fault after ringing may be the callee's line as well as the carrier's: it speaks neither for nor against.
    sign = None if outcome.ringing and row.sign is FAULT else row.sign
    if outcome.ringing and sign is REFUSED:
        sign = GOOD  # somebody was there: the trunk did its work
    if same and sign is REFUSED:
        sign = None  # another trunk says the same: it is the number, or the caller
    opinion = next_trunk and about_the_number and not emergency
    return Verdict(next_trunk, sign, said, why, as_is=as_is, opinion=opinion, agreed=same and about_the_number)


def parse(word: str) -> tuple[Key, ...]:
    """The rows that a word of the configuration means. Raises ValueError with a sentence for the operator."""
    text = word.strip().lower()
    if text in WORDS:
        return WORDS[text]
    if re.fullmatch(r"[3-6]xx", text):
        return (text,)
    if re.fullmatch(r"[3-6]\d\d", text, re.ASCII):
        return (int(text),)
    known = ", ".join(f"`{name}`" for name in WORDS)
    raise ValueError(f"`{word}` is no outcome of a call: write {known}, a status from 300 to 699, or a class as `5xx`")


def _is_class(keys: tuple[Key, ...]) -> bool:
    return isinstance(keys[0], str) and keys[0].endswith("xx")


def _turned(row: Row, wanted: Next, why: str) -> Row:
    if row.next in (YES, UNLESS_AGREED) and wanted is YES:
        return row
    sign = None if wanted is YES and row.sign is GOOD else row.sign
    return replace(row, next=wanted, sign=sign, why=why)
