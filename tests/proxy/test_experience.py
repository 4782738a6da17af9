"""What calls show beside how they end: contradictions, calls that die, slow ringing, and how calls come in."""

import pytest

from sipfailover.proxy import Record, TrunkChanged
from sipfailover.trunk import State
from sipfailover.trunk.setup_time import SAMPLES_NEEDED
from tests.kit import ack, after, answer, bye, cancel, invite, received, recorded, send
from tests.proxy.office import BACKUP, BOUND, MAIN, PBX, Office, calling, down, office

OURS, THEIRS = PBX, MAIN


def number(n: int) -> str:
    return f"+4144555{n:04}"


def refused(book: Office, status: int, n: int) -> None:
    """The main trunk refuses this number, and the PBX hears it."""
    assert (
        calling(book, called=number(n))
        >> received(MAIN, answer(status)) << send(MAIN, "ACK") << send(PBX, status)
        >> received(PBX, ack())
    )  # fmt: skip


def alone(book: Office) -> None:
    """The backup has no channel free, so nobody gives a second opinion."""
    book.line("backup").trunk.channels = 0


def second_opinion(book: Office, status: int, n: int) -> None:
    """The main trunk refuses this number, and the backup agrees."""
    assert (
        calling(book, called=number(n))
        >> received(MAIN, answer(status)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(status)) << send(BACKUP, "ACK") << send(PBX, status)
        >> received(PBX, ack())
    )  # fmt: skip


def talked(book: Office, n: int, seconds: float, who: object, ringing: float = 0.0) -> None:
    """A call over the main trunk is answered, lasts so long, and is ended by this side."""
    assert calling(book, called=number(n)) >> received(MAIN, answer(100))
    assert book >> after(ringing) >> received(MAIN, answer(180)) << send(PBX, 180)
    assert book >> received(MAIN, answer(200)) << send(PBX, 200) >> received(PBX, ack()) << send(MAIN, "ACK")
    other = MAIN if who is PBX else PBX
    assert (
        book
        >> after(seconds)
        >> received(who, bye(callee=who is MAIN)) << send(who, 200) << send(other, "BYE")  # type: ignore[arg-type]
        >> received(other, answer(200, to="BYE"))
    )  # fmt: skip


def changes(book: Office, name: str = "main", direction: str = "outbound") -> list[TrunkChanged]:
    facts = [command.fact for command in book.noted if isinstance(command, Record)]
    return [
        fact for fact in facts if isinstance(fact, TrunkChanged) and (fact.trunk, fact.direction) == (name, direction)
    ]


# -- contradictions ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [404, 480, 484, 604, 603])
def test_a_refused_number_is_no_fault_of_the_trunk(status: int) -> None:
    book = office()
    alone(book)
    refused(book, status, 1)
    assert book.line("main").trunk.health.state is State.UP
    assert not changes(book)


@pytest.mark.parametrize("status", [404, 480, 484, 604])
def test_numbers_that_two_trunks_refuse_are_no_fault_of_either_however_many_there_are(status: int) -> None:
    book = office()
    for n in range(20):
        second_opinion(book, status, n)
    assert not changes(book)
    assert not changes(book, "backup")


def test_for_a_while_two_trunks_that_agree_about_a_number_are_believed() -> None:
    book = office()
    second_opinion(book, 404, 1)
    refused(book, 404, 1)
    assert book >> after(601.0)
    second_opinion(book, 404, 1)


def test_a_number_that_is_reached_again_gets_a_second_opinion_the_next_time() -> None:
    book = office()
    second_opinion(book, 480, 1)
    assert calling(book, called=number(1)) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    assert book >> received(PBX, ack())
    second_opinion(book, 480, 1)


def test_a_number_that_another_trunk_reaches_in_the_same_call_is_one_fault_and_no_refusal() -> None:
    book = office()
    assert calling(book) >> received(MAIN, answer(404)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    assert not changes(book), "what the backup says is waited for"
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180)
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert [change.why for change in changes(book)] == [
        "a call failed with 404 Not Found, but backup reached that number"
    ]
    assert book.line("main").trunk.health.counters.refused.counted(book.now)[0] == 0


def test_a_refusal_counts_when_the_other_trunk_does_not_know_either() -> None:
    book = office()
    for n in range(2):
        asked = calling(book, called=number(n)) >> received(MAIN, answer(404)) << send(MAIN, "ACK")
        assert asked << send(BACKUP, "INVITE")
        assert book >> received(BACKUP, answer(500)) << send(BACKUP, "ACK") << send(PBX, 404) >> received(PBX, ack())
    assert [(change.after, change.rule) for change in changes(book)] == [("Suspect", "half way, refused everywhere")]


