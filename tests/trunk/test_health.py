"""Health, row by row, then as stories, then under random evidence."""

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipfailover.trunk import Change, Evidence, Health, HealthRules, Sign, State
from sipfailover.trunk.counters import CALLS_REMEMBERED, HOLD_DOWN_MAX, NUMBERS_IN_DOUBT_MAX
from sipfailover.trunk.evidence import EVIDENCE_KEPT
from sipfailover.trunk.health import IGNORED, TABLE, TRIAL_CALL_MAX
from sipfailover.trunk.questions import NAMES, RELAPSE_REMEMBERED, TESTED_AFTER

UP, SUSPECT, DOWN, TRIAL = State
RULES = HealthRules(down_after=2, up_after=3, stable_for=10.0)

good = Evidence(Sign.PROBE_GOOD)
unwell = Evidence(Sign.PROBE_UNWELL, "500 Server Internal Error to OPTIONS")
missed = Evidence(Sign.PROBE_FAILED, "no answer within 2 s")
answered = Evidence(Sign.CALL_GOOD)
lasted = Evidence(Sign.CALL_LASTED)
silent = Evidence(Sign.CALL_SILENT, "no answer within 0.8 s", "+41441111111")


def fault(number: int, what: str = "503 Service Unavailable", sent_at: float | None = None) -> Evidence:
    return Evidence(Sign.CALL_FAULT, what, f"+4144{number:07}", sent_at=sent_at)


def fresh(rules: HealthRules = RULES) -> Health:
    return Health(rules, 0.0)


def feed(health: Health, *evidence: Evidence, start: float = 1.0) -> list[Change | None]:
    """One piece of evidence a second."""
    return [health.observe(one, start + index) for index, one in enumerate(evidence)]


def went_down_by_calls() -> Health:
    """Down at 2.0."""
    health = fresh()
    feed(health, silent, silent)
    assert health.state is DOWN
    return health


def in_trial() -> Health:
    """Down by calls at 2.0, in Trial at 12.0."""
    health = went_down_by_calls()
    feed(health, *[good] * 10, start=3.0)
    assert (health.state, health.since) == (TRIAL, 12.0)
    return health


def make(state: State) -> Health:
    if state is DOWN:
        return went_down_by_calls()
    if state is TRIAL:
        return in_trial()
    health = fresh()
    feed(health, *[missed] * state)
    return health


# -- the table --------------------------------------------------------------------------------------------------------


def test_every_pair_is_in_the_table_or_ignored_with_a_reason() -> None:
    assert TABLE.keys() | IGNORED.keys() == set(product(State, Sign))
    assert not TABLE.keys() & IGNORED.keys()
    assert all(IGNORED.values())


def test_every_question_of_the_table_has_its_names() -> None:
    asked = {question for _, arrows in TABLE.values() for question, _ in arrows}
    assert asked == NAMES.keys()
    assert all(all(names) for names in NAMES.values())


def test_the_arrows_are_those_of_the_figure() -> None:
    arrows = {(state, after) for (state, _), (_, row) in TABLE.items() for _, after in row}
    figure = {(UP, SUSPECT), (SUSPECT, UP), (SUSPECT, DOWN), (DOWN, TRIAL), (TRIAL, UP), (TRIAL, DOWN)}
    short_cuts = {(UP, DOWN), (DOWN, UP)}  # down_after 1 or Retry-After; probes alone had failed
    assert arrows == figure | short_cuts


@pytest.mark.parametrize(("state", "sign"), list(IGNORED))
def test_ignored_evidence_changes_nothing(state: State, sign: Sign) -> None:
    health = make(state)
    before = repr(health), health.deadline()
    assert health.observe(Evidence(sign, "x", "1"), 20.0) is None
    assert (repr(health), health.deadline()) == before


