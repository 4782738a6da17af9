"""What comes in and what goes out: strangers, nonsense, requests that come twice, draining, peers of RFC 2543."""

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import CallEnded, Engine
from sipfailover.proxy.entrance import STRANGERS_TOLD_MAX
from tests.kit import (
    ack,
    after,
    answer,
    bye,
    cancel,
    flow,
    invite,
    logged,
    lost,
    received,
    recorded,
    request,
    resolved,
    send,
    sends_nothing,
    target,
)  # fmt: skip
from tests.kit.leftovers import leftovers
from tests.kit.playbook import Log
from tests.proxy.office import BACKUP, MAIN, PBX, STRANGER, Office, answered, calling, has, office, ringing, sent

# -- who is asking ----------------------------------------------------------------------------------------------------


def test_a_stranger_hears_nothing_and_the_log_tells_of_it_once() -> None:
    book = office()
    assert (
        book
        >> received(STRANGER, request("REGISTER", host="192.0.2.99:5060"))
        << logged("warning", "messages from 192.0.2.99 are ignored") << sends_nothing()
    )  # fmt: skip
    book.engine.receive(STRANGER, invite(host="192.0.2.99:5060"), book.now)
    assert book.engine.take() == []
    assert book.engine.view(book.now).rejected["not_allowed"] == 2
    book.done()


def test_the_log_tells_of_so_many_strangers_and_no_more() -> None:
    book = office()
    for number in range(STRANGERS_TOLD_MAX + 50):
        book.engine.receive(flow(f"stranger {number}", f"198.18.{number // 250}.{number % 250}"), b"\0", book.now)
    told = [command for command in book.engine.take() if isinstance(command, Log)]
    assert len(told) == STRANGERS_TOLD_MAX
    assert book.engine.view(book.now).rejected["not_allowed"] == STRANGERS_TOLD_MAX + 50


# -- what cannot be read ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        (b" SIP/2.0\r\n", b" SIP/3.0\r\n", 505),
        (b"CSeq: 1 INVITE", b"CSeq: 1 BYE", 400),
        (b"Max-Forwards: 70", b"Max-Forwards: many", 400),
        (b"Content-Length: 143", b"Content-Length: 999", 400),
        (b"Call-ID: ", b"Call-ID: two words", 400),
        (b"Contact:", b"From: <sip:second@x>\r\nContact:", 400),
        (b"Contact:", b"X-Long: " + b"x" * 9000 + b"\r\nContact:", 513),
        (b"From: ", b'From: <sip:a@b>;x="open ', 400),
        (b"To: ", b'To: <sip:a@b>;x="open ', 400),
    ],
)
def test_what_cannot_be_read_is_answered_and_forgotten(old: bytes, new: bytes, status: int) -> None:
    book = office()
    data = invite()
    assert old in data
    assert book >> received(PBX, data.replace(old, new, 1)) << send(PBX, status)
    assert leftovers(book.engine) == []  # at once: nothing is kept of it
    rejected = book.engine.view(book.now).rejected
    assert rejected["too_big" if status == 513 else "malformed"] == 1


@pytest.mark.parametrize(
    "data", [b"", b"\r\n\r\n", b"\0" * 20, b"hello\r\n\r\n", b"SIP/2.0 200 OK\r\n\r\n", b"\x16\x03\x01"]
)
def test_noise_of_a_known_peer_is_dropped(data: bytes) -> None:
    book = office()
    book.engine.receive(PBX, data, book.now)
    assert book.engine.take() == []
    assert leftovers(book.engine) == []


def test_after_something_that_cannot_be_read_the_next_message_is_served() -> None:
    """What transactions had raised before it is not handed on again."""
    book = office()
    assert calling(book)
    bad = answer(180)(book.seen(MAIN)).replace(b"To: ", b'To: "', 1)
    assert book >> received(MAIN, bad) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    book.done()


# -- what comes twice -------------------------------------------------------------------------------------------------


