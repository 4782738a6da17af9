"""Telephone numbers in their forms: read from what a PBX or a carrier wrote, and written as a trunk wants them. Pure.

A number that is understood is international, `+41443210000`, as bytes. What is not understood is None, and stays as
it came: sip user names, star and hash codes, short numbers, numbers of another numbering plan. Better a number that
the carrier refuses than a call to somebody else, so a number is read only where there is one way to read it.

Swiss short numbers (1811, 1414, 140, 116 117) have up to six digits, and nothing longer than six digits that begins
with the national prefix is one; 0800 and 0900 numbers are national like any other.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from sipfailover.config import Numbering, Prefix

KEEP, E164, PLAIN, INTERNATIONAL, NATIONAL = "keep", "e164", "plain", "international", "national"
"""As in the settings: as it came, +41443210000, 41443210000, 0041443210000, 0443210000."""
FORMS = (E164, INTERNATIONAL, NATIONAL, PLAIN)
"""In the order in which they are looked for."""
SEPARATORS = b"-.()"
"""For the eye only (RFC 3966 §5.1.1): they do not make another number."""
DIALABLE = b"0123456789*#"
SHORT_MAX = 6
"""Digits, as written: what has no more than these is a short number and left alone."""
LENGTH_MIN, LENGTH_MAX = 7, 15
"""Digits of an international number without its plus: the shortest are on islands (+290, +683), the longest are
ITU-T E.164's."""
ESCAPED_MAX = 128
"""Bytes of a user part with escapes that is read as a number. What is longer is none."""

PERCENT, ZERO = b"%0"


class NumberPlan(NamedTuple):
    """How numbers are written where we are: `numbering` of the settings, as bytes."""

    country_code: bytes = b"41"
    national_prefix: bytes = b"0"
    international_prefix: bytes = b"00"
    outside_line: bytes = b""

    def read(self, digits: bytes, plain: bool) -> bytes | None:
        """An international number from digits without a plus. `plain`: who wrote them leaves it out always."""
        if len(digits) <= SHORT_MAX:
            return None
        if plain and digits[0] != ZERO:
            return self.checked(digits)
        prefix = self.international_prefix
        if prefix and digits.startswith(prefix):
            return self.checked(digits[len(prefix) :])
        prefix = self.national_prefix
        if not digits.startswith(prefix):
            return None
        rest = digits[len(prefix) :]
        return None if prefix and rest[0] == ZERO else self.checked(self.country_code + rest)

    def checked(self, digits: bytes) -> bytes | None:
        """`+` and the digits, if they can be an international number: of ours, one that is no short number either.

        +41 (0)44 …: where a zero stands before national numbers, none begins with one, so this zero is too many.
        """
        code, prefix = self.country_code, self.national_prefix
        if digits.startswith(code):
            national = digits[len(code) :]
            if prefix and national[:1] == b"0" and national.startswith(prefix):
                national = national[len(prefix) :]
                digits = code + national
            abroad = self.international_prefix
            written = prefix + national
            if len(written) <= SHORT_MAX or (prefix and national[0] == ZERO) or (abroad and written.startswith(abroad)):
                return None
        return b"+" + digits if LENGTH_MIN <= len(digits) <= LENGTH_MAX and digits[0] != ZERO else None


def number_plan(numbering: Numbering) -> NumberPlan:
    """The plan that the settings describe."""
    return NumberPlan(
        numbering.country_code.encode(),
        numbering.national_prefix.encode(),
        numbering.international_prefix.encode(),
        numbering.outside_line.encode(),
    )


def digits_of(text: bytes) -> bytes:
    """A user part without escapes and without what is for the eye: `%2B41-44` becomes `+4144`."""
    if PERCENT in text and len(text) <= ESCAPED_MAX:
        text = unquote_to_bytes(text)
    return text.translate(None, SEPARATORS)