ROWS = [
    (UP, Sign.PROBE_FAILED, SUSPECT),
    (UP, Sign.PROBE_503, SUSPECT),
    (UP, Sign.CALL_SILENT, SUSPECT),
    (UP, Sign.CALL_FAULT, SUSPECT),
    (UP, Sign.RETRY_AFTER, DOWN),
    (UP, Sign.PROBES_SILENT, SUSPECT),
    (UP, Sign.CALL_GOOD, UP),
    (UP, Sign.CALL_REFUSED, UP),
    (UP, Sign.CALL_DROPPED, UP),
    (UP, Sign.CALL_LASTED, UP),
    (UP, Sign.CALL_SLOW, UP),
    (UP, Sign.CALL_PROMPT, UP),
    (SUSPECT, Sign.PROBES_SILENT, DOWN),
    (SUSPECT, Sign.PROBE_OUTDONE, UP),
    (SUSPECT, Sign.CALL_REFUSED, SUSPECT),
    (SUSPECT, Sign.CALL_DROPPED, SUSPECT),
    (SUSPECT, Sign.CALL_LASTED, SUSPECT),
    (SUSPECT, Sign.CALL_SLOW, SUSPECT),
    (SUSPECT, Sign.CALL_PROMPT, SUSPECT),
    (DOWN, Sign.PROBES_SILENT, DOWN),
    (DOWN, Sign.PROBE_MUTE, TRIAL),
    (DOWN, Sign.CALL_DROPPED, DOWN),
    (DOWN, Sign.RELEASED, DOWN),
    (TRIAL, Sign.PROBES_SILENT, DOWN),
    (TRIAL, Sign.CALL_REFUSED, TRIAL),
    (TRIAL, Sign.CALL_DROPPED, TRIAL),
    (TRIAL, Sign.CALL_LASTED, TRIAL),
    (TRIAL, Sign.CALL_SLOW, TRIAL),
    (TRIAL, Sign.CALL_PROMPT, TRIAL),
    (SUSPECT, Sign.PROBE_GOOD, UP),
    (SUSPECT, Sign.PROBE_FAILED, DOWN),
    (SUSPECT, Sign.PROBE_503, DOWN),
    (SUSPECT, Sign.CALL_GOOD, SUSPECT),
    (SUSPECT, Sign.CALL_SILENT, DOWN),
    (SUSPECT, Sign.CALL_FAULT, SUSPECT),
    (SUSPECT, Sign.RETRY_AFTER, DOWN),
    (SUSPECT, Sign.TIME, SUSPECT),
    (DOWN, Sign.PROBE_GOOD, DOWN),
    (DOWN, Sign.PROBE_UNWELL, DOWN),
    (DOWN, Sign.PROBE_FAILED, DOWN),
    (DOWN, Sign.PROBE_503, DOWN),
    (DOWN, Sign.CALL_GOOD, TRIAL),
    (DOWN, Sign.CALL_SILENT, DOWN),
    (DOWN, Sign.CALL_FAULT, DOWN),
    (DOWN, Sign.RETRY_AFTER, DOWN),
    (DOWN, Sign.TIME, DOWN),
    (TRIAL, Sign.PROBE_GOOD, TRIAL),
    (TRIAL, Sign.PROBE_FAILED, TRIAL),
    (TRIAL, Sign.PROBE_503, TRIAL),
    (TRIAL, Sign.CALL_GOOD, TRIAL),
    (TRIAL, Sign.CALL_SILENT, DOWN),
    (TRIAL, Sign.CALL_FAULT, DOWN),
    (TRIAL, Sign.RETRY_AFTER, DOWN),
]
"""Suspect is by one missed probe, Down by two silent calls; down_after is 2, up_after 3."""


@pytest.mark.parametrize(("state", "sign", "after"), ROWS)
def test_one_row(state: State, sign: Sign, after: State) -> None:
    health = make(state)
    change = health.observe(Evidence(sign, "x", "1", retry_after=5.0), 20.0)
    assert health.state is after
    assert (change is None) is (after is state)
    if change:
        assert (change.before, change.after) == (state, after)
        assert change.why
        assert change.rule
        assert change.evidence[-1].sign is sign
        assert change.evidence[-1].at == 20.0


def test_a_trunk_that_answers_no_options_comes_back_by_calls_once_it_was_quiet_for_long_enough() -> None:
    health = make(DOWN)
    mute = Evidence(Sign.PROBE_MUTE, "no answer within 2 s")
    back_at = health.counters.back_at
    assert health.observe(mute, back_at - 1.0) is None
    change = health.observe(mute, back_at)
    assert change is not None
    assert (change.after, change.rule) == (TRIAL, "quiet, calls to prove it")
    for n in range(3):
        health.observe(Evidence(Sign.CALL_GOOD, "200", str(n)), back_at + 1.0 + n)
    assert health.state is UP


