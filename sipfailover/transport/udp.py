"""UDP sockets (RFC 3261 §18): one bound socket, drained in bounded batches, with the kernel's error queue.

Stock asyncio reads one datagram a turn and loses bursts, so the socket is our own. IP_RECVERR is on: an ICMP error
names the peer it is about, and a dead trunk is known in one round trip instead of after all retransmissions.

The loop does not watch the socket but an epoll that watches it. A pending ICMP error makes a socket readable and
*in error*, and uvloop (libuv) stops watching a descriptor in error for ever: after the first closed port such a
socket is deaf, measured. An epoll is never in error itself; it is readable as long as there is something to do, on
either loop. It need not be asked what: reading the socket until it is empty tells.
"""

import asyncio
import contextlib
import errno
import select
import socket
from collections.abc import Callable

from sipfailover.flow import UDP, Flow, Target
from sipfailover.transport.bounds import Bounds, Counters
from sipfailover.transport.door import Door
from sipfailover.transport.naming import is_wildcard, sent_by
from sipfailover.transport.sockets import (
    LARGEST_DATAGRAM,
    Address,
    address_in,
    kernel_drops,
    listening,
    reason_in,
    reason_of,
    source_control,
)

BLANK = b"\r\n\0"
"""What keep-alives are made of: CRLF and CRLFCRLF (RFC 5626 §3.5.1), and the zero bytes that some telephones send."""

_FULL = frozenset({errno.EAGAIN, errno.ENOBUFS})
_ROOM = 65_535
_CONTROL_ROOM = 512
_ERRORS_AT_ONCE = 256
"""The kernel's error queue holds about as many; the bound only keeps one turn finite."""


class Way:
    """How to send to one UDP target: which socket, from which address of ours, and when that was done last."""

    __slots__ = ("address", "sent_at", "socket", "source", "target")

    def __init__(self, sock: "UdpSocket", target: Target) -> None:
        self.socket = sock
        self.target = target
        self.address: Address = (target.host, target.port)
        self.source = source_control(target.local) if sock.wildcard and target.local else None
        self.sent_at = float("-inf")


