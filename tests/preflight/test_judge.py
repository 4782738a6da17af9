"""What answers say besides their status, row by row."""

from collections.abc import Generator
from datetime import UTC, datetime, timedelta

import pytest

from sipfailover.chance import Chance
from sipfailover.flow import Target
from sipfailover.preflight import judge
from sipfailover.preflight.ask import options_question
from sipfailover.preflight.conversation import Question, Reply
from sipfailover.preflight.report import Result, Step
from sipfailover.profiles import Applied, Mark, Profile, Setting
from sipfailover.wire import Message
from tests.preflight.carrier import THERE, Desk, played

PUBLIC = "1.1.1.1"
"""An address that counts as public; nothing is sent there."""
WALL = datetime(2018, 1, 17, 10, 0, 0, tzinfo=UTC)


def ask(target: Target) -> Generator[Question, Reply, tuple[Question, Reply]]:
    question = options_question(target, b"carrier.example", None, Chance(3))
    return question, (yield question)


def heard(desk: Desk, target: Target = THERE, **changes: object) -> tuple[Question, Reply]:
    value, _ = played(ask(target), desk, **changes)
    question, reply = value
    return question, reply


# -- our address ------------------------------------------------------------------------------------------------------


def seen(
    sees: tuple[bytes, int] | None,
    *,
    local: str = "192.168.1.6",
    told: bytes = b"192.168.1.6:5060",
    public: frozenset[str] = frozenset(),
    there: str = PUBLIC,
    transport: str = "udp",
) -> Step:
    desk, target = Desk(), Target(transport, there, 5060, told, local)
    desk.sees = sees
    _, reply = heard(desk, target)
    step = judge.seen_from_there(reply, target, local, public)
    assert step is not None
    return step


def test_without_nat() -> None:
    step = seen((b"192.0.2.6", 5060), local="192.0.2.6", told=b"192.0.2.6:5060")
    assert (step.result, step.text) == (Result.GOOD, "seen at 192.0.2.6:5060, our own address: no NAT")
    assert step.facts["nat"] is False


def test_a_private_address_told_to_a_public_carrier_is_a_warning() -> None:
    step = seen((b"8.8.8.8", 5060))
    assert step.result is Result.WARNING
    assert step.text == "the carrier sees us at 8.8.8.8:5060, we say 192.168.1.6:5060: a private address, behind NAT"
    assert step.advice == "write public_address: 8.8.8.8"


def test_a_public_address_that_is_right() -> None:
    step = seen((b"8.8.8.8", 5060), told=b"8.8.8.8:5060", public=frozenset({"8.8.8.8"}))
    assert (step.result, step.facts["nat"]) == (Result.GOOD, True)


def test_a_public_address_written_as_a_name() -> None:
    step = seen((b"8.8.8.8", 5060), told=b"office.example:5060", public=frozenset({"8.8.8.8"}))
    assert step.result is Result.GOOD


def test_a_public_address_that_is_wrong() -> None:
    step = seen((b"8.8.8.8", 5060), told=b"8.8.4.4:5060", public=frozenset({"8.8.4.4"}))
    assert (step.result, step.advice) == (Result.WARNING, "write public_address: 8.8.8.8")


def test_a_nat_that_changes_the_port() -> None:
    step = seen((b"8.8.8.8", 61234), told=b"8.8.8.8:5060", public=frozenset({"8.8.8.8"}))
    assert step.result is Result.WARNING
    assert step.advice.startswith("forward UDP port 5060 of 8.8.8.8")


def test_over_tcp_the_port_means_nothing() -> None:
    step = seen((b"8.8.8.8", 61234), told=b"8.8.8.8:5060", public=frozenset({"8.8.8.8"}), transport="tcp")
    assert step.result is Result.GOOD


def test_a_carrier_in_the_same_private_network() -> None:
    assert seen((b"192.168.1.6", 5060), there="192.168.1.1").result is Result.GOOD


def test_a_carrier_that_does_not_say() -> None:
    assert seen(None).result is Result.WARNING
    assert seen(None, told=b"8.8.8.8:5060", public=frozenset({"8.8.8.8"})).result is Result.GOOD


def test_ipv6() -> None:
    step = seen((b"2001:db8::6", 5060), local="2001:db8::6", told=b"[2001:db8::6]:5060", there="2001:db8:1::1")
    assert (step.result, step.text) == (Result.GOOD, "seen at [2001:db8::6]:5060, our own address: no NAT")


# -- the way back -----------------------------------------------------------------------------------------------------


def test_an_answer_that_comes_back_as_it_should_is_no_news() -> None:
    assert judge.way_back(*heard(Desk())) is None


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        (b"UDP 192.168.1.6:5060", b"UDP 203.0.113.5:5060", "came back as 203.0.113.5:5060"),
        (b"UDP 192.168.1.6:5060", b"UDP 192.168.1.6:1024", "came back as 192.168.1.6:1024"),
        (b"branch=z9hG4bK", b"branch=z9hG4bKalg", "another branch"),
        (b"sip:ping@192.168.1.6:5060", b"sip:ping@203.0.113.5:5060", "came back as sip:ping@203.0.113.5:5060"),
        (b"From: <sip:ping@192.168.1.6:5060>", b"From: <ping>", "unreadable"),
    ],
)
def test_a_via_that_was_altered_is_an_alg(old: bytes, new: bytes, what: str) -> None:
    desk = Desk()
    desk.mangle = lambda answer: answer.replace(old, new)
    step = judge.way_back(*heard(desk))
    assert step is not None
    assert step.result is Result.WARNING
    assert what in step.text
    assert "ALG" in step.advice


