"""Number forms: what is read as a number and what is not, and every form as `phonenumbers` writes it."""

from itertools import product

import phonenumbers
import pytest
from phonenumbers import PhoneNumberFormat, PhoneNumberType

from sipfailover.config import Numbering, Prefix
from sipfailover.config.check_numbers import WITHOUT_NATIONAL_PREFIX
from sipfailover.trunk.numbers import (
    E164,
    INTERNATIONAL,
    NATIONAL,
    PLAIN,
    NumberPlan,
    bare_emergency,
    emergency_spellings,
    form_of,
    number_plan,
    prefix_rules,
    replace_prefix,
    understand,
    without_outside_line,
    write,
)

SWISS = NumberPlan()
PLANS = {
    "CH": SWISS,
    "DE": NumberPlan(b"49", b"0", b"00"),
    "AT": NumberPlan(b"43", b"0", b"00"),
    "IT": NumberPlan(b"39", b"", b"00"),
    "US": NumberPlan(b"1", b"1", b"011"),
}
FORMS = (E164, PLAIN, INTERNATIONAL, NATIONAL)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"+41443210000", b"+41443210000"),
        (b"%2B41443210000", b"+41443210000"),
        (b"%2b41-44-321-00-00", b"+41443210000"),
        (b"+41.44.321.00.00", b"+41443210000"),
        (b"+41(0)443210000", b"+41443210000"),
        (b"+410443210000", b"+41443210000"),
        (b"00410443210000", b"+41443210000"),
        (b"0041443210000", b"+41443210000"),
        (b"0443210000", b"+41443210000"),
        (b"044-321(00)00", b"+41443210000"),
        (b"0800800800", b"+41800800800"),
        (b"0900123456", b"+41900123456"),
        (b"0860791234567", b"+41860791234567"),
        (b"+4930123456", b"+4930123456"),
        (b"004930123456", b"+4930123456"),
        (b"+12125550123", b"+12125550123"),
        (b"+2908123", b"+2908123"),
    ],
)  # fmt: skip
def test_a_number_is_read_in_every_way_it_is_written(text: bytes, number: bytes) -> None:
    assert understand(text, SWISS) == number


@pytest.mark.parametrize(
    "text",
    [
        b"", b"+", b"0", b"00", b"+0", b"alice", b"1811", b"140", b"1414", b"112", b"0112", b"117", b"116117",
        b"+41112",
        b"0041112", b"+411811", b"004118", b"*21*0443210000#", b"*31%230443210000", b"#31#", b"+41alice", b"21",
        b"443210000",
        b"41443210000", b"000443210000", b"+4144321000012345", b"00123456789012345678", b"044321000a", b"anonymous",
        b"+41443210000;ext=1", "٠٤٤٣٢١٠٠٠٠".encode(), b"++41443210000", b"%", b"%2", b"%zz0443210000", b"+0443210000",
        b"00000000",
    ],
)  # fmt: skip
def test_what_is_no_number_for_sure_is_not_understood(text: bytes) -> None:
    assert understand(text, SWISS) is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"41443210000", b"+41443210000"),
        (b"4930123456", b"+4930123456"),
        (b"0443210000", b"+41443210000"),
        (b"0041443210000", b"+41443210000"),
        (b"+41443210000", b"+41443210000"),
        (b"1811", None),
        (b"41112", None),
        (b"410443210000", b"+41443210000"),
    ],
)
def test_a_side_that_leaves_the_plus_out_is_known_for_it(text: bytes, number: bytes | None) -> None:
    assert understand(text, SWISS, plain=True) == number


@pytest.mark.parametrize(
    ("text", "number"),
    [
        (b"00443210000", b"+41443210000"),
        (b"0004930123456", b"+4930123456"),
        (b"0443210000", b"+41443210000"),  # from a list of missed calls: nobody dialled the zero
        (b"+41443210000", b"+41443210000"),
        (b"01811", None),
    ],
)
def test_the_outside_line_stands_before_what_people_dial(text: bytes, number: bytes | None) -> None:
    plan = SWISS._replace(outside_line=b"0")
    assert understand(text, plan, dialled=True) == number
    assert understand(b"00443210000", plan) == b"+443210000", "a caller's number was not dialled"


def test_a_short_number_leaves_the_house_without_the_outside_line() -> None:
    plan = SWISS._replace(outside_line=b"0")
    for dialled, out in ((b"01811", b"1811"), (b"0*31%23", b"*31%23"), (b"1811", b"1811"), (b"00443", b"00443")):
        assert without_outside_line(dialled, plan) == out
    assert without_outside_line(b"01811", SWISS) == b"01811"


@pytest.mark.parametrize(
    ("region", "text", "number"),
    [
        ("IT", b"0669812345", b"+390669812345"),
        ("IT", b"3471234567", b"+393471234567"),
        ("IT", b"0041443210000", b"+41443210000"),
        ("US", b"12125550123", b"+12125550123"),
        ("US", b"01141443210000", b"+41443210000"),
        ("US", b"2125550123", None),
        ("DE", b"030123456", b"+4930123456"),
        ("AT", b"01234567", b"+431234567"),
    ],
)
def test_other_countries_have_other_plans(region: str, text: bytes, number: bytes | None) -> None:
    assert understand(text, PLANS[region]) == number


# -- the oracle -------------------------------------------------------------------------------------------------------

