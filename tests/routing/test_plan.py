"""Which trunks a call tries, in which order, and why."""

from hypothesis import given
from hypothesis import strategies as st

from sipfailover.chance import Chance
from sipfailover.flow import Target
from sipfailover.routing import Place, plan
from sipfailover.trunk import Evidence, HealthRules, Order, ProbeRules, Sign, State, Trunk

RULES = HealthRules(down_after=2, up_after=2, stable_for=10.0)
MISSED = Evidence(Sign.PROBE_FAILED, "no answer within 2 s")
SILENT = Evidence(Sign.CALL_SILENT, "no answer within 0.8 s")
GOOD = Evidence(Sign.PROBE_GOOD)


def trunk(
    name: str, tier: int = 1, state: State = State.UP, order: Order = Order.ENABLED, resolved: bool = True
) -> Trunk:
    made = Trunk(name, tier, RULES, ProbeRules(), 4.0, Chance(1), 0.0)
    if resolved:
        made.resolved((Target("udp", "192.0.2.1", 5060, b"192.0.2.9"),))
    made.order = order
    if state is State.TRIAL:
        for evidence, at in ((SILENT, 1.0), (SILENT, 2.0), (GOOD, 12.0), (GOOD, 13.0)):
            made.health.observe(evidence, at)
    else:
        for at in range(state):
            made.health.observe(MISSED, 1.0 + at)
    assert made.health.state is state
    return made


def names(*trunks: Trunk, emergency: bool = False) -> list[str]:
    return [candidate.name for candidate in plan(trunks, 20.0, emergency=emergency) if candidate.included]


def test_tiers_in_order_and_the_order_of_the_file_within_one() -> None:
    assert names(trunk("c", 2), trunk("a"), trunk("b"), trunk("d", 2)) == ["a", "b", "c", "d"]


def test_suspect_keeps_its_place() -> None:
    assert names(trunk("main", 1, State.SUSPECT), trunk("backup", 2)) == ["main", "backup"]


def test_down_comes_last_and_says_so() -> None:
    candidates = plan([trunk("main", 1, State.DOWN), trunk("backup", 2)], 20.0)
    assert [one.name for one in candidates] == ["backup", "main"]
    assert candidates[1].desperate
    assert candidates[1].reason == (
        "Down for 18 s: 2 checks in a row failed (no answer within 2 s); tried only if nothing better is left"
    )


def test_when_all_are_down_the_one_that_answers_comes_first() -> None:
    main, backup = trunk("main", 1, State.DOWN), trunk("backup", 2, State.DOWN)
    assert names(main, backup) == ["main", "backup"]
    backup.health.observe(GOOD, 10.0)
    assert names(main, backup) == ["backup", "main"]


def test_a_trunk_in_trial_gets_one_call_at_a_time() -> None:
    main, backup = trunk("main", 1, State.TRIAL), trunk("backup", 2)
    first = plan([main, backup], 20.0)
    assert [(one.name, one.trial) for one in first] == [("main", True), ("backup", False)]
    main.health.trial_started(20.0)
    second = plan([main, backup], 20.0)
    assert [(one.name, one.trial) for one in second] == [("backup", False), ("main", False)]
    assert second[1].reason == "in Trial, and another call is testing it"


def test_a_trunk_in_trial_comes_before_one_that_is_down() -> None:
    main, backup = trunk("main", 1, State.DOWN), trunk("backup", 2, State.TRIAL)
    backup.health.trial_started(20.0)
    assert names(main, backup) == ["backup", "main"]


def test_orders_and_missing_addresses_keep_a_trunk_out_with_the_reason() -> None:
    trunks = [
        trunk("off", order=Order.OFF),
        trunk("draining", order=Order.DRAINING),
        trunk("nowhere", resolved=False),
        trunk("backup", 2),
    ]
    assert [(one.name, one.place, one.reason) for one in plan(trunks, 20.0)] == [
        ("backup", Place.FIRST, "Up"),
        ("off", Place.OUT, "off by order"),
        ("draining", Place.OUT, "draining by order"),
        ("nowhere", Place.OUT, "no address: its name has not been resolved yet"),
    ]


def test_emergency_calls_test_nothing_and_know_no_orders() -> None:
    trunks = [
        trunk("off", 1, order=Order.OFF),
        trunk("down", 1, State.DOWN),
        trunk("trial", 1, State.TRIAL),
        trunk("backup", 2),
    ]
    assert names(*trunks, emergency=True) == ["backup", "trial", "down", "off"]
    assert not any(one.trial for one in plan(trunks, 20.0, emergency=True))


def test_no_trunks_no_plan() -> None:
    assert plan([], 0.0) == ()


trunks = st.builds(
    trunk,
    name=st.uuids().map(str),
    tier=st.integers(1, 3),
    state=st.sampled_from(State),
    order=st.sampled_from(Order),
    resolved=st.booleans(),
)


@given(st.lists(trunks, max_size=6), st.booleans())
def test_every_trunk_stands_in_the_plan_and_health_never_takes_one_out(known: list[Trunk], emergency: bool) -> None:
    candidates = plan(known, 20.0, emergency=emergency)
    assert sorted(one.name for one in candidates) == sorted(one.name for one in known)
    assert all(one.reason for one in candidates)
    may = {one.name for one in known if one.targets and (emergency or one.order.open)}
    assert {one.name for one in candidates if one.included} == may
    assert [one.included for one in candidates] == sorted((one.included for one in candidates), reverse=True)
