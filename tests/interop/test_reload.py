"""Calls go on while the file changes twenty times, and while the service is drained and started again."""

import signal
import time
from itertools import cycle
from pathlib import Path

import pytest

from tests.interop.books import RECEIVED
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, WEB_PORT, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until
from tests.interop.test_load import hung_up

pytestmark = [*needs("sipp"), pytest.mark.slow]

CALLS = 400
RATE = 20
TALK_MS = 2_000
RING_MS = 100
RELOADS = 20
EVERY = CALLS / RATE / (RELOADS + 2)
RUN_WITHIN = CALLS / RATE + TALK_MS / 1000 + 30.0
QUIET_WITHIN = 15.0
CALLER_PORT = 5070
ELSEWHERE = 11
"""Last byte of another address of the main carrier."""

FILE = """\
pbx: {{host: {pbx}, port: {port}}}
listen: [udp {service}:{port}, tcp {service}:{port}]
trunks:
{trunks}
monitor: {{options_every: {every}, timeout: 500ms, dropped_within: 0}}
failover: {{no_answer_within: 2s, no_ringing_within: {ringing}, give_up_after: 20s}}
status: {{listen: {service}:{web}}}
history: {{file: ./history.db}}
"""
MAIN_LINE = "  - {{name: main, host: {main}, port: {port}, register: no{keys}}}\n"
BACKUP_LINE = "  - {{name: backup, host: {backup}, port: {port}, register: no}}\n"


def file(stage: Stage, trunks: str, keys: str = "", at: int = MAIN, every: str = "1s", ringing: str = "8s") -> str:
    names = {"main": stage.host(at), "backup": stage.host(BACKUP), "port": SIP_PORT, "keys": keys}
    return FILE.format(
        pbx=stage.host(PBX), service=stage.host(SERVICE), port=SIP_PORT, web=WEB_PORT, every=every, ringing=ringing,
        trunks=trunks.format(**names),
    )  # fmt: skip


def variants(stage: Stage) -> list[str]:
    """Files that follow each other; each changes the one before."""
    both, turned = MAIN_LINE + BACKUP_LINE, BACKUP_LINE + MAIN_LINE
    return [
        file(stage, both),
        file(stage, both, ", channels: 150, number_format: keep", every="2s", ringing="6s"),
        file(stage, turned),
        file(stage, both, at=ELSEWHERE),
        file(stage, both.replace("name: main", "name: first")),
        "trunks: [",
        file(stage, BACKUP_LINE),
        file(stage, both + "  - {{name: third, host: 192.0.2.1, register: no}}\n"),
        file(stage, both, ", auth_username: u"),
    ]


def told(service: Service) -> int:
    """Reloads that the log tells of."""
    log = service.log.read_text()
    return log.count("by=a signal") if "by=a signal" in log else log.count("by='a signal'")


def test_no_call_is_lost_by_twenty_reloads(stage: Stage) -> None:
    carriers = [
        Sipp(stage, name, "answers", stage.host(host), pause_ms=RING_MS)
        for name, host in (("main", MAIN), ("elsewhere", ELSEWHERE), ("backup", BACKUP))
    ]
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    service = Service(stage)
    to = (stage.host(SERVICE), SIP_PORT)
    caller = Sipp(
        stage, "caller", "places_a_call", stage.host(PBX), CALLER_PORT, to=to, calls=CALLS, rate=RATE,
        pause_ms=TALK_MS,
    )  # fmt: skip
    place = Path(stage.folder / "sipfailover.yaml")
    longest = 0.0
    for number, text in zip(range(1, RELOADS + 1), cycle(variants(stage)), strict=False):
        time.sleep(EVERY)
        place.write_text(text)
        asked = time.monotonic()
        service.signal(signal.SIGHUP)
        until(lambda: told(service) >= number, 5.0, f"reload {number}", service)  # noqa: B023 (called at once)
        longest = max(longest, time.monotonic() - asked)

    figures = caller.finished(RUN_WITHIN)

    assert (figures.created, figures.successful, figures.failed) == (CALLS, CALLS, 0), figures.failures
    until(lambda: sum(hung_up(one.books) for one in carriers) == CALLS, QUIET_WITHIN, "all are hung up at the carriers")
    assert [ghost for one in carriers for ghost in one.books.ghosts()] == []
    assert sum(len(one.books.calls) for one in carriers) == CALLS, "a call was offered twice, or not at all"
    assert min(hung_up(one.books) for one in carriers) > 20, "each had calls"
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    log = service.log.read_text()
    assert log.count("the file is refused") == 2
    assert "Traceback" not in log
    assert longest < 3.0, longest


def test_term_under_traffic_ends_what_is_being_set_up_well_and_keeps_what_talks(stage: Stage) -> None:
    main = Sipp(stage, "main", "answers", stage.host(MAIN), pause_ms=300)
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    service = Service(stage)
    to = (stage.host(SERVICE), SIP_PORT)
    caller = Sipp(
        stage, "caller", "places_a_call", stage.host(PBX), CALLER_PORT, to=to, calls=CALLS // 2, rate=RATE,
        pause_ms=5_000,
    )  # fmt: skip
    time.sleep(6.0)
    service.signal(signal.SIGTERM)
    begun = time.monotonic()
    assert service.wait(15.0) == 0
    took = time.monotonic() - begun
    service.log.rename(stage.folder / "sipfailover-1.log")
    service = Service(stage)
    assert service.calls_now() > 50, "those that talk go on"
    caller.finished(RUN_WITHIN)

    legs = caller.books.calls
    waiting = [leg.call_id for leg in legs if not leg.all("INVITE", RECEIVED, range(200, 700))]
    answered = caller.books.answered
    ended = [leg for leg in answered if leg.all("BYE", RECEIVED, range(200, 300))]
    refused = [leg for leg in legs if leg.all("INVITE", RECEIVED, range(503, 504))]
    assert waiting == [], "some had no final answer"
    assert len(ended) == len(answered)
    assert len(answered) + len(refused) == CALLS // 2
    assert len(answered) > CALLS // 2 * 0.8
    numbers = {leg.number for leg in answered}
    until(lambda: numbers <= _hung_up(main), QUIET_WITHIN, "all that were answered are hung up at the carrier")
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    assert took < 5.0, took


def _hung_up(carrier: Sipp) -> set[str]:
    return {leg.number for leg in carrier.books.answered if any(entry.method == "BYE" for entry in leg.entries)}
