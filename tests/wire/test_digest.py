"""Digest: challenges as they come, and answers against the examples of the RFCs and against a server of the tests' own.

The SIP examples with MD5 are those of draft-smith-sipping-auth-examples-01 §3.
"""

import re
import time
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.errors import WireError
from sipfailover.wire import Challenge, Credentials, Message, answer, challenges, choose
from sipfailover.wire.digest import HASHES, next_nonce
from sipfailover.wire.limits import MAX_CHALLENGE_BYTES, MAX_CHALLENGES
from tests.kit.digest import expected, taken_apart

BOB = Credentials("bob", "zanzibar")
SDP = (
    b"v=0\r\no=bob 2890844526 2890844526 IN IP4 media.biloxi.com\r\ns=-\r\nc=IN IP4 media.biloxi.com\r\nt=0 0\r\n"
    b"m=audio 49170 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\nm=video 51372 RTP/AVP 31\r\na=rtpmap:31 H261/90000\r\n"
    b"m=video 53000 RTP/AVP 32\r\na=rtpmap:32 MPV/90000\r\n"
)
BILOXI = (
    b'Digest realm="biloxi.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
)


def refusal(*lines: bytes, status: int = 401) -> Message:
    return Message(
        b"SIP/2.0 %d No\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
        b"Call-ID: 1\r\nCSeq: 1 INVITE\r\n%b\r\n" % (status, b"".join(line + b"\r\n" for line in lines))
    )


# ---- answers


