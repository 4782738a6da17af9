"""REGISTER and what is answered to it, as values (RFC 3261 §10, 3327 Path, 3608 Service-Route, 5626 Flow-Timer).

`register_request` composes one from an `Ask`; `RegisterAnswer.read` takes from an answer what a registration needs, and
leaves out what cannot be read: a registrar's odd header must not cost the registration. When to ask and what follows
is `trunk.registration`'s, credentials are `wire.digest`'s, the transaction is the engine's.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import ip_address
from typing import NamedTuple, Self

from sipfailover.errors import WireError
from sipfailover.wire import Message, NameAddr, compose
from sipfailover.wire.compose import Header
from sipfailover.wire.fields import bare
from sipfailover.wire.uri import SipUri

MAX_BINDINGS = 32
"""Bindings read from one answer; a registrar that lists more has the further ones ignored."""
MAX_ROUTES = 16
"""Service-Route, Path and P-Associated-URI values kept, each."""
MAX_DELTA = 2**31
"""Seconds. What is longer is read as this (§20.19 allows 2**32 - 1)."""


class Purpose(IntEnum):
    """What a REGISTER is for."""

    REGISTER = 0
    CLEAR = 1
    """Remove stale bindings of ours."""
    LEAVE = 2
    """Remove our binding."""
    WIPE = 3
    """Remove all bindings of the account, ours and others' (`Contact: *`, §10.2.2)."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One REGISTER to send now."""

    purpose: Purpose
    call_id: bytes
    """The same for the life of the registration, as is `from_tag` (§10.2)."""
    from_tag: bytes
    cseq: int
    """Higher than all before, also when an attempt is repeated with credentials."""
    contacts: tuple[bytes, ...]
    """URIs for Contact: our own one, or the stale ones that should go; none for all of them."""
    expires: int
    """Seconds, 0 to remove them."""


class PublicAddress(NamedTuple):
    """Where the carrier sees us: what it wrote into our Via (RFC 3581)."""

    host: str
    """IP address, IPv6 without brackets."""
    port: int

    @classmethod
    def read(cls, message: Message) -> "PublicAddress | None":
        """From any answer to a request of ours; None if nothing is filled in, or no address."""
        try:
            via = message.via
        except WireError:
            return None
        rport = via.rport or b""
        if not rport and not via.received:
            return None
        port = int(rport) if rport.isdigit() and len(rport) <= 5 else via.port or 5060
        try:
            host = ip_address(bare(via.received or via.host))
        except ValueError:
            return None
        return cls(str(host), port) if 0 < port < 65536 else None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Binding(NamedTuple):
    """One Contact that the registrar lists."""

    uri: bytes
    """As the registrar writes it."""
    expires: int | None
    """Seconds left, None if it does not say."""


@dataclass(frozen=True, slots=True)
class RegisterAnswer:
    """What a final answer to REGISTER says."""

    status: int
    reason: str = ""
    cseq: int = 0
    bindings: tuple[Binding, ...] = ()
    lists_bindings: bool = False
    """It has a Contact header at all, readable or not."""
    expires: int | None = None
    """The Expires header."""
    min_expires: int | None = None
    retry_after: float = 0.0
    """Seconds, 0 if there was none."""
    service_route: tuple[bytes, ...] = ()
    """Whole name-addrs, ready for Route."""
    path: tuple[bytes, ...] = ()
    associated: tuple[bytes, ...] = ()
    """P-Associated-URI: the identities that this account may show (RFC 7315 §4.1)."""
    flow_timer: int | None = None
    public: PublicAddress | None = None

    @classmethod
    def read(cls, message: Message) -> Self:
        """From a message. Never raises."""
        contacts = (_binding(value) for value in _values(message, b"contact", MAX_BINDINGS))
        return cls(
            message.status,
            message.reason.decode("utf-8", "replace").strip(),
            message.cseq,
            tuple(binding for binding in contacts if binding),
            message.get(b"contact") is not None,
            _seconds(message.get(b"expires")),
            _seconds(message.get(b"min-expires")),
            message.retry_after,
            tuple(_values(message, b"service-route", MAX_ROUTES)),
            tuple(_values(message, b"path", MAX_ROUTES)),
            tuple(_values(message, b"p-associated-uri", MAX_ROUTES)),
            _seconds(message.get(b"flow-timer")),
            PublicAddress.read(message),
        )

    @property
    def line(self) -> str:
        """`403 Forbidden`, for sentences."""
        return f"{self.status} {self.reason}".strip()


