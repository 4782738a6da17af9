"""A network that carries datagrams as badly as it is told to: delay, jitter, loss, duplication, reordering, partition.

Pure arithmetic over `Chance`: asked when a datagram sent now arrives, it answers with the moments.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sipfailover.chance import Chance
from sipfailover.simulator.text import Peer


@dataclass(frozen=True, slots=True)
class Weather:
    """How a path treats datagrams. Times in seconds, one way; shares from 0 to 1."""

    delay: float = 0.01
    jitter: float = 0.0
    """Up to so much is added to the delay."""
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0
    """Share of datagrams that may overtake, or be overtaken by, their neighbours."""

    @property
    def steady(self) -> bool:
        """True if every datagram arrives once, in order, after the same delay."""
        return not (self.jitter or self.loss or self.duplicate or self.reorder)


CALM = Weather()
AGAIN = 0.2
"""Seconds after which a stream sends again what was lost (RFC 6298 asks for a second at first; systems wait 200 ms)."""


class Network:
    """Paths between hosts. `weather` is for all paths that have none of their own in `paths`."""

    def __init__(self, chance: Chance, weather: Weather = CALM) -> None:
        self.chance = chance
        self.weather = weather
        self.paths: dict[tuple[Peer, Peer], Weather] = {}
        """(from, to) → weather on that way."""
        self.closed: set[Peer] = set()
        """Ports nobody listens at: a datagram to them comes back as ICMP "port unreachable"."""
        self.streams: dict[Peer, str] = {}
        """Peers that are reached over a stream, and over which kind: there, what is lost comes late."""
        self.far: set[Peer] = set()
        """Peers beyond our own way out: the carriers."""
        self._cut: set[frozenset[Peer]] = set()
        self._last: dict[tuple[Peer, Peer], float] = {}
        self.lost = 0
        """Datagrams that did not arrive."""

    def cut(self, these: Iterable[Peer], those: Iterable[Peer]) -> None:
        """Partition: nothing passes between these and those."""
        those = tuple(those)
        self._cut |= {frozenset((one, other)) for one in these for other in those}

    def mend(self, these: Iterable[Peer], those: Iterable[Peer]) -> None:
        """The opposite of `cut`."""
        those = tuple(those)
        self._cut -= {frozenset((one, other)) for one in these for other in those}

    def heal(self) -> None:
        """All cuts are mended."""
        self._cut.clear()

    def send(self, source: Peer, to: Peer, now: float) -> list[float]:
        """The moments at which a datagram that leaves now arrives: none (lost), one, or two (duplicated)."""
        if self._cut and frozenset((source, to)) in self._cut:
            self.lost += 1
            return []
        weather = self.paths.get((source, to), self.weather)
        if weather.steady:
            return [now + weather.delay]
        dice = self.chance.dice
        if self.streams and (source in self.streams or to in self.streams):
            return [self._in_stream(source, to, weather, now)]
        if weather.loss and dice() < weather.loss:
            self.lost += 1
            return []
        arrivals = [now + weather.delay + weather.jitter * dice()]
        if not weather.reorder or dice() >= weather.reorder:
            arrivals[0] = max(arrivals[0], self._last.get((source, to), 0.0))
            self._last[(source, to)] = arrivals[0]
        if weather.duplicate and dice() < weather.duplicate:
            arrivals.append(arrivals[0] + weather.delay * dice())
        return arrivals

    def _in_stream(self, source: Peer, to: Peer, weather: Weather, now: float) -> float:
        """In order, once; each loss costs a repetition, and those behind it wait."""
        when = now + weather.delay + weather.jitter * self.chance.dice()
        while weather.loss and self.chance.dice() < weather.loss:
            self.lost += 1
            when += AGAIN
        when = max(when, self._last.get((source, to), 0.0))
        self._last[(source, to)] = when
        return when
