"""The server's side of digest: challenges, answers of a client that the tests have, replay, time, and nastiness."""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.errors import WireError
from sipfailover.wire import Answer, Doorkeeper, Message, Verdict
from sipfailover.wire.doorkeeper import NONCE_LIVES
from sipfailover.wire.limits import MAX_ANSWERS, MAX_NONCES_COUNTED
from tests.kit.digest import expected, taken_apart

SECRET = b"0123456789abcdef"
REALM = b"carrier.example"
HERE, THERE = "192.0.2.10", "192.0.2.11"


def request(*answers: bytes, method: bytes = b"REGISTER") -> Message:
    lines = b"".join(b"Authorization: " + answer + b"\r\n" for answer in answers)
    return Message(
        b"%b sip:carrier.example SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10;branch=z9hG4bK1\r\n"
        b"From: <sip:100@carrier.example>;tag=1\r\nTo: <sip:100@carrier.example>\r\nCall-ID: 1\r\nCSeq: 1 %b\r\n%b\r\n"
        % (method, method, lines)
    )


def offer(door: Doorkeeper, now: float = 0.0, which: int = 0, **more: object) -> dict[bytes, bytes]:
    """One of the challenges: its parameters as text."""
    name, value = door.challenge(REALM, HERE, now, **more)[which]  # type: ignore[arg-type]
    assert name == b"www-authenticate"
    return dict(re.findall(rb'(\w+)="?([^",]*)"?', value.removeprefix(b"Digest ")))


def reply(
    challenge: dict[bytes, bytes], *, password: bytes = b"geheim", username: bytes = b"100", nc: int = 1,
    qop: bool = True, method: bytes = b"REGISTER", **changed: bytes,
) -> bytes:  # fmt: skip
    """What a telephone answers, computed by the tests' own server."""
    shown = {b"realm": challenge[b"realm"], b"nonce": challenge[b"nonce"], b"uri": b"sip:carrier.example"}
    shown[b"algorithm"] = challenge[b"algorithm"]
    if qop:
        shown |= {b"qop": b"auth", b"nc": b"%08x" % nc, b"cnonce": b"abc"}
    if b"opaque" in challenge:
        shown[b"opaque"] = challenge[b"opaque"]
    shown |= {name.encode(): value for name, value in changed.items()}
    response = expected(shown, username, password, method, b"")
    bare = (b"algorithm", b"qop", b"nc")
    parts = [b'username="%b"' % username, b'response="%b"' % response]
    parts += [b"%b=%b" % (name, value if name in bare else b'"%b"' % value) for name, value in shown.items()]
    return b"Digest " + b", ".join(parts)


def judged(
    door: Doorkeeper, value: bytes, now: float = 0.0, source: str = HERE, password: str | None = "geheim",
    spend: bool = True, method: bytes = b"REGISTER",
) -> Verdict:  # fmt: skip
    asked = request(value, method=method)
    answer = door.answer(asked, source)
    assert answer is not None
    return door.judge(answer, asked.method, password, source, now, spend=spend)


@pytest.fixture
def door() -> Doorkeeper:
    return Doorkeeper(SECRET)


class TestChallenges:
    def test_two_are_offered_the_better_one_first(self, door: Doorkeeper) -> None:
        values = [taken_apart(value.replace(b"stale=true", b'stale="true"')) for _, value in self.all(door)]
        assert [value[b"algorithm"] for value in values] == [b"SHA-256", b"MD5"]
        for value in values:
            assert (value[b"realm"], value[b"qop"]) == (REALM, b"auth")
            assert value[b"opaque"] == values[0][b"opaque"]

    def all(self, door: Doorkeeper) -> list[tuple[bytes, bytes]]:
        # the kit reads answers, where qop stands without quotes
        return [(name, value.replace(b'qop="auth"', b"qop=auth")) for name, value in door.challenge(REALM, HERE, 0.0)]

    def test_no_nonce_is_given_twice(self, door: Doorkeeper) -> None:
        assert len({offer(door)[b"nonce"] for _ in range(100)}) == 100

    def test_another_process_gives_others(self) -> None:
        assert offer(Doorkeeper(SECRET))[b"nonce"] != offer(Doorkeeper(SECRET[::-1]))[b"nonce"]

    def test_a_realm_cannot_end_early(self, door: Doorkeeper) -> None:
        assert b'realm="a\\" b\\\\  c"' in door.challenge(b'a" b\\\r\nc', HERE, 0.0)[0][1]

    def test_it_can_be_short(self, door: Doorkeeper) -> None:
        (only,) = door.challenge(REALM, HERE, 0.0, simple=True, opaque=False)
        assert b"MD5" in only[1]
        assert b"opaque" not in only[1]
        assert len(only[1]) < 100


