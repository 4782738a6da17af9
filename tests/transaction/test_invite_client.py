"""Client transaction for INVITE, row by row: RFC 3261 §17.1.1, §9.1, RFC 6026 §7.2."""

import pytest

from sipfailover.transaction import Input
from sipfailover.transaction.invite_client import ACCEPTED, CALLING, COMPLETED, PROCEEDING, TERMINATED
from sipfailover.wire import Message
from tests.transaction.world import BRANCH, TCP_TRUNK, TRUNK, World, answer

PROVISIONAL, SUCCESS, FAILURE, LOST = Input.PROVISIONAL, Input.SUCCESS, Input.FAILURE, Input.LOST


def test_silence_is_asked_again_at_doubling_intervals_until_timer_b() -> None:
    """§17.1.1.2: 0, T1, 3*T1, 7*T1, … seven requests in 64*T1."""
    world = World()
    tx = world.call()
    world.after(31.9)
    assert world.times(b"INVITE") == [0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
    assert tx.sends == 7
    assert world.told == []
    world.after(0.1)
    assert tx.state is TERMINATED
    assert world.told == [(32.0, tx, Input.TIMER_B, None)]
    world.assert_empty()
    world.after(100)
    assert len(world.sent) == 7


def test_small_t1_asks_again_sooner_but_not_longer() -> None:
    """An adaptive T1 moves timer A; timer B is its own."""
    world = World()
    world.call(t1=0.1, life=2.0)
    world.after(60)
    assert world.times(b"INVITE") == [0, 0.1, 0.3, 0.7, 1.5]
    assert world.inputs() == [Input.TIMER_B]
    assert round(world.told[0][0], 3) == 2.0
    world.assert_empty()


def test_stream_is_not_asked_again() -> None:
    world = World()
    world.call(to=TCP_TRUNK)
    world.after(60)
    assert world.times(b"INVITE") == [0]
    assert world.inputs() == [Input.TIMER_B]
    world.assert_empty()


def test_provisional_stops_asking_and_all_clocks() -> None:
    """§17.1.1.2: in Proceeding only the user's timer C ends it."""
    world = World()
    tx = world.call()
    world.after(0.7)
    world.answered(100)
    assert tx.state is PROCEEDING
    world.answered(180)
    world.after(3600)
    assert world.times(b"INVITE") == [0, 0.5]
    assert world.inputs() == [PROVISIONAL, PROVISIONAL]
    assert len(world.timers) == 0
    assert tx.state is PROCEEDING


@pytest.mark.parametrize("ringing", [False, True])
@pytest.mark.parametrize("status", [300, 404, 486, 503, 603])
def test_failure_is_acknowledged_each_time_it_comes_for_timer_d(ringing: bool, status: int) -> None:
    world = World()
    tx = world.call()
    if ringing:
        world.answered(180)
    world.answered(status)
    assert tx.state is COMPLETED
    (_, to, ack), *_ = [sent for sent in world.sent if sent[2].startswith(b"ACK")]
    message = Message(ack)
    assert to == TRUNK
    assert (message.via.branch, message.cseq, message.to_tag) == (BRANCH, 1, b"them")
    world.after(1.0)
    world.answered(status)
    world.after(30.9)
    world.answered(status)
    assert world.times(b"ACK") == [0, 1.0, 31.9]
    assert len({data for _, _, data in world.sent if data.startswith(b"ACK")}) == 1
    assert world.inputs().count(FAILURE) == 1, "the user is told once"
    world.after(0.2)
    assert tx.state is TERMINATED
    world.assert_empty()


def test_failure_over_a_stream_is_over_at_once() -> None:
    """§17.1.1.2: timer D is 0 where nothing is lost."""
    world = World()
    world.call(to=TCP_TRUNK)
    world.answered(486)
    assert world.times(b"ACK") == [0]
    world.after(0.001)
    world.assert_empty()


def test_completed_ignores_what_comes_late_and_passes_a_2xx_up_as_stray() -> None:
    world = World()
    tx = world.call()
    world.answered(486)
    world.answered(180)
    world.cancel()
    world.lost(TRUNK)
    world.answered(200)
    assert world.inputs() == [FAILURE, SUCCESS]
    assert world.told[-1][1] is None
    assert tx.state is COMPLETED
    assert world.times(b"CANCEL") == []


@pytest.mark.parametrize("ringing", [False, True])
def test_every_2xx_is_passed_up_for_timer_m(ringing: bool) -> None:
    """RFC 6026 §7.2: repeated, or of another branch of a fork; the ACK is the user's."""
    world = World()
    tx = world.call()
    if ringing:
        world.answered(183)
    world.answered(200)
    assert tx.state is ACCEPTED
    world.after(1.0)
    world.answered(200)
    world.answered(200, tag=b"other")
    world.after(30.9)
    world.answered(200)
    successes = [
        (round(when, 1), message.to_tag) for when, _, what, message in world.told if what is SUCCESS and message
    ]
    assert successes == [(0, b"them"), (1.0, b"them"), (1.0, b"other"), (31.9, b"them")]
    assert {tx for _, tx, what, _ in world.told if what is SUCCESS} == {tx}
    assert world.times(b"ACK") == []
    world.after(0.2)
    world.assert_empty()
    world.answered(200)
    assert world.told[-1][1:3] == (None, SUCCESS), "later still it is a stray answer"


def test_accepted_lasts_as_long_over_a_stream() -> None:
    world = World()
    tx = world.call(to=TCP_TRUNK)
    world.answered(200)
    world.after(31.9)
    assert tx.state is ACCEPTED
    world.after(0.2)
    world.assert_empty()


def test_accepted_ignores_all_but_2xx() -> None:
    world = World()
    tx = world.call()
    world.answered(200)
    world.answered(180)
    world.answered(486)
    world.cancel()
    world.lost(TRUNK)
    assert world.inputs() == [SUCCESS]
    assert tx.state is ACCEPTED
    assert len(world.sent) == 1


@pytest.mark.parametrize("to", [TRUNK, TCP_TRUNK])
def test_peer_that_cannot_be_reached_ends_it_at_once(to: object) -> None:
    world = World()
    tx = world.call(to=to)  # type: ignore[arg-type]
    world.lost(to, "no route")  # type: ignore[arg-type]
    assert world.told == [(0.0, tx, LOST, None)]
    assert tx.reason == "no route"
    assert tx.state is TERMINATED
    world.assert_empty()


class TestCancel:
    """§9.1."""

    def test_cancel_waits_for_a_provisional_answer(self) -> None:
        world = World()
        tx = world.call()
        world.after(0.2)
        world.cancel()
        assert tx.state is CALLING
        world.after(1.0)
        assert world.times(b"INVITE") == [0], "nobody is asked any more"
        assert world.times(b"CANCEL") == []
        world.answered(180)
        assert world.times(b"CANCEL") == [1.2]
        assert tx.state is PROCEEDING
        assert world.inputs() == [PROVISIONAL]

    def test_cancel_leaves_at_once_after_a_provisional_answer(self) -> None:
        world = World()
        world.call()
        world.answered(100)
        world.cancel()
        assert world.times(b"CANCEL") == [0]
        cancel = Message(world.sent[-1][2])
        assert (cancel.via.branch, cancel.cseq, cancel.cseq_method) == (BRANCH, 1, b"CANCEL")
        assert world.sent[-1][1] == TRUNK

    def test_cancel_leaves_once_however_often_it_is_wished(self) -> None:
        world = World()
        world.call()
        world.cancel()
        world.cancel()
        world.answered(100)
        world.cancel()
        world.answered(180)
        assert world.times(b"CANCEL") == [0]

    @pytest.mark.parametrize("late", [0.0, 31.0])
    def test_487_after_cancel_is_acknowledged_and_told(self, late: float) -> None:
        world = World()
        tx = world.call()
        world.answered(180)
        world.cancel()
        world.answered(200, b"CANCEL")
        world.after(late)
        world.answered(487)
        assert world.times(b"ACK") == [late]
        assert world.told[-1][1:3] == (tx, FAILURE)
        assert tx.state is COMPLETED
        world.after(33)
        world.assert_empty()

    def test_cancelled_invite_without_an_answer_ends_after_64_t1(self) -> None:
        world = World()
        tx = world.call()
        world.answered(180)
        world.after(10)
        world.cancel()
        world.answered(200, b"CANCEL")
        world.after(31.9)
        assert tx.state is PROCEEDING
        world.after(0.2)
        assert world.told[-1][1:3] == (tx, Input.TIMER_B)
        assert round(world.told[-1][0], 3) == 42.0
        world.assert_empty()

    def test_cancelled_invite_stays_64_t1_for_a_late_answer(self) -> None:
        """Given up before any answer: no CANCEL may leave, but a late 2xx is still a call of ours."""
        world = World()
        tx = world.call(life=2.0)
        world.after(1.9)
        world.cancel()
        world.after(31.9)
        world.answered(200)
        assert world.told[-1][1:3] == (tx, SUCCESS)
        assert tx.state is ACCEPTED
        assert world.times(b"CANCEL") == []
        world.after(33)
        world.assert_empty()

    def test_late_provisional_after_giving_up_is_cancelled_and_its_487_acknowledged(self) -> None:
        world = World()
        world.call(life=2.0)
        world.cancel()
        world.after(31.0)
        world.answered(183)
        assert world.times(b"CANCEL") == [31.0]
        world.answered(200, b"CANCEL")
        world.after(31.0)
        world.answered(487)
        assert world.times(b"ACK") == [62.0]
        world.after(40)
        world.assert_empty()

    def test_cancelled_invite_that_nobody_answers_ends(self) -> None:
        world = World()
        tx = world.call()
        world.after(5)
        world.cancel()
        world.after(33)
        assert world.told == [(37.0, tx, Input.TIMER_B, None)]
        world.assert_empty()

    def test_cancelled_invite_whose_peer_is_gone_ends_at_once(self) -> None:
        world = World()
        tx = world.call()
        world.cancel()
        world.lost(TRUNK)
        assert world.told == [(0.0, tx, LOST, None)]
        world.assert_empty()

    def test_2xx_that_crosses_the_cancel_is_told(self) -> None:
        world = World()
        tx = world.call()
        world.answered(180)
        world.cancel()
        world.answered(200)
        assert (tx.state, world.told[-1][1:3]) == (ACCEPTED, (tx, SUCCESS))
        world.answered(481, b"CANCEL")
        world.after(40)
        world.assert_empty()

    def test_cancel_is_a_transaction_of_its_own(self) -> None:
        """§9.1: repeated like any request, over when it is answered, and nobody's user."""
        world = World()
        world.call()
        world.answered(180)
        world.cancel()
        world.after(3.6)
        assert world.times(b"CANCEL") == [0, 0.5, 1.5, 3.5]
        world.answered(200, b"CANCEL")
        world.after(20)
        assert len(world.times(b"CANCEL")) == 4
        cancel = next(tx for _, tx, what, _ in world.told if what is SUCCESS)
        assert cancel is not None
        assert cancel.user is None

    def test_cancel_of_a_branch_that_is_over_or_unknown_means_nothing(self) -> None:
        world = World()
        world.cancel(b"z9hG4bKnone")
        world.call()
        world.answered(404)
        world.cancel()
        world.after(40)
        world.cancel()
        assert world.times(b"CANCEL") == []
        world.assert_empty()


def test_answer_of_another_method_or_branch_is_not_its_answer() -> None:
    world = World()
    tx = world.call()
    world.answered(200, b"OPTIONS")
    world.answered(200, branch=b"z9hG4bKother")
    assert tx.state is CALLING
    assert [raised[1:3] for raised in world.told] == [(None, SUCCESS), (None, SUCCESS)]


def test_to_tag_of_the_ack_is_that_of_the_failure() -> None:
    world = World()
    world.call()
    world.answered(180, tag=b"early")
    world.answered(486, tag=b"final")
    assert Message(world.sent[-1][2]).to_tag == b"final"
    assert Message(answer(486, tag=b"final")).first[b"to"] == Message(world.sent[-1][2]).first[b"to"]
