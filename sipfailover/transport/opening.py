"""Opening a stream connection to a peer: TCP, then the TLS handshake, and why it came to nothing.

When a certificate is refused, OpenSSL says that and no more. So that people learn whose it was, who signed it and when
it ran out, a second connection looks at it, says nothing over it, and is gone (`Bounds.look_within`).
"""

import asyncio
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

from sipfailover.certificate import Certificate
from sipfailover.flow import TLS, PeerKey, Target
from sipfailover.transport import handshake
from sipfailover.transport.bounds import Bounds
from sipfailover.transport.sockets import reason_of
from sipfailover.transport.tls import Tls, looking_context

LOOKS_MAX = 128
"""Peers of which a second look is remembered. When it is full all are forgotten, and looked at again."""


class Opening:
    """Opens connections for `connections`, which counts and bounds them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, bounds: Bounds, tls: Tls) -> None:
        self._loop = loop
        self._bounds = bounds
        self._tls = tls
        self._looking = looking_context()
        self._looks: dict[PeerKey, tuple[float, Certificate | None]] = {}
        """Until when it is believed, and what was seen."""

    def obstacle(self, to: Target) -> str:
        """Why no connection to there can be tried, "" if it can."""
        if to.transport != TLS:
            return ""
        context = self._tls.client(to.line, self._loop.time())
        return context if isinstance(context, str) else ""

    async def open(self, protocol: Callable[[], asyncio.Protocol], to: Target) -> str:
        """Open it. Returns "" or the reason why not; a protocol that was told of its connection may end it itself."""
        if to.transport != TLS:
            return await self._open_tcp(protocol, to)
        context = self._tls.client(to.line, self._loop.time())
        if isinstance(context, str):
            return context
        connected = False
        try:
            async with asyncio.timeout(self._bounds.connect_within):
                sock = await self._connect(to)
                connected = True
                await self._shake_hands(protocol, to, sock, context)
        except OSError as error:  # TimeoutError and ssl.SSLError are some
            if not connected:
                return reason_of(error)
            seen = await self._look(to) if isinstance(error, ssl.SSLCertVerificationError) else None
            return handshake.refused(error, self._tls.wanted(to.line, to.port), seen, datetime.now(UTC))
        return ""

    async def _open_tcp(self, protocol: Callable[[], asyncio.Protocol], to: Target) -> str:
        # From the address the peer knows us by; the port is the system's choice.
        source = (to.local, 0) if to.local else None
        try:
            async with asyncio.timeout(self._bounds.connect_within):
                await self._loop.create_connection(protocol, to.host, to.port, local_addr=source)
        except OSError as error:  # TimeoutError is one
            return reason_of(error)
        return ""

    async def _connect(self, to: Target) -> socket.socket:
        """TCP alone, so that its failures are told apart from those of TLS."""
        sock = socket.socket(socket.AF_INET6 if ":" in to.host else socket.AF_INET, socket.SOCK_STREAM)
        try:
            sock.setblocking(False)
            if to.local:
                sock.bind((to.local, 0))
            await self._loop.sock_connect(sock, (to.host, to.port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def _shake_hands(
        self, protocol: Callable[[], asyncio.BaseProtocol], to: Target, sock: socket.socket, context: ssl.SSLContext
    ) -> asyncio.Transport:
        transport, _ = await self._loop.create_connection(
            protocol,
            sock=sock,
            ssl=context,
            server_hostname=self._tls.wanted(to.line, to.port).names[0],  # of an address ssl makes no SNI
            ssl_handshake_timeout=self._bounds.connect_within,
            ssl_shutdown_timeout=self._bounds.shutdown_within,
        )
        return transport

    async def _look(self, to: Target) -> Certificate | None:
        """The certificate that this peer shows, unverified; None if it cannot be had quickly."""
        now = self._loop.time()
        until, seen = self._looks.get(to.peer, (0.0, None))
        if now < until:
            return seen
        seen = None
        with suppress(OSError, ValueError):
            async with asyncio.timeout(self._bounds.look_within):
                transport = await self._shake_hands(asyncio.Protocol, to, await self._connect(to), self._looking)
                seen = shown_by(transport)
                transport.abort()
        if len(self._looks) >= LOOKS_MAX:
            self._looks.clear()
        self._looks[to.peer] = (now + self._bounds.look_every, seen)
        if seen is not None:
            self._tls.saw(to.line, seen)
        return seen


def shown_by(transport: asyncio.BaseTransport) -> Certificate | None:
    """The certificate that the peer of a TLS connection showed, None if it showed none. Raises ValueError for one that
    OpenSSL accepts and we cannot read."""
    secure: ssl.SSLObject = transport.get_extra_info("ssl_object")
    der = secure.getpeercert(True)
    return Certificate.parse(der) if der else None
