"""All stream connections: accepting, opening, finding again, bounds, and the one clock that sweeps over them.

A connection is found by its number (a `Flow`: answers go back over it, RFC 3261 §18.2.2) or by its peer (a `Target`:
a request to somebody who is connected already takes that connection, whoever opened it, §18.1.1).
"""

import asyncio
import socket
from collections import Counter
from collections.abc import Callable, Coroutine

from sipfailover.config import is_address
from sipfailover.flow import TCP, Flow, Target
from sipfailover.transport.bounds import Bounds, Counters
from sipfailover.transport.naming import sent_by
from sipfailover.transport.sockets import listening, reason_of
from sipfailover.transport.stream import Connection

ACCEPTS_AT_ONCE = 64
"""Connections taken in one turn of the loop; the others wait in the backlog, and timers and sockets have their turn."""

ACCEPT_AGAIN_AFTER = 0.5
"""Seconds. When the system has no descriptor left, the peers wait in the backlog this long, instead of the loop trying
without pause. Who was waiting is accepted late."""


class Listener:
    """One address and port where we accept connections. The constructor raises TransportError (see `listening`).

    It accepts by itself: `asyncio.Server.close` loses a connection that was accepted and has no transport yet, and
    with a socket of its own a peer over the bounds is refused before it costs one.
    """

    __slots__ = ("_accepted", "_alarm", "_counters", "_loop", "_over", "_sock", "host", "port")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        host: str,
        port: int,
        bounds: Bounds,
        counters: Counters,
        accepted: Callable[[socket.socket, str, int], None],
    ) -> None:
        self._sock = listening(TCP, host, port, bounds)
        self.host = host
        self.port: int = self._sock.getsockname()[1]
        self._loop = loop
        self._accepted = accepted
        self._counters = counters
        self._alarm: asyncio.TimerHandle | None = None
        self._over = False
        loop.add_reader(self._sock.fileno(), self._accept)

    def close(self) -> None:
        """Accept no more. Harmless twice."""
        if not self._over:
            self._over = True
            self._loop.remove_reader(self._sock.fileno())
            if self._alarm is not None:
                self._alarm.cancel()
            self._sock.close()

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            if self._over:
                return
            try:
                sock, (host, *_) = self._sock.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return  # nobody left, or one who went away again
            except OSError:
                self._counters.accepts_failed += 1
                self._loop.remove_reader(self._sock.fileno())
                self._alarm = self._loop.call_later(ACCEPT_AGAIN_AFTER, self._accept_again)
                return
            sock.setblocking(False)
            self._accepted(sock, host, self.port)

    def _accept_again(self) -> None:
        self._loop.add_reader(self._sock.fileno(), self._accept)


