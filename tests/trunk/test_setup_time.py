"""What a trunk usually takes to ring, what is slow for it, and how long to wait."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.trunk import SetUpTime


def lived(*seconds: float) -> SetUpTime:
    setup = SetUpTime()
    for one in seconds:
        setup.observe(one)
    return setup


def test_before_ten_calls_nothing_is_slow_and_the_configured_bound_holds() -> None:
    setup = SetUpTime()
    assert [setup.observe(2.0 + call * 5) for call in range(10)] == [None] * 10
    assert lived(*[2.0] * 9).no_ringing(12.0) == 12.0


@pytest.mark.parametrize(("seconds", "slow"), [(2.0, False), (3.9, False), (4.2, True), (30.0, True)])
def test_slow_is_what_takes_far_longer_than_usual(seconds: float, slow: bool) -> None:
    assert lived(*[2.0] * 40).observe(seconds) is slow


def test_a_trunk_whose_calls_go_everywhere_is_not_slow_for_that() -> None:
    dice = random.Random(1)
    setup = lived(*[dice.choice([0.5, 2.0, 6.0, 9.0]) for _ in range(300)])
    assert setup.observe(9.0) is False
    assert setup.no_ringing(12.0) == 12.0


def test_what_is_slow_moves_the_history_little_and_in_the_end_becomes_usual() -> None:
    setup = lived(*[2.0] * 50)
    setup.observe(500.0)
    assert setup.mean < 2.1
    calls = 1
    while setup.observe(6.0):
        calls += 1
    assert 10 < calls < 100


@pytest.mark.parametrize(
    ("usual", "configured", "bound"),
    [(0.5, 12.0, 6.0), (2.0, 12.0, 8.0), (2.5, 12.0, 10.0), (5.0, 12.0, 12.0), (2.0, 5.0, 5.0)],
)
def test_the_no_ringing_clock_is_four_times_what_is_usual_between_six_seconds_and_the_configured_bound(
    usual: float, configured: float, bound: float
) -> None:
    assert lived(*[usual] * 400).no_ringing(configured) == pytest.approx(bound, abs=0.01)


@given(st.lists(st.floats(0.0, 200.0), max_size=100), st.floats(0.5, 120.0))
def test_the_clock_keeps_its_bounds(samples: list[float], configured: float) -> None:
    setup = lived(*samples)
    bound = setup.no_ringing(configured)
    assert min(6.0, configured) <= bound <= configured
    assert bound >= min(configured, 4 * setup.mean) - 1e-9
    assert repr(setup).startswith("<SetUpTime ")


def test_what_never_rang_does_not_make_waiting_usual() -> None:
    setup = SetUpTime()
    for _ in range(20):
        setup.observe(0.5)
    for _ in range(60):
        setup.observe(12.0, rang=False)
    assert setup.recent.p95 == 0.5


def test_a_slow_one_counts_as_the_slowest_ordinary_one() -> None:
    setup = SetUpTime()
    for _ in range(30):
        setup.observe(0.5)
    limit = setup.slow_above
    for _ in range(5):
        assert setup.observe(9.0)
    assert setup.recent.p95 is not None
    assert limit <= setup.recent.p95 < 2 * limit
