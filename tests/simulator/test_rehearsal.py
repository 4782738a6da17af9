"""A rehearsal says what callers would have lived through: in figures, in words, as JSON, and on a page."""

import json
import re
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sipfailover.config import Settings, parse, parse_document
from sipfailover.simulator import Figures, Rehearsal, Result, Scenario, as_json, page, result
from sipfailover.simulator.figures import LOST, REROUTED, spread
from sipfailover.simulator.page import Lane, rows, ticks
from sipfailover.simulator.simulate import main
from sipfailover.simulator.tell import ROWS, better, lines, seconds, table

CONFIG = "pbx: 192.0.2.10\ntrunks: [{name: main, host: 198.51.100.1}, {name: backup, host: 198.51.100.2}]\n"
STUBBORN = CONFIG + "failover: {never_retry: [5xx, timeout]}\n"
PATIENT = CONFIG + "failover: {no_ringing_within: 40s, give_up_after: 60s}\n"
SCENARIO = """
title: "A <bad> morning"
start: 2018-01-08 09:00
hours: 2
office: {calls_per_hour: 120, inbound_share: 30%}
faults: [{trunk: main, from: +30m, to: +1h, kind: [trying only, setup fails]}]
"""


def live(config: str = CONFIG, name: str = "default", seed: int | None = None) -> Result:
    scenario = parse_document(SCENARIO, Scenario, file="s.yaml").value
    return result(Rehearsal(parse(config), scenario, seed=seed, name=name).run())


@pytest.fixture(scope="module")
def default() -> Result:
    return live()


@pytest.fixture(scope="module")
def stubborn() -> Result:
    return live(STUBBORN, "stubborn")


def test_the_same_seed_is_the_same_life_and_another_is_another(default: Result) -> None:
    again, other = live(), live(seed=2)
    assert as_json(again) == as_json(default)
    assert as_json(other)["calls"] != as_json(default)["calls"]


def test_figures_add_up(default: Result) -> None:
    one = default.figures
    assert one.outbound + one.inbound == len(one.outcomes)
    words = [outcome.word for outcome in one.outcomes if not outcome.call.inbound]
    assert one.lost == words.count(LOST)
    assert one.rerouted >= words.count(REROUTED) > 0
    assert 0 < one.extra.longest < 14
    assert one.extra.total >= one.extra.longest >= one.extra.middle
    assert one.not_sent > 0
    assert one.broken == ()
    main, backup = one.trunks
    assert (main.faults, main.faulty, backup.faults) == (1, 1800.0, 0)
    assert main.detected.count + main.missed + main.covered == 1
    assert sum(last - first for first, last, _ in main.bands) == pytest.approx(7200.0)


def test_a_configuration_that_asks_no_other_trunk_loses_calls(default: Result, stubborn: Result) -> None:
    assert stubborn.figures.lost > default.figures.lost == 0
    lost = [one for one in stubborn.figures.outcomes if one.word == LOST]
    assert any("503" in one.text for one in lost), {one.text for one in lost}


def test_a_fault_is_no_false_alarm_and_its_detection_is_timed(default: Result) -> None:
    main = default.figures.trunks[0]
    assert main.false_alarms == 0
    downs = [line.at for line in default.story if line.word == "Down" and line.trunk == "main"]
    assert main.detected.count == 1
    assert main.detected.longest == pytest.approx(downs[0] - 1800.0)


def test_the_story_is_told_with_wall_clock_and_reasons(default: Result) -> None:
    told = lines([default])
    text = "\n".join(told)
    assert told[0] == "A <bad> morning: Mon 2018-01-08 09:00 to Mon 2018-01-08 11:00, seed 1"
    assert "  09:30:00  main       (fault begins: trying only / setup fails)" in told
    assert "  10:00:00  main       (fault ends: trying only / setup fails)" in told
    assert re.search(r"^  09:\d\d:\d\d  main       Suspect: \S.*", text, re.MULTILINE)
    assert re.search(r"^  09:\d\d:\d\d  backup     --> new calls go over backup, before over main", text, re.MULTILINE)


def test_figures_stand_side_by_side_and_the_better_one_has_a_star(default: Result, stubborn: Result) -> None:
    shown = table([default, stubborn])
    assert shown[0].split() == ["default", "stubborn"]
    assert len(shown) == len(ROWS) + 1
    lost = next(line for line in shown if line.startswith("  lost "))
    assert re.fullmatch(r"  lost +\d+ \* +\d+", lost)


