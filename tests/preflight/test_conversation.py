"""Questions and their replies over real transactions, in virtual time."""

from collections.abc import Generator

import pytest

from sipfailover.chance import Chance
from sipfailover.flow import Flow, Send
from sipfailover.preflight.ask import options_question
from sipfailover.preflight.conversation import Conversation, Ended, Question, Reply, Script
from sipfailover.wire import Message
from tests.kit import invite
from tests.kit import request as sip_request
from tests.preflight.carrier import THERE, Desk, World, played

FLOW = Flow(THERE.transport, THERE.host, THERE.port, THERE.sent_by, THERE.local)


def ask(count: int = 1, seed: int = 3) -> Generator[Question, Reply, list[Reply]]:
    """So many OPTIONS, one after the other."""
    chance = Chance(seed)
    replies: list[Reply] = []
    while len(replies) < count:
        replies += [(yield options_question(THERE, b"carrier.example", None, chance))]
    return replies


def test_an_answer_comes_with_the_time_it_took() -> None:
    (reply,), world = played(ask(), Desk(), takes=0.02)
    assert reply.message is not None
    assert reply.message.status == 200
    assert reply.seconds == pytest.approx(0.04)
    assert (reply.sends, reply.why, reply.altered) == (1, "", False)
    assert reply.source is not None
    assert reply.source.peer == THERE.peer
    assert len(world.sent) == 1


def test_the_next_question_leaves_when_the_first_is_answered() -> None:
    replies, world = played(ask(3), Desk())
    assert len(replies) == 3
    assert [at for at, _, _ in world.sent] == pytest.approx([100.0, 100.01, 100.02])


def test_silence_is_a_reply_after_four_sendings() -> None:
    desk = Desk()
    desk.options = 0
    (reply,), world = played(ask(), desk)
    assert (reply.message, reply.why, reply.sends) == (None, "", 4)
    assert [at - 100.0 for at, _, _ in world.sent] == pytest.approx([0.0, 0.5, 1.5, 3.5])
    assert reply.seconds == pytest.approx(3.9)


def test_an_answer_to_the_third_sending_tells_of_three() -> None:
    desk = Desk()
    hear, count = desk.hear, [0]

    def deaf_twice(data: bytes) -> list[bytes]:
        count[0] += 1
        return hear(data) if count[0] > 2 else []

    desk.hear = deaf_twice  # type: ignore[method-assign]
    (reply,), _ = played(ask(), desk)
    assert reply.message is not None
    assert reply.sends == 3


def test_what_the_transport_loses_ends_the_wait_at_once() -> None:
    (reply,), world = played(ask(), Desk(), refuses="refused")
    assert (reply.message, reply.why) == (None, "refused")
    assert world.now == 100.0


def test_a_provisional_answer_is_no_end() -> None:
    desk = Desk()
    hear = desk.hear
    desk.hear = lambda data: [desk.say(Message(data), 100), *hear(data)]  # type: ignore[method-assign]
    (reply,), _ = played(ask(), desk)
    assert reply.message is not None
    assert reply.message.status == 200


def test_an_answer_under_another_branch_is_told_as_altered() -> None:
    desk = Desk()
    desk.mangle = lambda answer: answer.replace(b"branch=z9hG4bK", b"branch=z9hG4bKalg")
    (reply, following), _ = played(ask(2), desk)
    assert reply.altered
    assert following.altered
    assert reply.message is not None


def test_a_late_answer_to_the_right_branch_changes_nothing_after_an_altered_one() -> None:
    desk = Desk()
    hear = desk.hear
    desk.hear = lambda data: [  # type: ignore[method-assign]
        answer for one in hear(data) for answer in (one.replace(b"branch=z9hG4bK", b"branch=z9hG4bKalg"), one)
    ]
    replies, _ = played(ask(2), desk)
    assert [reply.altered for reply in replies] == [True, True]


def test_scripts_run_side_by_side() -> None:
    world = World(Conversation(Chance(1)), Desk())
    scripts: list[Script] = [ask(2, seed) for seed in (5, 6, 7)]
    assert isinstance(world.part, Conversation)
    for script in scripts:
        world.part.start(script, world.now)
    world.run(lambda: len(world.ended) == 3)
    assert {end.script for end in world.ended} == set(scripts)
    assert all(len(end.value) == 2 for end in world.ended)


def test_a_script_without_a_question_ends_at_once() -> None:
    conversation = Conversation(Chance(1))
    script = ask(0)
    conversation.start(script, 0.0)
    (end,) = conversation.take()
    assert isinstance(end, Ended)
    assert end.value == []
    assert conversation.deadline() is None


@pytest.mark.parametrize("request_", [invite(), sip_request("OPTIONS"), sip_request("REGISTER")])
def test_requests_of_others_are_told_that_nobody_is_here(request_: bytes) -> None:
    conversation = Conversation(Chance(1))
    conversation.receive(FLOW, request_, 0.0)
    (send,) = conversation.take()
    assert isinstance(send, Send)
    answer = Message(send.data)
    assert (answer.status, bool(answer.to_tag)) == (503, True)
    conversation.receive(FLOW, request_, 0.1)
    assert conversation.take() == [send], "its copy gets the same"


@pytest.mark.parametrize("data", [b"", b"nonsense\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"SIP/2.0 200 OK\r\nVia: x"])
def test_what_cannot_be_read_is_ignored(data: bytes) -> None:
    conversation = Conversation(Chance(1))
    conversation.start(ask(), 0.0)
    conversation.take()
    conversation.receive(FLOW, data, 0.1)
    assert conversation.take() == []
