"""What is said: the sentence for every situation, masked numbers, durations."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.trunk.masking import HIDDEN_DIGITS
from sipfailover.web import mask, sentence
from sipfailover.web.words import clock, lasted, milliseconds, rfc3339, talk_time
from tests.web.picture import BACKUP, DEAD_BACKUP, DEAD_MAIN, MAIN, NOW, PBX, TO_BACKUP, failed_over, picture, wall

SUSPECT_MAIN = replace(MAIN, health="Suspect", why="one OPTIONS without an answer")
TRIAL_MAIN = replace(MAIN, health="Trial", carries_new_calls=False)
DEAD_PBX = replace(PBX, health="Down", why="no answer", carries_new_calls=False)
OTHER_PBX = replace(PBX, name="second")

SILENT = "main and backup fell silent in the same moment"

SENTENCES = {
    "it is our own line": (
        picture(SUSPECT_MAIN, BACKUP, own_line=SILENT, own_line_since=NOW - 180, own_line_excuses=True),
        "down",
        f"It is probably our own line since 10:28: {SILENT}. No trunk is blamed.",
    ),
    "it is our own DNS": (
        picture(own_line="the name of no trunk resolves (timeout)", own_line_since=NOW - 180),
        "degraded",
        "It is probably our own line since 10:28: the name of no trunk resolves (timeout). "
        "No trunk is blamed for that, and the last good addresses are used.",
    ),
    "all is well": (picture(), "ok", "All good. Calls run over main."),
    "one trunk only": (picture(MAIN), "ok", "All good. Calls run over main."),
    "main is down": (
        failed_over(),
        "degraded",
        "Calls run over backup since 10:28. Main trunk main is Down.",
    ),
    "main is down since yesterday": (
        picture(DEAD_MAIN, BACKUP, last_failover=replace(TO_BACKUP, at=NOW - 86400)),
        "degraded",
        "Calls run over backup since 22 Nov 10:31. Main trunk main is Down.",
    ),
    "main was down when we started": (
        picture(DEAD_MAIN, BACKUP),
        "degraded",
        "Calls run over backup. Main trunk main is Down.",
    ),
    "main is back but not trusted yet": (
        picture(replace(MAIN, carries_new_calls=False), BACKUP, last_failover=TO_BACKUP),
        "degraded",
        "Calls run over backup since 10:28. Main trunk main is Up again and will take calls when it has been stable.",
    ),
    "main is on trial": (
        picture(TRIAL_MAIN, BACKUP, last_failover=TO_BACKUP),
        "degraded",
        "Calls run over backup since 10:28. Main trunk main is back and on Trial.",
    ),
    "main is switched off": (
        picture(replace(MAIN, order="off", carries_new_calls=False), BACKUP),
        "degraded",
        "Calls run over backup. Main trunk main is switched off.",
    ),
    "main is draining": (
        picture(replace(MAIN, order="draining", carries_new_calls=False), BACKUP),
        "degraded",
        "Calls run over backup. Main trunk main takes no new calls, as ordered.",
    ),
    "both are unwell": (
        picture(DEAD_MAIN, replace(BACKUP, health="Suspect"), last_failover=TO_BACKUP),
        "degraded",
        "Calls run over backup since 10:28. Main trunk main is Down. Backup trunk backup is Suspect.",
    ),
    "main is in doubt": (
        picture(SUSPECT_MAIN, BACKUP),
        "degraded",
        "Calls run over main. Main trunk main is Suspect.",
    ),
    "only the backup is down": (
        picture(MAIN, DEAD_BACKUP),
        "degraded",
        "Calls run over main. Backup trunk backup is Down.",
    ),
    "nothing is left": (picture(DEAD_MAIN, DEAD_BACKUP), "down", "No trunk can carry a call."),
    "no active trunk for a moment": (
        picture(DEAD_MAIN, BACKUP, active_trunk=""),
        "degraded",
        "Calls are moving to another trunk. Main trunk main is Down.",
    ),
    "the PBX is silent": (
        picture(pbxs=(DEAD_PBX,)),
        "degraded",
        "The trunks are well. Calls run over main. The PBX does not answer.",
    ),
    "the PBX has not registered": (
        picture(pbxs=(replace(PBX, carries_new_calls=False, registration="Not registered yet"),)),
        "degraded",
        "The trunks are well. Calls run over main. The PBX is not registered.",
    ),
    "both PBXs are silent": (
        failed_over(pbxs=(DEAD_PBX, replace(DEAD_PBX, name="second"))),
        "degraded",
        "Calls run over backup since 10:28. Main trunk main is Down. The PBXs do not answer.",
    ),
    "one PBX of two is silent": (
        picture(pbxs=(DEAD_PBX, OTHER_PBX)),
        "degraded",
        "The trunks are well. Calls run over main. PBX pbx does not answer.",
    ),
    "nothing is left and the PBX is silent": (
        picture(DEAD_MAIN, pbxs=(DEAD_PBX,)),
        "down",
        "No trunk can carry a call. The PBX does not answer.",
    ),
}


@pytest.mark.parametrize("situation", SENTENCES)
def test_the_sentence_says_what_is(situation: str) -> None:
    view, state, text = SENTENCES[situation]
    said = sentence(view, wall)
    assert (said.state, said.text) == (state, text)


def test_draining_comes_before_everything() -> None:
    said = sentence(picture(calls_now=1), wall, draining=True)
    assert (said.state, said.text) == ("down", "Shutting down: no new calls; waiting for 1 call to be done.")


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("+41443210019", "+4144321****"),
        ("+41 44 321 00 19", "+41 44 321 ** **"),
        ("sip:+41443210019@198.51.100.7:5060;user=phone", "+4144321****"),
        ("tel:0443210019;phone-context=ch", "044321****"),
        ("201", "***"),
        ("sip:117@192.0.2.5", "***"),
        ("alice", "a…"),
        ("sip:alice.muster@192.0.2.5", "a…"),
        ("phone-7", "p…"),
        ("7eleven", "…"),
        ("anonymous", "anonymous"),
        ("sip:Anonymous@anonymous.invalid", "anonymous"),
        ("", "unknown"),
    ],
)
def test_a_number_hides_its_last_four_digits(number: str, shown: str) -> None:
    assert mask(number) == shown


@given(st.text(max_size=60))
def test_no_text_shows_its_last_four_digits(number: str) -> None:
    shown = mask(number)
    assert shown.isprintable()
    assert len(shown) <= 32
    digits = [c for c in number if c.isdigit()]
    assert sum(c.isdigit() for c in shown) <= max(0, len(digits) - HIDDEN_DIGITS)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        *((-1, "0 s"), (8.9, "8 s"), (60, "1 min"), (3599, "59 min"), (3600, "1 h"), (7500, "2 h 5 min")),
        *((86400, "1 d"), (97_200, "1 d 3 h")),
    ],
)
def test_a_duration_has_two_units_at_most(seconds: float, said: str) -> None:
    assert lasted(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (7, "0:07"), (751, "12:31"), (3723, "1:02:03")])
def test_talk_time_looks_as_on_a_telephone(seconds: float, said: str) -> None:
    assert talk_time(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(None, "–"), (0.0004, "0.4 ms"), (0.0213, "21 ms"), (1.44, "1.4 s")])
def test_a_round_trip_has_a_fitting_unit(seconds: float | None, said: str) -> None:
    assert milliseconds(seconds) == said


def test_times_carry_their_zone() -> None:
    assert rfc3339(NOW, wall) == "2026-11-23T10:31:07+01:00"
    assert clock(NOW - 60, NOW, wall) == "10:30"
    assert clock(NOW - 12 * 3600, NOW, wall) == "22 Nov 22:31"
