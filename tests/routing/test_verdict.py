"""The verdict table row by row, and the words that change it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.routing import (
    TABLE,
    Answered,
    Cancelled,
    NoRinging,
    Outcome,
    Rejected,
    RingingThenSilent,
    Rules,
    Silent,
    Unreachable,
    judge,
)
from sipfailover.routing.verdict import CALLEE_ENDS_EMERGENCY, Next, parse
from sipfailover.trunk import Evidence, Sign

GOOD, SILENT, FAULT, NOTHING = Sign.CALL_GOOD, Sign.CALL_SILENT, Sign.CALL_FAULT, None
REFUSED = Sign.CALL_REFUSED
BUILT_IN = Rules()


@pytest.mark.parametrize(
    ("outcome", "next_trunk", "sign"),
    [
        (Answered(200), False, GOOD),
        (Silent(0.8), True, SILENT),
        (NoRinging(8.0), True, FAULT),
        (RingingThenSilent(180.0), False, GOOD),
        (Unreachable("refused"), True, SILENT),
        (Unreachable("no route", local=True), True, NOTHING),
        (Unreachable("reset", ringing=True), False, NOTHING),
        (Cancelled(), False, NOTHING),
        (Cancelled(ringing=True), False, GOOD),
        (Rejected(302), False, GOOD),
        (Rejected(400), False, GOOD),
        (Rejected(401), True, FAULT),
        (Rejected(403), True, REFUSED),
        (Rejected(404), True, REFUSED),
        (Rejected(407), True, FAULT),
        (Rejected(408), True, FAULT),
        (Rejected(422), False, GOOD),
        (Rejected(480), True, REFUSED),
        (Rejected(482), False, NOTHING),
        (Rejected(483), False, NOTHING),
        (Rejected(484), True, REFUSED),
        (Rejected(485), False, GOOD),
        (Rejected(486), False, GOOD),
        (Rejected(487), False, GOOD),
        (Rejected(488), False, GOOD),
        (Rejected(500), True, FAULT),
        (Rejected(501), True, NOTHING),
        (Rejected(502), True, FAULT),
        (Rejected(503), True, FAULT),
        (Rejected(503, retry_after=30.0), True, Sign.RETRY_AFTER),
        (Rejected(504), True, FAULT),
        (Rejected(505), True, NOTHING),
        (Rejected(513), True, NOTHING),
        (Rejected(580), True, FAULT),
        (Rejected(600), False, GOOD),
        (Rejected(603), False, REFUSED),
        (Rejected(604), True, REFUSED),
        (Rejected(606), False, GOOD),
        (Rejected(607), False, GOOD),
        (Rejected(608), False, GOOD),
        (Rejected(699), False, GOOD),
    ],
)
def test_one_row(outcome: Outcome, next_trunk: bool, sign: Sign | None) -> None:
    verdict = judge(outcome, BUILT_IN)
    assert (verdict.next_trunk, verdict.sign) == (next_trunk, sign)
    assert verdict.said


def test_after_ringing_never_the_next_trunk_and_no_fault() -> None:
    for status in range(300, 700):
        verdict = judge(Rejected(status, ringing=True), BUILT_IN)
        assert not verdict.next_trunk, status
        assert verdict.sign is not FAULT, status


def test_403_goes_over_one_other_trunk_and_is_believed_when_that_agrees() -> None:
    assert judge(Rejected(403), BUILT_IN).next_trunk
    assert not judge(Rejected(403), BUILT_IN, agreed=[403]).next_trunk
    assert judge(Rejected(403), BUILT_IN, agreed=[503]).next_trunk
    assert judge(Rejected(503), BUILT_IN, agreed=[503]).next_trunk, "two faults agree on nothing"


@pytest.mark.parametrize("status", [404, 480, 484, 604])
def test_what_one_trunk_says_of_a_number_is_worth_a_second_opinion(status: int) -> None:
    first = judge(Rejected(status), BUILT_IN)
    assert first.next_trunk
    assert first.opinion
    assert not judge(Rejected(status), BUILT_IN, believed=True).next_trunk
    assert not judge(Rejected(status, ringing=True), BUILT_IN).next_trunk
    assert not judge(Rejected(status), BUILT_IN.changed(never_retry=[str(status)])).next_trunk


@pytest.mark.parametrize("status", [404, 480, 484, 604])
@pytest.mark.parametrize("before", [404, 480, 484, 604])
def test_two_trunks_agree_about_a_number_in_different_words(status: int, before: int) -> None:
    second = judge(Rejected(status), BUILT_IN, agreed=[0, before])
    assert (second.next_trunk, second.agreed, second.sign) == (False, True, None)
    assert not judge(Rejected(status), BUILT_IN, agreed=[0, 503]).agreed, "a fault agrees with nothing"


@pytest.mark.parametrize("status", [403, 404, 480, 484, 603, 604])
def test_a_refusal_is_evidence_until_two_trunks_agree_and_not_after_ringing(status: int) -> None:
    assert judge(Rejected(status), BUILT_IN).sign is REFUSED
    assert judge(Rejected(status), BUILT_IN, agreed=[status]).sign is None
    assert judge(Rejected(status, ringing=True), BUILT_IN).sign is GOOD


def test_evidence_carries_the_words_the_number_and_the_time() -> None:
    verdict = judge(Rejected(503, 30.0, reason="Maintenance"), BUILT_IN)
    expected = Evidence(Sign.RETRY_AFTER, "503 Maintenance", "+41441234567", 30.0, 7.5)
    assert verdict.evidence("+41441234567", 7.5) == expected
    assert judge(Silent(0.8), BUILT_IN).said == "no answer within 800 ms"
    assert judge(Cancelled(), BUILT_IN).evidence("1", 0.0) is None


# -- emergency calls --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ringing", [False, True])
def test_an_emergency_call_goes_on_after_everything_the_centre_did_not_decide(ringing: bool) -> None:
    rules = BUILT_IN.changed(never_retry=["4xx", "5xx", "timeout", "unreachable"])
    for status in range(300, 700):
        verdict = judge(Rejected(status, ringing=ringing), rules, agreed=[status], emergency=True)
        assert verdict.next_trunk is (status not in CALLEE_ENDS_EMERGENCY), status


@pytest.mark.parametrize("outcome", [Silent(1.0), NoRinging(8.0), Unreachable("reset", ringing=True)])
def test_an_emergency_call_goes_on_after_silence(outcome: Outcome) -> None:
    rules = BUILT_IN.changed(never_retry=["timeout", "unreachable"])
    assert judge(outcome, rules, emergency=True).next_trunk


@pytest.mark.parametrize("outcome", [Answered(), Cancelled(), RingingThenSilent(180.0)])
def test_an_emergency_call_that_rings_or_is_over_is_offered_to_nobody_else(outcome: Outcome) -> None:
    assert not judge(outcome, BUILT_IN, emergency=True).next_trunk


# -- words of the configuration ---------------------------------------------------------------------------------------


def test_the_lists_of_the_documented_example_change_no_decision() -> None:
    example = BUILT_IN.changed(
        ["timeout", "unreachable", "403", "408", "5xx"],
        ["404", "484", "485", "486", "487", "600", "603", "604", "606", "607", "608"],
    )
    for key in TABLE:
        wanted = BUILT_IN.row(key).next
        assert example.row(key).next is (Next.NO if wanted is Next.SECOND_OPINION and key != 480 else wanted)
        assert example.row(key).sign is BUILT_IN.row(key).sign


def test_a_named_status_goes_on_and_does_not_prove_that_the_trunk_works_any_more() -> None:
    rules = BUILT_IN.changed(next_trunk_on=["603", "480", "486"])
    for status, sign in ((603, REFUSED), (480, REFUSED), (486, NOTHING)):
        verdict = judge(Rejected(status), rules)
        assert verdict.next_trunk
        assert verdict.sign is sign
    assert "configured: `603` in next_trunk_on" in judge(Rejected(603), rules).why
    assert not judge(Rejected(603), BUILT_IN).next_trunk, "the built-in table is untouched"


def test_a_class_does_not_touch_what_the_callee_decided() -> None:
    rules = BUILT_IN.changed(next_trunk_on=["4xx"])
    assert judge(Rejected(480), rules, believed=True).next_trunk
    assert judge(Rejected(499), rules).next_trunk
    assert not judge(Rejected(486), rules).next_trunk
    assert not judge(Rejected(404), rules, believed=True).next_trunk


def test_a_class_of_six_hundreds_goes_on_only_for_those_without_a_row_of_their_own() -> None:
    rules = BUILT_IN.changed(next_trunk_on=["6xx"])
    assert judge(Rejected(699), rules).next_trunk
    assert not judge(Rejected(603), rules).next_trunk


def test_an_exact_status_goes_before_a_class_and_never_before_next() -> None:
    rules = BUILT_IN.changed(next_trunk_on=["503", "488"], never_retry=["5xx", "488"])
    assert judge(Rejected(503), rules).next_trunk
    assert not judge(Rejected(500), rules).next_trunk
    assert not judge(Rejected(580), rules).next_trunk
    assert not judge(Rejected(488), rules).next_trunk


def test_faults_stay_evidence_when_they_are_relayed() -> None:
    verdict = judge(Rejected(503), BUILT_IN.changed(never_retry=["503"]))
    assert (verdict.next_trunk, verdict.sign) == (False, FAULT)


def test_trunk_rules_are_changes_to_the_site_rules() -> None:
    site = BUILT_IN.changed(never_retry=["500"])
    trunk = site.changed(next_trunk_on=["603"], never_retry=["timeout"])
    assert not judge(Rejected(500), trunk).next_trunk
    assert judge(Rejected(603), trunk).next_trunk
    assert not judge(Silent(1.0), trunk).next_trunk
    assert not judge(NoRinging(1.0), trunk).next_trunk


@pytest.mark.parametrize("word", ["", "timeot", "2xx", "1xx", "7xx", "200", "99", "700", "4x", "40３"])
def test_a_word_that_is_none_is_said_clearly(word: str) -> None:
    expected = f"`{word}` is no outcome of a call: write `timeout`, `unreachable`, a status from 300 to 699, or a class"
    with pytest.raises(ValueError, match="no outcome of a call") as caught:
        BUILT_IN.changed(next_trunk_on=[word])
    assert str(caught.value).startswith(expected)


def test_words_are_read_whatever_their_case() -> None:
    assert parse(" TimeOut ") == ("silent", "no ringing")
    assert parse("5XX") == ("5xx",)
    assert parse("403") == (403,)


words = st.lists(
    st.sampled_from(["timeout", "unreachable", *(f"{n}xx" for n in (3, 4, 5, 6)), "403", "486", "503", "603"])
)


@given(words, words, st.integers(300, 699), st.booleans())
def test_no_configuration_makes_a_phone_ring_twice(
    more: list[str], never: list[str], status: int, ringing: bool
) -> None:
    verdict = judge(Rejected(status, ringing=ringing), BUILT_IN.changed(more, never))
    assert not (ringing and verdict.next_trunk)
