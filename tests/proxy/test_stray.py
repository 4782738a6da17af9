"""Late answers, after every transaction has forgotten them: what wakes up is sent to sleep, nobody is fooled."""

import pytest

from sipfailover.proxy.stray import LATE_ANSWERS
from sipfailover.wire import Message
from tests.kit import Playbook, ack, after, answer, bye, logged, lost, received, send, sends_nothing, target
from tests.kit.leftovers import leftovers
from tests.kit.sip import SDP, in_dialog
from tests.proxy.office import BACKUP, MAIN, PBX, STRANGER, Office, answered, calling, office, sent

HOURS = 3 * 3600.0


def given_up() -> Office:
    """Main was silent, backup was busy, and hours have gone by since."""
    book = office()
    assert (
        calling(book)
        >> after(4.0) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
        >> received(PBX, ack())
        >> after(HOURS)
    )  # fmt: skip
    assert leftovers(book.engine) == []
    return book


def late(book: Playbook, status: int, *, method: str = "INVITE") -> bytes:
    """The answer of the main trunk to the INVITE it was sent so long ago."""
    return answer(status, to=method)(book.seen(MAIN))


@pytest.mark.parametrize("status", [180, 183, 199])
def test_what_rings_hours_later_is_cancelled(status: int) -> None:
    book = given_up()
    assert book >> received(MAIN, late(book, status)) << send(MAIN, "CANCEL")
    cancelled, asked = sent(book, MAIN, "CANCEL")[0], sent(book, MAIN, "INVITE")[0]
    assert (cancelled.via.branch, cancelled.cseq, cancelled.uri) == (asked.via.branch, asked.cseq, asked.uri)
    assert (cancelled.call_id, cancelled.first[b"from"]) == (asked.call_id, asked.first[b"from"])
    assert cancelled.to_tag == b""
    assert (
        book
        >> received(MAIN, late(book, status)) << sends_nothing()  # one CANCEL is enough
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, late(book, 487)) << send(MAIN, "ACK")
        >> received(MAIN, late(book, 487)) << send(MAIN, "ACK")
    )  # fmt: skip
    book.done()


@pytest.mark.parametrize("status", [302, 403, 486, 503, 603])
def test_a_failure_hours_later_is_acknowledged_so_that_it_stops(status: int) -> None:
    book = given_up()
    assert book >> received(MAIN, late(book, status)) << send(MAIN, "ACK")
    said, asked = sent(book, MAIN, "ACK")[0], sent(book, MAIN, "INVITE")[0]
    assert (said.via.branch, said.cseq, said.uri, said.to_tag) == (asked.via.branch, asked.cseq, asked.uri, b"callee")
    book.done()


def test_an_answer_hours_later_is_acknowledged_and_hung_up() -> None:
    book = given_up()
    assert (
        book
        >> received(MAIN, late(book, 200))
        << send(MAIN, "ACK") << send(MAIN, "BYE") << logged("info", "a late answer is acknowledged and hung up")
        >> received(MAIN, late(book, 200)) << send(MAIN, "ACK")
        >> received(MAIN, answer(200, to="BYE"))
    )  # fmt: skip
    hung_up = sent(book, MAIN, "BYE")[0]
    assert hung_up.uri == b"sip:callee@198.51.100.1:5060"
    assert hung_up.cseq == 2
    book.done()


def test_an_answer_with_a_route_hours_later_is_hung_up_along_it() -> None:
    book = given_up()
    route = answer(200, to="INVITE", headers=((b"record-route", b"<sip:198.51.100.1;lr>"),))(book.seen(MAIN))
    assert book >> received(MAIN, route) << send(MAIN, "ACK") << send(MAIN, "BYE")
    assert sent(book, MAIN, "BYE")[0].values(b"route") == [b"<sip:198.51.100.1;lr>"]
    assert book >> received(MAIN, answer(481, to="BYE"))
    book.done()


def test_100_hours_later_means_nothing() -> None:
    book = given_up()
    assert book >> received(MAIN, late(book, 100)) << sends_nothing()


@pytest.mark.parametrize("status", [180, 200, 486])
def test_a_stranger_cannot_make_us_send_anything(status: int) -> None:
    book = given_up()
    forged = late(book, status)
    assert book >> received(STRANGER, forged) << sends_nothing() << logged("warning", "messages from 192.0.2.99")
    book.done()


