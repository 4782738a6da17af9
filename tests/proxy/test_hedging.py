"""The hedge: from a trunk in doubt to the next one before it is given up, and every race that follows from it."""

from math import inf
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sipfailover.proxy import AttemptEnded, CallEnded
from sipfailover.proxy.core import FINAL_LOOKED_AT_EVERY
from sipfailover.proxy.hedging import ELSEWHERE
from sipfailover.routing.hedge import FIRST, LAST_WORD, MARGIN, NEITHER, SECOND
from sipfailover.trunk import Evidence, Sign, State
from sipfailover.wire import Message
from tests.kit import (
    ack,
    after,
    answer,
    bye,
    cancel,
    flow,
    invite,
    logged,
    lost,
    received,
    recorded,
    resolved,
    send,
    sends_nothing,
    target,
)
from tests.kit.leftovers import leftovers
from tests.kit.playbook import matches
from tests.proxy.office import (
    BACKUP,
    MAIN,
    PBX,
    THIRD,
    Office,
    calling,
    doubt,
    down,
    evidence,
    office,
    sent,
)
from tests.proxy.survivor import SETTINGS, Survivor

ON = "failover: {hedge: yes}"
ANSWERS, RINGS = 0.04, 0.5
"""Seconds: when it is unusual that main has not answered yet, and that it does not ring."""
BOUND = 0.8
"""Its no-answer clock then."""


def measure(book: Office, *names: str) -> Office:
    """These trunks have had a dozen good calls."""
    for name in names:
        trunk = book.line(name).trunk
        for _ in range(12):
            trunk.roundtrip.observe(ANSWERS - MARGIN, call=True)
            trunk.setup.observe(RINGS - MARGIN)
    return book


def doubtful(more: str = ON, **others: Any) -> Office:
    """Main is measured, and Suspect."""
    book = measure(office(more, **others), "main")
    doubt(book)
    assert book.line("main").trunk.health.state is State.SUSPECT
    return book


def hedged(book: Office) -> Office:
    """The PBX calls, main is silent, and the backup is asked too."""
    assert calling(book) >> after(ANSWERS) << send(BACKUP, "INVITE")
    return book


def trying(book: Office) -> Office:
    """The PBX calls, main says 100 and nothing more, and the backup is asked too."""
    assert calling(book) >> received(MAIN, answer(100)) >> after(RINGS) << send(BACKUP, "INVITE")
    return book


def says_elsewhere(cancel: Message) -> bool:
    """RFC 3326: this call is no missed one."""
    return cancel.get(b"reason") == ELSEWHERE


def counts(book: Office) -> dict[str, int]:
    """Who has won, and how often."""
    return {who: number for (_, who), number in book.engine.core.hedges.items()}


def channels(book: Office) -> tuple[int, ...]:
    return tuple(line.trunk.calls_now for line in book.engine.core.trunks)


def hang_up(book: Office, at: Any = BACKUP) -> None:
    """The call is ended, and nothing is left."""
    assert book >> received(PBX, bye()) << send(PBX, 200) << send(at, "BYE") >> received(at, answer(200, to="BYE"))
    book.done()


# -- when ---------------------------------------------------------------------------------------------------------


