"""Flows and targets: what makes two of them the same peer, and how an operator reads them."""

from sipfailover.flow import TCP, TLS, UDP, Flow, Target

HERE = b"192.0.2.9:5060"


def test_the_key_of_a_peer_leaves_out_how_we_name_ourselves() -> None:
    assert Target(UDP, "192.0.2.1", 5060, HERE).peer == Target(UDP, "192.0.2.1", 5060, b"other:5060").peer
    assert Target(UDP, "192.0.2.1", 5060, HERE).peer != Target(TCP, "192.0.2.1", 5060, HERE).peer


def test_who_the_peer_must_prove_to_be_is_part_of_the_key() -> None:
    main, backup = (Target(TLS, "192.0.2.1", 5061, HERE, line=line) for line in ("main", "backup"))
    assert main.peer != backup.peer
    assert Flow(TLS, "192.0.2.1", 5061, HERE, connection=3, line="main").peer == main.peer


def test_each_transport_has_its_port() -> None:
    assert [Target(transport, "192.0.2.1", 1, HERE).default_port for transport in (UDP, TCP, TLS)] == [5060, 5060, 5061]


def test_only_udp_needs_repeating() -> None:
    assert not Target(UDP, "192.0.2.1", 5060, HERE).reliable
    assert Target(TCP, "192.0.2.1", 5060, HERE).reliable


def test_another_address_keeps_the_path() -> None:
    flow = Flow(TCP, "192.0.2.1", 5060, HERE, connection=3)
    assert flow.at("192.0.2.2", 5070) == Flow(TCP, "192.0.2.2", 5070, HERE, connection=3)


def test_it_reads_as_an_operator_writes_it() -> None:
    assert str(Target(UDP, "192.0.2.1", 5060, HERE)) == "udp 192.0.2.1:5060"
    assert str(Target(TCP, "2001:db8::1", 5061, HERE)) == "tcp [2001:db8::1]:5061"
