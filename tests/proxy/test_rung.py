"""Which rung comes next: addresses of one trunk, emergency calls with their own order, clocks and rounds, PBXs and the
number that is for calls that no PBX takes."""

from itertools import product

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from sipfailover.proxy.facts import AttemptEnded, CallEnded
from sipfailover.routing.plan import DEAD_FOR
from sipfailover.trunk import State
from sipfailover.trunk.addresses import IN_ONE_CALL
from tests.kit import (
    Playbook,
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
    target,
)
from tests.proxy.office import (
    BACKUP,
    BOUND,
    MAIN,
    NO_RINGING,
    PBX,
    PBX2,
    PBX_BOUND,
    THIRD,
    Office,
    calling,
    doubt,
    down,
    evidence,
    has,
    office,
    sent,
)

STATES = ("up", "down", "full", "off")
EDGES = tuple(flow(f"edge {n}", f"198.51.100.{n}") for n in range(1, 8))


def several(count: int, more: str = "") -> Office:
    """The main trunk has several addresses, the backup one."""
    book = office(more, known=False)
    assert book >> resolved("main", *[target(edge) for edge in EDGES[:count]]) >> resolved("pbx", target(PBX))
    assert book >> resolved("backup", target(BACKUP))
    return book


# -- the addresses of one trunk ---------------------------------------------------------------------------------------


def test_the_first_address_is_dead_the_second_says_503_and_the_third_takes_the_call() -> None:
    """RFC 3263 §4.3, one ladder: three attempts, each recorded with its address, none at the backup."""
    book = several(3)
    assert (
        calling(book, EDGES[0])
        >> lost(target(EDGES[0])) << send(EDGES[1], "INVITE")
        << recorded(AttemptEnded, number=1, trunk="main", verdict="next address", remote="udp 198.51.100.1:5060")
        >> received(EDGES[1], answer(503)) << send(EDGES[1], "ACK") << send(EDGES[2], "INVITE")
        << recorded(AttemptEnded, number=2, trunk="main", verdict="next address", remote="udp 198.51.100.2:5060")
        >> received(EDGES[2], answer(180)) << send(PBX, 180)
        >> received(EDGES[2], answer(200)) << send(PBX, 200)
        << recorded(AttemptEnded, number=3, trunk="main", verdict="relayed", remote="udp 198.51.100.3:5060")
        >> received(PBX, ack()) << send(EDGES[2], "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(EDGES[2], "BYE")
        << recorded(CallEnded, trunk="main", first_choice="main", attempts=3)
        >> received(EDGES[2], answer(200))
    )  # fmt: skip
    assert book.line("main").trunk.health.state is State.UP
    book.done()


def test_an_address_to_which_we_have_no_way_says_nothing_of_the_next_one() -> None:
    """A machine without a route to one network of the carrier, or to one telephone of several."""
    book = several(2)
    doubt(book)
    assert (
        calling(book, EDGES[0])
        >> lost(target(EDGES[0]), "local: no route")
        << send(EDGES[1], "INVITE")
        << recorded(AttemptEnded, number=1, outcome="unreachable", reason="no route", verdict="next address")
    )
    assert evidence(book) == "nothing"
    assert book >> received(EDGES[1], answer(486)) << send(EDGES[1], "ACK") << send(PBX, 486)
    book.done()


def test_only_when_every_address_failed_is_it_evidence_against_the_trunk() -> None:
    book = several(2)
    assert (
        calling(book, EDGES[0])
        >> after(BOUND) << send(EDGES[1], "INVITE")
    )  # fmt: skip
    assert book.line("main").trunk.health.state is State.UP
    assert (
        book
        >> after(BOUND) << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, number=2, trunk="main", outcome="silent", verdict="next trunk")
    )  # fmt: skip
    assert book.line("main").trunk.health.state is State.SUSPECT


def test_the_next_call_begins_at_the_address_that_answers() -> None:
    book = several(2)
    assert calling(book, EDGES[0]) >> lost(target(EDGES[0])) << send(EDGES[1], "INVITE")
    assert book >> received(EDGES[1], answer(486)) << send(EDGES[1], "ACK") << send(PBX, 486) >> received(PBX, ack())
    assert calling(book, EDGES[1]) >> received(EDGES[1], answer(486)) << send(EDGES[1], "ACK") << send(PBX, 486)
    book.done()


def test_one_call_tries_a_few_addresses_and_then_the_backup() -> None:
    book = several(7)
    assert calling(book, EDGES[0])
    for n in range(1, IN_ONE_CALL):
        assert book >> lost(target(EDGES[n - 1])) << send(EDGES[n], "INVITE")
    assert book >> lost(target(EDGES[IN_ONE_CALL - 1])) << send(BACKUP, "INVITE")


