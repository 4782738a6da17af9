"""SIP as the simulated peers read and write it: on purpose not `sipfailover.wire`, so that a mistake there cannot
hide here.

Only what well-behaved peers send: long header names, no folding, UDP. Reads RFC 3261 §7, writes §8.1.1 and §8.2.6.
"""

import re
from collections.abc import Iterable

Peer = tuple[str, int]
"""IP address and UDP port."""

NAMES = {
    b"v": b"via",
    b"f": b"from",
    b"t": b"to",
    b"i": b"call-id",
    b"m": b"contact",
    b"l": b"content-length",
    b"c": b"content-type",
}
"""Compact forms that a proxy might choose to write (§7.3.3)."""

ECHOED = re.compile(rb"\r\n(Via|From|To|Call-ID|CSeq): *([^\r\n]*)")
"""Headers that go back as they came (§8.2.6.2)."""

REASONS = {
    100: b"Trying", 180: b"Ringing", 183: b"Session Progress", 200: b"OK", 202: b"Accepted",
    302: b"Moved Temporarily", 401: b"Unauthorized", 407: b"Proxy Authentication Required", 403: b"Forbidden",
    404: b"Not Found", 405: b"Method Not Allowed", 408: b"Request Timeout", 480: b"Temporarily Unavailable",
    481: b"Call/Transaction Does Not Exist", 486: b"Busy Here", 487: b"Request Terminated", 491: b"Request Pending",
    500: b"Server Internal Error", 502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Server Time-out",
    603: b"Decline",
}  # fmt: skip


class Sip:
    """One message, cut into lines. Raises ValueError for bytes that no peer of ours should ever be sent."""

    __slots__ = ("body", "branch", "call_id", "cseq", "cseq_method", "fields", "method", "source", "status", "uri")

    def __init__(self, data: bytes, source: Peer = ("", 0)) -> None:
        head, blank, self.body = data.partition(b"\r\n\r\n")
        start, *lines = head.split(b"\r\n")
        if not blank:
            raise ValueError(f"no blank line after the headers: {data!r}")
        self.source = source
        self.fields: list[tuple[bytes, bytes]] = []
        for line in lines:
            name, colon, value = line.partition(b":")
            if not colon:
                raise ValueError(f"no colon in header line {line!r}")
            name = name.strip().lower()
            self.fields.append((NAMES.get(name, name), value.strip()))
        self.method, self.uri, self.status = b"", b"", 0
        if start.startswith(b"SIP/2.0 "):
            self.status = int(start[8:11])
        else:
            self.method, self.uri, version = start.split(b" ")
            if version != b"SIP/2.0":
                raise ValueError(f"not a request line: {start!r}")
        number, _, self.cseq_method = self.one(b"cseq").partition(b" ")
        self.cseq = int(number)
        self.cseq_method = self.cseq_method.strip()
        self.call_id = self.one(b"call-id")
        self.branch = param(self.one(b"via").partition(b",")[0], b"branch")
        length = self.get(b"content-length")
        if length is not None and int(length) != len(self.body):
            raise ValueError(f"Content-Length {int(length)}, but {len(self.body)} bytes of body")

    def get(self, name: bytes) -> bytes | None:
        """First value of a header, None if there is none."""
        for field, value in self.fields:
            if field == name:
                return value
        return None

    def one(self, name: bytes) -> bytes:
        """The value of a header that every message has. Raises ValueError if it is missing."""
        value = self.get(name)
        if value is None:
            raise ValueError(f"no {name.decode()} header")
        return value

    @property
    def from_tag(self) -> bytes:
        return param(self.one(b"from"), b"tag")

    @property
    def to_tag(self) -> bytes:
        return param(self.one(b"to"), b"tag")

    @property
    def sent_by(self) -> bytes:
        """Host and port of the top Via."""
        return self.one(b"via").partition(b";")[0].rpartition(b" ")[2]

    def __repr__(self) -> str:
        first = (
            f"{self.status} to {self.cseq_method.decode()}"
            if self.status
            else f"{self.method.decode()} {self.uri.decode()}"
        )
        return f"<{first}, CSeq {self.cseq}, {self.call_id.decode()}>"


