"""Names of trunks and PBXs to targets, in the background and again and again.

An address needs no DNS and is there at once. A name is asked for as soon as the loop runs, and again before its time
to live is over. A failure is told in words and asked again soon; whoever is told keeps the last good answer for ever,
so a dead DNS delays no call. That DNS denies a name it knew is believed only after a day: it lies more often than a
carrier vanishes. The way to a known address is looked at more often than DNS is, because our own address on it may
change (DHCP, a second line).
"""

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sipfailover.chance import Chance
from sipfailover.config import Address, Settings, is_address
from sipfailover.errors import NoSuchName, TransportError
from sipfailover.flow import TLS, Target
from sipfailover.transport.lookup import HOSTS_FILE, SERVICES, Found, Lookup, Place

SOONEST = 30.0
"""Seconds. A shorter time to live counts as this: DNS is asked at most twice a minute for one name."""

LATEST = 3600.0
"""Seconds. A longer time to live counts as this: a carrier that moves is followed within the hour."""

AHEAD = 0.8
"""Share of the time to live after which DNS is asked again: slow or failing DNS has the rest of it to answer."""

DENIED_BELIEVED_AFTER = 24 * 3600.0
"""Seconds for which DNS must deny a name without a break until its last good addresses are given up."""

AFTER_FAILURE = 10.0
"""Seconds from a failure to the next question."""

OWN_ADDRESS_EVERY = 60.0
"""Seconds between two looks at our own address towards a peer. Costs two system calls."""

LOOK_AGAIN_AFTER = 1.0
"""Seconds between two looks at our own address when somebody asks for one (`look_again`)."""

SPREAD = 0.1
"""Share by which the times above vary, so that all names are not asked for at the same moment for ever."""

NameUs = Callable[[str, str, int, str], Target | str]
"""(transport, host, port, public host) → the target, or in words why there is none: `Pool.local_for`."""


@dataclass(frozen=True, slots=True)
class Peer:
    """A name to be resolved."""

    name: str
    """The trunk's or PBX's own name: the key under which the answer is given."""
    host: str
    """An IP address (IPv6 without brackets) or a host name."""
    port: int | None
    """None: what SRV says, else 5060, with tls 5061."""
    transport: str
    public: str = ""
    """The host by which this peer knows us, if it is not our own address."""


def peers_of(settings: Settings) -> tuple[Peer, ...]:
    """The PBXs and trunks of the file. The public address is for trunks; a PBX is on our side of the NAT."""
    pbxs = (Peer(pbx.name, pbx.host, pbx.port, pbx.transport) for pbx in settings.pbx if pbx.host)
    public = settings.public_address
    trunks = (Peer(trunk.name, trunk.host, trunk.port, trunk.transport, public) for trunk in settings.trunks)
    return (*pbxs, *trunks)


@dataclass(slots=True)
class _Entry:
    """What is known of one peer."""

    peer: Peer
    found: Found | None = None
    expires: float = 0.0
    """When DNS is to be asked again, on the loop's clock."""
    why: str = ""
    """Why the last question had no answer; empty if it had one."""
    denied_since: float | None = None
    """Since when DNS says that there is no such name, on the loop's clock."""
    given_up: bool = False
    """It denied the name for so long that the earlier answer was given up."""
    told: tuple[tuple[Target, ...], tuple[int, ...], str, bool] | None = None
    """What was said last: targets, their priorities (which do not count when targets are compared), why, forget."""


