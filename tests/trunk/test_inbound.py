"""How calls come in: every pair of the table, and its stories."""

from itertools import product

import pytest

from sipfailover.trunk import Change, Inbound, InboundSeen, State
from sipfailover.trunk.inbound import IGNORED, REMEMBERED, TABLE

UP, SUSPECT, DOWN = State.UP, State.SUSPECT, State.DOWN
WHAT = "answered, and ended by the network after 3 s"


def drop(inbound: Inbound, count: int, start: float = 1.0) -> list[Change | None]:
    """So many calls from different numbers die, one a second."""
    return [inbound.observe(InboundSeen.DROPPED, start + n, f"+4144{n:07}", WHAT) for n in range(count)]


def make(state: State) -> Inbound:
    inbound = Inbound(0.0)
    if state is SUSPECT:
        drop(inbound, 2)
    elif state is DOWN:
        inbound.observe(InboundSeen.UNREGISTERED, 1.0, what="no answer within 10 s")
    assert inbound.state is state
    return inbound


def test_every_pair_is_in_the_table_or_ignored_with_a_reason() -> None:
    assert TABLE.keys() | IGNORED.keys() == set(product((UP, SUSPECT, DOWN), InboundSeen))
    assert not TABLE.keys() & IGNORED.keys()
    assert all(IGNORED.values())


@pytest.mark.parametrize(
    ("state", "seen", "after"),
    [
        (UP, InboundSeen.LASTED, UP),
        (UP, InboundSeen.DROPPED, UP),
        (UP, InboundSeen.UNREGISTERED, DOWN),
        (SUSPECT, InboundSeen.LASTED, SUSPECT),
        (SUSPECT, InboundSeen.DROPPED, SUSPECT),
        (SUSPECT, InboundSeen.UNREGISTERED, DOWN),
        (SUSPECT, InboundSeen.TIME, SUSPECT),
        (DOWN, InboundSeen.CALLED, UP),
        (DOWN, InboundSeen.LASTED, DOWN),
        (DOWN, InboundSeen.DROPPED, DOWN),
        (DOWN, InboundSeen.UNREGISTERED, DOWN),
        (DOWN, InboundSeen.REGISTERED, UP),
        (DOWN, InboundSeen.TIME, DOWN),
    ],
)
def test_one_row(state: State, seen: InboundSeen, after: State) -> None:
    inbound = make(state)
    change = inbound.observe(seen, 20.0, "+41441234567", "x")
    assert inbound.state is after
    assert (change is None) is (after is state)
    assert change is None or (change.why and change.rule)


@pytest.mark.parametrize(("state", "seen"), list(IGNORED))
def test_ignored_sights_change_nothing(state: State, seen: InboundSeen) -> None:
    inbound = make(state)
    before = repr(inbound), inbound.deadline()
    assert inbound.observe(seen, 20.0) is None
    assert (repr(inbound), inbound.deadline()) == before


def test_answered_calls_that_die_one_after_the_other_are_seen_and_those_that_last_clear_it() -> None:
    inbound = Inbound(0.0)
    changes = [change for change in drop(inbound, 5) if change]
    assert [(change.after, change.rule) for change in changes] == [
        (SUSPECT, "half way, answered calls die"), (DOWN, "answered calls die"),
    ]  # fmt: skip
    assert changes[-1].why == f"4 calls that came in died: {WHAT}, within 3 s"
    assert len(changes[-1].evidence) == 1
    for call in range(40):
        inbound.observe(InboundSeen.LASTED, 10.0 + call)
    assert (inbound.state, inbound.why) == (UP, "")


def test_one_caller_who_hangs_up_again_and_again_means_nothing() -> None:
    inbound = Inbound(0.0)
    for second in range(50):
        inbound.observe(InboundSeen.DROPPED, float(second), "+41441111111", WHAT)
    assert inbound.state is UP


def test_a_lost_registration_is_told_with_its_reason_and_ends_with_the_next_one() -> None:
    inbound = make(DOWN)
    assert inbound.why == "our registration is lost, so calls that come in do not find us (no answer within 10 s)"
    assert inbound.deadline() is None, "only a registration, or a call, says that it is over"
    assert inbound.observe(InboundSeen.REGISTERED, 2.0) == Change(DOWN, UP, "registered again")


def test_a_call_that_comes_in_shows_that_calls_find_us() -> None:
    assert make(DOWN).observe(InboundSeen.CALLED, 2.0) == Change(DOWN, UP, "calls come in all the same")


def test_doubt_is_over_when_nothing_came_in_for_a_while() -> None:
    inbound = make(SUSPECT)
    assert inbound.deadline() == 2.0 + REMEMBERED
    change = inbound.observe(InboundSeen.TIME, 2.0 + REMEMBERED)
    assert change == Change(SUSPECT, UP, "no call that came in died for 15 min")
    assert inbound.deadline() is None