class TestAnswers:
    @pytest.mark.parametrize("which", [0, 1], ids=["SHA-256", "MD5"])
    @pytest.mark.parametrize("qop", [True, False], ids=["qop", "as of old"])
    def test_the_right_password_is_good(self, door: Doorkeeper, which: int, qop: bool) -> None:
        assert judged(door, reply(offer(door, which=which), qop=qop)) is Verdict.GOOD

    def test_without_an_algorithm_md5_is_meant(self, door: Doorkeeper) -> None:
        value = reply(offer(door, which=1))
        assert judged(door, value.replace(b"algorithm=MD5, ", b"")) is Verdict.GOOD

    def test_a_challenge_without_opaque_is_answered_without(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door, opaque=False))) is Verdict.GOOD

    @pytest.mark.parametrize("wrong", [b"", b"Geheim", b"geheim "])
    def test_a_wrong_password_is_wrong(self, door: Doorkeeper, wrong: bytes) -> None:
        assert judged(door, reply(offer(door), password=wrong)) is Verdict.WRONG

    def test_nobody_is_wrong_even_with_an_empty_password(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), password=b""), password=None) is Verdict.WRONG

    def test_another_method_is_wrong(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), method=b"INVITE")) is Verdict.WRONG

    @pytest.mark.parametrize("algorithm", [b"MD5-sess", b"SHA-512-256", b"SHA-256-sess"])
    def test_an_algorithm_that_was_not_offered_is_wrong(self, door: Doorkeeper, algorithm: bytes) -> None:
        assert judged(door, reply(offer(door), algorithm=algorithm)) is Verdict.WRONG

    def test_auth_int_was_not_offered(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), qop=True).replace(b"qop=auth,", b"qop=auth-int,")) is Verdict.WRONG

    def test_the_uri_of_a_proxy_that_changed_it_is_accepted(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), uri=b"sip:elsewhere")) is Verdict.GOOD

    def test_a_name_and_a_password_beyond_ascii_are_utf_8(self, door: Doorkeeper) -> None:
        value = reply(offer(door), username="Zürich".encode(), password="grüezi ✓".encode())
        assert judged(door, value, password="grüezi ✓") is Verdict.GOOD
        assert Answer.parse(value).username == "Zürich".encode()

    def test_quotes_in_a_name_are_its_own(self) -> None:
        value = rb'Digest username="a\"b\\c", realm="r", nonce="n", uri="sip:x", response="0"'
        assert Answer.parse(value).username == rb"a\"b\c".replace(rb"\"", b'"')

    def test_rfc_7616_3_9_1(self) -> None:
        nonce = b"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v"
        head = (
            b'Digest username="Mufasa", realm="http-auth@example.org", uri="/dir/index.html", nonce="%b", nc=00000001, '
            b'cnonce="f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ", qop=auth, ' % nonce
        )
        for algorithm, response in (
            (b"MD5", b"8ca523f5e9506fed4657c9700eebdbec"),
            (b"SHA-256", b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ):
            answer = Answer.parse(head + b'response="%b", algorithm=%b' % (response, algorithm))
            assert answer.proves("Circle of Life", b"GET")
            assert not answer.proves("Circle of life", b"GET")
            assert not answer.proves("Circle of Life", b"POST")


class TestTimeAndReplay:
    def test_a_nonce_is_good_for_a_while_and_then_stale(self, door: Doorkeeper) -> None:
        challenge = offer(door, now=100.0)
        assert judged(door, reply(challenge), now=100.0 + NONCE_LIVES) is Verdict.GOOD
        assert judged(door, reply(challenge, nc=2), now=101.0 + NONCE_LIVES) is Verdict.STALE
        assert judged(door, reply(challenge, nc=3, password=b"x"), now=101.0 + NONCE_LIVES) is Verdict.WRONG

    def test_each_count_is_good_once_and_none_below_it(self, door: Doorkeeper) -> None:
        challenge = offer(door)
        counts = (1, 1, 2, 5, 3, 5, 6)
        verdicts = [judged(door, reply(challenge, nc=nc)) for nc in counts]
        good, stale = Verdict.GOOD, Verdict.STALE
        assert verdicts == [good, stale, good, good, stale, stale, good]

    def test_without_a_count_a_nonce_is_good_once(self, door: Doorkeeper) -> None:
        value = reply(offer(door), qop=False)
        assert [judged(door, value), judged(door, value)] == [Verdict.GOOD, Verdict.STALE]

    def test_a_count_of_nothing_is_none(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), nc=0)) is Verdict.STALE

    def test_a_wrong_answer_uses_nothing_up(self, door: Doorkeeper) -> None:
        challenge = offer(door)
        assert judged(door, reply(challenge, password=b"x")) is Verdict.WRONG
        assert judged(door, reply(challenge)) is Verdict.GOOD

    def test_looking_uses_nothing_up(self, door: Doorkeeper) -> None:
        value = reply(offer(door))
        assert [judged(door, value, spend=False), judged(door, value)] == [Verdict.GOOD] * 2

    def test_a_nonce_of_another_process_is_stale_so_that_nobody_is_asked_for_the_password(self) -> None:
        value = reply(offer(Doorkeeper(SECRET[::-1])))
        assert judged(Doorkeeper(SECRET), value) is Verdict.STALE

    def test_a_nonce_of_a_carrier_is_stale_too(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), nonce=b"of the carrier")) is Verdict.STALE

    def test_a_nonce_belongs_to_one_source_and_one_realm(self, door: Doorkeeper) -> None:
        challenge = offer(door)
        assert judged(door, reply(challenge), source=THERE) is Verdict.STALE
        assert judged(door, reply(challenge, realm=b"other.example")) is Verdict.STALE
        answer = Answer.parse(reply(challenge))
        assert door.knows(answer, HERE)
        assert not door.knows(answer, THERE)

    @pytest.mark.parametrize("at", range(0, 24, 3))
    def test_a_nonce_cannot_be_changed(self, door: Doorkeeper, at: int) -> None:
        challenge = offer(door)
        nonce = challenge[b"nonce"]
        other = b"A" if nonce[at : at + 1] != b"A" else b"B"
        answer = Answer.parse(reply(challenge, nonce=nonce[:at] + other + nonce[at + 1 :]))
        assert not door.knows(answer, HERE)

    def test_another_opaque_is_no_answer_to_us(self, door: Doorkeeper) -> None:
        assert judged(door, reply(offer(door), opaque=b"00000000")) is Verdict.STALE

    def test_what_is_remembered_has_a_bound_and_what_is_forgotten_cannot_be_played_back(self, door: Doorkeeper) -> None:
        first = reply(offer(door, which=1))
        unused = offer(door, which=1)
        assert judged(door, first) is Verdict.GOOD
        for _ in range(MAX_NONCES_COUNTED):
            assert judged(door, reply(offer(door, which=1))) is Verdict.GOOD
        assert len(door._used) == MAX_NONCES_COUNTED
        assert judged(door, first) is Verdict.STALE
        assert judged(door, reply(unused)) is Verdict.GOOD, "it is younger than the one that was forgotten"


