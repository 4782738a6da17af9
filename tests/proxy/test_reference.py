"""References: who is asked when, and what that says about our own line and about carriers."""

import pytest

from sipfailover.proxy import Log, Reach
from sipfailover.trunk import REACHED_WITHIN, State
from tests.kit import ack, answer, invite, received, send
from tests.proxy.office import BACKUP, MAIN, PBX, Office, calling, sent
from tests.proxy.test_watch import CHECKS, pass_by, watching

TWO = "reference: [192.0.2.53:53, 192.0.2.54:443]"
ONE = "reference: [192.0.2.53:53]"
STEP = 0.05
BOTH = ("main", "backup")
NO_ANSWER = "no answer within 2 s"


def surrounded(reference: str = ONE, probes: str = CHECKS, trunks: tuple[str, ...] = ("main",)) -> Office:
    """An office with references, where everybody has answered in 20 ms."""
    book = watching(probes=f"{probes}, {reference}" if reference else probes, trunks=trunks)
    for name in book.engine.core.lines:
        for _ in range(8):
            book.line(name).trunk.roundtrip.observe(0.02)
    live(book, 1.5, MAIN, BACKUP, PBX, up=("192.0.2.53", "192.0.2.54"))
    return book


def live(book: Office, seconds: float, *well: object, up: tuple[str, ...] = ()) -> None:
    """Time passes; those that are `well` answer OPTIONS, and the references that are `up` can be reached."""
    for _ in range(round(seconds / STEP)):
        pass_by(book, STEP, *well)
        for asked in list(book.asked):
            at, place = asked
            there = place.host in up
            if there or book.now >= at + REACHED_WITHIN:
                book.asked.remove(asked)
                book.engine.reached(place.host, place.port, "" if there else NO_ANSWER, book.now)
                book.collect()


def states(book: Office) -> list[State]:
    return [line.trunk.health.state for line in book.engine.core.trunks]


def own_line(book: Office) -> str:
    return book.engine.view(book.now).own_line


def logged(book: Office) -> list[str]:
    return [command.text for command in book.noted if isinstance(command, Log)]


def test_each_is_asked_at_the_start_and_once_a_minute() -> None:
    book = watching(probes=f"{CHECKS}, {TWO}")
    book.collect()
    assert [place for _, place in book.asked] == [Reach("192.0.2.53", 53), Reach("192.0.2.54", 443)]
    live(book, 301.0, MAIN, BACKUP, PBX, up=("192.0.2.53", "192.0.2.54"))
    first = book.engine.watch.blame.references.all[0]
    assert first.asked_at == pytest.approx(300.0)
    assert first.reached_at == pytest.approx(300.0, abs=2 * STEP)


def test_without_any_nobody_is_asked() -> None:
    book = surrounded("")
    live(book, 100.0, MAIN, PBX)
    assert book.asked == []


@pytest.mark.parametrize("by", ["an OPTIONS", "a call"])
def test_a_single_trunk_that_falls_silent_with_the_reference_is_not_blamed(by: str) -> None:
    book = surrounded()
    if by == "a call":
        received(PBX, invite()).do(book)
    live(book, 60.0, PBX)
    assert states(book) == [State.SUSPECT]
    assert own_line(book) == "main and 192.0.2.53:53 fell silent in the same moment"
    assert book.engine.view(book.now).own_line_excuses
    live(book, 5.0, MAIN, PBX)
    assert (states(book), own_line(book)) == ([State.UP], "")


def test_a_single_trunk_that_falls_silent_alone_is_down_within_two_seconds() -> None:
    book = surrounded()
    began = book.line("main").trunk.probe.next_at
    live(book, began - book.now + 2.0, PBX, up=("192.0.2.53",))
    assert (states(book), own_line(book)) == ([State.DOWN], "")
    assert book.line("main").trunk.health.since - began < 2.0


def test_all_trunks_that_fall_silent_while_a_reference_is_there_are_to_blame() -> None:
    book = surrounded(TWO, trunks=BOTH)
    live(book, 20.0, PBX, up=("192.0.2.54",))
    assert (states(book), own_line(book)) == ([State.DOWN, State.DOWN], "")


def test_all_trunks_and_all_references_are_our_own_line() -> None:
    book = surrounded(TWO, trunks=BOTH)
    live(book, 60.0, PBX)
    assert State.DOWN not in states(book)
    assert own_line(book) == "main, backup, 192.0.2.53:53 and 192.0.2.54:443 fell silent in the same moment"


