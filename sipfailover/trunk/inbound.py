"""How calls come in over a trunk: a state of its own, because one direction can die without the other.

It is shown and kept, and moves no call: where calls come in is the carrier's decision. What is seen: answered calls
that the carrier's side ends within seconds or never acknowledges, and a registration that is lost, without which most
carriers do not find us. DESIGN.md §2.12.
"""

from collections.abc import Callable
from enum import IntEnum

from sipfailover.trunk.evidence import Change, Evidence, Sign, State, duration
from sipfailover.trunk.judgement import DROPS, Series

REMEMBERED = 900.0
"""Seconds after which doubt is over when nothing has come in since (nights, weekends)."""
LEANING, CALM = 0.5, 0.25
"""Shares of an alarm: Suspect from the first one, Up again below the second."""


class InboundSeen(IntEnum):
    """What can be seen of calls that come in."""

    CALLED = 0
    """A call comes in."""
    LASTED = 1
    """An answered one has lasted."""
    DROPPED = 2
    """An answered one was ended by the carrier's side within seconds, or its answer was never acknowledged."""
    UNREGISTERED = 3
    REGISTERED = 4
    TIME = 5


UP, SUSPECT, DOWN = State.UP, State.SUSPECT, State.DOWN
CALLED, LASTED, DROPPED, UNREGISTERED, REGISTERED, TIME = InboundSeen


class Inbound:
    """One trunk, as calls come in over it. `now`: seconds, monotonic."""

    __slots__ = ("drops", "registered", "since", "state", "suspected_at", "why")

    def __init__(self, now: float) -> None:
        self.state = UP
        self.since = now
        self.why = ""
        self.drops = Series(DROPS)
        self.registered = True
        """False while our registration is lost."""
        self.suspected_at = now

    def observe(self, seen: InboundSeen, now: float, number: str = "", what: str = "") -> Change | None:
        """Take one thing that was seen; the change it made, or None. `number`: of the caller."""
        row = TABLE.get((self.state, seen))
        if row is None:
            return None
        effect, arrows = row
        effect(self, number, what, now)
        for holds, after in arrows:
            rule = holds(self)
            if rule:
                sign = Sign.CALL_DROPPED if seen is DROPPED else Sign.TIME
                evidence = (Evidence(sign, what, number, at=now),) if what else ()
                before, self.state, self.since = self.state, after, now
                if after is UP:
                    self.drops.clear()
                why, self.why = self.why, "" if after is UP else self.why
                return Change(before, after, why, rule, evidence)
        return None

    def deadline(self) -> float | None:
        """When to say TIME, None if only what is seen can change anything."""
        return self.suspected_at + REMEMBERED if self.state is not UP and self.registered else None

    def __repr__(self) -> str:
        return f"<Inbound {self.state.name} since {self.since:.3f}{': ' + self.why if self.why else ''}>"


# -- effects ----------------------------------------------------------------------------------------------------------


def count_drop(inbound: Inbound, number: str, what: str, now: float) -> None:
    inbound.drops.bad(number or "?", what, now)
    inbound.suspected_at = now
    bad, seen, within = inbound.drops.counted(now)
    if bad:
        of_all = "" if bad == seen else f" of {seen}"
        calls = f"{bad}{of_all} call{'' if bad == 1 else 's'} that came in"
        inbound.why = f"{calls} died: {inbound.drops.kinds(bad)}" + (f", within {duration(within)}" if bad > 1 else "")


def count_lasted(inbound: Inbound, _number: str, _what: str, now: float) -> None:
    inbound.drops.good(now)
    if inbound.drops.level < CALM and inbound.state is not UP:
        inbound.why = "calls that come in last again"


def lose_registration(inbound: Inbound, _number: str, what: str, now: float) -> None:
    inbound.registered = False
    inbound.suspected_at = now
    inbound.why = f"our registration is lost, so calls that come in do not find us ({what or 'no answer'})"


def register(inbound: Inbound, _number: str, _what: str, _now: float) -> None:
    if not inbound.registered:
        inbound.why = "registered again"
    inbound.registered = True


def be_called(inbound: Inbound, _number: str, _what: str, _now: float) -> None:
    """Whatever the registrar says: calls find us."""
    if not inbound.registered:
        inbound.why = "calls come in all the same"
    inbound.registered = True


def forget(inbound: Inbound, _number: str, _what: str, now: float) -> None:
    if now >= inbound.suspected_at + REMEMBERED:
        inbound.drops.clear()
        inbound.why = f"no call that came in died for {duration(REMEMBERED)}"


# -- questions --------------------------------------------------------------------------------------------------------


def dying(inbound: Inbound) -> str:
    alarm = inbound.drops.alarm
    return alarm.rule if alarm is not None else ""


def leaning(inbound: Inbound) -> str:
    return f"half way, {DROPS.charts[0].rule}" if inbound.drops.level >= LEANING else ""


def unregistered(_inbound: Inbound) -> str:
    return "registration lost"


def well(inbound: Inbound) -> str:
    return "cleared" if inbound.registered and inbound.drops.level < CALM else ""


Effect = Callable[[Inbound, str, str, float], None]
Question = Callable[[Inbound], str]

TABLE: dict[tuple[State, InboundSeen], tuple[Effect, tuple[tuple[Question, State], ...]]] = {
    (UP, LASTED):            (count_lasted,      ()),
    (UP, DROPPED):           (count_drop,        ((dying, DOWN), (leaning, SUSPECT))),
    (UP, UNREGISTERED):      (lose_registration, ((unregistered, DOWN),)),

    (SUSPECT, LASTED):       (count_lasted,      ((well, UP),)),
    (SUSPECT, DROPPED):      (count_drop,        ((dying, DOWN),)),
    (SUSPECT, UNREGISTERED): (lose_registration, ((unregistered, DOWN),)),
    (SUSPECT, TIME):         (forget,            ((well, UP),)),

    (DOWN, CALLED):          (be_called,         ((well, UP),)),
    (DOWN, LASTED):          (count_lasted,      ((well, UP),)),
    (DOWN, DROPPED):         (count_drop,        ()),
    (DOWN, UNREGISTERED):    (lose_registration, ()),
    (DOWN, REGISTERED):      (register,          ((well, UP),)),
    (DOWN, TIME):            (forget,            ((well, UP),)),
}  # fmt: skip

IGNORED: dict[tuple[State, InboundSeen], str] = {
    (UP, CALLED): "as it should be",
    (UP, REGISTERED): "as it should be",
    (UP, TIME): "no deadline while Up",
    (SUSPECT, CALLED): "whether it lasts is the question",
    (SUSPECT, REGISTERED): "it was not lost",
}
"""There is no Trial: nobody can try a call that comes in."""
