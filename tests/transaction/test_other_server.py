"""Server transaction for everything else, row by row: RFC 3261 §17.2.2."""

import pytest

from sipfailover.transaction import Input
from sipfailover.transaction.other_server import COMPLETED, PROCEEDING, TRYING
from tests.transaction.world import PHONE, STREAM, World, request

OPTIONS = request(b"OPTIONS")
TCP_OPTIONS = request(b"OPTIONS", transport="tcp")


def test_repeated_request_is_discarded_until_there_is_an_answer() -> None:
    world = World()
    tx = world.asked(PHONE, OPTIONS)
    world.receive(PHONE, OPTIONS)
    assert (tx.state, world.sent, world.inputs()) == (TRYING, [], [Input.REQUEST])
    assert world.layer.repeats_in == {b"OPTIONS": 1}


def test_repeated_request_is_answered_with_the_last_answer() -> None:
    world = World()
    tx = world.asked(PHONE, OPTIONS)
    world.respond(tx, 100)
    assert tx.state is PROCEEDING
    world.receive(PHONE, OPTIONS)
    world.respond(tx, 183)
    world.receive(PHONE, OPTIONS)
    world.respond(tx, 404)
    assert tx.state is COMPLETED
    world.receive(PHONE, OPTIONS)
    assert [int(data[8:11]) for _, _, data in world.sent] == [100, 100, 183, 183, 404, 404]
    assert world.inputs() == [Input.REQUEST]


@pytest.mark.parametrize("provisional", [False, True])
@pytest.mark.parametrize("status", [200, 302, 481, 600])
def test_answer_is_kept_for_timer_j_and_never_said_unasked(provisional: bool, status: int) -> None:
    world = World()
    tx = world.asked(PHONE, OPTIONS)
    if provisional:
        world.respond(tx, 100)
    world.respond(tx, status)
    world.after(31.9)
    world.receive(PHONE, OPTIONS)
    assert world.times(b"SIP/2.0 %d" % status) == [0, 31.9]
    world.after(0.2)
    world.assert_empty()
    assert world.inputs() == [Input.REQUEST]
    world.receive(PHONE, OPTIONS)
    assert world.inputs() == [Input.REQUEST] * 2, "later it is a new request"


def test_answer_over_a_stream_is_over_at_once() -> None:
    world = World()
    tx = world.asked(STREAM, TCP_OPTIONS)
    world.respond(tx, 200)
    world.after(0.001)
    world.assert_empty()


def test_what_follows_a_final_answer_is_swallowed() -> None:
    world = World()
    tx = world.asked(PHONE, OPTIONS)
    world.respond(tx, 404)
    for status in (100, 200, 500):
        world.respond(tx, status)
    world.receive(PHONE, OPTIONS)
    assert [int(data[8:11]) for _, _, data in world.sent] == [404, 404]