def test_the_rows_above_are_all_rows() -> None:
    assert {(state, sign) for state, sign, _ in ROWS} == TABLE.keys()


# -- stories ----------------------------------------------------------------------------------------------------------


def test_failed_probes_make_suspect_then_down_and_one_good_answer_clears_suspicion() -> None:
    health = fresh(HealthRules(down_after=3, up_after=3, stable_for=10.0))
    feed(health, missed, missed)
    assert (health.state, health.progress, health.in_doubt) == (SUSPECT, "2/3 failed", True)
    assert health.observe(good, 3.0) == Change(SUSPECT, UP, "checks are good again")
    assert health.why == ""
    feed(health, missed, missed, missed, start=4.0)
    assert (health.state, health.why) == (DOWN, "3 checks in a row failed (no answer within 2 s)")


def test_a_silent_call_counts_together_with_a_failed_probe() -> None:
    changes = feed(fresh(), missed, silent)
    assert changes[1] == Change(SUSPECT, DOWN, "1 call and 1 check in a row failed (no answer within 0.8 s)")


def test_a_carrier_that_answers_only_options_goes_down_and_does_not_come_up_by_options() -> None:
    health = fresh()
    feed(health, good, silent, good, good, good, good)
    assert health.state is SUSPECT, "OPTIONS never takes back a failed call"
    assert not health.in_doubt, "and asking faster settles nothing any more"
    health.observe(silent, 8.0)
    assert (health.state, health.why) == (DOWN, "2 calls in a row failed (no answer within 0.8 s)")
    feed(health, *[good] * 1000, start=9.0)
    assert (health.state, health.since) == (TRIAL, 18.0), "10 s after the last failure, and no further"
    health.observe(silent, 2000.0)
    assert health.state is DOWN


def test_a_good_call_takes_back_what_failed_in_a_row_but_not_what_fails_too_often() -> None:
    """Every second call fails: each good one in between would hide that, if it took everything back."""
    health = fresh()
    changes = feed(health, silent, answered, silent, answered, fault(1), answered, fault(2))
    assert [change.after for change in changes if change] == [SUSPECT, UP, SUSPECT, UP, SUSPECT, UP, DOWN]
    last = changes[-1]
    assert last is not None
    assert last.rule == "faults in a row"
    what = "no answer within 0.8 s and 503 Service Unavailable"
    assert last.why == f"4 of the last 7 calls failed with {what} within 6 s, usually 1 %"


def test_fault_codes_count_after_three_different_numbers() -> None:
    health = fresh()
    feed(health, fault(1), fault(1), fault(1), fault(2), fault(2))
    assert (health.state, health.progress) == (SUSPECT, "2/3 numbers failed")
    change = health.observe(fault(3), 13.0)
    why = "3 calls to different numbers failed with 503 Service Unavailable within 10 s"
    assert change == Change(SUSPECT, DOWN, why)


def test_different_faults_are_all_named() -> None:
    health = fresh()
    feed(health, fault(1), fault(2, "100 Trying and then nothing for 8 s"), fault(3))
    kinds = "503 Service Unavailable and 100 Trying and then nothing for 8 s"
    assert health.why == f"3 calls to different numbers failed with {kinds} within 2 s"


@pytest.mark.parametrize(
    ("one", "words"),
    [
        (Evidence(Sign.CALL_FAULT, "503", "+41443210019", at=5.0), "5 s before: number +4144…: 503"),
        (Evidence(Sign.CALL_SILENT, "silent", "112", more="bound 1 s", at=10.0), "now: number …: silent (bound 1 s)"),
        (Evidence(Sign.CALL_FAULT, "403 Forbidden to REGISTER", "REGISTER", at=10.0), "now: 403 Forbidden to REGISTER"),
        (Evidence(Sign.CALL_GOOD, at=9.5), "500 ms before: call good"),
    ],
)
def test_evidence_is_one_line_that_shows_no_whole_number(one: Evidence, words: str) -> None:
    assert one.words(10.0) == words


