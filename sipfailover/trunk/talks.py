"""Calls that were answered a moment ago: which of them last, and which the network ends within seconds.

In January 2018 calls were answered and died. Who hangs up on our side (a voicemail that was not wanted, a wrong number)
proves nothing; the carrier's side may be a person as well, so that one such call means nothing, and several different
numbers one after the other do (`trunk.judgement`). That a call has lasted is learnt late, and without a timer: when the
next one is answered or ends.
"""

TALKS_MAX = 10_000
"""Young calls of one trunk. When there are more, the oldest counts as one that lasted."""


class Talks:
    """The young calls of one trunk in one direction. `within`: seconds, 0 to look at none; `now`: monotonic."""

    __slots__ = ("_young", "within")

    def __init__(self, within: float) -> None:
        self.within = within
        self._young: dict[int, float] = {}
        """Number of the call → when it was answered; oldest first."""

    def answered(self, call: int, now: float) -> int:
        """A call is answered. How many others have lasted, as is known now."""
        if not self.within:
            return 0
        self._young[call] = now
        return self._grown(now)

    def recall(self, call: int, answered_at: float, now: float) -> None:
        """An earlier process has had it answered; it is still young, or nothing to us."""
        if now < answered_at + self.within:
            self._young[call] = answered_at

    def ended(self, call: int, now: float) -> tuple[float | None, int]:
        """A call is over: how many seconds it lived, if it died young, else None; and how many others have lasted."""
        grown = self._grown(now)
        answered_at = self._young.pop(call, None)
        return (None if answered_at is None else now - answered_at), grown

    def _grown(self, now: float) -> int:
        """Take out what is old enough."""
        young, count = self._young, 0
        while young:
            call, answered_at = next(iter(young.items()))
            if now < answered_at + self.within and len(young) <= TALKS_MAX:
                break
            del young[call]
            count += 1
        return count

    def __len__(self) -> int:
        return len(self._young)
