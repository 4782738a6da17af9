"""Evidence about a trunk, and the words for its health. Values only.

What an outcome of a call is evidence of is said in `routing.verdict`; what an answer to OPTIONS is evidence of, in
`trunk.probe`; what health makes of it, in `trunk.health`.
"""

from dataclasses import dataclass, field
from enum import IntEnum

EVIDENCE_KEPT = 8
"""Rows of evidence behind one change. Older ones are in the ledger, as attempts and probes."""
OUR_REGISTRATION = "REGISTER"
"""Stands where the number called does, for a fault code to a registration."""
SHOWN, HIDDEN = 5, 4
"""Of a number called, evidence shows so many characters at most, and never the last ones."""


class State(IntEnum):
    """Health: what was observed of a trunk, as against what people ordered."""

    UP = 0
    SUSPECT = 1
    """Something failed. Still used, and checked quickly."""
    DOWN = 2
    """Failure is confirmed. New calls go elsewhere, while there is an elsewhere."""
    TRIAL = 3
    """It seems to be back. One call at a time goes there first, with the ladder below it."""

    @property
    def label(self) -> str:
        """The word people read: `Up`, `Suspect`, `Down`, `Trial`."""
        return self.name.capitalize()


class Sign(IntEnum):
    """Kinds of evidence."""

    PROBE_GOOD = 0
    """OPTIONS was answered in a way that counts."""
    PROBE_UNWELL = 1
    """OPTIONS was answered 500, 502, 504, …: somebody is there, but that earns no way back."""
    PROBE_FAILED = 2
    """No answer, port closed, no connection."""
    PROBE_503 = 3
    """503 without Retry-After: reachable, and says that it does not serve."""
    CALL_GOOD = 4
    """An INVITE was answered, and not with a fault. Busy and declined are the callee's: the trunk did its work."""
    CALL_SILENT = 5
    """An INVITE got no answer at all, or could not be delivered. Counts as a failed check."""
    CALL_FAULT = 6
    """An INVITE got a fault code, or 100 and then nothing, or was refused where another trunk then got through. Counts
    once several different numbers failed, or more than usual."""
    RETRY_AFTER = 7
    """503 with Retry-After, to an INVITE or to OPTIONS: the carrier itself asks us to stay away."""
    TIME = 8
    """A deadline of our own has come."""
    PROBES_SILENT = 9
    """A quick check: several OPTIONS within a second, and nothing came back from any."""
    CALL_REFUSED = 10
    """403, 404, 480, 484, 603, 604: about the number or the caller, unless it is so for one number after the other."""
    CALL_DROPPED = 11
    """An answered call was ended by the network within seconds."""
    CALL_LASTED = 12
    """An answered call was not."""
    CALL_SLOW = 13
    """It took much longer to ring than this trunk usually takes."""
    CALL_PROMPT = 14
    """It did not."""
    RELEASED = 15
    """An operator gives the trunk back: it need not wait until its time has come."""
    PROBE_MUTE = 16
    """OPTIONS had no answer, as none ever had there: some carriers drop them (field/swisscom.md §5 no. 1)."""
    PROBE_OUTDONE = 17
    """A quick check had no answer, but something else came from there meanwhile: only OPTIONS are not answered."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Something that was seen of a trunk."""

    sign: Sign
    what: str = ""
    """In words that fit into a sentence: `no answer within 2 s`, `503 Service Unavailable`, `port closed`."""
    destination: str = ""
    """The number called; of fault codes only different ones count. Empty for probes."""
    retry_after: float = 0.0
    """Seconds, with RETRY_AFTER."""
    sent_at: float | None = None
    """When the request left. A good answer to a request older than the last failure refutes nothing: calls ring for a
    while, and a carrier may fall between INVITE and answer. None: it left after everything known so far."""
    more: str = ""
    """For who wants to know it exactly: `round trip 23 ms, bound 800 ms`."""
    at: float = 0.0
    """When it was seen, seconds; health notes it."""

    def words(self, now: float) -> str:
        """One line of the evidence behind a change: `3 s before: number +4144…: no answer within 0.8 s (…)`."""
        number = self.destination[: max(0, min(SHOWN, len(self.destination) - HIDDEN))]
        who = f"number {number}…: " if any(letter.isdigit() for letter in self.destination) else ""
        more = f" ({self.more})" if self.more else ""
        when = f"{duration(now - self.at)} before" if now - self.at >= 0.001 else "now"
        return f"{when}: {who}{self.what or self.sign.name.lower().replace('_', ' ')}{more}"


@dataclass(frozen=True, slots=True)
class Change:
    """Health moved."""

    before: State
    after: State
    why: str
    """One plain sentence with the evidence."""
    rule: str = field(default="", compare=False)
    """Name of the rule that said so, as README's tables have it."""
    evidence: tuple[Evidence, ...] = field(default=(), compare=False)
    """What it was seen by, the newest last, at most `EVIDENCE_KEPT`; empty when it is the time that has passed."""


@dataclass(frozen=True, slots=True)
class HealthRules:
    """The numbers of `monitor` and `failover.return_to_main`. Durations in seconds."""

    down_after: int = 3
    """Failed checks in a row until Down, at least 1; silent calls and OPTIONS that are asked one by one."""
    up_after: int = 3
    """Good checks in a row until the way back opens, and good calls that end a trial; at least 1."""
    stable_for: float = 600.0
    """No failure for so long before a trunk comes back; doubles with every relapse."""
    count_calls: bool = True
    """False: failed calls are no evidence (`count_real_calls: no`). Good calls still are."""
    asked: bool = True
    """False: no OPTIONS are ever sent (`options_every: off`), so that time alone opens the way back."""
    quick: bool = True
    """Silence is confirmed, or refuted, by a quick check."""
    manual: bool = False
    """Once Down, only an operator's word brings it back (`return_to_main.when: manual`) …"""
    window: tuple[float, float] | None = None
    """… or only these hours do: seconds of the local day, from and until."""


def duration(value: float) -> str:
    """A number of seconds as people say it: `80 ms`, `2 s`, `12.5 s`, `4 min`, `1.5 h`."""
    if value < 1.0:
        return f"{max(0.0, value) * 1000:.0f} ms"
    for limit, unit, name in ((100.0, 1.0, "s"), (6000.0, 60.0, "min")):
        if value < limit:
            return f"{round(value / unit, 1):g} {name}"
    return f"{round(value / 3600.0, 1):g} h"


def many(count: int, noun: str) -> str:
    """`1 check`, `3 checks`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