class TestReading:
    def test_without_an_answer_there_is_none(self, door: Doorkeeper) -> None:
        assert door.answer(request(), HERE) is None

    def test_the_answer_to_us_is_found_among_those_to_others(self, door: Doorkeeper) -> None:
        ours = reply(offer(door))
        carriers = reply({b"realm": b"c", b"nonce": b"n", b"algorithm": b"MD5"})
        found = door.answer(request(carriers, b"Basic xyz", ours), HERE)
        assert found is not None
        assert door.knows(found, HERE)

    def test_no_more_than_a_few_are_read(self, door: Doorkeeper) -> None:
        others = [reply({b"realm": b"c", b"nonce": b"n", b"algorithm": b"MD5"})] * MAX_ANSWERS
        found = door.answer(request(*others, reply(offer(door))), HERE)
        assert found is not None
        assert not door.knows(found, HERE)

    @pytest.mark.parametrize(
        "value",
        [
            b"Basic dXNlcjpwYXNz",
            b"Digest",
            b'Digest username="a"',
            b'Digest username="a", realm="r", nonce="n", uri="u"',
            b'Digest username="a", realm="r", nonce="n", uri="u", response="x", qop=auth',
            b'Digest username="a", realm="r", nonce="n", uri="u", response="x", qop=auth, nc=1, cnonce="c"',
            b'Digest username="a", realm="r", nonce="n", uri="u", response="x", qop=auth, nc=0000000g, cnonce="c"',
            b'Digest username="a", username="b", realm="r", nonce="n", uri="u", response="x"',
            b'Digest username="a, realm="r", nonce="n", uri="u", response="x"',
            b"Digest \xff=\xff",
        ],
    )
    def test_what_cannot_be_read_is_an_error_of_the_peer(self, door: Doorkeeper, value: bytes) -> None:
        with pytest.raises(WireError) as caught:
            door.answer(request(value), HERE)
        assert caught.value.status == 400

    def test_nothing_tells_the_secret(self, door: Doorkeeper) -> None:
        assert SECRET.decode() not in repr(door)


