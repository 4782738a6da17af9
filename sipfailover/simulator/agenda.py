"""When things happen in a scenario: moments, busy hours, and faults that come and go, as people write them.

Values and pure arithmetic. Times inside are seconds since the start of the scenario; the wall clock is local time
without a zone, because a scenario has one place and no change of the clocks in it.
"""

import re
from bisect import bisect_right
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from sipfailover.chance import Chance
from sipfailover.config import duration

HOUR = 3600.0
DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
GROUPS = {"weekday": range(0, 5), "weekend": range(5, 7), "daily": range(0, 7), **{
    day: range(index, index + 1) for index, day in enumerate(DAYS)
}}  # fmt: skip
SPANS_MAX = 100_000
"""Times a fault comes and goes in one scenario; it stays away after that."""
RATE_MAX = 100_000.0
"""Calls in an hour."""

_HOURS = re.compile(r"(?:([a-z]+)\s*)?(?:(\d\d?)(?::00)?\s*-\s*(\d\d?)(?::00)?)?")
_STAY = r"(\d+(?:\.\d+)?)(?:\s*-\s*(\d+(?:\.\d+)?))?\s*(ms|s|sec|m|min|h|d)"
_BOTH = re.compile(rf"on/off\s+{_STAY}")
_EACH = re.compile(rf"on\s+{_STAY}\s*,?\s*off\s+{_STAY}")
_UNITS = {"ms": 0.001, "s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": HOUR, "d": 86400.0}
_FORMS = ("%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d")

Span = tuple[float, float]
"""From, to, in seconds."""


# -- moments ----------------------------------------------------------------------------------------------------------