def test_a_request_that_comes_again_is_answered_again_and_not_served_again() -> None:
    book = office()
    data = invite()
    assert calling(book, data=data) >> received(PBX, data) << send(PBX, 100)
    assert book >> received(MAIN, answer(180)) << send(PBX, 180) >> received(PBX, data) << send(PBX, 180)
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486) >> received(PBX, data)
    assert len(sent(book, MAIN, "INVITE")) == 1
    assert len(sent(book, PBX, 486)) == 2
    assert book >> received(PBX, ack())
    book.done()


def test_the_same_request_by_another_way_is_a_merged_one() -> None:
    """§8.2.2.2."""
    book = office()
    assert calling(book, data=invite(call_id="same"))
    again = book.seen(PBX).given("INVITE")
    data = b"\r\n".join(
        [b"INVITE %b SIP/2.0" % again.uri, *(line for _, line in again.fields), b"", again.body]
    ).replace(again.via.branch, b"z9hG4bKother")
    assert book >> received(PBX, data) << send(PBX, 482)
    assert len(sent(book, MAIN, "INVITE")) == 1
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    book.done()


def test_a_call_that_comes_again_after_a_refusal_is_a_new_one() -> None:
    """With the next CSeq, as after 488 or a challenge of ours."""
    book = office()
    assert calling(book, data=invite(call_id="again", cseq=1))
    assert book >> received(MAIN, answer(488)) << send(MAIN, "ACK") << send(PBX, 488) >> received(PBX, ack())
    assert calling(book, data=invite(call_id="again", cseq=2))
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486) >> received(PBX, ack())
    book.done()


def test_a_refusal_is_repeated_until_it_is_acknowledged_and_then_forgotten() -> None:
    book = office()
    assert calling(book) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486) >> after(3.0)
    assert len(sent(book, PBX, 486)) == 3  # at 0, 0.5 and 1.5 s
    assert book >> received(PBX, ack())
    book.done()
    assert len(sent(book, PBX, 486)) == 3


# -- shutting down ----------------------------------------------------------------------------------------------------


def test_while_shutting_down_new_calls_are_refused_and_others_go_on() -> None:
    book = office()
    assert answered(book)
    assert ringing(book)
    assert book.engine.setting_up == 1
    book.engine.drain()
    assert book >> received(PBX, invite()) << send(PBX, 503, has(reason=b"Shutting down", retry_after=b"30"))
    assert book >> received(PBX, ack())
    assert len(book.engine.core.calls) == 2
    assert book >> received(MAIN, answer(200)) << send(PBX, 200)
    assert book.engine.setting_up == 0


# -- old peers and far-away ones --------------------------------------------------------------------------------------


def test_a_peer_of_rfc_2543_without_branch_and_tag_gets_its_call() -> None:
    book = office()
    data = invite(branch="old").replace(b";branch=old", b"").replace(b";rport", b"")
    tag = data.partition(b";tag=")[2].partition(b"\r\n")[0]
    data = data.replace(b";tag=" + tag, b"")
    assert calling(book, data=data) >> received(PBX, data) << send(PBX, 100)
    assert len(sent(book, MAIN, "INVITE")) == 1
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
    assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK") >> received(PBX, ack())
    book.done()


def test_an_answer_goes_to_the_port_it_was_asked_from_or_that_the_via_says() -> None:
    """§18.2.2, RFC 3581 §4."""
    book = office()
    nat = flow("PBX behind NAT", PBX.host, 61000)
    assert (
        book
        >> received(nat, request("OPTIONS", host="10.0.0.5:5062"))
        << send(
            nat,
            200,
            lambda message: b";received=192.0.2.10" in message.via.params and b";rport=61000" in message.via.params,
        )
    )
    plain = request("OPTIONS", host="10.0.0.5:5062").replace(b";rport", b"")
    assert book >> received(nat, plain) << send(flow("there", PBX.host, 5062), 200)
    book.done()


# -- lost, resolved, woken --------------------------------------------------------------------------------------------


def test_what_is_lost_on_the_way_to_nobody_means_nothing() -> None:
    book = office()
    assert book >> lost(target(STRANGER), "refused") >> lost(target(MAIN), "refused") << sends_nothing()
    assert answered(book) >> lost(target(MAIN), "refused") << sends_nothing()
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> lost(target(MAIN), "refused")
    book.done()


