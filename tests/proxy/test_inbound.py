"""Calls that come in over a trunk go to the PBX, or to the next PBX; and how we name ourselves towards each side."""

import pytest

from sipfailover.flow import Flow, Target
from sipfailover.proxy import AttemptEnded, CallEnded
from sipfailover.trunk import State
from tests.kit import (
    Playbook,
    ack,
    after,
    answer,
    bye,
    cancel,
    invite,
    lost,
    received,
    recorded,
    resolved,
    send,
    sends_nothing,
    target,
)  # fmt: skip
from tests.proxy.office import MAIN, PBX, PBX2, PBX_BOUND, Office, has, office, sent, tcp

PUBLIC = b"198.18.0.1:5062"


def coming(book: Playbook, to: Flow = PBX, at: Flow = MAIN) -> Playbook:
    """Somebody calls the office over the main trunk."""
    data = invite("+41443000000", caller="+41795550000", host="198.51.100.1:5060")
    return book >> received(at, data) << send(at, 100) << send(to, "INVITE")


def test_a_call_that_comes_in_rings_and_is_answered_at_the_pbx() -> None:
    book = office()
    assert (
        coming(book)
        >> received(PBX, answer(180)) << send(MAIN, 180, has(contact=b"<sip:+41443000000@192.0.2.1:5060>"))
        >> received(PBX, answer(200)) << send(MAIN, 200)
        << recorded(AttemptEnded, trunk="pbx", outcome="answered")
        >> received(MAIN, ack()) << send(PBX, "ACK")
    )  # fmt: skip
    assert book.line("main").trunk.calls_now == book.line("pbx").trunk.calls_now == 1
    assert sent(book, PBX, "INVITE")[0].uri == b"sip:+41443000000@192.0.2.10:5060"
    assert (
        book
        >> after(60.0)
        >> received(PBX, bye(callee=True)) << send(PBX, 200) << send(MAIN, "BYE")
        << recorded(CallEnded, direction="inbound", result="answered", trunk="main", first_choice="pbx", status=200,
                    caller="+41795550000", called="+41443000000", ended_by="called", rerouted=False)
        >> received(MAIN, answer(200))
    )  # fmt: skip
    book.done()


def test_a_busy_pbx_is_relayed_and_a_caller_may_cancel() -> None:
    book = office()
    assert coming(book) >> received(PBX, answer(486)) << send(PBX, "ACK") << send(MAIN, 486) >> received(MAIN, ack())
    assert (
        coming(book)
        >> received(PBX, answer(180)) << send(MAIN, 180)
        >> received(MAIN, cancel()) << send(MAIN, 200) << send(MAIN, 487) << send(PBX, "CANCEL")
        << recorded(CallEnded, direction="inbound", result="cancelled", trunk="main", ended_by="caller")
        >> received(PBX, answer(200, to="CANCEL"))
        >> received(PBX, answer(487, to="INVITE")) << send(PBX, "ACK")
        >> received(MAIN, ack())
    )  # fmt: skip
    book.done()


def test_the_second_pbx_takes_the_call_when_the_first_is_silent() -> None:
    book = office(pbxs=("pbx", "pbx-2"))
    assert (
        coming(book)
        >> after(PBX_BOUND) << send(PBX2, "INVITE")
        << recorded(AttemptEnded, trunk="pbx", outcome="silent", verdict="next trunk")
        >> received(PBX2, answer(200)) << send(MAIN, 200)
        >> received(MAIN, ack()) << send(PBX2, "ACK")
        >> received(MAIN, bye()) << send(MAIN, 200) << send(PBX2, "BYE")
        << recorded(CallEnded, direction="inbound", trunk="main", first_choice="pbx", ended_by="caller")
        >> received(PBX2, answer(200))
    )  # fmt: skip
    assert book.line("pbx").trunk.health.state is State.SUSPECT
    assert book.line("main").trunk.health.state is State.UP
    book.done()


def test_a_pbx_that_is_dead_is_not_the_carriers_failure() -> None:
    book = office()
    assert (
        coming(book)
        >> lost(target(PBX))
        << send(MAIN, 503, has(reason=b"No PBX could carry the call", retry_after=None))
        << recorded(CallEnded, direction="inbound", result="PBX failed", status=503, trunk="main", attempts=1)
        >> received(MAIN, ack())
    )  # fmt: skip
    book.done()