@pytest.mark.parametrize("status", [404, 486, 500, 403, 408, 603])
def test_an_answer_about_the_call_does_not_go_to_another_address(status: int) -> None:
    book = several(2)
    then = send(BACKUP, "INVITE") if status in (403, 404, 408, 500) else send(PBX, status)
    assert calling(book, EDGES[0]) >> received(EDGES[0], answer(status)) << send(EDGES[0], "ACK") << then


def test_a_503_after_ringing_is_the_end_also_where_there_are_other_addresses() -> None:
    book = several(2)
    assert (
        calling(book, EDGES[0])
        >> received(EDGES[0], answer(180)) << send(PBX, 180)
        >> received(EDGES[0], answer(503)) << send(EDGES[0], "ACK") << send(PBX, 503)
    )  # fmt: skip


def test_no_ringing_is_no_question_of_the_address() -> None:
    """The edge has answered 100: what is silent is behind it, and behind the others too."""
    book = several(2)
    assert (
        calling(book, EDGES[0])
        >> received(EDGES[0], answer(100))
        >> after(NO_RINGING) << send(EDGES[0], "CANCEL") << send(BACKUP, "INVITE")
    )  # fmt: skip


# -- emergency calls --------------------------------------------------------------------------------------------------


def test_an_emergency_call_goes_first_where_the_location_is_known() -> None:
    book = office("emergency: {first: [third, backup]}", trunks=("main", "backup", "third"))
    assert (
        calling(book, THIRD, called="144")
        >> lost(target(THIRD)) << send(BACKUP, "INVITE")
        >> lost(target(BACKUP)) << send(MAIN, "INVITE")
    )  # fmt: skip


def test_health_goes_before_the_order_of_emergency_calls() -> None:
    book = office("emergency: {first: backup}")
    down(book, "backup")
    assert calling(book, MAIN, called="144")


def test_an_emergency_call_has_shorter_clocks_and_a_second_round_with_patience() -> None:
    """Whoever did not answer within 2 s, or did not ring within 8 s, is asked again, and then has its usual time."""
    book = office(trunks=("main", "backup"))
    assert (
        calling(book, called="118")
        >> after(2.0) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(100))
        >> after(8.0) << send(BACKUP, "CANCEL") << send(MAIN, "INVITE")
        >> received(BACKUP, answer(200, to="CANCEL"))
        >> received(BACKUP, answer(487, to="INVITE")) << send(BACKUP, "ACK")
        >> after(BOUND) << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(100))
        >> after(NO_RINGING - 0.5) >> received(BACKUP, answer(180)) << send(PBX, 180)
        >> received(BACKUP, answer(200)) << send(PBX, 200)
        << recorded(AttemptEnded, trunk="backup", number=4, verdict="relayed")
        >> received(PBX, ack()) << send(BACKUP, "ACK")
        >> received(PBX, bye()) << send(PBX, 200) << send(BACKUP, "BYE")
        >> received(BACKUP, answer(200))
    )  # fmt: skip
    book.done()


def test_an_emergency_call_does_not_ask_again_who_has_answered() -> None:
    book = office()
    assert (
        calling(book, called="118")
        >> received(MAIN, answer(404)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(500)) << send(BACKUP, "ACK") << send(PBX, 404)
        << recorded(CallEnded, attempts=2)
        >> received(PBX, ack())
    )  # fmt: skip
    book.done()


def test_an_emergency_call_that_nobody_takes_ends_after_two_rounds() -> None:
    book = office("failover: {no_ringing_within: 20s, give_up_after: 25s}")
    calling(book, called="118")
    for carrier, next_one, seconds in ((MAIN, BACKUP, 8.0), (BACKUP, MAIN, 8.0), (MAIN, BACKUP, 20.0)):
        assert (
            book
            >> received(carrier, answer(100))
            >> after(seconds) << send(carrier, "CANCEL") << send(next_one, "INVITE")
            >> received(carrier, answer(200, to="CANCEL"))
            >> received(carrier, answer(487, to="INVITE")) << send(carrier, "ACK")
        )  # fmt: skip
    assert (
        book
        >> received(BACKUP, answer(100))
        >> after(20.0) << send(BACKUP, "CANCEL") << send(PBX, 503)
        << recorded(CallEnded, result="trunk failed", attempts=4, emergency=True)
        >> received(PBX, ack())
        >> received(BACKUP, answer(487, to="INVITE")) << send(BACKUP, "ACK")
    )  # fmt: skip
    book.done()


