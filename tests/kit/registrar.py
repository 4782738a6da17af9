"""A carrier's registrar on a real UDP socket, written from the RFC and from nothing of ours; in this process or alone.

It keeps the bindings it was given, challenges where it has a password, and answers OPTIONS. As a program
(`python -m tests.kit.registrar HOST PORT BOOK`) it writes a JSON line for each REGISTER that it lets in.
"""

import asyncio
import json
import re
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TextIO, cast

from tests.kit.digest import Doorman

USER = b"u7"


@dataclass(frozen=True, slots=True)
class Registered:
    """A REGISTER that was let in. `at`: seconds, wall clock."""

    at: float
    source: str
    contact: str
    expires: int


class Registrar(asyncio.DatagramProtocol):
    """See the module. `password`: None asks for none; `grant`: seconds."""

    def __init__(
        self, password: bytes | None = None, grant: int = 60, told: Callable[[Registered], None] = lambda one: None
    ) -> None:
        self.doorman = None if password is None else Doorman(b"carrier", USER, password)
        self.grant = grant
        self.told = told
        self.silent = False
        self.let_in: list[Registered] = []
        self.bindings: dict[str, float] = {}
        """Contact → until when, wall clock."""
        self.pings: list[str] = []
        """Where keep-alives came from."""
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if self.silent or self._transport is None:
            return
        if not data.strip():
            self.pings.append(f"{addr[0]}:{addr[1]}")
            return
        lines = data.partition(b"\r\n\r\n")[0].split(b"\r\n")
        method = lines[0].partition(b" ")[0]
        if method not in (b"REGISTER", b"OPTIONS"):
            return
        head: dict[bytes, bytes] = {}
        for line in lines[1:]:
            name, _, value = line.partition(b":")
            head.setdefault(name.strip().lower(), value.strip())
        status, more = self._register(head, addr) if method == b"REGISTER" else (b"200 OK", [])
        via = head[b"via"].replace(b";rport", b";received=%b;rport=%d" % (addr[0].encode(), addr[1]))
        answer = [b"SIP/2.0 " + status, b"Via: " + via, b"To: " + head[b"to"] + b";tag=registrar"]
        answer += [b"%b: %b" % (name.title(), head[name]) for name in (b"from", b"call-id", b"cseq")]
        self._transport.sendto(b"\r\n".join([*answer, *more, b"Content-Length: 0", b"", b""]), addr)

    def _register(self, head: dict[bytes, bytes], addr: tuple[str, int]) -> tuple[bytes, list[bytes]]:
        if self.doorman is not None and self.doorman.verdict(head.get(b"authorization"), b"REGISTER") != "good":
            return b"401 Unauthorized", [b"WWW-Authenticate: " + self.doorman.challenge()]
        contact, expires = head[b"contact"].decode(), int(head[b"expires"])
        if contact == "*":
            self.bindings.clear()
        else:
            uri = re.sub(r".*<(.*)>.*", r"\1", contact)
            self.bindings.pop(uri, None)
            if expires:
                self.bindings[uri] = time.time() + self.grant
        one = Registered(time.time(), f"{addr[0]}:{addr[1]}", contact, expires)
        self.let_in.append(one)
        self.told(one)
        now = time.time()
        listed = [b"Contact: <%b>;expires=%d" % (uri.encode(), end - now) for uri, end in self.bindings.items()]
        return b"200 OK", listed


async def serve(host: str, port: str, book: TextIO) -> None:
    """Run until killed."""

    def told(one: Registered) -> None:
        book.write(json.dumps(asdict(one)) + "\n")

    loop = asyncio.get_running_loop()
    await loop.create_datagram_endpoint(lambda: Registrar(None, 60, told), local_addr=(host, int(port)))
    await asyncio.Event().wait()


if __name__ == "__main__":
    with open(sys.argv[3], "w", buffering=1) as written:
        asyncio.run(serve(sys.argv[1], sys.argv[2], written))
