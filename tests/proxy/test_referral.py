"""Transfers across the two legs: what names a dialog or address of ours is named as the other side knows it."""

from urllib.parse import quote

import pytest

from sipfailover.proxy.leg import Leg
from sipfailover.proxy.referral import REFERS_MAX, refer_to, remember, replaces, translate
from sipfailover.wire import Message
from tests.kit import Playbook, ack, answer, invite, received, send, target
from tests.kit.sip import US, request
from tests.proxy.talk import MAIN, PBX, inside, invited, reply, talking


def pair(number: int) -> tuple[Leg, Leg]:
    """Two legs of one call, as after its answer."""
    a, b = (
        Leg(number, b"%b-%d@there" % (side, number), b"our-%b-%d" % (side, number), target(peer), b"")
        for side, peer in ((b"a", PBX), (b"b", MAIN))
    )
    a.remote_tag, b.remote_tag = b"pbx-%d" % number, b"carrier-%d" % number
    a.target, b.target = b"sip:pbx@192.0.2.10:5070", b"sip:there@198.51.100.7:5080;x=y"
    a.partner, b.partner = b.key, a.key
    return a, b


A, B = pair(1)
C, D = pair(2)
LEGS = {leg.key: leg for leg in (A, B, C, D)}


def test_a_number_at_our_address_becomes_a_number_at_the_other_sides_peer() -> None:
    for written in (b"<sip:+41000@192.0.2.1:5060>", b"<sip:+41000@192.0.2.1>", b"sip:+41000@192.0.2.1"):
        assert refer_to(written, LEGS, A, B) == b"<sip:+41000@198.51.100.7:5080>"
    assert refer_to(b"<sip:7@192.0.2.1>", LEGS, B, A) == b"<sip:7@192.0.2.10:5070>"


def test_what_described_the_way_to_us_does_not_describe_the_way_there() -> None:
    value = b'"Desk" <sip:+41000@192.0.2.1:5060;transport=tcp;user=phone?Subject=x>;early'
    assert refer_to(value, LEGS, A, B) == b'"Desk" <sip:+41000@198.51.100.7:5080;user=phone?Subject=x>;early'


@pytest.mark.parametrize(
    "value",
    [
        b"<sip:+41000@elsewhere.example>",
        b"<sip:+41000@192.0.2.1:5099>",
        b"<tel:+41000>",
        b"<sip:+41000",
        b"",
        b"<sip:a@b?Replaces=unknown%40x%3Bto-tag%3D1%3Bfrom-tag%3D2>",
        b"<sip:a@192.0.2.1?Replaces=%zz%>",
        b"<sip:a@192.0.2.1?Replaces>",
    ],
)
def test_what_is_not_ours_or_cannot_be_read_stays_as_it_is(value: bytes) -> None:
    message = Message(request("REFER", to_tag="x", headers=((b"refer-to", value),)))
    assert translate(message, LEGS, A, B) is None


@pytest.mark.parametrize(("leg", "partner", "named", "other"), [(A, B, C, D), (B, A, D, C)], ids=["out", "in"])
@pytest.mark.parametrize("early", ["", ";early-only"])
def test_an_attended_transfer_names_the_other_dialog_as_the_other_side_knows_it(
    leg: Leg, partner: Leg, named: Leg, other: Leg, early: str
) -> None:
    written = f"{named.call_id.decode()};to-tag={named.local_tag.decode()};from-tag={named.remote_tag.decode()}{early}"
    wanted = f"{other.call_id.decode()};to-tag={other.remote_tag.decode()};from-tag={other.local_tag.decode()}{early}"
    value = f"<sip:x@192.0.2.1?Subject=a&Replaces={quote(written, safe='')}&Require=replaces>".encode()
    assert refer_to(value, LEGS, leg, partner) == (
        b"<%b?Subject=a&Replaces=%b&Require=replaces>" % (other.target, quote(wanted, safe="").encode())
    )
    message = Message(request("INVITE", to_tag="x", headers=((b"replaces", written.encode()),)))
    assert translate(message, LEGS, leg, partner) == (b"replaces", wanted.encode())


@pytest.mark.parametrize(
    "change", [("a-2@there", "other@there"), ("our-a-2", "other"), ("pbx-2", "other"), (";from-tag", ";nothing")]
)
def test_a_dialog_that_is_not_quite_ours_is_not_ours(change: tuple[str, str]) -> None:
    assert replaces(b"a-2@there;to-tag=our-a-2;from-tag=pbx-2", LEGS) is not None
    assert replaces(b"a-2@there;to-tag=our-a-2;from-tag=pbx-2".replace(*(c.encode() for c in change)), LEGS) is None


def test_a_dialog_whose_other_side_is_gone_is_not_ours() -> None:
    legs = {C.key: C}
    assert replaces(b"a-2@there;to-tag=our-a-2;from-tag=pbx-2", legs) is None


def test_refers_are_remembered_up_to_a_bound_and_the_oldest_go_first() -> None:
    leg, _ = pair(3)
    for number in range(1, REFERS_MAX + 3):
        remember(leg, number, 100 + number)
    assert leg.refers is not None
    assert len(leg.refers) == REFERS_MAX

    def told(value: bytes) -> tuple[bytes, bytes] | None:
        return translate(Message(request("NOTIFY", to_tag="x", headers=((b"event", value),))), {}, leg, leg)

    assert told(b"refer;id=1") is None
    assert told(b"refer;id=3") == (b"event", b"refer;id=103")
    assert told(b"Refer ; id=4;a=b") == (b"event", b"Refer;id=104;a=b")
    for other in (b"refer", b"refer;id=", b"refer;id=x", b"refer;id=99", b"presence;id=3", b"", b'refer;id="3'):
        assert told(other) is None


def test_a_transfer_as_two_calls_live_it() -> None:
    """The office talks to two people outside and joins them: the carrier is told by the names that it knows."""
    book = talking()
    first = invited(book)
    assert (
        book
        >> received(PBX, invite("+41777"))
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(200, tag="second", contact="<sip:second@198.51.100.1>"))
        << send(PBX, 200)
        >> received(PBX, ack())
        << send(MAIN, "ACK")
    )
    told, asked = book.seen(PBX).last(200), book.seen(PBX).given("INVITE")
    out = invited(book)
    assert out.call_id != first.call_id
    named = f"{asked.call_id.decode()};to-tag={told.to_tag.decode()};from-tag={asked.from_tag.decode()}"
    wanted = f"{out.call_id.decode()};to-tag=second;from-tag={out.from_tag.decode()}"
    refer = ((b"refer-to", f"<sip:+41777@{US.decode()}?Replaces={quote(named, safe='')}>".encode()),)
    assert (
        book
        >> received(PBX, inside("REFER", 2, headers=refer))
        << send(MAIN, "REFER", lambda m: m.get(b"refer-to") == (
            f"<sip:second@198.51.100.1?Replaces={quote(wanted, safe='')}>".encode()))
        >> received(MAIN, reply(202, "REFER"))
        << send(PBX, 202)
    )  # fmt: skip
    assert isinstance(book, Playbook)
