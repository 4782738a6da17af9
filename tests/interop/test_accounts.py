"""An account at a carrier that others wrote: Kamailio registers us and challenges every INVITE, re-INVITE and BYE.

It takes calls from the registered source only, and with its own domain in From only; calls from the network reach us by
the Contact that we have registered. See `kamailio/registrar.cfg`.
"""

import re
import time

import pytest

from tests.interop.books import Books
from tests.interop.kamailio import Kamailio, Seen
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = needs("sipp", "kamailio")

CALLEE, NETWORK = 30, 40
CALLER_PORT = 5070
DOMAIN, ACCOUNT, AUTH_USERNAME, PASSWORD = "carrier.example", "+41525550100", "u4711", "geheim, und lang"
GRANTED = 10
"""Seconds that the registrar grants: we refresh after four to five."""
CALLS, RATE = 120, 20
TALK_MS = 300
REGISTERED_WITHIN = 3.0
AGAIN_WITHIN = 5.0
"""Seconds from the moment when a carrier is back until we are registered there again."""
RUN_WITHIN = 40.0
QUIET_WITHIN = 10.0


def test_it_registers_at_once_and_stays_registered(stage: Stage) -> None:
    carrier, service = open_carrier(stage), open_office(stage)
    registered(service)
    assert [seen.cseq for seen in carrier.seen("CHALLENGED", "REGISTER")] == [1]
    until(lambda: len(carrier.seen("LET-IN", "REGISTER")) >= 3, 2.0 * GRANTED, "it was refreshed twice")
    let_in = carrier.seen("LET-IN", "REGISTER")
    assert len({seen.call_id for seen in let_in}) == 1
    assert [seen.cseq for seen in let_in] == [2, 3, 4], "a refresh shows its nonce before it is asked"
    assert service.registration().startswith("Registered for")


@pytest.mark.slow
def test_a_wrong_password_is_told_once_and_calls_go_over_the_backup(stage: Stage) -> None:
    carrier = open_carrier(stage)
    callee = Sipp(stage, "callee", "answers", stage.host(CALLEE))
    service = open_office(stage, password="verkehrt")
    until(lambda: service.registration().startswith("Failed for"), REGISTERED_WITHIN, "the page says Failed")
    assert "401" in service.registration()
    started = time.monotonic()

    figures = call(stage, "places_a_call").finished(RUN_WITHIN)

    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    assert not callee.books.calls
    time.sleep(max(0.0, started + 10.0 - time.monotonic()))  # whoever hammers does it in ten seconds
    assert len(carrier.seen("WRONG", "REGISTER")) == 1
    assert len(carrier.seen("WRONG", "INVITE")) <= 1, "every wrong answer brings the account nearer to its lock"
    errors = [line for line in service.log.read_text().splitlines() if "error" in line.lower()]
    print(*errors, sep="\n")
    assert len(errors) == 1, "\n".join(errors)
    assert "refuses user name or password" in errors[0]


@pytest.mark.parametrize(
    ("caller_does", "callee_does"),
    [("places_a_call", "answers"), ("holds_resumes_and_is_hung_up", "is_held_resumed_and_hangs_up")],
)
@pytest.mark.parametrize("once", [False, True], ids=["nonces counted", "asked every time"])
@pytest.mark.slow
def test_calls_go_out_through_challenges(stage: Stage, caller_does: str, callee_does: str, once: bool) -> None:
    carrier = open_carrier(stage, once=once)
    callee = Sipp(stage, "callee", callee_does, stage.host(CALLEE), pause_ms=TALK_MS, whole_messages=True)
    service = open_office(stage)
    registered(service)
    backup = next(child for child in stage.children if isinstance(child, Sipp) and child.name == "backup")

    figures = call(stage, caller_does).finished(RUN_WITHIN)

    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    until(lambda: not callee.books.ghosts(), QUIET_WITHIN, "every call was hung up")
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    assert len(callee.books.answered) == CALLS
    assert not backup.books.calls
    in_order(callee.books)
    assert "\nAuthorization:" not in callee.messages.read_text(), "whom we call sees what is for the registrar"
    we_hang_up = caller_does == "places_a_call"
    for method, each in (("INVITE", 1 if we_hang_up else 3), ("BYE", int(we_hang_up))):
        challenged, let_in = carrier.seen("CHALLENGED", method), carrier.seen("LET-IN", method)
        print(f"{method}: {len(let_in)} let in, {len(challenged)} challenged")
        assert len(let_in) == CALLS * each
        comes_again_with_the_next_number(challenged, let_in)
        if once:
            assert len(challenged) == CALLS * each, f"challenges of {method}"
        else:
            assert len(challenged) <= 3, "nonces are used ahead"
    for trouble in ("WRONG", "NOT-REGISTERED", "STRANGE-FROM", "OFF-ROUTE"):
        assert not any(carrier.seen(trouble, method) for method in ("INVITE", "ACK", "BYE")), trouble


