"""What a trunk is told about who calls and who is called: Request-URI, To, From, identity headers. Pure.

RFC 3261 §8.1.1 and §19.1, RFC 3325 (P-Asserted-Identity, P-Preferred-Identity), Remote-Party-ID as its draft had it,
RFC 3323 (Privacy). Everything is made from the PBX's own request, afresh for each attempt. The caller's number is the
one in P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID or From, in this order, the first that names somebody;
From itself keeps the number that the PBX wrote there, which may be another one that is to be shown (CLIP no screening).
"""

from typing import NamedTuple

from sipfailover.trunk.diversion import diverted
from sipfailover.trunk.numbers import E164, KEEP
from sipfailover.trunk.presentation import IDENTITY, PAI, PPI, RPID, Presentation, at_host, is_dialable, is_short
from sipfailover.trunk.privacy import ANONYMOUS, PRIVACY, addresses, asks_to_hide, is_anonymous, values, with_id
from sipfailover.wire import Message, NameAddr
from sipfailover.wire.fields import without_params
from sipfailover.wire.names import pretty
from sipfailover.wire.uri import scheme, user, with_host, with_number

FORWARDED = (b"diversion", b"history-info")
ANONYMOUSLY = ("anonymous", "both")
"""Ways of telling a hidden caller that take the number out of From."""


class Shown(NamedTuple):
    """How one call looks on one line."""

    from_: NameAddr
    lines: tuple[bytes, ...] = ()
    """Whole lines that the INVITE gets."""
    dropped: frozenset[bytes] = frozenset()
    """Names of lines of the calling side that it does not get."""
    kept_out: frozenset[bytes] = frozenset()
    """Names of lines that requests inside the call do not get either."""
    nameless: bool = False
    """Our Contact must not tell the caller's number."""


def request_uri(uri: bytes, host: bytes, port: int | None = None) -> bytes:
    """The Request-URI for a trunk at `host` (IPv6 with or without brackets), from the one the PBX sent.

    sip and sips: user, password and parameters such as `user=phone` stay as written; the host is replaced, and what
    described the way to the old host (`maddr`, `transport`, `ttl`) goes. tel becomes sip (§19.1.6). Others name no
    host and stay.
    """
    return with_host(uri, host, port)


def caller_uri(uri: bytes, domain: bytes, host: bytes = b"") -> bytes:
    """The URI in From for a trunk: the caller's user at `domain`, b"" for the caller's own.

    An anonymous caller (`anonymous.invalid`, RFC 3323 §4.1.1.3) stays as it is. A tel URI becomes a sip URI, at `host`
    if there is no domain.
    """
    name = scheme(uri)
    if name == b"tel":
        return with_host(uri, domain or host) if domain or host else uri
    if not domain or name not in (b"sip", b"sips") or uri.lower().endswith(b".invalid"):
        return uri
    return with_host(uri, domain)


def asserted(request: Message) -> NameAddr | None:
    """The caller as an identity header has it: P-Asserted-Identity, P-Preferred-Identity, Remote-Party-ID of the
    calling party; None if none names anybody."""
    for name in (PAI, PPI, RPID):
        for one in addresses(request, name):
            named = user(one.uri) and not is_anonymous(one.uri)
            if named and (one.param(b"party") or b"calling").lower() == b"calling":
                return one
    return None


def present(
    request: Message,
    target: bytes,
    p: Presentation,
    *,
    plain: bool = False,
    emergency: bool = False,
    fallback: bool = False,
) -> Shown:
    """Who calls, as this carrier is to see it.

    request: the INVITE as the calling side sent it. target: the Request-URI that goes out. plain: that side leaves the
    plus of numbers out. emergency: the number is shown, whatever the caller wishes, because help has to know where to
    go. fallback: `caller_id` is shown instead of the caller's own number.
    """
    anonymous = is_anonymous(request.from_.uri)
    hides = anonymous or asks_to_hide(request)
    hidden = hides and not emergency
    how = p.hidden if hidden else KEEP
    case = _Case(p, asserted(request), anonymous, how, hidden, hides and emergency, plain, fallback)
    from_ = _from(request.from_, case)
    lines, dropped = _identities(request, case)
    if case.revealed or case.how == "anonymous":
        dropped |= {PRIVACY}
    elif case.how in ("id", "both") or (hidden and not _still_hidden(request, from_, lines, dropped)):
        dropped |= {PRIVACY}
        lines.append(with_id(values(request)))
    forwarded, replaced = diverted(request, target, p, plain=plain)
    nobody = hidden and not p.number_when_hidden
    return Shown(
        from_._replace(uri=p.with_phone(from_.uri)),
        (*lines, *forwarded, *p.added),
        dropped | replaced | p.removed,
        p.kept_out | (IDENTITY if nobody else frozenset()),
        nobody or case.how in ANONYMOUSLY,
    )


def incoming(request: Message, p: Presentation, form: str) -> Shown:
    """Who calls over trunk `p`, for a PBX that wants numbers in `form`: From, identity headers, forwarding."""
    from_ = request.from_
    uri = at_host(p.caller_in_the_house(from_.uri, form), p.host)
    lines: list[bytes] = []
    dropped: frozenset[bytes] = frozenset()
    if form != KEEP:
        for name in (PAI, PPI, RPID, *FORWARDED):
            found = addresses(request, name)
            told = [one._replace(uri=p.caller_in_the_house(one.uri, form)) for one in found]
            if form != E164:
                told = [one._replace(uri=at_host(one.uri, p.host)) for one in told]
            if told != found:
                lines.append(_line(name, told))
                dropped |= {name}
    return Shown(from_._replace(uri=uri), tuple(lines), dropped)


