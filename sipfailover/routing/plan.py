"""The plan: which trunks a call tries, in which order, and why each is in or out (DESIGN.md §5.2). Pure.

Order of tiers, and of the file within a tier. What is Down comes last instead of never: when nothing better is left,
the least bad trunk is tried all the same. Outcomes are `routing.verdict`'s business, climbing is the engine's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from sipfailover.trunk import Order, State, Trunk, duration


class Place(IntEnum):
    """Where in the plan a trunk stands, before tiers are looked at."""

    FIRST = 0
    """Up, Suspect, or in Trial and this call is the one that tries it."""
    BEHIND = 1
    """In Trial, and another call is trying it."""
    LAST = 2
    """Down, but the last check was answered."""
    VERY_LAST = 3
    """Down, and nothing is answered."""
    AGAINST_ORDERS = 4
    """Draining or off; emergency calls only."""
    OUT = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """One trunk in the plan of one call."""

    name: str
    place: Place
    reason: str
    """Why it stands there, in words for the explanation of the call."""
    trial: bool = False
    """True: this call tests the trunk. Tell `Health.trial_started` when its attempt leaves."""

    @property
    def included(self) -> bool:
        """True if the call may go there."""
        return self.place is not Place.OUT

    @property
    def desperate(self) -> bool:
        """True if it is only tried because nothing better is left: say so loudly."""
        return self.place in (Place.LAST, Place.VERY_LAST, Place.AGAINST_ORDERS)


DEAD_FOR = 10.0
"""Seconds. A PBX that is Down and let a call without an answer is not asked by others for so long: their carriers may
have something better to do with them than wait, and every ten seconds one call finds out all the same."""


def plan(
    trunks: Sequence[Trunk], now: float, *, emergency: bool = False, first: Sequence[str] = (), inbound: bool = False
) -> tuple[Candidate, ...]:
    """Every trunk as a candidate: first those the call tries, in that order, then those left out. Pure; on the path.

    `trunks` in the order of the file. `emergency`: orders are no obstacle, and such a call tests nothing. `first`:
    these names go before all tiers, among equals of health; so does who is used by order. `inbound`: these are PBXs.
    """
    placed = [
        (candidate.place, _rank(trunk, first), trunk.tier, candidate)
        for trunk in trunks
        for candidate in (place(trunk, now, emergency, inbound),)
    ]
    placed.sort(key=lambda item: item[:3])
    return tuple(item[3] for item in placed)


def _rank(trunk: Trunk, first: Sequence[str]) -> int:
    """Who is to be first: for emergency calls those that know where we are, before any order; then who is used."""
    if trunk.name in first:
        return first.index(trunk.name)
    return len(first) + (trunk.order is not Order.USED)


@lru_cache
def _up(name: str, ordered: bool) -> Candidate:
    """What nearly every candidate is: made once."""
    return Candidate(name, Place.FIRST, "Up, and used by order" if ordered else "Up")


def place(trunk: Trunk, now: float, emergency: bool = False, inbound: bool = False) -> Candidate:
    """Where one trunk stands for a call that starts now."""
    name, health = trunk.name, trunk.health
    if trunk.target is None:
        return Candidate(name, Place.OUT, f"no address: {trunk.resolve_why}")
    if not trunk.order.open:
        if emergency:
            return Candidate(name, Place.AGAINST_ORDERS, f"{trunk.order.label} by order, but this is an emergency call")
        return Candidate(name, Place.OUT, f"{trunk.order.label} by order")
    if trunk.full and not emergency:
        return Candidate(name, Place.OUT, f"all {trunk.channels} channels are in use")
    state = health.state
    if state is State.UP:
        return _up(name, trunk.order is not Order.ENABLED)
    if state is State.SUSPECT:
        return Candidate(name, Place.FIRST, f"Suspect, still used: {health.why}")
    if state is State.TRIAL:
        if emergency:
            return Candidate(name, Place.BEHIND, "in Trial, and emergency calls test nothing")
        if health.may_try(now):
            return Candidate(name, Place.FIRST, f"in Trial, and this call tests it: {health.why}", trial=True)
        return Candidate(name, Place.BEHIND, "in Trial, and another call is testing it")
    if not inbound and not emergency and health.may_try(now):
        reason = f"Down, but only OPTIONS says so, and this call tests it: {health.why}"
        return Candidate(name, Place.FIRST, reason, trial=True)
    if inbound and not health.answering and now < health.call_failed_at + DEAD_FOR:
        ago = duration(now - health.call_failed_at)
        return Candidate(name, Place.OUT, f"Down, and a call {ago} ago had no answer either: {health.why}")
    where = Place.LAST if health.answering else Place.VERY_LAST
    reason = f"Down for {duration(now - health.since)}: {health.why}; tried only if nothing better is left"
    return Candidate(name, where, reason)
