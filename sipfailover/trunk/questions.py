"""What the counts of a trunk's health say: the conditions of the arrows in `trunk.health`, and what an arrow does.

Every question takes (counters, now) and answers with the name of the rule that says yes, or "" for no. The names stand
beside each change of health, in the history and in README's tables. Times are seconds, monotonic.
"""

from collections.abc import Callable
from math import ceil, log

from sipfailover.trunk.counters import NEVER, Counters, forget_calls
from sipfailover.trunk.evidence import EVIDENCE_KEPT, Evidence, Sign, State, duration, many
from sipfailover.trunk.judgement import DROPS, FAULTS, REFUSALS, SLOWNESS, Kind, Series

RELAPSE_REMEMBERED = 3600.0
"""Seconds Up after which one relapse is forgotten. Going Down sooner than that after a return is a relapse."""
LEANING, CALM = 0.5, 0.25
"""Shares of a threshold: at the first one a trunk becomes Suspect before anything is proven, below the second it is so
no longer. Between them lies what keeps it from going back and forth."""
CALLS_VOUCH = 30.0
"""Seconds. OPTIONS that nobody answers, while calls got through until a moment ago, are a matter of OPTIONS."""
CHANCE_OF_GOOD = 0.1
"""A trial whose good calls would come by chance so often, if nothing had changed, proves nothing yet."""
TRIALS_MAX = 8
"""Good calls that are asked for at most: where fewer than one in five fails, the next judgement is as quick."""
TESTED_AFTER = 180.0
"""Seconds Down by the silence of OPTIONS alone, none of which was answered meanwhile, after which one call may find out
whether it is only OPTIONS: what flaps has answered one by then."""
DAY = 86400.0

# -- something is wrong -----------------------------------------------------------------------------------------------


def at_all(_counters: Counters, _now: float) -> str:
    return "anything failed"


def confirmed(counters: Counters, _now: float) -> str:
    return "failed checks in a row" if counters.failed_checks >= counters.rules.down_after else ""


def nothing_answered(counters: Counters, now: float) -> str:
    """A quick check had no answer. Calls that go through speak against it."""
    vouched = not counters.silent_calls and now < counters.call_good_at + CALLS_VOUCH
    return "" if vouched else "nothing answered"


def asked_for(_counters: Counters, _now: float) -> str:
    return "asked to stay away"


def widespread(counters: Counters, _now: float) -> str:
    return _alarm(counters.faulty)


def refusing(counters: Counters, _now: float) -> str:
    return _alarm(counters.refused)


def dropping(counters: Counters, _now: float) -> str:
    return _alarm(counters.dropped)


def slowed(counters: Counters, _now: float) -> str:
    return _alarm(counters.slow)


def leaning(counters: Counters, _now: float) -> str:
    for series in (counters.refused, counters.dropped):
        if series.level >= LEANING:
            return f"half way, {series.kind.charts[0].rule}"
    return ""


def in_trial(_counters: Counters, _now: float) -> str:
    return "any fault in trial"


def refused_again(counters: Counters, now: float) -> str:
    """In trial one is enough of what took it Down."""
    return in_trial(counters, now) if counters.down_rule == counters.refused.kind.charts[0].rule else ""


def dropped_again(counters: Counters, now: float) -> str:
    return in_trial(counters, now) if counters.down_rule == counters.dropped.kind.charts[0].rule else ""


def _alarm(series: Series) -> str:
    chart = series.alarm
    return chart.rule if chart is not None else ""


# -- all is well again ------------------------------------------------------------------------------------------------


def in_question(counters: Counters) -> bool:
    """True while calls give a reason to be Suspect."""
    scores = (counters.refused, counters.dropped, counters.slow)
    return counters.calls_in_doubt or any(series.level >= CALM for series in scores)


def cleared(counters: Counters, _now: float) -> str:
    return "" if counters.probe_failing or in_question(counters) else "cleared"


