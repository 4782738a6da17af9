"""Registered again, within the time that the README states: the real engine through hours of trouble in virtual time.

The interval of OPTIONS is the default, 10 s; towards a trunk that stays Down it grows to 30 s.
"""

from itertools import pairwise

import pytest

from sipfailover.proxy.line import Line
from sipfailover.proxy.registering import RESULTS
from sipfailover.trunk import ANSWER_WITHIN
from sipfailover.trunk.lease import JITTER, RETRY_AFTER_MAX, RETRY_MAX, SLOW_MAX, START_SPREAD
from sipfailover.trunk.probe import SLOWEST
from sipfailover.wire import Message
from tests.kit import invite
from tests.proxy.street import EDGE, EDGE_2, EDGE_3, HOUR, PBX, TRIP, Street

SEEDS = pytest.mark.parametrize("seed", range(4))
AT_ONCE = 6 * TRIP
"""OPTIONS or a call answered, REGISTER challenged and granted: three exchanges, with the steps of a test's look."""
OPTIONS_EVERY = 10.0
WHEN_DOWN = SLOWEST * (1 + JITTER) + AT_ONCE
"""The longest pause between two OPTIONS to a trunk that is Down, and then at once."""


def well(keys: str = "", more: str = "", **changes: object) -> Street:
    """A carrier where we have been registered for a quarter of an hour."""
    street = Street(keys, more, **changes)  # type: ignore[arg-type]
    assert street.until_registered() <= START_SPREAD + AT_ONCE
    return street.until(900.0)


def quiet(**changes: object) -> Street:
    """A carrier where nothing is due for half an hour."""
    street = well(**changes)  # type: ignore[arg-type]
    street.grant = 3600
    return street.live(300.0)


# -- back within the stated time --------------------------------------------------------------------------------------


@SEEDS
def test_a_carrier_silent_for_an_hour_is_registered_with_33_seconds_after_it_is_back(seed: int) -> None:
    street = well(seed=seed)
    street.silent = {EDGE}
    street.live(HOUR)
    assert not street.registered
    street.silent.clear()
    assert street.until_registered() <= WHEN_DOWN
    assert [(change.before, change.after) for change in street.changes] == [
        ("Registering", "Registered"), ("Registered", "Failed"), ("Failed", "Registered"),
    ]  # fmt: skip
    failed = street.changes[1]
    assert failed.why == "no answer within 10 s, and the binding has run out"
    assert failed.status == 0


@SEEDS
def test_a_registrar_silent_for_an_hour_behind_an_edge_that_answers_is_back_within_two_and_a_half_minutes(
    seed: int,
) -> None:
    """OPTIONS that are answered all the while show no return, and must not undo the pauses between the tries."""
    street = well(seed=seed)
    street.silent = {"REGISTER"}
    gone = street.now
    street.live(HOUR)
    tries = street.times(gone)
    assert 25 <= len(tries) <= 40, "15 s to 2 min"
    street.silent.clear()
    assert street.until_registered() <= RETRY_MAX * (1 + JITTER) + ANSWER_WITHIN + AT_ONCE


@SEEDS
@pytest.mark.parametrize("options", [True, False], ids=["OPTIONS answered", "OPTIONS silent"])
def test_403_for_an_hour_is_registered_with_11_minutes_after_it_is_over(seed: int, options: bool) -> None:
    street = well(seed=seed)
    refused = street.now
    street.says = lambda _: (403, ())
    street.silent = set() if options else {"OPTIONS"}
    street.live(HOUR)
    assert not street.registered
    tries = street.times(refused)
    assert all(sum(at <= other < at + 600 for other in tries) <= 5 for at in tries), "no account is locked"
    street.says = None
    assert street.until_registered() <= SLOW_MAX * (1 + JITTER) + AT_ONCE


@SEEDS
@pytest.mark.parametrize("asked_for", [60, 300, 86400])
def test_503_with_retry_after_is_registered_with_as_it_asked_but_after_11_minutes_at_the_latest(
    seed: int, asked_for: int
) -> None:
    street = well(seed=seed)
    busy = street.now
    street.says = lambda _: (503, ((b"retry-after", b"%d" % asked_for),))
    street.live(HOUR)
    told = min(float(asked_for), RETRY_AFTER_MAX)
    gaps = [after - before for before, after in pairwise(street.times(busy))]
    assert gaps
    assert all(told <= gap for gap in gaps), "never sooner than it asked"
    street.says = None
    assert street.until_registered() <= told * (1 + JITTER) + AT_ONCE


