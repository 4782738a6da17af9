"""Somebody sets the clock, by a day: what is counted in seconds does not notice, and what stands in the history is
written with the new time at once."""

import sqlite3
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from tests.faults.needs import needs_programs
from tests.faults.street import Street
from tests.interop.stage import Stage, until

DAY = 86_400


def library() -> str:
    """The one that tells programs another time. faketime is a Debian package."""
    found = sorted(Path("/usr/lib").glob("**/faketime/libfaketime.so.1"))
    return str(found[0]) if found else ""


@pytest.mark.parametrize("step", [DAY, -DAY], ids=["a day on", "a day back"])
@needs_programs("faketime")
def test_a_clock_that_is_set_costs_no_call_and_no_trunk(stage: Stage, step: int) -> None:
    told = stage.folder / "time"
    told.write_text("+0s\n")
    env = {
        "LD_PRELOAD": library(),
        "FAKETIME_TIMESTAMP_FILE": str(told),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }
    with Street(stage, env=env) as street:
        held = street.call(talk=None)
        until(lambda: held.acked_at, 5.0, "answered", street.service)
        street.calls(3)
        told.write_text(f"{step:+d}s\n")
        until(lambda: abs(page_time(street) - time.time() - step) < 5, 5.0, "the page has the new time", street.service)
        street.calls(3)
        assert held.ended_at is None, "it goes on"
        assert {trunk["state"] for trunk in street.status()["trunks"]} == {"up"}
        street.hang_up(held)
        until(lambda: held.ended_at, 5.0, "it ends by its BYE", street.service)
        until(lambda: len(rows(stage.folder / "history.db")) == 7, 10.0, "all calls are in the history", street.service)
        for started, seconds in rows(stage.folder / "history.db"):
            assert 0 <= seconds < 60, "no call lasted a day"
            assert min(abs(started - time.time()), abs(started - time.time() - step)) < 60


def page_time(street: Street) -> float:
    """The time that the page shows, Unix time."""
    return datetime.fromisoformat(street.status()["time"]).timestamp()


def rows(file: Path) -> list[tuple[float, float]]:
    """Of each call: its beginning, Unix time, and its length in seconds."""
    with closing(sqlite3.connect(file)) as db:
        found = db.execute("SELECT started_ms, ended_ms FROM calls").fetchall()
    return [(start / 1000, (end - start) / 1000) for start, end in found]
