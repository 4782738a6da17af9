"""The writer thread: nothing it meets may reach a call, and nothing is lost without being counted."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from structlog.testing import capture_logs
from structlog.typing import EventDict

from sipfailover.ledger import Ledger, open_for_reading
from sipfailover.ledger import ledger as room
from tests.ledger.facts import START, call, change, probe, wall

PATIENCE = 10.0
"""Seconds a test waits for the writer before it fails; the writer needs milliseconds."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "history.db")


@pytest.fixture
def log() -> Iterator[list[EventDict]]:
    with capture_logs() as lines:
        yield lines


def stored_in_the_end(ledger: Ledger) -> bool:
    """Flush until the disk no longer refuses: a refusal may have been noted just before it gave way."""
    return any(ledger.flush(PATIENCE) for _ in range(1000))


def count(path: str, table: str = "calls") -> int:
    db = open_for_reading(path)
    try:
        number = db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    finally:
        db.close()
    assert isinstance(number, int)
    return number


def test_what_is_recorded_is_stored_at_the_close(path: str) -> None:
    ledger = Ledger(path, wall)
    ledger.start()
    for number in range(1000):
        ledger.record(call(number))
    ledger.close()
    ledger.close()
    assert count(path) == ledger.written == 1000
    assert (ledger.problem, ledger.lost) == ("", 0)


def test_flush_waits_until_it_is_stored(path: str) -> None:
    ledger = Ledger(path, wall)
    ledger.start()
    for number in range(3):
        ledger.record(call(number))
        assert ledger.flush(PATIENCE)
        assert count(path) == number + 1
    ledger.close()


def test_a_relative_path_is_under_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ledger = Ledger("here/history.db", wall)
    ledger.start()
    ledger.record(change())
    ledger.close()
    assert count("here/history.db", "trunk_changes") == 1


def test_no_path_keeps_nothing() -> None:
    ledger = Ledger(None, wall)
    ledger.start()
    ledger.record(call(1))
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert (ledger.written, ledger.lost, ledger.problem) == (0, 0, "")


def test_memory_is_a_place_too() -> None:
    ledger = Ledger(":memory:", wall)
    ledger.start()
    ledger.record(call(1))
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert ledger.written == 1


def test_beyond_the_queue_the_newest_are_dropped_and_counted(path: str) -> None:
    ledger = Ledger(path, wall, queue_max=10)
    for number in range(15):
        ledger.record(call(number))
    assert ledger.lost == 5
    assert ledger.problem == "5 records lost since the start"
    ledger.start()
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert count(path) == 10


def test_an_impossible_path_costs_evidence_and_is_said_once(log: list[EventDict]) -> None:
    ledger = Ledger("/dev/null/history.db", wall, retry_seconds=0.0)
    ledger.start()
    for number in range(5):
        ledger.record(call(number))
        assert not ledger.flush(PATIENCE)
    assert ledger.problem == "cannot write /dev/null/history.db: cannot make the directory /dev/null: File exists"
    ledger.close()
    assert ledger.lost == 5
    assert [line["event"] for line in log] == ["history cannot be written; calls go on"]


def test_a_full_disk_costs_evidence_and_is_said_once(path: str, log: list[EventDict]) -> None:
    ledger = Ledger(path, wall, max_bytes=120_000, retry_seconds=0.0)
    ledger.start()
    for number in range(5000):
        ledger.record(call(number))
    ledger.flush(PATIENCE)
    assert ledger.problem == f"cannot write {path}: the disk, or the space allowed for it, is full"
    ledger.close()
    assert 0 < ledger.written < 5000
    assert ledger.written + ledger.lost == 5000
    assert count(path) == ledger.written
    assert len(log) == 1


