"""SIP and SIPS URIs (RFC 3261 §19.1): taken apart, compared, printed; and the edits a relay makes to one.

User, parameters and headers stay as written, because most of them are none of our business: star codes,
numbers with context, escapes that only the far end understands. Other schemes (tel, urn, and whatever comes)
are recognised by `scheme` and kept whole.
"""

from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple

from sipfailover.errors import WireError
from sipfailover.wire.fields import COLON, SHOWN, UNSAFE, bare, host_port, param, parse_params, without_params

SCHEME = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-."

HOP_PARAMS = (b"transport", b"maddr", b"ttl")
"""Parameters that say how to reach the host, so they go with the host."""

NEVER_ALONE = frozenset((b"user", b"ttl", b"method", b"maddr", b"transport"))
"""§19.1.4: a URI that has one of these is not equal to one that has not (transport by the examples there)."""

PERCENT = ord("%")

_RESERVED = frozenset(b";/?:@&=+$,")


class SipUri(NamedTuple):
    """A sip or sips URI, each part as written."""

    scheme: bytes
    """`sip` or `sips`, in lower case."""
    user: bytes
    """As written, with its escapes and its own parameters; b"" if there is none."""
    password: bytes | None
    host: bytes
    """As written, IPv6 in brackets."""
    port: int | None = None
    params: bytes = b""
    """Raw, each with its semicolon in front: `;transport=tcp;lr`."""
    headers: bytes = b""
    """What follows the question mark."""

    @classmethod
    def parse(cls, uri: bytes) -> "SipUri":
        """Take a URI apart. Raises WireError: 416 for a scheme that is not ours, 400 for what is no URI at all."""
        name, colon, rest = uri.partition(b":")
        known = name.lower()
        if known not in (b"sip", b"sips"):
            if colon and not name.translate(None, SCHEME) and name[:1].isalpha():
                raise WireError(f"scheme is not sip or sips: {uri[:SHOWN]!r}", 416)
            raise WireError(f"not a URI: {uri[:SHOWN]!r}")
        if rest.translate(None, UNSAFE) != rest:
            raise WireError(f"blank or bracket in a URI: {uri[:SHOWN]!r}")
        userinfo, at, tail = rest.partition(b"@")
        password: bytes | None = None
        if not at:
            userinfo, tail = b"", rest
        elif COLON in userinfo:
            userinfo, _, password = userinfo.partition(b":")
            if not userinfo:
                raise WireError(f"password without a user: {uri[:SHOWN]!r}")
        tail, _, headers = tail.partition(b"?")
        host, semicolon, params = tail.partition(b";")
        address, port = host_port(host)
        return cls(known, userinfo, password, address, port, semicolon + params, headers)

    def param(self, name: bytes) -> bytes | None:
        """The value of a parameter (b"" if it has none), or None if it is not there. `name` in lower case."""
        return param(self.params, name)

    @property
    def address(self) -> str:
        """The host as a `Target` has it: text, IPv6 without brackets."""
        return bare(self.host)

    def to_bytes(self) -> bytes:
        userinfo = self.user if self.password is None else b"%b:%b" % (self.user, self.password)
        return b"%b:%b%b%b%b%b%b" % (
            self.scheme,
            userinfo,
            b"@" if userinfo else b"",
            self.host if self.port is None else b"%b:%d" % (self.host, self.port),
            self.params,
            b"?" if self.headers else b"",
            self.headers,
        )

    def comparable(self) -> "Comparable":
        """What two URIs are compared by. Made once by who compares with many: it takes a URI of 8 kB 1 ms."""
        return Comparable(
            (
                self.scheme, _plain(self.user), _plain(self.password or b""), self.port, _plain_host(self.host),
                *_sorted_headers(self.headers),
            ),
            _param_table(self.params),
        )  # fmt: skip

    def same_as(self, other: "SipUri") -> bool:
        """True if the two are equivalent (§19.1.4; IPv6 addresses by value, RFC 5954 §4.2)."""
        return self.comparable().same_as(other.comparable())


class Comparable(NamedTuple):
    """A sip or sips URI as §19.1.4 compares it."""

    fixed: tuple[object, ...]
    """What must be equal: everything but the parameters."""
    params: dict[bytes, bytes | None]

    def same_as(self, other: "Comparable") -> bool:
        """True if the two are equivalent: no parameter of both differs, and none of `NEVER_ALONE` is in one only."""
        if self.fixed != other.fixed:
            return False
        one, two = self.params, other.params
        return all(one[name] == two[name] for name in one.keys() & two.keys()) and all(
            (name in one) == (name in two) for name in NEVER_ALONE
        )


def scheme(uri: bytes) -> bytes:
    """The scheme in lower case (`sip`, `tel`, `urn`, …), b"" if this is no URI."""
    name, colon, _ = uri.partition(b":")
    return name.lower() if colon and name[:1].isalpha() and not name.translate(None, SCHEME) else b""


def user(uri: bytes) -> bytes:
    """Who is meant, as written: the user of a sip URI without parameters of its own, the number of a tel URI.

    b"" if the URI names nobody. Never raises. A urn (`urn:service:sos`) is answered whole after its scheme.
    """
    name, _, rest = uri.partition(b":")
    name = name.lower()
    if name in (b"sip", b"sips"):
        userinfo, at, _ = rest.partition(b"@")
        return userinfo.partition(b":")[0].partition(b";")[0] if at else b""
    return rest.partition(b";")[0] if name == b"tel" else rest


