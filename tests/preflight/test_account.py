"""REGISTER: what is asked, granted, refused, who else is there, and away again."""

from collections.abc import Callable

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.preflight.account import Held, leave, register
from sipfailover.preflight.report import Result, Step
from sipfailover.proxy import Account, trunk_lines
from tests.preflight.carrier import HERE, THERE, Desk, World, played

SETTINGS = """
pbx: 192.168.1.5
trunks:
  - {name: main, host: carrier.example, username: "+41443210000", auth_username: u4711%s}
"""


def account_of(more: str = ", password: secret") -> Account:
    (line,) = trunk_lines(parse(SETTINGS % more), Chance(4), 0.0)
    assert line.account is not None
    return line.account


class Tried:
    """One try to register."""

    def __init__(self, desk: Desk, more: str = ", password: secret", realm: str = "", **changes: object) -> None:
        self.steps: list[Step] = []
        self.desk = desk
        self.account = account_of(more)
        self.held: Held | None
        self.world: World
        script = register(self.account, THERE, realm, Chance(5), self.steps.append)
        self.held, self.world = played(script, desk, **changes)

    def __getitem__(self, name: str) -> Step:
        (step,) = [step for step in self.steps if step.name == name]
        return step

    def leave(self) -> Step:
        assert self.held is not None
        played(leave(self.held, self.account, THERE, Chance(6), self.steps.append), self.desk)
        return self.steps[-1]


def test_a_good_account_is_registered_and_removed_again() -> None:
    tried = Tried(Desk())
    assert [step.name for step in tried.steps] == ["challenge", "REGISTER"]
    assert tried["challenge"].text == '401 Unauthorized: realm "carrier.example", MD5, qop auth'
    assert tried["REGISTER"].result is Result.GOOD
    assert tried["REGISTER"].text == "200 OK: registered for 120 s, asked for 300 s"
    assert tried["REGISTER"].facts["granted"] == 120
    assert tried.desk.bound == {b"sip:%b@%b" % (tried.account.token, HERE)}, "the Contact that the service registers"
    assert tried.leave().result is Result.GOOD
    assert tried.desk.bound == set()
    registers = tried.desk.heard
    assert [message.cseq for message in registers] == [1, 2, 3]
    assert len({message.call_id for message in registers}) == 1
    assert b"*" not in (registers[-1].get(b"contact") or b""), "never the others'"
    assert b"secret" not in b"".join(data for _, _, data in tried.world.sent)


@pytest.mark.parametrize("algorithm", [b"SHA-256", b"SHA-512-256", b"MD5-sess"])
def test_other_algorithms_are_named(algorithm: bytes) -> None:
    tried = Tried(Desk(extra=b', algorithm=%b, qop="auth,auth-int"' % algorithm))
    assert tried["challenge"].facts["algorithms"] == [algorithm.decode()]
    assert tried["challenge"].text.endswith("qop auth, auth-int")
    assert tried["REGISTER"].result is Result.GOOD


def test_a_wrong_password_is_tried_once() -> None:
    tried = Tried(Desk(password=b"other"))
    assert tried.held is None
    assert tried["REGISTER"].result is Result.FAILED
    assert "refuses user name or password" in tried["REGISTER"].text
    assert "check username, auth_username and password" in tried["REGISTER"].advice
    assert len(tried.desk.heard) == 2, "one without and one with the password"


def test_a_realm_that_does_not_fit_is_told_and_gets_no_password() -> None:
    tried = Tried(Desk(), ", password: secret, realm: elsewhere", "elsewhere")
    assert tried["challenge"].result is Result.FAILED
    assert tried["challenge"].text.endswith('; the settings have realm "elsewhere"')
    assert tried["challenge"].advice == "write realm: carrier.example, or leave realm out"
    assert tried["REGISTER"].result is Result.FAILED
    assert [message.get(b"authorization") for message in tried.desk.heard] == [None]


def test_a_realm_that_fits_is_good() -> None:
    tried = Tried(Desk(), ", password: secret, realm: carrier.example", "carrier.example")
    assert tried["challenge"].result is Result.GOOD
    assert tried["REGISTER"].result is Result.GOOD


def test_a_missing_password_is_told() -> None:
    tried = Tried(Desk(), "")
    assert tried["REGISTER"].result is Result.FAILED
    assert tried["REGISTER"].advice.startswith("write password")


def test_a_challenge_that_we_cannot_answer_is_told() -> None:
    tried = Tried(Desk(extra=b', algorithm=SHA-3, qop="auth"'))
    assert tried["challenge"].result is Result.FAILED
    assert tried["REGISTER"].result is Result.FAILED
    assert len(tried.desk.heard) == 1


@pytest.mark.parametrize(
    ("status", "advice"),
    [(403, "barred"), (404, "does not know the account"), (405, "register: no"), (503, "out of service"), (500, "ask")],
)
def test_refusals_are_told_with_what_to_do(status: int, advice: str) -> None:
    desk = Desk()
    desk.register = status
    tried = Tried(desk)
    assert tried.held is None
    assert tried["REGISTER"].result is Result.FAILED
    assert tried["REGISTER"].text.startswith(str(status))
    assert advice in tried["REGISTER"].advice


