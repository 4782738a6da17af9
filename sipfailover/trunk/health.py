"""Health of one trunk: Up, Suspect, Down or Trial, moved by evidence and never by orders (DESIGN.md §4, §5).

Probes and calls are counted apart: an answered OPTIONS takes back failed OPTIONS, but never a call that failed; only a
call that went through does. Three rules lead to Down. Failed checks in a row: failed probes and silent calls together.
Nothing answered: after something was silent, a quick check of several OPTIONS within a second was silent too. And what
`trunk.judgement` counts over calls: faults, refusals, answered calls that die. What follows from health for the next
call is `routing.plan`'s business.
"""

from collections.abc import Callable
from dataclasses import replace

from sipfailover.trunk.counters import (
    CALLS_REMEMBERED,
    NEVER,
    Counters,
    count_drop,
    count_fault,
    count_probe,
    count_quick_check,
    count_refusal,
    count_silence,
    count_slow,
    credit_call,
    credit_lasted,
    credit_probe,
    credit_stray_call,
    forget_old_calls,
    forget_probes,
    keep_away,
    let_go,
    let_time_pass,
    lose_credit,
    note_good,
    note_lasted,
    note_prompt,
    outdo_probes,
    refute,
    refute_drops,
    refute_slowness,
    stay_out,
    stay_out_by_call,
)
from sipfailover.trunk.evidence import Change, Evidence, HealthRules, Sign, State, duration
from sipfailover.trunk.questions import (
    asked_for,
    at_all,
    behind,
    cleared,
    confirmed,
    dropped_again,
    dropping,
    enter_down,
    enter_suspect,
    enter_trial,
    enter_up,
    in_question,
    in_trial,
    leaning,
    next_moment,
    not_held,
    nothing_answered,
    ordered_back,
    proven,
    proven_while_down,
    refused_again,
    refusing,
    rested,
    rested_unasked,
    slowed,
    steady,
    steady_after_failed_calls,
    untested,
    widespread,
)

Effect = Callable[[Counters, Evidence, float], None]
Question = Callable[[Counters, float], str]

TRIAL_CALL_MAX = 30.0
"""Seconds after which a trial call no longer keeps the next one waiting (it may ring for minutes)."""

UP, SUSPECT, DOWN, TRIAL = State
(
    PROBE_GOOD, PROBE_UNWELL, PROBE_FAILED, PROBE_503, CALL_GOOD, CALL_SILENT, CALL_FAULT, RETRY_AFTER, TIME,
    PROBES_SILENT, CALL_REFUSED, CALL_DROPPED, CALL_LASTED, CALL_SLOW, CALL_PROMPT, RELEASED, PROBE_MUTE,
    PROBE_OUTDONE,
) = Sign  # fmt: skip