class TestExamplesOfTheRfcs:
    def test_rfc_2617_3_5(self) -> None:
        challenge = Challenge.parse(
            b'Digest realm="testrealm@host.com", qop="auth,auth-int", '
            b'nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        )
        mufasa = Credentials("Mufasa", "Circle Of Life")
        assert answer(challenge, mufasa, b"GET", b"/dir/index.html", b"", 1, b"0a4f113b") == (
            b'Digest username="Mufasa", realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
            b'uri="/dir/index.html", response="6629fae49393a05397450978507c4ef1", cnonce="0a4f113b", qop=auth, '
            b'nc=00000001, opaque="5ccc069c403ebaf9f0171e9517f40e41"'
        )

    @pytest.mark.parametrize(
        ("algorithm", "response"),
        [
            (b"MD5", b"8ca523f5e9506fed4657c9700eebdbec"),
            (b"SHA-256", b"753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ],
    )
    def test_rfc_7616_3_9_1(self, algorithm: bytes, response: bytes) -> None:
        """With erratum 4495: `Circle of Life`, unlike in RFC 2617."""
        challenge = Challenge.parse(
            b'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm=%b, '
            b'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
            b'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"' % algorithm
        )
        mufasa = Credentials("Mufasa", "Circle of Life")
        cnonce = b"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        given = taken_apart(answer(challenge, mufasa, b"GET", b"/dir/index.html", b"", 1, cnonce))
        assert given[b"response"] == response
        assert given[b"algorithm"] == algorithm
        assert given[b"qop"] == b"auth"

    def test_rfc_7616_3_9_2(self) -> None:
        """With erratum 4897: what is printed there (4888…, ae66…) is SHA-512 cut short, which is not SHA-512/256."""
        challenge = Challenge.parse(
            b'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
            b'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
            b'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
        )
        jason = Credentials("J\u00e4s\u00f8n Doe", "Secret, or not?")
        cnonce = b"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
        given = taken_apart(answer(challenge, jason, b"GET", b"/doe.json", b"", 1, cnonce))
        assert given[b"username"] == b"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
        assert given[b"response"] == b"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
        assert given[b"userhash"] == b"true"
        assert given[b"opaque"] == b"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS"

    @pytest.mark.parametrize(
        ("extra", "response", "names"),
        [
            (b"", b"bf57e4e0d0bffc0fbaedce64d59add5e", b""),  # §3.1: the form of RFC 2069
            (b', qop="auth,auth-int"', b"89eb0059246c02b2f6ee02c7961d5ea3", b"cnonce nc qop"),  # §3.2
            (b', qop="auth,auth-int", algorithm=MD5', b"89eb0059246c02b2f6ee02c7961d5ea3", b"algorithm cnonce nc qop"),
            (b', qop="auth", algorithm=MD5-sess', b"e4e4ea61d186d07a92c9e1f6919902e9", b"algorithm cnonce nc qop"),
            (b', qop="auth-int", algorithm=MD5', b"bdbeebb2da6adb6bca02599c2239e192", b"algorithm cnonce nc qop"),
            (b', qop="auth-int", algorithm=MD5-sess', b"91984da2d8663716e91554859c22ca70", b"algorithm cnonce nc qop"),
        ],
    )
    def test_sip_examples(self, extra: bytes, response: bytes, names: bytes) -> None:
        challenge = Challenge.parse(BILOXI + extra)
        given = taken_apart(answer(challenge, BOB, b"INVITE", b"sip:bob@biloxi.com", SDP, 1, b"0a4f113b"))
        assert given[b"response"] == response
        assert set(given) == {b"username", b"realm", b"nonce", b"uri", b"response", b"opaque", *names.split()}

    def test_rfc_3261_22_4_an_empty_body_is_hashed_too(self) -> None:
        challenge = Challenge.parse(BILOXI + b', qop="auth-int"')
        given = taken_apart(answer(challenge, BOB, b"BYE", b"sip:bob@biloxi.com", b"", 1, b"0a4f113b"))
        assert given[b"response"] == expected(given, b"bob", b"zanzibar", b"BYE", b"")


class TestAnswer:
    @pytest.mark.parametrize(
        "algorithm", [b"", *(a + s for a in (b"MD5", b"SHA-256", b"SHA-512-256") for s in (b"", b"-sess"))]
    )
    @pytest.mark.parametrize("qop", [b"", b"auth", b"auth-int", b"auth-int,auth"])
    def test_a_server_agrees(self, algorithm: bytes, qop: bytes) -> None:
        extra = (b", algorithm=" + algorithm if algorithm else b"") + (b', qop="%b"' % qop if qop else b"")
        challenge = Challenge.parse(BILOXI + extra)
        given = taken_apart(answer(challenge, BOB, b"INVITE", b"sip:x@y", SDP, 0x2A, b"c"))
        assert given[b"response"] == expected(given, b"bob", b"zanzibar", b"INVITE", SDP)
        assert given.get(b"algorithm", b"") == algorithm, "only what was given is given back"
        assert given.get(b"nc") == (b"0000002a" if qop else None)
        assert given.get(b"qop", b"") == (b"auth" if b"auth" in qop.split(b",") else qop)

    def test_quotes_go_back_as_they_came_and_are_hashed_without(self) -> None:
        """RFC 7616 §3.4: what is hashed is the value; a quoted-pair stands for its second octet (RFC 7230 §3.2.6)."""
        challenge = Challenge.parse(rb'Digest realm="a, \"b\" \\ \c", nonce="n\=", opaque="\o,"')
        value = answer(challenge, Credentials('DOM\\bo"b', "p:w"), b"BYE", b"sip:x@y", b"", 1, b"c")
        for part in (rb'realm="a, \"b\" \\ \c"', rb'nonce="n\="', rb'opaque="\o,"', rb'username="DOM\\bo\"b"'):
            assert part in value
        given = taken_apart(value)
        assert given[b"realm"] == rb'a, "b" \ c'
        assert given[b"response"] == expected(given, b'DOM\\bo"b', b"p:w", b"BYE", b"")

    def test_what_had_no_quotes_gets_them(self) -> None:
        value = answer(Challenge.parse(b"Digest realm=r, nonce=n=, opaque="), BOB, b"BYE", b"sip:x@y", b"", 1, b"c")
        assert b'realm="r", nonce="n=", ' in value
        assert value.endswith(b', opaque=""')

    def test_nothing_of_ours_begins_a_line(self) -> None:
        challenge = Challenge.parse(BILOXI + b", qop=auth")
        value = answer(challenge, Credentials("a\r\nb", "c\r\nd", None), b"BYE", b"sip:\r\nx", b"", 1, b"e\r\nf")
        assert b"\r" not in value
        assert b"\n" not in value

    @given(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=40), st.binary(max_size=40), st.binary())
    def test_any_name_password_and_body(
        self, username: str, password: str, realm: bytes, nonce: bytes, body: bytes
    ) -> None:
        realm, nonce = (text.translate(None, b"\r\n\0\x0b\x0c") for text in (realm, nonce))
        quoted = [b'"' + re.sub(rb'(["\\])', rb"\\\1", text) + b'"' for text in (realm, nonce)]
        username = username.translate({10: None, 13: None})
        challenge = Challenge.parse(b"Digest realm=%b, nonce=%b, qop=auth-int, algorithm=SHA-256" % tuple(quoted))
        given = taken_apart(answer(challenge, Credentials(username, password), b"INVITE", b"sip:x@y", body, 1, b"c"))
        assert given[b"realm"] == realm
        assert given[b"username"] == username.encode()
        assert given[b"response"] == expected(given, username.encode(), password.encode(), b"INVITE", body)

    def test_who_does_not_ask_first_is_told(self) -> None:
        for extra in (b", algorithm=SHA3", b", qop=auth-conf"):
            with pytest.raises(AssertionError, match="supported"):
                answer(Challenge.parse(BILOXI + extra), BOB, b"BYE", b"sip:x@y", b"", 1, b"c")


def test_every_algorithm_of_the_registry_is_there() -> None:
    assert set(HASHES) == {b"md5", b"sha-256", b"sha-512-256"}


def test_the_password_is_never_shown() -> None:
    secret = Credentials("bob", "hunter2-\ud800", "r")
    assert repr(secret) == str(secret) == f"{secret}" == "Credentials(username='bob', realm='r')"
    challenge = Challenge.parse(BILOXI)
    assert b"hunter2" not in answer(challenge, secret, b"BYE", b"sip:x@y", b"", 1, b"c"), "no text fails to encode"
    with pytest.raises(AssertionError) as caught:
        answer(challenge, secret, b"BYE", b"sip:x@y", b"", 0, b"c")
    assert "hunter2" not in repr(caught.value) + str(caught.value)
    assert secret.fits(b"r")
    assert not secret.fits(b"R")


# ---- challenges


NASTY: list[tuple[bytes, dict[str, object]]] = [
    (b'Digest realm="a, b", nonce="1"', {"realm_text": b"a, b"}),
    (rb'Digest realm="a \"b\", nonce=\"2\"", nonce="1"', {"realm_text": b'a "b", nonce="2"', "nonce": b'"1"'}),
    (b'DIGEST  ReaLM = "r"  ,NONCE\t="1", ALGORITHM = "md5"', {"algorithm": b"md5", "supported": True}),
    (b'digest\trealm="r",nonce="1",qop="AUTH-INT , auth"', {"qop": (b"auth-int", b"auth"), "supported": True}),
    (b'Digest realm="r", nonce="1", qop=auth,auth-int, stale=TRUE', {"qop": (b"auth", b"auth-int"), "stale": True}),
    (b'Digest realm="r", nonce="1", qop=auth,auth-conf,opaque=x', {"qop": (b"auth", b"auth-conf"), "opaque": b'"x"'}),
    (b'Digest qop=auth, realm="r", nonce="1"', {"qop": (b"auth",), "realm": b'"r"'}),
    (b'Digest realm="r", nonce="1", qop=""', {"qop": (), "supported": True}),
    (b'Digest realm="r", nonce="1", qop="token"', {"qop": (b"token",), "supported": False}),
    (b'Digest realm="r", nonce="1", stale="true"', {"stale": True}),
    (b'Digest realm="r", nonce="1", stale=falsetrue', {"stale": False}),
    (b'Digest realm="r", nonce="1", algorithm=AKAv1-MD5', {"supported": False, "algorithm": b"AKAv1-MD5"}),
    (b'Digest realm="r", nonce="1", algorithm=""', {"supported": False}),
    (b'Digest realm="r", nonce="1", algorithm=-sess', {"supported": False}),
    (b'Digest realm="r", nonce="1", algorithm=sha-256-SESS', {"supported": True, "is_session": True}),
    (b'Digest realm="r", nonce="1", , ,', {"nonce": b'"1"'}),
    (b'Digest ,realm="r", nonce="1"', {"realm": b'"r"'}),
    (b'Digest , realm="r", nonce="1", nonce="1"', {"nonce": b'"1"'}),
    (b"Digest realm=Office PBX, nonce=a==", {"realm": b'"Office PBX"', "nonce": b'"a=="'}),
    (b'Digest realm="", nonce=""', {"realm": b'""', "nonce": b'""'}),
    (b'Digest realm="Z\xc3\xbcrich \xfc", nonce="1"', {"realm_text": b"Z\xc3\xbcrich \xfc"}),
    (b'Digest realm="r", nonce="<1", x-new="a,b=c", y=z', {"nonce": b'"<1"'}),
    (b'Digest realm="r", nonce="1", domain="sip:a sip:b", charset=utf-8', {"domain": b"sip:a sip:b"}),
    (b'Digest realm="r", nonce="1", userhash=True, opaque=""', {"userhash": True, "opaque": b'""'}),
]  # fmt: skip


@pytest.mark.parametrize(("value", "expected_"), NASTY)
def test_nasty_challenge_is_read(value: bytes, expected_: dict[str, object]) -> None:
    challenge = Challenge.parse(value)
    assert {name: getattr(challenge, name) for name in expected_} == expected_
    assert Challenge.parse(challenge.to_bytes()) == challenge


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b" , ",
        b"Digest",
        b'Digest realm="r"',
        b'Digest nonce="1"',
        b'realm="r", nonce="1"',
        b'Basic realm="r"',
        b'Digest realm="r", nonce="1", Basic realm="r"',
        b'Digest realm="r, nonce="1"',
        b'Digest realm="r" nonce="1"',
        b'Digest realm="r"x, nonce="1"',
        b'Digest realm=r"x", nonce="1"',
        b'Digest realm="r\\", nonce=1',
        b'Digest realm="r", nonce="1", nonce="2"',
        b'Digest realm="r", nonce="1\r\nVia: x"',
        b'Digest realm="r", nonce="1\0"',
        b'Digest realm="r", nonce="1", "x"="y"',
        b'"Digest" realm="r", nonce="1"',
        b'Digest realm="r", nonce="%b"' % (b"n" * MAX_CHALLENGE_BYTES),
        b"Digest " + b"x=y, " * 2000,
        b"Digest " + b'x="y", ' * 2000,
    ],
)
def test_nonsense_is_an_error(value: bytes) -> None:
    with pytest.raises(WireError):
        Challenge.parse(value)


