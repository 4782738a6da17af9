"""The no-answer clock keeps the promise of a second, and does not abandon who is merely slow."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.trunk import RoundTrip


def measured(*seconds: float) -> RoundTrip:
    roundtrip = RoundTrip()
    for sample in seconds:
        roundtrip.observe(sample)
    return roundtrip


def test_before_any_sample_the_configured_bound_holds() -> None:
    roundtrip = RoundTrip()
    assert roundtrip.smoothed is None
    assert roundtrip.no_answer(4.0) == (4.0, 0.5)
    assert roundtrip.no_answer(0.9) == (0.9, pytest.approx(0.2))
    assert repr(roundtrip) == "<RoundTrip not measured>"


@given(st.lists(st.floats(0.0001, 0.05), min_size=1, max_size=50))
def test_under_50_ms_the_caller_hears_the_backup_within_a_second(samples: list[float]) -> None:
    bound, t1 = measured(*samples).no_answer(4.0)
    assert bound <= 0.9
    assert bound + 2 * 0.05 <= 1.0  # INVITE to the backup and its 180, whose round trip is as long
    assert 3 * t1 + 0.05 < bound  # the answer to the second retransmission still arrives


def test_a_trunk_that_takes_400_ms_over_an_invite_is_not_abandoned() -> None:
    roundtrip = measured(*[0.02] * 20)
    assert roundtrip.no_answer(4.0).bound > 0.4 * 1.5
    roundtrip.observe(0.4, call=True)
    assert roundtrip.no_answer(4.0).bound > 3.0, "one call is enough to learn that it is slow"
    for _ in range(100):
        roundtrip.observe(0.02)
    assert roundtrip.no_answer(4.0).bound > 3.0, "quick answers to OPTIONS do not make calls quick"


@given(st.lists(st.floats(0, 60), min_size=1, max_size=30), st.floats(0.2, 32))
def test_bound_and_t1_stay_within_their_limits(samples: list[float], configured: float) -> None:
    bound, t1 = measured(*samples).no_answer(configured)
    assert min(0.8, configured) <= bound <= configured
    assert 0 < t1 <= 0.5
    assert bound - 3 * t1 >= bound / 3 - 1e-9


def test_smoothing_is_that_of_rfc_6298() -> None:
    roundtrip = measured(0.1, 0.2)
    assert roundtrip.smoothed == pytest.approx(0.1 * 7 / 8 + 0.2 / 8)
    assert roundtrip.variation == pytest.approx(0.05 * 3 / 4 + 0.1 / 4)
    assert repr(roundtrip) == "<RoundTrip 112 ms ± 62 ms>"


def test_one_slow_moment_is_forgotten_within_ten_answers() -> None:
    roundtrip = measured(*[0.02] * 20, 1.0)
    assert roundtrip.no_answer(4.0).bound > 1.5
    for _ in range(10):
        roundtrip.observe(0.02)
    assert roundtrip.no_answer(4.0).bound < 0.9


def test_the_last_first_answers_to_calls_are_kept_and_those_of_probes_are_not() -> None:
    roundtrip = measured(*[0.02] * 20)
    assert roundtrip.first_answers.p95 is None
    for _ in range(10):
        roundtrip.observe(0.3, call=True)
    assert roundtrip.first_answers.p95 == 0.3