class Resolver:
    """Gives `resolved(name, targets, why, forget)` whenever the answer for a name changes, and not otherwise.

    `targets` are in the order of RFC 3263, drawn by lot among equals at each refresh; empty with `why` in words if
    there are none now. Then the last good ones should be used on, unless `forget` says that they are too old.
    Called from `start` for addresses, and from the loop for names. Never raises.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        resolved: Callable[[str, tuple[Target, ...], str, bool], None],
        *,
        name_us: NameUs,
        chance: Chance,
        nameservers: Sequence[Address] | None = None,
        hosts_file: Path = HOSTS_FILE,
    ) -> None:
        self._loop = loop
        self._resolved = resolved
        self._name_us = name_us
        self._chance = chance
        self._lookup = Lookup(loop, chance, nameservers, hosts_file)
        self._entries: dict[str, tuple[_Entry, asyncio.Task[None]]] = {}
        """What looks after each name, until `close` or until it is dropped."""
        self._dropped: set[asyncio.Task[None]] = set()
        """Those that are about to end."""
        self._hurry = asyncio.Event()
        """Set, and replaced by a fresh one, when all should look at once."""

    def start(self, peers: Iterable[Peer]) -> None:
        """Resolve these, and keep them resolved. Listen first: the answer names the sockets. Returns at once."""
        for peer in peers:
            self._begin(_Entry(peer))

    def change(self, peers: Iterable[Peer], anew: Collection[str] = ()) -> None:
        """These from now on. What is known of those that stay is kept; it is told again of the names in `anew`."""
        wanted = {peer.name: peer for peer in peers}
        before = self._entries
        for name in list(before):
            entry, task = before[name]
            if wanted.get(name) == entry.peer and name not in anew:
                continue
            del before[name]
            task.cancel()
            self._dropped.add(task)
            task.add_done_callback(self._dropped.discard)
            if wanted.get(name) == entry.peer:
                self._begin(replace(entry, told=None))
        for name, peer in wanted.items():
            if name not in before:
                self._begin(_Entry(peer))

    def _begin(self, entry: _Entry) -> None:
        peer = entry.peer
        if is_address(peer.host):
            entry.found = Found((Place(peer.host, peer.port or SERVICES[peer.transport].port),), LATEST)
            entry.expires = float("inf")
        if entry.found is not None:
            self._tell(entry)
        self._entries[peer.name] = (entry, self._loop.create_task(self._keep(entry)))

    def look_again(self) -> None:
        """Something could not be sent for a reason on this machine: our own address may be another one. Every way is
        looked at now, or when it was looked at LOOK_AGAIN_AFTER ago."""
        hurry, self._hurry = self._hurry, asyncio.Event()
        hurry.set()

    def close(self) -> None:
        """Stop. `resolved` is not called any more."""
        for _, task in self._entries.values():
            task.cancel()

    async def closed(self) -> None:
        """Wait after `close` until nothing of ours is left in the loop."""
        tasks = (task for _, task in self._entries.values())
        await asyncio.gather(*tasks, *self._dropped, return_exceptions=True)

    async def _keep(self, entry: _Entry) -> None:
        """Look after one name for ever."""
        while True:
            now = self._loop.time()
            if now >= entry.expires:
                await self._look_up(entry)
                now = self._loop.time()
            named = self._tell(entry)
            pause = OWN_ADDRESS_EVERY if named else AFTER_FAILURE
            await self._pause(min(self._chance.spread(pause, SPREAD), max(entry.expires - now, 0.0)))

    async def _pause(self, seconds: float) -> None:
        """Wait so long, or less if somebody asks to look again."""
        hurry, least = self._hurry, min(LOOK_AGAIN_AFTER, seconds)
        await asyncio.sleep(least)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds - least):
                await hurry.wait()

    async def _look_up(self, entry: _Entry) -> None:
        """Ask for one name. Without an answer the earlier one stays, and the entry says why."""
        peer = entry.peer
        try:
            found = await self._lookup.find(peer.host, peer.port, peer.transport, entry.found)
        except NoSuchName as error:
            self._denied(entry, str(error))
        except TransportError as error:
            entry.why = str(error)
        except Exception as error:
            # A bug here, or in a library, is one failed look-up: nothing else would ever ask for this name again.
            entry.why = f"look up {peer.host}: {error!r}"
        else:
            entry.found, entry.why = found, ""
            entry.denied_since, entry.given_up = None, False
        lasts = AFTER_FAILURE if entry.why else min(max(found.ttl * AHEAD, SOONEST), LATEST)
        entry.expires = self._loop.time() + self._chance.spread(lasts, SPREAD)

    def _denied(self, entry: _Entry, why: str) -> None:
        """DNS says that there is no such name. An earlier answer is used on for a while."""
        now = self._loop.time()
        if entry.denied_since is None:
            entry.denied_since = now
        if entry.found is not None and now - entry.denied_since >= DENIED_BELIEVED_AFTER:
            entry.found, entry.given_up = None, True
        hours = DENIED_BELIEVED_AFTER / 3600
        entry.why = f"{why}; what it said before is used for {hours:g} h" if entry.found is not None else why

    def _tell(self, entry: _Entry) -> bool:
        """Say what there is, if it is new. True if there is a way to at least one address."""
        peer = entry.peer
        ways: list[Target | str] = []
        for place in entry.found.places if entry.found is not None else ():
            way = self._name_us(peer.transport, place.host, place.port, peer.public)
            line = peer.name if peer.transport == TLS else ""
            ways.append(replace(way, priority=place.priority, line=line) if isinstance(way, Target) else way)
        targets = tuple(way for way in ways if isinstance(way, Target))
        why = entry.why or ("" if targets else next((way for way in ways if isinstance(way, str)), "no address"))
        shown = () if why else targets
        news = (shown, tuple(target.priority for target in shown), why, entry.given_up)
        if news != entry.told:
            entry.told = news
            self._resolved(peer.name, shown, why, entry.given_up)
        return bool(targets)
