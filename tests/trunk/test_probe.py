"""When a trunk is asked, and what its answer means."""

import pytest

from sipfailover.chance import Chance
from sipfailover.trunk import Evidence, Health, HealthRules, Probe, ProbeRules, Sign, State
from sipfailover.trunk.probe import ANSWERS, meaning


def health_in(state: State) -> Health:
    health = Health(HealthRules(down_after=2, up_after=2), 0.0)
    for _ in range(state):
        health.observe(Evidence(Sign.PROBE_FAILED), 1.0)
    assert health.state is state
    return health


def interval(every: float, state: State, misses: int = 0) -> float:
    """The interval after so many misses in a row; what jitter makes of it is checked on the way."""
    health = health_in(state)
    probe = Probe(ProbeRules(every, 0.5), Chance(1), 0.0)
    for _ in range(misses):
        probe.sent(0.0, health)
        probe.failed("", 0.5)
    due = []
    for _ in range(100):
        probe.sent(0.0, health)
        due.append(probe.next_at)
    seconds = probe.interval(health)
    assert 0.9 * seconds <= min(due) < 0.93 * seconds < 1.07 * seconds < max(due) <= 1.1 * seconds
    return seconds


@pytest.mark.parametrize(
    ("status", "sign"),
    [
        (200, Sign.PROBE_GOOD), (202, Sign.PROBE_GOOD), (302, Sign.PROBE_GOOD), (401, Sign.PROBE_GOOD),
        (403, Sign.PROBE_GOOD), (404, Sign.PROBE_GOOD), (405, Sign.PROBE_GOOD), (407, Sign.PROBE_GOOD),
        (408, Sign.PROBE_UNWELL), (480, Sign.PROBE_GOOD), (483, Sign.PROBE_GOOD), (486, Sign.PROBE_GOOD),
        (500, Sign.PROBE_UNWELL), (501, Sign.PROBE_GOOD), (502, Sign.PROBE_UNWELL), (503, Sign.PROBE_503),
        (504, Sign.PROBE_UNWELL), (505, Sign.PROBE_FAILED), (580, Sign.PROBE_UNWELL), (603, Sign.PROBE_GOOD),
    ],
)  # fmt: skip
def test_what_an_answer_means(status: int, sign: Sign) -> None:
    assert meaning(status) is sign
    assert meaning(status, 30.0) is (Sign.RETRY_AFTER if status == 503 else sign)


def test_every_final_status_means_something() -> None:
    assert all(meaning(status) in Sign for status in range(200, 700))
    assert all(f"{digit}xx" in ANSWERS for digit in range(2, 7))


@pytest.mark.parametrize(
    ("every", "state", "misses", "seconds"),
    [
        (10.0, State.UP, 0, 10.0),
        (10.0, State.UP, 9, 10.0),
        (10.0, State.SUSPECT, 0, 1.0),
        (0.5, State.SUSPECT, 0, 0.5),
        (10.0, State.DOWN, 0, 10.0),
        (10.0, State.DOWN, 1, 15.0),
        (10.0, State.DOWN, 500, 30.0),
        (1.0, State.DOWN, 500, 1.0),
        (60.0, State.DOWN, 500, 60.0),
    ],
)
def test_intervals_follow_health(every: float, state: State, misses: int, seconds: float) -> None:
    assert interval(every, state, misses) == seconds


def test_the_first_probe_comes_soon() -> None:
    assert all(Probe(ProbeRules(60.0), Chance(seed), 5.0).next_at < 6.0 for seed in range(50))


def test_suspicion_asks_at_once_and_one_probe_at_a_time() -> None:
    health, probe = health_in(State.UP), Probe(ProbeRules(10.0, 2.0), Chance(1), 0.0)
    probe.sent(1.0, health)
    assert not probe.due(1.0)
    probe.answered(200, "OK", 0.0, 1.02)
    health.observe(Evidence(Sign.CALL_SILENT), 3.0)
    probe.hurry(3.0, health)
    assert probe.due(3.0)
    assert probe.deadline() == 3.0
    probe.sent(3.0, health)
    probe.hurry(3.1, health)
    assert not probe.due(3.1), "one at a time"
    assert probe.deadline() == 5.0
    assert not probe.overdue(4.9)
    assert probe.overdue(5.0)
    assert probe.failed("", 5.0) == Evidence(Sign.PROBE_FAILED, "no answer within 2 s", sent_at=3.0)
    assert probe.due(5.0), "the next one was only waiting for that"


def test_a_late_answer_is_no_evidence() -> None:
    probe = Probe(ProbeRules(), Chance(1), 0.0)
    probe.sent(1.0, health_in(State.UP))
    assert probe.failed("port closed", 1.1) == Evidence(Sign.PROBE_FAILED, "port closed", sent_at=1.0)
    assert probe.answered(200, "OK", 0.0, 1.2) is None
    assert (probe.status, probe.ended_at) == (0, 1.1)


def test_loss_is_counted_over_the_last_twenty() -> None:
    health, probe = health_in(State.UP), Probe(ProbeRules(), Chance(1), 0.0)
    assert probe.loss_ratio == 0.0
    for number in range(40):
        probe.sent(float(number), health)
        probe.answered(200 if number % 4 else 503, "", 0.0, number + 0.1)
    assert probe.loss_ratio == 0.25
    assert probe.results.maxlen == 20
    assert "25% of 20 lost" in repr(probe)
