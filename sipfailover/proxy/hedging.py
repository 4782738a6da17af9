"""When a second attempt may begin beside one that is under way: the clock of each attempt, and the look at both sides.

What is decided, and what becomes of the two, stands in `routing.hedge`; `ladder` sends. An attempt that is silent has,
beside the clock that ends it, one that is due when its silence is unusual. When it is, or when its trunk comes into
doubt after that, and when one of two attempts has failed, is looked whether a (further) second one may begin.
"""

from sipfailover.proxy.call import Attempt, Call, Clock
from sipfailover.proxy.core import Core
from sipfailover.routing import Outcome, hedge

HEARD = {Clock.NO_ANSWER: hedge.Heard.NOTHING, Clock.NO_RINGING: hedge.Heard.TRYING}
"""What the clock that runs says of what was heard."""
HEDGED, OVERTAKEN = "hedged", "overtaken"
"""What we did about an attempt, as the history has it: the other one that was under way goes on, or has won."""
ELSEWHERE = b'SIP ;cause=200 ;text="Call completed elsewhere"'
"""Reason of the CANCEL to who was slower (RFC 3326 §2): a telephone need not show the call as missed."""


def arm(core: Core, attempt: Attempt, now: float) -> None:
    """The clock of an attempt is another one now: so is what is unusual. On the path, with hedging on."""
    stop(attempt)
    bound = _bound(attempt) if attempt.line.role == "trunk" else None
    if bound is not None and attempt.clock is not None:
        due = _since(attempt) + bound + hedge.MARGIN
        if due < attempt.clock.due:
            attempt.hedge = core.timers.start(max(0.0, due - now), now, Clock.HEDGE, attempt)


def stop(attempt: Attempt) -> None:
    """It has no such clock any more."""
    if attempt.hedge is not None:
        attempt.hedge.stop()
        attempt.hedge = None


def reason(core: Core, call: Call, attempt: Attempt, now: float) -> str:
    """Why a second attempt may begin now beside this one, in words; empty if it may not."""
    bound = _bound(attempt)
    if bound is None or attempt.over or call.decided or (now >= call.give_up_at and not call.emergency):
        return ""
    heard, trunk = _heard(attempt), attempt.line.trunk
    if trunk.overtaken.full(now) and not call.emergency:
        return ""  # this call shows what the silence of those before it was
    allowed = hedge.may_begin(
        heard,
        trunk.health.state,
        unusual=attempt.hedge is not None and now >= attempt.hedge.due,
        desperate=attempt.candidate.desperate,
        under_way=1 if call.rival is None else 2,
    )
    return hedge.words(heard, trunk.name, now - _since(attempt), bound) if allowed else ""


def count(core: Core, attempt: Attempt, outcome: Outcome, *, overtaken: bool) -> None:
    """An attempt is over: if it was a second one, who had won?"""
    if attempt.hedges:
        rang = attempt.ringing_at is not None
        core.hedges[attempt.hedges, hedge.winner(outcome, rang=rang, overtaken=overtaken)] += 1


def _heard(attempt: Attempt) -> hedge.Heard:
    clock = attempt.clock
    return hedge.Heard.RINGING if clock is None else HEARD.get(Clock(clock.name), hedge.Heard.RINGING)


def _since(attempt: Attempt) -> float:
    """From when its silence counts: from its last INVITE; ringing, as it is measured, from its first."""
    return attempt.asked_at if _heard(attempt) is hedge.Heard.NOTHING else attempt.sent_at


def _bound(attempt: Attempt) -> float | None:
    trunk = attempt.line.trunk
    return hedge.patience(_heard(attempt), hedge.Usual(trunk.roundtrip.first_answers.p95, trunk.setup.recent.p95))
