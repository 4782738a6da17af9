"""Troubles and faults: what is wrong with us, told while it lasts."""

import pytest

from sipfailover.trouble import PLACES_MAX, Faults, Trouble, Troubles


def test_a_trouble_is_there_while_it_lasts_and_knows_since_when() -> None:
    said = {"disk": "", "log": ""}
    troubles = Troubles()
    troubles.watch("disk", "The disk", lambda: said["disk"])
    troubles.watch("log", "The log", lambda: said["log"])
    assert troubles.known == ("disk", "log")
    assert troubles.now(1.0) == ()
    said["log"] = "nobody reads it"
    assert troubles.now(2.0) == (Trouble("log", "The log", 2.0, "nobody reads it"),)
    said["disk"] = "it is full"
    assert [str(trouble) for trouble in troubles.now(3.0)] == ["The disk: it is full", "The log: nobody reads it"]
    assert [trouble.since for trouble in troubles.now(3.5)] == [3.0, 2.0]
    said["log"] = ""
    assert [trouble.what for trouble in troubles.now(4.0)] == ["disk"]
    said["log"] = "again"
    assert troubles.now(5.0)[1].since == 5.0, "what is over is forgotten"


def raised(code: str) -> BaseException:
    with pytest.raises(ValueError, match="x") as caught:
        exec(compile(code, code, "exec"))
    return caught.value


def test_errors_are_counted_and_each_place_is_told_once() -> None:
    faults = Faults()
    assert faults.problem == ""
    here, there = raised("raise ValueError('x')"), raised("1\nraise ValueError('x')")
    assert [faults.is_new(error, "in a callback") for error in (here, here, there, here, there)] == [
        True, False, True, False, False,
    ]  # fmt: skip
    assert faults.count == 5
    assert "5 times" in faults.problem
    assert faults.is_new(None, "a task was destroyed")
    assert not faults.is_new(None, "a task was destroyed")


def test_the_places_are_bounded() -> None:
    faults = Faults()
    for number in range(3 * PLACES_MAX):
        assert faults.is_new(None, f"place {number}")
    assert not faults.is_new(None, f"place {3 * PLACES_MAX - 1}")
    assert faults.is_new(None, "place 0"), "forgotten, and told again"
