"""A server that asks for digest, written from the text of RFC 7616 §3.4 and RFC 2617 §3.2.2, and from nothing of ours.

It takes an Authorization apart with an expression of its own, computes what stands there, and counts nonces strictly:
each `nc` of a nonce once, rising. What it has against an answer it says in words.
"""

import hashlib
import re

PARAM = re.compile(rb'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))\s*(?:,|$)')
HASH = {
    b"MD5": lambda data: hashlib.md5(data).hexdigest(),
    b"SHA-256": lambda data: hashlib.sha256(data).hexdigest(),
    b"SHA-512-256": lambda data: hashlib.new("sha512_256", data).hexdigest(),
}
BARE = (b"algorithm", b"qop", b"nc", b"userhash")
"""What has no quotes in an answer (RFC 7616 §3.4), while all the others have."""


def taken_apart(value: bytes) -> dict[bytes, bytes]:
    """The parameters of an answer, text without quotes and escapes. Fails for what the grammar has no place for."""
    assert value.startswith(b"Digest "), value
    found: dict[bytes, bytes] = {}
    at = len(b"Digest ")
    while at < len(value):
        match = PARAM.match(value, at)
        assert match, f"cannot be read from here: {value[at:]!r}"
        name = match[1]
        assert name not in found, f"twice: {name!r}"
        assert (match[2] is None) == (name in BARE), f"quotes of {name!r}"
        found[name] = match[3] if match[2] is None else re.sub(rb"\\(.)", rb"\1", match[2])
        at = match.end()
    return found


def expected(
    given: dict[bytes, bytes], username: bytes, password: bytes, method: bytes, body: bytes, first_cnonce: bytes = b""
) -> bytes:
    """The response that the answer should have. `first_cnonce`: of the session, where that is not this one."""
    algorithm = given.get(b"algorithm", b"MD5")

    def h(data: bytes) -> bytes:
        return HASH[algorithm.removesuffix(b"-sess")](data).encode()

    def kd(secret: bytes, data: bytes) -> bytes:
        return h(secret + b":" + data)

    a1 = username + b":" + given[b"realm"] + b":" + password
    if algorithm.endswith(b"-sess"):
        a1 = h(a1) + b":" + given[b"nonce"] + b":" + (first_cnonce or given[b"cnonce"])
    a2 = method + b":" + given[b"uri"]
    if given.get(b"qop") == b"auth-int":
        a2 += b":" + h(body)
    if b"qop" not in given:
        return kd(h(a1), given[b"nonce"] + b":" + h(a2))
    middle = b":".join([given[b"nonce"], given[b"nc"], given[b"cnonce"], given[b"qop"]])
    return kd(h(a1), middle + b":" + h(a2))


class Doorman:
    """Hands out challenges for one realm and lets in who answers one rightly."""

    def __init__(self, realm: bytes, username: bytes, password: bytes, extra: bytes = b', qop="auth"') -> None:
        self.realm, self.username, self.password, self.extra = realm, username, password, extra
        self.issued = 0
        self.counts: dict[bytes, int] = {}
        """Nonce → the highest nc seen with it."""
        self.expired: set[bytes] = set()

    def challenge(self, stale: bool = False) -> bytes:
        self.issued += 1
        nonce = b"%b-%d" % (self.realm.replace(b" ", b"_"), self.issued)
        self.counts[nonce] = 0
        tail = b", stale=TRUE" if stale else b""
        return b'Digest realm="%b", nonce="%b"%b%b' % (self.realm, nonce, self.extra, tail)

    def expire(self) -> None:
        self.expired.update(self.counts)

    def verdict(self, value: bytes | None, method: bytes, body: bytes = b"") -> str:
        """`good`, `stale`, or what is wrong."""
        if value is None:
            return "no answer"
        given = taken_apart(value)
        if given[b"realm"] != self.realm or given[b"nonce"] not in self.counts:
            return "not for a challenge of mine"
        if given[b"response"] != expected(given, self.username, self.password, method, body):
            return "wrong response"
        if b"nc" in given:
            count = int(given[b"nc"], 16)
            assert len(given[b"nc"]) == 8, "nc has 8 digits"
            if count <= self.counts[given[b"nonce"]]:
                return "replayed"
            self.counts[given[b"nonce"]] = count
        return "stale" if given[b"nonce"] in self.expired else "good"
