"""Sequential judgement: are more calls of a kind going wrong than usual, and is that chance? Pure arithmetic.

Each outcome moves a score by what it says for "too many go wrong" against "as usual": Page's CUSUM, which is Wald's
sequential probability ratio test begun anew whenever it has come to nothing.

    bad outcome     score + ln(p1 / p0)                  p0  the share that usually goes wrong, learnt, clamped
    good outcome    score + ln((1 - p1) / (1 - p0))      p1  the share of an outage: one half; of a brown-out: p0 + 5 %
    never below 0; where it was 0 last, that is where the trouble began
    alarm           score >= threshold

What a bad outcome weighs with p0 = 2 %: in an outage 3.22, a good one takes 0.67 away; in a brown-out 1.25 and 0.05.
So "three in a row" and "seven in a hundred instead of two" are seen by the same rule with two different p1.

The threshold comes from how often an alarm without a reason is allowed: once in ten years at the pace of this trunk, in
calls a month. A run of n bad outcomes by chance begins with every call with probability p0^n; with a good one or two
among them there are about four times as many such runs. So

    outage          ln(p1 / p0) * n,  n = ln(4 * 120 * pace) / ln(1 / p0), and at least 3

With p0 = 1 % that is three in a row up to 2,000 calls a month, four up to 200,000. For the brown-out runs say nothing,
but Wald's bound does: a score that begins with one bad outcome reaches the threshold by chance with probability
exp(-(threshold - ln(p1 / p0))) at most, and p0 * pace scores a month begin. So

    brown-out       ln(p1 / p0) + ln(120 * pace * p0)

which is 11.2 for 8,800 calls a month and p0 = 2 %: at 7 % bad calls, 0.039 are gained with each call, and about 290
calls are enough. `tests/trunk/test_judgement.py` lives through the months.

The same number again, within the time a score is held, says nothing new: one broken number is no broken trunk. A score
is held for a while after the last bad outcome and then halves with each such while: a quiet night makes all well.
"""

from dataclasses import dataclass
from math import ceil, exp, log

FALSE_ALARM_MONTHS = 120.0
"""Ten years: one alarm without a reason in so many months."""
RUNS = 4.0
"""So many times more runs of bad outcomes there are with a good one or two among them."""
MONTH, PACE_MEMORY = 30 * 86400.0, 7 * 86400.0
"""Seconds. The pace is that of the last week or so."""
PACE_LEAST = 100.0
"""Calls a month: what is assumed of a trunk that nobody knows yet."""
PRIOR = 200.0
"""Outcomes that the assumed share is worth, before others were seen."""
USUAL_MEMORY = 5000.0
"""Outcomes over which the usual share is learnt."""
FAINT = 0.01
"""A score below this is none."""
NUMBERS_MAX = 32
"""Bad outcomes that are remembered with number and words. A further one pushes the oldest out."""


@dataclass(frozen=True, slots=True)
class Chart:
    """One question that is asked of a series of outcomes."""

    rule: str
    """Its name, as the transition shows it."""
    share: float = 0.5
    """p1, if `excess` is 0."""
    excess: float = 0.0
    """p1 above p0, if it is not 0."""
    at_least: int = 3
    """Bad outcomes in a row that are always needed."""

    def weights(self, usual: float) -> tuple[float, float]:
        """What a bad and a good outcome add, with this p0."""
        share = usual + self.excess if self.excess else self.share
        return log(share / usual), log((1.0 - share) / (1.0 - usual))

    def threshold(self, usual: float, pace: float) -> float:
        """The score that is an alarm. `pace`: outcomes a month."""
        bad = self.weights(usual)[0]
        if self.excess:
            wanted = bad + log(max(1.0, FALSE_ALARM_MONTHS * pace * usual))
        else:
            wanted = bad * log(RUNS * FALSE_ALARM_MONTHS * pace) / log(1.0 / usual)
        return max(self.at_least * bad, wanted)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of outcome: what is usual of it, and for how long it is news."""

    charts: tuple[Chart, ...]
    usual: float
    """The share of bad ones that is assumed at first …"""
    least: float
    most: float
    """… and between which shares it is learnt."""
    held: float
    """Seconds a score is held after the last bad outcome; then it halves with every such time."""


FAULTS = Kind((Chart("faults in a row"), Chart("more faults than usual", excess=0.05)), 0.01, 0.005, 0.02, 10800.0)
"""Calls that a carrier fails: fault codes, 100 and then nothing, no answer at all."""
REFUSALS = Kind((Chart("refused everywhere", share=0.6),), 0.05, 0.02, 0.2, 600.0)
"""403, 404, 480, 484, 603, 604: ordinary for a number or a caller, but not for one number after the other."""
DROPS = Kind((Chart("answered calls die"),), 0.05, 0.02, 0.15, 600.0)
"""Answered calls that the network ends within seconds: three different numbers in ten minutes, and more where short
calls are usual."""
SLOWNESS = Kind((Chart("slow to ring"),), 0.05, 0.02, 0.2, 600.0)
"""Calls that take much longer to ring than this trunk usually takes."""


class Score:
    """One running score. `bad` of `seen` outcomes since it was 0 last, the first of them at `since`."""

    __slots__ = ("bad", "seen", "since", "value")

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing is the matter."""
        self.value = 0.0
        self.bad = 0
        self.seen = 0
        self.since = 0.0

    def move(self, by: float, most: float, bad: bool, now: float) -> None:
        """One outcome. `most`: an alarm is an alarm; more would only make its end late."""
        if self.value == 0.0:
            if not bad:
                return
            self.bad = self.seen = 0
            self.since = now
        self.value = min(most, max(0.0, self.value + by))
        self.seen += 1
        self.bad += bad


