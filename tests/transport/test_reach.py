"""Whether somebody is there, on loopback: accepted, refused, nobody; and the end."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sipfailover.transport import Reacher, reach
from tests.transport.ends import PATIENCE, closed_port

HOST = "127.0.0.1"


class Asked:
    """A reacher, and what it said."""

    def __init__(self, within: float = PATIENCE) -> None:
        self.said: asyncio.Queue[tuple[str, int, str]] = asyncio.Queue()
        self.reacher = Reacher(asyncio.get_running_loop(), lambda *said: self.said.put_nowait(said), within=within)

    async def reach(self, port: int, host: str = HOST) -> str:
        """Why it cannot be reached; empty if it can."""
        self.reacher.reach(host, port)
        async with asyncio.timeout(PATIENCE):
            said = await self.said.get()
        assert said[:2] == (host, port)
        return said[2]


@contextmanager
def listening(backlog: int, host: str = HOST) -> Iterator[int]:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as server:
        server.bind((host, 0))
        server.listen(backlog)
        yield server.getsockname()[1]


@pytest.mark.parametrize("host", [HOST, "::1"])
async def test_who_accepts_is_there(host: str) -> None:
    with listening(8, host) as port:
        assert await Asked().reach(port, host) == ""


async def test_who_refuses_is_there_too() -> None:
    assert await Asked().reach(closed_port(socket.SOCK_STREAM)) == ""


async def test_who_does_not_answer_in_time_is_not_there() -> None:
    with listening(0) as port:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:  # fill its queue: the kernel answers no further SYN
            sock.setblocking(False)
            sock.connect_ex((HOST, port))
        assert await Asked(within=0.2).reach(port) == "no answer within 0.2 s"
        for sock in waiting:
            sock.close()


async def test_a_way_that_does_not_exist_is_told_in_the_systems_words() -> None:
    """A multicast address takes no connection: the system says so at once."""
    assert await Asked().reach(9, "224.0.0.1") == "network is unreachable"


async def test_a_system_without_sockets_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Asked()

    class NoneLeft:
        AF_INET, SOCK_STREAM = socket.AF_INET, socket.SOCK_STREAM

        @staticmethod
        def socket(*_: object) -> socket.socket:
            raise OSError(24, "Too many open files")

    monkeypatch.setattr(reach, "socket", NoneLeft)
    assert await asked.reach(9) == "too many open files"


async def test_closing_forgets_who_is_being_asked() -> None:
    with listening(0) as port:
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex((HOST, port))
        asked = Asked()
        asked.reacher.reach(HOST, port)
        await asyncio.sleep(0)
        asked.reacher.close()
        async with asyncio.timeout(PATIENCE):
            await asked.reacher.closed()
        assert asked.said.empty()
        for sock in waiting:
            sock.close()
