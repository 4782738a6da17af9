"""The page of a rehearsal: one HTML file with everything in it, no request to anywhere and no script.

A row is a stretch of time (a day, an hour, …), a lane in it is a trunk: the band is its health, what is shaded is a
fault, each dot is a call at the carrier that it went over. Drawing is arithmetic here; how it looks is in the template.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined

from sipfailover.simulator.figures import DROPPED, GOOD, LOST, MISLED, ONE_WAY, REROUTED, UNSENT, Outcome, Result
from sipfailover.simulator.tell import ROWS, better, clock, seconds, spread_text

WIDTH = 1000.0
"""Units of a drawing's width; it is stretched to the width that there is."""
LANE, BAND = 34, 6
"""Pixels: height of a lane, and of the band at its foot."""
ROW_LENGTHS = ((129600.0, 86400.0, 6), (21600.0, 10800.0, 6), (5400.0, 1800.0, 6), (0.0, 300.0, 5))
"""A scenario longer than the first (seconds) has rows of the second, with so many ticks."""
CLASSES = {
    GOOD: "good", REROUTED: "moved", LOST: "lost", DROPPED: "dropped", ONE_WAY: "oneway", MISLED: "misled",
    UNSENT: "unsent",
}  # fmt: skip
TOLD = frozenset({REROUTED, LOST, DROPPED, ONE_WAY, MISLED})
"""Calls that tell their story when they are pointed at."""
MARKS_MAX = 4000
"""Calls with a story of their own on one page; further ones are plain dots, and all are in the JSON."""


@dataclass(frozen=True, slots=True)
class Box:
    """Something with a length: a fault, or a state."""

    x: float
    width: float
    word: str
    text: str


@dataclass(frozen=True, slots=True)
class Mark:
    """One call that has a story."""

    x: float
    y: float
    word: str
    text: str


@dataclass(slots=True)
class Lane:
    """One trunk in one row."""

    trunk: str
    faults: list[Box] = field(default_factory=list)
    bands: list[Box] = field(default_factory=list)
    dots: dict[str, str] = field(default_factory=dict)
    """Class → path of all its plain dots."""
    marks: list[Mark] = field(default_factory=list)


@dataclass(slots=True)
class Row:
    """One stretch of time."""

    label: str
    first: float
    last: float
    lanes: list[Lane]
    empty: float
    """Share of it after the end of the scenario, at its right."""


