"""Settings that are legal one by one and cannot work together, or work otherwise than their author thinks."""

from sipfailover.config import parse

TRUNKS = "trunks: [{name: main, host: 192.0.2.1}, {name: backup, host: 192.0.2.2}]\n"
GOOD = "pbx: 192.168.10.5\n" + TRUNKS


def warned(text: str) -> list[str]:
    return [f"{p.line}:{p.column} {p.path}: {p.text}" for p in parse(text).warnings]


def test_a_peer_whose_kind_of_address_we_do_not_have_deserves_a_look() -> None:
    assert warned(GOOD.replace("192.0.2.1}", '"2001:db8::1"}')) == [
        "2:29 trunks.0.host: no call can go there: 'listen' has no IPv6 address for udp; add one of this machine, as "
        "in udp [2001:db8::6]:5060"
    ]
    assert warned('listen: ["udp [::]:5060"]\n' + GOOD)[0] == (
        "2:6 pbx.0.host: no call can go there: 'listen' has no IPv4 address for udp; add one of this machine, as "
        "in udp 192.168.10.6:5060"
    )


def test_both_kinds_of_addresses_are_good_with_both_kinds_of_listeners() -> None:
    assert warned('listen: [udp 0.0.0.0:5060, "udp [::]:5060"]\n' + GOOD.replace("192.0.2.1}", '"2001:db8::1"}')) == []


def test_to_ring_the_person_called_again_deserves_a_look() -> None:
    assert warned(GOOD + "failover: {next_trunk_on: [404, 486]}\n") == [
        "3:33 failover.next_trunk_on.1: '486' is the answer of the person called, whose telephone will ring once more "
        "for each trunk"
    ]


def test_no_emergency_numbers_at_all_deserve_a_look() -> None:
    assert warned(GOOD + "emergency: {numbers: []}\n") == [
        "3:22 emergency.numbers: is empty: a call for help is then a call like any other"
    ]
