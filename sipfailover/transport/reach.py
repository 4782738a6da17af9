"""Whether somebody is there: a TCP connection is opened to a place and closed again, within a bound.

Accepted and refused are both an answer: a packet went there and another one came back. Everything else (no route, no
answer in time) is a reason in words. For references (`monitor.reference`), some a minute; off the path.
"""

import asyncio
import socket
from collections.abc import Callable

WITHIN = 2.0
"""Seconds that a place has to answer, as `trunk.REACHED_WITHIN`."""


class Reacher:
    """Asks places, one task each. `tell` hears host, port and why it cannot be reached (empty if it can).

    within: seconds. As many questions at a time as who asks allows (`config`: four places, one question each).
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, tell: Callable[[str, int, str], object], *, within: float = WITHIN
    ) -> None:
        self._loop = loop
        self._tell = tell
        self._within = within
        self._asking: set[asyncio.Task[None]] = set()

    def reach(self, host: str, port: int) -> None:
        """Ask an IP address and port. Never waits."""
        task = self._loop.create_task(self._ask(host, port))
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    async def _ask(self, host: str, port: int) -> None:
        self._tell(host, port, await self._try(host, port))

    async def _try(self, host: str, port: int) -> str:
        try:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            return _words(error)
        with sock:
            sock.setblocking(False)
            try:
                async with asyncio.timeout(self._within):
                    await self._loop.sock_connect(sock, (host, port))
            except ConnectionRefusedError:
                return ""
            except TimeoutError:
                return f"no answer within {self._within:g} s"
            except OSError as error:
                return _words(error)
        return ""

    def close(self) -> None:
        """Ask nobody any more; whoever is being asked is forgotten."""
        for task in self._asking:
            task.cancel()

    async def closed(self) -> None:
        """After `close`: when nothing of it is left."""
        await asyncio.gather(*self._asking, return_exceptions=True)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
