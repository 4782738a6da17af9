"""What health counts, what evidence does to the counts (effects), and what the counts say (questions).

The rooms behind the table in `trunk.health`: every effect there takes (counters, evidence, now), every question
(counters, now). Times are seconds, monotonic.
"""

from sipfailover.trunk.evidence import Evidence, HealthRules, State, duration, many

CALLS_REMEMBERED = 900.0
"""Seconds a failed call keeps a trunk Suspect when no other call comes to refute it (nights, weekends)."""
RETRY_AFTER_MAX = 120.0
"""Seconds. A carrier that asks for more is not believed: a mistyped Retry-After would be an outage of its own."""
HOLD_DOWN_MAX = 1800.0
"""Seconds. Longest hold-down after relapses, unless `stable_for` itself is longer."""
RELAPSE_REMEMBERED = 3600.0
"""Seconds Up after which one relapse is forgotten. Going Down sooner than that after a return is a relapse."""
NEVER = float("-inf")


class Counters:
    """The numbers behind the health of one trunk."""

    __slots__ = (
        "calls_failed", "checks_good", "failed_at", "faults", "held_until", "last_call_failed_at", "probe_failing",
        "probes_failed", "relapses", "returned_at", "rules", "silent_calls", "trials_good", "why",
    )  # fmt: skip

    def __init__(self, rules: HealthRules) -> None:
        self.rules = rules
        self.why = ""
        """The latest evidence that mattered, as one sentence."""
        self.probes_failed = 0
        """In a row, since a good probe or a good call."""
        self.probe_failing = False
        """The last probe failed; a good call does not change that."""
        self.silent_calls = 0
        """In a row, since a good call."""
        self.faults: dict[str, tuple[float, str]] = {}
        """Number called → (when, what), since a good call. Never more than `rules.destinations`."""
        self.checks_good = 0
        """Good probes in a row."""
        self.trials_good = 0
        """Good calls in a row since Down."""
        self.failed_at = NEVER
        """The last failure of any kind."""
        self.last_call_failed_at = NEVER
        self.calls_failed = False
        """Calls are among the reasons for Down, so only calls can prove the way back."""
        self.held_until = NEVER
        """The carrier's own Retry-After."""
        self.relapses = 0
        self.returned_at: float | None = None
        """When it last came back from Down or Trial to Up."""

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
        """The earliest moment at which a Down trunk may come back."""
        return max(self.failed_at + self.hold_down, self.held_until)


# -- effects ----------------------------------------------------------------------------------------------------------


