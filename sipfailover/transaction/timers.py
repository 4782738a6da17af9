"""The timers of RFC 3261 §17 by name, and one queue for all of ours with one deadline.

The queue keeps one lane for each length of time: within a lane, what is started later is due later, so starting,
stopping and ringing take the same time however many timers run. A stopped timer stays in its lane, empty, until its
time comes. Lengths are rounded to `GRAIN`, so that measured times cannot make lanes without end.
"""

from collections import deque
from collections.abc import Iterator
from typing import Protocol

T1 = 0.5
"""Seconds: the round trip that is assumed where nothing is known (table 4)."""
T2 = 4.0
"""Seconds: longest interval of repeated non-INVITE requests and INVITE answers."""
T4 = 5.0
"""Seconds: how long a message stays in the network."""
LIFE = 64 * T1
"""Seconds: timers B, D, F, H, J, L and M."""

GRAIN = 0.001
"""Seconds. Who asks for less waits so long."""


class Owner(Protocol):
    """Whoever wants to be told: the queue hands it back with the name of the timer."""


class Timer:
    """One thing to do later."""

    __slots__ = ("due", "name", "owner")

    def __init__(self, due: float, name: int, owner: Owner) -> None:
        self.due = due
        self.name = name
        self.owner: Owner | None = owner

    def stop(self) -> None:
        """Forget it. May be called twice, and after it rang."""
        self.owner = None


class TimerQueue:
    """All timers of one engine. Times are seconds, monotonic. On the path."""

    __slots__ = ("_lanes", "_next")

    def __init__(self) -> None:
        self._lanes: dict[int, deque[Timer]] = {}
        self._next: Timer | None = None
        """The one that is due first, unless it was stopped meanwhile."""

    def start(self, seconds: float, now: float, name: int, owner: Owner) -> Timer:
        """Ring `seconds` after `now`: `expired` then gives (owner, name). `stop` the timer to prevent it."""
        wanted = seconds * 1000
        grains = int(wanted)
        if grains < wanted:
            grains += 1  # never early: who looks at the clock again and finds it too soon would start a circle
        due = now + grains * GRAIN
        timer = Timer(due, name, owner)
        lane = self._lanes.get(grains)
        if lane is None:
            lane = self._lanes[grains] = deque()
        lane.append(timer)
        first = self._next
        if first is None or due < first.due:
            self._next = timer
        return timer

    def deadline(self) -> float | None:
        """When to call `expired`; None if no timer runs."""
        first = self._next
        if first is not None and first.owner is None:
            first = self._look()
        return None if first is None else first.due

    def _look(self) -> Timer | None:
        """Find the timer that is due first. Costs one step a lane, once for each first timer that was stopped."""
        first: Timer | None = None
        for grains, lane in list(self._lanes.items()):
            while lane and lane[0].owner is None:
                lane.popleft()
            if not lane:
                del self._lanes[grains]
            elif first is None or lane[0].due < first.due:
                first = lane[0]
        self._next = first
        return first

    def expired(self, now: float) -> Iterator[tuple[Owner, int]]:
        """Those that are due, in the order of their time; take each before asking for the next one.

        A timer that is started meanwhile and is due at once rings with the next call; so do those that were not asked
        for, because the one before them failed.
        """
        due: list[tuple[float, int, Timer]] = []
        first: Timer | None = None
        for grains, lane in list(self._lanes.items()):
            while lane and (lane[0].due <= now or lane[0].owner is None):
                timer = lane.popleft()
                if timer.owner is not None:
                    due.append((timer.due, len(due), timer))
            if not lane:
                del self._lanes[grains]
            elif first is None or lane[0].due < first.due:
                first = lane[0]
        self._next = first
        due.sort()
        ringing = deque([timer for _, _, timer in due])
        try:
            while ringing:
                timer = ringing.popleft()
                owner, timer.owner = timer.owner, None
                if owner is not None:  # not stopped by one that rang before it
                    yield owner, timer.name
        finally:
            if ringing:
                self._next = ringing[0]
                self._lanes.setdefault(0, deque()).extend(ringing)

    def __len__(self) -> int:
        """Timers that run."""
        return sum(timer.owner is not None for lane in self._lanes.values() for timer in lane)
