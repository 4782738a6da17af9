"""What health counts, and what evidence does to the counts: the effects of the rows in `trunk.health`.

Every effect takes (counters, evidence, now). What the counts say is asked in `trunk.questions`. Times are seconds,
monotonic.
"""

from collections import deque
from dataclasses import replace

from sipfailover.trunk.evidence import EVIDENCE_KEPT, OUR_REGISTRATION, Evidence, HealthRules, duration, many
from sipfailover.trunk.judgement import DROPS, FAULTS, REFUSALS, SLOWNESS, Series

CALLS_REMEMBERED = 900.0
"""Seconds a failed call keeps a trunk Suspect when no other call comes to refute it (nights, weekends)."""
NUMBERS_IN_DOUBT_MAX = 32
"""Numbers that failed since a good call. The oldest is forgotten when there are more; the score is not."""
RETRY_AFTER_MAX = 120.0
"""Seconds. A carrier that asks for more is not believed: a mistyped Retry-After would be an outage of its own."""
HOLD_DOWN_MAX = 1800.0
"""Seconds. Longest hold-down after relapses, unless `stable_for` itself is longer."""
NEVER = float("-inf")


class Counters:
    """The numbers behind the health of one trunk."""

    __slots__ = (
        "call_good_at", "calls_failed", "checks_good", "day_at", "doubted_at", "down_by_silence", "down_rule",
        "dropped", "failed_at", "faults", "faulty", "held_until", "last_call_failed_at", "probe_failing",
        "probes_failed", "refused", "relapses", "released", "returned_at", "rules", "silent_calls", "slow", "trail",
        "trials_good", "trials_wanted", "why",
    )  # fmt: skip

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.why = ""
        """The latest evidence that mattered, as one sentence."""
        self.trail: deque[Evidence] = deque(maxlen=EVIDENCE_KEPT)
        """The evidence that mattered since the last change."""
        self.down_rule = ""
        """The rule that took it Down last."""
        self.down_by_silence = False
        """What took it Down last was that OPTIONS had no answer, and none has had one since."""
        self.probes_failed = 0
        """In a row, since a good probe or a good call."""
        self.probe_failing = False
        """The last probe failed; a good call does not change that."""
        self.silent_calls = 0
        """In a row, since a good call."""
        self.faults: dict[str, tuple[float, str]] = {}
        """Number called → (when, what), since a good call."""
        self.faulty = Series(FAULTS)
        """Of all calls: those that the carrier failed. A good call takes little of it back."""
        self.refused = Series(REFUSALS)
        """Of all calls: those that were refused as numbers are."""
        self.dropped = Series(DROPS)
        """Of answered calls: those that the network ended within seconds."""
        self.slow = Series(SLOWNESS)
        """Of calls that rang: those that took very long to."""
        self.checks_good = 0
        """Good probes in a row."""
        self.trials_wanted = 0
        """Good calls in a row that end a trial, where what took it Down had struck only a part of them: see
        `questions.convincing`."""
        self.trials_good = 0
        """Good calls in a row since Down."""
        self.failed_at = NEVER
        """The last failure of any kind."""
        self.last_call_failed_at = NEVER
        self.doubted_at = NEVER
        """When a call gave a reason to be Suspect last."""
        self.call_good_at = NEVER
        self.calls_failed = False
        """Calls are among the reasons for Down, so only calls can prove the way back."""
        self.held_until = NEVER
        """The carrier's own Retry-After."""
        self.relapses = 0
        self.returned_at: float | None = None
        """When it last came back from Down or Trial to Up."""
        self.released = False
        """An operator has given the trunk back: it need not wait."""
        self.day_at: float | None = None
        """Seconds of the local day at the moment 0 of our clock; None while nobody has told."""

    @property
    def failed_checks(self) -> int:
        """Failed checks in a row: probes and silent calls together."""
        return self.probes_failed + self.silent_calls

    @property
    def calls_in_doubt(self) -> bool:
        """True while a failed call has not been refuted by a good one."""
        return self.silent_calls > 0 or bool(self.faults)

    @property
    def hold_down(self) -> float:
        """Seconds without any failure until a Down trunk may come back: `stable_for`, doubled by each relapse."""
        stable_for = self.rules.stable_for
        return min(stable_for * 2.0 ** min(self.relapses, 30), max(HOLD_DOWN_MAX, stable_for))

    @property
    def back_at(self) -> float:
        """The earliest moment at which a Down trunk may come back, whatever the hour."""
        return max(NEVER if self.released else self.failed_at + self.hold_down, self.held_until)

    def note(self, evidence: Evidence, now: float) -> None:
        """This mattered: it stands behind the next change."""
        self.trail.append(replace(evidence, at=now))


