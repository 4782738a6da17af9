"""From a name to addresses and ports: RFC 3263 §4.2 (SRV, then A and AAAA), RFC 2782 (priority and weight).

NAPTR (§4.1) is left out: the administrator writes the transport. DNS is asked by dnspython; `/etc/hosts` comes first,
because names of containers and of small offices stand there and nowhere else.
"""

import asyncio
import socket
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.rdtypes.IN.SRV import SRV

from sipfailover.chance import Chance
from sipfailover.config import SIP_PORT, SIPS_PORT, Address, is_address
from sipfailover.errors import TransportError

HOSTS_FILE = Path("/etc/hosts")

LOOKUP_WITHIN = 6.0
"""Seconds for one question to DNS, all servers and repetitions together. Nobody waits for it but the resolver."""

MAX_ADDRESSES = 32
"""Addresses kept of one name. Further ones are ignored: no carrier has more, and each would be tried."""

MAX_HOSTS_BYTES = 1024 * 1024
"""Of the hosts file. What stands after them is not seen."""

FOR_EVER = 86_400.0
"""Seconds. The time to live of what stands in the hosts file; the resolver's own bounds make it shorter."""


class Found(NamedTuple):
    """Where a name leads: hosts (IP addresses) and ports, best first, and for how many seconds that holds."""

    addresses: tuple[Address, ...]
    ttl: float


class Lookup:
    """Looks names up. `nameservers`: None takes the system's, read anew for each look-up, because DHCP changes them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        chance: Chance,
        nameservers: Sequence[Address] | None = None,
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._nameservers = nameservers
        self._hosts_file = hosts_file

    async def find(self, host: str, port: int | None, transport: str, known: bool) -> Found:
        """The addresses of a name, IPv4 before IPv6 of the same server.

        A port turns SRV off (RFC 3263 §4.2). `known`: whether there is an earlier answer to live on. Raises
        TransportError with what DNS said, in words.
        """
        default = SIPS_PORT if transport == "tls" else SIP_PORT
        if port is not None or self._in_hosts(host):
            return await self._find_host(host, port or default)
        service = f"_sips._tcp.{host}" if transport == "tls" else f"_sip._{transport}.{host}"
        try:
            records, ttl = await self._ask(service, "SRV")
        except TransportError:
            if known:
                raise
            # Some small routers' DNS cannot do SRV at all. Without an earlier answer a guess is better than nothing.
            records, ttl = [], 0.0
        if not records:
            return await self._find_host(host, default)
        services = [record for record in records if isinstance(record, SRV)]
        if [str(record.target) for record in services] == ["."]:
            raise TransportError(host, "look up", f"DNS says that it offers no SIP over {transport} (SRV '.')")
        return await self._find_services(services, ttl)

    async def _find_services(self, services: list[SRV], ttl: float) -> Found:
        """The addresses of all servers in their order. One whose name has none is left out, as §4.2 wants."""
        addresses: list[Address] = []
        problem: TransportError | None = None
        for service in by_weight(services, self._chance):
            name = str(service.target).removesuffix(".")
            try:
                found = await self._find_host(name, service.port)
            except TransportError as error:
                problem = problem or error
                continue
            addresses.extend(found.addresses)
            ttl = min(ttl, found.ttl)
        if not addresses and problem:
            raise problem
        # A server that could not be looked up now should come back soon.
        return Found(tuple(dict.fromkeys(addresses))[:MAX_ADDRESSES], 0.0 if problem else ttl)

    async def _find_host(self, host: str, port: int) -> Found:
        """A and AAAA of one host. Raises TransportError if there is neither."""
        if written := self._in_hosts(host):
            return Found(tuple(Address(address, port) for address in written), FOR_EVER)
        answers = await asyncio.gather(self._ask(host, "A"), self._ask(host, "AAAA"), return_exceptions=True)
        hosts: list[str] = []
        ttls: list[float] = []
        problem: TransportError | None = None
        for answer in answers:
            if isinstance(answer, TransportError):
                problem = problem or answer
            elif isinstance(answer, BaseException):
                raise answer
            elif answer[0]:
                hosts.extend(str(record) for record in answer[0])
                ttls.append(answer[1])
        if hosts:
            return Found(tuple(Address(found, port) for found in hosts[:MAX_ADDRESSES]), min(ttls))
        if problem:
            raise problem
        # DNS works and does not know it: the system may have other sources (multicast DNS, containers).
        hosts = _in_order(await ask_system(self._loop, host))
        if not hosts:
            raise TransportError(host, "look up", "DNS knows no address of that name")
        return Found(tuple(Address(found, port) for found in hosts), 0.0)

    async def _ask(self, name: str, kind: str) -> tuple[list[object], float]:
        """The records and for how many seconds they hold; none if DNS says so. Raises TransportError."""
        try:
            answer = await self._resolver().resolve(name, kind, lifetime=LOOKUP_WITHIN, search="." not in name)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer, dns.resolver.NoResolverConfiguration):
            return [], 0.0
        except dns.exception.Timeout as error:
            raise TransportError(name, "look up", "DNS does not answer") from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise TransportError(name, "look up", f"DNS has no answer: {said}") from error
        return list(answer), float(answer.chaining_result.minimum_ttl)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._nameservers is None:
            return dns.asyncresolver.Resolver()
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in self._nameservers]
        return resolver

    def _in_hosts(self, host: str) -> list[str]:
        """The addresses that the hosts file gives to a name. A file that cannot be read has no names."""
        try:
            with self._hosts_file.open(encoding="utf-8", errors="replace") as file:
                text = file.read(MAX_HOSTS_BYTES)
        except OSError:
            return []
        wanted = host.lower().removesuffix(".")
        found: list[str] = []
        for line in text.splitlines():
            address, *names = line.partition("#")[0].split() or [""]
            if is_address(address) and wanted in (name.lower() for name in names):
                found.append(address)
        return _in_order(found)


async def ask_system(loop: asyncio.AbstractEventLoop, host: str) -> list[str]:
    """What the system's own resolver says, in a thread of the loop; nothing if it fails."""
    try:
        infos = await loop.getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return []
    return [str(info[4][0]) for info in infos]


def _in_order(addresses: Iterable[str]) -> list[str]:
    """Each once, IPv4 first. Without those that have a zone: a target cannot carry it."""
    each = [address for address in dict.fromkeys(addresses) if is_address(address)]
    return sorted(each, key=lambda address: ":" in address)[:MAX_ADDRESSES]


def by_weight(services: Iterable[SRV], chance: Chance) -> list[SRV]:
    """SRV records in the order in which to try them: by priority, and within one by lot, in proportion to the weight.

    RFC 2782: add the weights up, those of 0 first; draw a number; the first record whose sum reaches it is next.
    """
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    order: list[SRV] = []
    while left:
        rivals = [service for service in left if service.priority == left[0].priority]
        drawn = int(chance.dice() * (sum(service.weight for service in rivals) + 1))
        for service in rivals:
            drawn -= service.weight
            if drawn <= 0:
                break
        order.append(service)
        left.remove(service)
    return order
