"""Two carriers that are two worlds, as in an office that is serious about it: the main one over UDP with MD5 and
international numbers, the backup over TLS with SHA-256, another domain and national numbers. Both are Kamailios that
challenge every INVITE, re-INVITE and BYE, and take calls from the registered flow only (`kamailio/registrar.cfg`).

A thousand calls out and a thousand in, 20 a second each way, while the main carrier is killed and comes back.
"""

import time
from pathlib import Path

import pytest
import trustme

from tests.interop.kamailio import Kamailio
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until
from tests.interop.test_accounts import CALLER_PORT, comes_again_with_the_next_number, in_order

pytestmark = [*needs("sipp", "kamailio"), pytest.mark.slow]

CALLS, RATE = 1000, 20
TALK_MS = 300
GRANTED = 20
MAIN_CALLEE, BACKUP_CALLEE, MAIN_NETWORK, BACKUP_NETWORK = 30, 31, 40, 41
KILLED_AFTER, BACK_AFTER = 200, 500
"""Calls placed when the main carrier is killed, and when it is started again."""
REGISTERED_WITHIN = 3.0
AGAIN_WITHIN = 10.0
RUN_WITHIN = 120.0
QUIET_WITHIN = 40.0

SETTINGS = """\
pbx:
  - {{host: {pbx}, port: {port}}}
listen: [udp {service}:{port}, tcp {service}:{port}, tls {service}:5061]
tls: {{certificate_file: ./ours.pem}}
trunks:
  - name: main
    host: {main}
    port: {port}
    domain: erste.example
    username: "+41525550100"
    auth_username: u4711
    password: geheim
    number_format: e164
  - name: backup
    host: {backup}
    port: 5061
    transport: tls
    tls: {{ca_file: ./ca.pem}}
    domain: zweite.example
    username: muster-ag
    password: auch geheim
    number_format: national
monitor: {{options_every: 1s, timeout: 500ms, down_after: 2, up_after: 3}}
failover: {{no_answer_within: 2s, no_ringing_within: {no_ringing_within}, give_up_after: 20s, \
return_to_main: {{stable_for: 3s}}}}
status: {{listen: {service}:{web}}}
history: {{file: ./history.db}}
"""


def test_a_thousand_calls_each_way_while_the_main_carrier_dies_and_comes_back(stage: Stage) -> None:
    main, backup, service = open_both(stage, "answers")
    callees = {name: sipp(stage, f"{name}-callee") for name in ("main", "backup")}

    out = calls_out(stage, "places_a_call", calls=CALLS, rate=RATE)
    through_backup = comes_in(stage, "in-backup", BACKUP_NETWORK, BACKUP, calls=600, rate=12)
    through_main = comes_in(stage, "in-main", MAIN_NETWORK, MAIN, calls=100, rate=12).finished(RUN_WITHIN)
    until(lambda: out.statistics.created >= KILLED_AFTER, RUN_WITHIN, "calls flow")
    main.kill()
    killed_at = time.time()
    until(lambda: out.statistics.created >= BACK_AFTER, RUN_WITHIN, "calls go on")
    back = open_main(stage, "main-again")
    back_at = time.time()
    until(lambda: back.seen("LET-IN", "REGISTER"), AGAIN_WITHIN, "it is registered again", service)
    again = comes_in(stage, "in-main-again", MAIN_NETWORK, MAIN, calls=300, rate=12)

    ways_in = [through_main, again.finished(RUN_WITHIN), through_backup.finished(RUN_WITHIN)]
    way_out = out.finished(RUN_WITHIN)

    for figures in (*ways_in, way_out):
        assert figures.failed == 0, figures.failures
    assert way_out.successful == CALLS
    assert sum(figures.successful for figures in ways_in) == CALLS
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    print({name: f"{len(callee.books.answered)} calls out" for name, callee in callees.items()})
    assert len(callees["backup"].books.answered) >= RATE
    assert any(leg.entries[0].at > back_at for leg in callees["main"].books.calls), "calls have returned to main"
    assert callees["main"].books.ghosts(invited_before=killed_at - 2.0) == []
    assert callees["backup"].books.ghosts() == []
    for books in (callees["backup"].books, out.books, sipp(stage, "pbx").books):
        in_order(books)
    nothing_is_strange(main, backup, back)


