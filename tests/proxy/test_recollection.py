"""After a restart the trunks are what they were, and are asked at once whether that is still true."""

import json

import pytest

from sipfailover.proxy.recollection import REMEMBER_EVERY
from sipfailover.proxy.watch import Watch
from sipfailover.trunk import Evidence, Order, Sign, State
from tests.kit import after, answer, invite, received, send
from tests.proxy.office import BACKUP, MAIN, PBX
from tests.proxy.survivor import SETTINGS, Survivor


def fail(book: Survivor, name: str = "main") -> None:
    """A carrier asks to be left alone for a while."""
    line = book.line(name)
    book.engine.watch.observe(line, Evidence(Sign.RETRY_AFTER, "503", "+41443210019", retry_after=60.0), book.now)
    book.collect()
    assert line.trunk.health.state is State.DOWN


def asked(book: Survivor, name: str, since: int) -> int:
    """OPTIONS that were sent to a carrier since a place in what was sent."""
    peer = {"main": MAIN, "backup": BACKUP}[name].peer
    return sum(to.peer == peer and data.startswith(b"OPTIONS ") for to, data in book.sent[since:])


def test_a_trunk_that_is_down_is_down_after_a_crash_at_once_and_calls_go_elsewhere() -> None:
    book = Survivor()
    fail(book)
    health = book.line("main").trunk.health
    before = (health.since, health.why, health.counters.back_at)
    book.crash(away=3.0)
    health = book.line("main").trunk.health
    assert health.state is State.DOWN
    assert (health.since, health.why, health.counters.back_at) == pytest.approx(before)  # type: ignore[arg-type]
    assert book.engine.watch.failovers.active == "backup"
    book._out.clear()
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(BACKUP, "INVITE")


def test_a_trunk_that_was_up_is_asked_within_the_second_and_known_to_be_dead_in_two() -> None:
    book = Survivor()
    for name in ("main", "backup"):
        book.line(name).trunk.probe.mute = False
        book.line(name).heard_at = book.now
    assert book >> after(REMEMBER_EVERY)
    place = len(book.sent)
    book.crash(away=3.0)
    crashed = book.now
    while book.line("main").trunk.health.state is not State.DOWN and book.now < crashed + 10.0:
        assert book >> after(0.1) >> received(BACKUP, lambda seen: answer(200, to="OPTIONS")(seen))
    assert book.now - crashed <= 2.0 + 0.2
    assert asked(book, "main", place) >= 5


def test_one_that_never_answered_options_is_not_blamed_for_its_silence_after_a_restart() -> None:
    book = Survivor()
    assert book.line("main").trunk.probe.mute
    place = len(book.sent)
    book.crash()
    assert book >> after(30.0)
    assert asked(book, "main", place) >= 1
    assert book.line("main").trunk.health.state is State.UP
    assert book.line("main").trunk.probe.mute


@pytest.mark.parametrize("order", [Order.DRAINING, Order.OFF])
def test_orders_hold_over_a_restart(order: Order) -> None:
    book = Survivor()
    book.engine.order("main", order, book.now)
    book.collect()
    book.crash().crash()
    assert book.line("main").trunk.order is order
    assert book.engine.watch.failovers.active == "backup"
    assert any("as ordered before the restart" in one.text for one in book.logs())
    book.engine.order("main", Order.ENABLED, book.now)
    book.collect()
    book.crash()
    assert book.line("main").trunk.order is Order.ENABLED


def test_an_order_is_known_with_who_gave_it_and_ends_when_it_was_to_end() -> None:
    book = Survivor()
    book.engine.order("backup", Order.USED, book.now, until=book.now + 100.0, who="anna", why="fibre works")
    book.collect()
    before = book.line("backup").trunk.ordered
    book.crash(away=30.0)
    assert book.line("backup").trunk.ordered == before
    assert book.engine.watch.failovers.active == "backup"
    assert book >> after(71.0)
    assert book.line("backup").trunk.order is Order.ENABLED
    assert book.engine.watch.failovers.active == "main"
    book.crash()
    assert book.line("backup").trunk.order is Order.ENABLED


