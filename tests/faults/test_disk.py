"""The disk is full, read-only, damaged or not ours: calls go on, the page says it, and later evidence goes on."""

import os
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from tests.faults.needs import needs_root_and
from tests.faults.street import Street
from tests.interop.stage import Stage, until

HISTORY = "small/history.db"
CALLS = 30
"""More than fit into the last page of a file that was there before the disk was full."""


@contextmanager
def small_disk(stage: Stage) -> Iterator[Path]:
    """A file system of one megabyte, mounted while the context lasts."""
    folder = stage.folder / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        stage.close()
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    file = folder / "everything"
    with file.open("wb", buffering=0) as filled:
        for size in (4096, 1):
            try:
                while filled.write(b"x" * size):
                    pass
            except OSError:
                continue
    return file


def calls_in(file: Path) -> int:
    """How many calls the history has."""
    if not file.exists():
        return 0
    with closing(sqlite3.connect(file)) as db:
        try:
            return int(db.execute("SELECT count(*) FROM calls").fetchone()[0])
        except sqlite3.DatabaseError:
            return 0  # not there yet, or damaged


@pytest.mark.parametrize("when", ["at the start", "while running"])
@needs_root_and("mount")
def test_a_full_disk_costs_no_call_and_is_told_and_what_waited_is_written_when_there_is_room(
    stage: Stage, when: str
) -> None:
    with small_disk(stage) as folder:
        filled = fill(folder) if when == "at the start" else None
        with Street(stage, history=HISTORY) as street:
            filled = filled or fill(folder)
            street.calls(CALLS)
            street.warned("History: ")
            assert "full" in street.warned("Calls would not survive a restart: "), street.warnings()
            assert street.ready(), "no carrier nor PBX has to leave us because of a disk"
            assert "[-]history" in street.get("/readyz?verbose")
            filled.unlink()
            until(lambda: not street.warnings(), 15.0, "nothing to warn of any more", street.service)
            street.calls(1)
            until(lambda: calls_in(folder / "history.db") == CALLS + 1, 15.0, "every call is written", street.service)


@needs_root_and("mount")
def test_a_call_answered_while_the_disk_was_full_outlives_a_kill_after_there_is_room_again(stage: Stage) -> None:
    with small_disk(stage) as folder, Street(stage, history=HISTORY) as street:
        filled = fill(folder)
        street.calls(CALLS)
        leg = street.call(talk=None)
        until(lambda: leg.acked_at, 5.0, "answered", street.service)
        street.warned("Calls would not survive a restart: ")
        filled.unlink()
        until(lambda: not street.warnings(), 15.0, "nothing to warn of any more", street.service)
        street.service.process.kill()
        street.service.wait(5.0)
        street.start()
        street.hang_up(leg)
        until(lambda: not any(leg.open for leg in street.main.legs), 5.0, "the carrier hears the BYE", street.service)


@pytest.mark.parametrize("flag", ["+i", "+a"])
@needs_root_and("chattr")
def test_files_that_may_not_be_written_are_told_and_cost_no_call(stage: Stage, flag: str) -> None:
    history = stage.folder / "history.db"
    history.touch()
    try:
        done = subprocess.run(["chattr", flag, history], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"this file system has no such flag: {done.stderr.strip()}")
        with Street(stage) as street:
            street.calls(3)
            assert str(history) in street.warned("History: ")
    finally:
        subprocess.run(["chattr", "-ia", history], check=False, capture_output=True)


def test_a_file_of_somebody_else_is_not_lost_and_told(stage: Stage) -> None:
    """A slip of the pen in the settings must not destroy the minutes of a meeting."""
    text = "Minutes of the meeting of 3 November.\n" * 300
    history, journal = stage.folder / "history.db", stage.folder / "calls.journal"
    history.write_text(text)
    journal.write_text(text)
    with Street(stage) as street:
        street.calls(3)
        assert f"{journal} is no calls file of ours" in street.warned("Calls would not survive a restart: ")
        until(lambda: calls_in(history) == 3, 10.0, "a history is begun", street.service)
        assert "put aside" in street.log
    assert journal.read_text() == text
    assert [kept.read_text() for kept in stage.folder.glob("history.db.damaged-*")] == [text]


def test_a_history_that_is_damaged_while_running_is_put_aside_and_a_new_one_begun(stage: Stage) -> None:
    with Street(stage) as street:
        street.calls(3)
        file = stage.folder / "history.db"
        until(lambda: calls_in(file) == 3, 10.0, "written", street.service)
        with file.open("r+b") as opened:
            opened.write(os.urandom(8192))
        for side in ("history.db-wal", "history.db-shm"):
            with (stage.folder / side).open("r+b") as opened:
                opened.write(os.urandom(4096))
        street.calls(3)
        until(lambda: calls_in(file) >= 3, 20.0, "a new history has the calls after it", street.service)
        assert list(stage.folder.glob("history.db.*")), "the damaged one is kept"
        assert "put aside" in street.log


def test_a_journal_that_was_cut_and_garbled_costs_the_records_it_lost_and_no_start(stage: Stage) -> None:
    with Street(stage) as street:
        legs = [street.call(talk=None) for _ in range(5)]
        for leg in legs:
            until(lambda leg=leg: leg.acked_at, 5.0, "answered", street.service)
        street.service.process.kill()
        street.service.wait(5.0)
        journal = stage.folder / "calls.journal"
        data = bytearray(journal.read_bytes())
        data[-1:] = b""
        middle = len(data) // 2
        data[middle : middle + 3] = b"\0\xff\0"
        journal.write_bytes(bytes(data))
        street.start()
        assert "parts of the calls file cannot be read" in street.log
        street.calls(3)
        for leg in legs:
            street.hang_up(leg)
        heard = lambda: sum(not leg.open for leg in street.main.legs if leg.answered_at)  # noqa: E731
        until(lambda: heard() >= 3 + 3, 8.0, "those that are whole are hung up at the carrier", street.service)