def test_one_broken_number_never_takes_a_trunk_down() -> None:
    health = fresh()
    feed(health, *[fault(1)] * 50)
    assert health.state is SUSPECT


def test_an_old_call_answered_late_does_not_refute_newer_failures() -> None:
    health = fresh()
    feed(health, fault(1), fault(2))
    assert health.observe(Evidence(Sign.CALL_GOOD, sent_at=0.5), 3.0) is None
    health.observe(fault(3), 4.0)
    assert health.state is DOWN
    assert health.observe(Evidence(Sign.CALL_GOOD, sent_at=0.6), 5.0) is None
    assert health.state is DOWN


def test_probes_alone_lead_back_to_up_after_the_stable_time() -> None:
    health = fresh()
    feed(health, missed, missed, good, good, good)
    assert (health.state, health.progress, health.deadline()) == (DOWN, "3/3 good", 12.0)
    assert health.wake(11.999) is None
    assert health.wake(12.0) == Change(DOWN, UP, "3 good checks in a row and no failure for 10 s")


def test_500_to_options_is_no_failure_but_earns_no_way_back() -> None:
    health = fresh()
    feed(health, *[unwell] * 10)
    assert health.state is UP
    health = went_down_by_calls()
    feed(health, good, good, unwell, start=20.0)
    assert (health.state, health.progress) == (DOWN, "0/3 good")


def test_trial_takes_one_call_at_a_time() -> None:
    health = in_trial()
    assert health.may_try(12.0)
    health.trial_started(12.0)
    assert not health.may_try(12.1)
    health.trial_ended()
    assert health.may_try(12.1)
    health.trial_started(12.2)
    health.observe(answered, 12.3)
    assert health.may_try(12.3)
    health.trial_started(12.4)
    assert not health.may_try(12.4 + TRIAL_CALL_MAX - 0.1)
    assert health.may_try(12.4 + TRIAL_CALL_MAX)


def test_trial_calls_lead_to_up() -> None:
    changes = feed(in_trial(), answered, answered, answered, start=13.0)
    assert changes == [None, None, Change(TRIAL, UP, "3 calls in a row went through")]


def test_a_fault_in_trial_doubles_the_hold_down_up_to_the_cap() -> None:
    health = fresh(HealthRules(down_after=1, up_after=1, stable_for=600.0))
    health.observe(silent, 0.0)
    now, holds = 0.0, []
    for _ in range(4):
        since = now
        while health.state is DOWN:
            now += 10.0
            health.observe(good, now)
        holds.append(now - since)
        health.observe(fault(1), now)
    assert holds == [600.0, 1200.0, HOLD_DOWN_MAX, HOLD_DOWN_MAX]
    assert health.why == "a call failed with 503 Service Unavailable; relapse 4, so it stays out for at least 30 min"


def test_a_refused_registration_is_not_told_as_a_call() -> None:
    health = fresh(HealthRules())
    health.observe(Evidence(Sign.CALL_FAULT, "401 Unauthorized to REGISTER", "REGISTER"), 0.0)
    assert health.why == "our registration failed: 401 Unauthorized to REGISTER"


def test_a_reason_is_told_once() -> None:
    health = fresh(HealthRules())
    health.observe(Evidence(Sign.PROBE_FAILED, "certificate has expired"), 0.0)
    health.observe(Evidence(Sign.PROBES_SILENT, "5 OPTIONS within 1 s had no answer (certificate has expired)"), 1.0)
    assert health.why == "1 check failed (certificate has expired); then 5 OPTIONS within 1 s had no answer"


def test_relapses_are_forgotten_with_health() -> None:
    health = fresh(HealthRules(down_after=1, up_after=1, stable_for=10.0))
    now = 0.0
    for _ in range(3):
        health.observe(missed, now)
        now += 1000.0
        health.observe(good, now)
        assert health.state is UP
    assert health.counters.relapses == 2, "Down again within the hour, twice"
    health.observe(missed, now + RELAPSE_REMEMBERED)
    assert health.counters.relapses == 1, "an hour of health takes one off"


