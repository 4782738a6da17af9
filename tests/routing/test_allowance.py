"""How often somebody may: by source, in total, and with bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.routing import Allowance, site
from sipfailover.routing.allowance import SOURCES_MAX


def granted(allowance: Allowance, source: str, now: float, tries: int = 100) -> int:
    return sum(allowance.take(source, now) for _ in range(tries))


def test_a_source_has_its_burst_and_then_one_at_a_time() -> None:
    allowance = Allowance(5, 60.0)
    assert granted(allowance, "a", 0.0) == 5
    assert granted(allowance, "a", 59.9) == 0
    assert granted(allowance, "a", 60.1) == 1
    assert granted(allowance, "a", 60.1 + 5 * 60) == 5, "no more than the burst is saved up"


def test_sources_do_not_take_from_each_other() -> None:
    allowance = Allowance(5, 60.0)
    assert granted(allowance, "a", 0.0) == 5
    assert granted(allowance, "b", 0.0) == 5


def test_looking_takes_nothing() -> None:
    allowance = Allowance(1, 60.0)
    assert all(allowance.may("a", 0.0) for _ in range(10))
    assert allowance.take("a", 0.0)
    assert not allowance.may("a", 0.0)


def test_all_together_have_a_bound_too() -> None:
    allowance = Allowance(5, 60.0, 10, 0.5)
    assert sum(allowance.take(f"source {number}", 0.0) for number in range(100)) == 10
    assert sum(allowance.take(f"other {number}", 5.0) for number in range(100)) == 10
    assert sum(allowance.take(f"further {number}", 5.6) for number in range(100)) == 1


def test_who_is_refused_takes_nothing_from_the_others() -> None:
    allowance = Allowance(1, 60.0, 10, 0.5)
    assert granted(allowance, "greedy", 0.0, 1000) == 1
    assert sum(allowance.take(f"source {number}", 0.0) for number in range(100)) == 9


def test_memory_has_a_bound_and_is_given_back() -> None:
    allowance = Allowance(1, 60.0)
    assert sum(allowance.take(f"source {number}", 0.0) for number in range(SOURCES_MAX + 100)) == SOURCES_MAX
    assert len(allowance) == SOURCES_MAX
    assert allowance.take("late", 60.0), "the others have all their tokens again"
    assert len(allowance) == 1


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::9%eth0", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ],
)
def test_an_ipv6_site_is_one_source(host: str, counted: str) -> None:
    assert site(host) == counted


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=80), st.integers(1, 5), st.floats(0.1, 5))
def test_nobody_ever_gets_more_than_is_said(steps: list[tuple[str, float]], burst: int, every: float) -> None:
    allowance, now, got = Allowance(burst, every), 0.0, dict.fromkeys("abc", 0)
    for source, pause in steps:
        now += pause
        got[source] += allowance.take(source, now)
    assert all(number <= burst + now / every + 1e-6 for number in got.values())


def test_when_there_is_no_room_who_can_be_forgotten_is_looked_for_seldom() -> None:
    """From forged addresses each datagram is a new source: to look through all of them each time was the attack."""
    allowance = Allowance(1, 60.0)
    for number in range(SOURCES_MAX):
        assert allowance.take(str(number), 0.0)
    kept = allowance._full_at
    assert not allowance.take("new", 1.0)
    looked = allowance._full_at
    assert looked is not kept
    for number in range(100):
        assert not allowance.take(f"forged {number}", 1.5)
    assert allowance._full_at is looked, "nobody was looked for"
    assert allowance.take("new", 61.0)