class Series:
    """The outcomes of one kind at one trunk. `now`: seconds, monotonic."""

    __slots__ = (
        "_bad", "_calls", "_faded_at", "_last", "_last_bad", "_learnt_bad", "_learnt_seen", "_seen", "kind", "recent",
        "scores",
    )  # fmt: skip

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self.scores = tuple(Score() for _ in kind.charts)
        self.recent: dict[str, tuple[float, str]] = {}
        """Number → (when, what happened), the newest last."""
        self._calls = 0.0
        self._last = 0.0
        self._last_bad = self._faded_at = 0.0
        self._learnt_bad = self._learnt_seen = 0.0
        self._bad = self._seen = 0.0

    # -- what happens -------------------------------------------------------------------------------------------------

    def bad(self, number: str, what: str, now: float) -> bool:
        """One that went wrong. False if it says nothing new. `number`: "" for what has nothing to do with any."""
        self._let_time_pass(now)
        again = number and number in self.recent
        self.recent.pop(number, None)
        self.recent[number or f"#{now}"] = (now, what)
        if len(self.recent) > NUMBERS_MAX:
            del self.recent[next(iter(self.recent))]
        if again:
            return False
        self._move(True, now)
        return True

    def good(self, now: float, times: int = 1) -> None:
        """So many that went well. On the path."""
        self._let_time_pass(now)
        for _ in range(times):
            self._move(False, now)

    def clear(self) -> None:
        """Forget the trouble, and what it would have taught: the usual share stays."""
        self.recent.clear()
        self._bad = self._seen = 0.0
        for score in self.scores:
            score.clear()

    # -- what it comes to ---------------------------------------------------------------------------------------------

    @property
    def usual(self) -> float:
        """p0: the share that goes wrong on ordinary days."""
        kind = self.kind
        share = (kind.usual * PRIOR + self._learnt_bad) / (PRIOR + self._learnt_seen)
        return min(kind.most, max(kind.least, share))

    @property
    def pace(self) -> float:
        """Outcomes a month."""
        return max(PACE_LEAST, self._calls * MONTH / PACE_MEMORY)

    @property
    def level(self) -> float:
        """How far the worst score is: 1.0 is an alarm."""
        usual, pace = self.usual, self.pace
        charts = zip(self.kind.charts, self.scores, strict=True)
        return max(score.value / chart.threshold(usual, pace) if score.value else 0.0 for chart, score in charts)

    @property
    def alarm(self) -> Chart | None:
        """The question that is answered with yes; None if none is."""
        usual, pace = self.usual, self.pace
        for chart, score in zip(self.kind.charts, self.scores, strict=True):
            if score.value and score.value >= chart.threshold(usual, pace) - 1e-9:
                return chart
        return None

    @property
    def needed(self) -> int:
        """How many in a row would be an alarm, beginning now."""
        chart, usual = self.kind.charts[0], self.usual
        return ceil(chart.threshold(usual, self.pace) / chart.weights(usual)[0] - 1e-9)

    def counted(self, now: float) -> tuple[int, int, float]:
        """(bad, of all, within seconds) of the score that is furthest; zeros if nothing is the matter."""
        usual, pace = self.usual, self.pace
        worst = max(
            zip(self.kind.charts, self.scores, strict=True),
            key=lambda pair: pair[1].value / pair[0].threshold(usual, pace),
        )[1]
        return (worst.bad, worst.seen, now - worst.since) if worst.value else (0, 0, 0.0)

    def kinds(self, bad: int) -> str:
        """What the last so many bad ones were, each once: `503 Service Unavailable and no answer within 0.8 s`."""
        return " and ".join(dict.fromkeys(what for _, what in list(self.recent.values())[-bad:]))

    # -- inside -------------------------------------------------------------------------------------------------------

    def _move(self, bad: bool, now: float) -> None:
        self._calls += 1.0
        self._bad += bad
        self._seen += 1.0
        if bad:
            self._last_bad = now
        if bad or self._in_trouble:
            usual, pace = self.usual, self.pace
            for chart, score in zip(self.kind.charts, self.scores, strict=True):
                score.move(chart.weights(usual)[not bad], chart.threshold(usual, pace), bad, now)
        if not self._in_trouble:
            self._learn()

    @property
    def _in_trouble(self) -> bool:
        for score in self.scores:  # noqa: SIM110 (a third of what `any` takes, six times a call)
            if score.value:
                return True
        return False

    def _learn(self) -> None:
        """What came to nothing is usual. An outage never gets here, so it teaches nothing."""
        keep = max(0.0, 1.0 - self._seen / USUAL_MEMORY)
        self._learnt_bad = self._learnt_bad * keep + self._bad
        self._learnt_seen = self._learnt_seen * keep + self._seen
        self._bad = self._seen = 0.0

    def _let_time_pass(self, now: float) -> None:
        if now <= self._last:
            return
        self._calls *= exp((self._last - now) / PACE_MEMORY)
        self._last = now
        held = self.kind.held
        since = max(self._last_bad + held, self._faded_at)
        if now > since and self._in_trouble:
            for score in self.scores:
                score.value *= 0.5 ** ((now - since) / held)
                if score.value < FAINT:
                    score.value = 0.0
        self._faded_at = now
        while self.recent and next(iter(self.recent.values()))[0] <= now - held:
            del self.recent[next(iter(self.recent))]
