"""How long a trunk takes to answer, and how long silence has to last before a call goes elsewhere.

Smoothing as in RFC 6298 §2 (gain 1/8 for the mean, 1/4 for the variation), over two kinds of samples: OPTIONS to its
answer, and INVITE to its first answer. The slower kind decides, because some trunks answer OPTIONS in 20 ms and think
about an INVITE for a second. Who runs the clock is `proxy`; the configured bound is never exceeded.

Samples of probes must be unambiguous (Karn: nothing that was retransmitted). A sample of a call runs from the first
transmission of the INVITE, retransmitted or not, and also when the answer came after we had gone elsewhere, up to the
configured bound: such a sample can only be too long, which errs towards patience. Leaving them out would mean that a
trunk slower than t1 never teaches us anything.

The arithmetic of the no-answer clock:

    bound = 8·mean + 4·variation, at least 0.8 s, at most what is configured (which also holds before the first sample)
    t1    = bound / 4.5, at most 0.5 s (T1 of RFC 3261)

An INVITE over UDP then leaves at 0, t1 and 3·t1 (timer A doubles), and 1.5·t1 remain for the answer to the last one:
a third of the bound, or 2.7 round trips and more. So a trunk is given up only when three packets or their answers were
lost in a row. 0.8 s is what "the caller hears ringing within a second" leaves for the dead trunk: round trips under
50 ms give 8·50 + 4·50 = 600 ms at the very most, so 0.8 s rules, t1 is 178 ms, and the backup has 200 ms to ring.
A trunk that takes 400 ms over an INVITE is well inside, and after its first call its clock is at the configured bound.
"""

from typing import NamedTuple

from sipfailover.trunk.recent import Recent

SHORTEST_BOUND = 0.8
"""Seconds. Below this one slow moment of a healthy carrier (a database, a lost packet) would send calls away."""
MEANS = 8
VARIATIONS = 4
T1 = 0.5
"""Seconds, RFC 3261 §17.1.1.1: first retransmission when nothing is known of the path."""
T1_SHARES = 4.5
"""Retransmissions at 1 and 3 shares, 1.5 shares for the last answer."""


class NoAnswer(NamedTuple):
    """The no-answer clock of one attempt, both in seconds."""

    bound: float
    """After so long without any answer the call goes to the next trunk."""
    t1: float
    """First retransmission; doubles as timer A does. Without meaning on TCP and TLS."""


def fixed(bound: float) -> NoAnswer:
    """The no-answer clock with this bound, in seconds."""
    return NoAnswer(bound, min(T1, bound / T1_SHARES))


class Smoothed:
    """Mean and variation of one kind of samples, RFC 6298 §2.2 and §2.3. Seconds; None before the first."""

    __slots__ = ("mean", "variation")

    def __init__(self) -> None:
        self.mean: float | None = None
        self.variation = 0.0

    def observe(self, seconds: float) -> None:
        """Take one sample. On the path."""
        mean = self.mean
        if mean is None:
            self.mean, self.variation = seconds, seconds / 2
        else:
            self.variation += (abs(mean - seconds) - self.variation) / 4
            self.mean = mean + (seconds - mean) / 8

    @property
    def patience(self) -> float:
        """Seconds after which silence of such a peer means something; 0 before the first sample."""
        return 0.0 if self.mean is None else MEANS * self.mean + VARIATIONS * self.variation


class RoundTrip:
    """What the round trips of one trunk teach."""

    __slots__ = ("calls", "first_answers", "probes")

    def __init__(self) -> None:
        self.probes = Smoothed()
        self.calls = Smoothed()
        self.first_answers = Recent()
        """The samples of calls themselves."""

    def observe(self, seconds: float, *, call: bool = False) -> None:
        """Take one sample in seconds: OPTIONS to its answer, or (`call`) INVITE to its first answer. On the path."""
        if call:
            self.calls.observe(seconds)
            self.first_answers.observe(seconds)
        else:
            self.probes.observe(seconds)

    @property
    def _slower(self) -> Smoothed:
        return max(self.probes, self.calls, key=lambda kind: kind.patience)

    @property
    def smoothed(self) -> float | None:
        """Mean round trip of the slower kind in seconds, None before the first sample."""
        return self._slower.mean

    @property
    def patience(self) -> float:
        """Seconds that an OPTIONS may take before its silence means something, as measured; 0 before the first."""
        return self.probes.patience

    @property
    def variation(self) -> float:
        """Its mean deviation in seconds, 0 before the first sample."""
        return self._slower.variation

    def no_answer(self, configured: float) -> NoAnswer:
        """The no-answer clock for an attempt that starts now. `configured`: seconds, `failover.no_answer_within`."""
        patience = self._slower.patience
        return fixed(min(configured, max(SHORTEST_BOUND, patience)) if patience else configured)

    def __repr__(self) -> str:
        if self.smoothed is None:
            return "<RoundTrip not measured>"
        return f"<RoundTrip {self.smoothed * 1000:.0f} ms ± {self.variation * 1000:.0f} ms>"
