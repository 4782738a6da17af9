"""All sockets of SIP together: what comes in goes up, what goes out finds its socket or connection.

Nothing here waits and nothing raises, except `listen` at the start. What cannot be delivered comes back as `lost`,
always in a later turn of the loop: whoever sends is in the middle of something.
"""

import asyncio
from collections.abc import Callable, Iterable

from sipfailover.config import SIPS_PORT, is_address
from sipfailover.flow import TLS, UDP, Flow, Target
from sipfailover.transport.bounds import Bounds, Counters
from sipfailover.transport.connections import Connections
from sipfailover.transport.door import Door
from sipfailover.transport.listener import Listener
from sipfailover.transport.naming import (
    family_of,
    is_loopback,
    is_wildcard,
    own_address,
    sent_by,
    shown,
)
from sipfailover.transport.sockets import reason_of
from sipfailover.transport.tls import Say, Tls
from sipfailover.transport.udp import UdpSocket, Way


class Pool:
    """The sockets of one process.

    `received(flow, data)` is called for each datagram and each whole message of a stream, `settled()` once after every
    batch of them. `lost(where, reason)` says that what was sent to `where` was not delivered, or perhaps not: the
    transport, host and port of `where` are the peer's. `settled()` follows these too.

    `known(host)`: whether a PBX or trunk is at this address, for which some of the connections are kept.
    `keep_alive_every(host, port)`: seconds of silence after which a connection to this peer is kept alive; 0 for never,
    None for what the bounds say. Asked at most once a sweep for each connection. `tls`: what we show and believe;
    configured by the owner. `banned(host)`: whether connections from a stranger's address are refused. `say`: one line
    for the operator's log.

    Reasons: `refused`, `reset`, `unreachable`, `timeout`, `closed`, `too big`, `buffer full`, `wedged`; with `local: `
    before them where the cause is on this machine: `local: no route`, `local: no udp socket for IPv6`, …; and where TLS
    failed, a word of `handshake`, a colon and a sentence for the administrator.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        received: Callable[[Flow, bytes], None],
        lost: Callable[[Target, str], None],
        settled: Callable[[], None],
        known: Callable[[str], bool] = lambda host: True,
        keep_alive_every: Callable[[str, int], float | None] = lambda host, port: None,
        banned: Callable[[str], bool] = lambda host: False,
        tls: Tls | None = None,
        say: Say = lambda level, text, values: None,
        bounds: Bounds | None = None,
    ) -> None:
        self.bounds = bounds or Bounds()
        self.counters = Counters()
        self._loop = loop
        self._received, self._lost, self._settled = received, lost, settled
        self._udp: list[UdpSocket] = []
        self._ways: dict[tuple[str, int, str, bytes], Way] = {}
        self._losses: list[tuple[Target, str]] = []
        """Bounded by what is sent in one turn of the loop, and by the peers and connections there are."""
        self.tls = tls or Tls(say)
        self._streams = Connections(
            loop,
            self.bounds,
            self.counters,
            received=received,
            settled=settled,
            lost=self._note_loss,
            tls=self.tls,
            known=known,
            keep_alive_every=keep_alive_every,
            banned=banned,
            say=say,
        )
        self._closed = False
        self.door = Door()
        self._dropped_before = 0

    def listen(self, transport: str, host: str, port: int) -> None:
        """Speak SIP on this address of ours; host is an IP address, `0.0.0.0` or `::` for all. Port 0 takes a free one.

        Bound when it returns; reading begins with the loop. Raises TransportError with a text for the administrator.
        """
        if transport == UDP:
            self._udp.append(
                UdpSocket(
                    self._loop,
                    host,
                    port,
                    self.bounds,
                    self.counters,
                    received=self._received,
                    settled=self._settled,
                    failed=self._failed,
                )
            )
            self._ways.clear()
        else:
            self._streams.listen(transport, host, port)

    @property
    def bound(self) -> tuple[tuple[str, str, int], ...]:
        """(transport, host, port) of everything we listen on, with the real port where 0 was asked for."""
        udp = tuple((UDP, sock.host, sock.port) for sock in self._udp)
        return udp + tuple((one.transport, one.host, one.port) for one in self._streams.listeners)

    @property
    def problem(self) -> str:
        """Why nobody new can connect to us now, for the operator; "" while all is well."""
        return next((f"nobody new can connect: {one.problem}" for one in self._streams.listeners if one.problem), "")

    @property
    def connections(self) -> int:
        """Stream connections that are open now."""
        return len(self._streams)

    @property
    def kernel_drops(self) -> int:
        """Datagrams that the kernel dropped since the start because we did not read fast enough. What it drops while
        the door is not wholly open counts as `shut_out`, and is that but for a few."""
        return self._dropped() - self.counters.shut_out

    def look(self, unwanted: int, known: Iterable[str], pests: Iterable[str] = ()) -> None:
        """Open or close the door, see `Door.look`. To be called some ten times a second."""
        door, was_open = self.door, self.door.share == 1.0
        changed = door.look(unwanted, known, pests, self._loop.time())
        dropped = self._dropped()
        if not was_open:
            self.counters.shut_out += dropped - self._dropped_before
        self._dropped_before = dropped
        if changed:
            for sock in self._udp:
                sock.shut(door)

    def _dropped(self) -> int:
        return sum(sock.kernel_drops for sock in self._udp)

    @property
    def behind(self) -> float:
        """Seconds for which there has been something left to read on some UDP socket: see `UdpSocket.behind`."""
        return max((sock.behind for sock in self._udp), default=0.0)

    @property
    def fill(self) -> tuple[tuple[str, int, int], ...]:
        """(name in `Bounds`, how many there are, how many there may be) of what is kept here."""
        flows = max((sock.remembered for sock in self._udp), default=0)
        own = (("flows", flows, self.bounds.flows), ("ways", len(self._ways), self.bounds.ways))
        return own + self._streams.fill

    @property
    def receive_buffer(self) -> int:
        """Bytes the kernel grants the smallest UDP socket for what we have not read yet; 0 without any."""
        return min((sock.receive_buffer for sock in self._udp), default=0)

    def send(self, to: Target, data: bytes) -> None:
        """Give these bytes to a peer now. On the path: never waits, never raises, never calls back from inside.

        To a `Flow` of a stream: that very connection. To a `Target` of a stream: any connection to that peer, which is
        opened if there is none. UDP: from the socket that fits `to.local` and the port of `to.sent_by` best.
        """
        if to.transport == UDP:
            way = self._ways.get((to.host, to.port, to.local, to.sent_by))
            reason = way.socket.send(way, data) if way else self._send_first(to, data)
            if reason:
                self._note_loss(to, reason)
        else:
            self._streams.send(to, data)

    def drop(self, to: Target) -> None:
        """End that connection (`Flow`), or the one to that peer: it is open, and nothing answers over it. The reason is
        `wedged`, and the next message opens a new one. UDP has none, and nothing happens."""
        if to.transport != UDP:
            self._streams.drop(to, "wedged")

    def local_for(self, transport: str, host: str, port: int, public: str = "") -> Target | str:
        """This peer as a target, with our own name on the path to it; or in words why we cannot reach it.

        `public` is the host that goes into `sent_by` instead of our address; the port is that of the listener. A
        question to the routing table: nothing is sent. Without a TLS listener the port is 5061, where nobody listens:
        answers and requests come back over the connection that we open (RFC 3261 §18.2.2, RFC 5626 §5.3).
        """
        streams = [listener for listener in self._streams.listeners if listener.transport == transport]
        ours: list[UdpSocket] | list[Listener] = self._udp if transport == UDP else streams
        family = family_of(host)
        fitting = [listener for listener in ours if family_of(listener.host) == family]
        if not fitting and transport != TLS:
            return f"no {transport} listener for {family}"
        try:
            own = own_address(host, port)
        except OSError as error:
            return f"{reason_of(error).removeprefix('local: ')} to {shown(host, port)}"
        if not fitting:
            return Target(transport, host, port, sent_by(public or own, SIPS_PORT), own)

        def unfit(listener: UdpSocket | Listener) -> tuple[bool, bool, bool]:
            return (
                listener.host != own,
                not is_wildcard(listener.host),
                is_loopback(listener.host) != is_loopback(host),
            )

        best = min(fitting, key=unfit)
        local = own if is_wildcard(best.host) else best.host
        return Target(transport, host, port, sent_by(public or local, best.port), local)

    def close(self) -> None:
        """Close every socket. Nothing is called back any more. Let the loop run on until `closed` returns."""
        self._closed = True
        for sock in self._udp:
            sock.close()
        self._streams.close()
        self._ways.clear()
        self._losses.clear()

    async def closed(self) -> None:
        """Wait after `close` until the loop holds nothing of ours any more: a few turns."""
        await self._streams.closed()

    # Our own.

    def _send_first(self, to: Target, data: bytes) -> str:
        """Find the way to this target, remember it and send. Returns "" or the reason why nothing left."""
        if not is_address(to.host):
            return "local: not an IP address"  # and sendto would wait for DNS
        family = family_of(to.host)
        fitting = [sock for sock in self._udp if family_of(sock.host) == family]
        if not fitting:
            return "local: closed" if self._closed else f"local: no udp socket for {family}"

        def unfit(sock: UdpSocket) -> tuple[bool, bool, bool]:
            ports_differ = not to.sent_by.endswith(b":%d" % sock.port)
            return (sock.host != to.local, not sock.wildcard, ports_differ)

        if len(self._ways) >= self.bounds.ways:
            self._ways.clear()
        sock = min(fitting, key=unfit)
        way = self._ways[to.host, to.port, to.local, to.sent_by] = Way(sock, to)
        return sock.send(way, data)

    def _failed(self, host: str, port: int, reason: str) -> None:
        """An ICMP error about this UDP peer, believed if we sent there lately: see `UdpSocket._read_errors`."""
        ways = [way for way in self._ways.values() if way.target.port == port and way.target.host == host]
        latest = max(ways, key=lambda way: way.sent_at, default=None)
        if latest is None or self._loop.time() - latest.sent_at > self.bounds.icmp_believed_for:
            self.counters.icmp_ignored += 1
            return
        self._note_loss(latest.target, reason)

    def _note_loss(self, where: Target, reason: str) -> None:
        if self._closed:
            return
        if not self._losses:
            self._loop.call_soon(self._tell_losses)
        self._losses.append((where, reason))

    def _tell_losses(self) -> None:
        losses, self._losses = self._losses, []
        try:
            for where, reason in losses:
                if not self._closed:
                    self._lost(where, reason)
        finally:
            if losses and not self._closed:
                self._settled()
