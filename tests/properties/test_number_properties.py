"""What holds for any number and any bytes: forms lead back to where they began, and nothing is read that is unsure."""

import time

import phonenumbers
from hypothesis import example, given
from hypothesis import strategies as st

from sipfailover.trunk.numbers import (
    E164,
    INTERNATIONAL,
    LENGTH_MAX,
    NATIONAL,
    PLAIN,
    NumberPlan,
    bare_emergency,
    digits_of,
    emergency_spellings,
    form_of,
    replace_prefix,
    understand,
    without_outside_line,
    write,
)

HELP = emergency_spellings(("112",), NumberPlan())
PLANS = {
    "CH": NumberPlan(),
    "DE": NumberPlan(b"49", b"0", b"00"),
    "IT": NumberPlan(b"39", b"", b"00"),
    "US": NumberPlan(b"1", b"1", b"011"),
    "FI": NumberPlan(b"358", b"0", b"00", b"9"),
}
plans = st.sampled_from(sorted(PLANS))
forms = st.sampled_from([E164, PLAIN, INTERNATIONAL, NATIONAL])
number = st.one_of(
    st.from_regex(rb"\+[1-9][0-9]{5,14}", fullmatch=True),
    st.from_regex(rb"\+(41|49|39|1|358)[0-9]{5,12}", fullmatch=True),
)
digit = st.sampled_from(b"0123456789").map(lambda code: bytes((code,)))
text = st.one_of(
    st.binary(max_size=24),
    st.lists(st.one_of(digit, st.sampled_from([b"+", b"-", b".", b"(", b")", b"*", b"#", b"%2B", b"%", b"00", b"41"])),
             max_size=20).map(b"".join),
    st.builds(lambda before, rest: before + b"".join(rest), st.sampled_from([b"+", b"00", b"0", b"", b"+41", b"011"]),
              st.lists(digit, max_size=16)),
)  # fmt: skip


@given(number, forms, plans)
def test_what_is_written_is_read_back(international: bytes, form: str, region: str) -> None:
    plan = PLANS[region]
    known = understand(international, plan)
    if known is None:
        return
    written = write(known, form, plan)
    assert understand(written, plan, plain=form == PLAIN) == known
    assert write(known, form_of(written, known, plan), plan) == written


@given(text, forms, plans, st.booleans(), st.booleans())
@example(b"+410443210000", NATIONAL, "CH", False, False)
@example(b"41443210000", PLAIN, "CH", True, False)
def test_what_is_read_stays_the_same_however_it_is_written(
    raw: bytes, form: str, region: str, plain: bool, dialled: bool
) -> None:
    plan = PLANS[region]
    known = understand(raw, plan, plain=plain, dialled=dialled)
    if known is None:
        return
    assert known[:1] == b"+"
    assert known[1:].isdigit()
    assert 7 <= len(known) - 1 <= LENGTH_MAX
    assert understand(known, plan) == known
    assert understand(write(known, form, plan), plan, plain=form == PLAIN) == known


@given(text, st.sampled_from(["CH", "DE", "IT", "US"]))
def test_what_is_read_is_what_phonenumbers_reads(raw: bytes, region: str) -> None:
    known = understand(raw, PLANS[region])
    if known is None:
        return
    try:
        theirs = phonenumbers.parse(digits_of(raw).decode(), region)
    except phonenumbers.NumberParseException:
        return
    if not phonenumbers.is_valid_number(theirs):
        return
    expected = phonenumbers.format_number(theirs, phonenumbers.PhoneNumberFormat.E164).encode()
    code = b"+%d" % theirs.country_code
    plan = PLANS[region]
    if code[1:] == plan.country_code and not (region == "US" and known.startswith(b"+11")):
        assert known == expected
    else:
        assert known.startswith(code)  # a prefix too many in another country's number is not ours to take away


@given(st.binary(max_size=200), plans)
def test_any_bytes_are_a_number_or_none(raw: bytes, region: str) -> None:
    plan = PLANS[region]
    understand(raw, plan, plain=True, dialled=True)
    form_of(raw, b"+41443210000", plan)
    without_outside_line(raw, plan)
    assert replace_prefix(raw, ()) == raw
    bare_emergency(raw, HELP)


def test_a_long_user_part_costs_little() -> None:
    for raw in (b"0" * 60_000, b"%2B" * 20_000, b"-" * 60_000, b"+" + b"(" * 60_000, b"%" * 60_000):
        began = time.perf_counter()
        assert understand(raw, NumberPlan()) is None
        assert bare_emergency(raw, HELP) is None
        assert time.perf_counter() - began < 0.05
