"""Names of headers: every spelling leads to one name, and that name is printed as the RFCs print it."""

import pytest

from sipfailover.wire.names import COMPACT, KNOWN, PRETTY, SINGLE, pretty


def test_every_usual_spelling_is_known() -> None:
    for name, printed in PRETTY.items():
        assert KNOWN[name] == KNOWN[printed] == KNOWN[printed.upper()] == name == printed.lower()
    for letter, name in COMPACT.items():
        assert KNOWN[letter] == KNOWN[letter.upper()] == name == name.lower()


def test_compact_forms_are_those_of_the_registry() -> None:
    """https://www.iana.org/assignments/sip-parameters, header fields, column "compact"."""
    assert "".join(letter.decode() for letter in COMPACT) == "abcdefijklmnorstuvxy"
    assert (COMPACT[b"v"], COMPACT[b"l"], COMPACT[b"m"]) == (b"via", b"content-length", b"contact")


def test_headers_that_make_up_lists_are_not_single() -> None:
    """§7.3.1: these may be on several lines, and mean the same."""
    lists = {
        b"via", b"route", b"record-route", b"contact", b"allow", b"supported", b"require", b"proxy-require", b"warning",
        b"www-authenticate", b"proxy-authenticate", b"authorization", b"proxy-authorization",
    }  # fmt: skip
    assert not lists & SINGLE
    assert all(name == name.lower() for name in SINGLE)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        (b"call-id", b"Call-ID"),
        (b"cseq", b"CSeq"),
        (b"www-authenticate", b"WWW-Authenticate"),
        (b"mime-version", b"MIME-Version"),
        (b"x-office", b"X-Office"),
        (b"x", b"X"),
    ],
)
def test_names_are_printed_as_the_rfcs_print_them(name: bytes, printed: bytes) -> None:
    assert pretty(name) == printed
