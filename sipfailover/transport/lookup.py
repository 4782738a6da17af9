"""From a name to addresses and ports: RFC 3263 §4.1 (NAPTR, RFC 3403), §4.2 (SRV, RFC 2782: priority and weight, then
A and AAAA).

The administrator writes the transport, so NAPTR chooses none: of its records those for the written transport lead to
the name of the SRV records, the others are not seen, and without one SRV is asked under the name itself. DNS is asked
by dnspython; `/etc/hosts` comes first, because names of containers and of small offices stand there and nowhere else.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, TypeVar

import dns.asyncresolver
import dns.exception
import dns.nameserver
import dns.rdatatype
import dns.resolver
from dns.name import Name
from dns.rdata import Rdata
from dns.rdtypes.IN.NAPTR import NAPTR as Naptr
from dns.rdtypes.IN.SRV import SRV as Srv

from sipfailover.chance import Chance
from sipfailover.config import SIP_PORT, SIPS_PORT, Address, is_address
from sipfailover.errors import NoSuchName, TransportError
from sipfailover.flow import TCP, TLS, UDP

HOSTS_FILE = Path("/etc/hosts")

LOOKUP_WITHIN = 6.0
"""Seconds for one question to DNS, all servers and repetitions together. Nobody waits for it but the resolver."""

NAPTR_WITHIN = 2.0
"""Seconds for the question for NAPTR. Some small routers drop it instead of answering, and the first answer for a name
should not wait long for that."""

MAX_ADDRESSES = 32
"""Addresses kept of one name. Further ones are ignored: no carrier has more, and each would be tried."""

MAX_SERVICES = 16
"""Records of one SRV or NAPTR answer that are followed, the best first. Each may cost two questions."""

MAX_HOSTS_BYTES = 1024 * 1024
"""Of the hosts file. What stands after them is not seen."""

FOR_EVER = 86_400.0
"""Seconds. The time to live of what stands in the hosts file; the resolver's own bounds make it shorter."""


Hosts = Mapping[tuple[str, str], tuple[str, ...]]
"""(host name, `A` or `AAAA`) → its addresses."""

Kind = TypeVar("Kind", bound=Rdata)


A, SRV, NAPTR = "A", "SRV", "NAPTR"
FAMILIES = (A, "AAAA")


class Service(NamedTuple):
    """How a transport is called in DNS (RFC 3263 §4.1, §4.2)."""

    naptr: str
    srv: str
    port: int
    """Where there is no SRV record."""


SERVICES = {
    UDP: Service("SIP+D2U", "_sip._udp", SIP_PORT),
    TCP: Service("SIP+D2T", "_sip._tcp", SIP_PORT),
    TLS: Service("SIPS+D2T", "_sips._tcp", SIPS_PORT),
}


class Place(NamedTuple):
    """One address of a name."""

    host: str
    """IP address, IPv6 without brackets."""
    port: int
    priority: int = 0
    """Of its SRV record; 0 without one."""


@dataclass(frozen=True, slots=True)
class Found:
    """Where a name leads."""

    places: tuple[Place, ...]
    """The best first."""
    ttl: float
    """Seconds for which that holds."""
    kind: str = A
    """The kind of record that led there first: `NAPTR`, `SRV` or `A` (which means AAAA, too)."""
    hosts: Hosts = field(default_factory=dict)
    """For the next look-up to live on, if one of its questions fails."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS said to one question."""

    records: Sequence[Rdata]
    """None if there are none."""
    ttl: float
    """Seconds."""
    failed: bool = False
    """There was no answer, and that was as good as none."""

    def of(self, kind: type[Kind]) -> list[Kind]:
        """The records of one kind."""
        return [record for record in self.records if isinstance(record, kind)]


class Told(NamedTuple):
    """One answer of DNS, for those who show it."""

    name: str
    kind: str
    """`SRV`, `A`, `AAAA`, …"""
    records: tuple[str, ...]
    """As a zone file has them; empty if there are none."""
    ttl: float
    """Seconds."""
    server: str
    """The name server that was asked, `192.0.2.53:53`; empty if it cannot be told."""


