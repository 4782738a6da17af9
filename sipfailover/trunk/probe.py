"""Asking a trunk with OPTIONS: when to ask next, and what an answer means (RFC 3261 §11; `field/peers.md` §2b).

A check is one question. Usually it is one OPTIONS, and no answer within its time is a failed check. Where something
was silent it is a quick check: five OPTIONS within a second, each sent again as its timers say, so that a dead trunk is
known for sure within two seconds of the first thing that it did not answer, and a living one that lost a packet is
cleared by the first answer to any of them:

    OPTIONS leave every 3 round trips, at least 100 ms and at most 200 ms apart
    it ends after 1 s, or 8·mean + 4·variation of the round trip if that is longer, and at most after `timeout`
    all are lost by chance, at a loss of 10 % each way, with probability 0.19^13 = 4·10^-10 at most: each leaves two or
    three times

While a trunk is Up and its round trip known, one OPTIONS has as long as an INVITE would have (`trunk.roundtrip`); its
answer may come later, and is good for the quick check that has begun meanwhile.

Any answer shows that somebody is there: 405 or 404 is not "down". Silence and 503 are failures, 500 and its like earn
no way back. Where no OPTIONS was ever answered silence says nothing: such carriers are judged by calls alone. The
request itself, its transaction and the clock are the engine's; what follows for the trunk is `trunk.health`'s.
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
AFTER_ANSWER = 0.75
"""Seconds between an OPTIONS that was answered, and not well, and the next: three 503 take 1.5 s, and are Down within
two seconds as silence is; a glitch that is shorter is none."""
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
"""Checks that the loss ratio looks back on."""
QUICK_PROBES = 5
"""OPTIONS in a quick check."""
QUICK_FOR = 1.0
"""Seconds that a quick check has at least."""
QUICK_TRIPS, QUICK_GAP_LEAST, QUICK_GAP_MOST = 3.0, 0.1, 0.2
"""Round trips, seconds and seconds between two OPTIONS of a quick check."""
OFF = float("inf")
"""Seconds between OPTIONS where none is ever sent."""
GRACE = 0.05
"""Seconds by which the watchdog of an OPTIONS is later than the transaction that should end it."""


@dataclass(frozen=True, slots=True)
class ProbeRules:
    """The numbers of `monitor` that concern the asking. Seconds."""

    every: float = 10.0
    """OFF: no OPTIONS is ever sent."""
    timeout: float = 2.0


class Probe:
    """The asking of one trunk. One check at a time; `now`: seconds, monotonic.

    The engine asks when `due`, says `sent`, and ends each check with `answered` or `failed`, at the latest when
    `overdue`. So no flag can stay set for ever and stop the asking.
    """

    __slots__ = (
        "_chance", "_gap", "_grace", "_left", "_misses", "_until", "_word", "ended_at", "mute", "next_at", "quick",
        "results", "rules", "sent_at", "status",
    )  # fmt: skip

    def __init__(self, rules: ProbeRules, chance: Chance, now: float) -> None:
        self.rules = rules
        self._chance = chance
        soon = now + min(rules.every, FAST) * chance.dice()  # not all trunks in one moment
        self.next_at = OFF if self.off else soon
        self.sent_at: float | None = None
        """When the check in flight began; None if there is none."""
        self.quick = False
        """The check in flight is a quick one."""
        self.ended_at: float | None = None
        """When the last check ended, with or without an answer."""
        self.status = 0
        """What the last check was answered with, 0 for nothing."""
        self.mute = True
        """No OPTIONS was ever answered there, or none since other things are. Then silence is no news, and calls alone
        tell how it is."""
        self.results: deque[bool] = deque(maxlen=REMEMBERED)
        self._misses = 0
        self._until = self._grace = self._gap = 0.0
        self._left = 0
        self._word = ""

    @property
    def off(self) -> bool:
        """True if no OPTIONS is ever sent: then there is nothing to hurry and nothing to confirm."""
        return self.rules.every == OFF

    def use(self, rules: ProbeRules, now: float) -> None:
        """Ask by these rules from now on."""
        if rules != self.rules:
            self.rules = rules
            self.next_at = OFF if self.off else min(self.next_at, now + rules.every)
            if self.off:
                self.forget()

    def due(self, now: float) -> bool:
        """True if an OPTIONS should leave now."""
        return now >= self.next_at and (self.sent_at is None or (self.quick and self._left > 0))

    def overdue(self, now: float) -> bool:
        """True if the check in flight has had its time: call `failed`."""
        return self.sent_at is not None and now >= self._until + self._grace

    def deadline(self) -> float | None:
        """When to look again: the next OPTIONS is due, or the check in flight is overdue. None if none is ever sent."""
        if self.sent_at is None:
            return None if self.off else self.next_at
        end = self._until + self._grace
        return min(self.next_at, end) if self.quick and self._left else end

    def sent(self, now: float, health: Health, patience: float = 0.0) -> None:
        """An OPTIONS left. The next one is an interval away; `hurry` or the end of the check may bring it nearer.

        `patience`: seconds after which silence means something, if they are known.
        """
        if self.quick and self.sent_at is not None:
            self._left -= 1
            self.next_at = now + (self._gap if self._left else self.interval(health))
            return
        timeout = self.rules.timeout
        short = health.state is State.UP and health.rules.quick and 0.0 < patience < timeout
        self.sent_at, self._until = now, now + (patience if short else timeout)
        self._grace = 0.0 if short else GRACE
        self.next_at = now + self._chance.spread(self.interval(health), JITTER)

    def confirm(self, now: float, round_trip: float | None, patience: float) -> None:
        """Begin a quick check now, instead of a check in flight; nothing if that is a quick one already.

        `round_trip`: seconds, None if unknown; `patience`: as for `sent`.
        """
        if self.off or (self.quick and self.sent_at is not None):
            return
        self.quick, self.sent_at, self.next_at, self._word = True, now, now, ""
        self._left, self._grace = QUICK_PROBES, 0.0
        self._gap = min(QUICK_GAP_MOST, max(QUICK_GAP_LEAST, QUICK_TRIPS * (round_trip or QUICK_GAP_MOST)))
        self._until = now + min(max(QUICK_FOR, patience), max(self.rules.timeout, QUICK_GAP_LEAST * QUICK_PROBES))

    def forget(self) -> None:
        """The check in flight is no check: our own trouble."""
        self.sent_at, self.quick = None, False

    def concerns(self, sent_at: float) -> bool:
        """True if an OPTIONS that left then belongs to the check in flight."""
        return self.sent_at is not None and sent_at >= self.sent_at

    def hurry(self, now: float, health: Health) -> None:
        """Health has changed or a call has failed: ask as soon as the present state wants it, in doubt at once; but not
        sooner than `AFTER_ANSWER` after one, or three 503 within three round trips would be an outage."""
        if self.off or (self.quick and self.sent_at is not None):
            return
        if health.in_doubt:
            soonest = (self.ended_at or now) + min(self.rules.every, AFTER_ANSWER) if self.status else now
            self.next_at = min(self.next_at, max(now, soonest))
        else:
            self.next_at = min(self.next_at, now + self.interval(health))

    def again(self, now: float) -> None:
        """The trunk has moved to another address: ask there at once."""
        if not self.off:
            self.next_at = min(self.next_at, now)

    def answered(self, status: int, reason: str, retry_after: float, now: float) -> Evidence | None:
        """An OPTIONS has a final answer; what that is evidence of. None if no check is in flight (it came late).

        `retry_after`: seconds from the Retry-After header, 0 if there was none.
        """
        self.mute = False
        sign = meaning(status, retry_after)
        what = f"{status} {reason}".strip() + " to OPTIONS"
        return self._end(sign, status, what, retry_after, now)

    def alive(self, now: float) -> Evidence | None:
        """Something else was answered: that ends a quick check well. None if there is none."""
        return self._end(Sign.PROBE_GOOD, 0, "answered, though late", 0.0, now) if self.quick else None

    def outdone(self, heard_at: float, now: float) -> Evidence | None:
        """The end of a quick check without an answer, if something else was heard from there meanwhile: then OPTIONS
        are of no use there, until one is answered. None if there is no such check, or nothing was. `heard_at`: when."""
        if not self.quick or self.mute or not self.overdue(now) or self.sent_at is None or heard_at <= self.sent_at:
            return None
        self.mute = True
        asked, within = QUICK_PROBES - self._left, duration(now - self.sent_at)
        what = f"{asked} OPTIONS within {within} had no answer, but something else from there came"
        return self._end(Sign.PROBE_OUTDONE, 0, what, 0.0, now)

    def failed(self, what: str, now: float) -> Evidence | None:
        """No answer came (`what` empty), or the transport failed with `what`. None if no check is in flight, or if it
        is a quick one that goes on."""
        if not self.quick or self.sent_at is None:
            within = duration(self._until - self.sent_at) if self.sent_at is not None else ""
            sign = Sign.PROBE_MUTE if self.mute and not what else Sign.PROBE_FAILED
            return self._end(sign, 0, what or f"no answer within {within}", 0.0, now)
        self._word = what or self._word
        if not self.overdue(now):
            return None
        asked, within = QUICK_PROBES - self._left, duration(now - self.sent_at)
        why = f" ({self._word})" if self._word else ""
        return self._end(Sign.PROBES_SILENT, 0, f"{asked} OPTIONS within {within} had no answer{why}", 0.0, now)

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
        quick, self.quick = self.quick, False
        if sent_at is None:
            return None
        good = sign is Sign.PROBE_GOOD
        self.ended_at, self.status = now, status
        self.results.append(good)
        self._misses = 0 if good else self._misses + 1
        if quick:
            self.next_at = now + min(self.rules.every, FAST)
        return Evidence(sign, what, retry_after=retry_after, sent_at=None if quick and good else sent_at)

    def __repr__(self) -> str:
        doing = f"next at {self.next_at:.3f}" if self.sent_at is None else f"asked at {self.sent_at:.3f}"
        return f"<Probe {doing}, {self.loss_ratio:.0%} of {len(self.results)} lost>"


def meaning(status: int, retry_after: float = 0.0) -> Sign:
    """What a final answer to OPTIONS is evidence of. `retry_after`: seconds, 0 if the answer had none."""
    if status == 503 and retry_after > 0:
        return Sign.RETRY_AFTER
    return ANSWERS[status] if status in ANSWERS else ANSWERS[f"{status // 100}xx"]
