"""Detection and damage: how long each way of failing stays unnoticed, and what callers live through meanwhile.

One fault in one office at a time, with the default configuration and two trunks, in virtual time; two other seeds for
each, so that a row is no accident.

    python -m tests.simulation.damage             # the table
    python -m tests.simulation.damage silence     # one row, and the story behind it
"""

import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from sipfailover.config import Settings, parse, parse_document
from sipfailover.simulator import Rehearsal, Result, Scenario, result
from sipfailover.simulator.tell import seconds, story_line

SEEDS = (1, 2, 3)
DEFAULTS: Settings = parse(
    """
pbx: 192.0.2.10
trunks:
  - {name: main,   host: 198.51.100.1, port: 5060}
  - {name: backup, host: 198.51.100.2, port: 5060}
"""
)
OFFICE = "{calls_per_hour: 120, inbound_share: 0, post_dial_delay: 500ms}"
"""Two calls a minute go out: a busy morning of twenty people."""
QUIET = "{calls_per_hour: 20, inbound_share: 0, post_dial_delay: 500ms}"
BUSY = "{calls_per_hour: 400, inbound_share: 0, post_dial_delay: 500ms}"


@dataclass(frozen=True, slots=True)
class Case:
    """One fault. `yaml`: its entry under `faults`, without its times."""

    name: str
    yaml: str
    office: str = OFFICE
    hours: float = 3.0
    until: str = "+1h 30m"
    """The fault begins 30 minutes after the start."""

    def scenario(self) -> Scenario:
        """The whole scenario."""
        text = f"start: 2018-01-08 09:00\nhours: {self.hours:g}\noffice: {self.office}\n"
        if self.yaml:
            text += f"faults:\n  - {{from: +30m, to: {self.until}, {self.yaml}}}\n"
        return parse_document(text, Scenario, file=self.name).value


CASES: tuple[Case, ...] = (
    Case("silence", "trunk: main, kind: silence"),
    Case("killed", "trunk: main, kind: killed"),
    Case("503", "trunk: main, kind: '503'"),
    Case("503 with Retry-After", "trunk: main, kind: 503 with retry-after"),
    Case("OPTIONS fine, INVITE silent", "trunk: main, kind: options only"),
    Case("OPTIONS fine, 100 and then nothing", "trunk: main, kind: trying only"),
    Case("all calls refused, 500/503/480/404/403", "trunk: main, kind: setup fails"),
    Case("the same at a quiet office", "trunk: main, kind: setup fails", QUIET, until="+2h"),
    Case("30 % of calls fail", "trunk: main, kind: setup fails, share: 30%"),
    Case("5 % of calls fail, busy office", "trunk: main, kind: setup fails, share: 5%", BUSY),
    Case("drops after seconds", "trunk: main, kind: drops after seconds"),
    Case("no ringing is heard", "trunk: main, kind: no ringing"),
    Case("one way", "trunk: main, kind: one way"),
    Case("set-up takes 8 s longer", "trunk: main, kind: slow set-up"),
    Case("one destination broken", "trunk: main, kind: one destination, destinations: 3"),
    Case("our uplink gone, 5 min", "kind: no uplink", until="+35m"),
    Case("our machine has no route, 5 min", "kind: no route", until="+35m"),
    Case("DNS gone", "kind: no dns"),
    Case("flapping 5 s / 5 s", "trunk: main, kind: silence, pattern: on 5s off 5s"),
    Case("flapping 60 s / 60 s", "trunk: main, kind: silence, pattern: on 60s off 60s"),
    Case("flapping 20 min / 20 min", "trunk: main, kind: silence, pattern: on 20m off 20m", hours=5.0, until="+4h"),
    Case("1 % loss, no fault", "trunk: main, kind: loss, loss: 1%"),
    Case("3 % loss, no fault", "trunk: main, kind: loss, loss: 3%"),
    Case("10 % loss, no fault", "trunk: main, kind: loss, loss: 10%"),
    Case("latency 20 to 600 ms", "trunk: main, kind: latency, delay: 600ms"),
    Case("OPTIONS silent, calls fine", "trunk: main, kind: options silent"),
    Case("no OPTIONS answered in calls either", "trunk: main, kind: all options silent"),
    Case("2 % ordinary failures", "", BUSY.replace("}", ", ordinary_failures: 2%}")),
)


