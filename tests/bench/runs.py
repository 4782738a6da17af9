"""One run: SIPp calls, a proxy (or nothing) in between, SIPp answers; and what was seen meanwhile.

The caller's book gives latency per call, /proc the proxy's use. Proxy on one core, both SIPps and this program on the
other, so that the proxy has a core for itself and nobody else's work is counted.
"""

import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from tests.bench.usage import Usage, of_tree
from tests.interop.books import Books
from tests.interop.figures import percentile
from tests.interop.kamailio import Kamailio
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp, listens
from tests.interop.stage import SIP_PORT, Child, Stage, until

CALLER_PORT = 5070
WARM_UP_CALLS = 200
IDLE_SECONDS = 3.0
SETTLE_SECONDS = 1.0
"""After the last call, so that its last messages are counted."""
HELD_CPS = 200
SIPPY_WITHIN = 10.0
RAMP = range(200, 4001, 200)
"""Calls a second that are tried one after the other until something goes wrong."""
RAMP_SECONDS = 5
COPIES_MAX = 0.001
"""Share of the messages that may come twice before a rate counts as too much."""
PLACED_ENOUGH = 0.97
MESSAGES_PER_CALL = 13
KAMAILIO_MEMORY = 256
"""MiB of shared memory it may use; what it does use is measured."""
SIPP_OPTIONS = ("-timer_resol", "1", "-max_recv_loops", "5000", "-max_sched_loops", "5000")
"""A turn of SIPp's loop a millisecond: calls are spread, not sent in bursts of ten milliseconds."""

Start = Callable[[Stage, int | None], Child | None]


@dataclass(frozen=True, slots=True)
class Load:
    """What a load run showed. Latencies in milliseconds from INVITE to ringing, percentiles over all its calls."""

    cps: int
    calls: int
    failed: int
    copies: int
    """Messages that came or went twice, at both SIPps."""
    p50_ms: float
    p95_ms: float
    p99_ms: float
    cpu_us_per_call: float
    """CPU of the proxy's whole tree, user and kernel; 0 without a proxy."""
    cpu_share: float
    """Of its core, 0 to 1."""
    achieved_cps: float
    """Calls a second the caller really placed; much less than `cps` means that SIPp was the bottleneck."""


@dataclass(frozen=True, slots=True)
class Result:
    """All runs with one thing in the middle."""

    name: str
    load: Load
    slow: Load
    start_to_call_ms: float
    """From the start of the process to the ringing of the first call, SIPp's own start (see `direct`) included."""
    idle_bytes: int
    idle_cpu_ms_per_s: float
    held_calls: int
    held_bytes_per_call: float
    knee_cps: int = 0
    """The highest rate of the ramp at which all went well; 0 where none was driven."""

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


def start_nothing(stage: Stage, cpu: int | None) -> None:
    """Nothing in the middle: what the two SIPps need by themselves."""


def start_kamailio(stage: Stage, cpu: int | None) -> Kamailio:
    """A dispatcher with one worker. It sends no OPTIONS; sipfailover sends one a second to each trunk."""
    trunks = [f"{stage.host(number)}:{SIP_PORT}" for number in (MAIN, BACKUP)]
    return Kamailio.dispatcher(
        stage, "kamailio", stage.host(SERVICE), trunks=trunks, memory=KAMAILIO_MEMORY, cpu=cpu
    )  # fmt: skip


def start_sipfailover(stage: Stage, cpu: int | None) -> Service:
    """The service as its users run it: page, history and log are on."""
    return Service(stage, cpu=cpu)


def start_before(root: Path) -> Start:
    """The service of another checkout: `before`, beside `after`."""
    return lambda stage, cpu: Service(stage, cpu=cpu, root=root)


