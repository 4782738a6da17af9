"""One stream connection, opened by us or by the peer (RFC 3261 §18): bytes to messages, keep-alives, and its end.

It ends once, for one reason, and says so once. After that nothing it receives is passed on. Which connections exist,
and how many may, is `connections`' business. TLS is the same protocol on another transport of the loop, which is there
when the handshake is over.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Protocol, cast

from sipfailover.errors import WireError
from sipfailover.flow import PING, TCP, Flow, Target
from sipfailover.transport.bounds import Bounds, Counters
from sipfailover.wire import StreamFramer

PONG = b"\r\n"
"""RFC 5626 §4.4.1. A missing pong is no fault: most peers know RFC 3261 only, where the ping is an empty line (§7.5).
Whether the peer is alive its kernel tells, see `Bounds.unacknowledged_for`."""


class Owner(Protocol):
    """Who keeps the connections."""

    loop: asyncio.AbstractEventLoop
    bounds: Bounds
    counters: Counters
    received: Callable[[Flow, bytes], None]
    settled: Callable[[], None]

    def opened(self, connection: "Connection") -> None:
        """It exists now; the owner gives it its flow, or ends it."""

    def ended(self, connection: "Connection", reason: str, *, tell: bool) -> None:
        """It is gone for sending; `tell` whoever used it."""

    def why(self, connection: "Connection", error: OSError | None) -> str:
        """The reason for an end that the loop told; None is an orderly one."""

    def finished(self, connection: "Connection") -> None:
        """The loop has closed its socket."""

    def keep_alive_every(self, host: str, port: int) -> float | None:
        """Seconds of silence before a keep-alive to this peer: 0 for never, None for what the bounds say."""

    def idle_close_after(self, connection: "Connection") -> float:
        """Seconds without a message after which this connection is closed."""


class Connection(asyncio.Protocol):
    """A connection that is being opened (`transport` is None), open, or ended (`over`).

    `target` is whom we connect to; None for a connection that the host `source` opened, through our listener at `port`
    that speaks `kind` (tcp or tls).
    """

    __slots__ = (
        "_framer",
        "_owner",
        "_queue",
        "_queued",
        "active_at",
        "flow",
        "heard",
        "kind",
        "over",
        "port",
        "source",
        "target",
        "transport",
        "used_at",
        "waiting",
        "waiting_since",
    )

    def __init__(self, owner: Owner, target: Target | None, source: str = "", port: int = 0, kind: str = TCP) -> None:
        self._owner = owner
        self._framer = StreamFramer()
        self._queue: list[bytes] = []
        self._queued = 0
        self.target = target
        self.source = source
        self.port = port
        self.kind = target.transport if target is not None else kind
        self.flow: Flow | None = None
        self.transport: asyncio.Transport | None = None
        self.over = False
        self.heard = False
        """Whether anything came over it."""
        self.waiting: dict[Target, None] = {}
        """Who gave us something while it was being opened, each once, in order."""
        now = owner.loop.time()
        self.used_at = now
        """When the last message went in or out."""
        self.active_at = now
        """When the last byte went in or out."""
        self.waiting_since: float | None = now if target is None else None
        """Since when the peer owes us the rest of a message, or its first one if it opened the connection."""

    def write(self, to: Target, data: bytes) -> str:
        """Send, or keep until it is open. Returns "" or the reason why not. On the path."""
        transport = self.transport
        if transport is None:
            if self._queued + len(data) > self._owner.bounds.connect_queue_bytes:
                return "buffer full"
            self._queue.append(data)
            self._queued += len(data)
            self.waiting[to] = None
            return ""
        if transport.is_closing():
            return "closed"  # broken, and the loop is about to say so
        self.used_at = self.active_at = self._owner.loop.time()
        transport.write(data)
        return ""

    def end(self, reason: str, *, flush: bool = False, tell: bool = True) -> None:
        """End it now. `flush` lets what was written leave first. Harmless twice."""
        if self.over:
            return
        self.over = True
        self._queue.clear()
        transport = self.transport
        if transport is not None:
            if flush:
                transport.close()
            else:
                # Not from inside transport.write, from where `pause_writing` comes here.
                self._owner.loop.call_soon(transport.abort)
        self._owner.ended(self, reason, tell=tell)

    def sweep(self, now: float) -> None:
        """Look at the clock: too slow, idle for too long, or silent so long that a keep-alive is due."""
        bounds = self._owner.bounds
        if self.transport is None or self.over:
            return
        if self.waiting_since is not None and now - self.waiting_since >= bounds.message_within:
            self._owner.counters.streams_too_slow += 1
            self.end("timeout")
        elif now - self.used_at >= self._owner.idle_close_after(self):
            self.end("closed", flush=True)
        elif self._wants_ping(now - self.active_at):
            self.active_at = now
            self._owner.counters.pings_sent += 1
            self.transport.write(PING)

    def _wants_ping(self, silent_for: float) -> bool:
        """Whether a keep-alive is due after so many seconds of silence."""
        flow, every = self.flow, None
        if flow is not None and silent_for >= self._owner.bounds.sweep_every:
            every = self._owner.keep_alive_every(flow.host, flow.port)
        if every is None:
            every = self._owner.bounds.keep_alive_every
        return 0.0 < every <= silent_for

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is open: send what waited."""
        self.transport = link = cast(asyncio.Transport, transport)
        if self.over:
            link.abort()
            return
        link.set_write_buffer_limits(high=self._owner.bounds.write_buffer_bytes)
        sock = link.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        limit = int(self._owner.bounds.unacknowledged_for * 1000)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, limit)
        self._owner.opened(self)
        if self._queue and not self.over:
            link.write(b"".join(self._queue))
            self._queue.clear()

    def data_received(self, data: bytes) -> None:
        """Bytes came. On the path."""
        if self.over or self.flow is None or self.transport is None:
            return
        owner, framer = self._owner, self._framer
        now = self.active_at = owner.loop.time()
        self.heard = True
        try:
            messages = framer.feed(data)
        except WireError:
            messages = []
        pings = framer.take_pings()
        if pings:
            owner.counters.pings_answered += pings
            self.transport.write(PONG * pings)
        if messages:
            self.used_at = now
            flow, received = self.flow, owner.received
            for message in messages:
                received(flow, message)
            owner.settled()
        if framer.broken is not None:
            # Its borders are lost for good (RFC 3261 §18.3); what was whole has been served, and answers may leave.
            if not self.over:
                owner.counters.streams_broken += 1
            self.end("closed", flush=True)
        elif not framer.pending:
            self.waiting_since = None
        elif messages or self.waiting_since is None:
            self.waiting_since = now

    def eof_received(self) -> None:
        """The peer will send no more, and SIP needs both ways: what was written may leave, then we close too."""
        self.end(self._owner.why(self, None), flush=True)

    def pause_writing(self) -> None:
        """Our buffer for this peer is full: it does not read."""
        if not self.over:
            self._owner.counters.write_buffers_full += 1
        self.end("buffer full")

    def connection_lost(self, error: Exception | None) -> None:
        """It broke, or is closed as we wished."""
        if not self.over:
            self.end(self._owner.why(self, error if isinstance(error, OSError) else None))
        self._owner.finished(self)
