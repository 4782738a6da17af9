"""Bindings: where a PBX that registers with us is, and what a REGISTER does to that (RFC 3261 §10.3). Pure.

A binding is a small plain record. The Contact is kept as it came, with all its URI parameters (Asterisk finds its line
by `;line=`), because calls are addressed by it. Who may register is the registrar's business.
"""

from collections.abc import Collection
from math import ceil
from typing import NamedTuple

from sipfailover.errors import WireError
from sipfailover.flow import Flow, Target
from sipfailover.proxy.leg import next_hop
from sipfailover.wire import Message, NameAddr
from sipfailover.wire.fields import SHOWN
from sipfailover.wire.uri import Comparable, SipUri, user

BINDINGS_MAX = 10
"""Contacts of one PBX. With a further one the one that came first is forgotten."""
CONTACTS_MAX = 20
"""Contacts in one REGISTER; it is refused with more, because each is compared with each."""
EXPIRES_MIN = 60
"""Seconds. Who asks for less gets 423: a REGISTER each few seconds keeps nobody better reachable."""
EXPIRES_DEFAULT = 3600
"""Seconds that are meant where nothing readable is said (§10.3 step 7, §20.19)."""
DIGITS_MAX = 10
"""Of a number of seconds; 2**32 - 1 has as many."""


Address = tuple[str, int]
"""(IP address, port)."""


class TooBrief(WireError):
    """A time under EXPIRES_MIN was asked for (§10.3 step 7); the answer tells it in Min-Expires."""

    def __init__(self) -> None:
        super().__init__("Interval Too Brief", 423)


class Binding(NamedTuple):
    """One Contact that is registered. Times: seconds, monotonic."""

    aor: bytes
    """The address of record: To of the REGISTER, a URI."""
    contact: bytes
    """The Contact's URI as it came."""
    comparable: Comparable
    """The same, as it is compared with those of each REGISTER to come."""
    instance: bytes
    """`+sip.instance` with `reg-id` (RFC 5626 §4.2): the same device, wherever it is now; b"" if it does not say."""
    call_id: bytes
    cseq: int
    path: tuple[bytes, ...]
    """URIs in angle brackets through which calls go (RFC 3327)."""
    flow: Flow
    """What the REGISTER came over."""
    target: Target
    """Where calls go: over its stream, to its Contact, or to where the REGISTER came from."""
    fallback: Target | None
    """Where they go when that stream is gone; None if there is no way then."""
    since: float
    """Registered from there without a break since."""
    expires_at: float

    @property
    def uri(self) -> bytes:
        """The Request-URI of calls: the Contact without headers, which a Request-URI does not have (§19.1.1)."""
        return self.contact.partition(b"?")[0]

    @property
    def behind_nat(self) -> bool:
        """Whether it is reached elsewhere than its Contact says: requests inside a call go there too."""
        return not self.path and SipUri.parse(self.contact).address != self.target.host

    def to_bytes(self, now: float) -> bytes:
        """As a Contact value of the 200 (§10.3 step 8)."""
        return b"<%b>;expires=%d" % (self.contact, max(1, ceil(self.expires_at - now)))


Bindings = tuple[Binding, ...]
"""Those of one PBX, the one that calls go to first."""


def bind(
    bindings: Bindings, request: Message, flow: Flow, longest: float, now: float, taken: Collection[Address] = ()
) -> Bindings:
    """The bindings after a REGISTER (§10.3 steps 6 and 7), of which all is done or nothing. longest: seconds granted.

    taken: addresses (host, port) that are no PBX's, because they are ours or a carrier's.

    Raises WireError: 400 for what cannot be read, 423 (`TooBrief`), 500 for a request that is older than the last one.
    """
    contacts = request.values(b"contact")
    if len(contacts) > CONTACTS_MAX:
        raise WireError(f"{len(contacts)} contacts in one REGISTER, over {CONTACTS_MAX}")
    if b"*" in contacts:
        if len(contacts) > 1 or _seconds(request.get(b"expires")) != 0:
            raise WireError("Contact: * stands alone, with Expires: 0")
        for binding in of(bindings, request):
            _in_order(binding, request)
        return tuple(binding for binding in bindings if binding not in of(bindings, request))
    path = tuple(b"<%b>" % NameAddr.parse(value).uri for value in request.values(b"path"))
    for uri in path:
        _sip(uri[1:-1])
    _sip(request.to.uri)  # its host goes into To of calls
    parsed = [_Contact.parse(value) for value in contacts]
    for contact in parsed:
        for binding in _same(bindings, contact, request):
            _in_order(binding, request)
    for contact in parsed:
        bindings = _bound(bindings, contact, path, request, flow, longest, now, taken)
    return bindings[:BINDINGS_MAX]


def of(bindings: Bindings, request: Message) -> Bindings:
    """Those of the address of record that a REGISTER is about. The domain is not compared: all are ours here."""
    return tuple(binding for binding in bindings if user(binding.aor) == user(request.to.uri))


