"""Requests outside any dialog that are no calls: OPTIONS to us, and what we do not serve (RFC 3261 §8.2, §11).

REGISTER is `registrar`'s.

Also the checks that every request outside a dialog has to pass before anything else looks at it (§8.2.2, §16.3).
"""

from sipfailover.errors import WireError
from sipfailover.proxy.core import ALLOW, Core
from sipfailover.proxy.line import Line
from sipfailover.transaction import Transaction
from sipfailover.wire import Message
from sipfailover.wire.compose import Header
from sipfailover.wire.uri import SipUri, scheme

RETRY_AFTER = 10
"""Seconds a PBX is asked to wait when no trunk can carry a call."""
SERVED_INSIDE = frozenset({b"BYE", b"PRACK", b"UPDATE", b"INFO", b"REFER", b"NOTIFY", b"ACK"})
"""Methods that mean nothing outside a dialog: 481."""
REFUSED = frozenset({b"SUBSCRIBE", b"PUBLISH", b"MESSAGE"})
"""Methods that we know and do not serve outside a dialog: 405. Of others we know nothing: 501."""
SCHEMES = frozenset({b"sip", b"sips", b"tel", b"urn"})
"""urn: `urn:service:sos` is how some telephones call for help (RFC 5031)."""

OPTIONS = b"OPTIONS"


def screen(core: Core, tx: Transaction, request: Message, now: float) -> bool:
    """True if the request may be looked at; otherwise it was answered. Raises WireError for a URI that is none."""
    known = scheme(request.uri)
    if known in (b"sip", b"sips"):
        if SipUri.parse(request.uri).headers:
            raise WireError("a Request-URI has no headers")  # §19.1.1: they could become headers of another request
    elif known not in SCHEMES:
        core.respond(tx, 416, now=now)
        return False
    if request.max_forwards == 0 and request.method != OPTIONS:  # §16.3 step 3: OPTIONS to us may be answered
        core.respond(tx, 483, now=now)
        return False
    unsupported = [*request.values(b"proxy-require")]
    if request.method == OPTIONS:
        unsupported += request.values(b"require")
    if unsupported:  # §16.3 step 5, §8.2.2.3
        core.respond(tx, 420, headers=((b"unsupported", b", ".join(unsupported)),), now=now)
        return False
    return True


def answer(core: Core, tx: Transaction, request: Message, source: Line, now: float) -> None:
    """Answer a request outside any dialog that is neither INVITE nor REGISTER."""
    allow: Header = (b"allow", ALLOW)
    method = request.method
    if method == OPTIONS:
        self_fit = _fit(core, source)
        headers: tuple[Header, ...] = (
            allow,
            (b"accept", b"application/sdp"),
            (b"supported", b"100rel, timer, replaces"),
        )
        if not self_fit:
            headers = (*headers, (b"retry-after", b"%d" % RETRY_AFTER))
        core.respond(tx, 200 if self_fit else 503, b"" if self_fit else b"No trunk available", headers, now=now)
    elif method in SERVED_INSIDE:
        core.respond(tx, 481, now=now)
    elif method in REFUSED:
        core.respond(tx, 405, headers=(allow,), now=now)
    else:
        core.respond(tx, 501, headers=(allow,), now=now)


def _fit(core: Core, source: Line) -> bool:
    """Whether we can carry calls of this peer. A carrier always hears yes while we run: a PBX that does not answer
    OPTIONS may take calls all the same, and a carrier that hears 503 would take us out of service."""
    if core.draining:
        return False
    return source.role != "pbx" or any(line.trunk.usable for line in core.trunks)
