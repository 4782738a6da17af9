"""Where requests inside a dialog go, and how they are addressed."""

import pytest

from sipfailover.errors import WireError
from sipfailover.flow import Flow, Target
from sipfailover.proxy.leg import (
    HOPS_KEPT,
    URI_KEPT_BYTES,
    Leg,
    _next_hop,
    contact_line,
    next_hop,
    route_set,
    without_tag,
)
from sipfailover.wire import Message, NameAddr, compose
from tests.kit import ack, after, answer, flow, invite, received, send, sends_nothing
from tests.kit.sip import US
from tests.proxy.talk import MAIN, PBX, accepted, inside, invited, is_empty, refused, ringing, talking

PUBLIC = Target("udp", "85.1.2.3", 5060, US)
PRIVATE = Target("udp", "192.168.10.5", 5060, US)
SIX = Target("udp", "2a02:1200::5", 5060, b"[2a02:1200::1]:5060")
TCP = Target("tcp", "85.1.2.3", 5060, US)
TLS = Target("tls", "85.1.2.3", 5061, US, line="main")


@pytest.mark.parametrize(
    ("uri", "reached", "host", "port"),
    [
        (b"sip:a@85.1.2.3", PUBLIC, "85.1.2.3", 5060),
        (b"sip:a@85.1.2.3:5080", PUBLIC, "85.1.2.3", 5080),  # same host, other port
        (b"sip:a@85.1.2.4", PUBLIC, "85.1.2.4", 5060),  # the carrier's next machine
        (b"sip:a@192.168.10.6:5070", PRIVATE, "192.168.10.6", 5070),
        (b"sip:a@85.1.2.3", PRIVATE, "85.1.2.3", 5060),
        (b"sips:a@85.1.2.4", PUBLIC, "85.1.2.4", 5060),
        (b"sip:a@85.1.2.4;transport=UDP", PUBLIC, "85.1.2.4", 5060),
        (b"sip:a@85.1.2.4;transport=tcp", TCP, "85.1.2.4", 5060),
        (b"sip:a@[2a02:1200::7]:5070", SIX, "2a02:1200::7", 5070),
        (b"sip:a@[2A02:1200:0::5]", SIX, "2a02:1200::5", 5060),
        (b"sip:a@85.1.2.4;transport=tls", TLS, "85.1.2.4", 5061),
        (b"sip:a@85.1.2.4:5071;transport=TLS", TLS, "85.1.2.4", 5071),
        (b"sips:a@85.1.2.4", TLS, "85.1.2.4", 5061),
        (b"sips:a@85.1.2.4:5071;transport=tcp", TLS, "85.1.2.4", 5071),  # §26.2.2: what TLS runs over
    ],
)
def test_the_address_in_the_uri_is_where_a_request_goes(uri: bytes, reached: Target, host: str, port: int) -> None:
    hop = next_hop(uri, reached)
    assert (hop.host, hop.port, hop.transport) == (host, port, reached.transport)
    assert hop.sent_by == reached.sent_by
    assert hop.line == reached.line, "the other machine must prove to be the same carrier"


@pytest.mark.parametrize(
    ("uri", "reached"),
    [
        (b"sip:a@sbc.carrier.example", PUBLIC),  # a name is not looked up on the path of a call
        (b"sip:a@sbc.carrier.example:5080", PUBLIC),
        (b"sip:a@192.168.1.1", PUBLIC),  # private behind public: a carrier behind NAT
        (b"sip:a@10.1.1.1:5070", PUBLIC),
        (b"sip:a@100.64.3.4", PUBLIC),  # behind a carrier's own NAT (RFC 6598)
        (b"sip:a@127.0.0.1", PUBLIC),
        (b"sip:a@127.0.1.1:5060", PRIVATE),  # a Debian that does not know its own address
        (b"sip:a@0.0.0.0", PRIVATE),
        (b"sip:a@224.0.1.75", PUBLIC),
        (b"sip:a@[2a02:1200::7]", PUBLIC),
        (b"sip:a@85.1.2.4", SIX),
        (b"sip:a@[fd00::1]", SIX),
        (b"sip:a@85.1.2.4;transport=tcp", PUBLIC),  # by another way than the one that is known to work
        (b"sip:a@85.1.2.4;transport=ws", PUBLIC),
        (b"sip:a@85.1.2.4:5060", TLS),  # UDP is meant, and TLS is what is known to work
        (b"sip:a@85.1.2.3:5060", TLS),
        (b"sip:a@85.1.2.4;transport=tcp", TLS),
        (b"tel:+41443210019", PUBLIC),
        (b"urn:service:sos", PUBLIC),
        (b"sip:", PUBLIC),
        (b"sip:a@85.1.2.4:99999", PUBLIC),
        (b"", PUBLIC),
    ],
)
def test_what_leads_nowhere_means_the_address_that_is_known_to_work(uri: bytes, reached: Target) -> None:
    assert next_hop(uri, reached) == reached


