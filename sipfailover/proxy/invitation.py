"""The INVITE that begins a call, and how the call is offered to one line: shaped afresh for each trunk or PBX.

Numbers and identities are decided in `trunk.presentation` and `trunk.identity`, always from the request as the calling
side sent it, so that one attempt leaves no trace in the next.
"""

from dataclasses import replace

from sipfailover.chance import Chance
from sipfailover.errors import WireError
from sipfailover.flow import Flow, Target
from sipfailover.proxy.call import INBOUND, OUTBOUND, Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.leg import Leg, contact_line, route_set, without_tag
from sipfailover.proxy.line import Line
from sipfailover.proxy.referral import translate
from sipfailover.transaction import Transaction
from sipfailover.trunk import Presentation, Shown, bare_emergency, caller_uri, incoming, present, request_uri
from sipfailover.wire import OWNED, Exchange, Message, NameAddr, rewrite
from sipfailover.wire.uri import SipUri, user, with_host

INVITE = b"INVITE"
MAX_FORWARDS = 70
SOS = b"urn:service:sos"
"""How a telephone asks for help without a number (RFC 5031 §4.2), with `.police` and the like behind it."""
CALLED_PARTY = b"p-called-party-id"
ANONYMOUS = b"anonymous"
NUMBER_SHOWN = 64
"""Bytes of a number that are kept for log, page and history; what is longer is none, and would fill them."""


def begin(core: Core, tx: Transaction, request: Message, flow: Flow, source: Line, now: float) -> Call:
    """A call from its INVITE: 100 is said, the caller's leg is there, nothing is sent on yet.

    Raises WireError before that for an address that cannot be read.
    """
    uri = called_uri(request, source)
    number, caller = user(uri), user(request.from_.uri)
    _ = (request.to, request.contact, route_set(request))  # what cannot be read is refused before anything begins
    core.respond(tx, 100, now=now)
    core.call_count += 1
    target = source.trunk.target
    ours = flow
    if source.role == "trunk" and target is not None and target.transport == flow.transport:
        ours = flow_as(flow, target.sent_by)
    a = Leg(core.call_count, request.call_id, core.chance.tag(), ours, contact_line(number, ours))
    a.called_by(request, ours)
    direction = OUTBOUND if source.role == "pbx" else INBOUND
    call = Call(core.call_count, direction, source, request, a, now)
    call.uri = uri
    if source.presentation is not None:
        a.kept_out = OWNED | source.presentation.kept_out
        form = core.pbxs[0].number_form
        caller = user(source.presentation.caller_in_the_house(request.from_.uri, form))
        number = user(source.presentation.called_in_the_house(uri, form))
    call.caller, call.called = (text[:NUMBER_SHOWN].decode("latin-1") for text in (caller, number))
    call.emergency = is_emergency(core, request, source)
    call.invite_key = tx.key
    tx.user = call.number
    core.calls[call.number] = call
    source.trunk.calls_now += 1
    return call


def is_emergency(core: Core, request: Message, source: Line) -> bool:
    """True for a call of a PBX to one of `emergency.numbers`, or to a service that means the same."""
    if source.role != "pbx":
        return False
    uri = called_uri(request, source)
    if uri.lower().startswith(SOS):
        return True
    return bare_emergency(user(uri), core.emergency_numbers) is not None


def called_uri(request: Message, source: Line) -> bytes:
    """Who is called: the Request-URI; or, if a carrier sent the call to the Contact that we had registered, who that
    was meant for: P-Called-Party-ID (RFC 7315 §4.2), else To."""
    account = source.account
    if account is None or user(request.uri) != account.token:
        return request.uri
    meant = request.get(CALLED_PARTY)
    try:
        return NameAddr.parse(meant).uri if meant else request.to.uri
    except WireError:
        return request.to.uri  # what stands beside it can be read, or the request is refused


def overflow(core: Core, call: Call, why: str) -> None:
    """No PBX takes the call: it goes out again, to the number that is for that."""
    number = core.settings.inbound.overflow
    assert number is not None
    call.overflowed = True
    call.tried.clear()
    call.uri = b"sip:%b@overflow.invalid" % number.encode()
    why = why or "no PBX can be asked"
    core.log("warning", f"call {call.number} finds no PBX and goes to {number}", why=why)


