"""A simulated user agent behind a real UDP socket: the asyncio shell of `Phone` and `Carrier`, for the demo.

Everything happens in callbacks of the loop: a datagram in, a clock that rings, what wants to leave. No task, no wait.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import TypeVar

from sipfailover.errors import TransportError
from sipfailover.simulator.carrier import Carrier, Mode
from sipfailover.simulator.text import Peer
from sipfailover.simulator.useragent import UserAgent

Told = TypeVar("Told")

LARGEST = 65_535


def bound(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """A UDP socket at this address; port 0 takes a free one. Raises TransportError."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise TransportError(f"udp {host}:{port}", "listen on", str(error)) from error
    sock.setblocking(False)
    return sock


def address_of(sock: socket.socket) -> Peer:
    """Where a socket listens."""
    host, port = sock.getsockname()
    return host, port


class Plug:
    """Joins an agent to a socket. Close it at the end."""

    def __init__(self, agent: UserAgent, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        self.agent = agent
        self._loop = loop
        self._sock: socket.socket | None = sock
        self._alarm: asyncio.TimerHandle | None = None
        loop.add_reader(sock, self._readable)

    def flush(self) -> None:
        """Send what the agent wants to send, and plan when to wake it."""
        for to, data in self.agent.take():
            if self._sock:
                try:
                    self._sock.sendto(data, to)
                except OSError:
                    continue  # as if lost on the way: the agent will say it again
        if self._alarm:
            self._alarm.cancel()
        due = self.agent.deadline()
        self._alarm = None if due is None else self._loop.call_at(due, self._wake)

    def tell(self, do: Callable[[], Told]) -> Told:
        """Have the agent do something now: call, hang up."""
        self.agent.now = self._loop.time()
        told = do()
        self.flush()
        return told

    def become(self, mode: Mode) -> None:
        """Change the mode of a carrier. DEAD closes its port, so that the kernel says so to everybody who asks."""
        agent = self.agent
        assert isinstance(agent, Carrier)
        if mode is Mode.DEAD:
            self._unplug()
        elif self._sock is None:
            self._sock = bound(*agent.at)
            self._loop.add_reader(self._sock, self._readable)
        agent.become(mode, self._loop.time())
        self.flush()

    def close(self) -> None:
        """Close the socket and forget the clocks."""
        self._unplug()
        if self._alarm:
            self._alarm.cancel()

    def _unplug(self) -> None:
        if self._sock:
            self._loop.remove_reader(self._sock)
            self._sock.close()
            self._sock = None

    def _readable(self) -> None:
        for _ in range(64):
            if self._sock is None:
                break
            try:
                data, source = self._sock.recvfrom(LARGEST)
            except OSError:
                break  # nothing more, or an ICMP error that belongs to an earlier datagram
            self.agent.receive(source, data, self._loop.time())
        self.flush()

    def _wake(self) -> None:
        self.agent.wake(self._loop.time())
        self.flush()