def test_loopback_peers_on_this_machine_may_have_loopback_contacts() -> None:
    here = Target("udp", "127.0.0.1", 5070, US)
    assert next_hop(b"sip:a@127.0.0.2:5080", here) == here.at("127.0.0.2", 5080)


def leg_of(message: bytes, came: Flow) -> Leg:
    leg = Leg(1, b"c", b"ours", came, b"Contact: <sip:x@y>")
    leg.called_by(Message(message), came)
    return leg


def test_a_caller_behind_nat_is_answered_where_it_comes_from() -> None:
    came = flow("nat", "85.1.2.3", 31000)
    leg = leg_of(invite(host="192.168.1.7:5060"), came)
    assert leg.behind_nat
    assert leg.to == came
    assert leg.target == b"sip:+41441112233@192.168.1.7:5060"
    leg = leg_of(invite(host="85.1.2.9:5060"), came)  # even if its Contact looks as if it could be reached
    assert leg.to == came


def test_a_caller_without_contact_is_asked_at_its_address_of_record() -> None:
    data = b"\r\n".join(line for line in invite().split(b"\r\n") if not line.startswith(b"Contact"))
    leg = leg_of(data, PBX)
    assert leg.target == b"sip:+41441112233@192.0.2.10:5060"
    assert leg.to == PBX


@pytest.mark.parametrize("contact", [b"<sip:a", b"nonsense", b'"x <sip:a@b>'])
def test_an_invite_with_a_contact_that_cannot_be_read_begins_nothing(contact: bytes) -> None:
    data = invite().replace(b"Contact: <sip:+41441112233@192.0.2.10:5060>", b"Contact: " + contact)
    with pytest.raises(WireError):
        leg_of(data, PBX)


@pytest.mark.parametrize("contact", [b"*", b"<tel:+41441112233>"])
def test_a_contact_that_is_of_no_use_leaves_the_way_that_worked(contact: bytes) -> None:
    data = invite().replace(b"Contact: <sip:+41441112233@192.0.2.10:5060>", b"Contact: " + contact)
    leg = leg_of(data, PBX)
    assert leg.to == PBX
    assert leg.target.partition(b":")[0] in (b"sip", b"tel")
    lines = leg.request_lines(b"BYE", 1, b"z9hG4bK1", 70, False)
    assert Message(lines + b"\r\nContent-Length: 0\r\n\r\n").uri == leg.target


def test_requests_over_a_stream_say_so_in_via_and_contact() -> None:
    assert contact_line(b"7", TCP) == b"Contact: <sip:7@192.0.2.1:5060;transport=tcp>"
    assert contact_line(b"", PUBLIC) == b"Contact: <sip:192.0.2.1:5060>"
    came = Flow("tcp", "192.0.2.10", 40001, US, connection=7)
    leg = leg_of(invite(transport="TCP"), came)
    assert b"Via: SIP/2.0/TCP 192.0.2.1:5060;branch=z9hG4bK1;rport" in leg.request_lines(
        b"BYE", 1, b"z9hG4bK1", 70, False
    )


