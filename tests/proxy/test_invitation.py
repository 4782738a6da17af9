"""How a call is offered: every number form in both directions, callers per trunk, calls for help.

The numbers that are expected are `phonenumbers`' own. What single settings do is in `tests/trunk/test_identity`.
"""

from itertools import product

import phonenumbers
import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from sipfailover.proxy.invitation import called_uri, invitation, is_emergency, may_fall_back, offer
from sipfailover.proxy.leg import Leg
from sipfailover.wire import OWNED, Message
from sipfailover.wire.uri import user
from tests.kit import Playbook, ack, answer, flow, invite, received, send, target
from tests.kit.playbook import is_probe
from tests.kit.sip import in_dialog
from tests.trunk.carrier import call

PBX = flow("pbx", "192.0.2.10")
MAIN = flow("main", "198.51.100.1")
BACKUP = flow("backup", "203.0.113.1")
FORMS = ("keep", "e164", "plain", "international", "national")


def engine(main: str = "", backup: str = "", more: str = "", pbx: str = "") -> Engine:
    made = Engine(
        parse(
            f"pbx: {{host: 192.0.2.10, {pbx}}}\ntrunks:\n"
            f"  - {{name: main, host: 198.51.100.1, {main}}}\n  - {{name: backup, host: 203.0.113.1, {backup}}}\n"
            f"monitor: {{options_every: 1h}}\n{more}\n"
        ),
        Chance(1),
        0.0,
    )
    for name, peer in (("pbx", PBX), ("main", MAIN), ("backup", BACKUP)):
        made.resolved(name, (target(peer),), 0.0)
    made.take()
    return made


def offered(
    made: Engine,
    request: Message,
    to: str = "main",
    from_: str = "pbx",
    uri: bytes = b"",
    *,
    emergency: bool = False,
    fallback: bool = False,
) -> Message:
    """The INVITE as it leaves for `to`."""
    return Message(
        data_of(made, leg_of(made, request, to, from_, uri, emergency=emergency, fallback=fallback), request)
    )


def leg_of(
    made: Engine,
    request: Message,
    to: str = "main",
    from_: str = "pbx",
    uri: bytes = b"",
    *,
    emergency: bool = False,
    fallback: bool = False,
) -> Leg:
    core = made.core
    line = core.lines[to]
    assert line.trunk.target is not None
    return offer(
        1, request, uri or request.uri, line, line.trunk.target, core.chance,
        source=core.lines[from_], emergency=emergency, fallback=fallback,
    )  # fmt: skip


def data_of(made: Engine, leg: Leg, request: Message) -> bytes:
    leg.uac_cseq = leg.next_cseq()
    return invitation(request, leg, b"z9hG4bK1", None, made.core)


# -- every form, both directions, both trunks -------------------------------------------------------------------------

NUMBERS = (
    "+41443210019",
    "+41795550001",
    "+41800800800",
    "+4930123456",
    "+390669812345",
    "+12125550123",
    "+4232345678",
)


def written(e164: str, form: str) -> str:
    """As `phonenumbers` writes it in Switzerland."""
    number = phonenumbers.parse(e164)
    if form == "plain":
        return e164[1:]
    if form == "international":
        return "00" + e164[1:]
    if form == "national":
        text = phonenumbers.format_out_of_country_calling_number(number, "CH")
        return "".join(c for c in text if c.isdigit())
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


@pytest.mark.parametrize(("wrote", "form"), list(product(FORMS[1:], FORMS)))
def test_every_form_on_the_way_out(wrote: str, form: str) -> None:
    made = engine(f"number_format: {form}", f"number_format: {form}, username: u7, password: x, domain: b.example",
                  pbx=f"number_format: {wrote}")  # fmt: skip
    for number, trunk in product(NUMBERS, ("main", "backup")):
        caller = NUMBERS[0] if number != NUMBERS[0] else NUMBERS[1]
        request = call(f"<sip:{written(caller, wrote)}@pbx>", called=written(number, wrote))
        kept = wrote if form == "keep" else form
        sent = offered(made, request, trunk)
        assert user(sent.uri).decode() == user(sent.to.uri).decode() == written(number, kept)
        assert user(sent.from_.uri).decode() == written(caller, kept)
        assert sent.uri.endswith(b"@198.51.100.1" if trunk == "main" else b"@b.example")