def test_faults_from_before_the_trial_do_not_end_it() -> None:
    health = in_trial()
    assert health.observe(fault(1, sent_at=health.since - 1.0), health.since + 7.0) is None
    assert health.state is TRIAL


def test_one_lost_probe_is_no_relapse_but_several_are() -> None:
    health = in_trial()
    feed(health, missed, good, missed, start=13.0)
    assert health.state is TRIAL
    health.observe(missed, 16.0)
    assert health.state is DOWN


def test_retry_after_keeps_a_trunk_out_but_not_for_as_long_as_it_likes() -> None:
    health = fresh(HealthRules(down_after=2, up_after=1, stable_for=0.0))
    change = health.observe(Evidence(Sign.RETRY_AFTER, "503 Maintenance", retry_after=86400.0), 0.0)
    assert change == Change(UP, DOWN, "the carrier answered 503 Maintenance and asked to be left alone for 24 h")
    health.observe(good, 119.0)
    assert (health.state, health.deadline()) == (DOWN, 120.0)
    health.observe(good, 120.0)
    assert health.state is UP


def test_retry_after_to_a_call_is_evidence_of_calls() -> None:
    health = fresh(HealthRules(up_after=1, stable_for=0.0))
    health.observe(Evidence(Sign.RETRY_AFTER, "503", "+41", retry_after=1.0), 0.0)
    health.observe(good, 2.0)
    assert health.state is TRIAL


def test_a_silent_call_at_night_is_forgotten_in_time() -> None:
    health = fresh()
    feed(health, silent, good)
    assert health.deadline() == 1.0 + CALLS_REMEMBERED
    assert health.wake(1.0 + CALLS_REMEMBERED) == Change(SUSPECT, UP, "no call failed for 15 min")
    assert health.deadline() is None


def test_options_that_fail_while_calls_go_through_never_take_a_trunk_down() -> None:
    health = fresh()
    changes = feed(health, *[missed, answered] * 20)
    assert (health.state, health.why) == (SUSPECT, "calls go through, but checks fail")
    assert [change for change in changes if change] == [Change(UP, SUSPECT, "1 check failed (no answer within 2 s)")]


def test_calls_can_be_left_out_of_account() -> None:
    health = fresh(HealthRules(down_after=1, count_calls=False))
    feed(health, silent, silent, fault(1), fault(2), fault(3))
    assert health.state is UP


@pytest.mark.parametrize(("bad", "after"), [(missed, UP), (silent, TRIAL)])
def test_down_after_one_and_up_after_one_mean_one(bad: Evidence, after: State) -> None:
    health = fresh(HealthRules(down_after=1, up_after=1, stable_for=0.0))
    changes = feed(health, bad, good, answered)
    assert changes[0] is not None
    assert (changes[0].before, changes[0].after) == (UP, DOWN)
    assert changes[1] is not None
    assert changes[1].after is after
    assert health.state is UP


def test_a_call_that_gets_through_while_down_begins_a_trial() -> None:
    health = went_down_by_calls()
    change = health.observe(answered, 3.0)
    assert change is not None
    assert change.why == "a call went through while it was Down; single calls show whether that lasts"
    assert health.progress == "1/3 trial calls good"


def test_the_story_can_be_read_by_an_operator() -> None:
    health = fresh()
    assert health.story(5.0) == "Up for 5 s, 0/2 failed"
    feed(health, missed, missed, good)
    why = "2 checks in a row failed (no answer within 2 s)"
    assert health.story(7.0) == f"Down for 5 s, {why}, 1/3 good, back in 5 s at the earliest"
    assert health.story(20.0).endswith("back when checks are good")
    assert repr(health) == f"<Health DOWN since 2.000, 1/3 good: {why}>"


# -- properties -------------------------------------------------------------------------------------------------------