def test_one_datagram_that_was_refused_ends_every_attempt_that_waits_there() -> None:
    book = office()
    for _ in range(3):
        assert calling(book)
    assert book >> lost(target(MAIN)) << send(BACKUP, "INVITE") << send(BACKUP, "INVITE") << send(BACKUP, "INVITE")


def test_a_name_that_nobody_configured_is_not_resolved() -> None:
    book = office()
    assert book >> resolved("nobody", target(STRANGER))
    assert book.engine.core.admission.who(STRANGER.host, 5060) is None


def test_a_name_that_does_not_resolve_is_told_once_and_its_last_address_is_used() -> None:
    book = office()
    assert book >> resolved("main", why="SERVFAIL") << logged("warning", "trunk main cannot be found")
    book.engine.resolved("main", (), book.now, "SERVFAIL")
    assert not [command for command in book.engine.take() if isinstance(command, Log)]
    assert calling(book)
    assert "last good" in book.line("main").trunk.where()


def test_a_trunk_that_moved_is_called_at_its_new_address_and_known_at_both() -> None:
    book = office()
    assert answered(book)
    moved = flow("main, moved", "198.51.100.200")
    assert book >> resolved("main", target(moved))
    assert calling(book, moved) >> received(moved, answer(486)) << send(moved, "ACK") << send(PBX, 486)
    assert (
        book
        >> received(MAIN, bye(callee=True)) << send(MAIN, 200) << send(PBX, "BYE")
        << recorded(CallEnded, result="answered", ended_by="called")
        >> received(PBX, answer(200))
    )  # fmt: skip
    book.done()


def test_waking_too_early_does_nothing() -> None:
    book = office()
    assert calling(book)
    book.engine.take()
    book.engine.wake(book.now)
    assert book.engine.take() == []
    assert book.engine.deadline() is not None


def test_the_same_seed_says_the_same_bytes() -> None:
    data = invite()

    def run() -> list[bytes]:
        book = office()
        assert calling(book, data=data) >> after(5.0) << send(BACKUP, "INVITE")
        return [one for _, one in book.sent]

    assert run() == run()


def test_production_chance_makes_engines_that_differ() -> None:
    settings = parse("pbx: 192.0.2.10\ntrunks: [{name: main, host: 198.51.100.1, register: no}]")
    branches = set()
    for _ in range(2):
        book = Office(Engine(settings, Chance(), 0.0))
        assert book >> resolved("main", target(MAIN)) >> resolved("pbx", target(PBX))
        assert calling(book)
        branches.add(sent(book, MAIN, "INVITE")[0].via.branch)
    assert len(branches) == 2


def test_messages_are_counted_by_side_and_kind() -> None:
    book = office()
    assert calling(book) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    view = book.engine.view(book.now)
    assert view.requests[("pbx", "in", "INVITE")] == 1
    assert view.requests[("trunk", "out", "INVITE")] == 1
    assert view.requests[("trunk", "out", "ACK")] == 1
    assert view.responses[("trunk", "in", "4xx")] == 1
    assert view.responses[("pbx", "out", "1xx")] == 1
    assert view.responses[("pbx", "out", "4xx")] == 1


def test_an_emergency_call_is_served_while_shutting_down() -> None:
    book = office()
    book.engine.drain()
    assert book >> received(PBX, invite()) << send(PBX, 503)
    assert book >> received(PBX, invite("112")) << send(PBX, 100) << send(MAIN, "INVITE")


def test_beyond_the_bound_calls_are_refused_and_emergency_calls_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipfailover.proxy.entrance.CALLS_MAX", 1)
    book = office()
    assert ringing(book)
    refused = "Too many calls"
    assert (
        book >> received(PBX, invite()) << send(PBX, 503, lambda m: m.reason.decode() == refused and m.retry_after > 0)
    )
    assert book >> received(PBX, invite("144")) << send(PBX, 100) << send(MAIN, "INVITE")
