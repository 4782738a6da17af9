"""A test call: whom it never calls, how it is shaped, and what is said of each way in which it ends."""

from collections.abc import Callable

import pytest

from sipfailover.chance import Chance
from sipfailover.config import Settings, parse
from sipfailover.preflight.call import PBX, OneCall, objection, shown_number
from sipfailover.preflight.report import Result, Step
from sipfailover.wire import Message
from tests.preflight.carrier import THERE, Desk, World

SETTINGS = """
pbx: 192.168.1.5
numbering: {outside_line: "8"}
trunks:
  - {name: main, host: carrier.example%s}
  - {name: backup, host: 203.0.113.1}
"""
NUMBER = "+41 44 321 00 00"
ACCOUNT = ', username: "+41443219999", auth_username: u4711, password: secret'


def settings_with(more: str = "") -> Settings:
    return parse(SETTINGS % more)


class Called:
    """A test call from its beginning to its end."""

    def __init__(self, desk: Desk, more: str = "", caller: str = "", **changes: object) -> None:
        settings = settings_with(more)
        self.desk = desk
        self.call = OneCall(settings, settings.trunks[0], THERE, NUMBER, caller, Chance(7), 100.0)
        self.world = World(self.call, desk)
        for name, value in changes.items():
            setattr(self.world, name, value)
        self.world.run(lambda: self.call.over)

    @property
    def step(self) -> Step:
        return self.call.step()

    def sent(self, method: bytes) -> list[Message]:
        return [one for one in (Message(data) for _, _, data in self.world.sent) if one.method == method]

    @property
    def took(self) -> float:
        return self.world.now - 100.0


# -- whom it never calls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", ["112", "117", "118", "144", "147", "911", "1414", "1 1 2", "143"])
@pytest.mark.parametrize("form", ["%s", "0%s", "8%s", "9%s", "80%s", "+41%s", "0041%s", "80041%s", "41%s"])
def test_emergency_numbers_are_refused_in_every_form(number: str, form: str) -> None:
    assert "emergency" in objection(form % number, settings_with())


def test_numbers_of_the_settings_are_refused_too() -> None:
    settings = settings_with().model_copy(update={})
    emergency = settings.emergency.model_copy(update={"numbers": ("7777",)})
    settings = settings.model_copy(update={"emergency": emergency})
    assert "emergency" in objection("7777", settings)
    assert objection("7777", settings_with()) == ""
    assert "emergency" in objection("112", settings), "whatever the settings say"


@pytest.mark.parametrize("number", ["", "hallo", "+", "12a", "sip:x@y", "1" * 30, "112@carrier"])
def test_what_is_no_number_is_refused(number: str) -> None:
    assert "is not a telephone number" in objection(number, settings_with())


def test_short_numbers_are_refused() -> None:
    assert "short" in objection("161", settings_with())


@pytest.mark.parametrize("number", [NUMBER, "0443210000", "0041443210000", "+41 79 112 11 12", "*21#"])
def test_telephones_are_called(number: str) -> None:
    assert objection(number, settings_with()) == ""


# -- how it is shaped -------------------------------------------------------------------------------------------------


def test_the_invite_is_the_engines_with_an_inactive_offer() -> None:
    called = Called(Desk(), ", domain: sip.carrier.example")
    (invite,) = called.sent(b"INVITE")
    assert invite.uri == b"sip:+41443210000@sip.carrier.example"
    assert invite.via.sent_by == THERE.sent_by
    assert invite.contact is not None
    assert invite.contact.uri.endswith(b"@" + THERE.sent_by)
    assert b"a=inactive" in invite.body
    assert b"c=IN IP4 192.168.1.6" in invite.body
    assert PBX.host.encode() not in b"".join(data for _, _, data in called.world.sent)


@pytest.mark.parametrize(
    ("more", "caller", "shown"),
    [
        ("", "", "anonymous"),
        (ACCOUNT + ", register: no", "", "+41443219999"),
        (', caller_id: "+41443218888"' + ACCOUNT + ", register: no", "", "+41443218888"),
        (', allowed_caller_ids: "+41443210010-19"', "", "+41443210010"),
        (', caller_id: "+41443218888"', "+41 44 321 77 77", "+41443217777"),
    ],
)
def test_the_number_that_is_shown(more: str, caller: str, shown: str) -> None:
    (invite,) = Called(Desk(), more, caller).sent(b"INVITE")
    assert invite.from_.uri.startswith(b"sip:" + shown.encode() + b"@")
    if not caller:
        assert shown_number(settings_with(more).trunks[0]) == shown


def test_only_this_trunk_is_asked() -> None:
    called = Called(Desk())
    assert {to.host for _, to, _ in called.world.sent} == {THERE.host}


def test_a_trunk_that_registers_is_registered_first() -> None:
    called = Called(Desk(), ACCOUNT)
    methods = [method for method in called.desk.methods() if method != "OPTIONS"]
    assert methods[:3] == ["REGISTER", "REGISTER", "INVITE"]
    assert called.step.result is Result.GOOD


# -- how it ends ------------------------------------------------------------------------------------------------------


