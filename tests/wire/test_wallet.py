"""One request on its way through challenges, and what the next one need not be asked again.

The servers are `tests.kit.digest.Doorman`: they compute for themselves and count every nonce strictly.
"""

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sipfailover.wire import Challenge, Credentials, Exchange, Message, Outcome, Wallet
from sipfailover.wire.limits import MAX_DOMAINS, MAX_NONCE_COUNT, MAX_TRIES
from tests.kit.digest import Doorman, taken_apart

URI = b"sip:+41443210019@carrier.example"
BOB = Credentials("bob", "zanzibar")
AGAIN, REFUSED = Outcome.AGAIN, Outcome.REFUSED
UNANSWERABLE, GIVEN_UP = Outcome.UNANSWERABLE, Outcome.GIVEN_UP


def response(status: int, *lines: bytes) -> Message:
    return Message(
        b"SIP/2.0 %d Hm\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\n"
        b"Call-ID: 1\r\nCSeq: 1 INVITE\r\n%b\r\n" % (status, b"".join(line + b"\r\n" for line in lines))
    )


class Way:
    """Proxies and at last a server, each perhaps with a doorman; a request goes along it until somebody stops it."""

    def __init__(self, *doormen: Doorman | None, server: Doorman | None = None, info: bytes = b"") -> None:
        self.proxies = [doorman for doorman in doormen if doorman]
        self.server = server
        self.info = info
        self.requests: list[list[bytes]] = []
        self.verdicts: list[str] = []
        self.final = 200

    def request(self, wallet: Wallet, method: bytes = b"INVITE") -> Outcome | None:
        """None: it got through. Otherwise what the exchange said at last; `requests` has what was sent."""
        self.requests, self.verdicts = [], []
        self.exchange = wallet.exchange()
        while True:
            lines = self.exchange.lines(method, URI, b"", b"cnonce%d" % len(self.requests))
            self.requests.append(lines)
            assert len(self.requests) < 20, "it never ends"
            stopped = self._stopped(lines, method)
            if stopped is None:
                self.exchange.accepted(response(self.final, *([self.info] if self.info else [])))
                return None
            outcome = self.exchange.challenged(stopped)
            if outcome is not AGAIN:
                assert self.exchange.why
                return outcome

    def _stopped(self, lines: list[bytes], method: bytes) -> Message | None:
        for header, door, status, asks in [
            *((b"Proxy-Authorization: ", proxy, 407, b"Proxy-Authenticate: ") for proxy in self.proxies),
            *([(b"Authorization: ", self.server, 401, b"WWW-Authenticate: ")] if self.server else []),
        ]:
            mine = [line[len(header) :] for line in lines if line.startswith(header)]
            mine = [value for value in mine if taken_apart(value)[b"realm"] == door.realm]
            assert len(mine) <= 1, "one answer for each realm"
            verdict = door.verdict(mine[0] if mine else None, method)
            self.verdicts.append(verdict)
            if verdict != "good":
                return response(status, asks + door.challenge(stale=verdict == "stale"))
        return None

    def counts(self) -> list[list[bytes]]:
        return [[taken_apart(line.partition(b": ")[2])[b"nc"] for line in lines] for lines in self.requests]


def door(realm: bytes = b"carrier.example", extra: bytes = b', qop="auth"') -> Doorman:
    return Doorman(realm, b"bob", b"zanzibar", extra)


def asked(status: int, *challenges: bytes) -> Message:
    name = b"WWW-Authenticate: " if status == 401 else b"Proxy-Authenticate: "
    return response(status, *(name + b"Digest " + challenge for challenge in challenges))


def begun(wallet: Wallet) -> tuple[Exchange, list[bytes]]:
    exchange = wallet.exchange()
    return exchange, exchange.lines(b"INVITE", URI, b"", b"c")


# ---- the usual ways


def test_nothing_is_sent_to_who_does_not_ask() -> None:
    way = Way()
    assert way.request(Wallet([BOB])) is None
    assert way.requests == [[]]
    assert way.exchange.sent == []


