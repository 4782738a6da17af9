"""A process is killed at every step of a call, and the next one goes on where that stopped."""

import pytest

from sipfailover.flow import Flow
from sipfailover.proxy import CallEnded
from sipfailover.proxy.keepsake import CSEQ_MARGIN
from tests.kit import ack, answer, invite, lost, received, recorded, send
from tests.proxy.office import BACKUP, MAIN, PBX, PBX2, tcp
from tests.proxy.steps import (
    ANSWERED,
    STEPS,
    acknowledges_the_hold,
    at,
    calls,
    hangs_up,
    holds,
    is_held,
    is_over,
    talking,
)
from tests.proxy.survivor import SETTINGS, Survivor, sends
from tests.proxy.talk import inside, reply


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
