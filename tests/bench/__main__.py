"""`python -m tests.bench`: sipfailover beside a Kamailio dispatcher with one worker, between the same SIPps.

Everything on loopback, the proxy pinned to one core. Latency is from INVITE to ringing at the caller; "added" is what
is left of it after subtracting the same percentile with the two SIPps talking directly (which is what stands in the
column `direct`). Memory is PSS over the process
tree, so that Kamailio's shared memory is not counted once per worker. Memory per held call has no ratio: Kamailio keeps
nothing of an answered call (the state is in the Record-Route); what it shows are transactions of the last five seconds.

Everything is measured in `--rounds` rounds, one after the other for each thing in the middle, and the median is shown:
so what others do on the machine meanwhile hits all of them. CPU seconds are moved least by it, percentiles most.

    python -m tests.bench --before ../checkout-of-an-earlier-commit --sippy ~/with-sippy/bin/python --knee
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from tests.bench.runs import (
    MIDDLES,
    SIPPY_CPS,
    Result,
    cores,
    hold,
    knee,
    measure,
    median,
    start_before,
    start_sippy,
)
from tests.interop.stage import ProgramMissing

BASE = "kamailio"
"""What the ratios refer to."""
SLOW_SECONDS = 10
WIDTH = 180
"""Characters of the table, which is Markdown."""
BUSY = 0.5
"""Load average from which others are at work on this machine: percentiles above the median are then partly theirs."""
SIPP_ENOUGH = 0.97
"""Share of the wanted calls per second that SIPp must have reached, or its figures are not the proxy's."""

Rows = list[tuple[str, str, Callable[[Result], float], bool]]
"""(what, format, value, whether a ratio makes sense)"""


def rows(direct: Result | None) -> Rows:
    """The lines of the table. Without `direct` nothing can be subtracted, and latencies are as seen by the caller."""
    word = "added" if direct else "whole"

    def late(run: str, share: str) -> Callable[[Result], float]:
        def value(result: Result) -> float:
            ours = float(getattr(getattr(result, run), share))
            return ours - float(getattr(getattr(direct, run), share)) if direct and result is not direct else ours

        return value

    def latency(run: str, at: str) -> Rows:
        return [
            (f"{word} to ringing, {p}, ms ({at})", ".3f", late(run, f"{p}_ms"), True) for p in ("p50", "p95", "p99")
        ]

    return [
        ("CPU per call, µs (load)", ".0f", lambda r: r.load.cpu_us_per_call, True),
        ("CPU per call, µs (slow)", ".0f", lambda r: r.slow.cpu_us_per_call, True),
        ("share of its core (load)", ".1%", lambda r: r.load.cpu_share, False),
        ("calls per second placed (load)", ".0f", lambda r: r.load.achieved_cps, False),
        *latency("load", "load"),
        *latency("slow", "slow"),
        ("calls (load)", "d", lambda r: r.load.calls, False),
        ("failed calls (load, slow)", "d", lambda r: r.load.failed + r.slow.failed, False),
        ("messages sent twice (load, slow)", "d", lambda r: r.load.copies + r.slow.copies, False),
        ("start to first call, ms", ".0f", lambda r: r.start_to_call_ms, True),
        ("memory idle, MiB", ".1f", lambda r: r.idle_bytes / 2**20, True),
        ("memory per held call, KiB", ".2f", lambda r: r.held_bytes_per_call / 2**10, False),
        ("calls per second at the knee", "d", lambda r: r.knee_cps, False),
        ("CPU idle, ms a second", ".1f", lambda r: r.idle_cpu_ms_per_s, False),
    ]