evidence = st.builds(
    Evidence,
    sign=st.sampled_from([sign for sign in Sign if sign is not Sign.TIME]),
    what=st.sampled_from(["", "503 Service Unavailable"]),
    destination=st.sampled_from(["", "1", "2", "3", "4"]),
    retry_after=st.floats(0, 1e6),
    sent_at=st.none() | st.floats(0, 1000),
)
steps = st.lists(st.tuples(evidence, st.floats(0, 1000)), max_size=60)
rule_sets = st.builds(
    HealthRules,
    down_after=st.integers(1, 4),
    up_after=st.integers(1, 4),
    stable_for=st.floats(0, 5000),
    count_calls=st.booleans(),
    window=st.none()
    | st.tuples(st.integers(0, 1439), st.integers(0, 1439)).map(lambda ends: (ends[0] * 60.0, ends[1] * 60.0)),
)


@settings(deadline=None)
@given(rule_sets, steps)
def test_random_evidence_keeps_the_invariants_and_down_is_never_terminal(
    rules: HealthRules, steps: list[tuple[Evidence, float]]
) -> None:
    health, now = Health(rules, 0.0), 0.0
    health.clock(30_000.0)
    for one, pause in steps:
        now += pause
        before = health.state
        change = health.observe(one, now)
        assert (change is None) is (health.state is before)
        if change is not None:
            taken = [question for question, after in TABLE[before, one.sign][1] if after is change.after]
            assert change.rule in [name for question in taken for name in NAMES[question]]
        assert bool(health.why) is (health.state is not UP)
        counters = health.counters
        assert health.state is not UP or not (counters.failed_checks or counters.faults or counters.probe_failing)
        assert len(counters.faults) <= NUMBERS_IN_DOUBT_MAX
        assert len(counters.trail) <= EVIDENCE_KEPT
        assert health.progress
        assert health.story(now)
        deadline = health.deadline(now)
        if deadline is not None and deadline <= now:
            health.wake(now)
            assert (health.deadline(now) or now + 1) > now, "a deadline that has come does not come again"
    for _ in range(rules.up_after):  # good checks alone lead out of Down …
        now += 1.0
        health.observe(good, now)
    now = max(now + 10_000.0, health.deadline(now + 10_000.0) or 0.0)
    health.observe(good, now)
    assert health.state is not DOWN
    for _ in range(rules.up_after):  # … and with good calls to Up
        now += 0.1
        health.observe(answered, now)
        health.observe(lasted, now)
    health.observe(good, now)
    now = max(now, health.deadline(now) or 0.0)  # a refused number is not refuted by another one, but by time
    health.wake(now)
    assert health.state is UP


# -- the way back, as people want it ----------------------------------------------------------------------------------

HOURS = HealthRules(down_after=2, up_after=3, stable_for=10.0, window=(7200.0, 18000.0))
"""From 02:00 to 05:00."""


def down_and_well(rules: HealthRules, day_at: float | None = 0.0) -> Health:
    """Down at 2.0 by calls, answering its checks since."""
    health = fresh(rules)
    if day_at is not None:
        health.clock(day_at)
    feed(health, silent, silent, good, good, good)
    assert health.state is DOWN
    return health


@pytest.mark.parametrize(
    ("day_at", "deadline"), [(0.0, 7200.0), (7199.0, 12.0), (18000.0 - 12.0, 86400.0 + 7200.0 - 18000.0 + 12.0)]
)
def test_within_the_hours_of_return_it_comes_back_and_not_before(day_at: float, deadline: float) -> None:
    health = down_and_well(HOURS, day_at)
    assert health.deadline(5.0) == pytest.approx(deadline, abs=0.01)
    health.observe(good, deadline - 0.1)
    assert health.state is DOWN
    change = health.wake(deadline + 0.01)
    assert change is not None
    assert change.after is TRIAL


def test_a_trial_that_has_begun_in_time_may_end_after_the_hours() -> None:
    health = down_and_well(HOURS, 17_980.0)
    health.wake(12.0)
    assert health.state is TRIAL
    feed(health, answered, answered, answered, start=100.0)
    assert health.state is UP


def test_hours_never_come_while_nobody_has_told_the_time() -> None:
    health = down_and_well(HOURS, None)
    assert health.deadline(5.0) is None
    assert health.story(6.0).endswith("back when the time of day is known")


