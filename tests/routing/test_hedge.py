"""The hedge as tables: when a second attempt may begin, and what one attempt does to the other."""

from itertools import product

import pytest

from sipfailover.routing import TABLE, Answered, NoRinging, Outcome, Rejected, Rules, Silent, Unreachable, judge
from sipfailover.routing.hedge import (
    AT_ONCE_MAX,
    FIRST,
    IN_DOUBT,
    NEITHER,
    RACE,
    SECOND,
    Event,
    Heard,
    Then,
    Usual,
    ended,
    may_begin,
    patience,
    winner,
    words,
)
from sipfailover.trunk import State

FAST, SLOW = 0.03, 1.2


@pytest.mark.parametrize(
    ("heard", "usual", "seconds"),
    [
        (Heard.NOTHING, Usual(FAST, SLOW), FAST),
        (Heard.NOTHING, Usual(None, SLOW), None),
        (Heard.NOTHING, Usual(FAST, None), FAST),
        (Heard.TRYING, Usual(FAST, SLOW), SLOW),
        (Heard.TRYING, Usual(None, SLOW), SLOW),
        (Heard.TRYING, Usual(FAST, None), None),
        (Heard.RINGING, Usual(FAST, SLOW), None),
    ],
)
def test_each_silence_has_its_own_clock_and_none_where_nothing_was_measured(
    heard: Heard, usual: Usual, seconds: float | None
) -> None:
    assert patience(heard, usual) == seconds


def test_a_second_attempt_begins_in_four_cases_of_all_that_there_are() -> None:
    cases = product(Heard, State, (True, False), (True, False), (1, 2, 3))
    allowed = {
        (heard, state)
        for heard, state, unusual, desperate, under_way in cases
        if may_begin(heard, state, unusual=unusual, desperate=desperate, under_way=under_way)
        and unusual and not desperate and under_way == 1
    }  # fmt: skip
    assert allowed == set(product((Heard.NOTHING, Heard.TRYING), (State.SUSPECT, State.DOWN)))
    assert {State.SUSPECT, State.DOWN} == IN_DOUBT


@pytest.mark.parametrize(
    ("unusual", "desperate", "under_way"),
    [(False, False, 1), (True, True, 1), (True, False, AT_ONCE_MAX), (True, False, 3)],
)
def test_no_second_attempt(unusual: bool, desperate: bool, under_way: int) -> None:
    for heard, state in product(Heard, State):
        assert not may_begin(heard, state, unusual=unusual, desperate=desperate, under_way=under_way)


def test_every_event_has_its_row() -> None:
    assert set(RACE) == set(Event)
    assert [event for event in Event if RACE[event] is Then.CANCELLED] == [Event.RINGS, Event.ANSWERS]


@pytest.mark.parametrize(
    ("outcome", "event"),
    [
        (Answered(200), Event.ANSWERS),
        (Silent(0.8), Event.FAILS),
        (NoRinging(12.0), Event.FAILS),
        (Unreachable("refused"), Event.FAILS),
        (Unreachable("no route", local=True), Event.FAILS),
        (Rejected(503), Event.FAILS),
        (Rejected(403), Event.FAILS),
        (Rejected(404), Event.FAILS),  # its rival gives the second opinion
        (Rejected(486), Event.REFUSED),
        (Rejected(302), Event.REFUSED),
        (Rejected(603), Event.REFUSED_EVERYWHERE),
        (Rejected(600), Event.REFUSED_EVERYWHERE),
    ],
)
def test_what_an_end_is_for_the_race(outcome: Outcome, event: Event) -> None:
    assert ended(outcome, judge(outcome, Rules())) is event


@pytest.mark.parametrize("status", sorted(key for key in TABLE if isinstance(key, int)))
@pytest.mark.parametrize("emergency", [False, True])
def test_what_sends_a_call_to_the_next_trunk_never_ends_it_while_another_attempt_is_under_way(
    status: int, emergency: bool
) -> None:
    outcome = Rejected(status)
    verdict = judge(outcome, Rules(), emergency=emergency)
    event = ended(outcome, verdict)
    assert (RACE[event] is Then.GOES_ON) is verdict.next_trunk
    assert event not in (Event.RINGS, Event.ANSWERS)


@pytest.mark.parametrize(
    ("outcome", "rang", "overtaken", "who"),
    [
        (Answered(200), False, False, SECOND),
        (Rejected(486), True, False, SECOND),
        (Silent(0.8), False, True, FIRST),
        (Rejected(486), False, False, NEITHER),
        (Silent(0.8), False, False, NEITHER),
    ],
)
def test_who_has_won(outcome: Outcome, rang: bool, overtaken: bool, who: str) -> None:
    assert winner(outcome, rang=rang, overtaken=overtaken) == who


def test_the_reason_says_which_clock_it_was() -> None:
    assert words(Heard.NOTHING, "main", 0.031, 0.028) == (
        "hedge: no answer from main for 31 ms, 95 % of its first answers are within 28 ms"
    )
    assert words(Heard.TRYING, "main", 1.5, 1.2) == (
        "hedge: no ringing from main for 1.5 s, 95 % of its times to ringing are within 1.2 s"
    )