def test_the_backup_challenges_inside_calls_too(stage: Stage) -> None:
    """Hold, resume and hang-up over TLS with SHA-256, each request asked for once more."""
    main, backup, service = open_both(stage, "is_held_resumed_and_hangs_up", once=True)
    main.kill()
    until(lambda: service.states()["main"] == "down", RUN_WITHIN, "main is Down", service)

    figures = calls_out(stage, "holds_resumes_and_is_hung_up", calls=100, rate=RATE).finished(RUN_WITHIN)

    assert (figures.successful, figures.failed) == (100, 0), figures.failures
    until(lambda: service.calls_now() == 0, QUIET_WITHIN, "the service has no calls left")
    in_order(sipp(stage, "backup-callee").books)
    for method, each in (("INVITE", 3), ("BYE", 0)):
        seen, let_in = backup.seen("CHALLENGED", method), backup.seen("LET-IN", method)
        print(f"{method}: {len(let_in)} let in, {len(seen)} challenged")
        assert (len(seen), len(let_in)) == (100 * each, 100 * each)
        comes_again_with_the_next_number(seen, let_in)
    nothing_is_strange(backup)


def open_both(stage: Stage, callees_do: str, *, once: bool = False) -> tuple[Kamailio, Kamailio, Service]:
    """Both carriers with whom they call, the PBX, and the service, registered at both. Who answers does so at once: a
    telephone that rings when its carrier dies is lost with it, because no other one may ring."""
    rings_ms = 0 if callees_do == "answers" else TALK_MS
    certificates(stage.folder)
    main, backup = open_main(stage, "main"), open_backup(stage, once=once)
    Sipp(stage, "main-callee", callees_do, stage.host(MAIN_CALLEE), pause_ms=rings_ms)
    Sipp(stage, "backup-callee", callees_do, stage.host(BACKUP_CALLEE), pause_ms=rings_ms)
    Sipp(stage, "pbx", "is_held_resumed_and_hangs_up", stage.host(PBX), pause_ms=TALK_MS)
    service = Service(stage, settings=SETTINGS)
    for carrier in (main, backup):
        until(lambda seen=carrier.seen: seen("LET-IN", "REGISTER"), REGISTERED_WITHIN, "it is registered", service)
    return main, backup, service


def sipp(stage: Stage, name: str) -> Sipp:
    """The SIPp of this name."""
    return next(child for child in stage.children if isinstance(child, Sipp) and child.name == name)


def nothing_is_strange(*carriers: Kamailio) -> None:
    """Every INVITE had the right form, password, domain, number and way."""
    for carrier in carriers:
        for trouble in ("WRONG", "STRANGE-FROM", "STRANGE-NUMBER", "OFF-ROUTE", "NOT-REGISTERED"):
            assert carrier.seen(trouble, "INVITE") == [], f"{carrier.name}: {trouble}"


def calls_out(stage: Stage, scenario: str, *, calls: int, rate: int) -> Sipp:
    """The PBX calls out."""
    return Sipp(
        stage, "out", scenario, stage.host(PBX), CALLER_PORT, to=(stage.host(SERVICE), SIP_PORT), calls=calls,
        rate=rate, pause_ms=TALK_MS,
    )  # fmt: skip


def certificates(folder: Path) -> None:
    """An authority of the backup's own, its certificate for the domain, and ours for our listener."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    authority.issue_cert("zweite.example").private_key_and_cert_chain_pem.write_to_path(str(folder / "backup.pem"))
    authority.issue_cert("office.example").private_key_and_cert_chain_pem.write_to_path(str(folder / "ours.pem"))


def open_main(stage: Stage, name: str) -> Kamailio:
    return Kamailio.registrar(
        stage, name, stage.host(MAIN), callee=f"{stage.host(MAIN_CALLEE)}:{SIP_PORT}",
        network=stage.host(MAIN_NETWORK), account="+41525550100", auth_username="u4711", password="geheim",
        domain="erste.example", expires=GRANTED, numbers="^[+]41",
    )  # fmt: skip


def open_backup(stage: Stage, *, once: bool) -> Kamailio:
    return Kamailio.registrar(
        stage, "backup", stage.host(BACKUP), callee=f"{stage.host(BACKUP_CALLEE)}:{SIP_PORT}",
        network=stage.host(BACKUP_NETWORK), account="muster-ag", auth_username="muster-ag", password="auch geheim",
        domain="zweite.example", expires=GRANTED, algorithm="SHA-256", numbers="^0[1-9]",
        certificate=stage.folder / "backup.pem", once=once,
    )  # fmt: skip


def comes_in(stage: Stage, name: str, network: int, carrier: int, *, calls: int, rate: int) -> Sipp:
    """The network calls the office through a carrier."""
    return Sipp(
        stage, name, "holds_resumes_and_is_hung_up", stage.host(network), to=(stage.host(carrier), SIP_PORT),
        calls=calls, rate=rate, pause_ms=TALK_MS,
    )  # fmt: skip
