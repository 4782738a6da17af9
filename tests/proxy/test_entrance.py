"""The first look: strangers, guests and bans; and calls that are refused because we are late or full."""

from collections.abc import Callable

import pytest

from sipfailover.proxy import entrance
from sipfailover.proxy.entrance import ANSWERS, GUESTS_MAX, HELP, LOOKS, OTHER_REQUESTS
from sipfailover.routing.bans import BANNED_FOR, STRIKES
from sipfailover.wire import Message
from tests.kit import after, answer, bye, flow, invite, logged, received, request, resolved, send, sends_nothing, target
from tests.kit.playbook import Build
from tests.kit.sip import SDP, in_dialog, is_final
from tests.proxy.office import MAIN, PBX, PBX2, STRANGER, Office, answered, calling, has, office, ringing

STRANGER_TCP = flow("a stranger", "192.0.2.99", 40000, "tcp", connection=9)
GATEWAY = flow("gateway", "198.51.100.77")
"""A second address of the main carrier, which nobody configured."""


def late(book: Office, seconds: float = 1.0, looks: int = 3) -> Office:
    """We are so far behind, for some looks. Calls are refused from here on: a flood is what was seen before."""
    for _ in range(5000):
        book.engine.entrance.load.may("192.0.2.66", book.now)
    for _ in range(looks):
        book.now += 0.1
        book.engine.late(seconds, book.now)
    book.engine.take()
    return book


def spent(book: Office, host: str = PBX.host) -> Office:
    """This source has begun as many calls as its share allows."""
    while book.engine.entrance.load.may(host, book.now):
        pass
    return book


def rejected(book: Office) -> dict[str, int]:
    return {why: count for why, count in book.engine.view(book.now).rejected.items() if count}


# -- strangers --------------------------------------------------------------------------------------------------------


def test_who_sends_much_that_nobody_asked_for_is_banned_for_a_while() -> None:
    book = office()
    for _ in range(STRIKES + 1):
        book.engine.receive(STRANGER, request("OPTIONS", host="192.0.2.99:5060"), book.now)
    assert rejected(book) == {"not_allowed": STRIKES + 1}
    book.engine.receive(STRANGER, b"garbage", book.now)
    assert rejected(book) == {"not_allowed": STRIKES + 1, "banned": 1}
    assert book.engine.view(book.now).load.banned == 1
    book.engine.receive(STRANGER, b"garbage", book.now + BANNED_FOR)
    assert rejected(book)["not_allowed"] == STRIKES + 2


def test_pbxs_and_trunks_are_never_banned() -> None:
    book = office()
    for peer in (PBX, MAIN):
        for _ in range(STRIKES * 3):
            book.engine.receive(peer, b"INVITE garbage\r\n\r\n", book.now)
    assert len(book.engine.entrance.bans) == 0
    assert calling(book)


def test_what_was_forged_in_the_name_of_an_address_does_not_shut_out_whoever_gets_it() -> None:
    book = office()
    for _ in range(STRIKES * 2):
        book.engine.receive(PBX2, b"garbage", book.now)
    assert book.engine.entrance.bans.holds(PBX2.host, book.now)
    book.engine.take()
    assert book >> resolved("pbx", target(PBX2))
    assert book >> received(PBX2, invite(host="192.0.2.11:5060")) << send(PBX2, 100) << send(MAIN, "INVITE")


def test_connections_are_refused_for_what_came_over_connections_only() -> None:
    book = office()
    for _ in range(STRIKES + 1):
        book.engine.receive(STRANGER, b"garbage", book.now)
    assert not book.engine.shuts_out(STRANGER.host, book.now), "by UDP the source may be forged"
    for _ in range(STRIKES + 1):
        book.engine.receive(STRANGER_TCP, b"garbage", book.now)
    assert book.engine.shuts_out(STRANGER.host, book.now)
    assert not book.engine.shuts_out(STRANGER.host, book.now + BANNED_FOR)
    assert not book.engine.shuts_out(PBX.host, book.now)