@pytest.mark.parametrize("called", ["112", "117", "118", "142", "143", "144", "145", "147"])
@pytest.mark.parametrize("states", [*product(STATES, STATES)])
def test_every_emergency_number_goes_out_whatever_the_trunks_are(called: str, states: tuple[str, str]) -> None:
    """And so the second trunk is asked when the first fails, and the call is answered there."""
    book = office()
    for name, state in zip(("main", "backup"), states, strict=True):
        put(book, name, state)
    order = [MAIN, BACKUP] if badness(states[0]) <= badness(states[1]) else [BACKUP, MAIN]
    assert (
        calling(book, order[0], called=called)
        >> lost(target(order[0])) << send(order[1], "INVITE")
        >> received(order[1], answer(180)) << send(PBX, 180)
        >> received(order[1], answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(order[1], "ACK")
    )  # fmt: skip
    assert sent(book, order[1], "INVITE")[-1].uri.startswith(b"sip:%b@" % called.encode())


def put(book: Office, name: str, state: str) -> None:
    """Bring a trunk into a state."""
    trunk = book.line(name).trunk
    if state == "down":
        down(book, name)
    elif state == "full":
        trunk.channels, trunk.calls_now = 1, 1
    elif state == "off":
        trunk.order = type(trunk.order).OFF


def badness(state: str) -> int:
    return {"up": 0, "full": 0, "down": 1, "off": 2}[state]


# -- calls that come in -----------------------------------------------------------------------------------------------


def coming(book: Office, called: str = "+41443210019") -> Playbook:
    """The main trunk calls."""
    return book >> received(MAIN, invite(called, host="198.51.100.1:5060")) << send(MAIN, 100)


def test_a_pbx_that_let_one_call_unanswered_is_not_waited_for_again() -> None:
    book = office(probes="options_every: 1s, timeout: 500ms, down_after: 2")
    book.answers_probes = False
    assert book >> after(5.0)
    assert book.line("pbx").trunk.health.state is State.DOWN
    assert coming(book) << send(PBX, "INVITE") >> after(PBX_BOUND) << send(MAIN, 503) >> received(MAIN, ack())
    asked = len(sent(book, PBX, "INVITE"))
    assert coming(book) << send(MAIN, 503, has(retry_after=None)) >> received(MAIN, ack())
    assert len(sent(book, PBX, "INVITE")) == asked
    assert book >> after(DEAD_FOR)
    assert coming(book) << send(PBX, "INVITE")


def test_a_pbx_that_is_back_takes_calls_with_its_first_answer() -> None:
    book = office(probes="options_every: 1s, timeout: 500ms, down_after: 2")
    book.answers_probes = False
    assert book >> after(5.0)
    assert coming(book) << send(PBX, "INVITE") >> after(PBX_BOUND) << send(MAIN, 503) >> received(MAIN, ack())
    book.answers_probes = True
    assert book >> after(1.5)
    assert coming(book) << send(PBX, "INVITE") >> received(PBX, answer(180)) << send(MAIN, 180)
    assert book >> after(5.0)
    assert book.line("pbx").trunk.health.state in (State.UP, State.TRIAL)


OVERFLOW = "inbound: {overflow: +41791234567}"


def test_a_call_that_no_pbx_takes_goes_to_the_overflow_number_over_a_trunk() -> None:
    book = office(OVERFLOW, pbxs=("pbx", "pbx-2"))
    assert (
        coming(book) << send(PBX, "INVITE")
        >> lost(target(PBX)) << send(PBX2, "INVITE")
        >> lost(target(PBX2)) << send(MAIN, "INVITE", has(uri=b"sip:+41791234567@198.51.100.1:5060"))
        << logged("warning", "finds no PBX and goes to +41791234567")
        >> lost(target(MAIN)) << send(BACKUP, "INVITE", has(uri=b"sip:+41791234567@203.0.113.1:5060"))
        >> received(BACKUP, answer(180)) << send(MAIN, 180)
        >> received(BACKUP, answer(200)) << send(MAIN, 200)
        >> received(MAIN, ack()) << send(BACKUP, "ACK")
    )  # fmt: skip
    assert book.line("main").trunk.calls_now == 1
    assert book.line("backup").trunk.calls_now == 1
    assert (
        book
        >> received(BACKUP, bye(callee=True)) << send(BACKUP, 200) << send(MAIN, "BYE")
        << recorded(CallEnded, direction="inbound", result="answered", trunk="main", attempts=4, ended_by="called")
        >> received(MAIN, answer(200))
    )  # fmt: skip
    assert (book.line("main").trunk.calls_now, book.line("backup").trunk.calls_now) == (0, 0)
    book.done()


def test_a_pbx_that_is_busy_is_no_case_for_the_overflow() -> None:
    book = office(OVERFLOW)
    assert (
        coming(book) << send(PBX, "INVITE")
        >> received(PBX, answer(486)) << send(PBX, "ACK") << send(MAIN, 486)
        >> received(MAIN, ack())
    )  # fmt: skip
    book.done()


def test_a_caller_may_hang_up_while_the_overflow_number_rings() -> None:
    book = office(OVERFLOW)
    assert (
        coming(book) << send(PBX, "INVITE")
        >> lost(target(PBX)) << send(MAIN, "INVITE")
        >> received(MAIN, answer(180, to="INVITE")) << send(MAIN, 180)
        >> received(MAIN, cancel()) << send(MAIN, 200) << send(MAIN, "CANCEL") << send(MAIN, 487)
    )  # fmt: skip


# -- a carrier that refuses the caller's number -----------------------------------------------------------------------

OWN = "caller_id: +41315550000, number_format: e164, domain: main.example"


def fussy(more: str = "") -> Office:
    """The main trunk has a number of its own to show."""
    text = (
        f"pbx: {PBX.host}\nlisten: [udp 192.0.2.1:5060]\nmonitor: {{options_every: 1h}}\ntrunks:\n"
        f"  - {{name: main, host: {MAIN.host}, port: 5060, {OWN}}}\n"
        f"  - {{name: backup, host: {BACKUP.host}, port: 5060}}\n{more}"
    )
    book = Office(Engine(parse(text), Chance(2018), 0.0))
    for name, where in (("main", MAIN), ("backup", BACKUP), ("pbx", PBX)):
        assert book >> resolved(name, target(where))
    return book


def test_after_a_403_the_trunk_is_asked_once_more_with_its_own_number() -> None:
    book = fussy()
    assert (
        calling(book)
        >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(MAIN, "INVITE")
        << recorded(AttemptEnded, number=1, trunk="main", status=403, verdict="own number")
        << logged("info", "moves on from main to the same trunk with its own number")
        >> received(MAIN, answer(180, to="INVITE")) << send(PBX, 180)
        >> received(MAIN, answer(200, to="INVITE")) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    first, second = sent(book, MAIN, "INVITE")
    assert first.from_.uri == b"sip:+41441112233@main.example"
    assert second.from_.uri == b"sip:+41315550000@main.example"
    assert first.call_id != second.call_id
    assert book.line("main").trunk.health.state is State.UP


def test_a_second_403_is_the_trunks_answer_and_the_backup_is_asked_with_the_callers_number() -> None:
    book = fussy()
    assert (
        calling(book)
        >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(MAIN, "INVITE")
        >> received(MAIN, answer(403, to="INVITE")) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        << recorded(AttemptEnded, number=2, trunk="main", status=403, verdict="next trunk")
        >> received(BACKUP, answer(403)) << send(BACKUP, "ACK") << send(PBX, 403)
        >> received(PBX, ack())
    )  # fmt: skip
    assert sent(book, BACKUP, "INVITE")[0].from_.uri.startswith(b"sip:+41441112233@")
    book.done()


def test_a_caller_who_shows_the_trunks_own_number_already_has_nothing_else_to_show() -> None:
    book = fussy()
    data = invite("+41443210019").replace(b"+41441112233", b"+41315550000")
    assert calling(book, data=data) >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")


# -- numbers of emergency calls ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dialled", ["112", "0112", "+41112", "0041112", "*31#112", "#31#0112", "112#"])
def test_an_emergency_number_goes_out_bare_and_the_caller_is_shown(dialled: str) -> None:
    book = fussy()
    hidden = invite(dialled, headers=((b"privacy", b"id"),))
    assert calling(book, data=hidden) << logged("warning", "emergency call")
    asked = sent(book, MAIN, "INVITE")[0]
    assert asked.uri.startswith(b"sip:112@")
    assert asked.get(b"privacy") is None
    assert asked.from_.uri == b"sip:+41441112233@main.example"


# -- numbers of calls that come in ------------------------------------------------------------------------------------


def test_numbers_of_the_backup_ring_where_those_of_the_house_do() -> None:
    text = (
        f"pbx: {{host: {PBX.host}, number_format: national}}\nlisten: [udp 192.0.2.1:5060]\n"
        "monitor: {options_every: 1h}\ntrunks:\n"
        f"  - {{name: main, host: {MAIN.host}, port: 5060, inbound_format: plain,"
        " ddi: {+41315550000-9: +41443210000-9}}\n"
        f"  - {{name: backup, host: {BACKUP.host}, port: 5060}}\n"
    )
    book = Office(Engine(parse(text), Chance(2018), 0.0))
    for name, where in (("main", MAIN), ("backup", BACKUP), ("pbx", PBX)):
        assert book >> resolved(name, target(where))
    data = invite("41315550007", host="198.51.100.1:5060").replace(b"+41441112233", b"41791234567")
    assert (
        book
        >> received(MAIN, data)
        << send(MAIN, 100)
        << send(PBX, "INVITE", has(uri=b"sip:0443210007@192.0.2.10:5060"))
    )
    assert sent(book, PBX, "INVITE")[0].from_.uri.startswith(b"sip:0791234567@")
