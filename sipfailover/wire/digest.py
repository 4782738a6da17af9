"""Digest authentication, the client's side: challenges read, one chosen, one answer computed.

RFC 7616 (and its elders 2617 and 2069) as SIP uses it: RFC 3261 §22, RFC 8760. Functions of what is given: nonce
count and cnonce come in. Which nonce is used when, and how often somebody tries, is `wallet`'s business; what others
answer to us is checked by `doorkeeper`.
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sipfailover.errors import WireError
from sipfailover.wire.fields import QUOTE, SHOWN, end_of_quoted, is_token, quote, split_commas, unquote
from sipfailover.wire.limits import (
    MAX_CHALLENGE_BYTES,
    MAX_CHALLENGES,
    MAX_CHALLENGES_BYTES,
    MAX_LINE_BYTES,
    MAX_NONCE_COUNT,
)
from sipfailover.wire.message import Message, value_of

HASHES: dict[bytes, str] = {
    name: known
    for name, known in ((b"md5", "md5"), (b"sha-256", "sha256"), (b"sha-512-256", "sha512_256"))
    if known in hashlib.algorithms_available  # SHA-512/256 is OpenSSL's, not Python's own
}
"""Algorithm in lower case, without `-sess` → its name in hashlib."""

SESSION = b"-sess"
QOPS = (b"auth", b"auth-int")
"""In the order we like them (RFC 3261 §22.4 leaves the choice): whatever mends an SDP on the way breaks auth-int."""

ANSWERED_BY = {b"www-authenticate": b"authorization", b"proxy-authenticate": b"proxy-authorization"}
"""Header of a challenge → header of its answer, in lower case."""

Domain = tuple[bytes, bytes]
"""Who asked: (header of the answer in lower case, text of the realm). A realm alone is a protection domain (§22.1)."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What an account proves itself with. Both leave as UTF-8 (RFC 7616 §4). Never shows the password."""

    username: str
    password: str = field(repr=False)
    realm: str | None = None
    """The only realm they are for. None: any that asks, so anybody who can answer may try to guess the password."""

    def fits(self, realm: bytes) -> bool:
        """True if they may be used for a realm (its text)."""
        return self.realm is None or octets(self.realm) == realm


class Challenge(NamedTuple):
    """One Digest challenge (RFC 7616 §3.3). What has quotes on the wire is kept with them, to be sent back the same."""

    realm: bytes
    """As written, in quotes: `"a \\"b\\""`. `realm_text` is what is hashed."""
    nonce: bytes
    """As written, in quotes."""
    algorithm: bytes | None = None
    """As written, without quotes; None stands for MD5."""
    qop: tuple[bytes, ...] = ()
    """In lower case. Empty: the form of RFC 2069, without nonce count and cnonce."""
    opaque: bytes | None = None
    """As written, in quotes."""
    stale: bool = False
    """The nonce was too old, the password right."""
    userhash: bool = False
    domain: bytes | None = None
    """Text. Means nothing in SIP (RFC 3261 §22.4, item 4)."""
    charset: bytes | None = None
    """Text. UTF-8 is the only one there is, and what we send in any case."""

    @classmethod
    def parse(cls, value: bytes) -> "Challenge":
        """One value with one Digest challenge. Raises WireError if it is none, or has no realm or nonce.

        Whoever wants to answer asks `supported` first. Unknown parameters are passed over.
        """
        found = _split(value)
        if len(found) != 1 or found[0][0] != b"digest":
            raise WireError(f"not one Digest challenge: {value[:SHOWN]!r}")
        return cls._of(found[0][1])

    @classmethod
    def _of(cls, params: list[bytes]) -> "Challenge":
        known = parameters(params)
        for required in (b"realm", b"nonce"):
            if required not in known:
                raise WireError(f"challenge without a {required.decode()}: {b', '.join(params)[:SHOWN]!r}")
        opaque = known.get(b"opaque")
        if len(known[b"realm"]) + len(known[b"nonce"]) + len(opaque or b"") > MAX_CHALLENGE_BYTES:
            raise WireError(f"challenge with more than {MAX_CHALLENGE_BYTES} bytes to send back")
        text = {name: unquote(raw) for name, raw in known.items()}
        return cls(
            realm=known[b"realm"],
            nonce=known[b"nonce"],
            algorithm=text.get(b"algorithm"),
            qop=tuple(filter(None, (piece.strip() for piece in text.get(b"qop", b"").lower().split(b",")))),
            opaque=opaque,
            stale=text.get(b"stale", b"").lower() == b"true",
            userhash=text.get(b"userhash", b"").lower() == b"true",
            domain=text.get(b"domain"),
            charset=text.get(b"charset"),
        )

    @property
    def realm_text(self) -> bytes:
        """The realm without quotes and escapes."""
        return unquote(self.realm)

    @property
    def is_session(self) -> bool:
        """`-sess`: the first cnonce stays for as long as the nonce (RFC 7616 §3.4.2)."""
        return (self.algorithm or b"").lower().endswith(SESSION)

    @property
    def supported(self) -> bool:
        """True if `answer` can answer it: an algorithm we have, and a qop we have or none at all."""
        return self._hash_name is not None and (not self.qop or self._qop is not None)

    @property
    def _hash_name(self) -> str | None:
        return HASHES.get((self.algorithm if self.algorithm is not None else b"md5").lower().removesuffix(SESSION))

    @property
    def _qop(self) -> bytes | None:
        return next((qop for qop in QOPS if qop in self.qop), None)

    def to_bytes(self) -> bytes:
        parts = [b"realm=" + self.realm, b"nonce=" + self.nonce]
        if self.algorithm is not None:
            parts.append(b"algorithm=" + _token(self.algorithm))
        if self.qop:
            parts.append(b"qop=" + quote(b",".join(self.qop)))
        if self.opaque is not None:
            parts.append(b"opaque=" + self.opaque)
        if self.stale:
            parts.append(b"stale=true")
        if self.userhash:
            parts.append(b"userhash=true")
        if self.domain is not None:
            parts.append(b"domain=" + quote(self.domain))
        if self.charset is not None:
            parts.append(b"charset=" + _token(self.charset))
        return b"Digest " + b", ".join(parts)


