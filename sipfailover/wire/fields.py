"""Scanners for the values of header fields: Via, name-addr, lists, parameters, CSeq (RFC 3261 §25).

They work on bytes by index, know quotes and angle brackets, and take linear time by construction. Names of
parameters, hosts and protocols are compared without case, everything else with it (§7.3.1). A value comes in
unfolded. They take an ugly value apart if there is only one way to read it, and raise `WireError` (400) otherwise.
Parameters stay one run of raw bytes (`;tag=a;x`) until somebody asks for one by name. Lines and folding are
`message`'s business, URIs are `uri`'s.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from sipfailover.errors import WireError
from sipfailover.wire.limits import MAX_CSEQ, MAX_DELIMITERS

TOKEN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~"
"""What a token is made of (§25.1)."""
SEPARATORS = b'()<>@,;:\\/[]?={}"'
"""What a display name cannot have without quotes (§25.1). Letters beyond ASCII cannot either, but mislead nobody."""
HOST = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._"
"""What a host name or IPv4 address is made of, and the underscore that PBXs put in theirs."""
IPV6 = b"0123456789ABCDEFabcdef:."
UNSAFE = b'<>"\x7f' + bytes(range(33))
"""What never stands in a URI unescaped. Latin-1 is not in it: a PBX that writes a name there is merely ugly."""
SHOWN = 60
"""Bytes of a wrong value that an error shows."""

HEADS_KEPT = 512
"""Beginnings of Via values that are remembered, the oldest forgotten first: a peer has one or two."""
HEAD_KEPT_BYTES = 80
"""Longer ones are read anew each time, so that nobody can fill our memory with them."""
METHODS = frozenset({
    b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"UPDATE", b"INFO", b"REFER", b"NOTIFY",
    b"SUBSCRIBE", b"MESSAGE", b"PUBLISH",
})  # fmt: skip
"""Methods that need not be looked at letter by letter."""

TAB, CR, BLANK, QUOTE, OPEN, CLOSE, COMMA, COLON, SEMICOLON, LESS, EQUALS, GREATER, QUESTION, BACKSLASH = (
    b'\t\r "(),:;<=>?\\'
)
"""Single bytes as numbers. `QUOTE in value` is one memchr, 0.02 µs; `b'"' in value` first tries to read the needle as
a number and takes 0.2 µs (CPython 3.11)."""

_PROTOCOLS = {b"SIP/2.0/" + transport: (b"SIP/2.0", transport) for transport in (b"UDP", b"TCP", b"TLS")}
_LIST_MARKS = re.compile(rb'[",<]')
_PARAM_MARKS = re.compile(rb'[";]')
_ESCAPED = re.compile(rb"\\([\x00-\x7f])")


class Via(NamedTuple):
    """One Via value (§20.42). Printing it gives the canonical form, without the blanks the grammar allows."""

    transport: bytes
    """As written: `UDP`, `TCP`, `TLS`, or any other token."""
    host: bytes
    """As written, IPv6 in brackets."""
    port: int | None = None
    params: bytes = b""
    """Raw, each with its semicolon in front: `;branch=z9hG4bK1;rport`."""
    protocol: bytes = b"SIP/2.0"

    @classmethod
    def parse(cls, value: bytes) -> "Via":
        """One value, not a list of them (see `first_value`). On the path.

        Raises WireError (400) if transport, host or port cannot be read. Any protocol version is let through,
        because the start line decides about it.
        """
        head, semicolon, params = value.partition(b";")
        protocol, transport, host, port = (_via_head if len(head) <= HEAD_KEPT_BYTES else _via_head.__wrapped__)(head)
        return cls(transport, host, port, b";" + params.strip() if semicolon else b"", protocol)

    def param(self, name: bytes) -> bytes | None:
        """The value of a parameter (b"" if it has none), or None if it is not there. `name` in lower case."""
        return param(self.params, name)

    @property
    def branch(self) -> bytes:
        """b"" if there is none."""
        params = self.params
        if params[:8] == b";branch=" and BLANK not in params and QUOTE not in params and TAB not in params:
            end = params.find(b";", 8)  # the first of them, as nearly everybody writes it
            return params[8:] if end < 0 else params[8:end]
        return param(params, b"branch") or b""

    @property
    def received(self) -> bytes | None:
        return param(self.params, b"received")

    @property
    def rport(self) -> bytes | None:
        """None: not there. b"": the peer asks for it (RFC 3581 §3). Digits: filled in."""
        return param(self.params, b"rport")

    @property
    def sent_by(self) -> bytes:
        """Host and port in lower case, as compared in §17.2.3. A port that was not written stays away."""
        host = self.host.lower()
        return host if self.port is None else b"%b:%d" % (host, self.port)

    @property
    def address(self) -> str:
        """The host as a `Target` has it: text, IPv6 without brackets."""
        return bare(self.host)

    def to_bytes(self) -> bytes:
        host = self.host if self.port is None else b"%b:%d" % (self.host, self.port)
        return b"%b/%b %b%b" % (self.protocol, self.transport, host, self.params)


class NameAddr(NamedTuple):
    """An address with a name: From, To, Contact, Route and their kin (§20.10)."""

    display: bytes
    """As written, with its quotes if it has them; b"" if there is none. `name` is the text."""
    uri: bytes
    """As written, without angle brackets."""
    params: bytes = b""
    """Parameters of the header, raw, each with its semicolon in front: `;tag=1928301774`."""

    @classmethod
    def parse(cls, value: bytes) -> "NameAddr":
        """One value, not a list of them (see `first_value`). On the path.

        Without angle brackets, parameters belong to the header and not to the URI, and a comma or a question
        mark is an error (§20, RFC 4475 §3.1.2.13). Raises WireError (400).
        """
        opening = value.find(b"<")
        quote = value.find(b'"')
        if 0 <= quote < opening:
            opening = _bracket_after_quotes(value, quote)
        if opening < 0:
            uri, semicolon, params = value.partition(b";")
            uri = uri.strip()
            if COMMA in uri or QUESTION in uri or GREATER in uri:
                raise WireError(f"address needs angle brackets: {value[:SHOWN]!r}")
            display = b""
            params = semicolon + params.strip()
        else:
            closing = value.find(b">", opening)
            if closing < 0:
                raise WireError(f"angle bracket is never closed: {value[:SHOWN]!r}")
            display = value[:opening].strip()
            uri = value[opening + 1 : closing]
            params = value[closing + 1 :].strip()
            if params and params[0] != SEMICOLON:
                raise WireError(f"nonsense after the address: {params[:SHOWN]!r}")
        if not uri or uri.translate(None, UNSAFE) != uri or COLON not in uri:
            raise WireError(f"not an address: {value[:SHOWN]!r}")
        return cls(display, uri, params)

    def param(self, name: bytes) -> bytes | None:
        """The value of a parameter (b"" if it has none), or None if it is not there. `name` in lower case."""
        return param(self.params, name)

    @property
    def tag(self) -> bytes:
        """b"" if there is none."""
        return param(self.params, b"tag") or b""

    @property
    def name(self) -> bytes:
        """The display name without quotes and escapes."""
        return unquote(self.display)

    def to_bytes(self) -> bytes:
        """The form with angle brackets, which is always right. A name that needs quotes gets them (RFC 4475 §3.1.2.15):
        a comma without them would be two addresses for the next reader."""
        display = self.display
        if display and display[0] != QUOTE and display.translate(None, SEPARATORS) != display:
            display = quote(display)
        return b"%b%b<%b>%b" % (display, b" " if display else b"", self.uri, self.params)


def split_commas(value: bytes) -> list[bytes]:
    """The values of a list header on one line, stripped; commas in quotes and angle brackets do not count.

    Empty values are left out. Raises WireError (400) for a quote or bracket that is never closed.
    """
    pieces = _split_marked(value) if QUOTE in value or LESS in value else value.split(b",")
    return [stripped for piece in pieces if (stripped := piece.strip())]


def first_value(value: bytes) -> bytes:
    """The first value of a list header, stripped. Raises as `split_commas` does. On the path."""
    comma = value.find(b",")
    if comma < 0:
        return value.strip()
    if value.find(b'"', 0, comma) < 0 and value.find(b"<", 0, comma) < 0 and (first := value[:comma].strip()):
        return first
    return next(iter(split_commas(value)), b"")


def param(params: bytes, name: bytes) -> bytes | None:
    """One parameter out of raw ones (`;a=1;b`): its value as written, b"" for a bare name, None if it is not there.

    `name` in lower case. Of two with the same name the first counts. On the path.
    """
    if QUOTE in params or BLANK in params or TAB in params:
        return next((value or b"" for known, value in parse_params(params) if known == name), None)
    lowered = params.lower()
    wanted = b";" + name
    at = lowered.find(wanted)
    while at >= 0:
        at += len(wanted)
        if at == len(params):
            return b""
        following = params[at]
        if following == EQUALS:
            end = params.find(b";", at)
            return params[at + 1 :] if end < 0 else params[at + 1 : end]
        if following == SEMICOLON:
            return b""
        at = lowered.find(wanted, at)
    return None


def parse_params(params: bytes) -> list[tuple[bytes, bytes | None]]:
    """Raw parameters as (name in lower case, value as written or None), in their order; empty ones are left out."""
    pieces = _split_params(params) if QUOTE in params else params.split(b";")
    found: list[tuple[bytes, bytes | None]] = []
    for piece in pieces:
        name, equals, value = piece.partition(b"=")
        name = name.strip().lower()
        if name:
            found.append((name, value.strip() if equals else None))
    return found


def without_params(params: bytes, names: Iterable[bytes]) -> bytes:
    """Raw parameters without the named ones; the others stay as written."""
    unwanted = frozenset(names)
    pieces = _split_params(params) if QUOTE in params else params.split(b";")
    kept = [piece for piece in pieces if piece.strip() and piece.partition(b"=")[0].strip().lower() not in unwanted]
    return b"".join([b";" + piece for piece in kept])


def is_token(value: bytes) -> bool:
    """True if this is one token of §25.1: not empty, no separators, ASCII."""
    return bool(value) and not value.translate(None, TOKEN)


def unquote(value: bytes) -> bytes:
    """The text of a quoted-string (§25.1); anything else as it is."""
    if len(value) < 2 or value[:1] != b'"' or value[-1:] != b'"':
        return value
    inner = value[1:-1]
    return b"".join(_ESCAPED.split(inner)) if BACKSLASH in inner else inner  # `sub` takes six times as long


def quote(text: bytes) -> bytes:
    """A quoted-string with this text. Line breaks become blanks: nothing of ours may begin a new line."""
    text = text.replace(b"\r", b" ").replace(b"\n", b" ")
    return b'"' + text.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def host_port(value: bytes) -> tuple[bytes, int | None]:
    """`host`, `host:port`, `[IPv6]` or `[IPv6]:port` → (host as written, port or None). On the path.

    Blanks around the colon are let through, as Via allows them. IPv6 is checked for its letters only: who
    wants to send there finds out (RFC 5118 §4.10 asks for more tolerance still). Raises WireError (400).
    """
    if value[:1] == b"[":
        host, bracket, tail = value.partition(b"]")
        host += bracket
        tail = tail.strip()
        if not bracket or COLON not in host or host[1:-1].translate(None, IPV6) or (tail and tail[:1] != b":"):
            raise WireError(f"not an IPv6 reference: {value[:SHOWN]!r}")
        colon, port = tail[:1], tail[1:]
    else:
        host, colon, port = value.partition(b":")
        if not host or host.translate(None, HOST):
            host = host.rstrip()
            if not host or host.translate(None, HOST):
                raise WireError(f"not a host: {value[:SHOWN]!r}")
    if not colon:
        return host, None
    if not port.isdigit():
        port = port.strip()
    if not port.isdigit() or len(port) > 5 or not 0 < (number := int(port)) < 65536:
        raise WireError(f"not a port: {port[:SHOWN]!r}")
    return host, number


def bare(host: bytes) -> str:
    """A host as a `Target` has it: text, IPv6 without brackets."""
    return (host[1:-1] if host[:1] == b"[" else host).decode("ascii", "replace")


def parse_cseq(value: bytes) -> tuple[int, bytes]:
    """CSeq (§20.16): number and method. Raises WireError (400). On the path."""
    digits, _, method = value.partition(b" ")
    if not digits.isdigit() or (method not in METHODS and not is_token(method)):
        parts = value.split()
        if len(parts) != 2 or not parts[0].isdigit() or not is_token(parts[1]):
            raise WireError(f"not a CSeq: {value[:SHOWN]!r}")
        digits, method = parts
    if len(digits) > 10:
        digits = digits.lstrip(b"0") or b"0"
    if len(digits) > 10 or (number := int(digits)) > MAX_CSEQ:
        raise WireError(f"CSeq is not less than 2**31: {value[:SHOWN]!r}")
    return number, method


def end_of_quoted(value: bytes, opening: int) -> int:
    """Index after the quote that closes the one at `opening`; a backslash hides what follows. Raises WireError."""
    at = opening + 1
    closing = value.find(b'"', at)
    while closing >= 0:
        escape = value.find(b"\\", at, closing)
        if escape < 0:
            return closing + 1
        at = escape + 2
        if at > closing:
            closing = value.find(b'"', at)
    raise WireError(f"quote is never closed: {value[opening : opening + SHOWN]!r}")


@lru_cache(HEADS_KEPT)
def _via_head(head: bytes) -> tuple[bytes, bytes, bytes, int | None]:
    """What stands before the parameters of a Via: (protocol, transport, host, port). A peer writes the same in all its
    messages, so it is kept: 0.1 µs instead of 1.4. Raises WireError (400), and keeps nothing then."""
    name, _, sent_by = head.partition(b" ")
    known = _PROTOCOLS.get(name)
    if known is None:
        protocol, transport, sent_by = _protocol(head)
    else:
        protocol, transport = known
    host, port = host_port(sent_by.strip())
    return protocol, transport, host, port


def _protocol(head: bytes) -> tuple[bytes, bytes, bytes]:
    """The beginning of a Via that is not written in the usual way: (protocol, transport, sent-by)."""
    parts = head.split(b"/", 2)
    if len(parts) == 3:
        name, version, rest = parts[0].strip(), parts[1].strip(), parts[2].split(None, 1)
        if name.upper() == b"SIP" and is_token(version) and len(rest) == 2 and is_token(rest[0]):
            return name + b"/" + version, rest[0], rest[1]
    raise WireError(f"not a Via: {head[:SHOWN]!r}")


def _bracket_after_quotes(value: bytes, quote: int) -> int:
    """Index of the first angle bracket that stands outside quotes, -1 if there is none."""
    if BACKSLASH not in value:
        closing = value.find(b'"', quote + 1)
        opening = value.find(b"<", closing)
        if closing >= 0 and value.find(b'"', closing + 1, opening) < 0 <= opening:
            return opening  # one quoted name: what all the world sends
    _check_marks(value.count(b'"') + value.count(b"\\"), value)
    at = 0
    opening = value.find(b"<")
    while 0 <= quote < opening:
        at = end_of_quoted(value, quote)
        quote = value.find(b'"', at)
        if opening < at:
            opening = value.find(b"<", at)
    return opening


def _split_marked(value: bytes) -> list[bytes]:
    """Split at the commas outside quotes and angle brackets."""
    _check_marks(value.count(b",") + value.count(b'"') + value.count(b"<") + value.count(b"\\"), value)
    pieces: list[bytes] = []
    start = at = 0
    while found := _LIST_MARKS.search(value, at):
        at = found.end()
        mark = value[at - 1]
        if mark == COMMA:
            pieces.append(value[start : at - 1])
            start = at
        elif mark == QUOTE:
            at = end_of_quoted(value, at - 1)
        else:
            at = value.find(b">", at) + 1
            if not at:
                raise WireError(f"angle bracket is never closed: {value[start : start + SHOWN]!r}")
    pieces.append(value[start:])
    return pieces


def _split_params(params: bytes) -> list[bytes]:
    """Split at the semicolons outside quotes."""
    _check_marks(params.count(b";") + params.count(b'"') + params.count(b"\\"), params)
    pieces: list[bytes] = []
    start = at = 0
    while found := _PARAM_MARKS.search(params, at):
        at = found.end()
        if params[at - 1] == SEMICOLON:
            pieces.append(params[start : at - 1])
            start = at
        else:
            at = end_of_quoted(params, at - 1)
    pieces.append(params[start:])
    return pieces


def _check_marks(count: int, value: bytes) -> None:
    if count > MAX_DELIMITERS:
        raise WireError(f"{count} delimiters in one value: {value[:SHOWN]!r}")