class Lookup:
    """Looks names up. `nameservers`: None takes the system's, read anew for each look-up, because DHCP changes them.

    `told` is given every answer of DNS as it comes.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        chance: Chance,
        nameservers: Sequence[Address] | None = None,
        hosts_file: Path = HOSTS_FILE,
        told: Callable[[Told], None] = lambda told: None,
    ) -> None:
        self._loop = loop
        self._chance = chance
        self._told = told
        self._nameservers = nameservers
        self._hosts_file = hosts_file

    async def find(self, host: str, port: int | None, transport: str, before: Found | None = None) -> Found:
        """The addresses of a name, IPv4 before IPv6 of the same server.

        A port turns NAPTR and SRV off (RFC 3263 §4.2). `before`: the last good answer. A question that fails raises if
        that answer rests on such a record, or on one that comes before; otherwise it is as if there were none, because
        the DNS of some small routers cannot do NAPTR or SRV at all. Raises TransportError with what DNS said, in words;
        NoSuchName if DNS works and there is no address, or no SRV record any more.
        """
        service = SERVICES[transport]
        hosts = before.hosts if before is not None else {}
        rests_on = before.kind if before is not None else A
        if port is not None or self._in_hosts(host):
            return await self._find_host(host, port or service.port, hosts)
        own = asyncio.ensure_future(self._ask(f"{service.srv}.{host}", SRV))
        try:
            answers = [await self._unless(rests_on == NAPTR, self._ask(host, NAPTR, NAPTR_WITHIN))]
            for pointer in by_preference(answers[0].of(Naptr), service.naptr):
                srv = await self._unless(rests_on == NAPTR, self._ask(_text(pointer.replacement), SRV))
                answers.append(srv)
                if srv.records:
                    ttl = min(answers[0].ttl, srv.ttl)
                    return await self._find_servers(host, transport, Answer(srv.records, ttl), NAPTR, hosts)
            srv = await self._unless(rests_on != A, own)
            answers.append(srv)
        finally:
            own.cancel()
            await asyncio.gather(own, return_exceptions=True)
        if srv.records:
            found = await self._find_servers(host, transport, srv, SRV, hosts)
        elif rests_on != A:
            raise NoSuchName(host, "look up", f"DNS knows no {service.srv} of that name any more")
        else:
            found = await self._find_host(host, service.port, hosts)
        # What was only assumed is asked again soon. The second time it is an answer like others.
        return replace(found, ttl=0.0) if before is None and any(answer.failed for answer in answers) else found

    async def _unless(self, needed: bool, question: Awaitable[Answer]) -> Answer:
        """The answer to a question. If it fails and is not needed, it is as if there were no such record."""
        try:
            return await question
        except TransportError:
            if needed:
                raise
            return Answer((), 0.0, failed=True)

    async def _find_servers(self, host: str, transport: str, answer: Answer, kind: str, before: Hosts) -> Found:
        """The addresses of all servers in their order. One whose name has none is left out, as §4.2 wants; one that
        cannot be looked up now keeps the addresses it had, while there is another one that can."""
        offered = [service for service in answer.of(Srv) if _text(service.target)]
        services = by_weight(offered, self._chance)[:MAX_SERVICES]
        if not services:
            raise NoSuchName(host, "look up", f"DNS says that it offers no SIP over {transport} (SRV '.')")
        places: list[Place] = []
        hosts: dict[tuple[str, str], tuple[str, ...]] = {}
        ttl, fresh = answer.ttl, False
        problems: list[TransportError] = []
        for service in services:
            name = _text(service.target)
            try:
                found = await self._find_host(name, service.port, before)
            except TransportError as error:
                problems.append(error)
                kept = {} if isinstance(error, NoSuchName) else _of_host(before, name)
                found = Found(tuple(Place(each, service.port) for each in _each(kept)), 0.0, hosts=kept)
            else:
                fresh = True
            places.extend(place._replace(priority=service.priority) for place in found.places)
            hosts.update(found.hosts)
            ttl = min(ttl, found.ttl)
        if not fresh:
            # That there is no address is only said if DNS says so of every server.
            raise next((error for error in problems if not isinstance(error, NoSuchName)), problems[0])
        return Found(_once(places), ttl, kind, hosts)

    async def _find_host(self, host: str, port: int, before: Hosts) -> Found:
        """A and AAAA of one host; if one of them fails, that kind of address stays as it was.

        Raises TransportError if nothing is known now, and NoSuchName if DNS says so.
        """
        written = [host] if is_address(host) else self._in_hosts(host)  # an address as the target of SRV: some do that
        if written:
            return Found(tuple(Place(address, port) for address in written), FOR_EVER)
        answers = await asyncio.gather(*(self._ask(host, kind) for kind in FAMILIES), return_exceptions=True)
        hosts: dict[tuple[str, str], tuple[str, ...]] = {}
        ttls: list[float] = []
        kept: dict[tuple[str, str], tuple[str, ...]] = {}
        problem: TransportError | None = None
        for kind, answer in zip(FAMILIES, answers, strict=True):
            key = (host, kind)
            if isinstance(answer, TransportError):
                problem = problem or answer
                if key in before:
                    kept[key] = before[key]
            elif isinstance(answer, BaseException):
                raise answer
            elif answer.records:
                hosts[key] = tuple(str(record) for record in answer.records[:MAX_ADDRESSES])
                ttls.append(answer.ttl)
        if hosts:
            known = {**hosts, **kept}
            return Found(_once(Place(each, port) for each in _each(known)), 0.0 if kept else min(ttls), hosts=known)
        if problem is not None and not isinstance(problem.__cause__, dns.resolver.NoResolverConfiguration):
            raise problem
        # DNS works and does not know it, or there is none: the system may have other sources (multicast DNS).
        found = _in_order(await ask_system(self._loop, host))
        if found:
            return Found(tuple(Place(each, port) for each in found), 0.0)
        raise problem or NoSuchName(host, "look up", "DNS knows no address of that name")

    async def _ask(self, name: str, kind: str, within: float | None = None) -> Answer:
        """The records. Raises TransportError if there is no answer."""
        within = LOOKUP_WITHIN if within is None else min(within, LOOKUP_WITHIN)
        try:
            answer = await self._resolver().resolve(name, kind, lifetime=within, search="." not in name)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            self._told(Told(name, kind, (), 0.0, ""))
            return Answer((), 0.0)
        except dns.resolver.NoResolverConfiguration as error:
            raise TransportError(name, "look up", "no name server is configured") from error
        except dns.exception.Timeout as error:
            raise TransportError(name, "look up", "DNS does not answer") from error
        except (dns.exception.DNSException, OSError, ValueError) as error:
            said = str(error) or type(error).__name__
            raise TransportError(name, "look up", f"DNS has no answer: {said}") from error
        ttl = float(answer.chaining_result.minimum_ttl)
        server = f"{answer.nameserver}:{answer.port}" if answer.nameserver else ""
        self._told(Told(name, kind, tuple(str(record) for record in answer), ttl, server))
        return Answer(list(answer), ttl)

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


def _once(places: Iterable[Place]) -> tuple[Place, ...]:
    """Each address and port once, with its best priority, because those come first."""
    each: dict[tuple[str, int], Place] = {}
    for place in places:
        each.setdefault((place.host, place.port), place)
    return tuple(each.values())[:MAX_ADDRESSES]


def _of_host(hosts: Hosts, name: str) -> dict[tuple[str, str], tuple[str, ...]]:
    """What is known of one host."""
    return {(name, kind): hosts[name, kind] for kind in FAMILIES if (name, kind) in hosts}


def _each(hosts: Hosts) -> list[str]:
    """The addresses of one host, IPv4 first."""
    return [address for kind in FAMILIES for key, found in hosts.items() if key[1] == kind for address in found]


def _text(name: Name) -> str:
    """A name of DNS as we write it; empty for the root, which stands for "none"."""
    return name.to_text(omit_final_dot=True).removesuffix(".")


def by_preference(pointers: Iterable[Naptr], service: str) -> list[Naptr]:
    """The NAPTR records that lead to SRV records of this service, in the order in which to try them.

    RFC 3403 §4.1: only those of the lowest order that has any, by preference. Others than flag "s" without a regular
    expression are not for SIP (RFC 3263 §4.1).
    """
    fit = [
        pointer
        for pointer in pointers
        if pointer.service.decode("latin-1").upper() == service
        and pointer.flags.upper() == b"S"
        and not pointer.regexp
        and _text(pointer.replacement)
    ]
    lowest = min((pointer.order for pointer in fit), default=0)
    best = [pointer for pointer in fit if pointer.order == lowest]
    return sorted(best, key=lambda pointer: pointer.preference)[:MAX_SERVICES]


def by_weight(services: Iterable[Srv], chance: Chance) -> list[Srv]:
    """SRV records in the order in which to try them: by priority, and within one by lot, in proportion to the weight.

    RFC 2782: add the weights up, those of 0 first; draw a number; the first record whose sum reaches it is next.
    """
    left = sorted(services, key=lambda service: (service.priority, service.weight))
    order: list[Srv] = []
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
