"""A process is killed at every step of a call, and the next one goes on where that stopped."""

from collections.abc import Callable

import pytest

from sipfailover.flow import Flow
from sipfailover.proxy import CallEnded, Keep
from sipfailover.proxy.keepsake import CSEQ_MARGIN
from sipfailover.wire import Message, compose
from tests.kit import Seen, ack, after, answer, invite, lost, received, recorded, send, sends_nothing
from tests.kit.leftovers import leftovers
from tests.kit.sip import SDP
from tests.proxy.office import BACKUP, MAIN, PBX, PBX2, tcp
from tests.proxy.survivor import SETTINGS, Survivor, sends
from tests.proxy.talk import HOLD, inside, reply

Step = Callable[[Survivor], None]


def calls(book: Survivor) -> None:
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")


def rings(book: Survivor) -> None:
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)


def is_answered(book: Survivor) -> None:
    assert book >> received(MAIN, answer(200)) << send(PBX, 200)


def acknowledges(book: Survivor) -> None:
    assert book >> received(PBX, ack()) << send(MAIN, "ACK")


def holds(book: Survivor) -> None:
    hold = inside("INVITE", 2, body=HOLD)
    assert book >> received(PBX, hold) << send(PBX, 100) << send(MAIN, "INVITE", lambda one: one.body == HOLD)


def is_held(book: Survivor) -> None:
    moved = reply(200, "INVITE", contact=b"<sip:new@198.51.100.7:5070>", body=SDP)
    assert book >> received(MAIN, moved) << send(PBX, 200)


def acknowledges_the_hold(book: Survivor) -> None:
    there = Flow("udp", "198.51.100.7", 5070, b"192.0.2.1:5060")
    assert book >> received(PBX, inside("ACK", 2, contact=b"")) << send(there, "ACK")


def is_asked_by_the_callee(book: Survivor) -> None:
    assert book >> received(MAIN, book.ask("INFO", 7, callee=True)) << send(PBX, "INFO")
    assert book >> received(PBX, reply(200, "INFO")) << send(MAIN, 200)


STEPS: list[Step] = [
    calls, rings, is_answered, acknowledges, holds, is_held, acknowledges_the_hold, is_asked_by_the_callee,
]  # fmt: skip
ANSWERED = STEPS.index(is_answered) + 1
MOVED = STEPS.index(is_held) + 1


def talking(*, steps: int = STEPS.index(acknowledges) + 1) -> Survivor:
    book = Survivor()
    for step in STEPS[:steps]:
        step(book)
    return book


def at(steps: int) -> Flow:
    """Where the carrier hears requests inside the call after so many steps."""
    return MAIN if steps < MOVED else Flow("udp", "198.51.100.7", 5070, b"192.0.2.1:5060")


def hangs_up(book: Survivor, carrier: Flow, *, callee: bool) -> None:
    """One end says BYE, and the other end gets it, on its own leg. If its 2xx has no ACK yet, it gets that, too."""
    unacknowledged = any(leg.ack_cseq != leg.success_cseq for leg in book.engine.core.legs.values())
    asked = book.seen(PBX).given("INVITE", where=lambda one: not one.to_tag)
    offered = book.seen(MAIN).last("INVITE", where=lambda one: not one.to_tag)
    if callee:
        heard = book >> received(MAIN, book.ask("BYE", 900, callee=True)) << send(MAIN, 200)
        if unacknowledged:
            heard = heard << send(MAIN, "ACK")
        assert (
            heard
            << send(PBX, "BYE", lambda one: one.call_id == asked.call_id and one.to_tag == asked.from_tag)
            >> received(PBX, reply(200, "BYE"))
        )
    else:
        assert (
            book
            >> received(PBX, book.ask("BYE", 900))
            << send(PBX, 200)
            << (send(carrier, "ACK") if unacknowledged else sends_nothing())
            << send(carrier, "BYE", lambda one: one.call_id == offered.call_id and one.to_tag == b"callee")
            >> received(carrier, lambda seen: _ok(seen.last("BYE")))
        )


def _ok(asked: Message) -> bytes:
    return compose.response(asked, 200)


def is_over(book: Survivor) -> None:
    """Nothing is left of it, in the engine nor in what is kept."""
    assert book >> after(400)
    assert leftovers(book.engine) == []
    assert book.calls() == []
    assert book.channels() == {}