@given(st.binary(max_size=300) | st.builds(b'Digest realm="r", nonce="n", '.__add__, st.binary(max_size=100)))
def test_any_bytes_are_read_or_refused(value: bytes) -> None:
    try:
        challenge = Challenge.parse(value)
    except WireError:
        return
    assert Challenge.parse(challenge.to_bytes()) == challenge
    if challenge.supported:
        given = taken_apart(answer(challenge, BOB, b"BYE", b"sip:x@y", b"", 1, b"c"))
        given[b"algorithm"] = (challenge.algorithm or b"MD5").upper().replace(b"SESS", b"sess")
        assert given[b"response"] == expected(given, b"bob", b"zanzibar", b"BYE", b"")


TEXT = st.binary(max_size=20).map(lambda text: text.translate(None, b"\r\n\0\x0b\x0c"))
QUOTED = TEXT.map(lambda text: b'"' + re.sub(rb'(["\\])', rb"\\\1", text) + b'"')
TOKENS = st.from_regex(rb"[a-z0-9-]{1,8}", fullmatch=True)


@given(
    st.builds(
        Challenge,
        realm=QUOTED,
        nonce=QUOTED,
        algorithm=st.none() | TEXT | st.sampled_from([b"MD5", b"sha-256"]),
        qop=st.lists(TOKENS, max_size=3).map(tuple),
        opaque=st.none() | QUOTED,
        stale=st.booleans(),
        userhash=st.booleans(),
        domain=st.none() | TEXT,
        charset=st.none() | TEXT,
    )
)
def test_what_is_printed_reads_the_same(challenge: Challenge) -> None:
    assert Challenge.parse(challenge.to_bytes()) == challenge
    assert challenges(refusal(b"WWW-Authenticate: " + challenge.to_bytes())) == (
        [(b"authorization", challenge)] if challenge.supported else []
    )


