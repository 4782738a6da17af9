"""OPTIONS: what is sent, and what each kind of answer is worth."""

import pytest

from sipfailover.chance import Chance
from sipfailover.flow import Target
from sipfailover.preflight.ask import options, options_question
from sipfailover.preflight.report import Result, Step
from sipfailover.wire import Message
from tests.preflight.carrier import HERE, THERE, Desk, played


def asked(desk: Desk, **changes: object) -> Step:
    steps: list[Step] = []
    (question, reply), _ = played(options(THERE, b"carrier.example", None, Chance(2), steps.append), desk, **changes)
    assert question.to == THERE
    assert (reply.message is None) == (steps[0].facts.get("status") is None)
    (step,) = steps
    return step


def test_it_is_addressed_as_in_service() -> None:
    message = Message(options_question(THERE, b"carrier.example", 5070, Chance(2)).data)
    assert message.uri == b"sip:carrier.example:5070"
    assert message.via.sent_by == HERE
    assert message.via.rport == b""


@pytest.mark.parametrize("transport", ["tcp", "tls"])
def test_contact_names_the_transport(transport: str) -> None:
    target = Target(transport, "198.51.100.7", 5060, HERE)
    message = Message(options_question(target, b"2001:db8::1", None, Chance(2)).data)
    assert message.uri == b"sip:[2001:db8::1]"
    assert message.contact is not None
    assert message.contact.uri.endswith(b";transport=" + transport.encode())


@pytest.mark.parametrize(
    ("status", "result"),
    [
        (200, Result.GOOD),
        (401, Result.GOOD),
        (403, Result.GOOD),
        (404, Result.GOOD),
        (405, Result.GOOD),
        (408, Result.WARNING),
        (500, Result.WARNING),
        (503, Result.FAILED),
        (505, Result.FAILED),
    ],
)
def test_what_a_status_is_worth(status: int, result: Result) -> None:
    desk = Desk()
    desk.options = status
    step = asked(desk)
    assert step.result is result
    assert step.text.startswith(f"udp 198.51.100.7:5060: {status} ")
    assert step.text.endswith(" from Desk 1.0")
    assert bool(step.advice) == (result is not Result.GOOD)


def test_a_closed_port_is_told_with_what_to_do() -> None:
    step = asked(Desk(), refuses="refused")
    assert (step.result, step.text) == (Result.FAILED, "udp 198.51.100.7:5060: the port is closed")
    assert "host, port and transport" in step.advice


def test_a_missing_route_is_told_with_what_to_do() -> None:
    step = asked(Desk(), refuses="local: no route")
    assert step.text == "udp 198.51.100.7:5060: this machine has no route to it"


def test_a_word_that_is_not_known_is_shown_as_it_is() -> None:
    assert asked(Desk(), refuses="local: odd").text == "udp 198.51.100.7:5060: local: odd"


def test_silence_is_told_with_how_often_it_was_tried() -> None:
    desk = Desk()
    desk.options = 0
    step = asked(desk)
    assert step.text == "udp 198.51.100.7:5060: no answer within 3.9 s, sent 4 times"
    assert "firewall" in step.advice


def test_control_characters_of_a_server_are_not_shown() -> None:
    desk = Desk()
    desk.options_headers = ((b"server", b"a\x1b[31mb" + b"x" * 200),)
    text = asked(desk).text
    assert "\x1b" not in text
    assert len(text) < 140