# -- checks -----------------------------------------------------------------------------------------------------------


def count_probe(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.probes_failed += 1
    counters.probe_failing = True
    _failed(counters, evidence, now)
    _tell_failed_checks(counters, evidence)


def count_quick_check(counters: Counters, evidence: Evidence, now: float) -> None:
    """Several OPTIONS within a second count as one failed check, and the rule behind it is another."""
    asked_after = "" if not counters.why else f"{counters.why}; "
    counters.probes_failed += 1
    counters.probe_failing = True
    _failed(counters, evidence, now)
    said, bracket, reason = evidence.what.partition(" (")
    known = bracket and f"({reason}" in asked_after  # a reason may be long, and is told once
    counters.why = f"{asked_after}then {said if known else evidence.what}"


def forget_probes(counters: Counters, _evidence: Evidence, _now: float) -> None:
    """A good probe takes back failed probes, and no call."""
    counters.checks_good += 1
    if counters.probe_failing and not counters.calls_in_doubt:
        counters.why = "checks are good again"
    counters.probes_failed = 0
    counters.probe_failing = False


def outdo_probes(counters: Counters, evidence: Evidence, _now: float) -> None:
    """OPTIONS outside calls are silent, and something else is not: nothing failed. No credit for a way back."""
    counters.probes_failed = 0
    counters.probe_failing = False
    if not counters.calls_in_doubt:
        counters.why = evidence.what


def credit_probe(counters: Counters, _evidence: Evidence, _now: float) -> None:
    counters.checks_good += 1
    counters.down_by_silence = False  # they are answered there, so they tell


def lose_credit(counters: Counters, _evidence: Evidence, _now: float) -> None:
    counters.checks_good = 0


def keep_away(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.held_until = max(counters.held_until, now + min(evidence.retry_after, RETRY_AFTER_MAX))
    counters.calls_failed = counters.calls_failed or bool(evidence.destination)
    _failed(counters, evidence, now)
    what = evidence.what or "503"
    counters.why = f"the carrier answered {what} and asked to be left alone for {duration(evidence.retry_after)}"


def stay_out(counters: Counters, evidence: Evidence, now: float) -> None:
    _failed(counters, evidence, now)


# -- calls ------------------------------------------------------------------------------------------------------------


def count_silence(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.silent_calls += 1
    counters.faulty.bad("", evidence.what or "no answer", now)
    _call_failed(counters, evidence, now)
    _tell_failed_checks(counters, evidence)
    _tell_more_than_usual(counters, counters.faulty, "failed", now)


def count_fault(counters: Counters, evidence: Evidence, now: float) -> None:
    what = evidence.what or "a fault"
    counters.faults.pop(evidence.destination, None)  # the same number again: the newest failure stands
    counters.faults[evidence.destination] = (now, what)
    if len(counters.faults) > NUMBERS_IN_DOUBT_MAX:
        del counters.faults[next(iter(counters.faults))]
    counters.faulty.bad(evidence.destination or "?", what, now)
    _call_failed(counters, evidence, now)
    failures = list(counters.faults.values())
    if len(failures) == 1:
        failed = "our registration failed: " if evidence.destination == OUR_REGISTRATION else "a call failed with "
        counters.why = failed + what
    else:
        kinds = " and ".join(dict.fromkeys(kind for _, kind in failures))
        within = duration(now - failures[0][0])
        counters.why = f"{len(failures)} calls to different numbers failed with {kinds} within {within}"
    _tell_more_than_usual(counters, counters.faulty, "failed", now)


def count_refusal(counters: Counters, evidence: Evidence, now: float) -> None:
    """It may be the number: no failure of the trunk, until it is one number after the other."""
    if counters.refused.bad(evidence.destination or "?", evidence.what or "a refusal", now):
        _suspicious(counters, counters.refused, evidence, now)
        counters.why = _tell(counters.refused, "calls to different numbers were refused with", now)


def count_drop(counters: Counters, evidence: Evidence, now: float) -> None:
    """Short calls are ordinary, until it is one after the other."""
    if counters.dropped.bad(evidence.destination or "?", evidence.what or "an answered call that died", now):
        _suspicious(counters, counters.dropped, evidence, now)
        counters.why = _tell(counters.dropped, "answered calls were ended by the network:", now)


def count_slow(counters: Counters, evidence: Evidence, now: float) -> None:
    """The call goes on. That it took long is no failure, and never takes a trunk Down."""
    if counters.slow.bad("", evidence.what or "slow to ring", now):
        counters.note(evidence, now)
        counters.doubted_at = now
        if counters.slow.alarm is not None:
            bad, seen, within = counters.slow.counted(now)
            counters.why = f"{bad} of {seen} calls within {duration(within)} were slow to ring ({evidence.what})"


def note_good(counters: Counters, _evidence: Evidence, now: float) -> None:
    """A good call says a little against everything. On the path."""
    counters.call_good_at = now
    counters.faulty.good(now)
    counters.refused.good(now)


def note_lasted(counters: Counters, _evidence: Evidence, now: float) -> None:
    counters.dropped.good(now)


def note_prompt(counters: Counters, _evidence: Evidence, now: float) -> None:
    counters.slow.good(now)


def refute(counters: Counters, evidence: Evidence, now: float) -> None:
    """A good call takes back what failed in a row, except that OPTIONS may be failing still; of the scores, little."""
    note_good(counters, evidence, now)
    forget_calls(counters)
    counters.probes_failed = 0
    counters.why = "calls go through, but checks fail" if counters.probe_failing else "a call went through"


def refute_drops(counters: Counters, evidence: Evidence, now: float) -> None:
    note_lasted(counters, evidence, now)
    counters.why = counters.why or "answered calls last again"


def refute_slowness(counters: Counters, evidence: Evidence, now: float) -> None:
    note_prompt(counters, evidence, now)
    counters.why = counters.why or "calls ring in time again"


def forget_old_calls(counters: Counters, _evidence: Evidence, now: float) -> None:
    if now >= counters.doubted_at + CALLS_REMEMBERED:
        forget_calls(counters)
        for series in (counters.refused, counters.dropped, counters.slow):
            series.clear()
        counters.why = f"no call failed for {duration(CALLS_REMEMBERED)}"


def forget_calls(counters: Counters) -> None:
    counters.silent_calls = 0
    counters.faults.clear()
    counters.calls_failed = False


def credit_call(counters: Counters, evidence: Evidence, now: float) -> None:
    """A trial call got through. Where answered calls died, that is not enough: it must last, too."""
    note_good(counters, evidence, now)
    counters.probes_failed = 0
    if counters.down_rule != DROPS.charts[0].rule:
        counters.trials_good += 1


def credit_lasted(counters: Counters, evidence: Evidence, now: float) -> None:
    note_lasted(counters, evidence, now)
    if counters.down_rule == DROPS.charts[0].rule:
        counters.trials_good += 1


def credit_stray_call(counters: Counters, evidence: Evidence, now: float) -> None:
    """A call that had nowhere else to go went through a trunk that is Down."""
    forget_calls(counters)
    credit_call(counters, evidence, now)


def stay_out_by_call(counters: Counters, evidence: Evidence, now: float) -> None:
    _call_failed(counters, evidence, now)


def let_go(counters: Counters, _evidence: Evidence, _now: float) -> None:
    counters.released = True
    counters.held_until = NEVER


def let_time_pass(_counters: Counters, _evidence: Evidence, _now: float) -> None:
    pass


# -- inside -----------------------------------------------------------------------------------------------------------


def _failed(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.checks_good = 0
    counters.failed_at = now
    counters.note(evidence, now)


def _call_failed(counters: Counters, evidence: Evidence, now: float) -> None:
    _failed(counters, evidence, now)
    counters.trials_good = 0
    counters.calls_failed = True
    counters.last_call_failed_at = counters.doubted_at = now


def _suspicious(counters: Counters, series: Series, evidence: Evidence, now: float) -> None:
    if series.alarm is not None:
        _call_failed(counters, evidence, now)
    else:
        counters.note(evidence, now)
        counters.doubted_at = now


def _tell(series: Series, how: str, now: float) -> str:
    bad, seen, within = series.counted(now)
    if bad == 1:
        return f"1 of the {how} {series.kinds(1)}"
    of_all = "" if bad == seen else f" of {seen}"
    return f"{bad}{of_all} {how} {series.kinds(bad)} within {duration(within)}"


def _tell_more_than_usual(counters: Counters, series: Series, how: str, now: float) -> None:
    """When it is a score that gives the alarm, it is not only those in a row that should be told."""
    if series.alarm is not None:
        bad, seen, within = series.counted(now)
        if bad != seen:
            share = f"{series.usual * 100:.1f}".removesuffix(".0")
            counters.why = f"{bad} of the last {seen} calls {how} with {series.kinds(bad)} within {duration(within)}"
            counters.why += f", usually {share} %"


def _tell_failed_checks(counters: Counters, evidence: Evidence) -> None:
    kinds = ((counters.silent_calls, "call"), (counters.probes_failed, "check"))
    counted = " and ".join(many(count, noun) for count, noun in kinds if count)
    in_a_row = " in a row" if counters.failed_checks > 1 else ""
    counters.why = f"{counted}{in_a_row} failed ({evidence.what or 'no answer'})"