@dataclass(frozen=True, slots=True)
class Damage:
    """One row: the worst of all seeds, but for the counts of calls, which are sums."""

    case: Case
    calls: int
    lost: int
    damaged: int
    """Answered, and then dropped or one way."""
    median_wait: float
    longest_wait: float
    """Seconds to ringing, of all calls."""
    extra: float
    """Seconds of these that were due to the fault, at most. (Who calls a wrong number hears so a second opinion
    later, whatever the weather: no telephone rings there.)"""
    down_after: float | None
    """Seconds from the fault to Down; None: never Down."""
    after_first: float | None
    """The same from the first thing that was sent to the trunk after the fault had begun."""
    up_after: float | None
    """Seconds from its end to Up; None: it was never Down, or not Up again when the scenario ended."""
    switches: float
    """In an hour, while the fault was on."""
    false_alarms: int
    double_rings: int
    broken: tuple[str, ...]
    stories: tuple[Result, ...]


def measure(case: Case) -> Damage:
    """Live through a case, once for each seed."""
    lived = [result(Rehearsal(DEFAULTS, case.scenario(), seed=seed, name=case.name).run()) for seed in SEEDS]
    figures = [one.figures for one in lived]
    trunks = [one.figures.trunks[0] for one in lived]
    downs = [trunk.detected.longest if trunk.detected.count else None for trunk in trunks]
    ups = [trunk.returned.longest if trunk.returned.count else None for trunk in trunks]
    first, last = lived[0].scenario.span(lived[0].scenario.faults[0]) if case.yaml else (0.0, case.hours * 3600)
    switches = [sum(line.word == "switch" and first <= line.at <= last + 60 for line in one.story) for one in lived]
    return Damage(
        case=case,
        calls=sum(one.outbound for one in figures),
        lost=sum(one.lost for one in figures),
        damaged=sum(one.dropped + one.one_way for one in figures),
        median_wait=max(one.waited.middle for one in figures),
        longest_wait=max(one.waited.longest for one in figures),
        extra=max(one.extra for all_ in figures for one in all_.outcomes if one.call.fate.rings),
        down_after=worst(downs),
        after_first=worst([trunk.after_first.longest if trunk.after_first.count else None for trunk in trunks]),
        up_after=worst(ups),
        switches=max(switches) / ((last - first) / 3600),
        false_alarms=sum(one.false_alarms for one in figures),
        double_rings=sum(one.double_rings for one in figures),
        broken=tuple(sentence for one in figures for sentence in one.broken),
        stories=tuple(lived),
    )


def worst(values: Sequence[float | None]) -> float | None:
    """The largest; None if one of them is None: never is worse than late."""
    known = [value for value in values if value is not None]
    return max(known) if known and len(known) == len(values) else None


HEADS = (
    "the main trunk", "calls", "lost", "dropped", "median", "longest", "extra", "Down after", "after 1st", "Up after",
    "switches/h", "false", "twice",
)  # fmt: skip


def row(damage: Damage) -> tuple[str, ...]:
    """One row of the table."""
    never = "never"
    return (
        damage.case.name,
        str(damage.calls),
        str(damage.lost),
        str(damage.damaged),
        seconds(damage.median_wait),
        seconds(damage.longest_wait),
        seconds(damage.extra) if damage.extra else "–",
        never if damage.down_after is None else seconds(damage.down_after),
        never if damage.after_first is None else seconds(damage.after_first),
        "–" if damage.up_after is None else seconds(damage.up_after),
        f"{damage.switches:.1f}",
        str(damage.false_alarms),
        str(damage.double_rings),
    )


def table(damages: Iterable[Damage]) -> str:
    """All rows, as Markdown."""
    cells = [HEADS, *map(row, damages)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEADS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def main(arguments: Sequence[str]) -> int:
    """See the module. Returns the exit code: 1 if a rule was broken."""
    chosen = [case for case in CASES if not arguments or any(word in case.name for word in arguments)]
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(measure, chosen))
    print(table(found))
    for damage in found:
        for sentence in damage.broken:
            print(f"RULE BROKEN in {damage.case.name}: {sentence}")
        if arguments:
            for line in damage.stories[0].story:
                print(f"  {story_line(damage.stories[0].scenario, line)}")
    return int(any(damage.broken for damage in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
