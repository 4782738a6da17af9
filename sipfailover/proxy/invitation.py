"""The INVITE that begins a call, and how the call is offered to one line: shaped afresh for each trunk or PBX."""

from dataclasses import replace

from sipfailover.chance import Chance
from sipfailover.flow import Flow, Target
from sipfailover.proxy.call import INBOUND, OUTBOUND, Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.leg import Leg, contact_line, route_set, without_tag
from sipfailover.proxy.line import Line
from sipfailover.proxy.referral import translate
from sipfailover.transaction import Transaction
from sipfailover.trunk import caller_uri, request_uri
from sipfailover.wire import OWNED, Exchange, Message, rewrite
from sipfailover.wire.uri import SipUri, user, with_host

INVITE = b"INVITE"
MAX_FORWARDS = 70
SOS = b"urn:service:sos"
"""How a telephone asks for help without a number (RFC 5031 §4.2), with `.police` and the like behind it."""
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
    call.caller, call.called = (text[:NUMBER_SHOWN].decode("latin-1") for text in (caller, number))
    call.emergency = is_emergency(core, request, source)
    call.invite_key = tx.key
    tx.user = call.number
    core.calls[call.number] = call
    source.trunk.calls_now += 1
    return call


def is_emergency(core: Core, request: Message, source: Line) -> bool:
    """True for a call of a PBX to one of `emergency.numbers`, or to a service that means the same."""
    uri = called_uri(request, source)
    return source.role == "pbx" and (user(uri) in core.emergency_numbers or uri.lower().startswith(SOS))


def called_uri(request: Message, source: Line) -> bytes:
    """Who is called: the Request-URI; or To, if a carrier sent the call to the Contact that we had registered."""
    account = source.account
    return request.to.uri if account is not None and user(request.uri) == account.token else request.uri


def offer(call: int, request: Message, uri: bytes, line: Line, target: Target, chance: Chance) -> Leg:
    """The dialog in which a line is asked: its own Call-ID and tag, addresses as the line wants them (§12.1.2).

    call: its number; uri: who is called.
    """
    contact, caller, to = request.contact, request.from_, request.to
    leg = Leg(call, chance.call_id(), chance.tag(), target, b"")
    leg.contact = contact_line(user(contact.uri) if contact is not None else user(caller.uri), target)
    if line.account is not None:
        caller = caller._replace(uri=caller_uri(caller.uri, line.account.domain))
        registration = line.account.registration
        leg.routes = registration.service_route if registration is not None else ()
    leg.local = b"%b;tag=%b" % (without_tag(caller), leg.local_tag)
    leg.remote = without_tag(to._replace(uri=request_uri(to.uri, line.host, line.port)))
    leg.target = request_uri(uri, line.host, line.port)
    number = user(uri)
    binding = line.binding(target, number)
    if binding is not None:  # as its carrier would: to its Contact, with the number in To at the domain it registered
        leg.target, leg.routes, leg.behind_nat = line.called_at(binding, number), binding.path, binding.behind_nat
        leg.remote = without_tag(to._replace(uri=with_host(to.uri, SipUri.parse(binding.aor).host)))
    return leg


def invitation(request: Message, leg: Leg, branch: bytes, exchange: Exchange | None, core: Core) -> bytes:
    """The INVITE that leaves, with `leg.uac_cseq` as its number and what the carrier's challenge wants."""
    forwards = request.max_forwards
    beginning = leg.request_lines(
        INVITE, leg.uac_cseq, branch, MAX_FORWARDS if forwards is None else forwards - 1, True
    )
    if exchange is not None:
        beginning = b"\r\n".join((beginning, *exchange.lines(INVITE, leg.target, request.body, core.chance.token())))
    dropped = OWNED
    translated = translate(request, core.legs, leg, leg) if b"replaces" in request.first else None
    if translated is not None:
        beginning += b"\r\n%b: %b" % (translated[0].title(), translated[1])
        dropped = OWNED | {translated[0]}
    return rewrite(request, beginning, dropped)


def flow_as(flow: Flow, sent_by: bytes) -> Flow:
    """The same flow under another name of ours: how a carrier sees us behind NAT."""
    return replace(flow, sent_by=sent_by)
