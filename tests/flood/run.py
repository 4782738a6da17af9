"""One flood: a service, a carrier that answers, a PBX that places 20 calls a second, and somebody who floods.

The flood of INVITEs comes from the address of another PBX, which has calls up when it begins and hangs them up
meanwhile; all others come from strangers. The caller's book says what its calls lived through.
"""

import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.interop.books import Leg
from tests.interop.figures import percentile
from tests.interop.service import BACKUP, MAIN, PBX, ROOT, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Child, Stage, until

MAD = 3
"""Last byte of the address of the PBX that has gone mad."""
STRANGERS = tuple(range(100, 150))
CALLER_PORT, TALKER_PORT = 5070, 5071
CALLS_PER_SECOND = 20
TALK_MS = 300
CALM_BEFORE, CALM_AFTER = 3.0, 5.0
"""Seconds of calls before and after the flood."""
RECOVERED_WITHIN = 2.0
LOOK_EVERY = 0.25

RATES = {"invites": 20_000, "registers": 100_000, "options": 100_000, "garbage": 100_000, "connections": 3_000}
"""Kind → how many a second: ten times what one core does when it serves them. A call takes at least 0.5 ms, an OPTIONS
that is answered 0.1 ms. Connections are what one process can open."""

SETTINGS = """\
pbx:
  - {{name: office, host: {pbx}, port: {port}, transport: udp}}
  - {{name: mad, host: {mad}, port: {port}, transport: udp}}
  - {{name: home, username: home, password: a long pass phrase}}
listen: [udp {service}:{port}, tcp {service}:{port}]
trunks:
  - {{name: main,   host: {main}, port: {port}, transport: {transport}, {account}}}
  - {{name: backup, host: {backup}, port: {port}, transport: {transport}, register: no}}
monitor: {{dropped_within: 0}}
failover: {{no_ringing_within: {no_ringing_within}}}
status: {{listen: {service}:{web}}}
history: {{file: ./history.db}}
log: {{level: info, format: text}}
"""


@dataclass(frozen=True, slots=True)
class Flooded:
    """What was seen. Latencies: milliseconds from INVITE to ringing, as the caller lived it."""

    kind: str
    seconds: float
    sent: int
    calls: int
    """Placed by the real PBX while the flood went on."""
    lost: int
    """Of all calls of the real PBX, before, meanwhile and after."""
    why_lost: dict[str, int]
    """As SIPp has it."""
    copies: int
    """Messages of the real PBX's calls that went twice: what the flood swallowed, and repeating brought through."""
    before_ms: tuple[float, float]
    """p50 and p99 before the flood."""
    during_ms: tuple[float, float]
    after_ms: tuple[float, float]
    """Of calls that began at least RECOVERED_WITHIN after the flood."""
    held: int
    """Calls of the mad PBX that it hung up while it flooded."""
    held_lost: int
    behind_ms: float
    """The furthest that the service was behind, as its page said."""
    kernel_drops: int
    shut_out: int
    """Of strangers, by the kernel for us."""
    not_served: dict[str, int]
    page_failed: int
    """Looks at the page that had no answer within a second, of `page_asked`."""
    page_asked: int
    recovered: bool
    """RECOVERED_WITHIN after the flood nothing was refused any more, and nothing waited."""
    cpu_share: float
    """Of one core, while the flood went on."""

    def __str__(self) -> str:
        served = ", ".join(f"{name} {count}" for name, count in self.not_served.items() if count) or "nothing"
        return (
            f"{self.kind}: {self.sent / self.seconds:,.0f}/s for {self.seconds:.0f} s; {self.calls} calls meanwhile, "
            f"{self.lost} lost{self.why_lost or ''}, {self.copies} copies; "
            f"ringing p50/p99 {_ms(self.during_ms)} ms "
            f"(before {_ms(self.before_ms)}, after {_ms(self.after_ms)}); of the mad PBX's {self.held} calls "
            f"{self.held_lost} lost; at most {self.behind_ms:.0f} ms behind, "
            f"{self.kernel_drops} dropped by the kernel, {self.shut_out} shut out; "
            f"not served: {served}; page {self.page_asked - self.page_failed}/{self.page_asked}; "
            f"{self.cpu_share:.0%} of a core; {'recovered' if self.recovered else 'NOT RECOVERED'}"
        )


def _ms(pair: tuple[float, float]) -> str:
    return f"{pair[0]:.1f}/{pair[1]:.1f}"


def cores() -> tuple[int | None, int | None]:
    """(the service's, everybody else's); None, None on a machine with one core."""
    ours = sorted(os.sched_getaffinity(0))
    return (ours[0], ours[1]) if len(ours) > 1 else (None, None)