@pytest.mark.slow
def test_nonces_that_run_out_in_mid_call_are_renewed(stage: Stage) -> None:
    carrier = open_carrier(stage, nonce_expire=1)
    callee = Sipp(stage, "callee", "answers", stage.host(CALLEE))
    registered(open_office(stage))

    figures = call(stage, "places_a_call", talk_ms=2500).finished(RUN_WITHIN)

    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    until(lambda: not callee.books.ghosts(), QUIET_WITHIN, "every call was hung up")
    in_order(callee.books)
    challenged = {method: len(carrier.seen("CHALLENGED", method)) for method in ("INVITE", "BYE")}
    print(f"challenged: {challenged}")
    assert 5 <= sum(challenged.values()) < CALLS, challenged
    assert len(carrier.seen("LET-IN", "BYE")) == CALLS


@pytest.mark.slow
def test_calls_come_in_by_the_registered_contact(stage: Stage) -> None:
    carrier = open_carrier(stage, once=True)
    service = open_office(stage, pbx_does="is_held_resumed_and_hangs_up")
    registered(service)
    pbx = next(child for child in stage.children if isinstance(child, Sipp) and child.name == "pbx")

    caller = Sipp(
        stage, "caller", "holds_resumes_and_is_hung_up", stage.host(NETWORK), to=(carrier.host, SIP_PORT),
        calls=CALLS, rate=RATE, pause_ms=TALK_MS,
    )  # fmt: skip

    figures = caller.finished(RUN_WITHIN)
    assert (figures.successful, figures.failed) == (CALLS, 0), figures.failures
    assert pbx.books.ghosts() == []
    numbers = {leg.number for leg in caller.books.calls}
    assert len(numbers) == CALLS
    assert {leg.number for leg in pbx.books.calls} == numbers, "the PBX is called by the number in To"
    looked_up = re.findall(r"LOOKED-UP INVITE \S+ \d+ sip:sf[0-9a-f]{14}@", carrier.log.read_text())
    assert len(looked_up) == CALLS, "they came to the Contact that we registered"
    byes = carrier.seen("CHALLENGED", "BYE"), carrier.seen("LET-IN", "BYE")
    assert [len(seen) for seen in byes] == [CALLS, CALLS]
    comes_again_with_the_next_number(*byes)
    in_order(caller.books)
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")


@pytest.mark.slow
def test_the_carrier_dies_and_comes_back_without_a_binding(stage: Stage) -> None:
    carrier = open_carrier(stage)
    callee = Sipp(stage, "callee", "answers", stage.host(CALLEE))
    service = open_office(stage)
    registered(service)
    backup = next(child for child in stage.children if isinstance(child, Sipp) and child.name == "backup")
    caller = call(stage, "places_a_call", calls=40 * RATE)
    until(lambda: len(callee.books.answered) >= 100, RUN_WITHIN, "main carries calls")

    carrier.kill()
    killed_at = time.time()
    until(lambda: next_try(service) > 20.0, 3.0 * GRANTED, "the page says Failed, and the next try is far away")
    assert len(backup.books.answered) >= RATE
    back = open_carrier(stage, name="carrier again")
    back_at = time.monotonic()
    until(lambda: back.seen("LET-IN", "REGISTER"), AGAIN_WITHIN, "it registers again")
    registered_after = time.monotonic() - back_at
    print(f"registered again {registered_after:.1f} s after the carrier was back")

    figures = caller.finished(60.0)
    assert (figures.successful, figures.failed) == (40 * RATE, 0), figures.failures
    until(lambda: service.registration().startswith("Registered for"), 1.0, "the page says Registered")
    until(lambda: service.calls_now() == 0, 40.0, "the service has no calls left")
    gone_with_it = killed_at - TALK_MS / 1000 - 0.5
    assert callee.books.ghosts(invited_before=gone_with_it) == []
    assert backup.books.ghosts() == []
    print(f"main had {len(callee.books.answered)} calls, the backup {len(backup.books.answered)}")


