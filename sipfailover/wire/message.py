"""A SIP message as a view over its bytes (RFC 3261 §7): found once, parsed when asked, never changed.

What two parsers could read differently is checked at once: one each of the headers that stand alone, line ends, one
true Content-Length, a CSeq that fits the method, no bytes that end a text for one reader and are letters for the next.
What is merely ugly goes through: Latin-1, blanks before the colon, compact and folded headers, no reason phrase.
Changes are `rewrite`'s business, messages of our own `compose`'s.
"""

import re

from sipfailover.errors import WireError
from sipfailover.wire.explanations import parse_retry_after
from sipfailover.wire.fields import (
    BACKSLASH,
    COMMA,
    CR,
    METHODS,
    SEMICOLON,
    SHOWN,
    UNSAFE,
    NameAddr,
    Via,
    first_value,
    is_token,
    param,
    parse_cseq,
    split_commas,
)
from sipfailover.wire.limits import MAX_HEADER_LINES, MAX_LINE_BYTES, MAX_MESSAGE_BYTES
from sipfailover.wire.names import COMPACT, KNOWN, SINGLE

VERSION = b"SIP/2.0"

_LINE_ENDS = (b"\r", b"\n")
_FOLDS = (b" ", b"\t")
_CONTROL = bytes(range(33)) + b"\x7f"
NUL, VT, FF = b"\0\x0b\x0c"
_HIDDEN = re.compile(rb"(?<!\\)[\0\x0b\x0c]")
"""NUL ends a text for some, VT and FF are blanks for some: they may stand in a quoted-pair only (§25.1)."""