ABROAD = ("CH", "DE", "AT", "IT", "US", "FR", "GB", "LI", "ES", "DK", "AR", "MX", "BR", "JP", "IN", "AU", "CA")
KINDS = (PhoneNumberType.FIXED_LINE, PhoneNumberType.MOBILE, PhoneNumberType.TOLL_FREE, PhoneNumberType.PREMIUM_RATE)
EXAMPLES = [
    number
    for region, kind in product(ABROAD, KINDS)
    if (number := phonenumbers.example_number_for_type(region, kind)) is not None
]


def digits(text: str) -> bytes:
    return "".join(c for c in text if c.isdigit() or c == "+").encode()


def expected(number: phonenumbers.PhoneNumber, form: str, region: str) -> bytes:
    e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164).encode()
    if form == E164:
        return e164
    if form == PLAIN:
        return e164[1:]
    if form == NATIONAL:
        return digits(phonenumbers.format_out_of_country_calling_number(number, region))
    if number.country_code == phonenumbers.country_code_for_region(region):
        return PLANS[region].international_prefix + e164[1:]
    return digits(phonenumbers.format_out_of_country_calling_number(number, region))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("region", PLANS)
def test_every_form_is_what_phonenumbers_writes_and_is_read_back(region: str, form: str) -> None:
    assert len(EXAMPLES) > 50
    plan = PLANS[region]
    for number in EXAMPLES:
        e164 = phonenumbers.format_number(number, PhoneNumberFormat.E164).encode()
        if understand(e164, plan) is None:  # six digits in all, as some information services of Austria have
            assert len(str(number.national_number)) < 6
            continue
        assert understand(e164, plan) == e164
        written = write(e164, form, plan)
        assert written == expected(number, form, region)
        assert understand(written, plan, plain=form == PLAIN) == e164
        assert write(e164, form_of(written, e164, plan), plan) == written


def test_countries_that_have_no_national_prefix_are_known() -> None:
    for code in WITHOUT_NATIONAL_PREFIX:
        region = phonenumbers.region_code_for_country_code(int(code))
        assert phonenumbers.ndd_prefix_for_region(region, True) in (None, ""), region
    for region in ("CH", "DE", "AT", "FR", "GB", "BE", "NL", "SE", "FI", "LI"):
        code = str(phonenumbers.country_code_for_region(region))
        assert (code in WITHOUT_NATIONAL_PREFIX) is not bool(phonenumbers.ndd_prefix_for_region(region, True)), region


# -- prefixes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "out"),
    [
        (b"00443210000", b"+443210000"),
        (b"0443210000", b"0443210000"),
        (b"9-044", b"044"),
        (b"%2B41", b"001141"),
        (b"*55*1", b"#1".replace(b"#", b"%23")),
        (b"alice", b"alice"),
        (b"00alice", b"00alice"),
        (b"", b""),
    ],
)
def test_the_first_rule_that_fits_is_taken(text: bytes, out: bytes) -> None:
    rules = prefix_rules((Prefix("00", "+"), Prefix("9", ""), Prefix("+", "0011"), Prefix("*55*", "#")))
    assert replace_prefix(text, rules) == out


def test_an_empty_beginning_fits_every_number_and_no_name() -> None:
    rules = prefix_rules((Prefix("", "4711"),))
    assert replace_prefix(b"0443210000", rules) == b"47110443210000"
    assert replace_prefix(b"alice", rules) == b"alice"


# -- emergency --------------------------------------------------------------------------------------------------------

EMERGENCY = ("112", "117", "118", "142", "143", "144", "145", "147")


def bare(text: bytes, outside_line: str) -> bytes | None:
    plan = number_plan(Numbering(outside_line=outside_line))
    return bare_emergency(text, emergency_spellings(EMERGENCY, plan))


@pytest.mark.parametrize("number", EMERGENCY)
@pytest.mark.parametrize("prefix", [b"", b"+41", b"%2B41", b"0041", b"+41-", b"0", b"00", b"00041"])
def test_a_call_for_help_is_known_in_every_form(number: str, prefix: bytes) -> None:
    assert bare(prefix + number.encode(), "0") == number.encode()


@pytest.mark.parametrize("number", EMERGENCY)
@pytest.mark.parametrize("prefix", [b"", b"+41", b"0041", b"0"])
def test_it_is_known_without_an_outside_line_too(number: str, prefix: bytes) -> None:
    assert bare(prefix + number.encode(), "") == number.encode()


@pytest.mark.parametrize(
    "text",
    [
        b"", b"1", b"11", b"1120", b"1414", b"1450", b"14500", b"+411170000", b"0117000000", b"0041443210117",
        b"+49112", b"0049112", b"112@evil", b"0000112", b"1-1", b"sos", b"*112", b"0" * 100 + b"112", b"11 2",
    ],
)  # fmt: skip
def test_numbers_that_begin_or_end_alike_are_no_calls_for_help(text: bytes) -> None:
    assert bare(text, "9") is None


def test_a_number_that_is_listed_is_known_as_it_is_listed() -> None:
    plan = NumberPlan()
    spellings = emergency_spellings(("112", "0112", "1414"), plan)
    assert bare_emergency(b"0112", spellings) == b"0112"
    assert bare_emergency(b"112", spellings) == b"112"
    assert emergency_spellings((), plan) == {}


def test_the_plan_is_that_of_the_settings() -> None:
    numbering = Numbering(country_code="39", national_prefix="", international_prefix="00", outside_line="9")
    assert number_plan(numbering) == NumberPlan(b"39", b"", b"00", b"9")
