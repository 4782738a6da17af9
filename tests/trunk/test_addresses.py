"""The addresses of one trunk: which is used, for how long one that fails is avoided, when it is used again."""

from dataclasses import replace

import pytest
from hypothesis import settings, strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sipfailover.flow import Target
from sipfailover.trunk import Addresses
from sipfailover.trunk.addresses import (
    AVOIDED_FIRST,
    AVOIDED_LONGEST,
    FORGIVEN_AFTER,
    HOME_AFTER,
    IN_ONE_CALL,
)
from sipfailover.trunk.counters import RETRY_AFTER_MAX

ONE = Target("udp", "192.0.2.1", 5060, b"192.0.2.9:5060")
TWO = ONE.at("192.0.2.2", 5060)
THREE = ONE.at("192.0.2.3", 5060)
SECOND = replace(TWO, priority=20)
"""TWO with a worse SRV priority than ONE."""


def known(*targets: Target) -> Addresses:
    addresses = Addresses()
    addresses.resolved(targets)
    return addresses


# -- what DNS says ----------------------------------------------------------------------------------------------------


def test_the_first_is_used_and_nothing_without_any() -> None:
    assert Addresses().current is None
    assert known(ONE, TWO).current == ONE
    assert known(ONE, TWO).targets == (ONE, TWO)


def test_the_one_in_use_stays_while_it_exists() -> None:
    addresses = known(ONE, TWO, THREE)
    addresses.resolved((THREE, TWO, ONE))
    assert (addresses.current, addresses.targets) == (ONE, (THREE, TWO, ONE))
    addresses.resolved((THREE, TWO))
    assert addresses.current == THREE
    addresses.resolved(())
    assert (addresses.current, addresses.targets) == (None, ())


def test_the_address_in_use_stays_when_our_own_moves() -> None:
    addresses = known(TWO, ONE)
    addresses.failed(TWO, "no answer", 1.0)
    moved = replace(ONE, sent_by=b"192.0.2.77:5060", local="192.0.2.77")
    addresses.resolved((replace(TWO, sent_by=b"192.0.2.77:5060"), moved), 2.0)
    assert addresses.current == moved


def test_what_was_seen_is_kept_over_a_refresh() -> None:
    addresses = known(ONE, TWO, THREE)
    addresses.failed(TWO, "no answer", 1.0)
    addresses.resolved((TWO, THREE), 2.0)
    assert addresses.current == THREE, "TWO is avoided"
    assert addresses.others([]) == (THREE, TWO)


def test_one_address_named_twice_is_one() -> None:
    addresses = known(ONE, replace(ONE, priority=9), TWO)
    assert addresses.targets == (ONE, TWO)
    assert addresses.targets[0].priority == 0


# -- failing and answering --------------------------------------------------------------------------------------------


def test_one_that_fails_gives_way_and_is_avoided_for_a_while() -> None:
    addresses = known(ONE, TWO)
    assert addresses.failed(ONE, "no answer", 10.0), "TWO is left"
    assert addresses.current == TWO
    assert addresses.story(12.0) == (
        "0 of 2 addresses answer, 1 not asked yet; udp 192.0.2.1:5060 avoided for 28 s: no answer"
    )
    one = addresses.known[0]
    assert one.avoided(10.0 + AVOIDED_FIRST - 0.01)
    assert not one.avoided(10.0 + AVOIDED_FIRST)


def test_the_only_address_is_never_avoided() -> None:
    addresses = known(ONE)
    for at in range(5):
        assert not addresses.failed(ONE, "no answer", float(at)), "nothing else is left"
    assert (addresses.current, addresses.others([]), addresses.story(9.0)) == (ONE, (ONE,), "")
    assert not addresses.known[0].avoided(4.0)


def test_of_many_that_all_fail_the_one_that_failed_longest_ago_is_used() -> None:
    addresses = known(ONE, TWO, THREE)
    left = [addresses.failed(target, "no answer", at) for at, target in enumerate((ONE, TWO, THREE))]
    assert left == [True, True, False]
    used = []
    for at in range(3, 9):
        assert addresses.current is not None
        used.append(addresses.current)
        assert not addresses.failed(addresses.current, "no answer", float(at)), "all are bad: the trunk is"
    assert used == [ONE, TWO, THREE, ONE, TWO, THREE]


