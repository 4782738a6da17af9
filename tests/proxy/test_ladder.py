"""The ladder: attempts, their clocks and verdicts, and what the caller is told in the end (DESIGN.md §5.3, §5.4)."""

import pytest

from sipfailover.proxy import AttemptEnded, CallEnded, TrunkChanged
from sipfailover.routing import TABLE
from sipfailover.routing.verdict import Key, Next, Row
from sipfailover.trunk import Evidence, Sign, State
from sipfailover.wire import Message
from tests.kit import (
    ack,
    after,
    answer,
    bye,
    cancel,
    invite,
    logged,
    lost,
    received,
    recorded,
    request,
    resolved,
    send,
    sends_nothing,
    target,
)  # fmt: skip
from tests.proxy.office import (
    BACKUP,
    BOUND,
    GIVE_UP,
    MAIN,
    NO_RINGING,
    PBX,
    RING,
    THIRD,
    Office,
    answered,
    calling,
    doubt,
    down,
    evidence,
    has,
    office,
    ringing,
    sent,
    tcp,
)  # fmt: skip

# -- silence ----------------------------------------------------------------------------------------------------------


def test_a_silent_trunk_is_asked_again_as_timer_a_says_and_then_the_backup_gets_the_call() -> None:
    book = office()
    assert calling(book) >> after(BOUND - 0.001) << sends_nothing()
    assert len(sent(book, MAIN, "INVITE")) == 4  # at 0, 0.5, 1.5 and 3.5 s
    assert (
        book
        >> after(0.001)
        << send(BACKUP, "INVITE")
        << recorded(
            AttemptEnded, call=1, number=1, trunk="main", outcome="silent", status=0, reason="", verdict="next trunk",
            sent_at=0.0, ringing_after=None, ended_after=BOUND, remote="udp 198.51.100.1:5060",
            call_id=sent(book, MAIN, "INVITE")[0].call_id.decode(),
        )
        << logged("info", "call 1 moves on from main")
        >> received(BACKUP, answer(200))
        << send(PBX, 200)
        << recorded(AttemptEnded, number=2, trunk="backup", outcome="answered", status=200, verdict="relayed", at=BOUND)
        << logged("info", "call 1 was rerouted to backup")
        >> received(PBX, ack())
        << send(BACKUP, "ACK")
        >> after(10.0)
        >> received(PBX, bye())
        << send(PBX, 200) << send(BACKUP, "BYE")
        << recorded(
            CallEnded, at=BOUND + 10, call=1, direction="outbound", caller="+41441112233", called="+41443210019",
            result="answered", status=200, trunk="backup", first_choice="main", attempts=2, started_at=0.0,
            ringing_after=BOUND, answered_at=BOUND, ended_by="caller", rerouted=True,
            call_id=book.seen(PBX).given("INVITE").call_id.decode(),
        )
        >> received(BACKUP, answer(200, to="BYE"))
    )  # fmt: skip
    book.done()


def test_a_measured_round_trip_makes_the_bound_and_the_repetitions_shorter() -> None:
    book = office()
    book.line("main").trunk.roundtrip.observe(0.02)
    assert calling(book) >> after(0.799) << sends_nothing() >> after(0.001) << send(BACKUP, "INVITE")
    assert len(sent(book, MAIN, "INVITE")) == 3  # at 0, 0.178 and 0.533 s: two repetitions before it is given up
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    book.done()


def test_an_answer_to_an_invite_teaches_the_round_trip_of_calls() -> None:
    book = office()
    assert calling(book) >> after(0.1) >> received(MAIN, answer(100))
    assert book.line("main").trunk.no_answer().bound == pytest.approx(8 * 0.1 + 4 * 0.05)
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    assert book.line("main").trunk.no_answer().bound == pytest.approx(8 * 0.1 + 4 * 0.05)  # the first answer only
    book.done()


def test_an_answer_that_came_after_the_bound_teaches_patience_too() -> None:
    book = office()
    book.line("main").trunk.roundtrip.observe(0.01)
    assert calling(book) >> after(0.8) << send(BACKUP, "INVITE") >> after(1.0)
    assert book >> received(MAIN, answer(100)) << send(MAIN, "CANCEL")
    assert book.line("main").trunk.no_answer().bound == BOUND
    assert (
        book
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    )  # fmt: skip
    book.done()