class UdpSocket:
    """One bound socket. `received` gets each datagram, `settled` follows each batch.

    `failed(host, port, reason)` tells of errors about datagrams that were sent earlier. It may be called from inside
    `send`, so it must only take a note. The constructor raises TransportError (see `listening`).
    """

    __slots__ = (
        "_batch",
        "_behind_since",
        "_closed",
        "_counters",
        "_epoll",
        "_failed",
        "_flows",
        "_loop",
        "_max_flows",
        "_received",
        "_recvfrom",
        "_recvmsg",
        "_sendmsg",
        "_sendto",
        "_settled",
        "_sock",
        "_time",
        "host",
        "port",
        "wildcard",
    )

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        bounds: Bounds,
        counters: Counters,
        *,
        received: Callable[[Flow, bytes], None],
        settled: Callable[[], None],
        failed: Callable[[str, int, str], None],
    ) -> None:
        sock = listening(UDP, host, port, bounds)
        self.host = host
        self.port: int = sock.getsockname()[1]
        self.wildcard = is_wildcard(host)
        self._loop = loop
        self._time = loop.time
        self._sock = sock
        self._recvfrom, self._recvmsg = sock.recvfrom, sock.recvmsg
        self._sendto, self._sendmsg = sock.sendto, sock.sendmsg
        self._received, self._settled, self._failed = received, settled, failed
        self._counters = counters
        self._batch = bounds.batch
        self._max_flows = bounds.flows
        self._flows: dict[object, Flow] = {}
        self._closed = False
        self._behind_since: float | None = None
        """Since when there was always something left to read; None: the last batch took all there was."""
        self._epoll = select.epoll()
        self._epoll.register(sock, select.EPOLLIN)
        loop.add_reader(self._epoll.fileno(), self._read_any if self.wildcard else self._read_one)

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped: they came faster than we read them, or the door was shut to them."""
        return 0 if self._closed else kernel_drops(self._sock)

    def shut(self, door: Door) -> None:
        """Let in whom the door lets in."""
        if not self._closed:
            door.apply(self._sock)

    @property
    def behind(self) -> float:
        """Seconds since all that had come was read; 0 while each batch takes all there is. What waits now is at most as
        old, and younger where the kernel dropped some."""
        return 0.0 if self._behind_since is None else self._time() - self._behind_since

    @property
    def remembered(self) -> int:
        """Peers that are remembered, see `Bounds.flows`."""
        return len(self._flows)

    @property
    def receive_buffer(self) -> int:
        """Bytes that the kernel grants for what we have not read yet, its own bookkeeping included."""
        return 0 if self._closed else self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)

    def close(self) -> None:
        """No more in or out. Harmless twice."""
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()
            self._sock.close()

    def send(self, way: Way, data: bytes) -> str:
        """Send now. Returns "" or the reason why nothing left. On the path.

        A full buffer of the kernel is no reason but a counted drop, as if it was lost on the way.
        """
        way.sent_at = self._time()
        try:
            if way.source is None:
                self._sendto(data, way.address)
            else:
                self._sendmsg((data,), way.source, 0, way.address)
        except OSError as error:
            return self._not_sent(way, data, error)
        return ""

    def _not_sent(self, way: Way, data: bytes, error: OSError) -> str:
        if self._closed:
            return "local: closed"
        if error.errno not in _FULL and len(data) <= LARGEST_DATAGRAM:
            # An ICMP error that waits in the socket is raised by whatever touches the socket next, so this one may be
            # about a datagram sent earlier to somebody else. Take all that wait and try once more.
            self._read_errors()
            try:
                self._sendmsg((data,), way.source or (), 0, way.address)
                return ""
            except OSError as again:
                error = again
        if error.errno in _FULL:
            self._counters.send_buffer_full += 1
            return ""
        return reason_of(error)

    def _read_one(self) -> None:
        """A batch from a socket with one address. On the path: recvfrom is a fifth faster than recvmsg."""
        recvfrom, received, flows = self._recvfrom, self._received, self._flows
        count = 0
        try:
            for _ in range(self._batch):
                try:
                    data, address = recvfrom(_ROOM)
                except OSError as error:
                    if self._nothing_read(error, count):
                        self._behind_since = None
                        break
                    continue
                count += 1
                if not data or (data[0] in BLANK and not data.strip(BLANK)):
                    self._counters.keep_alives_swallowed += 1
                    continue
                received(flows.get(address) or self._remember(address, address, self.host), data)
            else:
                self._fall_behind()
        finally:
            if count:
                self._counters.datagrams += count
                self._settled()

    def _read_any(self) -> None:
        """A batch from a wildcard socket: the control data says which address of ours was asked. On the path."""
        recvmsg, received, flows = self._recvmsg, self._received, self._flows
        count = 0
        try:
            for _ in range(self._batch):
                try:
                    data, control, _, address = recvmsg(_ROOM, _CONTROL_ROOM)
                except OSError as error:
                    if self._nothing_read(error, count):
                        self._behind_since = None
                        break
                    continue
                count += 1
                if not data or (data[0] in BLANK and not data.strip(BLANK)):
                    self._counters.keep_alives_swallowed += 1
                    continue
                key = (address, control[0][2])
                received(flows.get(key) or self._remember(key, address, address_in(control[0][2])), data)
            else:
                self._fall_behind()
        finally:
            if count:
                self._counters.datagrams += count
                self._settled()

    def _fall_behind(self) -> None:
        """A whole batch was read, and perhaps not all there is."""
        if self._behind_since is None:
            self._behind_since = self._time()

    def _nothing_read(self, error: OSError, count: int) -> bool:
        """Deal with what reading raised. True: the batch ends here."""
        if self._closed:
            return True  # by something that this batch brought
        if error.errno != errno.EAGAIN:
            self._read_errors()  # an ICMP error was pending; datagrams may wait behind it
            return False
        if not count:
            # Awake, and no datagram: then it was the error queue, whose error another call has taken (see `send`).
            self._read_errors()
        return True

    def _remember(self, key: object, address: Address, local: str) -> Flow:
        if len(self._flows) >= self._max_flows:
            self._flows.clear()
        flow = Flow(UDP, address[0], address[1], sent_by(local, self.port), local)
        self._flows[key] = flow
        return flow

    def _read_errors(self) -> None:
        """Empty the error queue; each peer is told of once, with its newest reason.

        The kernel fills the queue from ICMP messages that quote a datagram from our address and port. It cannot check
        the quoted peer, because one socket of ours serves all; so the pool believes only what is about a peer to whom
        we sent lately. Who forges one all the same, and guesses such a peer, costs one attempt of one call.
        """
        reasons: dict[tuple[str, int], str] = {}
        with contextlib.suppress(OSError):
            for _ in range(_ERRORS_AT_ONCE):
                _, control, _, address = self._recvmsg(0, _CONTROL_ROOM, socket.MSG_ERRQUEUE)
                reason = reason_in(control)
                if reason and address:
                    self._counters.icmp_errors += 1
                    reasons[address[:2]] = reason
        for (host, port), reason in reasons.items():
            self._failed(host, port, reason)
