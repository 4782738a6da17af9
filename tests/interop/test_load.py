"""A thousand calls, fifty a second, each way, over UDP and TCP: none fails and next to nothing is sent twice."""

import pytest

from tests.interop.books import Books
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp, Statistics
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = [*needs("sipp"), pytest.mark.slow]

CALLS = 1_000
RATE = 50
TALK_MS = 500
RING_MS = 100
RETRANSMITTED_MAX = 0.001
"""Share of all messages, at both ends together."""
RUN_WITHIN = CALLS / RATE + 20.0
QUIET_WITHIN = 10.0
"""Seconds until the last BYE has reached the called side."""
CALLER_PORT = 5070
"""The caller's own port; at 5060 of the same address its side answers the service's OPTIONS."""

TRANSPORTS = pytest.mark.parametrize("transport", ["udp", "tcp"])


@TRANSPORTS
def test_a_thousand_calls_go_out_over_the_main_trunk(stage: Stage, transport: str) -> None:
    main = Sipp(stage, "main", "answers", stage.host(MAIN), transport=transport, pause_ms=RING_MS)
    backup = Sipp(stage, "backup", "answers", stage.host(BACKUP), transport=transport, pause_ms=RING_MS)
    Sipp(stage, "pbx", "answers", stage.host(PBX), transport=transport)
    service = Service(stage, transport=transport)

    caller = call(stage, stage.host(PBX), transport)

    assert_all_good(caller.finished(RUN_WITHIN), caller, main)
    assert not backup.books.calls
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")


@TRANSPORTS
def test_a_thousand_calls_come_in_from_the_main_trunk(stage: Stage, transport: str) -> None:
    Sipp(stage, "main", "answers", stage.host(MAIN), transport=transport)
    Sipp(stage, "backup", "answers", stage.host(BACKUP), transport=transport)
    pbx = Sipp(stage, "pbx", "answers", stage.host(PBX), transport=transport, pause_ms=RING_MS)
    service = Service(stage, transport=transport)

    caller = call(stage, stage.host(MAIN), transport)

    assert_all_good(caller.finished(RUN_WITHIN), caller, pbx)
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")


def call(stage: Stage, host: str, transport: str) -> Sipp:
    """A caller at `host` who places all calls through the service."""
    to = (stage.host(SERVICE), SIP_PORT)
    return Sipp(
        stage, "caller", "places_a_call", host, CALLER_PORT, to=to, transport=transport, calls=CALLS, rate=RATE,
        pause_ms=TALK_MS,
    )  # fmt: skip


def assert_all_good(figures: Statistics, caller: Sipp, called: Sipp) -> None:
    """Every call was answered and ended well at both ends, and (almost) no message was sent twice."""
    assert (figures.created, figures.successful, figures.failed) == (CALLS, CALLS, 0), figures.failures
    until(lambda: hung_up(called.books) == CALLS, QUIET_WITHIN, f"{CALLS} calls hung up at the called side")
    assert called.books.ghosts() == []
    assert len(called.books.calls) == CALLS, "a call was offered twice, or not at all"
    messages = caller.books.messages() + called.books.messages()
    twice = caller.books.retransmissions() + called.books.retransmissions()
    assert twice < messages * RETRANSMITTED_MAX, f"{twice} of {messages} messages were copies"


def hung_up(books: Books) -> int:
    """Calls that got a BYE, either way."""
    return sum(any(entry.method == "BYE" for entry in leg.entries) for leg in books.calls)
