"""New calls while we are behind: whose go on, how many, from when and until when."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.routing import LOAD_SOURCES_MAX, Load
from sipfailover.routing.load import BURST_MIN, CALM, LATE, OVER_AFTER, SHARE_MIN, share_of

LOOK = 0.1


class Office:
    """Sources that want so many calls a second, and a service that can begin `can` of them."""

    def __init__(self, can: float, **wants: float) -> None:
        self.load = Load(0.0)
        self.can = can
        self.wants = wants
        self.now = 0.0
        self.waiting = 0.0
        """Calls that were let in and not worked off."""
        self.let_in: dict[str, int] = {}
        self.turns: list[bool] = []

    def live(self, seconds: float) -> None:
        self.let_in = dict.fromkeys(self.wants, 0)
        for step in range(round(seconds / LOOK)):
            self.now += LOOK
            for source, want in self.wants.items():
                before, until = round(want * LOOK * step), round(want * LOOK * (step + 1))
                for number in range(until - before):
                    at = self.now - LOOK + LOOK * number / (until - before)
                    if self.load.may(source, at):
                        self.let_in[source] += 1
                        self.waiting += 1
            self.waiting = max(0.0, self.waiting - self.can * LOOK)
            if self.load.look(self.waiting / self.can, self.now):
                self.turns.append(self.load.rate is not None)


def test_as_long_as_we_keep_up_every_call_begins() -> None:
    office = Office(500, a=400, b=50)
    office.live(10)
    assert office.let_in == {"a": 4000, "b": 500}
    assert office.turns == []


def test_a_source_gone_mad_takes_nothing_from_one_that_wants_little() -> None:
    office = Office(500, mad=8000, office=20)
    office.live(30)
    assert office.let_in["office"] == 600, "not one was refused"
    assert office.turns == [True]
    office.live(30)
    office.live(30)
    assert office.let_in["office"] == 600
    assert office.let_in["mad"] == pytest.approx(SHARE_MIN * 30, rel=0.1), "beyond help"
    assert office.waiting < 10


def test_who_wants_more_than_there_is_gets_what_there_is() -> None:
    office = Office(500, a=1200, b=20)
    office.live(10)
    office.live(30)
    assert office.let_in["b"] == 600
    assert 0.6 * 480 * 30 < office.let_in["a"] < 1.1 * 480 * 30


def test_who_comes_to_its_senses_gets_its_share() -> None:
    office = Office(500, a=20_000)
    office.live(10)
    office.wants["a"] = 300
    office.live(5)
    office.live(10)
    assert office.let_in["a"] == 3000


def test_it_is_over_within_two_seconds_after_the_flood() -> None:
    office = Office(500, mad=8000, office=20)
    office.live(20)
    assert office.load.rate is not None
    office.wants["mad"] = 0.0
    office.live(2.0)
    assert office.load.rate is None
    assert office.turns[-1] is False


def test_calls_are_not_let_in_as_they_come_before_all_fits_for_a_while() -> None:
    load = Load(0.0)
    for _ in range(100):
        load.may("a", 0.05)
    assert load.look(LATE, LOOK)
    assert not load.look(0.0, 2 * LOOK)
    assert not load.look(0.0, 3 * LOOK)
    assert not load.look(0.0, 2 * LOOK + OVER_AFTER - 0.01)
    steps = (3 * LOOK + OVER_AFTER + step * LOOK for step in range(20))
    assert any(load.look(0.0, now) for now in steps)


def test_between_late_and_calm_nothing_changes() -> None:
    load = Load(0.0)
    load.look(LATE, LOOK)
    rate = load.rate
    load.look((LATE + CALM) / 2, 2 * LOOK)
    assert load.rate == rate


def test_nobody_is_cut_below_the_smallest_share_however_late_we_are() -> None:
    office = Office(1, a=SHARE_MIN - 1, b=500)
    office.live(20)
    assert office.let_in["a"] == round((SHARE_MIN - 1) * 20)
    late = Load(0.0)
    for step in range(1, 100):
        late.look(10.0, step * LOOK)
    assert late.share == SHARE_MIN


def test_calls_that_waited_because_we_had_no_cpu_begin_all_at_once() -> None:
    load = Load(0.0)
    for _ in range(5000):
        load.may("mad", 0.0)
    for step in range(1, 16):
        load.look(2.0, step * LOOK)
    assert load.share < 2 * SHARE_MIN
    assert all(load.may("office", 16 * LOOK) for _ in range(BURST_MIN)), "three seconds of a quiet PBX"
    assert not load.may("office", 16 * LOOK)


def test_two_that_want_too_much_get_the_same() -> None:
    office = Office(500, a=2000, b=1500)
    office.live(30)
    assert 0.8 < office.let_in["a"] / office.let_in["b"] < 1.25


def test_sources_have_a_bound_and_are_forgotten() -> None:
    load = Load(0.0)
    for number in range(LOAD_SOURCES_MAX + 50):
        assert load.may(str(number), 0.0)
    load.look(0.0, LOOK)
    assert load.sources == LOAD_SOURCES_MAX + 1
    for step in range(2, 20):
        load.look(0.0, step * LOOK)
    assert load.sources == 0


def test_a_clock_that_stands_still_changes_nothing() -> None:
    load = Load(1.0)
    assert not load.look(10.0, 1.0)
    assert load.rate is None


@pytest.mark.parametrize(
    ("rate", "wanted", "level"),
    [(100, [10, 500], 90), (100, [500, 500], 50), (100, [10, 20, 500, 500], 35), (100, [10, 20], 90), (100, [], 100)],
)
def test_the_level_of_a_fair_share(rate: float, wanted: list[float], level: float) -> None:
    assert share_of(rate, wanted) == pytest.approx(level)


@given(st.floats(1, 10_000), st.lists(st.floats(0, 10_000), min_size=1, max_size=20))
def test_the_rate_is_used_up_and_not_exceeded(rate: float, wanted: list[float]) -> None:
    level = share_of(rate, wanted)
    given_out = sum(min(want, level) for want in wanted)
    assert given_out == pytest.approx(min(rate, sum(wanted)), rel=1e-6, abs=1e-6)


def test_what_is_kept_from_us_of_a_source_gone_mad_still_counts() -> None:
    """Else it would seem to have come to its senses as soon as the door is shut, and the door would be opened."""
    load = Load(0.0)
    now = 0.0

    def live(comes: int, seen: float, behind: float = 0.0) -> None:
        nonlocal now
        for _ in range(comes):
            load.may("a", now)
        now += LOOK
        load.look(behind, now, seen)

    for _ in range(5):
        live(2000, 1.0, LATE)
    assert load.mad == {"a"}
    before = load.from_mad
    for _ in range(10):
        live(200, 0.1)
    assert load.mad == {"a"}, "a tenth of 20,000 a second comes to us"
    assert load.from_mad - before == 10 * 200
    for _ in range(30):
        live(2, 1.0)
    assert load.mad == frozenset()
    assert load.rate is None
