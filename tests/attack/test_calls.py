"""Calls that must not be lost, and calls that must not stay: one test for each fault that was found by attacking."""

import pytest

from sipfailover.flow import Flow
from sipfailover.wire import Message
from tests.attack.office import BACKUP, MAIN, PHONE, play
from tests.kit import Playbook, ack, after, answer, bye, flow, invite, logged, lost, received, resolved, send, target
from tests.kit.sip import in_dialog

GATEWAY = flow("gateway", "198.51.100.77")
PHONE_TCP = flow("phone", "192.0.2.10", 40001, "tcp", connection=1)
PHONE_AGAIN = flow("phone again", "192.0.2.10", 40002, "tcp", connection=2)
PHONE_LISTENS = target(flow("phone's listener", "192.0.2.10", 5060, "tcp"))
STRANGER = flow("stranger", "198.51.100.78")


def talking(book: Playbook) -> Playbook:
    """A call from the PBX over main is up."""
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PHONE, 200)
        >> received(PHONE, ack())
        << send(MAIN, "ACK")
    )  # fmt: skip
    return book


def inside(book: Playbook, method: str, cseq: int, body: bytes = b"") -> bytes:
    """A request of the PBX in the call."""
    invited = book.seen(PHONE).given("INVITE", where=lambda message: not message.to_tag)
    return in_dialog(method, invited, book.seen(PHONE).last(200, where=of_invite), cseq=cseq, body=body)


def of_invite(message: Message) -> bool:
    return message.cseq_method == b"INVITE"


@pytest.mark.parametrize("uri", [b"urn:service:sos", b"URN:service:SOS.police"])
def test_a_telephone_that_asks_for_help_by_urn_makes_an_emergency_call(uri: bytes) -> None:
    book = play()
    call = invite().replace(b"INVITE sip:+41443210019@192.0.2.1:5060", b"INVITE " + uri)
    assert (
        book
        >> received(PHONE, call)
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(404))  # for a number it would go to the caller
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    )  # fmt: skip


def test_a_queue_that_says_183_every_minute_may_keep_a_caller_longer_than_the_ring_timeout() -> None:
    book = play()
    assert book >> received(PHONE, invite()) << send(PHONE, 100) << send(MAIN, "INVITE")
    for _ in range(5):
        assert book >> received(MAIN, answer(183, to="INVITE")) << send(PHONE, 183) >> after(60)
    assert book >> received(MAIN, answer(200, to="INVITE")) << send(PHONE, 200)


def test_a_telephone_that_says_nothing_for_the_ring_timeout_is_given_up() -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(180))
        << send(PHONE, 180)
        >> after(179.9)
        >> after(0.2)
        << send(MAIN, "CANCEL") << send(PHONE, 408)
    )  # fmt: skip


def test_a_reinvite_that_gets_100_and_then_nothing_is_given_up_and_the_next_one_passes() -> None:
    book = talking(play())
    assert (
        book
        >> received(PHONE, inside(book, "INVITE", 2))
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(100, to="INVITE"))
        >> after(180)
        << send(MAIN, "CANCEL")
        >> after(32)
        << send(PHONE, 408)
        >> received(PHONE, lambda seen: ack_of_failure(seen))
        >> received(PHONE, inside(book, "INVITE", 3))
        << send(PHONE, 100) << send(MAIN, "INVITE")
    )  # fmt: skip


def ack_of_failure(seen: object) -> bytes:
    return ack()(seen)  # type: ignore[arg-type]


@pytest.mark.parametrize("final", [0, 200, 487])
def test_a_bye_during_a_reinvite_ends_both_and_nothing_is_left(final: int) -> None:
    book = talking(play())
    assert (
        book
        >> received(PHONE, inside(book, "INVITE", 2))
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(100, to="INVITE"))
        >> received(PHONE, inside(book, "BYE", 3))
        << send(PHONE, 200) << send(PHONE, 487) << send(MAIN, "CANCEL") << send(MAIN, "BYE")
        >> received(PHONE, lambda seen: ack_of_failure(seen))
    )  # fmt: skip
    if final == 487:
        assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    if final == 200:
        assert book >> received(MAIN, answer(200, to="INVITE")) << send(MAIN, "ACK", lambda m: m.cseq == 2)
    assert book >> received(MAIN, answer(200, to="BYE")) >> after(40)
    nothing_is_left(book)