class Connections:
    """`received` gets each whole message, `settled` follows each batch of them.

    `lost(where, reason)` tells what was or may be lost; it is called from anywhere, so it must only take a note.
    `known(host)` says whether a PBX or trunk is at this address: some room is kept for these. `keep_alive_every(host,
    port)`: see `Pool`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        bounds: Bounds,
        counters: Counters,
        *,
        received: Callable[[Flow, bytes], None],
        settled: Callable[[], None],
        lost: Callable[[Target, str], None],
        known: Callable[[str], bool] = lambda host: True,
        keep_alive_every: Callable[[str, int], float | None] = lambda host, port: None,
    ) -> None:
        self.loop = loop
        self._keep_alive_every = keep_alive_every
        self.bounds = bounds
        self._known = known
        self.counters = counters
        self.received = received
        self.settled = settled
        self.listeners: list[Listener] = []
        self._lost = lost
        self._by_number: dict[int, Connection] = {}
        self._by_peer: dict[tuple[str, str, int], Connection] = {}
        self._last_number = 0
        self._accepted: Counter[str] = Counter()
        """Connections that peers opened, by source address."""
        self._opened = 0
        self._unclosed: set[Connection] = set()
        """Every connection with a transport that the loop has not finished with."""
        self._none_left = asyncio.Event()
        """Set while there is none of these."""
        self._none_left.set()
        self._connecting: set[asyncio.Task[None]] = set()
        """One for each connection that is being opened; ends by itself in `connect_within`, or with `close`."""
        self._accepting: set[asyncio.Task[None]] = set()
        """One for each socket that becomes a connection; ends by itself after two turns of the loop."""
        self._alarm: asyncio.TimerHandle | None = None
        self.over = False
        """True from `close` on."""

    def __len__(self) -> int:
        return len(self._by_number)

    def listen(self, host: str, port: int) -> Listener:
        """Accept connections from now on. Raises TransportError."""
        listener = Listener(self.loop, host, port, self.bounds, self.counters, self._accept)
        self.listeners.append(listener)
        return listener

    def send(self, to: Target, data: bytes) -> None:
        """Over that connection, or over any to that peer, which is opened if there is none. On the path."""
        connection: Connection | None
        if isinstance(to, Flow) and to.connection:
            connection = self._by_number.get(to.connection)
            reason = connection.write(to, data) if connection else "closed"
        else:
            connection = self._by_peer.get(to.peer)
            reason = connection.write(to, data) if connection else self._open(to, data)
        if reason:
            self._lost(to, reason)

    def close(self) -> None:
        """Close everything; nobody is told. What was written may still leave, see `closed`."""
        self.over = True
        for task in self._connecting:
            task.cancel()
        for listener in self.listeners:
            listener.close()
        for connection in {*self._by_number.values(), *self._by_peer.values()}:
            connection.end("closed", flush=True, tell=False)
        if self._alarm is not None:
            self._alarm.cancel()

    async def closed(self) -> None:
        """Wait after `close` until the loop holds nothing of ours any more. What cannot leave at once is given up."""
        if tasks := self._connecting | self._accepting:
            await asyncio.wait(tasks)
        await asyncio.sleep(0)
        for connection in list(self._unclosed):
            if connection.transport is not None:
                connection.transport.abort()
        await self._none_left.wait()

    # What a connection calls.

    def opened(self, connection: Connection) -> None:
        """It exists: give it a number and a flow."""
        transport = connection.transport
        assert transport is not None
        self._unclosed.add(connection)
        self._none_left.clear()
        if self.over:
            connection.end("closed", tell=False)  # the loop had accepted it before `close`
            return
        try:
            local = transport.get_extra_info("socket").getsockname()
            peer = transport.get_extra_info("socket").getpeername()
        except OSError:
            connection.end("reset")  # gone again before we took it
            return
        target = connection.target
        if target is None:
            target = Target(TCP, peer[0], peer[1], sent_by(local[0], connection.port), local[0])
        else:
            self.counters.connections_opened += 1
        self._last_number += 1
        connection.flow = flow = Flow(
            target.transport, target.host, target.port, target.sent_by, target.local or local[0], self._last_number
        )
        self._by_number[flow.connection] = connection
        self._by_peer[flow.peer] = connection
        if self._alarm is None:
            self._alarm = self.loop.call_later(self.bounds.sweep_every, self._sweep)

    def ended(self, connection: Connection, reason: str, *, tell: bool) -> None:
        """It is gone: forget it, and say so to whom it concerns."""
        flow, target = connection.flow, connection.target
        if flow is not None:
            self.counters.connections_closed += 1
            del self._by_number[flow.connection]
        if target is not None:
            self._opened -= 1
        else:
            self._accepted[connection.source] -= 1
            if not self._accepted[connection.source]:
                del self._accepted[connection.source]
        known = flow or target
        if known is not None and self._by_peer.get(known.peer) is connection:
            del self._by_peer[known.peer]
        if not tell or self.over:
            return
        if flow is not None:
            self._lost(flow, reason)
        else:
            for waiting in connection.waiting:
                self._lost(waiting, reason)

    def keep_alive_every(self, host: str, port: int) -> float | None:
        """See `Pool`."""
        return self._keep_alive_every(host, port)

    def finished(self, connection: Connection) -> None:
        """The loop has closed its socket."""
        self._unclosed.discard(connection)
        if not self._unclosed:
            self._none_left.set()

    # Our own.

    def _accept(self, sock: socket.socket, host: str, port: int) -> None:
        """Take a connection that a peer opened through our listener at `port`, or refuse it."""
        bounds = self.bounds
        room = bounds.accepted - (0 if self._known(host) else bounds.accepted_kept_for_peers)
        if self._accepted.total() >= room or self._accepted[host] >= bounds.accepted_per_host:
            self.counters.connections_refused += 1
            sock.close()
            return
        self._accepted[host] += 1
        self.counters.connections_accepted += 1
        self._start(self._take(Connection(self, None, host, port), sock), self._accepting)

    async def _take(self, connection: Connection, sock: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()  # gone again before we took it
            connection.end("closed", tell=False)

    def _open(self, to: Target, data: bytes) -> str:
        """Begin a connection for these bytes. Returns "" or the reason why not."""
        if self.over:
            return "local: closed"
        if self._opened >= self.bounds.opened:
            self.counters.connections_refused += 1
            return "local: too many connections"
        if not is_address(to.host):
            return "local: not an IP address"  # and a name here would wait for DNS
        connection = Connection(self, to)
        if reason := connection.write(to, data):
            return reason
        self._opened += 1
        self._by_peer[to.peer] = connection
        self._start(self._connect(connection, to), self._connecting)
        return ""

    async def _connect(self, connection: Connection, to: Target) -> None:
        # From the address the peer knows us by; the port is the system's choice.
        source = (to.local, 0) if to.local else None
        try:
            async with asyncio.timeout(self.bounds.connect_within):
                await self.loop.create_connection(lambda: connection, to.host, to.port, local_addr=source)
        except OSError as error:  # TimeoutError is one
            if connection.flow is None:
                self.counters.connects_failed += 1
            connection.end(reason_of(error))

    def _start(self, work: Coroutine[object, object, None], among: set[asyncio.Task[None]]) -> None:
        task = self.loop.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self._by_number.values()):
            connection.sweep(now)
        more = self._by_number and not self.over
        self._alarm = self.loop.call_later(self.bounds.sweep_every, self._sweep) if more else None
