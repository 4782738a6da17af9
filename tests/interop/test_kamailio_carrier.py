"""Kamailio as the carrier: it record-routes, so whatever we send inside a dialog must follow the route set.

A request that leaves the route is told 404 by this carrier and stands in its log as OFF-ROUTE.
"""

import pytest

from tests.interop.kamailio import Kamailio
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = needs("sipp", "kamailio")

CALLS = 20
RATE = 20
PAUSE_MS = 100
RING_FOREVER_MS = 60_000
CALLER_PORT = 5070
CALLEE, THIRD = 30, 40
RUN_WITHIN = 20.0
QUIET_WITHIN = 5.0


@pytest.mark.parametrize(
    ("caller_does", "callee_does", "requests"),
    [
        ("places_a_call", "answers", ["ACK", "BYE"]),
        ("holds_resumes_and_is_hung_up", "is_held_resumed_and_hangs_up", ["ACK", "INVITE", "ACK", "INVITE", "ACK"]),
    ],
)
def test_requests_inside_a_dialog_follow_the_route_set(
    stage: Stage, caller_does: str, callee_does: str, requests: list[str]
) -> None:
    callee = Sipp(stage, "callee", callee_does, stage.host(CALLEE), pause_ms=PAUSE_MS, whole_messages=True)
    carrier = open_carrier(stage, callee_numbers="^0")
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    Service(stage)

    to = (stage.host(SERVICE), SIP_PORT)
    caller = Sipp(
        stage, "caller", caller_does, stage.host(PBX), CALLER_PORT, to=to, calls=CALLS, rate=RATE, pause_ms=PAUSE_MS
    )

    figures = caller.finished(RUN_WITHIN)
    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    until(lambda: carrier.log_has(f"ON-ROUTE {requests[-1]}", CALLS), QUIET_WITHIN, "the last requests have come")
    until(lambda: not callee.books.ghosts(), QUIET_WITHIN, "every call was hung up")
    assert len(callee.books.calls) == CALLS
    for leg in callee.books.calls:
        inside = [e.method for e in leg.entries if e.direction == "R" and not e.status][1:]
        assert inside == requests
    assert not carrier.log_has("OFF-ROUTE")
    assert came_through(callee, carrier), "a request went round the carrier, straight to the subscriber"


def test_a_caller_gives_up_while_it_rings(stage: Stage) -> None:
    callee = Sipp(stage, "callee", "answers", stage.host(CALLEE), pause_ms=RING_FOREVER_MS)
    open_carrier(stage, callee_numbers="^0")
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    Sipp(stage, "pbx", "answers", stage.host(PBX))
    service = Service(stage)

    to = (stage.host(SERVICE), SIP_PORT)
    caller = Sipp(
        stage, "caller", "gives_up_while_it_rings", stage.host(PBX), CALLER_PORT, to=to, calls=CALLS, rate=RATE,
        pause_ms=PAUSE_MS,
    )  # fmt: skip

    figures = caller.finished(RUN_WITHIN)
    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    until(lambda: not callee.books.ghosts(), QUIET_WITHIN, "every leg was cancelled")
    assert len(callee.books.calls) == CALLS
    assert callee.books.answered == []
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")


def test_a_subscriber_behind_the_carrier_calls_the_office(stage: Stage) -> None:
    pbx = Sipp(stage, "pbx", "is_held_resumed_and_hangs_up", stage.host(PBX), pause_ms=PAUSE_MS)
    carrier = open_carrier(stage, callee_numbers="^$")
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    Service(stage)

    caller = Sipp(
        stage, "caller", "holds_resumes_and_is_hung_up", stage.host(CALLEE), to=(carrier.host, SIP_PORT), calls=CALLS,
        rate=RATE, pause_ms=PAUSE_MS,
    )  # fmt: skip

    figures = caller.finished(RUN_WITHIN)
    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    assert pbx.books.ghosts() == []
    until(lambda: carrier.log_has("ON-ROUTE BYE", CALLS), QUIET_WITHIN, "our BYEs follow the route set")
    assert not carrier.log_has("OFF-ROUTE")


def open_carrier(stage: Stage, *, callee_numbers: str) -> Kamailio:
    """Kamailio at the main trunk's address, its subscriber at CALLEE with these numbers, the office has all others."""
    return Kamailio.carrier(
        stage, "carrier", stage.host(MAIN), service=f"{stage.host(SERVICE)}:{SIP_PORT}",
        callee=f"{stage.host(CALLEE)}:{SIP_PORT}", third=f"{stage.host(THIRD)}:{SIP_PORT}",
        callee_numbers=callee_numbers, third_numbers="^$",
    )  # fmt: skip


def came_through(callee: Sipp, carrier: Kamailio) -> bool:
    """Whether every request that the called party received has the carrier's Via on top."""
    received = [text for text in callee.messages.read_text(errors="replace").split("-" * 20) if " received " in text]
    requests = [text for text in received if "\nSIP/2.0 " not in text]
    vias = [next(line for line in text.splitlines() if line.startswith("Via:")) for text in requests]
    return bool(vias) and all(f" {carrier.host};" in via or f" {carrier.host}:" in via for via in vias)