def show(results: list[Result], console: Console) -> None:
    """Print the table, one column per thing in the middle, and the ratios to Kamailio."""
    direct = next((result for result in results if result.name == "direct"), None)
    base = next((result for result in results if result.name == BASE), None)
    others = [result for result in results if base and result is not base and result is not direct]
    table = Table(
        "", *(result.name for result in results), *(f"{result.name} / {BASE}" for result in others), box=box.MARKDOWN
    )
    for column in table.columns[1:]:
        column.justify = "right"
    for what, form, value, comparable in rows(direct):
        cells = [format(value(result), form) for result in results]
        for result in others:
            below = value(base) if base else 0.0
            cells.append(f"{value(result) / below:.2f}" if comparable and below else "")
        table.add_row(what, *cells)
    console.print(table)
    for result in results:
        if result.load.achieved_cps < SIPP_ENOUGH * result.load.cps:
            placed = f"{result.load.achieved_cps:.0f} calls a second instead of {result.load.cps}"
            console.print(f"{result.name}: SIPp placed {placed}; the figures under load are not the proxy's.")


def main() -> int:
    """Measure and print. Returns 0 if nothing failed, 1 if calls failed, 2 if a program is missing."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--cps", type=int, default=800, help="calls a second of the load run (default 800)")
    parser.add_argument("--seconds", type=int, default=20, help="length of the load run (default 20)")
    parser.add_argument("--slow-cps", type=int, default=100, help="calls a second of the latency run (default 100)")
    parser.add_argument("--held", type=int, default=3000, help="calls held for memory per call, 0 for none")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median is shown (default 3)")
    parser.add_argument("--only", choices=MIDDLES, action="append", help="measure this only; may be repeated")
    parser.add_argument("--before", type=Path, metavar="CHECKOUT", help="an earlier sipfailover to measure as well")
    parser.add_argument(
        "--sippy", type=Path, metavar="PYTHON", help="an interpreter that has sippy, to measure it as well"
    )
    parser.add_argument("--knee", action="store_true", help="raise the rate until something goes wrong, too")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there as well")
    options = parser.parse_args()
    console = Console(width=WIDTH)
    proxy_core, rest_core = cores()
    if rest_core is None:
        console.print("Only one core: the proxy shares it with SIPp, so latencies say little.")
    if (busy := os.getloadavg()[0]) > BUSY:
        console.print(f"Others are at work here (load average {busy:.1f}): p95 and p99 are partly theirs.")
    middles = {name: MIDDLES[name] for name in options.only or MIDDLES}
    if options.sippy:
        middles["sippy"] = start_sippy(options.sippy)
    if options.before:
        middles["before"] = start_before(options.before.resolve())
    rounds: dict[str, list[Result]] = {name: [] for name in middles}
    results = []
    try:
        for number in range(options.rounds):
            for name, start in middles.items():
                console.print(f"round {number + 1} of {options.rounds}: {name} …")
                cps = SIPPY_CPS if name == "sippy" else options.cps
                found = measure(
                    name, start, cps=cps, seconds=options.seconds, slow_cps=options.slow_cps, slow_seconds=SLOW_SECONDS
                )
                console.print(
                    f"    {found.load.cpu_us_per_call:.0f} µs a call, {found.slow.cpu_us_per_call:.0f} (slow)"
                )
                rounds[name].append(found)
        for name, start in middles.items():
            held = hold(start, options.held) if options.held else 0.0
            top = knee(start) if options.knee else 0
            results.append(
                replace(median(rounds[name]), held_calls=options.held, held_bytes_per_call=held, knee_cps=top)
            )
    except ProgramMissing as missing:
        console.print(f"cannot measure: {missing}")
        return 2
    show(results, console)
    if options.json:
        facts = {"cores": [proxy_core, rest_core], "load_average_before": busy, "options": vars(options)}
        each = {name: [one.as_dict() for one in several] for name, several in rounds.items()}
        whole = {**facts, "results": [result.as_dict() for result in results], "rounds": each}
        options.json.write_text(json.dumps(whole, indent=2, default=str) + "\n")
    return 1 if any(one.load.failed + one.slow.failed for one in results if one.name != "sippy") else 0


if __name__ == "__main__":
    sys.exit(main())