def understand(text: bytes, plan: NumberPlan, *, plain: bool = False, dialled: bool = False) -> bytes | None:
    """The international number that a user part means (RFC 3966 §5.1: without its parameters), None if it means none.

    plain: who wrote it leaves the plus out, so that 41443210000 is one. dialled: people of the house dialled it, so
    that the outside line's prefix may stand before it; where both readings are possible, it does.
    """
    digits = digits_of(text)
    if digits[:1] == b"+":
        return plan.checked(digits[1:]) if digits[1:].isdigit() else None
    if not digits.isdigit():
        return None
    prefix = plan.outside_line
    if dialled and prefix and digits.startswith(prefix):
        behind = plan.read(digits[len(prefix) :], plain)
        if behind is not None:
            return behind
    return plan.read(digits, plain)


def write(number: bytes, form: str, plan: NumberPlan) -> bytes:
    """An international number (`+41443210000`) in a form other than keep."""
    if form == E164:
        return number
    digits = number[1:]
    if form == PLAIN:
        return digits
    if form == NATIONAL and digits.startswith(plan.country_code):
        return plan.national_prefix + digits[len(plan.country_code) :]
    return plan.international_prefix + digits


def form_of(text: bytes, number: bytes, plan: NumberPlan) -> str:
    """The form in which an international number stood there; e164 if in none of them."""
    digits = digits_of(text)
    return next((form for form in FORMS if write(number, form, plan) == digits), E164)


def without_outside_line(text: bytes, plan: NumberPlan) -> bytes:
    """A short number or star code that people dialled, without what gets them out of the house; else as it came."""
    prefix = plan.outside_line
    rest = text[len(prefix) :]
    short = rest[:1] in (b"*", b"#") or (rest.isdigit() and rest[0] != ZERO and 2 <= len(rest) <= SHORT_MAX)
    return rest if prefix and short and text.startswith(prefix) else text


class PrefixRule(NamedTuple):
    """What a number begins with, and what stands there instead."""

    begins: bytes
    becomes: bytes


def prefix_rules(prefixes: tuple[Prefix, ...]) -> tuple[PrefixRule, ...]:
    """The rules of the settings."""
    return tuple(PrefixRule(begins.encode(), becomes.encode()) for begins, becomes in prefixes)


def replace_prefix(text: bytes, rules: tuple[PrefixRule, ...]) -> bytes:
    """A number with the first rule that fits applied; a user part that nobody could dial stays as it came."""
    if not rules:
        return text
    digits = digits_of(text)
    if not digits or digits.lstrip(b"+").translate(None, DIALABLE):
        return text
    for begins, becomes in rules:
        if digits.startswith(begins):
            return (becomes + digits[len(begins) :]).replace(b"#", b"%23")  # RFC 3261 §25.1: none in a user part
    return text


CLIR_CODES = (b"*31#", b"#31#")
"""Dialled before a number to hide the caller, or to show it, for one call. Whoever did so and needs help needs help."""


def emergency_spellings(numbers: Iterable[str], plan: NumberPlan) -> dict[bytes, bytes]:
    """Every spelling of the emergency numbers → the number as it must go out.

    numbers: `emergency.numbers`. Known are they themselves, and they behind the outside line, the national prefix, or
    the country code with a plus or the international prefix: 0112, +41112, 0041112, 00041112. All of these also behind
    the code that hides or shows the caller (*31#112), and with the # that ends dialling on some telephones.
    """
    out, code = plan.outside_line, plan.country_code
    abroad = plan.international_prefix + code
    prefixes = (b"+" + code, abroad, out + abroad, out + plan.national_prefix, plan.national_prefix, out, b"")
    bare = [number.encode() for number in numbers]
    return {
        clir + prefix + number + end: number
        for clir in (b"", *CLIR_CODES)
        for prefix in prefixes
        for number in bare
        for end in (b"", b"#")
    }


def bare_emergency(number: bytes, spellings: Mapping[bytes, bytes]) -> bytes | None:
    """The emergency number that somebody means who dialled `number`, as it must go out; None if it is none. Nothing may
    stand before or behind it but what `emergency_spellings` knows, so that no longer number is taken for one."""
    return spellings.get(digits_of(number))
