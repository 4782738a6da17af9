"""Accounts at carriers: registration, challenges on calls and inside them, and calls that come to our Contact.

The carrier's side of digest is `tests.kit.digest.Doorman`, which computes from the RFC and counts nonces strictly.
"""

import pytest

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from sipfailover.wire import Message, compose
from tests.kit import (
    Playbook,
    Seen,
    ack,
    after,
    answer,
    bye,
    flow,
    invite,
    logged,
    received,
    send,
    sends_nothing,
    target,
)
from tests.kit.digest import Doorman
from tests.kit.playbook import Build, Check

PBX = flow("pbx", "192.0.2.10")
MAIN = flow("main", "198.51.100.1")
BACKUP = flow("backup", "203.0.113.1")
SETTINGS = """
pbx: 192.0.2.10
trunks:
  - {name: main, host: 198.51.100.1, domain: carrier.example, username: "+41443210000", auth_username: u7,
     password: geheim}
  - {name: backup, host: 203.0.113.1}
monitor: {options_every: 1h}
failover: {return_to_main: {stable_for: 1s}}
"""


def office(seed: int = 1) -> Playbook:
    engine = Engine(parse(SETTINGS), Chance(seed), 0.0)
    for name, peer in (("pbx", PBX), ("main", MAIN), ("backup", BACKUP)):
        engine.resolved(name, (target(peer),), 0.0)
        engine.core.lines[name].trunk.probe.mute = False  # they have answered OPTIONS before
    return Playbook(engine)


def door() -> Doorman:
    return Doorman(b"carrier", b"u7", b"geheim")


def challenge(doorman: Doorman, method: str, status: int = 407) -> Build:
    header = b"proxy-authenticate" if status == 407 else b"www-authenticate"
    return answer(status, to=method, headers=((header, doorman.challenge()),))


def lets_in(doorman: Doorman, header: bytes = b"proxy-authorization") -> Check:
    return lambda message: doorman.verdict(message.get(header), message.method, message.body) == "good"


def granted(expires: int = 120) -> Build:
    def build(seen: Seen) -> bytes:
        asked = seen.last("REGISTER")
        contact = (asked.get(b"contact") or b"") + b";expires=%d" % expires
        return compose.response(asked, 200, to_tag=b"reg", headers=((b"contact", contact),))

    return build


def registered(doorman: Doorman | None = None) -> Playbook:
    doorman = doorman or door()
    book = office()
    assert book >> after(5.0) << send(MAIN, "REGISTER", lambda m: m.uri == b"sip:carrier.example" and m.cseq == 1)
    assert (
        book
        >> received(MAIN, challenge(doorman, "REGISTER", 401))
        << send(MAIN, "REGISTER", lambda m: m.cseq == 2 and lets_in(doorman, b"authorization")(m))
        >> received(MAIN, granted())
    )
    return book


def story(book: Playbook) -> str:
    view = book.engine.view(book.now)  # type: ignore[attr-defined]
    return view.trunks[0].registration  # type: ignore[no-any-return]


def test_it_registers_with_its_account_and_says_so() -> None:
    book = registered()
    asked = book.seen(MAIN).last("REGISTER")
    assert asked.to.uri == asked.from_.uri == b"sip:+41443210000@carrier.example"
    assert story(book).startswith("Registered for")
    assert book >> after(60.0) << sends_nothing()  # 120 s are refreshed between 60 and 80
    assert book >> after(20.0) << send(MAIN, "REGISTER", lambda m: m.cseq == 3)


def test_a_refused_password_is_told_and_does_not_hammer() -> None:
    book, doorman = office(), door()
    assert book >> after(5.0) << send(MAIN, "REGISTER")
    assert book >> received(MAIN, challenge(doorman, "REGISTER", 401)) << send(MAIN, "REGISTER")
    assert book >> received(MAIN, challenge(doorman, "REGISTER", 401)) << sends_nothing()
    assert story(book).startswith("Failed for")
    assert book >> after(20.0) << sends_nothing()
    assert "geheim" not in story(book) + repr(book.engine.core.lines)  # type: ignore[attr-defined]


