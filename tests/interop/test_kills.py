"""Thousands of calls, and the service is killed, stopped or reloaded at random moments: none that talks is lost.

SIPFAILOVER_KILLS=full places 10,000 calls, 50 a second, 2,000 of which talk at any time, and ends the service ten
times; otherwise it is less. The moments are drawn from SIPFAILOVER_KILLS_SEED, which a run prints.

Over UDP: SIPp does not survive the loss of a TCP connection (tests/test_app_restart has those).
"""

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.interop.books import RECEIVED, SENT, Leg
from tests.interop.needs import needs
from tests.interop.service import MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = [*needs("sipp"), pytest.mark.slow]


class Scale(NamedTuple):
    """How much of it."""

    calls: int
    rate: int
    talk_ms: int
    ends: int


FULL = os.environ.get("SIPFAILOVER_KILLS") == "full"
SCALE = Scale(10_000, 50, 40_000, 10) if FULL else Scale(1_000, 40, 8_000, 4)
SEED = int(os.environ.get("SIPFAILOVER_KILLS_SEED", str(time.time_ns() % 100_000)))
APART = 3.0
"""Seconds between two ends, at least: the next process is there by then, and has calls of its own."""
RUN_WITHIN = SCALE.calls / SCALE.rate + SCALE.talk_ms / 1000 + 90.0
QUIET_WITHIN = 40.0
"""Seconds until a BYE of the last moment has reached the carrier, or its timer F has given it up."""
DRAINED_WITHIN = 40.0
CALLER_PORT = 5070
ENDS = {"kill": signal.SIGKILL, "stop": signal.SIGTERM, "reload": signal.SIGHUP}
_lives = count(2)


def moments(chance: random.Random) -> Iterator[float]:
    """When the service ends, in seconds after the first call: while calls come in, at random, some seconds apart."""
    span = SCALE.calls / SCALE.rate
    free = span - 3.0 - APART * SCALE.ends
    at = sorted(3.0 + chance.random() * free for _ in range(SCALE.ends))
    return (moment + place * APART for place, moment in enumerate(at))


@pytest.mark.parametrize("end", ENDS)
def test_no_call_that_talks_is_lost_however_often_the_service_ends(stage: Stage, end: str) -> None:
    print(f"seed {SEED}, {SCALE}")
    main = Sipp(stage, "main", "answers", stage.host(MAIN), pause_ms=100)
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    service = Service(stage)
    to = (stage.host(SERVICE), SIP_PORT)
    caller = Sipp(
        stage, "caller", "places_a_call", stage.host(PBX), CALLER_PORT, to=to, calls=SCALE.calls, rate=SCALE.rate,
        pause_ms=SCALE.talk_ms, limit=SCALE.calls,
    )  # fmt: skip
    begun = time.monotonic()
    restored, absent = [], []
    for moment in moments(random.Random(SEED)):
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        ended_at = time.monotonic()
        service = again(stage, service, ENDS[end])
        absent.append(time.monotonic() - ended_at)
        restored.append(service.calls_now())
    caller.finished(RUN_WITHIN)
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    service.signal(signal.SIGTERM)
    service.wait(DRAINED_WITHIN)

    placed = caller.books.calls
    answered = [leg for leg in placed if leg.answered_at is not None]
    waiting = [leg.call_id for leg in placed if not leg.all("INVITE", RECEIVED, range(200, 700))]
    lost = [leg.call_id for leg in answered if not _ended_well(leg)]
    numbers = {leg.number for leg in answered}
    carried = main.books.calls
    ghosts = [words for leg in carried if leg.number in numbers and (words := leg.unfinished())]
    hung_up = {leg.number for leg in carried if leg.answered_at and leg.all("BYE", RECEIVED)}
    in_vain = [leg for leg in carried if leg.number not in numbers and leg.answered_at is not None]
    rung_on = [leg.call_id for leg in carried if leg.number not in numbers and not _let_go(leg)]
    rows = stored(stage.folder / "history.db")
    print(
        f"{end}: {len(placed)} calls, {len(answered)} answered, {len(lost)} of them lost, {len(waiting)} without a"
        f" final answer, {len(ghosts)} ghosts, {len(in_vain)} answered in vain; talking each time {restored}, seconds"
        f" until the next process was ready {[round(one, 1) for one in absent]}; {sum(rows.values())} rows"
    )
    assert len(placed) == SCALE.calls
    assert len(restored) == SCALE.ends
    assert waiting == [], "calls that were being set up had no final answer"
    assert lost == [], f"{len(lost)} answered calls of {len(answered)} had no BYE with an answer at the caller"
    assert ghosts == [], "calls that the caller has ended go on at the carrier"
    assert numbers <= hung_up, "the BYE of a call went elsewhere"
    assert rung_on == [], "the carrier was left ringing, or talking, for a call that has failed"
    assert [
        one for one, times in Counter(leg.number for leg in carried if leg.number in numbers).items() if times > 1
    ] == []
    told = {leg.call_id for leg in placed if leg.all("INVITE", RECEIVED, range(100, 200))}  # the others: not let in
    assert {call_id: rows.get(call_id, 0) for call_id in told if rows.get(call_id, 0) != 1} == {}, "rows of calls"


def again(stage: Stage, service: Service, number: signal.Signals) -> Service:
    """The service ends, and another one begins; its log is another file, the first one's stays. Or it reads other
    settings, and is the same."""
    if number is signal.SIGHUP:
        file = stage.folder / "sipfailover.yaml"
        text = file.read_text()
        longer, shorter = "give_up_after: 21s", "give_up_after: 20s"
        file.write_text(text.replace(shorter, longer) if shorter in text else text.replace(longer, shorter))
        service.signal(number)
        return service
    service.signal(number)
    service.process.wait(DRAINED_WITHIN)
    service.log.rename(stage.folder / f"sipfailover-{next(_lives)}.log")
    return Service(stage)


def stored(history: Path) -> dict[str, int]:
    """Call-ID → how many rows tell of it."""
    db = sqlite3.connect(f"file:{history}?mode=ro", uri=True)
    rows = db.execute("SELECT call_id, count(*) FROM calls GROUP BY call_id").fetchall()
    db.close()
    return dict(rows)


def _ended_well(leg: Leg) -> bool:
    return bool(leg.all("BYE", SENT) and leg.all("BYE", RECEIVED, range(200, 300)))


def _let_go(leg: Leg) -> bool:
    """A call of which the caller had no answer has its end at the carrier: refused, cancelled or hung up. (This SIPp
    says its 2xx once. One that was lost while nobody was there is answered with CANCEL only; a real carrier repeats it,
    and is hung up on: tests/simulation/crashes.)"""
    return bool(leg.all("CANCEL", RECEIVED) or leg.all("BYE", RECEIVED) or leg.all("INVITE", SENT, range(300, 700)))
