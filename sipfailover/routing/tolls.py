"""Toll fraud: of which kind a number is, whether calls may go there, and how many there were. Pure.

Kinds are `config.KINDS`. A number is understood as everywhere (`trunk.numbers`); what cannot be understood counts as
abroad, so that no spelling is a way around. Who is asked when, and what is said, is the engine's business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sipfailover.config import KINDS, Settings, TollLimits
from sipfailover.trunk import NumberPlan, digits_of, number_plan, understand, without_outside_line
from sipfailover.wire.fields import param
from sipfailover.wire.uri import user, user_params

NATIONAL, ABROAD, PREMIUM, SATELLITE = KINDS
SHORT_MAX = 6
"""Digits of a short number, as in `trunk.numbers`."""
ROUTING = (b"rn", b"cic", b"tgrp")
"""Parameters of a number by which a carrier may send the call elsewhere than the number says (RFC 4694, 4904)."""
SLOT = 300.0
"""Seconds. Calls are counted in steps of five minutes: an hour is the last twelve, 55 to 60 minutes."""
SLOTS = 12
DAY = 86400.0

PLACE, CALLS, MINUTES = "place", "calls", "minutes"
"""Why a call is refused: its destination, too many calls in the hour, too many minutes in the day."""


@dataclass(frozen=True, slots=True)
class Limit:
    """How much there may be; None for no limit."""

    calls_per_hour: int | None = None
    minutes_per_day: int | None = None

    def tighter(self, other: "Limit") -> "Limit":
        """The lower one of both."""
        return Limit(
            _lower(self.calls_per_hour, other.calls_per_hour), _lower(self.minutes_per_day, other.minutes_per_day)
        )

    @property
    def is_none(self) -> bool:
        return self.calls_per_hour is None and self.minutes_per_day is None


def _lower(one: int | None, other: int | None) -> int | None:
    return other if one is None else one if other is None else min(one, other)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call may not go."""

    kind: str
    cause: str
    """PLACE, CALLS or MINUTES."""
    text: str
    """For the caller, log and page: `abroad: 20 calls in the last hour, 20 are allowed`."""


@dataclass(frozen=True, slots=True)
class TollRules:
    """`toll_fraud` of the settings, ready for calls."""

    plan: NumberPlan = field(default_factory=NumberPlan)
    allowed: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    premium: tuple[str, ...] = ()
    satellite: tuple[str, ...] = ()
    limits: Mapping[str, Limit] = field(default_factory=dict)
    """Kind → what counts usually."""
    on_backup: Mapping[str, Limit] = field(default_factory=dict)
    """Kind → what counts on a trunk that is not the first choice."""

    @property
    def idle(self) -> bool:
        """Nothing is refused and nothing need be counted."""
        return not (self.allowed or self.refused or self.counts)

    @property
    def counts(self) -> bool:
        """Whether anything has a limit."""
        return any(not limit.is_none for limit in self.on_backup.values())

    def number(self, uri: bytes, *, plain: bool = False) -> str:
        """Who is called, as the rules read it: `+41443210000`, `1811`, or "" for what is no number to us.

        uri: the Request-URI of the PBX; plain: it writes 41443210000.
        """
        params = user_params(uri)
        if params:
            context = param(params, b"phone-context")
            if context is not None and context[:1] == b"+" and not context[1:].startswith(self.plan.country_code):
                return ""
            if any(param(params, name) is not None for name in ROUTING):
                return ""
        text = user(uri)
        number = understand(text, self.plan, plain=plain, dialled=True)
        if number is not None:
            return number.decode()
        short = digits_of(without_outside_line(text, self.plan))
        return short.decode() if short.isdigit() and len(short) <= SHORT_MAX else ""

    def kind(self, number: str) -> str:
        """The kind of a number, as `number` gives it."""
        if number.startswith(self.premium):
            return PREMIUM
        if number.startswith(self.satellite):
            return SATELLITE
        if not number or (number[0] == "+" and not number.startswith("+" + self.plan.country_code.decode())):
            return ABROAD
        return NATIONAL

    def place(self, number: str) -> Refusal | None:
        """Whether calls may go there at all."""
        kind = self.kind(number)
        best, refused = -1, bool(self.allowed)
        for words, refuses in ((self.allowed, False), (self.refused, True)):
            for word in words:
                fits = word == kind if word in KINDS else number.startswith(word)
                worth = 0 if word in KINDS else len(word)
                if fits and (worth > best or (worth == best and refuses)):
                    best, refused = worth, refuses
        if not refused:
            return None
        return Refusal(kind, PLACE, f"{kind}: calls to {_shown(number)} are not allowed")

    def limit(self, kind: str, backup: bool) -> Limit:
        """What counts for a kind. `backup`: over a trunk that is not the first choice."""
        return (self.on_backup if backup else self.limits).get(kind, Limit())