class _Case(NamedTuple):
    """One call and one trunk: what decides how the caller is told."""

    p: Presentation
    known: NameAddr | None
    """The caller as an identity header has it."""
    anonymous: bool
    """From names nobody."""
    how: str
    """How a hidden caller is told; keep for others."""
    hidden: bool
    revealed: bool
    """The caller hides the number, and it is shown nevertheless."""
    plain: bool
    fallback: bool

    def user(self, uri: bytes, form: str) -> bytes:
        """The user shown instead of the one in this address."""
        return self.p.shown(uri, form, plain=self.plain, fallback=self.fallback)


def _from(from_: NameAddr, case: _Case) -> NameAddr:
    """The caller in From."""
    p, known = case.p, case.known
    if case.how in ANONYMOUSLY:
        return ANONYMOUS._replace(params=from_.params)
    if not p.display_name:
        from_ = from_._replace(display=b"")
    host = p.domain or p.host
    if p.account:
        return from_._replace(uri=b"sip:%b@%b" % (p.account, _reference(host)))
    uri = from_.uri
    if case.anonymous and (case.revealed or case.how == "id"):
        if known is not None:
            uri = with_host(known.uri, host)
        elif p.caller_id:
            uri = b"sip:%b@%b" % (p.caller_id, _reference(host))
        elif p.domain and case.how == "id":
            uri = b"sip:anonymous@" + _reference(p.domain)
        if uri != from_.uri:
            from_ = from_._replace(display=b"")
    elif p.headers is not None and known is not None and not case.anonymous and not _is_number(uri):
        uri = with_number(uri, user(known.uri))
    if not case.anonymous or not is_anonymous(uri):
        uri = _with_user(uri, case.user(uri, p.caller))
    return from_._replace(uri=caller_uri(uri, p.domain, p.host))


def _identities(request: Message, case: _Case) -> tuple[list[bytes], frozenset[bytes]]:
    """The identity headers: lines to write, and names of those of the PBX that they replace."""
    p = case.p
    if case.hidden and not p.number_when_hidden:
        return [], IDENTITY
    if p.headers is not None:
        return _written(p.headers, request, case), IDENTITY
    if case.how in ANONYMOUSLY and not any(name in request.first for name in IDENTITY):
        return _written((PAI,), request, case), frozenset()
    return _rewritten(request, case)


def _written(names: tuple[bytes, ...], request: Message, case: _Case) -> list[bytes]:
    """Identity headers of ours, with the caller's number; none where nobody knows it."""
    p, from_, caller = case.p, request.from_, case.known
    if caller is None and not case.anonymous and user(from_.uri):
        caller = from_
    if (caller is None or not _is_number(caller.uri)) and p.caller_id:
        caller = NameAddr(caller.display if caller is not None else b"", b"sip:%b@x" % p.caller_id)
    if caller is None:
        return []
    host = p.domain or (b"" if case.anonymous else _host(from_.uri)) or p.host
    phone = b";user=phone" if scheme(caller.uri) == b"tel" or b";user=phone" in caller.uri.lower() else b""
    uri = p.with_phone(b"sip:%b@%b%b" % (case.user(caller.uri, p.identity), _reference(host), phone))
    address = NameAddr(caller.display if p.display_name else b"", uri)
    party = b";party=calling;screen=yes;privacy=" + (b"full" if case.hidden else b"off")
    return [_line(name, [address._replace(params=party if name == RPID else b"")]) for name in names]


def _rewritten(request: Message, case: _Case) -> tuple[list[bytes], frozenset[bytes]]:
    """The identity headers of the PBX with their numbers as the carrier wants them; what cannot be read stays."""
    lines: list[bytes] = []
    dropped: frozenset[bytes] = frozenset()
    for name in (PAI, PPI, RPID):
        found = addresses(request, name)
        told = [_identity(one, case) for one in found]
        if told != found:
            lines.append(_line(name, told))
            dropped |= {name}
    return lines, dropped


def _identity(one: NameAddr, case: _Case) -> NameAddr:
    p, uri, params = case.p, one.uri, one.params
    if user(uri) and not is_anonymous(uri):
        uri = _with_user(uri, case.user(uri, p.identity))
        if p.identity not in (KEEP, E164):
            uri = at_host(uri, p.domain or p.host)  # a tel URI has room for global numbers only (RFC 3966 §5.1.5)
        uri = p.with_phone(uri)
    if case.revealed and one.param(b"privacy") is not None:
        params = without_params(params, (b"privacy",)) + b";privacy=off"
    return NameAddr(one.display if p.display_name else b"", uri, params)


def _still_hidden(request: Message, from_: NameAddr, lines: list[bytes], dropped: frozenset[bytes]) -> bool:
    """Whether what goes out tells that the number is hidden, without a word more in Privacy."""
    if is_anonymous(from_.uri) or any(b";privacy=full" in line for line in lines):
        return True
    asked = values(request)
    if b"none" not in asked and {b"id", b"user", b"header"}.intersection(asked):
        return True
    return RPID not in dropped and RPID in request.first and asks_to_hide(request)


def _is_number(uri: bytes) -> bool:
    return is_dialable(user(uri)) and not is_short(user(uri))


def _with_user(uri: bytes, text: bytes) -> bytes:
    return uri if text == user(uri) else with_number(uri, text)


def _host(uri: bytes) -> bytes:
    """The host of a sip address with its port, as written; b"" if there is none."""
    return uri.partition(b"@")[2].partition(b";")[0].partition(b"?")[0]


def _line(name: bytes, found: list[NameAddr]) -> bytes:
    return b"%b: %b" % (pretty(name), b", ".join([one.to_bytes() for one in found]))


def _reference(host: bytes) -> bytes:
    """A host as it stands in a URI: IPv6 in brackets."""
    return b"[%b]" % host if host.count(b":") > 1 and host[:1] != b"[" else host
