"""Watching the lines: OPTIONS at their time, what answers and calls say about health, which trunk is active."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sipfailover.proxy import Fact, Log, OperatorActed, ProbeEnded, Record, TrunkChanged
from sipfailover.trunk import Evidence, Order, Sign, State
from sipfailover.trunk.trunk import UNPROVEN_WITHIN
from sipfailover.wire import compose
from tests.kit import (
    ack,
    after,
    answer,
    cancel,
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
from tests.proxy.office import BACKUP, BOUND, MAIN, PBX, THIRD, Office, calling, down, has, office, ringing, sent

EVERY, TIMEOUT = 10.0, 2.0
CHECKS = "options_every: 10s, timeout: 2s, down_after: 3, up_after: 3"
SLOW = f"{CHECKS}, confirm_quickly: no"


def watching(more: str = "", probes: str = CHECKS, **how: object) -> Office:
    """An office in which nobody answers OPTIONS by himself."""
    book = office(more, probes=probes, **how)  # type: ignore[arg-type]
    book.answers_probes = False
    return book


def asked(book: Office, at: float = 1.0) -> Office:
    """Let the first OPTIONS to everybody leave."""
    assert book >> after(at)
    return book


def probe_times(book: Office, name: str) -> float:
    return book.line(name).trunk.probe.next_at


# -- asking -----------------------------------------------------------------------------------------------------------


def test_everybody_is_asked_soon_and_not_all_in_one_moment() -> None:
    book = watching()
    first = {name: probe_times(book, name) for name in ("main", "backup", "pbx")}
    assert all(0.0 <= at <= 1.0 for at in first.values())
    assert len(set(first.values())) == 3
    asked(book)
    assert {len(sent(book, who, "OPTIONS")) > 0 for who in (MAIN, BACKUP, PBX)} == {True}


def test_an_options_is_addressed_as_a_call_would_be() -> None:
    book = asked(watching())
    question = sent(book, MAIN, "OPTIONS")[0]
    assert question.uri == b"sip:198.51.100.1:5060"
    assert question.max_forwards == 70
    assert question.contact is not None
    assert question.values(b"accept") == [b"application/sdp"]
    assert not question.to_tag


def test_a_good_answer_is_recorded_with_its_round_trip_and_the_next_question_comes_after_the_interval() -> None:
    book = watching(trunks=("main",))
    start = probe_times(book, "main")
    assert (
        book
        >> after(start + 0.001) << send(MAIN, "OPTIONS")
        >> after(0.03)
        >> received(MAIN, answer(200, to="OPTIONS"))
        << recorded(ProbeEnded, trunk="main", result="answered", status=200)
    )  # fmt: skip
    trunk = book.line("main").trunk
    assert trunk.roundtrip.smoothed == pytest.approx(0.031, abs=0.002)
    assert EVERY * 0.9 <= trunk.probe.next_at - start <= EVERY * 1.1
    assert book >> after(EVERY * 0.9 - 0.1) << sends_nothing()
    assert len(sent(book, MAIN, "OPTIONS")) == 1
    assert book >> after(EVERY * 0.2 + 0.2)
    assert len({message.call_id for message in sent(book, MAIN, "OPTIONS")}) == 2


def test_an_answer_to_a_repeated_question_teaches_no_round_trip() -> None:
    """Karn: nobody knows which of the two it answers."""
    book = watching(trunks=("main",))
    assert book >> after(probe_times(book, "main") + 0.6)
    assert len(sent(book, MAIN, "OPTIONS")) == 2
    assert book >> received(MAIN, answer(200, to="OPTIONS")) << recorded(ProbeEnded, result="answered", round_trip=None)
    assert book.line("main").trunk.roundtrip.smoothed is None


def test_silence_fails_after_the_timeout_and_the_next_questions_come_fast() -> None:
    book = watching(probes=SLOW, trunks=("main",))
    start = probe_times(book, "main")
    assert (
        book
        >> after(start + TIMEOUT - 0.001)
        >> after(0.01)
        << recorded(ProbeEnded, trunk="main", result="timeout", status=0, round_trip=None)
        << recorded(TrunkChanged, before="Up", after="Suspect", why="1 check failed (no answer within 2 s)")
        << logged("warning", "trunk main is Suspect")
    )  # fmt: skip
    assert len({message.call_id for message in sent(book, MAIN, "OPTIONS")}) == 2
    assert book >> after(TIMEOUT + 0.1)
    assert len({message.call_id for message in sent(book, MAIN, "OPTIONS")}) == 3


def test_silence_is_confirmed_by_five_questions_within_a_second() -> None:
    book = watching(trunks=("main",))
    start = probe_times(book, "main")
    assert (
        book
        >> after(start + TIMEOUT + 0.06)
        << recorded(TrunkChanged, before="Up", after="Suspect", rule="anything failed")
        << logged("warning", "main is Suspect")
        >> after(0.9)
        << sends_nothing()
        >> after(0.11)
        << recorded(ProbeEnded, trunk="main", result="timeout", status=0)
        << recorded(TrunkChanged, before="Suspect", after="Down", rule="nothing answered",
                    why="1 check failed (no answer within 2 s); then 5 OPTIONS within 1 s had no answer")
        << logged("warning", "main is Down")
    )  # fmt: skip
    assert len({message.call_id for message in sent(book, MAIN, "OPTIONS")}) == 6


def measured(**how: object) -> Office:
    """An office where everybody has answered in 20 ms, and asks every ten seconds."""
    book = watching(**how)  # type: ignore[arg-type]
    for name in book.engine.core.lines:
        for _ in range(8):
            book.line(name).trunk.roundtrip.observe(0.02)
    pass_by(book, 1.5, MAIN, BACKUP, PBX)
    return book


def pass_by(book: Office, seconds: float, *well: object) -> None:
    """As `live`, but whatever calls say meanwhile is not compared with anything."""
    for _ in range(round(seconds / 0.05)):
        after(0.05).do(book)
        book.collect()
        answer_all(book, *well)


@pytest.mark.parametrize("by", ["a call", "an OPTIONS"])
def test_a_dead_trunk_is_down_within_two_seconds_of_the_first_thing_it_did_not_answer(by: str) -> None:
    book = measured()
    if by == "a call":
        began = book.now
        received(PBX, invite()).do(book)
    else:
        pass_by(book, book.line("main").trunk.probe.next_at - book.now - 0.05, MAIN, BACKUP, PBX)
        began = book.line("main").trunk.probe.next_at
    pass_by(book, began + 2.0 - book.now, BACKUP, PBX)
    health = book.line("main").trunk.health
    assert health.state is State.DOWN
    assert health.since - began == pytest.approx(1.8, abs=0.01)
    assert book.line("backup").trunk.health.state is not State.DOWN
    assert book.engine.watch.failovers.active == "backup"


@pytest.mark.parametrize(("dead", "alive", "switches"), [(5.0, 5.0, 1), (60.0, 60.0, 1), (1200.0, 1200.0, 4)])
def test_a_trunk_that_comes_and_goes_moves_calls_seldom(dead: float, alive: float, switches: int) -> None:
    """Ten minutes, or eighty of the slow one: it is left once, and comes back only when it has been stable."""
    book = measured()
    for _ in range(round(max(600.0, dead * 3) / (dead + alive))):
        pass_by(book, dead, BACKUP, PBX)
        pass_by(book, alive, MAIN, BACKUP, PBX)
    failover = book.engine.view(book.now).last_failover
    assert failover is not None
    assert 1 <= failover.number <= switches


def test_a_lost_packet_is_cleared_by_the_first_answer() -> None:
    book = measured()
    pass_by(book, book.line("main").trunk.probe.next_at - book.now - 0.05, MAIN, BACKUP, PBX)
    pass_by(book, 0.9, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.SUSPECT
    pass_by(book, 0.3, MAIN, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.UP


def test_a_late_answer_to_the_first_question_clears_a_trunk_that_has_become_slow() -> None:
    """From 20 ms to 1.5 s: it is slow, not dead, and the next question has more time."""
    book = measured()
    pass_by(book, book.line("main").trunk.probe.next_at - book.now - 0.05, MAIN, BACKUP, PBX)
    pass_by(book, 1.3, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.SUSPECT
    oldest = next(tx for tx in book.engine.core.layer.clients.values() if tx.to.peer == MAIN.peer and tx.state < 2)
    late = next(message for message in sent(book, MAIN, "OPTIONS") if message.via.branch == oldest.key[0])
    book.engine.receive(MAIN, compose.response(late, 200), book.now)
    book.collect()
    assert book.line("main").trunk.health.state is State.UP
    pass_by(book, 1.5, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.UP


# -- is it us? --------------------------------------------------------------------------------------------------------


def test_when_all_trunks_fall_silent_none_is_blamed_and_nothing_flips_until_one_is_heard_again() -> None:
    book = measured()
    received(PBX, invite()).do(book)
    pass_by(book, 60.0, PBX)
    states = [book.line(name).trunk.health.state for name in ("main", "backup")]
    assert State.DOWN not in states
    view = book.engine.view(book.now)
    assert (view.active_trunk, view.last_failover) == ("main", None)
    assert view.own_line == "main and backup fell silent in the same moment"
    assert view.own_line_since is not None
    assert [text for level, text in said(book) if level == "error"].count(f"it is our own line: {view.own_line}") == 1
    pass_by(book, 5.0, MAIN, BACKUP, PBX)
    assert [book.line(name).trunk.health.state for name in ("main", "backup")] == [State.UP, State.UP]
    assert book.engine.view(book.now).own_line == ""
    assert any("our own line is back after" in text for _, text in said(book))


def test_a_trunk_that_must_not_be_asked_quickly_is_no_witness() -> None:
    """It was not asked, so that it is silent means nothing; and main is blamed."""
    book = measured()
    backup = book.line("backup").trunk.health
    backup.rules = replace(backup.rules, quick=False)
    pass_by(book, book.line("main").trunk.probe.next_at - book.now - 0.05, MAIN, BACKUP, PBX)
    before = len(sent(book, BACKUP, "OPTIONS"))
    pass_by(book, 2.0, PBX)
    assert len({message.call_id for message in sent(book, BACKUP, "OPTIONS")[before:]}) <= 1
    assert book.line("main").trunk.health.state is State.DOWN


def test_after_our_own_line_is_back_a_trunk_that_stays_silent_is_blamed() -> None:
    book = measured()
    received(PBX, invite()).do(book)
    pass_by(book, 30.0, PBX)
    pass_by(book, 20.0, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book.engine.watch.failovers.active == "backup"


def test_many_calls_at_once_do_not_take_a_trunk_down_before_it_is_known_whether_it_is_us() -> None:
    book = measured()
    for number in range(10):
        received(PBX, invite(f"+4144321001{number}")).do(book)
        book.collect()
    pass_by(book, 30.0, PBX)
    assert State.DOWN not in [book.line(name).trunk.health.state for name in ("main", "backup")]


def test_what_cannot_be_sent_to_any_trunk_is_our_own_network() -> None:
    book = asked(watching())
    assert book >> lost(target(MAIN), "local: no route") >> lost(target(BACKUP), "local: no route")
    assert book.engine.view(book.now).own_line == "nothing can be sent to any trunk (no route)"
    pass_by(book, 12.0, MAIN, BACKUP, PBX)
    assert book.engine.view(book.now).own_line == ""


def test_before_the_first_answer_of_dns_nothing_is_said_about_it() -> None:
    book = watching(known=False)
    assert book >> resolved("pbx", target(PBX)) >> resolved("main", why="NXDOMAIN")
    assert book.engine.view(book.now).own_line == ""
    assert book >> resolved("backup", why="NXDOMAIN")
    assert book.engine.view(book.now).own_line == "the name of no trunk resolves (NXDOMAIN)"


def test_when_no_name_resolves_that_is_said_and_silence_counts_as_ever() -> None:
    book = measured()
    assert book >> resolved("main", why="no answer from DNS")
    assert book.engine.view(book.now).own_line == ""
    assert book >> resolved("backup", why="no answer from DNS")
    assert book.engine.view(book.now).own_line == "the name of no trunk resolves (no answer from DNS)"
    pass_by(book, 15.0, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book >> resolved("backup", target(BACKUP))
    assert book.engine.view(book.now).own_line == ""


def facts(book: Office) -> list[Fact]:
    """All that was recorded so far."""
    book.collect()
    return [one.fact for one in book.noted if isinstance(one, Record)]


def said(book: Office) -> list[tuple[str, str]]:
    """What the log was told."""
    return [(command.level, command.text) for command in book.noted if isinstance(command, Log)]


# -- three checks in a row --------------------------------------------------------------------------------------------


def test_three_silent_questions_make_it_down_and_new_calls_go_over_the_backup() -> None:
    book = watching()
    book.engine.receive(BACKUP, b"", 0.0)
    lines = []
    for _ in range(200):
        assert book >> after(0.05)
        answer_all(book, BACKUP, PBX)
        lines.append(book.engine.watch.failovers.active)
    assert lines[0] == "main"
    assert lines[-1] == "backup"
    view = book.engine.view(book.now)
    assert view.active_trunk == "backup"
    assert view.last_failover is not None
    assert (view.last_failover.number, view.last_failover.came_from, view.last_failover.went_to) == (
        1,
        "main",
        "backup",
    )
    assert "main is Down" in view.last_failover.why
    assert view.last_failover.at < 9.0  # three timeouts, not three intervals
    assert [trunk.carries_new_calls for trunk in view.trunks] == [False, True]
    assert calling(book, BACKUP) >> received(BACKUP, answer(486, to="INVITE")) << send(BACKUP, "ACK") << send(PBX, 486)


def answer_all(book: Office, *peers: object) -> None:
    """These peers answer every OPTIONS of theirs that waits."""
    for tx in list(book.engine.core.layer.clients.values()):
        if tx.key[2] == b"OPTIONS" and tx.state < 2:
            for peer in peers:
                if tx.to.peer == peer.peer:  # type: ignore[attr-defined]
                    received(peer, answer(200, to="OPTIONS")).do(book)  # type: ignore[arg-type]
                    book.collect()


def live(book: Office, seconds: float, *well: object) -> None:
    """Time passes, and these peers answer their OPTIONS."""
    for _ in range(int(seconds / 0.1)):
        assert book >> after(0.1)
        answer_all(book, *well)


def test_back_means_back_only_after_it_was_stable_for_so_long() -> None:
    book = watching("failover: {return_to_main: {stable_for: 60s}}")
    live(book, 12.0, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.DOWN
    live(book, 50.0, MAIN, BACKUP, PBX)
    assert book.engine.watch.failovers.active == "backup"
    live(book, 40.0, MAIN, BACKUP, PBX)
    assert book.engine.watch.failovers.active == "main"
    failover = book.engine.view(book.now).last_failover
    assert failover is not None
    assert (failover.number, failover.came_from, failover.went_to) == (2, "backup", "main")
    assert calling(book, MAIN)


def test_while_nobody_is_fit_the_log_says_so_and_the_next_one_that_is_takes_over() -> None:
    book = watching("failover: {return_to_main: {stable_for: 5s}}")
    live(book, 12.0, PBX)
    assert book.engine.view(book.now).active_trunk == ""
    live(book, 90.0, BACKUP, PBX)
    view = book.engine.view(book.now)
    assert view.active_trunk == "backup"
    assert view.last_failover is not None
    assert (view.last_failover.came_from, view.last_failover.went_to) == ("main", "backup")


def test_a_full_trunk_is_no_failover() -> None:
    book = office(channels=1, trunks=("main", "backup"))
    assert ringing(book)
    assert book.line("main").trunk.full
    assert book >> resolved("backup", target(THIRD))  # something else makes the engine choose anew
    view = book.engine.view(book.now)
    assert view.active_trunk == "main"
    assert view.last_failover is None


# -- the way back, as people want it ---------------------------------------------------------------------------------


def at_night(more: str, begins: str = "2018-01-08 01:59:00") -> Office:
    """An office that knows the time of day, whose main trunk has gone Down by silent checks."""
    start = datetime.fromisoformat(begins)
    book = office(
        f"failover: {{return_to_main: {{stable_for: 5s, {more}}}}}",
        probes=CHECKS,
        wall=lambda now: start + timedelta(seconds=now),
    )
    book.answers_probes = False
    pass_by(book, 8.0, BACKUP, PBX)
    assert book.line("main").trunk.health.state is State.DOWN
    return book


def test_a_trunk_that_is_well_comes_back_within_the_hours_of_return() -> None:
    book = at_night("when: 02:00-05:00", "2018-01-08 01:58:00")
    pass_by(book, 110.0, MAIN, BACKUP, PBX)
    assert book.engine.watch.failovers.active == "backup"
    pass_by(book, 4.0, MAIN, BACKUP, PBX)
    assert book.line("main").trunk.health.since == pytest.approx(120.0, abs=0.01)
    assert book.engine.watch.failovers.active == "main"


def test_by_hand_calls_stay_on_the_backup_until_somebody_gives_the_trunk_back() -> None:
    book = at_night("when: manual")
    pass_by(book, 600.0, MAIN, BACKUP, PBX)
    assert book.engine.watch.failovers.active == "backup"
    book.engine.release("main", book.now)
    book.collect()
    assert book.line("main").trunk.health.state is State.TRIAL
    assert [text for _, text in said(book)].count("trunk main is given back by an operator") == 1


def test_the_pbx_comes_back_whatever_is_wanted_of_trunks() -> None:
    book = at_night("when: manual")
    pass_by(book, 10.0, MAIN, BACKUP)
    assert book.line("pbx").trunk.health.state is State.DOWN
    pass_by(book, 30.0, MAIN, BACKUP, PBX)
    assert book.line("pbx").trunk.health.state is State.UP


def test_an_order_moves_new_calls_at_once_and_the_last_trunk_is_not_taken_away_silently() -> None:
    book = measured()
    book.engine.order("main", Order.DRAINING, book.now)
    assert book.engine.watch.failovers.active == "backup"
    book.engine.order("backup", Order.OFF, book.now)
    book.engine.order("backup", Order.OFF, book.now)
    book.collect()
    assert book.engine.watch.failovers.active == ""
    told = said(book)
    assert ("warning", "trunk main is draining, as ordered") in told
    assert told.count(("warning", "trunk backup is off, as ordered")) == 1
    assert ("error", "no trunk can carry a call") in told
    book.engine.order("main", Order.ENABLED, book.now)
    assert book.engine.watch.failovers.active == "main"
    with pytest.raises(KeyError):
        book.engine.order("nobody", Order.OFF, book.now)


def test_an_order_ends_by_itself_and_is_told_with_who_and_why() -> None:
    book = measured()
    book.engine.order("main", Order.OFF, book.now, book.now + 0.6, "anna", "fibre works")
    assert book.engine.watch.failovers.active == "backup"
    acts = [fact for fact in facts(book) if isinstance(fact, OperatorActed)]
    assert acts == [OperatorActed(book.now, "anna", "off", "main", "fibre works", book.now + 0.6)]
    begun = book.now
    assert book >> after(0.5)
    assert book.engine.watch.failovers.active == "backup"
    assert book >> after(0.2)
    assert book.engine.watch.failovers.active == "main"
    (end,) = [fact for fact in facts(book) if isinstance(fact, OperatorActed) and fact.at > begun]
    assert (end.who, end.action, end.why, end.until) == ("", "enabled", "its time is over", None)


def test_a_later_order_takes_the_place_of_an_earlier_one_and_of_its_end() -> None:
    book = measured()
    book.engine.order("main", Order.OFF, book.now, book.now + 60.0)
    book.engine.order("main", Order.DRAINING, book.now)
    assert book >> after(120.0)
    assert book.line("main").trunk.order is Order.DRAINING


def test_a_trunk_that_is_used_takes_new_calls_whatever_its_tier_while_it_is_well() -> None:
    book = measured()
    book.engine.order("backup", Order.USED, book.now, book.now + 600.0, "anna")
    assert book.engine.watch.failovers.active == "backup"
    assert calling(book, BACKUP)
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    down(book, "backup")
    book.collect()
    assert calling(book, MAIN), "an order makes no trunk well"
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)


# -- what an answer means ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 401, 403, 404, 405, 407, 480, 483, 501, 600, 302])
def test_any_answer_shows_that_somebody_is_there(status: int) -> None:
    book = asked(watching(trunks=("main",)))
    assert (
        book >> received(MAIN, answer(status, to="OPTIONS")) << recorded(ProbeEnded, result="answered", status=status)
    )
    assert book.line("main").trunk.health.state is State.UP


@pytest.mark.parametrize(
    ("status", "state"), [(503, State.SUSPECT), (505, State.SUSPECT), (500, State.UP), (408, State.UP)]
)
def test_a_fault_is_an_answer_that_does_not_count(status: int, state: State) -> None:
    book = asked(watching(trunks=("main",)))
    assert book >> received(MAIN, answer(status, to="OPTIONS")) << recorded(ProbeEnded, result="fault", status=status)
    assert book.line("main").trunk.health.state is state


def test_503_with_retry_after_takes_it_out_at_once_and_for_no_longer_than_believed() -> None:
    book = asked(watching(trunks=("main", "backup")))
    busy = answer(503, to="OPTIONS", headers=((b"retry-after", b"86400"),))
    assert (
        book
        >> received(MAIN, busy)
        << recorded(ProbeEnded, result="fault", status=503)
        << recorded(TrunkChanged, before="Up", after="Down")
        << logged("warning", "new calls go over backup")
    )  # fmt: skip
    assert book.line("main").trunk.health.counters.held_until == pytest.approx(book.now + 120.0)


def test_a_provisional_answer_to_options_is_waited_out() -> None:
    book = asked(watching(trunks=("main",)))
    assert book >> received(MAIN, answer(100, to="OPTIONS")) << sends_nothing()
    assert book.line("main").trunk.probe.sent_at is not None
    assert book >> received(MAIN, answer(200, to="OPTIONS")) << recorded(ProbeEnded, result="answered")


def test_an_answer_after_the_timeout_changes_nothing() -> None:
    book = watching(trunks=("main",))
    start = probe_times(book, "main")
    assert book >> after(start + 0.001)
    late = answer(200, to="OPTIONS")(book.seen(MAIN))
    assert book >> after(TIMEOUT + 0.01) << recorded(ProbeEnded, result="timeout")
    assert book >> received(MAIN, late) << sends_nothing()
    assert book.line("main").trunk.health.state is State.SUSPECT


# -- what the network says --------------------------------------------------------------------------------------------


def test_a_closed_port_fails_a_check_at_once() -> None:
    book = asked(watching(trunks=("main",)))
    assert (
        book
        >> lost(target(MAIN), "refused")
        << recorded(ProbeEnded, result="refused", status=0)
        << recorded(TrunkChanged, after="Suspect", why="1 check failed (port closed)")
    )  # fmt: skip


@pytest.mark.parametrize("reason", ["unreachable", "timeout", "reset"])
def test_an_unreachable_host_fails_a_check(reason: str) -> None:
    book = asked(watching(trunks=("main",)))
    assert book >> lost(target(MAIN), reason) << recorded(ProbeEnded, result="unreachable")
    assert book.line("main").trunk.health.state is State.SUSPECT


def test_our_own_trouble_is_evidence_of_nothing_and_asking_goes_on() -> None:
    book = asked(watching(trunks=("main",)))
    assert book >> lost(target(MAIN), "local: no route") << recorded(ProbeEnded, result="unreachable")
    trunk = book.line("main").trunk
    assert trunk.health.state is State.UP
    assert trunk.probe.loss_ratio == 0.0
    before = len({message.call_id for message in sent(book, MAIN, "OPTIONS")})
    assert book >> after(EVERY * 1.2)
    assert len({message.call_id for message in sent(book, MAIN, "OPTIONS")}) == before + 1


def test_of_two_addresses_the_other_one_is_asked_next() -> None:
    book = watching(known=False, trunks=("main",))
    assert book >> resolved("main", target(MAIN), target(THIRD)) >> after(1.0) >> lost(target(MAIN), "refused")
    assert book >> after(1.2)
    assert len(sent(book, THIRD, "OPTIONS")) >= 1


# -- calls are evidence too -------------------------------------------------------------------------------------------


def quiet(**how: object) -> Office:
    """Probes are rare, so that what is asked is asked because of a call."""
    return office(**how)  # type: ignore[arg-type]


def asks(book: Office) -> int:
    """OPTIONS that were sent to the main trunk so far, answered at once."""
    return len(book.line("main").trunk.probe.results)


def test_a_silent_call_has_its_trunk_asked_at_once() -> None:
    book = quiet()
    assert book >> after(1.0)
    before = asks(book)
    assert calling(book) >> after(3.999)
    assert asks(book) == before
    assert book >> after(0.001) << send(BACKUP, "INVITE") << recorded(TrunkChanged, trunk="main", after="Suspect")
    assert asks(book) == before + 1
    assert book >> after(4.0) << send(PBX, 503)


def test_a_good_call_has_nobody_asked() -> None:
    book = quiet()
    assert book >> after(1.0)
    before = asks(book)
    assert calling(book) >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486) >> after(5.0)
    assert asks(book) == before


def test_answered_options_do_not_take_back_silent_calls_and_calls_make_it_down() -> None:
    """Promise 2: OPTIONS alone is never believed."""
    book = quiet()
    for number in range(3):
        at = MAIN
        assert calling(book, at) >> after(4.0) << send(BACKUP, "INVITE")
        assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486) >> received(PBX, ack())
        assert book.line("main").trunk.health.state is (State.DOWN if number == 2 else State.SUSPECT)
    assert book.engine.watch.failovers.active == "backup"
    assert calling(book, BACKUP) >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487)


def test_faults_of_several_numbers_make_it_down_and_of_one_number_do_not() -> None:
    for numbers, state in ((["+41", "+41", "+41", "+41"], State.SUSPECT), (["+41", "+42", "+43"], State.DOWN)):
        book = quiet()
        for number in numbers:
            assert (
                calling(book, called=number)
                >> received(MAIN, answer(500))
                << send(MAIN, "ACK")
                << send(BACKUP, "INVITE")
            )
            assert (
                book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486) >> received(PBX, ack())
            )
        assert book.line("main").trunk.health.state is state


# -- names and PBXs ---------------------------------------------------------------------------------------------------


def test_a_trunk_without_an_address_is_not_asked_and_not_active() -> None:
    book = watching(known=False)
    assert book >> resolved("main", why="NXDOMAIN") >> after(30.0)
    assert not sent(book, MAIN, "OPTIONS")
    assert book.engine.watch.failovers.active == ""
    assert book >> resolved("backup", target(BACKUP))
    assert book.engine.watch.failovers.active == "backup"
    assert book >> resolved("main", target(MAIN)) << logged("warning", "new calls go over main")
    assert book >> after(1.5)
    assert sent(book, MAIN, "OPTIONS")


def test_the_pbx_is_watched_and_its_state_is_told() -> None:
    book = watching()
    live(book, 12.0, MAIN, BACKUP)
    view = book.engine.view(book.now)
    assert [(pbx.name, pbx.health, pbx.tier) for pbx in view.pbxs] == [("pbx", "Down", 0)]
    assert view.active_trunk == "main"
    assert view.last_failover is None


def test_a_probe_of_a_trunk_that_stays_down_becomes_rarer_and_never_stops() -> None:
    book = watching(trunks=("main",))
    assert book >> after(600.0)
    assert book.line("main").trunk.health.state is State.DOWN
    asked_before = len({message.call_id for message in sent(book, MAIN, "OPTIONS")})
    assert book >> after(300.0)
    more = len({message.call_id for message in sent(book, MAIN, "OPTIONS")}) - asked_before
    assert 300 / 35 <= more <= 300 / 25
    assert has(to=b"<sip:198.51.100.1:5060>")(sent(book, MAIN, "OPTIONS")[-1])


# -- a carrier that drops OPTIONS -------------------------------------------------------------------------------------


def mute(more: str = "") -> Office:
    """The main trunk has never answered OPTIONS, the backup has."""
    book = watching(more)
    book.line("main").trunk.probe.mute = True
    return book


def test_a_trunk_that_never_answered_options_is_used_all_the_same() -> None:
    book = mute()
    assert book >> after(60.0)
    assert book.line("main").trunk.health.state is State.UP
    shown = next(trunk for trunk in book.engine.view(book.now).trunks if trunk.name == "main")
    assert shown.note == "it answers no OPTIONS: only calls tell how it is"
    assert calling(book)


def test_its_silence_to_a_call_is_believed_within_a_second_and_it_comes_back_by_calls() -> None:
    book = mute("failover: {return_to_main: {stable_for: 30s}}")
    assert calling(book) >> after(BOUND) << send(BACKUP, "INVITE")
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486) >> received(PBX, ack())
    assert book >> after(1.5)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book >> after(60.0)
    assert book.line("main").trunk.health.state is State.TRIAL


def test_a_trunk_that_never_answered_options_is_no_witness_against_our_own_line() -> None:
    """The backup answers no OPTIONS: that main falls silent is main's."""
    book = watching()
    book.line("backup").trunk.probe.mute = True
    book.line("main").trunk.probe.mute = False
    book.line("backup").heard_at = book.now  # a call of it went through
    assert book >> after(30.0)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book.line("backup").trunk.health.state is State.UP
    assert book.engine.view(book.now).own_line == ""


