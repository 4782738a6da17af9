"""What answers say besides their status: the way they took, our address as seen from there, the clock. Pure functions.

Each gives one step, or None where there is nothing to tell.
"""

from datetime import datetime
from email.utils import parsedate_to_datetime
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from sipfailover.errors import WireError
from sipfailover.flow import Target
from sipfailover.preflight.conversation import Question, Reply
from sipfailover.preflight.report import Step, good, warning
from sipfailover.profiles import Applied
from sipfailover.trunk import PublicAddress
from sipfailover.wire import Message, Via

SLOW = 0.3
"""Seconds. A round trip above it is heard as delay, if the media goes the same way (ITU-T G.114: 150 ms one way)."""
SKEW = 60.0
"""Seconds. A clock that is further off makes logs of two houses hard to compare, and certificates may seem expired."""
NEIGHBOURS = {4: 24, 6: 48}
"""Prefix length by IP version, within which two addresses probably fail together."""

LOST = {
    "refused": ("the port is closed", "check host, port and transport: nobody listens there"),
    "reset": ("the connection was reset", "check port and transport; the carrier may not know your address yet"),
    "closed": ("the connection was closed", "check transport; the carrier may not know your address yet"),
    "timeout": ("no connection within the time allowed", "check host, port and the firewall"),
    "unreachable": ("the host is unreachable", "check the address, and the route to it"),
    "local: no route": ("this machine has no route to it", "check this machine's network, and IPv4 or IPv6"),
}
"""The transport's word → what happened, what to do."""


def words_of(why: str) -> tuple[str, str]:
    """What a word of the transport means, and what to do about it."""
    if why in LOST:
        return LOST[why]
    told = ": " in why and not why.startswith("local: ")  # a sentence of the transport's, with what to do in it
    return (why, "") if told else (why, "check host, port, transport and the firewall")


def way_back(question: Question, reply: Reply) -> Step | None:
    """Whether somebody on the way rewrites SIP (an ALG), and whether the answer came from where we asked."""
    asked, message = Message(question.data), reply.message
    if message is None:
        return None
    changed = _changed(asked, message, reply.altered)
    if changed:
        return warning(
            "way back",
            f"{changed}: a SIP ALG in a router is rewriting SIP",
            "switch it off in your router (called SIP ALG, SIP helper, SIP inspection or application gateway)",
            alg=True,
        )
    to, source = question.to, reply.source
    if source is not None and source.peer != to.peer:
        return warning(
            "way back",
            f"asked {to}, the answer came from {source}",
            f"let {source.host} through the firewall; write it under networks if calls come from there",
            asked=str(to),
            answered=str(source),
        )
    return None


def _changed(asked: Message, message: Message, altered: bool) -> str:
    """What of our own lines came back otherwise, in words; empty if they came back as they were (§8.2.6.2)."""
    if altered:
        return "the answer has another branch than ours"
    try:
        via, echoed, from_ = asked.via, message.via, message.from_.uri
    except WireError:
        return "our Via or From came back unreadable"
    if _place(echoed) != _place(via):
        return f"our Via said {_text(via.sent_by)} and came back as {_text(echoed.sent_by)}"
    if from_ != asked.from_.uri:
        return f"our From said {_text(asked.from_.uri)} and came back as {_text(from_)}"
    return ""


def _place(via: Via) -> tuple[bytes, int]:
    default = 5061 if via.transport.upper() == b"TLS" else 5060
    return via.host.lower(), via.port or default


