"""What both halves of a simulated user agent stand on: clocks, dialogs, what wants to leave, and the books."""

from collections.abc import Callable
from heapq import heappop, heappush

from sipfailover.chance import Chance
from sipfailover.simulator.leg import Leg, Packet
from sipfailover.simulator.text import Peer

T1 = 0.5
T2 = 4.0
T4 = 5.0
LIFE = 64 * T1
"""Timers B, D, F, H, J, L, M: how long anything is waited for."""
PATIENCE = 200.0
"""A called side that nobody answers at and nobody cancels says 480 after so many seconds."""

ALLOW = (b"Allow", b"INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, UPDATE, NOTIFY, REFER, MESSAGE")
SDP_TYPE = (b"Content-Type", b"application/sdp")


class Clock:
    """One thing to do later. `stop()` forgets it."""

    __slots__ = ("due", "ring")

    def __init__(self, due: float, ring: Callable[[], None]) -> None:
        self.due = due
        self.ring: Callable[[], None] | None = ring

    def stop(self) -> None:
        self.ring = None


class Core:
    """See the module. `at` is its own address and port; all chance it needs comes from `chance`."""

    def __init__(self, name: str, at: Peer, chance: Chance) -> None:
        self.name = name
        self.at = at
        self.chance = chance
        self.now = 0.0
        self.legs: list[Leg] = []
        """Every leg there ever was, oldest first."""
        self.trouble: list[str] = []
        """What other sides did that the RFC does not allow; empty in a good world."""
        self._dialogs: dict[tuple[bytes, bytes], Leg] = {}
        self._clocks: list[tuple[float, int, Clock]] = []
        self._rung = 0
        self._out: list[Packet] = []

    def wake(self, now: float) -> None:
        """Do everything that is due."""
        self.now = now
        while self._clocks and self._clocks[0][0] <= now:
            clock = heappop(self._clocks)[2]
            ring, clock.ring = clock.ring, None
            if ring:
                ring()

    def deadline(self) -> float | None:
        """When to wake us, None if nothing is planned."""
        while self._clocks and self._clocks[0][2].ring is None:
            heappop(self._clocks)
        return self._clocks[0][0] if self._clocks else None

    def take(self) -> list[Packet]:
        """What wants to be sent."""
        out, self._out = self._out, []
        return out

    def later(self, seconds: float, ring: Callable[[], None]) -> Clock:
        """Do something after so many seconds."""
        clock = Clock(self.now + seconds, ring)
        self._rung += 1
        heappush(self._clocks, (clock.due, self._rung, clock))
        return clock

    def changed(self, leg: Leg) -> None:
        """A leg rang, was answered, failed or ended."""

    def _ended(self, leg: Leg, by: str) -> None:
        if leg.ended_at is None:
            leg.ended_at, leg.ended_by = self.now, by
            self.changed(leg)