def test_one_that_never_answered_says_nothing() -> None:
    """With a single trunk that leaves nothing to compare with: as without a reference, it is blamed."""
    book = watching(probes=f"{CHECKS}, {ONE}", trunks=("main",))
    live(book, 200.0, MAIN, PBX)
    assert logged(book).count("reference 192.0.2.53:53 cannot be reached, so it tells nothing of our own line") == 1
    live(book, 30.0, PBX)
    assert (states(book), own_line(book)) == ([State.DOWN], "")


def test_one_that_fell_silent_long_before_says_nothing_either() -> None:
    book = surrounded()
    live(book, 200.0, MAIN, PBX)
    assert own_line(book) == "", "no trunk is silent, so its silence is its own"
    assert "reference 192.0.2.53:53 cannot be reached" in logged(book)
    live(book, 30.0, PBX)
    assert (states(book), own_line(book)) == ([State.DOWN], "")


def test_a_reference_that_answers_after_all_has_the_trunk_asked_again_and_blamed() -> None:
    """Its first answer was lost: the judgement is taken back with the next one."""
    book = surrounded()
    began = book.line("main").trunk.probe.next_at
    live(book, began - book.now + 3.5, PBX)
    assert own_line(book) == "main and 192.0.2.53:53 fell silent in the same moment"
    live(book, 8.0, PBX, up=("192.0.2.53",))
    assert (states(book), own_line(book)) == ([State.DOWN], "")
    assert any(text.startswith("our own line is well, or well again after") for text in logged(book))


def test_while_it_is_our_own_line_references_are_asked_often() -> None:
    book = surrounded()
    live(book, 30.0, PBX)
    before = book.engine.watch.blame.references.all[0].asked_at
    live(book, 6.0, PBX)
    assert book.engine.watch.blame.references.all[0].asked_at > before


@pytest.mark.parametrize("why", [NO_ANSWER, "network is unreachable"])
def test_a_trunk_that_is_asked_no_options_is_judged_with_the_reference_by_its_calls(why: str) -> None:
    """Whether the reference fails at once or late: what the trunk let unanswered is compared with it."""
    book = surrounded(probes="options_every: off")
    assert calling(book) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486) >> received(PBX, ack())
    received(PBX, invite()).do(book)
    for _ in range(200):
        live(book, STEP, PBX)
        if why != NO_ANSWER and book.asked:
            _, place = book.asked.pop()
            book.engine.reached(place.host, place.port, why, book.now)
            book.collect()
    assert own_line(book) == "main and 192.0.2.53:53 fell silent in the same moment"
    for _ in range(4):
        received(PBX, invite()).do(book)
        live(book, 6.0, PBX)
    assert states(book) == [State.SUSPECT], "silent calls are not counted meanwhile"


def test_what_is_no_reference_of_ours_is_not_listened_to() -> None:
    book = surrounded()
    book.engine.reached("192.0.2.99", 53, "", book.now)
    book.engine.reached("192.0.2.99", 53, NO_ANSWER, book.now)
    assert (states(book), own_line(book)) == ([State.UP], "")


def test_a_question_that_nobody_answers_is_asked_again_all_the_same() -> None:
    book = watching(probes=f"{CHECKS}, {ONE}", trunks=("main",))
    pass_by(book, 61.0, MAIN, PBX)
    assert len(book.asked) == 2


def test_other_references_are_asked_at_once_after_a_reload_and_those_that_stay_keep_what_was_seen() -> None:
    book = surrounded(TWO)
    kept = book.engine.watch.blame.references.all[1]
    fewer = "reference: [192.0.2.54:443, 192.0.2.55:53]"
    book.engine.reload(surrounded(fewer).engine.core.settings, book.now)
    book.collect()
    assert book.engine.watch.blame.references.all[0] is kept
    assert Reach("192.0.2.55", 53) in [place for _, place in book.asked]
    book.engine.reload(surrounded("").engine.core.settings, book.now)
    book.asked.clear()
    live(book, 120.0, MAIN, PBX)
    assert book.asked == []


def test_options_are_turned_off_and_on_again_by_a_reload() -> None:
    book = surrounded("", trunks=("main",))
    book.engine.reload(surrounded("", "options_every: off").engine.core.settings, book.now)
    before = len(sent(book, MAIN, "OPTIONS"))
    live(book, 60.0, MAIN, PBX)
    assert len(sent(book, MAIN, "OPTIONS")) == before
    book.engine.reload(surrounded("").engine.core.settings, book.now)
    live(book, 60.0, MAIN, PBX)
    assert len(sent(book, MAIN, "OPTIONS")) > before
