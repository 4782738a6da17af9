"""Incidents: what is worth telling, once. Sans-IO: conditions and facts come in, with the time; notices come out.

One message per incident. What begins within `JOIN` is told together; what is over before it was told is never told; a
`recovered` comes only after a `began`, and a reminder only while it lasts. Who comes and goes is told of as flapping,
once, until it has been calm for a while.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from sipfailover.alerts.condition import Condition, Severity
from sipfailover.proxy.facts import CallEnded, Fact

JOIN = {Severity.NOTICE: 30.0, Severity.WARNING: 30.0, Severity.CRITICAL: 5.0}
"""Seconds from the first sight of a condition until it is told: what follows from the same cause comes meanwhile."""
CLEAR_FOR = 10.0
"""Seconds that a condition must be gone to be over: a look between two states is no recovery."""
REMIND_CRITICAL = 900.0
"""Seconds between two reminders while calls fail. Of what is less, nobody is reminded."""
FLAPS, FLAPS_WITHIN = 3, 3600.0
"""So many beginnings told of the same condition within so many seconds, and it is told as flapping."""
CALM = 1800.0
"""Seconds without a change until flapping is over."""
LED_TO_IT = 60.0
"""Calls that ended so many seconds before a condition was seen are counted with it: they showed it."""
LATELY_MAX = 1000
"""Calls that are remembered for that; the oldest is forgotten, and the count is a little low."""
OPEN_MAX = 200
"""Conditions that are followed at once; the newest beyond that are not told of."""

BEGAN, RECOVERED, REMINDER, FLAPPING, EMERGENCY, TEST = (
    "began",
    "recovered",
    "reminder",
    "flapping",
    "emergency",
    "test",
)
KINDS = (BEGAN, RECOVERED, REMINDER, FLAPPING, EMERGENCY, TEST)


@dataclass(slots=True)
class Incident:
    """A condition over its life. Times are seconds on the engine's clock."""

    condition: Condition
    seen_at: float
    told_at: float | None = None
    """When its beginning was told; None: not yet."""
    reminded_at: float = 0.0
    gone_at: float | None = None
    """Since when it is not seen any more; None while it is."""
    rerouted: int = 0
    """Calls that another trunk carried while it lasted."""
    lost: int = 0
    """Calls that no trunk could carry while it lasted."""


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing to tell. `incidents` have the worst first; `counts`: calls rerouted and lost meanwhile."""

    kind: str
    at: float
    severity: Severity
    incidents: tuple[Incident, ...]
    counts: tuple[int, int] = (0, 0)
    text: str = ""
    """For an emergency call: what happened to it."""


@dataclass(slots=True)
class _History:
    """How often one condition began, and whether it counts as flapping."""

    began: deque[float] = field(default_factory=lambda: deque(maxlen=FLAPS))
    changed_at: float = 0.0
    flapping: bool = False


class Incidents:
    """Follows conditions. `look` is called every few seconds; `record` with every fact."""

    def __init__(self, remembered: Iterable[tuple[Condition, float]] = ()) -> None:
        self.open: dict[str, Incident] = {
            condition.key: Incident(condition, at, told_at=at, reminded_at=at) for condition, at in remembered
        }
        """Key → incident. An earlier process has told of those `remembered`, with when they began: they are not told
        again, and their end is."""
        self._histories: dict[str, _History] = {}
        self._notices: list[Notice] = []
        self._ended_lately: deque[tuple[float, bool, bool]] = deque(maxlen=LATELY_MAX)
        """(when, rerouted, lost) of the last calls that did not go their usual way."""

    @property
    def told(self) -> list[tuple[Condition, float]]:
        """What was told and is not over, with when it began: what the next process has to know."""
        return [(one.condition, one.seen_at) for one in self.open.values() if one.told_at is not None]

    def record(self, fact: Fact) -> None:
        """Count what calls lived through; an emergency call that did not go its usual way is told at once."""
        if not isinstance(fact, CallEnded) or fact.direction != "outbound":
            return
        lost = fact.result == "trunk failed"
        if fact.rerouted or lost:
            self._ended_lately.append((fact.at, fact.rerouted, lost))
        for one in self.open.values():
            one.rerouted += fact.rerouted
            one.lost += lost
        if fact.emergency and (fact.rerouted or lost):
            where = f"went over {fact.trunk} instead of {fact.first_choice}" if fact.rerouted else "reached nobody"
            text = f"A call to {fact.called} {where}"
            severity = Severity.WARNING if fact.rerouted else Severity.CRITICAL
            self._notices.append(Notice(EMERGENCY, fact.at, severity, (), text=text))

    def look(self, found: Sequence[Condition], now: float) -> list[Notice]:
        """What is to be told now, given everything that is wrong now."""
        self._follow(found, now)
        notices, self._notices = self._notices, []
        notices += self._ended(now)
        notices += self._begun(now)
        notices += self._reminders(now)
        return notices

    def _follow(self, found: Sequence[Condition], now: float) -> None:
        present = {condition.key: condition for condition in found}
        for key, condition in present.items():
            one = self.open.get(key)
            if one is not None:
                # The evidence stays what it was at first: on the way back a trunk's own words speak of that.
                one.condition, one.gone_at = replace(condition, why=one.condition.why), None
            elif len(self.open) < OPEN_MAX:
                before = [call for call in self._ended_lately if call[0] >= now - LED_TO_IT]
                rerouted, lost = sum(call[1] for call in before), sum(call[2] for call in before)
                self.open[key] = Incident(condition, now, rerouted=rerouted, lost=lost)
        for key, one in self.open.items():
            if key not in present and one.gone_at is None:
                one.gone_at = now

    def _ended(self, now: float) -> list[Notice]:
        over = [one for one in self.open.values() if one.gone_at is not None and now - one.gone_at >= CLEAR_FOR]
        for one in over:
            del self.open[one.condition.key]
            self._history(one).changed_at = now
        told = [one for one in over if one.told_at is not None and not self._history(one).flapping]
        return [_notice(RECOVERED, told, now)] if told else []

    def _begun(self, now: float) -> list[Notice]:
        waiting = [one for one in self.open.values() if one.told_at is None and one.gone_at is None]
        if not any(now - one.seen_at >= JOIN[one.condition.severity] for one in waiting):
            return []
        for one in waiting:
            one.told_at = one.reminded_at = now
        calm = [one for one in waiting if not self._flaps(one, now)]
        newly = [one for one in waiting if one not in calm and not self._history(one).flapping]
        for one in newly:
            self._history(one).flapping = True
        return [_notice(kind, which, now) for kind, which in ((BEGAN, calm), (FLAPPING, newly)) if which]

    def _flaps(self, one: Incident, now: float) -> bool:
        """Whether it has come and gone too often to be told of each time."""
        history = self._history(one)
        if history.flapping and now - history.changed_at >= CALM:
            history.flapping = False
            history.began.clear()
        history.changed_at = now
        history.began.append(now)
        often = len(history.began) == FLAPS and now - history.began[0] <= FLAPS_WITHIN
        return history.flapping or often

    def _reminders(self, now: float) -> list[Notice]:
        """While calls fail, every REMIND_CRITICAL."""
        due = [
            one
            for one in self.open.values()
            if one.told_at is not None
            and one.gone_at is None
            and one.condition.severity is Severity.CRITICAL
            and now - one.reminded_at >= REMIND_CRITICAL
        ]
        for one in due:
            one.reminded_at = now
        return [_notice(REMINDER, due, now)] if due else []

    def _history(self, one: Incident) -> _History:
        if len(self._histories) > 2 * OPEN_MAX:
            self._histories = {key: known for key, known in self._histories.items() if key in self.open}
        return self._histories.setdefault(one.condition.key, _History())


def _notice(kind: str, which: Iterable[Incident], now: float) -> Notice:
    worst_first = sorted(which, key=lambda one: -one.condition.severity)
    counts = max(one.rerouted for one in worst_first), max(one.lost for one in worst_first)
    return Notice(kind, now, worst_first[0].condition.severity, tuple(worst_first), counts)
