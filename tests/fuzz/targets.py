"""What the fuzzer feeds, and what must hold whatever it gets: the wire and digest. (`conversation` is the engine's.)"""

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from sipfailover.errors import WireError
from sipfailover.wire import (
    Challenge,
    Credentials,
    Doorkeeper,
    Message,
    NameAddr,
    Outcome,
    StreamFramer,
    Verdict,
    Via,
    Wallet,
    challenges,
    choose,
    compose,
    parse_reasons,
    rewrite,
    value_of,
)
from sipfailover.wire.fields import first_value, split_commas
from sipfailover.wire.uri import SipUri, scheme, user
from tests.fuzz.mutation import damaged

VECTORS = Path(__file__).parents[1] / "vectors"


class Target(Protocol):
    """Something that eats inputs. An error that it lets out, or a broken promise (AssertionError), is a find."""

    def seeds(self) -> list[bytes]:
        """Where to begin."""
        ...

    def mutate(self, dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        """A relative of an input."""
        ...

    def eat(self, data: bytes) -> int:
        """Everything that must hold for one input. Returns how many messages that was."""
        ...


class Wire:
    """An input is one message, as a datagram and as a stream."""

    def seeds(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(VECTORS.rglob("*")) if path.suffix in (".dat", ".sip")]

    def mutate(self, dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        return damaged(dice, data, others)

    def eat(self, data: bytes) -> int:
        self._stream(data)
        try:
            message = Message(data)
        except WireError as error:
            answer = compose.refusal(data, error.status, error.text.encode("latin-1", "replace"))
            assert answer is None or answer.count(b"\r\n\r\n") == 1, "a refusal is one message"
            return 1
        self._goes_on(message)
        self._values(message)
        return 1

    def _stream(self, data: bytes) -> None:
        """A stream gives the same messages whole and in two pieces."""
        cut = len(data) * 2 // 3
        found = []
        for pieces in ((data,), (data[:cut], data[cut:])):
            framer, out = StreamFramer(), []
            try:
                for piece in pieces:
                    out += framer.feed(piece)
                    if framer.broken is not None:
                        break
            except WireError:
                out.append(b"broken")
            found.append(out)
        assert [one for one in found[0] if one != b"broken"] == [one for one in found[1] if one != b"broken"]

    def _goes_on(self, message: Message) -> None:
        """What is passed on is read as the same by the next one, but for the lines that are ours."""
        beginning = b"OPTIONS sip:x SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bKa\r\nFrom: <sip:a@a>;tag=a"
        beginning += b"\r\nTo: <sip:a@a>\r\nCall-ID: a\r\nCSeq: 1 OPTIONS"
        data = rewrite(message, beginning)
        try:
            again = Message(data)
        except WireError as error:
            if error.status != 513:  # a line more than may be
                raise AssertionError("passed on, it cannot be read") from error
            return
        ours = {b"via", b"from", b"to", b"call-id", b"cseq", b"content-length"}
        kept = [field for field in message.fields if field[0] not in ours]
        assert [field for field in again.fields if field[0] not in ours] == [f for f in kept if f in again.fields]
        assert again.body == message.body

    def _values(self, message: Message) -> None:
        """Every value that can be read is printed, and read as the same again."""
        for name in (b"via", b"max-forwards"):
            try:
                _ = message.via if name == b"via" else message.max_forwards
            except WireError:
                continue
        _ = message.retry_after, repr(message)
        for _, line in message.fields[:40]:
            value = value_of(line)
            parse_reasons(value)
            try:
                pieces = split_commas(value)
                assert first_value(value) == (pieces[0] if pieces else b"")
            except WireError:
                pieces = [value]
            for piece in pieces[:4]:
                self._via(piece)
                self._address(piece)

    def _via(self, value: bytes) -> None:
        try:
            via = Via.parse(value)
            _ = via.branch, via.received, via.rport, via.sent_by, via.address
        except WireError:
            return
        assert Via.parse(via.to_bytes()).to_bytes() == via.to_bytes()

    def _address(self, value: bytes) -> None:
        try:
            address = NameAddr.parse(value)
            _ = address.tag, address.name
        except WireError:
            return
        again = NameAddr.parse(address.to_bytes())
        assert (again.uri, again.params, again.name) == (address.uri, address.params, address.name)
        _ = scheme(address.uri), user(address.uri)
        try:
            uri = SipUri.parse(address.uri)
        except WireError:
            return
        assert SipUri.parse(uri.to_bytes()) == uri
        try:
            assert uri.same_as(uri)
        except WireError:
            return


ASKS = b"SIP/2.0 401 Unauthorized\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"
ASKS += b"To: <sip:a@b>;tag=2\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n%b\r\nContent-Length: 0\r\n\r\n"
TELLS = b"REGISTER sip:b SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKa\r\nFrom: <sip:a@b>;tag=1\r\n"
TELLS += b"To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n%b\r\nContent-Length: 0\r\n\r\n"
CHALLENGES = [
    b'WWW-Authenticate: Digest realm="a", nonce="n"',
    b'WWW-Authenticate: Digest realm="a", nonce="n", algorithm=SHA-256, qop="auth", opaque="o"\r\n'
    b'WWW-Authenticate: Digest realm="a", nonce="n", algorithm=MD5, qop="auth,auth-int", opaque="o", stale=true',
    b'Proxy-Authenticate: Digest realm="a \\"b\\"", nonce="n", algorithm=MD5-sess, qop=auth, userhash=true, domain="x"',
    b'WWW-Authenticate: Basic realm="x", Digest realm="a", nonce="n", charset=UTF-8, algorithm=SHA-512-256',
    b'Authentication-Info: nextnonce="m", qop=auth, rspauth="0", cnonce="c", nc=00000001',
    b'Authorization: Digest username="a", realm="b", nonce="n", uri="sip:b", response="0123456789abcdef", '
    b'algorithm=MD5, cnonce="c", qop=auth, nc=00000001, opaque="o"',
]
SECRET = "Opensesame-4711"


class Digest:
    """An input is the lines of challenges and answers, which stand in a 401 and in a REGISTER."""

    def __init__(self) -> None:
        self.door = Doorkeeper(b"0123456789abcdef")
        self.now = 1.0

    def seeds(self) -> list[bytes]:
        return list(CHALLENGES)

    def mutate(self, dice: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
        return damaged(dice, data, others)[:20_000]

    def eat(self, data: bytes) -> int:
        self.now += 0.01
        self._client(data)
        self._server(data)
        return 2

    def _client(self, data: bytes) -> None:
        """Challenges are answered so that whoever asked them finds the answer right, or not at all; no secret shows."""
        try:
            response = Message(ASKS % data)
        except WireError:
            return
        try:
            found = challenges(response)
        except WireError as error:
            found = []
            if SECRET in error.text:
                raise AssertionError("an error shows the password") from error
        for _, challenge in found:
            again = Challenge.parse(challenge.to_bytes())
            assert again._replace(algorithm=challenge.algorithm) == challenge
        wallet = Wallet([Credentials("a", SECRET)])
        exchange = wallet.exchange()
        for _ in range(6):
            outcome = exchange.challenged(response)
            assert SECRET not in exchange.why + repr(wallet) + repr(exchange)
            if outcome is not Outcome.AGAIN:
                break
            for line in exchange.lines(b"REGISTER", b"sip:b", b"", b"cn"):
                assert SECRET.encode() not in line
                assert not any(end in line for end in b"\r\n\0"), "an answer has what could end its line"
        else:
            raise AssertionError("it answers for ever")
        exchange.accepted(response)
        assert len(choose(found)) <= 16

    def _server(self, data: bytes) -> None:
        """No answer is right that was not made with the password; a right one is right once."""
        try:
            request = Message(TELLS % data)
            answer = self.door.answer(request, "192.0.2.9")
        except WireError:
            return
        if answer is not None:
            verdict = self.door.judge(answer, b"REGISTER", SECRET, "192.0.2.9", self.now)
            assert verdict is Verdict.WRONG, "somebody without the password got in"
        for header in self.door.challenge(answer.realm if answer else b"b", "192.0.2.9", self.now)[:1]:
            asked = Message(ASKS % (b"WWW-Authenticate: " + header[1]))
            exchange = Wallet([Credentials("a", SECRET)]).exchange()
            if exchange.challenged(asked) is not Outcome.AGAIN:
                continue
            line = exchange.lines(b"REGISTER", b"sip:b", b"", b"cn")
            try:
                told = self.door.answer(Message(TELLS % line[0]), "192.0.2.9")
            except WireError:
                continue  # a realm so long that its own answer is over the limit
            assert told is not None
            judged = [self.door.judge(told, b"REGISTER", SECRET, "192.0.2.9", self.now) for _ in range(2)]
            assert judged == [Verdict.GOOD, Verdict.STALE]
            assert self.door.judge(told, b"REGISTER", SECRET, "192.0.2.10", self.now) is not Verdict.GOOD
