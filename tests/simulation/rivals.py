"""January 2018 side by side: our defaults, and the rules of others as settings of ours (like-*.yaml).

python -m tests.simulation.rivals             # the table of the README
"""

from collections.abc import Callable
from pathlib import Path
from statistics import median

from sipfailover.simulator import Result, load_scenario
from sipfailover.simulator.figures import LOST, Figures, Spread, TrunkFigures
from sipfailover.simulator.simulate import rehearse_all
from sipfailover.simulator.tell import seconds

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
COLUMNS = {
    "default": "sipfailover",
    "like-kamailio": "Kamailio, defaults",
    "like-kamailio-probing": "Kamailio, probing",
    "like-asterisk": "Asterisk, defaults",
    "like-asterisk-qualify": "Asterisk, qualify",
}
"""Configuration → head of its column."""


def lived() -> list[Result]:
    """The ten days, once for each configuration."""
    scenario = load_scenario(str(EXAMPLES / "swisscom-2018.yaml")).value
    return rehearse_all(scenario, [str(EXAMPLES / f"{name}.yaml") for name in COLUMNS], None)


def caught(figures: Figures) -> str:
    """What callers waited for nothing who got through in the end, the one in the middle."""
    waits = [one.extra for one in figures.outcomes if one.extra > 0 and not one.call.inbound and one.word != LOST]
    return seconds(median(waits)) if waits else "–"


def middle(spread: Spread) -> str:
    return seconds(spread.middle) if spread.count else "–"


def phases(trunk: TrunkFigures) -> str:
    """How many of the times that it was bad were noticed."""
    return f"{trunk.faults - trunk.missed} of {trunk.faults}"


ROWS: dict[str, Callable[[Figures], str]] = {
    "calls out": lambda f: f"{f.outbound:,}",
    "lost": lambda f: f"**{f.lost}**",
    "went over the backup": lambda f: str(f.over_others),
    "waited for nothing, all callers together": lambda f: seconds(f.extra.total),
    "who got through: median of these waits": caught,
    "the longest of all": lambda f: seconds(f.extra.longest) if f.extra.count else "–",
    "told something wrong (number unknown, say)": lambda f: str(f.misled),
    "rang at both carriers": lambda f: str(f.double_rings),
    "answered, and dropped after seconds": lambda f: str(f.dropped),
    "answered, and heard one way": lambda f: str(f.one_way),
    "times new calls moved to the other trunk, or back": lambda f: str(f.switches),
    "bad phases in which the trunk was Down": lambda f: phases(f.trunks[0]),
    "from the beginning of one to Down, median": lambda f: middle(f.trunks[0].detected),
    "from its end to Up, median": lambda f: middle(f.trunks[0].returned),
}


def table(results: list[Result]) -> str:
    """The figures as Markdown, a column for each configuration."""
    lines = [f"| ten days of January 2018 | {' | '.join(COLUMNS.values())} |", f"|---|{'---|' * len(COLUMNS)}"]
    lines += [f"| {label} | {' | '.join(show(one.figures) for one in results)} |" for label, show in ROWS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(table(lived()))
