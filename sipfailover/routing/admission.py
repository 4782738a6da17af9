"""Admission: who a source is. PBXs and trunks are known by their addresses, by networks, and PBXs by where they
registered from; everybody else is a stranger.

A table, updated when names resolve and registrations come and go. Whether strangers are answered, and how fast known
peers may be, is the engine's.
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

ADDRESSES_MAX = 16
"""Addresses kept per peer, the newest first. Old ones stay a while, because calls that were set up over them go on."""

SEEN_MAX = 4096
"""Sources whose peer is remembered. When it is full all are forgotten: nobody suffers, each costs 2 µs again."""


class Peer(NamedTuple):
    """A known peer."""

    role: str
    """`pbx` or `trunk`."""
    name: str
    left: int = 0
    """0 for who is in the file; who was taken out of it, or moved, has a number: a new one may have its name."""


Address = tuple[str, int]
"""(IP address, port) as sockets give it."""


class Admission:
    """The known peers. Address and port decide where they can (several peers on one host), else the address alone, else
    the longest network; where two fit alike, PBXs go before trunks.

    A TCP peer calls from any port, so a known address with an unknown port is the first peer there. This goes for a
    registered PBX too if its address is a private one; at a public one there may be a whole neighbourhood behind one
    NAT, so only the port that it registered from is the PBX.
    """

    __slots__ = ("_addresses", "_by_address", "_by_host", "_by_network", "_networks", "_registered", "_seen")

    def __init__(self) -> None:
        self._addresses: dict[Peer, tuple[Address, ...]] = {}
        self._registered: dict[Peer, tuple[Address, ...]] = {}
        self._networks: dict[Peer, tuple[str, ...]] = {}
        self._by_address: dict[Address, Peer] = {}
        self._by_host: dict[str, Peer] = {}
        self._by_network: list[tuple[int, int, dict[int, Peer]]] = []
        """(IP version, bits of the host part, network as a number without these → peer), the longest network first."""
        self._seen: dict[Address, Peer] = {}
        """Answers of `who`, spelt as they were asked for."""

    def learn(self, peer: Peer, addresses: Iterable[Address]) -> None:
        """The peer's name has these addresses now. Those it had before are kept behind them, up to ADDRESSES_MAX."""
        fresh = tuple((normal(host), port) for host, port in addresses)
        merged = dict.fromkeys(fresh + self._addresses.get(peer, ()))
        self._addresses[peer] = tuple(merged)[:ADDRESSES_MAX]
        self._index()

    def registered(self, peer: Peer, addresses: Iterable[Address]) -> None:
        """A PBX is registered from these addresses now, and from no others."""
        fresh = tuple((normal(host), port) for host, port in addresses)
        if fresh != self._registered.get(peer, ()):
            self._registered[peer] = fresh
            self._index()

    def lives_in(self, peer: Peer, networks: Iterable[str]) -> None:
        """The peer may send from anywhere in these networks (`198.51.100.0/24`)."""
        self._networks[peer] = tuple(networks)
        self._index()

    def leaves(self, peer: Peer, as_: Peer) -> None:
        """The peer is configured no more, or elsewhere: what was known of it is known of `as_` from now on."""
        tables: tuple[dict[Peer, Any], ...] = (self._addresses, self._registered, self._networks)
        for table in tables:
            if peer in table:
                table[as_] = table.pop(peer)
        self._index()

    def forget(self, peer: Peer) -> None:
        """The peer is no longer configured."""
        for table in (self._addresses, self._registered, self._networks):
            table.pop(peer, None)
        self._index()

    def who(self, host: str, port: int) -> Peer | None:
        """Who sends from there; None for a stranger. On the path: one look-up for a known peer."""
        return self._seen.get((host, port)) or self._find(host, port)

    def knows(self, host: str) -> bool:
        """Whether a peer is at this address, at whatever port."""
        return self._find(host, 0) is not None or any(
            normal(host) == known for addresses in self._registered.values() for known, _ in addresses
        )

    def everybody(self) -> Iterator[str]:
        """Addresses and networks of all known peers, some more than once."""
        for table in (self._addresses, self._registered):
            for addresses in table.values():
                yield from (host for host, _ in addresses)
        for networks in self._networks.values():
            yield from networks

    def _find(self, host: str, port: int) -> Peer | None:
        plain = normal(host) if ":" in host else host
        peer = self._by_address.get((plain, port)) or self._by_host.get(plain)
        if peer is None and self._by_network:
            address = ip_address(plain)
            version, number = address.version, int(address)
            for kind, bits, networks in self._by_network:
                if kind == version and (peer := networks.get(number >> bits)) is not None:
                    break
        if peer is not None:  # strangers are not remembered: they could be any number
            if len(self._seen) >= SEEN_MAX:
                self._seen.clear()
            self._seen[host, port] = peer
        return peer

    def _index(self) -> None:
        for table in (self._by_address, self._by_host, self._seen):
            table.clear()
        for peer, addresses in sorted(self._registered.items(), key=lambda one: one[0].left > 0):
            for address in addresses:  # before all others: it has shown a password there
                self._by_address.setdefault(address, peer)
        for peer in sorted(self._addresses, key=_rank):
            for address in self._addresses[peer]:
                self._by_address.setdefault(address, peer)
        for peer in sorted(dict.fromkeys((*self._addresses, *self._registered)), key=_rank):
            hosts = [host for host, _ in self._addresses.get(peer, ())]
            hosts += [host for host, _ in self._registered.get(peer, ()) if ip_address(host).is_private]
            for host in hosts:
                self._by_host.setdefault(host, peer)
        self._index_networks()

    def _index_networks(self) -> None:
        found: dict[tuple[int, int], dict[int, Peer]] = {}
        for peer in sorted(self._networks, key=_rank):
            for text in self._networks[peer]:
                network = ip_network(text)
                bits = network.max_prefixlen - network.prefixlen
                table = found.setdefault((network.version, bits), {})
                table.setdefault(int(network.network_address) >> bits, peer)
        self._by_network = [(*key, found[key]) for key in sorted(found, key=lambda key: key[1])]


def _rank(peer: Peer) -> tuple[bool, bool, int]:
    """Those in the file first, and of them PBXs; of the others who left last."""
    return peer.left > 0, peer.role != "pbx", -peer.left


def normal(host: str) -> str:
    """One spelling per address: IPv6 shortened and without zone, IPv4 in IPv6 as IPv4. Raises ValueError for a name."""
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(address)
