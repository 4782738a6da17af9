"""Who a source is."""

import pytest

from sipfailover.routing import Admission, Peer
from sipfailover.routing.admission import ADDRESSES_MAX, SEEN_MAX

PBX, MAIN, BACKUP = Peer("pbx", "pbx"), Peer("trunk", "main"), Peer("trunk", "backup")


def admission() -> Admission:
    made = Admission()
    made.learn(MAIN, [("192.0.2.1", 5060)])
    made.learn(PBX, [("10.0.0.1", 5060)])
    made.learn(BACKUP, [("2001:db8:0::1", 5060)])
    return made


def test_peers_are_known_by_their_addresses_and_strangers_are_not() -> None:
    known = admission()
    assert known.who("10.0.0.1", 5060) == PBX
    assert known.who("10.0.0.1", 49152) == PBX, "TCP comes from any port"
    assert known.who("192.0.2.1", 5060) == MAIN
    assert known.who("198.51.100.1", 5060) is None


@pytest.mark.parametrize("host", ["2001:db8::1", "2001:DB8:0:0::1", "2001:db8::1%eth0"])
def test_an_ipv6_address_has_many_spellings(host: str) -> None:
    assert admission().who(host, 5060) == BACKUP


def test_ipv4_in_ipv6_is_ipv4() -> None:
    assert admission().who("::ffff:192.0.2.1", 5060) == MAIN


def test_peers_on_one_host_are_told_apart_by_port_and_the_pbx_goes_first() -> None:
    known = Admission()
    known.learn(MAIN, [("127.0.0.1", 5070)])
    known.learn(BACKUP, [("127.0.0.1", 5080)])
    known.learn(PBX, [("127.0.0.1", 5090)])
    assert known.who("127.0.0.1", 5080) == BACKUP
    assert known.who("127.0.0.1", 5070) == MAIN
    assert known.who("127.0.0.1", 40000) == PBX


def test_old_addresses_stay_known_for_calls_that_go_on() -> None:
    known = admission()
    known.learn(MAIN, [("192.0.2.2", 5060)])
    assert known.who("192.0.2.2", 5060) == MAIN
    assert known.who("192.0.2.1", 5060) == MAIN
    known.learn(MAIN, [(f"192.0.2.{100 + number}", 5060) for number in range(ADDRESSES_MAX)])
    assert known.who("192.0.2.1", 5060) is None, "but not without end"


def test_a_forgotten_peer_is_a_stranger() -> None:
    known = admission()
    known.forget(MAIN)
    assert known.who("192.0.2.1", 5060) is None
    assert known.who("10.0.0.1", 5060) == PBX


class TestNetworks:
    def test_an_address_goes_before_a_network_and_a_longer_network_before_a_shorter_one(self) -> None:
        known = Admission()
        known.lives_in(BACKUP, ["203.0.0.0/16", "2001:db8::/32"])
        known.lives_in(MAIN, ["203.0.113.0/24", "2001:db8:1::/48"])
        known.learn(PBX, [("203.0.113.7", 5060)])
        assert known.who("203.0.1.1", 5060) == BACKUP
        assert known.who("203.0.113.8", 5060) == MAIN
        assert known.who("203.0.113.7", 40000) == PBX
        assert known.who("2001:db8:2::1", 5060) == BACKUP
        assert known.who("2001:DB8:1::1%eth0", 5060) == MAIN
        assert known.who("::ffff:203.0.113.8", 5060) == MAIN
        assert known.who("203.1.0.0", 5060) is None

    def test_a_pbx_goes_before_a_trunk_in_the_same_network(self) -> None:
        known = Admission()
        known.lives_in(MAIN, ["10.0.0.0/8"])
        known.lives_in(PBX, ["10.0.0.0/8"])
        assert known.who("10.9.9.9", 5060) == PBX

    def test_one_address_is_a_network_too(self) -> None:
        known = Admission()
        known.lives_in(MAIN, ["198.51.100.7/32"])
        assert known.who("198.51.100.7", 1234) == MAIN
        assert known.who("198.51.100.6", 1234) is None
        assert known.knows("198.51.100.7")

    def test_what_was_found_in_a_network_is_remembered_with_a_bound_and_strangers_are_not(self) -> None:
        known = Admission()
        known.lives_in(MAIN, ["10.0.0.0/8"])
        for port in range(SEEN_MAX + 10):
            assert known.who("10.1.1.1", port) == MAIN
            assert known.who("192.0.2.1", port) is None
        assert 0 < len(known._seen) <= SEEN_MAX
        assert all(host == "10.1.1.1" for host, _ in known._seen)

    def test_what_is_remembered_is_forgotten_when_anything_changes(self) -> None:
        known = Admission()
        known.lives_in(MAIN, ["10.0.0.0/8"])
        assert known.who("10.1.1.1", 5060) == MAIN
        known.learn(PBX, [("10.1.1.1", 5060)])
        assert known.who("10.1.1.1", 5060) == PBX
        known.forget(PBX)
        assert known.who("10.1.1.1", 5060) == MAIN
        known.forget(MAIN)
        assert known.who("10.1.1.1", 5060) is None


