"""The next rung of a call's ladder: which line is asked, and at which of its addresses. Pure.

In the order of `routing.plan`; but first the other addresses of the trunk that has just failed (RFC 3263 §4.3), because
its next edge knows us as well as the first one, and the backup carrier costs money; and one that refused the caller's
number is asked once more with a number of its own. A call that comes in and finds no
PBX goes out again to `inbound.overflow`. An emergency call goes round twice: those that did not answer within its
shorter clocks are asked once more, with patience.
"""

from collections.abc import Iterator
from typing import NamedTuple

from sipfailover.proxy.call import INBOUND, NEXT_ADDRESS, OUTBOUND, OWN_NUMBER, Attempt, Call, Rung
from sipfailover.proxy.core import Core
from sipfailover.proxy.invitation import may_fall_back
from sipfailover.proxy.line import Line
from sipfailover.routing import Outcome, Place, Rejected, Silent, Unreachable, plan

EMERGENCY_ROUNDS = 2


class Patience(NamedTuple):
    """How long a line may be silent for one call, in seconds."""

    no_answer: float
    """No reply at all: the upper bound of the trunk's own clock."""
    no_ringing: float
    """100, and then nothing."""


def patience(call: Call, line: Line, core: Core) -> Patience:
    """The clocks of an attempt that starts now."""
    usual = line.trunk.no_answer_within
    if call.emergency and call.round == 1:
        emergency = core.settings.emergency
        no_ringing = line.trunk.no_ringing(emergency.no_ringing_within)
        return Patience(min(usual, emergency.no_answer_within), no_ringing)
    return Patience(usual, line.trunk.no_ringing(core.settings.failover.no_ringing_within))


def next_rung(call: Call, attempt: Attempt, outcome: Outcome, core: Core, now: float) -> Rung | None:
    """Where a call goes on after an attempt that failed so; None if nowhere."""
    again, elsewhere = own_number(call, attempt, outcome), next_address(call, attempt, outcome)
    if elsewhere is not None and not elsewhere.line.holds(elsewhere.target):
        # A carrier that is registered with refuses calls at an edge where we are not: only if nothing better is left.
        return again or next_trunk(call, core, now) or elsewhere
    return again or elsewhere or next_trunk(call, core, now)


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


def second_trunk(call: Call, core: Core, now: float) -> Rung | None:
    """The line for a second attempt beside one that is under way: the best one that the call has not tried, and only
    where calls go anyhow, so none that is Down, against orders, or in Trial; None if there is none."""
    found = _rungs(call, core, call.tried, now, overflow=call.overflowed)
    return next((rung for rung in found if rung.candidate.place is Place.FIRST and not rung.candidate.trial), None)


def _untried(call: Call, core: Core, tried: set[str], now: float, *, overflow: bool) -> Rung | None:
    return next(_rungs(call, core, tried, now, overflow=overflow), None)


def _rungs(call: Call, core: Core, tried: set[str], now: float, *, overflow: bool) -> Iterator[Rung]:
    """Those of the plan that are left, in its order."""
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
            yield Rung(line, target, candidate, call.round, overflow)


def next_address(call: Call, attempt: Attempt, outcome: Outcome) -> Rung | None:
    """Another address of the same trunk, where this one gave no service; None if another address would not help.

    That our machine has no way to this address (`local`) says nothing of the way to the next one.
    """
    match outcome:
        case Silent() | Unreachable(ringing=False) | Rejected(status=503, ringing=False):
            line = attempt.line
        case _:
            return None
    others = line.trunk.addresses.others(call.addresses[line.name])
    return Rung(line, others[0], attempt.candidate, call.round, call.overflowed, NEXT_ADDRESS) if others else None


def own_number(call: Call, attempt: Attempt, outcome: Outcome) -> Rung | None:
    """The same trunk once more with its `caller_id`, after a 403 that may be about the caller's number; None if there
    is nothing else to show. Other reasons for 403 cost one more round trip."""
    if attempt.fallback or call.request is None:
        return None
    match outcome:
        case Rejected(status=403, ringing=False):
            line = attempt.line
            if may_fall_back(call.request, line, source=call.source, emergency=call.emergency):
                return Rung(line, attempt.leg.reached, attempt.candidate, call.round, call.overflowed, OWN_NUMBER)
    return None
