"""How long a trunk takes until a telephone rings: what it usually takes, what is slow, and how long to wait for it.

A sample runs from INVITE to the first 18x other than 100, or to the moment where we stopped waiting for one. It depends
on who is called (a mobile telephone abroad takes ten times what the neighbour takes), so one slow call means nothing;
`trunk.judgement` counts them. The history is robust: what is slow moves it no more than the slowest ordinary call.

    mean       moves by 1/32 of what a sample differs from it, the variation by 1/16 (RFC 6298's form, slower gains);
               a slow sample counts as the slowest ordinary one, and not for the variation
    slow       above mean + 4·variation, above 2·mean, and by 1 s above the mean
    no ringing the call goes to the next trunk after mean + 8·variation, at least 4·mean, at least 6 s, at most what is
               configured; so a trunk that rings in 2 s with little variation is given up after 8 s instead of 12 s

Before ten samples nothing is slow, and the configured bound holds.

Beside it stand the last times to ringing themselves, a slow one as the slowest ordinary one (`recent`): only telephones
that rang, because how long we wait for nothing says nothing of how long is usual.
"""

from sipfailover.trunk.recent import Recent

SAMPLES_NEEDED = 10
MEAN_GAIN, VARIATION_GAIN = 1 / 32, 1 / 16
SLOW_VARIATIONS, SLOW_MEANS, SLOW_BY = 4.0, 2.0, 1.0
SHORTEST_BOUND = 6.0
"""Seconds. Less is no sign of anything: networks look for mobile telephones that long."""
BOUND_VARIATIONS, BOUND_MEANS = 8.0, 4.0


class SetUpTime:
    """The history of one trunk. Seconds."""

    __slots__ = ("mean", "recent", "samples", "variation")

    def __init__(self) -> None:
        self.mean = 0.0
        self.variation = 0.0
        self.samples = 0
        self.recent = Recent()

    @property
    def known(self) -> bool:
        """True once there were enough calls to compare with."""
        return self.samples >= SAMPLES_NEEDED

    @property
    def slow_above(self) -> float:
        """What takes longer is slow."""
        return max(self.mean + SLOW_VARIATIONS * self.variation, SLOW_MEANS * self.mean, self.mean + SLOW_BY)

    def observe(self, seconds: float, *, rang: bool = True) -> bool | None:
        """Take one sample: True if it was slow, None if nobody can say yet. `rang`: False if we stopped waiting. On the
        path."""
        if not self.samples:
            self.mean, self.variation, self.samples = seconds, seconds / 2, 1
            if rang:
                self.recent.observe(seconds)
            return None
        self.samples += 1
        slow = None
        if self.samples > SAMPLES_NEEDED:
            limit = self.slow_above
            slow = seconds > limit
            seconds = min(seconds, limit)
            mean_gain, variation_gain = MEAN_GAIN, VARIATION_GAIN
        else:
            mean_gain, variation_gain = 1 / self.samples, 1 / 4  # the first ones: their plain mean
        if rang:
            self.recent.observe(seconds)
        if not slow:
            self.variation += (abs(self.mean - seconds) - self.variation) * variation_gain
        self.mean += (seconds - self.mean) * mean_gain
        return slow

    def no_ringing(self, configured: float) -> float:
        """The no-ringing clock for an attempt that starts now. `configured`: `failover.no_ringing_within`."""
        if not self.known:
            return configured
        measured = max(SHORTEST_BOUND, BOUND_MEANS * self.mean, self.mean + BOUND_VARIATIONS * self.variation)
        return min(configured, measured)

    def __repr__(self) -> str:
        return f"<SetUpTime {self.mean:.1f} s ± {self.variation:.1f} s over {self.samples} calls>"