def test_100_and_then_nothing_goes_to_the_next_trunk_and_is_cancelled() -> None:
    book = office()
    assert (
        calling(book)
        >> after(1.0)
        >> received(MAIN, answer(100)) << sends_nothing()
        >> after(NO_RINGING - 1.001) << sends_nothing()
        >> after(0.001)
        << send(MAIN, "CANCEL") << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, trunk="main", outcome="no ringing", verdict="next trunk", ended_after=NO_RINGING)
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(180)) << send(PBX, 180)
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(BACKUP, "ACK")
        >> received(BACKUP, bye(callee=True)) << send(BACKUP, 200) << send(PBX, "BYE")
        << recorded(CallEnded, ended_by="called", trunk="backup")
        >> received(PBX, answer(200, to="BYE"))
    )  # fmt: skip
    book.done()


def test_199_alone_is_no_ringing_and_no_silence() -> None:
    """RFC 6228: an early dialog ended and the call goes on. Somebody is there, so only the second clock may end it."""
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(199)) << send(PBX, 199)
        >> after(NO_RINGING - 0.001) << sends_nothing()
        >> after(0.001)
        << send(MAIN, "CANCEL") << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, trunk="main", outcome="no ringing", ringing_after=None)
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    )  # fmt: skip
    book.done()


def test_a_telephone_that_rings_for_ever_is_given_up_with_408_and_the_trunk_did_its_work() -> None:
    book = office()
    doubt(book)
    assert (
        ringing(book)
        >> after(RING - 0.001) << sends_nothing()
        >> after(0.001)
        << send(MAIN, "CANCEL") << send(PBX, 408)
        << recorded(AttemptEnded, outcome="unanswered", verdict="gave up", ringing_after=0.0, ended_after=RING)
        << recorded(CallEnded, result="no answer", status=408, trunk="main", ended_by="", answered_at=None)
        >> received(PBX, ack())
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    )  # fmt: skip
    assert evidence(book) == "good"
    book.done()


def test_ringing_stops_the_clock_over_all_trunks() -> None:
    book = office()
    assert (
        ringing(book)
        >> after(GIVE_UP + 10) << sends_nothing()
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE")
        << recorded(CallEnded, ringing_after=0.0, answered_at=GIVE_UP + 10)
        >> received(MAIN, answer(200))
    )  # fmt: skip
    book.done()


def test_give_up_ends_the_call_over_all_trunks_and_blames_nobody_who_had_too_little_time() -> None:
    book = office("failover: {no_ringing_within: 20s, give_up_after: 25s}")
    doubt(book, "backup")
    assert (
        calling(book)
        >> received(MAIN, answer(100))
        >> after(20.0)
        << send(MAIN, "CANCEL") << send(BACKUP, "INVITE")
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(100))
        >> after(5.0)
        << send(BACKUP, "CANCEL")
        << send(PBX, 503, has(retry_after=b"10"))
        << recorded(AttemptEnded, trunk="backup", outcome="no ringing", verdict="gave up", ended_after=5.0)
        << recorded(CallEnded, result="trunk failed", status=503, trunk="", first_choice="main", attempts=2)
        << logged("error", "call 1 could not be carried")
        >> received(PBX, ack())
        >> received(BACKUP, answer(487, to="INVITE")) << send(BACKUP, "ACK")
    )  # fmt: skip
    assert evidence(book, "backup") == "nothing"
    book.done()


# -- what the network says --------------------------------------------------------------------------------------------


def test_a_closed_port_sends_the_call_on_at_once() -> None:
    book = office()
    doubt(book)
    assert (
        calling(book)
        >> lost(target(MAIN))
        << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, outcome="unreachable", status=0, reason="port closed", verdict="next trunk")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
        << recorded(CallEnded, result="busy", status=486, trunk="backup", rerouted=True)
        >> received(PBX, ack())
    )  # fmt: skip
    assert evidence(book) == "silent"
    book.done()


def test_a_port_that_closes_after_100_sends_the_call_on_and_what_wakes_up_later_is_cancelled() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(100))
        >> lost(target(MAIN))
        << send(MAIN, "CANCEL") << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, outcome="unreachable", verdict="next trunk")
        >> received(MAIN, answer(180)) << sends_nothing()
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(404)) << send(BACKUP, "ACK") << send(PBX, 404)
    )  # fmt: skip
    book.done()


def test_over_udp_a_telephone_goes_on_ringing_whatever_the_network_says() -> None:
    """What was refused was another message; a port that is closed cannot have rung."""
    book = office()
    assert (
        ringing(book)
        >> lost(target(MAIN)) << sends_nothing()
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE")
        >> received(MAIN, answer(200))
    )  # fmt: skip
    book.done()