def steady(counters: Counters, now: float) -> str:
    enough = counters.checks_good >= counters.rules.up_after and now >= counters.back_at
    return "stable" if enough and may_return(counters, now) else ""


def steady_after_failed_calls(counters: Counters, now: float) -> str:
    return "stable, calls to prove it" if counters.calls_failed and steady(counters, now) else ""


def rested(counters: Counters, now: float) -> str:
    """Nothing failed for long enough, where no OPTIONS is ever answered."""
    return "quiet, calls to prove it" if now >= counters.back_at and may_return(counters, now) else ""


def rested_unasked(counters: Counters, now: float) -> str:
    """The same where none is ever sent: then nothing but time opens the way back."""
    return "" if counters.rules.asked else rested(counters, now)


def untested(counters: Counters, since: float, now: float) -> bool:
    """Whether a trunk that is Down since then may be tested by one call: nothing but OPTIONS says so. A dead carrier
    lets that call wait for its no-answer clock, once; one that has begun to drop OPTIONS is not away for ever."""
    if not counters.down_by_silence or counters.calls_failed:
        return False
    return now >= since + TESTED_AFTER and may_return(counters, now)


def convincing(series: Series, now: float) -> int:
    """How many good calls in a row say that a trouble is over which struck a part of them: n good ones come by chance
    with (1 - share)^n. 0 if it is not this series that gave the alarm."""
    if series.alarm is None:
        return 0
    bad, seen, _ = series.counted(now)
    share = bad / seen
    return 1 if share >= 1.0 else min(TRIALS_MAX, ceil(log(CHANCE_OF_GOOD) / log(1.0 - share)))


def proven(counters: Counters, now: float) -> str:
    """A trial that has begun within the hours of return may end after them."""
    enough = counters.trials_good >= max(counters.rules.up_after, counters.trials_wanted)
    return "trial calls good" if enough and now >= counters.held_until else ""


def proven_while_down(counters: Counters, now: float) -> str:
    return proven(counters, now) if may_return(counters, now) else ""


def not_held(counters: Counters, now: float) -> str:
    return "a call went through" if now >= counters.held_until and may_return(counters, now) else ""


def ordered_back(counters: Counters, _now: float) -> str:
    return "ordered back" if counters.checks_good >= counters.rules.up_after else ""


def may_return(counters: Counters, now: float) -> bool:
    """Whether the operator's rule lets a trunk that was Down come back now."""
    rules = counters.rules
    if counters.released:
        return True
    if rules.manual:
        return False
    return rules.window is None or until_window(counters, now) == 0.0


def until_window(counters: Counters, now: float) -> float | None:
    """Seconds until the hours of return begin, 0 while they last; None if nobody has told the time of day."""
    window = counters.rules.window
    if window is None or counters.day_at is None:
        return None
    begin, end = window
    into = (now + counters.day_at - begin + 0.001) % DAY  # a timer may ring a rounding too early
    return 0.0 if into < ((end - begin) % DAY or DAY) else DAY - into


def behind(counters: Counters, rule: str) -> tuple[Evidence, ...]:
    """What a rule against the trunk rests on, the newest last: what the score remembers, if a score gave the alarm."""
    for series, sign in (
        (counters.faulty, Sign.CALL_FAULT),
        (counters.refused, Sign.CALL_REFUSED),
        (counters.dropped, Sign.CALL_DROPPED),
        (counters.slow, Sign.CALL_SLOW),
    ):
        if rule in _rules(series.kind):
            found = [
                Evidence(sign, what, "" if number[:1] in "#?" else number, at=at)
                for number, (at, what) in series.recent.items()
            ]
            return tuple(found[-EVIDENCE_KEPT:])
    return tuple(counters.trail)


# -- what entering a state does ---------------------------------------------------------------------------------------


def enter_up(counters: Counters, before: State, now: float) -> None:
    if before is not State.SUSPECT:
        if counters.trials_good:
            counters.why = f"{many(counters.trials_good, 'call')} in a row went through"
        else:
            good, quiet = many(counters.checks_good, "good check"), duration(now - counters.failed_at)
            counters.why = f"{good} in a row and no failure for {quiet}"
        counters.returned_at = now
        _begin_scores(counters)
    counters.released = False
    counters.trail.clear()
    _start_anew(counters)


