"""Who hides the number: every way that telephones and PBXs have of saying so (RFC 3323, 3325)."""

import pytest

from sipfailover.trunk.privacy import ADDRESSES_MAX, addresses, asks_to_hide, is_anonymous, values, with_id
from tests.trunk.carrier import call

NUMBER = "<sip:0441112233@192.0.2.10>"


@pytest.mark.parametrize(
    ("from_", "headers", "hidden"),
    [
        (NUMBER, (), False),
        (NUMBER, ("Privacy: id",), True),
        (NUMBER, ("Privacy: ID;critical",), True),
        (NUMBER, ("privacy: header",), True),
        (NUMBER, ("Privacy: user",), True),
        (NUMBER, ("Privacy: critical",), True),
        (NUMBER, ("Privacy: history", "Privacy: id"), True),
        (NUMBER, ("Privacy: history",), False),
        (NUMBER, ("Privacy: session",), False),
        (NUMBER, ("Privacy: none",), False),
        (NUMBER, ("Privacy: none;id",), False),
        (NUMBER, ("Privacy:",), False),
        (NUMBER, ("Remote-Party-ID: <sip:1@x>;privacy=full",), True),
        (NUMBER, ('Remote-Party-ID: "A" <sip:1@x>;party=calling;privacy=URI',), True),
        (NUMBER, ("Remote-Party-ID: <sip:1@x>;privacy=off",), False),
        (NUMBER, ('Remote-Party-ID: "<sip:1@x>;privacy=full',), False),
        ('"Anonymous" <sip:anonymous@anonymous.invalid>', (), True),
        ("<sip:Anonymous@192.0.2.10>", (), True),
        ("<sip:restricted@unknown.INVALID;user=phone>", (), True),
        ("<sip:x@invalid>", (), True),
        ("<sip:x@invalid.example>", (), False),
        ("<tel:0441112233>", (), False),
    ],
)
def test_a_caller_hides_the_number_in_one_of_these_ways(from_: str, headers: tuple[str, ...], hidden: bool) -> None:
    request = call(from_, *headers)
    assert (is_anonymous(request.from_.uri) or asks_to_hide(request)) is hidden


@pytest.mark.parametrize(
    ("asked", "line"),
    [
        ([], b"Privacy: id"),
        ([b"id"], b"Privacy: id"),
        ([b"none"], b"Privacy: id"),
        ([b"user", b"history"], b"Privacy: user;history;id"),
        ([b"critical", b"id", b"header"], b"Privacy: header;id;critical"),
    ],
)
def test_id_is_asked_for_beside_what_was_asked_already(asked: list[bytes], line: bytes) -> None:
    assert with_id(asked) == line


def test_what_cannot_be_read_has_no_addresses() -> None:
    request = call(NUMBER, 'P-Asserted-Identity: "<sip:1@x>', "Privacy: a , b; c")
    assert addresses(request, b"p-asserted-identity") == []
    assert addresses(request, b"diversion") == []
    assert values(request) == [b"a", b"b", b"c"]


def test_more_addresses_than_there_can_be_are_not_read() -> None:
    for count, read in ((ADDRESSES_MAX, ADDRESSES_MAX), (ADDRESSES_MAX + 1, 0)):
        request = call(NUMBER, "P-Asserted-Identity: " + ", ".join(["<sip:1@x>"] * count))
        assert len(addresses(request, b"p-asserted-identity")) == read