def moment(value: object) -> object:
    """A moment as it is written: `2018-01-08 10:38`, or `+2h 30m` after the start of the scenario."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.split())
    if text.startswith("+"):
        try:
            return timedelta(seconds=float(str(duration(text[1:]))))
        except ValueError:
            raise ValueError(f"'{value}' is no time after the start: write for example +2h 30m") from None
    for form in _FORMS:
        try:
            return datetime.strptime(text, form)
        except ValueError:
            continue
    raise ValueError(f"'{value}' is not a moment: write 2018-01-08 10:38, or +2h 30m after the start")


def day(value: object) -> object:
    """The moment at which a scenario starts: a date, with or without a time."""
    found = moment(value)
    if isinstance(found, timedelta):
        raise ValueError(f"'{value}' has nothing to count from: write a date, as in 2018-01-08 08:00")
    return found


_MOMENT = WithJsonSchema({"type": "string", "examples": ["2018-01-08 10:38", "+2h 30m"]})
Moment = Annotated[datetime | timedelta, BeforeValidator(moment), _MOMENT]
Day = Annotated[datetime, BeforeValidator(day), _MOMENT]


def seconds_after(start: datetime, when: datetime | timedelta) -> float:
    """A moment as seconds after the start."""
    return (when if isinstance(when, timedelta) else when - start).total_seconds()


# -- busy hours -------------------------------------------------------------------------------------------------------


class Rule(NamedTuple):
    """So many calls an hour on these days of the week (0 is Monday), from this hour up to that one."""

    days: frozenset[int]
    first: int
    last: int
    rate: float


@dataclass(frozen=True, slots=True)
class Hours:
    """Calls in an hour, by the hour of the week. The first rule that fits is taken, else `otherwise`."""

    rules: tuple[Rule, ...]
    otherwise: float

    def rate(self, at: datetime) -> float:
        """Calls in an hour at this moment."""
        weekday, hour = at.weekday(), at.hour
        for rule in self.rules:
            if weekday in rule.days and rule.first <= hour < rule.last:
                return rule.rate
        return self.otherwise

    def moments(self, start: datetime, seconds: float, chance: Chance) -> list[float]:
        """When calls begin: as many as the hour says on average, each at any moment of it (a Poisson process would
        have the same mean; this is one, drawn hour by hour)."""
        found: list[float] = []
        begin = 0.0
        while begin < seconds:
            end = min(seconds, begin + _to_next_hour(start + timedelta(seconds=begin)))
            rate = self.rate(start + timedelta(seconds=begin))
            found += sorted(
                begin + (end - begin) * chance.dice() for _ in range(poisson(rate * (end - begin) / HOUR, chance))
            )
            begin = end
        return found


def _to_next_hour(at: datetime) -> float:
    return HOUR - (at.minute * 60 + at.second + at.microsecond / 1e6)


def poisson(mean: float, chance: Chance) -> int:
    """A number of independent events with this mean: how many exponential waits fit into it."""
    count, spent = 0, chance.wait(1.0)
    while spent < mean:
        count += 1
        spent += chance.wait(1.0)
    return count


def hours(value: object) -> object:
    """`40`, or `{weekday 08-18: 40, saturday 09-12: 10, else: 2}`: the first that fits is taken."""
    if isinstance(value, Hours):
        return value
    if not isinstance(value, dict):
        return Hours((), _rate(value))
    rules: list[Rule] = []
    otherwise = 0.0
    for key, rate in value.items():
        text = " ".join(str(key).lower().split())
        if text == "else":
            otherwise = _rate(rate)
            continue
        match = _HOURS.fullmatch(text)
        days = GROUPS.get(match[1] or "daily") if match else None
        if match is None or days is None or not text:
            raise ValueError(f"'{key}' is not a time of the week: write weekday 08-18, saturday 09-12, 22-24 or else")
        first, last = int(match[2] or 0), int(match[3] or 24)
        if not 0 <= first < last <= 24:
            raise ValueError(f"'{key}' is not a span of hours: write for example 08-18, at most to 24")
        rules.append(Rule(frozenset(days), first, last, _rate(rate)))
    return Hours(tuple(rules), otherwise)


def _rate(value: object) -> float:
    try:
        rate = float(str(value))
    except ValueError:
        rate = -1.0
    if not 0 <= rate <= RATE_MAX:
        raise ValueError(f"'{value}' is not a number of calls in an hour, from 0 to {RATE_MAX:.0f}")
    return rate


CallsPerHour = Annotated[
    Hours,
    BeforeValidator(hours),
    WithJsonSchema({"type": ["number", "object"], "examples": [40, {"weekday 08-18": 40}]}),
]


# -- shares -----------------------------------------------------------------------------------------------------------


def share(value: object) -> object:
    """A share from 0 to 1: `30%`, `30 %` or `0.3`."""
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    try:
        found = float(text[:-1]) / 100 if text.endswith("%") else float(text)
    except ValueError:
        raise ValueError(f"'{value}' is not a share: write 30% or 0.3") from None
    if not 0 <= found <= 1:
        raise ValueError(f"'{value}' is not a share: from 0 to 1, or 0% to 100%")
    return found


Share = Annotated[
    float, BeforeValidator(share), WithJsonSchema({"type": ["string", "number"], "examples": ["30%", 0.3]})
]


# -- faults that come and go ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pattern:
    """How a fault comes and goes: seconds on, seconds off, each drawn between two bounds; begins with on."""

    word: str = "always"
    """`always`, `swizzle`, or as it was written."""
    on: Span = (0.0, 0.0)
    off: Span = (0.0, 0.0)

    def spans(self, first: float, last: float, chance: Chance) -> list[Span]:
        """When it is on, between two moments."""
        if self.on[1] <= 0.0:
            return [(first, last)] if first < last else []
        found: list[Span] = []
        while first < last and len(found) < SPANS_MAX:
            end = min(last, first + _between(self.on, chance))
            found.append((first, end))
            first = end + _between(self.off, chance)
        return found


ALWAYS = Pattern()


def _between(bounds: Span, chance: Chance) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * chance.dice()


def pattern(value: object) -> object:
    """`always`, `on/off 5-90 min`, `on 5s off 20s`, or `swizzle`."""
    if not isinstance(value, str):
        return value
    text = " ".join(value.lower().split())
    if text in ("always", "swizzle"):
        return Pattern(text)
    if match := _BOTH.fullmatch(text):
        stay = _stay(*match.groups())
        return _checked(Pattern(text, stay, stay), value)
    if match := _EACH.fullmatch(text):
        parts = match.groups()
        return _checked(Pattern(text, _stay(*parts[:3]), _stay(*parts[3:])), value)
    raise ValueError(f"'{value}' is no pattern: write always, on/off 5-90 min, on 5s off 20s, or swizzle")


def _stay(least: str, most: str | None, unit: str) -> Span:
    size = _UNITS[unit]
    return float(least) * size, float(most or least) * size


def _checked(found: Pattern, value: str) -> Pattern:
    if not all(0.0 < low <= high for low, high in (found.on, found.off)):
        raise ValueError(f"'{value}' is no pattern: times are more than 0, the smaller one first")
    return found


ComesAndGoes = Annotated[
    Pattern, BeforeValidator(pattern), WithJsonSchema({"type": "string", "examples": ["always", "on/off 5-90 min"]})
]


def swizzle(count: int, first: float, last: float, chance: Chance) -> list[Span]:
    """One span for each of several trunks: they go down one by one in a random order until the middle, and come back
    one by one in another (FoundationDB's name for it). Between the middles all of them are down for a while."""
    downs, ups = _order(count, chance), _order(count, chance)
    step = (last - first) / (2 * count + 1)
    return [(first + downs[index] * step, first + (count + 1 + ups[index]) * step) for index in range(count)]


def _order(count: int, chance: Chance) -> list[int]:
    """A random permutation of 0 … count-1."""
    ranked = sorted((chance.dice(), index) for index in range(count))
    places = [0] * count
    for place, (_, index) in enumerate(ranked):
        places[index] = place
    return places


class Spans:
    """Spans of one thing, asked often: is it on at this moment? Sorted, joined where they touch."""

    __slots__ = ("_starts", "all")

    def __init__(self, spans: list[Span]) -> None:
        self.all: list[Span] = []
        for first, last in sorted(spans):
            if self.all and first <= self.all[-1][1]:
                self.all[-1] = (self.all[-1][0], max(last, self.all[-1][1]))
            else:
                self.all.append((first, last))
        self._starts = [first for first, _ in self.all]

    def at(self, when: float) -> Span | None:
        """The span in which a moment lies, or the last one before it; None if none has begun."""
        index = bisect_right(self._starts, when) - 1
        return self.all[index] if index >= 0 else None

    def on(self, when: float) -> bool:
        """Whether it is on."""
        span = self.at(when)
        return span is not None and when < span[1]

    @property
    def seconds(self) -> float:
        """How long it is on in all."""
        return sum(last - first for first, last in self.all)
