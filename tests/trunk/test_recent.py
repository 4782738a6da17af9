"""The measured 95th percentile: none before there is enough to compare with, and never out of the samples."""

from hypothesis import given
from hypothesis import strategies as st

from sipfailover.trunk.recent import KEPT, NEEDED, Recent


def measured(*seconds: float) -> Recent:
    recent = Recent()
    for sample in seconds:
        recent.observe(sample)
    return recent


def test_before_ten_samples_nothing_is_usual() -> None:
    assert measured(*[0.02] * (NEEDED - 1)).p95 is None
    assert measured(*[0.02] * NEEDED).p95 == 0.02


def test_of_ten_it_is_the_longest_and_of_sixty_three_may_be_longer() -> None:
    assert measured(*[0.02] * 9, 0.7).p95 == 0.7
    assert measured(*[0.02] * 57, 0.7, 0.8, 0.9).p95 == 0.02
    assert measured(*[0.02] * 56, 0.6, 0.7, 0.8, 0.9).p95 == 0.6


def test_what_is_long_ago_is_forgotten() -> None:
    assert measured(*[9.0] * KEPT, *[0.1] * KEPT).p95 == 0.1


def test_its_story() -> None:
    assert repr(measured(0.1)) == "<Recent 1 samples>"
    assert repr(measured(*[0.1] * 12)) == "<Recent 12 samples, p95 0.100 s>"


@given(st.lists(st.floats(0.0, 40.0), min_size=NEEDED, max_size=3 * KEPT))
def test_at_most_one_in_twenty_of_the_last_ones_exceeds_it(samples: list[float]) -> None:
    p95, last = measured(*samples).p95, samples[-KEPT:]
    assert p95 in last
    assert sum(sample > p95 for sample in last) <= len(last) / 20
