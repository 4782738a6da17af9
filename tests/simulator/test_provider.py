"""Carriers with accounts are registered with, challenge, and are called through; and they fail as it was wanted."""

from dataclasses import replace

import pytest

from sipfailover.config import Settings, parse, parse_document
from sipfailover.proxy import AttemptEnded
from sipfailover.simulator import Rehearsal, Result, Scenario, result

ACCOUNTS = """
pbx: 192.0.2.10
trunks:
  - {name: main, host: sip.main.example, username: "4144", password: x, auth_username: u1, realm: r, transport: tcp}
  - {name: backup, host: sip.backup.example, username: "4131", password: other}
"""
PLAIN = """
pbx: 192.0.2.10
trunks: [{name: main, host: sip.main.example}, {name: backup, host: sip.backup.example}]
"""


def rehearse(faults: str = "", config: str = PLAIN, *, hours: float = 1.0, rate: int = 60, more: str = "") -> Rehearsal:
    text = f"hours: {hours}\noffice: {{calls_per_hour: {rate}}}\n{more}\n"
    if faults:
        text += f"faults: [{{from: +10m, {faults}}}]\n"
    return Rehearsal(settings(config), parse_document(text, Scenario, file="s.yaml").value).run()


def settings(config: str) -> Settings:
    return parse(config)


def lived(faults: str = "", config: str = PLAIN, **more: object) -> Result:
    return result(rehearse(faults, config, **more))  # type: ignore[arg-type]


def test_accounts_register_and_answer_every_challenge() -> None:
    one = rehearse(config=ACCOUNTS)
    found = result(one).figures
    assert (found.lost, found.misled, found.lost_inbound, found.not_sent, found.broken) == (0, 0, 0, 0, ())
    assert found.inbound > 10
    assert found.outbound > 10
    main = one.providers["main"]
    assert b"@192.0.2.1:5060" in main.contact
    assert main.expires_at > one.scenario.seconds
    assert [leg.status for leg in main.legs if leg.status == 407] == []


def test_a_wrong_password_is_refused() -> None:
    one = Rehearsal(settings(ACCOUNTS), parse_document("hours: 1", Scenario, file="s").value)
    main = one.providers["main"]
    main.account = replace(main.account, password="another")  # type: ignore[type-var]
    found = result(one.run()).figures
    assert main.contact == b""
    assert found.not_sent == found.inbound > 0
    assert found.lost == 0
    assert {outcome.trunk for outcome in found.outcomes if not outcome.call.inbound} == {"backup"}


@pytest.mark.parametrize("kind", ["register refused", "register silent"])
def test_without_a_registration_no_call_comes_in(kind: str) -> None:
    found = lived(f"trunk: main, kind: {kind}", ACCOUNTS, hours=2.0).figures
    kept = [one for one in found.outcomes if one.call.unsent == "not registered"]
    assert len(kept) > 10
    assert min(one.call.at for one in kept) > 600.0 + 60.0
    assert found.lost == 0