@SEEDS
def test_dns_gone_for_an_hour_costs_a_registered_trunk_nothing(seed: int) -> None:
    street = well(seed=seed)
    street.resolve(why="look up carrier.example: no name server answers")
    before = len(street.asked)
    for _ in range(int(HOUR / 10)):
        street.live(10.0)
        assert street.registered
        assert street.bound
    assert len(street.asked) > before + HOUR / 120
    street.resolve(EDGE)
    assert street.live(60.0).registered
    assert street.errors() == []


@SEEDS
def test_a_trunk_whose_name_never_resolved_is_registered_two_seconds_after_it_does(seed: int) -> None:
    street = Street(seed=seed, known=False)
    street.resolve(why="look up carrier.example: no name server answers")
    street.live(HOUR)
    assert street.story == "Not registered: no address yet"
    street.resolve(EDGE)
    assert street.until_registered() <= START_SPREAD + AT_ONCE


@SEEDS
@pytest.mark.parametrize("configured", [True, False], ids=["our Contact shows it", "our Contact is private"])
def test_a_public_address_that_changes_is_registered_with_the_next_options_after_11_seconds(
    seed: int, configured: bool
) -> None:
    street = well(seed=seed)
    ours = b"203.0.113.5:5060" if configured else b"10.0.0.5:5060"
    street.resolve(EDGE, ours=ours)
    street.public = ("203.0.113.5", 5060)
    street.live(60.0)
    street.bindings.clear()
    street.public = ("203.0.113.77", 5060)
    host = b"203.0.113.77" if configured else b"10.0.0.5"
    assert street.until_registered(at=host) <= OPTIONS_EVERY * (1 + JITTER) + AT_ONCE
    assert host + b":5060" in [uri.partition(b"@")[2] for uri in street.bindings]
    street.resolve(EDGE, EDGE_2, ours=ours)
    street.live(60.0)
    assert host in street.line.account.registration.view.contact, "further addresses do not bring the old one back"  # type: ignore[union-attr]


def test_an_address_that_moved_is_noticed_in_the_answer_to_a_call_at_once() -> None:
    street = well(more="monitor: {options_every: 1h}", seed=2)
    street.public = ("203.0.113.5", 40001)
    street.live(60.0)
    street.public = ("203.0.113.5", 40002)
    before = len(street.asked)
    street.receive(PBX, invite())
    answer_call(street, 486)
    assert len(street.asked) > before
    assert any("sees us at another address" in log.text for log in street.log)


def test_another_port_that_a_nat_gives_towards_another_edge_is_no_move() -> None:
    street = quiet(edges=(EDGE, EDGE_2))
    street.public = ("203.0.113.5", 40001)
    street.live(60.0)
    for _ in range(2):
        street.receive(PBX, invite())
    late = [message for _, to, message in street.others if message.method == b"INVITE" and to.host == EDGE][-2]
    street.public = ("203.0.113.5", 40002)
    answer_call(street, 503)
    street.live(2 * TRIP)
    assert street.asked[-1][1] == street.target(EDGE_2), "another address is used, and we are registered there"
    before = len(street.asked)
    again = [message for _, to, message in street.others if message.method == b"INVITE" and to.host == EDGE_2][-1]
    street._answer(street.target(EDGE_2), again, 486, ())
    street.public = ("203.0.113.5", 40001)
    street._answer(street.target(EDGE), late, 486, ())
    street.public = ("203.0.113.5", 40002)
    street.live(60.0)
    assert len(street.asked) == before


@SEEDS
def test_another_address_of_our_own_is_registered_at_once_when_it_is_known(seed: int) -> None:
    """When it is known: as soon as something could not be sent from the old one, and within a minute anyway."""
    street = well(seed=seed)
    street.bindings.clear()
    street.resolve(EDGE, ours=b"192.0.2.77:5060")
    assert street.until_registered() <= AT_ONCE
    assert [uri.partition(b"@")[2] for uri in street.bindings] == [b"192.0.2.77:5060"]


@SEEDS
@pytest.mark.parametrize("lasts", [15.0, 300.0])
def test_a_carrier_that_started_anew_without_our_binding_has_it_33_seconds_after_it_is_back(
    seed: int, lasts: float
) -> None:
    street = quiet(seed=seed)
    street.silent = {EDGE}
    street.live(lasts)
    street.bindings.clear()
    street.silent.clear()
    assert street.until_registered() <= WHEN_DOWN


