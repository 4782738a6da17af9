"""A response of one side as the other side gets it: its own Via, dialog and Contact, everything else as it came."""

from sipfailover.proxy.leg import Leg
from sipfailover.transaction import Transaction
from sipfailover.wire import OWNED, Message, compose, reason_phrase, rewrite
from sipfailover.wire.compose import Header

INVITE = b"INVITE"
REDIRECTED = OWNED - {b"contact"}
"""What stays behind of a 3xx or a failure: its Contact says where else to ask, and is not ours to change."""


def answer_for(
    tx: Transaction, leg: Leg, message: Message, *, dropped: frozenset[bytes] = OWNED, more: tuple[Header, ...] = ()
) -> bytes:
    """A response to the INVITE that began a call. `dropped`: lines that stay behind; `more`: headers of our own."""
    request = tx.request
    assert request is not None
    status = message.status
    lines = [
        b"SIP/2.0 %d %b" % (status, message.reason or reason_phrase(status)),
        tx.lines,
        compose.to_line(request, leg.local_tag),
    ]
    if status < 300:
        lines.append(leg.contact)  # also where the other side forgot its own: without it no dialog can be used
        lines += request.lines(b"record-route")  # §12.1.1
    lines += compose.header_lines(more)
    return rewrite(message, b"\r\n".join(lines), dropped)


def answer_inside(tx: Transaction, leg: Leg | None, message: Message) -> bytes:
    """A response to a request inside a call. `leg`: the side that asked, None if it is gone."""
    request = tx.request
    assert request is not None
    lines = [
        b"SIP/2.0 %d %b" % (message.status, message.reason or reason_phrase(message.status)),
        tx.lines,
        request.first[b"to"],
    ]
    invited = request.method == INVITE and message.status > 100
    if leg is not None and message.status < 300 and (invited or b"contact" in message.first):
        lines.append(leg.contact)
    return rewrite(message, b"\r\n".join(lines))