def test_over_tcp_what_rings_goes_on_when_its_connection_breaks_and_nobody_else_is_called() -> None:
    book = office(known=False)
    main = tcp("main over tcp", MAIN.host, 7, 5060)
    assert book >> resolved("main", target(main)) >> resolved("backup", target(BACKUP)) >> resolved("pbx", target(PBX))
    doubt(book)
    assert ringing(book, main) >> lost(main, "reset") << sends_nothing()
    assert book >> received(main, answer(200)) << send(PBX, 200)  # over a new connection, as §18.2.2 has it


def test_over_tcp_nothing_is_said_twice_and_a_refused_connection_sends_the_call_on() -> None:
    book = office(known=False)
    main = tcp("main over tcp", MAIN.host, 7, 5060)
    assert book >> resolved("main", target(main)) >> resolved("backup", target(BACKUP)) >> resolved("pbx", target(PBX))
    assert calling(book, main) >> after(3.9)
    assert len(sent(book, main, "INVITE")) == 1
    invitation = sent(book, main, "INVITE")[0]
    assert invitation.via.transport == b"TCP"
    assert b";transport=tcp" in invitation.first[b"contact"]
    assert book >> lost(target(main), "refused") << send(BACKUP, "INVITE")
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    book.done()


@pytest.mark.parametrize("reason", ["local: no route", "local: message too long"])
def test_our_own_trouble_sends_the_call_on_and_is_blamed_on_nobody(reason: str) -> None:
    book = office()
    doubt(book)
    assert (
        calling(book)
        >> lost(target(MAIN), reason)
        << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, outcome="unreachable", reason=reason.removeprefix("local: "), verdict="next trunk")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    )  # fmt: skip
    assert evidence(book) == "nothing"
    book.done()


# -- the verdict table, row by row ------------------------------------------------------------------------------------

REPRESENTS: dict[Key, int] = {"2xx": 202, "3xx": 302, "4xx": 477, "5xx": 555, "6xx": 666}
"""A status without a row of its own, for each class."""
LEARNT = {
    Sign.CALL_GOOD: "good",
    Sign.CALL_FAULT: "fault",
    Sign.CALL_SILENT: "silent",
    Sign.CALL_REFUSED: "refused",
    None: "nothing",
}


def happen(book: Office, key: Key) -> None:
    """Bring this outcome about on the main trunk, without asking what comes of it."""
    if key == "silent":
        step = after(BOUND)
    elif key == "no ringing":
        assert book >> received(MAIN, answer(100))
        step = after(NO_RINGING)
    elif key == "ringing only":
        assert book >> received(MAIN, answer(180)) << send(PBX, 180)
        step = after(RING)
    elif key == "unreachable":
        step = lost(target(MAIN), "unreachable")
    elif key == "local":
        step = lost(target(MAIN), "local: no route")
    else:
        step = received(MAIN, answer(REPRESENTS.get(key, key)))  # type: ignore[arg-type]
    step.do(book)
    book.collect()


@pytest.mark.parametrize(("key", "row"), TABLE.items(), ids=map(str, TABLE))
def test_every_row_of_the_verdict_table_is_what_the_engine_does(key: Key, row: Row) -> None:
    book = office()
    doubt(book)
    assert calling(book)
    happen(book, key)
    asked, told = sent(book, BACKUP, "INVITE"), [Message(data) for to, data in book.sent if to.peer == PBX.peer]
    if row.next is Next.NO:
        assert not asked
        assert told[-1].status == {"ringing only": 408}.get(str(key), REPRESENTS.get(key, key))
    else:
        assert len(asked) == 1
        assert told[-1].status == 100
    waits = row.next is Next.SECOND_OPINION  # for what the other trunk says
    assert evidence(book) == ("nothing" if waits else LEARNT[row.sign])


@pytest.mark.parametrize("status", [500, 503, 504, 403, 408, 401, 486, 404])
def test_after_ringing_there_is_no_other_trunk_and_a_fault_proves_nothing(status: int) -> None:
    book = office()
    doubt(book)
    relayed = status in (486, 404, 403)
    assert (
        ringing(book)
        >> received(MAIN, answer(status))
        << send(MAIN, "ACK") << send(PBX, status if relayed else 503)
        << recorded(AttemptEnded, outcome="rejected", status=status, verdict="relayed" if relayed else "gave up")
        >> received(PBX, ack())
    )  # fmt: skip
    assert evidence(book) == ("good" if relayed else "nothing")
    book.done()


