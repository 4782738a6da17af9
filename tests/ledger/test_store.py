"""The history file: what is in it, and what is done about a bad one."""

import os
import re
import sqlite3
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from sipfailover.ledger import gaps, last_calls, last_registration_changes, last_trunk_changes, open_for_reading
from sipfailover.ledger.queries import StoredGap
from sipfailover.ledger.store import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    TEXT_MAX,
    Store,
    StoreError,
    put_aside,
    schema_parts,
)
from sipfailover.proxy.facts import ConfigChanged, OperatorActed
from tests.ledger.facts import NOW, attempt, call, change, milliseconds, probe, registration, wall

SCHEMA_1 = (Path(__file__).parent / "schema_1.sql").read_text()
"""The schema as it was in the first files."""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "deep" / "er" / "history.db")


def rows(path: str, query: str) -> list[tuple[object, ...]]:
    db = open_for_reading(path)
    try:
        return db.execute(query).fetchall()
    finally:
        db.close()


def test_a_call_is_stored_with_its_ladder(path: str) -> None:
    store = Store(path, wall)
    store.write([attempt(1), attempt(1, 2), call(1), change()])
    store.close()
    db = open_for_reading(path)
    (stored,) = last_calls(db, 10)
    (moved,) = last_trunk_changes(db, 10)
    db.close()
    assert (stored.run, stored.call, stored.called, stored.rerouted) == (1, 1, "+41443210019", True)
    assert (stored.started_ms, stored.answered_ms) == (milliseconds(NOW), milliseconds(NOW + 5))
    assert stored.ringing_after_ms == 900
    assert (moved.trunk, moved.before, moved.after) == ("main", "Suspect", "Down")
    assert (moved.rule, moved.evidence) == ("failed checks in a row", ("2 s before: no answer", "now: no answer"))
    assert moved.direction == "outbound"
    assert rows(path, "SELECT number, outcome, ended_after_ms, call_id FROM attempts ORDER BY number") == [
        (1, "silent", 800, "1@us"),
        (2, "silent", 800, "1@us"),
    ]


def test_a_second_attempt_is_stored_with_its_reason(path: str) -> None:
    store = Store(path, wall)
    store.write([attempt(1), replace(attempt(1, 2), why="hedge: no answer from main for 40 ms"), call(1)])
    store.close()
    assert rows(path, "SELECT number, why FROM attempts ORDER BY number") == [
        (1, ""),
        (2, "hedge: no answer from main for 40 ms"),
    ]


def test_changes_of_registrations_are_stored_and_asked_for(path: str) -> None:
    store = Store(path, wall)
    store.write([registration(), registration("Registered", 200, NOW + 60)])
    store.close()
    db = open_for_reading(path)
    newest, first = last_registration_changes(db, 10)
    db.close()
    assert (newest.after, newest.status, newest.at_ms) == ("Registered", 200, milliseconds(NOW + 60))
    assert (first.trunk, first.before, first.after, first.why) == (
        "main", "Registered", "Failed", "403 Forbidden to REGISTER",
    )  # fmt: skip


def test_configurations_and_what_people_did_are_stored(path: str) -> None:
    store = Store(path, wall)
    store.write(
        [
            ConfigChanged(NOW, "aaa", True, (), ""),
            ConfigChanged(NOW + 1, "bbb", True, ("site a → b: at once", "x" * 900), "anna"),
            ConfigChanged(NOW + 2, "bbb", False, ("f.yaml:1:1: no",), "anna"),
            OperatorActed(NOW + 3, "anna", "off", "main", "fibre", NOW + 63),
            OperatorActed(NOW + 63, "", "enabled", "main", "its time is over", None),
        ]
    )
    store.close()
    found = rows(path, "SELECT at_ms, fingerprint, good, changes, who FROM configs ORDER BY id")
    assert found == [
        (milliseconds(NOW), "aaa", 1, "", ""),
        (milliseconds(NOW + 1), "bbb", 1, "site a → b: at once\n" + "x" * TEXT_MAX, "anna"),
        (milliseconds(NOW + 2), "bbb", 0, "f.yaml:1:1: no", "anna"),
    ]
    acts = rows(path, "SELECT at_ms, who, action, trunk, why, until_ms FROM operator_actions ORDER BY id")
    assert acts == [
        (milliseconds(NOW + 3), "anna", "off", "main", "fibre", milliseconds(NOW + 63)),
        (milliseconds(NOW + 63), "", "enabled", "main", "its time is over", None),
    ]