@pytest.mark.parametrize(("wrote", "form"), list(product(FORMS[1:], FORMS)))
def test_every_form_on_the_way_in(wrote: str, form: str) -> None:
    made = engine(f"inbound_format: {wrote}", f"number_format: {wrote}", pbx=f"number_format: {form}")
    for number, trunk in product(NUMBERS, ("main", "backup")):
        request = call(f"<sip:{written(number, wrote)}@carrier>", called=written(NUMBERS[0], wrote))
        kept = wrote if form == "keep" else form
        sent = offered(made, request, "pbx", trunk)
        assert user(sent.uri).decode() == user(sent.to.uri).decode() == written(NUMBERS[0], kept)
        assert user(sent.from_.uri).decode() == written(number, kept)
        assert sent.uri == b"sip:%b@192.0.2.10:5060" % written(NUMBERS[0], kept).encode()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("who", ["1811", "1414", "140", "116117", "*21*0443210000#", "%2331%23", "alice", "112", "21"])
def test_codes_and_names_are_the_same_in_every_form_and_direction(form: str, who: str) -> None:
    made = engine(f"number_format: {form}", f"number_format: {form}", pbx=f"number_format: {form}")
    for to, from_ in (("main", "pbx"), ("backup", "pbx"), ("pbx", "main"), ("pbx", "backup")):
        sent = offered(made, call(f"<sip:{who}@x>", called=who), to, from_)
        assert user(sent.uri).decode() == user(sent.to.uri).decode() == user(sent.from_.uri).decode() == who


def test_one_call_is_shaped_afresh_for_every_trunk() -> None:
    made = engine(
        "number_format: e164, identity: {headers: [pai]}, add_headers: 'X-A: 1'",
        "number_format: national, username: u7, password: x, domain: b.example, identity: {from_user: account}",
    )
    request = call('"Anna" <sip:0441112233@pbx>', "X-Office: 7", called="0041443210019")
    for _ in range(2):
        main, backup = offered(made, request, "main"), offered(made, request, "backup")
        assert (main.uri, main.from_.uri) == (b"sip:+41443210019@198.51.100.1", b"sip:+41441112233@pbx")
        assert (backup.uri, backup.from_.uri) == (b"sip:0443210019@b.example", b"sip:u7@b.example")
        assert main.get(b"p-asserted-identity") == b'"Anna" <sip:+41441112233@pbx>'
        assert backup.get(b"p-asserted-identity") is backup.get(b"x-a") is None
        assert main.get(b"x-office") == backup.get(b"x-office") == b"7"
        assert main.body == backup.body == request.body
        assert main.call_id != backup.call_id


def test_a_trunk_for_which_nothing_is_written_gets_what_the_pbx_wrote() -> None:
    lines = ("P-Asserted-Identity: <tel:+41441110000>", "Privacy: id", "Diversion: <sip:1@x>;reason=unknown")
    request = call("<sip:0441112233@pbx>", *lines, called="0443210019")
    leg = leg_of(engine(), request)
    assert leg.dropped is leg.kept_out is OWNED
    sent = offered(engine(), request)
    assert sent.from_.uri == b"sip:0441112233@pbx"
    for line in lines:
        assert line.encode() in [one for _, one in sent.fields]


# -- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "uri"),
    [
        ("", b"sip:+41-44-321-00-19;isub=1@198.51.100.1;user=phone"),
        ("number_format: e164", b"sip:+41443210019;isub=1@198.51.100.1;user=phone"),
        ("number_format: national, identity: {user_phone: no}", b"sip:0443210019;isub=1@198.51.100.1"),
    ],
)
def test_a_number_without_a_host_becomes_an_address_at_the_carrier(main: str, uri: bytes) -> None:
    tel = b"tel:+41-44-321-00-19;isub=1;phone-context=x"
    request = call("<tel:+41441112233>")
    data = invite().replace(b"<sip:+41443210019@192.0.2.1:5060>", b"<" + tel + b">")
    sent = offered(engine(main), Message(data), uri=tel)
    assert sent.uri == sent.to.uri == uri
    caller = offered(engine(main), request).from_.uri
    assert caller.startswith(b"sip:")
    assert b"@198.51.100.1" in caller


def test_who_is_called_at_our_contact_is_in_p_called_party_id_or_to() -> None:
    made = engine("username: '+41443210000', password: x, domain: carrier.example")
    line = made.core.lines["main"]
    assert line.account is not None
    token = line.account.token.decode()
    plain = call("<sip:0795550000@c>", called=token)
    meant = call("<sip:0795550000@c>", "P-Called-Party-ID: <sip:+41443210019@c>;x", called=token)
    assert called_uri(plain, line) == plain.to.uri
    assert called_uri(meant, line) == b"sip:+41443210019@c"
    elsewhere = call("<sip:0795550000@c>", "P-Called-Party-ID: <sip:+41443210019@c>", called="0443210000")
    assert called_uri(elsewhere, line) == elsewhere.uri
    assert called_uri(meant, made.core.lines["pbx"]) == meant.uri


