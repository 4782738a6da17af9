"""A message with another beginning: how something in the middle passes on what it does not understand.

The lines a leg owns (Via, From, To, Call-ID, CSeq, …) are given anew, in front; every other line and the body leave as
they came, byte for byte and in their order.
"""

from sipfailover.wire.message import Message

HOP = frozenset({
    b"via", b"from", b"to", b"call-id", b"cseq", b"max-forwards", b"contact", b"route", b"record-route",
})  # fmt: skip
"""What belongs to a leg: both sides have their own (DESIGN.md §2.1)."""

PRIVATE = frozenset({
    b"authorization", b"proxy-authorization", b"www-authenticate", b"proxy-authenticate", b"authentication-info",
    b"proxy-authentication-info", b"path", b"service-route",
})  # fmt: skip
"""What one side said to us alone: credentials and challenges are not for the other side."""

OWNED = HOP | PRIVATE


def rewrite(message: Message, beginning: bytes, dropped: frozenset[bytes] = OWNED) -> bytes:
    """The bytes that go on. On the path: about 2 µs.

    beginning: start line and our lines, joined by CRLF, without one at the end; dropped: names (lower case) of lines
    that stay behind. A message without Content-Length gets one, because a stream needs it (§18.3); who drops
    `content-length` says it in the beginning.
    """
    lines = [beginning]
    lines += [line for name, line in message.fields if name not in dropped]
    if b"content-length" not in message.first and b"content-length" not in dropped:
        lines.append(b"Content-Length: %d" % len(message.body))
    return b"%b\r\n\r\n%b" % (b"\r\n".join(lines), message.body)