def offer(
    call: int,
    request: Message,
    uri: bytes,
    line: Line,
    target: Target,
    chance: Chance,
    *,
    source: Line | None = None,
    emergency: bool = False,
    fallback: bool = False,
) -> Leg:
    """The dialog in which a line is asked: its own Call-ID and tag, addresses as the line wants them (§12.1.2).

    call: its number; uri: who is called; source: the PBX or trunk that calls, None for a PBX that writes numbers in no
    certain way; emergency: a call for help, whose number goes out bare and whose caller is shown; fallback: the trunk's
    own caller_id is shown instead of the caller's number.
    """
    contact, caller, to = request.contact, request.from_, request.to
    leg = Leg(call, chance.call_id(), chance.tag(), target, b"")
    named = user(contact.uri) if contact is not None else user(caller.uri)
    to_uri, shown = to.uri, None
    presentation = line.presentation
    if presentation is not None:
        if emergency or not presentation.idle:
            uri, to_uri, shown = _outgoing(request, uri, line, presentation, source, emergency, fallback)
        elif presentation.domain or caller.uri[:3] != b"sip":
            caller = caller._replace(uri=caller_uri(caller.uri, presentation.domain, line.host))
    elif source is not None and source.presentation is not None:
        if line.number_form != "keep" or source.presentation.ddi:
            uri = source.presentation.called_in_the_house(uri, line.number_form)
            to_uri = source.presentation.called_in_the_house(to_uri, line.number_form)
            shown = incoming(request, source.presentation, line.number_form)
        elif caller.uri[:3] != b"sip":
            caller = caller._replace(uri=caller_uri(caller.uri, b"", line.host))
    if shown is not None:
        caller, leg.lines = shown.from_, shown.lines
        leg.dropped = OWNED | shown.dropped
        leg.kept_out = OWNED | shown.kept_out
        named = ANONYMOUS if shown.nameless else named
    if line.account is not None:
        registration = line.account.registration
        leg.routes = registration.service_route if registration is not None else ()
    leg.contact = contact_line(named, target)
    leg.local = b"%b;tag=%b" % (without_tag(caller), leg.local_tag)
    leg.remote = without_tag(to._replace(uri=_at(to_uri, line)))
    leg.target = _at(uri, line)
    number = user(uri)
    binding = line.binding(target, number)
    if binding is not None:  # as its carrier would: to its Contact, with the number in To at the domain it registered
        leg.target, leg.routes, leg.behind_nat = line.called_at(binding, number), binding.path, binding.behind_nat
        leg.remote = without_tag(to._replace(uri=with_host(to_uri, SipUri.parse(binding.aor).host)))
    return leg


def may_fall_back(request: Message, line: Line, *, source: Line | None = None, emergency: bool = False) -> bool:
    """True if the trunk has a `caller_id` of its own, and it would show the carrier another caller than `request` has
    shown it: worth one more try after a 403."""
    presentation = line.presentation
    if presentation is None or not presentation.caller_id:
        return False
    once, again = (_outgoing(request, request.uri, line, presentation, source, emergency, way) for way in (False, True))
    return once[2] != again[2]


def _outgoing(
    request: Message,
    uri: bytes,
    line: Line,
    presentation: Presentation,
    source: Line | None,
    emergency: bool,
    fallback: bool,
) -> tuple[bytes, bytes, Shown]:
    """Who is called, To, and who calls, as a carrier wants to be told."""
    plain = source is not None and source.number_form == "plain"
    dialled = source is None or source.role == "pbx"
    called, to = (presentation.called_uri(one, plain=plain, dialled=dialled) for one in (uri, request.to.uri))
    target = presentation.with_phone(_at(called, line))
    shown = present(request, target, presentation, plain=plain, emergency=emergency, fallback=fallback)
    return target, presentation.with_phone(_at(to, line)), shown


def _at(uri: bytes, line: Line) -> bytes:
    return request_uri(uri, line.host, line.port)


def invitation(request: Message, leg: Leg, branch: bytes, exchange: Exchange | None, core: Core) -> bytes:
    """The INVITE that leaves, with `leg.uac_cseq` as its number and what the carrier's challenge wants."""
    forwards = request.max_forwards
    beginning = leg.request_lines(
        INVITE, leg.uac_cseq, branch, MAX_FORWARDS if forwards is None else forwards - 1, True
    )
    if exchange is not None:
        beginning = b"\r\n".join((beginning, *exchange.lines(INVITE, leg.target, request.body, core.chance.token())))
    if leg.lines:
        beginning = b"\r\n".join((beginning, *leg.lines))
    dropped = leg.dropped
    translated = translate(request, core.legs, leg, leg) if b"replaces" in request.first else None
    if translated is not None:
        beginning += b"\r\n%b: %b" % (translated[0].title(), translated[1])
        dropped = dropped | {translated[0]}
    return rewrite(request, beginning, dropped)


def flow_as(flow: Flow, sent_by: bytes) -> Flow:
    """The same flow under another name of ours: how a carrier sees us behind NAT."""
    return replace(flow, sent_by=sent_by)