def test_numbers_of_the_backup_stand_for_those_of_the_house_in_both_directions() -> None:
    made = engine("", "ddi: {+41315550000-9: +41443210010-19}, number_format: plain", pbx="number_format: national")
    out = offered(made, call("<sip:0443210013@pbx>", "P-Asserted-Identity: <sip:+41443210019@pbx>"), "backup")
    assert user(out.from_.uri) == b"41315550003"
    assert out.get(b"p-asserted-identity") == b"<sip:41315550009@pbx>"
    coming = offered(made, call("<sip:41795550000@c>", called="41315550003"), "pbx", "backup")
    assert (coming.uri, coming.to.uri) == (b"sip:0443210013@192.0.2.10:5060",) * 2
    assert user(coming.from_.uri) == b"0795550000"


def test_a_call_that_comes_in_may_go_out_again() -> None:
    made = engine(
        "inbound_format: plain", "number_format: e164, caller_id: +41315559999, allowed_caller_ids: +41315559999"
    )
    request = call("<sip:41795550000@c>", called="41443210019")
    sent = offered(made, request, "backup", "main", b"sip:+41791110000@overflow.invalid")
    assert (sent.uri, user(sent.from_.uri)) == (b"sip:+41791110000@203.0.113.1", b"+41315559999")


# -- calls for help ---------------------------------------------------------------------------------------------------

EMERGENCY = ("112", "117", "118", "142", "143", "144", "145", "147")
OUTSIDE = "numbering: {outside_line: 0}"


@pytest.mark.parametrize("bare", EMERGENCY)
@pytest.mark.parametrize("form", FORMS)
def test_a_call_for_help_goes_out_bare_and_shows_its_caller(bare: str, form: str) -> None:
    made = engine(f"number_format: {form}", f"number_format: {form}, called_prefixes: '-> 99', "
                  "username: u7, password: x, domain: b.example, identity: {hidden: both}", OUTSIDE)  # fmt: skip
    for wrote, trunk in product((bare, "0" + bare, "+41" + bare, "0041" + bare), ("main", "backup")):
        request = call("<sip:anonymous@anonymous.invalid>", "Privacy: id", "P-Asserted-Identity: <sip:+41441112233@x>",
                       called=wrote)  # fmt: skip
        assert is_emergency(made.core, request, made.core.lines["pbx"])
        assert not is_emergency(made.core, request, made.core.lines["main"])
        sent = offered(made, request, trunk, emergency=True)
        assert user(sent.uri).decode() == user(sent.to.uri).decode() == bare
        assert user(sent.from_.uri).decode() == written("+41441112233", form)
        assert sent.get(b"privacy") is None
        assert sent.contact is not None
        assert user(sent.contact.uri) != b"anonymous"


@pytest.mark.parametrize("who", ["1120", "0117000000", "+411170000", "1414", "140", "0112000000"])
def test_a_number_that_begins_alike_is_a_call_like_any_other(who: str) -> None:
    made = engine(more=OUTSIDE)
    assert not is_emergency(made.core, call(called=who), made.core.lines["pbx"])


def test_help_asked_for_without_a_number_keeps_its_name() -> None:
    made = engine("number_format: e164")
    data = invite().replace(b"sip:+41443210019@192.0.2.1:5060", b"urn:service:sos.police")
    request = Message(data)
    assert is_emergency(made.core, request, made.core.lines["pbx"])
    sent = offered(made, request, emergency=True)
    assert sent.uri == sent.to.uri == b"urn:service:sos.police"


# -- the number of the carrier's own, after a 403 ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("main", "caller", "again"),
    [
        ("", "0441112233", False),
        ("number_format: e164", "0441112233", False),
        ("caller_id: +41315559999", "0441112233", True),
        ("caller_id: +41315559999", "0315559999", False),
        ("caller_id: +41315559999, allowed_caller_ids: +41315559999", "0441112233", False),
        ("caller_id: +41315559999, allowed_caller_ids: [+41315559999, +41441112233]", "0441112233", True),
        ("caller_id: +41315559999, ddi: {+41315559999: +41441112233}", "0441112233", False),
        ("caller_id: +41315559999", "anonymous", False),
        ("caller_id: +41315559999, username: u7, password: x, identity: {from_user: account}", "0441112233", False),
        ("caller_id: +41315559999, username: u7, password: x, identity: {from_user: account, headers: pai}",
         "0441112233", True),
    ],
)  # fmt: skip
def test_the_fallback_is_worth_a_try_where_it_shows_somebody_else(main: str, caller: str, again: bool) -> None:
    made = engine(main)
    request = call(f"<sip:{caller}@pbx>")
    assert may_fall_back(request, made.core.lines["main"], source=made.core.lines["pbx"]) is again
    assert may_fall_back(request, made.core.lines["main"]) is again
    assert not may_fall_back(request, made.core.lines["pbx"])
    once, fallback = offered(made, request), offered(made, request, fallback=True)
    assert (once.from_.uri, once.get(b"p-asserted-identity")) != (
        fallback.from_.uri,
        fallback.get(b"p-asserted-identity"),
    ) or not again