SIPPY = """
import sippy.SipContact as contact
from sippy.SipURL import SipURL
from sippy.b2bua_simple import main_func

address, goes_to = contact.SipAddress, SipURL.getTAddr

def in_lower_case(uri):
    where, transport = goes_to(uri)
    return where, str(transport).lower()

contact.SipAddress = lambda name, url: address(url=url)
SipURL.getTAddr = in_lower_case
main_func()
"""
"""As it is, but for two things in which it and SIPp do not fit together: SIPp's [next_url] copies a display name of the
Contact into its Request-URI, and it writes `transport=UDP`, where sippy knows `udp` only."""
SIPPY_CPS = 100
"""Calls a second of its load run: it falls behind soon above that."""


def start_sippy(python: Path) -> Start:
    """sippy's smallest back-to-back user agent, the other one in Python, by the interpreter of an environment that has
    it. No record is kept, nothing is watched."""

    def start(stage: Stage, cpu: int | None) -> Child:
        host = stage.host(SERVICE)
        command = [python, "-c", SIPPY, "-f", "-l", host, "-p", str(SIP_PORT), "-n", f"{stage.host(MAIN)}:{SIP_PORT}"]
        child = Child(stage, "sippy", command, cpu=cpu, env={"SIPLOG_BEND": "none", "SIPLOG_LVL": "CRIT"})
        until(lambda: listens("udp", host, SIP_PORT), SIPPY_WITHIN, f"sippy listens at {host}", child)
        return child

    return start


MIDDLES: dict[str, Start] = {
    "direct": start_nothing,
    "kamailio": start_kamailio,
    "sipfailover": start_sipfailover,
}
"""Name → how to start what is in the middle."""


def cores() -> tuple[int | None, int | None]:
    """(the proxy's core, everybody else's); None, None on a machine with one core."""
    ours = sorted(os.sched_getaffinity(0))
    return (ours[0], ours[1]) if len(ours) > 1 else (None, None)


def measure(name: str, start: Start, *, cps: int, seconds: int, slow_cps: int, slow_seconds: int) -> Result:
    """One round with `start` in the middle. Each run has fresh SIPps, the proxy lives through all of them."""
    with _bench(start) as bench:
        bench.begin()
        start_to_call = bench.first_call()
        idle, idle_cpu = bench.idle()
        bench.load(HELD_CPS, WARM_UP_CALLS)
        slow = bench.load(slow_cps, slow_cps * slow_seconds)
        fast = bench.load(cps, cps * seconds)
    return Result(name, fast, slow, start_to_call, idle.memory, idle_cpu, 0, 0.0)


def hold(start: Start, calls: int) -> float:
    """Bytes for each call that is held, with so many."""
    with _bench(start) as bench:
        bench.begin()
        return bench.hold(calls) if bench.proxy else 0.0


def knee(start: Start) -> int:
    """The highest rate of RAMP at which no call fails, next to nothing is sent twice, and SIPp can place the calls."""
    best = 0
    with _bench(start) as bench:
        bench.begin()
        for cps in RAMP:
            calls = cps * RAMP_SECONDS
            try:
                load = bench.load(cps, calls)
            except AssertionError:  # SIPp did not come to its end: too much by far
                return best
            if load.failed or load.copies > COPIES_MAX * MESSAGES_PER_CALL * calls:
                return best
            if load.achieved_cps < PLACED_ENOUGH * cps:
                return best
            best = cps
    return best


def median(rounds: Sequence[Result]) -> Result:
    """The median of each figure over the rounds of one name; failed calls and copies are summed up."""
    first = rounds[0]

    def load(loads: list[Load]) -> Load:
        middle = {field.name: statistics.median(getattr(one, field.name) for one in loads) for field in fields(Load)}
        counted = {name: sum(getattr(one, name) for one in loads) for name in ("calls", "failed", "copies")}
        return Load(**{**middle, **counted, "cps": loads[0].cps})

    return Result(
        first.name, load([one.load for one in rounds]), load([one.slow for one in rounds]),
        statistics.median(one.start_to_call_ms for one in rounds),
        int(statistics.median(one.idle_bytes for one in rounds)),
        statistics.median(one.idle_cpu_ms_per_s for one in rounds), 0, 0.0,
    )  # fmt: skip