def nothing_is_left(book: Playbook) -> None:
    engine = book.engine
    core = engine.core  # type: ignore[attr-defined]
    probes = [key for key in core.layer.clients if key[2] == b"OPTIONS"]
    assert (len(core.layer) - len(probes), core.legs, core.calls, engine.inside.invites) == (0, {}, {}, {})  # type: ignore[attr-defined]


def test_no_ack_is_sent_for_a_reinvite_that_was_refused() -> None:
    book = talking(play())
    assert (
        book
        >> received(PHONE, inside(book, "INVITE", 2))
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(488, to="INVITE"))
        << send(MAIN, "ACK") << send(PHONE, 488)
        >> received(PHONE, lambda seen: ack_of_failure(seen))
        >> received(PHONE, inside(book, "BYE", 3))
        << send(PHONE, 200) << send(MAIN, "BYE")
    )  # fmt: skip


def test_a_callers_bye_before_its_ack_still_acknowledges_the_carrier() -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PHONE, 200)
        >> received(PHONE, bye())
        << send(PHONE, 200) << send(MAIN, "ACK") << send(MAIN, "BYE")
    )  # fmt: skip


def elsewhere(book: Playbook) -> Playbook:
    """A call is up in which the carrier's Contact is another machine of the carrier, and no trunk of ours."""
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200, contact=f"<sip:callee@{GATEWAY.host}:5060>"))
        << send(PHONE, 200)
        >> received(PHONE, ack())
        << send(GATEWAY, "ACK")
    )  # fmt: skip
    return book


def test_a_machine_to_which_a_contact_sent_us_may_hang_up() -> None:
    book = elsewhere(play())
    assert (
        book
        >> received(GATEWAY, lambda _: bye(callee=True)(book.seen(MAIN)))
        << send(GATEWAY, 200) << send(PHONE, "BYE")
        >> received(PHONE, answer(200, to="BYE"))
        >> after(40)
    )  # fmt: skip
    nothing_is_left(book)


def test_a_machine_to_which_a_contact_sent_us_may_answer() -> None:
    book = elsewhere(play())
    assert (
        book
        >> received(PHONE, inside(book, "INVITE", 2))
        << send(PHONE, 100) << send(GATEWAY, "INVITE")
        >> received(GATEWAY, answer(200, to="INVITE"))
        << send(PHONE, 200)
    )  # fmt: skip


def test_a_guest_may_begin_nothing_and_nobody_else_may_speak_for_it() -> None:
    book = elsewhere(play())
    assert book >> received(GATEWAY, invite(host="198.51.100.77:5060"))
    assert book >> received(STRANGER, lambda _: bye(callee=True)(book.seen(MAIN)))
    assert book >> received(STRANGER, lambda _: answer(200, to="ACK")(book.seen(GATEWAY)))
    assert len(book.engine.core.calls) == 1  # type: ignore[attr-defined]


def test_an_answer_from_another_address_of_the_carrier_is_heard() -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(GATEWAY, lambda _: answer(180)(book.seen(MAIN)))
        << send(PHONE, 180)
    )  # fmt: skip


def over_tcp(book: Playbook, contact: str) -> Playbook:
    """A call is up whose PBX came over a connection of its own."""
    call = invite(host="192.0.2.10:40001", transport="TCP").replace(
        b"Contact: <sip:+41441112233@192.0.2.10:40001>", b"Contact: <%s>" % contact.encode()
    )
    assert (
        book
        >> received(PHONE_TCP, call)
        << send(PHONE_TCP, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PHONE_TCP, 200)
        >> received(PHONE_TCP, ack())
        << send(MAIN, "ACK")
    )  # fmt: skip
    return book


