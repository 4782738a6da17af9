"""Evidence about a trunk, and the words for its health. Values only.

What an outcome of a call is evidence of is said in `routing.verdict`; what an answer to OPTIONS is evidence of, in
`trunk.probe`; what health makes of it, in `trunk.health`.
"""

from dataclasses import dataclass
from enum import IntEnum


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
    """An INVITE got a fault code, or 100 and then nothing. Counts once several different numbers failed."""
    RETRY_AFTER = 7
    """503 with Retry-After, to an INVITE or to OPTIONS: the carrier itself asks us to stay away."""
    TIME = 8
    """A deadline of our own has come."""


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


@dataclass(frozen=True, slots=True)
class Change:
    """Health moved."""

    before: State
    after: State
    why: str
    """One plain sentence with the evidence."""


@dataclass(frozen=True, slots=True)
class HealthRules:
    """The numbers of `monitor` and `failover.return_to_main`. Durations in seconds."""

    down_after: int = 3
    """Failed checks in a row until Down, at least 1."""
    up_after: int = 3
    """Good checks in a row until the way back opens, and good calls that end a trial; at least 1."""
    stable_for: float = 600.0
    """No failure for so long before a trunk comes back; doubles with every relapse."""
    destinations: int = 3
    """Different numbers that must fail before fault codes count, at least 1."""
    count_calls: bool = True
    """False: failed calls are no evidence (`count_real_calls: no`). Good calls still are."""


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
