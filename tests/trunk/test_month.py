"""A trunk's month: thirty days with ordinary faults and lost packets in which nothing may happen, and one with an
outage, told in words.

The month is lived with `Health` and `Probe` as the engine uses them, OPTIONS packet by packet, without the engine.
"""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

from sipfailover.chance import Chance
from sipfailover.trunk import Change, Evidence, Health, HealthRules, Probe, ProbeRules, RoundTrip, Sign, State

START = datetime(2018, 1, 8)
DAY = 86400.0
SENDS = 3
"""An OPTIONS or INVITE over UDP leaves so often within its clock."""


class Line:
    """A trunk, and the network between. `loss`: of a packet, each way; `faults`: share of calls that fail."""

    def __init__(self, seed: int, loss: float, faults: float) -> None:
        self.dice = random.Random(seed)
        self.loss, self.faults = loss, faults
        self.health = Health(HealthRules(), 0.0)
        self.probe = Probe(ProbeRules(), Chance(seed), 0.0)
        self.trip = RoundTrip()
        for _ in range(10):
            self.trip.observe(0.023)
        self.dead = False
        self.changes: list[tuple[float, Change]] = []
        self.checks = self.calls = self.lost = 0

    def gets_through(self) -> bool:
        """One of the transmissions and its answer arrive."""
        there_and_back = (1 - self.loss) ** 2
        return not self.dead and any(self.dice.random() < there_and_back for _ in range(SENDS))

    def observe(self, evidence: Evidence | None, now: float) -> None:
        if evidence is None:
            return
        change = self.health.observe(evidence, now)
        if change is not None:
            self.changes.append((now, change))
        if evidence.sign in (Sign.PROBE_FAILED, Sign.CALL_SILENT) and self.health.state in (State.SUSPECT, State.TRIAL):
            self.probe.confirm(now, self.trip.smoothed, self.trip.patience)
        if change is not None:
            self.probe.hurry(now, self.health)

    def wake(self, now: float) -> None:
        """The next moment of the probe."""
        if self.probe.overdue(now):
            self.observe(self.probe.failed("", now), now)
        elif self.probe.due(now):
            self.checks += self.probe.sent_at is None
            self.probe.sent(now, self.health, self.trip.no_answer(4.0).bound)
            if self.gets_through():
                self.observe(self.probe.answered(200, "OK", 0.0, now + 0.023), now + 0.023)

    def call(self, now: float) -> None:
        """Somebody calls a number, if the trunk is in use."""
        number = f"+4144{self.dice.randrange(10**7):07}"
        if self.health.state is State.DOWN or (self.health.state is State.TRIAL and not self.health.may_try(now)):
            return
        self.calls += 1
        if not self.gets_through():
            self.lost += 1
            bound = self.trip.no_answer(4.0).bound
            more = f"round trip 23 ms, bound {bound * 1000:.0f} ms"
            self.observe(
                Evidence(Sign.CALL_SILENT, "no answer within 800 ms", number, sent_at=now, more=more), now + bound
            )
        elif self.dice.random() < self.faults:
            self.observe(Evidence(Sign.CALL_FAULT, "503 Service Unavailable", number, sent_at=now), now)
        else:
            self.observe(Evidence(Sign.CALL_GOOD, sent_at=now), now)

    def deadline(self) -> float:
        return min(self.probe.deadline(), self.health.deadline() or float("inf"))


def moments(line: Line, calls: Iterator[float], until: float) -> None:
    """Live until then: probes, calls and deadlines in their order."""
    next_call = next(calls)
    now = 0.0
    while now < until:
        due = line.deadline()
        if next_call <= due:
            now = max(now, next_call)
            line.call(now)
            next_call = next(calls)
            continue
        now = max(now, due)
        moment = line.health.deadline()
        if moment is not None and moment <= now:
            change = line.health.wake(now)
            if change is not None:
                line.changes.append((now, change))
        line.wake(now)


def working_hours(dice: random.Random, an_hour: float) -> Iterator[float]:
    """Calls from eight to six on weekdays, and few at other times."""
    now = 0.0
    while True:
        day, hour = int(now // DAY), now % DAY / 3600
        pace = an_hour if day % 7 < 5 and 8 <= hour < 18 else 0.5
        now += dice.expovariate(pace / 3600)
        yield now


def went_down(line: Line) -> list[str]:
    return [change.why for _, change in line.changes if change.after is State.DOWN]


@pytest.mark.parametrize(("seed", "an_hour"), [(1, 4), (2, 40), (3, 40)])
def test_thirty_days_with_one_percent_loss_and_two_percent_faults_know_no_false_alarm(seed: int, an_hour: int) -> None:
    line = Line(seed, loss=0.01, faults=0.02)
    moments(line, working_hours(random.Random(seed), an_hour), 30 * DAY)
    assert line.checks > 250_000
    assert line.calls > 500
    assert went_down(line) == []


@pytest.mark.parametrize("loss", [0.03, 0.1])
def test_loss_alone_takes_no_trunk_down(loss: float) -> None:
    line = Line(4, loss=loss, faults=0.0)
    moments(line, working_hours(random.Random(4), 40), 5 * DAY)
    suspected = sum(change.after is State.SUSPECT for _, change in line.changes)
    assert (loss < 0.1) or suspected > 50, "it was put to the question often enough"
    assert went_down(line) == []


def in_words(line: Line) -> str:
    """The month as an admin reads it."""
    rows = []
    for at, change in line.changes:
        moment = START + timedelta(seconds=at)
        rows.append(f"{moment:%d %b %H:%M:%S} {change.after.label}: {change.why} [{change.rule}]")
        rows += [f"                  {one.words(at)}" for one in change.evidence]
    return "\n".join(rows)


def test_a_month_with_an_outage_can_be_read() -> None:
    line = Line(7, loss=0.001, faults=0.001)
    calls = working_hours(random.Random(7), 40)
    silent = (2 * DAY + 10 * 3600, 2 * DAY + 11.5 * 3600)
    brown = (9 * DAY + 9 * 3600, 9 * DAY + 15 * 3600)

    def through_it() -> Iterator[float]:
        for now in calls:
            line.faults = 0.3 if brown[0] <= now < brown[1] else 0.001
            yield now

    usual = line.wake

    def wake(now: float) -> None:
        line.dead = silent[0] <= now < silent[1]
        usual(now)

    line.wake = wake  # type: ignore[method-assign]
    moments(line, through_it(), 30 * DAY)
    told = in_words(line)
    print(told)
    rows = told.splitlines()
    down = [row for row in rows if " Down: " in row]
    assert "10 Jan 10:00:" in down[0]
    assert "[nothing answered]" in down[0]
    assert any("5 OPTIONS within 1 s had no answer" in row for row in rows)
    assert any(row.startswith("17 Jan ") and "calls failed with 503 Service Unavailable" in row for row in down[1:])
    worst = next(row for row in down[1:] if "of the last" in row)
    behind = rows[rows.index(worst) + 1 :][:5]
    assert all("number +4144…: 503 Service Unavailable" in row for row in behind)
    assert "before: " in behind[0], "not only the last one"
    assert behind[-1].strip().startswith("now: ")
    assert any("before: number +4144…: 503 Service Unavailable" in row for row in rows)
    back = [row for row in rows if " Up: " in row and "[trial calls good]" in row]
    assert back, "and it came back by calls"
    assert line.health.state is State.UP
