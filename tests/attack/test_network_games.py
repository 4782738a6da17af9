"""Who can send what to whom through us: no relay for strangers, no reflection, no answer that nobody was asked for."""

import random

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.flow import Flow, Send
from sipfailover.proxy import Engine
from sipfailover.proxy.forks import FORKS_MAX
from sipfailover.proxy.registrar import AMPLIFICATION_MAX, STRANGERS
from sipfailover.proxy.stray import LATE_ANSWERS
from sipfailover.wire import Message, compose
from tests.kit import ack, answer, bye, flow, invite, lost, received, request, resolved, send, target
from tests.kit.sip import in_dialog
from tests.properties.test_fuzz import damaged
from tests.proxy.office import BACKUP, MAIN, PBX, STRANGER, Office, answered, calling, office, played, sent

VICTIM = flow("a victim", "192.0.2.200")
ROUTES = [b"<sip:192.0.2.200;lr>", b"<sip:192.0.2.200>", b"<sip:192.0.2.1;lr>,<sip:192.0.2.200;lr>"]
METHODS = ["OPTIONS", "INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "SUBSCRIBE", "REGISTER", "X"]
OPEN = """
pbx: [{host: 192.0.2.10}, {name: desk, username: desk, password: geheim}]
listen: [udp 192.0.2.1:5060]
trunks: [{name: main, host: 198.51.100.1, port: 5060, register: no}]
monitor: {options_every: 1h}
"""


def open_office() -> Office:
    """One where a PBX registers, so that strangers are listened to."""
    book = Office(Engine(parse(OPEN), Chance(1), 0.0))
    assert book >> resolved("main", target(MAIN)) >> resolved("pbx", target(PBX))
    return book


def goes(book: Office, data: bytes, source: Flow) -> list[Send]:
    """What leaves because of a message."""
    book.engine.receive(source, data, book.now)
    return [one for one in book.engine.take() if isinstance(one, Send)]


# -- Via and Route: where answers and requests go ---------------------------------------------------------------------


@pytest.mark.parametrize(
    "via",
    [
        b"SIP/2.0/UDP 192.0.2.200;branch=z9hG4bKa",
        b"SIP/2.0/UDP 192.0.2.200:5060;branch=z9hG4bKa;rport",
        b"SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa;received=192.0.2.200",
        b"SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa;maddr=192.0.2.200;ttl=255",
        b"SIP/2.0/UDP 192.0.2.10;branch=z9hG4bKa;received=192.0.2.200;rport=53",
        b"SIP/2.0/TCP 192.0.2.200;branch=z9hG4bKa",
    ],
)
@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "REGISTER", "BYE", "X"])
def test_a_via_sends_answers_to_nobody_but_who_asked(via: bytes, method: str) -> None:
    for book in (office(), open_office()):
        for source in (PBX, STRANGER):
            data = request(method)
            old = Message(data).first[b"via"]
            out = goes(book, data.replace(old, b"Via: " + via), source)
            assert all(one.to.host == source.host or one.data.startswith(b"INVITE ") for one in out)
            assert not any(one.to.host == VICTIM.host for one in out)


@pytest.mark.parametrize(
    "route", [b"<sip:192.0.2.200;lr>", b"<sip:192.0.2.200>", b"<sip:192.0.2.1;lr>,<sip:192.0.2.200;lr>"]
)
@pytest.mark.parametrize("source", [PBX, MAIN])
def test_a_route_leads_no_call_anywhere(source: Flow, route: bytes) -> None:
    book = office()
    data = invite(host=f"{source.host}:5060", headers=((b"route", route),))
    data = data.replace(b"sip:+41443210019@192.0.2.1:5060 SIP", b"sip:+41443210019@192.0.2.200 SIP")
    out = goes(book, data, source)
    onward = [one for one in out if one.data.startswith(b"INVITE ")]
    assert [one.to.host for one in onward] == [MAIN.host if source is PBX else PBX.host]
    assert not Message(onward[0].data).lines(b"route")
    assert b"192.0.2.200" not in Message(onward[0].data).uri


@pytest.mark.parametrize("method", ["BYE", "INFO", "INVITE", "UPDATE", "MESSAGE", "OPTIONS"])
def test_a_route_leads_no_request_inside_a_call_anywhere(method: str) -> None:
    book = played(answered(office()))
    talk = book.seen(PBX)
    data = in_dialog(method, talk.given("INVITE"), talk.last(200), cseq=7)
    data = data.replace(b"\r\nMax-Forwards", b"\r\nRoute: <sip:192.0.2.200;lr>\r\nMax-Forwards", 1)
    assert {one.to.host for one in goes(book, data, PBX)} <= {PBX.host, MAIN.host}


# -- strangers --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "method", ["OPTIONS", "INVITE", "ACK", "BYE", "CANCEL", "MESSAGE", "SUBSCRIBE", "REGISTER", "X"]
)
def test_a_stranger_hears_nothing(method: str) -> None:
    assert goes(office(), request(method, host="192.0.2.99:5060"), STRANGER) == []


