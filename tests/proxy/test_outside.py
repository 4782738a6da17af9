"""Requests outside any dialog that are no calls, and the checks that every one of them has to pass."""

import pytest

from sipfailover.flow import Flow
from sipfailover.trunk import Evidence, Sign
from tests.kit import answer, invite, received, request, resolved, send, target
from tests.proxy.office import MAIN, PBX, Office, calling, has, office, sent

PEERS = pytest.mark.parametrize("peer", [PBX, MAIN], ids=["pbx", "trunk"])


def asked(method: str, peer: Flow, **more: object) -> bytes:
    return request(method, host=f"{peer.host}:{peer.port}", **more)  # type: ignore[arg-type]


def take_down(book: Office, *names: str) -> None:
    for name in names:
        book.line(name).trunk.health.observe(Evidence(Sign.RETRY_AFTER, "503", retry_after=60.0), book.now)


@PEERS
def test_options_is_answered_with_what_we_can_do(peer: Flow) -> None:
    book = office()
    assert book >> received(peer, asked("OPTIONS", peer)) << send(peer, 200, has(accept=b"application/sdp"))
    told = sent(book, peer, 200)[0]
    assert b"INVITE" in told.values(b"allow")
    assert told.to_tag
    book.done()


def test_options_of_the_pbx_is_answered_503_while_no_trunk_is_fit_so_that_it_may_go_elsewhere() -> None:
    book = office()
    take_down(book, "main")
    assert book >> received(PBX, asked("OPTIONS", PBX)) << send(PBX, 200)
    take_down(book, "backup")
    assert (
        book
        >> received(PBX, asked("OPTIONS", PBX))
        << send(PBX, 503, has(reason=b"No trunk available", retry_after=b"10"))
    )


def test_options_of_a_trunk_is_answered_200_all_the_same() -> None:
    """A carrier that hears 503 takes us out of service, and calls in could still work."""
    book = office()
    take_down(book, "main", "backup", "pbx")
    assert book >> received(MAIN, asked("OPTIONS", MAIN)) << send(MAIN, 200)


@PEERS
def test_options_is_answered_503_while_we_are_shutting_down(peer: Flow) -> None:
    book = office()
    book.engine.drain()
    assert book >> received(peer, asked("OPTIONS", peer)) << send(peer, 503, has(retry_after=b"10"))


def test_options_may_have_no_hop_left_because_we_are_meant() -> None:
    book = office()
    assert book >> received(PBX, asked("OPTIONS", PBX, max_forwards=0)) << send(PBX, 200)


@PEERS
@pytest.mark.parametrize("method", ["SUBSCRIBE", "PUBLISH", "MESSAGE"])
def test_what_we_know_and_do_not_serve_is_answered_405_with_allow(peer: Flow, method: str) -> None:
    book = office()
    assert book >> received(peer, asked(method, peer)) << send(peer, 405, lambda message: message.get(b"allow"))
    book.done()


@PEERS
@pytest.mark.parametrize("method", ["BYE", "PRACK", "UPDATE", "INFO", "REFER", "NOTIFY"])
def test_what_belongs_into_a_dialog_is_answered_481(peer: Flow, method: str) -> None:
    book = office()
    assert book >> received(peer, asked(method, peer)) << send(peer, 481)
    assert book >> received(peer, asked(method, peer, to_tag="nobody")) << send(peer, 481)
    book.done()


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE", "FOO"])
def test_a_dialog_that_we_do_not_know_is_answered_481(method: str) -> None:
    book = office()
    assert book >> received(PBX, asked(method, PBX, to_tag="nobody")) << send(PBX, 481)
    book.done()


@PEERS
def test_what_nobody_knows_is_answered_501(peer: Flow) -> None:
    book = office()
    assert book >> received(peer, asked("FOO", peer)) << send(peer, 501, lambda message: message.get(b"allow"))
    book.done()


def test_ack_and_cancel_for_nothing() -> None:
    book = office()
    assert book >> received(PBX, asked("ACK", PBX))
    assert book >> received(PBX, asked("CANCEL", PBX)) << send(PBX, 481)
    book.done()


@pytest.mark.parametrize("method", ["INVITE", "MESSAGE", "FOO"])
def test_a_request_without_a_hop_left_is_answered_483(method: str) -> None:
    book = office()
    assert book >> received(PBX, asked(method, PBX, max_forwards=0)) << send(PBX, 483)
    assert not sent(book, MAIN, "INVITE")
    book.done()


@pytest.mark.parametrize("method", ["INVITE", "OPTIONS", "MESSAGE"])
def test_what_a_proxy_must_understand_and_we_do_not_is_answered_420_by_name(method: str) -> None:
    book = office()
    data = asked(method, PBX, headers=((b"proxy-require", b"privacy, x-ours"),))
    assert book >> received(PBX, data) << send(PBX, 420, has(unsupported=b"privacy, x-ours"))
    book.done()


def test_what_the_far_end_must_understand_is_its_business_but_for_options_we_are_the_far_end() -> None:
    book = office()
    required = ((b"require", b"100rel"),)
    assert book >> received(PBX, asked("OPTIONS", PBX, headers=required)) << send(PBX, 420, has(unsupported=b"100rel"))
    assert calling(book, data=invite(headers=required))
    assert sent(book, MAIN, "INVITE")[0].values(b"require") == [b"100rel"]
    assert book >> received(MAIN, answer(420)) << send(MAIN, "ACK") << send(PBX, 420)


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        (b"http://example.com/", 416),
        (b"nonsense", 416),
        (b"sip:a@192.0.2.1?Route=%3Csip:evil%3E", 400),
        (b"sip:[2001:db8::1", 400),
        (b"sip:a:b:c@@x", 400),
    ],
)
def test_a_request_uri_that_is_none_of_ours_is_refused(uri: bytes, status: int) -> None:
    book = office()
    data = invite().replace(b"INVITE sip:+41443210019@192.0.2.1:5060 ", b"INVITE " + uri + b" ")
    assert book >> received(PBX, data) << send(PBX, status)
    assert not sent(book, MAIN, "INVITE")
    book.done()


@pytest.mark.parametrize(
    ("uri", "onward"),
    [
        (b"tel:+41443210019", b"sip:+41443210019@198.51.100.1:5060;user=phone"),
        (b"sips:+41443210019@192.0.2.1", b"sips:+41443210019@198.51.100.1:5060"),
        (b"sip:0443210019;phone-context=+41@192.0.2.1;user=phone;transport=tcp",
         b"sip:0443210019;phone-context=+41@198.51.100.1:5060;user=phone"),
        (b"sip:%23*31%23@192.0.2.1", b"sip:%23*31%23@198.51.100.1:5060"),
    ],
)  # fmt: skip
def test_the_number_goes_on_as_it_was_dialled(uri: bytes, onward: bytes) -> None:
    book = office()
    data = invite().replace(b"INVITE sip:+41443210019@192.0.2.1:5060 ", b"INVITE " + uri + b" ")
    assert calling(book, data=data)
    assert sent(book, MAIN, "INVITE")[0].uri == onward


def test_a_peer_whose_name_never_resolved_is_a_stranger() -> None:
    book = office(known=False)
    assert book >> resolved("pbx", target(PBX))
    assert book >> received(MAIN, asked("OPTIONS", MAIN))