# -- no OPTIONS at all ------------------------------------------------------------------------------------------------

OFF = "options_every: off"


def unasked(more: str = "", probes: str = OFF, **how: object) -> Office:
    """An office that asks no trunk."""
    book = watching(more, probes=probes, **how)
    for line in book.engine.core.trunks:
        line.trunk.probe.mute = True  # as it begins
    return book


def falls_silent(book: Office, times: int = 3) -> None:
    """So many calls find the main trunk silent, and go over the backup."""
    for _ in range(times):
        assert calling(book) >> after(BOUND) << send(BACKUP, "INVITE")
        assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486) >> received(PBX, ack())


def test_a_trunk_is_never_asked_where_options_are_off_and_the_pbx_still_is() -> None:
    book = unasked(trunks=("main", "backup"))
    falls_silent(book)
    assert book.line("main").trunk.health.state is State.DOWN
    assert book >> resolved("main", target(THIRD), target(MAIN)) >> after(7200.0)
    assert not [one for at in (MAIN, BACKUP, THIRD) for one in sent(book, at, "OPTIONS")]
    assert len(sent(book, PBX, "OPTIONS")) > 100


def test_where_options_are_off_calls_take_it_down_and_time_and_calls_bring_it_back() -> None:
    book = unasked("failover: {return_to_main: {stable_for: 1m}}")
    falls_silent(book, 2)
    main = book.line("main").trunk
    assert (main.health.state, main.health.why) == (State.SUSPECT, "2 calls in a row failed (no answer within 4 s)")
    falls_silent(book, 1)
    assert main.health.state is State.DOWN
    shown = next(trunk for trunk in book.engine.view(book.now).trunks if trunk.name == "main")
    assert (shown.probe, shown.note) == ("no OPTIONS", "")
    assert book >> after(59.0)
    assert main.health.state is State.DOWN
    assert book >> after(2.0)
    assert (main.health.state, main.health.why) == (
        State.TRIAL,
        "nothing failed for 60 s; single calls show whether calls work",
    )


