"""Health of one trunk: Up, Suspect, Down or Trial, moved by evidence and never by orders (DESIGN.md §4, §5).

Probes and calls are counted apart: an answered OPTIONS takes back failed OPTIONS, but never a call that failed; only a
call that went through does. Failed checks in a row are failed probes and silent calls together. A fault code counts
once calls to several different numbers met one, because a single number may be broken by itself. What follows from
health for the next call is `routing.plan`'s business.
"""

from collections.abc import Callable

from sipfailover.trunk.counters import (
    CALLS_REMEMBERED,
    NEVER,
    Counters,
    always,
    cleared,
    confirmed,
    count_fault,
    count_probe,
    count_silence,
    credit_call,
    credit_probe,
    credit_stray_call,
    enter_down,
    enter_suspect,
    enter_trial,
    enter_up,
    forget_old_calls,
    forget_probes,
    keep_away,
    let_time_pass,
    lose_credit,
    not_held,
    proven,
    refute,
    stay_out,
    stay_out_by_call,
    steady,
    steady_after_failed_calls,
    widespread,
)
from sipfailover.trunk.evidence import Change, Evidence, HealthRules, Sign, State, duration

Effect = Callable[[Counters, Evidence, float], None]
Question = Callable[[Counters, float], bool]

TRIAL_CALL_MAX = 30.0
"""Seconds after which a trial call no longer keeps the next one waiting (it may ring for minutes)."""

UP, SUSPECT, DOWN, TRIAL = State
PROBE_GOOD, PROBE_UNWELL, PROBE_FAILED, PROBE_503, CALL_GOOD, CALL_SILENT, CALL_FAULT, RETRY_AFTER, TIME = Sign

# State and evidence → what is counted, then arrows: the first whose question says yes is taken, else the state stays.
TABLE: dict[tuple[State, Sign], tuple[Effect, tuple[tuple[Question, State], ...]]] = {
    (UP, PROBE_FAILED):      (count_probe,       ((confirmed, DOWN), (always, SUSPECT))),
    (UP, PROBE_503):         (count_probe,       ((confirmed, DOWN), (always, SUSPECT))),
    (UP, CALL_SILENT):       (count_silence,     ((confirmed, DOWN), (always, SUSPECT))),
    (UP, CALL_FAULT):        (count_fault,       ((widespread, DOWN), (always, SUSPECT))),
    (UP, RETRY_AFTER):       (keep_away,         ((always, DOWN),)),

    (SUSPECT, PROBE_GOOD):   (forget_probes,     ((cleared, UP),)),                 # never takes back a call
    (SUSPECT, PROBE_FAILED): (count_probe,       ((confirmed, DOWN),)),
    (SUSPECT, PROBE_503):    (count_probe,       ((confirmed, DOWN),)),
    (SUSPECT, CALL_GOOD):    (refute,            ((cleared, UP),)),                 # stays while OPTIONS fails
    (SUSPECT, CALL_SILENT):  (count_silence,     ((confirmed, DOWN),)),
    (SUSPECT, CALL_FAULT):   (count_fault,       ((widespread, DOWN),)),
    (SUSPECT, RETRY_AFTER):  (keep_away,         ((always, DOWN),)),
    (SUSPECT, TIME):         (forget_old_calls,  ((cleared, UP),)),

    (DOWN, PROBE_GOOD):      (credit_probe,      ((steady_after_failed_calls, TRIAL), (steady, UP))),
    (DOWN, PROBE_UNWELL):    (lose_credit,       ()),                               # 500: there, but no credit
    (DOWN, PROBE_FAILED):    (stay_out,          ()),
    (DOWN, PROBE_503):       (stay_out,          ()),
    (DOWN, CALL_GOOD):       (credit_stray_call, ((proven, UP), (not_held, TRIAL))),  # all were Down, it was tried
    (DOWN, CALL_SILENT):     (stay_out_by_call,  ()),
    (DOWN, CALL_FAULT):      (stay_out_by_call,  ()),
    (DOWN, RETRY_AFTER):     (keep_away,         ()),
    (DOWN, TIME):            (let_time_pass,     ((steady_after_failed_calls, TRIAL), (steady, UP))),

    (TRIAL, PROBE_GOOD):     (forget_probes,     ()),
    (TRIAL, PROBE_FAILED):   (count_probe,       ((confirmed, DOWN),)),             # one lost packet is no relapse
    (TRIAL, PROBE_503):      (count_probe,       ((confirmed, DOWN),)),
    (TRIAL, CALL_GOOD):      (credit_call,       ((proven, UP),)),
    (TRIAL, CALL_SILENT):    (count_silence,     ((always, DOWN),)),                # any fault of a call is one
    (TRIAL, CALL_FAULT):     (count_fault,       ((always, DOWN),)),
    (TRIAL, RETRY_AFTER):    (keep_away,         ((always, DOWN),)),
}  # fmt: skip