# -- a whole call -----------------------------------------------------------------------------------------------------


def talking(made: Engine, data: bytes) -> Playbook:
    book = Playbook(made)
    assert (
        book
        >> received(PBX, data) << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    return book


def test_what_the_carrier_must_not_get_it_does_not_get_inside_the_call_either() -> None:
    secret = ((b"x-secret", b"1"), (b"p-asserted-identity", b"<sip:21@pbx>"), (b"x-other", b"2"))
    book = talking(engine("identity: {headers: [ppi]}, remove_headers: X-Secret"), invite(headers=secret))
    first = book.seen(MAIN).last("INVITE")
    assert first.get(b"p-preferred-identity") is not None
    again = in_dialog_again(book, secret)
    assert book >> received(PBX, again) << send(PBX, 100) << send(MAIN, "INVITE")
    second = book.seen(MAIN).last("INVITE")
    for message in (first, second):
        assert message.get(b"x-secret") is message.get(b"p-asserted-identity") is None
        assert message.get(b"x-other") == b"2"
    assert (second.from_.uri, second.to.uri) == (first.from_.uri, first.to.uri), (
        "§12.2.1.1: the same in the whole dialog"
    )


def test_nor_does_a_carrier_that_called() -> None:
    book = Playbook(engine("identity: {headers: []}, remove_headers: X-Secret"))
    coming = invite("0443210019", caller="0795550000", host="198.51.100.1:5060")
    assert (
        book
        >> received(MAIN, coming) << send(MAIN, 100) << send(PBX, "INVITE")
        >> received(PBX, answer(200)) << send(MAIN, 200)
        >> received(MAIN, ack()) << send(PBX, "ACK")
    )  # fmt: skip
    asked, final = book.seen(PBX).last("INVITE"), book.seen(PBX).given(200)
    secret = ((b"x-secret", b"1"), (b"remote-party-id", b"<sip:21@pbx>"), (b"x-other", b"2"))
    again = in_dialog("INFO", asked, final, cseq=7, from_callee=True).replace(
        b"CSeq: 7 INFO\r\n", b"CSeq: 7 INFO\r\n" + b"".join(b"%b: %b\r\n" % pair for pair in secret)
    )
    assert book >> received(PBX, again) << send(MAIN, "INFO")
    info = book.seen(MAIN).last("INFO")
    assert info.get(b"x-secret") is info.get(b"remote-party-id") is None
    assert info.get(b"x-other") == b"2"


def in_dialog_again(book: Playbook, headers: tuple[tuple[bytes, bytes], ...]) -> bytes:
    """The PBX's re-INVITE with these headers."""
    asked, final = book.seen(PBX).given("INVITE"), book.seen(PBX).last(200)
    fresh = invite(call_id=asked.call_id.decode(), cseq=2, headers=headers)
    lines = fresh.split(b"\r\n")
    for n, line in enumerate(lines):
        if line.startswith(b"From:"):
            lines[n] = asked.first[b"from"]
        elif line.startswith(b"To:"):
            lines[n] = final.first[b"to"]
    return b"\r\n".join(lines)


def test_what_is_kept_of_a_call_is_what_the_house_knows() -> None:
    made = engine("inbound_format: plain, ddi: {+41315550000-9: +41443210010-19}", pbx="number_format: national")
    made.receive(MAIN, invite("41315550003", caller="41795550000", host="198.51.100.1:5060"), 0.0)
    (coming,) = made.core.calls.values()
    assert (coming.caller, coming.called) == ("0795550000", "0443210013")
    made.receive(PBX, invite("0041315550003", caller="21"), 0.0)
    going = list(made.core.calls.values())[-1]
    assert (going.caller, going.called) == ("21", "0041315550003"), "as the PBX wrote it"
    assert not any(is_probe(command.data) for command in made.take() if hasattr(command, "data"))