def test_a_caller_who_hangs_up_while_the_second_is_asked_leaves_the_refusal_as_it_was() -> None:
    book = office()
    assert calling(book) >> received(MAIN, answer(404)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    hung_up = book >> received(BACKUP, answer(100)) >> received(PBX, cancel())
    assert hung_up << send(PBX, 200) << send(BACKUP, "CANCEL") << send(PBX, 487)
    assert book.line("main").trunk.health.counters.refused.counted(book.now)[0] == 1


def test_a_trunk_that_is_down_is_not_asked_for_its_opinion() -> None:
    book = office()
    down(book, "backup")
    refused(book, 404, 1)


def test_403_at_one_trunk_that_another_one_carries_is_a_fault_of_the_first() -> None:
    book = office()
    assert calling(book) >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    assert (
        book
        >> received(BACKUP, answer(180))
        << send(PBX, 180)
        >> received(BACKUP, answer(200))
        << send(PBX, 200)
        << recorded(TrunkChanged, trunk="main", after="Suspect",
                    why="a call failed with 403 Forbidden, but backup reached that number")
        >> received(PBX, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip


def test_404_that_another_trunk_contradicts_within_minutes_is_a_fault() -> None:
    book = office()
    alone(book)
    refused(book, 404, 1)
    book.line("main").trunk.channels, book.line("backup").trunk.channels = 0, None  # calls go over the backup meanwhile
    assert book >> after(300.0)
    assert calling(book, BACKUP, number(1)) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert [(change.after, change.why) for change in changes(book)] == [
        ("Suspect", "a call failed with 404 Not Found, but backup reached that number")
    ]


@pytest.mark.parametrize(("wait", "status"), [(601.0, 404), (10.0, 603)])
def test_what_another_trunk_reaches_much_later_or_after_a_person_declined_contradicts_nothing(
    wait: float, status: int
) -> None:
    book = office()
    alone(book)
    refused(book, status, 1)
    book.line("main").trunk.channels, book.line("backup").trunk.channels = 0, None
    assert book >> after(wait)
    assert calling(book, BACKUP, number(1)) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert not changes(book)


def test_one_number_after_the_other_not_found_takes_a_trunk_down() -> None:
    book = office()
    alone(book)
    for n in range(2):
        refused(book, 404, n)
    assert [(change.after, change.rule) for change in changes(book)] == [("Suspect", "half way, refused everywhere")]
    for n in range(2, 4):
        refused(book, 404, n)
    last = changes(book)[-1]
    assert (last.after, last.rule) == ("Down", "refused everywhere")
    assert last.why == "4 calls to different numbers were refused with 404 Not Found within 0 ms"
    assert len(last.evidence) == 4


def test_a_caller_who_may_not_call_is_one_refusal_whomever_he_calls() -> None:
    book = office()
    for n in range(10):
        second_opinion(book, 403, n)
    assert book.line("main").trunk.health.state is State.UP


@pytest.mark.parametrize("status", [403, 404, 480, 484, 603, 604])
def test_a_pbx_that_refuses_one_number_after_the_other_is_well(status: int) -> None:
    """At night it says 480 to everybody; calls must not be turned away for that."""
    book = office()
    for n in range(20):
        assert (
            book
            >> received(MAIN, invite(number(n), caller="+41790000000")) << send(MAIN, 100) << send(PBX, "INVITE")
            >> received(PBX, answer(status)) << send(PBX, "ACK") << send(MAIN, status)
            >> received(MAIN, ack())
        )  # fmt: skip
    assert book.line("pbx").trunk.health.state is State.UP
    assert not changes(book, "pbx")


# -- calls that die ---------------------------------------------------------------------------------------------------


def test_answered_calls_to_different_numbers_that_the_network_ends_take_a_trunk_down() -> None:
    book = office()
    for n in range(4):
        talked(book, n, 3.0, MAIN)
    assert [(change.after, change.rule) for change in changes(book)] == [
        ("Suspect", "half way, answered calls die"),
        ("Down", "answered calls die"),
    ]
    what = "answered, and ended by the network after 3 s"
    assert changes(book)[-1].why == f"4 answered calls were ended by the network: {what} within 9 s"
    assert calling(book, BACKUP) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)


@pytest.mark.parametrize(("seconds", "who"), [(3.0, PBX), (8.5, MAIN)])
def test_calls_that_our_side_ends_or_that_last_mean_nothing(seconds: float, who: object) -> None:
    book = office()
    for n in range(20):
        talked(book, n, seconds, who)
    assert not changes(book)


def test_short_calls_now_and_then_are_ordinary() -> None:
    book = office()
    for n in range(60):
        talked(book, n, 3.0 if n % 12 == 0 else 30.0, MAIN)
    assert not changes(book)


def test_zero_looks_at_no_call_that_dies() -> None:
    book = office(probes="options_every: 1h, dropped_within: 0")
    for n in range(10):
        talked(book, n, 3.0, MAIN)
    assert not changes(book)


# -- slow ringing -----------------------------------------------------------------------------------------------------


def test_a_trunk_that_takes_long_to_ring_becomes_suspect_before_it_fails_and_well_again() -> None:
    book = office()
    for n in range(SAMPLES_NEEDED + 10):
        talked(book, n, 20.0, PBX, ringing=1.0)
    assert book.line("main").trunk.setup.known
    for n in range(5):
        talked(book, 100 + n, 20.0, PBX, ringing=4.0)
        if changes(book):
            break
    slow = changes(book)[0]
    assert (slow.before, slow.after, slow.rule) == ("Up", "Suspect", "slow to ring")
    assert "slow to ring (4 s to ring, usually 1" in slow.why
    assert book.line("main").trunk.carries_new_calls
    for n in range(20):
        talked(book, 200 + n, 20.0, PBX, ringing=1.0)
    assert book.line("main").trunk.health.state is State.UP


def test_the_no_ringing_clock_follows_what_is_usual() -> None:
    book = office()
    for n in range(SAMPLES_NEEDED + 40):
        talked(book, n, 20.0, PBX, ringing=1.0)
    view = book.engine.view(book.now).trunks[0]
    assert view.no_ringing_within == pytest.approx(6.0, abs=0.1)
    assert (view.no_ringing_at_most, view.no_answer_at_most) == (12.0, 4.0)
    assert view.set_up_time == pytest.approx(1.0, abs=0.1)
    assert calling(book) >> received(MAIN, answer(100)) >> after(6.2) << send(MAIN, "CANCEL") << send(BACKUP, "INVITE")


# -- late answers -----------------------------------------------------------------------------------------------------


def test_a_late_answer_ends_a_quick_check_well() -> None:
    book = office()
    assert book >> after(1.5)
    book.answers_probes = False
    assert calling(book) >> after(BOUND) << send(BACKUP, "INVITE")
    assert book.line("main").trunk.probe.quick
    assert book >> received(MAIN, answer(100, to="INVITE")) << send(MAIN, "CANCEL")
    assert not book.line("main").trunk.probe.quick
    assert book.line("main").trunk.health.state is State.SUSPECT, "the call is not refuted"


# -- calls that come in -----------------------------------------------------------------------------------------------


def came_in(book: Office, n: int, seconds: float, who: object) -> None:
    """A call from the main trunk is answered, lasts so long, and is ended by this side."""
    assert book >> received(MAIN, invite("+41443210019", caller=number(n))) << send(MAIN, 100) << send(PBX, "INVITE")
    assert book >> received(PBX, answer(200)) << send(MAIN, 200) >> received(MAIN, ack()) << send(PBX, "ACK")
    other = MAIN if who is PBX else PBX
    assert (
        book
        >> after(seconds)
        >> received(who, bye(callee=who is PBX)) << send(who, 200) << send(other, "BYE")  # type: ignore[arg-type]
        >> received(other, answer(200, to="BYE"))
    )  # fmt: skip


def test_calls_that_come_in_and_die_are_shown_and_move_no_call() -> None:
    book = office()
    for n in range(5):
        came_in(book, n, 2.0, MAIN)
    assert [change.after for change in changes(book, direction="inbound")] == ["Suspect", "Down"]
    assert not changes(book)
    view = book.engine.view(book.now).trunks[0]
    assert (view.health, view.inbound, view.carries_new_calls) == ("Up", "Down", True)
    assert "calls that came in died" in view.inbound_why
    assert calling(book)


@pytest.mark.parametrize(("seconds", "who"), [(2.0, PBX), (20.0, MAIN)])
def test_calls_that_come_in_and_end_as_they_should_mean_nothing(seconds: float, who: object) -> None:
    book = office()
    for n in range(10):
        came_in(book, n, seconds, who)
    assert not changes(book, direction="inbound")


def test_a_number_that_fails_everywhere_is_held_against_one_trunk_only() -> None:
    """The backup sees mostly what has failed before: else ordinary failures would take it down."""
    book = office()
    for n in range(12):
        assert (
            calling(book, called=f"+4144321{n:04}")
            >> received(MAIN, answer(500)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
            >> received(BACKUP, answer(500)) << send(BACKUP, "ACK") << send(PBX, 503)
            >> received(PBX, ack())
        )  # fmt: skip
        if book.line("main").trunk.health.state is State.DOWN:
            break
    assert book.line("main").trunk.health.state is State.DOWN
    assert book.line("backup").trunk.health.state is State.UP
