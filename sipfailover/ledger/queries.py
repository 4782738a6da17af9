"""Questions to the history file, for the page and the tools. Each takes a connection of the reader's own.

Reading may take as long as the disk: never on the event loop. WAL lets a reader look while the writer writes.
"""

import sqlite3
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path


@dataclass(frozen=True, slots=True)
class StoredCall:
    """One row of `calls`. Times are milliseconds since 1970 UTC."""

    run: int
    call: int
    direction: str
    caller: str
    called: str
    result: str
    status: int
    trunk: str
    first_choice: str
    rerouted: bool
    attempts: int
    started_ms: int
    ringing_after_ms: int | None
    answered_ms: int | None
    ended_ms: int
    ended_by: str
    call_id: str


@dataclass(frozen=True, slots=True)
class StoredChange:
    """One row of `trunk_changes`."""

    at_ms: int
    trunk: str
    before: str
    after: str
    why: str
    rule: str = ""
    evidence: tuple[str, ...] = ()
    """A line each, the newest last."""
    direction: str = "outbound"


@dataclass(frozen=True, slots=True)
class StoredRegistration:
    """One row of `registration_changes`."""

    at_ms: int
    trunk: str
    before: str
    after: str
    why: str
    status: int


@dataclass(frozen=True, slots=True)
class StoredGap:
    """A time in which this service was not there to see anything: what trunks and calls did then is unknown."""

    from_ms: int
    to_ms: int
    orderly: bool
    """It was stopped; otherwise it was killed, or crashed, some seconds after `from_ms` at most."""


def open_for_reading(path: str) -> sqlite3.Connection:
    """A connection that cannot change the file. Raises `sqlite3.OperationalError` when there is none."""
    return sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro", uri=True)


def last_calls(db: sqlite3.Connection, count: int) -> list[StoredCall]:
    """The calls that began last, newest first."""
    columns = tuple(field.name for field in fields(StoredCall))
    rows = db.execute(
        f"SELECT {', '.join(columns)} FROM calls ORDER BY started_ms DESC, run DESC, call DESC LIMIT ?", (count,)
    )
    calls = []
    for row in rows:
        values = dict(zip(columns, row, strict=True))
        calls.append(StoredCall(**{**values, "rerouted": bool(values["rerouted"])}))
    return calls


def last_trunk_changes(db: sqlite3.Connection, count: int) -> list[StoredChange]:
    """The changes of health stored last, newest first. In a file that no service has opened since they are kept
    (schema 3), they are without rule and evidence."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    more = "rule, evidence, direction" if version >= 3 else "'', '', 'outbound'"
    rows = db.execute(
        f"SELECT at_ms, trunk, before, after, why, {more} FROM trunk_changes ORDER BY id DESC LIMIT ?", (count,)
    )
    return [
        StoredChange(at_ms, trunk, before, after, why, rule, tuple(evidence.splitlines()), direction)
        for at_ms, trunk, before, after, why, rule, evidence, direction in rows
    ]


def last_registration_changes(db: sqlite3.Connection, count: int) -> list[StoredRegistration]:
    """The changes of registrations stored last, newest first; none in a file that no service has opened since they are
    kept (schema 2)."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    if version < 2:
        return []
    rows = db.execute(
        "SELECT at_ms, trunk, before, after, why, status FROM registration_changes ORDER BY id DESC LIMIT ?", (count,)
    )
    return [StoredRegistration(*row) for row in rows]


def gaps(db: sqlite3.Connection, count: int) -> list[StoredGap]:
    """The times in which this service did not run, newest first, at most `count`. What is not known of a killed process
    of an older version is taken from the last thing that it stored."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    alive = "runs.alive_ms" if version >= 7 else "NULL"
    rows = db.execute(
        f"""SELECT started_ms, ended_ms, coalesce({alive}, started_ms),
            coalesce((SELECT max(ended_ms) FROM calls WHERE calls.run = runs.run), 0),
            coalesce((SELECT max(at_ms) FROM trunk_changes WHERE trunk_changes.run = runs.run), 0)
            FROM runs ORDER BY run DESC LIMIT ?""",
        (count + 1,),
    ).fetchall()
    return [
        StoredGap(min(started, ended or max(seen)), started, ended is not None)
        for (started, *_), (_, ended, *seen) in pairwise(rows)
    ]