class Bindings(NamedTuple):
    """The Contact list of an answer, sorted by whose each is."""

    ours: Binding | None
    """The one with the Contact that we sent."""
    rewritten: bool
    """Ours was found by its user alone: somebody on the way has written another address into it."""
    stale: tuple[bytes, ...]
    """Our user at another address: from before an address change or a restart. Calls to it ring nowhere."""
    others: tuple[bytes, ...]
    """Somebody else on the same account."""


def sort_out(bindings: tuple[Binding, ...], contact: bytes) -> Bindings:
    """Which binding is ours (§10.2.4), which were ours, which are somebody else's.

    Compared as §19.1.4 says. If none is equal but some have our user, an ALG or a border controller has rewritten
    the address, and the one that lasts longest is the newest. Then none counts as stale: we would not know which is.
    """
    mine = SipUri.parse(contact)
    equal: list[Binding] = []
    alike: list[Binding] = []
    others: list[bytes] = []
    for binding in bindings:
        try:
            uri = SipUri.parse(binding.uri)
            same = uri.same_as(mine)
        except WireError:
            others.append(binding.uri)
            continue
        if same:
            equal.append(binding)
        elif mine.user and uri.user == mine.user:
            alike.append(binding)
        else:
            others.append(binding.uri)
    if equal:
        return Bindings(_longest(equal), False, tuple(binding.uri for binding in alike), tuple(others))
    if alike:
        return Bindings(_longest(alike), True, (), tuple(others))
    return Bindings(None, False, (), tuple(others))


def register_request(
    ask: Ask,
    *,
    aor: bytes,
    via: bytes,
    registrar: bytes = b"",
    routes: Iterable[bytes] = (),
    headers: Iterable[Header] = (),
) -> bytes:
    """The REGISTER for an `Ask` (§10.2). `headers`: Authorization, User-Agent, …

    `aor`: the account as a URI, `sip:+41441234567@carrier.example`; it stands in From and To. The Request-URI is its
    domain without user, or `registrar` (a whole URI) where the carrier has them apart. `routes`: an outbound proxy.

    `Supported: path`, because without it a registrar behind an edge that inserts Path may refuse (RFC 3327 §5.1).
    Not `outbound`: it needs `+sip.instance` and `reg-id` in the Contact and would have the edge manage flows that
    are pinned here anyway. Expires is a header and no Contact parameter: some registrars read only one of the two, and
    this is the one that all read.
    """
    contacts = b", ".join([b"<%b>" % uri for uri in ask.contacts]) or b"*"
    return compose.request(
        b"REGISTER",
        registrar or _domain(aor),
        via=via,
        from_=b"<%b>;tag=%b" % (aor, ask.from_tag),
        to=b"<%b>" % aor,
        call_id=ask.call_id,
        cseq=ask.cseq,
        contact=contacts,
        routes=routes,
        headers=((b"expires", b"%d" % ask.expires), (b"supported", b"path"), *headers),
    )


def moved_contact(contact: bytes, old: PublicAddress, new: PublicAddress) -> bytes:
    """The Contact after our public address moved from `old` to `new`; unchanged if it did not show the old one.

    The port moves only if it was the public one too: a forwarded port stays what the operator made it.
    """
    uri = SipUri.parse(contact)
    try:
        shown = str(ip_address(uri.address))
    except ValueError:
        return contact  # a name: whoever wrote it keeps it right
    if shown != old.host:
        return contact
    host = f"[{new.host}]" if ":" in new.host else new.host
    port = new.port if (uri.port or 5060) == old.port else uri.port
    return uri._replace(host=host.encode(), port=port).to_bytes()


def _domain(aor: bytes) -> bytes:
    return SipUri.parse(aor)._replace(user=b"", password=None, params=b"", headers=b"").to_bytes()


def _longest(bindings: list[Binding]) -> Binding:
    return max(bindings, key=lambda binding: MAX_DELTA if binding.expires is None else binding.expires)


def _binding(value: bytes) -> Binding | None:
    try:
        address = NameAddr.parse(value)
        return Binding(address.uri, _seconds(address.param(b"expires")))
    except WireError:
        return None


def _values(message: Message, name: bytes, most: int) -> list[bytes]:
    try:
        return message.values(name)[:most]
    except WireError:
        return []


def _seconds(value: bytes | None) -> int | None:
    """Delta-seconds (§20.19). None for what is none: then the next best source counts."""
    digits = (value or b"").strip().strip(b'"')
    if not digits.isdigit():
        return None
    return min(int(digits), MAX_DELTA) if len(digits) <= 10 else MAX_DELTA