def test_a_call_answers_its_challenge_and_the_next_one_is_let_in_unasked() -> None:
    doorman = door()
    book = registered(doorman)
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE", lambda m: m.cseq == 1)
    first = book.seen(MAIN).last("INVITE")
    assert first.from_.uri == b"sip:+41441112233@carrier.example"
    assert first.uri == b"sip:+41443210019@carrier.example"
    assert (
        book
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK")
        << send(MAIN, "INVITE", lambda m: m.cseq == 2 and lets_in(doorman)(m))
    )
    again = book.seen(MAIN).last("INVITE")
    assert (again.call_id, again.from_tag, again.body) == (first.call_id, first.from_tag, first.body)
    assert again.via.branch != first.via.branch
    assert book >> received(MAIN, answer(180)) << send(PBX, 180) >> received(MAIN, answer(200)) << send(PBX, 200)
    shown = again.get(b"proxy-authorization")
    assert (
        book
        >> received(PBX, ack())
        << send(MAIN, "ACK", lambda m: m.cseq == 2 and m.get(b"proxy-authorization") == shown)
    )
    assert (
        book
        >> received(PBX, bye())
        << send(PBX, 200)
        << send(MAIN, "BYE", lambda m: m.cseq == 3 and lets_in(doorman)(m))
    )
    assert book >> received(MAIN, answer(200, to="BYE")) << sends_nothing()
    assert book >> received(PBX, invite("+41790000000")) << send(PBX, 100) << send(MAIN, "INVITE", lets_in(doorman))


def test_a_challenged_bye_and_reinvite_are_answered() -> None:
    book, doorman = registered(), door()
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100) << send(MAIN, "INVITE")
        >> received(MAIN, answer(200)) << send(PBX, 200)
        >> received(PBX, ack()) << send(MAIN, "ACK")
    )  # fmt: skip
    held = hold(book)
    assert book >> received(PBX, held) << send(PBX, 100) << send(MAIN, "INVITE", lambda m: m.cseq == 2)
    assert (
        book
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK")
        << send(MAIN, "INVITE", lambda m: m.cseq == 3 and lets_in(doorman)(m) and m.body == Message(held).body)
        >> received(MAIN, answer(200)) << send(PBX, 200)
    )  # fmt: skip
    doorman.expire()
    assert book >> received(PBX, bye(cseq=9)) << send(PBX, 200) << send(MAIN, "ACK") << send(MAIN, "BYE")
    fresh = answer(407, to="BYE", headers=((b"proxy-authenticate", doorman.challenge(stale=True)),))
    doorman.expired.discard(b"carrier-%d" % doorman.issued)
    assert book >> received(MAIN, fresh) << send(MAIN, "BYE", lets_in(doorman))
    assert book >> received(MAIN, answer(200, to="BYE")) << sends_nothing()
    assert book >> after(40.0)
    assert not book.engine.core.legs  # type: ignore[attr-defined]


def hold(book: Playbook) -> bytes:
    asked, final = book.seen(PBX).given("INVITE"), book.seen(PBX).last(200)
    return compose.request(
        b"INVITE",
        final.contact.uri if final.contact is not None else b"",
        via=b"SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKhold;rport",
        from_=asked.get(b"from") or b"",
        to=final.get(b"to") or b"",
        call_id=asked.call_id,
        cseq=asked.cseq + 1,
        contact=b"<sip:+41441112233@192.0.2.10:5060>",
        headers=((b"content-type", b"application/sdp"),),
        body=asked.body + b"a=sendonly\r\n",
    )


def test_a_call_that_is_not_let_in_goes_to_the_backup_and_is_never_asked_for_a_password_by_us() -> None:
    book, doorman = registered(), Doorman(b"carrier", b"u7", b"another")
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, challenge(doorman, "INVITE")) << send(MAIN, "ACK") << send(MAIN, "INVITE")
    assert (
        book
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK")
        << send(
            BACKUP, "INVITE", lambda m: not m.lines(b"proxy-authorization") and m.from_.uri.endswith(b"192.0.2.10:5060")
        )
    )


def test_a_cancelled_call_is_cancelled_where_it_is_after_its_challenge() -> None:
    book, doorman = registered(), door()
    invited = invite()
    assert book >> received(PBX, invited) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, challenge(doorman, "INVITE")) << send(MAIN, "ACK") << send(MAIN, "INVITE")
    again = book.seen(MAIN).last("INVITE")
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    assert (
        book
        >> received(PBX, compose.cancel(Message(invited)))
        << send(PBX, 200) << send(PBX, 487)
        << send(MAIN, "CANCEL", lambda m: m.via.branch == again.via.branch and m.cseq == again.cseq)
    )  # fmt: skip


def test_a_silent_trunk_after_its_challenge_is_given_up_like_any_other() -> None:
    book, doorman = registered(), door()
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, challenge(doorman, "INVITE")) << send(MAIN, "ACK") << send(MAIN, "INVITE")
    assert book >> after(5.0) << send(BACKUP, "INVITE")


def test_a_call_to_our_registered_contact_goes_to_the_number_in_to() -> None:
    book = registered()
    contact = book.seen(MAIN).last("REGISTER").contact
    assert contact is not None
    asked = invite("+41443210000", host="198.51.100.1:5060").replace(
        b"INVITE sip:+41443210000@192.0.2.1:5060", b"INVITE " + contact.uri
    )
    assert (
        book
        >> received(MAIN, asked)
        << send(MAIN, 100)
        << send(PBX, "INVITE", lambda m: m.uri == b"sip:+41443210000@192.0.2.10:5060")
    )