@pytest.mark.parametrize("extra", [b"", b', qop="auth"', b', qop=auth-int, algorithm=SHA-256, opaque="o"'])
def test_the_second_request_needs_no_challenge(extra: bytes) -> None:
    way, wallet = Way(server=door(extra=extra)), Wallet([BOB])
    assert way.request(wallet) is None
    assert [len(lines) for lines in way.requests] == [0, 1]
    assert way.request(wallet, b"BYE") is None
    assert [len(lines) for lines in way.requests] == [1]


def test_the_nonce_count_rises_in_hexadecimal() -> None:
    way, wallet = Way(door()), Wallet([BOB])
    assert way.request(wallet) is None
    counts = []
    for _ in range(11):
        assert way.request(wallet) is None
        counts += way.counts()
    assert counts[0] == [b"00000002"]
    assert counts[-2:] == [[b"0000000b"], [b"0000000c"]]


def test_a_proxy_and_then_the_far_end() -> None:
    way, wallet = Way(door(b"proxy"), server=door(b"proxy")), Wallet([BOB])
    assert way.request(wallet) is None
    assert [[line.partition(b":")[0] for line in lines] for lines in way.requests] == [
        [],
        [b"Proxy-Authorization"],
        [b"Proxy-Authorization", b"Authorization"],
    ]
    assert way.counts()[-1] == [b"00000002", b"00000001"]
    assert way.request(wallet) is None
    assert way.counts() == [[b"00000003", b"00000002"]]


def test_two_proxies_with_two_realms_and_two_passwords() -> None:
    other = Doorman(b"other, realm", b"alice", b"wonder")
    wallet = Wallet([BOB, Credentials("alice", "wonder", "other, realm")])
    way = Way(door(), other)
    assert way.request(wallet) is None
    assert len(way.requests) == 3
    assert way.request(wallet) is None
    assert len(way.requests) == 1


def test_401_and_407_at_once() -> None:
    """A forking proxy puts the challenges of all branches into one response (RFC 3261 §22.3)."""
    exchange, _ = begun(Wallet([BOB]))
    both = response(
        407,
        b'WWW-Authenticate: Digest realm="a", nonce="1", Digest realm="b", nonce="2"',
        b'Proxy-Authenticate: Digest realm="a", nonce="3"',
    )
    assert exchange.challenged(both) is AGAIN
    lines = exchange.lines(b"INVITE", URI, b"", b"c")
    assert [line.partition(b":")[0] for line in lines] == [b"Authorization", b"Authorization", b"Proxy-Authorization"]
    assert [taken_apart(line.partition(b": ")[2])[b"nonce"] for line in lines] == [b"1", b"2", b"3"]


def test_headers_are_the_lines_as_compose_takes_them_and_ack_repeats_them() -> None:
    exchange, _ = begun(Wallet([BOB]))
    assert exchange.challenged(asked(407, b'realm="a", nonce="1", qop=auth')) is AGAIN
    headers = exchange.headers(b"INVITE", URI, b"", b"c")
    assert [name for name, _ in headers] == [b"proxy-authorization"]
    assert exchange.sent == headers


# ---- nonces that grow old


def test_stale_is_tried_again_at_once() -> None:
    server = door()
    way, wallet = Way(server=server), Wallet([BOB])
    assert way.request(wallet) is None
    server.expire()
    assert way.request(wallet) is None
    assert way.verdicts == ["stale", "good"]
    assert way.counts() == [[b"00000002"], [b"00000001"]]
    assert wallet.refused == set()


def test_a_server_that_forgot_its_nonces_and_says_nothing_of_stale() -> None:
    """After its restart the nonce used ahead is unknown. That is no wrong password."""
    server = door()
    way, wallet = Way(server=server), Wallet([BOB])
    assert way.request(wallet) is None
    server.counts.clear()
    assert way.request(wallet) is None
    assert way.verdicts == ["not for a challenge of mine", "good"]