PIECES = st.sampled_from(
    [
        b'"',
        b",",
        b"=",
        b"\\",
        b" ",
        b"Digest ",
        b'username="a"',
        b"nc=00000001",
        b'nonce="',
        b"qop=auth",
        b"\xff",
        b"<",
        b";",
    ]
)


@given(st.lists(PIECES | st.binary(min_size=1, max_size=9), max_size=60).map(b"".join))
def test_whatever_it_is_only_our_own_error_comes(value: bytes) -> None:
    door = Doorkeeper(SECRET)
    with suppress(WireError):
        answer = Answer.parse(b"Digest " + value)
        assert not door.knows(answer, HERE)
        assert door.judge(answer, b"REGISTER", "geheim", HERE, 0.0) is Verdict.WRONG


@given(st.text(max_size=20), st.text(min_size=1, max_size=20), st.integers(1, 0xFFFFFFFF), st.sampled_from([0, 1]))
def test_whoever_knows_the_password_gets_in(username: str, password: str, nc: int, which: int) -> None:
    name = username.encode("utf-8", "replace").translate(None, b'"\\\r\n\0')
    door = Doorkeeper(SECRET)
    value = reply(offer(door, which=which), username=name, password=password.encode("utf-8", "surrogatepass"), nc=nc)
    answer = Answer.parse(value)
    assert door.judge(answer, b"REGISTER", password, HERE, 0.0) is Verdict.GOOD
    assert door.judge(answer, b"REGISTER", password, HERE, 0.0) is Verdict.STALE
    assert door.judge(answer, b"REGISTER", password + "x", HERE, 0.0) is Verdict.WRONG


@pytest.mark.parametrize(
    "piece", [b'"', b",", b"\\", b'\\"', b"a=b,", b'a="b",', b"=", b" ", b'nonce="a",', b"qop=auth,", b"Digest "]
)
def test_eight_kilobytes_of_nastiness_take_less_than_5_ms(piece: bytes) -> None:
    door = Doorkeeper(SECRET)
    for value in (piece * (8100 // len(piece)), reply(offer(door)) + b", x=" + piece * (7500 // len(piece))):
        asked = request(b"Digest " + value) if b"\r" not in value else request()
        best = min(timed(door, asked) for _ in range(5))
        assert best < 0.005, f"{best * 1000:.1f} ms"


@pytest.mark.parametrize("piece", [b"\\a", b'\\"', b"x"])
def test_a_datagram_full_of_answers_of_a_stranger_takes_less_than_2_ms(piece: bytes) -> None:
    """Nobody is asked for a password before this is read, and each of a flood is."""
    door = Doorkeeper(SECRET)
    full = b'Digest username="100", nonce="n", uri="u", response="x", realm="' + piece * (8000 // len(piece)) + b'"'
    asked = request(*[full] * MAX_ANSWERS, *[b"Digest " + b"a=b," * 1000] * MAX_ANSWERS)
    best = min(timed(door, asked) for _ in range(5))
    assert best < 0.002, f"{best * 1000:.1f} ms"


def timed(door: Doorkeeper, asked: Message) -> float:
    start = time.perf_counter()
    with suppress(WireError):
        answer = door.answer(asked, HERE)
        if answer is not None:
            door.judge(answer, b"REGISTER", "geheim", HERE, 0.0)
    return time.perf_counter() - start
