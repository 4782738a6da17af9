"""Other settings while calls are invited, ring, talk and are held: who stays as it was, who leaves, in which words."""

import pytest

from sipfailover.config import Settings, parse
from sipfailover.proxy import CallEnded
from sipfailover.proxy.reloading import LEFT_MAX
from sipfailover.transaction import LIFE
from sipfailover.trunk import Order, State
from tests.kit import (
    Playbook,
    ack,
    after,
    answer,
    bye,
    cancel,
    flow,
    invite,
    received,
    recorded,
    resolved,
    send,
    sends_nothing,
    target,
)
from tests.kit.sip import SDP
from tests.proxy.office import BACKUP, MAIN, PBX, Office, answered, calling, doubt, down, has, office, ringing, sent
from tests.proxy.talk import HOLD, acknowledge, inside, reply

NEW_MAIN = flow("main elsewhere", "198.51.100.7")
NEW_PBX = flow("another PBX", "192.0.2.12")
FILE = """
pbx: [{name: pbx, host: %(pbx)s}]
listen: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]
monitor: {options_every: 1h}
trunks:
  - {name: main, host: %(main)s, port: 5060, register: no%(keys)s}
%(backup)s%(third)s
failover: {no_answer_within: %(no_answer)s}
%(more)s
"""
BACKUP_LINE = "  - {name: backup, host: 203.0.113.1, port: 5060, register: no%s}\n"
THIRD_LINE = "  - {name: third, host: 203.0.113.65, port: 5060, register: no}\n"


def file(**changes: str) -> Settings:
    """The file of the office, with changes."""
    usual = {
        "pbx": "192.0.2.10", "main": "198.51.100.1", "keys": "", "backup": BACKUP_LINE % "", "third": "",
        "no_answer": "4s", "more": "",
    }  # fmt: skip
    return parse(FILE % (usual | changes))


def reload(book: Office, settings: Settings) -> tuple[str, ...]:
    """Put them into effect, and say where the new ones are, as the resolver does."""
    before = dict(book.engine.core.lines)
    told = book.engine.reload(settings, book.now)
    places = {one.name: str(one.host) for one in (*settings.pbx, *settings.trunks)}
    for name, line in book.engine.core.lines.items():
        if before.get(name) is not line:
            assert book >> resolved(name, target(flow(name, places[name])))
            line.trunk.probe.mute = False
    book.collect()
    return told


def gone(book: Office) -> bool:
    """Whether all who left are gone, after some time."""
    assert book >> after(LIFE + 5.0)
    return not book.engine.core.left and len(book.engine.core.by_peer) == len(book.engine.core.lines)


# -- what stays -------------------------------------------------------------------------------------------------------


def test_the_same_file_changes_nothing() -> None:
    book = office()
    reload(book, file())
    lines = dict(book.engine.core.lines)
    assert reload(book, file()) == ()
    assert all(book.engine.core.lines[name] is line for name, line in lines.items())


def test_what_was_learnt_of_a_trunk_that_did_not_change_is_kept() -> None:
    book = office()
    reload(book, file())
    doubt(book)
    down(book, "backup")
    main = book.line("main")
    main.trunk.roundtrip.observe(0.02)
    mean, evidence = main.trunk.roundtrip.smoothed, list(main.trunk.health.counters.faults)
    told = reload(book, file(no_answer="3s", keys=", channels: 7", third=THIRD_LINE))
    assert told == (
        "trunk third added: it begins as at a start",
        "trunk main: channels none → 7: from the next call on",
        "failover.no_answer_within 4s → 3s: from the next call on",
    )
    assert book.line("main") is main
    assert main.trunk.roundtrip.smoothed == mean
    assert list(main.trunk.health.counters.faults) == evidence
    assert (main.trunk.channels, main.trunk.no_answer_within) == (7, 3.0)
    assert book.line("backup").trunk.health.state is State.DOWN
    assert book.line("third").trunk.health.state is State.UP


