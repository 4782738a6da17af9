"""What is wrong now, as the page shows it."""

from dataclasses import replace

from sipfailover.alerts.condition import Condition, Severity, conditions
from sipfailover.proxy.view import EngineView
from sipfailover.trouble import Trouble
from tests.web.picture import ACCOUNT, BACKUP, DEAD_BACKUP, DEAD_MAIN, MAIN, PBX, picture


def seen(view: EngineView) -> list[tuple[str, str, Severity]]:
    return [(one.what, one.who, one.severity) for one in conditions(view, ())]


def test_all_well_is_nothing() -> None:
    assert conditions(picture(), ()) == ()


def test_a_trunk_that_is_down_or_on_trial_is_wrong_and_one_in_doubt_is_not() -> None:
    assert seen(picture(trunks=(DEAD_MAIN, BACKUP))) == [("trunk", "main", Severity.WARNING)]
    assert seen(picture(trunks=(replace(DEAD_MAIN, health="Trial"), BACKUP))) == [("trunk", "main", Severity.WARNING)]
    assert seen(picture(trunks=(replace(MAIN, health="Suspect"), BACKUP))) == []


def test_what_people_have_ordered_is_not_wrong() -> None:
    off = replace(DEAD_MAIN, order="off")
    assert seen(picture(trunks=(off, BACKUP))) == []


def test_no_trunk_left_is_the_worst_and_comes_first() -> None:
    found = conditions(picture(trunks=(DEAD_MAIN, DEAD_BACKUP)), ())
    assert [one.what for one in found] == ["no trunk", "trunk", "trunk"]
    assert found[0].severity is Severity.CRITICAL
    assert "main is Down: 2 OPTIONS in a row" in found[0].why
    assert "backup is Down: connection refused" in found[0].why


def test_our_own_line_is_no_fault_of_a_trunk() -> None:
    alone = replace(picture(), own_line="main and backup fell silent in the same moment")
    assert seen(alone) == [("own line", "", Severity.WARNING)]
    away = tuple(replace(trunk, carries_new_calls=False) for trunk in (MAIN, BACKUP))
    assert seen(replace(alone, trunks=away)) == [("own line", "", Severity.CRITICAL)]


def test_a_pbx_that_does_not_answer_is_critical_if_it_is_the_last() -> None:
    silent = replace(PBX, carries_new_calls=False, health="Down", why="3 OPTIONS had no answer")
    assert seen(picture(pbxs=(silent,))) == [("pbx", "pbx", Severity.CRITICAL)]
    assert seen(picture(pbxs=(silent, replace(PBX, name="spare")))) == [("pbx", "pbx", Severity.WARNING)]


def test_calls_that_come_in_and_registrations_have_their_own() -> None:
    deaf = replace(MAIN, inbound="Down", inbound_why="4 calls died within seconds")
    refused = replace(BACKUP, account=replace(ACCOUNT, state="Failed", why="403 Forbidden"))
    found = conditions(picture(trunks=(deaf, refused)), ())
    assert [(one.what, one.who, one.why) for one in found] == [
        ("inbound", "main", "4 calls died within seconds"), ("registration", "backup", "403 Forbidden"),
    ]  # fmt: skip


def test_our_own_troubles_and_certificates_that_run_out() -> None:
    found = conditions(picture(), (Trouble("history", "History", 1.0, "the disk is full"),), ("main's ends in 5 d",))
    assert found == (
        Condition("trouble", "history", Severity.WARNING, "History: the disk is full"),
        Condition("certificate", "main's ends in 5 d", Severity.NOTICE, "main's ends in 5 d"),
    )
