"""Metrics as Prometheus reads them: scraped over HTTP, parsed with the client library's own parser."""

from dataclasses import replace

from aiohttp.test_utils import TestClient
from aiohttp.web import Application, Request
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from sipfailover.proxy.facts import AttemptEnded, CallEnded, ProbeEnded, RegistrationChanged, TrunkChanged
from sipfailover.proxy.view import Fill, LoadView
from sipfailover.web import Metrics
from sipfailover.web.metrics import REROUTES_REMEMBERED_MAX
from tests.web.office import Office
from tests.web.picture import ACCOUNT, BACKUP, MAIN, NOW, PBX, TOLL, failed_over, picture, wall

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]

FAILED = AttemptEnded(
    at=NOW,
    call=7,
    number=1,
    trunk="main",
    outcome="no ringing",
    status=0,
    reason="",
    verdict="next trunk",
    sent_at=NOW - 0.8,
    ringing_after=None,
    ended_after=0.8,
    remote="udp 198.51.100.7:5060",
    call_id="a@b",
)
CARRIED = replace(
    FAILED, number=2, trunk="backup", outcome="answered", status=200, verdict="relayed", ringing_after=0.1
)
ENDED = CallEnded(
    at=NOW,
    call=7,
    direction="outbound",
    caller="201",
    called="+41443210019",
    result="answered",
    status=200,
    trunk="backup",
    first_choice="main",
    attempts=2,
    started_at=NOW - 60,
    ringing_after=0.9,
    answered_at=NOW - 55,
    ended_by="caller",
    call_id="c@d",
)


def read(metrics: Metrics, view: object = None) -> Samples:
    body, _ = metrics.render(view or picture(), wall)  # type: ignore[arg-type]
    families = parse(body.decode())
    return {(s.name, frozenset(s.labels.items())): s.value for family in families for s in family.samples}


def value(samples: Samples, name: str, /, **labels: str) -> float | None:
    return samples.get((f"sipfailover_{name}", frozenset(labels.items())))


async def test_a_scrape_has_the_engine_and_the_facts(client: TestClient[Request, Application], office: Office) -> None:
    office.view = failed_over()
    office.metrics.record(ProbeEnded(NOW, "main", "answered", 200, 0.021))
    answer = await client.get("/metrics")
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    text = await answer.text()
    families = {family.name: family for family in parse(text)}
    assert all(family.documentation for family in families.values())
    assert "sipfailover_trunk_up" in families
    assert "sipfailover_options" in families
    assert "process_resident_memory_bytes" in families
    assert "0019" not in text


async def test_openmetrics_is_spoken_when_asked(client: TestClient[Request, Application]) -> None:
    answer = await client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert any(family.name == "sipfailover_trunk_up" for family in parse_openmetrics(await answer.text()))


def test_trunks_are_read_from_the_engine_at_the_scrape() -> None:
    samples = read(Metrics(version="1", loop="uvloop"), failed_over())
    assert value(samples, "trunk_up", trunk="main") == 0
    assert value(samples, "trunk_state", trunk="main", state="down") == 1
    assert value(samples, "trunk_state", trunk="main", state="up") == 0
    assert value(samples, "trunk_carries_new_calls", trunk="backup") == 1
    assert value(samples, "trunk_active", trunk="backup") == 1
    assert value(samples, "trunk_tier", trunk="backup") == 2
    assert value(samples, "pbx_up", pbx="pbx") == 1
    assert value(samples, "failovers_total") == 3
    assert value(samples, "last_failover_timestamp_seconds") == wall(NOW - 187).timestamp()
    assert value(samples, "calls") == 2
    assert value(samples, "transactions") == 7


def test_tolls_are_shown_by_kind_and_what_was_refused_by_its_reason() -> None:
    samples = read(Metrics(version="1", loop="uvloop"), picture(tolls=(TOLL,)))
    assert value(samples, "toll_calls_last_hour", kind="abroad") == 20
    assert value(samples, "toll_minutes_today", kind="abroad") == 84.26
    assert value(samples, "toll_refused_total", kind="abroad", why="calls") == 3