def test_a_pbx_that_closed_its_connection_is_reached_at_its_contact() -> None:
    book = over_tcp(play(), "sip:office@192.0.2.10:5060;transport=tcp")
    assert (
        book
        >> received(MAIN, bye(callee=True))
        << send(MAIN, 200) << send(PHONE_TCP, "BYE")
        >> lost(PHONE_TCP, "closed")
        << send(PHONE_LISTENS, "BYE")
    )  # fmt: skip
    last = book.sent[-1][0]
    assert not isinstance(last, Flow), "the shell would look for the connection that is gone"


def test_a_pbx_that_came_back_over_another_connection_is_reached_over_that_one() -> None:
    book = over_tcp(play(), "sip:office@192.0.2.10:40001;transport=tcp")
    info = in_dialog("INFO", book.seen(PHONE_TCP).given("INVITE"), book.seen(PHONE_TCP).last(200), cseq=2)
    assert (
        book
        >> lost(PHONE_TCP, "closed")
        >> received(PHONE_AGAIN, info)
        << send(MAIN, "INFO")
        >> received(MAIN, answer(200, to="INFO"))
        << send(PHONE_AGAIN, 200)
        >> received(MAIN, bye(callee=True))
        << send(MAIN, 200) << send(PHONE_AGAIN, "BYE")
    )  # fmt: skip
    assert book.sent[-1][0] == PHONE_AGAIN


MAIN_TCP = flow("main", "198.51.100.1", transport="tcp", connection=7)


def test_a_carrier_whose_connection_breaks_after_100_is_cancelled_over_another_one() -> None:
    """It has the INVITE: without the CANCEL its telephone rings beside the one that the backup rings."""
    book = play()
    assert book >> resolved("main", target(MAIN_TCP))
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN_TCP, "INVITE")
        >> received(MAIN_TCP, answer(100))
        >> lost(MAIN_TCP, "reset")
        << send(MAIN_TCP, "CANCEL") << send(BACKUP, "INVITE")
    )  # fmt: skip


def test_a_carrier_whose_connection_breaks_while_it_rings_may_answer_over_another_one() -> None:
    """§18.2.2: it answers to where our Via points. The caller hears ringing as before."""
    book = play()
    assert book >> resolved("main", target(MAIN_TCP))
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN_TCP, "INVITE")
        >> received(MAIN_TCP, answer(180))
        << send(PHONE, 180)
        >> lost(MAIN_TCP, "reset")
        >> received(MAIN_TCP, answer(200))
        << send(PHONE, 200)
    )  # fmt: skip


def test_an_icmp_error_during_a_reinvite_that_is_being_served_loses_nothing() -> None:
    book = talking(play())
    assert (
        book
        >> received(PHONE, inside(book, "INVITE", 2))
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(100, to="INVITE"))
        >> lost(target(MAIN), "refused")
        >> received(MAIN, answer(200, to="INVITE"))
        << send(PHONE, 200)
    )  # fmt: skip


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_a_call_that_one_side_has_lost_is_ended_on_both(method: str) -> None:
    """Else it stays for ever, and takes a channel, when the side that asked does not hang up."""
    book = talking(play())
    book >> received(PHONE, inside(book, method, 2)) << send(MAIN, method)
    if method == "INVITE":
        book << send(PHONE, 100)
    book >> received(MAIN, answer(481, to=method)) << send(PHONE, 481)
    if method == "INVITE":
        book << send(MAIN, "ACK")
    assert book << send(PHONE, "BYE") << send(MAIN, "BYE")
    assert not book.engine.core.calls  # type: ignore[attr-defined]


def test_a_subscription_that_is_lost_ends_no_call() -> None:
    book = talking(play())
    assert (
        book
        >> received(PHONE, inside(book, "NOTIFY", 2))
        << send(MAIN, "NOTIFY")
        >> received(MAIN, answer(481, to="NOTIFY"))
        << send(PHONE, 481)
    )  # fmt: skip
    assert len(book.engine.core.calls) == 1  # type: ignore[attr-defined]


