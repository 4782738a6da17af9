"""Who a source is."""

import pytest

from sipfailover.routing import Admission, Peer
from sipfailover.routing.admission import ADDRESSES_MAX

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
