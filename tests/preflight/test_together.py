"""What trunks share and should not."""

from sipfailover.preflight.report import Result
from sipfailover.preflight.together import Place, compare

OURS, THEIRS = frozenset({"ns1.a.example"}), frozenset({"ns1.b.example"})


def place(name: str, *hosts: str, servers: frozenset[str] = frozenset()) -> Place:
    return Place(name, hosts, servers)


def test_trunks_that_are_apart() -> None:
    (step,) = compare([place("main", "198.51.100.7", servers=OURS), place("backup", "203.0.113.7", servers=THEIRS)])
    assert step.result is Result.GOOD


def test_the_same_address_the_same_network_and_the_same_name_servers() -> None:
    steps = list(
        compare([
            place("main", "198.51.100.7", "203.0.113.1", servers=OURS),
            place("backup", "203.0.113.9", servers=OURS),
            place("third", "203.0.113.9", servers=THEIRS),
        ])
    )  # fmt: skip
    assert [step.text for step in steps] == [
        "main and backup are both in 203.0.113.0/24",
        "main and backup have the same name servers: ns1.a.example",
        "main and third are both in 203.0.113.0/24",
        "backup and third are both at 203.0.113.9",
    ]
    assert {step.result for step in steps} == {Result.WARNING}


def test_trunks_without_names_are_not_said_to_share_name_servers() -> None:
    (step,) = compare([place("main", "198.51.100.7"), place("backup", "203.0.113.7")])
    assert step.result is Result.GOOD


def test_a_trunk_alone_has_nothing_to_share() -> None:
    assert list(compare([place("main", "198.51.100.7")])) == []
    assert list(compare([])) == []


def test_a_trunk_without_addresses_shares_none() -> None:
    (step,) = compare([place("main"), place("backup", "203.0.113.7")])
    assert step.result is Result.GOOD
