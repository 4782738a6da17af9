"""`python -m tests.bench.soak --minutes 120`: hours of calls, and whether anything grows.

The service as a process, an office and two carriers in this one; calls at a steady rate, a main carrier that falls
silent for 20 s every ten minutes. Each minute a line: calls, failed ones, memory (PSS), descriptors, threads, CPU per
call, and how long callers waited for ringing (median, 99th percentile; the minutes of an outage among them). In the end
the medians of the first and the last quarter, side by side.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from sipfailover.simulator import Leg, Mode
from tests.bench.usage import of_tree
from tests.faults.street import Street
from tests.interop.stage import Stage

OUTAGE_EVERY, OUTAGE = 600.0, 20.0
TALK = 5.0
LATE = 30.0
"""Seconds after which a call that has not ended is looked at."""


@dataclass(frozen=True, slots=True)
class Minute:
    """What one minute showed. Times in ms, memory in KiB."""

    minute: int
    calls: int
    failed: int
    pss_kib: int
    descriptors: int
    threads: int
    cpu_us_per_call: float
    median_ms: float
    p99_ms: float


def threads(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/task").iterdir()))


def soak(street: Street, minutes: int, rate: float) -> list[Minute]:
    """Live through it; each minute is printed as a line of JSON."""
    pid, found = street.service.pid, []
    waiting: list[Leg] = []
    started = begun = time.monotonic()
    placed, used = 0, of_tree(pid).cpu
    for minute in range(1, minutes + 1):
        ended: list[Leg] = []
        while time.monotonic() < started + 60 * minute:
            now = time.monotonic() - started
            silent = now % OUTAGE_EVERY >= OUTAGE_EVERY - OUTAGE
            if silent != (street.main.mode is Mode.SILENT):
                mode = Mode.SILENT if silent else Mode.NORMAL
                street.told(lambda mode=mode: street.plugs["main"].become(mode))  # type: ignore[misc]
            due = int((time.monotonic() - begun) * rate) - placed
            waiting += [street.call(talk=TALK) for _ in range(due)]
            placed += due
            ended += [leg for leg in waiting if leg.ended_at or leg.status >= 300]
            waiting = [leg for leg in waiting if not (leg.ended_at or leg.status >= 300)]
            time.sleep(0.05)
        late = [leg for leg in waiting if street.loop.time() - leg.seen_at > LATE]
        waits = sorted(1000 * leg.ringing_after for leg in ended if leg.ringing_after is not None) or [0.0]
        now_used = of_tree(pid).cpu
        found.append(
            Minute(
                minute=minute,
                calls=len(ended),
                failed=len(late) + sum(leg.status != 200 for leg in ended),
                pss_kib=of_tree(pid).memory // 1024,
                descriptors=len(list(Path(f"/proc/{pid}/fd").iterdir())),
                threads=threads(pid),
                cpu_us_per_call=round(1e6 * (now_used - used) / max(1, len(ended)), 1),
                median_ms=round(statistics.median(waits), 2),
                p99_ms=round(waits[int(len(waits) * 0.99) - 1], 2),
            )
        )
        used = now_used
        print(json.dumps(asdict(found[-1])), flush=True)
        for agent in (street.phone, street.main, street.backup):
            street.told(lambda agent=agent: agent.legs.clear())  # type: ignore[misc]
    return found


def told(found: list[Minute]) -> str:
    """The first and the last quarter side by side."""
    quarter = max(1, len(found) // 4)
    lines = [f"{'median of a quarter':<20}{'first':>12}{'last':>12}{'ratio':>8}"]
    for name in ("pss_kib", "descriptors", "threads", "cpu_us_per_call", "median_ms", "p99_ms"):
        first, last = (statistics.median(getattr(one, name) for one in part)
                       for part in (found[:quarter], found[-quarter:]))  # fmt: skip
        lines.append(f"{name:<20}{first:>12.2f}{last:>12.2f}{last / first if first else 0:>8.2f}")
    calls, failed = sum(one.calls for one in found), sum(one.failed for one in found)
    return "\n".join([*lines, f"{calls} calls in {len(found)} minutes, {failed} failed"])


def main() -> int:
    """Returns 1 if a call failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.soak", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--rate", type=float, default=10.0, help="calls a second")
    chosen = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        Stage(Path(folder)) as stage,
        Street(stage) as street,
    ):
        found = soak(street, chosen.minutes, chosen.rate)
        print(street.log[-2000:] if any(one.failed for one in found) else "", end="")
    print(told(found))
    return int(any(one.failed for one in found))


if __name__ == "__main__":
    sys.exit(main())
