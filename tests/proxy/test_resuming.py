"""A process is killed while something is under way, and the next one goes on with it, or ends it on both sides."""

import pytest

from sipfailover.proxy import CallEnded, Keep
from sipfailover.proxy.core import FINAL_LOOKED_AT_EVERY
from sipfailover.wire import Message, compose
from tests.kit import Seen, ack, after, answer, received, send, sends_nothing
from tests.kit.sip import SDP
from tests.proxy.office import BACKUP, MAIN, PBX
from tests.proxy.steps import ANSWERED, STEPS, acknowledges, hangs_up, holds, is_over, rings, talking
from tests.proxy.survivor import sends
from tests.proxy.talk import HOLD, inside, reply


@pytest.mark.parametrize("steps", range(1, ANSWERED), ids=lambda n: STEPS[n - 1].__name__)
def test_a_call_that_was_not_answered_is_ended_on_both_sides(steps: int) -> None:
    book = talking(steps=steps)
    offered, asked = book.seen(MAIN).last("INVITE"), book.seen(PBX).given("INVITE")
    assert book.calls() == ["try/1"]
    book.crash(away=3.0)
    assert book.calls() == ["final/1", "try/1"]  # until the caller has acknowledged that
    assert book.channels() == {}
    cancel, told = book.seen(MAIN).last("CANCEL"), book.seen(PBX).last(503)
    assert cancel.first[b"via"] == offered.first[b"via"]  # what finds the INVITE (§9.1)
    for name in (b"from", b"to", b"call-id"):
        assert cancel.first[name] == offered.first[name]
    assert (cancel.cseq, cancel.uri) == (offered.cseq, offered.uri)
    assert told.first[b"via"].startswith(asked.first[b"via"])
    assert (told.call_id, told.cseq, told.from_tag, told.cseq_method) == (asked.call_id, 1, asked.from_tag, b"INVITE")
    if steps > 1:
        assert told.to_tag == book.seen(PBX).last(180).to_tag
    (end,) = book.ended()
    assert isinstance(end, CallEnded)
    assert (end.status, end.ended_by, end.trunk) == (503, "sipfailover", "main")
    book._out.clear()
    assert (
        book
        >> received(PBX, ack())
        >> received(MAIN, reply_to_cancel)
        >> received(MAIN, answer(487, to="INVITE"))
        << send(MAIN, "ACK")
    )  # fmt: skip
    is_over(book)


def test_a_second_crash_tells_the_caller_the_same_once_more_and_nobody_else_anything_new() -> None:
    book = talking(steps=2).crash()
    first = book.seen(PBX).last(503)
    told = len(book.sent)
    book.crash(away=1.0)
    again = [data for to, data in book.sent[told:] if to.peer == PBX.peer and data.startswith(b"SIP/2.0 ")]
    assert [Message(data).to_tag for data in again] == [first.to_tag]
    assert len(book.ended()) == 1, "one row for one call"
    book._out.clear()
    assert book >> received(PBX, ack()) >> received(MAIN, reply_to_cancel)
    is_over(book)


def reply_to_cancel(seen: Seen) -> bytes:
    return compose.response(seen.last("CANCEL"), 200)


@pytest.mark.parametrize("steps", range(1, ANSWERED), ids=lambda n: STEPS[n - 1].__name__)
def test_an_answer_to_a_call_that_was_lost_costs_nothing(steps: int) -> None:
    book = talking(steps=steps).crash()
    book._out.clear()
    assert (
        book
        >> received(PBX, ack())
        >> received(MAIN, reply_to_cancel)
        >> received(MAIN, answer(200, to="INVITE"))
        << send(MAIN, "ACK")
        << send(MAIN, "BYE")
        >> received(MAIN, reply(200, "BYE"))
    )
    is_over(book)


