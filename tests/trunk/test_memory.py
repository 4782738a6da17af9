"""What is known of a trunk outlives the process: it has its row, comes back as it was, and is believed sanely."""

import json
from typing import Any

import pytest

from sipfailover.chance import Chance
from sipfailover.trunk import (
    Evidence,
    HealthRules,
    InboundSeen,
    Order,
    Ordered,
    ProbeRules,
    Sign,
    State,
    Trunk,
    recall,
    remembered,
)
from sipfailover.trunk.counters import RETRY_AFTER_MAX
from sipfailover.trunk.memory import KEPT, LEFT

OFFSET = 1_700_000_000.0
RULES = HealthRules(down_after=2, up_after=2, stable_for=600.0)


def trunk(now: float = 0.0) -> Trunk:
    return Trunk("main", 1, RULES, ProbeRules(), 4.0, Chance(1), now)


def saw(one: Trunk, sign: Sign, now: float, number: str = "", **more: Any) -> None:
    one.health.observe(Evidence(sign, f"{sign.name} seen", number, **more), now)


def experienced() -> Trunk:
    """A trunk that went Down, came back, and is Down again by calls, with all its clocks learnt."""
    one = trunk()
    for place in range(12):
        one.roundtrip.observe(0.02 + place / 1000)
        one.roundtrip.observe(0.1, call=True)
        one.setup.observe(1.0 + place / 10)
    one.probe.mute = False
    one.probe.results.extend([True, False, True])
    one.obey(Ordered(Order.DRAINING, 4000.0, "anna", "fibre works", 1.0))
    for second in (1.0, 2.0):
        saw(one, Sign.PROBE_FAILED, second)
    assert one.health.state is State.DOWN
    for second in (610.0, 620.0):
        saw(one, Sign.PROBE_GOOD, second)
    assert one.health.state is State.UP
    for second in range(30):
        saw(one, Sign.CALL_GOOD, 630.0 + second)
    for place in range(4):
        saw(one, Sign.CALL_FAULT, 700.0 + place, f"+4144{place}")
    assert one.health.state is State.DOWN
    assert one.health.counters.relapses == 1
    for place in range(2):
        one.inbound.observe(InboundSeen.DROPPED, 705.0, f"+4179{place}", "it died")
    return one


def again(one: Trunk, *, at: float = 710.0, now: float = 12.0, passed: float = 5.0) -> Trunk:
    """The next process: `passed` seconds later by the time of day, when its own clock says `now`."""
    memory = json.loads(json.dumps(remembered(one, at, OFFSET), allow_nan=False))
    other = trunk(now)
    recall(other, memory, now, OFFSET + at + passed - now)
    return other


@pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.__name__)
def test_every_slot_is_kept_or_known_not_to_be(kind: type) -> None:
    assert set(KEPT[kind]) == set(kind.__slots__)


def test_everything_that_is_kept_comes_back() -> None:
    one = experienced()
    other = again(one, now=710.0, passed=0.0)

    def same(here: Any, there: Any, path: str) -> None:
        for name, row in KEPT[type(here)].items():
            mine, its = getattr(here, name), getattr(there, name)
            if row is LEFT:
                continue
            if type(mine) in KEPT:
                same(mine, its, f"{path}.{name}")
            elif name == "scores":
                for score, twin in zip(mine, its, strict=True):
                    same(score, twin, f"{path}.score")
            else:
                assert its == mine, f"{path}.{name}"

    same(one, other, "trunk")


def test_a_trunk_that_was_down_stays_so_until_it_is_proved_and_its_hold_down_goes_on() -> None:
    one = experienced()
    saw(one, Sign.PROBE_GOOD, 705.0)
    saw(one, Sign.PROBE_GOOD, 706.0)
    back = one.health.counters.back_at - 710.0
    other = again(one, passed=60.0)
    assert other.health.state is State.DOWN
    assert other.health.counters.back_at - 12.0 == pytest.approx(back - 60.0)
    assert other.health.progress == "0/2 good"
    assert other.health.why == one.health.why
    assert other.health.counters.relapses == 1
    later = other.health.counters.back_at + 1.0
    assert other.health.deadline(later) is None, "time alone proves nothing"
    for _ in range(2):
        saw(other, Sign.PROBE_GOOD, later)
    assert other.health.state is State.TRIAL, "calls had failed: so calls prove it"


def test_the_clocks_are_as_they_were_learnt() -> None:
    one = experienced()
    other = again(one)
    assert other.no_answer() == one.no_answer()
    assert other.no_ringing(12.0) == one.no_ringing(12.0)
    assert (other.probe.mute, list(other.probe.results)) == (False, [True, False, True])
    assert other.order is Order.DRAINING


def test_a_clock_that_was_set_back_by_a_day_makes_no_hold_down_longer() -> None:
    one = experienced()
    saw(one, Sign.RETRY_AFTER, 709.0, retry_after=100.0)
    other = again(one, passed=-86_400.0)
    counters = other.health.counters
    assert counters.failed_at == 12.0
    assert counters.held_until <= 12.0 + RETRY_AFTER_MAX
    assert other.health.since == 12.0
    assert counters.back_at <= 12.0 + counters.hold_down
    assert [at for at, _ in other.inbound.drops.recent.values()] == [12.0, 12.0]


def test_a_clock_that_was_set_ahead_by_a_day_does_not_bring_it_back() -> None:
    other = again(experienced(), passed=86_400.0)
    assert other.health.state is State.DOWN
    assert other.health.deadline(12.0) is None


def test_what_a_later_version_does_not_know_any_more_is_passed_over() -> None:
    memory = remembered(experienced(), 710.0, OFFSET)
    memory["health"]["counters"]["of a newer version"] = 7
    del memory["health"]["counters"]["relapses"]
    other = trunk()
    recall(other, memory, 710.0, OFFSET)
    assert (other.health.state, other.health.counters.relapses) == (State.DOWN, 0)


WRONG: list[tuple[tuple[str | int, ...], object]] = [
    ((), []), (("health",), 7), (("health", "state"), 9), (("health", "state"), "Down"), (("health", "since"), "now"),
    (("health", "since"), True), (("order",), -1.5),
    (("ordered",), [0, "soon", "", "", 0.0]), (("ordered",), [9, None, "", "", 0.0]),
    (("health", "counters", "relapses"), None),
    (("health", "counters", "why"), 3), (("health", "counters", "faults"), [[1, 2, 3]]),
    (("health", "counters", "trail"), [[99, "", "", "", 0.0]]), (("health", "counters", "faulty", "scores"), []),
    (("health", "counters", "faulty", "recent"), [["+41", 1.0]]), (("inbound", "drops", "_seen"), None),
    (("roundtrip", "calls", "variation"), "1"), (("setup", "samples"), 1.5), (("probe", "results"), [1]),
    (("probe", "mute"), 0),
]  # fmt: skip


@pytest.mark.parametrize(("where", "value"), WRONG, ids=str)
def test_what_was_never_made_here_is_refused_whole(where: tuple[str | int, ...], value: object) -> None:
    memory: Any = remembered(experienced(), 710.0, OFFSET)
    if where:
        *way, last = where
        part = memory
        for step in way:
            part = part[step]
        part[last] = value
    else:
        memory = value
    other = trunk()
    before = remembered(other, 0.0, OFFSET)
    with pytest.raises((TypeError, ValueError)):
        recall(other, memory, 710.0, OFFSET)
    assert remembered(other, 0.0, OFFSET) == before
