"""Moments, busy hours, shares and patterns are read as people write them, and mean what they say."""

from collections import Counter
from datetime import datetime, timedelta
from itertools import pairwise

import pytest

from sipfailover.chance import Chance
from sipfailover.simulator.agenda import Hours, Pattern, Spans, day, hours, moment, pattern, poisson, share, swizzle

MONDAY = datetime(2018, 1, 8)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("2018-01-08 10:38", datetime(2018, 1, 8, 10, 38)),
        ("2018-01-08T10:38", datetime(2018, 1, 8, 10, 38)),
        ("2018-01-08 10:38:07", datetime(2018, 1, 8, 10, 38, 7)),
        ("2018-01-08", MONDAY),
        ("+2h 30m", timedelta(hours=2.5)),
        ("+45s", timedelta(seconds=45)),
    ],
)
def test_a_moment(text: str, meaning: object) -> None:
    assert moment(text) == meaning


@pytest.mark.parametrize("text", ["Monday", "10:38", "2018-13-01", "+90", "2h"])
def test_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        moment(text)


def test_a_start_cannot_count_from_itself() -> None:
    with pytest.raises(ValueError, match="nothing to count from"):
        day("+2h")


def test_the_first_rule_that_fits_says_how_many_calls_an_hour() -> None:
    found = hours({"weekday 08-18": "40", "saturday 9-12": "10", "22-24": "1", "else": "2"})
    assert isinstance(found, Hours)
    rates = [found.rate(MONDAY + timedelta(hours=hour)) for hour in (7, 8, 17, 18, 22, 5 * 24 + 8, 5 * 24 + 9)]
    assert rates == [2.0, 40.0, 40.0, 2.0, 1.0, 2.0, 10.0]


@pytest.mark.parametrize(
    "wrong", [{"someday 08-18": 4}, {"weekday 18-08": 4}, {"weekday 08-25": 4}, {"else": "many"}, {"": 4}, "-1"]
)
def test_no_busy_hours(wrong: object) -> None:
    with pytest.raises(ValueError, match="not a"):
        hours(wrong)


def test_calls_come_as_often_as_the_hour_says() -> None:
    found = hours({"weekday 08-18": 60, "else": 6})
    assert isinstance(found, Hours)
    at = found.moments(MONDAY + timedelta(minutes=30), 20 * 86400.0, Chance(1))
    assert at == sorted(at)
    assert 0 <= at[0] < at[-1] < 20 * 86400
    wall = Counter((MONDAY + timedelta(minutes=30, seconds=one)).hour for one in at)
    workdays, days = 14 + 0.5 / 24, 20  # twenty days from a Monday: fourteen of them are weekdays
    for hour, mean in ((10, workdays * 60 + (days - workdays) * 6), (3, days * 6)):
        assert abs(wall[hour] - mean) < 4 * mean**0.5


def test_a_number_of_events_has_the_mean_and_the_spread_of_poisson() -> None:
    chance = Chance(3)
    counts = [poisson(7.0, chance) for _ in range(4000)]
    mean = sum(counts) / 4000
    assert abs(mean - 7.0) < 0.2
    assert abs(sum((count - mean) ** 2 for count in counts) / 4000 - 7.0) < 0.6
    assert poisson(0.0, chance) == 0


@pytest.mark.parametrize(("text", "meaning"), [("30%", 0.3), ("30 %", 0.3), ("0.3", 0.3), ("0", 0.0), ("100%", 1.0)])
def test_a_share(text: str, meaning: float) -> None:
    assert share(text) == pytest.approx(meaning)


@pytest.mark.parametrize("text", ["150%", "1.5", "-1%", "half"])
def test_no_share(text: str) -> None:
    with pytest.raises(ValueError, match="is not a share"):
        share(text)


def test_a_fault_comes_and_goes_within_its_bounds() -> None:
    found = pattern("on/off 5-90 min")
    assert isinstance(found, Pattern)
    spans = found.spans(100.0, 200_000.0, Chance(1))
    assert spans[0][0] == 100.0
    for first, last in spans[:-1]:
        assert 300.0 <= last - first <= 5400.0
    for (_, last), (first, _) in pairwise(spans):
        assert 300.0 <= first - last <= 5400.0
    assert spans[-1][1] <= 200_000.0


def test_a_pattern_of_fixed_times() -> None:
    found = pattern("on 5s off 20s")
    assert isinstance(found, Pattern)
    assert found.spans(0.0, 60.0, Chance(1)) == [(0.0, 5.0), (25.0, 30.0), (50.0, 55.0)]


@pytest.mark.parametrize("text", ["on/off 5-90", "sometimes", "on 5s", "on/off 90-5 min", "on 0s off 5s"])
def test_no_pattern(text: str) -> None:
    with pytest.raises(ValueError, match="is no pattern"):
        pattern(text)


def test_swizzle_takes_all_down_one_by_one_and_brings_them_back_in_another_order() -> None:
    orders = set()
    for seed in range(20):
        spans = swizzle(4, 0.0, 900.0, Chance(seed))
        downs, ups = sorted(first for first, _ in spans), sorted(last for _, last in spans)
        assert downs == pytest.approx([0.0, 100.0, 200.0, 300.0])
        assert ups == pytest.approx([500.0, 600.0, 700.0, 800.0])
        orders.add(tuple(spans))
    assert len(orders) > 15


def test_spans_that_touch_are_one() -> None:
    spans = Spans([(10.0, 20.0), (0.0, 5.0), (15.0, 30.0), (30.0, 31.0)])
    assert spans.all == [(0.0, 5.0), (10.0, 31.0)]
    assert [spans.on(at) for at in (-1.0, 0.0, 5.0, 10.0, 30.5, 31.0)] == [False, True, False, True, True, False]
    assert spans.seconds == 26.0
    assert spans.at(-1.0) is None
    assert spans.at(7.0) == (0.0, 5.0)
