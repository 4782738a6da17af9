"""Server transaction for INVITE, row by row: RFC 3261 §17.2.1, RFC 6026 §7.1."""

import pytest

from sipfailover.transaction import Input
from sipfailover.transaction.invite_server import ACCEPTED, COMPLETED, CONFIRMED, PROCEEDING, TERMINATED
from tests.transaction.world import PHONE, STREAM, World, request

INVITE = request(b"INVITE")
TCP_INVITE = request(b"INVITE", transport="tcp")
ACK = request(b"ACK", to_tag=b"us")
TCP_ACK = request(b"ACK", to_tag=b"us", transport="tcp")
BYE_ACK = request(b"ACK", to_tag=b"us", branch=b"z9hG4bKsecond")


def test_invite_is_told_once_and_has_no_clock_of_its_own() -> None:
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.receive(PHONE, INVITE)
    world.after(3600)
    assert world.inputs() == [Input.REQUEST]
    assert (tx.state, world.sent) == (PROCEEDING, [])


def test_repeated_invite_is_answered_with_the_last_provisional() -> None:
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.respond(tx, 100)
    world.receive(PHONE, INVITE)
    world.respond(tx, 180)
    world.receive(PHONE, INVITE)
    assert [data[:11] for _, _, data in world.sent] == [b"SIP/2.0 100", b"SIP/2.0 100", b"SIP/2.0 180", b"SIP/2.0 180"]
    assert {to for _, to, _ in world.sent} == {PHONE}
    assert world.layer.repeats_in == {b"INVITE": 2}
    assert world.inputs() == [Input.REQUEST]


def test_failure_is_repeated_up_to_every_t2_until_timer_h() -> None:
    """§17.2.1: timer G from T1 to T2, timer H after 64*T1."""
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.respond(tx, 486)
    assert tx.state is COMPLETED
    world.after(60)
    assert world.times(b"SIP/2.0 486") == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert world.told[-1] == (32.0, tx, Input.TIMER_H, None)
    assert tx.state is TERMINATED
    world.assert_empty()


def test_ack_stops_the_repetition_and_is_absorbed_for_t4() -> None:
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.respond(tx, 503)
    world.after(0.6)
    world.receive(PHONE, ACK)
    assert tx.state is CONFIRMED
    world.after(4.9)
    world.receive(PHONE, ACK)
    world.receive(PHONE, INVITE)
    assert world.times(b"SIP/2.0 503") == [0, 0.5]
    assert world.inputs() == [Input.REQUEST], "the ACK to a failure is nobody's business"
    world.after(0.2)
    world.assert_empty()
    world.receive(PHONE, ACK)
    assert world.told[-1][1:3] == (None, Input.ACK)


def test_repeated_invite_is_answered_with_the_failure() -> None:
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.respond(tx, 404)
    world.after(0.1)
    world.receive(PHONE, INVITE)
    assert world.times(b"SIP/2.0 404") == [0, 0.1]


def test_failure_over_a_stream_is_said_once_and_waits_for_its_ack() -> None:
    world = World()
    tx = world.asked(STREAM, TCP_INVITE)
    world.respond(tx, 486)
    world.after(31)
    assert world.times(b"SIP/2.0") == [0]
    world.receive(STREAM, TCP_ACK)
    world.after(0.001)
    world.assert_empty()


def test_failure_over_a_stream_that_nobody_acknowledges_ends_too() -> None:
    world = World()
    tx = world.asked(STREAM, TCP_INVITE)
    world.respond(tx, 486)
    world.after(33)
    assert world.told[-1][1:3] == (tx, Input.TIMER_H)
    world.assert_empty()


def test_what_follows_a_failure_is_swallowed() -> None:
    """§17.2.1: any other final answer is discarded."""
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.respond(tx, 486)
    for status in (180, 200, 404):
        world.respond(tx, status)
    world.receive(PHONE, INVITE)
    assert {data[:11] for _, _, data in world.sent} == {b"SIP/2.0 486"}
    world.receive(PHONE, ACK)
    for status in (180, 200, 404):
        world.respond(tx, status)
    assert (tx.state, len(world.sent)) == (CONFIRMED, 2)


@pytest.mark.parametrize("stream", [False, True])
def test_2xx_is_the_users_and_absorbs_invites_for_64_t1(stream: bool) -> None:
    """RFC 6026 §7.1: not repeated by the transaction, not for a repeated INVITE either."""
    flow, invite = (STREAM, TCP_INVITE) if stream else (PHONE, INVITE)
    world = World()
    tx = world.asked(flow, invite)
    world.respond(tx, 200)
    assert tx.state is ACCEPTED
    world.after(1)
    world.receive(flow, invite)
    world.respond(tx, 180)
    world.respond(tx, 486)
    assert world.times(b"SIP/2.0") == [0]
    world.respond(tx, 200)
    assert world.times(b"SIP/2.0 200") == [0, 1]
    world.after(30.9)
    assert tx.state is ACCEPTED
    world.after(0.2)
    world.assert_empty()
    world.respond(tx, 200)
    assert len(world.sent) == 2, "it is over"


def test_ack_to_a_2xx_is_passed_up_without_transaction() -> None:
    """It has a branch of its own (§17.1.1.3), or that of the INVITE from peers who do not care."""
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.respond(tx, 200)
    world.receive(PHONE, BYE_ACK)
    world.receive(PHONE, ACK)
    assert [raised[1:3] for raised in world.told[1:]] == [(None, Input.ACK), (None, Input.ACK)]
    assert tx.state is ACCEPTED


def test_ack_before_any_final_answer_means_nothing() -> None:
    world = World()
    tx = world.asked(PHONE, INVITE)
    world.receive(PHONE, ACK)
    assert (world.inputs(), tx.state) == ([Input.REQUEST], PROCEEDING)
