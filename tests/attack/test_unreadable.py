"""One message that cannot be read must cost at most its own call: whatever comes after it is served as ever."""

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from tests.attack.office import MAIN, PHONE, SETTINGS, play
from tests.kit import Playbook, ack, after, answer, bye, invite, received, send
from tests.kit.sip import in_dialog

UNREADABLE_ROUTES = [b"<sip:198.51.100.9;lr", b'"proxy <sip:198.51.100.9;lr>', b"proxy"]


def is_served(book: Playbook) -> None:
    """A new call goes out and is answered."""
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PHONE, 200)
        >> received(PHONE, ack())
        << send(MAIN, "ACK")
    )  # fmt: skip


@pytest.mark.parametrize("route", UNREADABLE_ROUTES)
@pytest.mark.parametrize("status", [180, 200])
def test_a_carriers_record_route_that_cannot_be_read_stops_nobody_and_the_call_goes_on(
    route: bytes, status: int
) -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(status, headers=((b"record-route", route),)))
        << send(PHONE, status)
    )  # fmt: skip
    if status == 180:
        assert book >> received(MAIN, answer(200, headers=((b"record-route", route),))) << send(PHONE, 200)
    assert (
        book
        >> received(PHONE, ack())
        << send(MAIN, "ACK", lambda message: not message.lines(b"route"))
        >> received(PHONE, bye())
        << send(PHONE, 200) << send(MAIN, "BYE")
    )  # fmt: skip
    is_served(book)


@pytest.mark.parametrize("route", UNREADABLE_ROUTES)
def test_a_pbxs_record_route_that_cannot_be_read_is_refused_and_nothing_is_kept(route: bytes) -> None:
    book = play()
    assert book >> received(PHONE, invite(headers=((b"record-route", route),))) << send(PHONE, 400)
    assert not book.engine.core.calls
    is_served(book)


def test_a_contact_that_cannot_be_read_is_refused_and_no_call_is_left_behind() -> None:
    book = play()
    broken = invite().replace(b"Contact: <sip:+41441112233@192.0.2.10:5060>", b"Contact: <sip:+41441112233@192.0.2.10")
    assert book >> received(PHONE, broken) << send(PHONE, 400)
    assert not book.engine.core.calls
    assert book.engine.core.lines["pbx"].trunk.calls_now == 0


@pytest.mark.parametrize(
    ("written", "instead"),
    [(b";tag=", b';x="y;tag=')],
    ids=["to-tag"],
)
def test_an_ack_that_cannot_be_read_is_dropped_and_stops_nobody(written: bytes, instead: bytes) -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PHONE, 200)
        >> received(PHONE, lambda seen: ack()(seen).replace(written, instead))
        >> received(PHONE, ack())
        << send(MAIN, "ACK")
    )  # fmt: skip
    is_served(book)


def test_a_response_whose_to_tag_cannot_be_read_is_dropped_and_stops_nobody() -> None:
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, lambda seen: answer(180)(seen).replace(b";tag=callee", b';x="y;tag=callee'))
        >> received(MAIN, answer(200))
        << send(PHONE, 200)
    )  # fmt: skip


def test_a_refusal_whose_retry_after_cannot_be_read_is_a_refusal() -> None:
    """It was taken for nothing said: the caller waited until a clock rang, and the next trunk was tried."""
    book = play()
    assert (
        book
        >> received(PHONE, invite())
        << send(PHONE, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(486, headers=((b"retry-after", b'5;duration="'),)))
        << send(MAIN, "ACK") << send(PHONE, 486)
    )  # fmt: skip


def test_a_number_of_5000_digits_in_event_is_passed_on_as_it_came() -> None:
    book = play()
    is_served(book)
    refer = in_dialog("REFER", book.seen(PHONE).given("INVITE"), book.seen(PHONE).last(200), cseq=2)
    refer = refer.replace(b"Content-Length", b"Refer-To: <sip:1@192.0.2.99>\r\nContent-Length")
    notify = in_dialog("NOTIFY", book.seen(MAIN).last("INVITE"), book.seen(MAIN).given(200), cseq=1, from_callee=True)
    long = b"Event: refer;id=" + b"1" * 5000
    notify = notify.replace(b"Content-Length", long + b"\r\nContent-Length")
    assert (
        book
        >> received(PHONE, refer)
        << send(MAIN, "REFER")
        >> received(MAIN, notify)
        << send(PHONE, "NOTIFY", lambda message: message.lines(b"event") == [long])
    )  # fmt: skip


def test_a_fault_of_ours_in_one_message_does_not_meet_the_next_one() -> None:
    """Whatever is wrong with us: what was handed on once is not handed on again."""
    engine = Engine(parse(SETTINGS), Chance(1), 0.0)
    book = play(engine=engine)
    heard, engine.ladder.heard = engine.ladder.heard, _fails
    assert book >> received(PHONE, invite()) << send(PHONE, 100) << send(MAIN, "INVITE")
    with pytest.raises(AssertionError, match="ours"):
        engine.receive(MAIN, answer(180)(book.seen(MAIN)), book.now)
    engine.ladder.heard = heard
    assert book >> received(MAIN, answer(200)) << send(PHONE, 200)
    assert book >> after(0.1)


def _fails(*_: object) -> None:
    raise AssertionError("ours")


@pytest.mark.parametrize("sign", [b"\x10", b"\x01", b"\x7f", b"\x1b"])
def test_a_contact_with_a_control_character_is_no_address(sign: bytes) -> None:
    """It became the Request-URI of our BYE, which nobody could read."""
    broken = invite().replace(b"Contact: <sip:+41441112233@192.0", b"Contact: <sip:+41441112233@192" + sign + b".0")
    assert play() >> received(PHONE, broken) << send(PHONE, 400)
