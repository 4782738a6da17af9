"""What the history has not stored when the process is killed is stored by the next one, once."""

import os
from dataclasses import fields, replace
from pathlib import Path

import pytest

from sipfailover.ledger import Journal, Ledger, Safekeeping, open_for_reading
from sipfailover.ledger import safekeeping as module
from sipfailover.ledger.safekeeping import to_fact, to_record
from sipfailover.proxy import Command, Fact, Forget, Keep, Record
from sipfailover.proxy.facts import ConfigChanged, OperatorActed
from tests.ledger.facts import NOW, attempt, call, change, probe, registration, wall

FACTS: list[Fact] = [
    call(7), attempt(7), attempt(7, 2), change(), registration(),
    OperatorActed(NOW, "anna", "off", "main", "fibre works", NOW + 600.0),
    ConfigChanged(NOW, "5f2e", True, ("trunk main: tier 1 → 2",), "anna"),
]  # fmt: skip
TABLES = ("calls", "attempts", "trunk_changes", "registration_changes", "operator_actions", "configs")
PATIENCE = 20.0


class Life:
    """One process: its journal, its history, and what keeps facts between them. `writes`: whether its writer runs."""

    def __init__(self, folder: Path, *, writes: bool = True) -> None:
        self.ledger = Ledger(str(folder / "history.db"), wall)
        self.journal = Journal(str(folder / "calls"))
        self.safe = Safekeeping(self.journal, self.ledger, wall)
        if writes:
            self.ledger.start()
        self.found = self.journal.open(NOW)
        self.highest = self.safe.restore(self.found, NOW)

    def store(self, *commands: Command) -> None:
        self.safe.store(commands, NOW)

    def settle(self) -> None:
        """Its writer comes to an end with what it has, and what is stored is forgotten."""
        assert self.ledger.flush(PATIENCE)
        self.safe.tidy(NOW)


def rows(folder: Path, table: str) -> int:
    db = open_for_reading(str(folder / "history.db"))
    try:
        return int(db.execute(f"SELECT count(*) FROM {table}").fetchone()[0])
    finally:
        db.close()


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_comes_back_as_it_was(fact: Fact) -> None:
    record = to_record(fact, 1_700_000_000.0)
    assert b"\n" not in record
    again = to_fact(record, 1_700_000_000.0)
    assert type(again) is type(fact)
    for field in fields(fact):
        before, after = getattr(fact, field.name), getattr(again, field.name)
        assert after == (pytest.approx(before, abs=0.001) if isinstance(before, float) else before), field.name


def test_what_was_not_stored_is_stored_by_the_next_process(tmp_path: Path) -> None:
    Life(tmp_path, writes=False).store(*map(Record, FACTS))  # and it is killed
    life = Life(tmp_path)
    assert life.highest == 7
    life.settle()
    assert [rows(tmp_path, table) for table in TABLES] == [1, 2, 1, 1, 1, 1]
    assert Life(tmp_path).found == []


def test_what_was_stored_and_not_forgotten_is_stored_once(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.store(*map(Record, FACTS))
    assert first.ledger.flush(PATIENCE)  # and it is killed before `tidy`
    second = Life(tmp_path)
    assert len(second.found) == len(FACTS)
    second.store(Record(replace(call(8, at=NOW + 30.0), call_id="8@pbx")))
    second.settle()
    assert [rows(tmp_path, table) for table in TABLES] == [2, 2, 1, 1, 1, 1]


def test_two_calls_of_one_call_id_are_two(tmp_path: Path) -> None:
    first = Life(tmp_path)
    first.store(Record(call(1)))
    first.settle()
    Life(tmp_path, writes=False).store(Record(replace(call(2, at=NOW + 100.0), call_id=call(1).call_id)))
    Life(tmp_path).settle()
    assert rows(tmp_path, "calls") == 2


def test_a_batch_is_one_write_and_has_all_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    life = Life(tmp_path, writes=False)
    life.store(Keep((("call/1", b"one"), ("call/2", b"two"))))
    write, written = os.write, []
    monkeypatch.setattr(os, "write", lambda file, data: (written.append(bytes(data)), write(file, data))[1])
    life.store(Keep((("bye/a", b"bye"),), ("call/1",)), Forget("call/2"), Record(call(7)), Keep((("call/3", b"3"),)))
    assert len(written) == 1
    assert [key for key, _ in Life(tmp_path, writes=False).found] == ["bye/a", "fact/1", "call/3"]


def test_probes_are_not_kept(tmp_path: Path) -> None:
    life = Life(tmp_path, writes=False)
    life.store(Record(probe(NOW)))
    assert Life(tmp_path, writes=False).found == []


def test_a_history_that_cannot_be_written_keeps_a_bounded_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEPT_MAX", 3)
    life = Life(tmp_path, writes=False)
    for number in range(10):
        life.store(Record(call(number)))
        life.safe.tidy(NOW)
    assert [key for key, _ in Life(tmp_path, writes=False).found] == ["fact/1", "fact/2", "fact/3"]


def test_numbers_go_on_where_the_last_process_stopped(tmp_path: Path) -> None:
    Life(tmp_path, writes=False).store(Record(call(1)))
    Life(tmp_path, writes=False).store(Record(call(2)))
    assert [key for key, _ in Life(tmp_path, writes=False).found] == ["fact/1", "fact/2"]


def test_without_a_history_nothing_is_kept(tmp_path: Path) -> None:
    journal = Journal(str(tmp_path / "calls"))
    journal.open(NOW)
    safe = Safekeeping(journal, Ledger(None, wall), wall)
    safe.store([Record(call(1))], NOW)
    assert Journal(str(tmp_path / "calls")).open(NOW) == []


@pytest.mark.parametrize("wrong", [b"", b"[]", b"{", b'["CallEnded", 7]', b'["Nothing", 1]', b'["CallEnded", "x", 1]'])
def test_what_cannot_be_read_costs_only_itself(tmp_path: Path, wrong: bytes) -> None:
    first = Life(tmp_path, writes=False)
    first.store(Record(call(1)))
    first.journal.keep([("fact/9", wrong)])
    life = Life(tmp_path)
    life.settle()
    assert rows(tmp_path, "calls") == 1
    assert Life(tmp_path).found == []
