"""What the tests of the transport hold in their hands: a pool that remembers what it was told, and peers."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from typing import Self

from sipfailover.config import Settings
from sipfailover.flow import UDP, Flow, Target
from sipfailover.transport import Bounds, Pool

PATIENCE = 5.0
"""Seconds until a test gives up waiting for something that takes milliseconds."""


def message(text: str = "hello") -> bytes:
    """A message that a stream can carry."""
    body = text.encode()
    return b"MESSAGE sip:a@b SIP/2.0\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


class End:
    """A pool, and everything it said."""

    def __init__(
        self,
        bounds: Bounds | None = None,
        settings: Settings | None = None,
        known: Callable[[str], bool] = lambda host: True,
        banned: Callable[[str], bool] = lambda host: False,
    ) -> None:
        self.said: list[tuple[str, str, dict[str, object]]] = []
        self.received: list[tuple[Flow, bytes]] = []
        self.lost: list[tuple[Target, str]] = []
        self.settled = 0
        self.on_received: Callable[[Flow, bytes], None] = lambda flow, data: None
        self.keep_alive_every: Callable[[str, int], float | None] = lambda host, port: None
        self._changed = asyncio.Event()
        self.pool = Pool(
            asyncio.get_running_loop(),
            received=self._received,
            lost=self._lost,
            settled=self._settled,
            known=known,
            banned=banned,
            keep_alive_every=lambda host, port: self.keep_alive_every(host, port),
            say=self._say,
            bounds=bounds,
        )
        if settings is not None:
            self.pool.tls.configure(settings, asyncio.get_running_loop().time())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.pool.close()
        async with asyncio.timeout(PATIENCE):
            await self.pool.closed()

    def _received(self, flow: Flow, data: bytes) -> None:
        self.received.append((flow, data))
        self._changed.set()
        self.on_received(flow, data)

    def _lost(self, where: Target, reason: str) -> None:
        self.lost.append((where, reason))
        self._changed.set()

    def _settled(self) -> None:
        self.settled += 1
        self._changed.set()

    def _say(self, level: str, text: str, values: dict[str, object]) -> None:
        self.said.append((level, text, values))
        self._changed.set()

    def listen(self, transport: str = UDP, host: str = "127.0.0.1") -> tuple[str, int]:
        """Listen on a free port. Returns where."""
        self.pool.listen(transport, host, 0)
        return next((host, port) for kind, at, port in reversed(self.pool.bound) if (kind, at) == (transport, host))

    def target(self, transport: str, host: str, port: int, line: str = "") -> Target:
        """A peer, with our name on the way to it. line: the trunk that it must prove to be."""
        named = self.pool.local_for(transport, host, port)
        assert isinstance(named, Target), named
        return replace(named, line=line)

    @property
    def data(self) -> list[bytes]:
        return [data for _, data in self.received]

    @property
    def flow(self) -> Flow:
        """The flow of what came last."""
        return self.received[-1][0]

    @property
    def reasons(self) -> list[str]:
        return [reason for _, reason in self.lost]

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until it is so; whatever the pool says is a reason to look again."""
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self._changed.clear()
                await self._changed.wait()

    async def came(self, count: int = 1) -> None:
        await self.until(lambda: len(self.received) >= count)

    async def were_lost(self, count: int = 1) -> None:
        await self.until(lambda: len(self.lost) >= count)


@contextmanager
def udp_peer(host: str = "127.0.0.1"):  # type: ignore[no-untyped-def]
    """A plain UDP socket. Loopback delivers inside of sendto, so reading from it does not wait."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        sock.settimeout(PATIENCE)
        yield sock


def closed_port(kind: socket.SocketKind = socket.SOCK_DGRAM, host: str = "127.0.0.1") -> int:
    """A port where nobody listens."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, kind) as sock:
        sock.bind((host, 0))
        port = sock.getsockname()[1]
        assert isinstance(port, int)
        return port


class StreamPeer:
    """The other end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        host, port = writer.get_extra_info("sockname")[:2]
        self.at: tuple[str, int] = (host, port)

    def say(self, data: bytes) -> None:
        self.writer.write(data)

    async def hears(self, count: int) -> bytes:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.readexactly(count)

    async def ends(self) -> bytes:
        """Wait until the other end closed or reset. Returns what it said before."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except (ConnectionError, ssl.SSLError):
                return b""

    def reset(self) -> None:
        """Break off without a goodbye."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError, ssl.SSLError):
            await self.writer.wait_closed()


@asynccontextmanager
async def connected(
    host: str, port: int, local: str | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[StreamPeer]:
    """A peer that connects to us."""
    source = (local, 0) if local else None
    peer = StreamPeer(*await asyncio.open_connection(host, port, local_addr=source, ssl=tls))
    try:
        yield peer
    finally:
        await peer.close()


@asynccontextmanager
async def alerting(tls: ssl.SSLContext) -> AsyncIterator[int]:
    """A peer that ends a failed handshake with an alert, as OpenSSL does by itself; asyncio's servers say nothing.
    Gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    sock, _ = listener.accept()
                except OSError:
                    return
                sock.settimeout(PATIENCE)
                with suppress(OSError), tls.wrap_socket(sock, server_side=True) as secure:
                    secure.recv(1000)
                sock.close()

        serving = asyncio.get_running_loop().run_in_executor(None, serve)
        try:
            port = listener.getsockname()[1]
            assert isinstance(port, int)
            yield port
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            await serving


class Server:
    """A peer to which we connect."""

    def __init__(self) -> None:
        self.peers: asyncio.Queue[StreamPeer] = asyncio.Queue()
        self.all: list[StreamPeer] = []
        self.port = 0
        self.over = False

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.over:
            writer.transport.abort()
            return
        self.all.append(StreamPeer(reader, writer))
        self.peers.put_nowait(self.all[-1])

    async def peer(self) -> StreamPeer:
        """The next connection that comes."""
        async with asyncio.timeout(PATIENCE):
            return await self.peers.get()


@asynccontextmanager
async def serving(host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    server = Server()
    listener = await asyncio.start_server(server._accept, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        server.over = True
        listener.close()
        for peer in server.all:
            await peer.close()
        await asyncio.sleep(0)