def _shown(number: str) -> str:
    """A number as it may stand where others read it: its country, and a little more."""
    if not number:
        return "what is no number"
    return f"{number[:6]}..." if len(number) > SHORT_MAX else number


class Tally:
    """How much there was of one kind: calls of the last hour, minutes of the day. Times are seconds, monotonic.

    `day` and `midnight` come in: the local date as a number, and when it began. A clock that is set back over midnight
    does not bring the day back, or it would begin twice and count nothing twice; one that is wrong by more than a day
    is believed either way.
    """

    __slots__ = ("_since", "_slots", "_talking", "day", "seconds")

    def __init__(self) -> None:
        self._slots: dict[int, int] = {}
        """Number of the step → calls that began in it. At most SLOTS."""
        self._talking: dict[int, float] = {}
        """Call → since when it counts. As many as there are calls."""
        self._since = 0.0
        """The sum of these, so that none need be looked at."""
        self.seconds = 0.0
        """Of calls that ended today."""
        self.day = 0

    def called(self, now: float) -> None:
        """A call begins."""
        slot = int(now // SLOT)
        self._slots = {at: count for at, count in self._slots.items() if at > slot - SLOTS}
        self._slots[slot] = self._slots.get(slot, 0) + 1

    def calls(self, now: float) -> int:
        """Calls of the last hour."""
        oldest = int(now // SLOT) - SLOTS
        return sum(count for at, count in self._slots.items() if at > oldest)

    def answered(self, call: int, now: float) -> None:
        """A call talks from now on."""
        self._talking[call] = now
        self._since += now

    def ended(self, call: int, now: float) -> None:
        """It is over. Nothing happens to one that was never answered."""
        since = self._talking.pop(call, None)
        if since is not None:
            self._since -= since
            self.seconds += max(0.0, now - since)
        if not self._talking:
            self._since = 0.0  # whatever rounding has left

    def minutes(self, now: float) -> float:
        """Minutes of today, of calls that go on as well."""
        return (self.seconds + len(self._talking) * now - self._since) / 60.0

    def today(self, day: int, midnight: float) -> None:
        """It is this day. If it is a new one, only what is after midnight counts."""
        if self.day - 1 <= day <= self.day:
            return
        self.day, self.seconds = day, 0.0
        self._talking = {call: max(since, midnight) for call, since in self._talking.items()}
        self._since = sum(self._talking.values())

    def kept(self, ago: float, now: float) -> tuple[int, float, list[tuple[float, int]]]:
        """What outlives the process: day, seconds, and calls by the end of their step. `ago`: subtracted from times."""
        return self.day, self.seconds, [((at + 1) * SLOT - ago, n) for at, n in self._slots.items()]

    def restore(self, day: int, seconds: float, steps: list[tuple[float, int]], ago: float, now: float) -> None:
        """Take back what was `kept`, on the clock of this process."""
        self.day, self.seconds = day, max(0.0, min(seconds, DAY * 1000))
        for end, count in steps[:SLOTS]:
            slot = int((end + ago) // SLOT) - 1
            if int(now // SLOT) - SLOTS < slot <= int(now // SLOT) and count > 0:
                self._slots[slot] = self._slots.get(slot, 0) + count


def over(tally: Tally, limit: Limit, kind: str, now: float, *, counted: bool = False) -> Refusal | None:
    """Whether one call more would be too much. counted: it is among those of the hour already, because it comes from
    another trunk, and must not stand in its own way."""
    if limit.calls_per_hour is not None and (calls := tally.calls(now) - counted) >= limit.calls_per_hour:
        text = f"{kind}: {calls} calls in the last hour, {limit.calls_per_hour} are allowed"
        return Refusal(kind, CALLS, text)
    if limit.minutes_per_day is not None and (minutes := tally.minutes(now)) >= limit.minutes_per_day:
        return Refusal(kind, MINUTES, f"{kind}: {minutes:.0f} minutes today, {limit.minutes_per_day} are allowed")
    return None


def toll_rules(settings: Settings) -> TollRules:
    """The rules of the settings."""
    tolls = settings.toll_fraud
    usual = _limits(tolls.limits)
    tight = _limits(tolls.on_backup)
    return TollRules(
        number_plan(settings.numbering),
        tolls.allowed,
        tolls.refused,
        tolls.premium,
        tolls.satellite,
        usual,
        {kind: usual[kind].tighter(tight[kind]) for kind in KINDS},
    )


def _limits(limits: TollLimits) -> dict[str, Limit]:
    return {kind: Limit(one.calls_per_hour, one.minutes_per_day) for kind in KINDS for one in (getattr(limits, kind),)}
