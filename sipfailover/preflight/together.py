"""What the trunks have in common, and should not: a backup that fails with the main trunk is none. Pure functions."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

from sipfailover.preflight.judge import too_near
from sipfailover.preflight.report import Step, good, warning


@dataclass(frozen=True, slots=True)
class Place:
    """Where a trunk is."""

    name: str
    hosts: tuple[str, ...]
    """IP addresses."""
    servers: frozenset[str]
    """Name servers of its zone; empty for a trunk that is written as an address."""


def compare(places: Sequence[Place]) -> Iterator[Step]:
    """One step for each thing that two trunks share, or one that says that they share nothing. None for one trunk."""
    if len(places) < 2:
        return
    alike = False
    for one, other in combinations(places, 2):
        names = f"{one.name} and {other.name}"
        near = next((why for a in one.hosts for b in other.hosts if (why := too_near(a, b))), "")
        if near:
            alike = True
            advice = "they will probably fail together: ask for a backup from another carrier, or at another site"
            yield warning("apart", f"{names} are {near}", advice, None, trunks=[one.name, other.name])
        if one.servers and one.servers == other.servers:
            alike = True
            text = f"{names} have the same name servers: {', '.join(sorted(one.servers))}"
            advice = "if these fail, neither has an address; last good addresses are used meanwhile"
            yield warning("apart", text, advice, None, trunks=[one.name, other.name])
    if not alike:
        yield good("apart", "no two trunks share an address, a network or their name servers")