def test_rules_of_watching_are_other_ones_at_once() -> None:
    book = office()
    reload(book, file())
    trunk = book.line("main").trunk
    told = reload(book, file(keys=", monitor: {options_every: 20s, down_after: 5}"))
    assert told == (
        "trunk main: monitor.options_every as elsewhere → 20s: at once",
        "trunk main: monitor.down_after as elsewhere → 5: at once",
    )
    assert trunk.health.counters.rules.down_after == 5
    book.answers_probes = False
    assert book >> after(25.0)
    assert sent(book, MAIN, "OPTIONS")  # before it was once an hour


def test_a_clock_holds_from_the_next_attempt_on() -> None:
    book = office()
    reload(book, file())
    assert calling(book)
    reload(book, file(no_answer="1s"))
    assert book >> after(3.9) >> after(0.2) << send(BACKUP, "INVITE")  # the one that ran was for 4 s
    assert book >> after(1.1) << send(PBX, 503)


# -- calls in every state ---------------------------------------------------------------------------------------------

INVITED, RINGS, TALKS, HELD = "invited", "ringing", "answered", "held"
STATES = pytest.mark.parametrize("state", [INVITED, RINGS, TALKS, HELD])


def call(book: Office, state: str) -> Playbook:
    """A call over main that has come so far."""
    if state == INVITED:
        return calling(book)
    if state == RINGS:
        return ringing(book)
    if state == TALKS:
        return answered(book)
    return hold(answered(book), 2)


def hold(book: Playbook, cseq: int) -> Playbook:
    """The PBX holds the call, or takes it back."""
    return (
        book
        >> received(PBX, inside("INVITE", cseq, body=HOLD)) << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, reply(200, "INVITE", body=SDP)) << send(PBX, 200)
        >> received(PBX, acknowledge(cseq)) << send(MAIN, "ACK")
    )  # fmt: skip


def goes_on(book: Office, state: str) -> bool:
    """Whether the call comes to its answer, is held and taken back, and ends from the carrier's side."""
    if state == INVITED:
        assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    if state in (INVITED, RINGS):
        assert (
            book
            >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)
            >> received(PBX, ack()) << send(MAIN, "ACK")
        )  # fmt: skip
    assert hold(book, 3)
    assert (
        book
        >> received(MAIN, inside("BYE", 1, callee=True)) << send(MAIN, 200) << send(PBX, "BYE")
        << recorded(CallEnded, result="answered", trunk="main", ended_by="called")
        >> received(PBX, answer(200, to="BYE"))
    )  # fmt: skip
    return True


CHANGES = {
    "nothing": file(),
    "other clocks and channels": file(no_answer="1s", keys=", channels: 1, number_format: e164, add_headers: 'X-A: b'"),
    "its address": file(main="198.51.100.7"),
    "its account": file(keys=", username: u, password: p"),
    "its transport": file(keys=", transport: tcp"),
    "it is gone": parse((FILE % {
        "pbx": "192.0.2.10", "main": "203.0.113.1", "keys": "", "backup": "", "third": "", "no_answer": "4s",
        "more": "",
    }).replace("name: main", "name: backup")),
    "another name": parse((FILE % {
        "pbx": "192.0.2.10", "main": "198.51.100.1", "keys": "", "backup": "", "third": "", "no_answer": "4s",
        "more": "",
    }).replace("name: main", "name: first")),
    "another order": parse((FILE % {
        "pbx": "192.0.2.10", "main": "203.0.113.1", "keys": "", "backup": "", "third": "", "no_answer": "4s",
        "more": "",
    }).replace("name: main", "name: backup").replace(
        "failover:", "  - {name: main, host: 198.51.100.1, port: 5060, register: no}\nfailover:"
    )),
    "another PBX": file(pbx="192.0.2.12"),
}  # fmt: skip


@STATES
@pytest.mark.parametrize("change", CHANGES)
def test_a_call_goes_on_whatever_is_changed(state: str, change: str) -> None:
    book = office()
    reload(book, file())
    assert call(book, state)
    reload(book, CHANGES[change])
    assert goes_on(book, state)
    assert gone(book)
    book.done()