def test_the_tag_is_taken_from_an_address_and_nothing_else() -> None:
    address = NameAddr.parse(b'"a;tag=b" <sip:x@y;tag=c>;tag=d;e=f')
    assert without_tag(address) == b'"a;tag=b" <sip:x@y;tag=c>;e=f'


def test_a_fork_has_tags_of_its_own_and_the_numbers_of_the_invite() -> None:
    leg = leg_of(invite(cseq=41), PBX)
    leg.cseq, leg.remote_cseq = 7, 55
    twin = leg.fork(b"second", leg.remote_tag)
    assert twin.local == leg.local.replace(b"ours", b"second")
    assert (twin.key, twin.cseq, twin.remote_cseq, twin.uas_cseq) == (b"second;" + leg.remote_tag, 0, 41, 41)
    assert (twin.to, twin.target, twin.routes, twin.caller) == (leg.to, leg.target, leg.routes, True)


def test_every_callee_of_a_fork_has_a_dialog_of_its_own_until_one_answers() -> None:
    book = ringing(reply=answer(183, tag="one"))
    assert book >> received(MAIN, answer(180, to="INVITE", tag="two")) << send(PBX, 180)
    tags = [Message(data).to_tag for to, data in book.sent if to.peer == PBX.peer and data[8:11] in (b"183", b"180")]
    assert len(set(tags)) == 2
    for number, tag in enumerate(("one", "two"), 1):
        assert book >> received(MAIN, inside("UPDATE", number, callee=True, tag=tag)) << send(PBX, "UPDATE")
        assert book.seen(PBX).last("UPDATE").from_tag == tags[number - 1]
    assert book >> received(MAIN, answer(200, to="INVITE", tag="two")) << send(PBX, 200)
    assert book.seen(PBX).last(200).to_tag == tags[1]
    assert book >> received(MAIN, inside("UPDATE", 9, callee=True, tag="one")) << send(MAIN, 481)  # it lost
    assert len(book.engine.core.legs) == 2  # type: ignore[attr-defined]


def test_a_second_answer_of_a_fork_is_acknowledged_and_hung_up() -> None:
    book = talking()
    assert (
        book
        >> received(MAIN, answer(200, to="INVITE", tag="two"))
        << send(MAIN, "ACK", lambda m: m.to_tag == b"two")
        << send(MAIN, "BYE", lambda m: m.to_tag == b"two")
        >> received(MAIN, inside("INFO", 3, callee=True))
        << send(PBX, "INFO")
    )


def test_two_dialogs_of_one_call_share_neither_call_id_nor_tags() -> None:
    book = accepted()
    ours, theirs = invited(book), book.seen(PBX).given("INVITE")
    assert ours.call_id != theirs.call_id
    assert ours.from_tag != theirs.from_tag
    assert book.seen(PBX).last(200).to_tag != b"callee"


def test_a_leg_tells_an_operator_which_call_it_is_and_where_it_goes() -> None:
    book = talking()
    said = {repr(leg) for leg in book.engine.core.legs.values()}  # type: ignore[attr-defined]
    theirs, ours = book.seen(PBX).given("INVITE").call_id.decode(), invited(book).call_id.decode()
    assert said == {
        f"<Leg of call 1, caller side, Call-ID {theirs}, at udp 192.0.2.10:5060>",
        f"<Leg of call 1, called side, Call-ID {ours}, at udp 198.51.100.1:5060>",
    }


def test_calls_and_transactions_tell_an_operators_story_and_hold_no_secret() -> None:
    secret = (b"authorization", b'Digest username="office", response="5ec4e7"')
    book = ringing(ask=invite(headers=(secret,)))
    core = book.engine.core  # type: ignore[attr-defined]
    (call,) = core.calls.values()
    assert repr(call) == "<Call 1 outbound ringing over main, 1 attempts>"
    assert {repr(tx) for tx in (*core.layer.clients.values(), *core.layer.servers.values())} == {
        "<Transaction INVITE to udp 198.51.100.1:5060: PROCEEDING>",
        "<Transaction INVITE from udp 192.0.2.10:5060: PROCEEDING>",
    }
    assert book >> received(MAIN, answer(486, to="INVITE")) << send(MAIN, "ACK") << send(PBX, 486)
    assert book >> received(PBX, refused()) >> after(40.0)
    assert is_empty(book)
    for thing in (call, call.a, call.attempt, *core.lines.values()):
        assert "5ec4e7" not in repr(thing)


