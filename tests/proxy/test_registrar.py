"""PBXs that register with us: challenged, known, called where they are, gone when they do not come again.

The telephone's side of digest is computed by `tests.kit.digest`, which knows the RFC and nothing of ours.
"""

import random
import re
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

import pytest

from sipfailover.chance import Chance
from sipfailover.flow import Flow, Target
from sipfailover.proxy import Command, Engine, Forget, Keep, Log, Send
from sipfailover.proxy.bindings import BINDINGS_MAX
from sipfailover.proxy.registrar import AMPLIFICATION_MAX, KNOCKS, PROVEN, STRANGERS, TOLD_MAX, UNANSWERED_MAX, WRONG
from sipfailover.wire import Message, compose
from sipfailover.wire.doorkeeper import NONCE_LIVES
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
    lost,
    received,
    request,
    resolved,
    send,
    sends_nothing,
    target,
)
from tests.kit.digest import expected
from tests.kit.playbook import Build, Check
from tests.proxy.office import BACKUP, MAIN, STRANGER, Office, has, sent, settings, tcp

HOME = flow("the PBX", "192.168.10.5", 5060)
ELSEWHERE = flow("the PBX elsewhere", "192.168.10.77", 5062)
OTHER = flow("the other PBX", "192.168.10.6")
KNOWN = flow("a PBX with an address", "192.0.2.10")
CONTACT = "sip:100@192.168.10.5:5060;line=gzxiauo;x-ast-orig-host=10.0.0.5"
TRUNKS = """
  - {name: main, host: 198.51.100.1, port: 5060, register: no}
  - {name: backup, host: 203.0.113.1, port: 5060, register: no}
"""
ONE = "pbx: {username: '100', password: geheim}"
TWO = (
    "pbx: [{name: house, username: '100', password: geheim}, "
    "{name: spare, username: '200', password: auch geheim, register_expires: 5m}]"
)
MIXED = "pbx: [{name: house, username: '100', password: geheim}, {name: fixed, host: 192.0.2.10}]"
HOSTED = "pbx: {host: 192.168.10.5, port: 5070, username: '100', password: geheim}"
EPOCH = datetime(2026, 11, 24, 8, 0, tzinfo=UTC)
_numbers = count(1)


class Registry(Office):
    """An office that remembers what its log was told."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.told: list[Log] = []

    def collect(self) -> None:
        before = len(self._out)
        super().collect()
        self.told += [one for _, one in self._out[before:] if isinstance(one, Log)]


def office(pbx: str = ONE, *, trunks: str = TRUNKS, more: str = "") -> Registry:
    text = f"{pbx}\nlisten: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]\nmonitor: {{options_every: 1h}}\n"
    engine = Engine(
        settings(f"{text}{more}\ntrunks:{trunks}"), Chance(2018), 0.0, lambda now: EPOCH + timedelta(seconds=now)
    )
    book = Registry(engine)
    for name, at in (("main", MAIN), ("backup", BACKUP), ("fixed", KNOWN)):
        if name in engine.core.lines:
            assert book >> resolved(name, target(at))
    return book


def register(
    at: Flow = HOME, *, contact: str | None = CONTACT, expires: int | None = 300, username: str = "100", cseq: int = 1,
    call_id: str = "registration", domain: str = "carrier.example", via: str = "", user: str = "",
    headers: tuple[tuple[bytes, bytes], ...] = (), transport: str = "UDP",
) -> bytes:  # fmt: skip
    """A REGISTER as the PBX sends it, without any answer to a challenge. `domain`: of its carrier, as it believes."""
    aor = f"sip:{user or username}@{domain}".encode()
    return compose.request(
        b"REGISTER",
        b"sip:" + domain.encode(),
        via=b"SIP/2.0/%b %b;branch=z9hG4bKreg%d;rport"
        % (transport.encode(), (via or f"{at.host}:{at.port}").encode(), next(_numbers)),
        from_=b"<%b>;tag=456248" % aor,
        to=b"<%b>" % aor,
        call_id=call_id.encode(),
        cseq=cseq,
        contact=f"<{contact}>".encode() if contact and contact != "*" else (contact or "").encode(),
        headers=(
            (b"allow", b"OPTIONS, REGISTER, SUBSCRIBE, NOTIFY, PUBLISH, INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO"),
            (b"user-agent", b"Asterisk PBX 20.5.0"),
            *(((b"expires", b"%d" % expires),) if expires is not None else ()),
            *headers,
        ),
    )


def shown(
    data: bytes, challenge: bytes, *, username: str = "100", password: str = "geheim", nc: int = 1, cnonce: bytes = b"c"
) -> bytes:
    """The same REGISTER, with the answer to a challenge."""
    asked = Message(data)
    given = dict(re.findall(rb'(\w+)="?([^",]*)"?', challenge.removeprefix(b"Digest ")))
    text = {key: given[key] for key in (b"realm", b"nonce", b"algorithm", b"opaque") if key in given}
    text |= {b"uri": asked.uri, b"qop": b"auth", b"nc": b"%08x" % nc, b"cnonce": cnonce}
    text[b"response"] = expected(text, username.encode(), password.encode(), b"REGISTER", b"")
    text[b"username"] = username.encode()
    bare = (b"algorithm", b"qop", b"nc")
    value = b", ".join(b"%b=%b" % (key, text[key] if key in bare else b'"%b"' % text[key]) for key in text)
    return data[:-2] + b"Authorization: Digest " + value + b"\r\n\r\n"


def again(*, which: int = 0, password: str = "geheim", nc: int = 1, at: Flow = HOME, **more: object) -> Build:
    """The REGISTER with the answer to the newest challenge. `which`: 0 SHA-256, 1 MD5."""

    def build(seen: Seen) -> bytes:
        lines = [line.partition(b": ")[2] for line in seen.last(401).lines(b"www-authenticate")]
        username = str(more.get("username", "100"))
        return shown(register(at, **more), lines[which], username=username, password=password, nc=nc)  # type: ignore[arg-type]

    return build


def registered(book: Office, at: Flow = HOME, **more: object) -> Office:
    """The PBX registers: challenged, and let in with its answer."""
    more.setdefault("call_id", f"registration{next(_numbers)}")
    password = str(more.pop("password", "geheim"))
    assert book >> received(at, register(at, **more)) << send(at, 401)  # type: ignore[arg-type]
    assert book >> received(at, again(at=at, password=password, **{**more, "cseq": 2})) << send(at, 200)  # type: ignore[arg-type]
    return book


def story(book: Office, number: int = 0) -> str:
    return book.engine.view(book.now).pbxs[number].registration


def calling_in(book: Playbook, at: Target = HOME, check: Check | None = None, number: str = "+41443210000") -> Playbook:
    """A call comes in, and the PBX is asked."""
    data = invite(number, host="198.51.100.1:5060", caller="+41790000000")
    return book >> received(MAIN, data) << send(MAIN, 100) << send(at, "INVITE", check)


def rejected(book: Office) -> dict[str, int]:
    return {why: number for why, number in book.engine.view(book.now).rejected.items() if number}


# ---- registering


def test_it_is_challenged_and_let_in_and_told_for_how_long() -> None:
    book = office()
    assert book >> received(HOME, register()) << send(HOME, 401)
    told = sent(book, HOME, 401)[0]
    assert [re.findall(rb"algorithm=([^,]*)", line) for line in told.lines(b"www-authenticate")] == [
        [b"SHA-256"],
        [b"MD5"],
    ]
    assert all(b'realm="carrier.example"' in line for line in told.lines(b"www-authenticate"))
    assert told.to_tag
    assert (
        book
        >> received(HOME, again(cseq=2))
        << send(HOME, 200, has(contact=b"<%b>;expires=300" % CONTACT.encode(), date=b"Tue, 24 Nov 2026 08:00:00 GMT"))
        << logged("info", "PBX pbx is registered")
    )
    assert book >> after(100.0)
    assert story(book) == "Registered from udp 192.168.10.5:5060 for 1.7 min"


@pytest.mark.parametrize("which", [0, 1], ids=["SHA-256", "MD5"])
def test_either_algorithm_will_do(which: int) -> None:
    book = office()
    assert book >> received(HOME, register()) << send(HOME, 401)
    assert book >> received(HOME, again(which=which, cseq=2)) << send(HOME, 200)


@pytest.mark.parametrize("domain", ["carrier.example", "192.0.2.1", "192.0.2.1:5060", "[2001:db8::1]", "X.ch"])
def test_the_domain_does_not_matter_and_is_the_realm(domain: str) -> None:
    book = registered(office(), domain=domain)
    host = domain.removesuffix(":5060")
    assert f'realm="{host}"'.encode() in sent(book, HOME, 401)[0].lines(b"www-authenticate")[0]


def test_the_realm_is_the_carriers_where_that_has_one_of_its_own() -> None:
    trunks = """
  - {name: main, host: 198.51.100.1, port: 5060, domain: carrier.example, username: u, password: p, realm: "Carrier's"}