def test_the_configuration_that_was_in_effect_when_what_is_kept_begins_is_kept_too(path: str) -> None:
    store = Store(path, wall)
    kinds = ((1, True), (2, True), (3, False), (9, True))
    store.write([ConfigChanged(NOW + at, f"f{at}", good, (), "") for at, good in kinds])
    store.write([OperatorActed(NOW + at, "", "off", "main", "", None) for at in (1, 9)])
    store.forget(milliseconds(NOW + 5))
    store.close()
    assert rows(path, "SELECT fingerprint FROM configs ORDER BY id") == [("f2",), ("f3",), ("f9",)]
    assert rows(path, "SELECT count(*) FROM operator_actions") == [(1,)]


def of_version_1(path: str) -> None:
    """A file as the first release wrote it, with one call in it."""
    Path(path).parent.mkdir(parents=True)
    db = sqlite3.connect(path)
    db.executescript(f"{SCHEMA_1}; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = 1;")
    db.execute("INSERT INTO runs (started_ms) VALUES (1)")
    db.execute("INSERT INTO trunk_changes VALUES (1, 1, 1, 'main', 'Up', 'Down', '')")
    db.commit()
    db.close()


def shape(path: str) -> list[tuple[object, ...]]:
    """Every table and index as SQL, without remarks: those may be written better in a later release."""
    found = rows(path, "SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name")
    return [(*row[:3], " ".join(re.sub("--.*", "", str(row[3])).split())) for row in found]


def test_a_file_of_the_first_version_gets_what_it_lacks_and_keeps_what_it_has(path: str, tmp_path: Path) -> None:
    of_version_1(path)
    db = open_for_reading(path)
    assert last_registration_changes(db, 10) == [], "to a reader who comes before us it is no error"
    (old,) = last_trunk_changes(db, 10)
    assert (old.after, old.rule, old.evidence, old.direction) == ("Down", "", (), "outbound")
    db.close()
    store = Store(path, wall)
    store.write([registration(), change()])
    store.close()
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]
    assert rows(path, "SELECT run, rule FROM trunk_changes ORDER BY id") == [(1, ""), (2, "failed checks in a row")]
    assert rows(path, "SELECT run, after FROM registration_changes") == [(2, "Failed")]
    fresh = str(tmp_path / "fresh.db")
    Store(fresh, wall).close()
    assert shape(path) == shape(fresh)