@pytest.mark.parametrize(
    "data",
    [
        b"garbage",
        b"\xff" * 60_000,
        b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK0123456789abcdef\r\n\r\n",
        request("BYE", to_tag="not-one-of-ours"),
        invite(),
    ],
)
def test_what_has_nothing_of_ours_in_it_is_not_taken_apart(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    book = office()

    def fail(data: bytes) -> Message:
        raise AssertionError("taken apart")

    monkeypatch.setattr(entrance, "Message", fail)
    book.engine.receive(STRANGER, data, book.now)
    assert rejected(book) == {"not_allowed": 1}


def test_forged_tags_are_read_only_so_often(monkeypatch: pytest.MonkeyPatch) -> None:
    book, read = office(), []

    def count(data: bytes) -> Message:
        read.append(data)
        return Message(data)

    monkeypatch.setattr(entrance, "Message", count)
    for number in range(LOOKS[0] * 3):
        book.engine.receive(STRANGER, request("BYE", to_tag=f"{number:016x}"), book.now)
    assert len(read) == LOOKS[0]


def guest_answers(book: Office) -> Office:
    """The PBX calls, and another address of the carrier rings."""
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(GATEWAY, lambda _: answer(180)(book.seen(MAIN)))
        << send(PBX, 180)
    )  # fmt: skip
    return book


def test_a_guest_of_a_call_is_heard_however_much_was_forged_in_its_name() -> None:
    book = office()
    for _ in range(STRIKES + 1):
        book.engine.receive(GATEWAY, b"garbage", book.now)
    assert book.engine.entrance.bans.holds(GATEWAY.host, book.now)
    guest_answers(book)
    assert not book.engine.entrance.bans.holds(GATEWAY.host, book.now)
    for _ in range(STRIKES * 2):
        book.engine.receive(GATEWAY, b"garbage", book.now)
    assert not book.engine.entrance.bans.holds(GATEWAY.host, book.now), "it is in a dialog with us"
    assert book.engine.knows(GATEWAY.host)
    assert GATEWAY.host in book.engine.known_hosts()


def test_guests_have_a_bound_and_the_oldest_goes() -> None:
    book = guest_answers(office())
    door = book.engine.entrance
    for number in range(GUESTS_MAX):
        door._welcome(flow(f"guest {number}", f"198.18.{number // 250}.{number % 250}"), book.now)
    assert len(door.guests) == GUESTS_MAX
    assert GATEWAY.host not in door.guests


def test_everybody_who_is_served_comes_through_the_door() -> None:
    book = office("", pbxs=("pbx",))
    assert {PBX.host, MAIN.host} <= set(book.engine.known_hosts())
    assert STRANGER.host not in book.engine.known_hosts()


# -- late -------------------------------------------------------------------------------------------------------------


def test_while_we_are_late_a_pbx_beyond_its_share_hears_503_and_when_to_come_again() -> None:
    book = spent(late(office()))
    refused = has(reason=b"Too many calls at once", retry_after=b"5")
    assert book >> received(PBX, invite()) << send(PBX, 503, refused) << sends_nothing()
    assert len(book.engine.core.layer) == 0, "nothing is kept of it"
    assert rejected(book) == {"late": 1}


def test_a_carrier_hears_486_instead_which_takes_nobody_out_of_service() -> None:
    book = spent(late(office()), MAIN.host)
    call = invite("+41441112233", host="198.51.100.1:5060")
    assert book >> received(MAIN, call) << send(MAIN, 486, has(retry_after=b"5")) << sends_nothing()


def test_another_source_is_not_touched() -> None:
    book = spent(late(office(pbxs=("pbx", "pbx-2"))))
    assert book >> received(PBX, invite()) << send(PBX, 503)
    assert book >> received(PBX2, invite(host="192.0.2.11:5060")) << send(PBX2, 100) << send(MAIN, "INVITE")


def test_what_belongs_to_a_call_goes_on() -> None:
    book = office()
    assert answered(book)
    hold, over = inside(book, "INVITE", 2), inside(book, "BYE", 3)
    spent(late(book))
    assert book >> received(PBX, hold) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)
    assert book >> received(PBX, over) << send(PBX, 200) << send(MAIN, "ACK") << send(MAIN, "BYE")
    assert rejected(book) == {}


def inside(book: Office, method: str, cseq: int) -> bytes:
    """A request of the PBX inside its call."""
    seen = book.seen(PBX)
    return in_dialog(method, seen.given("INVITE"), seen.last(where=is_final), cseq=cseq, body=SDP)


def test_a_copy_of_a_call_that_was_let_in_is_no_new_call() -> None:
    book = office()
    data = invite()
    assert book >> received(PBX, data) << send(PBX, 100) << send(MAIN, "INVITE")
    spent(late(book))
    assert book >> received(PBX, data) << send(PBX, 100) << sends_nothing()
    assert rejected(book) == {}


@pytest.mark.parametrize("number", ["112", "0117", "+41144"])
def test_calls_for_help_are_let_in(number: str) -> None:
    book = spent(late(office()))
    assert book >> received(PBX, invite(number)) << send(PBX, 100) << send(MAIN, "INVITE")


