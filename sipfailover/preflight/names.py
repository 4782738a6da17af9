"""From a trunk's name to its addresses, with what DNS said on the way: the first step of a check.

The look-up itself is the service's own (`transport.lookup`), so the order is the one that calls would follow.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import dns.asyncresolver
import dns.exception
import dns.nameserver

from sipfailover.chance import Chance
from sipfailover.config import SIP_PORT, SIPS_PORT, Address, TrunkSettings, is_address
from sipfailover.errors import TransportError
from sipfailover.preflight.report import Tell, failed, good
from sipfailover.transport import HOSTS_FILE, Lookup, Told

NAME_WITHIN = 8.0
"""Seconds for all questions about one name together: room for a router that drops questions for NAPTR and SRV."""
ADDRESSES_SHOWN = 8
"""Addresses of one name that are shown, and tried."""

TOP_LABELS = 2
"""Labels of a top level domain, its root counted. A name that only these know has no name servers of its own."""


class Names:
    """Looks trunks up. `nameservers`: None for the system's."""

    def __init__(
        self, chance: Chance, nameservers: Sequence[Address] | None = None, hosts_file: Path = HOSTS_FILE
    ) -> None:
        self._chance = chance
        self._nameservers = nameservers
        self._hosts_file = hosts_file

    async def addresses(self, trunk: TrunkSettings, tell: Tell) -> tuple[Address, ...]:
        """Where a trunk is, best first, at most ADDRESSES_SHOWN; empty after a failure, which has been told."""
        if is_address(trunk.host):
            default = SIPS_PORT if trunk.transport == "tls" else SIP_PORT
            return (Address(trunk.host, trunk.port or default),)
        loop = asyncio.get_running_loop()
        heard: list[Told] = []
        lookup = Lookup(loop, self._chance, self._nameservers, self._hosts_file, heard.append)
        begun = loop.time()
        try:
            async with asyncio.timeout(NAME_WITHIN):
                found = await lookup.find(trunk.host, trunk.port, trunk.transport)
        except TimeoutError:
            advice = "check this machine's name servers (/etc/resolv.conf) and its way to the internet"
            tell(failed("name", f"{trunk.host}: DNS does not answer within {NAME_WITHIN:.0f} s", advice))
            return ()
        except TransportError as error:
            advice = "check host, and this machine's name servers (/etc/resolv.conf)"
            tell(failed("name", str(error), advice, questions=[_fact(one) for one in heard]))
            return ()
        addresses = tuple(Address(place.host, place.port) for place in found.places[:ADDRESSES_SHOWN])
        took = loop.time() - begun
        text = f"{', '.join(map(str, addresses))} ({way(trunk, heard)}; good for {found.ttl:.0f} s{_server(heard)})"
        facts = [_fact(one) for one in heard]
        tell(good("name", text, took, addresses=[str(one) for one in addresses], ttl=found.ttl, questions=facts))
        return addresses

    async def servers(self, host: str) -> frozenset[str]:
        """The name servers of the zone that a name is in; empty for an address, and where DNS does not say."""
        if is_address(host):
            return frozenset()
        try:
            async with asyncio.timeout(NAME_WITHIN):
                resolver = self._resolver()
                zone = await dns.asyncresolver.zone_for_name(host, resolver=resolver)
                if len(zone.labels) <= TOP_LABELS:
                    return frozenset()
                answer = await resolver.resolve(zone, "NS", lifetime=NAME_WITHIN)
        except (dns.exception.DNSException, TimeoutError, OSError, ValueError):
            return frozenset()
        return frozenset(str(record).lower().removesuffix(".") for record in answer)

    def _resolver(self) -> dns.asyncresolver.Resolver:
        if self._nameservers is None:
            return dns.asyncresolver.Resolver()
        resolver = dns.asyncresolver.Resolver(configure=False)
        resolver.nameservers = [dns.nameserver.Do53Nameserver(server.host, server.port) for server in self._nameservers]
        return resolver


def way(trunk: TrunkSettings, heard: Sequence[Told]) -> str:
    """How the addresses were found, in words."""
    services = [one for one in heard if one.kind == "SRV" and one.records]
    if services:
        naptr = "NAPTR, then " if any(one.kind == "NAPTR" and one.records for one in heard) else ""
        return f"{naptr}SRV {services[0].name}: {'; '.join(services[0].records[:ADDRESSES_SHOWN])}"
    kinds = [one.kind for one in heard if one.records]
    if not kinds:
        return "from the hosts file, or what else this system knows names by"
    asked = " and ".join(dict.fromkeys(kinds))
    return f"{asked}, no SRV because port is written" if trunk.port else f"{asked}, there is no SRV"


def _server(heard: Sequence[Told]) -> str:
    servers = list(dict.fromkeys(one.server for one in heard if one.server))
    return f"; asked {', '.join(servers)}" if servers else ""


def _fact(one: Told) -> dict[str, object]:
    return {"name": one.name, "type": one.kind, "records": list(one.records), "ttl": one.ttl, "server": one.server}