def count_probe(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.probes_failed += 1
    counters.probe_failing = True
    _failed(counters, now)
    _tell_failed_checks(counters, evidence)


def count_silence(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.silent_calls += 1
    _call_failed(counters, now)
    _tell_failed_checks(counters, evidence)


def count_fault(counters: Counters, evidence: Evidence, now: float) -> None:
    what = evidence.what or "a fault"
    counters.faults.pop(evidence.destination, None)  # the same number again: the newest failure stands
    counters.faults[evidence.destination] = (now, what)
    _call_failed(counters, now)
    failures = list(counters.faults.values())
    if len(failures) == 1:
        counters.why = f"a call failed with {what}"
    else:
        kinds = " and ".join(dict.fromkeys(kind for _, kind in failures))
        within = duration(now - failures[0][0])
        counters.why = f"{len(failures)} calls to different numbers failed with {kinds} within {within}"


def keep_away(counters: Counters, evidence: Evidence, now: float) -> None:
    counters.held_until = max(counters.held_until, now + min(evidence.retry_after, RETRY_AFTER_MAX))
    counters.calls_failed = counters.calls_failed or bool(evidence.destination)
    _failed(counters, now)
    what = evidence.what or "503"
    counters.why = f"the carrier answered {what} and asked to be left alone for {duration(evidence.retry_after)}"


def forget_probes(counters: Counters, _evidence: Evidence, _now: float) -> None:
    """A good probe takes back failed probes, and no call."""
    counters.checks_good += 1
    if counters.probe_failing and not counters.calls_in_doubt:
        counters.why = "OPTIONS is answered again"
    counters.probes_failed = 0
    counters.probe_failing = False


def refute(counters: Counters, _evidence: Evidence, _now: float) -> None:
    """A good call takes back everything, except that OPTIONS may be failing still."""
    forget_calls(counters)
    counters.probes_failed = 0
    counters.why = "calls go through, but OPTIONS fails" if counters.probe_failing else "a call went through"


def forget_old_calls(counters: Counters, _evidence: Evidence, now: float) -> None:
    if now >= counters.last_call_failed_at + CALLS_REMEMBERED:
        forget_calls(counters)
        counters.why = f"no call failed for {duration(CALLS_REMEMBERED)}"


def forget_calls(counters: Counters) -> None:
    counters.silent_calls = 0
    counters.faults.clear()
    counters.calls_failed = False


def credit_probe(counters: Counters, _evidence: Evidence, _now: float) -> None:
    counters.checks_good += 1


def credit_call(counters: Counters, _evidence: Evidence, _now: float) -> None:
    counters.trials_good += 1
    counters.probes_failed = 0


def credit_stray_call(counters: Counters, evidence: Evidence, now: float) -> None:
    """A call that had nowhere else to go went through a trunk that is Down."""
    forget_calls(counters)
    credit_call(counters, evidence, now)


def lose_credit(counters: Counters, _evidence: Evidence, _now: float) -> None:
    counters.checks_good = 0


def stay_out(counters: Counters, _evidence: Evidence, now: float) -> None:
    _failed(counters, now)


def stay_out_by_call(counters: Counters, _evidence: Evidence, now: float) -> None:
    _call_failed(counters, now)


def let_time_pass(_counters: Counters, _evidence: Evidence, _now: float) -> None:
    pass


def _failed(counters: Counters, now: float) -> None:
    counters.checks_good = 0
    counters.failed_at = now


def _call_failed(counters: Counters, now: float) -> None:
    _failed(counters, now)
    counters.trials_good = 0
    counters.calls_failed = True
    counters.last_call_failed_at = now


def _tell_failed_checks(counters: Counters, evidence: Evidence) -> None:
    kinds = ((counters.silent_calls, "call"), (counters.probes_failed, "check"))
    counted = " and ".join(many(count, noun) for count, noun in kinds if count)
    in_a_row = " in a row" if counters.failed_checks > 1 else ""
    counters.why = f"{counted}{in_a_row} failed ({evidence.what or 'no answer'})"


# -- questions --------------------------------------------------------------------------------------------------------


def always(_counters: Counters, _now: float) -> bool:
    return True


def confirmed(counters: Counters, _now: float) -> bool:
    return counters.failed_checks >= counters.rules.down_after


def widespread(counters: Counters, _now: float) -> bool:
    return len(counters.faults) >= counters.rules.destinations


def cleared(counters: Counters, _now: float) -> bool:
    return not (counters.probe_failing or counters.calls_in_doubt)


def steady(counters: Counters, now: float) -> bool:
    return counters.checks_good >= counters.rules.up_after and now >= counters.back_at


def steady_after_failed_calls(counters: Counters, now: float) -> bool:
    return counters.calls_failed and steady(counters, now)


def proven(counters: Counters, now: float) -> bool:
    return counters.trials_good >= counters.rules.up_after and not_held(counters, now)


def not_held(counters: Counters, now: float) -> bool:
    return now >= counters.held_until


# -- what entering a state does ---------------------------------------------------------------------------------------


def enter_up(counters: Counters, before: State, now: float) -> None:
    if before is not State.SUSPECT:
        if counters.trials_good:
            counters.why = f"{many(counters.trials_good, 'call')} in a row went through"
        else:
            good, quiet = many(counters.checks_good, "good check"), duration(now - counters.failed_at)
            counters.why = f"{good} in a row and no failure for {quiet}"
        counters.returned_at = now
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
    calls_failed = counters.calls_failed
    _start_anew(counters)
    counters.calls_failed = calls_failed


def enter_trial(counters: Counters, _before: State, now: float) -> None:
    good = counters.trials_good
    if good:
        counters.why = "a call went through while it was Down; single calls show whether that lasts"
    else:
        quiet = duration(now - counters.failed_at)
        counters.why = f"OPTIONS is answered and nothing failed for {quiet}; single calls show whether calls work"
    _start_anew(counters)
    counters.trials_good = good


def _start_anew(counters: Counters) -> None:
    forget_calls(counters)
    counters.probes_failed = 0
    counters.probe_failing = False
    counters.checks_good = 0
    counters.trials_good = 0