def test_ten_calls_that_meet_one_dead_address_are_one_failure() -> None:
    addresses = known(ONE, TWO)
    for number in range(10):
        addresses.failed(ONE, "no answer", 10.0 + number / 10)
    one = addresses.known[0]
    assert (one.failures, one.avoided_until) == (1, 10.0 + AVOIDED_FIRST)
    assert addresses.current == TWO


def test_each_relapse_doubles_up_to_a_bound() -> None:
    addresses, at, waits = known(ONE, TWO), 0.0, []
    for _ in range(8):
        addresses.failed(ONE, "no answer", at)
        waits.append(addresses.known[0].avoided_until - at)
        at = addresses.known[0].avoided_until
    assert waits[:4] == [30.0, 60.0, 120.0, 240.0]
    assert waits[-1] == AVOIDED_LONGEST


def test_a_good_answer_ends_the_avoiding_and_a_good_call_forgets_the_failures() -> None:
    addresses = known(ONE, TWO)
    addresses.failed(ONE, "no answer", 0.0)
    addresses.good(ONE, 5.0, probe=True, round_trip=0.02)
    one = addresses.known[0]
    assert (one.avoided(5.0), one.failures, one.why, one.round_trip) == (False, 1, "", 0.02)
    assert addresses.current == TWO, "nothing is wrong with the one in use"
    addresses.good(ONE, 6.0)
    assert one.failures == 0
    assert addresses.story(7.0) == "1 of 2 addresses answer, 1 not asked yet"


def test_a_good_probe_forgets_old_failures() -> None:
    addresses = known(ONE, TWO)
    addresses.failed(ONE, "no answer", 0.0)
    addresses.good(ONE, FORGIVEN_AFTER - 1.0, probe=True)
    assert addresses.known[0].failures == 1
    addresses.good(ONE, FORGIVEN_AFTER, probe=True)
    assert addresses.known[0].failures == 0


def test_the_first_that_answers_is_used_when_all_were_bad() -> None:
    addresses = known(ONE, TWO, THREE)
    for target in (ONE, TWO, THREE):
        addresses.failed(target, "no answer", 1.0)
    addresses.good(THREE, 2.0, probe=True)
    assert addresses.current == THREE


def test_retry_after_is_honoured_for_the_address_and_no_probe_ends_it() -> None:
    addresses = known(ONE, TWO)
    assert addresses.failed(ONE, "503 Busy", 10.0, retry_after=45.0)
    one = addresses.known[0]
    assert one.avoided_until == 55.0
    addresses.good(ONE, 20.0, probe=True)
    assert one.avoided(54.9)
    addresses.good(ONE, 55.0, probe=True)
    assert one.avoided_until == 0.0
    addresses.failed(ONE, "503 Busy", 100.0, retry_after=1e9)
    assert one.avoided_until == 100.0 + RETRY_AFTER_MAX
    addresses.good(ONE, 101.0)
    assert not one.avoided(101.0), "a call that it carries says more than what it asked for"


def test_an_address_that_is_gone_says_nothing() -> None:
    addresses = known(ONE, TWO)
    assert addresses.failed(THREE, "no answer", 1.0)
    addresses.good(THREE, 1.0)
    addresses.use(THREE)
    assert addresses.current == ONE
    assert not known().failed(ONE, "no answer", 1.0)


# -- one ladder -------------------------------------------------------------------------------------------------------


def test_a_call_tries_those_without_a_stain_first_and_then_the_others() -> None:
    addresses = known(ONE, TWO, THREE)
    addresses.failed(TWO, "no answer", 0.0)
    assert addresses.others([]) == (ONE, THREE, TWO)
    assert addresses.others([ONE.peer]) == (THREE, TWO)
    assert addresses.others([ONE.peer, THREE.peer]) == (TWO,)
    assert addresses.others([ONE.peer, TWO.peer, THREE.peer]) == ()


