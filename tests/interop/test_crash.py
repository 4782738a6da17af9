"""The service is killed while it has calls, and started again: every answered call ends as if nothing had been.

Over UDP: SIPp, as caller or called side, does not survive the loss of its TCP connection. What becomes of those is
proved in tests/proxy/test_restoring.
"""

import signal
import time
from itertools import count

import pytest

from tests.interop.books import RECEIVED, SENT, Leg
from tests.interop.needs import needs
from tests.interop.service import MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = [*needs("sipp"), pytest.mark.slow]

CALLS = 300
RATE = 20
TALK_MS = 5_000
CRASHES = (6.0, 11.0)
"""Seconds after the first call: about a hundred calls talk then, and one is being set up or answered each time."""
RUN_WITHIN = CALLS / RATE + TALK_MS / 1000 + 60.0
QUIET_WITHIN = 20.0
CALLER_PORT = 5070
_lives = count(2)


def killed_and_started_again(stage: Stage, service: Service) -> Service:
    """kill -9, and another one. Its log is another file; the first one's stays for whoever looks at a failure."""
    service.signal(signal.SIGKILL)
    service.process.wait()
    service.log.rename(stage.folder / f"sipfailover-{next(_lives)}.log")
    return Service(stage)


def test_every_answered_call_ends_on_both_sides_though_the_service_is_killed_twice(stage: Stage) -> None:
    main = Sipp(stage, "main", "answers", stage.host(MAIN), pause_ms=100)
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    service = Service(stage)
    to = (stage.host(SERVICE), SIP_PORT)
    caller = Sipp(
        stage, "caller", "places_a_call", stage.host(PBX), CALLER_PORT, to=to, calls=CALLS, rate=RATE,
        pause_ms=TALK_MS,
    )  # fmt: skip
    begun = time.monotonic()
    restored = []
    for moment in CRASHES:
        time.sleep(max(0.0, begun + moment - time.monotonic()))
        service = killed_and_started_again(stage, service)
        restored.append(service.calls_now())
    caller.finished(RUN_WITHIN)

    assert min(restored) > 50, restored
    waiting = [leg.call_id for leg in caller.books.calls if not leg.all("INVITE", RECEIVED, range(200, 700))]
    assert waiting == [], "calls that were being set up had no final answer"
    answered = caller.books.answered
    assert len(answered) > CALLS * 0.9
    lost = [leg.call_id for leg in answered if not _ended_well(leg)]
    assert lost == [], f"{len(lost)} answered calls of {len(answered)} had no BYE with an answer at the caller"
    numbers = {leg.number for leg in answered}
    until(lambda: _ghosts(main, numbers) == [], QUIET_WITHIN, "every answered call has its end at the carrier")
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    hung_up = {leg.number for leg in main.books.answered if any(entry.method == "BYE" for entry in leg.entries)}
    assert numbers <= hung_up, "the BYE of a call went elsewhere"


def _ended_well(leg: Leg) -> bool:
    return bool(leg.all("BYE", SENT) and leg.all("BYE", RECEIVED, range(200, 300)))


def _ghosts(carrier: Sipp, numbers: set[str]) -> list[str]:
    """Calls to these numbers that the carrier still has. (This carrier says its 2xx once; one that falls into the time
    without a service is lost with its call. A real one repeats it, and is hung up on: tests/proxy/test_restoring.)"""
    return [words for leg in carrier.books.calls if leg.number in numbers and (words := leg.unfinished())]