@STATES
@pytest.mark.parametrize("change", CHANGES)
def test_a_call_that_comes_in_goes_on_whatever_is_changed(state: str, change: str) -> None:
    book = office()
    reload(book, file())
    assert book >> received(MAIN, invite(host="198.51.100.1:5060")) << send(MAIN, 100) << send(PBX, "INVITE")
    if state != INVITED:
        assert book >> received(PBX, answer(180)) << send(MAIN, 180)
    if state in (TALKS, HELD):
        assert book >> received(PBX, answer(200)) << send(MAIN, 200) >> received(MAIN, ack()) << send(PBX, "ACK")
    reload(book, CHANGES[change])
    if state == INVITED:
        assert book >> received(PBX, answer(180)) << send(MAIN, 180)
    if state in (INVITED, RINGS):
        assert book >> received(PBX, answer(200)) << send(MAIN, 200) >> received(MAIN, ack()) << send(PBX, "ACK")
    assert book >> received(PBX, bye(callee=True)) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> received(MAIN, answer(200, to="BYE"))
    assert gone(book)
    book.done()


@pytest.mark.parametrize("change", ["its address", "it is gone"])
def test_a_call_that_is_being_set_up_moves_on_to_those_there_are_now(change: str) -> None:
    book = office(trunks=("main", "third"))
    reload(book, file(backup="", third=THIRD_LINE))
    assert calling(book)
    reload(book, CHANGES[change])
    assert book >> received(MAIN, answer(503)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert gone(book)
    book.done()


def test_what_a_trunk_that_was_taken_out_said_is_told_to_the_caller() -> None:
    book = office()
    reload(book, file())
    assert calling(book)
    reload(book, CHANGES["it is gone"])
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    book.done()


def test_a_caller_may_give_up_what_rings_at_a_trunk_that_was_taken_out() -> None:
    book = office()
    reload(book, file())
    assert ringing(book)
    reload(book, CHANGES["it is gone"])
    assert (
        book
        >> received(PBX, cancel()) << send(PBX, 200) << send(PBX, 487) << send(MAIN, "CANCEL")
        >> received(MAIN, answer(200, to="CANCEL")) >> received(MAIN, answer(487, to="INVITE")) << send(MAIN, "ACK")
    )  # fmt: skip
    book.done()


# -- who leaves -------------------------------------------------------------------------------------------------------


def test_a_trunk_that_is_taken_out_takes_no_new_calls_and_is_gone_after_its_last() -> None:
    book = office()
    reload(book, file())
    assert answered(book)
    told = reload(book, CHANGES["it is gone"])
    assert told[0] == "trunk main removed: 1 call goes on, no new ones; gone when the last has ended"
    assert book.engine.left == ("trunk main is not in the file any more: 1 call goes on over the former one",)
    assert [line.name for line in book.engine.core.trunks] == ["backup"]
    assert book >> received(PBX, invite("+41443210020")) << send(PBX, 100) << send(BACKUP, "INVITE")
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    assert (
        book
        >> received(MAIN, invite(host="198.51.100.1:5060"))
        << send(MAIN, 503, has(retry_after=b"30", reason=b"Not used any more"))
    )
    assert book >> received(MAIN, inside("BYE", 1, callee=True)) << send(MAIN, 200) << send(PBX, "BYE")
    assert book >> received(PBX, answer(200, to="BYE"))
    assert gone(book)
    assert book >> received(MAIN, invite(host="198.51.100.1:5060")) << sends_nothing()
    book.done()


def test_a_trunk_without_a_call_is_gone_at_once_but_for_what_may_be_on_its_way() -> None:
    book = office()
    reload(book, file())
    assert reload(book, CHANGES["it is gone"])[0] == "trunk main removed: there is no call on it"
    assert book.engine.left == ()
    assert gone(book)
    book.done()


def test_a_call_that_comes_from_where_a_trunk_was_is_taken_while_it_may_not_know() -> None:
    book = office()
    reload(book, file())
    assert answered(book)
    told = reload(book, CHANGES["its address"])
    assert told == (
        "trunk main: host 198.51.100.1 → 198.51.100.7: it starts anew; the former one: 1 call goes on, no new ones; "
        "gone when the last has ended",
    )
    assert book.engine.left == ("trunk main has started anew: 1 call goes on over the former one",)
    assert book >> received(MAIN, invite(host="198.51.100.1:5060")) << send(MAIN, 100) << send(PBX, "INVITE")
    assert book >> received(PBX, answer(486)) << send(PBX, "ACK") << send(MAIN, 486)
    assert book >> received(PBX, invite("+41443210020")) << send(PBX, 100) << send(NEW_MAIN, "INVITE")
    assert book >> received(NEW_MAIN, answer(486)) << send(NEW_MAIN, "ACK") << send(PBX, 486)
    assert book >> received(MAIN, inside("BYE", 1, callee=True)) << send(MAIN, 200) << send(PBX, "BYE")
    assert book >> received(PBX, answer(200, to="BYE"))
    assert gone(book)
    book.done()


def test_a_trunk_at_another_address_starts_anew_but_for_what_people_ordered() -> None:
    book = office()
    reload(book, file())
    down(book, "main")
    book.engine.order("main", Order.DRAINING, book.now, until=book.now + 600.0, who="anna", why="fibre works")
    was = book.line("main")
    reload(book, CHANGES["its address"])
    line = book.line("main")
    assert line is not was
    assert (line.trunk.health.state, line.trunk.order, line.trunk.ordered.who) == (State.UP, Order.DRAINING, "anna")
    assert book >> after(601.0)
    assert line.trunk.order is Order.ENABLED
    book.done()


def test_what_one_carrier_said_of_a_number_is_not_held_against_one_that_is_gone() -> None:
    book = office()
    reload(book, file())
    book.line("backup").trunk.channels = 0  # it cannot be asked for its opinion
    assert calling(book)
    assert book >> received(MAIN, answer(404)) << send(MAIN, "ACK") << send(PBX, 404)
    book.line("backup").trunk.channels = None
    reload(book, CHANGES["it is gone"])
    assert calling(book, BACKUP)
    assert book >> received(BACKUP, answer(180)) << send(PBX, 180)
    assert book >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
    book.done()


def test_a_line_moves_again_and_again_while_it_has_a_call_and_no_more_are_kept_than_the_bound() -> None:
    book = office()
    reload(book, file())
    assert answered(book)
    for number in range(LEFT_MAX + 5):
        settings = file(main=f"198.51.100.{number + 10}")
        book.engine.reload(settings, book.now)
    assert len(book.engine.core.left) == LEFT_MAX
    assert book >> received(MAIN, inside("BYE", 1, callee=True)) << send(MAIN, 200) << send(PBX, "BYE")
    assert book >> received(PBX, answer(200, to="BYE"))
    assert gone(book)
    book.done()


def test_a_pbx_at_another_address_is_another_one_and_the_former_ends_its_calls() -> None:
    book = office()
    reload(book, file())
    assert answered(book)
    told = reload(book, CHANGES["another PBX"])
    assert told[0].startswith("PBX pbx: host 192.0.2.10 → 192.0.2.12: it starts anew; the former one: 1 call goes on")
    assert book >> received(NEW_PBX, invite(host="192.0.2.12:5060")) << send(NEW_PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(NEW_PBX, 486)
    assert book >> received(PBX, inside("BYE", 2)) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> received(MAIN, answer(200, to="BYE"))
    assert gone(book)
    assert book >> received(PBX, invite()) << sends_nothing()
    book.done()


def test_a_pbx_that_was_taken_out_begins_no_call_but_for_help() -> None:
    two = parse(
        "pbx: [{name: pbx, host: 192.0.2.10}, {name: spare, host: 192.0.2.11}]\n"
        "listen: [udp 192.0.2.1:5060]\nmonitor: {options_every: 1h}\n"
        "trunks: [{name: main, host: 198.51.100.1, port: 5060, register: no}]"
    )
    one = two.model_copy(update={"pbx": two.pbx[1:]})
    book = office(trunks=("main",))
    reload(book, two)
    assert answered(book)
    assert reload(book, one)[0].startswith("PBX pbx removed: 1 call goes on")
    hangs_up = inside("BYE", 2)(book.seen(PBX))
    refused = invite("+41443210020")
    assert book >> received(PBX, refused) << send(PBX, 503, has(reason=b"Not used any more")) >> received(PBX, ack())
    assert book >> received(PBX, hangs_up) << send(PBX, 200) << send(MAIN, "BYE")
    assert book >> received(MAIN, answer(200, to="BYE"))
    assert book >> received(PBX, invite("112")) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(PBX, 486)
    assert gone(book)
    book.done()