def test_503_with_retry_after_keeps_new_calls_away_at_once() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(503, headers=((b"retry-after", b"60"),)))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    )  # fmt: skip
    assert book.line("main").trunk.health.state is State.DOWN
    assert calling(book, BACKUP) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    book.done()


def test_403_of_one_trunk_asks_one_other_and_agreed_by_two_it_is_relayed() -> None:
    book = office(trunks=("main", "backup", "third"))
    assert (
        calling(book)
        >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, trunk="main", status=403, verdict="next trunk")
        >> received(BACKUP, answer(403, reason="Barred", headers=((b"reason", b'Q.850;cause=57'),)))
        << send(BACKUP, "ACK")
        << send(PBX, 403, has(reason=b"Barred", warning=b'399 sipfailover "main: 403 Forbidden"'))
        << recorded(AttemptEnded, trunk="backup", status=403, verdict="relayed", reason="Barred (Q.850 57)")
        << recorded(CallEnded, result="rejected", status=403, trunk="backup")
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_what_one_trunk_said_of_the_number_is_told_though_the_last_one_was_silent() -> None:
    """And the record names the trunk whose answer it was."""
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> after(BOUND)
        << send(PBX, 403)
        << recorded(AttemptEnded, trunk="backup", outcome="silent", verdict="gave up")
        << recorded(CallEnded, result="rejected", status=403, trunk="main", rerouted=False)
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_a_telephone_that_rang_in_vain_counts_for_more_than_a_refusal_before_it() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(180)) << send(PBX, 180)
        >> after(RING)
        << send(BACKUP, "CANCEL") << send(PBX, 408)
        << recorded(CallEnded, result="no answer", status=408, trunk="backup", rerouted=True)
        >> received(PBX, ack())
        >> received(BACKUP, answer(487, to="INVITE")) << send(BACKUP, "ACK")
    )  # fmt: skip
    book.done()


def test_a_code_that_the_operator_wants_relayed_goes_to_the_caller_as_it_is() -> None:
    """`never_retry`: this carrier says 500 for a number that does not exist."""
    book = office("failover: {never_retry: [500]}")
    assert (
        calling(book)
        >> received(MAIN, answer(500, reason="No such number", body=b"why"))
        << send(MAIN, "ACK") << send(PBX, 500, has(reason=b"No such number", body=b"why", retry_after=None))
        << recorded(AttemptEnded, status=500, verdict="relayed")
        << recorded(CallEnded, result="rejected", status=500, trunk="main")
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_a_code_that_the_operator_wants_retried_goes_to_the_next_trunk() -> None:
    book = office("failover: {next_trunk_on: [404]}")
    assert (
        calling(book)
        >> received(MAIN, answer(404)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(603)) << send(BACKUP, "ACK") << send(PBX, 603)
    )  # fmt: skip
    book.done()


# -- what the caller is told ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "result"), [(486, "busy"), (404, "rejected"), (603, "rejected"), (480, "no answer")]
)
def test_what_the_callee_decided_is_relayed_as_it_came(status: int, result: str) -> None:
    book = office()
    book.line("backup").trunk.channels = 0  # no other trunk can give its opinion
    extras = ((b"reason", b'Q.850;cause=17;text="user busy"'), (b"x-carrier", b"a, b;c"))
    assert (
        calling(book)
        >> received(MAIN, answer(status, reason="In ihren Worten", headers=extras, body=b"\x00\xffbody"))
        << send(MAIN, "ACK")
        << send(PBX, status, has(reason=b"In ihren Worten", x_carrier=b"a, b;c", body=b"\x00\xffbody", warning=None))
        << recorded(AttemptEnded, outcome="rejected", status=status, verdict="relayed",
                    reason="In ihren Worten (Q.850 17 user busy)")
        << recorded(CallEnded, result=result, status=status, trunk="main", attempts=1, ended_by="", ringing_after=None)
        >> received(PBX, ack())
    )  # fmt: skip
    told = sent(book, PBX, status)[0]
    asked = book.seen(PBX).given("INVITE")
    assert told.via == asked.via._replace(params=told.via.params)
    assert (told.call_id, told.first[b"from"], told.cseq) == (asked.call_id, asked.first[b"from"], asked.cseq)
    book.done()


