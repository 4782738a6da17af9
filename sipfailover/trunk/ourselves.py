"""Is it us? What all carriers do in the same moment, hardly any of them does: then it is our own line. Pure.

A trunk is blamed for silence only if somebody else was heard meanwhile. So when one is silent, the others are asked in
the same second, and what has been heard of them since then decides. Trunks that were Down before, or never heard at
all, are no witnesses: that they are silent is not new. With a single trunk there is no other, and it is blamed; unless
there are references, places beside the carriers that are asked in the same second (`monitor.reference`).

    nothing can be sent to any trunk   our own network: no route, no address, no socket; silence counts against nobody
    no trunk was heard since, but a reference was reached     the carriers, all of them: silence counts
    no trunk was heard since, nor a reference that was well   our own line, or what our packets go through; as above
    no trunk of two was heard since, and no reference tells   the same
    no name of a trunk resolves        our own DNS: the last good addresses are used, no trunk is to blame that its name
                                       is not found, and silence there counts as ever
"""

from collections.abc import Sequence
from typing import NamedTuple

NEVER = float("-inf")
REACHED_WITHIN = 2.0
"""Seconds that a reference has to answer."""
WELL_FOR = 150.0
"""Seconds since it was reached for which a reference is believed to have been well: asked once a minute, it may have
missed once."""


class Witness(NamedTuple):
    """One trunk that was not Down before, as it was heard."""

    name: str
    place: str
    """Its address: two trunks at one place are one witness."""
    heard_at: float
    """The last message from there, seconds; minus infinity if there was none."""
    unsent: str
    """Why the last thing could not even be sent; empty if it could."""


class Place(NamedTuple):
    """A reference, as it was asked."""

    name: str
    asked_at: float
    """The last time it was asked, seconds; minus infinity for never."""
    reached_at: float
    """The last time it was reached."""

    def is_lost(self, since: float) -> bool:
        """Whether it was well just before that moment, and did not answer when it was asked around it."""
        asked = self.asked_at >= since - REACHED_WITHIN and self.reached_at < self.asked_at
        return asked and self.reached_at >= since - WELL_FOR


class Finding(NamedTuple):
    """What is the matter with us; `words` is empty if nothing is."""

    words: str
    excuses: bool = False
    """Silence of trunks is no evidence against them."""


NOTHING = Finding("")


def silent_together(witnesses: Sequence[Witness], since: float, references: Sequence[Place] = ()) -> Finding:
    """Whether all of them have been silent since that moment, in which all were asked."""
    if any(witness.heard_at >= since for witness in witnesses):
        return NOTHING
    if witnesses and all(witness.unsent for witness in witnesses):
        return Finding(f"nothing can be sent to any trunk ({witnesses[0].unsent})", True)
    if any(place.reached_at >= since for place in references):
        return NOTHING
    known = [witness for witness in witnesses if witness.heard_at > NEVER]
    lost = [place.name for place in references if place.is_lost(since)]
    if not known or len({witness.place for witness in known}) + len(lost) < 2:
        return NOTHING
    return Finding(f"{_and([*(witness.name for witness in known), *lost])} fell silent in the same moment", True)


def unresolved(reasons: Sequence[str]) -> Finding:
    """Whether the names of all trunks fail to resolve. `reasons`: why, one for each trunk; "" for one that resolves."""
    if len(reasons) < 2 or not all(reasons):
        return NOTHING
    return Finding(f"the name of no trunk resolves ({reasons[0]})")


def _and(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1]))