def challenges(response: Message) -> list[tuple[bytes, Challenge]]:
    """All challenges of a response that we could answer: (header of the answer in lower case, challenge), in order.

    Other schemes and unknown algorithms are passed over, and so is what cannot be read (RFC 8760 §2.4), unless
    nothing else is left: then raises WireError with the first reason. No more than `MAX_CHALLENGES` are read, and
    `MAX_CHALLENGES_BYTES`.
    """
    found: list[tuple[bytes, Challenge]] = []
    broken: WireError | None = None
    read, left = 0, MAX_CHALLENGES_BYTES
    for name, line in response.fields:
        header = ANSWERED_BY.get(name)
        if header is None or read >= MAX_CHALLENGES:
            continue
        left -= len(line)
        if left < 0:
            break
        try:
            schemes = _split(value_of(line))
        except WireError as error:
            schemes, broken = [], broken or error
        for scheme, params in schemes[: MAX_CHALLENGES - read]:
            read += 1
            if scheme == b"digest":
                try:
                    challenge = Challenge._of(params)
                except WireError as error:
                    broken = broken or error
                else:
                    if challenge.supported:
                        found.append((header, challenge))
    if broken and not found:
        raise broken
    return found


def choose(found: Iterable[tuple[bytes, Challenge]]) -> dict[Domain, Challenge]:
    """The challenge to answer for each header and realm: the topmost that we support (RFC 8760 §2.4).

    The server lists them as it prefers. To take the strongest instead would only seem safer: who can put MD5 on top
    on the way can as well leave the others out.
    """
    chosen: dict[Domain, Challenge] = {}
    for header, challenge in found:
        if challenge.supported:
            chosen.setdefault((header, challenge.realm_text), challenge)
    return chosen


