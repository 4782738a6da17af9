"""That a call was forwarded, in its two spellings: Diversion (RFC 5806) and History-Info (RFC 7044), and the way from
one to the other (RFC 7544). Pure.

Diversion has who forwarded, the last one first, with the reason. History-Info has every address that was called, the
first one first; the reason stands at the address that the call was forwarded *to*, as `cause` (RFC 4458).
"""

import re
from itertools import pairwise
from urllib.parse import unquote_to_bytes

from sipfailover.trunk.numbers import E164, KEEP
from sipfailover.trunk.presentation import Presentation, at_host
from sipfailover.trunk.privacy import addresses, values
from sipfailover.wire import Message, NameAddr
from sipfailover.wire.fields import param, without_params
from sipfailover.wire.names import pretty
from sipfailover.wire.uri import user, with_number

DIVERSION, HISTORY = b"diversion", b"history-info"
BOTH = (DIVERSION, HISTORY)
DIVERSIONS_MAX = 10
"""Forwardings that are written anew; of more, the last ones. A call that was forwarded more often goes in circles."""

CAUSES = {b"unconditional": 302, b"user-busy": 486, b"no-answer": 408, b"deflection": 480, b"unavailable": 503}
"""Reason of Diversion → cause of History-Info (RFC 7544)."""
UNKNOWN_CAUSE = 404
"""Of every other reason: unknown, time-of-day, do-not-disturb, follow-me, out-of-service, away."""
REASONS = {cause: reason for reason, cause in CAUSES.items()} | {487: b"deflection"}
"""The way back; every other cause is `unknown` (RFC 7544)."""

_ESCAPED_CAUSE = re.compile(rb"(?:^|&)reason=[^&]*?cause%3d(\d{3})", re.IGNORECASE)
_ESCAPED_PRIVACY = re.compile(rb"(?:^|&)privacy=([^&]*)", re.IGNORECASE)


def diverted(request: Message, target: bytes, p: Presentation, *, plain: bool) -> tuple[list[bytes], frozenset[bytes]]:
    """Lines that tell a carrier of the forwarding, and names of the lines that they replace.

    target: the Request-URI as it goes out, which is the last address of a History-Info.
    """
    present = [name for name in BOTH if name in request.first]
    if not present:
        return [], frozenset()
    if p.diversion == "drop":
        return [], frozenset(present)
    wanted = {"diversion": DIVERSION, "history-info": HISTORY}.get(p.diversion)
    if wanted is None or wanted in present:
        kept = [name for name in present if wanted in (None, name)]
        if p.identity == KEEP and not p.ddi and not p.caller_prefixes:
            return [], frozenset(present).difference(kept)
        written = {name: addresses(request, name) for name in kept}
    elif wanted == HISTORY:
        written = {HISTORY: to_history(addresses(request, DIVERSION), target)}
    else:
        written = {DIVERSION: to_diversion(addresses(request, HISTORY), b"history" in values(request))}
    if any(not addresses(request, name) for name in present):
        return [], frozenset()  # it cannot be read: the carrier may make more of it
    lines = [
        b"%b: %b" % (pretty(name), b", ".join([_shaped(one, p, plain).to_bytes() for one in found]))
        for name, found in written.items()
        if found
    ]
    return lines, frozenset(present)


def to_history(diversions: list[NameAddr], target: bytes) -> list[NameAddr]:
    """History-Info from Diversion: who was called first stands first, `target` last (RFC 7544)."""
    history: list[NameAddr] = []
    index, cause = b"1", 0
    for one in diversions[:DIVERSIONS_MAX][::-1]:
        privacy = (one.param(b"privacy") or b"").strip(b'"').lower()
        uri = _with_cause(_plain(one.uri), cause)
        if privacy:
            uri += b"?Privacy=" + (b"none" if privacy == b"off" else b"history")
        history.append(NameAddr(one.display, uri, b";index=" + index + _parent(index)))
        cause = CAUSES.get((one.param(b"reason") or b"").strip(b'"').lower(), UNKNOWN_CAUSE)
        index += b".1"
    return [*history, NameAddr(b"", _with_cause(_plain(target), cause), b";index=" + index + _parent(index))]


def to_diversion(history: list[NameAddr], private: bool = False) -> list[NameAddr]:
    """Diversion from History-Info: an address is one that forwarded the call if the next one says why it was called
    instead (`cause`), or that it was (`mp`, RFC 7044 §5), or if its own Reason says how it failed.

    private: Privacy: history hides all of them.
    """
    found: list[NameAddr] = []
    known = {one.param(b"index"): one for one in reversed(history)}
    for one, following in pairwise(history):
        changed = following.param(b"mp")
        one = known.get(changed, one) if changed else one
        headers = one.uri.partition(b"?")[2]
        cause = _cause(following.uri) or _own_cause(headers)
        if cause is None and changed is None:
            continue
        reason = REASONS.get(cause or 0, b"unknown")
        escaped = _ESCAPED_PRIVACY.search(headers)
        hidden = private or (escaped is not None and unquote_to_bytes(escaped[1]).lower() not in (b"", b"none"))
        privacy = b"full" if hidden else b"off"
        params = b";reason=%b;counter=1;privacy=%b" % (reason, privacy)
        found.append(NameAddr(one.display, _plain(one.uri), params))
    return found[::-1][:DIVERSIONS_MAX]


def _shaped(one: NameAddr, p: Presentation, plain: bool) -> NameAddr:
    """An address with its number as the carrier wants identities; a tel URI stays one while that form is global."""
    uri = one.uri
    text = p.shown(uri, p.identity, plain=plain, asked=False)
    if text != user(uri):
        uri = with_number(uri, text)
    return one._replace(uri=uri if p.identity in (KEEP, E164) else at_host(uri, p.domain or p.host))


def _plain(uri: bytes) -> bytes:
    """An address without its headers, and without the cause for which it was called."""
    address = uri.partition(b"?")[0]
    who, at, where = address.rpartition(b"@")
    host, semicolon, params = where.partition(b";")
    return who + at + host + without_params(semicolon + params, (b"cause",))


def _with_cause(uri: bytes, cause: int) -> bytes:
    return uri + b";cause=%d" % cause if cause else uri


def _cause(uri: bytes) -> int | None:
    """RFC 4458 §2. It stands behind the host, not in the user."""
    address = uri.partition(b"?")[0]
    value = param(b";" + address[address.find(b"@") + 1 :].partition(b";")[2], b"cause")
    return int(value) if value is not None and value.isdigit() and len(value) == 3 else None


def _own_cause(headers: bytes) -> int | None:
    """The cause in the Reason that an address carries with it (RFC 7044 §9.3)."""
    found = _ESCAPED_CAUSE.search(headers)
    return int(found[1]) if found else None


def _parent(index: bytes) -> bytes:
    """`mp`: the address whose user was changed for this one (RFC 7044 §5)."""
    before = index.rpartition(b".")[0]
    return b";mp=" + before if before else b""