def enter_suspect(_counters: Counters, _before: State, _now: float) -> None:
    """The counts go on: what made it Suspect is half the way to Down."""


def enter_down(counters: Counters, before: State, now: float) -> None:
    healthy = RELAPSE_REMEMBERED if counters.returned_at is None else now - counters.returned_at
    if before is State.TRIAL or healthy < RELAPSE_REMEMBERED:
        counters.relapses += 1
        counters.why += f"; relapse {counters.relapses}, so it stays out for at least {duration(counters.hold_down)}"
    else:
        counters.relapses = max(0, counters.relapses - int(healthy / RELAPSE_REMEMBERED))
    wanted = max(convincing(series, now) for series in (counters.faulty, counters.refused, counters.dropped))
    counters.trials_wanted = wanted or (counters.trials_wanted if before is State.TRIAL else 0)
    calls_failed = counters.calls_failed or before is State.TRIAL
    counters.released = False
    counters.failed_at = max(counters.failed_at, now)
    counters.trail.clear()
    _start_anew(counters)
    _begin_scores(counters)
    counters.calls_failed = calls_failed


def enter_trial(counters: Counters, _before: State, now: float) -> None:
    good = counters.trials_good
    if counters.released:
        counters.why = "an operator gave it back; single calls show whether calls work"
    elif good:
        counters.why = "a call went through while it was Down; single calls show whether that lasts"
    else:
        quiet = f"nothing failed for {duration(now - counters.failed_at)}; single calls show whether calls work"
        counters.why = f"checks are good and {quiet}" if counters.checks_good else quiet
    counters.trail.clear()
    _start_anew(counters)
    counters.trials_good = good


def _begin_scores(counters: Counters) -> None:
    for series in (counters.faulty, counters.refused, counters.dropped, counters.slow):
        series.clear()


def _start_anew(counters: Counters) -> None:
    forget_calls(counters)
    counters.probes_failed = 0
    counters.probe_failing = False
    counters.checks_good = 0
    counters.trials_good = 0


def next_moment(counters: Counters, now: float) -> float:
    """When a Down trunk whose checks are good may come back; infinity while only an operator's word brings it back."""
    back_at = max(counters.back_at, now)
    if counters.released:
        return back_at
    if counters.rules.manual:
        return -NEVER
    if counters.rules.window is None:
        return counters.back_at
    wait = until_window(counters, back_at)
    return -NEVER if wait is None else back_at + wait


# -- for those who print tables ---------------------------------------------------------------------------------------


def _rules(kind: Kind) -> tuple[str, ...]:
    return tuple(chart.rule for chart in kind.charts)


NAMES: dict[Callable[[Counters, float], str], tuple[str, ...]] = {
    at_all: ("anything failed",),
    confirmed: ("failed checks in a row",),
    nothing_answered: ("nothing answered",),
    asked_for: ("asked to stay away",),
    widespread: _rules(FAULTS),
    refusing: _rules(REFUSALS),
    dropping: _rules(DROPS),
    slowed: _rules(SLOWNESS),
    leaning: tuple(f"half way, {kind.charts[0].rule}" for kind in (REFUSALS, DROPS)),
    in_trial: ("any fault in trial",),
    refused_again: ("any fault in trial",),
    dropped_again: ("any fault in trial",),
    cleared: ("cleared",),
    steady: ("stable",),
    steady_after_failed_calls: ("stable, calls to prove it",),
    rested: ("quiet, calls to prove it",),
    rested_unasked: ("quiet, calls to prove it",),
    proven: ("trial calls good",),
    proven_while_down: ("trial calls good",),
    not_held: ("a call went through",),
    ordered_back: ("ordered back",),
}
"""Each question → the names with which it says yes."""
