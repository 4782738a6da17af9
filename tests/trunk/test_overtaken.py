"""Suspicions: two in a row want a call that shows what they are worth."""

from sipfailover.trunk import Sign
from sipfailover.trunk.overtaken import IN_A_ROW, WITHIN, Overtaken


def suspected(count: int = IN_A_ROW) -> Overtaken:
    overtaken = Overtaken()
    for number in range(count):
        overtaken.lost(f"+4100{number}", 0.8, 10.0 * number)
    return overtaken


def test_only_two_in_a_row_want_to_be_judged() -> None:
    assert not suspected(IN_A_ROW - 1).full(30.0)
    assert suspected().full(30.0)
    assert not suspected().full(WITHIN), "the first of them is too long ago"


def test_a_call_that_fails_speaks_for_those_before_it() -> None:
    overtaken = suspected()
    found = overtaken.confirmed("100 Trying and then nothing for 6 s", 30.0)
    assert [(one.sign, one.destination, one.sent_at) for one in found] == [
        (Sign.CALL_FAULT, "+41000", 0.0),
        (Sign.CALL_FAULT, "+41001", 10.0),
    ]
    assert found[0].what == "silent for 800 ms until another trunk rang, and then: 100 Trying and then nothing for 6 s"
    assert overtaken.confirmed("once more", 31.0) == []
    assert repr(overtaken) == "<Overtaken 0 of 2>"


def test_a_call_that_comes_through_clears_them() -> None:
    overtaken = suspected()
    overtaken.refuted()
    assert not overtaken.full(30.0)
    assert overtaken.confirmed("silence", 31.0) == []


def test_what_is_too_old_is_evidence_of_nothing() -> None:
    assert [one.destination for one in suspected().confirmed("silence", WITHIN + 5.0)] == ["+41001"]


def test_of_more_only_the_last_ones_are_kept() -> None:
    assert len(suspected(50).confirmed("silence", 490.0)) == IN_A_ROW