def page(results: Sequence[Result]) -> str:
    """The page. All results are of one scenario."""
    environment = Environment(
        loader=PackageLoader("sipfailover.simulator"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    scenario = results[0].scenario
    figures = [result.figures for result in results]
    table = [
        (row.label, [(row.show(one), index == better(row, figures)) for index, one in enumerate(figures)])
        for row in ROWS
    ]
    text = environment.get_template("rehearsal.html").render(
        scenario=scenario,
        end=scenario.wall(scenario.seconds),
        results=results,
        headlines=[headline(result) for result in results],
        table=table,
        timelines=[rows(result) for result in results],
        ticks=ticks(scenario.start, row_length(scenario.seconds)[0], row_length(scenario.seconds)[1]),
        lane=LANE,
        band=BAND,
        width=WIDTH,
        clock=lambda at: clock(scenario, at),
        lost=LOST,
    )
    return text


def headline(result: Result) -> str:
    """What it comes to, in a sentence."""
    one = result.figures
    lost = "no outbound call was lost" if not one.lost else f"{one.lost} of {one.outbound} outbound calls were lost"
    moved = f"{one.rerouted} moved to another carrier" if one.rerouted else "none had to move"
    if not one.extra.count:
        return f"{lost}, {moved}."
    return f"{lost}, {moved}; callers waited {seconds(one.extra.total)} more in all, {spread_text(one.extra)}."


def row_length(whole: float) -> tuple[float, int]:
    """How long a row is, in seconds, and how many ticks it has."""
    return next((length, count) for limit, length, count in ROW_LENGTHS if whole > limit)


def ticks(start: datetime, length: float, count: int) -> list[tuple[float, str]]:
    """Marks along a row: (percent from the left, label). Rows begin at whole multiples of their length."""
    first = _row_start(start, length)
    found = []
    for index in range(count):
        at = first + timedelta(seconds=length * index / count)
        label = f"{at:%H:%M}" if length >= 86400 else f"+{length * index / count / 60:.0f} min"
        found.append((100.0 * index / count, label))
    return found


def _row_start(start: datetime, length: float) -> datetime:
    """The last whole multiple of the length before this moment, of the day."""
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(seconds=(start - midnight).total_seconds() // length * length)


def rows(result: Result) -> list[Row]:
    """The timeline of one result."""
    scenario, names = result.scenario, [trunk.name for trunk in result.figures.trunks]
    length = row_length(scenario.seconds)[0]
    offset = (_row_start(scenario.start, length) - scenario.start).total_seconds()
    found: list[Row] = []
    first = offset
    while first < scenario.seconds:
        at = scenario.start + timedelta(seconds=first)
        label = f"{at:%a %d %b}" if length >= 86400 else f"{at:%a %H:%M}"
        empty = max(0.0, first + length - scenario.seconds) / length
        found.append(Row(label, first, first + length, [Lane(name) for name in names], empty))
        first += length
    _draw_boxes(result, found)
    _draw_calls(result, found, names)
    return found


def _draw_boxes(result: Result, found: list[Row]) -> None:
    scenario = result.scenario
    states = {state for trunk in result.figures.trunks for _, _, state in trunk.bands}
    reasons = {(line.trunk, line.at): line.text for line in result.story if line.word in states}
    for index, trunk in enumerate(result.figures.trunks):
        for row in found:
            lane = row.lanes[index]
            for first, last, what, harms in result.spans[trunk.name]:
                if first < row.last and last > row.first:
                    text = f"{what}, {clock(scenario, first)} to {clock(scenario, last)}"
                    lane.faults.append(_box(row, first, last, "harm" if harms else "mild", text))
            for first, last, state in trunk.bands:
                if first < row.last and last > row.first:
                    why = reasons.get((trunk.name, first), "")
                    text = f"{trunk.name} is {state} from {clock(scenario, first)}" + (f": {why}" if why else "")
                    lane.bands.append(_box(row, first, last, state.lower(), text))


def _box(row: Row, first: float, last: float, word: str, text: str) -> Box:
    x, end = _x(row, max(first, row.first)), _x(row, min(last, row.last))
    return Box(round(x, 2), round(max(end - x, 0.6), 2), word, text)


def _x(row: Row, at: float) -> float:
    return (at - row.first) / (row.last - row.first) * WIDTH


def _draw_calls(result: Result, found: list[Row], names: list[str]) -> None:
    told = 0
    length = found[0].last - found[0].first
    for one in result.figures.outcomes:
        row = found[int((one.call.at - found[0].first) // length)]
        lane = row.lanes[names.index(_shown_at(one, names))]
        x = round(_x(row, one.call.at), 2)
        y = 5 + one.call.number * 7 % (LANE - BAND - 9)
        word = CLASSES[one.word] + (" in" if one.call.inbound else "")
        if one.word in TOLD and told < MARKS_MAX:
            told += 1
            way = "from" if one.call.inbound else "to"
            other = one.call.caller if one.call.inbound else one.call.called
            lane.marks.append(Mark(x, y, word, f"{clock(result.scenario, one.call.at)} {way} {other}: {one.text}"))
        else:
            lane.dots[word] = lane.dots.get(word, "") + f"M{x:g} {y}h0"


def _shown_at(one: Outcome, names: list[str]) -> str:
    """The lane of a call: what carried it, else what it was offered to first."""
    offered = one.call.offers[0].trunk if one.call.offers else names[0]
    return one.trunk if one.trunk in names else offered