class _Contact(NamedTuple):
    """One Contact of a REGISTER."""

    address: NameAddr
    uri: SipUri
    comparable: Comparable

    @classmethod
    def parse(cls, value: bytes) -> "_Contact":
        """Raises WireError."""
        address = NameAddr.parse(value)
        uri = _sip(address.uri)
        return cls(address, uri, uri.comparable())

    @property
    def instance(self) -> bytes:
        """See `Binding.instance`."""
        instance = self.address.param(b"+sip.instance")
        return b"%b %b" % (instance, self.address.param(b"reg-id") or b"") if instance else b""


def _same(bindings: Bindings, contact: _Contact, request: Message) -> Bindings:
    """Those that this Contact speaks of: with an equivalent URI (§10.3 step 7), or of the same device."""
    comparable, instance = contact.comparable, contact.instance
    return tuple(
        binding
        for binding in of(bindings, request)
        if binding.comparable.same_as(comparable) or (instance and binding.instance == instance)
    )


def _bound(
    bindings: Bindings, contact: _Contact, path: tuple[bytes, ...], request: Message, flow: Flow, longest: float,
    now: float, taken: Collection[Address],
) -> Bindings:  # fmt: skip
    """The bindings after one Contact: the one that came or moved last goes first, a refresh leaves the order."""
    asked = _seconds(contact.address.param(b"expires"))
    if asked is None:
        asked = _seconds(request.get(b"expires"))
    if asked is None:
        asked = EXPIRES_DEFAULT
    if 0 < asked < EXPIRES_MIN:
        raise TooBrief
    old = _same(bindings, contact, request)
    rest = tuple(one for one in bindings if one not in old)
    if asked == 0:
        return rest
    target, fallback = way(contact.uri, path, request, flow, taken)
    new = Binding(
        aor=request.to.uri,
        contact=contact.address.uri,
        comparable=contact.comparable,
        instance=contact.instance,
        call_id=request.call_id,
        cseq=request.cseq,
        path=path,
        flow=flow,
        target=target,
        fallback=fallback,
        since=now,
        expires_at=now + min(asked, longest),
    )
    if len(old) == 1 and old[0].target == target and old[0].contact == contact.address.uri:
        new = new._replace(since=old[0].since)
        return tuple(new if one is old[0] else one for one in bindings)
    return (new, *rest)


def way(
    uri: SipUri, path: tuple[bytes, ...], request: Message, flow: Flow, taken: Collection[Address] = ()
) -> tuple[Target, Target | None]:
    """Where a registered Contact is reached, and where instead when its stream is gone.

    Over a stream: over that stream. Otherwise at its Contact, unless the PBX signs with another address than it comes
    from, which is how one behind NAT looks, or gives one that is `taken`: then where its REGISTER came from. Otherwise
    a call would come back to us as a new one, or a carrier's own call would be sent to a carrier at our expense.
    """
    here = Target(flow.transport, flow.host, flow.port, flow.sent_by, flow.local, line=flow.line)
    hop: Target = here
    if flow.host == request.via.address:
        hop = next_hop(path[0][1:-1] if path else uri.to_bytes(), here)
        ours = b"[%b]:%d" if ":" in hop.host else b"%b:%d"
        if ours % (hop.host.encode(), hop.port) == flow.sent_by or (hop.host, hop.port) in taken:
            hop = here
    if not flow.reliable:
        return hop, None
    return flow, hop if hop.peer != flow.peer else None


def alive(bindings: Bindings, now: float) -> Bindings:
    """Those that have not run out."""
    return tuple(binding for binding in bindings if binding.expires_at > now)


def without_stream(bindings: Bindings, connection: int) -> Bindings:
    """The bindings when a stream is gone: by their fallback, or not at all."""
    left = []
    for binding in bindings:
        if isinstance(binding.target, Flow) and binding.target.connection == connection:
            if binding.fallback is None:
                continue
            binding = binding._replace(target=binding.fallback, fallback=None)
        left.append(binding)
    return tuple(left)


def _in_order(binding: Binding, request: Message) -> None:
    """§10.3 steps 6 and 7: within one Call-ID numbers rise; what comes late changes nothing."""
    if binding.call_id == request.call_id and request.cseq <= binding.cseq:
        raise WireError(f"CSeq {request.cseq} comes after {binding.cseq}", 500)  # as in a dialog, §12.2.2


def _sip(uri: bytes) -> SipUri:
    try:
        return SipUri.parse(uri)
    except WireError as error:
        raise WireError(f"not a SIP address that can be called: {uri[:SHOWN]!r}") from error


def _seconds(value: bytes | None) -> int | None:
    """Delta-seconds; None for what is not there or cannot be read."""
    return int(value) if value is not None and value.isdigit() and len(value) <= DIGITS_MAX else None