def test_a_pbx_that_has_not_registered_is_not_up() -> None:
    view = picture(pbxs=(replace(PBX, carries_new_calls=False, registration="Not registered yet"),))
    assert value(read(Metrics(version="1", loop="uvloop"), view), "pbx_up", pbx="pbx") == 0


def test_a_registration_shows_how_it_stands_and_what_became_of_it() -> None:
    metrics = Metrics(version="1", loop="uvloop")
    metrics.record(RegistrationChanged(NOW, "main", "Registered", "Failed", "403 Forbidden to REGISTER", 403))
    metrics.record(RegistrationChanged(NOW, "main", "Failed", "Not used", "the service ends", 0))
    main = replace(MAIN, account=ACCOUNT)
    failed = replace(BACKUP, account=replace(ACCOUNT, state="Failed", granted=0, expires_at=None, since=NOW - 60))
    counted = {("main", "granted"): 20, ("main", "no answer"): 2, ("backup", "refused"): 1}
    samples = read(metrics, picture(main, failed, replace(MAIN, name="by address"), registers=counted))
    assert value(samples, "trunk_registered", trunk="main") == 1
    assert value(samples, "trunk_registered", trunk="backup") == 0
    assert value(samples, "trunk_registered", trunk="by address") is None, "nobody asks for it there"
    assert value(samples, "trunk_registration_granted_seconds", trunk="main") == 180
    assert value(samples, "trunk_registration_granted_seconds", trunk="backup") == 0
    expiry = "trunk_registration_expiry_timestamp_seconds"
    assert value(samples, expiry, trunk="main") == wall(NOW + 120).timestamp()
    assert value(samples, expiry, trunk="backup") is None
    changed = "trunk_registration_changed_timestamp_seconds"
    assert value(samples, changed, trunk="backup") == wall(NOW - 60).timestamp()
    assert value(samples, "registers_total", trunk="main", result="no_answer") == 2
    assert value(samples, "trunk_registration_changes_total", trunk="main", state="not_used") == 1


def test_second_attempts_are_counted_by_who_has_won_and_a_first_that_was_slower_is_why_a_call_moved() -> None:
    metrics = Metrics(version="1", loop="uvloop")
    for fact in (replace(FAILED, outcome="cancelled", verdict="overtaken"), CARRIED, ENDED):
        metrics.record(fact)
    counted = {("main", "second"): 3, ("main", "first"): 2, ("backup", "neither"): 1}
    samples = read(metrics, picture(MAIN, BACKUP, hedges=counted))
    assert value(samples, "hedges_total", trunk="main", won="second") == 3
    assert value(samples, "hedges_total", trunk="main", won="first") == 2
    assert value(samples, "hedges_total", trunk="backup", won="neither") == 1
    assert value(samples, "calls_rerouted_total", **{"from": "main", "to": "backup", "why": "cancelled"}) == 1
    assert value(samples, "reroute_delay_seconds_count") == 0, "the second had begun before the first ended"


def test_messages_are_counted_by_the_engine_and_odd_methods_folded() -> None:
    samples = read(Metrics(version="1", loop="uvloop"))
    assert value(samples, "sip_requests_total", side="pbx", direction="in", method="INVITE") == 12
    assert value(samples, "sip_requests_total", side="other", direction="in", method="other") == 5
    assert value(samples, "sip_responses_total", side="trunk", direction="in", code_class="2xx") == 11
    assert value(samples, "sip_retransmissions_total", direction="in", method="INVITE") == 1
    assert value(samples, "sip_rejected_total", why="malformed") == 4


def test_load_bounds_and_sockets_are_there() -> None:
    view = replace(
        picture(),
        load=LoadView(behind=0.25, calls_per_second=120.0, share=40.0, banned=3, bans=7),
        bounds=(Fill("calls", 12, 20_000), Fill("transport_accepted", 5, 1024)),
        transport={"kernel_drops": 9, "shut_out": 100},
    )
    samples = read(Metrics(version="1", loop="uvloop"), view)
    assert value(samples, "behind_seconds") == 0.25
    assert value(samples, "calls_shed") == 1
    assert (value(samples, "banned_addresses"), value(samples, "bans_total")) == (3, 7)
    assert value(samples, "bound_used", name="calls") == 12
    assert value(samples, "bound_limit", name="transport_accepted") == 1024
    assert value(samples, "transport_total", what="shut_out") == 100
    calm = read(Metrics(version="1", loop="uvloop"))
    assert (value(calm, "calls_shed"), value(calm, "behind_seconds")) == (0, 0)


