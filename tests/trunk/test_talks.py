"""Young calls: which last and which do not."""

from hypothesis import given
from hypothesis import strategies as st

from sipfailover.trunk import Talks, talks


def test_a_call_that_ends_within_seconds_died_young_and_others_lasted() -> None:
    young = Talks(8.0)
    assert young.answered(1, 10.0) == 0
    assert young.answered(2, 15.0) == 0
    assert young.ended(2, 17.0) == (2.0, 0)
    assert young.answered(3, 20.0) == 1, "the first one has lasted by now"
    assert young.ended(1, 30.0) == (None, 1), "it is old, and the third one too"
    assert len(young) == 0


def test_a_call_that_was_never_answered_here_is_nobodys() -> None:
    assert Talks(8.0).ended(7, 1.0) == (None, 0)


def test_with_zero_nobody_looks() -> None:
    young = Talks(0.0)
    assert young.answered(1, 1.0) == 0
    assert young.ended(1, 1.0) == (None, 0)


def test_there_are_never_more_than_the_bound() -> None:
    young = Talks(60.0)
    lasted = sum(young.answered(call, 1.0) for call in range(talks.TALKS_MAX + 5))
    assert (len(young), lasted) == (talks.TALKS_MAX, 5)


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.floats(0, 20)), max_size=100))
def test_each_answered_call_is_told_once(steps: list[tuple[bool, int, float]]) -> None:
    young, now, answered, told, open_calls = Talks(8.0), 0.0, 0, 0, set()
    for begins, number, pause in steps:
        now += pause
        if begins and number not in open_calls:
            open_calls.add(number)
            answered += 1
            told += young.answered(number, now)
        elif not begins and number in open_calls:
            open_calls.discard(number)
            died, lasted = young.ended(number, now)
            assert died is None or 0.0 <= died < 8.0
            told += lasted + (died is not None)
    assert told + len(young) == answered