@pytest.mark.parametrize("status", [180, 200, 486])
def test_an_answer_to_what_we_never_sent_is_ignored(status: int) -> None:
    """From a trunk that is confused, or by somebody who can write its address: our address and our form of branch are
    needed."""
    book = given_up()
    right = late(book, status)
    via = b"SIP/2.0/UDP 192.0.2.1:5060;branch="
    branch = Message(right).via.branch
    for wrong in (
        right.replace(via, b"SIP/2.0/UDP 192.0.2.77:5060;branch="),
        right.replace(branch, b"z9hG4bKtheirs"),
        right.replace(b"Via: " + via, b"Via: " + via + branch + b"\r\nVia: SIP/2.0/UDP 192.0.2.77;branch="),
    ):
        assert book >> received(MAIN, wrong) << sends_nothing()
    book.done()


@pytest.mark.parametrize("method", ["BYE", "OPTIONS", "INFO", "CANCEL"])
def test_late_answers_to_other_requests_interest_nobody(method: str) -> None:
    book = office()
    assert answered(book) >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE")
    answered_late = answer(200, to="BYE")(book.seen(MAIN)).replace(b" BYE\r\n", b" %b\r\n" % method.encode())
    assert book >> received(MAIN, answer(200, to="BYE")) >> after(HOURS)
    assert book >> received(MAIN, answered_late) << sends_nothing()
    book.done()


def test_an_answer_that_comes_again_in_a_call_is_acknowledged_hours_later_and_not_hung_up() -> None:
    book = office()
    assert answered(book) >> after(HOURS) >> received(MAIN, answer(200, to="INVITE")) << send(MAIN, "ACK")
    assert not sent(book, MAIN, "BYE")
    for status in (180, 486):
        assert book >> received(MAIN, late(book, status)) << sends_nothing()
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE") >> received(MAIN, answer(200, to="BYE"))
    book.done()


@pytest.mark.parametrize("what", [b'To: "open <sip:a@b>;tag=x', b"Record-Route: <sip:a", b'Contact: "open <sip:x'])
@pytest.mark.parametrize("status", [180, 200, 486])
def test_a_late_answer_that_cannot_be_read_does_no_harm(what: bytes, status: int) -> None:
    book = given_up()
    name = what.partition(b":")[0]
    lines = [line for line in late(book, status).split(b"\r\n") if not line.startswith(name + b":")]
    data = b"\r\n".join([lines[0], what, *lines[1:]])
    received(MAIN, data).do(book)
    book.collect()
    book._out.clear()
    book._known.update((to.peer, data) for to, data in book.sent)
    book.done()


def test_a_failure_to_a_reinvite_that_was_lost_as_the_port_said_is_acknowledged_and_the_call_goes_on() -> None:
    """It had arrived all the same; another message was refused. Found by a random world."""
    book = office()
    assert answered(book)
    final = book.seen(PBX).last(200)
    hold = in_dialog("INVITE", book.seen(PBX).given("INVITE"), final, cseq=2, body=SDP)
    assert (
        book
        >> received(PBX, hold) << send(PBX, 100) << send(MAIN, "INVITE")
        >> lost(target(MAIN)) << send(PBX, 408)
        >> received(MAIN, answer(491, to="INVITE")) << send(MAIN, "ACK")
    )  # fmt: skip
    assert not sent(book, MAIN, "BYE")
    assert len(book.engine.core.calls) == 1


@pytest.mark.parametrize("status", [180, 200])
def test_a_flood_of_late_answers_costs_a_bounded_number_of_transactions(status: int) -> None:
    book = given_up()
    right = late(book, status)
    branch, tag = Message(right).via.branch, b"callee"
    before = len(book.engine.core.layer.clients)
    for number in range(LATE_ANSWERS[0] + 100):
        forged = right.replace(branch, b"z9hG4bK%016x" % number).replace(b"tag=" + tag, b"tag=%d" % number)
        book.engine.receive(MAIN, forged, book.now)
    assert len(book.engine.core.layer.clients) == before + LATE_ANSWERS[0]