"""
    book = office(trunks=trunks)
    assert book >> received(HOME, register()) << send(HOME, 401)
    assert b'realm="Carrier\'s"' in sent(book, HOME, 401)[0].lines(b"www-authenticate")[0]
    assert book >> received(HOME, again(cseq=2)) << send(HOME, 200)


@pytest.mark.parametrize(("asks", "granted"), [(3600, 600), (600, 600), (60, 60), (None, 600)])
def test_no_longer_is_granted_than_the_settings_say(asks: int | None, granted: int) -> None:
    book = registered(office(), expires=asks)
    assert sent(book, HOME, 200)[-1].get(b"contact") == b"<%b>;expires=%d" % (CONTACT.encode(), granted)


def test_too_short_a_time_is_answered_423_with_the_shortest() -> None:
    book = office()
    assert book >> received(HOME, register(expires=30)) << send(HOME, 401)
    assert book >> received(HOME, again(cseq=2, expires=30)) << send(HOME, 423, has(min_expires=b"60"))
    assert story(book) == "Not registered yet"


def test_a_question_is_answered_with_what_is_there() -> None:
    book = registered(office())
    assert book >> received(HOME, register(contact=None, expires=None, call_id="q")) << send(HOME, 401)
    assert (
        book
        >> received(HOME, again(contact=None, expires=None, call_id="q", cseq=2))
        << send(HOME, 200, has(contact=b"<%b>;expires=300" % CONTACT.encode()))
    )


def test_several_contacts_are_all_listed_up_to_a_bound() -> None:
    book = office()
    for number in range(BINDINGS_MAX + 2):
        registered(book, contact=f"sip:100@192.168.10.5:{6000 + number}")
    listed = sent(book, HOME, 200)[-1].values(b"contact")
    assert len(listed) == BINDINGS_MAX
    assert listed[0].startswith(b"<sip:100@192.168.10.5:6011>")
    assert story(book).endswith(f"and at {BINDINGS_MAX - 1} more")


def test_a_path_is_honoured() -> None:
    path = ((b"path", b"<sip:192.168.10.5:5060;lr>"),)
    book = registered(office(), contact="sip:100@10.1.1.1:5060", headers=path)
    assert sent(book, HOME, 200)[-1].get(b"path") == b"<sip:192.168.10.5:5060;lr>"
    assert calling_in(book, HOME, has(uri=b"sip:100@10.1.1.1:5060", route=b"<sip:192.168.10.5:5060;lr>"))


def test_what_we_must_understand_and_do_not_is_answered_420() -> None:
    book = registered(office())
    wants = ((b"require", b"path, gruu"),)
    assert book >> received(HOME, register(headers=wants, cseq=3)) << send(HOME, 420, has(unsupported=b"gruu"))


def test_a_contact_that_cannot_be_called_is_refused() -> None:
    book = office()
    assert book >> received(HOME, register(contact="tel:100")) << send(HOME, 401)
    assert book >> received(HOME, again(cseq=2, contact="tel:100")) << send(HOME, 400)


# ---- the nonce


def test_the_next_time_it_shows_the_same_nonce_unasked() -> None:
    book = registered(office(), call_id="one")
    for nc in (2, 3, 4):
        assert book >> after(100.0)
        assert book >> received(HOME, again(nc=nc, cseq=nc + 1, call_id="one")) << send(HOME, 200)


def test_an_old_nonce_is_stale_and_the_next_one_is_good() -> None:
    book = office(more="")
    registered(book, call_id="one", expires=600)
    assert book >> after(590.0)
    assert book >> received(HOME, again(nc=2, cseq=3, call_id="one")) << send(HOME, 200)
    assert book >> after(NONCE_LIVES - 580.0)
    assert book >> received(HOME, again(nc=3, cseq=4, call_id="one")) << send(HOME, 401)
    assert b"stale=true" in sent(book, HOME, 401)[-1].lines(b"www-authenticate")[0]
    assert book >> received(HOME, again(nc=1, cseq=5, call_id="one")) << send(HOME, 200)


def algorithms(book: Office, at: Flow) -> list[bytes]:
    """What the last challenge offered."""
    return re.findall(rb"algorithm=([^,]*)", b"\n".join(sent(book, at, 401)[-1].lines(b"www-authenticate")))


@pytest.mark.parametrize("pbx", [ONE, MIXED], ids=["a stranger", "known"])
def test_who_does_not_answer_two_challenges_is_offered_md5_alone_the_next_time(pbx: str) -> None:
    at = HOME if pbx == ONE else KNOWN
    book = office(pbx)
    first = register(at, cseq=1)
    assert book >> received(at, first) << send(at, 401)
    assert book >> received(at, first) << send(at, 401)
    assert algorithms(book, at) == [b"SHA-256", b"MD5"], "a repeat says that our answer was lost"
    assert book >> after(40.0) >> received(at, register(at, cseq=2)) << send(at, 401)
    assert algorithms(book, at) == [b"MD5"]
    assert book >> received(at, again(at=at, cseq=3)) << send(at, 200)
    assert book >> after(100.0) >> received(at, again(at=at, cseq=4, nc=1)) << send(at, 401)
    assert algorithms(book, at) == [b"MD5"], "it has taken MD5, and a stale nonce must not put it off"


def test_who_is_known_to_give_up_at_sha_256_is_offered_md5_alone_at_once() -> None:
    book = office("pbx: {username: '100', password: geheim, digest: md5}")
    assert book >> received(HOME, register()) << send(HOME, 401)
    assert algorithms(book, HOME) == [b"MD5"]
    assert book >> received(HOME, again(cseq=2)) << send(HOME, 200)


def test_who_answers_is_offered_both_every_time() -> None:
    book = office()
    for number in range(3):
        assert book >> received(HOME, register(cseq=number * 2 + 1)) << send(HOME, 401)
        assert algorithms(book, HOME) == [b"SHA-256", b"MD5"]
        assert book >> received(HOME, again(cseq=number * 2 + 2)) << send(HOME, 200)


def test_after_a_restart_of_ours_it_hears_that_its_password_is_right_and_registers_again() -> None:
    """Without `stale` it would take the new challenge for a refusal, and many never try again."""
    before = registered(office(), call_id="one")
    data = again(nc=2, cseq=3, call_id="one")(before.seen(HOME))
    book = Office(Engine(before.engine.core.settings, Chance(1), 0.0))
    assert book >> received(HOME, data) << send(HOME, 401)
    assert b"stale=true" in sent(book, HOME, 401)[-1].lines(b"www-authenticate")[0]
    assert book >> received(HOME, again(cseq=4, call_id="one")) << send(HOME, 200)


def test_forged_answers_to_nobodys_nonce_keep_nobody_out_and_tell_nothing_soon() -> None:
    book = office()
    nonce = b'Digest realm="carrier.example", nonce="none of ours", algorithm=SHA-256'
    stale = []
    for number in range(WRONG[0] + 2):
        password = "geheim" if number in (0, WRONG[0] + 1) else "guess"
        assert book >> received(HOME, shown(register(cseq=number), nonce, password=password)) << send(HOME, 401)
        stale.append(b"stale" in sent(book, HOME, 401)[-1].lines(b"www-authenticate")[0])
    assert stale == [True] + [False] * (WRONG[0] + 1), "in the end the right one is not looked at either"
    assert book >> received(HOME, again(cseq=90)) << send(HOME, 200)


def test_what_was_heard_on_the_way_cannot_be_played_back() -> None:
    book = office()
    assert book >> received(HOME, register()) << send(HOME, 401)
    overheard = again(cseq=2)(book.seen(HOME))
    assert book >> received(HOME, overheard) << send(HOME, 200)
    assert book >> after(40.0)  # its transaction is over
    replayed = overheard.replace(b"192.168.10.5:5060;line=", b"192.168.10.99:5060;line=")
    assert book >> received(HOME, replayed) << send(HOME, 401)
    evil = flow("an eavesdropper", "192.168.10.99")
    elsewhere = overheard.replace(b"branch=z9hG4bKreg", b"branch=z9hG4bKevil")
    assert book >> received(evil, elsewhere) << send(evil, 401)
    assert calling_in(book, HOME)


def test_a_repeated_register_gets_its_answer_again() -> None:
    book = office()
    assert book >> received(HOME, register()) << send(HOME, 401)
    data = again(cseq=2)(book.seen(HOME))
    assert book >> received(HOME, data) << send(HOME, 200)
    assert book >> received(HOME, data) << send(HOME, 200)
    assert len({message.to_tag for message in sent(book, HOME, 200)}) == 1


def test_a_repeated_register_of_a_stranger_that_was_refused_gets_its_answer_again() -> None:
    book = office()
    assert book >> received(HOME, register(expires=30)) << send(HOME, 401)
    data = again(cseq=2, expires=30)(book.seen(HOME))
    assert book >> received(HOME, data) << send(HOME, 423)
    assert book >> received(HOME, data) << send(HOME, 423)


# ---- wrong passwords and strangers


def test_a_wrong_password_is_told_in_the_log_once_a_minute_and_counted() -> None:
    book = office()
    assert book >> received(STRANGER, register(STRANGER)) << send(STRANGER, 401)
    for number in range(3):
        guess = again(at=STRANGER, password=f"guess {number}", cseq=2 + number)
        expectation = book >> received(STRANGER, guess) << send(STRANGER, 401)
        assert expectation << logged("warning", "with a wrong password") if number == 0 else expectation
    assert rejected(book) == {"wrong_password": 3}
    assert len(book.told) == 1
    assert b"stale" not in sent(book, STRANGER, 401)[-1].lines(b"www-authenticate")[0]
    assert book >> after(61.0)
    assert (
        book
        >> received(STRANGER, again(at=STRANGER, password="x", cseq=9))
        << send(STRANGER, 401)
        << logged("warning", "REGISTER from udp 192.0.2.99:5060 with a wrong password")
    )
    assert "geheim" not in repr(book.engine.core.lines)
    assert story(book) == "Not registered yet"


def test_guessing_is_soon_not_looked_at_any_more() -> None:
    book = office()
    burst, every = WRONG
    assert book >> received(STRANGER, register(STRANGER)) << send(STRANGER, 401)
    for number in range(burst):
        assert book >> received(STRANGER, again(at=STRANGER, password=f"{number}", cseq=2)) << send(STRANGER, 401)
    right = again(at=STRANGER, cseq=50)
    assert book >> received(STRANGER, right) << send(STRANGER, 503, has(retry_after=b"60"))
    assert book >> received(STRANGER, again(at=STRANGER, cseq=51, username="nobody")) << send(STRANGER, 401)
    assert book >> after(every + 1.0)
    assert book >> received(STRANGER, again(at=STRANGER, cseq=52)) << send(STRANGER, 200)


def test_guessing_from_one_place_keeps_nobody_out_elsewhere() -> None:
    book = office()
    assert book >> received(STRANGER, register(STRANGER)) << send(STRANGER, 401)
    for number in range(WRONG[0] + 2):
        assert (
            book
            >> received(STRANGER, again(at=STRANGER, password=f"{number}", cseq=2))
            << send(STRANGER, 401 if number < WRONG[0] else 503)
        )
    registered(book)


def test_a_telephone_with_an_old_password_at_the_same_place_keeps_the_registered_one_in() -> None:
    book = registered(office(), call_id="good")
    for number in range(WRONG[0] + 1):
        assert book >> received(HOME, again(password="old", nc=number + 2, cseq=2, call_id="bad")) << send(HOME, 401)
    assert book >> received(HOME, again(nc=1, cseq=3, call_id="good")) << send(HOME, 200)


def test_strangers_who_flood_are_met_with_silence_soon() -> None:
    book = office()
    for number in range(STRANGERS[0] + 20):
        expectation = book >> received(STRANGER, register(STRANGER, cseq=number))
        assert expectation << send(STRANGER, 401) if number < STRANGERS[0] else expectation << sends_nothing()
    assert rejected(book) == {"too_often": 20}
    assert book >> after(STRANGERS[1] + 0.1)
    assert book >> received(STRANGER, register(STRANGER, cseq=99)) << send(STRANGER, 401)


def test_forged_sources_get_only_so_much_all_together_and_who_has_its_challenge_gets_in_all_the_same() -> None:
    book = office()
    assert book >> received(HOME, register()) << send(HOME, 401)
    told = 0
    for number in range(STRANGERS[2] * 2):
        forged = Flow("udp", f"10.9.{number // 200}.{number % 200}", 5060, HOME.sent_by)
        book.engine.receive(forged, register(forged), book.now)
        told += len(book.engine.take())
    assert told == STRANGERS[2] - 1
    assert book >> received(HOME, again(cseq=2)) << send(HOME, 200)
    assert PROVEN[2] > STRANGERS[2]


def test_what_floods_is_not_even_taken_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    """REGISTERs without an answer cost nothing when there are too many; those with one are read only so often."""
    book, read = office(), []

    def count(data: bytes) -> Message:
        read.append(data)
        return Message(data)

    monkeypatch.setattr("sipfailover.proxy.registrar.Message", count)
    for number in range(STRANGERS[0] + 100):
        book.engine.receive(STRANGER, register(STRANGER, cseq=number), book.now)
    assert len(read) == STRANGERS[0]
    read.clear()
    for number in range(KNOCKS[0] + 100):
        forged = register(STRANGER, cseq=number, headers=((b"authorization", b'Digest username="100"'),))
        book.engine.receive(STRANGER, forged, book.now)
    assert len(read) == KNOCKS[0]


def test_nothing_is_kept_of_a_stranger_who_is_only_challenged() -> None:
    book = office()
    before = len(book.engine.core.layer)
    assert book >> received(STRANGER, register(STRANGER)) << send(STRANGER, 401)
    assert book >> received(STRANGER, again(at=STRANGER, password="x", cseq=2)) << send(STRANGER, 401)
    assert len(book.engine.core.layer) == before


def test_a_stranger_gets_little_more_than_it_sends() -> None:
    book = office()
    short = (
        b"REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n"
        b"Call-ID: 1\r\nCSeq: 1 REGISTER\r\n%b\r\n"
    )
    silent, answered = 0, 0
    for length in range(0, 600, 20):
        data = short % (b"X: " + b"x" * length + b"\r\n")
        source = Flow("udp", f"10.8.0.{length // 20}", 5060, HOME.sent_by)
        book.engine.receive(source, data, book.now)
        out = [command.data for command in book.engine.take() if hasattr(command, "data")]
        assert all(len(one) <= AMPLIFICATION_MAX * len(data) for one in out)
        silent, answered = silent + (not out), answered + bool(out)
        if not out:
            assert not answered, "what is longer is answered too"
    assert silent
    assert answered
    assert rejected(book)["not_allowed"] == silent


def test_who_has_answered_a_challenge_before_gets_a_whole_one_however_short_its_request() -> None:
    book = office()
    domain = "x" * 150
    aor = f"sip:a@{domain}".encode()
    short = (
        b"REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <%b>\r\n"
        b"Call-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n" % aor
    )
    long = short.replace(b"\r\n\r\n", b"\r\nX: %b\r\n\r\n" % (b"x" * 600))
    assert book >> received(STRANGER, long) << send(STRANGER, 401)
    challenge = sent(book, STRANGER, 401)[0].lines(b"www-authenticate")[0].partition(b": ")[2]
    data = shown(short, challenge, password="guess")
    again_and_again = data.replace(b"z9hG4bK1", b"z9hG4bK2")
    assert book >> received(STRANGER, again_and_again) << send(STRANGER, 401)
    assert algorithms(book, STRANGER) == [b"SHA-256", b"MD5"]
    told = next(data for to, data in reversed(book.sent) if to.peer == STRANGER.peer)
    assert len(told) > AMPLIFICATION_MAX * len(again_and_again)


def test_over_a_stream_length_is_no_matter_because_nobody_can_forge_its_source() -> None:
    book = office()
    stream = tcp("a PBX over TCP", "192.168.10.5")
    data = (
        b"REGISTER sip:h SIP/2.0\r\nVia: SIP/2.0/TCP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:a@h>\r\n"
        b"Call-ID: 1\r\nCSeq: 1 REGISTER\r\n\r\n"
    )
    assert book >> received(stream, data) << send(stream, 401)
    assert len(sent(book, stream, 401)[0].lines(b"www-authenticate")) == 2


@pytest.mark.parametrize("method", ["OPTIONS", "INVITE", "MESSAGE", "SUBSCRIBE", "BYE"])
def test_whatever_else_a_stranger_says_is_met_with_silence(method: str) -> None:
    book = office()
    data = invite(host="192.0.2.99:5060") if method == "INVITE" else request(method, host="192.0.2.99:5060")
    assert book >> received(STRANGER, data) << sends_nothing() << logged("warning", "messages from 192.0.2.99")


@pytest.mark.parametrize("data", [b"REGISTER sip:x SIP/2.0\r\n\r\n", b"REGISTER x\r\n\r\n", b"REGISTER \xff\0"])
def test_a_stranger_who_cannot_be_read_is_met_with_silence(data: bytes) -> None:
    book = office()
    assert book >> received(STRANGER, data) << sends_nothing()
    assert rejected(book) == {"malformed": 1}


def test_an_answer_of_a_stranger_that_cannot_be_read_is_met_with_silence() -> None:
    book = office()
    data = register(STRANGER, headers=((b"authorization", b'Digest username="a'),))
    assert book >> received(STRANGER, data) << sends_nothing()
    assert rejected(book) == {"malformed": 1}


def test_where_nobody_registers_a_stranger_is_met_with_silence_and_a_known_one_told_what_to_do() -> None:
    book = office("pbx: {name: fixed, host: 192.0.2.10}")
    assert book >> received(STRANGER, register(STRANGER)) << sends_nothing()
    phrase = b"This is sipfailover: no PBX registers here, set username under pbx"
    assert book >> received(KNOWN, register(KNOWN)) << send(KNOWN, 403, has(reason=phrase))
    assert book >> received(MAIN, register(MAIN)) << send(MAIN, 403)


def test_a_known_source_with_a_username_that_no_pbx_has_is_told_so() -> None:
    book = office(MIXED)
    assert book >> received(KNOWN, register(KNOWN)) << send(KNOWN, 401)
    phrase = b"This is sipfailover: no PBX has this username, set it under pbx"
    assert (
        book
        >> received(KNOWN, again(at=KNOWN, username="4711", cseq=2))
        << send(KNOWN, 403, has(reason=phrase))
        << logged("warning", "with a username that no PBX has")
    )


def test_a_name_in_the_log_has_no_line_of_its_own() -> None:
    book = office()
    assert book >> received(STRANGER, register(STRANGER)) << send(STRANGER, 401)
    data = again(at=STRANGER, username="a\x1b[31m" + "x" * 200, user="a", cseq=2)
    assert book >> received(STRANGER, data) << send(STRANGER, 401)
    assert [one.fields for one in book.told] == [{"username": "a?[31m" + "x" * 58}]


# ---- calls


def test_a_call_comes_in_to_the_contact_as_it_was_given() -> None:
    book = registered(office())
    assert calling_in(
        book,
        HOME,
        lambda message: (
            message.uri == CONTACT.encode()
            and message.to.uri == b"sip:+41443210000@carrier.example"
            and message.from_.uri == b"sip:+41790000000@198.51.100.1:5060"
        ),
    )
    assert (
        book
        >> received(HOME, answer(180))
        << send(MAIN, 180)
        >> received(HOME, answer(200))
        << send(MAIN, 200)
        >> received(MAIN, ack())
        << send(HOME, "ACK")
        >> received(HOME, bye(callee=True))
        << send(HOME, 200)
        << send(MAIN, "BYE")
        >> received(MAIN, answer(200))
    )


@pytest.mark.parametrize(
    ("contact", "uri"),
    [
        (CONTACT, b"sip:+41443210000@192.168.10.5:5060;line=gzxiauo;x-ast-orig-host=10.0.0.5"),
        ("sip:192.168.10.5:5060;ob", b"sip:+41443210000@192.168.10.5:5060;ob"),
        ("sip:100:secret@192.168.10.5:5060", b"sip:+41443210000@192.168.10.5:5060"),
    ],
)
def test_a_pbx_that_reads_the_number_in_the_request_uri_has_it_there(contact: str, uri: bytes) -> None:
    book = registered(
        office("pbx: {username: '100', password: geheim, called_number_in: uri}"), contact=contact, call_id="one"
    )
    assert calling_in(book, HOME, has(uri=uri))


def test_a_call_goes_out_from_where_it_registered_unasked_and_its_credentials_stay_here() -> None:
    book = registered(office())
    credentials = ((b"proxy-authorization", b'Digest username="100", realm="c"'), (b"authorization", b"Digest x=y"))
    data = invite(host="192.168.10.5:5060", to=b"carrier.example", headers=credentials)
    assert (
        book
        >> received(HOME, data)
        << send(HOME, 100)
        << send(MAIN, "INVITE", has(uri=b"sip:+41443210019@198.51.100.1:5060", proxy_authorization=None))
    )
    assert b"uthorization" not in [data for to, data in book.sent if to.peer == MAIN.peer][-1]
    assert book >> received(MAIN, answer(486)) << send(MAIN, "ACK") << send(HOME, 486) >> received(HOME, ack())


def test_a_call_before_it_registers_is_a_strangers() -> None:
    book = office()
    book.engine.receive(HOME, invite(host="192.168.10.5:5060"), book.now)
    (said,) = book.engine.take()
    assert isinstance(said, Log)
    assert said.text.startswith("messages from 192.168.10.5 are ignored")
    assert said.fields["hint"] == (
        "if it is your PBX, it has to register before it calls, or needs its address under pbx"
    )


def test_options_are_answered_and_asked_at_the_contact() -> None:
    book = registered(office())
    assert book >> received(HOME, request("OPTIONS", host="192.168.10.5:5060")) << send(HOME, 200)
    book.answers_probes = False
    assert book >> after(2.0) << send(HOME, "OPTIONS", has(uri=CONTACT.encode()))


def test_without_a_registration_a_call_in_is_refused_at_once() -> None:
    book = office()
    data = invite(host="198.51.100.1:5060")
    assert book >> received(MAIN, data) << send(MAIN, 100) << send(MAIN, 503) >> received(MAIN, ack())


# ---- it goes away, and moves


def test_when_it_does_not_come_again_it_is_gone_and_calls_go_to_the_next() -> None:
    book = office(TWO)
    registered(book)
    registered(book, OTHER, username="200", password="auch geheim", contact="sip:200@192.168.10.6:5060")
    assert calling_in(book, HOME)
    assert book >> received(HOME, answer(486)) << send(HOME, "ACK") << send(MAIN, 486) >> received(MAIN, ack())
    assert book >> after(200.0)
    assert book >> received(OTHER, again(at=OTHER, username="200", password="auch geheim", nc=2, cseq=3, call_id="x",
                                         contact="sip:200@192.168.10.6:5060")) << send(OTHER, 200)  # fmt: skip
    assert book >> after(100.1) << logged("warning", "PBX house is not registered any more")
    assert re.fullmatch("Not registered for .* ms: it did not come again in time", story(book))
    assert not book.engine.view(book.now).pbxs[0].carries_new_calls
    assert calling_in(book, OTHER, has(uri=b"sip:200@192.168.10.6:5060"))
    assert book >> received(HOME, invite(host="192.168.10.5:5060")) << sends_nothing()


def test_the_first_pbx_is_dead_though_registered_and_the_second_gets_the_call() -> None:
    book = office(TWO)
    registered(book)
    registered(book, OTHER, username="200", password="auch geheim", contact="sip:200@192.168.10.6:5060")
    assert calling_in(book, HOME)
    assert book >> lost(target(HOME), "refused") << send(OTHER, "INVITE")
    assert book >> received(OTHER, answer(180)) << send(MAIN, 180)


def test_it_takes_its_leave() -> None:
    book = registered(office(), call_id="one")
    assert (
        book
        >> received(HOME, again(nc=2, cseq=3, call_id="one", expires=0))
        << send(HOME, 200, has(contact=None))
        << logged("warning", "not registered any more")
    )
    assert re.fullmatch("Not registered for .* ms: it said goodbye", story(book))
    assert book >> received(HOME, request("OPTIONS", host="192.168.10.5:5060")) << sends_nothing()
    book.done()


def test_it_clears_everything_and_begins_anew() -> None:
    book = registered(office(), call_id="before")
    star = {"contact": "*", "expires": 0, "call_id": "anew"}
    assert book >> received(HOME, again(nc=2, cseq=1, **star)) << send(HOME, 200, has(contact=None))
    assert book >> received(HOME, register(call_id="anew", cseq=2)) << send(HOME, 401)
    assert book >> received(HOME, again(cseq=3, call_id="anew")) << send(HOME, 200)


@pytest.mark.parametrize("more", [{"contact": "*", "expires": 300}, {"contact": "*", "expires": None}])
def test_a_star_without_expires_0_is_an_error(more: dict[str, object]) -> None:
    book = registered(office(), call_id="one")
    assert book >> received(HOME, again(nc=2, cseq=3, call_id="one", **more)) << send(HOME, 400)
    assert story(book).startswith("Registered")


def test_what_comes_late_changes_nothing() -> None:
    book = registered(office(), call_id="one")
    assert book >> received(HOME, again(nc=2, cseq=9, call_id="one")) << send(HOME, 200)
    assert book >> received(HOME, again(nc=3, cseq=8, call_id="one", expires=0)) << send(HOME, 500)
    assert calling_in(book, HOME)


def test_it_moves_to_another_address_and_is_known_and_called_there() -> None:
    book = registered(office(), call_id="one")
    where = {"contact": "sip:100@192.168.10.77:5062;line=b"}
    assert book >> received(ELSEWHERE, register(ELSEWHERE, **where)) << send(ELSEWHERE, 401)  # type: ignore[arg-type]
    assert (
        book
        >> received(ELSEWHERE, again(at=ELSEWHERE, cseq=2, **where))
        << send(ELSEWHERE, 200)
        << logged("info", "PBX pbx is registered from another place")
    )
    assert calling_in(book, ELSEWHERE, has(uri=b"sip:100@192.168.10.77:5062;line=b"))
    assert book >> received(ELSEWHERE, answer(486)) << send(ELSEWHERE, "ACK") << send(MAIN, 486)
    assert "and at 1 more" in story(book)


def test_a_contact_at_somebody_elses_address_makes_nobody_else_the_pbx() -> None:
    somebody = flow("somebody else", "198.51.100.99")
    book = registered(office(), contact="sip:100@198.51.100.99:5060")
    assert book.engine.core.admission.who(somebody.host, somebody.port) is None
    assert book >> received(BACKUP, invite(host="203.0.113.1:5060")) << send(BACKUP, 100) << send(somebody, "INVITE")


@pytest.mark.parametrize("where", ["198.51.100.1:5060", "203.0.113.1", "192.0.2.1:5060", "192.0.2.1:5080"])
@pytest.mark.parametrize("on_the_way", [False, True])
def test_a_contact_or_a_path_at_a_carriers_address_or_ours_is_not_believed(where: str, on_the_way: bool) -> None:
    """A call that comes in would go out to a carrier at our expense, in no book; or come back to us as a new one."""
    headers = ((b"path", b"<sip:%b;lr>" % where.encode()),) if on_the_way else ()
    contact = CONTACT if on_the_way else f"sip:+41900123456@{where}"
    text = "pbx: {username: '100', password: geheim}\nlisten: [udp 192.0.2.1:5060, udp 192.0.2.1:5080]\n"
    engine = Engine(settings(f"{text}monitor: {{options_every: 1h}}\ntrunks:{TRUNKS}"), Chance(1), 0.0)
    book = Registry(engine)
    assert book >> resolved("main", target(MAIN)) >> resolved("backup", target(BACKUP))
    registered(book, contact=contact, headers=headers)
    assert engine.core.admission.who(MAIN.host, MAIN.port) == book.line("main").peer
    assert calling_in(book, HOME, has(uri=contact.encode()))
    assert book >> received(HOME, answer(486)) << send(HOME, "ACK") << send(MAIN, 486)


@pytest.mark.parametrize("path", [b"<tel:+41443210000>", b"<sip:proxy.example:0;lr>", b"<sip:a@>"])
def test_a_path_that_is_no_way_is_refused(path: bytes) -> None:
    """It would stand in the Request-URI of every call, where the PBX does not know itself."""
    book = office()
    headers = ((b"path", path),)
    assert book >> received(HOME, register(headers=headers)) << send(HOME, 401)
    assert book >> received(HOME, again(cseq=2, headers=headers)) << send(HOME, 400)
    assert story(book) == "Not registered yet"


@pytest.mark.parametrize("contact", ["sip:100@255.255.255.255", "sip:100@240.1.2.3:5060"])
def test_a_contact_at_everybodys_address_is_called_where_it_came_from(contact: str) -> None:
    assert calling_in(registered(office(), contact=contact), HOME, has(uri=contact.encode()))


def test_behind_nat_it_is_called_where_it_came_from() -> None:
    public = flow("the PBX behind NAT", "85.7.8.9", 40001)
    book = registered(office(), public, contact="sip:100@10.0.0.5:5060;ob", via="10.0.0.5:5060")
    assert calling_in(book, public, has(uri=b"sip:100@10.0.0.5:5060;ob"))
    assert book >> received(public, answer(486)) << send(public, "ACK") << send(MAIN, 486)
    neighbour = flow("a neighbour behind the same NAT", "85.7.8.9", 40002)
    assert book >> received(neighbour, invite(host="10.0.0.6:5060")) << sends_nothing()
    moved = flow("the PBX behind NAT, its port moved", "85.7.8.9", 40010)
    registered(book, moved, contact="sip:100@10.0.0.5:5060;ob", via="10.0.0.5:5060")
    assert calling_in(book, moved)
    assert book >> received(public, invite(host="10.0.0.5:5060")) << sends_nothing()


def test_behind_a_nat_in_the_house_it_is_hung_up_where_it_was_called() -> None:
    router = flow("the PBX behind a router in the house", "192.168.1.9", 40001)
    contact = "sip:100@10.0.0.5:5060"
    book = registered(office(), router, contact=contact, via="10.0.0.5:5060")
    assert calling_in(book, router)
    assert (
        book
        >> received(router, answer(200, contact=f"<{contact}>"))
        << send(MAIN, 200)
        >> received(MAIN, ack())
        << send(router, "ACK", has(uri=contact.encode()))
        >> received(MAIN, bye())
        << send(MAIN, 200)
        << send(router, "BYE")
    )


def test_a_call_goes_on_when_it_registers_from_another_port_in_the_middle() -> None:
    before = flow("the PBX behind NAT", "85.7.8.9", 40001)
    later = flow("the PBX behind NAT, its port moved", "85.7.8.9", 40010)
    how = {"contact": "sip:100@10.0.0.5:5060", "via": "10.0.0.5:5060"}
    book = registered(office(), before, **how)
    assert book >> received(before, invite(host="10.0.0.5:5060")) << send(before, 100) << send(MAIN, "INVITE")
    assert book >> received(MAIN, answer(200)) << send(before, 200) >> received(before, ack()) << send(MAIN, "ACK")
    registered(book, later, **how)
    calls = book.engine.core.calls
    assert len(calls) == 1
    talk = book.seen(before)
    hang_up = bye()(talk)
    assert book >> received(later, hang_up) << send(later, 200) << send(MAIN, "BYE")
    assert not calls


def test_an_emergency_call_of_a_registered_pbx_is_one() -> None:
    book = registered(office())
    data = invite("112", host="192.168.10.5:5060")
    assert (
        book >> received(HOME, data) << send(HOME, 100) << send(MAIN, "INVITE") << logged("warning", "emergency call")
    )


def test_over_tcp_it_is_called_over_its_connection_and_known_by_it() -> None:
    stream = tcp("the PBX over TCP", "85.7.8.9", connection=7)
    book = registered(office(), stream, contact="sip:100@10.0.0.5:5060;transport=tcp", via="10.0.0.5", transport="TCP")
    assert calling_in(book, stream)
    (used,) = [to for to, data in book.sent if data.startswith(b"INVITE")]
    assert isinstance(used, Flow)
    assert used.connection == 7
    assert book >> received(stream, answer(486)) << send(stream, "ACK") << send(MAIN, 486)
    assert book >> after(40.0)  # its REGISTER need not be answered again
    assert book >> lost(stream, "closed") << logged("warning", "not registered any more")
    assert re.fullmatch("Not registered for .* ms: its connection is gone", story(book))


def test_when_its_connection_is_gone_it_is_called_at_its_contact_if_that_can_be() -> None:
    stream = tcp("the PBX over TCP", "192.168.10.5", connection=7)
    at_home = flow("the PBX at its own port", "192.168.10.5", 5060, "tcp")
    book = registered(office(), stream, contact="sip:100@192.168.10.5:5060;transport=tcp", via="192.168.10.5",
                      transport="TCP")  # fmt: skip
    assert book >> after(40.0) >> lost(stream, "closed")
    assert story(book).startswith("Registered")
    assert calling_in(book, at_home)


def test_a_connection_that_is_replaced_is_not_missed() -> None:
    first, second = tcp("TCP 1", "85.7.8.9", 7, 40001), tcp("TCP 2", "85.7.8.9", 8, 40002)
    how = {"contact": "sip:100@10.0.0.5;transport=tcp", "via": "10.0.0.5", "transport": "TCP"}
    book = registered(registered(office(), first, **how), second, **how)
    assert book >> after(40.0) >> lost(first, "closed")
    assert calling_in(book, second)


def test_a_pbx_with_a_host_is_called_there_while_it_is_not_registered() -> None:
    book = office(HOSTED)
    fixed = flow("the PBX at its host", "192.168.10.5", 5070)
    assert book >> resolved("pbx", target(fixed))
    assert calling_in(book, fixed, has(uri=b"sip:+41443210000@192.168.10.5:5070"))
    assert book >> received(fixed, answer(486)) << send(fixed, "ACK") << send(MAIN, 486)
    registered(book)
    assert calling_in(book, HOME, has(uri=CONTACT.encode()))
    assert book >> received(HOME, answer(486)) << send(HOME, "ACK") << send(MAIN, 486)
    assert book >> after(301.0)
    assert calling_in(book, fixed)


def test_of_several_numbers_at_one_place_the_contact_of_the_number_is_called() -> None:
    book = office()
    registered(book, user="+41443210000", contact="sip:first@192.168.10.5:5060")
    registered(book, user="+41443210001", contact="sip:second@192.168.10.5:5060")
    assert calling_in(book, HOME, has(uri=b"sip:first@192.168.10.5:5060"))
    assert calling_in(book, HOME, has(uri=b"sip:second@192.168.10.5:5060"), "+41443210001")
    assert calling_in(book, HOME, has(uri=b"sip:second@192.168.10.5:5060"), "+41443219999")


def test_a_check_of_a_place_that_it_has_left_is_no_evidence() -> None:
    book = registered(office(), call_id="one")
    book.answers_probes = False
    assert book >> after(1.0) << send(HOME, "OPTIONS")
    registered(book, ELSEWHERE, contact="sip:100@192.168.10.77:5062")
    assert book >> received(HOME, again(nc=2, cseq=3, call_id="one", expires=0)) << send(HOME, 200)
    assert book >> after(3.0)
    assert book.line("pbx").trunk.probe.loss_ratio == 0.0


# ---- networks


NETWORKS = """
  - {name: main, host: 198.51.100.1, port: 5060, register: no, networks: [198.51.100.0/24, 2001:db8::/32]}
  - {name: backup, host: 203.0.113.1, port: 5060, register: no}