def test_a_call_tries_no_more_than_its_bound() -> None:
    many = [ONE.at(f"192.0.2.{number}", 5060) for number in range(1, 33)]
    addresses, tried = known(*many), []
    while rest := addresses.others([target.peer for target in tried]):
        tried.append(rest[0])
    assert tried == many[:IN_ONE_CALL]


# -- going back -------------------------------------------------------------------------------------------------------


def test_a_better_priority_is_used_again_after_it_was_well_for_a_while() -> None:
    addresses = known(ONE, SECOND)
    addresses.failed(ONE, "no answer", 0.0)
    assert addresses.current == SECOND
    for number in range(HOME_AFTER):
        assert addresses.better(31.0) is None
        addresses.good(ONE, 5.0 + number, probe=True)
    assert addresses.better(AVOIDED_FIRST - 0.1) is None, "it answers, but the time is not over"
    assert addresses.better(AVOIDED_FIRST) == ONE
    assert addresses.current == SECOND, "who asks decides when"
    addresses.use(ONE)
    assert addresses.current == ONE
    assert addresses.better(99.0) is None


def test_it_goes_back_later_after_each_relapse() -> None:
    addresses, at = known(ONE, SECOND), 0.0
    for wait in (30.0, 60.0, 120.0):
        addresses.failed(ONE, "no answer", at)
        for number in range(HOME_AFTER):
            addresses.good(ONE, at + number, probe=True)
        assert addresses.better(at + wait - 0.1) is None
        at += wait
        better = addresses.better(at)
        assert better is not None
        addresses.use(better)


def test_among_equals_it_stays() -> None:
    addresses = known(ONE, TWO)
    addresses.failed(ONE, "no answer", 0.0)
    for number in range(10):
        addresses.good(ONE, 100.0 + number, probe=True)
    assert (addresses.better(200.0), addresses.current) == (None, TWO)


def test_a_new_address_of_a_better_priority_is_used_once_it_has_proved_itself() -> None:
    addresses = known(SECOND)
    addresses.resolved((ONE, SECOND), 1.0)
    assert (addresses.current, addresses.better(2.0)) == (SECOND, None)
    for number in range(HOME_AFTER):
        addresses.good(ONE, 2.0 + number, probe=True)
    assert addresses.better(9.0) == ONE


# -- asking the others ------------------------------------------------------------------------------------------------


def test_the_others_are_asked_one_after_the_other() -> None:
    addresses, asked = known(ONE, TWO, THREE), []
    for at in range(0, 100, 2):
        target = addresses.to_ask(float(at))
        if target is not None:
            asked.append((at, target))
            addresses.asked(target, again_at=at + 30.0, quiet_until=at + 2.0)
    assert asked == [(at + 30 * turn, target) for turn in range(4) for at, target in ((0, TWO), (2, THREE))]
    assert addresses.ask_due() == 120.0
    assert known(ONE).ask_due() is None
    assert known().to_ask(0.0) is None


def test_one_that_asked_to_be_left_alone_is_left_alone() -> None:
    addresses = known(ONE, TWO)
    addresses.failed(TWO, "503 Busy", 0.0, retry_after=60.0)
    assert (addresses.to_ask(59.9), addresses.ask_due(), addresses.to_ask(60.0)) == (None, 60.0, TWO)


def test_the_story_names_some_and_counts_the_rest() -> None:
    many = [ONE.at(f"192.0.2.{number}", 5060) for number in range(1, 8)]
    addresses = known(*many)
    for target in many[1:]:
        addresses.failed(target, "port closed", 0.0)
    addresses.good(ONE, 1.0)
    story = addresses.story(1.0)
    assert story.startswith("1 of 7 addresses answer; udp 192.0.2.2:5060 avoided for 29 s: port closed; ")
    assert story.endswith("; and 3 more")
    assert "avoided" not in addresses.story(31.0)