class TestRegisteredSources:
    PUBLIC = "85.7.8.9"

    def test_a_pbx_is_known_while_it_is_registered(self) -> None:
        known = admission()
        other = Peer("pbx", "telephone")
        known.registered(other, [("10.0.0.77", 5060)])
        assert known.who("10.0.0.77", 5060) == other
        assert known.who("10.0.0.77", 40000) == other, "a private address is one machine"
        known.registered(other, [("10.0.0.78", 5060)])
        assert known.who("10.0.0.77", 5060) is None
        known.registered(other, [])
        assert known.who("10.0.0.78", 5060) is None

    def test_at_a_public_address_only_the_port_is_known_because_there_may_be_others_behind_the_nat(self) -> None:
        known = admission()
        known.registered(PBX, [(self.PUBLIC, 40001)])
        assert known.who(self.PUBLIC, 40001) == PBX
        assert known.who(self.PUBLIC, 40002) is None
        assert known.knows(self.PUBLIC), "but room is kept for its connections"

    def test_who_registered_goes_before_who_has_the_address(self) -> None:
        known = admission()
        telephone = Peer("pbx", "telephone")
        known.registered(telephone, [("192.0.2.1", 5060)])
        assert known.who("192.0.2.1", 5060) == telephone
        known.registered(telephone, [])
        assert known.who("192.0.2.1", 5060) == MAIN


def test_who_has_left_is_known_at_its_addresses_unless_somebody_in_the_file_is_there() -> None:
    known = admission()
    known.lives_in(MAIN, ["198.51.100.0/24"])
    left, left_later = MAIN._replace(left=1), BACKUP._replace(left=2)
    known.leaves(MAIN, left)
    assert known.who("192.0.2.1", 5060) == left
    assert known.who("198.51.100.9", 5060) == left, "and in its networks"
    known.learn(MAIN, [("192.0.2.1", 5070)])
    assert known.who("192.0.2.1", 5060) == left, "it is told by its port"
    assert known.who("192.0.2.1", 5070) == MAIN
    assert known.who("192.0.2.1", 40000) == MAIN
    known.learn(BACKUP, [("192.0.2.1", 5060)])
    assert known.who("192.0.2.1", 5060) == BACKUP
    known.leaves(BACKUP, left_later)
    assert known.who("192.0.2.1", 5060) == left_later, "who left last"
    known.forget(left)
    assert known.who("198.51.100.9", 5060) is None


def test_a_pbx_that_has_left_is_known_where_it_registered_from() -> None:
    known = Admission()
    known.registered(PBX, [("198.51.100.77", 5062)])
    left = PBX._replace(left=1)
    known.leaves(PBX, left)
    assert known.who("198.51.100.77", 5062) == left
    known.registered(BACKUP._replace(role="pbx"), [("198.51.100.77", 5062)])
    assert known.who("198.51.100.77", 5062) == BACKUP._replace(role="pbx")