def test_a_lock_is_waited_out_and_the_recovery_said(
    path: str, log: list[EventDict], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sipfailover.ledger.store.BUSY_SECONDS", 0.0)
    ledger = Ledger(path, wall, retry_seconds=0.0)
    ledger.start()
    ledger.record(call(1))
    assert ledger.flush(PATIENCE)
    other = sqlite3.connect(path)
    other.execute("BEGIN EXCLUSIVE")
    ledger.record(call(2))
    assert not ledger.flush(PATIENCE)
    assert "somebody else holds a lock" in ledger.problem
    other.rollback()
    other.close()
    assert stored_in_the_end(ledger)
    ledger.close()
    assert ledger.problem == ""
    assert count(path) == 2
    assert [line["event"] for line in log] == ["history cannot be written; calls go on", "history is written again"]


def test_a_damaged_file_is_put_aside_and_a_fresh_one_begun(path: str, log: list[EventDict]) -> None:
    Path(path).write_bytes(b"not at all a database\n" * 500)
    ledger = Ledger(path, wall)
    ledger.start()
    ledger.record(call(1))
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert count(path) == 1
    (aside,) = Path(path).parent.glob("history.db.damaged-*")
    assert aside.read_bytes().startswith(b"not at all")
    assert [line["event"] for line in log] == ["history file was damaged and put aside; a new one is begun"]


def test_damage_while_running_is_survived(path: str, log: list[EventDict]) -> None:
    ledger = Ledger(path, wall, retry_seconds=0.0)
    ledger.start()
    ledger.record(call(1))
    assert ledger.flush(PATIENCE)
    ledger.close()
    size = os.path.getsize(path)
    with open(path, "r+b") as file:  # The header stays, so it opens; every table is garbage.
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    ledger = Ledger(path, wall, retry_seconds=0.0)
    ledger.start()
    ledger.record(call(2))
    assert stored_in_the_end(ledger)
    ledger.close()
    assert count(path) == 1
    assert len(list(Path(path).parent.glob("history.db.damaged-*"))) == 1
    assert "history file was damaged and put aside; a new one is begun" in [line["event"] for line in log]


def test_a_file_moved_away_is_begun_anew(path: str, log: list[EventDict]) -> None:
    ledger = Ledger(path, wall)
    ledger.start()
    ledger.record(call(1))
    assert ledger.flush(PATIENCE)
    os.rename(path, path + ".yesterday")
    ledger.record(call(2))
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert count(path) == 1
    assert [line["event"] for line in log] == ["history file was moved away; a new one is begun"]


def test_an_error_of_ours_costs_a_batch_and_not_the_writer(path: str, log: list[EventDict]) -> None:
    ledger = Ledger(path, wall, retry_seconds=0.0)
    ledger.start()
    ledger.record(change(at="never"))  # type: ignore[arg-type]
    assert not ledger.flush(PATIENCE)
    assert "the history writer failed: TypeError" in ledger.problem
    ledger.record(call(2))
    assert stored_in_the_end(ledger)
    assert ledger.problem == "1 records lost since the start"
    ledger.close()
    assert count(path) == 1
    assert [line["event"] for line in log] == ["history cannot be written; calls go on", "history is written again"]


def test_a_killed_process_leaves_a_sound_file_and_the_next_goes_on(path: str) -> None:
    program = """
import os, sys
from sipfailover.ledger import Ledger
from tests.ledger.facts import call, wall
ledger = Ledger(sys.argv[1], wall)
ledger.start()
for number in range(500):
    ledger.record(call(number))
assert ledger.flush(10)
for number in range(500, 5000):
    ledger.record(call(number))
os.kill(os.getpid(), 9)
"""
    killed = subprocess.run([sys.executable, "-c", program, path], timeout=60, check=False, env={"PYTHONPATH": "."})
    assert killed.returncode == -9
    survived = count(path)
    assert 500 <= survived <= 5000
    ledger = Ledger(path, wall)
    ledger.start()
    ledger.record(call(0))
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert count(path) == survived + 1
    assert count(path, "runs") == 2
    db = open_for_reading(path)
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert db.execute("SELECT run FROM runs WHERE ended_ms IS NULL").fetchall() == [(1,)]
    db.close()


def test_recording_is_cheap_and_never_waits(path: str) -> None:
    ledger = Ledger(path, wall)  # Not started: nobody empties the queue, as with a disk that hangs for ever.
    fact = probe(0.0)
    for _ in range(room.LEDGER_QUEUE_MAX + 1):
        ledger.record(fact)
    assert ledger.lost == 1


def test_records_are_kept_for_as_long_as_the_settings_say(path: str) -> None:
    now = time.monotonic()
    ledger = Ledger(path, lambda at: START + timedelta(seconds=at - now), keep=3600.0)
    ledger.start()
    ledger.record(call(1, at=now - 20_000.0))
    ledger.record(call(2, at=now - 100.0))
    assert ledger.flush(PATIENCE)
    ledger.close()
    assert count(path) == 1


def test_a_killed_process_was_alive_until_a_moment_ago(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(room, "ALIVE_EVERY", 0.05)
    now = time.monotonic()
    ledger = Ledger(path, lambda at: START + timedelta(seconds=at - now))
    ledger.start()
    ledger.record(probe(now))
    assert ledger.flush(PATIENCE)

    def alive() -> int:
        db = open_for_reading(path)
        (found,) = db.execute("SELECT alive_ms - started_ms FROM runs").fetchone()
        db.close()
        return int(found)

    end = time.monotonic() + PATIENCE
    while alive() < 200:
        assert time.monotonic() < end, "it says so though nothing happens"
        time.sleep(0.01)
    ledger.close()
