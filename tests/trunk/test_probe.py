"""When a trunk is asked, and what its answer means."""

import pytest

from sipfailover.chance import Chance
from sipfailover.trunk import OFF, Evidence, Health, HealthRules, Probe, ProbeRules, Sign, State
from sipfailover.trunk.probe import ANSWERS, GRACE, QUICK_PROBES, meaning


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
    assert probe.deadline() == 5.0 + GRACE
    assert not probe.overdue(5.0)
    assert probe.overdue(5.0 + GRACE)
    assert probe.failed("", 5.0) == Evidence(Sign.PROBE_FAILED, "no answer within 2 s", sent_at=3.0)
    assert probe.due(5.0), "the next one was only waiting for that"


def test_a_late_answer_is_no_evidence() -> None:
    probe = Probe(ProbeRules(), Chance(1), 0.0)
    probe.sent(1.0, health_in(State.UP))
    assert probe.failed("port closed", 1.1) == Evidence(Sign.PROBE_FAILED, "port closed", sent_at=1.0)
    assert probe.answered(200, "OK", 0.0, 1.2) is None
    assert (probe.status, probe.ended_at) == (0, 1.1)


# -- quick checks -----------------------------------------------------------------------------------------------------


def quick(round_trip: float | None = 0.02, patience: float = 0.2, timeout: float = 2.0) -> tuple[Probe, Health]:
    """A quick check that begins at 10.0."""
    health = health_in(State.SUSPECT)
    probe = Probe(ProbeRules(10.0, timeout), Chance(1), 0.0)
    probe.confirm(10.0, round_trip, patience)
    return probe, health


def leave(probe: Probe, health: Health) -> list[float]:
    """When the OPTIONS of a check leave, if nothing comes back; the last entry is its end."""
    moments = []
    while probe.sent_at is not None:
        now = probe.deadline()
        moments.append(round(now - 10.0, 3))
        if probe.overdue(now):
            break
        assert probe.due(now)
        probe.sent(now, health)
    return moments


@pytest.mark.parametrize(
    ("round_trip", "patience", "moments"),
    [
        (0.02, 0.2, [0.0, 0.1, 0.2, 0.3, 0.4, 1.0]),
        (0.05, 0.5, [0.0, 0.15, 0.3, 0.45, 0.6, 1.0]),
        (None, 0.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.2, 1.8, [0.0, 0.2, 0.4, 0.6, 0.8, 1.8]),
        (0.6, 6.0, [0.0, 0.2, 0.4, 0.6, 0.8, 2.0]),
    ],
)
def test_a_quick_check_asks_five_times_within_a_second(
    round_trip: float | None, patience: float, moments: list[float]
) -> None:
    assert leave(*quick(round_trip, patience)) == moments
    assert len(moments) == QUICK_PROBES + 1


def test_a_quick_check_fails_as_a_whole_and_says_what_the_network_said() -> None:
    probe, health = quick()
    probe.sent(10.0, health)
    assert probe.failed("port closed", 10.01) is None, "the others may be answered"
    leave(probe, health)
    said = "5 OPTIONS within 1 s had no answer (port closed)"
    assert probe.failed("", 11.0) == Evidence(Sign.PROBES_SILENT, said, sent_at=10.0)
    assert (probe.sent_at, probe.quick, probe.loss_ratio) == (None, False, 1.0)


def test_one_answer_ends_a_quick_check_and_speaks_of_now() -> None:
    probe, health = quick()
    probe.sent(10.0, health)
    evidence = probe.answered(200, "OK", 0.0, 10.03)
    assert evidence == Evidence(Sign.PROBE_GOOD, "200 OK to OPTIONS")
    assert not probe.due(10.1)
    assert probe.due(11.03)
    assert probe.answered(503, "Busy", 0.0, 10.04) is None


def test_a_quick_check_takes_the_place_of_a_slow_one_and_not_of_a_quick_one() -> None:
    health, probe = health_in(State.UP), Probe(ProbeRules(10.0, 2.0), Chance(1), 0.0)
    probe.sent(9.5, health)
    probe.confirm(10.0, 0.02, 0.2)
    assert probe.due(10.0)
    assert not probe.concerns(9.5), "that it fails is known"
    assert probe.concerns(10.0)
    probe.sent(10.0, health)
    probe.confirm(10.05, 0.02, 0.2)
    probe.hurry(10.05, health)
    assert not probe.due(10.05)
    assert probe.deadline() == 10.1


def test_while_up_an_options_has_as_long_as_a_call_would_and_later_more() -> None:
    health, probe = health_in(State.UP), Probe(ProbeRules(10.0, 2.0), Chance(1), 0.0)
    probe.mute = False
    probe.sent(1.0, health, 0.8)
    assert probe.overdue(1.8)
    assert probe.failed("", 1.8) == Evidence(Sign.PROBE_FAILED, "no answer within 800 ms", sent_at=1.0)
    probe.sent(2.0, health_in(State.SUSPECT), 0.8)
    assert probe.deadline() == 4.0 + GRACE
    probe.forget()
    slow = Health(HealthRules(quick=False), 0.0)
    probe.sent(5.0, slow, 0.8)
    assert probe.deadline() == 7.0 + GRACE


def test_loss_is_counted_over_the_last_twenty() -> None:
    health, probe = health_in(State.UP), Probe(ProbeRules(), Chance(1), 0.0)
    assert probe.loss_ratio == 0.0
    for number in range(40):
        probe.sent(float(number), health)
        probe.answered(200 if number % 4 else 503, "", 0.0, number + 0.1)
    assert probe.loss_ratio == 0.25
    assert probe.results.maxlen == 20
    assert "25% of 20 lost" in repr(probe)


def test_where_none_is_ever_sent_nothing_brings_one_nearer() -> None:
    probe = Probe(ProbeRules(OFF), Chance(1), 0.0)
    probe.hurry(1.0, health_in(State.SUSPECT))
    probe.again(1.0)
    probe.confirm(1.0, 0.02, 0.3)
    assert (probe.due(1e9), probe.overdue(1e9), probe.deadline(), probe.quick) == (False, False, None, False)
