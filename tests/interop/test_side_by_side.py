"""The simulator and real sockets side by side: the same office, the same five faults, the same configuration.

Twenty calls a second, and after five seconds the main carrier fails. Whoever believes the tables of `tests.simulation`
believes this one: what is rehearsed in virtual time must come out as it does between processes. With -s the table is
printed as it grows.

    python -m pytest -s tests/interop/test_side_by_side.py
"""

import signal
import time
from dataclasses import dataclass
from statistics import median

import pytest

from sipfailover.config import Settings, parse, parse_document
from sipfailover.simulator import Rehearsal, Scenario, result
from tests.interop.needs import needs
from tests.interop.service import SETTINGS, Watch
from tests.interop.stage import Stage, until
from tests.interop.test_failing_carrier import (
    HEALTHY_CALLS,
    MARGIN,
    NO_RINGING_WITHIN,
    RATE,
    answered,
    call,
    open_office,
)

pytestmark = [*needs("sipp"), pytest.mark.slow]

SECONDS = 12
"""Of calls, the first five with a carrier that is well."""
SAME_DOWN = 1.0
"""Seconds by which Down may come sooner or later: OPTIONS leave once a second, and the fault meets them anywhere."""

ROWS = {
    "silence": ("silence", None),
    "killed": ("killed", None),
    "503": ("'503'", 503),
    "OPTIONS fine, INVITE silent": ("options only", 0),
    "OPTIONS fine, 100 and then nothing": ("trying only", 100),
}
"""Fault → its kind in a scenario, and what the real carrier does to a call (None: it is stopped or killed)."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What one run came to. Seconds."""

    calls: int
    lost: int
    median_wait: float
    longest_wait: float
    down_after: float

    def row(self, name: str, where: str) -> str:
        """One line of the table."""
        waits = f"{self.median_wait * 1000:6.0f} ms | {self.longest_wait * 1000:7.0f} ms"
        return f"| {name:34} | {where:9} | {self.calls:5} | {self.lost:4} | {waits} | {self.down_after:6.2f} s |"


HEAD = "| the main trunk                     | where     | calls | lost |    median |    longest | Down after |"


@pytest.mark.parametrize("name", ROWS)
def test_a_rehearsed_fault_costs_what_a_real_one_does(
    name: str, stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    kind, then = ROWS[name]
    rehearsed, real = rehearse(kind), live(stage, name, then)
    with capsys.disabled():
        print("", HEAD, rehearsed.row(name, "simulator"), real.row(name, "sockets"), sep="\n")
    assert real.lost == rehearsed.lost == 0
    assert real.longest_wait == pytest.approx(rehearsed.longest_wait, abs=MARGIN)
    assert real.median_wait == pytest.approx(rehearsed.median_wait, abs=MARGIN)
    assert real.down_after == pytest.approx(rehearsed.down_after, abs=SAME_DOWN + MARGIN)


def live(stage: Stage, name: str, then: int | None) -> Seen:
    """Between processes."""
    office = open_office(stage, then=then)
    with Watch(office.service, "main") as watch:
        caller = call(office, seconds=SECONDS)
        answered(office.main, HEALTHY_CALLS)
        failed_at = time.time()
        if then is None:
            office.main.signal(signal.SIGSTOP if name == "silence" else signal.SIGKILL)
        until(lambda: watch.seen("down"), 15.0, "the page says that main is Down")
        figures = caller.finished(60.0)
        if name == "silence":
            office.main.signal(signal.SIGCONT)  # so that it can be ended
    if then is not None:
        invited = sorted(leg.invited_at for leg in office.main.books.calls if leg.invited_at is not None)
        failed_at = invited[HEALTHY_CALLS]
    down_at = next(span.start for span in watch.spans if span.state == "down")
    waits = caller.books.ringing()
    return Seen(figures.created, figures.failed, median(waits), max(waits), down_at - failed_at)


def rehearse(kind: str) -> Seen:
    """In virtual time: the worst of three seeds."""
    runs = [result(Rehearsal(settings(), scenario(kind), seed=seed).run()) for seed in (1, 2, 3)]
    downs = [run.figures.trunks[0].detected.longest for run in runs if run.figures.trunks[0].detected.count]
    assert len(downs) == len(runs)
    waits = [one.waited for run in runs for one in run.figures.outcomes if one.waited is not None]
    lost = sum(run.figures.lost for run in runs)
    return Seen(sum(run.figures.outbound for run in runs), lost, median(waits), max(waits), median(downs))


def settings() -> Settings:
    """The configuration of the real service, at addresses of the simulator."""
    return parse(
        SETTINGS.format(
            service="192.0.2.1", pbx="192.0.2.10", main="198.51.100.1", backup="198.51.100.2", port=5060, web=8080,
            transport="udp", no_ringing_within=f"{NO_RINGING_WITHIN:g}s", account="register: no",
        )
    )  # fmt: skip


def scenario(kind: str) -> Scenario:
    """The calls and the carriers of the real office."""
    text = f"""
start: 2018-01-08 09:00
hours: {SECONDS / 3600:.6f}
office:
  {{calls_per_hour: {RATE * 3600}, inbound_share: 0, destinations: 100000, post_dial_delay: 0s, answer_within: 1s,
   talk: 1s, busy: 0%, no_answer: 0%, wrong_number: 0%, declined: 0%, voicemail: 0%}}
network: {{round_trip: 1ms}}
faults: [{{trunk: main, from: +{HEALTHY_CALLS // RATE}s, kind: {kind}}}]
"""
    return parse_document(text, Scenario, file=kind).value