def test_an_unwritten_default_port_is_no_alteration() -> None:
    desk = Desk()
    desk.mangle = lambda answer: answer.replace(b"UDP 192.168.1.6:5060", b"UDP 192.168.1.6")
    assert judge.way_back(*heard(desk)) is None


def test_an_answer_from_elsewhere_is_told() -> None:
    step = judge.way_back(*heard(Desk(), source=THERE.at("198.51.100.8", 5060)))
    assert step is not None
    assert step.text == "asked udp 198.51.100.7:5060, the answer came from udp 198.51.100.8:5060"
    assert "networks" in step.advice


# -- clock and pace ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("date", "text"),
    [
        (b"Wed, 17 Jan 2018 10:00:59 GMT", None),
        (b"Wed, 17 Jan 2018 10:02:00 GMT", "our clock is 120 s behind the carrier's"),
        (b"Wed, 17 Jan 2018 09:00:00 GMT", "our clock is 3600 s ahead of the carrier's"),
        (b"yesterday", None),
        (b"Wed, 99 Jan 2018 10:00:00 GMT", None),
        (b"", None),
    ],
)
def test_the_clock(date: bytes, text: str | None) -> None:
    desk = Desk()
    desk.options_headers = ((b"date", date),) if date else ()
    _, reply = heard(desk)
    step = judge.clock(reply.message, WALL)
    assert (step.text if step else None) == text


def test_a_date_without_a_zone_is_not_compared() -> None:
    message = Message(Desk().hear(options_question(THERE, b"h", None, Chance(1)).data)[0])
    assert judge.clock(message, WALL + timedelta(days=1)) is None


@pytest.mark.parametrize(("takes", "told"), [(0.02, False), (0.149, False), (0.16, True)])
def test_the_pace(takes: float, told: bool) -> None:
    _, reply = heard(Desk(), takes=takes)
    assert (judge.pace(reply) is not None) == told


def test_repetition_is_told() -> None:
    desk = Desk()
    hear, count = desk.hear, [0]

    def deaf_once(data: bytes) -> list[bytes]:
        count[0] += 1
        return hear(data) if count[0] > 1 else []

    desk.hear = deaf_once  # type: ignore[method-assign]
    step = judge.pace(heard(desk)[1])
    assert step is not None
    assert step.text == "the answer came after the request was sent 2 times"


def test_silence_says_nothing_else() -> None:
    desk = Desk()
    desk.options = 0
    question, reply = heard(desk)
    assert judge.pace(reply) is None
    assert judge.way_back(question, reply) is None
    assert judge.seen_from_there(reply, THERE, "192.168.1.6", frozenset()) is None
    assert judge.clock(None, WALL) is None


# -- neighbours -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("one", "other", "why"),
    [
        ("198.51.100.7", "198.51.100.7", "both at 198.51.100.7"),
        ("198.51.100.7", "198.51.100.250", "both in 198.51.100.0/24"),
        ("198.51.100.7", "198.51.101.7", ""),
        ("2001:db8::1", "2001:db8:0:ffff::1", "both in 2001:db8::/48"),
        ("2001:db8::1", "2001:db8:1::1", ""),
        ("2001:db8::1", "198.51.100.7", ""),
    ],
)
def test_neighbours(one: str, other: str, why: str) -> None:
    assert judge.too_near(one, other) == why
    assert judge.too_near(other, one) == why


# -- profiles ---------------------------------------------------------------------------------------------------------


def applied(**marks: Mark) -> Applied:
    settings = tuple(Setting(key, f"v-{key}", mark, "a source") for key, mark in marks.items())
    return Applied(Profile("acme", "Acme", "registers", "", "", (), settings), settings)


@pytest.mark.parametrize(
    ("marks", "works", "result", "text"),
    [
        ({"transport": Mark.CONFIRMED}, "", None, ""),
        ({"transport": Mark.GUESS}, "transport", Result.GOOD, "seen to work as acme guesses: transport: v-transport"),
        (
            {"transport": Mark.GUESS, "number_format": Mark.GUESS},
            "transport",
            Result.WARNING,
            "seen to work as acme guesses: transport: v-transport; "
            "acme guesses, not confirmed: number_format: v-number_format",
        ),
        ({"transport": Mark.GUESS}, "", Result.WARNING, "acme guesses, not confirmed: transport: v-transport"),
    ],
)
def test_guesses_of_a_profile(marks: dict[str, Mark], works: str, result: Result | None, text: str) -> None:
    step = judge.guesses(applied(**marks), frozenset(filter(None, [works])))
    assert (step.result if step else None) is result
    assert (step.text if step else "") == text
