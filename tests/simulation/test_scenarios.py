"""Named scenarios with the production engine: swizzle, January 2018, an ordinary month; and how long that takes."""

import time
from pathlib import Path

import pytest

from sipfailover.config import Settings, load, parse, parse_document
from sipfailover.simulator import Rehearsal, Result, Scenario, load_scenario, result

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
FOUR = """
pbx: 192.0.2.10
trunks:
  - {name: one, host: 198.51.100.1}
  - {name: two, host: 198.51.100.2, channels: 4}
  - {name: three, host: 198.51.100.3, transport: tcp}
  - {name: four, host: 198.51.100.4, username: u, password: p}
"""
TEN_DAYS_WITHIN = 30.0
"""Seconds of processor time for ten days of an office of twenty people, on a busy machine too."""


def live(settings: Settings, scenario: Scenario, seed: int | None = None) -> Result:
    return result(Rehearsal(settings, scenario, seed=seed).run())


def example(name: str) -> Scenario:
    return load_scenario(str(EXAMPLES / name)).value


def default() -> Settings:
    return load(str(EXAMPLES / "default.yaml"))


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("kind", ["silence", "killed", "'503'", "options only", "partition"])
def test_swizzle_loses_no_call_while_a_trunk_is_left(kind: str, seed: int) -> None:
    text = f"""
hours: 2.5
office: {{calls_per_hour: 60, inbound_share: 30%}}
faults: [{{trunk: [one, two, three], from: +20m, to: +1h 40m, pattern: swizzle, kind: {kind}}}]
"""
    found = live(parse(FOUR), parse_document(text, Scenario, file="swizzle").value, seed).figures
    assert found.broken == ()
    assert found.lost == 0
    assert found.over_others > 10
    assert [trunk.faults for trunk in found.trunks] == [1, 1, 1, 0]


@pytest.mark.parametrize("seed", range(3))
def test_swizzle_of_all_trunks_breaks_no_rule_and_everything_comes_back(seed: int) -> None:
    scenario = example("swizzle.yaml")
    found = live(parse(FOUR), scenario, seed).figures
    assert found.broken == ()
    last_fault = 9000.0
    assert all(one.word != "lost" for one in found.outcomes if one.call.at > last_fault + 60)
    main, *others = [trunk.bands[-1][2] for trunk in found.trunks]
    assert main == "Up"
    assert set(others) <= {"Up", "Trial"}  # where nobody needs them, a trial has to wait for a call


def test_a_quiet_day_of_july_2021_breaks_no_rule() -> None:
    found = live(default(), example("swisscom-2021.yaml")).figures
    assert found.broken == ()
    assert found.lost == 0
    assert found.dropped > 0


def test_a_line_that_flaps_costs_no_call() -> None:
    found = live(default(), example("flapping.yaml")).figures
    assert found.broken == ()
    assert found.lost == 0


ALONE = """
pbx: 192.0.2.10
trunks: [{{name: main, host: 198.51.100.1, port: 5060}}]
monitor: {{reference: [{places}]}}
"""
PLACES = "192.0.2.53:53, 192.0.2.54:443"


@pytest.mark.parametrize(
    ("places", "kind", "down"),
    [
        ("", "no uplink", True),
        (PLACES, "no uplink", False),
        (PLACES, "no route", False),
        ("", "silence", True),
        (PLACES, "silence", True),
        (PLACES, "partition", True),
        (PLACES, "killed", True),
    ],
)
def test_with_references_a_single_trunk_is_not_blamed_for_our_own_uplink(places: str, kind: str, down: bool) -> None:
    text = f"hours: 2\noffice: {{calls_per_hour: 60}}\nfaults: [{{kind: {kind}, from: +30m, to: +40m}}]"
    lived = Rehearsal(parse(ALONE.format(places=places)), parse_document(text, Scenario, file="one").value).run()
    assert lived.broken == []
    changes = [change for change in lived.changes if change.direction == "outbound"]
    assert any(change.after == "Down" for change in changes) is down
    assert lived.engine.view(lived.world.now).own_line == ""
    assert lived.engine.view(lived.world.now).trunks[0].health == "Up"
    assert result(lived).figures.false_alarms == (1 if kind == "no uplink" and down else 0)


@pytest.mark.slow
def test_january_2018_is_lived_through_in_half_a_minute_and_costs_less_than_with_the_rules_of_others() -> None:
    lost = {}
    for name in ("default", "like-kamailio", "like-asterisk"):
        began = time.process_time()
        found = live(load(str(EXAMPLES / f"{name}.yaml")), example("swisscom-2018.yaml")).figures
        if name == "default":
            assert time.process_time() - began < TEN_DAYS_WITHIN
            assert found.false_alarms == 0
        assert found.broken == ()
        lost[name] = found.lost
    assert lost["default"] < lost["like-kamailio"] / 2
    assert lost["default"] < lost["like-asterisk"] / 2