@pytest.mark.parametrize("callee", [False, True], ids=["caller", "called"])
@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("steps", range(ANSWERED, len(STEPS) + 1), ids=lambda n: STEPS[n - 1].__name__)
def test_an_answered_call_goes_on_after_a_crash_at_every_step(steps: int, times: int, callee: bool) -> None:
    book = talking(steps=steps)
    for _ in range(times):
        book.crash(away=1.0)
    assert book.channels() == {"pbx": 1, "main": 1}
    assert [call.caller for call in book.engine.core.calls.values()] == ["+41441112233"]
    book._out.clear()
    hangs_up(book, at(steps), callee=callee)
    (end,) = book.ended()
    assert isinstance(end, CallEnded)
    assert (end.result, end.ended_by, end.trunk) == ("answered", "called" if callee else "caller", "main")
    assert end.answered_at is not None
    assert end.at - end.answered_at == pytest.approx(times * 1.0)
    is_over(book)


@pytest.mark.parametrize("steps", range(1, ANSWERED), ids=lambda n: STEPS[n - 1].__name__)
def test_a_call_that_was_not_answered_is_ended_on_both_sides(steps: int) -> None:
    book = talking(steps=steps)
    offered, asked = book.seen(MAIN).last("INVITE"), book.seen(PBX).given("INVITE")
    assert book.calls() == ["try/1"]
    book.crash(away=3.0)
    assert book.calls() == []
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
    assert book.calls() == []


def test_a_set_up_of_long_ago_is_nobodys_business() -> None:
    book = talking(steps=2)
    told = len(book.sent)
    book.crash(away=301.0)
    assert not [data for _, data in book.sent[told:] if not data.startswith(b"OPTIONS ")]


# ---- at the very moment of the answer


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


# ---- what goes on inside


def test_our_cseq_jumps_ahead_and_theirs_goes_on() -> None:
    book = talking()
    before = book.engine.core.calls[1].b.cseq  # type: ignore[union-attr]
    book.crash().crash()
    book._out.clear()
    assert (
        book
        >> received(PBX, inside("INFO", 2))
        << send(MAIN, "INFO", lambda one: one.cseq == before + 2 * CSEQ_MARGIN + 1)
        >> received(MAIN, reply(200, "INFO"))
        << send(PBX, 200)
        >> received(PBX, inside("INFO", 1))
        << send(PBX, 500)  # out of order, as before the crash
    )


@pytest.mark.parametrize("method", ["INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE"])
@pytest.mark.parametrize("callee", [False, True], ids=["caller", "called"])
def test_requests_go_on_from_either_side(method: str, callee: bool) -> None:
    book = talking().crash()
    book._out.clear()
    here, there = (MAIN, PBX) if callee else (PBX, MAIN)
    ask = inside(method, 5, callee=callee, headers=((b"rack", b"1 1 INVITE"),) if method == "PRACK" else ())
    assert book >> received(here, ask) << send(there, method) >> received(there, reply(200, method)) << send(here, 200)


def test_a_re_invite_goes_on_after_a_crash() -> None:
    book = talking().crash()
    book._out.clear()
    for step in (holds, is_held, acknowledges_the_hold):
        step(book)


def test_a_notify_after_the_crash_names_the_refer_from_before_it() -> None:
    book = talking()
    refer = inside("REFER", 2, headers=((b"refer-to", b"<sip:12@192.0.2.1>"),))
    assert book >> received(PBX, refer) << send(MAIN, "REFER") >> received(MAIN, reply(202, "REFER")) << send(PBX, 202)
    ours = book.seen(MAIN).last("REFER").cseq
    book.crash()
    book._out.clear()
    notify = inside("NOTIFY", 3, callee=True, headers=((b"event", b"refer;id=%d" % ours),))
    assert book >> received(MAIN, notify) << send(PBX, "NOTIFY", lambda one: one.get(b"event") == b"refer;id=2")


def test_an_answer_to_a_hold_from_before_the_crash_is_acknowledged_by_us() -> None:
    book = talking(steps=STEPS.index(holds) + 1).crash()
    book._out.clear()
    late = reply(200, "INVITE", body=SDP)
    said = late(book.seen(MAIN))
    assert book >> received(MAIN, said) << send(MAIN, "ACK")
    assert book >> received(MAIN, said) << sends_nothing()  # but for the same ACK again
    assert sum(data.startswith(b"ACK ") for _, data in book.sent) == 3


def test_many_requests_of_ours_make_the_record_anew() -> None:
    book = talking()
    before = book.kept["call/1"]
    for cseq in range(2, 140):
        assert (
            book
            >> received(PBX, inside("INFO", cseq))
            << send(MAIN, "INFO")
            >> received(MAIN, reply(200, "INFO"))
            << send(PBX, 200)
        )
    last = book.seen(MAIN).last("INFO").cseq
    assert book.kept["call/1"] != before
    book.crash()
    assert book.engine.core.calls[1].b.cseq > last  # type: ignore[union-attr]


# ---- the end