def test_an_emergency_call_that_goes_on_after_early_media_is_another_dialog_for_the_caller() -> None:
    """Within one dialog the PBX would go on sending its voice to the first trunk, which refused the call."""
    book = play()
    assert (
        book
        >> received(PHONE, invite("112"))
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(183))
        << send(PHONE, 183)
        >> received(MAIN, answer(503))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    )  # fmt: skip
    first = book.seen(PHONE).last(183).to_tag
    assert (
        book
        >> received(BACKUP, answer(200))
        << send(PHONE, 200, lambda message: message.to_tag not in (b"", first))
        >> received(PHONE, ack())
        << send(BACKUP, "ACK")
        >> received(PHONE, bye())
        << send(PHONE, 200) << send(BACKUP, "BYE")
        >> received(BACKUP, answer(200, to="BYE"))
        >> after(40)
    )  # fmt: skip
    nothing_is_left(book)


def test_a_2xx_without_contact_reaches_the_pbx_with_ours() -> None:
    book = play()
    theirs = b"Contact: <sip:callee@198.51.100.1:5060>\r\n"
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, lambda seen: answer(200)(seen).replace(theirs, b""))
        << send(PHONE, 200, lambda message: message.contact is not None)
    )  # fmt: skip


def test_a_closed_port_is_told_once_to_each_call_that_rings_there() -> None:
    """3,000 callers who give up while the carrier's port is closed would otherwise cost 3,000 times 3,000 looks."""
    book = play()
    for _ in range(20):
        assert book >> received(PHONE, invite()) << send(PHONE, 100) << send(MAIN, "INVITE")
        assert book >> received(MAIN, answer(180, to="INVITE")) << send(PHONE, 180)
    core = book.engine.core  # type: ignore[attr-defined]
    assert book >> lost(target(MAIN), "refused")
    assert not [key for key in core.layer.waiting.get(MAIN.peer, {}) if key[2] == b"INVITE"]
    assert len(core.calls) == 20


def test_a_number_of_7000_digits_goes_out_whole_but_does_not_fill_log_and_history() -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite("1" * 7000))
        << send(PHONE, 100) << send(MAIN, "INVITE", lambda message: len(message.uri) > 7000)
        >> received(MAIN, answer(503))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        << logged("info", "moves on")
    )  # fmt: skip
    (call,) = book.engine.core.calls.values()  # type: ignore[attr-defined]
    assert len(call.called) == 64


def test_a_pbx_whose_nat_gave_it_another_port_is_reached_there() -> None:
    before, now = flow("nat", "192.0.2.10", 34567), flow("nat, new port", "192.0.2.10", 44444)
    book = play()
    assert (
        book
        >> received(before, invite(host="10.0.0.5:5060"))
        << send(before, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(before, 200)
        >> received(before, ack())
        << send(MAIN, "ACK")
    )  # fmt: skip
    info = in_dialog("INFO", book.seen(before).given("INVITE"), book.seen(before).last(200), cseq=2)
    assert (
        book
        >> received(now, info)
        << send(MAIN, "INFO")
        >> received(MAIN, answer(200, to="INFO"))
        << send(now, 200)
        >> received(MAIN, bye(callee=True))
        << send(MAIN, 200) << send(now, "BYE")
    )  # fmt: skip


def test_an_invite_that_replaces_a_call_of_ours_names_it_as_the_other_side_knows_it() -> None:
    book = talking(play())
    invited, answered = book.seen(PHONE).given("INVITE"), book.seen(PHONE).last(200)
    theirs = book.seen(MAIN).last("INVITE").call_id
    named = b"%b;to-tag=%b;from-tag=%b" % (invited.call_id, answered.to_tag, invited.from_tag)
    assert (
        book
        >> received(PHONE, invite(headers=((b"replaces", named),)))
        << send(PHONE, 100)
        << send(MAIN, "INVITE", lambda message: (message.get(b"replaces") or b"").startswith(theirs))
    )
