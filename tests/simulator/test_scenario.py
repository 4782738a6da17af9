"""A scenario's file is read as the configuration is: every mistake at once, at its place, and what to write instead."""

from pathlib import Path

import pytest

from sipfailover.config import parse, parse_document
from sipfailover.errors import ConfigError
from sipfailover.simulator import Scenario, load_scenario
from sipfailover.simulator.kinds import KINDS, Scope
from sipfailover.simulator.provider import TREATMENTS
from sipfailover.simulator.rehearsal import check_names

EXAMPLES = Path(__file__).parents[2] / "examples" / "scenarios"
SCENARIOS = sorted(path.name for path in EXAMPLES.glob("*.yaml") if "pbx:" not in path.read_text())
TWO = parse("pbx: 192.0.2.10\ntrunks: [{name: swisscom, host: 198.51.100.1}, {name: backup, host: 198.51.100.2}]")


def read(text: str) -> Scenario:
    return parse_document(text, Scenario, file="s.yaml").value


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read(text)
    return [str(problem).partition("\n")[0] for problem in caught.value.problems]


@pytest.mark.parametrize("name", SCENARIOS)
def test_every_example_is_a_scenario_for_two_trunks(name: str) -> None:
    check_names(load_scenario(str(EXAMPLES / name)), TWO, "two.yaml")


def test_january_2018_as_people_write_it() -> None:
    found = load_scenario(str(EXAMPLES / "swisscom-2018.yaml")).value
    (fault,) = found.faults
    assert found.seconds == 10 * 86400
    assert found.span(fault) == (2 * 3600 + 38 * 60, 2 * 86400 + 9 * 3600)
    assert fault.call_kinds == ("setup fails", "drops after seconds", "one way", "no ringing")
    assert (fault.pattern.on, fault.harms, fault.everywhere) == ((300.0, 5400.0), True, False)


def test_all_mistakes_are_told_at_once_each_at_its_place() -> None:
    text = (
        "start: 2018-01-08 08:00\ndayz: 10\noffice: {talk: 3, inbound_share: 150%}\n"
        "faults:\n  - {trunk: a, from: +1h, kind: setup fail, pattern: sometimes}\n  - {kind: 777}\n"
    )
    assert problems(text) == [
        "s.yaml:2:1: dayz: unknown setting 'dayz', did you mean 'days'?",
        "s.yaml:3:16: office.talk: '3' has no unit: write 3s for seconds, or use ms, m, h, d",
        "s.yaml:3:34: office.inbound_share: '150%' is not a share: from 0 to 1, or 0% to 100%",
        "s.yaml:5:33: faults.0.kind: 'setup fail' is no way to fail, did you mean 'setup fails'?",
        "s.yaml:5:54: faults.0.pattern: 'sometimes' is no pattern: write always, on/off 5-90 min, on 5s off 20s, or "
        "swizzle",
        "s.yaml:6:5: faults.1.from: is missing",
        "s.yaml:6:12: faults.1.kind: '777' is no way to fail, known: " + ", ".join(KINDS) + ", or a status as 500",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("days: 1\nhours: 2", "days and hours are both given"),
        ("hours: 2\nfaults: [{from: +3h, kind: silence}]", "fault 1 begins after the end"),
        ("hours: 2\nfaults: [{from: +1h, to: +30m, kind: silence}]", "fault 1 ends before it begins"),
        ("start: 2018-01-08\nfaults: [{from: 2018-01-07, kind: silence}]", "or begins before the scenario does"),
        ("office: {busy: 60%, no_answer: 60%}", "together: more than all of them"),
    ],
)
def test_what_does_not_fit_together(text: str, why: str) -> None:
    assert any(why in problem for problem in problems(text))


def test_a_trunk_that_the_configuration_does_not_have() -> None:
    document = parse_document("faults:\n  - {trunk: swissc0m, from: +1h, kind: silence}\n", Scenario, file="s.yaml")
    with pytest.raises(ConfigError, match=r"s.yaml:2:13: .*'swissc0m' is no trunk of two.yaml, which has swisscom, b"):
        check_names(document, TWO, "two.yaml")


def test_a_status_is_a_way_to_fail_and_words_have_other_spellings() -> None:
    found = read("faults: [{from: +1h, kind: ['500', Drops, dead, uplink gone]}]").faults[0]
    assert found.kind == ("500", "drops after seconds", "killed", "no uplink")
    assert found.call_kinds == ("500", "drops after seconds")
    assert found.other_kinds == ("killed", "no uplink")


def test_every_kind_that_calls_meet_has_its_treatment() -> None:
    assert set(TREATMENTS) == {word for word, kind in KINDS.items() if kind.scope is Scope.CALLS}