@pytest.mark.slow
def test_the_carrier_restarts_between_two_looks_and_has_lost_the_binding(stage: Stage) -> None:
    carrier = open_carrier(stage, expires=300)
    callee = Sipp(stage, "callee", "answers", stage.host(CALLEE))
    service = open_office(stage)
    registered(service)
    caller = call(stage, "places_a_call", calls=25 * RATE)
    until(lambda: len(callee.books.answered) >= 100, RUN_WITHIN, "main carries calls")

    carrier.kill()
    back = open_carrier(stage, name="carrier again", expires=300)
    until(lambda: back.seen("LET-IN", "REGISTER"), AGAIN_WITHIN, "it registers again, three minutes before its time")
    refused = len(back.seen("NOT-REGISTERED", "INVITE"))

    figures = caller.finished(60.0)
    assert (figures.successful, figures.failed) == (25 * RATE, 0), figures.failures
    print(f"{refused} calls were refused by the carrier before, and went over the backup")
    assert service.registration().startswith("Registered for")


def open_carrier(
    stage: Stage, *, name: str = "carrier", expires: int = GRANTED, nonce_expire: int = 300, once: bool = False
) -> Kamailio:
    """The main carrier with our account. Arguments as of Kamailio.registrar."""
    return Kamailio.registrar(
        stage, name, stage.host(MAIN), callee=f"{stage.host(CALLEE)}:{SIP_PORT}", network=stage.host(NETWORK),
        account=ACCOUNT, auth_username=AUTH_USERNAME, password=PASSWORD, domain=DOMAIN, expires=expires,
        nonce_expire=nonce_expire, once=once,
    )  # fmt: skip


def open_office(stage: Stage, *, password: str = PASSWORD, pbx_does: str = "answers") -> Service:
    """PBX, backup and the service, which has an account at the main carrier."""
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    Sipp(stage, "pbx", pbx_does, stage.host(PBX), pause_ms=TALK_MS)
    account = (
        f'domain: {DOMAIN}, username: "{ACCOUNT}", auth_username: {AUTH_USERNAME}, password: "{password}",'
        " register_expires: 5m"
    )
    return Service(stage, account=account)


def next_try(service: Service) -> float:
    """Seconds until the next REGISTER of a registration that has failed, 0 while it has not."""
    found = re.search(r"^Failed .* next try in (\d+) s", service.registration())
    return float(found[1]) if found else 0.0


def registered(service: Service) -> None:
    """Wait until the page says so, counted from when the service was ready."""
    until(lambda: service.registration().startswith("Registered for"), REGISTERED_WITHIN, "it is registered", service)


def call(stage: Stage, scenario: str, *, calls: int = CALLS, talk_ms: int = TALK_MS) -> Sipp:
    """The PBX calls out."""
    return Sipp(
        stage, "caller", scenario, stage.host(PBX), CALLER_PORT, to=(stage.host(SERVICE), SIP_PORT), calls=calls,
        rate=RATE, pause_ms=talk_ms,
    )  # fmt: skip


def comes_again_with_the_next_number(challenged: list[Seen], let_in: list[Seen]) -> None:
    """Every challenged request came again, in the same dialog with CSeq + 1 (RFC 3261 §22.2)."""
    through = {(seen.call_id, seen.cseq) for seen in let_in}
    lost = [seen for seen in challenged if (seen.call_id, seen.cseq + 1) not in through]
    assert not lost, lost[:5]


def in_order(books: Books) -> None:
    """In every call the numbers of the requests that were received only rise, and an ACK has its INVITE's (§12.2.1.1,
    §17.1.1.3)."""
    for leg in books.calls:
        requests = [entry for entry in leg.entries if entry.direction == "R" and not entry.status]
        invites = {entry.cseq for entry in requests if entry.method == "INVITE"} | (
            {entry.cseq for entry in leg.all("INVITE", "S")}
        )
        numbers = [entry.cseq for entry in requests if entry.method != "ACK"]
        assert numbers == sorted(numbers), f"{leg.call_id}: {numbers}"
        assert all(entry.cseq in invites for entry in requests if entry.method == "ACK"), leg.call_id
