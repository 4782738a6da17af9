"""The last durations of one kind, and what almost all of them stay below: the 95th percentile, as it is measured.

Mean and variation (RFC 6298) say when silence means a fault; this says when it begins to be unusual. The nearest rank
of the last sixty samples: a quiet office has had them in two days, a busy one in half an hour.
"""

from collections import deque
from math import ceil

KEPT = 60
"""Samples. The oldest goes when a further one comes."""
NEEDED = 10
"""Before so many samples nothing is usual. With fewer than twenty, the longest of them is the percentile."""
SHARE = 0.95


class Recent:
    """The samples of one trunk. Seconds."""

    __slots__ = ("_samples",)

    def __init__(self) -> None:
        self._samples: deque[float] = deque(maxlen=KEPT)

    def observe(self, seconds: float) -> None:
        """Take one sample. On the path."""
        self._samples.append(seconds)

    @property
    def p95(self) -> float | None:
        """What 95 % of them do not exceed, in seconds; None before there were enough. Sorts: some microseconds."""
        known = len(self._samples)
        return sorted(self._samples)[ceil(SHARE * known) - 1] if known >= NEEDED else None

    def __repr__(self) -> str:
        p95 = self.p95
        return f"<Recent {len(self._samples)} samples" + ("" if p95 is None else f", p95 {p95:.3f} s") + ">"
