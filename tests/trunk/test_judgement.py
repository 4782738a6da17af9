"""The arithmetic of judgement, and whole months of it: what must be seen is seen, and chance is not blamed."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.trunk.judgement import (
    DROPS,
    FALSE_ALARM_MONTHS,
    FAULTS,
    MONTH,
    NUMBERS_MAX,
    REFUSALS,
    SLOWNESS,
    Kind,
    Series,
)

KINDS = [FAULTS, REFUSALS, DROPS, SLOWNESS]
OFFICE, BUSY = 8_800, 100_000
"""Calls a month: 40 an hour in 22 days of ten hours, and ten times as many."""


def fed(kind: Kind, outcomes: str, every: float = 10.0) -> Series:
    """A series that lived through these outcomes, `x` bad and `.` good, each bad one to another number."""
    series = Series(kind)
    for place, outcome in enumerate(outcomes):
        now = place * every
        if outcome == "x":
            series.bad(f"+4144{place:07}", "503 Service Unavailable", now)
        else:
            series.good(now)
    return series


def live(
    series: Series, share: float, calls: int, pace: float, dice: random.Random, now: float = 0.0
) -> tuple[int, str, float]:
    """So many calls at this pace (a month), of which this share fails. (calls until an alarm, its rule, the time)."""
    for call in range(1, calls + 1):
        now += dice.expovariate(pace / MONTH)
        if dice.random() < share:
            series.bad(f"+41{dice.randrange(10**9):09}", "503 Service Unavailable", now)
            if (alarm := series.alarm) is not None:
                return call, alarm.rule, now
        else:
            series.good(now)
    return 0, "", now


# -- the numbers of the docstring -------------------------------------------------------------------------------------


def test_what_an_outcome_weighs() -> None:
    outage, brown_out = FAULTS.charts
    assert outage.weights(0.02) == pytest.approx((3.22, -0.67), abs=0.01)
    assert brown_out.weights(0.02) == pytest.approx((1.25, -0.05), abs=0.01)
    assert brown_out.threshold(0.02, OFFICE) == pytest.approx(11.2, abs=0.05)
    bad, good = brown_out.weights(0.02)
    assert brown_out.threshold(0.02, OFFICE) / (0.07 * bad + 0.93 * good) == pytest.approx(290, abs=5)


@pytest.mark.parametrize(("pace", "in_a_row"), [(100, 3), (2_000, 3), (3_000, 4), (200_000, 4), (300_000, 5)])
def test_how_many_in_a_row_are_an_alarm_depends_on_the_pace(pace: float, in_a_row: int) -> None:
    outage = FAULTS.charts[0]
    needed = outage.threshold(0.01, pace) / outage.weights(0.01)[0]
    assert in_a_row - 1 < needed <= in_a_row + 1e-9


@pytest.mark.parametrize("kind", KINDS)
def test_a_bad_outcome_speaks_for_trouble_and_a_good_one_against_it(kind: Kind) -> None:
    for chart in kind.charts:
        for usual in (kind.least, kind.usual, kind.most):
            bad, good = chart.weights(usual)
            assert good < 0.0 < bad
            assert chart.threshold(usual, 100.0) >= chart.at_least * bad
            assert usual * bad + (1 - usual) * good < 0.0, "on ordinary days it goes down"


# -- what must be seen ------------------------------------------------------------------------------------------------


def test_three_faults_to_different_numbers_at_a_quiet_office_are_an_alarm() -> None:
    assert fed(FAULTS, "xx", every=1200.0).alarm is None
    series = fed(FAULTS, "xxx", every=1200.0)
    assert series.alarm is FAULTS.charts[0]
    assert (series.level, series.counted(2400.0)) == (1.0, (3, 3, 2400.0))
    assert series.kinds(3) == "503 Service Unavailable"


def test_one_good_call_between_faults_does_not_hide_them() -> None:
    assert fed(FAULTS, "xx.x").alarm is None
    assert fed(FAULTS, "xx.xx").alarm is not None


@pytest.mark.parametrize(
    ("share", "pace", "calls"), [(0.07, BUSY, 300), (0.07, OFFICE, 600), (0.3, OFFICE, 50), (1.0, OFFICE, 4)]
)
def test_more_faults_than_usual_are_seen_within_so_many_calls(share: float, pace: float, calls: int) -> None:
    """After a month of one fault in a hundred; nineteen times of twenty."""
    slow = 0
    for seed in range(20):
        dice, series = random.Random(seed), Series(FAULTS)
        *_, now = live(series, 0.01, 3_000, pace, dice)
        series.clear()
        needed, rule, _ = live(series, share, 5_000, pace, dice, now)
        assert rule
        slow += needed > calls
    assert slow <= 1


# -- what must not be -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("pace", "seed"), [(300, 1), (300, 2), (OFFICE, 1), (OFFICE, 2), (OFFICE, 3), (BUSY, 1)])
def test_thirty_days_with_two_percent_faults_are_no_alarm(pace: int, seed: int) -> None:
    assert live(Series(FAULTS), 0.02, pace, pace, random.Random(seed))[1] == ""


@pytest.mark.parametrize(("pace", "months"), [(300, 1200), (OFFICE, 40)])
def test_an_alarm_without_a_reason_is_as_rare_as_promised(pace: int, months: int) -> None:
    """Once in ten years for each of the two questions, that is promised; three times that would be a broken promise."""
    dice, series, alarms, now = random.Random(2018), Series(FAULTS), 0, 0.0
    left = pace * months
    while left > 0:
        needed, rule, now = live(series, 0.02, left, pace, dice, now)
        if not rule:
            break
        left -= needed
        alarms += 1
        series.clear()
    assert alarms <= max(1, 3 * 2 * months / FALSE_ALARM_MONTHS)


def test_one_broken_number_is_no_alarm_however_often_it_is_called() -> None:
    series = Series(FAULTS)
    for minute in range(10_000):
        series.bad("+41441111111", "503 Service Unavailable", minute * 60.0)
        series.good(minute * 60.0 + 1.0)
    assert series.alarm is None
    assert len(series.recent) == 1


def test_a_quiet_night_makes_all_well() -> None:
    series = fed(FAULTS, "xx")
    before = series.level
    series.good(10.0 + FAULTS.held - 1.0)
    assert before * 0.8 < series.level < before
    series.good(10.0 + FAULTS.held * 3)
    assert series.level < before / 4
    assert fed(FAULTS, "x" * 5, every=86400.0).alarm is None, "one a day"


# -- what is usual ----------------------------------------------------------------------------------------------------


def test_what_is_usual_is_learnt_and_clamped() -> None:
    assert Series(FAULTS).usual == FAULTS.usual
    assert fed(FAULTS, "." * 3000).usual == FAULTS.least
    assert fed(FAULTS, ("x" + "." * 49) * 60).usual == pytest.approx(0.02, abs=0.002)
    assert fed(REFUSALS, ("x" + "." * 9) * 300).usual == pytest.approx(0.1, abs=0.01)


def test_an_outage_teaches_nothing() -> None:
    series = fed(FAULTS, "." * 1000 + "x" * 50)
    assert series.usual == fed(FAULTS, "." * 1000).usual
    series.clear()
    assert series.usual == fed(FAULTS, "." * 1000).usual


def test_the_pace_is_learnt_and_forgotten_in_weeks() -> None:
    series = Series(FAULTS)
    assert series.pace == 100.0
    for call in range(OFFICE):
        series.good(call * MONTH / OFFICE)
    assert series.pace == pytest.approx(OFFICE, rel=0.05)
    series.good(3 * MONTH)
    assert series.pace < 100.5


def test_slowness_ends_soon_because_a_score_does_not_grow_beyond_its_alarm() -> None:
    series = fed(SLOWNESS, "x" * 500)
    assert series.alarm is not None
    assert series.level == pytest.approx(1.0)
    for call in range(15):
        series.good(5000.0 + call)
    assert series.level < 0.25


outcomes = st.lists(
    st.tuples(st.booleans(), st.sampled_from(["", "1", "2", "3", "4", "5"]), st.floats(0, 1e5)), max_size=200
)


@given(st.sampled_from(KINDS), outcomes)
def test_whatever_happens_scores_and_memories_keep_their_bounds(
    kind: Kind, steps: list[tuple[bool, str, float]]
) -> None:
    series, now = Series(kind), 0.0
    for bad, number, pause in steps:
        now += pause
        if bad:
            series.bad(number, "503", now)
        else:
            series.good(now)
        assert kind.least <= series.usual <= kind.most
        assert series.level >= 0.0
        assert len(series.recent) <= NUMBERS_MAX
        assert series.needed >= 3
        counted, of_all, within = series.counted(now)
        assert 0 <= counted <= of_all
        assert within >= 0.0