EIGHT = 8_100
NASTINESS = {
    "commas": b"," * EIGHT,
    "quotes": b'"' * EIGHT,
    "pairs of quotes": b'"",' * (EIGHT // 3),
    "backslashes": b'"' + b"\\" * EIGHT,
    "escaped quotes": b'"' + b'\\"' * (EIGHT // 2),
    "escaped quotes, closed": b'x="' + b'\\"' * (EIGHT // 2 - 10) + b'"',
    "angle brackets": b"<" * EIGHT,
    "angle brackets, paired": b"<>," * (EIGHT // 3),
    "parameters": b"a=b," * (EIGHT // 4),
    "quoted parameters": b'a="",' * (EIGHT // 5),
    "different parameters": b",".join(b"%x=" % number for number in range(EIGHT // 6)),
    "schemes": b"a b," * (EIGHT // 4),
    "Digests": b"Digest," * (EIGHT // 7),
    "qops": b"qop=auth" + b",auth" * (EIGHT // 5 - 2),
    "blanks": b"a" + b" " * EIGHT + b"=",
    "blanks between": b" ,  " * (EIGHT // 4),
    "equals": b"=" * EIGHT,
    "a name": b"a" * EIGHT,
    "whole challenges": b'Digest realm="r",nonce="n",' * (EIGHT // 27),
    "tabs and equals": b"\t=" * (EIGHT // 2),
}


@pytest.mark.parametrize("beginning", [b"", b'Digest realm="r", nonce="n", '], ids=["alone", "in a challenge"])
@pytest.mark.parametrize("nastiness", NASTINESS.values(), ids=NASTINESS)
def test_8_kb_of_nastiness_take_under_5_ms(nastiness: bytes, beginning: bytes) -> None:
    message = refusal(b"WWW-Authenticate: " + beginning + nastiness)
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        with suppress(WireError):
            choose(challenges(message))
        best = min(best, time.perf_counter() - started)
    assert best < 0.005, f"{best * 1000:.1f} ms"


@pytest.mark.parametrize(
    "piece", [b'realm="r",nonce="n",' + b"a=b," * 1900, b'realm="' + b"\\a" * 3900 + b'",nonce="n"']
)
def test_a_whole_datagram_of_challenges_takes_under_5_ms(piece: bytes) -> None:
    message = refusal(b"\r\n".join([b"WWW-Authenticate: Digest " + piece] * 7))
    best = 1.0
    for _ in range(5):
        started = time.perf_counter()
        with suppress(WireError):
            choose(challenges(message))
        best = min(best, time.perf_counter() - started)
    assert best < 0.005, f"{best * 1000:.1f} ms"


# ---- several of them


def test_challenges_on_several_lines_and_on_one() -> None:
    message = refusal(
        b'WWW-Authenticate: Bearer realm="a", Digest realm="a", nonce="1", algorithm=SHA-256, qop="auth", '
        b'Digest realm="a, Digest b", nonce="2", Negotiate dGVzdA==, NTLM, Basic realm="x"',
        b'www-authenticate: Digest realm="a", nonce="3"',
        b'Proxy-Authenticate: Digest\r\n realm="a",\r\n nonce="4"',
        b'Proxy-Authenticate: Digest realm="a", nonce="5", algorithm=SHA-3',
    )
    assert [(header, challenge.nonce, challenge.realm_text) for header, challenge in challenges(message)] == [
        (b"authorization", b'"1"', b"a"),
        (b"authorization", b'"2"', b"a, Digest b"),
        (b"authorization", b'"3"', b"a"),
        (b"proxy-authorization", b'"4"', b"a"),
    ]
    chosen = choose(challenges(message))
    assert {domain: challenge.nonce for domain, challenge in chosen.items()} == {
        (b"authorization", b"a"): b'"1"',
        (b"authorization", b"a, Digest b"): b'"2"',
        (b"proxy-authorization", b"a"): b'"4"',
    }


def test_the_topmost_that_we_support_is_chosen() -> None:
    """RFC 8760 §2.4."""
    lines = [
        b'WWW-Authenticate: Digest realm="r", nonce="1", algorithm=SHA3-512',
        b'WWW-Authenticate: Digest realm="r", nonce="2", algorithm=SHA-512-256, qop="auth-conf"',
        b'WWW-Authenticate: Digest realm="r", nonce="3", algorithm=SHA-256',
        b'WWW-Authenticate: Digest realm="r", nonce="4", algorithm=SHA-512-256',
        b'WWW-Authenticate: Digest realm="r", nonce="5"',
    ]
    assert [challenge.nonce for challenge in choose(challenges(refusal(*lines))).values()] == [b'"3"']
    assert [challenge.nonce for challenge in choose(challenges(refusal(*lines[::-1]))).values()] == [b'"5"']


def test_what_cannot_be_read_is_passed_over_unless_nothing_else_is_there() -> None:
    good = b'WWW-Authenticate: Digest realm="r", nonce="1"'
    assert len(challenges(refusal(b'WWW-Authenticate: Digest realm="r', b"WWW-Authenticate: Digest a=b", good))) == 1
    with pytest.raises(WireError, match="never closed"):
        challenges(refusal(b'WWW-Authenticate: Digest realm="r', b"WWW-Authenticate: Digest a=b"))
    assert challenges(refusal()) == []
    assert challenges(refusal(b'WWW-Authenticate: Bearer realm="r"')) == []


def test_a_flood_of_challenges_is_cut() -> None:
    flood = b", ".join(b'Digest realm="%d", nonce="1"' % number for number in range(10))
    assert len(challenges(refusal(*[b"Proxy-Authenticate: " + flood] * 10, status=407))) == MAX_CHALLENGES


@pytest.mark.parametrize(
    ("value", "nonce"),
    [
        (b'nextnonce="abc"', b'"abc"'),
        (b'qop=auth, rspauth="x,y", NextNonce = "a\\"c", nc=00000001', b'"a\\"c"'),
        (b"nextnonce=abc", b'"abc"'),
        (b'rspauth="x"', None),
        (b'nextnonce="abc', None),
        (b'nextnonce="abc", nonsense', None),
        (b'nextnonce="a\r\nb"', None),
        (b"nextnonce=" + b"a" * MAX_CHALLENGE_BYTES, None),
        (b"", None),
    ],
)
def test_next_nonce(value: bytes, nonce: bytes | None) -> None:
    assert next_nonce(value) == nonce