"""


def test_a_call_from_a_trunks_network_is_answered_where_it_came_from_and_is_that_trunks() -> None:
    book = registered(office(trunks=NETWORKS))
    media = flow("another gateway of main", "198.51.100.77", 5080)
    data = invite("+41443210000", host="198.51.100.77:5080")
    assert (
        book
        >> received(media, data)
        << send(media, 100)
        << send(HOME, "INVITE")
        >> received(HOME, answer(200))
        << send(media, 200)
        >> received(media, ack())
        << send(HOME, "ACK")
    )
    (call,) = book.engine.view(book.now).calls
    assert (call.direction, call.trunk) == ("inbound", "main")
    assert book >> received(HOME, bye(callee=True)) << send(HOME, 200) << send(media, "BYE")


def test_a_pbx_is_known_by_its_network_and_called_at_its_host() -> None:
    book = office("pbx: {name: fixed, host: 192.0.2.10, networks: [192.168.20.0/24]}")
    desk = flow("a telephone of the house", "192.168.20.33", 5062)
    assert book >> received(desk, invite(host="192.168.20.33:5062")) << send(desk, 100) << send(MAIN, "INVITE")
    assert calling_in(book, KNOWN)
    assert book.engine.knows("192.168.20.200")
    assert not book.engine.knows("192.168.21.200")


# ---- what is kept


def test_nothing_is_left_when_it_is_gone() -> None:
    book = registered(office())
    book.done(700.0)
    assert book.line("pbx").registrant is not None
    assert book.line("pbx").registrant.bindings == ()
    assert book.engine.core.admission.who(HOME.host, HOME.port) is None


REGISTERS = sorted(
    path
    for path in (Path(__file__).parent.parent / "vectors").rglob("*")
    if path.is_file() and path.read_bytes()[:9] == b"REGISTER " and path.parent.name != "raw-archive"
)


@pytest.mark.parametrize("path", REGISTERS, ids=lambda path: path.name)
def test_the_registers_of_the_rfcs_are_challenged_or_refused(path: Path) -> None:
    book = office(MIXED)
    book.engine.receive(KNOWN, path.read_bytes(), book.now)
    statuses = {int(one.data[8:11]) for one in book.engine.take() if isinstance(one, Send)}
    assert len(statuses) == 1
    assert statuses <= {400, 401, 403, 420}  # 403: it shows the username of somebody whom we do not have


def test_ten_thousand_damaged_registers_leave_nothing_behind_and_let_nobody_in() -> None:
    dice = random.Random(2018)
    book = office()
    assert book >> received(HOME, register()) << send(HOME, 401)
    whole = again(cseq=2, password="guess")(book.seen(HOME))
    for number in range(10_000):
        data = bytearray(whole)
        for _ in range(dice.randint(0, 5)):
            at = dice.randrange(9, len(data))
            piece = dice.choice([b'"', b",", b"\r\n", b";", b"<", b"", b"*", b"%", b"\0", data[at : at + 9] * 9])
            data[at : at + dice.randint(0, 3)] = piece
        source = Flow("udp", f"10.{number >> 8 & 255}.{number & 255}.1", 5060, HOME.sent_by)
        book.engine.receive(source, bytes(data), book.now)
        book.engine.take()
        book.now += 0.01
    registrar = book.engine.registrar
    assert story(book) == "Not registered yet"
    assert len(registrar._told) <= TOLD_MAX
    assert len(registrar._unanswered) <= UNANSWERED_MAX
    assert len(book.engine.core.layer.servers) == 0


# ---- over a restart


def restarted(book: Registry, kept: dict[str, bytes], *, away: float = 0.0) -> Registry:
    """The next process, `away` seconds later, with what the first one has kept."""
    again = office()
    again.now = book.now + away
    engine = Engine(again.engine.core.settings, Chance(2019), again.now, lambda now: EPOCH + timedelta(seconds=now))
    engine.restore(kept.items(), again.now)
    again.engine = engine
    assert again >> resolved("main", target(MAIN)) >> resolved("backup", target(BACKUP))
    return again


def keeping(book: Registry) -> dict[str, bytes]:
    """Have the engine keep; the dictionary is what is kept at any moment."""
    kept: dict[str, bytes] = {}
    take = book.engine.take

    def noted() -> list[Command]:
        commands = take()
        for command in commands:
            if isinstance(command, Keep):
                kept.update(command.records)
            elif isinstance(command, Forget):
                kept.pop(command.key, None)
        return commands

    book.engine.take = noted  # type: ignore[method-assign]
    book.engine.restore((), book.now)
    return kept


def test_a_pbx_finds_its_registration_valid_after_a_restart() -> None:
    book = office()
    kept = keeping(book)
    registered(book)
    before = book.line("house" if "house" in book.engine.core.lines else "pbx").registrant
    assert before is not None
    after_it = restarted(book, kept, away=100.0)
    line = after_it.line("pbx")
    assert line.registrant is not None
    assert line.registrant.bindings == before.bindings
    assert (
        after_it
        >> received(MAIN, invite("+41441112233", host="198.51.100.1:5060"))
        << send(MAIN, 100)
        << send(HOME, "INVITE", lambda one: one.uri == CONTACT.encode())
    )


def test_a_registration_that_ran_out_meanwhile_is_none() -> None:
    book = office()
    kept = keeping(book)
    registered(book)
    line = restarted(book, kept, away=301.0).line("pbx")
    assert line.registrant is not None
    assert line.registrant.bindings == ()


def test_a_registration_over_a_connection_is_reached_at_its_contact_after_a_restart() -> None:
    book = office()
    kept = keeping(book)
    stream = tcp("the PBX by TCP", HOME.host, 7)
    registered(book, stream, via=f"{HOME.host}:5060", transport="TCP", contact=f"{CONTACT};transport=tcp")
    line = restarted(book, kept).line("pbx")
    assert line.registrant is not None
    (binding,) = line.registrant.bindings
    assert not isinstance(binding.target, Flow)
    assert binding.target.peer == ("tcp", HOME.host, 5060, "")


def test_who_says_goodbye_is_forgotten_by_the_next_process_too() -> None:
    book = office()
    kept = keeping(book)
    registered(book)
    assert [key for key in kept if key.startswith("pbx/")] == ["pbx/pbx"]
    assert book >> received(HOME, again(expires=0, cseq=3, nc=2)) << send(HOME, 200)
    assert [key for key in kept if key.startswith("pbx/")] == []


def test_a_stranger_who_repeats_the_register_of_a_pbx_makes_us_send_it_nothing() -> None:
    book = office(MIXED)
    overheard = register(KNOWN)
    assert book >> received(KNOWN, overheard) << send(KNOWN, 401)
    before = len(book.sent)
    assert book >> received(STRANGER, overheard) << send(STRANGER, 401)
    assert [to.host for to, _ in book.sent[before:]] == [STRANGER.host]