IGNORED: dict[tuple[State, Sign], str] = {
    (UP, PROBE_GOOD): "nothing to take back: while Up every count is zero",
    (UP, PROBE_UNWELL): "reachable; whether it serves, calls will tell",
    (UP, CALL_GOOD): "nothing to take back",
    (UP, TIME): "no deadline while Up",
    (SUSPECT, PROBE_UNWELL): "reachable, but it clears nothing",
    (TRIAL, PROBE_UNWELL): "calls decide now",
    (TRIAL, TIME): "no deadline: a trial waits for calls",
}

ENTER: dict[State, Callable[[Counters, State, float], None]] = {
    UP: enter_up,
    SUSPECT: enter_suspect,
    DOWN: enter_down,
    TRIAL: enter_trial,
}


class Health:
    """Health of one trunk. `now`: seconds, monotonic. A trunk nobody has heard of yet is Up: unknown is usable."""

    __slots__ = ("_trial_until", "counters", "rules", "since", "state")

    def __init__(self, rules: HealthRules, now: float) -> None:
        self.rules = rules
        self.counters = Counters(rules)
        self.state = UP
        self.since = now
        """When the present state began."""
        self._trial_until = NEVER

    def observe(self, evidence: Evidence, now: float) -> Change | None:
        """Take one piece of evidence; the change it made, or None. On the path for calls."""
        row = TABLE.get((self.state, evidence.sign))
        if row is None or self._is_old_news(evidence):
            return None
        if evidence.sign in CALLS:
            self._trial_until = NEVER
            if not self.rules.count_calls and evidence.sign is not CALL_GOOD:
                return None
        effect, arrows = row
        effect(self.counters, evidence, now)
        for holds, after in arrows:
            if holds(self.counters, now):
                return self._enter(after, now)
        return None

    def wake(self, now: float) -> Change | None:
        """A deadline has come; the change it made, or None."""
        return self.observe(TIME_PASSED, now)

    def deadline(self) -> float | None:
        """When `wake` should be called, None if only evidence can change anything."""
        counters = self.counters
        if self.state is SUSPECT and counters.calls_in_doubt:
            return counters.last_call_failed_at + CALLS_REMEMBERED
        if self.state is DOWN and counters.checks_good >= self.rules.up_after:
            return counters.back_at
        return None

    @property
    def why(self) -> str:
        """The evidence for the present state, one sentence; empty while Up and never otherwise."""
        return "" if self.state is UP else self.counters.why

    @property
    def progress(self) -> str:
        """How far the checks have come: `0/2 failed`, `2/3 good`, `1/3 trial calls good`."""
        counters, rules = self.counters, self.rules
        if self.state is DOWN:
            return f"{min(counters.checks_good, rules.up_after)}/{rules.up_after} good"
        if self.state is TRIAL:
            return f"{counters.trials_good}/{rules.up_after} trial calls good"
        if counters.faults and not counters.failed_checks:
            return f"{len(counters.faults)}/{rules.destinations} numbers failed"
        return f"{counters.failed_checks}/{rules.down_after} failed"

    @property
    def answering(self) -> bool:
        """False if it is Down and the last check failed. Of two trunks that are Down, one that answers is less bad."""
        return self.state is not DOWN or self.counters.checks_good > 0

    @property
    def in_doubt(self) -> bool:
        """True while fast probing can settle something: Suspect, and OPTIONS not answered steadily yet."""
        return self.state is SUSPECT and self.counters.checks_good < self.rules.up_after

    @property
    def call_failed_at(self) -> float:
        """When a call failed last, seconds; minus infinity if none did."""
        return self.counters.last_call_failed_at

    def may_try(self, now: float) -> bool:
        """True in Trial while no other call is testing the trunk: this call may go there first."""
        return self.state is TRIAL and now >= self._trial_until

    def trial_started(self, now: float) -> None:
        """A call is testing the trunk. Ends with evidence from a call, with `trial_ended`, or after TRIAL_CALL_MAX."""
        self._trial_until = now + TRIAL_CALL_MAX

    def trial_ended(self) -> None:
        """The testing call ended and proved nothing (the caller hung up): the next one may test."""
        self._trial_until = NEVER

    def story(self, now: float) -> str:
        """For an operator: `Down for 12 s, 3 checks in a row failed (no answer within 2 s), 1/3 good, back in …`."""
        parts = [f"{self.state.label} for {duration(now - self.since)}", self.why, self.progress]
        if self.state is DOWN:
            wait = self.counters.back_at - now
            parts.append(f"back in {duration(wait)} at the earliest" if wait > 0 else "back when checks are good")
        return ", ".join(part for part in parts if part)

    def __repr__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"<Health {self.state.name} since {self.since:.3f}, {self.progress}{why}>"

    def _is_old_news(self, evidence: Evidence) -> bool:
        sent_at = evidence.sent_at
        if sent_at is None:
            return False
        if self.state is TRIAL:
            return sent_at < self.since  # good or bad, it tells of the time before
        return (evidence.sign is CALL_GOOD or evidence.sign is PROBE_GOOD) and sent_at < self.counters.failed_at

    def _enter(self, after: State, now: float) -> Change:
        before, self.state, self.since = self.state, after, now
        ENTER[after](self.counters, before, now)
        return Change(before, after, self.counters.why)


CALLS = frozenset({CALL_GOOD, CALL_SILENT, CALL_FAULT})
TIME_PASSED = Evidence(TIME)
