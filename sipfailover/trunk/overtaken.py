"""Calls at which another trunk was faster, because this one was silent for longer than usual: a suspicion each.

Such an attempt was cancelled before its clock had run out, so it is evidence of nothing. But if that were all, hedging
would hide a trunk that is broken: callers would wait a little, every time, and nobody would ever say Down. So after
two in a row the next call has its whole time there. If it fails, it speaks for those before it as well; if it rings
or is answered in any way that counts, they are forgotten: the trunk is slow, and slow is not broken.
"""

from collections import deque
from dataclasses import replace

from sipfailover.trunk.evidence import Evidence, Sign, duration

IN_A_ROW = 2
"""One call in twenty is as slow as that by chance, two in a row are one in four hundred. With more, a trunk that is
broken would be found later: it takes three calls to different numbers until it is Down."""
WITHIN = 600.0
"""Seconds for which a suspicion is kept."""


class Overtaken:
    """The suspicions against one trunk. `now`: seconds, monotonic."""

    __slots__ = ("_lost",)

    def __init__(self) -> None:
        self._lost: deque[Evidence] = deque(maxlen=IN_A_ROW)

    def lost(self, destination: str, silent: float, sent_at: float) -> None:
        """Another trunk was faster with a call to this number, whose INVITE had left at `sent_at`, after so many
        seconds of silence here."""
        what = f"silent for {duration(silent)} until another trunk rang"
        self._lost.append(Evidence(Sign.CALL_FAULT, what, destination, sent_at=sent_at))

    def full(self, now: float) -> bool:
        """True if the next call has to show what it is."""
        return len(self._lost) == IN_A_ROW and self._lost[0].sent_at is not None and self._fresh(self._lost[0], now)

    def confirmed(self, why: str, now: float) -> list[Evidence]:
        """A call that had its time has failed there, `why`: what those before it are evidence of now. Forgets them."""
        known, self._lost = self._lost, deque(maxlen=IN_A_ROW)
        return [replace(one, what=f"{one.what}, and then: {why}") for one in known if self._fresh(one, now)]

    def refuted(self) -> None:
        """A call has come through. On the path."""
        if self._lost:
            self._lost.clear()

    @staticmethod
    def _fresh(one: Evidence, now: float) -> bool:
        return one.sent_at is not None and now - one.sent_at < WITHIN

    def __repr__(self) -> str:
        return f"<Overtaken {len(self._lost)} of {IN_A_ROW}>"