def with_host(uri: bytes, host: bytes, port: int | None = None) -> bytes:
    """The same user at another host, as a relay writes it into a request for the next hop. On the path.

    User, password and parameters stay as written, except `HOP_PARAMS`, which described the way to the old
    host; headers go, because a Request-URI has none (§19.1.1). `host`: IPv6 with or without brackets. A tel
    URI becomes a sip URI with `user=phone` (§19.1.6); a scheme that has no host (`urn:service:sos`) stays as it is.
    """
    name, _, rest = uri.partition(b":")
    if COLON in host and host[:1] != b"[":
        host = b"[" + host + b"]"
    if port is not None:
        host = b"%b:%d" % (host, port)
    name = name.lower()
    if name not in (b"sip", b"sips"):
        if name != b"tel":
            return uri
        number, semicolon, params = rest.partition(b";")
        return b"sip:%b%b@%b;user=phone" % (number, _for_number(number, semicolon + params), host)
    userinfo, at, tail = rest.partition(b"@")
    if not at:
        userinfo, tail = b"", rest
    tail = tail.partition(b"?")[0]
    _, semicolon, params = tail.partition(b";")
    if semicolon:
        params = without_params(params, HOP_PARAMS)
    return b"%b:%b%b%b%b" % (name, userinfo, at, host, params)


def user_params(uri: bytes) -> bytes:
    """What stands behind the number in the user of a sip URI, or in a tel URI (RFC 3966 §3): `;phone-context=+41`,
    each parameter with its semicolon in front. b"" if there is nothing. Never raises."""
    name, _, rest = uri.partition(b":")
    name = name.lower()
    if name in (b"sip", b"sips"):
        userinfo, at, _ = rest.partition(b"@")
        rest = userinfo.partition(b":")[0] if at else b""
    elif name != b"tel":
        return b""
    _, semicolon, params = rest.partition(b";")
    return semicolon + params


def with_number(uri: bytes, number: bytes, *, alone: bool = False) -> bytes:
    """The same URI with another number in it: what stands behind the number (`;ext=7`, `;npdi`) stays unless it is to
    stand `alone`; the context of a local number goes where a global one stood or follows, which has none (RFC 3966
    §5.1.5). A urn stays."""
    name, _, rest = uri.partition(b":")
    scheme = name.lower()
    if scheme not in (b"sip", b"sips"):
        if scheme != b"tel":
            return uri
        who, colon, password, at, tail = rest, b"", b"", b"", b""
    else:
        userinfo, at, tail = rest.partition(b"@")
        if not at:
            return b"%b:%b@%b" % (name, number, rest) if number else uri
        who, colon, password = userinfo.partition(b":")
    old, semicolon, params = who.partition(b";")
    kept = b"" if alone or not semicolon else _for_number(old, _for_number(number, semicolon + params))
    return b"%b:%b%b%b%b%b%b" % (name, number, kept, colon, password, at, tail)


def with_user_phone(uri: bytes, wanted: bool) -> bytes:
    """A sip URI with or without `;user=phone` (§19.1.1), which says that its user is a number. Others stay."""
    name, _, rest = uri.partition(b":")
    if name.lower() not in (b"sip", b"sips"):
        return uri
    userinfo, at, tail = rest.partition(b"@")
    if not at:
        userinfo, tail = b"", rest
    tail, mark, headers = tail.partition(b"?")
    host, semicolon, params = tail.partition(b";")
    if wanted == ((param(semicolon + params, b"user") or b"").lower() == b"phone"):
        return uri
    params = without_params(semicolon + params, (b"user",)) + (b";user=phone" if wanted else b"")
    return b"%b:%b%b%b%b%b%b" % (name, userinfo, at, host, params, mark, headers)


def _for_number(number: bytes, params: bytes) -> bytes:
    """Parameters of a number as they may stand behind this one."""
    return without_params(params, (b"phone-context",)) if params and number[:1] == b"+" else params


def _plain(text: bytes) -> bytes:
    """With the escapes undone that change nothing (§19.1.4: those of characters that are not reserved)."""
    if PERCENT not in text:
        return text
    first, *pieces = text.split(b"%")
    plain = [first]
    for piece in pieces:
        try:
            code = int(piece[:2], 16) if len(piece) >= 2 and piece[:2].isalnum() else -1
        except ValueError:
            code = -1
        if code < 0 or code in _RESERVED or code == PERCENT:
            plain.append(b"%" + piece[:2].upper() + piece[2:])
        else:
            plain.append(bytes((code,)) + piece[2:])
    return b"".join(plain)


def _plain_host(host: bytes) -> bytes:
    """In lower case; IPv6 in one spelling, where it is one."""
    if host[:1] != b"[":
        return host.lower()
    try:
        return b"[%b]" % str(IPv6Address(bare(host))).encode()
    except AddressValueError:
        return host.lower()


def _param_table(params: bytes) -> dict[bytes, bytes | None]:
    return {
        _plain(name).lower(): None if value is None else _plain(value).lower()
        for name, value in reversed(parse_params(params))
    }


def _sorted_headers(headers: bytes) -> list[tuple[bytes, bytes]]:
    pairs = (piece.partition(b"=") for piece in headers.split(b"&") if piece)
    return sorted((_plain(name).lower(), _plain(value)) for name, _, value in pairs)
