"""Transfers across the two legs: Refer-To, Replaces and Event name dialogs and numbers, and each side knows its own.

What a PBX says of *its* dialogs with us is translated into what the carrier calls them, and the other way round; a
number that is to be called through us is to be called through the other side's peer; a NOTIFY names the REFER that
it is about by the number which that had on its side (RFC 3515 §2.4.6, RFC 3891). What is not ours stays.
"""

from collections.abc import Mapping
from urllib.parse import quote_from_bytes, unquote_to_bytes

from sipfailover.errors import WireError
from sipfailover.proxy.leg import Leg
from sipfailover.wire import Message, NameAddr
from sipfailover.wire.fields import param, without_params
from sipfailover.wire.uri import HOP_PARAMS, SipUri

EVENT = b"event"
REFER_TO = b"refer-to"
REPLACES = b"replaces"
REFERS_MAX = 16
"""REFERs of one leg that are remembered. NOTIFYs about older ones pass with the number they came with."""


def translate(request: Message, legs: Mapping[bytes, Leg], leg: Leg, partner: Leg) -> tuple[bytes, bytes] | None:
    """(header name in lower case, new value) if one that passes names a dialog or address of ours; else None."""
    try:
        if REFER_TO in request.first:
            value = request.get(REFER_TO)
            assert value is not None
            changed = refer_to(value, legs, leg, partner)
            return (REFER_TO, changed) if changed != value else None
        if REPLACES in request.first:
            value = request.get(REPLACES)
            assert value is not None
            translated = replaces(value, legs)
            return (REPLACES, translated[0]) if translated else None
        if leg.refers and EVENT in request.first:
            return event(request, leg)
    except WireError:
        return None  # not ours to judge: it passes as it is
    return None


def remember(leg: Leg, ours: int, theirs: int) -> None:
    """A REFER with `theirs` as its CSeq on the other side left on this leg with `ours`."""
    if leg.refers is None:
        leg.refers = {}
    elif len(leg.refers) >= REFERS_MAX:
        del leg.refers[next(iter(leg.refers))]
    leg.refers[ours] = theirs


def event(request: Message, leg: Leg) -> tuple[bytes, bytes] | None:
    """`Event: refer;id=2` of a NOTIFY on this leg, with the number that the other side gave to its REFER."""
    value = request.get(EVENT) or b""
    package, semicolon, params = value.partition(b";")
    number = param(semicolon + params, b"id")
    if package.strip().lower() != b"refer" or not number or not number.isdigit() or len(number) > 10:
        return None
    theirs = leg.refers.get(int(number)) if leg.refers else None
    if theirs is None:
        return None
    rest = without_params(semicolon + params, (b"id",))
    return EVENT, b"%b;id=%d%b" % (package.strip(), theirs, rest)


def refer_to(value: bytes, legs: Mapping[bytes, Leg], leg: Leg, partner: Leg) -> bytes:
    """A Refer-To as the other side can follow it."""
    address = NameAddr.parse(value)
    uri = SipUri.parse(address.uri)
    headers = uri.headers.split(b"&")
    for at, header in enumerate(headers):
        name, _, escaped = header.partition(b"=")
        if name.lower() == REPLACES:
            found = replaces(unquote_to_bytes(escaped), legs)
            if found is None:
                return value
            wanted, target = found
            headers[at] = b"%b=%b" % (name, quote_from_bytes(wanted, safe="").encode())
            return address._replace(uri=b"%b?%b" % (target.partition(b"?")[0], b"&".join(headers))).to_bytes()
    if not _is_ours(uri, leg):
        return value
    there = SipUri.parse(partner.target)
    moved = uri._replace(host=there.host, port=there.port, params=without_params(uri.params, HOP_PARAMS))
    return address._replace(uri=moved.to_bytes()).to_bytes()


def replaces(value: bytes, legs: Mapping[bytes, Leg]) -> tuple[bytes, bytes] | None:
    """(Replaces as the other side knows that dialog, its remote target), or None if it is not ours (RFC 3891 §6)."""
    call_id, _, params = value.partition(b";")
    params = b";" + params
    ours, theirs = param(params, b"to-tag") or b"", param(params, b"from-tag") or b""
    found = legs.get(ours + b";" + theirs)
    if found is None or found.call_id != call_id.strip():
        return None
    other = legs.get(found.partner)
    if other is None:
        return None
    early = b";early-only" if param(params, b"early-only") is not None else b""
    return (
        b"%b;to-tag=%b;from-tag=%b%b" % (other.call_id, other.remote_tag, other.local_tag, early),
        other.target,
    )


def _is_ours(uri: SipUri, leg: Leg) -> bool:
    """True if a URI points to our own address on this leg."""
    sent_by = leg.to.sent_by
    if uri.port is None:
        return sent_by in (uri.host, b"%b:%d" % (uri.host, leg.to.default_port))
    return sent_by == b"%b:%d" % (uri.host, uri.port)
