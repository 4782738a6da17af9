"""The history file: opening, schema version, damage, and one batch of facts as one transaction.

Synchronous, for one thread. Every failure comes out as `StoreError` in words that an operator understands. A
damaged file is put aside under another name and a fresh one begun: old evidence is kept, new evidence is kept too.
"""

import contextlib
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from importlib import resources
from pathlib import Path

from sipfailover.errors import SipfailoverError
from sipfailover.proxy.facts import (
    AttemptEnded,
    CallEnded,
    ConfigChanged,
    Fact,
    OperatorActed,
    ProbeEnded,
    RegistrationChanged,
    TrunkChanged,
)

SCHEMA_VERSION = 7
APPLICATION_ID = 0x53495046
"""`SIPF` in the header of the file: it is ours."""

FILE_MAX_BYTES = 4 << 30
"""The file grows to 4 GiB (millions of calls) and then counts as a full disk; calls go on."""

TEXT_MAX = 512
"""Longest text of a column; the rest of a peer's prose is cut off."""

BUSY_SECONDS = 2.0
"""How long a batch waits for somebody else's lock (a backup, a curious `sqlite3`)."""

ROWS_AT_ONCE = (50, 8, 1)
"""Rows of one INSERT: as many as fit, so that few statements are ever made. 50 calls have 900 values; some builds of
SQLite take 999."""

FORGET_ROWS = 500
"""Calls that are forgotten in one transaction: some milliseconds, so that what is new never waits long."""

MINUTE_MS = 60_000
DAMAGED = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))
Wall = Callable[[float], datetime]


AGAIN_WITHIN_MS = 5
"""Two moments of one fact that differ by less are the same: each was reckoned from another clock."""


@dataclass(frozen=True, slots=True)
class Again:
    """A fact of an earlier process, which may have stored it: it is stored only if it is not there."""

    fact: Fact

    @property
    def at(self) -> float:
        return self.fact.at


class StoreError(SipfailoverError):
    """The disk's or the file's fault. `damaged`: the file is no sound database."""

    def __init__(self, text: str, *, damaged: bool = False) -> None:
        super().__init__(text)
        self.damaged = damaged


