"""The next rung of a call's ladder: which line is asked, and at which of its addresses. Pure.

In the order of `routing.plan`; but first the other addresses of the trunk that has just failed (RFC 3263 §4.3), because
its next edge knows us as well as the first one, and the backup carrier costs money. A call that comes in and finds no
PBX goes out again to `inbound.overflow`. An emergency call goes round twice: those that did not answer within its
shorter clocks are asked once more, with patience.
"""

from typing import NamedTuple

from sipfailover.flow import Target
from sipfailover.proxy.call import INBOUND, OUTBOUND, Attempt, Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.line import Line
from sipfailover.routing import Candidate, Outcome, Rejected, Silent, Unreachable, plan

EMERGENCY_ROUNDS = 2


class Patience(NamedTuple):
    """How long a line may be silent for one call, in seconds."""

    no_answer: float
    """No reply at all: the upper bound of the trunk's own clock."""
    no_ringing: float
    """100, and then nothing."""


class Rung(NamedTuple):
    """One attempt to come."""

    line: Line
    target: Target
    candidate: Candidate
    round: int = 1
    overflow: bool = False
    """The call goes out again, to the number that is for calls that no PBX takes."""


def patience(call: Call, line: Line, core: Core) -> Patience:
    """The clocks of an attempt that starts now."""
    usual = line.trunk.no_answer_within
    if call.emergency and call.round == 1:
        emergency = core.settings.emergency
        return Patience(min(usual, emergency.no_answer_within), emergency.no_ringing_within)
    return Patience(usual, core.settings.failover.no_ringing_within)


def next_trunk(call: Call, core: Core, now: float) -> Rung | None:
    """The best line that the call has not tried; None if there is none left."""
    rung = _untried(call, core, call.tried, now, overflow=call.overflowed)
    if rung is not None:
        return rung
    if call.emergency and call.round < EMERGENCY_ROUNDS:
        answered = {said.trunk for said in call.said if said.status}
        again = _untried(call, core, answered, now, overflow=False)
        return again and again._replace(round=call.round + 1)
    if call.direction == INBOUND and not call.overflowed and core.settings.inbound.overflow:
        return _untried(call, core, set(), now, overflow=True)
    return None


def _untried(call: Call, core: Core, tried: set[str], now: float, *, overflow: bool) -> Rung | None:
    outwards = call.direction == OUTBOUND or overflow
    lines = core.trunks if outwards else core.pbxs
    first = core.settings.emergency.first if call.emergency else ()
    trunks = [line.trunk for line in lines]
    for candidate in plan(trunks, now, emergency=call.emergency, first=first, inbound=not outwards):
        if not candidate.included:
            break
        if candidate.name not in tried:
            line = core.lines[candidate.name]
            target = line.trunk.target
            assert target is not None  # the plan leaves out who has none
            return Rung(line, target, candidate, call.round, overflow)
    return None


def next_address(call: Call, attempt: Attempt, outcome: Outcome) -> Rung | None:
    """Another address of the same trunk, where this one gave no service; None if another address would not help."""
    match outcome:
        case Silent() | Unreachable(local=False, ringing=False) | Rejected(status=503, ringing=False):
            line = attempt.line
        case _:
            return None
    others = line.trunk.addresses.others(call.addresses)
    return Rung(line, others[0], attempt.candidate, call.round, call.overflowed) if others else None