def test_a_redirection_is_relayed_with_the_places_it_names() -> None:
    book = office()
    assert (
        calling(book)
        >> received(MAIN, answer(302, headers=((b"contact", b"<sip:+4179@198.51.100.77>;q=0.5, <tel:+4178>"),)))
        << send(MAIN, "ACK")
        << send(PBX, 302, has(contact=b"<sip:+4179@198.51.100.77>;q=0.5, <tel:+4178>"))
        << recorded(CallEnded, result="rejected", status=302)
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_when_everything_failed_the_answer_is_ours_and_says_what_each_trunk_said() -> None:
    book = office(trunks=("main", "backup", "third"))
    assert (
        calling(book)
        >> received(MAIN, answer(401, headers=((b"www-authenticate", b'Digest realm="c", nonce="n"'),)))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(503)) << send(BACKUP, "ACK") << send(THIRD, "INVITE")
        >> after(BOUND)
        << send(PBX, 503, has(
            retry_after=b"10", reason=b"No trunk could carry the call", www_authenticate=None,
            warning=b'399 sipfailover "third: no answer within 4 s"',
        ))
        << recorded(CallEnded, result="trunk failed", status=503, trunk="", first_choice="main", attempts=3)
        << logged("error", "call 1 could not be carried")
        >> received(PBX, ack())
    )  # fmt: skip
    warnings = sent(book, PBX, 503)[0].values(b"warning")
    assert [value.split(b'"')[1] for value in warnings] == [
        b"main: 401 Unauthorized", b"backup: 503 Service Unavailable", b"third: no answer within 4 s",
    ]  # fmt: skip
    book.done()


def test_without_any_address_there_is_an_answer_at_once() -> None:
    book = office(known=False)
    assert book >> resolved("pbx", target(PBX)) >> resolved("main", why="NXDOMAIN")
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100)
        << send(PBX, 503, has(reason=b"No trunk available", retry_after=b"10"))
        << recorded(CallEnded, result="trunk failed", status=503, attempts=0, first_choice="", trunk="")
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_a_trunk_whose_name_never_resolved_is_passed_over() -> None:
    book = office(known=False)
    assert (
        book >> resolved("pbx", target(PBX)) >> resolved("backup", target(BACKUP)) >> resolved("main", why="NXDOMAIN")
    )
    assert calling(book, BACKUP) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert not sent(book, MAIN, "INVITE")
    book.done()


# -- capacity ---------------------------------------------------------------------------------------------------------


def test_a_full_trunk_overflows_and_is_not_blamed() -> None:
    book = office(channels=1)
    assert answered(book)
    assert book.line("main").trunk.calls_now == 1
    assert calling(book, BACKUP) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert book.line("main").trunk.health.state is State.UP
    assert book >> received(PBX, ack())
    assert book.line("backup").trunk.calls_now == 0


def test_when_all_are_full_the_caller_hears_so_at_once() -> None:
    book = office(channels=1, trunks=("main",))
    assert answered(book)
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(PBX, 503, has(retry_after=b"10"))
    assert book >> received(PBX, ack())
    assert book.line("main").trunk.calls_now == 1


def test_a_channel_is_free_again_whatever_ends_the_attempt() -> None:
    for end in ("answer", "cancel", "silence", "refusal"):
        book = office(channels=1, trunks=("main",))
        assert calling(book)
        assert book.line("main").trunk.calls_now == 1
        if end == "answer":
            assert book >> received(MAIN, answer(200)) << send(PBX, 200) >> received(PBX, ack()) << send(MAIN, "ACK")
            assert book.line("main").trunk.calls_now == 1
            assert book >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE") >> received(MAIN, answer(200))
        elif end == "cancel":
            assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) >> received(PBX, ack())
        elif end == "silence":
            assert book >> after(BOUND) << send(PBX, 503) >> received(PBX, ack())
        else:
            assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486) >> received(PBX, ack())
        assert book.line("main").trunk.calls_now == book.line("pbx").trunk.calls_now == 0, end
        book.done()


# -- CANCEL -----------------------------------------------------------------------------------------------------------


def test_cancel_before_any_answer_waits_for_one() -> None:
    """§9.1: the CANCEL must not overtake the INVITE."""
    book = office()
    assert (
        calling(book)
        >> received(PBX, cancel())
        << send(PBX, 200) << send(PBX, 487)
        << recorded(AttemptEnded, outcome="cancelled", status=0, verdict="gave up", ringing_after=None)
        << recorded(CallEnded, result="cancelled", status=487, trunk="main", ended_by="caller", answered_at=None)
        >> received(PBX, ack())
        >> after(1.0) << sends_nothing()
        >> received(MAIN, answer(100)) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    )  # fmt: skip
    assert len(sent(book, MAIN, "INVITE")) == 1
    assert len(sent(book, MAIN, "CANCEL")) == 1
    book.done()