@pytest.mark.parametrize("when", ["manual", "02:00-05:00"])
def test_where_options_are_off_the_operator_s_word_on_returning_holds_too(when: str) -> None:
    book = unasked(f"failover: {{return_to_main: {{stable_for: 1m, when: '{when}'}}}}", wall=noon)
    falls_silent(book)
    assert book >> after(600.0)
    assert book.line("main").trunk.health.state is State.DOWN
    book.engine.release("main", book.now)
    assert book >> after(0.1)
    assert book.line("main").trunk.health.state is State.TRIAL


def noon(now: float) -> datetime:
    return datetime(2018, 1, 8, 12) + timedelta(seconds=now)


def test_one_trunk_may_be_asked_and_another_not() -> None:
    book = office(
        probes=CHECKS, trunks=("main",), more=f"  - {{name: backup, host: {BACKUP.host}, monitor: {{{OFF}}}}}"
    )
    assert book >> resolved("backup", target(BACKUP)) >> after(60.0)
    assert [line.trunk.probe.off for line in book.engine.core.trunks] == [False, True]
    assert [line.trunk.health.rules.quick for line in book.engine.core.trunks] == [True, False]


# -- a backup in Trial, and a trunk that was never heard --------------------------------------------------------------


def test_while_no_trunk_is_up_the_one_in_trial_is_what_calls_take_and_all_of_them_do() -> None:
    book = watching()
    main, backup = book.line("main").trunk, book.line("backup").trunk
    failed = [Evidence(Sign.CALL_FAULT, "500", f"+4144000000{n}") for n in range(3)]
    for evidence in failed:
        book.engine.watch.observe(book.line("backup"), evidence, book.now)
    assert backup.health.state is State.DOWN
    for _ in range(3):
        backup.health.observe(Evidence(Sign.PROBE_GOOD), book.now)
    book.engine.watch.release(book.line("backup"), book.now)
    assert backup.health.state is State.TRIAL
    for evidence in failed:
        book.engine.watch.observe(book.line("main"), evidence, book.now)
    assert main.health.state is State.DOWN
    book.collect()
    view = book.engine.view(book.now)
    assert view.active_trunk == "backup"
    assert [(trunk.name, trunk.carries_new_calls) for trunk in view.trunks] == [("main", False), ("backup", True)]
    for n in range(3):  # nobody waits for the one that tests it
        assert calling(book, BACKUP, called=f"+4144555000{n}")


def test_the_first_call_of_a_trunk_that_was_never_heard_does_not_wait_long() -> None:
    book = mute()
    trunk = book.line("main").trunk
    assert trunk.no_answer().bound == trunk.no_answer_within, "its OPTIONS may be answered yet"
    assert book >> after(5.0)
    assert trunk.no_answer().bound == min(UNPROVEN_WITHIN, trunk.no_answer_within)
    trunk.roundtrip.observe(0.3)
    assert trunk.no_answer().bound == min(8 * 0.3 + 4 * 0.15, trunk.no_answer_within)
