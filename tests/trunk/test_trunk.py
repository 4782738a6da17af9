"""Orders and observations of one trunk, and its addresses."""

from sipfailover.chance import Chance
from sipfailover.flow import Target
from sipfailover.trunk import Evidence, HealthRules, Order, ProbeRules, Sign, Trunk

ONE = Target("udp", "192.0.2.1", 5060, b"192.0.2.9:5060")
TWO = ONE.at("192.0.2.2", 5060)


def trunk() -> Trunk:
    return Trunk("berlin", 1, HealthRules(down_after=1), ProbeRules(), 4.0, Chance(1), 0.0)


def test_usable_is_made_of_order_address_and_health() -> None:
    berlin = trunk()
    assert not berlin.usable, "no address yet"
    berlin.resolved((ONE,))
    assert berlin.usable
    assert berlin.carries_new_calls
    berlin.order = Order.DRAINING
    assert not berlin.usable
    berlin.order = Order.ENABLED
    berlin.health.observe(Evidence(Sign.PROBE_FAILED, "no answer within 2 s"), 1.0)
    assert not berlin.usable
    state = "DOWN since 1.000, 0/3 good, 1 check failed (no answer within 2 s)"
    assert repr(berlin) == f"<Trunk berlin {state}, enabled, 0 calls, at udp 192.0.2.1:5060>"
    assert berlin.story(3.0).startswith("berlin (tier 1, enabled) at udp 192.0.2.1:5060: Down for 2 s, 1 check failed")


def test_the_last_good_addresses_are_kept() -> None:
    berlin = trunk()
    assert berlin.where() == "its name has not been resolved yet"
    berlin.resolved((), "name server does not answer")
    assert berlin.target is None
    berlin.resolved((ONE, TWO))
    assert (berlin.target, berlin.where()) == (ONE, "udp 192.0.2.1:5060")
    berlin.resolved((), "name server does not answer")
    assert berlin.target == ONE
    assert berlin.where() == "udp 192.0.2.1:5060 (last good, name server does not answer)"


def test_a_trunk_that_is_gone_keeps_no_address() -> None:
    berlin = trunk()
    berlin.resolved((ONE, TWO))
    berlin.gone("no such name")
    assert (berlin.target, berlin.targets, berlin.where(), berlin.usable) == (None, (), "no such name", False)


def test_an_address_that_fails_gives_way_to_the_next() -> None:
    berlin = trunk()
    berlin.resolved((ONE, TWO))
    assert berlin.addresses.failed(ONE, "no answer", 1.0)
    assert berlin.target == TWO
    assert berlin.addresses.failed(ONE, "no answer", 2.0)
    assert berlin.target == TWO, "a second call that failed there says nothing new"
    berlin.resolved((ONE, TWO))
    assert berlin.target == TWO, "the one in use stays"
    berlin.resolved((ONE,))
    assert berlin.target == ONE


def test_the_clock_is_the_configured_one_until_measured() -> None:
    berlin = trunk()
    assert berlin.no_answer().bound == 4.0
    berlin.roundtrip.observe(0.02)
    assert berlin.no_answer().bound == 0.8


def test_fixed_clocks_are_the_configured_ones_whatever_was_measured() -> None:
    berlin = trunk()
    berlin.clocks_fixed = True
    for _ in range(20):
        berlin.roundtrip.observe(0.02)
        berlin.setup.observe(1.0)
    assert berlin.no_answer() == (4.0, 0.5)
    assert berlin.no_answer(2.0) == (2.0, 2.0 / 4.5)
    assert berlin.no_ringing(12.0) == 12.0
    berlin.clocks_fixed = False
    assert (berlin.no_answer().bound, berlin.no_ringing(12.0)) == (0.8, 6.0)