class Message:
    """One request or response. Raises WireError (400, 505, 513) for bytes that cannot be served. On the path.

    A 937-byte INVITE with 17 headers takes about 8 µs (CPython 3.11).
    """

    __slots__ = (
        "_contact", "_from", "_to", "_via", "body", "call_id", "cseq", "cseq_method", "fields", "first", "from_tag",
        "method", "reason", "status", "to_tag", "uri",
    )  # fmt: skip

    def __init__(self, raw: bytes) -> None:
        if raw[:1] in _LINE_ENDS:
            raw = raw.lstrip(b"\r\n")  # §7.5: empty lines before a message mean nothing
        end = raw.find(b"\r\n\r\n")
        if end < 0:
            raise WireError("no empty line after the headers")
        if len(raw) > MAX_MESSAGE_BYTES:
            raise WireError(f"message of {len(raw)} bytes, over {MAX_MESSAGE_BYTES}", 513)
        head = raw[:end]
        lines = head.split(b"\r\n")
        count = len(lines) - 1
        if count > MAX_HEADER_LINES:
            raise WireError(f"{count} header lines, over {MAX_HEADER_LINES}", 513)
        if head.count(b"\n") != count or head.count(b"\r") != count:
            raise WireError("a line does not end with CR LF")
        if (NUL in head or VT in head or FF in head) and _HIDDEN.search(head):
            raise WireError("NUL, VT or FF outside of quotes")
        if end > MAX_LINE_BYTES and max(map(len, lines)) > MAX_LINE_BYTES:
            raise WireError(f"a line over {MAX_LINE_BYTES} bytes", 513)
        self._read_start(lines[0])
        fields, first = _found(lines) or _found(_joined(lines)) or ([], {})
        self.fields = fields
        """(name in lower case, line as it came: name, colon, value, and its folds) in their order."""
        self.first = first
        """Name in lower case → the first line with it."""
        try:  # §8.1.1, without Max-Forwards, which RFC 2543 did not have
            _, from_, to, call_id, cseq = (
                first[b"via"], first[b"from"], first[b"to"], first[b"call-id"], first[b"cseq"],
            )  # fmt: skip
        except KeyError as missing:
            raise WireError(f"no {missing.args[0].decode()}") from None
        self.call_id: bytes = value_of(call_id)
        if not self.call_id or len(self.call_id.translate(None, _CONTROL)) != len(self.call_id):
            raise WireError(f"not a Call-ID: {self.call_id[:SHOWN]!r}")
        self.cseq, self.cseq_method = parse_cseq(value_of(cseq))
        if self.method and self.cseq_method != self.method:
            raise WireError(f"{self.method[:SHOWN]!r} with a CSeq of {self.cseq_method[:SHOWN]!r}")
        self.from_tag = tag_of(from_)
        """b"" if there is none (RFC 2543)."""
        self.to_tag = tag_of(to)
        """b"" if there is none: the request is outside a dialog."""
        length = first.get(b"content-length")
        self.body: bytes = raw[end + 4 :] if length is None else _body(raw, end + 4, value_of(length))
        self._via: Via | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._contact: NameAddr | None = None

    def _read_start(self, start: bytes) -> None:
        """§7.1 and §7.2: exactly two blanks in a request line; in a status line the phrase may be missing."""
        if start[:8].upper() == b"SIP/2.0 ":
            digits, _, reason = start[8:].partition(b" ")
            if len(digits) != 3 or not digits.isdigit() or not 100 <= (status := int(digits)) < 700:
                raise WireError(f"not a status: {digits[:SHOWN]!r}")
            self.method, self.uri, self.status, self.reason = b"", b"", status, reason
            return
        parts = start.split(b" ")
        if len(parts) != 3 or (parts[0] not in METHODS and not is_token(parts[0])):
            raise WireError(f"not a request line: {start[:SHOWN]!r}")
        self.method, self.uri, version = parts
        self.status, self.reason = 0, b""
        if version != VERSION and version.upper() != VERSION:
            if version[:4].upper() == b"SIP/":
                raise WireError(f"version is not SIP/2.0: {version[:SHOWN]!r}", 505)
            raise WireError(f"not a request line: {start[:SHOWN]!r}")
        if not self.uri or len(self.uri.translate(None, UNSAFE)) != len(self.uri):
            raise WireError(f"not a Request-URI: {self.uri[:SHOWN]!r}")

    def get(self, name: bytes) -> bytes | None:
        """The value of the first line with this name (lower case), unfolded and stripped; None if there is none."""
        line = self.first.get(name)
        return None if line is None else value_of(line)

    def lines(self, name: bytes) -> list[bytes]:
        """All lines with this name (lower case), as they came."""
        return [line for known, line in self.fields if known == name] if name in self.first else []

    def values(self, name: bytes) -> list[bytes]:
        """The values of a list header over all its lines, in order.

        Raises WireError for unbalanced quotes, and for more than one line may have: taking 64 kB of commas apart would
        hold up the calls of others.
        """
        if name not in self.first:
            return []
        lines = self.lines(name)
        if sum(map(len, lines)) > MAX_LINE_BYTES:
            raise WireError(f"{name[:SHOWN].decode('latin-1')} with over {MAX_LINE_BYTES} bytes of values", 513)
        return [value for line in lines for value in split_commas(value_of(line))]

    @property
    def via(self) -> Via:
        """The topmost Via. Raises WireError if it, or another one on its line, cannot be read (RFC 4475 §3.1.2.1)."""
        if self._via is None:
            value = value_of(self.first[b"via"])
            if COMMA in value:
                self._via, *_ = [Via.parse(one) for one in split_commas(value) or (value,)]
            else:
                self._via = Via.parse(value)
        return self._via

    @property
    def from_(self) -> NameAddr:
        """From, taken apart."""
        if self._from is None:
            self._from = NameAddr.parse(value_of(self.first[b"from"]))
        return self._from

    @property
    def to(self) -> NameAddr:
        """To, taken apart."""
        if self._to is None:
            self._to = NameAddr.parse(value_of(self.first[b"to"]))
        return self._to

    @property
    def contact(self) -> NameAddr | None:
        """The first Contact; None if there is none, or a star. Raises WireError for one that cannot be read."""
        if self._contact is None:
            line = self.first.get(b"contact")
            value = b"*" if line is None else first_value(value_of(line))
            if value == b"*" or not value:
                return None
            self._contact = NameAddr.parse(value)
        return self._contact

    @property
    def max_forwards(self) -> int | None:
        """None if there is none. Raises WireError for what is no number from 0 to 255 (§20.22)."""
        line = self.first.get(b"max-forwards")
        if line is None:
            return None
        value = value_of(line)
        if not value.isdigit() or len(value) > 8 or int(value) > 255:
            raise WireError(f"Max-Forwards is not a number: {value[:SHOWN]!r}")
        return int(value)

    @property
    def retry_after(self) -> float:
        """Seconds, 0 if there is no Retry-After that can be read."""
        value = self.get(b"retry-after")
        parsed = parse_retry_after(value) if value else None
        return float(parsed.seconds) if parsed else 0.0

    def __repr__(self) -> str:
        what = f"{self.status} {self.reason.decode('latin-1')}" if self.status else f"{self.method!r} {self.uri!r}"
        return f"<Message {what}, {self.cseq} {self.cseq_method.decode('latin-1')}, Call-ID {self.call_id!r}>"