def answer(
    challenge: Challenge, credentials: Credentials, method: bytes, uri: bytes, body: bytes, nc: int, cnonce: bytes
) -> bytes:
    """The value of an Authorization or Proxy-Authorization (RFC 7616 §3.4) for a `supported` challenge.

    uri: the Request-URI as it is sent; body: all of it, b"" for none; nc: how often this nonce has been used, this
    time included; cnonce: fresh, without quotes, for `-sess` the same as long as the nonce is.
    """
    name, qop = challenge._hash_name, challenge._qop
    assert name, "ask `supported` first"
    assert qop or not challenge.qop, "ask `supported` first"
    assert 0 < nc <= MAX_NONCE_COUNT

    username, realm, nonce = octets(credentials.username), challenge.realm_text, unquote(challenge.nonce)
    a1 = digest(name, username, realm, octets(credentials.password))
    if challenge.is_session:
        a1 = digest(name, a1, nonce, cnonce)
    a2 = digest(name, method, uri, digest(name, body)) if qop == b"auth-int" else digest(name, method, uri)
    count = b"%08x" % nc
    response = digest(name, a1, nonce, count, cnonce, qop, a2) if qop else digest(name, a1, nonce, a2)

    shown = digest(name, username, realm) if challenge.userhash else username
    parts = [
        b"username=" + quote(shown),
        b"realm=" + challenge.realm,
        b"nonce=" + challenge.nonce,
        b"uri=" + quote(uri),
        b'response="%b"' % response,
    ]
    if challenge.algorithm is not None:
        parts.append(b"algorithm=" + challenge.algorithm)
    if qop or challenge.is_session:
        parts.append(b"cnonce=" + quote(cnonce))  # RFC 2617 forbids it without qop, but nobody could check -sess then
    if qop:
        parts.append(b"qop=%b, nc=%b" % (qop, count))  # no quotes, unlike in the challenge (RFC 3261 §25.1)
    if challenge.opaque is not None:
        parts.append(b"opaque=" + challenge.opaque)
    if challenge.userhash:
        parts.append(b"userhash=true")
    return b"Digest " + b", ".join(parts)


def next_nonce(value: bytes) -> bytes | None:
    """The nextnonce of an Authentication-Info value (RFC 7616 §3.5), in quotes; None if there is none to be read."""
    try:
        check_value(value)
        nonce = parameters(split_commas(value)).get(b"nextnonce")
    except WireError:
        return None
    return nonce if nonce is not None and len(nonce) <= MAX_CHALLENGE_BYTES else None


def digest(name: str, *parts: bytes) -> bytes:
    """The hash of parts joined by colons, in hexadecimal digits. name: as in `HASHES`."""
    return hashlib.new(name, b":".join(parts), usedforsecurity=False).hexdigest().encode()


def octets(text: str) -> bytes:
    """UTF-8 (RFC 7616 §4). Never fails: the error would show the text."""
    return text.encode("utf-8", "surrogatepass")


def _split(value: bytes) -> list[tuple[bytes, list[bytes]]]:
    """The challenges on one line as (scheme in lower case, its parameters `name=value` as written).

    Commas part both challenges and parameters. A piece with two words before its first `=` begins a challenge, and
    so does a single word without one, unless it goes on with a qop that lacks its quotes (`qop=auth,auth-int`).
    """
    check_value(value)
    found: list[tuple[bytes, list[bytes]]] = []
    for piece in split_commas(value):
        name, equals, _ = piece.partition(b"=")
        words = name.split(None, 2)
        if len(words) == 1 and equals and found:
            found[-1][1].append(piece)
        elif len(words) == 1 and not equals and found and _goes_on(found[-1][1], piece):
            found[-1][1][-1] += b"," + piece
        elif len(words) == 2 or (len(words) == 1 and not equals):
            if not is_token(words[0]):
                raise WireError(f"not a challenge: {piece[:SHOWN]!r}")
            found.append((words[0].lower(), [piece[len(words[0]) :].strip()] if len(words) == 2 else []))
        else:
            raise WireError(f"not a challenge: {piece[:SHOWN]!r}")
    return found


def _goes_on(params: list[bytes], piece: bytes) -> bool:
    return bool(params) and params[-1][:3].lower() == b"qop" and piece[:4].lower() == b"auth" and b'"' not in params[-1]


def parameters(params: list[bytes]) -> dict[bytes, bytes]:
    """Those of a challenge or an answer: name in lower case → value in quotes. Raises WireError.

    Twice the same is ugly; two different ones are an error.
    """
    known: dict[bytes, bytes] = {}
    for param in params:
        name, equals, value = param.partition(b"=")
        name, value = name.strip().lower(), value.strip()
        if value[:1] == b'"':
            sound = end_of_quoted(value, 0) == len(value)
        else:
            sound = QUOTE not in value
            value = quote(value)
        if not equals or not sound or not is_token(name):
            raise WireError(f"not a parameter: {param[:SHOWN]!r}")
        if known.setdefault(name, value) != value:
            raise WireError(f"two values of {name[:SHOWN]!r}")
    return known


def check_value(value: bytes) -> None:
    """Raises WireError for a value that is too long, or has what could end a line."""
    if len(value) > MAX_LINE_BYTES:
        raise WireError(f"challenge or answer of {len(value)} bytes, over {MAX_LINE_BYTES}")
    if b"\r" in value or b"\n" in value or b"\0" in value:
        raise WireError(f"control characters in {value[:SHOWN]!r}")


def _token(text: bytes) -> bytes:
    return text if is_token(text) else quote(text)