# State and evidence → what is counted, then arrows: the first whose question says yes is taken, else the state stays.
TABLE: dict[tuple[State, Sign], tuple[Effect, tuple[tuple[Question, State], ...]]] = {
    (UP, PROBE_FAILED):       (count_probe,       ((confirmed, DOWN), (at_all, SUSPECT))),
    (UP, PROBE_503):          (count_probe,       ((confirmed, DOWN), (at_all, SUSPECT))),
    (UP, PROBES_SILENT):      (count_probe,       ((confirmed, DOWN), (at_all, SUSPECT))),  # asked for another's sake
    (UP, CALL_GOOD):          (note_good,         ()),
    (UP, CALL_SILENT):        (count_silence,     ((confirmed, DOWN), (widespread, DOWN), (at_all, SUSPECT))),
    (UP, CALL_FAULT):         (count_fault,       ((widespread, DOWN), (at_all, SUSPECT))),
    (UP, CALL_REFUSED):       (count_refusal,     ((refusing, DOWN), (leaning, SUSPECT))),
    (UP, CALL_DROPPED):       (count_drop,        ((dropping, DOWN), (leaning, SUSPECT))),
    (UP, CALL_LASTED):        (note_lasted,       ()),
    (UP, CALL_SLOW):          (count_slow,        ((slowed, SUSPECT),)),             # degraded: never Down by that
    (UP, CALL_PROMPT):        (note_prompt,       ()),
    (UP, RETRY_AFTER):        (keep_away,         ((asked_for, DOWN),)),

    (SUSPECT, PROBE_GOOD):    (forget_probes,     ((cleared, UP),)),                 # never takes back a call
    (SUSPECT, PROBE_FAILED):  (count_probe,       ((confirmed, DOWN),)),
    (SUSPECT, PROBE_503):     (count_probe,       ((confirmed, DOWN),)),
    (SUSPECT, PROBES_SILENT): (count_quick_check, ((nothing_answered, DOWN), (confirmed, DOWN))),
    (SUSPECT, PROBE_OUTDONE): (outdo_probes,      ((cleared, UP),)),                 # the better witness
    (SUSPECT, CALL_GOOD):     (refute,            ((cleared, UP),)),                 # stays while OPTIONS fails
    (SUSPECT, CALL_SILENT):   (count_silence,     ((confirmed, DOWN), (widespread, DOWN))),
    (SUSPECT, CALL_FAULT):    (count_fault,       ((widespread, DOWN),)),
    (SUSPECT, CALL_REFUSED):  (count_refusal,     ((refusing, DOWN),)),
    (SUSPECT, CALL_DROPPED):  (count_drop,        ((dropping, DOWN),)),
    (SUSPECT, CALL_LASTED):   (refute_drops,      ((cleared, UP),)),
    (SUSPECT, CALL_SLOW):     (count_slow,        ()),
    (SUSPECT, CALL_PROMPT):   (refute_slowness,   ((cleared, UP),)),
    (SUSPECT, RETRY_AFTER):   (keep_away,         ((asked_for, DOWN),)),
    (SUSPECT, TIME):          (forget_old_calls,  ((cleared, UP),)),

    (DOWN, PROBE_GOOD):       (credit_probe,      ((steady_after_failed_calls, TRIAL), (steady, UP))),
    (DOWN, PROBE_UNWELL):     (lose_credit,       ()),                               # 500: there, but no credit
    (DOWN, PROBE_FAILED):     (stay_out,          ()),
    (DOWN, PROBE_503):        (stay_out,          ()),
    (DOWN, PROBES_SILENT):    (stay_out,          ()),
    (DOWN, PROBE_MUTE):       (let_time_pass,     ((rested, TRIAL),)),               # OPTIONS will never tell
    (DOWN, CALL_GOOD):        (credit_stray_call, ((proven_while_down, UP), (not_held, TRIAL))),  # all were Down
    (DOWN, CALL_SILENT):      (stay_out_by_call,  ()),
    (DOWN, CALL_FAULT):       (stay_out_by_call,  ()),
    (DOWN, CALL_DROPPED):     (stay_out_by_call,  ()),
    (DOWN, RETRY_AFTER):      (keep_away,         ()),
    (DOWN, TIME):             (let_time_pass,     ((steady_after_failed_calls, TRIAL), (steady, UP),
                                                   (rested_unasked, TRIAL))),        # none is ever sent
    (DOWN, RELEASED):         (let_go,            ((ordered_back, TRIAL),)),

    (TRIAL, PROBE_GOOD):      (forget_probes,     ()),
    (TRIAL, PROBE_FAILED):    (count_probe,       ((confirmed, DOWN),)),             # one lost packet is no relapse
    (TRIAL, PROBE_503):       (count_probe,       ((confirmed, DOWN),)),
    (TRIAL, PROBES_SILENT):   (count_probe,       ((in_trial, DOWN),)),
    (TRIAL, CALL_GOOD):       (credit_call,       ((proven, UP),)),
    (TRIAL, CALL_SILENT):     (count_silence,     ((in_trial, DOWN),)),              # any fault of a call is one
    (TRIAL, CALL_FAULT):      (count_fault,       ((in_trial, DOWN),)),
    (TRIAL, CALL_REFUSED):    (count_refusal,     ((refused_again, DOWN), (refusing, DOWN))),
    (TRIAL, CALL_DROPPED):    (count_drop,        ((dropped_again, DOWN), (dropping, DOWN))),
    (TRIAL, CALL_LASTED):     (credit_lasted,     ((proven, UP),)),
    (TRIAL, CALL_SLOW):       (count_slow,        ()),
    (TRIAL, CALL_PROMPT):     (note_prompt,       ()),
    (TRIAL, RETRY_AFTER):     (keep_away,         ((asked_for, DOWN),)),
}  # fmt: skip