@SEEDS
def test_a_carrier_that_lost_our_binding_unnoticed_has_it_at_once_when_a_call_is_refused(seed: int) -> None:
    street = quiet(seed=seed)
    street.bindings.clear()
    street.receive(PBX, invite())
    answer_call(street, 403)
    assert street.until_registered() <= AT_ONCE


@SEEDS
def test_a_carrier_that_lost_our_binding_unnoticed_has_it_at_the_latest_with_the_next_refresh(seed: int) -> None:
    street = well(seed=seed)
    street.bindings.clear()
    assert street.until_registered() <= 80.0 + AT_ONCE, "120 s are granted"


def answer_call(street: Street, status: int) -> None:
    """The carrier refuses the last INVITE."""
    asked = [message for _, to, message in street.others if message.method == b"INVITE" and to.host == EDGE][-1]
    street._answer(street.target(EDGE), asked, status, ())
    street.live(3 * TRIP)


# -- edges ------------------------------------------------------------------------------------------------------------


def test_register_options_and_calls_leave_from_one_socket_to_one_address() -> None:
    street = well(edges=(EDGE, EDGE_2))
    street.receive(PBX, invite())
    sent = [(to, asked.method) for _, to, asked in (*street.asked, *street.others) if to.host != PBX]
    assert {to for to, method in sent if method != b"OPTIONS"} == {street.target(EDGE)}
    assert {method for to, method in sent if to != street.target(EDGE)} == {b"OPTIONS"}, "the other one is only asked"
    assert {asked.method for _, to, asked in street.others if to.host == EDGE} == {b"OPTIONS", b"INVITE"}
    assert {to for _, to in street.pings} == {street.target(EDGE)}


def test_another_edge_is_registered_with_before_it_is_held() -> None:
    street = well(edges=(EDGE, EDGE_2))
    holds = Line.holds
    first, second = street.target(EDGE), street.target(EDGE_2)
    assert (holds(street.line, first), holds(street.line, second)) == (True, False)
    street.silent = {EDGE}
    moved_at = next(street.now for _ in range(1000) if street.live(TRIP).line.trunk.target == second)
    assert not holds(street.line, second)
    street.live(AT_ONCE)
    assert (holds(street.line, first), holds(street.line, second)) == (False, True)
    at, to, _ = street.asked[-1]
    assert to == second
    assert at - moved_at <= AT_ONCE
    assert street.registered
    assert not street.errors()


def test_a_pbx_and_a_trunk_that_do_not_register_hold_everywhere() -> None:
    street = well()
    holds = Line.holds
    assert holds(street.engine.core.lines["pbx"], street.target(PBX))
    assert not holds(street.line, street.target(EDGE_3))


def test_a_register_that_waits_at_a_dead_edge_delays_the_next_edge_by_nothing() -> None:
    street = Street(edges=(EDGE, EDGE_2))
    street.silent = {EDGE}
    while not street.asked:
        street.live(TRIP)
    street.lost(street.target(EDGE), "refused")
    assert street.until_registered() <= AT_ONCE
    assert street.asked[-1][1] == street.target(EDGE_2)


@SEEDS
def test_when_all_edges_are_dead_the_pauses_grow_all_the_same(seed: int) -> None:
    street = well(edges=(EDGE, EDGE_2, EDGE_3), seed=seed)
    street.silent = {EDGE, EDGE_2, EDGE_3}
    gone = street.now
    street.live(HOUR)
    tries = street.times(gone + 300)
    assert len(tries) <= HOUR / (RETRY_MAX * (1 - JITTER)) + 3
    street.silent = {EDGE, EDGE_3}
    assert street.until_registered() <= 3 * WHEN_DOWN, "each of the three has its turn"
    assert street.line.holds(street.target(EDGE_2))


def test_a_connection_that_is_lost_is_registered_over_a_new_one_at_once_but_a_dead_one_not_all_the_time() -> None:
    street = quiet(transport="tcp")
    before = len(street.times())
    street.lost(street.target(EDGE), "reset")
    street.live(AT_ONCE)
    assert len(street.times()) == before + 1
    assert street.line.account.registration.view.contact.endswith(b";transport=tcp")  # type: ignore[union-attr]
    street.silent = {EDGE}
    start = street.now
    while street.now < start + 600:
        street.live(1.0)
        street.lost(street.target(EDGE), "refused")
    assert len(street.times(start)) <= 16, "every OPTIONS and every REGISTER is refused, and the pauses count"