def param(value: bytes, name: bytes) -> bytes:
    """A parameter after the address of a header value; empty if it is not there or has no value."""
    tail = value.rpartition(b">")[2] if b">" in value else value
    for item in tail.split(b";")[1:]:
        key, _, found = item.partition(b"=")
        if key.strip().lower() == name:
            return found.strip()
    return b""


def address(value: bytes) -> bytes:
    """The URI of a From, To or Contact value."""
    return value.partition(b"<")[2].partition(b">")[0] if b"<" in value else value.partition(b";")[0].strip()


def peer_of(uri: bytes) -> Peer:
    """Where a SIP URI with an IP address sends us: host and port, 5060 if it names none."""
    hostport = uri.partition(b":")[2].rpartition(b"@")[2].partition(b";")[0].partition(b"?")[0].decode()
    host, colon, port = hostport.rpartition(":")
    return (host.strip("[]"), int(port)) if colon and not hostport.endswith("]") else (hostport.strip("[]"), 5060)


def user_of(uri: bytes) -> str:
    """The number in a SIP URI."""
    before, at, _ = uri.partition(b":")[2].rpartition(b"@")
    return before.partition(b";")[0].decode() if at else ""


def compose(start: bytes, fields: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """A message from its parts; Content-Length is added."""
    lines = [start, *(b"%s: %s" % field for field in fields), b"Content-Length: %d" % len(body), b"", b""]
    return b"\r\n".join(lines) + body


def reply(request: Sip, status: int, tag: bytes, extra: Iterable[tuple[bytes, bytes]] = (), body: bytes = b"") -> bytes:
    """A response to a request (§8.2.6), with `received` and `rport` filled in (RFC 3581 §4)."""
    fields: list[tuple[bytes, bytes]] = []
    top = True
    for name, value in request.fields:
        if name == b"via":
            if top and b";rport" in value:
                host, port = request.source
                value = value.replace(b";rport", b";rport=%d;received=%s" % (port, host.encode()), 1)
            top = False
            fields.append((b"Via", value))
        elif name == b"from":
            fields.append((b"From", value))
        elif name == b"to":
            fields.append((b"To", value if b";tag=" in value or status == 100 else value + b";tag=" + tag))
        elif name == b"call-id":
            fields.append((b"Call-ID", value))
        elif name == b"cseq":
            fields.append((b"CSeq", value))
    return compose(b"SIP/2.0 %d %s" % (status, REASONS.get(status, b"Unknown")), (*fields, *extra), body)


def quick_reply(data: bytes, source: Peer, status: int, tag: bytes, extra: bytes) -> bytes | None:
    """`reply` to a request outside a dialog, without taking it apart: for OPTIONS, of which a long world has hundreds
    of thousands. None if it is inside a dialog, came through another proxy, or has no long header names."""
    found = ECHOED.findall(data)
    lines = dict(found)
    if len(lines) != 5 or len(found) != 5 or b";tag=" in lines[b"To"]:
        return None
    via = lines[b"Via"]
    if b";rport" in via:
        via = via.replace(b";rport", b";rport=%d;received=%s" % (source[1], source[0].encode()), 1)
    return (
        b"SIP/2.0 %d %s\r\nVia: %s\r\nFrom: %s\r\nTo: %s;tag=%s\r\nCall-ID: %s\r\nCSeq: %s\r\n"
        b"%sContent-Length: 0\r\n\r\n"
        % (
            status, REASONS.get(status, b"Unknown"), via, lines[b"From"], lines[b"To"], tag, lines[b"Call-ID"],
            lines[b"CSeq"], extra,
        )
    )  # fmt: skip


def sdp(host: str, port: int, direction: bytes = b"sendrecv") -> bytes:
    """A session description for one G.711 stream (RFC 4566)."""
    ip = host.encode()
    return (
        b"v=0\r\no=- 1 1 IN IP4 %s\r\ns=-\r\nc=IN IP4 %s\r\nt=0 0\r\nm=audio %d RTP/AVP 8 101\r\n"
        b"a=rtpmap:8 PCMA/8000\r\na=rtpmap:101 telephone-event/8000\r\na=%s\r\n" % (ip, ip, port, direction)
    )