def test_calls_that_come_in_fill_channels_too() -> None:
    book = office(channels=1)
    assert coming(book) >> received(PBX, answer(180)) << send(MAIN, 180)
    assert book.line("main").trunk.full
    assert coming(book)  # the carrier knows what it may send: it is never refused for that


def test_an_emergency_number_means_nothing_on_the_way_in() -> None:
    book = office(pbxs=("pbx", "pbx-2"))
    data = invite("112", host="198.51.100.1:5060")
    assert (
        book
        >> received(MAIN, data) << send(MAIN, 100) << send(PBX, "INVITE")
        >> received(PBX, answer(180)) << send(MAIN, 180)
        >> received(PBX, answer(500)) << send(PBX, "ACK") << send(MAIN, 503)
        >> received(MAIN, ack())
    )  # fmt: skip
    book.done()


# -- names ------------------------------------------------------------------------------------------------------------


def behind_nat() -> Office:
    """The carrier sees us at a public address; packets still arrive at our own."""
    book = office(known=False)
    seen_as = Target("udp", MAIN.host, MAIN.port, PUBLIC)
    assert book >> resolved("main", seen_as) >> resolved("pbx", target(PBX))
    return book


def test_towards_the_trunk_we_have_our_public_name_and_towards_the_pbx_our_own() -> None:
    book = behind_nat()
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    asked = sent(book, MAIN, "INVITE")[0]
    assert asked.via.sent_by == PUBLIC
    assert asked.contact is not None
    assert asked.contact.uri == b"sip:+41441112233@" + PUBLIC
    assert (
        book
        >> received(MAIN, answer(200)) << send(PBX, 200, has(contact=b"<sip:+41443210019@192.0.2.1:5060>"))
        >> received(PBX, ack()) << send(MAIN, "ACK")
        >> received(MAIN, bye(callee=True)) << send(MAIN, 200) << send(PBX, "BYE")
        >> received(PBX, answer(200))
    )  # fmt: skip
    assert sent(book, MAIN, "ACK")[0].via.sent_by == PUBLIC
    assert sent(book, PBX, "BYE")[0].via.sent_by == b"192.0.2.1:5060"
    book.done()


def test_a_call_that_comes_in_is_answered_with_our_public_name() -> None:
    book = behind_nat()
    assert (
        coming(book)
        >> received(PBX, answer(200)) << send(MAIN, 200, has(contact=b"<sip:+41443000000@" + PUBLIC + b">"))
        >> received(MAIN, ack()) << send(PBX, "ACK")
        >> received(PBX, bye(callee=True)) << send(PBX, 200) << send(MAIN, "BYE")
        >> received(MAIN, answer(200))
    )  # fmt: skip
    assert sent(book, MAIN, "BYE")[0].via.sent_by == PUBLIC
    book.done()


def test_a_pbx_over_tcp_is_answered_on_its_connection_and_called_there() -> None:
    book = office()
    wire = tcp("PBX over tcp", PBX.host)
    data = invite(transport="TCP", host="192.0.2.10:40000")
    assert book >> received(wire, data) << send(wire, 100) << send(MAIN, "INVITE")
    assert (
        book
        >> received(MAIN, answer(200))
        << send(wire, 200, has(contact=b"<sip:+41443210019@192.0.2.1:5060;transport=tcp>"))
        >> received(wire, ack()) << send(MAIN, "ACK")
        >> received(MAIN, bye(callee=True)) << send(MAIN, 200) << send(wire, "BYE")
        >> received(wire, answer(200))
    )  # fmt: skip
    assert all(to.connection == 1 for to, _ in book.sent if isinstance(to, Flow) and to.peer == wire.peer)
    book.done()


@pytest.mark.parametrize("status", [180, 486, 200])
def test_an_answer_for_a_connection_that_is_gone_goes_where_the_via_points(status: int) -> None:
    """§18.2.2."""
    book = office()
    wire = tcp("PBX over tcp", PBX.host)
    data = invite(transport="TCP", host="192.0.2.10:5060")
    assert book >> received(wire, data) << send(wire, 100) << send(MAIN, "INVITE")
    again = Target("tcp", PBX.host, 5060, wire.sent_by)
    assert book >> lost(wire, "closed") << send(again, 100)
    assert (
        book
        >> received(MAIN, answer(status))
        << (send(MAIN, "ACK") if status == 486 else sends_nothing())
        << send(again, status)
    )
