"""The number for calls that no PBX takes leads back to us: the call comes in again, and must not go out again."""

import pytest

from sipfailover.flow import Send
from sipfailover.proxy.loops import HIDDEN_MAX
from sipfailover.wire import Message, compose
from tests.kit import ack, after, answer, invite, received, send
from tests.proxy.office import MAIN, PBX, PBX_BOUND, Office, has, office

OVERFLOW = "inbound: {overflow: +41791234567}"
OURS = "+41443210000"


def comes_in(book: Office, caller: str, via: bytes = b"", called: str = OURS) -> Office:
    """A call over main, and no PBX answers it."""
    data = invite(called, caller=caller, host="198.51.100.1:5060")
    if via:
        data = data.replace(b"\r\nMax-Forwards", b"\r\nVia: " + via + b"\r\nMax-Forwards", 1)
    return book >> received(MAIN, data) << send(MAIN, 100) << send(PBX, "INVITE") >> after(PBX_BOUND)


def goes_out(book: Office, caller: str) -> None:
    assert comes_in(book, caller) << send(MAIN, "INVITE", has(uri=b"sip:+41791234567@198.51.100.1:5060"))
    assert book >> received(MAIN, answer(100, to="INVITE"))


def refused(book: Office, caller: str, **more: bytes) -> bool:
    return bool(comes_in(book, caller, **more) << send(MAIN, 482) >> received(MAIN, ack()))


def test_the_same_call_does_not_go_out_twice() -> None:
    book = office(OVERFLOW)
    goes_out(book, "+41791112233")
    assert refused(book, "+41791112233")
    assert book.line("main").trunk.calls_now == 2, "the first round alone has its two channels"


def test_another_caller_is_another_call() -> None:
    book = office(OVERFLOW)
    goes_out(book, "+41791112233")
    goes_out(book, "+41791112244")


def test_a_call_from_the_number_itself_is_not_sent_there() -> None:
    assert refused(office(OVERFLOW), "+41791234567")
    assert refused(office(OVERFLOW), "0041791234567")


def test_a_call_whose_via_has_a_branch_of_ours_has_been_out_already() -> None:
    book = office(OVERFLOW)
    goes_out(book, "+41791112233")
    ours = book.seen(MAIN).last("INVITE").get(b"via")
    assert ours is not None
    assert refused(book, "+41799999999", via=ours)


def test_callers_who_hide_are_let_through_until_there_are_too_many() -> None:
    book = office(OVERFLOW)
    answers: list[bytes] = []
    for _ in range(HIDDEN_MAX + 3):  # soon the PBX is Down, and not asked first
        book.engine.receive(MAIN, invite(OURS, caller="anonymous", host="198.51.100.1:5060"), book.now)
        until = book.now + PBX_BOUND
        while (due := book.engine.deadline()) is not None and due <= until:
            book.engine.wake(due)
        book.now = until
        heard = [one.data for one in book.engine.take() if isinstance(one, Send) and one.to.host == MAIN.host]
        for data in heard:
            if data.startswith(b"INVITE "):
                book.engine.receive(MAIN, compose.response(Message(data), 180, to_tag=b"t"), book.now)
        answers += heard
    out = {Message(data).via.branch for data in answers if data.startswith(b"INVITE sip:+41791234567@")}
    assert len(out) == HIDDEN_MAX
    assert len({Message(data).call_id for data in answers if data.startswith(b"SIP/2.0 482 ")}) == 3


@pytest.mark.parametrize("hops", [0, 1])
def test_a_call_that_has_gone_too_far_goes_no_further(hops: int) -> None:
    book = office(OVERFLOW)
    data = invite(OURS, host="198.51.100.1:5060", max_forwards=hops)
    if hops:
        assert book >> received(MAIN, data) << send(MAIN, 100) << send(PBX, "INVITE", has(max_forwards=b"0"))
    else:
        assert book >> received(MAIN, data) << send(MAIN, 483)
