"""Load: how many calls may begin while we are behind with our work, and whose. Pure; RFC 7339 has the words for it.

Calls that go on, answers and calls for help are not asked about here. New calls are let in as they come until we are
`LATE`. Then a rate for all together is set, made smaller while we stay late and larger while we are not, and shared so
that who wants little gets all of it: what one mad source offers takes nothing from the others (max-min fairness).

    share = the level L with  sum(min(wanted, L)) = rate,  never below SHARE_MIN

Who wants more than `MAD` times its share is beyond help, and gets SHARE_MIN: a share of such a flood is as good as
none to whoever is in it, and to serve it would keep us just as late as we can stand.
"""

LATE = 0.1
"""Seconds behind from which new calls are refused. A caller does not notice so much, and at twice of it the first
requests come again (RFC 3261 T1 is 0.5 s), which makes everything worse."""
CALM = 0.03
"""Seconds behind below which more are let in again. Between the two nothing changes."""
SHARE_MIN = 20.0
"""Calls a second that every source may begin, however late we are. They take a few per cent of one core; if that is
too much, refusing calls is no remedy."""
BURST, BURST_MIN = 0.25, 60
"""Seconds of its share that a source may use at once, and calls at least. When we had no CPU for seconds, what a quiet
PBX has asked meanwhile comes at once, and some of it twice: that is no flood."""
LESS, MORE = 0.5, 1.1
"""What the rate is multiplied with at each look, late or calm: what goes in 0.1 s is back in 0.7 s. What waits has to
be worked off before it shows whether the rate is right, so it is made small at once and larger with care."""
CEILING = 0.9
"""Of what was let in when we became late: up to there the rate grows by MORE."""
BEYOND, USED = 1.01, 0.8
"""By what it grows beyond that, and how much of it must be used for that."""
MAD = 10.0
"""See above."""
OVER_AFTER = 0.5
"""Seconds for which all that is offered must fit into the rate until calls are let in as they come again."""
LOAD_SOURCES_MAX = 256
"""Sources that have a share of their own. Those beyond it have one together; who does not call is forgotten."""

OTHERS = ""


class Load:
    """`may` is asked for each new call, `look` some ten times a second. `now`: seconds, monotonic."""

    __slots__ = (
        "_ceiling",
        "_fits_since",
        "_full_at",
        "_let_in",
        "_looked_at",
        "_offered",
        "_want",
        "behind",
        "from_mad",
        "mad",
        "rate",
        "share",
    )

    def __init__(self, now: float) -> None:
        self.behind = 0.0
        """Seconds, as of the last look."""
        self.rate: float | None = None
        """New calls a second, of all together; None: as they come."""
        self.share = 0.0
        """Of one source, while there is a rate."""
        self._looked_at = now
        self._let_in = 0
        self._offered: dict[str, int] = {}
        """Source → calls since the last look."""
        self._want: dict[str, float] = {}
        """Source → calls a second that it wants, smoothed."""
        self._full_at: dict[str, float] = {}
        """Source → when it has its whole burst again."""
        self.mad: frozenset[str] = frozenset()
        """Sources that are beyond help. They are known by what comes, so what is kept from us counts (`look`)."""
        self.from_mad = 0
        """Calls that they wanted to begin and that came to us, since the start."""
        self._ceiling = 0.0
        """Calls a second that we could begin, as far as we know."""
        self._fits_since: float | None = None

    @property
    def sources(self) -> int:
        """Sources that call."""
        return len(self._want)

    def may(self, source: str, now: float) -> bool:
        """Whether a call from there may begin. On the path: one look-up while nothing is wrong."""
        offered = self._offered
        if source not in offered and len(offered) >= LOAD_SOURCES_MAX:
            source = OTHERS
        offered[source] = offered.get(source, 0) + 1
        if self.rate is not None:
            mad = source in self.mad
            self.from_mad += mad
            every = 1.0 / (SHARE_MIN if mad else self.share)
            full_at = max(now, self._full_at.get(source, 0.0))
            if full_at > now + max(BURST, BURST_MIN * every) - every:
                return False
            self._full_at[source] = full_at + every
        self._let_in += 1
        return True

    def look(self, behind: float, now: float, seen: float = 1.0) -> bool:
        """So many seconds we are behind. `seen`: the share that comes to us of what those want who are `mad`. True if
        refusing begins or ends with that."""
        passed = now - self._looked_at
        if passed <= 0.0:
            return False
        self._looked_at = now
        before, self.behind = self.behind, behind
        let_in, self._let_in = self._let_in / passed, 0
        self._measure(passed, seen)
        was_none = self.rate is None
        wanted = sum(self._want.values())
        floor = SHARE_MIN * max(1, len(self._want))
        if behind >= LATE:
            could = let_in if self.rate is None else min(self.rate, wanted)
            if before < LATE:
                self._ceiling = CEILING * min(let_in, could)
            if before < LATE or behind >= before:  # otherwise what waits is being worked off
                self.rate = max(floor, LESS * could)
        elif behind < CALM and self.rate is not None:
            if self.rate < self._ceiling:
                self.rate = min(self._ceiling, MORE * self.rate)
            elif let_in >= USED * self.rate:
                self.rate *= BEYOND
            self.rate = max(floor, self.rate)
            self._end_if_it_fits(wanted, now)
        if self.rate is None:
            self._full_at.clear()
            self.mad = frozenset()
        else:
            self.share = max(SHARE_MIN, share_of(self.rate, list(self._want.values())))
            self.mad = frozenset(source for source, want in self._want.items() if want > MAD * self.share)
        return was_none != (self.rate is None)

    def _end_if_it_fits(self, wanted: float, now: float) -> None:
        assert self.rate is not None
        if wanted > self.rate:
            self._fits_since = None
        elif self._fits_since is None:
            self._fits_since = now
        elif now - self._fits_since >= OVER_AFTER:
            self.rate = self._fits_since = None

    def _measure(self, passed: float, seen: float) -> None:
        """What each source wants: half of it is what came since the last look. Who is silent is forgotten in time."""
        offered, self._offered = self._offered, {}
        want = {source: 0.5 * rate for source, rate in self._want.items() if rate > 0.5 or source in offered}
        for source, number in offered.items():
            count = number / seen if source in self.mad else number
            want[source] = want.get(source, 0.0) + 0.5 * count / passed
        self._want = want

    def __repr__(self) -> str:
        if self.rate is None:
            return f"<Load {self.behind * 1000:.0f} ms behind, calls as they come>"
        return f"<Load {self.behind * 1000:.0f} ms behind, {self.rate:.0f} calls/s, {self.share:.0f} of one source>"


def share_of(rate: float, wanted: list[float]) -> float:
    """The level up to which everybody gets what he wants, so that all together get `rate`. Calls a second."""
    left, level = rate, rate
    for position, want in enumerate(sorted(wanted)):
        level = left / (len(wanted) - position)
        if want >= level:
            return level
        left -= want
    return level
