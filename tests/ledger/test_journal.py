"""The journal: what is written is there after a kill, whatever is missing of the last line; and disks that fail."""

import errno
import os
import stat
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipfailover.ledger import Journal
from sipfailover.ledger import journal as module
from sipfailover.ledger.journal import COMPACT_WITHIN, HEAD, RECORD_MAX_BYTES, WASTE_MAX_BYTES

RECORD = b'[17,"outbound","' + b"x" * 700 + b'"]'


def opened(path: Path) -> Journal:
    journal = Journal(str(path))
    journal.open(0.0)
    return journal


def found(path: Path, now: float = 0.0) -> dict[str, bytes]:
    """What the next process finds; it does not close in good order."""
    return dict(Journal(str(path)).open(now))


# ---- keep and forget


def test_what_is_kept_is_there_for_the_next_process(tmp_path: Path) -> None:
    journal = opened(tmp_path / "calls")
    journal.keep([("call/1", b"one"), ("call/2", b"two")])
    journal.keep([("call/1", b"one again")])
    assert found(tmp_path / "calls") == {"call/2": b"two", "call/1": b"one again"}


def test_what_is_forgotten_with_a_keep_is_forgotten_at_once(tmp_path: Path) -> None:
    journal = opened(tmp_path / "calls")
    journal.keep([("call/1", b"one")])
    journal.keep([("bye/a", b"bye")], instead_of=["call/1", "answer/1"])
    assert found(tmp_path / "calls") == {"bye/a": b"bye"}


def test_what_is_only_forgotten_waits_for_the_next_write(tmp_path: Path) -> None:
    journal = opened(tmp_path / "calls")
    journal.keep([("call/1", b"one")])
    journal.forget("call/1")
    assert found(tmp_path / "calls") == {"call/1": b"one"}
    journal = opened(tmp_path / "calls")
    journal.forget("call/1")
    journal.tidy(5.0)
    assert found(tmp_path / "calls") == {}


def test_one_keep_is_one_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = opened(tmp_path / "calls")
    journal.keep([("call/1", b"one")])
    written: list[bytes] = []
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: written.append(bytes(data)) or write(file, data))
    journal.forget("call/1")
    journal.keep([("call/2", b"two"), ("answer/2", b"200")])
    assert len(written) == 1
    assert written[0].count(b"\n") == 3


def test_records_without_a_file_cost_nothing() -> None:
    journal = Journal(None)
    assert journal.open(0.0) == []
    journal.keep([("call/1", b"one")])
    journal.tidy(1.0)
    journal.close()
    assert (journal.is_on, journal.problem) == (False, "")


def test_a_record_that_is_too_long_is_not_kept_and_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    journal = opened(tmp_path / "calls")
    journal.keep([("call/1", b"x" * (RECORD_MAX_BYTES + 1)), ("call/2", b"two")])
    assert found(tmp_path / "calls") == {"call/2": b"two"}


# ---- torn and damaged files


