"""Digest authentication, the server's side: challenges made, and what answers to them checked.

RFC 7616 as SIP uses it: RFC 3261 §22, RFC 8760. SHA-256 and MD5 are offered as two challenges in this order, with qop
`auth`. A nonce is not stored: it carries its time and a MAC over that, the realm and the source, so that whoever shows
one has been at the address that it was sent to. Only how often a nonce was used with the right password is remembered,
against replay. Who is let in, and how often somebody may try, is the user's business.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from sipfailover.errors import WireError
from sipfailover.wire.compose import Header
from sipfailover.wire.digest import HASHES, check_value, digest, octets, parameters
from sipfailover.wire.fields import SHOWN, quote, split_commas, unquote
from sipfailover.wire.limits import MAX_ANSWER_BYTES, MAX_ANSWERS, MAX_NONCE_COUNT, MAX_NONCES_COUNTED
from sipfailover.wire.message import Message, value_of

OFFERED = (b"SHA-256", b"MD5")
"""The topmost is the one that a client takes if it can (RFC 8760 §2.4). MD5 is all that many telephones have."""
FOR_ALL = (b"MD5",)
"""What is offered when there is no room for both, or to clients that give up at a challenge that they do not know."""
NONCE_LIVES = 600.0
"""Seconds for which a nonce is good. A client with an older one is challenged once more, with `stale`."""

_MAC_BYTES = 10
_NONCE_BYTES = 8 + _MAC_BYTES
"""Seconds (4), number (4), MAC: 24 letters, because a challenge must not be much longer than what asked for it."""


class Verdict(Enum):
    """What an answer is worth."""

    GOOD = "good"
    STALE = "stale"
    """The password is right; the nonce is too old, was used before, or is not ours (we were restarted)."""
    WRONG = "wrong"
    """User name or password."""


class Answer(NamedTuple):
    """An Authorization value (RFC 7616 §3.4) as text, without quotes."""

    username: bytes
    realm: bytes
    nonce: bytes
    uri: bytes
    response: bytes
    algorithm: bytes = b"md5"
    """In lower case."""
    qop: bytes = b""
    """In lower case; b"" for the form of RFC 2069."""
    uses: int = 1
    """The nonce count, nc: how often the client says that it has used the nonce."""
    cnonce: bytes = b""
    opaque: bytes | None = None

    @classmethod
    def parse(cls, value: bytes) -> "Answer":
        """Raises WireError (400) for what is no Digest answer, is too long for one, or lacks what it needs."""
        if len(value) > MAX_ANSWER_BYTES:
            raise WireError(f"answer of {len(value)} bytes, over {MAX_ANSWER_BYTES}")
        check_value(value)
        scheme, _, rest = value.partition(b" ")
        if scheme.lower() != b"digest":
            raise WireError(f"not Digest: {value[:SHOWN]!r}")
        text = {name: unquote(raw) for name, raw in parameters(split_commas(rest)).items()}
        for required in (b"username", b"realm", b"nonce", b"uri", b"response"):
            if required not in text:
                raise WireError(f"answer without {required.decode()}: {value[:SHOWN]!r}")
        qop, digits = text.get(b"qop", b"").lower(), text.get(b"nc", b"")
        if qop:
            if len(digits) != 8 or b"cnonce" not in text:
                raise WireError(f"qop without a count of 8 digits and a cnonce: {value[:SHOWN]!r}")
            try:
                uses = int.from_bytes(bytes.fromhex(digits.decode("ascii")))
            except ValueError:
                raise WireError(f"nc is not hexadecimal: {digits!r}") from None
        else:
            uses = 1
        return cls(
            username=text[b"username"],
            realm=text[b"realm"],
            nonce=text[b"nonce"],
            uri=text[b"uri"],
            response=text[b"response"].lower(),
            algorithm=text.get(b"algorithm", b"md5").lower(),
            qop=qop,
            uses=uses,
            cnonce=text.get(b"cnonce", b""),
            opaque=text.get(b"opaque"),
        )

    @property
    def is_md5(self) -> bool:
        """Whether the client took MD5."""
        return self.algorithm == b"md5"

    def proves(self, password: str, method: bytes) -> bool:
        """Whether it was made with this password. Takes as long for a wrong one.

        Its `uri` is not compared with the Request-URI: proxies may change that (RFC 7616 §3.4.6).
        """
        name = HASHES.get(self.algorithm)
        if name is None or self.algorithm.upper() not in OFFERED or self.qop not in (b"", b"auth"):
            return False
        a1 = digest(name, self.username, self.realm, octets(password))
        a2 = digest(name, method, self.uri)
        if self.qop:
            expected = digest(name, a1, self.nonce, b"%08x" % self.uses, self.cnonce, self.qop, a2)
        else:
            expected = digest(name, a1, self.nonce, a2)
        return hmac.compare_digest(expected, self.response)


class Doorkeeper:
    """Challenges and checks. `secret`: at least 16 bytes that nobody can guess, another one for each process.

    `source` is where a request came from, as an IP address; `now` seconds, monotonic.
    """

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._opaque = self._mac(b"opaque").hex()[:8].encode()
        self._number = 0
        self._used: dict[bytes, int] = {}
        """Nonce → the highest count that it had with the right password."""
        self._floor = 0
        """Nonces up to this number are stale: the count of one of them was forgotten."""

    def challenge(
        self, realm: bytes, source: str, now: float, *, stale: bool = False, simple: bool = False, opaque: bool = True
    ) -> list[Header]:
        """WWW-Authenticate headers for a 401, one for each algorithm. realm: text.

        `stale`: the password was right. `simple`: MD5 alone. `opaque` False leaves it out, to save room.
        """
        self._number += 1
        head = (int(now) & 0xFFFFFFFF).to_bytes(4) + (self._number & 0xFFFFFFFF).to_bytes(4)
        nonce = base64.urlsafe_b64encode(head + self._mac(head, realm, source.encode()))
        tail = b', opaque="%b"' % self._opaque if opaque else b""
        if stale:
            tail += b", stale=true"
        return [
            (
                b"www-authenticate",
                b'Digest realm=%b, nonce="%b", algorithm=%b, qop="auth"%b' % (quote(realm), nonce, algorithm, tail),
            )
            for algorithm in (FOR_ALL if simple else OFFERED)
        ]

    def forms(
        self, realm: bytes, source: str, now: float, *, stale: bool = False, simple: bool = False
    ) -> Iterator[list[Header]]:
        """`challenge` in shorter and shorter forms, for who must not be told much more than it said."""
        for less, opaque in ((simple, True), (simple, False), (True, False)):
            yield self.challenge(realm, source, now, stale=stale, simple=less, opaque=opaque)

    def answer(self, request: Message, source: str) -> Answer | None:
        """The answer that a request brings: one to a nonce of ours, else the first that can be read; None without.

        Raises WireError if there are answers and none can be read.
        """
        found: list[Answer] = []
        broken: WireError | None = None
        for line in request.lines(b"authorization")[:MAX_ANSWERS]:
            try:
                found.append(Answer.parse(value_of(line)))
            except WireError as error:
                broken = broken or error
        if broken is not None and not found:
            raise broken
        return next((answer for answer in found if self.knows(answer, source)), found[0] if found else None)

    def knows(self, answer: Answer, source: str) -> bool:
        """Whether the nonce is one that we sent to this source, however old: so the source is where it says it is."""
        return self._issued(answer, source) is not None

    def judge(
        self, answer: Answer, method: bytes, password: str | None, source: str, now: float, *, spend: bool = True
    ) -> Verdict:
        """What an answer is worth. password: of its user name, None if there is nobody of that name.

        `spend` False: looks only, and the same answer may be shown once more.
        """
        if not answer.proves(password or "", method) or password is None:
            return Verdict.WRONG
        issued = self._issued(answer, source)
        if issued is None or answer.opaque not in (None, self._opaque):
            return Verdict.STALE
        at, number = issued
        if now - at > NONCE_LIVES or number <= self._floor:
            return Verdict.STALE
        if not self._used.get(answer.nonce, 0) < answer.uses <= MAX_NONCE_COUNT:
            return Verdict.STALE
        if spend:
            self._count(answer)
        return Verdict.GOOD

    def _count(self, answer: Answer) -> None:
        self._used[answer.nonce] = answer.uses
        if len(self._used) > MAX_NONCES_COUNTED:
            oldest = next(iter(self._used))
            del self._used[oldest]
            self._floor = max(self._floor, int.from_bytes(base64.urlsafe_b64decode(oldest)[4:8]))

    def _issued(self, answer: Answer, source: str) -> tuple[int, int] | None:
        """(second, number) of a nonce of ours, None for another one."""
        if len(answer.nonce) != _NONCE_BYTES * 4 // 3:
            return None
        try:
            raw = base64.b64decode(answer.nonce, b"-_", validate=True)
        except binascii.Error:
            return None
        head, mac = raw[:8], raw[8:]
        if not hmac.compare_digest(mac, self._mac(head, answer.realm, source.encode())):
            return None
        return int.from_bytes(head[:4]), int.from_bytes(head[4:])

    def _mac(self, *parts: bytes) -> bytes:
        whole = b"".join([b"%d:%b" % (len(part), part) for part in parts])
        return hmac.digest(self._secret, whole, hashlib.sha256)[:_MAC_BYTES]