def test_a_proxy_with_nonces_for_one_request_and_a_far_end_behind_it() -> None:
    """It asks anew, without stale, after it let us pass: that is no wrong password either."""
    exchange, _ = begun(Wallet([BOB]))
    assert exchange.challenged(asked(407, b'realm="p", nonce="1", qop=auth')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    assert exchange.challenged(asked(401, b'realm="s", nonce="2", qop=auth')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    assert exchange.challenged(asked(407, b'realm="p", nonce="3", qop=auth')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    assert exchange.challenged(asked(407, b'realm="p", nonce="4", qop=auth')) is REFUSED


@pytest.mark.parametrize("name", [b"Authentication-Info", b"AUTHENTICATION-INFO"])
def test_nextnonce_is_used_from_one_on(name: bytes) -> None:
    server = door()
    way, wallet = Way(server=server, info=name + b': qop=auth, nextnonce="next"'), Wallet([BOB])
    assert way.request(wallet) is None
    server.expire()
    server.counts[b"next"] = 0
    assert way.request(wallet) is None
    assert len(way.requests) == 1
    assert b'nonce="next"' in way.requests[0][0]
    assert way.counts() == [[b"00000001"]]
    assert way.request(wallet) is None
    assert way.counts() == [[b"00000002"]], "the same nextnonce again is the nonce we have"


def test_nextnonce_of_a_proxy() -> None:
    proxy = door()
    way, wallet = Way(proxy, info=b'Proxy-Authentication-Info: nextnonce="next"'), Wallet([BOB])
    assert way.request(wallet) is None
    proxy.counts[b"next"] = 0
    assert way.request(wallet) is None
    assert b'nonce="next"' in way.requests[0][0]


def test_nextnonce_that_could_mean_two_realms_is_passed_over() -> None:
    exchange, _ = begun(wallet := Wallet([BOB]))
    assert exchange.challenged(asked(401, b'realm="a", nonce="1"', b'realm="b", nonce="2"')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    exchange.accepted(response(200, b'Authentication-Info: nextnonce="next"'))
    assert [b'nonce="next"' in line for line in begun(wallet)[1]] == [False, False]


def test_a_late_answer_does_not_bring_back_a_nonce_that_was_followed_by_another() -> None:
    exchange, _ = begun(wallet := Wallet([BOB]))
    assert exchange.challenged(asked(401, b'realm="a", nonce="1"')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    exchange.accepted(response(200))
    slow, _ = begun(wallet)
    quick, _ = begun(wallet)
    quick.accepted(response(200, b'Authentication-Info: nextnonce="2"'))
    slow.accepted(response(486))
    assert b'nonce="2"' in begun(wallet)[1][0]


def test_the_session_keeps_its_first_cnonce_and_begins_anew_with_a_nonce() -> None:
    """RFC 7616 §3.4.2 reckons A1 with the first cnonce, many servers with the present one: it is always the same."""
    server = door(extra=b', qop="auth", algorithm=SHA-256-sess')
    way, wallet = Way(server=server), Wallet([BOB])
    assert way.request(wallet) is None
    assert way.request(wallet) is None
    assert b'cnonce="cnonce1"' in way.requests[0][0]
    way.info = b'Authentication-Info: nextnonce="next"'
    assert way.request(wallet) is None
    assert way.request(wallet) is None
    assert way.requests[0] == [], "whether nextnonce begins a new session is read both ways: better be asked"


def test_a_nonce_that_is_used_up_is_not_used_ahead() -> None:
    way, wallet = Way(server=door()), Wallet([BOB])
    assert way.request(wallet) is None
    next(iter(wallet._nonces.values())).count = MAX_NONCE_COUNT - 1
    assert way.request(wallet) is None
    assert way.counts() == [[b"ffffffff"]]
    assert way.request(wallet) is None
    assert way.counts() == [[], [b"00000001"]]


# ---- when to stop


def test_a_wrong_password_is_tried_once() -> None:
    way, wallet = Way(server=Doorman(b"r", b"bob", b"other")), Wallet([BOB])
    assert way.request(wallet) is REFUSED
    assert [len(lines) for lines in way.requests] == [0, 1]
    assert way.exchange.why == 'server "r" refuses user name or password'
    assert repr(wallet) == '<Wallet bob, 0 nonces in use, refused by server "r">'


def test_a_password_changed_by_the_carrier_is_noticed_and_put_right() -> None:
    server = door()
    way, wallet = Way(server=server), Wallet([BOB])
    assert way.request(wallet) is None
    server.password = b"other"
    assert way.request(wallet) is REFUSED
    assert [len(lines) for lines in way.requests] == [1, 1], "ahead, and once with a nonce that is surely fresh"
    assert way.request(wallet) is REFUSED
    assert [len(lines) for lines in way.requests] == [0, 1]
    server.password = b"zanzibar"
    assert way.request(wallet) is None
    assert wallet.refused == set()


def test_stale_for_ever_is_given_up() -> None:
    exchange, _ = begun(wallet := Wallet([BOB]))
    for number in range(MAX_TRIES):
        assert exchange.challenged(asked(401, b'realm="r", nonce="%d", stale=true' % number)) is AGAIN
        exchange.lines(b"INVITE", URI, b"", b"c")
    assert exchange.challenged(asked(401, b'realm="r", nonce="x", stale=true')) is GIVEN_UP
    assert exchange.why == "challenged 5 times"
    assert wallet.refused == set()


def test_a_new_realm_every_time_is_given_up() -> None:
    exchange, _ = begun(Wallet([BOB]))
    outcomes = []
    for number in range(MAX_TRIES + 1):
        outcomes.append(exchange.challenged(asked(401, *(b'realm="%d.%d", nonce="1"' % (number, n) for n in range(9)))))
        realms = [taken_apart(value)[b"realm"] for _, value in exchange.headers(b"INVITE", URI, b"", b"c")]
        answered = min(number, MAX_TRIES - 1)
        assert realms == [b"%d.%d" % (answered, n) for n in range(MAX_DOMAINS)], "the topmost of those who asked last"
    assert outcomes == [AGAIN] * MAX_TRIES + [GIVEN_UP]


@pytest.mark.parametrize(("tail", "outcome"), [(b"", REFUSED), (b", stale=true", GIVEN_UP)])
def test_the_same_nonce_is_never_tried_twice(tail: bytes, outcome: Outcome) -> None:
    exchange, _ = begun(Wallet([BOB]))
    assert exchange.challenged(asked(401, b'realm="r", nonce="1"')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    assert exchange.challenged(asked(401, b'realm="r", nonce="1"' + tail)) is outcome


def test_who_likes_his_only_nonce_once_is_asked_each_time() -> None:
    """A nonce that never changes and may not be counted on: the first call finds out, the others go through."""
    wallet = Wallet([BOB])
    only = asked(401, b'realm="r", nonce="1", qop=auth')
    results = []
    for _ in range(4):
        exchange, lines = begun(wallet)
        outcome = exchange.challenged(only)
        results.append((len(lines), outcome))
        if outcome is AGAIN:
            assert b"nc=00000001" in exchange.lines(b"INVITE", URI, b"", b"c")[0]
            exchange.accepted(response(200))
    assert results == [(0, AGAIN), (1, GIVEN_UP), (0, AGAIN), (0, AGAIN)]
    assert wallet.refused == set()


def test_without_credentials_or_a_known_challenge_there_is_no_answer() -> None:
    alice = Wallet([Credentials("alice", "x", "wonderland")])
    exchange, _ = begun(alice)
    assert exchange.challenged(asked(407, b'realm="r", nonce="1"')) is UNANSWERABLE
    assert exchange.why == 'no credentials for proxy "r"'
    assert exchange.challenged(asked(407, b'realm="r", nonce="1", algorithm=X')) is UNANSWERABLE
    assert exchange.why == "no known challenge"
    assert exchange.challenged(response(401)) is UNANSWERABLE
    assert exchange.challenged(asked(401, b'realm="r')) is UNANSWERABLE
    assert exchange.why.startswith("cannot read the challenge: quote is never closed")
    assert exchange.lines(b"INVITE", URI, b"", b"c") == []
    assert begun(Wallet())[0].challenged(asked(401, b'realm="r", nonce="1"')) is UNANSWERABLE


def test_one_realm_that_we_know_is_enough_to_try() -> None:
    """RFC 8760 §2.4: any one of the realms."""
    exchange, _ = begun(Wallet([Credentials("bob", "x", "b")]))
    assert exchange.challenged(asked(401, b'realm="a", nonce="1"', b'realm="b", nonce="2"')) is AGAIN
    assert [b'realm="b"' in line for line in exchange.lines(b"INVITE", URI, b"", b"c")] == [True]
    assert exchange.challenged(asked(401, b'realm="a", nonce="3"')) is UNANSWERABLE


# ---- what a final response says about a nonce


@pytest.mark.parametrize(
    ("status", "ahead"),
    [(200, True), (302, True), (404, True), (486, True), (603, True), (403, False), (503, False), (180, False)],
)
def test_only_who_got_through_is_used_ahead(status: int, ahead: bool) -> None:
    exchange, _ = begun(wallet := Wallet([BOB]))
    assert exchange.challenged(asked(401, b'realm="r", nonce="1"')) is AGAIN
    assert begun(wallet)[1] == [], "not before it got through"
    exchange.lines(b"INVITE", URI, b"", b"c")
    exchange.accepted(response(status))
    assert bool(begun(wallet)[1]) is ahead


def test_who_hears_ringing_has_got_through() -> None:
    exchange, _ = begun(wallet := Wallet([BOB]))
    assert exchange.challenged(asked(401, b'realm="r", nonce="1"')) is AGAIN
    exchange.lines(b"INVITE", URI, b"", b"c")
    exchange.passed()
    assert begun(wallet)[1]


def test_after_a_403_the_good_nonce_goes_and_after_a_500_it_stays() -> None:
    for status, kept in ((500, True), (403, False)):
        way, wallet = Way(server=door()), Wallet([BOB])
        assert way.request(wallet) is None
        way.final = status
        assert way.request(wallet) is None
        assert bool(begun(wallet)[1]) is kept


# ---- many at once


def test_calls_at_once_with_one_nonce_count_together() -> None:
    """A server that hands out the same nonce for a while and takes every count once."""
    wallet, server = Wallet([BOB]), door()
    only = asked(401, server.challenge().removeprefix(b"Digest "))
    exchanges = [begun(wallet)[0] for _ in range(5)]
    for exchange in exchanges:
        assert exchange.challenged(only) is AGAIN
    for exchange in exchanges:
        line = exchange.lines(b"INVITE", URI, b"", b"c")[0]
        assert server.verdict(line.partition(b": ")[2], b"INVITE") == "good"


def test_calls_at_once_with_their_own_nonces_do_not_disturb_each_other() -> None:
    wallet, server = Wallet([BOB]), door()
    exchanges = [begun(wallet)[0] for _ in range(5)]
    for exchange in exchanges:
        assert exchange.challenged(asked(401, server.challenge().removeprefix(b"Digest "))) is AGAIN
    for exchange in reversed(exchanges):
        line = exchange.lines(b"INVITE", URI, b"", b"c")[0]
        assert server.verdict(line.partition(b": ")[2], b"INVITE") == "good"
        exchange.accepted(response(200))
    assert server.verdict(begun(wallet)[1][0].partition(b": ")[2], b"INVITE") == "good"


def test_a_good_nonce_stays_in_use_while_another_call_answers_its_own() -> None:
    wallet = Wallet([BOB])
    early, _ = begun(wallet)
    first, _ = begun(wallet)
    assert first.challenged(asked(401, b'realm="r", nonce="1"')) is AGAIN
    first.lines(b"INVITE", URI, b"", b"c")
    first.accepted(response(200))
    assert early.challenged(asked(401, b'realm="r", nonce="2"')) is AGAIN
    assert b'nonce="2"' in early.lines(b"INVITE", URI, b"", b"c")[0]
    assert b'nonce="1"' in begun(wallet)[1][0]


def test_a_thousand_realms_leave_a_small_wallet() -> None:
    wallet = Wallet([BOB])
    for number in range(1000):
        exchange, _ = begun(wallet)
        challenge = b'realm="%d", nonce="1", qop=auth' % number
        assert exchange.challenged(asked(401, challenge)) is AGAIN
        exchange.lines(b"INVITE", URI, b"", b"c")
        if number % 3:
            exchange.accepted(response(200))
        else:
            assert exchange.challenged(asked(401, challenge)) is REFUSED
    assert len(wallet._nonces) <= MAX_DOMAINS
    assert len(wallet.refused) <= MAX_DOMAINS
    assert len(begun(wallet)[1]) <= MAX_DOMAINS


# ---- whatever comes


STATUS = st.sampled_from([401, 407, 401, 407, 200, 403, 486, 503, 180])
CHALLENGE = st.builds(
    b'%b: Digest realm="%d", nonce="%d"%b'.__mod__,
    st.tuples(
        st.sampled_from([b"WWW-Authenticate", b"Proxy-Authenticate"]),
        st.integers(0, 5),
        st.integers(0, 3),
        st.sampled_from([b"", b", qop=auth", b", stale=true", b", algorithm=SHA-256-sess, qop=auth", b", algorithm=x"]),
    ),
)
INFO = st.builds(b'Authentication-Info: nextnonce="%d"'.__mod__, st.integers(0, 3))


@given(st.lists(st.tuples(st.integers(0, 2), STATUS, st.lists(CHALLENGE, max_size=4), st.none() | INFO), max_size=30))
def test_no_answer_is_ever_sent_twice_and_no_request_goes_on_for_ever(
    story: list[tuple[int, int, list[bytes], bytes | None]],
) -> None:
    """Three requests under way at once, any responses in any order."""
    wallet = Wallet([BOB])
    under_way = {number: begun(wallet) for number in range(3)}
    tries = dict.fromkeys(range(3), 0)
    for number, status, lines, info in story:
        exchange, sent = under_way[number]
        message = response(status, *lines, *([info] if info else []))
        assert len(sent) <= 2 * MAX_DOMAINS
        outcome = exchange.challenged(message) if status in (401, 407) else exchange.accepted(message)
        if outcome is AGAIN:
            before = {
                (name, taken_apart(value)[b"realm"]): taken_apart(value)[b"nonce"] for name, value in exchange.sent
            }
            tries[number] += 1
            assert tries[number] <= MAX_TRIES
            under_way[number] = (exchange, exchange.lines(b"INVITE", URI, b"", b"c"))
            after = {
                (name, taken_apart(value)[b"realm"]): taken_apart(value)[b"nonce"] for name, value in exchange.sent
            }
            asked_again = {
                (b"authorization" if header == b"WWW-Authenticate" else b"proxy-authorization", challenge.realm_text)
                for header, _, value in (line.partition(b": ") for line in lines)
                if (challenge := Challenge.parse(value)).supported
            }
            for domain in asked_again & before.keys():
                assert before[domain] != after.get(domain), "the nonce that was just turned down"
        elif status != 180:
            under_way[number], tries[number] = begun(wallet), 0
    assert "zanzibar" not in repr(wallet)


# ---- what people see


def test_the_password_is_in_no_picture_and_no_traceback() -> None:
    secret = "hunter2"
    wallet = Wallet([Credentials("bob", secret), Credentials("alice", secret, "r")])
    exchange, _ = begun(wallet)
    shown = [repr(wallet), repr(exchange)]
    for message in (
        asked(407, b'realm="r", nonce="1"'),
        asked(407, b'realm="r", nonce="2", stale=true'),
        asked(407, b'realm="r'),
        asked(407, b'realm="r", nonce="3"'),
    ):
        outcome = exchange.challenged(message)
        shown += [repr(outcome), exchange.why, repr(exchange), repr(wallet), repr(exchange.sent)]
        shown += map(repr, exchange.lines(b"INVITE", URI, b"", b"c"))
    for broken in (None, "text"):
        try:
            exchange.lines(b"INVITE", URI, broken, b"c")  # type: ignore[arg-type]
        except (TypeError, AssertionError) as error:
            shown += traceback.format_exception(error)
    assert outcome is REFUSED
    assert not [text for text in shown if secret in text]


def test_pictures_tell_an_operators_story() -> None:
    way, wallet = Way(door()), Wallet([BOB])
    assert way.request(wallet) is None
    assert repr(wallet) == "<Wallet bob, 1 nonces in use>"
    assert repr(way.exchange) == '<Exchange 1 times challenged, answers proxy "carrier.example">'
    assert repr(Wallet()) == "<Wallet empty, 0 nonces in use>"