@pytest.mark.parametrize("callee", [False, True], ids=["caller", "called"])
def test_a_bye_without_an_answer_is_sent_again_by_the_next_process(callee: bool) -> None:
    book = talking()
    here, there = (MAIN, PBX) if callee else (PBX, MAIN)
    assert book >> received(here, book.ask("BYE", 900, callee=callee)) << send(here, 200) << send(there, "BYE")
    first = book.seen(there).last("BYE")
    book.crash(away=2.0)
    again = book.seen(there).last("BYE")
    assert again.cseq > first.cseq
    assert (again.call_id, again.to_tag, again.from_tag) == (first.call_id, first.to_tag, first.from_tag)
    assert len(book.ended()) == 1  # told once, by the first process
    book._out.clear()
    assert book >> received(there, reply(200, "BYE"))
    is_over(book)


def test_a_call_whose_trunk_is_not_in_the_file_any_more_is_ended_on_both_sides() -> None:
    book = talking()
    book.crash(text=SETTINGS.replace("name: main", "name: other"))
    assert book.seen(PBX).last("BYE").to_tag
    assert book.seen(MAIN).last("BYE").to_tag == b"callee"
    (end,) = book.ended()
    assert isinstance(end, CallEnded)
    assert (end.trunk, end.ended_by) == ("main", "sipfailover")


def test_call_numbers_go_on() -> None:
    book = talking().crash()
    assert book.engine.core.call_count == 1
    book._out.clear()
    calls(book)
    assert sorted(book.engine.core.calls) == [1, 2]


def test_the_page_shows_a_restored_call_as_it_was() -> None:
    book = talking()
    before = book.engine.view(book.now).calls
    book.crash(away=3.0)
    assert book.engine.view(book.now).calls == before


def test_a_rerouted_call_stays_a_rerouted_call() -> None:
    book = Survivor()
    calls(book)
    assert (
        book
        >> received(MAIN, answer(503))
        << send(MAIN, "ACK")
        << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(200))
        << send(PBX, 200)
        >> received(PBX, ack())
        << send(BACKUP, "ACK")
    )
    book.crash()
    assert book.channels() == {"pbx": 1, "backup": 1}
    book._out.clear()
    assert (
        book
        >> received(PBX, book.ask("BYE", 9))
        << send(PBX, 200)
        << send(BACKUP, "BYE")
        << recorded(CallEnded, trunk="backup", first_choice="main", rerouted=True, attempts=2)
    )


def test_what_cannot_be_read_is_left_out_and_the_rest_goes_on() -> None:
    book = talking()
    book.kept |= {"call/9": b"[1,2]", "call/8": b"{", "bye/x": b"[]", "answer/1": b"7", "pbx/nobody": b"[]", "?": b""}
    book.crash()
    assert list(book.engine.core.calls) == [1]


# ---- connections


def test_a_peer_whose_connection_is_gone_is_called_at_its_contact() -> None:
    book = Survivor()
    phone = tcp("phone", "192.0.2.10")
    there = Flow("tcp", "192.0.2.10", 5060, b"192.0.2.1:5060")
    asked = invite(transport="TCP")
    assert (
        book
        >> received(phone, asked)
        << send(phone, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(phone, 200)
        >> received(phone, ack())
        << send(MAIN, "ACK")
    )
    book.crash()
    book._out.clear()
    bye = book.ask("BYE", 900, callee=True)
    book.engine.receive(MAIN, bye, book.now)
    (gone,) = [one.to for one in sends(book.engine.take()) if one.data.startswith(b"BYE ")]
    assert isinstance(gone, Flow)
    assert gone.connection == -1  # no connection has this number, so the transport says:
    assert book >> lost(gone, "closed") << send(there, "BYE")


def test_a_peer_with_a_new_connection_is_reached_over_that() -> None:
    book = Survivor()
    phone, again = tcp("phone", "192.0.2.10"), tcp("phone again", "192.0.2.10", connection=7, port=40001)
    assert (
        book
        >> received(phone, invite(transport="TCP"))
        << send(phone, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(phone, 200)
        >> received(phone, ack())
        << send(MAIN, "ACK")
    )
    book.crash()
    book._out.clear()
    info = book.ask("INFO", 5, pbx=phone)
    assert book >> received(again, info) << send(MAIN, "INFO") >> received(MAIN, reply(200, "INFO")) << send(again, 200)
    assert book >> received(MAIN, book.ask("BYE", 9, callee=True)) << send(MAIN, 200) << send(again, "BYE")


def test_a_second_pbx_is_told_apart() -> None:
    book = Survivor()
    assert (
        book
        >> received(PBX2, invite(host="192.0.2.11:5060"))
        << send(PBX2, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PBX2, 200)
        >> received(PBX2, ack())
        << send(MAIN, "ACK")
    )
    book.crash()
    assert book.channels() == {"pbx-2": 1, "main": 1}
