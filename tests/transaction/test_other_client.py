"""Client transaction for everything else, row by row: RFC 3261 §17.1.2."""

import pytest

from sipfailover.flow import Target
from sipfailover.transaction import Input
from sipfailover.transaction.other_client import COMPLETED, PROCEEDING, TERMINATED
from tests.transaction.world import TCP_TRUNK, TRUNK, World

OPTIONS = b"OPTIONS"


def test_silence_is_asked_again_up_to_every_t2_until_timer_f() -> None:
    world = World()
    tx = world.call(OPTIONS)
    world.after(60)
    assert world.times(OPTIONS) == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert world.told == [(32.0, tx, Input.TIMER_F, None)]
    assert tx.state is TERMINATED
    world.assert_empty()


def test_small_t1_is_capped_by_t2_too() -> None:
    world = World()
    world.call(OPTIONS, t1=0.1, life=12.0)
    world.after(60)
    assert world.times(OPTIONS) == [0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 10.3]
    assert round(world.told[0][0], 3) == 12.0
    world.assert_empty()


def test_provisional_makes_it_every_t2_but_does_not_stop_it() -> None:
    """§17.1.2.2: timer E goes on, and timer F as well."""
    world = World()
    tx = world.call(OPTIONS)
    world.after(0.6)
    world.answered(100, OPTIONS)
    assert tx.state is PROCEEDING
    world.answered(100, OPTIONS)
    world.after(60)
    assert world.times(OPTIONS) == [0, 0.5, 1.5, 5.5, 9.5, 13.5, 17.5, 21.5, 25.5, 29.5]
    assert world.inputs() == [Input.PROVISIONAL, Input.PROVISIONAL, Input.TIMER_F]
    assert round(world.told[-1][0], 3) == 32.0
    world.assert_empty()


def test_stream_is_not_asked_again() -> None:
    world = World()
    world.call(OPTIONS, to=TCP_TRUNK)
    world.after(1)
    world.answered(100, OPTIONS)
    world.after(60)
    assert world.times(OPTIONS) == [0]
    assert world.inputs() == [Input.PROVISIONAL, Input.TIMER_F]
    world.assert_empty()


@pytest.mark.parametrize("first", [None, 100])
@pytest.mark.parametrize(("status", "what"), [(200, Input.SUCCESS), (302, Input.FAILURE), (503, Input.FAILURE)])
def test_answer_is_told_once_and_absorbed_for_t4(first: int | None, status: int, what: Input) -> None:
    world = World()
    tx = world.call(OPTIONS)
    if first:
        world.answered(first, OPTIONS)
    world.answered(status, OPTIONS)
    assert tx.state is COMPLETED
    world.after(4.9)
    for late in (status, 100, 200, 404):
        world.answered(late, OPTIONS)
    world.lost(TRUNK)
    assert world.inputs()[-1] is what
    assert len(world.told) == (2 if first else 1)
    assert world.times(OPTIONS) == [0]
    world.after(0.2)
    world.assert_empty()
    world.answered(status, OPTIONS)
    assert world.told[-1][1] is None


def test_answer_over_a_stream_is_over_at_once() -> None:
    world = World()
    world.call(OPTIONS, to=TCP_TRUNK)
    world.answered(200, OPTIONS)
    world.after(0.001)
    world.assert_empty()


@pytest.mark.parametrize("to", [TRUNK, TCP_TRUNK])
@pytest.mark.parametrize("provisional", [False, True])
def test_peer_that_cannot_be_reached_ends_it_at_once(to: Target, provisional: bool) -> None:
    world = World()
    tx = world.call(OPTIONS, to=to)
    if provisional:
        world.answered(100, OPTIONS)
    world.lost(to)
    assert world.told[-1][1:3] == (tx, Input.LOST)
    world.assert_empty()
