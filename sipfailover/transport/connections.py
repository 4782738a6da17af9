"""All stream connections: accepting, opening, finding again, bounds, and the one clock that sweeps over them.

A connection is found by its number (a `Flow`: answers go back over it, RFC 3261 §18.2.2) or by its peer (a `Target`:
a request to somebody who is connected already takes that connection, whoever opened it, §18.1.1). With TLS the peer
includes who it has proved to be: a request for a trunk never takes a connection of somebody else (RFC 5923 §3).
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Coroutine

from sipfailover.certificate import Certificate
from sipfailover.config import is_address
from sipfailover.flow import TLS, Flow, PeerKey, Target
from sipfailover.transport import handshake
from sipfailover.transport.bounds import Bounds, Counters
from sipfailover.transport.listener import Listener
from sipfailover.transport.naming import sent_by
from sipfailover.transport.opening import Opening, shown_by
from sipfailover.transport.sockets import reason_of
from sipfailover.transport.stream import Connection
from sipfailover.transport.tls import Say, Tls

FAILURES_TOLD_MAX = 64
"""Addresses of PBXs and trunks of whose failed handshakes the log has told; each once until one succeeds. Further ones
are only counted."""


class _Misnamed(Exception):
    """A peer proved to be somebody else. Its text is the reason."""


class Connections:
    """`received` gets each whole message, `settled` follows each batch of them.

    `lost(where, reason)` tells what was or may be lost; it is called from anywhere, so it must only take a note.
    `known(host)` says whether a PBX or trunk is at this address: some room is kept for these. `keep_alive_every(host,
    port)` and `banned`: see `Pool`. `say` writes into the operator's log.
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
        tls: Tls,
        known: Callable[[str], bool] = lambda host: True,
        keep_alive_every: Callable[[str, int], float | None] = lambda host, port: None,
        banned: Callable[[str], bool] = lambda host: False,
        say: Say = lambda level, text, values: None,
    ) -> None:
        self.loop = loop
        self._keep_alive_every = keep_alive_every
        self.bounds = bounds
        self._known = known
        self._banned = banned
        self._say = say
        self._tls = tls
        self._opening = Opening(loop, bounds, tls)
        self.counters = counters
        self.received = received
        self.settled = settled
        self.listeners: list[Listener] = []
        self._lost = lost
        self._by_number: dict[int, Connection] = {}
        self._by_peer: dict[PeerKey, Connection] = {}
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
        self._handshakes: set[asyncio.Task[None]] = set()
        """The same with TLS; ends by itself in `handshake_within`, or with `close`."""
        self._told: set[str] = set()
        """See FAILURES_TOLD_MAX."""
        self._alarm: asyncio.TimerHandle | None = None
        self.over = False
        """True from `close` on."""

    def __len__(self) -> int:
        return len(self._by_number)

    @property
    def fill(self) -> tuple[tuple[str, int, int], ...]:
        """(name in `Bounds`, how many there are, how many there may be)."""
        bounds = self.bounds
        return (
            ("accepted", self._accepted.total(), bounds.accepted),
            ("accepted_per_host", max(self._accepted.values(), default=0), bounds.accepted_per_host),
            ("handshakes", len(self._handshakes), bounds.handshakes),
            ("opened", self._opened, bounds.opened),
        )

    def listen(self, transport: str, host: str, port: int) -> Listener:
        """Accept connections from now on. Raises TransportError."""
        listener = Listener(self.loop, transport, host, port, self.bounds, self.counters, self._accept, self._say)
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

    def drop(self, to: Target, reason: str) -> None:
        """End that connection, or the one to that peer; whoever waits for something there is told. Harmless if there is
        none."""
        flow = isinstance(to, Flow) and to.connection
        connection = self._by_number.get(flow) if flow else self._by_peer.get(to.peer)
        if connection is not None and connection.flow is not None:
            self.counters.wedged += 1
            text = f"the connection to {connection.flow} is closed: requests in a row had no answer over it"
            self._say("warning", text, {})
            connection.end(reason)

    def close(self) -> None:
        """Close everything; nobody is told. What was written may still leave, see `closed`."""
        self.over = True
        for task in self._connecting | self._handshakes:
            task.cancel()
        for listener in self.listeners:
            listener.close()
        for connection in {*self._by_number.values(), *self._by_peer.values()}:
            connection.end("closed", flush=True, tell=False)
        if self._alarm is not None:
            self._alarm.cancel()

    async def closed(self) -> None:
        """Wait after `close` until the loop holds nothing of ours any more. What cannot leave at once is given up."""
        if tasks := self._connecting | self._accepting | self._handshakes:
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
        line = ""
        if connection.kind == TLS:
            try:
                line = self._identify(connection, peer[0])
            except _Misnamed as error:
                self.counters.connects_failed += 1
                connection.end(str(error))
                return
        target = connection.target
        if target is None:
            target = Target(connection.kind, peer[0], peer[1], sent_by(local[0], connection.port), local[0])
        else:
            self.counters.connections_opened += 1
        self._last_number += 1
        connection.flow = flow = Flow(
            target.transport, target.host, target.port, target.sent_by, target.local or local[0], self._last_number,
            line=line,
        )  # fmt: skip
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

    def idle_close_after(self, connection: Connection) -> float:
        """Strangers get less, see `Bounds`; who has shown a certificate that we know is none."""
        flow, bounds = connection.flow, self.bounds
        stranger = connection.target is None and flow is not None and not flow.line and not self._known(flow.host)
        return bounds.stranger_idle_close_after if stranger else bounds.idle_close_after

    def why(self, connection: Connection, error: OSError | None) -> str:
        """The reason for an end that the loop told; None is an orderly one."""
        target = connection.target
        if isinstance(error, ssl.SSLError):
            said = error.reason or "EOF"
            if target is not None and "EOF" not in said:
                return handshake.alerted(error, self._tls.wanted(target.line, target.port))
            error = None  # without the goodbye of TLS, as many do
        reason = reason_of(error)
        if connection.kind != TLS or target is None or connection.heard or reason not in ("closed", "reset"):
            return reason
        # With TLS 1.3 the handshake is over for us before the peer has seen whether it likes our certificate.
        return handshake.broken_off(self._tls.wanted(target.line, target.port))

    def finished(self, connection: Connection) -> None:
        """The loop has closed its socket."""
        self._unclosed.discard(connection)
        if not self._unclosed:
            self._none_left.set()

    # Our own.

    def _identify(self, connection: Connection, host: str) -> str:
        """Who the peer of a TLS connection has proved to be: the name of a trunk or PBX, "" for a stranger.

        Raises _Misnamed if we connected, and it is not whom we wanted.
        """
        assert connection.transport is not None
        target = connection.target
        try:
            shown = shown_by(connection.transport)
        except ValueError as error:
            if target is None:
                return ""
            raise _Misnamed(f"{handshake.INVALID}: {error}") from error
        if target is not None:
            assert shown is not None
            self._tls.saw(target.line, shown)
            wanted = self._tls.wanted(target.line, target.port)
            if not any(map(shown.proves, wanted.names)):
                raise _Misnamed(handshake.misnamed(shown, wanted))
            return target.line
        return self._recognised(shown, host) if shown is not None else ""

    def _recognised(self, shown: Certificate, host: str) -> str:
        """Who a peer is that connected to us from `host`, by its verified certificate."""
        found = self._tls.recognised(shown)
        # Two accounts at one carrier have one name; then the address decides, if it is known.
        line = found[0] if len(found) == 1 or (found and not self._known(host)) else ""
        if line:
            self._tls.saw(line, shown)
        return line

    def _accept(self, sock: socket.socket, host: str, listener: Listener) -> None:
        """Take a connection that a peer opened through this listener of ours, or refuse it."""
        bounds, secure, known = self.bounds, listener.transport == TLS, self._known(host)
        room = bounds.accepted - (0 if known else bounds.accepted_kept_for_peers)
        busy = secure and not known and len(self._handshakes) >= bounds.handshakes
        context = self._tls.server(self.loop.time()) if secure else None
        if (
            self._accepted.total() >= room
            or self._accepted[host] >= bounds.accepted_per_host
            or busy
            or (not known and self._banned(host))
            or (secure and context is None)
        ):
            self.counters.connections_refused += 1
            sock.close()
            return
        self._accepted[host] += 1
        self.counters.connections_accepted += 1
        connection = Connection(self, None, host, listener.port, listener.transport)
        if context is None:
            self._start(self._take(connection, sock), self._accepting)
        else:
            task = self._start(self._take_secure(connection, sock, context), self._handshakes)
            # `close` may end it before its first step, and then nobody else has the socket.
            task.add_done_callback(lambda done: sock.close() if done.cancelled() else None)

    async def _take(self, connection: Connection, sock: socket.socket) -> None:
        try:
            await self.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()  # gone again before we took it
            connection.end("closed", tell=False)

    async def _take_secure(self, connection: Connection, sock: socket.socket, context: ssl.SSLContext) -> None:
        host = connection.source
        try:
            await self.loop.connect_accepted_socket(
                lambda: connection,
                sock,
                ssl=context,
                ssl_handshake_timeout=self.bounds.handshake_within,
                ssl_shutdown_timeout=self.bounds.shutdown_within,
            )
        except OSError as error:  # ssl.SSLError is one
            sock.close()
            self.counters.handshakes_failed += 1
            if self._known(host) and host not in self._told and len(self._told) < FAILURES_TOLD_MAX:
                self._told.add(host)
                self._say("warning", f"{host} cannot connect with tls", {"why": handshake.unwelcome(error)})
            connection.end("closed", tell=False)
        else:
            self._told.discard(host)

    def _open(self, to: Target, data: bytes) -> str:
        """Begin a connection for these bytes. Returns "" or the reason why not."""
        if self.over:
            return "local: closed"
        if self._opened >= self.bounds.opened:
            self.counters.connections_refused += 1
            return "local: too many connections"
        if not is_address(to.host):
            return "local: not an IP address"  # and a name here would wait for DNS
        if reason := self._opening.obstacle(to):
            return reason
        connection = Connection(self, to)
        if reason := connection.write(to, data):
            return reason
        self._opened += 1
        self._by_peer[to.peer] = connection
        self._start(self._connect(connection, to), self._connecting)
        return ""

    async def _connect(self, connection: Connection, to: Target) -> None:
        if reason := await self._opening.open(lambda: connection, to):
            if connection.flow is None:
                self.counters.connects_failed += 1
            connection.end(reason)

    def _start(self, work: Coroutine[object, object, None], among: set[asyncio.Task[None]]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        among.add(task)
        task.add_done_callback(among.discard)
        return task

    def _sweep(self) -> None:
        now = self.loop.time()
        for connection in list(self._by_number.values()):
            connection.sweep(now)
        more = self._by_number and not self.over
        self._alarm = self.loop.call_later(self.bounds.sweep_every, self._sweep) if more else None
