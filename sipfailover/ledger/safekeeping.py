"""Safekeeping: what the history has not stored yet outlives a kill, too, in the journal beside the calls.

The writer of the history gathers facts for half a second, and a killed process would take them along. So each fact of a
call, a trunk or a registration is a record of the journal from the moment in which it happens until it is stored, and
the next process stores what it finds there (`Again`). All that one batch of commands wants kept is one write, before
anything of it leaves: whatever others were told by us, the next process knows.

    fact/17 ["CallEnded", 1764000000.25, 17, …]      fields in the order of the class, moments seconds since 1970; new
                                                     ones come at the end, with a default
"""

import json
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any

from sipfailover.ledger.journal import Journal, Record
from sipfailover.ledger.ledger import Ledger
from sipfailover.ledger.store import Again
from sipfailover.proxy.commands import Command, Forget, Keep
from sipfailover.proxy.commands import Record as Recorded
from sipfailover.proxy.facts import (
    AttemptEnded,
    CallEnded,
    ConfigChanged,
    Fact,
    OperatorActed,
    RegistrationChanged,
    TrunkChanged,
)

FACT = "fact/"
"""What the keys begin with. Behind it: a number."""
Kept = AttemptEnded | CallEnded | RegistrationChanged | TrunkChanged | OperatorActed | ConfigChanged
KINDS: dict[str, type[Kept]] = {
    kind.__name__: kind
    for kind in (AttemptEnded, CallEnded, RegistrationChanged, TrunkChanged, OperatorActed, ConfigChanged)
}
"""Facts that are kept. That of a probe is one of thousands."""
MOMENTS = ("at", "sent_at", "started_at", "answered_at", "until")
TUPLES = ("evidence", "changes")
KEPT_MAX = 20_000
"""Facts that wait for a history that cannot be written. A further one would be lost with this process."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


class Safekeeping:
    """See the module. `wall`: our clock as the time of day. For one thread."""

    def __init__(self, journal: Journal, ledger: Ledger, wall: Callable[[float], datetime]) -> None:
        self._journal = journal
        self._ledger = ledger
        self._wall = wall
        self._count = 0
        self._waiting: deque[tuple[int, str]] = deque()
        """(how many facts the history must have settled, key), oldest first."""

    def store(self, commands: Sequence[Command], now: float) -> None:
        """Keep what these commands want kept, and forget, with one write; the history takes the facts. On the path."""
        journal, ledger = self._journal, self._ledger
        offset: float | None = None
        for command in commands:
            kind = type(command)
            if kind is Keep:
                assert isinstance(command, Keep)
                journal.add(command.records, command.instead_of)
            elif kind is Forget:
                assert isinstance(command, Forget)
                journal.forget(command.key)
            elif kind is Recorded:
                assert isinstance(command, Recorded)
                fact = command.fact
                if ledger.record(fact) and type(fact).__name__ in KINDS and journal.is_on:
                    if offset is None:
                        offset = self._wall(now).timestamp() - now
                    self._keep(fact, offset)
        journal.flush()

    def _keep(self, fact: Fact, offset: float) -> None:
        if len(self._waiting) >= KEPT_MAX:
            return
        self._count += 1
        key = f"{FACT}{self._count}"
        self._journal.add(((key, to_record(fact, offset)),))
        self._waiting.append((self._ledger.taken, key))

    def tidy(self, now: float) -> None:
        """What the history has stored need not be kept any more; and the journal is tidied. Every TIDY_EVERY."""
        self._forget()
        self._journal.tidy(now)

    def close(self) -> None:
        """After the history was closed: what it has stored is forgotten, and the journal closed."""
        self._forget()
        self._journal.close()

    def _forget(self) -> None:
        waiting, settled = self._waiting, self._ledger.settled
        while waiting and waiting[0][0] <= settled:
            self._journal.forget(waiting.popleft()[1])

    def restore(self, records: Iterable[Record], now: float) -> int:
        """Store what an earlier process could not. Returns the highest number of a call among it."""
        offset = self._wall(now).timestamp() - now
        highest = 0
        for key, record in records:
            if not key.startswith(FACT):
                continue
            try:
                fact = to_fact(record, offset)
            except (TypeError, ValueError, KeyError):
                self._journal.forget(key)
                continue
            self._count = max(self._count, int(key.removeprefix(FACT)) if key.removeprefix(FACT).isdigit() else 0)
            if isinstance(fact, CallEnded | AttemptEnded):
                highest = max(highest, fact.call)
            if self._ledger.record(Again(fact)):
                self._waiting.append((self._ledger.taken, key))
            else:
                self._journal.forget(key)
        return highest


def to_record(fact: Fact, offset: float) -> bytes:
    """A fact as the journal has it. `offset`: what makes our clock seconds since 1970. On the path."""
    name = type(fact).__name__
    values = list(_VALUES[name](fact))
    for place in _MOMENTS[name]:
        if values[place] is not None:
            values[place] = round(values[place] + offset, 3)
    return _encode([name, *values]).encode()


def to_fact(record: bytes, offset: float) -> Fact:
    """That again. Raises TypeError, ValueError or KeyError for what was never made here."""
    name, *values = json.loads(record)
    kind = KINDS[name]
    given: dict[str, Any] = dict(zip(NAMES[name], values, strict=False))
    for moment in MOMENTS:
        if given.get(moment) is not None:
            given[moment] = float(given[moment]) - offset
    for several in TUPLES:
        if several in given:
            given[several] = tuple(map(str, given[several]))
    return kind(**given)


NAMES = {name: tuple(field.name for field in fields(kind)) for name, kind in KINDS.items()}
_VALUES = {name: attrgetter(*names) for name, names in NAMES.items()}
_MOMENTS = {name: tuple(names.index(one) for one in MOMENTS if one in names) for name, names in NAMES.items()}