def test_calls_for_help_are_let_in_when_refusals_are_used_up_too_but_not_without_end() -> None:
    book = spent(late(office()))
    silence(book)
    for _ in range(HELP[0]):
        assert book >> received(PBX, invite("112")) << send(PBX, 100) << send(MAIN, "INVITE")
    book.engine.receive(PBX, invite("112"), book.now)
    assert rejected(book)["late"] == ANSWERS[0] + 1 + 1


def silence(book: Office) -> None:
    """The PBX has had all the refusals that it gets."""
    for _ in range(ANSWERS[0] + 1):
        book.engine.receive(PBX, invite(), book.now)
    assert len(book.engine.take()) == ANSWERS[0]


def test_who_does_not_listen_is_met_with_silence_and_its_calls_that_go_on_are_not() -> None:
    book = office()
    assert answered(book)
    hold = inside(book, "INVITE", 2)
    spent(late(book))
    silence(book)
    assert book >> received(PBX, invite()) << sends_nothing()
    assert book >> received(PBX, hold) << send(PBX, 100) << send(MAIN, "INVITE")


def test_a_refusal_is_the_same_for_each_copy() -> None:
    book = spent(late(office()))
    data = invite()
    book.engine.receive(PBX, data, book.now)
    book.engine.receive(PBX, data, book.now)
    first, second = (command.data for command in book.engine.take())  # type: ignore[union-attr]
    assert first == second


def test_an_invite_that_cannot_be_read_is_told_what_is_wrong() -> None:
    book = spent(late(office()))
    assert book >> received(PBX, invite().replace(b"CSeq: 1 INVITE", b"CSeq: x INVITE")) << send(PBX, 400)


def test_refusing_is_told_once_when_it_begins_and_once_when_it_ends() -> None:
    book = office()
    for _ in range(1000):
        book.engine.entrance.load.may(PBX.host, book.now)
    book.now += 0.1
    book.engine.late(0.4, book.now)
    assert book >> after(0.0) << logged("warning", "400 ms behind: new calls are refused") << sends_nothing()
    view = book.engine.view(book.now)
    assert view.load.behind == 0.4
    assert view.load.calls_per_second
    for _ in range(100):
        book.now += 0.1
        book.engine.late(0.0, book.now)
    assert book >> after(0.0) << logged("info", "new calls are let in as they come again")
    assert book.engine.view(book.now).load.calls_per_second is None


# -- full -------------------------------------------------------------------------------------------------------------


def test_when_all_places_are_taken_a_carrier_hears_486(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "CALLS_MAX", 1)
    book = office()
    assert ringing(book)
    assert book >> received(MAIN, invite("+41441112233", host="198.51.100.1:5060")) << send(MAIN, 486)
    assert rejected(book) == {"full": 1}


def test_one_pbx_cannot_take_all_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entrance, "CALLS_OF_ONE_MAX", 1)
    book = office(pbxs=("pbx", "pbx-2"))
    assert ringing(book)
    assert book >> received(PBX, invite()) << send(PBX, 503)
    assert book >> received(PBX2, invite(host="192.0.2.11:5060")) << send(PBX2, 100) << send(MAIN, "INVITE")


# -- other requests ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["OPTIONS", "MESSAGE", "NONSENSE"])
def test_requests_of_no_call_are_answered_only_so_often(method: str) -> None:
    book = office()
    for _ in range(OTHER_REQUESTS[0] + 10):
        book.engine.receive(PBX, request(method), book.now)
    assert len(book.engine.take()) == OTHER_REQUESTS[0]
    assert rejected(book) == {"too_often": 10}
    assert len(book.engine.core.layer) == OTHER_REQUESTS[0]
    assert calling(book), "calls are not touched"


def test_beyond_the_bound_of_transactions_only_what_begins_or_ends_a_call_is_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = office()
    assert answered(book)
    bound = len(book.engine.core.layer)
    monkeypatch.setattr("sipfailover.proxy.engine.TRANSACTIONS_MAX", bound)
    assert book >> received(PBX, request("OPTIONS")) << sends_nothing()
    assert book >> received(PBX, request("BYE", to_tag="nobody")) << sends_nothing()
    assert rejected(book) == {"too_often": 2}
    build: Build = bye()
    checked: Callable[[Message], bool] = has(method=b"BYE")
    assert book >> received(PBX, build) << send(PBX, 200) << send(MAIN, "BYE", checked)
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