KINDS = {
    "silence": {"silent", "no ringing"},
    "killed": {"unreachable"},
    "'503'": {"rejected 503"},
    "503 with retry-after": {"rejected 503"},
    "setup fails": {"rejected 500", "rejected 503", "rejected 480", "rejected 404", "rejected 403"},
    "'502'": {"rejected 502"},
    "options only": {"silent"},
    "trying only": {"no ringing"},
    "rings then fails": {"rejected 500"},
    "partition": {"silent", "no ringing"},
    "no route": {"unreachable"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_attempts_end_as_the_kind_of_failure_wants_it(kind: str) -> None:
    rate = 20_000 if "retry-after" in kind else 8000  # then it is Down with the first OPTIONS, 300 ms after it began
    one = rehearse(f"trunk: main, kind: {kind}", rate=rate, hours=0.18)
    seen = set()
    for call in one.calls:
        for attempt in call.attempts:
            fated = attempt.status == call.fate.status or attempt.outcome in ("answered", "cancelled")
            if attempt.trunk == "main" and not call.inbound and attempt.at > 600 and not fated:
                seen.add(f"{attempt.outcome} {attempt.status or ''}".strip())
    assert seen
    assert seen <= KINDS[kind]
    assert one.broken == []


def test_calls_are_dropped_by_the_network_within_seconds() -> None:
    one = rehearse("trunk: main, kind: drops after seconds")
    dropped = [
        found.call for found in result(one).figures.outcomes if found.word == "dropped" and not found.call.inbound
    ]
    assert len(dropped) > 5
    for call in dropped:
        assert call.leg is not None
        assert call.leg.ended_by == "them" or call.fate.talk < 9
        assert call.leg.ended_at - call.leg.answered_at < 9  # type: ignore[operator]


def test_only_the_numbers_that_are_called_most_are_broken() -> None:
    one = rehearse("trunk: main, kind: one destination, destinations: 10, status: 500", rate=200)
    failed = {call.called for call in one.calls for attempt in call.attempts if attempt.status == 500}
    assert failed
    assert failed <= {f"+4131555{rank:05d}" for rank in range(10)}


def test_a_share_of_the_calls() -> None:
    one = rehearse("trunk: main, kind: '500', share: 20%", rate=1000)
    asked = [call for call in one.calls if call.at > 600 and not call.inbound]
    met = sum(any(offer.kind == "500" for offer in call.offers) for call in asked)
    offered = sum(any(offer.trunk == "main" for offer in call.offers) for call in asked)
    assert 0.1 < met / offered < 0.3


def test_latency_and_loss_are_on_the_path_of_that_trunk() -> None:
    slow = rehearse("trunk: main, kind: latency, delay: 1s")
    waits = {
        attempt.trunk: attempt.ringing_after
        for call in slow.calls
        for attempt in call.attempts
        if not call.inbound and attempt.sent_at > 700 and attempt.ringing_after and call.fate.rings
    }
    assert waits["main"] > 1.0
    lossy = rehearse("trunk: main, kind: loss, loss: 50%")
    assert lossy.network.lost > 100


def test_names_that_do_not_resolve_keep_the_last_good_address() -> None:
    found = lived("kind: no dns").figures
    assert (found.lost, found.false_alarms) == (0, 0)


def test_nothing_gets_out_without_an_uplink_and_no_rule_is_broken() -> None:
    found = lived("kind: no uplink, to: +15m", rate=200).figures
    assert found.lost > 3
    assert found.not_sent > 3
    assert found.broken == ()


def test_the_wall_clock_may_jump() -> None:
    one = rehearse("kind: clock step, to: +11m, step: 2h")
    assert one.wall_steps == [(600.0, 7200.0)]
    assert result(one).figures.lost == 0


def test_a_killed_carrier_knows_its_calls_no_more() -> None:
    one = rehearse("trunk: main, kind: killed, to: +11m", rate=200)
    killed = [leg for leg in one.providers["main"].legs if leg.ended_by == "us: killed"]
    assert killed
    assert one.broken == []


def test_calls_of_a_scenario_are_the_same_whatever_the_configuration() -> None:
    here, there = rehearse(rate=30), rehearse("trunk: main, kind: silence", ACCOUNTS, rate=30)
    assert [(call.at, call.called, call.fate) for call in here.calls] == [
        (call.at, call.called, call.fate) for call in there.calls
    ]


def test_attempts_are_known_to_the_calls_they_belong_to() -> None:
    one = rehearse("trunk: main, kind: options only")
    moved = [call for call in one.calls if len(call.attempts) > 1]
    assert moved
    for call in moved:
        assert all(isinstance(attempt, AttemptEnded) for attempt in call.attempts)
        assert [attempt.trunk for attempt in call.attempts] == ["main", "backup"]
        assert [(offer.trunk, offer.kind) for offer in call.offers][-1] == ("backup", "")