def test_an_answer_without_our_binding_is_no_registration() -> None:
    desk = Desk()
    desk.others = [b"<sip:other@203.0.113.9>;expires=100"]
    say = desk.say

    def without_ours(asked, status, headers=()):  # type: ignore[no-untyped-def]
        return say(asked, status, [(b"contact", desk.others[0])] if status == 200 else headers)

    desk.say = without_ours  # type: ignore[method-assign]
    tried = Tried(desk)
    assert tried["REGISTER"].text == "200 OK to REGISTER without our binding"
    assert "ALG" in tried["REGISTER"].advice


def test_a_reason_phrase_cannot_move_the_cursor() -> None:
    desk = Desk()
    desk.register = 403
    desk.mangle = lambda answer: answer.replace(b"403 Forbidden", b"403 \x1b[2JForbidden")
    assert Tried(desk)["REGISTER"].text == "403 ?[2JForbidden to REGISTER"


def test_silence_is_told() -> None:
    desk = Desk()
    desk.register = 0
    tried = Tried(desk)
    assert tried["REGISTER"].text == "no answer within 3.9 s"
    assert tried.held is None


def test_a_lost_connection_is_told() -> None:
    assert Tried(Desk(), refuses="reset")["REGISTER"].text == "the connection was reset"


def test_a_registrar_that_asks_for_nothing_is_a_warning() -> None:
    desk = Desk()
    desk.asks = False
    tried = Tried(desk)
    assert tried["challenge"].result is Result.WARNING
    assert tried.held is not None


def test_too_brief_is_asked_again_with_what_is_wanted() -> None:
    desk = Desk()
    desk.min_expires = desk.expires = 600
    tried = Tried(desk)
    assert tried["expires"].result is Result.WARNING
    assert tried["expires"].advice == "write register_expires: 600s"
    assert tried["REGISTER"].text == "200 OK: registered for 600 s"


def test_a_registrar_that_never_ends_ends() -> None:
    desk = Desk()
    desk.min_expires = 301
    hear: Callable[[bytes], list[bytes]] = desk.hear

    def ever_more(data: bytes) -> list[bytes]:
        desk.min_expires += 1
        return hear(data)

    desk.hear = ever_more  # type: ignore[method-assign]
    desk.asks = False
    tried = Tried(desk)
    assert tried["REGISTER"].result is Result.FAILED
    assert len(desk.heard) == 6


def test_others_on_the_account_are_told() -> None:
    desk = Desk()
    desk.others = [b"<sip:other@203.0.113.9>;expires=100", b"<sip:third@203.0.113.10>"]
    step = Tried(desk)["contact"]
    assert step.result is Result.WARNING
    assert step.text == "others are registered on this account: sip:other@203.0.113.9, sip:third@203.0.113.10"


def test_an_older_registration_of_ours_is_told() -> None:
    desk = Desk()
    desk.others = [b"<sip:%b@203.0.113.9>;expires=100" % account_of().token]
    step = Tried(desk)["contact"]
    assert step.text.startswith("older registrations of ours: ")
    assert "clear_old_registrations" in step.advice


def test_a_contact_that_was_rewritten_is_told() -> None:
    desk = Desk()
    desk.rewrite = lambda contact: contact.replace(b"192.168.1.6", b"203.0.113.5")
    tried = Tried(desk)
    assert "rewrites" in tried["contact"].text
    assert tried["REGISTER"].result is Result.GOOD


def test_routes_path_and_identities_are_shown() -> None:
    desk = Desk()
    desk.register_headers = (
        (b"service-route", b"<sip:edge.example;lr>"),
        (b"path", b"<sip:p.example;lr>"),
        (b"p-associated-uri", b"<sip:+41443210000@carrier.example>, <tel:+41443210000>"),
    )
    tried = Tried(desk)
    assert tried["service-route"].text == "Service-Route: <sip:edge.example;lr>"
    assert tried["path"].text == "Path: <sip:p.example;lr>"
    assert tried["identities"].facts["values"] == ["<sip:+41443210000@carrier.example>", "<tel:+41443210000>"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_comes_back_nothing_breaks(seed: int) -> None:
    chance = Chance(seed)

    def scratched(answer: bytes) -> bytes:
        data = bytearray(answer)
        for _ in range(6):
            data[int(chance.dice() * len(data))] = int(chance.dice() * 256)
        return bytes(data)

    desk = Desk()
    desk.others = [b"<sip:other@203.0.113.9>;expires=100"]
    desk.register_headers = ((b"service-route", b"<sip:edge.example;lr>"), (b"date", b"Wed, 17 Jan 2018 10:00:00 GMT"))
    desk.mangle = scratched
    tried = Tried(desk)
    assert tried.steps
    assert all(step.text.isprintable() for step in tried.steps)


def test_a_registration_that_cannot_be_removed_is_a_warning() -> None:
    desk = Desk()
    tried = Tried(desk)
    desk.keeps_bindings = True
    step = tried.leave()
    assert step.result is Result.WARNING
    assert step.text.startswith("the registration could not be removed: 500")
    assert step.advice == "it ends by itself within 120 s"


def test_a_silent_registrar_keeps_nobody_waiting_at_the_end() -> None:
    desk = Desk()
    tried = Tried(desk)
    desk.register = 0
    assert tried.leave().text == "the registration could not be removed: no answer within 3.9 s"
