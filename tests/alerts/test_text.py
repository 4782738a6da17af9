"""What people read."""

from dataclasses import replace

import pytest

from sipfailover.alerts.condition import Condition, Severity, conditions
from sipfailover.alerts.incident import BEGAN, EMERGENCY, FLAPPING, KINDS, RECOVERED, REMINDER, TEST, Incident, Notice
from sipfailover.alerts.text import SUBJECT_MAX, Words, trial, words
from sipfailover.proxy.view import EngineView
from tests.web.picture import BACKUP, DEAD_BACKUP, DEAD_MAIN, NOW, PBX, TO_BACKUP, picture, wall

FAILED_OVER = picture(trunks=(DEAD_MAIN, BACKUP), active_trunk="backup", last_failover=TO_BACKUP)


def told(
    view: EngineView, kind: str = BEGAN, counts: tuple[int, int] = (0, 0), text: str = "", since: float = 187
) -> Words:
    incidents = tuple(Incident(condition, NOW - since) for condition in conditions(view, ()))
    worst = incidents[0].condition.severity if incidents else Severity.WARNING
    notice = Notice(kind, NOW, worst, incidents, counts, text)
    return words(notice, view, wall, site="Muster AG", page="http://192.168.10.6:8080/", stable_for=600.0)


def test_a_failover_says_effect_cause_next_and_where_to_look() -> None:
    said = told(FAILED_OVER)
    assert said.subject == "[Muster AG] Calls now run over backup – main is down"
    assert said.body.splitlines() == [
        "Effect:  Nobody needs to do anything. Calls run over backup since 10:28. Main trunk main is Down.",
        "Cause:   main: 2 OPTIONS in a row without an answer, the last after 500 ms (since 10:28).",
        "Next:    New calls go back to main when it has been stable for 10 min.",
        "Look:    http://192.168.10.6:8080/",
    ]
    assert said.time == "2026-11-23T10:31:07+01:00"


def test_several_trunks_are_counted() -> None:
    third = replace(BACKUP, name="lte", tier=3)
    said = told(picture(trunks=(DEAD_MAIN, DEAD_BACKUP, third), active_trunk="lte"))
    assert said.subject == "[Muster AG] 2 of 3 trunks are down: main, backup"


def test_no_trunk_left_is_loud() -> None:
    dead = picture(trunks=(DEAD_MAIN, DEAD_BACKUP), active_trunk="")
    said = told(dead)
    assert said.subject == "[Muster AG] NO TRUNK LEFT – calls to outside fail since 10:28"
    assert "Nobody needs to do anything" not in said.body
    assert "repeated every 15 minutes" in said.next
    assert told(dead, REMINDER).subject.startswith("[Muster AG] STILL: NO TRUNK LEFT")


def test_the_end_says_how_long_and_what_it_cost() -> None:
    notice = Notice(
        RECOVERED, NOW, Severity.WARNING,
        (Incident(Condition("trunk", "main", Severity.WARNING, "3 OPTIONS had no answer"), NOW - 1380),), (4, 1),
    )  # fmt: skip
    said = words(notice, picture(), wall, site="Muster AG", page="", stable_for=600.0)
    assert said.subject == "[Muster AG] Back on main after 23 min"
    assert said.next == "4 calls went another way meanwhile, 1 was lost."
    assert "Look:" not in said.body


def test_a_pbx_our_own_line_and_an_emergency_call() -> None:
    silent = replace(PBX, carries_new_calls=False, health="Down", why="3 OPTIONS had no answer")
    assert "The PBX (pbx) does not answer" in told(picture(pbxs=(silent,))).subject
    own = told(replace(picture(), own_line="main and backup fell silent in the same moment", own_line_since=NOW - 60))
    assert "no trunk is to blame" in own.subject
    assert "router" in own.next
    urgent = told(picture(), EMERGENCY, text="A call to 117 went over backup instead of main")
    assert urgent.subject == "[Muster AG] EMERGENCY CALL to 117 went over backup instead of main"


def test_flapping_and_the_test_message() -> None:
    assert told(FAILED_OVER, FLAPPING).subject == "[Muster AG] main comes and goes"
    assert trial("Muster AG", "2026-11-23T10:31:07+01:00").subject == "[Muster AG] This is a test message"


@pytest.mark.parametrize(
    "what", ["no trunk", "trunk", "own line", "pbx", "inbound", "registration", "trouble", "certificate"]
)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != TEST])
def test_every_kind_has_words_for_every_condition_on_one_line_and_bounded(kind: str, what: str) -> None:
    long = Condition(what, "x" * 200, Severity.WARNING, "y" * 300)
    notice = Notice(kind, NOW, Severity.WARNING, (Incident(long, NOW - 60),), (1, 0), "A call to 112 reached nobody")
    said = words(notice, picture(), wall, site="Muster AG", page="", stable_for=600.0)
    assert 0 < len(said.subject) <= SUBJECT_MAX
    assert "\n" not in said.subject
    assert said.effect