def test_a_rerouted_call_is_counted_with_the_reason_of_the_first_failure() -> None:
    metrics = Metrics(version="1", loop="asyncio")
    for fact in (FAILED, replace(FAILED, number=2, outcome="silent"), CARRIED, ENDED):
        metrics.record(fact)
    samples = read(metrics)
    assert value(samples, "calls_total", trunk="backup", direction="outbound", result="answered") == 1
    assert value(samples, "calls_rerouted_total", **{"from": "main", "to": "backup", "why": "no_ringing"}) == 1
    assert value(samples, "attempts_total", trunk="main", outcome="no_ringing") == 1
    assert value(samples, "reroute_delay_seconds_count") == 2
    assert value(samples, "call_setup_seconds_sum", trunk="backup") == 0.9


def test_a_call_that_no_trunk_carried_counts_under_none() -> None:
    metrics = Metrics(version="1", loop="asyncio")
    metrics.record(replace(ENDED, trunk="", result="trunk failed", ringing_after=None))
    samples = read(metrics)
    assert value(samples, "calls_total", trunk="none", direction="outbound", result="trunk_failed") == 1
    assert not any(name == "sipfailover_calls_rerouted_total" for name, _ in samples)


def test_an_emergency_call_is_counted_by_itself_too() -> None:
    metrics = Metrics(version="1", loop="asyncio")
    metrics.record(ENDED)
    metrics.record(replace(ENDED, emergency=True))
    assert (
        read(metrics)["sipfailover_emergency_calls_total", frozenset({("trunk", "backup"), ("result", "answered")})]
        == 1
    )


def test_probes_changes_and_loop_lag_are_counted() -> None:
    metrics = Metrics(version="1", loop="asyncio")
    metrics.record(ProbeEnded(NOW, "main", "answered", 200, 0.021))
    metrics.record(ProbeEnded(NOW, "main", "timeout", 0, None))
    metrics.record(TrunkChanged(NOW, "main", "Suspect", "Down", "no answer"))
    metrics.observe_loop_lag(0.003)
    samples = read(metrics)
    assert value(samples, "options_total", trunk="main", result="timeout") == 1
    assert value(samples, "options_round_trip_seconds_count", trunk="main") == 1
    assert value(samples, "trunk_changes_total", trunk="main", state="down") == 1
    assert value(samples, "event_loop_lag_seconds_count") == 1


def test_calls_that_never_end_do_not_fill_the_memory() -> None:
    metrics = Metrics(version="1", loop="asyncio")
    for call in range(REROUTES_REMEMBERED_MAX + 5):
        metrics.record(replace(FAILED, call=call))
    assert len(metrics._first_failure) == REROUTES_REMEMBERED_MAX
    metrics.record(replace(ENDED, call=0))
    samples = read(metrics)
    assert value(samples, "calls_rerouted_total", **{"from": "main", "to": "backup", "why": "unknown"}) == 1


def test_two_processes_in_one_have_registries_of_their_own() -> None:
    one, other = Metrics(version="1", loop="asyncio"), Metrics(version="1", loop="asyncio")
    one.record(ENDED)
    assert value(read(other), "calls_total", trunk="backup", direction="outbound", result="answered") is None


def test_the_ends_of_certificates_are_there_by_use_and_name() -> None:
    held = [("server", "", 1.8e9), ("peer", "main", 1.7e9)]
    samples = read(Metrics(version="1", loop="asyncio", certificates=lambda: held))
    name = "sipfailover_certificate_expiry_timestamp_seconds"
    assert {key: value for key, value in samples.items() if key[0] == name} == {
        (name, frozenset({("use", "server"), ("name", "")})): 1.8e9,
        (name, frozenset({("use", "peer"), ("name", "main")})): 1.7e9,
    }