def test_the_contact_is_the_same_after_a_restart() -> None:
    first, second = office(1), office(2)
    for book in (first, second):
        assert book >> after(5.0) << send(MAIN, "REGISTER")
    assert first.seen(MAIN).last("REGISTER").contact == second.seen(MAIN).last("REGISTER").contact


@pytest.mark.parametrize(
    ("uri", "told"),
    [
        (b"sip:anonymous@anonymous.invalid", b"sip:anonymous@anonymous.invalid"),
        (b"tel:+41441112233", b"sip:+41441112233@carrier.example;user=phone"),  # carriers answer 403 to tel
    ],
)
def test_a_caller_who_is_nobody_stays_so_and_a_bare_number_lives_at_the_carrier(uri: bytes, told: bytes) -> None:
    book = registered()
    asked = invite().replace(b"<sip:+41441112233@192.0.2.10:5060>;tag", b"<" + uri + b">;tag")
    assert book >> received(PBX, asked) << send(PBX, 100) << send(MAIN, "INVITE", lambda m: m.from_.uri == told)


def test_a_nonce_is_used_ahead_as_soon_as_it_rings() -> None:
    book, doorman = registered(), door()
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, challenge(doorman, "INVITE")) << send(MAIN, "ACK") << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)
    assert book >> received(PBX, invite("+41790000000")) << send(PBX, 100) << send(MAIN, "INVITE", lets_in(doorman))


def test_what_the_registrar_was_shown_is_not_shown_to_whom_we_call() -> None:
    doorman = door()
    book = registered(doorman)
    assert (
        book
        >> received(PBX, invite())
        << send(PBX, 100) << send(MAIN, "INVITE", lambda m: not m.lines(b"authorization"))
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK")
        << send(MAIN, "INVITE", lambda m: not m.lines(b"authorization") and len(m.lines(b"proxy-authorization")) == 1)
    )  # fmt: skip


def test_a_password_that_was_refused_is_not_shown_again_by_calls_until_a_register_gets_through() -> None:
    book, doorman = office(), door()
    book.engine.core.lines["main"].trunk.probe.mute = True  # its OPTIONS tell nothing here
    assert book >> after(5.0) << send(MAIN, "REGISTER")
    assert book >> received(MAIN, challenge(doorman, "REGISTER", 401)) << send(MAIN, "REGISTER")
    assert book >> received(MAIN, challenge(doorman, "REGISTER", 401)) << sends_nothing()
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    assert (
        book
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> received(BACKUP, answer(486)) << send(BACKUP, "ACK") << send(PBX, 486)
        >> received(PBX, ack())
    )  # fmt: skip
    assert book >> after(34.0) << send(MAIN, "REGISTER")  # the slow lane
    assert book >> received(MAIN, challenge(doorman, "REGISTER", 401)) << send(MAIN, "REGISTER")
    assert book >> received(MAIN, granted())
    assert book >> received(PBX, invite("+41790000000")) << send(PBX, 100) << send(MAIN, "INVITE")
    assert (
        book
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK")
        << send(MAIN, "INVITE", lets_in(doorman))
    )


def test_calls_show_a_refused_password_once_and_say_so_once() -> None:
    book, doorman = registered(), Doorman(b"carrier", b"u7", b"another")
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, challenge(doorman, "INVITE")) << send(MAIN, "ACK") << send(MAIN, "INVITE")
    assert (
        book
        >> received(MAIN, challenge(doorman, "INVITE"))
        << send(MAIN, "ACK")
        << send(BACKUP, "INVITE")
        << logged("error", "does not let us call")
    )
    assert book >> received(PBX, invite("+41790000000")) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, challenge(doorman, "INVITE")) << send(MAIN, "ACK") << send(BACKUP, "INVITE")


def test_a_carrier_that_answers_again_is_registered_with_at_once() -> None:
    book = registered()  # nobody answers OPTIONS now
    assert (
        book
        >> received(MAIN, answer(200, to="OPTIONS"))
        >> after(0.1) << send(MAIN, "REGISTER", lambda m: m.cseq == 3)
    )  # fmt: skip
    assert book >> received(MAIN, granted()) >> after(40.0) << sends_nothing()


def test_a_call_that_is_refused_with_403_makes_us_register_but_not_each_time() -> None:
    book = registered()
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")
    assert (
        book
        >> received(MAIN, answer(403))
        << send(MAIN, "ACK") << send(BACKUP, "INVITE")
        >> after(0.1) << send(MAIN, "REGISTER", lambda m: m.cseq == 3)
        >> received(MAIN, granted())
    )  # fmt: skip
    assert book >> received(PBX, invite("+41790000000")) << send(PBX, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(403)) << send(MAIN, "ACK") << send(BACKUP, "INVITE")
    assert book >> after(1.0) << sends_nothing()
