"""Letters that wait: tried again, kept over a restart, bounded in number and age."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from sipfailover.alerts import outbox
from sipfailover.alerts.condition import Condition, Severity
from sipfailover.alerts.outbox import GIVE_UP_AFTER, LETTERS_MAX, RETRY_MOST, Box, Letter
from sipfailover.alerts.text import Words
from sipfailover.config.model import MAX_NOTIFY

WORDS = Words("began", Severity.WARNING, "2026-11-23T10:31:07+01:00", "main is down", "calls run over backup")


def letter(at: float = 1000.0, due: float = 0.0) -> Letter:
    return Letter(WORDS, at, due_at=due, keys=("trunk:main",))


def test_what_is_delivered_is_gone_and_what_is_not_is_tried_again_later_and_later() -> None:
    box = Box("mail")
    box.put(letter())
    now, waits = 1000.0, []
    for _ in range(12):
        one = box.first(now)
        assert one is not None
        box.failed(one, "refused", now)
        due = box.next_due()
        assert due is not None
        waits.append(due - now)
        assert box.first(due - 0.1) is None
        now = due
    assert waits[:4] == [10.0, 20.0, 40.0, 80.0]
    assert max(waits) == RETRY_MOST
    assert box.problem == "refused"
    one = box.first(now)
    assert one is not None
    box.went_well(one)
    assert (box.problem, len(box.letters)) == ("", 0)


def test_one_that_waits_for_the_morning_holds_up_nobody() -> None:
    box = Box("mail")
    box.put(letter(due=9000.0))
    urgent = letter(due=1000.0)
    box.put(urgent)
    assert box.first(1000.0) is urgent
    assert box.next_due() == 1000.0


def test_when_the_way_is_closed_the_others_wait_too() -> None:
    box = Box("mail")
    for _ in range(3):
        box.put(letter())
    one = box.first(1000.0)
    assert one is not None
    box.failed(one, "refused", 1000.0)
    assert box.first(1005.0) is None


def test_the_oldest_is_dropped_and_counted_beyond_the_bound_and_after_a_day() -> None:
    box = Box("mail")
    for number in range(LETTERS_MAX + 5):
        box.put(letter(1000.0 + number))
    assert (len(box.letters), box.dropped) == (LETTERS_MAX, 5)
    assert box.first(1000.0 + LETTERS_MAX + 5 + GIVE_UP_AFTER) is None
    assert box.dropped == LETTERS_MAX + 5


def test_a_restart_finds_everything_again(tmp_path: Path) -> None:
    file = str(tmp_path / "new" / "alerts.json")
    box = Box("mail to a@b.example")
    box.put(letter(due=77.0))
    told = [(Condition("trunk", "main", Severity.WARNING, "no answer"), 900.0)]
    assert outbox.save(file, [box], told) == ""
    assert os.stat(file).st_mode & 0o077 == 0, "it is nobody else's business"
    kept = outbox.load(file)
    (found,) = kept.letters[box.name]
    assert (found.words, found.written_at, found.due_at, found.keys) == (WORDS, 1000.0, 77.0, ("trunk:main",))
    assert isinstance(found.words.severity, Severity)
    assert kept.told == told


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"letters": {"a": [1]}, "told": []}', '{"letters": 3}', "\0" * 9]
)
def test_a_file_that_cannot_be_used_is_an_empty_one(tmp_path: Path, text: str) -> None:
    file = tmp_path / "alerts.json"
    file.write_text(text)
    assert outbox.load(str(file)) == outbox.Kept({}, [])


def test_a_disk_that_refuses_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot write" in outbox.save(str(tmp_path / "file" / "alerts.json"), [], [])
    assert outbox.load(None) == outbox.Kept({}, [])


def test_as_many_letters_as_there_may_be_come_back(tmp_path: Path) -> None:
    file = str(tmp_path / "messages.json")
    boxes = [Box(f"target {number}") for number in range(MAX_NOTIFY)]
    for box in boxes:
        box.letters.extend(Letter(replace(WORDS, cause="x" * 2000), 1000.0) for _ in range(LETTERS_MAX))
    assert outbox.save(file, boxes, []) == ""
    found = outbox.load(file).letters
    assert {name: len(letters) for name, letters in found.items()} == {box.name: LETTERS_MAX for box in boxes}
