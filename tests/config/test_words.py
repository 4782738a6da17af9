"""The words of the file: what is accepted, and the sentence for what is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.config import words
from sipfailover.config.words import Address


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("500ms", 0.5),
        ("2s", 2),
        ("10m", 600),
        ("4h", 14400),
        ("400d", 34560000),
        ("1h 30m", 5400),
        ("1.5s", 1.5),
        ("0", 0),
    ],
)
def test_duration_is_read_in_its_unit(text: str, seconds: float) -> None:
    assert words.duration(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "2 s", "-1s", "s", "1w", "1e3s", "٣s", "1s2", "2s,3s", "9" * 400])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"duration|unit"):
        words.duration(text)


def test_a_bare_number_is_told_to_take_a_unit() -> None:
    with pytest.raises(ValueError, match="write 10s for seconds"):
        words.duration("10")


@given(st.integers(min_value=0, max_value=10**12))
def test_a_spelt_duration_reads_back(milliseconds: int) -> None:
    assert words.duration(words.spell(milliseconds / 1000)) == pytest.approx(milliseconds / 1000)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("192.0.2.1:5070", Address("192.0.2.1", 5070)),
        ("192.0.2.1", Address("192.0.2.1", 5060)),
        ("[2001:db8::1]:5070", Address("2001:db8::1", 5070)),
        ("[2001:db8::1]", Address("2001:db8::1", 5060)),
        ("2001:db8::1", Address("2001:db8::1", 5060)),
        ("pbx.lan:5070", Address("pbx.lan", 5070)),
    ],
)
def test_address_with_and_without_port(text: str, address: Address) -> None:
    assert words.host_port(text, 5060) == address


@given(st.ip_addresses(), st.integers(min_value=0, max_value=65535))
def test_a_written_address_reads_back(host: object, port: int) -> None:
    address = Address(str(host), port)
    assert words.host_port(str(address), None) == address


@pytest.mark.parametrize(
    "text",
    ["", ":5060", "192.0.2.1:", "192.0.2.1:65536", "192.0.2.1:x", "192.0.2.999", "[2001:db8::1]5060", "[2001:db8::1",
     "a b", "sip:pbx.lan", "-x.lan", "a..b", "1.2.3", "x" * 300],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        words.host_port(text, 5060)


@pytest.mark.parametrize(("text", "value"), [("yes", True), ("No", False), ("true", True), ("off", False)])
def test_yes_and_no(text: str, value: bool) -> None:
    assert words.yes_or_no(text) is value


@pytest.mark.parametrize("text", ["timeout", "unreachable", "403", "5xx", "5XX", 503])
def test_outcomes_are_words_codes_and_classes(text: object) -> None:
    assert words.outcome(text) == str(text).lower()


@pytest.mark.parametrize("text", ["busy", "200", "2xx", "1xx", "700", "50x", "5x", ""])
def test_what_is_no_outcome_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an outcome"):
        words.outcome(text)


@pytest.mark.parametrize("text", ["0x10", "-1", "1_000", "1.0", "", "+1", "９"])
def test_whole_numbers_are_plain_digits(text: str) -> None:
    with pytest.raises(ValueError, match="whole number"):
        words.whole_number(text)