def test_an_order_whose_time_was_over_meanwhile_ends_at_once() -> None:
    book = Survivor()
    book.engine.order("main", Order.OFF, book.now, until=book.now + 10.0, who="anna")
    book.collect()
    book.crash(away=60.0)
    assert book >> after(0.1)
    assert book.line("main").trunk.order is Order.ENABLED
    assert book.engine.watch.failovers.active == "main"


def test_the_last_failover_is_still_known() -> None:
    book = Survivor()
    fail(book)
    before = book.engine.watch.failovers.last
    assert before is not None
    book.crash(away=3.0)
    assert book.engine.watch.failovers.last == before
    book.crash()
    fail(book, "backup")
    book.engine.watch.observe(book.line("main"), Evidence(Sign.RELEASED, ""), book.now)
    assert book.engine.watch.failovers.last == before


def test_clocks_are_stored_once_in_a_while_and_only_if_they_have_changed() -> None:
    book = Survivor()
    book.line("main").trunk.roundtrip.observe(0.123, call=True)
    assert book >> after(REMEMBER_EVERY + 1.0)
    book.crash()
    assert book.line("main").trunk.roundtrip.calls.mean == 0.123
    book.crash()
    assert book.line("main").trunk.roundtrip.calls.mean == 0.123


def test_a_trunk_at_another_address_begins_anew() -> None:
    book = Survivor()
    fail(book)
    book.crash(text=SETTINGS.replace("198.51.100.1", "198.51.100.77"))
    assert book.line("main").trunk.health.state is State.UP
    assert b"198.51.100.77" in book.kept["line/main"]


def test_a_trunk_that_is_gone_from_the_file_is_forgotten() -> None:
    book = Survivor()
    fail(book)
    book.crash(text=SETTINGS.replace("name: main", "name: other"))
    assert "line/main" not in book.kept
    assert book.line("other").trunk.health.state is State.UP


@pytest.mark.parametrize("wrong", [b"", b"{", b"[]", b"7", b'{"version": 1}', b"{}", b'{"version": 2, "place": "x"}'])
def test_a_record_that_cannot_be_read_costs_only_itself(wrong: bytes) -> None:
    book = Survivor()
    fail(book)
    fail(book, "backup")
    book.kept["line/backup"] = wrong
    book.kept["failover"] = wrong
    book.crash()
    assert book.line("main").trunk.health.state is State.DOWN
    assert book.line("backup").trunk.health.state is State.UP
    assert json.loads(book.kept["line/backup"])["version"] == 1


def test_a_call_that_was_young_at_the_crash_can_still_turn_out_to_have_been_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    book = Survivor()
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PBX, 200)
    )
    book.crash(away=1.0)
    seen: list[Evidence] = []
    observe = Watch.observe

    def listening(watch: Watch, line: object, evidence: Evidence | None, now: float) -> None:
        if evidence is not None:
            seen.append(evidence)
        observe(watch, line, evidence, now)  # type: ignore[arg-type]

    monkeypatch.setattr(Watch, "observe", listening)
    book._out.clear()
    assert (
        book
        >> received(MAIN, book.ask("BYE", 900, callee=True))
        << send(MAIN, 200)
        << send(MAIN, "ACK")
        << send(PBX, "BYE")
    )
    assert [one.sign for one in seen if one.sign is Sign.CALL_DROPPED] == [Sign.CALL_DROPPED]


def test_a_password_that_was_refused_is_not_shown_again_at_once() -> None:
    text = SETTINGS.replace("port: 5060, register: no, channels: 30", "username: u, password: p, register: no")
    book = Survivor(text)
    account = book.line("main").account
    assert account is not None
    account.refused(book.now)
    assert book >> after(REMEMBER_EVERY + 1.0)
    book.crash()
    account = book.line("main").account
    assert account is not None
    assert account.silent_until == pytest.approx(120.0)