def test_no_answer_for_longer_than_usual_from_a_trunk_in_doubt_and_the_backup_is_asked_too() -> None:
    book = doubtful()
    assert (
        calling(book)
        >> after(ANSWERS - 0.001) << sends_nothing()
        >> after(0.001) << send(BACKUP, "INVITE")
        << logged("info", "call 1 goes to backup as well as to main")
        >> received(BACKUP, answer(100)) << sends_nothing()
        >> received(BACKUP, answer(180)) << send(PBX, 180)
        << recorded(AttemptEnded, number=1, trunk="main", outcome="cancelled", verdict="overtaken", why="")
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        << recorded(
            AttemptEnded, number=2, trunk="backup", outcome="answered", verdict="relayed",
            why="hedge: no answer from main for 40 ms, 95 % of its first answers are within 30 ms",
        )
        >> received(PBX, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip
    assert not sent(book, MAIN, "CANCEL")  # it has said nothing: §9.1 forbids it
    assert len(sent(book, MAIN, "INVITE")) == 1
    assert counts(book) == {SECOND: 1}
    assert channels(book) == (0, 1)
    assert book >> received(MAIN, answer(180)) << send(MAIN, "CANCEL", says_elsewhere)  # it has woken up
    assert book >> received(MAIN, answer(200, to="CANCEL"))
    assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    hang_up(book)


def test_100_and_no_ringing_for_longer_than_usual_is_the_other_silence() -> None:
    book = doubtful()
    assert (
        calling(book)
        >> after(0.01) >> received(MAIN, answer(100))
        >> after(RINGS - 0.011) << sends_nothing()
        >> after(0.001) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(183)) << send(PBX, 183)
        << send(MAIN, "CANCEL", says_elsewhere)
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        << recorded(
            AttemptEnded, number=2, outcome="answered",
            why="hedge: no ringing from main for 500 ms, 95 % of its times to ringing are within 490 ms",
        )
        >> received(PBX, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip
    hang_up(book)


def test_off_is_the_default_and_then_the_first_is_given_up_before_the_second_begins() -> None:
    book = doubtful("")
    assert calling(book) >> after(BOUND - 0.001) << sends_nothing() >> after(0.001) << send(BACKUP, "INVITE")
    assert book.engine.core.calls[1].rival is None


def test_a_trunk_that_is_up_has_its_time() -> None:
    book = measure(office(ON), "main")
    assert calling(book) >> after(BOUND - 0.001) << sends_nothing()


def test_where_nothing_was_measured_there_is_no_hedge() -> None:
    book = office(ON)
    doubt(book)
    assert calling(book) >> after(3.9) << sends_nothing()


def test_a_trunk_that_comes_into_doubt_is_hedged_at_once_if_it_was_silent_for_long() -> None:
    book = measure(office(ON, trunks=("main", "backup", "third")), "main")
    assert calling(book) >> after(0.3) << sends_nothing()
    book.engine.watch.observe(book.line("main"), Evidence(Sign.CALL_FAULT, "503 elsewhere", "+41000000000"), book.now)
    assert book >> after(0.0) << send(BACKUP, "INVITE")


def test_the_call_before_it_was_silent_so_the_call_behind_it_is_hedged() -> None:
    book = measure(office(ON), "main")
    assert calling(book) >> after(0.5)
    assert book >> received(PBX, invite("+41443210020")) << send(PBX, 100) << send(MAIN, "INVITE") >> after(0.299)
    assert book >> after(0.002) << send(BACKUP, "INVITE") << send(BACKUP, "INVITE")
    assert [call.rival is not None for call in book.engine.core.calls.values()] == [False, True]


def test_a_trunk_that_is_down_by_now_is_hedged_and_one_that_was_down_before_is_not() -> None:
    book = measure(office(ON), "main")
    assert calling(book) >> after(0.3)
    book.engine.watch.observe(book.line("main"), Evidence(Sign.RETRY_AFTER, "503", retry_after=60.0), book.now)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book >> after(0.0) << send(BACKUP, "INVITE")
    book = measure(office(ON), "main", "backup")
    down(book, "main")
    down(book, "backup")
    assert calling(book) >> after(BOUND - 0.001) << sends_nothing()


def test_nothing_begins_once_it_rings() -> None:
    book = doubtful()
    assert calling(book) >> received(MAIN, answer(180)) << send(PBX, 180) >> after(20.0) << sends_nothing()


def test_a_trunk_in_trial_or_down_is_no_second_choice_but_the_one_behind_it_is() -> None:
    book = doubtful(trunks=("main", "backup", "third"))
    down(book, "backup")
    assert calling(book) >> after(ANSWERS) << send(THIRD, "INVITE")
    book = doubtful()
    down(book, "backup")
    assert calling(book) >> after(BOUND - 0.001) << sends_nothing()


def test_a_second_attempt_takes_a_channel_and_needs_one() -> None:
    text = SETTINGS.replace("backup, host: 203.0.113.1,  port: 5060", "backup, host: 203.0.113.1, channels: 1")
    book = Survivor(text + ON)
    measure(book, "main")
    doubt(book)
    assert book >> after(0.0) << sends_nothing()
    hedged(book)
    assert channels(book) == (1, 1)
    assert book >> received(PBX, invite("+41443210020")) << send(PBX, 100) << send(MAIN, "INVITE") >> after(0.5)
    assert channels(book) == (2, 1)


def test_an_emergency_call_is_hedged_only_where_that_is_wanted() -> None:
    assert calling(doubtful(), called="112") >> after(ANSWERS) << send(BACKUP, "INVITE")
    assert calling(doubtful(""), called="112") >> after(0.7) << sends_nothing()


def test_a_call_that_came_in_is_hedged_only_on_its_way_out_again() -> None:
    book = doubtful(ON + "\ninbound: {overflow: '+41791234567'}")
    measure(book, "pbx")
    doubt(book, "pbx")
    assert (
        book
        >> received(BACKUP, invite("+41443210019", host="203.0.113.1:5060")) << send(BACKUP, 100) << send(PBX, "INVITE")
        >> after(0.7) << sends_nothing()
        >> lost(target(PBX)) << send(MAIN, "INVITE")
        >> after(ANSWERS + 0.001) << send(BACKUP, "INVITE")
    )  # fmt: skip


# -- who wins -----------------------------------------------------------------------------------------------------


def test_the_first_may_still_ring_first_and_then_the_second_is_cancelled() -> None:
    book = hedged(doubtful())
    assert (
        book
        >> received(BACKUP, answer(100))
        >> received(MAIN, answer(180)) << send(PBX, 180) << send(BACKUP, "CANCEL")
        << recorded(AttemptEnded, number=2, trunk="backup", outcome="cancelled", verdict="overtaken")
        >> received(BACKUP, answer(200, to="CANCEL"))
        >> received(BACKUP, answer(487, to="INVITE")) << send(BACKUP, "ACK")
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    assert counts(book) == {FIRST: 1}
    assert channels(book) == (1, 0)
    hang_up(book, MAIN)


def test_an_answer_without_ringing_wins_too() -> None:
    book = trying(doubtful())
    assert (
        book
        >> received(BACKUP, answer(200)) << send(PBX, 200) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(PBX, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip
    assert counts(book) == {SECOND: 1}
    hang_up(book)


def test_both_ring_and_the_caller_hears_only_who_was_first() -> None:
    book = trying(doubtful())
    assert (
        book
        >> received(BACKUP, answer(180)) << send(PBX, 180) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(180, to="INVITE")) << sends_nothing()
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip
    hang_up(book)


@pytest.mark.parametrize("answered", [False, True], ids=["while the second rings", "when the second has answered"])
def test_an_answer_of_the_first_that_crosses_its_cancel_is_acknowledged_and_hung_up(answered: bool) -> None:
    book = trying(doubtful())
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180) << send(MAIN, "CANCEL")
    if answered:
        assert book >> received(BACKUP, answer(200)) << send(PBX, 200) >> received(PBX, ack()) << send(BACKUP, "ACK")
    assert (
        book
        >> received(MAIN, answer(200, to="INVITE", tag="late")) << send(MAIN, "ACK") << send(MAIN, "BYE")
        >> received(MAIN, answer(200, to="BYE", tag="late"))
        >> received(MAIN, answer(481, to="CANCEL"))
    )  # fmt: skip
    if not answered:
        assert book >> received(BACKUP, answer(200)) << send(PBX, 200) >> received(PBX, ack()) << send(BACKUP, "ACK")
    assert len(sent(book, PBX, 200)) == 1
    hang_up(book)


def test_the_second_answers_while_its_cancel_is_under_way() -> None:
    book = hedged(doubtful())
    assert (
        book
        >> received(BACKUP, answer(100))
        >> received(MAIN, answer(180)) << send(PBX, 180) << send(BACKUP, "CANCEL")
        >> received(BACKUP, answer(200, to="INVITE", tag="late")) << send(BACKUP, "ACK") << send(BACKUP, "BYE")
        >> received(BACKUP, answer(200, to="BYE", tag="late"))
        >> received(BACKUP, answer(200, to="CANCEL"))
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    hang_up(book, MAIN)


def test_199_is_no_ringing_and_wins_nothing() -> None:
    book = hedged(doubtful())
    assert book >> received(BACKUP, answer(199)) << send(PBX, 199)
    assert book.engine.core.calls[1].rival is not None
    assert book >> received(MAIN, answer(180)) << send(PBX, 180) << send(BACKUP, "CANCEL")
    assert len(book.engine.core.legs) == 2


# -- the caller ---------------------------------------------------------------------------------------------------


def test_the_caller_hangs_up_and_both_are_cancelled() -> None:
    book = trying(doubtful())
    assert (
        book
        >> received(BACKUP, answer(100))
        >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL") << send(BACKUP, "CANCEL")
        << recorded(AttemptEnded, number=1, outcome="cancelled", verdict="gave up")
        << recorded(AttemptEnded, number=2, outcome="cancelled", verdict="gave up")
        << recorded(CallEnded, result="cancelled", attempts=2)
        >> received(PBX, ack())
    )  # fmt: skip
    for carrier in (MAIN, BACKUP):
        assert book >> received(carrier, answer(200, to="CANCEL"))
        assert book >> received(carrier, answer(487, to="INVITE")) << send(carrier, "ACK")
    assert counts(book) == {NEITHER: 1}
    book.done()


def test_a_pbx_whose_own_clock_is_shorter_ends_both_and_what_answers_then_is_hung_up() -> None:
    """It cancels after 3 s without ringing: nobody has said anything, so no CANCEL may leave yet."""
    book = measure(doubtful(), "backup")
    book.line("backup").trunk.roundtrip.observe(3.0, call=True)
    hedged(book)
    assert book >> after(0.6) >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) >> received(PBX, ack())
    assert (
        book
        >> received(BACKUP, answer(200, to="INVITE")) << send(BACKUP, "ACK") << send(BACKUP, "BYE")
        >> received(BACKUP, answer(200, to="BYE"))
        >> received(MAIN, answer(100)) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    )  # fmt: skip
    book.done()


def test_a_caller_who_hangs_up_while_the_winner_rings_cancels_that_and_no_other_again() -> None:
    book = trying(doubtful())
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180) << send(MAIN, "CANCEL")
    assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(BACKUP, "CANCEL")
    assert len({message.branch for message in (one.via for one in sent(book, MAIN, "CANCEL"))}) == 1
    assert counts(book) == {SECOND: 1}


def test_when_the_ladder_has_had_its_time_both_end_and_neither_is_blamed() -> None:
    clocks = "no_answer_within: 1s, no_ringing_within: 1500ms, give_up_after: 2s"
    book = measure(office(f"failover: {{hedge: yes, {clocks}}}", trunks=("main", "backup", "third")), "backup")
    doubt(book, "backup")
    doubt(book, "third")
    assert (
        calling(book)
        >> after(1.0) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(100))
        >> after(RINGS + 0.001) << send(THIRD, "INVITE")
        >> received(THIRD, answer(100))
        >> after(0.5) << send(PBX, 503) << send(BACKUP, "CANCEL") << send(THIRD, "CANCEL")
        << recorded(AttemptEnded, number=2, outcome="no ringing")
        << recorded(AttemptEnded, number=3, outcome="no ringing")
        << recorded(CallEnded, result="trunk failed", attempts=3)
        >> received(PBX, ack())
    )  # fmt: skip
    assert (evidence(book, "backup"), evidence(book, "third")) == ("nothing", "nothing")


# -- one of them fails --------------------------------------------------------------------------------------------


def test_the_first_is_given_up_in_its_time_and_the_second_goes_on_alone() -> None:
    book = hedged(doubtful())
    assert (
        book
        >> received(BACKUP, answer(100))
        >> after(BOUND - ANSWERS)
        << recorded(AttemptEnded, number=1, trunk="main", outcome="silent", verdict="hedged")
        << logged("info", "call 1 is left to backup, as main has failed")
        >> received(BACKUP, answer(180)) << send(PBX, 180)
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        << logged("info", "rerouted to backup")
        >> received(PBX, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip
    assert evidence(book) == "silent"
    assert counts(book) == {SECOND: 1}
    hang_up(book)


def test_both_fail_and_the_caller_hears_what_tells_most() -> None:
    book = hedged(doubtful())
    assert (
        book
        >> received(MAIN, answer(403)) << send(MAIN, "ACK")
        << recorded(AttemptEnded, number=1, status=403, verdict="hedged")
        >> received(BACKUP, answer(500)) << send(BACKUP, "ACK") << send(PBX, 403)
        << recorded(AttemptEnded, number=2, status=500, verdict="gave up")
        << recorded(CallEnded, result="rejected", status=403, attempts=2, trunk="main")
        >> received(PBX, ack())
    )  # fmt: skip
    assert counts(book) == {NEITHER: 1}
    assert channels(book) == (0, 0)
    book.done()


def test_the_second_fails_and_the_next_one_is_asked_at_once_but_never_three() -> None:
    book = doubtful(trunks=("main", "backup", "third"))
    book.line("backup").trunk.health.observe(Evidence(Sign.CALL_FAULT, "503 before", "+41000000000"), book.now)
    measure(book, "backup")
    hedged(book)
    assert book >> after(0.5) << sends_nothing()  # the backup is in doubt and silent too, and that makes two
    assert (
        book
        >> received(BACKUP, answer(503)) << send(BACKUP, "ACK") << send(THIRD, "INVITE")
        >> received(THIRD, answer(180)) << send(PBX, 180)
        << recorded(AttemptEnded, number=1, trunk="main", verdict="overtaken")
        >> received(THIRD, answer(200)) << send(PBX, 200)
        << recorded(AttemptEnded, number=3, trunk="third", outcome="answered")
        >> received(PBX, ack()) << send(THIRD, "ACK")
    )  # fmt: skip
    assert counts(book) == {NEITHER: 1, SECOND: 1}
    hang_up(book, THIRD)


def test_the_first_fails_and_a_second_that_is_in_doubt_too_is_hedged_by_the_third() -> None:
    book = measure(doubtful(trunks=("main", "backup", "third")), "backup")
    doubt(book, "backup")
    hedged(book)
    assert book >> after(ANSWERS + 0.001) << sends_nothing()
    assert book >> lost(target(MAIN)) << send(THIRD, "INVITE")
    assert [attempt.line.name for attempt in both(book)] == ["backup", "third"]


def both(book: Office) -> list[Any]:
    call = book.engine.core.calls[1]
    return [attempt for attempt in (call.attempt, call.rival) if attempt is not None]


@pytest.mark.parametrize("last", [180, 486, 503, None])
def test_busy_at_the_first_waits_for_the_second_which_may_be_why(last: int | None) -> None:
    """The callee's telephone rings because of the backup, so main finds it busy."""
    book = hedged(doubtful(trunks=("main", "backup", "third")))
    book.line("backup").trunk.health.observe(Evidence(Sign.CALL_FAULT, "503 before", "+41000000000"), book.now)
    assert book >> received(BACKUP, answer(100))
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK")
    if last == 180:
        assert (
            book >> received(BACKUP, answer(180)) << send(PBX, 180) >> received(BACKUP, answer(200)) << send(PBX, 200)
        )
        return
    if last is not None:
        assert book >> received(BACKUP, answer(last)) << send(BACKUP, "ACK") << send(PBX, 486) >> received(PBX, ack())
    else:
        assert (
            book
            >> after(LAST_WORD - 0.001) << sends_nothing()
            >> after(0.001) << send(PBX, 486) << send(BACKUP, "CANCEL")
            << recorded(AttemptEnded, number=2, outcome="no ringing")
            << recorded(CallEnded, result="busy", status=486, trunk="main")
            >> received(PBX, ack())
        )  # fmt: skip
        assert evidence(book, "backup") == "nothing"  # it has not had its time
    assert not sent(book, THIRD, "INVITE")


def test_busy_at_the_second_waits_a_moment_for_the_first_even_if_that_says_100_meanwhile() -> None:
    book = hedged(doubtful())
    assert (
        book
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK")
        >> after(0.5) >> received(MAIN, answer(100)) << sends_nothing()
        >> after(LAST_WORD - 0.501) << sends_nothing()
        >> after(0.001) << send(PBX, 486) << send(MAIN, "CANCEL")
        >> received(PBX, ack())
    )  # fmt: skip
    assert evidence(book) == "nothing"


def test_a_first_that_is_about_to_be_given_up_is_not_waited_for_any_longer() -> None:
    book = hedged(doubtful())
    assert (
        book
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK")
        >> after(BOUND - ANSWERS) << send(PBX, 486)
        << recorded(AttemptEnded, number=1, outcome="silent")
    )  # fmt: skip
    assert evidence(book) == "silent"  # it had its time


@pytest.mark.parametrize("status", [600, 603])
def test_declined_ends_both_at_once(status: int) -> None:
    book = trying(doubtful())
    assert (
        book
        >> received(BACKUP, answer(status)) << send(BACKUP, "ACK") << send(PBX, status) << send(MAIN, "CANCEL")
        << recorded(AttemptEnded, number=1, outcome="cancelled", verdict="gave up")
        << recorded(AttemptEnded, number=2, status=status, verdict="relayed")
        << recorded(CallEnded, status=status, trunk="backup")
        >> received(PBX, ack())
    )  # fmt: skip
    assert counts(book) == {NEITHER: 1}


def test_a_port_that_is_closed_ends_one_of_them_only() -> None:
    book = hedged(doubtful())
    assert book >> lost(target(BACKUP)) << recorded(AttemptEnded, number=2, outcome="unreachable", verdict="hedged")
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    assert counts(book) == {NEITHER: 1}


# -- what is learnt -----------------------------------------------------------------------------------------------


def test_who_was_slower_is_not_blamed_and_who_won_has_the_credit() -> None:
    book = trying(doubtful())
    doubt(book, "backup")
    samples = book.line("main").trunk.setup.samples
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180) << send(MAIN, "CANCEL")
    assert book >> received(BACKUP, answer(200)) << send(PBX, 200) >> received(PBX, ack()) << send(BACKUP, "ACK")
    assert evidence(book) == "nothing"
    assert evidence(book, "backup") == "good"
    assert book.line("main").trunk.setup.samples == samples
    assert book.line("main").trunk.addresses.known[0].answers is not False


def test_after_two_in_a_row_a_call_has_its_time_and_if_it_fails_it_speaks_for_them() -> None:
    book = doubtful()
    for number in (1, 2):
        called = f"+4144321002{number}"
        assert book >> received(PBX, invite(called)) << send(PBX, 100) << send(MAIN, "INVITE")
        assert book >> received(MAIN, answer(100)) >> after(RINGS + 0.001) << send(BACKUP, "INVITE")
        assert book >> received(BACKUP, answer(200)) << send(PBX, 200) << send(MAIN, "CANCEL")
        assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        assert book >> received(PBX, ack()) << send(BACKUP, "ACK")
    assert (book.line("main").trunk.health.state, evidence(book)) == (State.SUSPECT, "nothing")
    assert book >> received(PBX, invite("+41443210023")) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(100)) >> after(5.9) << sends_nothing()
    assert book >> after(0.101) << send(BACKUP, "INVITE") << send(MAIN, "CANCEL")
    assert book.line("main").trunk.health.state is State.DOWN


def test_after_two_in_a_row_a_call_that_rings_clears_them() -> None:
    book = doubtful()
    overtaken = book.line("main").trunk.overtaken
    for number in (1, 2):
        overtaken.lost(f"+4100{number}", 0.8, book.now)
    assert calling(book) >> after(0.3) << sends_nothing()
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    assert not overtaken.full(book.now)


def test_an_emergency_call_shows_nothing_to_anybody() -> None:
    book = doubtful()
    for number in (1, 2):
        book.line("main").trunk.overtaken.lost(f"+4100{number}", 0.8, book.now)
    assert calling(book, called="112") >> after(ANSWERS) << send(BACKUP, "INVITE")


def test_a_late_first_answer_of_who_was_slower_teaches_its_round_trip() -> None:
    book = hedged(doubtful())
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180)
    before = book.line("main").trunk.roundtrip.calls.mean
    assert book >> after(0.4) >> received(MAIN, answer(100)) << send(MAIN, "CANCEL")
    assert (book.line("main").trunk.roundtrip.calls.mean or 0.0) > (before or inf)


# -- further tries at the trunk of the first ----------------------------------------------------------------------


def test_the_trunks_own_number_is_tried_when_the_second_has_failed_too() -> None:
    text = (
        f"pbx: {PBX.host}\nlisten: [udp 192.0.2.1:5060]\nmonitor: {{options_every: 1h}}\n{ON}\ntrunks:\n"
        f"  - {{name: main, host: {MAIN.host}, port: 5060, caller_id: +41315550000, number_format: e164}}\n"
        f"  - {{name: backup, host: {BACKUP.host}, port: 5060}}\n"
    )
    book = Survivor(text)
    measure(book, "main")
    doubt(book)
    assert book >> after(0.0) << sends_nothing()
    hedged(book)
    assert (
        book
        >> received(MAIN, answer(403)) << send(MAIN, "ACK")
        << recorded(AttemptEnded, number=1, verdict="own number")
        >> received(BACKUP, answer(500)) << send(BACKUP, "ACK") << send(MAIN, "INVITE")
        << recorded(AttemptEnded, number=2, verdict="next trunk")
        << logged("info", "moves on from backup to main")
        >> received(MAIN, answer(180, to="INVITE")) << send(PBX, 180)
    )  # fmt: skip
    assert sent(book, MAIN, "INVITE")[-1].from_.uri.startswith(b"sip:+41315550000@")


def test_another_address_of_the_first_is_tried_when_the_second_has_failed_too() -> None:
    edges = [flow(f"edge {n}", f"198.51.100.{n}") for n in (1, 2)]
    book = office(ON, known=False)
    assert book >> resolved("main", *map(target, edges)) >> resolved("pbx", target(PBX))
    assert book >> resolved("backup", target(BACKUP))
    measure(book, "main")
    doubt(book)
    assert calling(book, edges[0]) >> after(ANSWERS) << send(BACKUP, "INVITE")
    assert (
        book
        >> received(edges[0], answer(503)) << send(edges[0], "ACK")
        << recorded(AttemptEnded, number=1, verdict="next address")
        >> received(BACKUP, answer(500)) << send(BACKUP, "ACK") << send(edges[1], "INVITE")
        >> received(edges[1], answer(500)) << send(edges[1], "ACK") << send(PBX, 503)
        << recorded(CallEnded, attempts=3, result="trunk failed")
        >> received(PBX, ack())
    )  # fmt: skip


# -- what outlives the process ------------------------------------------------------------------------------------


def test_after_a_crash_both_are_cancelled_and_the_caller_is_told_once() -> None:
    book = Survivor(SETTINGS + ON)
    measure(book, "main")
    doubt(book)
    assert book >> after(0.0) << sends_nothing()
    trying(book)
    assert book.calls() == ["try/1", "try/1.2"]
    assert book.crash() << send(PBX, 503) << send(MAIN, "CANCEL") << send(BACKUP, "CANCEL")
    assert [fact.attempts for fact in book.ended()] == [2]  # type: ignore[union-attr]
    assert book.calls() == ["final/1", "try/1", "try/1.2"], "until the caller has acknowledged that"
    told = len(book.sent)
    book.crash()
    again = [data.partition(b" ")[0] for _, data in book.sent[told:] if not data.startswith(b"OPTIONS ")]
    assert sorted(again) == [b"CANCEL", b"CANCEL", b"SIP/2.0"]
    assert len(book.ended()) == 1
    book.engine.receive(PBX, ack()(book.seen(PBX)), book.now)
    book.collect()
    book._out.clear()
    book.now += FINAL_LOOKED_AT_EVERY
    book.engine.wake(book.now)
    book.collect()
    assert book.calls() == []


@pytest.mark.parametrize("answered", [True, False])
def test_nothing_is_kept_of_attempts_that_are_over(answered: bool) -> None:
    book = Survivor(SETTINGS + ON)
    measure(book, "main")
    doubt(book)
    assert book >> after(0.0) << sends_nothing()
    trying(book)
    if answered:
        assert book >> received(BACKUP, answer(200)) << send(PBX, 200) << send(MAIN, "CANCEL")
        assert book.calls() == ["answer/1", "call/1"]
    else:
        assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
        assert book.calls() == ["final/1", "try/1", "try/1.2"]
        assert book >> received(PBX, ack()) >> after(FINAL_LOOKED_AT_EVERY)
        assert book.calls() == []


# -- what is shown ------------------------------------------------------------------------------------------------


def test_what_was_hedged_is_in_the_picture() -> None:
    book = hedged(doubtful())
    assert book.engine.view(book.now).hedges == {}
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180)
    (call,) = book.engine.view(book.now).calls
    assert (call.trunk, call.rerouted) == ("backup", True)
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert book.engine.view(book.now).hedges == {("main", "second"): 1}


# -- whatever they say, in whatever order -------------------------------------------------------------------------

SAYS = st.tuples(
    st.sampled_from([MAIN, MAIN, BACKUP, BACKUP, THIRD, PBX]),
    st.sampled_from([100, 180, 183, 199, 200, 403, 404, 486, 500, 503, 603]),
    st.sampled_from([0.0, 0.0, 0.03, 0.05, 0.45, 0.9, 2.1]),
)
"""Who says what, after how many seconds; the PBX only ever cancels."""


@settings(max_examples=150, deadline=None)
@given(st.lists(SAYS, max_size=14), st.booleans())
def test_at_most_two_at_a_time_one_once_it_rings_and_nothing_is_left(talk: list[Any], emergency: bool) -> None:
    book = measure(doubtful(trunks=("main", "backup", "third")), "backup", "third")
    doubt(book, "backup")
    _do(book, received(PBX, invite("112" if emergency else "+41443210019")))
    for who, status, seconds in talk:
        _do(book, after(seconds))
        if who is PBX:
            _do(book, received(PBX, cancel()))
        elif sent(book, who, "INVITE"):
            _do(book, received(who, answer(status, to="INVITE")))
    if sent(book, PBX, 200) and any(message.cseq_method == b"INVITE" for message in sent(book, PBX, 200)):
        _do(book, received(PBX, ack()))
        _do(book, received(PBX, bye()))
    _do(book, after(400.0))
    told = {message.status for message in map(Message, _to(book, PBX)) if _is_final(message)}
    assert len(told) == 1
    assert leftovers(book.engine) == []
    assert channels(book) == (0, 0, 0)


def _do(book: Office, step: Any) -> None:
    """Whatever comes of it, as long as the engine keeps its promises."""
    rang = any(matches(data, status) for data in _to(book, PBX) for status in (180, 183))
    offered = len({Message(data).call_id for peer in (MAIN, BACKUP, THIRD) for data in _invites(book, peer)})
    step.do(book)
    book.collect()
    for call in book.engine.core.calls.values():
        if call.ringing_at is not None and call.answered_at is None:
            assert call.rival is None or call.emergency
        assert call.rival is None or (call.attempt is not None and call.rival.line is not call.attempt.line)
    after_it = len({Message(data).call_id for peer in (MAIN, BACKUP, THIRD) for data in _invites(book, peer)})
    if rang and not any(b"112@" in data for data in _invites(book, MAIN)):
        assert after_it == offered, "offered again after ringing"
    book._out.clear()


def _to(book: Office, peer: Any) -> list[bytes]:
    return [data for where, data in book.sent if where.peer == peer.peer and not data.startswith(b"OPTIONS")]


def _invites(book: Office, peer: Any) -> list[bytes]:
    return [data for data in _to(book, peer) if data.startswith(b"INVITE ")]


def _is_final(message: Message) -> bool:
    return message.status >= 200 and message.cseq_method == b"INVITE"