def test_a_version_comes_whole_or_not_at_all(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    of_version_1(path)
    broken = [(1, ""), (2, "CREATE TABLE one (x); CREATE TABLE calls (x);")]
    monkeypatch.setattr("sipfailover.ledger.store.schema_parts", lambda: broken)
    with pytest.raises(StoreError, match="already exists"):
        Store(path, wall)
    assert rows(path, "PRAGMA user_version") == [(1,)]
    assert rows(path, "SELECT name FROM sqlite_master WHERE name = 'one'") == []
    monkeypatch.undo()
    Store(path, wall).close()
    assert rows(path, "PRAGMA user_version") == [(SCHEMA_VERSION,)]


def test_the_parts_of_the_schema_are_its_versions() -> None:
    assert [number for number, _ in schema_parts()] == list(range(1, SCHEMA_VERSION + 1))


def test_the_newest_call_comes_first(path: str) -> None:
    store = Store(path, wall)
    store.write([call(n, at=NOW + n) for n in range(1, 6)])
    store.close()
    db = open_for_reading(path)
    assert [stored.call for stored in last_calls(db, 3)] == [5, 4, 3]
    db.close()


def test_probes_are_folded_into_minutes(path: str) -> None:
    store = Store(path, wall)
    store.write([probe(NOW), probe(NOW + 30, round_trip=0.04), probe(NOW + 40, "timeout", None), probe(NOW + 61)])
    store.write([probe(NOW + 50, round_trip=0.01)])
    store.close()
    minute = milliseconds(NOW)
    assert rows(path, "SELECT * FROM probes_minute ORDER BY minute_ms, result") == [
        ("main", minute, "answered", 3, 3, 70_000, 40_000),
        ("main", minute, "timeout", 1, 0, 0, 0),
        ("main", minute + 60_000, "answered", 1, 1, 20_000, 20_000),
    ]


def test_a_restart_continues_in_a_new_run(path: str) -> None:
    for _ in range(2):
        store = Store(path, wall)
        store.write([call(1)])
        store.close(NOW + 100)
    assert rows(path, "SELECT run, call FROM calls ORDER BY run") == [(1, 1), (2, 1)]
    assert rows(path, "SELECT ended_ms FROM runs") == [(milliseconds(NOW + 100),)] * 2


def test_an_idle_start_leaves_no_run(path: str) -> None:
    Store(path, wall).close(NOW)
    assert rows(path, "SELECT * FROM runs") == []


def test_what_a_peer_wrote_is_bounded_and_storable(path: str) -> None:
    store = Store(path, wall)
    store.write([replace(attempt(1), reason="\udcff\0x" + "y" * 5000), replace(call(1), caller="\ud800")])
    store.close()
    ((reason,),) = rows(path, "SELECT reason FROM attempts")
    assert isinstance(reason, str)
    assert reason.startswith("?")
    assert len(reason) == TEXT_MAX


def test_the_file_is_private(path: str) -> None:
    Store(path, wall).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_batch_is_stored_whole_or_not_at_all(path: str) -> None:
    store = Store(path, wall, max_bytes=120_000)
    store.write([call(1)])
    with pytest.raises(StoreError, match="full"):
        store.write([replace(call(n), call_id="x" * 500) for n in range(2, 2000)])
    store.write([probe(NOW)])
    store.close()
    assert rows(path, "SELECT count(*) FROM calls") == [(1,)]


def test_a_locked_file_is_said_in_words(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sipfailover.ledger.store.BUSY_SECONDS", 0.0)
    store = Store(path, wall)
    other = sqlite3.connect(path)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="somebody else holds a lock"):
        store.write([call(1)])
    other.rollback()
    other.close()
    store.write([call(1)])
    store.close()
    assert rows(path, "SELECT count(*) FROM calls") == [(1,)]


def test_a_read_only_file_is_said_in_words(path: str) -> None:
    store = Store(path, wall)
    store._db.execute("PRAGMA query_only = 1")  # As a disk that the kernel has remounted read-only.
    with pytest.raises(StoreError, match="read-only"):
        store.write([call(1)])
    store.close()


@pytest.mark.parametrize("where", ["/dev/null/history.db", "/proc/history.db", "/"])
def test_a_place_that_cannot_be_written_is_said_in_words(where: str) -> None:
    with pytest.raises(StoreError, match=f"cannot write {where}: "):
        Store(where, wall)


def test_a_file_of_a_newer_version_is_left_alone(path: str) -> None:
    Store(path, wall).close()
    db = sqlite3.connect(path)
    db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    db.close()
    with pytest.raises(StoreError, match="newer sipfailover") as refusal:
        Store(path, wall)
    assert not refusal.value.damaged


def test_somebody_elses_database_is_left_alone(tmp_path: Path) -> None:
    path = str(tmp_path / "cdr.db")
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE cdr (x)")
    db.commit()
    db.close()
    with pytest.raises(StoreError, match="somebody else's database"):
        Store(path, wall)


def test_nonsense_is_known_as_damage_and_put_aside(path: str) -> None:
    Path(path).parent.mkdir(parents=True)
    Path(path).write_bytes(b"this is no database, however long one looks at it\n" * 100)
    with pytest.raises(StoreError) as refusal:
        Store(path, wall)
    assert refusal.value.damaged
    kept = put_aside(path, wall(NOW))
    assert kept == f"{path}.damaged-20261123-090000"
    assert Path(kept).read_bytes().startswith(b"this is no database")
    Store(path, wall).close()


def test_a_file_that_was_moved_away_is_noticed(path: str) -> None:
    store = Store(path, wall)
    assert not store.gone
    os.rename(path, path + ".old")
    assert store.gone
    Path(path).touch()
    assert store.gone
    store.close()


def test_a_store_in_memory_is_never_gone() -> None:
    store = Store(":memory:", wall)
    store.write([call(1)])
    assert not store.gone
    store.close()


def test_old_records_are_forgotten_a_little_at_a_time(path: str) -> None:
    store = Store(path, wall)
    for number in range(1, 6):
        store.write([attempt(number), call(number, at=NOW + number), change(at=NOW + number), probe(NOW + 60 * number)])
        store.write([registration(at=NOW + number)])
    assert store.forget(milliseconds(NOW + 3.5), rows=2)
    assert rows(path, "SELECT call FROM calls ORDER BY call") == [(3,), (4,), (5,)]
    assert rows(path, "SELECT call FROM attempts ORDER BY call") == [(3,), (4,), (5,)]
    assert not store.forget(milliseconds(NOW + 3.5), rows=2)
    assert rows(path, "SELECT call FROM calls ORDER BY call") == [(4,), (5,)]
    assert rows(path, "SELECT count(*) FROM trunk_changes") == [(2,)]
    assert rows(path, "SELECT count(*) FROM registration_changes") == [(2,)]
    store.forget(milliseconds(NOW + 150))
    assert rows(path, "SELECT count(*) FROM probes_minute") == [(3,)]
    store.close()


# -- when this service was not there -------------------------------------------------------------------------------


def gap(path: str) -> list[StoredGap]:
    db = open_for_reading(path)
    try:
        return gaps(db, 10)
    finally:
        db.close()


def test_a_time_without_this_service_is_known_whether_it_was_stopped_or_killed(path: str) -> None:
    stopped = Store(path, wall)
    stopped.write([probe(NOW)])
    stopped.close(NOW + 100.0)
    killed = Store(path, wall)
    killed.write([probe(NOW + 160.0)])
    killed.alive(NOW + 200.0)
    killed.close()
    Store(path, wall).write([probe(NOW + 230.0)])
    assert gap(path) == [
        StoredGap(milliseconds(NOW + 200.0), milliseconds(NOW + 230.0), False),
        StoredGap(milliseconds(NOW + 100.0), milliseconds(NOW + 160.0), True),
    ]


def test_what_was_stored_after_the_last_sign_of_life_is_one(path: str) -> None:
    killed = Store(path, wall)
    killed.write([change(at=NOW)])
    killed.write([change(at=NOW + 3.0)])
    killed.close()
    Store(path, wall).write([probe(NOW + 10.0)])
    (only,) = gap(path)
    assert (only.from_ms, only.orderly) == (milliseconds(NOW + 3.0), False)


def test_a_clock_that_was_set_back_makes_no_gap_that_ends_before_it_begins(path: str) -> None:
    killed = Store(path, wall)
    killed.write([probe(NOW)])
    killed.alive(NOW + 5000.0)
    killed.close()
    Store(path, wall).write([probe(NOW + 10.0)])
    (only,) = gap(path)
    assert only.from_ms <= only.to_ms


def test_gaps_of_a_file_of_the_first_version_are_known_from_what_it_stored(path: str) -> None:
    of_version_1(path)
    (before,) = rows(path, "SELECT max(ended_ms) FROM calls") or [(0,)]
    assert gap(path) == []
    Store(path, wall).write([probe(NOW)])
    (only,) = gap(path)
    assert only.to_ms == milliseconds(NOW)
    assert only.from_ms < only.to_ms
    assert before is not None


@pytest.mark.parametrize("count", [1, 7, 8, 49, 50, 59, 107])
def test_however_many_calls_wait_each_is_stored_once_and_in_its_columns(path: str, count: int) -> None:
    store = Store(path, wall)
    store.write([fact for number in range(count) for fact in (attempt(number), call(number, NOW + number), probe(NOW))])
    store.close()
    stored = rows(path, "SELECT call, started_ms, ended_by, call_id FROM calls ORDER BY call")
    assert stored == [(n, milliseconds(NOW + n), "caller", f"{n}@pbx") for n in range(count)]
    assert rows(path, "SELECT call, outcome FROM attempts ORDER BY call") == [(n, "silent") for n in range(count)]
    assert rows(path, "SELECT sum(probes) FROM probes_minute") == [(count,)]
