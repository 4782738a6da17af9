"""A name server on loopback that says what a test wrote down, or fails as a test wants."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset

from sipfailover.config import Address
from tests.transport.ends import PATIENCE

Key = tuple[str, str]


class NameServer(asyncio.DatagramProtocol):
    """`zone` has the records by (name, type); a name without any is unknown (NXDOMAIN)."""

    def __init__(self) -> None:
        self.zone: dict[Key, list[str]] = {}
        self.ttl = 300
        self.silent: set[str | Key] = set()
        """Questions that get no answer at all: types, or (name, type)."""
        self.failing: set[str | Key] = set()
        """Questions that are answered SERVFAIL."""
        self.asked: list[Key] = []
        self._changed = asyncio.Event()
        self._transport: asyncio.DatagramTransport | None = None

    async def was_asked(self, count: int) -> None:
        """Wait until it got this many questions in all."""
        async with asyncio.timeout(PATIENCE):
            while len(self.asked) < count:
                self._changed.clear()
                await self._changed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        query = dns.message.from_wire(data)
        question = query.question[0]
        name = question.name.to_text(omit_final_dot=True)
        kind = dns.rdatatype.to_text(question.rdtype)
        self.asked.append((name, kind))
        self._changed.set()
        if {kind, (name, kind)} & self.silent:
            return
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.RA
        if {kind, (name, kind)} & self.failing:
            answer.set_rcode(dns.rcode.SERVFAIL)
        elif records := self.zone.get((name, kind)):
            answer.answer.append(dns.rrset.from_text(question.name, self.ttl, "IN", kind, *records))
        elif not any(known == name for known, _ in self.zone):
            answer.set_rcode(dns.rcode.NXDOMAIN)
        assert self._transport is not None
        self._transport.sendto(answer.to_wire(), addr)


@asynccontextmanager
async def name_server() -> AsyncIterator[tuple[NameServer, Address]]:
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(NameServer, local_addr=("127.0.0.1", 0))
    host, port = transport.get_extra_info("sockname")
    try:
        yield server, Address(host, port)
    finally:
        transport.close()
        await asyncio.sleep(0)
