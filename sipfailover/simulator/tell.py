"""What a rehearsal came to, as lines for a terminal: one column for each configuration, and the story of the trunks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sipfailover.simulator.figures import LOST, Figures, Line, Result, Spread, TrunkFigures
from sipfailover.simulator.scenario import Scenario

STORY_MAX = 200
"""Lines of the story that a terminal gets; all are in the page and in the JSON."""
LOST_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: how it is called, what it is, and whether less of it is better (then the best is marked)."""

    label: str
    show: Callable[[Figures], str]
    less: Callable[[Figures], float] | None = None


def seconds(value: float) -> str:
    """A duration for people: `80 ms`, `4.2 s`, `12 min`, `3.5 h`."""
    if value < 1.0:
        return f"{value * 1000:.0f} ms"
    for limit, unit, name in ((100.0, 1.0, "s"), (6000.0, 60.0, "min")):
        if value < limit:
            return f"{round(value / unit, 1):g} {name}"
    return f"{round(value / 3600.0, 1):g} h"


def spread_text(spread: Spread) -> str:
    """`median 0.8 s, longest 12 s`; a dash for none."""
    return f"median {seconds(spread.middle)}, longest {seconds(spread.longest)}" if spread.count else "–"


def _all(figures: Figures, which: Callable[[TrunkFigures], Spread]) -> str:
    parts = [(trunk.name, which(trunk)) for trunk in figures.trunks]
    known = [(name, spread) for name, spread in parts if spread.count]
    if not known:
        return "–"
    if len(known) == 1:
        return spread_text(known[0][1])
    return "; ".join(f"{name} {spread_text(spread)}" for name, spread in known)


ROWS: tuple[Row, ...] = (
    Row("outbound calls", lambda f: str(f.outbound)),
    Row("  lost", lambda f: str(f.lost), lambda f: f.lost),
    Row("  moved while being set up", lambda f: str(f.rerouted)),
    Row("  over another trunk in all", lambda f: str(f.over_others)),
    Row("  extra wait", lambda f: spread_text(f.extra), lambda f: f.extra.total),
    Row("  extra wait of all together", lambda f: seconds(f.extra.total), lambda f: f.extra.total),
    Row("  told something wrong", lambda f: str(f.misled), lambda f: f.misled),
    Row("wait to ringing", lambda f: spread_text(f.waited)),
    Row("inbound calls", lambda f: str(f.inbound)),
    Row("  never sent to us", lambda f: str(f.not_sent)),
    Row("  lost here", lambda f: str(f.lost_inbound), lambda f: f.lost_inbound),
    Row("answered, then dropped", lambda f: str(f.dropped), lambda f: f.dropped),
    Row("answered, one way", lambda f: str(f.one_way), lambda f: f.one_way),
    Row("rang at two carriers", lambda f: str(f.double_rings), lambda f: f.double_rings),
    Row("switches of the trunk", lambda f: str(f.switches)),
    Row("fault to Down", lambda f: _all(f, lambda trunk: trunk.detected)),
    Row("  from the first request", lambda f: _all(f, lambda trunk: trunk.after_first)),
    Row("  not noticed in time", lambda f: _sum(f, "missed"), lambda f: sum(t.missed for t in f.trunks)),
    Row("end of fault to Up", lambda f: _all(f, lambda trunk: trunk.returned)),
    Row("false alarms", lambda f: str(f.false_alarms), lambda f: f.false_alarms),
    Row("rules broken", lambda f: str(len(f.broken)), lambda f: len(f.broken)),
)  # fmt: skip
"""The figures in the order in which they are shown, in the terminal and on the page."""


def _sum(figures: Figures, name: str) -> str:
    faults = sum(trunk.faults for trunk in figures.trunks)
    return f"{sum(getattr(trunk, name) for trunk in figures.trunks)} of {faults}"


def better(row: Row, all_figures: Sequence[Figures]) -> int | None:
    """Which of several has less of a bad thing; None if that makes no difference, or if there is only one."""
    if row.less is None or len(all_figures) < 2:
        return None
    values = [row.less(figures) for figures in all_figures]
    best = min(values)
    return values.index(best) if values.count(best) < len(values) and values.count(best) == 1 else None


def lines(results: Sequence[Result], *, long: bool = False) -> list[str]:
    """The whole report. `long`: all of the story."""
    scenario = results[0].scenario
    end = scenario.wall(scenario.seconds)
    told = [
        f"{scenario.title or 'Scenario'}: {scenario.start:%a %Y-%m-%d %H:%M} to {end:%a %Y-%m-%d %H:%M}, "
        f"seed {results[0].seed}",
        "",
        *table(results),
    ]
    for result in results:
        told += ["", f"What happened, with {result.name}:"]
        shown = result.story if long else result.story[:STORY_MAX]
        told += [f"  {story_line(scenario, line)}" for line in shown]
        if len(result.story) > len(shown):
            told.append(f"  … and {len(result.story) - len(shown)} more (--story tells them all)")
        lost = [one for one in result.figures.outcomes if one.word == LOST]
        if lost:
            told += ["", f"Lost, with {result.name}:"]
            told += [f"  {clock(scenario, one.call.at)} to {one.call.called}: {one.text}" for one in lost[:LOST_SHOWN]]
            if len(lost) > LOST_SHOWN:
                told.append(f"  … and {len(lost) - LOST_SHOWN} more")
        if result.figures.broken:
            told += ["", f"RULES BROKEN with {result.name} (a fault of ours, please report scenario and seed):"]
            told += [f"  {sentence}" for sentence in result.figures.broken]
    return told


def table(results: Sequence[Result]) -> list[str]:
    """The figures side by side; a star behind the better one."""
    all_figures = [result.figures for result in results]
    cells = [["", *(result.name for result in results)]]
    for row in ROWS:
        best = better(row, all_figures)
        shown = [row.show(figures) + (" *" if index == best else "") for index, figures in enumerate(all_figures)]
        cells.append([row.label, *shown])
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def clock(scenario: Scenario, at: float) -> str:
    """The wall clock, with the day where the scenario has several."""
    wall = scenario.wall(at)
    return f"{wall:%a %d %H:%M:%S}" if scenario.seconds > 86400 else f"{wall:%H:%M:%S}"


def story_line(scenario: Scenario, line: Line) -> str:
    """One line of the story: `Mon 08 10:41:07  swisscom  Suspect: a call failed with …`."""
    if line.word in ("fault", "over"):
        return f"{clock(scenario, line.at)}  {line.trunk:<10} (fault {line.text})"
    if line.word == "switch":
        return f"{clock(scenario, line.at)}  {line.trunk:<10} --> {line.text}"
    return f"{clock(scenario, line.at)}  {line.trunk:<10} {line.word}: {line.text}"
