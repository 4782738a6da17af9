"""The timer queue against a sorted list, and its promises one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipfailover.transaction import LIFE, T1, T2, T4, TimerQueue
from sipfailover.transaction.timers import GRAIN, Timer

EPSILON = 1e-9


class Owner:
    """Whoever wants to be told."""


def rung(queue: TimerQueue, now: float) -> list[int]:
    return [name for _, name in queue.expired(now)]


def test_values_are_those_of_table_4() -> None:
    assert (T1, T2, T4, LIFE) == (0.5, 4.0, 5.0, 32.0)


def test_empty_queue_has_no_deadline() -> None:
    queue = TimerQueue()
    assert queue.deadline() is None
    assert rung(queue, 1e9) == []
    assert len(queue) == 0


def test_timer_rings_once_at_its_time_and_not_before() -> None:
    queue, owner = TimerQueue(), Owner()
    queue.start(0.5, 10.0, 3, owner)
    assert queue.deadline() == 10.5
    assert list(queue.expired(10.499)) == []
    assert list(queue.expired(10.5)) == [(owner, 3)]
    assert list(queue.expired(99.0)) == []
    assert queue.deadline() is None


def test_timers_ring_in_the_order_of_their_time_and_then_of_their_lane() -> None:
    queue, owner = TimerQueue(), Owner()
    for name, seconds in enumerate((0.3, 0.1, 0.2, 0.1, 0.0)):
        queue.start(seconds, 0.0, name, owner)
    assert rung(queue, 1.0) == [4, 1, 3, 2, 0]


def test_timer_that_was_stopped_does_not_ring_and_is_not_held() -> None:
    queue, owner = TimerQueue(), Owner()
    timer = queue.start(1.0, 0.0, 1, owner)
    timer.stop()
    timer.stop()
    assert timer.owner is None
    assert len(queue) == 0
    assert rung(queue, 1.0) == []
    timer.stop()
    assert queue.deadline() is None


def test_timer_that_was_stopped_leaves_no_early_deadline() -> None:
    queue, owner = TimerQueue(), Owner()
    first = queue.start(1.0, 0.0, 1, owner)
    queue.start(2.0, 0.0, 2, owner)
    last = queue.start(3.0, 0.0, 3, owner)
    assert queue.deadline() == 1.0
    first.stop()
    last.stop()
    assert queue.deadline() == 2.0
    assert rung(queue, 2.0) == [2]
    assert queue.deadline() is None


def test_timer_can_be_stopped_by_one_that_rings_before_it() -> None:
    queue, owner = TimerQueue(), Owner()
    queue.start(1.0, 0.0, 1, owner)
    second = queue.start(1.0, 0.0, 2, owner)
    third = queue.start(0.5, 0.0, 3, owner)
    names = []
    for _, name in queue.expired(5.0):
        names.append(name)
        second.stop()
        third.stop()  # rang already
    assert names == [3, 1]
    assert len(queue) == 0


def test_timer_that_is_started_while_others_ring_waits_for_the_next_call() -> None:
    queue, owner = TimerQueue(), Owner()
    queue.start(0.5, 0.0, 1, owner)
    names = []
    for _, name in queue.expired(0.5):
        names.append(name)
        queue.start(0.0, 0.5, 2, owner)
        queue.start(0.5, 0.5, 3, owner)
    assert names == [1]
    assert queue.deadline() == 0.5
    assert rung(queue, 0.5) == [2]
    assert queue.deadline() == 1.0


def test_failure_of_one_that_rings_does_not_silence_the_others() -> None:
    """A bug in one call must not take the timers of all others that are due with it."""
    queue, owner = TimerQueue(), Owner()
    for name in range(4):
        queue.start(0.5, 0.0, name, owner)
    names = []

    def wake() -> None:
        for _, name in queue.expired(0.5):
            names.append(name)
            queue.start(1.0, 0.5, 9, owner)
            if name == 1:
                raise RuntimeError

    with pytest.raises(RuntimeError):
        wake()
    assert names == [0, 1]
    assert len(queue) == 4
    assert queue.deadline() == 0.5
    assert rung(queue, 0.5) == [2, 3]
    assert queue.deadline() == 1.5


def test_lengths_are_rounded_up_to_a_grain_so_that_lanes_have_an_end() -> None:
    queue, owner = TimerQueue(), Owner()
    for index in range(10_000):
        queue.start(index / 1_000_000, 0.0, 1, owner)
    assert len(queue._lanes) <= 11
    assert queue.start(0.0101, 0.0, 1, owner).due >= 0.0101
    assert queue.start(0.0101, 0.0, 1, owner).due < 0.0101 + GRAIN


def test_nothing_is_kept_of_timers_that_rang() -> None:
    queue, owner = TimerQueue(), Owner()
    for index in range(1000):
        queue.start(index * GRAIN, 0.0, 1, owner)
    assert len(rung(queue, 1.0)) == 1000
    assert queue._lanes == {}


Step = tuple[str, float]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.sampled_from([0.0, 0.001, 0.1, 0.5, 1.0, 4.0, 5.0, 32.0, 0.1234])),
        st.tuples(st.just("start"), st.floats(0, 3)),
        st.tuples(st.just("stop"), st.integers(0, 30).map(float)),
        st.tuples(st.just("pass"), st.floats(0, 5)),
        st.tuples(st.just("until due"), st.just(0.0)),
        st.tuples(st.just("stop while ringing"), st.integers(0, 30).map(float)),
    ),
    max_size=60,
)


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(steps)
def test_queue_does_what_a_sorted_list_does(script: list[Step]) -> None:
    """The list has everything that runs; each step is done to both."""
    queue, owner = TimerQueue(), Owner()
    now, number = 100.0, 0
    running: dict[int, Timer] = {}
    all_timers: list[Timer] = []
    for what, value in script:
        if what == "start":
            timer = queue.start(value, now, number, owner)
            assert value - 2e-6 <= timer.due - now <= value + GRAIN + EPSILON
            running[number] = timer
            all_timers.append(timer)
            number += 1
        elif what == "stop":
            if all_timers:
                timer = all_timers[int(value) % len(all_timers)]
                timer.stop()
                running.pop(timer.name, None)
        else:
            due = queue.deadline()
            now = max(now, due) if what == "until due" and due is not None else now + value
            expected = [timer for timer in running.values() if timer.due <= now]
            expected.sort(key=lambda timer: timer.due)
            rang = []
            for given_back, name in queue.expired(now):
                assert given_back is owner
                rang.append(running.pop(name))
                if what == "stop while ringing" and expected:
                    victim = expected[int(value) % len(expected)]
                    victim.stop()
                    running.pop(victim.name, None)
            assert [timer.due for timer in rang] == sorted(timer.due for timer in rang)
            if what != "stop while ringing":
                assert {timer.name for timer in rang} == {timer.name for timer in expected}
            assert all(timer.due > now for timer in running.values())
        earliest = min((timer.due for timer in running.values()), default=None)
        deadline = queue.deadline()
        assert len(queue) == len(running)
        if earliest is not None:
            assert deadline is not None
            assert deadline <= earliest, "a deadline that comes late"
    for timer in running.values():
        timer.stop()
    assert rung(queue, now) == []
    assert queue.deadline() is None
    assert len(queue) == 0