def test_somebody_elses_connection_and_a_closed_udp_port_are_no_reason() -> None:
    street = quiet(transport="tcp")
    before = len(street.times())
    street.lost(street.target(PBX), "reset")
    street.lost(street.target(EDGE_3), "reset")
    street.live(AT_ONCE)
    assert len(street.times()) == before


def test_our_own_trouble_is_evidence_of_nothing_and_no_reason_for_another_edge() -> None:
    street = Street(edges=(EDGE, EDGE_2))
    street.silent = {EDGE, "OPTIONS"}
    while not street.asked:
        street.live(TRIP)
    street.lost(street.target(EDGE), "local: no route")
    assert street.line.trunk.target == street.target(EDGE)
    assert street.line.trunk.health.state.label == "Up"
    assert "no route" in street.story


# -- flood, alarms, counts --------------------------------------------------------------------------------------------


def test_calls_refused_with_403_do_not_hammer_a_registrar_that_asked_to_be_left_alone() -> None:
    street = well()
    street.says = lambda _: (503, ((b"retry-after", b"300"),))
    street.live(120.0)
    asked_at = street.times()[-1]
    for _ in range(20):
        street.live(10.0)
        if street.now < asked_at + 290:
            street.receive(PBX, invite())
            answer_call(street, 403)
    assert street.times(asked_at, asked_at + 300) == [asked_at]


def test_a_wrong_password_is_one_error_however_often_it_is_refused() -> None:
    street = Street()
    street.doorman.password = b"another"
    street.live(HOUR)
    assert street.errors() == ["trunk main: Failed"]
    assert [(change.after, change.status) for change in street.changes] == [("Failed", 401)]
    street.doorman.password = b"geheim"
    assert street.until_registered() <= SLOW_MAX * (1 + JITTER) + AT_ONCE
    assert street.changes[-1].why == "200 OK to REGISTER"


def test_ends_of_registers_are_counted_by_what_came_of_them() -> None:
    street = well()
    counts = street.engine.view(street.now).registers
    assert set(counts) == {("main", "granted")}
    granted = counts["main", "granted"]
    assert granted == len(street.times())
    street.silent = {"REGISTER"}
    street.live(80.0)
    street.silent.clear()
    street.says = lambda _: (403, ())
    street.live(300.0)
    street.says = lambda _: (500, ())
    street.live(700.0)
    counts = street.engine.view(street.now).registers
    assert {result for _, result in counts} == set(RESULTS.values())
    assert counts["main", "granted"] == granted


def test_the_picture_has_the_registration_in_parts() -> None:
    street = well()
    account = street.engine.view(street.now).trunks[0].account
    assert account is not None
    assert (account.state, account.granted, account.why, account.public) == ("Registered", 120, "", "")
    assert account.expires_at is not None
    assert account.next_at is not None
    assert street.now < account.next_at < account.expires_at <= street.now + 120
    assert account.contact.startswith("sip:sf")
    assert account.contact.endswith("@192.0.2.1:5060")
    assert street.engine.view(street.now).pbxs[0].account is None


# -- at the start, at the end -----------------------------------------------------------------------------------------


def contacts(street: Street) -> list[tuple[bytes | None, bytes | None]]:
    return [(asked.get(b"contact"), asked.get(b"expires")) for _, _, asked in street.asked]


def test_old_registrations_are_cleared_at_the_start_and_never_at_a_refresh() -> None:
    street = Street("clear_old_registrations: yes")
    street.bindings = {b"sip:+41443210000@192.0.2.200:5060": HOUR, b"sip:desk@192.0.2.201": HOUR}
    street.live(HOUR)
    assert contacts(street)[:2] == [(b"*", b"0")] * 2, "asked, challenged, asked again"
    assert all(contact != b"*" and expires == b"300" for contact, expires in contacts(street)[2:])
    assert len(street.bindings) == 1
    assert street.registered
    kept = Street()
    kept.bindings = {b"sip:desk@192.0.2.201": HOUR}
    kept.live(600.0)
    assert len(kept.bindings) == 2
    assert (b"*", b"0") not in contacts(kept)


