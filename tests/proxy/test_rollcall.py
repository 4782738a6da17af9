"""Calls that ended unseen are found out, and calls that go on are left alone, whatever their ends think of OPTIONS."""

import pytest

from sipfailover.proxy import CallEnded
from sipfailover.proxy.rollcall import (
    AGAIN_AFTER,
    ASKED_MAX,
    FIRST_AFTER,
    GONE,
    LONG_CALL,
    PRESENT,
    SILENT,
    SILENT_MAX,
    verdict,
)
from sipfailover.transaction import LIFE
from sipfailover.wire import Message, compose
from tests.kit import ack, after, answer, invite, received, recorded, send, sends_nothing
from tests.kit.leftovers import leftovers
from tests.proxy.office import MAIN, PBX
from tests.proxy.survivor import Survivor
from tests.proxy.talk import inside, reply


def talking() -> Survivor:
    book = Survivor()
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100)
        << send(MAIN, "INVITE")
        >> received(MAIN, answer(200))
        << send(PBX, 200)
        >> received(PBX, ack())
        << send(MAIN, "ACK")
    )
    return book


def restored() -> Survivor:
    """The service was away for five seconds, and has asked both ends."""
    book = talking().crash(away=5.0)
    book._out.clear()
    assert book >> after(FIRST_AFTER + 0.1)
    assert [asked(book, peer).method for peer in (PBX, MAIN)] == [b"OPTIONS", b"OPTIONS"]
    return book


def asked(book: Survivor, peer: object) -> Message:
    """The last question in a dialog that a peer was asked."""
    return book.seen(peer).last("OPTIONS", "UPDATE", where=lambda one: one.to_tag)  # type: ignore[arg-type]


def says(book: Survivor, peer: object, status: int) -> Survivor:
    """The peer answers that; when it refuses OPTIONS so, it is asked with UPDATE."""
    more = send(peer, "UPDATE") if status == 481 else sends_nothing()  # type: ignore[arg-type]
    assert book >> received(peer, compose.response(asked(book, peer), status)) << more  # type: ignore[arg-type]
    return book


def questions(book: Survivor) -> int:
    return sum(Message(data).to_tag != b"" for _, data in set(book.sent) if data.startswith(b"OPTIONS "))


@pytest.mark.parametrize(
    ("caller", "called", "silent", "ended_by"),
    [
        (PRESENT, PRESENT, 0, None),
        (PRESENT, SILENT, 9, None),
        (SILENT, PRESENT, 9, None),
        (SILENT, SILENT, SILENT_MAX - 1, None),
        (SILENT, SILENT, SILENT_MAX, "unseen"),
        (GONE, PRESENT, 0, "caller"),
        (GONE, SILENT, 0, "caller"),
        (PRESENT, GONE, 0, "called"),
        (SILENT, GONE, 0, "called"),
        (GONE, GONE, 0, "unseen"),
    ],
)
def test_who_ended_it(caller: str, called: str, silent: int, ended_by: str | None) -> None:
    assert verdict(caller, called, silent) == ended_by


def test_a_call_whose_ends_are_there_goes_on_and_is_asked_again_after_a_long_time() -> None:
    book = restored()
    says(says(book, PBX, 200), MAIN, 405)
    assert list(book.engine.core.calls) == [1]
    assert book >> after(LONG_CALL - 60.0)
    assert questions(book) == 2
    assert book >> after(120.0)
    assert questions(book) == 4


@pytest.mark.parametrize("caller_left", [True, False])
def test_a_call_that_ended_while_we_were_away_is_closed_with_the_latest_moment_it_can_have_had(
    caller_left: bool,
) -> None:
    book = restored()
    gone, there = (PBX, MAIN) if caller_left else (MAIN, PBX)
    says(book, there, 200)
    says(book, gone, 481)
    assert asked(book, gone).method == b"UPDATE"  # some refuse OPTIONS so, and talk on
    back = book.now
    assert (
        book
        >> received(gone, compose.response(asked(book, gone), 481))
        << send(gone, "BYE")
        << send(there, "BYE")
        << recorded(CallEnded, at=5.0, answered_at=0.0, ended_by=("called", "caller")[caller_left], result="answered")
    )
    assert back > 5.0
    assert (
        book
        >> received(there, reply(200, "BYE"))
        >> received(gone, reply(481, "BYE"))
        >> after(200)
    )  # fmt: skip
    assert leftovers(book.engine) == []
    assert book.calls() == []
    assert book.channels() == {}


def test_who_refuses_options_with_481_and_knows_update_talks_on() -> None:
    book = restored()
    says(says(book, PBX, 481), MAIN, 481)
    says(says(book, PBX, 200), MAIN, 501)
    assert list(book.engine.core.calls) == [1]


def test_one_end_that_never_answers_ends_nothing() -> None:
    book = restored()
    says(book, PBX, 200)
    assert book >> after(LIFE + 10 * AGAIN_AFTER)
    assert list(book.engine.core.calls) == [1]


def test_two_ends_that_never_answer_again_do_not_take_a_channel_for_ever() -> None:
    book = restored()
    long = SILENT_MAX * (LIFE + 2 * AGAIN_AFTER) + 2 * LIFE
    assert book >> after(long) << send(PBX, "BYE") << send(MAIN, "BYE")
    (end,) = book.ended()
    assert isinstance(end, CallEnded)
    assert (end.ended_by, end.at) == ("unseen", 5.0)
    assert book.channels() == {}
    assert book >> after(400)
    assert leftovers(book.engine) == []
    assert book.calls() == []


def test_a_very_long_call_that_began_here_is_asked_too() -> None:
    book = talking()
    assert book >> after(LONG_CALL - 61.0)
    assert questions(book) == 0
    assert book >> after(130.0)
    assert questions(book) == 2
    says(says(book, PBX, 200), MAIN, 200)
    book._out.clear()
    assert book >> received(PBX, inside("BYE", 5)) << send(PBX, 200) << send(MAIN, "BYE")


def test_a_call_that_hangs_up_while_it_is_asked_is_over() -> None:
    book = restored()
    book._out.clear()
    assert book >> received(PBX, inside("BYE", 5)) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> received(MAIN, compose.response(asked(book, MAIN), 481)) << sends_nothing()
    assert len(book.ended()) == 1


def test_who_talks_about_the_call_just_now_is_not_asked() -> None:
    book = talking().crash()
    book._out.clear()
    assert book >> after(FIRST_AFTER - 0.5)
    assert book >> received(PBX, inside("INVITE", 5)) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, reply(180, "INVITE")) << send(PBX, 180)
    assert book >> after(5.0)
    assert questions(book) == 0


def test_many_restored_calls_are_asked_a_few_at_a_time() -> None:
    book = talking()
    kept = book.kept["call/1"].decode()
    for number in range(2, 301):
        tags = [("from1", f"from{number}"), ("callee", f"callee{number}")]
        record = kept.replace("[1,", f"[{number},", 1)
        for one, other in tags:
            record = record.replace(one, other)
        book.kept[f"call/{number}"] = record.encode()
    book.crash()
    book._out.clear()
    assert book.channels() == {"pbx": 300, "main": 300}
    most, before = 0, 0
    for _ in range(20):
        assert book >> after(1.0)
        most, before = max(most, questions(book) - before), questions(book)
    assert questions(book) == 600
    assert most <= 2 * 2 * ASKED_MAX