def value_of(line: bytes) -> bytes:
    """The value of a header line: after the colon, stripped, its folds made blanks (§7.3.1)."""
    value = line[line.find(b":") + 1 :].strip()
    if CR in value:
        return b" ".join([part.strip() for part in value.split(b"\r\n")])
    return value


def tag_of(line: bytes) -> bytes:
    """The tag of a From or To line, b"" if it has none. Raises WireError where quotes or brackets do not close.

    The quick way is for lines with one quoted name at most, nothing quoted or folded behind it, and the tag as first
    parameter: there the first bracket is the right one.
    """
    opening = line.find(b"<")
    if opening >= 0:
        closing = line.find(b">", opening)
        quotes = line.count(b'"', 0, opening)
        if closing >= 0 and line.find(b'"', opening) < 0 and (not quotes or (quotes == 2 and BACKSLASH not in line)):
            params = line[closing + 1 :]
            if SEMICOLON not in params:
                return b""
            if params[:5] == b";tag=" and CR not in params:
                end = params.find(b";", 5)
                return (params[5:] if end < 0 else params[5:end]).strip()
    elif SEMICOLON not in line:
        return b""
    return param(NameAddr.parse(value_of(line)).params, b"tag") or b""


def _found(lines: list[bytes]) -> tuple[list[tuple[bytes, bytes]], dict[bytes, bytes]] | None:
    """Header lines by their names: (`Message.fields`, `Message.first`). None if one is the continuation of another,
    which shows where its name is looked up: looking for folds in every message took a fifth of its time."""
    fields: list[tuple[bytes, bytes]] = []
    first: dict[bytes, bytes] = {}
    known = KNOWN.get
    for line in lines[1:]:
        colon = line.find(b":")
        name = known(line[:colon]) if colon > 0 else None
        if name is None:
            if line[:1] in _FOLDS:
                return None
            name = _odd_name(line)
        if name not in first:
            first[name] = line
        elif name in SINGLE:
            raise WireError(f"more than one {name.decode()}")
        fields.append((name, line))
    return fields, first


def _joined(lines: list[bytes]) -> list[bytes]:
    """Lines with their continuations (§7.3.1), the line breaks still in them."""
    joined = [lines[0]]
    for line in lines[1:]:
        if line[:1] in _FOLDS:
            if len(joined) == 1:
                raise WireError("a continuation of no header")
            joined[-1] += b"\r\n" + line
            if len(joined[-1]) > MAX_LINE_BYTES:
                raise WireError(f"a header over {MAX_LINE_BYTES} bytes", 513)
        else:
            joined.append(line)
    return joined


def _odd_name(line: bytes) -> bytes:
    """The name of a header that is not spelt in one of the usual ways, in lower case."""
    name, colon, _ = line.partition(b":")
    name = name.rstrip(b" \t")  # not over a fold: there is none before the colon (HCOLON, §25.1)
    if not colon or not is_token(name):
        raise WireError(f"not a header: {line[:SHOWN]!r}")
    name = name.lower()
    return COMPACT.get(name, name)


def _body(raw: bytes, start: int, digits: bytes) -> bytes:
    """The body as Content-Length says; in a datagram what follows it is nobody's (§18.3)."""
    if not digits.isdigit() or len(digits) > 10:
        raise WireError(f"Content-Length is not a number: {digits[:SHOWN]!r}")
    length = int(digits)
    if len(raw) - start < length:
        raise WireError(f"body of {len(raw) - start} bytes, Content-Length {length}")
    return raw[start : start + length]