class Store:
    """One open history file. `run` is the number of this run of the process in it."""

    def __init__(self, path: str, wall: Wall, *, max_bytes: int = FILE_MAX_BYTES) -> None:
        """Open or begin the file. The run is noted with the first batch, so that an idle start leaves no trace."""
        self.path = path
        self.run = 0
        self._wall = wall
        self._offset = 0.0
        self._inode = 0 if path == ":memory:" else _make_private_file(path)
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
        except sqlite3.Error as error:
            raise _translated(path, error) from error
        try:
            self._prepare(max_bytes)
        except sqlite3.Error as error:
            self._db.close()
            raise _translated(path, error) from error
        except StoreError:
            self._db.close()
            raise

    def _prepare(self, max_bytes: int) -> None:
        db = self._db
        (version,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if version > SCHEMA_VERSION:
            raise StoreError(
                f"{self.path} was written by a newer sipfailover (schema {version}, ours {SCHEMA_VERSION})"
            )
        if tables and db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise StoreError(f"{self.path} is somebody else's database; it is left alone")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # WAL survives a killed process; a power cut costs the last moments.
        (page_size,) = db.execute("PRAGMA page_size").fetchone()
        db.execute(f"PRAGMA max_page_count = {max(1, max_bytes // page_size)}")
        for number, part in schema_parts():
            if number > (version if tables else 0):
                self._apply(number, part)

    def _apply(self, number: int, part: str) -> None:
        """Bring the file to this version, whole or not at all: a process that is killed meanwhile does it again."""
        try:
            self._db.executescript(
                f"BEGIN IMMEDIATE;\n{part}\n"
                f"PRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {number};\nCOMMIT;"
            )
        finally:
            if self._db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")

    @property
    def gone(self) -> bool:
        """True if the file was moved or deleted under us: SQLite would go on writing where nobody looks."""
        if not self._inode:
            return False
        try:
            return os.stat(self.path).st_ino != self._inode
        except OSError:
            return True

    def write(self, facts: Sequence[Fact | Again]) -> None:
        """All of these facts in one transaction, or none of them and `StoreError`."""
        with self._transaction() as db:
            self._offset = self._epoch(facts[0].at)
            run = self.run or self._begin_run(facts[0].at)
            rows: dict[str, list[tuple[object, ...]]] = {}
            for one in facts:
                fact = one.fact if isinstance(one, Again) else one
                if isinstance(one, Again) and self._has(fact):
                    continue
                statement, values = self._row(fact, run)
                rows.setdefault(statement, []).append(values)
            for statement, several in rows.items():  # into different tables, so that their order means nothing
                _insert(db, statement, several)
        self.run = run

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """All that is done inside is stored, or nothing of it and `StoreError` is raised."""
        db = self._db
        try:
            db.execute("BEGIN IMMEDIATE")
            yield db
            db.execute("COMMIT")
        except sqlite3.Error as error:
            raise _translated(self.path, error) from error
        finally:
            if db.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    db.execute("ROLLBACK")

    def _begin_run(self, at: float) -> int:
        ms = self._ms(at)
        number = self._db.execute("INSERT INTO runs (started_ms, alive_ms) VALUES (?, ?)", (ms, ms)).lastrowid
        assert number is not None
        return number

    def forget(self, before_ms: int, rows: int = FORGET_ROWS) -> bool:
        """Delete the oldest records from before this moment (ms since 1970 UTC), at most `rows` calls at a time.

        True if there may be more. Raises StoreError. Space in the file is used again, not given back.
        """
        with self._transaction() as db:
            old = db.execute(
                "SELECT run, call FROM calls WHERE started_ms < ? ORDER BY started_ms LIMIT ?", (before_ms, rows)
            ).fetchall()
            for table in ("attempts", "calls"):
                db.executemany(f"DELETE FROM {table} WHERE run = ? AND call = ?", old)
            db.execute("DELETE FROM trunk_changes WHERE at_ms < ?", (before_ms,))
            db.execute("DELETE FROM registration_changes WHERE at_ms < ?", (before_ms,))
            db.execute("DELETE FROM operator_actions WHERE at_ms < ?", (before_ms,))
            db.execute(FORGET_CONFIGS, (before_ms, before_ms))
            db.execute("DELETE FROM probes_minute WHERE minute_ms < ?", (before_ms,))
        return len(old) == rows

    def _has(self, fact: Fact) -> bool:
        """Whether an earlier process has stored it."""
        match fact:
            case CallEnded():
                found = ("calls WHERE call_id = ? AND started_ms", fact.call_id, fact.started_at)
            case AttemptEnded():
                found = (
                    f"attempts WHERE number = {fact.number:d} AND call_id = ? AND sent_ms",
                    fact.call_id,
                    fact.sent_at,
                )
            case TrunkChanged():
                found = ("trunk_changes WHERE trunk = ? AND at_ms", fact.trunk, fact.at)
            case RegistrationChanged():
                found = ("registration_changes WHERE trunk = ? AND at_ms", fact.trunk, fact.at)
            case OperatorActed():
                found = ("operator_actions WHERE trunk = ? AND at_ms", fact.trunk, fact.at)
            case ConfigChanged():
                found = ("configs WHERE fingerprint = ? AND at_ms", fact.fingerprint, fact.at)
            case _:
                return False
        where, name, at = found
        ms = self._ms(at)
        query = f"SELECT 1 FROM {where} BETWEEN ? AND ?"
        return self._db.execute(query, (_text(name), ms - AGAIN_WITHIN_MS, ms + AGAIN_WITHIN_MS)).fetchone() is not None

    def alive(self, at: float) -> None:
        """Note that the process is there at this moment, if the run has anything. Raises StoreError."""
        if self.run:
            with self._transaction() as db:
                db.execute("UPDATE runs SET alive_ms = ? WHERE run = ?", (self._ms(at), self.run))

    def close(self, at: float | None = None) -> None:
        """End the run at `at` (monotonic seconds, None: it does not end in an orderly way) and close the file."""
        with contextlib.suppress(sqlite3.Error):
            if at is not None and self.run:
                self._offset = self._epoch(at)
                ms = self._ms(at)
                self._db.execute("UPDATE runs SET ended_ms = ?, alive_ms = ? WHERE run = ?", (ms, ms, self.run))
        with contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _epoch(self, at: float) -> float:
        """What makes seconds since 1970 of the engine's. Once a batch: asking the wall clock for each of the four times
        of a call took as long as all the rest of its rows."""
        return self._wall(at).timestamp() - at

    def _ms(self, at: float) -> int:
        return round((at + self._offset) * 1000)

    def _row(self, fact: Fact, run: int) -> tuple[str, tuple[object, ...]]:
        match fact:
            case CallEnded():
                answered = None if fact.answered_at is None else self._ms(fact.answered_at)
                return INSERT_CALL, (
                    *(run, fact.call, fact.direction, _text(fact.caller), _text(fact.called), fact.result),
                    *(fact.status, fact.trunk, fact.first_choice, int(fact.rerouted), fact.attempts),
                    *(self._ms(fact.started_at), _duration(fact.ringing_after), answered, self._ms(fact.at)),
                    *(_text(fact.ended_by), _text(fact.call_id), int(fact.emergency)),
                )
            case AttemptEnded():
                return INSERT_ATTEMPT, (
                    *(run, fact.call, fact.number, fact.trunk, fact.outcome, fact.status, _text(fact.reason)),
                    *(fact.verdict, self._ms(fact.sent_at), _duration(fact.ringing_after)),
                    *(_duration(fact.ended_after), fact.remote, _text(fact.call_id), _text(fact.why)),
                )
            case TrunkChanged():
                return INSERT_CHANGE, (
                    *(run, self._ms(fact.at), fact.trunk, fact.before, fact.after, _text(fact.why)),
                    *(fact.rule, "\n".join(_text(one) for one in fact.evidence), fact.direction),
                )
            case RegistrationChanged():
                return INSERT_REGISTRATION, (
                    *(run, self._ms(fact.at), fact.trunk, fact.before, fact.after, _text(fact.why), fact.status),
                )
            case OperatorActed():
                until = None if fact.until is None else self._ms(fact.until)
                return INSERT_ACTION, (
                    *(run, self._ms(fact.at), _text(fact.who), fact.action, fact.trunk, _text(fact.why), until),
                )
            case ConfigChanged():
                changes = "\n".join(_text(one) for one in fact.changes)
                return INSERT_CONFIG, (
                    *(run, self._ms(fact.at), fact.fingerprint, int(fact.good), changes, _text(fact.who)),
                )
            case ProbeEnded():
                at = self._ms(fact.at)
                trip = 0 if fact.round_trip is None else round(fact.round_trip * 1e6)
                measured = int(fact.round_trip is not None)
                return ADD_PROBE, (fact.trunk, at - at % MINUTE_MS, fact.result, measured, trip, trip)


INSERT_CALL = """INSERT OR REPLACE INTO calls (run, call, direction, caller, called, result, status, trunk,
    first_choice, rerouted, attempts, started_ms, ringing_after_ms, answered_ms, ended_ms, ended_by, call_id,
    emergency)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_ATTEMPT = """INSERT OR REPLACE INTO attempts (run, call, number, trunk, outcome, status, reason, verdict,
    sent_ms, ringing_after_ms, ended_after_ms, remote, call_id, why)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_CHANGE = """INSERT INTO trunk_changes (run, at_ms, trunk, before, after, why, rule, evidence, direction)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"""
INSERT_REGISTRATION = """INSERT INTO registration_changes (run, at_ms, trunk, before, after, why, status)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
INSERT_ACTION = """INSERT INTO operator_actions (run, at_ms, who, action, trunk, why, until_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?)"""
INSERT_CONFIG = """INSERT INTO configs (run, at_ms, fingerprint, good, changes, who) VALUES (?, ?, ?, ?, ?, ?)"""
FORGET_CONFIGS = """DELETE FROM configs WHERE at_ms < ?
    AND id < (SELECT max(id) FROM configs WHERE at_ms < ? AND good = 1)"""
"""All but the one that was in effect when what is kept begins."""
ADD_PROBE = """INSERT INTO probes_minute (trunk, minute_ms, result, probes, round_trips, round_trip_sum_us,
    round_trip_max_us) VALUES (?, ?, ?, 1, ?, ?, ?)
    ON CONFLICT DO UPDATE SET probes = probes + 1, round_trips = round_trips + excluded.round_trips,
    round_trip_sum_us = round_trip_sum_us + excluded.round_trip_sum_us,
    round_trip_max_us = max(round_trip_max_us, excluded.round_trip_max_us)"""


def _insert(db: sqlite3.Connection, statement: str, rows: list[tuple[object, ...]]) -> None:
    """Insert these rows, many with one statement: the interpreter is let go and taken back once for each statement,
    and both make messages of calls wait."""
    at = 0
    for size in ROWS_AT_ONCE:
        while len(rows) - at >= size:
            db.execute(_of_rows(statement, size), [value for row in rows[at : at + size] for value in row])
            at += size


@lru_cache
def _of_rows(statement: str, rows: int) -> str:
    """An INSERT for so many rows at once."""
    head, row, tail = re.split(r"(?<=VALUES )(\([^)]*\))", statement, maxsplit=1)
    return head + ", ".join([row] * rows) + tail


def schema_parts() -> list[tuple[int, str]]:
    """The parts of `schema.sql`: (version that a file has with it, statements), in order."""
    text = resources.files("sipfailover.ledger").joinpath("schema.sql").read_text("utf-8")
    _, *parts = re.split(r"^-- version (\d+)$", text, flags=re.MULTILINE)
    return [(int(number), part) for number, part in zip(parts[::2], parts[1::2], strict=True)]


def put_aside(path: str, at: datetime) -> str:
    """Rename a damaged file and its companions; the new name. Raises `StoreError` if the directory forbids it."""
    aside = f"{path}.damaged-{at:%Y%m%d-%H%M%S}"
    try:
        os.rename(path, aside)
        for companion in ("-wal", "-shm"):
            with contextlib.suppress(FileNotFoundError):
                os.rename(path + companion, aside + companion)
    except OSError as error:
        raise StoreError(f"{path} is damaged and cannot be renamed: {error.strerror}") from error
    return aside


def _make_private_file(path: str) -> int:
    """Make the file and its directory if need be; its inode. Telephone numbers are in it: readable by us alone."""
    directory = Path(path).parent
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"cannot write {path}: cannot make the directory {directory}: {error.strerror}") from error
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            return os.fstat(handle).st_ino
        finally:
            os.close(handle)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror}") from error


def _translated(path: str, error: sqlite3.Error) -> StoreError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    text = {
        sqlite3.SQLITE_FULL: "the disk, or the space allowed for it, is full",
        sqlite3.SQLITE_READONLY: "it is read-only",
        sqlite3.SQLITE_BUSY: "somebody else holds a lock on it",
        sqlite3.SQLITE_CANTOPEN: "it cannot be opened",
    }.get(code, str(error))
    return StoreError(f"cannot write {path}: {text}", damaged=code in DAMAGED)


def _text(text: str) -> str:
    """What a peer wrote, as SQLite takes it: no lone surrogates, bounded."""
    return text[:TEXT_MAX].encode("utf-8", "replace").decode("utf-8")


def _duration(seconds: float | None) -> int | None:
    return None if seconds is None else round(seconds * 1000)
