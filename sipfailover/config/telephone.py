"""Telephone numbers as an administrator writes them: single ones, ranges of them, and what prefixes become.

A number here is international with its plus (`+41443210000`), so that it means the same on every trunk. Blanks, dots,
dashes and brackets between the digits are for the eye. A range ends in the digits that differ: `+41443210000-19` are
twenty numbers.
"""

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

from sipfailover.config.words import TEXT_OR_NUMBER

FORMS = ("keep", "e164", "plain", "international", "national")
"""keep: as it came; e164: +41443210000; plain: 41443210000; international: 0041443210000; national: 0443210000."""
RANGE_MAX = 100_000
"""Numbers in one range. More would be a typing mistake."""

_FOR_THE_EYE = str.maketrans("", "", " .-()/\u00a0")
_NUMBER = re.compile(r"\+[1-9]\d{3,14}", re.ASCII)
_RANGE = re.compile(r"(.*\d)\s*(?:-|–|\.\.)\s*(\d+)", re.ASCII)
_PREFIX = re.compile(r"\+?[0-9*#]{0,15}", re.ASCII)


class Numbers(NamedTuple):
    """Consecutive numbers, all with the same count of digits. `first` and `last` are without the plus."""

    first: int
    last: int

    def __contains__(self, number: object) -> bool:
        """Whether a number (`+41443210007`) is one of them."""
        return isinstance(number, str) and number[:1] == "+" and number[1:].isdecimal() and self._has(int(number[1:]))

    def _has(self, number: int) -> bool:
        return self.first <= number <= self.last

    def __len__(self) -> int:
        return self.last - self.first + 1

    def __str__(self) -> str:
        if self.first == self.last:
            return f"+{self.first}"
        first, last = str(self.first), str(self.last)
        same = next(i for i in range(len(first)) if first[i] != last[i])
        return f"+{first}-{last[same:]}"


class Prefix(NamedTuple):
    """What a number begins with, and what stands there instead."""

    begins: str
    becomes: str


class Ddi(NamedTuple):
    """Numbers of a carrier, and the numbers of the house that they stand for: the n-th for the n-th."""

    carrier: Numbers
    house: Numbers


def number(value: object) -> object:
    """One number, international: `+41 44 321 00 00` becomes `+41443210000`."""
    if not isinstance(value, str):
        return value
    text = value.translate(_FOR_THE_EYE)
    if _NUMBER.fullmatch(text):
        return text
    hint = ", for example +41443210000"
    if text.startswith("0") and text.isdecimal():
        hint = f": write +{text[2:]}" if text.startswith("00") else f": write +41{text[1:]} (41: your country code)"
    raise ValueError(f"'{value}' is not an international number{hint}")


def numbers(value: object) -> object:
    """One number, or a range whose end is written with the digits that differ: `+41443210000-19`."""
    if isinstance(value, Numbers):
        return value
    if not isinstance(value, str):
        raise ValueError("takes a number or a range of numbers, for example +41443210000-19")
    text = value.strip()
    match = _RANGE.fullmatch(text)
    first = number(match[1] if match else text)
    assert isinstance(first, str)
    if match is None or not _begins_a_range(match[1]):
        whole = number(text)
        assert isinstance(whole, str)
        return Numbers(int(whole[1:]), int(whole[1:]))
    if len(match[2]) >= len(first):
        raise ValueError(f"'{value}' ends in more digits than the number has: write for example +41443210000-19")
    last = int(first[1 : len(first) - len(match[2])] + match[2])
    found = Numbers(int(first[1:]), last)
    if not found.first <= last < found.first + RANGE_MAX:
        raise ValueError(f"'{value}' does not count upwards, or has more than {RANGE_MAX} numbers")
    return found


def _begins_a_range(before: str) -> bool:
    """A dash between groups (+41-44-321-00-00) is for the eye; the dash of a range is the only one."""
    return not any(sign in before for sign in "-–") and bool(_NUMBER.fullmatch(before.translate(_FOR_THE_EYE)))


def prefix(value: object) -> object:
    """`00 -> +`: what the number begins with, an arrow, what stands there instead. Either side may be empty."""
    if isinstance(value, Prefix):
        return value
    if not isinstance(value, str):
        raise ValueError('takes rules in quotation marks, as in "00 -> +"')
    begins, arrow, becomes = (part.strip() for part in value.partition("->"))
    if not arrow:
        raise ValueError(f"'{value}' has no arrow: write what the number begins with, ->, and what it becomes")
    for part in (begins, becomes):
        if not _PREFIX.fullmatch(part):
            raise ValueError(f"'{part}' in '{value}' cannot be dialled: digits, *, # and a plus in front only")
    return Prefix(begins, becomes)


def ddi(value: object) -> object:
    """A mapping from numbers of the carrier to numbers of the house, as a list of pairs."""
    if isinstance(value, tuple):
        return value  # pairs already
    if not isinstance(value, dict):
        example = "+41315550000-9: +41443210000-9"
        raise ValueError(f"takes the carrier's numbers, a colon and those of the house, below it: {example}")
    pairs: list[Ddi] = []
    for carrier, house in value.items():
        left, right = numbers(str(carrier)), numbers(house)
        if not isinstance(left, Numbers) or not isinstance(right, Numbers):
            raise ValueError(f"'{carrier}' needs one number or range of the house behind it")
        if len(left) != len(right):
            raise ValueError(f"'{carrier}' are {len(left)} numbers and '{house}' are {len(right)}: write as many")
        pairs.append(Ddi(left, right))
    return tuple(pairs)


EXAMPLE = {"examples": ["+41443210000", "+41443210000-19"]}
PhoneNumber = Annotated[str, BeforeValidator(number), WithJsonSchema({"type": "string", "pattern": r"^\+"})]
PhoneNumbers = Annotated[Numbers, BeforeValidator(numbers), WithJsonSchema({"type": "string"} | EXAMPLE)]
PrefixRule = Annotated[
    Prefix, BeforeValidator(prefix), WithJsonSchema({"type": "string", "pattern": "->", "examples": ["00 -> +"]})
]
DdiMap = Annotated[
    tuple[Ddi, ...],
    BeforeValidator(ddi),
    WithJsonSchema({"type": "object", "additionalProperties": TEXT_OR_NUMBER}),
]