def test_a_file_that_ends_anywhere_gives_what_was_whole(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    journal.keep([("call/1", b"one")])
    before = path.stat().st_size
    journal.keep([("call/2", b"two"), ("call/3", b"three")], instead_of=["call/1"])
    whole = path.read_bytes()
    for end in range(len(whole) + 1):
        path.write_bytes(whole[:end])
        got = found(path)
        lines = whole[:end].count(b"\n") - 1
        expected = [{}, {"call/1": b"one"}, {}, {"call/2": b"two"}, {"call/2": b"two", "call/3": b"three"}]
        assert got == expected[max(0, lines)], end
        assert path.read_bytes().startswith(HEAD)
    assert before < len(whole)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_garbage_anywhere_costs_the_lines_it_hits(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("journal") / "calls"
    records = {f"call/{number}": b"[%d,%b]" % (number, b"x" * (number * 7 % 90)) for number in range(12)}
    journal = opened(path)
    for key, record in records.items():
        journal.keep([(key, record)])
    whole = bytearray(path.read_bytes())
    start = data.draw(st.integers(len(HEAD), len(whole) - 1))
    garbage = data.draw(st.binary(min_size=1, max_size=60))
    whole[start : start + data.draw(st.integers(0, 60))] = garbage
    path.write_bytes(whole)
    reader = Journal(str(path))
    got = dict(reader.open(0.0))
    assert got.items() <= records.items()  # nothing is made up
    assert len(got) >= len(records) - 3 or bytes(whole).count(b"\n") < 10
    assert found(path) == got  # and the new file is whole


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["keep", "forget", "tidy", "crash"]), st.integers(0, 5), st.binary(max_size=40)),
        max_size=40,
    )
)
def test_it_is_a_dictionary_that_outlives_its_process(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("journal") / "calls"
    journal, model, now = opened(path), {}, 0.0
    for verb, number, raw in steps:
        key, record = f"call/{number}", raw.replace(b"\n", b"")
        now += 20.0
        if verb == "keep":
            journal.keep([(key, record)])
            model[key] = record
        elif verb == "forget":
            journal.keep((), [key])
            model.pop(key, None)
        elif verb == "tidy":
            journal.tidy(now)
        else:
            journal = Journal(str(path))
            assert dict(journal.open(now)) == model
    assert found(path) == model


@pytest.mark.parametrize("text", [b"root:x:0:0\n", b"sipfailover calls 2\nwhatever\n", b"SQLite format 3\0"])
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "calls"
    path.write_bytes(text)
    journal = opened(path)
    journal.keep([("call/1", b"one")])
    journal.tidy(1000.0)
    assert path.read_bytes() == text
    assert not journal.is_on
    assert "left alone" in journal.problem


@pytest.mark.parametrize("text", [b"", HEAD[:5], HEAD])
def test_a_file_that_was_only_begun_is_used(tmp_path: Path, text: bytes) -> None:
    path = tmp_path / "calls"
    path.write_bytes(text)
    opened(path).keep([("call/1", b"one")])
    assert found(path) == {"call/1": b"one"}


# ---- the file on disk


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "calls"
    journal = opened(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o644)
    journal.keep([("call/1", b"one")], instead_of=[])
    journal.keep((), ["call/1"])
    journal.tidy(COMPACT_WITHIN + 1)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_numbers_are_gone_from_the_file_in_bounded_time(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    journal.keep([("call/1", b"+41443210019"), ("call/2", b"+41790000000")])
    journal.keep((), ["call/1"])
    journal.tidy(COMPACT_WITHIN - 1)
    assert b"+41443210019" in path.read_bytes()
    journal.tidy(COMPACT_WITHIN)
    assert b"+41443210019" not in path.read_bytes()
    assert found(path) == {"call/2": b"+41790000000"}


def test_a_file_that_has_grown_is_written_anew_before_its_time(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    for number in range(WASTE_MAX_BYTES // len(RECORD) + 10):
        journal.keep([("call/1", RECORD)])
        assert number < 10_000
    assert path.stat().st_size > WASTE_MAX_BYTES
    journal.tidy(1.0)
    assert path.stat().st_size < 2 * len(RECORD)


def test_a_quiet_file_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    journal.keep([("call/1", b"one")])
    before = path.stat().st_ino
    journal.tidy(10 * COMPACT_WITHIN)
    assert path.stat().st_ino == before


def test_a_file_that_was_moved_away_is_begun_anew_with_all_that_is_alive(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    journal.keep([("call/1", b"one")])
    path.unlink()
    journal.tidy(5.0)
    assert found(path) == {"call/1": b"one"}


# ---- disks that fail


class Disk:
    """A disk whose writes fail as a test wants: raise this errno, or write only so many bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.fails = 0
        self.room: int | None = None
        self._write = os.write
        monkeypatch.setattr(module.os, "write", self.write)

    def write(self, file: int, data: bytes) -> int:
        if self.fails:
            raise OSError(self.fails, os.strerror(self.fails))
        if self.room is not None:
            data, self.fails, self.room = data[: self.room], errno.ENOSPC, None
        return self._write(file, data)


@pytest.mark.parametrize("room", [None, 0, 1, 20])
def test_a_full_disk_costs_survival_and_says_so_until_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int | None
) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    journal.keep([("call/1", b"one")])
    disk = Disk(monkeypatch)
    disk.room = room
    disk.fails = 0 if room is not None else errno.ENOSPC
    for number in range(2, 10):
        journal.keep([(f"call/{number}", b"more")])
    assert "No space" in journal.problem or "full" in journal.problem
    journal.tidy(5.0)
    assert journal.problem
    assert not (tmp_path / "calls.new").exists()
    disk.fails = 0
    journal.keep((), ["call/2"])
    journal.tidy(10.0)
    assert journal.problem == ""
    assert found(path) == {"call/1": b"one", **{f"call/{number}": b"more" for number in range(3, 10)}}


def test_a_directory_that_may_not_be_written_costs_survival_and_what_was_there_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "calls"
    opened(path).keep([("call/1", b"one")])

    def refused(*_: object) -> int:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(module.os, "open", refused)
    journal = Journal(str(path))
    assert journal.open(0.0) == [("call/1", b"one")]
    assert "Read-only file system" in journal.problem
    journal.keep([("call/2", b"two")])
    monkeypatch.undo()
    journal.tidy(5.0)
    assert journal.problem == ""
    assert found(path) == {"call/1": b"one", "call/2": b"two"}


def test_a_path_that_is_a_directory_is_a_problem_and_nothing_else(tmp_path: Path) -> None:
    journal = opened(tmp_path)
    journal.keep([("call/1", b"one")])
    journal.tidy(1.0)
    journal.close()
    assert "left alone" in journal.problem


# ---- speed


def test_ten_thousand_records_are_read_in_a_fifth_of_a_second(tmp_path: Path) -> None:
    path = tmp_path / "calls"
    journal = opened(path)
    for number in range(10_000):
        journal.keep([(f"call/{number}", RECORD)])
    took = []
    for _ in range(3):
        began = time.process_time()
        assert len(found(path)) == 10_000
        took.append(time.process_time() - began)
    assert min(took) < 0.2