def test_our_own_former_address_is_cleared_too_where_old_registrations_are() -> None:
    for keys, left in (("clear_old_registrations: yes", 1), ("", 2)):
        street = Street(keys)
        street.grant = 3600
        street.live(60.0)
        street.resolve(EDGE, ours=b"192.0.2.77:5060")
        street.live(60.0)
        assert len(street.bindings) == left
        assert any(b"192.0.2.77" in uri for uri in street.bindings)


def test_the_registration_is_given_up_at_the_end_where_the_file_says_so() -> None:
    street = well("unregister_at_stop: yes")
    street.doorman.expire()
    street.engine.leave(street.now)
    street._perform()
    assert street.engine.leaving
    street.live(AT_ONCE)
    assert not street.engine.leaving
    assert street.bindings == {}
    last = street.asked[-1][2]
    assert (last.get(b"expires"), last.contact is not None) == (b"0", True)
    assert last.get(b"authorization"), "it was challenged, and answered"
    change = street.changes[-1]
    assert (change.before, change.after, change.why) == ("Registered", "Not used", "the service ends")
    street.live(HOUR)
    assert street.asked[-1][2] is last


def test_a_registration_is_left_to_its_time_otherwise() -> None:
    street = well()
    before = len(street.asked)
    street.engine.leave(street.now)
    street._perform()
    assert not street.engine.leaving
    assert street.live(HOUR).bindings
    assert len(street.asked) == before
    assert street.changes[-1].after == "Registered"


def test_nobody_waits_for_a_trunk_that_is_not_registered_at_the_end() -> None:
    street = Street("unregister_at_stop: yes")
    street.silent = {EDGE}
    street.live(60.0)
    street.engine.leave(street.now)
    street._perform()
    assert street.engine.leaving is (street.line.account.registration.view.word != "Not used")  # type: ignore[union-attr]
    unknown = Street("unregister_at_stop: yes", known=False)
    unknown.engine.leave(0.0)
    assert not unknown.engine.leaving
    unknown.resolve(EDGE)
    assert unknown.live(60.0).asked == [], "its name resolved a moment too late"


# -- passwords inside calls -------------------------------------------------------------------------------------------


def last(street: Street, method: bytes) -> Message:
    return [one for _, to, one in street.others if one.method == method and to.host == EDGE][-1]


def refused(street: Street, method: bytes, nonce: str) -> None:
    """The last request of this kind is challenged, answered, and challenged anew: the password is wrong."""
    for number in range(2):
        challenge = b'Digest realm="calls", nonce="%b-%d", qop="auth"' % (nonce.encode(), number)
        street._answer(street.target(EDGE), last(street, method), 407, ((b"proxy-authenticate", challenge),))
        street.live(2 * TRIP)


def test_requests_in_calls_that_are_not_let_in_are_one_error_and_not_one_each() -> None:
    street = well()
    for number in range(3):
        street.receive(PBX, invite())
        contact = ((b"contact", b"<sip:callee@198.51.100.1>"),)
        street._answer(street.target(EDGE), last(street, b"INVITE"), 200, contact)
        street.live(2 * TRIP)
        call = next(iter(street.engine.core.calls.values()))
        assert call.b is not None
        street.engine.inside.hang_up(call.b, street.now)
        street.engine.core.end(call, 200, "sipfailover", street.now)
        street._perform()
        refused(street, b"BYE", f"bye-{number}")
    assert len([one for _, _, one in street.others if one.method == b"BYE"]) == 6
    assert street.errors() == ["main refuses what we send inside calls"]


def test_calls_that_are_not_let_in_are_told_anew_after_one_was() -> None:
    street = well()
    for nonce in ("a", "b"):
        street.receive(PBX, invite())
        refused(street, b"INVITE", nonce)
        told = [text for text in street.errors() if "let us" in text]
        assert told == ["main does not let us call"] * (1 if nonce == "a" else 2)
        street.live(HOUR)
        street.receive(PBX, invite())
        challenge = ((b"proxy-authenticate", b'Digest realm="calls", nonce="good-%b"' % nonce.encode()),)
        street._answer(street.target(EDGE), last(street, b"INVITE"), 407, challenge)
        street.live(2 * TRIP)
        street._answer(street.target(EDGE), last(street, b"INVITE"), 200, ((b"contact", b"<sip:c@198.51.100.1>"),))
        street.live(2 * TRIP)
        assert [log.text for log in street.log if "again" in log.text][-1] == "main accepts our password again"