def test_by_hand_it_stays_out_until_an_operator_gives_it_back_and_then_single_calls_try_it() -> None:
    health = down_and_well(HealthRules(down_after=2, up_after=3, stable_for=10.0, manual=True))
    feed(health, *[good] * 100, start=1000.0)
    assert (health.state, health.deadline(2000.0)) == (DOWN, None)
    assert health.story(2000.0).endswith("back when an operator says so")
    change = health.observe(Evidence(Sign.RELEASED), 2000.0)
    assert change is not None
    assert (change.after, change.rule) == (TRIAL, "ordered back")
    assert change.why == "an operator gave it back; single calls show whether calls work"
    feed(health, answered, answered, answered, start=2001.0)
    assert health.state is UP
    assert not health.counters.released, "the next time it needs a word again"


def test_what_is_given_back_before_it_answers_comes_as_soon_as_it_does() -> None:
    health = went_down_by_calls()
    health.observe(Evidence(Sign.RELEASED), 3.0)
    feed(health, good, good, start=4.0)
    assert health.state is DOWN
    health.observe(good, 6.0)
    assert health.state is TRIAL, "6 s after the failure instead of 10"


def test_a_call_that_had_nowhere_else_to_go_brings_nothing_back_that_only_people_may() -> None:
    health = down_and_well(HealthRules(down_after=2, up_after=3, manual=True))
    feed(health, answered, answered, answered, answered, start=10.0)
    assert health.state is DOWN


# -- OPTIONS alone, and troubles that strike a part of the calls -------------------------------------------------------


def down_by_options(at: float = 1.0) -> Health:
    """Down because OPTIONS fell silent; no call has failed."""
    health = fresh()
    feed(health, missed, missed, start=at - 1.0)
    assert (health.state, health.since) == (DOWN, at)
    return health


def test_down_by_options_alone_is_tested_by_one_call_after_a_while() -> None:
    health = down_by_options()
    assert not health.may_try(1.0 + TESTED_AFTER - 0.1)
    assert health.may_try(1.0 + TESTED_AFTER)
    health.trial_started(1.0 + TESTED_AFTER)
    assert not health.may_try(2.0 + TESTED_AFTER)


@pytest.mark.parametrize("what", [good, silent, fault(1)])
def test_it_is_not_if_options_tell_again_or_a_call_has_failed(what: Evidence) -> None:
    health = down_by_options()
    health.observe(what, 2.0)
    assert not health.may_try(2.0 + TESTED_AFTER)


def test_nor_where_503_was_said_or_an_operator_decides() -> None:
    health = fresh()
    feed(health, Evidence(Sign.PROBE_503, "503"), Evidence(Sign.PROBE_503, "503"))
    assert health.state is DOWN
    assert not health.may_try(1000.0)
    health = fresh(replace(RULES, manual=True))
    feed(health, missed, missed)
    assert health.state is DOWN
    assert not health.may_try(1000.0)


def test_the_call_that_got_through_is_news_although_options_failed_while_it_rang() -> None:
    health = down_by_options()
    health.observe(missed, 200.0)
    change = health.observe(Evidence(Sign.CALL_GOOD, sent_at=199.0), 201.0)
    assert change is not None
    assert (change.after, change.rule) == (TRIAL, "a call went through")


def test_a_trouble_of_a_third_of_the_calls_takes_more_good_ones_to_be_over() -> None:
    health = fresh()
    at = 0.0
    for number in range(300):
        at += 30.0
        health.observe(fault(number) if number % 3 == 0 else Evidence(Sign.CALL_GOOD), at)
        if health.state is DOWN:
            break
    assert health.state is DOWN
    wanted = health.counters.trials_wanted
    assert 5 <= wanted <= 7, "0.67^6 = 9 %"
    feed(health, *[good] * 3, start=at + 1.0)
    health.observe(Evidence(Sign.RELEASED), at + 5.0)
    assert health.state is TRIAL
    for number in range(wanted):
        assert health.state is TRIAL, number
        health.observe(Evidence(Sign.CALL_GOOD), at + 10.0 + number)
    assert health.state is UP


def test_quick_checks_that_something_else_outdoes_clear_no_call() -> None:
    health = fresh()
    feed(health, silent, Evidence(Sign.PROBE_OUTDONE, "5 OPTIONS had no answer, but something else came"))
    assert health.state is SUSPECT