@contextmanager
def _bench(start: Start) -> Iterator["Bench"]:
    with tempfile.TemporaryDirectory(prefix="sipfailover-bench-") as folder, Stage(Path(folder)) as stage:
        yield Bench(stage, start)


class Bench:
    """Players of one proxy's runs."""

    def __init__(self, stage: Stage, start: Start) -> None:
        self.stage = stage
        self.proxy: Child | None = None
        self._start = start
        self._proxy_cpu, self._rest_cpu = cores()
        self._runs = 0
        self._began_at = 0.0

    def begin(self) -> None:
        """Start the called parties, then the proxy."""
        for name, number in (("main", MAIN), ("backup", BACKUP), ("pbx", PBX)):
            Sipp(
                self.stage, name, "rings_and_answers_at_once", self.stage.host(number), books=name == "main",
                cpu=self._rest_cpu, options=SIPP_OPTIONS,
            )  # fmt: skip
        self._began_at = time.time()
        self.proxy = self._start(self.stage, self._proxy_cpu)

    def first_call(self) -> float:
        """Milliseconds from the start of the proxy to the ringing of the first call."""
        caller = self._call(100, 1)
        caller.finished(20.0)
        (leg,) = caller.books.calls
        return 1000.0 * ((leg.invited_at or 0.0) + (leg.ringing_after or float("nan")) - self._began_at)

    def idle(self) -> tuple[Usage, float]:
        """(usage, CPU milliseconds a second) while nobody calls."""
        before = self._usage()
        time.sleep(IDLE_SECONDS)
        after = self._usage()
        return after, 1000.0 * (after.cpu - before.cpu) / IDLE_SECONDS

    def load(self, cps: int, calls: int) -> Load:
        """Place so many calls at this rate."""
        copies_before = self._main_books().retransmissions()
        before, start = self._usage(), time.monotonic()
        caller = self._call(cps, calls)
        figures = caller.finished(calls / cps * 2 + 60.0)
        took = time.monotonic() - start
        time.sleep(SETTLE_SECONDS)
        cpu = self._usage().cpu - before.cpu
        books = caller.books
        waited = [1000.0 * seconds for seconds in books.ringing()]
        begun = sorted(leg.invited_at or 0.0 for leg in books.calls)
        copies = books.retransmissions() + self._main_books().retransmissions() - copies_before
        return Load(
            cps, figures.created, figures.failed + calls - figures.created, copies,
            percentile(waited, 0.50), percentile(waited, 0.95), percentile(waited, 0.99),
            1e6 * cpu / calls, cpu / took, (len(begun) - 1) / ((begun[-1] - begun[0]) or 1.0),
        )  # fmt: skip

    def hold(self, calls: int) -> float:
        """Bytes per call, with so many set up and none hung up."""
        self._call(HELD_CPS, WARM_UP_CALLS).finished(60.0)
        before = statistics.median(self._usage().memory for _ in range(3))
        caller = self._call(HELD_CPS, calls, talk_ms=600_000)
        until(lambda: len(caller.books.answered) >= calls, calls / HELD_CPS * 2 + 30.0, f"{calls} calls held", caller)
        time.sleep(SETTLE_SECONDS)
        return (self._usage().memory - before) / calls

    def _usage(self) -> Usage:
        if self.proxy is None:
            return Usage(0.0, 0)
        assert self.proxy.alive, f"{self.proxy} is gone\n{self.proxy.tail()}"
        return of_tree(self.proxy.pid)

    def _main_books(self) -> Books:
        return Books(self.stage.folder / "main.books")

    def _call(self, cps: int, calls: int, *, talk_ms: int = 0) -> Sipp:
        self._runs += 1
        number = SERVICE if self.proxy else MAIN
        return Sipp(
            self.stage, f"caller-{self._runs}", "places_a_call", self.stage.host(PBX), CALLER_PORT,
            to=(self.stage.host(number), SIP_PORT), calls=calls, rate=cps, pause_ms=talk_ms,
            limit=max(calls + 1, 1000) if talk_ms else 60 * cps, cpu=self._rest_cpu, options=SIPP_OPTIONS,
        )  # fmt: skip
