"""Telephone numbers in the settings: what an administrator writes for one number, a range, a prefix, a DDI map."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.config import Ddi, Numbers, Prefix
from sipfailover.config.telephone import ddi, number, numbers, prefix


@pytest.mark.parametrize("text", ["+41443210000", "+41 44 321 00 00", "+41-44-321-00-00", "+41 (44) 321.00.00"])
def test_a_number_is_written_for_the_eye(text: str) -> None:
    assert number(text) == "+41443210000"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0041443210000", "write +41443210000"),
        ("0443210000", "is not an international number"),
        ("+41x", "is not an international number"),
        ("+0443210000", "is not an international number"),
        ("", "is not an international number"),
    ],
)
def test_what_is_no_international_number_is_refused(text: str, said: str) -> None:
    with pytest.raises(ValueError, match="international number") as caught:
        number(text)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("+41443210000", 41443210000, 41443210000),
        ("+41443210000-19", 41443210000, 41443210019),
        ("+41 44 321 00 00 - 19", 41443210000, 41443210019),
        ("+41443210000..9999", 41443210000, 41443219999),
        ("+41-44-321-00-00", 41443210000, 41443210000),
    ],
)
def test_a_range_ends_in_the_digits_that_differ(text: str, first: int, last: int) -> None:
    assert numbers(text) == Numbers(first, last)


@pytest.mark.parametrize("text", ["+41443210019-00", "+41443210000-99999999999999", "+41443200000-999999", "a-b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"'.+'"):
        numbers(text)


@given(first=st.integers(10**6, 10**14), count=st.integers(1, 1000))
def test_a_range_reads_back(first: int, count: int) -> None:
    found = Numbers(first, first + count - 1)
    if len(str(found.first)) == len(str(found.last)):
        assert numbers(str(found)) == found


def test_a_number_is_in_its_range() -> None:
    range_ = Numbers(41443210000, 41443210019)
    assert "+41443210019" in range_
    assert "+41443210020" not in range_
    assert "41443210019" not in range_
    assert "+x" not in range_


@pytest.mark.parametrize(
    ("text", "expected"),
    [("00 -> +", Prefix("00", "+")), ("9->", Prefix("9", "")), ("-> *31#", Prefix("", "*31#"))],
)
def test_a_prefix_rule_is_an_arrow(text: str, expected: Prefix) -> None:
    assert prefix(text) == expected


@pytest.mark.parametrize("text", ["00", "a -> b", "0 -> +4+"])
def test_what_is_no_prefix_rule_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"'.+'"):
        prefix(text)


def test_a_ddi_map_pairs_numbers() -> None:
    found = ddi({"+41315550000-9": "+41443210010-19", "+41315550099": "+41443210000"})
    assert found == (
        Ddi(Numbers(41315550000, 41315550009), Numbers(41443210010, 41443210019)),
        Ddi(Numbers(41315550099, 41315550099), Numbers(41443210000, 41443210000)),
    )


def test_a_ddi_map_pairs_as_many_as_there_are() -> None:
    with pytest.raises(ValueError, match="are 10 numbers and '\\+41443210000' are 1"):
        ddi({"+41315550000-9": "+41443210000"})
