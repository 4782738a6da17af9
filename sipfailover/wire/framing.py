"""Messages out of a stream (RFC 3261 §18.3: Content-Length tells where one ends; RFC 5626 §4.4.1: CRLF keep-alive).

Any chunking of the same bytes gives the same messages, in time linear to the bytes even if they come one by one.
It finds borders only: whether a message is sound, `message` decides. A stream that has lost its borders cannot
be mended (§18.3), so after an error the connection is to be closed.
"""

import re

from sipfailover.errors import WireError
from sipfailover.wire.fields import SHOWN, TOKEN
from sipfailover.wire.limits import MAX_MESSAGE_BYTES

_BLANK = re.compile(rb"[\r\n]+")
_CONTENT_LENGTH = re.compile(rb"\r\n(?:content-length|l)[ \t]*:", re.IGNORECASE)
_STARTS = frozenset(TOKEN)


class StreamFramer:
    """Collects the bytes of one connection and hands out whole messages.

    Holds at most `max_bytes` and what was fed last. Who sends more in one message loses the connection.
    """

    __slots__ = ("_buffer", "_line_feeds", "_max_bytes", "_searched", "_whole", "broken", "pings")

    def __init__(self, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._buffer = bytearray()
        self._max_bytes = max_bytes
        self._searched = 0
        """Up to here the buffer has no end of a head."""
        self._whole = 0
        """Length of the message that is being collected; 0 while its head is not complete."""
        self._line_feeds = 0
        """Line feeds seen since the last message: every second one completes a ping."""
        self.pings = 0
        """Keep-alives (CRLFCRLF) seen and not taken yet: each wants one CRLF back."""
        self.broken: WireError | None = None
        """Why this stream cannot be read on, or None."""

    @property
    def pending(self) -> int:
        """Bytes of a message that is not complete yet."""
        return len(self._buffer)

    def take_pings(self) -> int:
        """How many keep-alives came since the last call. The answer to each is one CRLF (RFC 5626 §4.4.1)."""
        pings, self.pings = self.pings, 0
        return pings

    def feed(self, data: bytes) -> list[bytes]:
        """Add what came from the stream; returns the messages that are complete now, in order.

        Raises WireError if the stream makes no sense: 400 for bytes that begin no message, a Content-Length
        that is missing, double or no number; 513 for a message over `max_bytes`. Messages that were complete before
        the nonsense are returned first; then `broken` is set and the next call raises. On the path.
        """
        if self.broken is not None:
            raise self.broken
        if self._buffer:
            self._buffer += data
            return self._cut(self._buffer)
        return self._cut(data)

    def _cut(self, source: bytes | bytearray) -> list[bytes]:
        """Cut all whole messages off, and keep the rest in the buffer."""
        messages: list[bytes] = []
        at = 0
        size = len(source)
        try:
            while at < size:
                if not self._whole:
                    if not self._searched:
                        at = self._skip_blank(source, at)
                        if at == size:
                            break
                    self._whole = self._measure(source, at)
                    if not self._whole:
                        break
                end = at + self._whole
                if end > size:
                    break
                messages.append(bytes(source[at:end]))
                at = end
                self._whole = self._searched = self._line_feeds = 0
        except WireError as error:
            self.broken = error
            self._buffer.clear()
            if not messages:
                raise
            return messages
        if source is self._buffer:
            del self._buffer[:at]
        elif at < size:
            self._buffer += source[at:]
        return messages

    def _skip_blank(self, source: bytes | bytearray, at: int) -> int:
        """Over the empty lines before a message (RFC 3261 §7.5), counting pings. Returns where they end."""
        blank = _BLANK.match(source, at)
        if blank:
            end = blank.end()
            before = self._line_feeds
            self._line_feeds += source.count(b"\n", at, end)
            self.pings += self._line_feeds // 2 - before // 2
            at = end
        if at < len(source) and source[at] not in _STARTS:
            raise WireError(f"not the beginning of a message: {bytes(source[at : at + SHOWN])!r}")
        return at

    def _measure(self, source: bytes | bytearray, at: int) -> int:
        """Length of the message that begins at `at`; 0 if its head is not complete yet."""
        end = source.find(b"\r\n\r\n", max(at, at + self._searched - 3))
        if end < 0:
            self._searched = len(source) - at
            if self._searched > self._max_bytes:
                raise WireError(f"head of a message over {self._max_bytes} bytes", 513)
            return 0
        whole = end + 4 - at + content_length(bytes(source[at : end + 4]))
        if whole > self._max_bytes:
            raise WireError(f"message of {whole} bytes, over {self._max_bytes}", 513)
        return whole


def content_length(head: bytes) -> int:
    """The one Content-Length (or `l`) of a head, which goes from the start line to the empty line with both.

    Raises WireError (400) if there is none, more than one, or it is no number.
    """
    found = list(_CONTENT_LENGTH.finditer(head))
    if len(found) != 1:
        raise WireError("no Content-Length in a stream" if not found else "more than one Content-Length")
    start = found[0].end()
    end = head.find(b"\r\n", start)
    while head[end + 2 : end + 3] in (b" ", b"\t"):
        end = head.find(b"\r\n", end + 2)
    digits = head[start:end].strip()
    if not digits.isdigit():
        raise WireError(f"Content-Length is not a number: {digits[:SHOWN]!r}")
    return int(digits) if len(digits) <= 10 else 2**31