IGNORED: dict[tuple[State, Sign], str] = {
    (UP, PROBE_GOOD): "nothing to take back: while Up no check has failed",
    (UP, PROBE_UNWELL): "reachable; whether it serves, calls will tell",
    (UP, PROBE_MUTE): "it never answered OPTIONS: calls will tell",
    (UP, PROBE_OUTDONE): "asked for another's sake, and it is there",
    (UP, TIME): "no deadline while Up",
    (UP, RELEASED): "it was not away",
    (SUSPECT, PROBE_UNWELL): "reachable, but it clears nothing",
    (SUSPECT, PROBE_MUTE): "it never answered OPTIONS: calls will tell",
    (SUSPECT, RELEASED): "it was not away",
    (DOWN, PROBE_OUTDONE): "a call from before; trial calls will tell",
    (DOWN, CALL_REFUSED): "a number, perhaps: no credit, and no fault",
    (DOWN, CALL_LASTED): "a call from before; trial calls will tell",
    (DOWN, CALL_SLOW): "that is not what it is Down for",
    (DOWN, CALL_PROMPT): "its answer will tell more",
    (TRIAL, PROBE_UNWELL): "calls decide now",
    (TRIAL, PROBE_MUTE): "calls decide now",
    (TRIAL, PROBE_OUTDONE): "calls decide now",
    (TRIAL, TIME): "no deadline: a trial waits for calls",
    (TRIAL, RELEASED): "single calls are on their way already",
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
        if self._is_old_news(evidence, now):
            return None
        if evidence.sign in SETTING_UP:
            self._trial_until = NEVER
        if row is None or (evidence.sign in AGAINST and not self.rules.count_calls):
            return None
        effect, arrows = row
        effect(self.counters, evidence, now)
        for holds, after in arrows:
            rule = holds(self.counters, now)
            if rule:
                return self._enter(after, rule, evidence, now)
        return None

    def wake(self, now: float) -> Change | None:
        """A deadline has come; the change it made, or None."""
        return self.observe(TIME_PASSED, now)

    def deadline(self, now: float = NEVER) -> float | None:
        """When `wake` should be called, None if only evidence can change anything. `now`: for hours of the day."""
        counters = self.counters
        if self.state is SUSPECT and in_question(counters):
            return counters.doubted_at + CALLS_REMEMBERED
        if self.state is DOWN and (counters.checks_good >= self.rules.up_after or not self.rules.asked):
            moment = next_moment(counters, now)
            return None if moment == -NEVER else moment
        return None

    def use(self, rules: HealthRules) -> None:
        """Judge by these rules from now on; what was counted stays."""
        self.rules = self.counters.rules = rules

    def clock(self, day_at: float) -> None:
        """The local time of day, as seconds since midnight at the moment 0 of our clock."""
        self.counters.day_at = day_at

    def excuse(self) -> None:
        """Silence was our own line's: nothing failed in a row. What is Suspect stays so until it is heard again."""
        counters = self.counters
        counters.silent_calls = counters.probes_failed = 0
        counters.faulty.clear()
        if not counters.faults:
            counters.calls_failed = False

    @property
    def why(self) -> str:
        """The evidence for the present state, one sentence; empty while Up and never otherwise."""
        return "" if self.state is UP else self.counters.why

    @property
    def progress(self) -> str:
        """How far the checks have come: `0/2 failed`, `2/3 good`, `1/3 trial calls good`."""
        counters, rules = self.counters, self.rules
        if self.state is DOWN and not rules.asked and not counters.checks_good:
            return ""
        if self.state is DOWN:
            return f"{min(counters.checks_good, rules.up_after)}/{rules.up_after} good"
        if self.state is TRIAL:
            return f"{counters.trials_good}/{max(rules.up_after, counters.trials_wanted)} trial calls good"
        if counters.faults and not counters.failed_checks:
            return f"{len(counters.faults)}/{counters.faulty.needed} numbers failed"
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
        """True in Trial, or Down by the silence of OPTIONS alone, while no other call is testing the trunk: this call
        may go there first."""
        if now < self._trial_until:
            return False
        return self.state is TRIAL or (self.state is DOWN and untested(self.counters, self.since, now))

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
            parts.append(self._way_back(now))
        return ", ".join(part for part in parts if part)

    def _way_back(self, now: float) -> str:
        moment = next_moment(self.counters, now)
        if moment == -NEVER:
            return "back when an operator says so" if self.rules.manual else "back when the time of day is known"
        wait = moment - now
        return f"back in {duration(wait)} at the earliest" if wait > 0 else "back when checks are good"

    def __repr__(self) -> str:
        why = f": {self.why}" if self.why else ""
        return f"<Health {self.state.name} since {self.since:.3f}, {self.progress}{why}>"

    def _is_old_news(self, evidence: Evidence, now: float) -> bool:
        sent_at = evidence.sent_at
        if sent_at is None:
            return False
        if self.state is TRIAL:
            return sent_at < self.since  # good or bad, it tells of the time before
        if self.state is DOWN and evidence.sign is CALL_GOOD and untested(self.counters, self.since, now):
            return sent_at < self.since  # OPTIONS that failed since are just what the call speaks against
        return (evidence.sign is CALL_GOOD or evidence.sign is PROBE_GOOD) and sent_at < self.counters.failed_at

    def _enter(self, after: State, rule: str, evidence: Evidence, now: float) -> Change:
        counters = self.counters
        before, self.state, self.since = self.state, after, now
        if after is DOWN or after is SUSPECT:
            seen = behind(counters, rule)
        else:
            seen = (replace(evidence, at=now),) if evidence.sign is not TIME else ()
        ENTER[after](counters, before, now)
        if after is DOWN:
            counters.down_by_silence = evidence.sign in (PROBE_FAILED, PROBES_SILENT)
            counters.down_rule = rule if before is not TRIAL else counters.down_rule or rule
        return Change(before, after, counters.why, rule, seen)


SETTING_UP = frozenset({CALL_GOOD, CALL_SILENT, CALL_FAULT, CALL_REFUSED})
"""How an attempt ends: then the next call may be the one that tests a trunk in Trial."""
AGAINST = frozenset({CALL_SILENT, CALL_FAULT, CALL_REFUSED, CALL_DROPPED, CALL_SLOW})
"""Calls that speak against a trunk."""
TIME_PASSED = Evidence(TIME)