def run(kind: str, seconds: float, rate: float = 0.0) -> Flooded:
    """Flood for so many seconds. `rate`: a second; 0 for that of RATES."""
    with tempfile.TemporaryDirectory(prefix="sipfailover-flood-") as folder, Stage(Path(folder)) as stage:
        return flood(stage, kind, seconds, rate or RATES[kind])


def flood(stage: Stage, kind: str, seconds: float, rate: float) -> Flooded:
    """The same on a stage that is there."""
    ours, theirs = cores()
    mad = stage.host(MAD)
    for name, number in (("main", MAIN), ("backup", BACKUP), ("pbx", PBX), ("mad", MAD)):
        Sipp(stage, name, "rings_and_answers_at_once", stage.host(number), books=False, cpu=theirs)
    service = Service(stage, settings=SETTINGS.replace("{mad}", mad), cpu=ours)
    to = (stage.host(SERVICE), SIP_PORT)
    talker = None
    if kind == "invites":
        # As long as it takes to set them up they talk, and a little more: their BYEs fill the time of the flood.
        calls = round(CALLS_PER_SECOND * seconds)
        talk_ms = round(1000 * (seconds + CALM_BEFORE))
        talker = Sipp(
            stage, "talker", "places_a_call", mad, TALKER_PORT, to=to, calls=calls, rate=CALLS_PER_SECOND,
            pause_ms=talk_ms, limit=calls + 1, cpu=theirs,
        )  # fmt: skip
        time.sleep(seconds)
    length = CALM_BEFORE + seconds + RECOVERED_WITHIN + CALM_AFTER
    total = round(CALLS_PER_SECOND * length)
    caller = Sipp(
        stage, "caller", "places_a_call", stage.host(PBX), CALLER_PORT, to=to, calls=total, rate=CALLS_PER_SECOND,
        pause_ms=TALK_MS, cpu=theirs,
    )  # fmt: skip
    time.sleep(CALM_BEFORE)
    sources = [mad] if kind == "invites" else [stage.host(number) for number in STRANGERS]
    words = [
        sys.executable,
        "-m",
        "tests.flood.senders",
        kind,
        to[0],
        str(to[1]),
        ",".join(sources),
        str(seconds),
        str(rate),
    ]
    begin, cpu = time.time(), _cpu(service)
    sender = Child(stage, "flood", words, cpu=theirs, env={"PYTHONPATH": str(ROOT)})
    seen = _watch(service, sender, seconds)
    end = time.time()
    cpu = (_cpu(service) - cpu) / (end - begin)
    sender.wait(5.0)
    time.sleep(RECOVERED_WITHIN)
    calm = service.status()["load"]
    figures = caller.finished(length * 2 + 60.0)
    if figures.failed:
        print((stage.folder / "caller.errors").read_text()[-4000:], file=sys.stderr)
    held = talker.finished(seconds * 2 + 60.0) if talker else None
    last = service.status()["load"]
    sent = re.search(r"sent (\d+)", sender.tail())
    assert sent, sender.tail()
    calls = caller.books.calls
    return Flooded(
        kind, end - begin, int(sent[1]), len(_between(calls, begin, end)), figures.failed + total - figures.created,
        figures.failures,
        caller.books.retransmissions(), _latency(_between(calls, 0.0, begin)), _latency(_between(calls, begin, end)),
        _latency(_between(calls, end + RECOVERED_WITHIN, end + 3600.0)),
        held.created if held else 0, held.failed if held else 0,
        1000.0 * max((look["behind_seconds"] for look in seen if look), default=0.0),
        last["kernel_drops"], last["shut_out"], last["not_served"], sum(look is None for look in seen), len(seen),
        calm["new_calls_per_second"] is None and calm["behind_seconds"] < 0.05, cpu,
    )  # fmt: skip


def _watch(service: Service, sender: Child, seconds: float) -> list[dict[str, Any] | None]:
    """What the page says while the flood goes on, None for each look without an answer."""
    seen: list[dict[str, Any] | None] = []

    def look() -> bool:
        if not sender.alive:
            return True
        try:
            seen.append(service.status()["load"])
        except OSError:
            seen.append(None)
        time.sleep(LOOK_EVERY)
        return False

    until(look, seconds + 30.0, "the flood ends")
    return seen


def _between(calls: Sequence[Leg], start: float, end: float) -> list[Leg]:
    return [leg for leg in calls if start <= (leg.invited_at or 0.0) < end]


def _latency(calls: Sequence[Leg]) -> tuple[float, float]:
    waited = [1000.0 * leg.ringing_after for leg in calls if leg.ringing_after is not None]
    return percentile(waited, 0.50), percentile(waited, 0.99)


def _cpu(child: Child) -> float:
    """Seconds of CPU it has used, user and kernel."""
    fields = Path(f"/proc/{child.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