def seen_from_there(reply: Reply, target: Target, local: str, public_hosts: frozenset[str]) -> Step | None:
    """Where the carrier sees us, and whether that is what we tell it.

    `local`: our own address on this path. `public_hosts`: the addresses that `public_address` means; empty without it.
    """
    message = reply.message
    if message is None:
        return None
    ours = _sent_by(target)
    seen = PublicAddress.read(message)
    advertised = ip_or_none(ours.address)
    there = ip_address(target.host)
    private = advertised is not None and not advertised.is_global and there.is_global
    facts: dict[str, object] = {"local": local, "told": _text(target.sent_by), "seen": str(seen) if seen else None}
    if seen is None:
        text = f"the carrier does not say where it sees us; we say {_text(target.sent_by)}"
        if private:
            return warning("public", f"{text}, a private address", "write your public_address", **facts)
        return good("public", text, None, **facts)
    told = public_hosts or {str(advertised) if advertised is not None else ours.address}
    nat = seen.host != local
    facts["nat"] = nat
    if seen.host not in told:
        text = f"the carrier sees us at {seen}, we say {_text(target.sent_by)}"
        advice = f"write public_address: {seen.host}"
        if private and not public_hosts:
            return warning("public", f"{text}: a private address, behind NAT", advice, **facts)
        return warning("public", text, advice, **facts)
    if nat and target.transport == "udp" and seen.port != (ours.port or 5060):
        return warning(
            "public",
            f"the carrier sees us at {seen}: a NAT gives us another port than {ours.port or 5060}",
            f"forward UDP port {ours.port or 5060} of {seen.host} to this machine, unless you register",
            **facts,
        )
    if nat:
        return good("public", f"behind NAT, seen at {seen}, as public_address says", None, **facts)
    return good("public", f"seen at {seen}, our own address: no NAT", None, **facts)


def clock(message: Message | None, wall: datetime) -> Step | None:
    """Whether the carrier's clock (Date, §20.17) and ours agree. `wall`: ours, with a time zone."""
    value = (message.get(b"date") if message is not None else None) or b""
    try:
        theirs = parsedate_to_datetime(value.decode("latin-1"))
        skew = (wall - theirs).total_seconds()
    except (TypeError, ValueError, OverflowError):
        return None
    if abs(skew) <= SKEW:
        return None
    text = f"our clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the carrier's"
    return warning("clock", text, "set this machine's clock (NTP)", skew_seconds=round(skew))


def pace(reply: Reply) -> Step | None:
    """Whether answers come slowly or only after repetition."""
    if reply.message is None or reply.altered:
        return None
    if reply.sends > 1:
        text = f"the answer came after the request was sent {reply.sends} times"
        return warning("pace", text, "packets are lost, or the carrier is slow: try again", sends=reply.sends)
    if reply.seconds > SLOW:
        text = f"the answer took {reply.seconds * 1000:.0f} ms, more than {SLOW * 1000:.0f} ms"
        return warning("pace", text, "see whether the line is loaded, or whether the carrier has a nearer address")
    return None


def guesses(applied: Applied, works: frozenset[str]) -> Step | None:
    """What of a profile is a guess that this check has not seen to work either. `works`: keys that it has."""
    guessed = {setting.key: setting.shown for setting in applied.guesses}
    left = {key: value for key, value in guessed.items() if key not in works}
    if not guessed:
        return None
    name = applied.profile.name
    seen = ", ".join(f"{key}: {value}" for key, value in guessed.items() if key in works)
    text = f"seen to work as {name} guesses: {seen}" if seen else ""
    if not left:
        return good("profile", text)
    shown = ", ".join(f"{key}: {value}" for key, value in left.items())
    text = "; ".join(part for part in (text, f"{name} guesses, not confirmed: {shown}") if part)
    advice = f"ask the carrier, or make test calls; sources: sipfailover profiles show {name}"
    return warning("profile", text, advice, None, guesses=left)


def too_near(one: str, other: str) -> str:
    """Why two IP addresses would probably fail together; empty if they would not."""
    first, second = ip_address(one), ip_address(other)
    if first == second:
        return f"both at {first}"
    if first.version != second.version:
        return ""
    network = ip_network(f"{first}/{NEIGHBOURS[first.version]}", strict=False)
    return f"both in {network}" if second in network else ""


def is_private(host: str) -> bool:
    """True for an address that the internet does not know."""
    address = ip_or_none(host)
    return address is not None and not address.is_global


def ip_or_none(host: str) -> IPv4Address | IPv6Address | None:
    """The address, None for a name."""
    try:
        return ip_address(host)
    except ValueError:
        return None


def _sent_by(target: Target) -> Via:
    return Via.parse(b"SIP/2.0/UDP " + target.sent_by)


def _text(value: bytes) -> str:
    return value.decode("latin-1")