def test_a_line_tells_its_state_and_its_address() -> None:
    core = ringing().engine.core  # type: ignore[attr-defined]
    assert repr(core.lines["main"]).startswith("<Line trunk <Trunk main UP since 0.000")
    assert "at udp 198.51.100.1:5060" in repr(core.lines["main"])


GARBAGE = pytest.mark.parametrize("garbage", [b'x;"', b"<sip:a;x", b";", b'<sip:a@b>;tag="c'])
HEADER = pytest.mark.parametrize("header", [b"From", b"To"])


def broken(data: bytes, header: bytes, garbage: bytes) -> bytes:
    """The same message with another value in this header."""
    lines = data.split(b"\r\n")
    return b"\r\n".join(header + b": " + garbage if line.startswith(header + b":") else line for line in lines)


@HEADER
@GARBAGE
def test_an_answer_with_an_unreadable_address_is_dropped_and_the_call_goes_on(header: bytes, garbage: bytes) -> None:
    """It once raised out of the engine, which then could not handle any further message."""
    book = ringing()
    for status in (180, 200):
        said = broken(answer(status, to="INVITE")(book.seen(MAIN)), header, garbage)
        assert book >> received(MAIN, said) << sends_nothing()
    assert book >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)


@HEADER
@GARBAGE
def test_a_request_with_an_unreadable_address_is_refused_and_the_call_goes_on(header: bytes, garbage: bytes) -> None:
    book = accepted()
    sound = ack()(book.seen(PBX))
    byes = [(PBX, inside("BYE", 5)(book.seen(PBX))), (MAIN, inside("BYE", 5, callee=True)(book.seen(MAIN)))]
    assert book >> received(PBX, broken(sound, header, garbage)) << sends_nothing()
    assert book >> received(PBX, sound) << send(MAIN, "ACK")
    for asks, bye in byes:
        assert book >> received(asks, broken(bye, header, garbage)) << send(asks, 400)
    assert book >> received(PBX, byes[0][1]) << send(PBX, 200) << send(MAIN, "BYE")


@pytest.mark.parametrize("garbage", [b'"a <sip:198.51.100.1;lr>', b"<sip:198.51.100.1;lr", b"lr"])
def test_a_route_set_with_an_unreadable_value_is_refused(garbage: bytes) -> None:
    routes = ((b"record-route", b"<sip:10.1.1.1;lr>"), (b"record-route", garbage))
    assert route_set(Message(invite(headers=routes[:1]))) == (b"<sip:10.1.1.1;lr>",)
    with pytest.raises(WireError):
        route_set(Message(invite(headers=routes)))


def test_a_reply_goes_to_the_port_the_via_says() -> None:
    data = compose.request(
        b"INFO", b"sip:x@192.0.2.1", via=b"SIP/2.0/UDP 192.0.2.10:5099;branch=z9hG4bKport", from_=b"<sip:a@b>;tag=1",
        to=b"<sip:x@y>;tag=2", call_id=b"c", cseq=1,
    )  # fmt: skip
    assert ringing() >> received(PBX, data) << send(flow("signed", "192.0.2.10", 5099), 481)


def test_where_contacts_lead_is_remembered_within_bounds() -> None:
    here = Target("udp", "192.0.2.1", 5060, b"192.0.2.9:5060")
    for number in range(HOPS_KEPT + 50):
        assert next_hop(b"sip:%d@192.0.2.7:5070" % number, here) == here.at("192.0.2.7", 5070)
    kept = _next_hop.cache_info().currsize
    assert next_hop(b"sip:%b@192.0.2.7:5070" % (b"1" * URI_KEPT_BYTES), here) == here.at("192.0.2.7", 5070)
    assert kept == _next_hop.cache_info().currsize == HOPS_KEPT
