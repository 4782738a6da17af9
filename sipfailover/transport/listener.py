"""A listener: one address and port of ours where peers open stream connections. Whom we take, `connections` says."""

import asyncio
import socket
from collections.abc import Callable

from sipfailover.transport.bounds import Bounds, Counters
from sipfailover.transport.sockets import listening
from sipfailover.transport.tls import Say

ACCEPTS_AT_ONCE = 64
"""Connections taken in one turn of the loop; the others wait in the backlog, and timers and sockets have their turn."""

ACCEPT_AGAIN_AFTER = 0.5
"""Seconds. When the system has no descriptor left, the peers wait in the backlog this long, instead of the loop trying
without pause. Who was waiting is accepted late."""

ACCEPT_TOLD_EVERY = 60.0
"""Seconds between two lines in the log about it."""


class Listener:
    """One address and port where we accept connections. The constructor raises TransportError (see `listening`).

    It accepts by itself: `asyncio.Server.close` loses a connection that was accepted and has no transport yet, and
    with a socket of its own a peer over the bounds is refused before it costs one.
    """

    __slots__ = ("_accepted", "_alarm", "_counters", "_loop", "_over", "_say", "_sock", "_told_at", "host",
                 "port", "problem", "transport")  # fmt: skip

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: str,
        host: str,
        port: int,
        bounds: Bounds,
        counters: Counters,
        accepted: Callable[[socket.socket, str, "Listener"], None],
        say: Say,
    ) -> None:
        self._sock = listening(transport, host, port, bounds)
        self.transport = transport
        self.host = host
        self.port: int = self._sock.getsockname()[1]
        self._loop = loop
        self._accepted = accepted
        self._counters = counters
        self._alarm: asyncio.TimerHandle | None = None
        self._over = False
        self._say, self._told_at = say, float("-inf")
        self.problem = ""
        """Why nobody can be accepted now, in the system's words; "" while all is well."""
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
            except OSError as error:
                self._counters.accepts_failed += 1
                self.problem = error.strerror or str(error)
                self._tell()
                self._loop.remove_reader(self._sock.fileno())
                self._alarm = self._loop.call_later(ACCEPT_AGAIN_AFTER, self._accept_again)
                return
            self.problem = ""
            sock.setblocking(False)
            self._accepted(sock, host, self)

    def _tell(self) -> None:
        now = self._loop.time()
        if now - self._told_at >= ACCEPT_TOLD_EVERY:
            self._told_at = now
            where = f"{self.transport} {self.host}:{self.port}"
            self._say("error", "nobody new can connect; calls go on", {"listen": where, "why": self.problem})

    def _accept_again(self) -> None:
        self.problem = ""  # found out at once: who waits makes the socket readable
        self._loop.add_reader(self._sock.fileno(), self._accept)