def test_it_is_given_up_as_soon_as_it_rings() -> None:
    called = Called(Desk())
    assert called.step.result is Result.GOOD
    assert called.step.text == (
        "100 Trying after 10 ms, 180 Ringing after 10 ms, 487 Request Terminated after 20 ms: given up"
    )
    assert called.desk.methods()[-3:] == ["INVITE", "CANCEL", "ACK"]
    assert called.took < 3.0


def test_somebody_who_answers_at_once_is_hung_up_at_once() -> None:
    desk = Desk()
    desk.call = (200,)
    called = Called(desk)
    assert called.desk.methods()[-3:] == ["INVITE", "ACK", "BYE"]
    assert called.step.result is Result.GOOD
    assert called.step.text == "200 OK after 10 ms: answered and hung up"


def test_the_call_is_hung_up_where_its_dialog_leads() -> None:
    desk = Desk()
    desk.call, desk.contact = (200,), b"<sip:callee@198.51.100.99:5070>"
    called = Called(desk)
    places = {Message(data).method: (to.host, to.port) for _, to, data in called.world.sent}
    assert places[b"ACK"] == places[b"BYE"] == ("198.51.100.99", 5070)
    assert called.step.result is Result.GOOD


def test_old_registrations_are_left_alone() -> None:
    desk = Desk()
    Called(desk, ACCOUNT + ", clear_old_registrations: yes, unregister_at_stop: yes")
    assert not [message for message in desk.heard if message.get(b"contact") == b"*"]


def test_a_carrier_that_says_the_same_for_ever_is_not_kept_for_ever() -> None:
    desk = Desk()
    desk.call = (100, *[183] * 100)
    assert len(Called(desk).call.heard) <= 64


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_hung_up() -> None:
    desk = Desk()
    desk.obeys_cancel = False
    hear = desk.hear

    def crossing(data: bytes) -> list[bytes]:
        answers = hear(data)
        if Message(data).method == b"CANCEL":
            invite = next(one for one in reversed(desk.heard) if one.method == b"INVITE")
            answers.append(desk.say(invite, 200))
        return answers

    desk.hear = crossing  # type: ignore[method-assign]
    called = Called(desk)
    assert desk.methods()[-4:] == ["INVITE", "CANCEL", "ACK", "BYE"]
    assert called.step.result is Result.GOOD


def test_a_carrier_that_does_not_obey_cancel_is_told() -> None:
    desk = Desk()
    desk.obeys_cancel = False
    called = Called(desk)
    assert called.step.result is Result.WARNING
    assert called.step.text.endswith("given up, but the carrier did not end it")
    assert called.took < 10.0


def test_trying_and_then_nothing_has_failed() -> None:
    desk = Desk()
    desk.call = (100,)
    called = Called(desk)
    assert called.step.result is Result.FAILED
    assert "no ringing within 10 s" in called.step.text
    assert called.took < 16.0
    assert len(called.sent(b"CANCEL")) >= 1


def test_silence_has_failed() -> None:
    desk = Desk()
    desk.call = ()
    called = Called(desk)
    assert (called.step.result, called.step.text) == (Result.FAILED, "no answer at all to INVITE")
    assert called.took < 16.0


def test_a_closed_port_has_failed_at_once() -> None:
    called = Called(Desk(), refuses="refused")
    assert called.step.result is Result.FAILED
    assert called.took < 3.0


@pytest.mark.parametrize(
    ("status", "result", "word"),
    [
        (486, Result.GOOD, "ended"),
        (603, Result.GOOD, "ended"),
        (404, Result.WARNING, "number_format"),
        (484, Result.WARNING, "number_format"),
        (403, Result.FAILED, "--caller"),
        (503, Result.FAILED, "ask it"),
        (500, Result.FAILED, "ask it"),
        (488, Result.FAILED, "ask it"),
    ],
)
def test_what_a_final_answer_is_worth(status: int, result: Result, word: str) -> None:
    desk = Desk()
    desk.call = (100, status)
    called = Called(desk)
    assert called.step.result is result
    assert word in called.step.text + called.step.advice
    assert len(called.sent(b"INVITE")) == 1


def test_a_challenge_is_answered_and_told() -> None:
    desk = challenging(Desk())
    called = Called(desk, ACCOUNT + ", register: no")
    assert called.step.result is Result.GOOD
    assert called.step.text.startswith("407 Proxy Authentication Required after 10 ms, 100 Trying after ")
    assert [invite.cseq for invite in called.sent(b"INVITE")] == [1, 2]


def test_a_challenge_that_is_not_satisfied_has_failed() -> None:
    called = Called(challenging(Desk(password=b"other")), ACCOUNT + ", register: no")
    assert called.step.result is Result.FAILED
    assert called.step.text.endswith("and no further")
    assert len(called.sent(b"INVITE")) == 2, "the password is tried once"


def challenging(desk: Desk) -> Desk:
    hear: Callable[[bytes], list[bytes]] = desk.hear

    def ask(data: bytes) -> list[bytes]:
        asked = Message(data)
        if asked.method != b"INVITE":
            return hear(data)
        desk.heard.append(asked)
        verdict = desk.door.verdict(asked.get(b"proxy-authorization"), b"INVITE", asked.body)
        if verdict == "good":
            return [desk.say(asked, status) for status in desk.call]
        return [desk.say(asked, 407, ((b"proxy-authenticate", desk.door.challenge()),))]

    desk.hear = ask  # type: ignore[method-assign]
    return desk
