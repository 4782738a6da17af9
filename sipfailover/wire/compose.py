"""Messages of our own: requests (RFC 3261 §8.1.1), answers (§8.2.6), ACK for a failure (§17.1.1.3), CANCEL (§9.1).

Names of headers come in lower case and leave as the RFCs print them. What is passed on from one side to the other is
`rewrite`'s business.
"""

from collections.abc import Iterable

from sipfailover.wire.fields import COMMA, Via, split_commas, without_params
from sipfailover.wire.limits import MAX_HEADER_LINES
from sipfailover.wire.message import Message, value_of
from sipfailover.wire.names import COMPACT, pretty
from sipfailover.wire.status import reason_phrase

Header = tuple[bytes, bytes]
"""(name in lower case, value)."""

_CONTROL = bytes(set(range(32)) - {9}) + b"\x7f"


def request(
    method: bytes,
    uri: bytes,
    *,
    via: bytes,
    from_: bytes,
    to: bytes,
    call_id: bytes,
    cseq: int,
    contact: bytes = b"",
    max_forwards: int = 70,
    routes: Iterable[bytes] = (),
    headers: Iterable[Header] = (),
    body: bytes = b"",
) -> bytes:
    """A request. `via`, `from_`, `to`, `contact` and `routes` are whole values; `contact` b"" leaves it out."""
    lines = [
        b"%b %b SIP/2.0" % (method, uri),
        b"Via: " + via,
        b"Max-Forwards: %d" % max_forwards,
        *[b"Route: " + route for route in routes],
        b"From: " + from_,
        b"To: " + to,
        b"Call-ID: " + call_id,
        b"CSeq: %d %b" % (cseq, method),
    ]
    if contact:
        lines.append(b"Contact: " + contact)
    return _message(lines, headers, body)


def response(
    asked: Message,
    status: int,
    reason: bytes = b"",
    *,
    to_tag: bytes = b"",
    headers: Iterable[Header] = (),
    body: bytes = b"",
) -> bytes:
    """An answer to a request. The tag goes on To if the request had none; reason b"" stands for the usual phrase."""
    return reply(status, reason, reply_lines(asked), to_line(asked, to_tag), headers, body)


def reply_lines(asked: Message, received: bytes = b"", rport: int = 0) -> bytes:
    """The lines that every answer to a request begins with: all Via, From, Call-ID, CSeq (§8.2.6.2), joined by CRLF.

    `received` and `rport` are the address and port the request came from: the address goes on the topmost Via where
    it differs from what is written there (§18.2.1), the port where it was asked for (RFC 3581 §4). On the path.
    """
    first = asked.first
    lines = asked.lines(b"via")
    if received:
        lines[0] = stamped(asked, received, rport)
    return b"\r\n".join((*lines, first[b"from"], first[b"call-id"], first[b"cseq"]))


def stamped(asked: Message, received: bytes, rport: int) -> bytes:
    """The first Via line of a request with `received` and `rport` on its topmost value.

    What the sender wrote there itself gives way to what we saw. `received` is an address without brackets, IPv6 too
    (the grammar of §25.1; RFC 5118 §4.5 asks readers to take both).
    """
    via = asked.via
    line = asked.first[b"via"]
    wanted = via.rport
    if wanted is None and via.received is None and via.address.encode() == received:
        return line
    params = without_params(via.params, (b"received", b"rport"))
    if wanted is not None:
        params += b";rport=%d" % rport
    params += b";received=" + received
    # A list of values on one line: only the first is the sender's.
    others = split_commas(value_of(line))[1:] if COMMA in line else ()
    first = Via(via.transport, via.host, via.port, params, via.protocol).to_bytes()
    return b"Via: " + b", ".join((first, *others)) if others else b"Via: " + first


def to_line(asked: Message, to_tag: bytes) -> bytes:
    """The To line of an answer."""
    line = asked.first[b"to"]
    return line if not to_tag or asked.to_tag else line + b";tag=" + to_tag


def reply(
    status: int, reason: bytes, lines: bytes, to: bytes, headers: Iterable[Header] = (), body: bytes = b""
) -> bytes:
    """An answer from prepared lines (`reply_lines`, `to_line`). On the path."""
    return _message([b"SIP/2.0 %d %b" % (status, reason or reason_phrase(status)), lines, to], headers, body)


def refusal(raw: bytes, status: int, reason: bytes) -> bytes | None:
    """An answer to bytes that are no sound request, from what can be read of them; None if nobody can be answered.

    Never answers ACK (§17) or a response. Lines are copied as they stand, one of each that an answer needs; not those
    with control characters, which could begin a line of their own somewhere.
    """
    lines = raw.lstrip(b"\r\n").partition(b"\r\n\r\n")[0].replace(b"\r\n ", b"  ").replace(b"\r\n\t", b"  ")
    start, *rest = lines.split(b"\r\n")[:MAX_HEADER_LINES]
    if start[:4].upper() == b"SIP/" or start.split()[:1] == [b"ACK"]:
        return None
    found: dict[bytes, list[bytes]] = {}
    for line in rest:
        name, colon, _ = line.partition(b":")
        name = name.strip().lower()
        if colon:
            found.setdefault(COMPACT.get(name, name), []).append(line)
    answer = [b"SIP/2.0 %d %b" % (status, b" ".join(reason.split()))]
    for name in (b"via", b"from", b"to", b"call-id", b"cseq"):
        if name not in found:
            return None
        answer += found[name] if name == b"via" else found[name][:1]
    if answer[-1].split()[-1] == b"ACK" or any(line.translate(None, _CONTROL) != line for line in answer):
        return None
    return _message(answer, (), b"")


def ack(invite: Message, final: Message) -> bytes:
    """The ACK of the transaction for a final answer from 300 to 699 (§17.1.1.3)."""
    return _hop_by_hop(b"ACK", invite, final.first[b"to"])


def cancel(invite: Message, reason: bytes = b"") -> bytes:
    """The CANCEL of an INVITE of ours (§9.1), with a Reason (RFC 3326) if there is one."""
    return _hop_by_hop(b"CANCEL", invite, invite.first[b"to"], ((b"reason", reason),) if reason else ())


def _hop_by_hop(method: bytes, invite: Message, to: bytes, headers: Iterable[Header] = ()) -> bytes:
    """Same branch, Request-URI, From, Call-ID, CSeq number and Route as the INVITE."""
    first = invite.first
    return _message(
        [
            b"%b %b SIP/2.0" % (method, invite.uri),
            first[b"via"],
            b"Max-Forwards: 70",
            *invite.lines(b"route"),
            first[b"from"],
            to,
            first[b"call-id"],
            b"CSeq: %d %b" % (invite.cseq, method),
        ],
        headers,
        b"",
    )


def via_value(transport: str, sent_by: bytes, branch: bytes) -> bytes:
    """Our Via (§18.1.1). `rport` is asked for everywhere (RFC 3581): answers then find us through any NAT."""
    return b"SIP/2.0/%b %b;branch=%b;rport" % (transport.upper().encode(), sent_by, branch)


def header_lines(headers: Iterable[Header]) -> list[bytes]:
    """Headers as lines, their names as the RFCs print them."""
    return [b"%b: %b" % (pretty(name), value) for name, value in headers]


def _message(lines: list[bytes], headers: Iterable[Header], body: bytes) -> bytes:
    if headers:
        lines += header_lines(headers)
    lines.append(b"Content-Length: %d\r\n\r\n" % len(body))
    return b"\r\n".join(lines) + body
