"""Admission: who a source is. PBXs and trunks are known by their addresses; everybody else is a stranger.

A table, updated when names resolve. Whether strangers are answered, and how fast known peers may be, is the engine's.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address
from typing import NamedTuple

ADDRESSES_MAX = 16
"""Addresses kept per peer, the newest first. Old ones stay a while, because calls that were set up over them go on."""


class Peer(NamedTuple):
    """A known peer."""

    role: str
    """`pbx` or `trunk`."""
    name: str


Address = tuple[str, int]
"""(IP address, port) as sockets give it."""


class Admission:
    """The known peers. Address and port decide where they can (several peers on one host), else the address alone.

    A TCP peer calls from any port, so a known address with an unknown port is the first peer there, PBXs before trunks.
    """

    __slots__ = ("_addresses", "_by_address", "_by_host")

    def __init__(self) -> None:
        self._addresses: dict[Peer, tuple[Address, ...]] = {}
        self._by_address: dict[Address, Peer] = {}
        self._by_host: dict[str, Peer] = {}

    def learn(self, peer: Peer, addresses: Iterable[Address]) -> None:
        """The peer's name has these addresses now. Those it had before are kept behind them, up to ADDRESSES_MAX."""
        fresh = tuple((normal(host), port) for host, port in addresses)
        merged = dict.fromkeys(fresh + self._addresses.get(peer, ()))
        self._addresses[peer] = tuple(merged)[:ADDRESSES_MAX]
        self._index()

    def forget(self, peer: Peer) -> None:
        """The peer is no longer configured."""
        self._addresses.pop(peer, None)
        self._index()

    def who(self, host: str, port: int) -> Peer | None:
        """Who sends from there; None for a stranger. On the path."""
        if ":" in host:
            host = normal(host)
        return self._by_address.get((host, port)) or self._by_host.get(host)

    def _index(self) -> None:
        self._by_address.clear()
        self._by_host.clear()
        for peer in sorted(self._addresses, key=lambda one: one.role != "pbx"):
            for address in self._addresses[peer]:
                self._by_address.setdefault(address, peer)
                self._by_host.setdefault(address[0], peer)


def normal(host: str) -> str:
    """One spelling per address: IPv6 shortened and without zone, IPv4 in IPv6 as IPv4. Raises ValueError for a name."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