@pytest.mark.parametrize(
    ("values", "best"), [((3, 5), 0), ((5, 3), 1), ((4, 4), None), ((4,), None), ((3, 3, 9), None)]
)
def test_the_better_one_is_the_only_one_that_has_least(
    default: Result, values: tuple[int, ...], best: int | None
) -> None:

    row = next(row for row in ROWS if row.label.strip() == "lost")
    several: list[Figures] = [replace(default.figures, lost=value) for value in values]
    assert better(row, several) == best


@pytest.mark.parametrize(
    ("value", "text"), [(0.08, "80 ms"), (4.25, "4.2 s"), (99.9, "99.9 s"), (720, "12 min"), (12600, "3.5 h")]
)
def test_durations_for_people(value: float, text: str) -> None:
    assert seconds(value) == text


def test_nothing_has_no_spread() -> None:
    assert spread([]).count == 0
    assert spread([3.0, 1.0, 2.0]) == spread(iter([1.0, 2.0, 3.0]))


def test_everything_is_in_the_json(default: Result) -> None:
    found = json.loads(json.dumps(as_json(default)))
    assert len(found["calls"]) == len(default.figures.outcomes)
    assert found["figures"]["lost"] == default.figures.lost
    assert found["faults"]["main"] == [
        {"from": 1800.0, "to": 3600.0, "what": "trying only / setup fails", "harms": True}
    ]
    assert {"at", "time", "trunk", "what", "text"} == set(found["story"][0])
    moved = next(call for call in found["calls"] if call["result"] == "rerouted")
    assert [one["trunk"] for one in moved["attempts"]] == ["main", "backup"]


def test_the_page_needs_nothing_from_elsewhere_and_escapes_what_people_wrote(default: Result, stubborn: Result) -> None:
    text = page([default, stubborn])
    assert "<h1>A &lt;bad&gt; morning</h1>" in text
    assert not re.search(r"(?:src|href)=|@import|url\(|<script", text)
    assert "prefers-color-scheme: dark" in text
    assert text.count('<section class="card">') == 2
    assert text.count("<svg ") == 2 * 4 * 2  # two results, rows of half an hour, two trunks


def test_each_call_is_drawn_once_in_the_lane_that_carried_it(default: Result) -> None:
    found = rows(default)
    lanes = [lane for row in found for lane in row.lanes]
    assert drawn(lanes) == len(default.figures.outcomes)
    over_backup = sum(outcome.trunk == "backup" for outcome in default.figures.outcomes)
    assert drawn([lane for lane in lanes if lane.trunk == "backup"]) == over_backup
    for lane in lanes:
        assert all(0 <= mark.x <= 1000 for mark in lane.marks)
        assert all(0 <= box.x < 1000 and box.x + box.width <= 1001 for box in (*lane.bands, *lane.faults))


def drawn(lanes: list[Lane]) -> int:
    """How many calls are shown there."""
    return sum(sum(path.count("M") for path in lane.dots.values()) + len(lane.marks) for lane in lanes)


def test_rows_begin_at_whole_hours_and_days() -> None:
    assert [label for _, label in ticks(datetime(2018, 1, 8, 9, 20), 86400.0, 6)][:2] == ["00:00", "04:00"]
    assert [label for _, label in ticks(datetime(2018, 1, 8, 9, 20), 1800.0, 6)][:2] == ["+0 min", "+5 min"]


def settings_file(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    return str(folder / name)


def test_the_verb_prints_writes_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    short = SCENARIO.replace("hours: 2", "hours: 1.1").replace("title:", "# title:")
    scenario = settings_file(tmp_path, "monday.yaml", short)
    configs = [settings_file(tmp_path, "one.yaml", CONFIG), settings_file(tmp_path, "two.yaml", PATIENT)]
    html, records = tmp_path / "page.html", tmp_path / "all.json"
    assert main(scenario, configs, json_file=str(records), html=str(html)) == 0
    out = capsys.readouterr().out
    assert out.startswith("monday: Mon 2018-01-08 09:00 to Mon 2018-01-08 10:06, seed 1\n")
    assert re.search(r"^ +one +two$", out, re.MULTILINE)
    assert [one["config"] for one in json.loads(records.read_text())] == ["one", "two"]
    assert html.read_text().startswith("<!doctype html>")


def test_a_rehearsal_reads_every_kind_of_trunk() -> None:
    config = CONFIG.replace("198.51.100.2", "sip.backup.example, transport: tls, username: u, password: p")
    one: Settings = parse(config)
    scenario = parse_document(SCENARIO, Scenario, file="s.yaml").value
    assert result(Rehearsal(one, scenario).run()).figures.broken == ()
