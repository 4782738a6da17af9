"""Whether a caller hides the number, and how that is told: Privacy, From and Remote-Party-ID (RFC 3323, 3325). Pure."""

from sipfailover.errors import WireError
from sipfailover.wire import Message, NameAddr, value_of
from sipfailover.wire.uri import user

PRIVACY = b"privacy"
RPID = b"remote-party-id"
HIDES = frozenset({b"id", b"user", b"header", b"critical"})
"""Values of Privacy that are asked for by who wants the number hidden. (`history` and `session` hide other things, and
`none` asks for nothing to be hidden.)"""
FULL = frozenset({b"full", b"uri"})
"""Values of Remote-Party-ID's `privacy` that hide the number."""
ADDRESSES_MAX = 32
"""Addresses in one header that are read: a History-Info of thirty stations. More of them pass unread."""
ANONYMOUS = NameAddr(b'"Anonymous"', b"sip:anonymous@anonymous.invalid")
"""RFC 3323 §4.1.1.3."""


def is_anonymous(uri: bytes) -> bool:
    """True for an address that says nothing of who it is: `anonymous` at any host, or anybody at `….invalid`."""
    lowered = uri.lower()
    if b"anonymous" not in lowered and b"invalid" not in lowered:
        return False
    host = lowered.partition(b"@")[2].partition(b";")[0].partition(b"?")[0]
    return user(lowered) == b"anonymous" or host == b"invalid" or host.endswith(b".invalid")


def values(request: Message) -> list[bytes]:
    """The values of Privacy in lower case, in their order (RFC 3323 §4.2 parts them by semicolons)."""
    if PRIVACY not in request.first:
        return []
    parts = b";".join([value_of(line) for line in request.lines(PRIVACY)]).replace(b",", b";").split(b";")
    return [part.strip().lower() for part in parts if part.strip()]


def addresses(request: Message, name: bytes) -> list[NameAddr]:
    """The addresses in a header (name in lower case); none where they cannot be read, or are too many to be real."""
    if name not in request.first:
        return []
    try:
        found = request.values(name)
        return [NameAddr.parse(value) for value in found] if len(found) <= ADDRESSES_MAX else []
    except WireError:
        return []


def asks_to_hide(request: Message) -> bool:
    """True if a header asks for it, whatever stands in From."""
    asked = values(request)
    if b"none" not in asked and HIDES.intersection(asked):
        return True
    return any((one.param(b"privacy") or b"").lower() in FULL for one in addresses(request, RPID))


def with_id(asked: list[bytes]) -> bytes:
    """A Privacy line that asks for `id` beside what was asked already (RFC 3325 §9.3); `critical` stays last, where it
    is usually looked for."""
    kept = [one for one in asked if one not in (b"none", b"id", b"critical")]
    return b"Privacy: " + b";".join([*kept, b"id", *(one for one in asked if one == b"critical")])