def test_the_attempt_under_way_is_cancelled_and_not_the_one_before() -> None:
    book = talking(steps=1)
    assert book >> received(MAIN, answer(503)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    book.crash()
    assert book.seen(BACKUP).last("CANCEL").call_id == book.seen(BACKUP).last("INVITE").call_id
    assert not [data for to, data in book.sent if to.peer == MAIN.peer and data.startswith(b"CANCEL ")]


def test_a_call_that_was_refused_leaves_nothing_behind() -> None:
    book = talking(steps=1)
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    assert book.calls() == ["final/1", "try/1"]
    assert book >> received(PBX, ack()) >> after(FINAL_LOOKED_AT_EVERY)
    assert book.calls() == []


def test_a_refusal_that_may_not_have_arrived_is_said_again_by_the_next_process() -> None:
    book = talking(steps=1)
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    told = len(book.sent)
    book.crash(away=1.0)
    assert [data[:11] for to, data in book.sent[told:] if to.peer == PBX.peer and data.startswith(b"SIP")] == [
        b"SIP/2.0 486"
    ]
    assert len(book.ended()) == 1
    book._out.clear()
    assert book >> received(PBX, ack()) >> received(MAIN, reply_to_cancel) >> after(FINAL_LOOKED_AT_EVERY)
    assert book.calls() == []
    is_over(book)


def test_a_refusal_of_long_ago_is_not_said_again() -> None:
    book = talking(steps=1)
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    told = len(book.sent)
    book.crash(away=33.0)
    assert [data[:11] for to, data in book.sent[told:] if data.startswith(b"SIP")] == []
    assert book.calls() == []


def test_a_set_up_of_long_ago_is_nobodys_business() -> None:
    book = talking(steps=2)
    told = len(book.sent)
    book.crash(away=301.0)
    assert not [data for _, data in book.sent[told:] if not data.startswith(b"OPTIONS ")]


def test_a_call_is_kept_before_its_answer_leaves() -> None:
    book = talking(steps=STEPS.index(rings) + 1)
    engine = book.engine
    engine.receive(MAIN, answer(200)(book.seen(MAIN)), book.now)
    commands = engine.take()
    kept = next(index for index, command in enumerate(commands) if isinstance(command, Keep))
    told = next(index for index, command in enumerate(commands) if command in sends(commands))
    assert kept < told


def test_an_answer_that_was_kept_and_never_left_is_said_after_the_crash() -> None:
    book = talking(steps=STEPS.index(rings) + 1)
    book.engine.receive(MAIN, answer(200)(book.seen(MAIN)), book.now)
    (never_sent,) = [one.data for one in sends(book.engine.take()) if one.to.peer == PBX.peer]
    book.crash()
    assert [data for to, data in book.sent if to.peer == PBX.peer][-1] == never_sent
    book._out.clear()
    acknowledges(book)
    assert book.calls() == ["call/1"]
    hangs_up(book, MAIN, callee=False)
    is_over(book)


def test_the_callers_copy_of_its_invite_is_no_second_call() -> None:
    book = talking(steps=ANSWERED).crash()
    asked = book.got[0][1]
    assert asked.startswith(b"INVITE ")
    book._out.clear()
    assert book >> received(PBX, asked) << sends_nothing()
    assert len(book.engine.core.calls) == 1


def test_an_answer_is_repeated_until_its_ack_comes_which_reaches_the_called_side() -> None:
    book = talking(steps=ANSWERED).crash()
    book._out.clear()
    told = sum(data.startswith(b"SIP/2.0 200") and to.peer == PBX.peer for to, data in book.sent)
    assert told == 2
    assert book >> after(2.0)
    assert sum(data.startswith(b"SIP/2.0 200") and to.peer == PBX.peer for to, data in book.sent) > told
    acknowledges(book)
    told = sum(data.startswith(b"SIP/2.0 200") for _, data in book.sent)
    assert book >> after(5.0)
    assert sum(data.startswith(b"SIP/2.0 200") for _, data in book.sent) == told
    assert book.calls() == ["call/1"]


def test_who_does_not_repeat_its_ack_is_not_hung_up_on() -> None:
    book = talking(steps=ANSWERED)
    book.engine.inside.acknowledged(Message(ack()(book.seen(PBX))), book.now)  # and nobody hears of it any more
    book.crash()
    book._out.clear()
    assert book >> after(9.0)  # before the roll call
    assert book >> received(PBX, inside("INFO", 2)) << send(MAIN, "INFO")
    call = book.engine.core.calls[1]
    leg = call.a
    book.engine.core.layer.clients.clear()
    book.engine.inside.ring(leg, leg.give_up.name, book.now)  # type: ignore[union-attr,arg-type]
    assert list(book.engine.core.calls) == [1]
    assert not leg.answer


def test_an_answer_is_old_after_64_t1() -> None:
    book = talking(steps=ANSWERED)
    told = len(book.sent)
    book.crash(away=33.0)
    assert [data[:11] for _, data in book.sent[told:]] == []


@pytest.mark.parametrize("callee", [False, True], ids=["caller", "called"])
def test_an_invite_inside_a_call_that_was_under_way_goes_on(callee: bool) -> None:
    book = talking()
    here, there = (MAIN, PBX) if callee else (PBX, MAIN)
    hold = inside("INVITE", 7, callee=callee, body=HOLD)
    assert book >> received(here, hold) << send(here, 100) << send(there, "INVITE", lambda one: one.body == HOLD)
    first = book.seen(there).last("INVITE")
    book.crash(away=1.0)
    again = book.seen(there).last("INVITE")
    assert (again.via.branch, again.cseq) == (first.via.branch, first.cseq), "a copy, and no second question"
    book._out.clear()
    copy = next(data for _, data in reversed(book.got) if data.startswith(b"INVITE "))
    assert book >> received(here, copy) << sends_nothing()
    assert book >> received(there, reply(200, "INVITE", body=SDP)) << send(here, 200, lambda one: one.body == SDP)
    assert book.calls() == ["answer/1/called" if callee else "answer/1", "call/1"]
    acknowledged = inside("ACK", 7, callee=callee, contact=b"")
    assert book >> received(here, acknowledged) << send(there, "ACK", lambda one: one.cseq == first.cseq)
    assert book.calls() == ["call/1"]


@pytest.mark.parametrize("callee", [False, True], ids=["caller", "called"])
def test_an_answer_inside_a_call_that_was_not_acknowledged_is_said_again(callee: bool) -> None:
    book = talking()
    here, there = (MAIN, PBX) if callee else (PBX, MAIN)
    hold = inside("INVITE", 7, callee=callee, body=HOLD)
    assert book >> received(here, hold) << send(here, 100) << send(there, "INVITE")
    book.engine.receive(there, reply(200, "INVITE", body=SDP)(book.seen(there)), book.now)
    (never_sent,) = [one.data for one in sends(book.engine.take()) if one.to.peer == here.peer]
    book.crash(away=1.0)
    assert [data for to, data in book.sent if to.peer == here.peer and data.startswith(b"SIP")][-1] == never_sent
    book._out.clear()
    acknowledged = inside("ACK", 7, callee=callee, contact=b"", body=SDP)
    assert book >> received(here, acknowledged) << send(there, "ACK", lambda one: one.body == SDP)


def test_a_hold_that_is_refused_after_the_crash_is_refused() -> None:
    book = talking(steps=STEPS.index(holds) + 1).crash()
    book._out.clear()
    assert book >> received(MAIN, reply(488, "INVITE")) << send(MAIN, "ACK") << send(PBX, 488)
    assert book.calls() == ["call/1"]
    assert book.engine.inside.invites == {}


def test_a_request_that_had_no_answer_is_asked_again_though_its_number_is_known() -> None:
    book = talking()
    moved = inside("UPDATE", 5, contact=b"<sip:moved@192.0.2.10:5071>")  # it makes the record anew, with its number
    assert book >> received(PBX, moved) << send(MAIN, "UPDATE")
    book.crash()
    book._out.clear()
    assert (
        book
        >> received(PBX, moved)
        << send(MAIN, "UPDATE")
        >> received(MAIN, reply(200, "UPDATE"))
        << send(PBX, 200)
    )  # fmt: skip


def test_a_late_answer_that_was_acknowledged_is_hung_up_by_the_next_process() -> None:
    book = talking(steps=1)
    assert book >> after(4.0) << send(BACKUP, "INVITE")
    book.engine.receive(MAIN, answer(200, to="INVITE")(book.seen(MAIN)), book.now)
    late = [one.data for one in sends(book.engine.take()) if one.to.peer == MAIN.peer]
    assert [data.partition(b" ")[0] for data in late] == [b"ACK", b"BYE"]  # and the process ends between them
    told = len(book.sent)
    book.crash()
    byes = [data for to, data in book.sent[told:] if to.peer == MAIN.peer and data.startswith(b"BYE ")]
    assert len(byes) == 1