@pytest.mark.parametrize("first", [100, 180, 183])
def test_cancel_is_carried_over_with_its_reason(first: int) -> None:
    book = office()
    assert calling(book) >> received(MAIN, answer(first)) << (send(PBX, first) if first > 100 else sends_nothing())
    reason = b'SIP;cause=200;text="Call completed elsewhere"'

    def with_reason(seen):  # type: ignore[no-untyped-def]
        return cancel()(seen).replace(b"Max-Forwards", b"Reason: " + reason + b"\r\nMax-Forwards", 1)

    doubt(book)
    assert (
        book
        >> after(0.5)
        >> received(PBX, with_reason)
        << send(PBX, 200) << send(PBX, 487)
        << send(MAIN, "CANCEL", lambda message: message.get(b"reason") == reason)
        << recorded(AttemptEnded, outcome="cancelled", verdict="gave up")
        << recorded(CallEnded, result="cancelled", status=487, ended_by="caller")
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(PBX, ack())
    )  # fmt: skip
    cancelled, asked = sent(book, MAIN, "CANCEL")[0], sent(book, MAIN, "INVITE")[0]
    for name in (b"via", b"from", b"to", b"call-id"):
        assert cancelled.first[name] == asked.first[name]
    assert (cancelled.uri, cancelled.cseq) == (asked.uri, asked.cseq)
    assert sent(book, PBX, 200)[0].to_tag == sent(book, PBX, 487)[0].to_tag  # §9.2
    book.done()


def test_a_cancelled_call_that_rang_shows_that_the_trunk_works() -> None:
    book = office()
    doubt(book)
    assert calling(book) >> received(MAIN, answer(180)) << send(PBX, 180)
    assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
    assert evidence(book) == "good"


def test_cancel_and_200_in_the_same_millisecond_leave_no_ghost() -> None:
    book = office()
    assert (
        ringing(book)
        >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(200, to="INVITE")) << send(MAIN, "ACK") << send(MAIN, "BYE")
        >> received(MAIN, answer(481, to="CANCEL"))
        >> received(MAIN, answer(200, to="BYE"))
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_200_and_cancel_in_the_same_millisecond_is_an_answered_call() -> None:
    book = office()
    assert (
        ringing(book)
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, cancel()) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(MAIN, "BYE")
        >> received(MAIN, answer(200))
    )  # fmt: skip
    assert not sent(book, PBX, 487)
    book.done()


def test_a_caller_may_end_what_rings_with_bye_too() -> None:
    """§15: and the callee may not."""
    book = office()
    assert ringing(book)
    early = sent(book, PBX, 180)[0]

    def early_bye(seen):  # type: ignore[no-untyped-def]
        asked = seen.given("INVITE")
        return request("BYE", from_tag=asked.from_tag.decode(), to_tag=early.to_tag.decode(),
                       call_id=asked.call_id.decode(), cseq=2)  # fmt: skip

    def stranger(seen):  # type: ignore[no-untyped-def]
        return early_bye(seen).replace(seen.given("INVITE").call_id, b"another")

    assert book >> received(PBX, stranger) << send(PBX, 481)
    assert book >> received(PBX, early_bye) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
    assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    assert ringing(book)
    asked = sent(book, MAIN, "INVITE")[-1]
    data = request("BYE", host="198.51.100.1", from_tag="callee", to_tag=asked.from_tag.decode(),
                   call_id=asked.call_id.decode())  # fmt: skip
    assert book >> received(MAIN, data) << send(MAIN, 481)
    assert book >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
    assert book >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    book.done()


# -- late answers of an attempt that was given up ---------------------------------------------------------------------


@pytest.mark.parametrize("status", [180, 183])
def test_late_ringing_is_cancelled_and_never_shown(status: int) -> None:
    book = office()
    assert (
        calling(book)
        >> after(BOUND) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(180)) << send(PBX, 180)
        >> received(MAIN, answer(status)) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(status)) << sends_nothing()
        >> received(MAIN, answer(200, to="CANCEL"))
        >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    )  # fmt: skip
    assert len(sent(book, PBX, status)) == (status == 180)
    book.done()


