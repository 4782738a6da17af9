"""Calls that go in a circle: the number for calls that no PBX takes leads back to us, and the same call comes in again.

Each round would take two channels of a trunk until none is left. Max-Forwards does not end it, because most carriers
begin it anew; so a call that would go out again is looked at: by our own branches in its Via, where the carriers are
proxies (RFC 3261 §16.3), else by who calls whom.
"""

from sipfailover.errors import WireError
from sipfailover.proxy.call import Call
from sipfailover.proxy.core import Core
from sipfailover.routing import Final
from sipfailover.trunk import digits_of
from sipfailover.wire import Message, Via

INVITE = b"INVITE"
ROUND = Final(None, 482, b"", ())
"""What a call hears that goes in a circle."""
NOBODY = frozenset({"", "anonymous", "unavailable", "unknown", "restricted"})
"""Callers that say nothing: two of them need not be the same."""
HIDDEN_MAX = 8
"""Calls of hidden callers to one number that may be on their way out again at once: of these nobody can tell whether
they are one call eight times. Beyond it they are refused as if there were no such number."""


def goes_round(core: Core, call: Call) -> bool:
    """Whether a call that came in, and would go out to `inbound.overflow` now, has been out already."""
    if call.request is not None and _was_ours(core, call.request):
        return True
    overflow = core.settings.inbound.overflow or ""
    caller = call.caller.lower()
    if digits_of(call.caller.encode("latin-1", "replace")).decode("latin-1").endswith(overflow[1:] or "-"):
        return True  # it calls back: nobody would be called but itself
    others = [one for one in core.calls.values() if one.overflowed and one.answered_at is None and one is not call]
    same = [one for one in others if one.called == call.called and one.caller.lower() == caller]
    return len(same) >= HIDDEN_MAX if caller in NOBODY else bool(same)


def _was_ours(core: Core, request: Message) -> bool:
    """Whether one of its proxies took it over from us: our branch stands in its Via."""
    try:
        vias = [Via.parse(value) for value in request.values(b"via")[1:]]
        return any((via.branch, b"", INVITE) in core.layer.clients for via in vias)
    except WireError:
        return False
