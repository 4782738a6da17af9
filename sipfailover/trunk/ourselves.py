"""Is it us? What all carriers do in the same moment, hardly any of them does: then it is our own line. Pure.

A trunk is blamed for silence only if somebody else was heard meanwhile. So when one is silent, the others are asked in
the same second, and what has been heard of them since then decides. Trunks that were Down before, or never heard at
all, are no witnesses: that they are silent is not new. With a single trunk there is no other, and it is blamed.

    no trunk has been heard since      our own line, or what our packets go through; silence counts against nobody
    nothing can be sent to any trunk   our own network: no route, no address, no socket; as above
    no name of a trunk resolves        our own DNS; the last good addresses are used, and silence counts as ever
"""

from collections.abc import Sequence
from typing import NamedTuple

NEVER = float("-inf")


class Witness(NamedTuple):
    """One trunk that was not Down before, as it was heard."""

    name: str
    place: str
    """Its address: two trunks at one place are one witness."""
    heard_at: float
    """The last message from there, seconds; minus infinity if there was none."""
    unsent: str
    """Why the last thing could not even be sent; empty if it could."""


class Finding(NamedTuple):
    """What is the matter with us; `words` is empty if nothing is."""

    words: str
    excuses: bool = False
    """Silence of trunks is no evidence against them."""


NOTHING = Finding("")


def silent_together(witnesses: Sequence[Witness], since: float) -> Finding:
    """Whether all of them have been silent since that moment, in which all were asked."""
    if any(witness.heard_at >= since for witness in witnesses):
        return NOTHING
    if witnesses and all(witness.unsent for witness in witnesses):
        return Finding(f"nothing can be sent to any trunk ({witnesses[0].unsent})", True)
    known = [witness for witness in witnesses if witness.heard_at > NEVER]
    if len({witness.place for witness in known}) < 2:
        return NOTHING
    return Finding(f"{_and([witness.name for witness in known])} fell silent in the same moment", True)


def unresolved(reasons: Sequence[str]) -> Finding:
    """Whether the names of all trunks fail to resolve. `reasons`: why, one for each trunk; "" for one that resolves."""
    if len(reasons) < 2 or not all(reasons):
        return NOTHING
    return Finding(f"the name of no trunk resolves ({reasons[0]})")


def _and(names: Sequence[str]) -> str:
    return " and ".join((", ".join(names[:-1]), names[-1]))