def test_a_late_refusal_is_acknowledged_and_never_shown() -> None:
    book = office()
    assert (
        calling(book)
        >> after(BOUND) << send(BACKUP, "INVITE")
        >> received(MAIN, answer(486)) << send(MAIN, "ACK")
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(BACKUP, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(BACKUP, "BYE")
        >> received(BACKUP, answer(200))
    )  # fmt: skip
    book.done()


@pytest.mark.parametrize("when", [0.0, 1.0, 20.0])
def test_a_late_answer_is_acknowledged_and_hung_up_and_never_shown(when: float) -> None:
    book = office()
    assert (
        calling(book)
        >> after(BOUND) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(180)) << send(PBX, 180)
        >> after(when)
        >> received(MAIN, answer(200, to="INVITE"))
        << send(MAIN, "ACK") << send(MAIN, "BYE") << logged("info", "a late answer is acknowledged and hung up")
        >> received(MAIN, answer(200, to="INVITE")) << send(MAIN, "ACK")  # the peer lost our ACK
        >> received(MAIN, answer(200, to="BYE"))
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(BACKUP, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(BACKUP, "BYE")
        >> received(BACKUP, answer(200))
    )  # fmt: skip
    ghost, hung_up, asked = sent(book, MAIN, "ACK")[0], sent(book, MAIN, "BYE")[0], sent(book, MAIN, "INVITE")[0]
    assert ghost.cseq == asked.cseq < hung_up.cseq
    assert ghost.to_tag == hung_up.to_tag == b"callee"
    book.done()


# -- emergency --------------------------------------------------------------------------------------------------------


def test_an_emergency_call_goes_on_after_ringing_and_a_fault() -> None:
    book = office(trunks=("main", "backup", "third"))
    assert (
        calling(book, called="112")
        << logged("warning", "emergency call to 112")
        >> received(MAIN, answer(180)) << send(PBX, 180)
        >> received(MAIN, answer(503)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, trunk="main", verdict="next trunk", ringing_after=0.0)
        >> received(BACKUP, answer(404)) << send(BACKUP, "ACK") << send(THIRD, "INVITE")
        >> received(THIRD, answer(180)) << send(PBX, 180)
        >> received(THIRD, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(THIRD, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(THIRD, "BYE")
        >> received(THIRD, answer(200))
    )  # fmt: skip
    book.done()


@pytest.mark.parametrize("uri", [b"urn:service:sos", b"urn:service:sos.police", b"URN:service:SOS"])
def test_a_telephone_that_calls_for_help_by_urn_makes_an_emergency_call(uri: bytes) -> None:
    """RFC 5031."""
    book = office(channels=1, trunks=("main",))
    assert answered(book)
    data = invite().replace(b"INVITE sip:+41443210019@192.0.2.1:5060 ", b"INVITE " + uri + b" ")
    assert calling(book, data=data) << logged("warning", "emergency call to")
    assert sent(book, MAIN, "INVITE")[-1].uri == uri


def test_an_emergency_call_ignores_channels_and_tries_what_is_down() -> None:
    book = office(channels=1)
    assert answered(book)
    for name in ("main", "backup"):
        down(book, name)
    assert calling(book, called="144") << logged("warning", "tries main although it is unfit")
    assert book.line("main").trunk.calls_now == 2
    assert book >> received(MAIN, answer(503)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)


@pytest.mark.parametrize("status", [486, 600, 603])
def test_the_emergency_centre_itself_may_say_no(status: int) -> None:
    book = office()
    assert calling(book, called="117") >> received(MAIN, answer(status)) << send(MAIN, "ACK") << send(PBX, status)
    book.done()


# -- trial ------------------------------------------------------------------------------------------------------------


def on_trial(book: Office, name: str = "main") -> None:
    """It was Down because of calls, and a call that had nowhere else to go went through."""
    down(book, name)
    book.line(name).trunk.health.counters.held_until = book.now
    book.line(name).trunk.health.observe(Evidence(Sign.CALL_GOOD), book.now)
    assert book.line(name).trunk.health.state is State.TRIAL


def test_single_calls_test_a_trunk_on_trial_and_the_others_go_elsewhere() -> None:
    book = office()
    on_trial(book)
    assert calling(book, MAIN) >> received(MAIN, answer(100))
    assert calling(book, BACKUP) >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    first = sent(book, MAIN, "INVITE")[0]
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    assert first.method
    assert calling(book, MAIN) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    assert book.line("main").trunk.health.state is State.UP  # the good call before, and these two
    book.done()


def test_a_trial_call_that_fails_goes_on_to_the_net_below_it() -> None:
    book = office()
    on_trial(book)
    assert (
        calling(book, MAIN)
        >> after(BOUND) << send(BACKUP, "INVITE") << recorded(TrunkChanged, trunk="main", before="Trial", after="Down")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    )  # fmt: skip
    book.done()


def test_a_trial_call_that_was_hung_up_before_it_rang_lets_the_next_one_test() -> None:
    book = office()
    on_trial(book)
    assert calling(book, MAIN) >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487)
    assert calling(book, MAIN) >> received(MAIN, answer(486, to="INVITE")) << send(MAIN, "ACK") << send(PBX, 486)


def test_an_emergency_call_tests_nothing() -> None:
    book = office()
    on_trial(book)
    assert calling(book, BACKUP, called="112") >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    book.done()


# -- what the invitation looks like -----------------------------------------------------------------------------------


def test_what_we_do_not_own_goes_on_as_it_came() -> None:
    book = office()
    extras = ((b"subject", b"Z\xc3\xbcrich"), (b"x-odd", b"a ,b;c"), (b"p-asserted-identity", b"<sip:+4144@x>"),
              (b"authorization", b'Digest username="pbx"'), (b"supported", b"100rel, timer"))  # fmt: skip
    assert calling(book, data=invite("0791234567", headers=extras, max_forwards=5))
    came, went = book.seen(PBX).given("INVITE"), sent(book, MAIN, "INVITE")[0]
    assert went.body == came.body
    assert went.uri == b"sip:0791234567@198.51.100.1:5060"
    assert went.max_forwards == 4
    assert went.get(b"authorization") is None  # it was said to us alone
    for name in (b"subject", b"x-odd", b"p-asserted-identity", b"supported", b"content-type"):
        assert went.lines(name) == came.lines(name)
    assert len(went.values(b"via")) == 1
    assert went.call_id != came.call_id
    assert went.from_tag not in (b"", came.from_tag)
    assert went.to_tag == b""
    assert went.from_.uri == came.from_.uri
    assert went.to.uri == b"sip:0791234567@198.51.100.1:5060"
    assert went.contact is not None
    assert went.contact.uri == b"sip:+41441112233@192.0.2.1:5060"


def test_every_attempt_is_a_dialog_of_its_own() -> None:
    book = office()
    assert calling(book) >> after(BOUND) << send(BACKUP, "INVITE")
    one, other = sent(book, MAIN, "INVITE")[0], sent(book, BACKUP, "INVITE")[0]
    assert one.call_id != other.call_id
    assert one.from_tag != other.from_tag
    assert one.via.branch != other.via.branch
    assert other.uri == b"sip:+41443210019@203.0.113.1:5060"
    assert (one.body, one.cseq) == (other.body, other.cseq)


def without(data: bytes, *names: bytes) -> bytes:
    """A message without the lines of these names."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = [line for line in head.split(b"\r\n") if line.partition(b":")[0].lower() not in names]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def test_an_invite_without_sdp_contact_and_max_forwards_is_a_call_too() -> None:
    book = office()
    data = without(invite(body=b""), b"contact", b"max-forwards", b"content-type")
    assert calling(book, data=data)
    went = sent(book, MAIN, "INVITE")[0]
    assert went.max_forwards == 70
    assert went.body == b""
    assert went.get(b"content-type") is None
    assert went.contact is not None
    assert went.contact.uri == b"sip:+41441112233@192.0.2.1:5060"
    assert (
        book
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(MAIN, answer(200)) << sends_nothing()  # the caller has not acknowledged: its ACK has the SDP
    )  # fmt: skip


@pytest.mark.parametrize("name", ["contact", "from", "to", "record-route"])
def test_an_invite_that_cannot_be_read_is_refused_and_begins_no_call(name: str) -> None:
    book = office()
    bad = {
        "contact": (b"Contact: <sip:+41441112233@192.0.2.10:5060>", b'Contact: "open <sip:a@b>'),
        "from": (b"From: ", b'From: <sip:a@b>;x="open '),
        "to": (b"To: ", b'To: <sip:a@b>;x="open '),
        "record-route": (b"Subject: x", b'Record-Route: "open <sip:a@b>'),
    }[name]
    data = invite(headers=((b"subject", b"x"),)).replace(*bad, 1)
    book >> received(PBX, data)
    assert book << send(PBX, 400)
    assert not sent(book, MAIN, "INVITE")
    assert not book.engine.core.calls
    assert book.line("pbx").trunk.calls_now == 0
    book.done()