def test_a_stranger_gets_hardly_more_than_it_sends_and_soon_nothing() -> None:
    """Whatever it says, where PBXs register: its address may be forged, and the answer hits somebody else."""
    book = open_office()
    for data in damaged(3000, 5):
        out = goes(book, data, STRANGER)
        assert all(one.to.host == STRANGER.host for one in out)
        assert sum(len(one.data) for one in out) <= AMPLIFICATION_MAX * len(data)
    answers = 0
    for number in range(500):
        source = Flow("udp", f"203.0.113.{number % 250}", 5060, b"192.0.2.1:5060")
        register = compose.request(
            b"REGISTER", b"sip:x", via=b"SIP/2.0/UDP a;branch=z9hG4bK%d" % number, from_=b"<sip:desk@x>;tag=a",
            to=b"<sip:desk@x>", call_id=b"c%d" % number, cseq=1, contact=b"<sip:desk@a>",
            headers=((b"user-agent", b"x" * 200),),
        )  # fmt: skip
        answers += len(goes(book, register, source))
    assert 0 < answers <= STRANGERS[2]


def test_a_thousand_strangers_leave_nothing_behind() -> None:
    book = open_office()
    before = len(book.engine.core.layer)
    for number in range(1000):
        source = Flow("udp", f"198.18.{number // 250}.{number % 250}", 5060, b"192.0.2.1:5060")
        goes(book, request("REGISTER", host=f"{source.host}:5060"), source)
    assert len(book.engine.core.layer) == before


# -- answers and errors that nobody asked for -------------------------------------------------------------------------


def test_a_stranger_who_does_not_know_our_branch_answers_nothing() -> None:
    book = played(calling(office()))
    dice = random.Random(1)
    for _ in range(200):
        forged = answer(200)(book.seen(MAIN))
        branch = Message(forged).via.branch
        data = forged.replace(branch, b"z9hG4bK%016x" % dice.getrandbits(64))
        for source in (STRANGER, VICTIM):
            assert goes(book, data, source) == []
    assert book >> received(MAIN, answer(200)) << send(PBX, 200)


def test_branches_and_tags_have_64_bits_of_chance() -> None:
    asked = Message(next(one.data for one in goes(office(), invite(), PBX) if one.to.host == MAIN.host))
    for token in (asked.via.branch.removeprefix(b"z9hG4bK"), asked.from_tag):
        assert len(bytes.fromhex(token.decode())) == 8
    chance = Chance()
    assert len({chance.token() for _ in range(20_000)}) == 20_000


@pytest.mark.parametrize("what", ["call-id", "our tag", "their tag"])
def test_who_guesses_a_part_of_a_dialog_hangs_up_nothing(what: str) -> None:
    book = played(answered(office()))
    right = bye(callee=True)(book.seen(MAIN))
    message = Message(right)
    old = {"call-id": message.call_id, "our tag": message.to_tag, "their tag": message.from_tag}[what]
    out = goes(book, right.replace(old, old[:-1] + bytes([old[-1] ^ 1])), MAIN)
    assert [one.data[8:11] for one in out] == [b"481"]
    assert goes(book, right, STRANGER) == [], "and a stranger who has overheard all of it speaks from another address"
    assert len(book.engine.core.calls) == 1


@pytest.mark.parametrize("reason", ["refused", "unreachable", "timeout"])
def test_an_icmp_error_about_somebody_else_stops_nothing(reason: str) -> None:
    book = played(calling(office()))
    assert book >> lost(target(STRANGER), reason) >> lost(target(VICTIM), reason) >> lost(target(BACKUP), reason)
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    assert book >> lost(target(MAIN), reason)
    assert book >> received(MAIN, answer(200)) << send(PBX, 200)


def test_thousands_of_2xx_to_one_invite_cost_a_few_legs() -> None:
    book = played(calling(office()))
    for number in range(3000):
        goes(book, answer(180, tag=f"ringing{number}", to="INVITE")(book.seen(MAIN)), MAIN)
    assert len(book.engine.core.legs) <= 2 * FORKS_MAX + 2
    assert book >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)
    assert book >> received(PBX, ack()) << send(MAIN, "ACK")


def test_forged_late_answers_make_us_send_little_to_whom_they_name() -> None:
    """Whoever forges the carrier's address can write any Contact: a bounded number of BYEs may go there, no more."""
    book = office()
    hit = 0
    for number in range(3000):
        forged = compose.response(
            Message(
                compose.request(
                    b"INVITE", b"sip:1@x", via=b"SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bK%016x" % number,
                    from_=b"<sip:a@x>;tag=%016x" % number, to=b"<sip:1@x>", call_id=b"c%d" % number, cseq=1,
                )
            ),
            200, to_tag=b"t", headers=((b"contact", b"<sip:x@192.0.2.200>"),),
        )  # fmt: skip
        hit += sum(one.to.host == VICTIM.host for one in goes(book, forged, MAIN))
    assert 0 < hit <= 2 * LATE_ANSWERS[0]
    assert len(book.engine.core.legs) <= LATE_ANSWERS[0]


@pytest.mark.parametrize("hops", [b"0", b"256", b"-1", b"x", b"99999999999999999999"])
def test_no_call_goes_on_without_a_hop_left_or_with_more_than_there_can_be(hops: bytes) -> None:
    book = office()
    data = invite().replace(b"Max-Forwards: 70", b"Max-Forwards: " + hops)
    assert book >> received(PBX, data) << send(PBX, 483 if hops == b"0" else 400)


def test_a_redirect_of_a_carrier_leads_no_call_to_a_stranger() -> None:
    book = played(calling(office()))
    moved = answer(302, headers=((b"contact", b"<sip:+41900123456@192.0.2.200>"),))
    assert book >> received(MAIN, moved) << send(MAIN, "ACK") << send(PBX, 302)
    assert not sent(book, VICTIM, "INVITE")
