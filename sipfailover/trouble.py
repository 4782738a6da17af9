"""What is wrong with ourselves or around us while calls go on: one list for page, status and metrics.

A source is asked when somebody looks, so that nothing has to be told twice, and nothing stays that is over.
"""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong. `what`: a word or two, the same each time; `means`: what follows from it, or where it
    is; `since`: seconds on the engine's clock, when it was first seen; `text`: why, for the operator."""

    what: str
    means: str
    since: float
    text: str

    def __str__(self) -> str:
        return f"{self.means}: {self.text}"


class Troubles:
    """The sources, in the order in which they are told."""

    def __init__(self) -> None:
        self._sources: dict[str, tuple[str, Callable[[], str]]] = {}
        self._since: dict[str, float] = {}

    def watch(self, what: str, means: str, problem: Callable[[], str]) -> None:
        """Ask this source too: it says what is wrong, and "" while all is well."""
        self._sources[what] = means, problem

    @property
    def known(self) -> tuple[str, ...]:
        """What is watched."""
        return tuple(self._sources)

    def now(self, now: float) -> tuple[Trouble, ...]:
        """What is wrong at this moment."""
        found = {what: text for what, (_, problem) in self._sources.items() if (text := problem())}
        self._since = {what: self._since.get(what, now) for what in found}
        return tuple(Trouble(what, self._sources[what][0], self._since[what], text) for what, text in found.items())


PLACES_MAX = 100
"""Places in our code whose errors are counted one by one; the oldest is forgotten, and told again if it comes again."""


class Faults:
    """Errors of ours that nobody handled, by the place in the code where they came from."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self.count = 0
        """All of them, since the start."""

    @property
    def problem(self) -> str:
        """For the operator; "" if there was none."""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"an error {times}, see the log; please report it" if self.count else ""

    def is_new(self, error: BaseException | None, text: str) -> bool:
        """Count this one. True if none came from its place before: then it is worth a traceback in the log."""
        place = _place(error, text)
        self.count += 1
        known = self._counts.pop(place, 0)
        self._counts[place] = known + 1
        if len(self._counts) > PLACES_MAX:
            del self._counts[next(iter(self._counts))]
        return not known


def _place(error: BaseException | None, text: str) -> tuple[str, str, int]:
    """(kind, file, line) where it was raised; of what has no traceback, its text."""
    trace = error.__traceback__ if error is not None else None
    if trace is None:
        return type(error).__name__, text, 0
    while trace.tb_next is not None:
        trace = trace.tb_next
    return type(error).__name__, trace.tb_frame.f_code.co_filename, trace.tb_lineno
