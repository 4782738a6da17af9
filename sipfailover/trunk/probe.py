"""Asking a trunk with OPTIONS: when to ask next, and what an answer means (RFC 3261 §11; `field/peers.md` §2b).

Any answer shows that somebody is there: 405 or 404 is not "down". Silence and 503 are failures, 500 and its like earn
no way back. The request itself, its transaction and the clock are the engine's; what follows for the trunk is
`trunk.health`'s.
"""

from collections import deque
from dataclasses import dataclass

from sipfailover.chance import Chance
from sipfailover.trunk.evidence import Evidence, Sign, State, duration
from sipfailover.trunk.health import Health

ANSWERS: dict[int | str, Sign] = {
    "2xx": Sign.PROBE_GOOD,
    "3xx": Sign.PROBE_GOOD,
    "4xx": Sign.PROBE_GOOD,  # 401 403 404 405 407 480 483 …: answered by somebody who is alive
    "5xx": Sign.PROBE_UNWELL,
    "6xx": Sign.PROBE_GOOD,
    408: Sign.PROBE_UNWELL,  # the edge is there, what is behind it did not answer
    501: Sign.PROBE_GOOD,  # does not know OPTIONS, as 405
    503: Sign.PROBE_503,
    505: Sign.PROBE_FAILED,  # a SIP peer that does not speak SIP/2.0 carries no call of ours
}
"""What a final answer to OPTIONS means, by status or else by class. 503 with Retry-After is RETRY_AFTER."""

FAST = 1.0
"""Seconds between probes while Suspect, unless `every` is shorter: the question is settled in a few seconds."""
JITTER = 0.1
"""Share by which intervals vary, so that many boxes do not ask a carrier in the same moment."""
SLOWEST = 30.0
"""Seconds. Towards a trunk that stays Down the interval grows up to this …"""
SLOWEST_TIMES = 3.0
"""… or this many times `every`, whichever is less …"""
LONG = 10.0
"""… and only where `every` is at least so long, in seconds: who configured a short interval wants it."""
GROWTH = 1.5
REMEMBERED = 20
"""Probes that the loss ratio looks back on."""


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """The numbers of `monitor` that concern the asking. Seconds."""

    every: float = 10.0
    timeout: float = 2.0


class Probe:
    """The asking of one trunk. One probe at a time; `now`: seconds, monotonic.

    The engine asks when `due`, says `sent`, and ends each probe with `answered` or `failed`, at the latest when
    `overdue`. So no flag can stay set for ever and stop the asking.
    """

    __slots__ = ("_chance", "_misses", "ended_at", "next_at", "results", "rules", "sent_at", "status")

    def __init__(self, rules: ProbeRules, chance: Chance, now: float) -> None:
        self.rules = rules
        self._chance = chance
        self.next_at = now + min(rules.every, FAST) * chance.dice()  # soon, but not all trunks in one moment
        self.sent_at: float | None = None
        """When the probe in flight left; None if there is none."""
        self.ended_at: float | None = None
        """When the last probe ended, with or without an answer."""
        self.status = 0
        """What the last probe was answered with, 0 for nothing."""
        self.results: deque[bool] = deque(maxlen=REMEMBERED)
        self._misses = 0

    def due(self, now: float) -> bool:
        """True if an OPTIONS should leave now."""
        return self.sent_at is None and now >= self.next_at

    def overdue(self, now: float) -> bool:
        """True if the probe in flight has had its time: call `failed`."""
        return self.sent_at is not None and now >= self.sent_at + self.rules.timeout

    def deadline(self) -> float:
        """When to look again: the next probe is due, or the one in flight is overdue."""
        return self.next_at if self.sent_at is None else self.sent_at + self.rules.timeout

    def sent(self, now: float, health: Health) -> None:
        """An OPTIONS left. The next one is an interval away; `hurry` or the end of this one may bring it nearer."""
        self.sent_at = now
        self.next_at = now + self._chance.spread(self.interval(health), JITTER)

    def hurry(self, now: float, health: Health) -> None:
        """Health has changed or a call has failed: ask as soon as the present state wants it, in doubt at once."""
        if health.in_doubt:
            self.next_at = min(self.next_at, now)
        else:
            self.next_at = min(self.next_at, now + self.interval(health))

    def again(self, now: float) -> None:
        """The trunk has moved to another address: ask there at once."""
        self.next_at = min(self.next_at, now)

    def answered(self, status: int, reason: str, retry_after: float, now: float) -> Evidence | None:
        """The OPTIONS in flight has a final answer; what that is evidence of. None if none is in flight (it came late).

        `retry_after`: seconds from the Retry-After header, 0 if there was none.
        """
        sign = meaning(status, retry_after)
        what = f"{status} {reason}".strip() + " to OPTIONS"
        return self._end(sign, status, what, retry_after, now)

    def failed(self, what: str, now: float) -> Evidence | None:
        """No answer came (`what` empty), or the transport failed with `what`. None if no probe is in flight."""
        return self._end(Sign.PROBE_FAILED, 0, what or f"no answer within {duration(self.rules.timeout)}", 0.0, now)

    def interval(self, health: Health) -> float:
        """Seconds between two probes as things stand, without jitter."""
        every = self.rules.every
        if health.in_doubt:
            return min(every, FAST)
        if health.state is State.DOWN and LONG <= every < SLOWEST:
            return min(every * GROWTH ** min(self._misses, 10), every * SLOWEST_TIMES, SLOWEST)
        return every

    @property
    def loss_ratio(self) -> float:
        """Share of the last 20 probes without an answer that counts, 0 before the first."""
        return self.results.count(False) / len(self.results) if self.results else 0.0

    def _end(self, sign: Sign, status: int, what: str, retry_after: float, now: float) -> Evidence | None:
        sent_at, self.sent_at = self.sent_at, None
        if sent_at is None:
            return None
        good = sign is Sign.PROBE_GOOD
        self.ended_at, self.status = now, status
        self.results.append(good)
        self._misses = 0 if good else self._misses + 1
        return Evidence(sign, what, retry_after=retry_after, sent_at=sent_at)

    def __repr__(self) -> str:
        doing = f"next at {self.next_at:.3f}" if self.sent_at is None else f"asked at {self.sent_at:.3f}"
        return f"<Probe {doing}, {self.loss_ratio:.0%} of {len(self.results)} lost>"


def meaning(status: int, retry_after: float = 0.0) -> Sign:
    """What a final answer to OPTIONS is evidence of. `retry_after`: seconds, 0 if the answer had none."""
    if status == 503 and retry_after > 0:
        return Sign.RETRY_AFTER
    return ANSWERS[status] if status in ANSWERS else ANSWERS[f"{status // 100}xx"]