@pytest.mark.parametrize(
    ("do", "text"),
    [
        (lambda addresses: None, "<udp 192.0.2.1:5060 unknown>"),
        (lambda addresses: addresses.good(ONE, 1.0), "<udp 192.0.2.1:5060 answers>"),
        (
            lambda addresses: addresses.failed(ONE, "no answer", 1.0),
            "<udp 192.0.2.1:5060 fails: no answer, avoided until 31.000>",
        ),
    ],
)
def test_a_repr_tells_what_is_known(do: object, text: str) -> None:
    addresses = known(ONE, TWO)
    do(addresses)  # type: ignore[operator]
    assert text in repr(addresses)


# -- whatever comes ---------------------------------------------------------------------------------------------------

POOL = [replace(ONE.at(f"192.0.2.{number}", 5060), priority=number % 3) for number in range(1, 8)]
TARGETS = strategies.sampled_from(POOL)
LISTS = strategies.lists(TARGETS, max_size=7, unique=True).map(tuple)


class AnyLife(RuleBasedStateMachine):
    """One trunk through whatever DNS, probes and calls say, in any order."""

    @initialize(said=LISTS)
    def begin(self, said: tuple[Target, ...]) -> None:
        self.now = 0.0
        self.addresses = known(*said)
        self.given = said

    @rule(said=LISTS)
    def resolves(self, said: tuple[Target, ...]) -> None:
        used = self.addresses.current
        self.addresses.resolved(said, self.now)
        self.given = said
        if used in said:
            assert self.addresses.current == used

    @rule(peer=TARGETS, retry_after=strategies.sampled_from([0.0, 0.0, 5.0, 1e9]))
    def fails(self, peer: Target, retry_after: float) -> None:
        used, several = self.addresses.current, len(self.given) > 1
        blameless = self.addresses.failed(peer, "no answer", self.now, retry_after)
        if used == peer and several:
            assert self.addresses.current != peer
        if used != peer:
            assert self.addresses.current == used
        if blameless and peer == used:
            kept = next(one for one in self.addresses.known if one.target == self.addresses.current)
            assert kept.answers is not False

    @rule(peer=TARGETS, probe=strategies.booleans())
    def answers(self, peer: Target, probe: bool) -> None:
        used = self.addresses.current
        bad = any(one.target == used and one.answers is False for one in self.addresses.known)
        self.addresses.good(peer, self.now, probe=probe)
        if not bad:
            assert self.addresses.current == used, "no hop while the one in use answers"

    @rule()
    def goes_home(self) -> None:
        used, better = self.addresses.current, self.addresses.better(self.now)
        if better is not None:
            assert used is not None
            assert better.priority < used.priority
            self.addresses.use(better)
            assert self.addresses.current == better

    @rule(seconds=strategies.sampled_from([0.1, 1.0, 29.0, 31.0, 700.0, 2000.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def the_others_are_asked(self) -> None:
        target = self.addresses.to_ask(self.now)
        if target is not None:
            assert target != self.addresses.current
            self.addresses.asked(target, self.now + 30.0, self.now + 2.0)
            assert self.addresses.to_ask(self.now) is None

    @invariant()
    def order_is_as_dns_said(self) -> None:
        assert self.addresses.targets == self.given

    @invariant()
    def one_is_always_usable(self) -> None:
        assert (self.addresses.current is None) == (not self.given)
        used = [one for one in self.addresses.known if one.target == self.addresses.current]
        assert all(one.avoided_until == 0.0 for one in used)

    @invariant()
    def nothing_is_avoided_for_ever(self) -> None:
        for one in self.addresses.known:
            assert one.avoided_until <= self.now + max(AVOIDED_LONGEST, RETRY_AFTER_MAX)

    @invariant()
    def a_ladder_is_bounded_and_tries_nothing_twice(self) -> None:
        tried: list[Target] = []
        while rest := self.addresses.others([peer.peer for peer in tried]):
            assert not set(rest) & set(tried)
            tried.append(rest[0])
        assert len(tried) == min(len(self.given), IN_ONE_CALL)


AnyLife.TestCase.settings = settings(max_examples=200, stateful_step_count=40, deadline=None)
TestAnyLife = AnyLife.TestCase
