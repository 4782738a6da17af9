"""The hedge: while a trunk is in doubt, a second attempt begins before the first is given up (`failover.hedge`). Pure.

When: the trunk is Suspect, or has become Down since the attempt began, and it has been silent for longer than 95 % of
the calls before it were. There are two clocks, because there are two silences; where nothing was measured there is
none, and after an 18x there is no hedge at all. Who wins: the first to ring or to answer, and the other is cancelled in
the same moment. A failure leaves the call to the other attempt. Acting is `proxy.ladder`'s.

A callee who is busy may be busy with our own other attempt, whose ringing is still under way to us. So an answer that
would end the call waits for the other attempt, as §16.7 wants it of branches in parallel; but no longer than LAST_WORD.
"""

from enum import IntEnum
from typing import NamedTuple

from sipfailover.routing.verdict import Answered, Outcome, Rejected, Verdict
from sipfailover.trunk import State, duration

AT_ONCE_MAX = 2
"""Attempts of one call at the same time."""
MARGIN = 0.01
"""Seconds on top of what is usual. Where every answer takes the same time, it must not be a race between an answer and
our clock; and an answer may lie in our own socket for some milliseconds."""
LAST_WORD = 2.0
"""Seconds. Longer than any answer is under way, shorter than a caller notices before a busy tone."""
IN_DOUBT = frozenset({State.SUSPECT, State.DOWN})

FIRST, SECOND, NEITHER = "first", "second", "neither"
"""Who had won when a second attempt came to its end. `neither`: it failed, or the caller hung up, before anything
rang."""


class Heard(IntEnum):
    """What has come from a trunk on an INVITE."""

    NOTHING = 0
    """Also after its challenge, to the INVITE with our answer."""
    TRYING = 1
    """100, and nothing more."""
    RINGING = 2


class Usual(NamedTuple):
    """The 95th percentiles of a trunk, as measured. Seconds; None: nothing was measured."""

    first_answer: float | None
    """From INVITE to whatever comes first."""
    ringing: float | None
    """From INVITE to the first 18x."""


def patience(heard: Heard, usual: Usual) -> float | None:
    """Seconds after the INVITE until which silence is usual; None: there is no hedge."""
    if heard is Heard.NOTHING:
        return usual.first_answer
    return usual.ringing if heard is Heard.TRYING else None


def may_begin(heard: Heard, state: State, *, unusual: bool, desperate: bool, under_way: int) -> bool:
    """True if a second attempt may begin beside one. `state`: of its trunk; `unusual`: it has been silent for longer
    than `patience` and MARGIN; `desperate`: its trunk was Down when it began; `under_way`: how many attempts this call
    has, with it."""
    return unusual and heard is not Heard.RINGING and state in IN_DOUBT and not desperate and under_way < AT_ONCE_MAX


def words(heard: Heard, trunk: str, after: float, usual: float) -> str:
    """Why a second attempt begins, and which clock says so. `after`, `usual`: seconds."""
    what, clock = ("no answer", "first answers") if heard is Heard.NOTHING else ("no ringing", "times to ringing")
    return f"hedge: {what} from {trunk} for {duration(after)}, 95 % of its {clock} are within {duration(usual)}"


class Event(IntEnum):
    """What one of two attempts does."""

    RINGS = 0
    ANSWERS = 1
    FAILS = 2
    """In a way that sends a call to the next trunk."""
    REFUSED = 3
    """By somebody who may speak for the callee: alone, it would be what the caller hears."""
    REFUSED_EVERYWHERE = 4
    """The same with 6xx: no other attempt will have more success (§16.7 step 5)."""


class Then(IntEnum):
    """What becomes of the other one, and of the call."""

    CANCELLED = 0
    """This one has the call."""
    GOES_ON = 1
    """The other has the call, with its own clocks, and ladder and hedge as they are for one."""
    HAS_THE_LAST_WORD = 2
    """The other may ring or answer within LAST_WORD; no third trunk is asked."""
    GIVEN_UP = 3
    """The call is over."""


RACE: dict[Event, Then] = {
    Event.RINGS:              Then.CANCELLED,
    Event.ANSWERS:            Then.CANCELLED,
    Event.FAILS:              Then.GOES_ON,
    Event.REFUSED:            Then.HAS_THE_LAST_WORD,
    Event.REFUSED_EVERYWHERE: Then.GIVEN_UP,
}  # fmt: skip


def ended(outcome: Outcome, verdict: Verdict) -> Event:
    """How one of two attempts came to its end, as the race sees it. (What was cancelled is not asked.)"""
    if verdict.next_trunk:  # of a number that was refused, the rival is the second opinion
        return Event.FAILS
    if isinstance(outcome, Answered):
        return Event.ANSWERS
    everywhere = isinstance(outcome, Rejected) and outcome.status >= 600
    return Event.REFUSED_EVERYWHERE if everywhere else Event.REFUSED


def winner(outcome: Outcome, *, rang: bool, overtaken: bool) -> str:
    """Who had won, when a second attempt ended so: FIRST, SECOND or NEITHER. `overtaken`: the first rang before it."""
    if overtaken:
        return FIRST
    return SECOND if rang or isinstance(outcome, Answered) else NEITHER
