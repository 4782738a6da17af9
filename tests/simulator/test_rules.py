"""The rules that hold in every world: each is broken by a sentence, and none by what is right."""

from typing import Any

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import AttemptEnded, CallEnded, Engine, ProbeEnded, TrunkChanged
from sipfailover.simulator import Rules

PBX, MAIN, BACKUP = ("192.0.2.10", 5060), ("198.51.100.1", 5060), ("198.51.100.2", 5060)
SETTINGS = parse("pbx: 192.0.2.10\ntrunks: [{name: main, host: 198.51.100.1}, {name: backup, host: 198.51.100.2}]")


@pytest.fixture
def rules() -> Rules:
    engine = Engine(SETTINGS, Chance(1), 0.0)
    return Rules(engine, {MAIN: "main", BACKUP: "backup"}, ("112",))


def request(
    method: str, call: str, branch: str, *, number: int = 1, mark: str = "7", to: str = "+4131", tag: str = ""
) -> bytes:
    lines = [
        f"{method} sip:{to}@x SIP/2.0",
        f"Via: SIP/2.0/UDP x:5060;branch={branch};rport",
        f"To: <sip:{to}@x>{tag and ';tag=' + tag}",
        f"Call-ID: {call}",
        f"CSeq: {number} {method}",
        "X-Call: 7",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(status: int, call: str, branch: str, *, number: int = 1, method: str = "INVITE") -> bytes:
    lines = [
        f"SIP/2.0 {status} X",
        f"Via: SIP/2.0/UDP x;branch={branch}",
        f"Call-ID: {call}",
        f"CSeq: {number} {method}",
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def attempt(call_id: str, trunk: str = "main", outcome: str = "silent", **more: Any) -> AttemptEnded:
    known: dict[str, Any] = {
        "at": 1.0, "call": 1, "number": 1, "status": 0, "reason": "", "verdict": "", "sent_at": 0.0,
        "ringing_after": None, "ended_after": 1.0, "remote": "",
    }  # fmt: skip
    return AttemptEnded(trunk=trunk, outcome=outcome, call_id=call_id, **known | more)


def refused(**more: Any) -> CallEnded:
    known: dict[str, Any] = {
        "at": 5.0, "call": 1, "direction": "outbound", "caller": "", "called": "", "result": "trunk failed",
        "status": 503, "trunk": "", "first_choice": "main", "attempts": 1, "started_at": 4.0, "ringing_after": None,
        "answered_at": None, "ended_by": "", "call_id": "a",
    }  # fmt: skip
    return CallEnded(**known | more)


def broken(rules: Rules, now: float = 500.0) -> list[str]:
    return rules.finish({}, now)


def test_a_call_that_goes_well_breaks_nothing(rules: Rules) -> None:
    rules.received(PBX, request("INVITE", "a", "z1"), 1.0)
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.received(MAIN, answer(180, "b", "z2"), 1.5)
    rules.received(MAIN, answer(200, "b", "z2"), 2.0)
    rules.sent(PBX, answer(200, "a", "z1"), 2.0)
    rules.sent(MAIN, request("ACK", "b", "z3"), 2.1)
    rules.received(PBX, request("BYE", "a", "z4", number=2, tag="t"), 9.0)
    rules.sent(PBX, answer(200, "a", "z4", number=2, method="BYE"), 9.0)
    rules.stepped(9.0)
    assert broken(rules) == []


def test_two_different_final_answers(rules: Rules) -> None:
    rules.received(PBX, request("INVITE", "a", "z1"), 1.0)
    rules.sent(PBX, answer(503, "a", "z1"), 1.0)
    rules.sent(PBX, answer(503, "a", "z1"), 1.5)
    assert broken(rules) == []
    rules.sent(PBX, answer(486, "a", "z1"), 2.0)
    assert broken(rules) == ["INVITE got two final answers, 503 and 486"]


def test_no_final_answer(rules: Rules) -> None:
    rules.received(PBX, request("BYE", "a", "z1"), 1.0)
    assert broken(rules) == ["BYE of 1.000 never got a final answer"]


def test_a_failure_is_acknowledged_at_once(rules: Rules) -> None:
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.received(MAIN, answer(486, "b", "z2"), 2.0)
    rules.stepped(2.5)
    assert broken(rules) == ["the answer to INVITE 1 of b was never acknowledged"]


def test_an_answer_that_nobody_gets(rules: Rules) -> None:
    rules.received(PBX, request("INVITE", "a", "z1"), 1.0)
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.received(MAIN, answer(200, "b", "z2"), 2.0)
    rules.sent(PBX, answer(503, "a", "z1"), 2.0)
    rules.sent(MAIN, request("ACK", "b", "z3"), 2.0)
    assert broken(rules) == ["an answer of b was lost: neither relayed nor hung up"]


def test_a_late_answer_that_is_hung_up_is_not_lost(rules: Rules) -> None:
    rules.received(PBX, request("INVITE", "a", "z1"), 1.0)
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.sent(PBX, answer(503, "a", "z1"), 2.0)
    rules.received(MAIN, answer(200, "b", "z2"), 3.0)
    rules.sent(MAIN, request("ACK", "b", "z3"), 3.0)
    rules.sent(MAIN, request("BYE", "b", "z4", number=2, tag="t"), 3.0)
    assert broken(rules) == []


def test_ack_before_the_answer(rules: Rules) -> None:
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.sent(MAIN, request("ACK", "b", "z3"), 1.1)
    assert broken(rules) == ["ACK left before its INVITE was answered: ACK sip:+4131@x SIP/2.0"]


def ring_then_offer(rules: Rules, to: str = "+4131", *, over: bool = False) -> list[str]:
    rules.received(PBX, request("INVITE", "a", "z1", to=to), 1.0)
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    if over:
        rules.recorded(attempt("b"), 1.8)
    rules.received(MAIN, answer(180, "b", "z2"), 2.0)
    rules.stepped(2.5)
    rules.sent(BACKUP, request("INVITE", "c", "z3"), 3.0)
    rules.sent(PBX, answer(486, "a", "z1"), 3.0)
    return broken(rules)


def test_a_call_that_rings_is_offered_again(rules: Rules) -> None:
    assert ring_then_offer(rules) == ["call 7 rang, and was offered again"]


def test_ringing_that_comes_too_late_rings_for_nobody(rules: Rules) -> None:
    assert ring_then_offer(rules, over=True) == []


def test_an_emergency_call_may_ring_twice(rules: Rules) -> None:
    assert ring_then_offer(rules, "112") == []


@pytest.fixture
def hedging() -> Rules:
    settings = SETTINGS.model_copy(update={"failover": SETTINGS.failover.model_copy(update={"hedge": True})})
    return Rules(Engine(settings, Chance(1), 0.0), {MAIN: "main", BACKUP: "backup"}, ("112",))


def two_at_a_time(rules: Rules) -> None:
    rules.received(PBX, request("INVITE", "a", "z1"), 1.0)
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.sent(BACKUP, request("INVITE", "c", "z3"), 1.2)
    rules.sent(PBX, answer(486, "a", "z1"), 3.0)


def test_two_carriers_have_a_call_at_a_time(rules: Rules, hedging: Rules) -> None:
    for one in (rules, hedging):
        two_at_a_time(one)
    assert broken(rules) == ["call 7 is offered to 2 carriers at a time"]
    assert broken(hedging) == []


def test_three_are_too_many_even_with_hedging(hedging: Rules) -> None:
    two_at_a_time(hedging)
    hedging.sent(MAIN, request("INVITE", "b", "z2", number=2), 1.3)  # with the answer to its challenge: no further one
    assert broken(hedging) == []
    hedging.sent(("198.51.100.3", 5060), request("INVITE", "d", "z4"), 1.4)
    assert broken(hedging) == ["call 7 is offered to 3 carriers at a time"]


def test_a_third_may_follow_one_that_has_failed(hedging: Rules) -> None:
    two_at_a_time(hedging)
    hedging.received(BACKUP, answer(503, "c", "z3"), 1.3)
    hedging.sent(BACKUP, request("ACK", "c", "z3"), 1.3)
    hedging.sent(("198.51.100.3", 5060), request("INVITE", "d", "z4"), 1.4)
    assert broken(hedging) == []


def test_two_that_ring_at_a_time(hedging: Rules) -> None:
    two_at_a_time(hedging)
    hedging.received(MAIN, answer(180, "b", "z2"), 2.0)
    hedging.stepped(2.0)
    hedging.received(BACKUP, answer(180, "c", "z3"), 2.1)
    hedging.stepped(2.2)
    assert broken(hedging) == ["call 7 rings at two carriers", "call 7 rings, and backup still has it",
                               "call 7 rings, and main still has it"]  # fmt: skip


@pytest.mark.parametrize("status", [180, 200])
@pytest.mark.parametrize("cancelled", [True, False])
def test_who_is_slower_is_over_in_the_moment_in_which_the_other_rings(
    hedging: Rules, status: int, cancelled: bool
) -> None:
    two_at_a_time(hedging)
    hedging.received(MAIN, answer(status, "b", "z2"), 2.0)
    if cancelled:
        hedging.recorded(attempt("c", "backup", "cancelled"), 2.0)
    hedging.stepped(2.0)
    hedging.stepped(2.1)
    hedging.received(MAIN, answer(200, "b", "z2"), 2.2)
    hedging.sent(MAIN, request("ACK", "b", "z5"), 2.2)
    hedging.sent(MAIN, request("BYE", "b", "z6", number=2, tag="t"), 2.2)
    assert broken(hedging) == ([] if cancelled else ["call 7 rings, and backup still has it"])


def test_who_hangs_up_before_the_ack_is_acknowledged_all_the_same(rules: Rules) -> None:
    rules.received(PBX, request("INVITE", "a", "z1"), 1.0)
    rules.sent(MAIN, request("INVITE", "b", "z2"), 1.0)
    rules.received(MAIN, answer(200, "b", "z2"), 2.0)
    rules.sent(PBX, answer(200, "a", "z1"), 2.0)
    rules.received(MAIN, request("BYE", "b", "z3", number=9, tag="t"), 2.1)
    rules.sent(MAIN, answer(200, "b", "z3", number=9, method="BYE"), 2.1)
    assert broken(rules) == ["the answer to INVITE 1 of b was never acknowledged"]


def test_down_for_ever_although_all_is_well(rules: Rules) -> None:
    rules.recorded(TrunkChanged(10.0, "main", "Suspect", "Down", "silence"), 10.0)
    for at in range(20, 2040, 10):
        rules.recorded(ProbeEnded(at, "main", "answered", 200, 0.02), at)
    assert broken(rules) == []
    rules.recorded(ProbeEnded(2060.0, "main", "answered", 200, 0.02), 2060.0)
    assert broken(rules) == ["main is Down although nothing failed for 2050 s"]


def test_down_while_checks_fail_is_right(rules: Rules) -> None:
    rules.recorded(TrunkChanged(10.0, "main", "Suspect", "Down", "silence"), 10.0)
    rules.recorded(ProbeEnded(1500.0, "main", "timeout", 0, None), 1500.0)
    rules.recorded(ProbeEnded(3000.0, "main", "answered", 200, 0.02), 3000.0)
    assert broken(rules) == []


def in_trial(rules: Rules, trunk: str, goes_over: str) -> list[str]:
    rules.recorded(TrunkChanged(0.0, trunk, "Down", "Trial", "steady"), 0.0)
    for number in range(12):
        at = 100.0 + 10 * number
        rules.recorded(attempt(f"b{number}", goes_over, "answered", call=number), at)
    return broken(rules)


def test_a_trial_without_a_try(rules: Rules) -> None:
    why = "10 calls in 190 s went to a trunk behind it"
    assert in_trial(rules, "main", "backup") == [f"main is in Trial, and is not tried: {why}"]


def test_a_backup_in_trial_waits_for_the_main_trunk(rules: Rules) -> None:
    assert in_trial(rules, "backup", "main") == []


def test_a_call_is_refused_while_a_trunk_is_free(rules: Rules) -> None:
    for line in rules.engine.core.trunks:
        line.trunk.resolved((target_of(line.name),))
    rules.recorded(attempt("b", "main"), 4.5)
    rules.recorded(refused(), 5.0)
    assert broken(rules) == ["call 1 was refused, and backup was free and usable"]


def test_a_call_that_rang_is_not_offered_to_the_free_trunk(rules: Rules) -> None:
    for line in rules.engine.core.trunks:
        line.trunk.resolved((target_of(line.name),))
    rules.recorded(attempt("b", "main"), 4.5)
    rules.recorded(refused(ringing_after=0.3), 5.0)
    assert broken(rules) == []


def target_of(name: str) -> Any:
    from sipfailover.flow import UDP, Target

    return Target(UDP, *(MAIN if name == "main" else BACKUP), b"192.0.2.1:5060")


def test_an_attempt_that_is_recorded_twice_or_not_counted(rules: Rules) -> None:
    rules.recorded(attempt("b", "main"), 4.5)
    rules.recorded(attempt("b", "main"), 4.6)
    rules.recorded(refused(attempts=3, result="busy"), 5.0)
    assert broken(rules) == ["call 1: 2 attempts recorded of 3", "the attempt b was recorded twice"]
