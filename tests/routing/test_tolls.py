"""Toll fraud, as a table of numbers and as books of calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.config import KINDS, parse
from sipfailover.routing import CALLS, MINUTES, PLACE, Tally, over, toll_rules
from sipfailover.routing.tolls import SLOT, Limit, TollRules

BEFORE = "pbx: 192.0.2.10\ntrunks: [{name: main, host: 192.0.2.1}, {name: backup, host: 192.0.2.2}]\n"
HOUR = 3600.0
DAY = 86400.0


def rules(section: str = "", more: str = "") -> TollRules:
    return toll_rules(parse(f"{BEFORE}{more}\ntoll_fraud: {{{section}}}"))


def test_nothing_is_limited_by_default() -> None:
    assert rules().idle
    assert not rules().counts


@pytest.mark.parametrize(
    ("uri", "number", "kind"),
    [
        (b"sip:+41443210000@x", "+41443210000", "national"),
        (b"sip:0443210000@x", "+41443210000", "national"),
        (b"sip:0041443210000@x", "+41443210000", "national"),
        (b"tel:+41-44-321.00.00", "+41443210000", "national"),
        (b"sip:%2B41443210000@x", "+41443210000", "national"),
        (b"sip:+41443210000;phone-context=+41@x", "+41443210000", "national"),
        (b"sip:1811@x", "1811", "premium"),
        (b"sip:1414@x", "1414", "national"),
        (b"sip:0900123456@x", "+41900123456", "premium"),
        (b"sip:+41900123456@x", "+41900123456", "premium"),
        (b"sip:00979123456789@x", "+979123456789", "premium"),
        (b"sip:0049301234567@x", "+49301234567", "abroad"),
        (b"tel:+882-16-1234-5678", "+8821612345678", "satellite"),
        (b"sip:0088216123456@x", "+88216123456", "satellite"),
        (b"sip:00%388216123456@x", "+88216123456", "satellite"),
        # What cannot be read is abroad, so that no spelling is a way around.
        (b"sip:8821612345678@x", "", "abroad"),
        (b"sip:*21*0041791234567#@x", "", "abroad"),
        (b"sip:office@x", "", "abroad"),
        (b"sip:x", "", "abroad"),
        (b"tel:0443210000;phone-context=+882", "", "abroad"),
        (b"sip:+41443210000;rn=+88216123456@x", "", "abroad"),
        (b"tel:+41443210000;cic=+1234", "", "abroad"),
        (b"urn:service:counseling", "", "abroad"),
    ],
)
def test_of_which_kind_a_number_is(uri: bytes, number: str, kind: str) -> None:
    found = rules()
    assert (found.number(uri), found.kind(found.number(uri))) == (number, kind)


def test_a_pbx_that_leaves_the_plus_out_is_understood() -> None:
    assert rules().number(b"sip:88216123456@x", plain=True) == "+88216123456"


def test_what_gets_people_out_of_the_house_is_no_part_of_the_number() -> None:
    found = rules(more='numbering: {outside_line: "0"}')
    assert found.number(b"sip:00443210000@x") == "+41443210000"
    assert found.number(b"sip:01811@x") == "1811"
    assert found.kind(found.number(b"sip:01811@x")) == "premium"


@pytest.mark.parametrize(
    ("section", "number", "allowed"),
    [
        ("", "+88216123456", True),
        ("allowed: [national, +49]", "+41443210000", True),
        ("allowed: [national, +49]", "+49301234567", True),
        ("allowed: [national, +49]", "+33123456789", False),
        ("allowed: [national, +49]", "+41900123456", False),
        ("allowed: [national, +49]", "1811", False),
        ("allowed: [national, +49]", "1414", True),
        ("allowed: [national, +49]", "", False),
        ("allowed: [national, abroad]", "", True),
        ("refused: [+882]", "+88216123456", False),
        ("refused: [+882]", "+88116123456", True),
        ("refused: [satellite]", "+88116123456", False),
        ("refused: [satellite], allowed: [+881]", "+88116123456", True),
        ("refused: [satellite], allowed: [+881]", "+88216123456", False),
        ("allowed: [+49], refused: [+49900]", "+49900123456", False),
        ("allowed: [+49900], refused: [+49]", "+49900123456", True),
        ("allowed: [abroad], refused: [abroad]", "+49301234567", False),
        ("allowed: [+49], refused: [+49]", "+49301234567", False),
        ("allowed: national", "+41443210000", True),
        ("premium: [+41848], refused: premium", "+41848123456", False),
        ("premium: [], refused: premium", "+41900123456", True),
    ],
)
def test_where_calls_may_go(section: str, number: str, allowed: bool) -> None:
    refusal = rules(section).place(number)
    assert (refusal is None) is allowed
    assert refusal is None or refusal.cause == PLACE


@given(
    st.text("0123456789+*#", max_size=18), st.lists(st.sampled_from([*KINDS, "+49", "+4", "+882", "+41"]), max_size=4)
)
def test_what_is_refused_stays_refused_whatever_else_is_refused(number: str, refused: list[str]) -> None:
    few = TollRules(refused=tuple(refused), satellite=("+882",))
    more = TollRules(refused=(*refused, "abroad", "+4179"), satellite=("+882",))
    if few.place(number) is not None:
        assert more.place(number) is not None


def test_calls_of_the_last_hour_are_counted_and_no_longer() -> None:
    tally, limit = Tally(), Limit(calls_per_hour=3)
    for at in (0.0, 10.0, 20.0):
        assert over(tally, limit, "abroad", at) is None
        tally.called(at)
    refusal = over(tally, limit, "abroad", 30.0)
    assert refusal is not None
    assert (refusal.cause, refusal.text) == (CALLS, "abroad: 3 calls in the last hour, 3 are allowed")
    assert over(tally, limit, "abroad", HOUR - SLOT) is not None
    assert over(tally, limit, "abroad", HOUR) is None


def test_a_limit_of_nothing_lets_nothing_pass() -> None:
    assert over(Tally(), Limit(calls_per_hour=0), "premium", 1.0) is not None
    assert over(Tally(), Limit(minutes_per_day=0), "premium", 1.0) is not None


@given(st.lists(st.floats(0, 20 * HOUR), max_size=60), st.floats(0, 20 * HOUR))
def test_never_more_than_an_hour_and_never_less_than_55_minutes(calls: list[float], now: float) -> None:
    tally = Tally()
    for at in sorted(at for at in calls if at <= now):
        tally.called(at)
    recent = sum(now - HOUR < at <= now for at in calls)
    surely = sum(now - (HOUR - SLOT) <= at <= now for at in calls)
    assert surely <= tally.calls(now) <= recent


def test_minutes_are_those_of_calls_that_ended_and_of_those_that_go_on() -> None:
    tally = Tally()
    tally.today(1, 0.0)
    tally.answered(1, 100.0)
    tally.answered(2, 160.0)
    tally.ended(1, 220.0)
    tally.ended(3, 220.0)  # was never answered
    assert tally.minutes(280.0) == pytest.approx(4.0)
    refusal = over(tally, Limit(minutes_per_day=4), "abroad", 280.0)
    assert refusal is not None
    assert (refusal.cause, refusal.text) == (MINUTES, "abroad: 4 minutes today, 4 are allowed")


def test_after_midnight_only_what_is_talked_after_it_counts() -> None:
    tally = Tally()
    tally.today(1, 0.0)
    tally.answered(1, DAY - 600.0)
    tally.today(2, DAY)
    assert tally.minutes(DAY + 120.0) == pytest.approx(2.0)
    tally.ended(1, DAY + 120.0)
    assert tally.minutes(DAY + 900.0) == pytest.approx(2.0)


def test_a_clock_that_is_set_back_over_midnight_begins_no_day_twice() -> None:
    tally = Tally()
    tally.today(2, DAY)
    tally.answered(1, DAY)
    tally.ended(1, DAY + 60.0)
    for day, midnight in ((1, 0.0), (2, DAY), (1, 0.0), (2, DAY)):
        tally.today(day, midnight)
        assert tally.minutes(DAY + 61.0) == pytest.approx(1.0)


def test_a_clock_that_was_wrong_by_years_is_believed_when_it_is_right_again() -> None:
    tally = Tally()
    tally.today(900_000, 0.0)
    tally.answered(1, 0.0)
    tally.ended(1, 600.0)
    tally.today(739_000, 0.0)
    assert tally.minutes(700.0) == 0.0


@given(st.lists(st.tuples(st.integers(0, 9), st.floats(0, 5 * HOUR)), max_size=40))
def test_minutes_add_up_whatever_happens_in_which_order(events: list[tuple[int, float]]) -> None:
    tally, talking, total = Tally(), dict[int, float](), 0.0
    tally.today(1, 0.0)
    for call, at in sorted(events, key=lambda event: event[1]):
        if call in talking:
            total += at - talking.pop(call)
            tally.ended(call, at)
        else:
            talking[call] = at
            tally.answered(call, at)
    now = 6 * HOUR
    assert tally.minutes(now) == pytest.approx((total + sum(now - at for at in talking.values())) / 60.0, abs=1e-6)


def test_what_was_counted_outlives_the_process_on_another_clock() -> None:
    before, after = Tally(), Tally()
    before.today(739_000, 0.0)
    for at in (1000.0, 4000.0, 4500.0):
        before.called(at)
    before.answered(1, 4000.0)
    before.ended(1, 4600.0)
    day, seconds, steps = before.kept(ago=4600.0 - 1e9, now=4600.0)
    after.restore(day, seconds, [(end, n) for end, n in steps], ago=50.0 - 1e9, now=50.0)
    assert after.minutes(50.0) == pytest.approx(10.0)
    assert 2 <= after.calls(50.0) <= 3


def test_the_lower_limit_counts_on_the_backup() -> None:
    found = rules(
        "limits: {abroad: {calls_per_hour: 60, minutes_per_day: 5}}, on_backup: {abroad: {calls_per_hour: 10, "
        "minutes_per_day: 50}, premium: {calls_per_hour: 0}}"
    )
    assert found.limit("abroad", False) == Limit(60, 5)
    assert found.limit("abroad", True) == Limit(10, 5)
    assert found.limit("premium", False) == Limit()
    assert found.limit("premium", True) == Limit(0, None)
