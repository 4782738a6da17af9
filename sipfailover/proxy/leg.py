"""A leg: one dialog of a call, ours with one peer (RFC 3261 §12). Every call has two, which share nothing else.

A leg knows how requests inside it are addressed (§12.2.1.1) and where they go; who asks and what is passed on is
`inside`'s business. Times are seconds, monotonic.
"""

from dataclasses import replace
from functools import lru_cache
from ipaddress import ip_address

from sipfailover.errors import WireError
from sipfailover.flow import TLS, Flow, Target
from sipfailover.transaction import Timer
from sipfailover.wire import OWNED, Message, NameAddr, compose, value_of
from sipfailover.wire.compose import Header
from sipfailover.wire.fields import param, without_params
from sipfailover.wire.uri import SipUri

TAG = (b"tag",)
HOPS_KEPT = 1_024
"""Contacts for which is remembered where they lead, those not used for longest forgotten first."""
URI_KEPT_BYTES = 128
"""Longer ones are looked at anew each time, so that nobody can fill our memory with them."""


ACKS_KEPT = 4
"""ACKs before the last one. Of more re-INVITEs within 64*T1 the first ones would have to be lost for long."""


class Leg:
    """One dialog, early or confirmed. `key` is how a request inside it is found."""

    __slots__ = (
        "ack", "ack_cseq", "acks", "again", "answer", "answer_key", "behind_nat", "call", "call_id", "caller",
        "contact", "credentials", "cseq", "dropped", "fallback", "give_up", "interval", "kept", "kept_out", "lines",
        "local", "local_tag", "partner", "reached", "refers", "remote", "remote_cseq", "remote_tag", "restored",
        "routes", "success_cseq", "target", "to", "uac_cseq", "uas_cseq",
    )  # fmt: skip

    def __init__(self, call: int, call_id: bytes, local_tag: bytes, reached: Target, contact: bytes) -> None:
        self.call = call
        """Number of its call."""
        self.call_id = call_id
        self.local_tag = local_tag
        self.remote_tag = b""
        self.local = b""
        """Our From in requests, with our tag: a whole value."""
        self.remote = b""
        """Our To in requests, with the peer's tag once it is known."""
        self.contact = contact
        """Our Contact line, as it stands in requests and answers."""
        self.reached = reached
        """Where the peer was when the dialog began: a flow, or the target we called."""
        self.to: Target = reached
        """Where requests inside the dialog go."""
        self.fallback: Target | None = None
        """Where they go if that connection is gone."""
        self.behind_nat = False
        """The peer signs with another address than the one it comes from: its Contact is of no use to us."""
        self.target = b""
        """The peer's Contact URI: remote target (§12.2.1.1)."""
        self.routes: tuple[bytes, ...] = ()
        """Route set, the first hop first: URIs in angle brackets, nothing else (§12.1)."""
        self.cseq = 0
        """The last number that we used."""
        self.remote_cseq = -1
        """The last number that the peer used."""
        self.uac_cseq = 0
        """Number of the last INVITE that we sent."""
        self.uas_cseq = -1
        """Number of the last INVITE that we were sent."""
        self.success_cseq = 0
        """Number of the last INVITE of ours that has a 2xx: it wants an ACK."""
        self.ack = b""
        """The ACK to the last 2xx that we were sent, to be said again; b"" until the other side has acknowledged."""
        self.ack_cseq = 0
        self.acks: tuple[tuple[int, bytes], ...] = ()
        """(CSeq number, ACK) of the INVITEs before, at most `ACKS_KEPT`: who lost one repeats that 2xx, whatever was
        asked meanwhile, and hangs up in the end."""
        self.answer = b""
        """The 2xx that the peer has not acknowledged yet; b"" if there is none."""
        self.answer_key: tuple[bytes, bytes, bytes] = (b"", b"", b"")
        self.again: Timer | None = None
        self.give_up: Timer | None = None
        self.interval = 0.0
        self.refers: dict[int, int] | None = None
        """REFERs that we sent on: our number → the number it had on the other side (RFC 3515 §2.4.6)."""
        self.credentials: tuple[Header, ...] = ()
        """What the INVITE showed to be let in; the ACK to its 2xx repeats it (§22.1)."""
        self.lines: tuple[bytes, ...] = ()
        """Lines that the INVITE gets which begins this dialog: who calls, as the peer wants to be told."""
        self.dropped = OWNED
        """Names of lines of the other side that this INVITE does not get."""
        self.kept_out = OWNED
        """Names of lines of the other side that requests inside this dialog do not get."""
        self.partner: bytes = b""
        """Key of the leg on the other side."""
        self.caller = False
        """True for the leg of the side that made the call."""
        self.restored = False
        """An earlier process began it: what was under way then, nobody here remembers."""
        self.kept = ""
        """Key of the record of its BYE, while that has no answer."""

    @property
    def key(self) -> bytes:
        """Our tag and the peer's: what finds this leg among all (§12, without the Call-ID, which is checked)."""
        return self.local_tag + b";" + self.remote_tag

    def acknowledged(self, data: bytes) -> None:
        """This ACK to the last INVITE that we sent leaves. On the path."""
        if self.ack and self.ack_cseq != self.uac_cseq:
            self.acks = (*self.acks, (self.ack_cseq, self.ack))[-ACKS_KEPT:]
        self.ack, self.ack_cseq = data, self.uac_cseq

    def ack_to(self, cseq: int) -> bytes:
        """The ACK that has left for the 2xx to this INVITE of ours; b"" if there was none yet."""
        if cseq == self.ack_cseq:
            return self.ack
        return next((data for number, data in self.acks if number == cseq), b"")

    def fork(self, local_tag: bytes, remote_tag: bytes) -> "Leg":
        """The same dialog with another tag on one end: a further callee answered (§12.1.2)."""
        twin = Leg(self.call, self.call_id, local_tag, self.reached, self.contact)
        twin.local = self.local.removesuffix(self.local_tag) + local_tag if local_tag != self.local_tag else self.local
        twin.remote, twin.remote_tag = self.remote, remote_tag
        twin.to, twin.fallback, twin.target, twin.routes = self.to, self.fallback, self.target, self.routes
        twin.caller, twin.behind_nat, twin.kept_out = self.caller, self.behind_nat, self.kept_out
        twin.cseq = twin.uac_cseq = self.uac_cseq
        twin.remote_cseq = twin.uas_cseq = self.uas_cseq  # both sides count from the INVITE, in each dialog anew
        return twin

    def called_by(self, invite: Message, flow: Flow) -> None:
        """The peer called us with this INVITE (§12.1.1). Raises WireError if its Contact or route set is unreadable."""
        _ = invite.contact  # an address that cannot be read is refused before anything begins
        self.remote_tag = invite.from_tag
        self.remote = value_of(invite.first[b"from"])
        self.local = b"%b;tag=%b" % (value_of(invite.first[b"to"]), self.local_tag)
        self.remote_cseq = self.uas_cseq = invite.cseq
        self.routes = route_set(invite)
        self.caller = True
        self.asked_by(invite, flow)

    def asked_by(self, request: Message, flow: Target) -> None:
        """The peer sent a request from there that may move its target (§12.2.2)."""
        self.behind_nat = flow.host != request.via.address
        self.aim(request)

    def answered_by(self, response: Message) -> None:
        """The peer answered our INVITE, provisionally or for good (§12.1.2).

        A route set that cannot be read is left out: the call goes on, and its requests go to the Contact.
        """
        self.remote_tag = response.to_tag
        self.remote = value_of(response.first[b"to"])
        if response.status >= 200:
            self.success_cseq = response.cseq
        try:
            self.routes = route_set(response)[::-1]
        except WireError:
            self.routes = ()
        self.aim(response)

    def aim(self, message: Message) -> None:
        """Take the peer's Contact as remote target (§12.1, §12.2.1.2), if the message has one that can be read.

        Requests to a peer behind NAT go on to where its own came from.
        """
        try:
            contact = message.contact
            if contact is not None:
                self.target = contact.uri
            if not self.target:
                self.target = self.from_uri(message)
            if not self.behind_nat:
                self._choose_hop()
        except WireError:
            self.target = self.target or b"sip:" + _host_port(self.reached)

    @staticmethod
    def from_uri(message: Message) -> bytes:
        """Whom to ask where no Contact was given (RFC 2543): the address of record."""
        return message.from_.uri if message.method else message.to.uri

    def _choose_hop(self) -> None:
        reached = self.reached
        hop = next_hop(self.routes[0][1:-1] if self.routes else self.target, reached)
        if not (isinstance(reached, Flow) and reached.reliable):
            self.to = hop
        elif hop.peer != reached.peer:  # no flow: its connection would be the one that is gone
            self.fallback = Target(hop.transport, hop.host, hop.port, hop.sent_by, hop.local, line=hop.line)

    def heard_over(self, flow: Target) -> None:
        """A request of the peer came over this flow. A peer that called us over a stream and has opened another one is
        reached over the new one from now on (RFC 5626 §5.3): the old one is gone, or soon will be. So is one behind a
        NAT that gave it another port."""
        old = self.reached
        if not isinstance(flow, Flow) or not isinstance(old, Flow) or flow.transport != old.transport:
            return
        if flow.connection != old.connection or (self.behind_nat and flow.peer != old.peer):
            self.reached = replace(flow, sent_by=old.sent_by)
            if self.to == old:
                self.to = self.reached

    def request_lines(self, method: bytes, cseq: int, branch: bytes, max_forwards: int, contact: bool) -> bytes:
        """Start line and our lines for a request inside this dialog, joined by CRLF (§12.2.1.1). On the path."""
        uri, routes = self.target, self.routes
        if routes and param(b";" + routes[0][1:-1].partition(b";")[2], b"lr") is None:
            uri, routes = routes[0][1:-1], (*routes[1:], b"<%b>" % self.target)  # a strict router
        lines = [
            b"%b %b SIP/2.0" % (method, uri),
            b"Via: " + compose.via_value(self.to.transport, self.to.sent_by, branch),
            b"Max-Forwards: %d" % max_forwards,
            *[b"Route: " + route for route in routes],
            b"From: " + self.local,
            b"To: " + self.remote,
            b"Call-ID: " + self.call_id,
            b"CSeq: %d %b" % (cseq, method),
        ]
        if contact:
            lines.append(self.contact)
        return b"\r\n".join(lines)

    def next_cseq(self) -> int:
        """A number for a new request of ours."""
        self.cseq += 1
        return self.cseq

    def __repr__(self) -> str:
        side = "caller" if self.caller else "called"
        return f"<Leg of call {self.call}, {side} side, Call-ID {self.call_id.decode('latin-1')}, at {self.to}>"


def leg_of(message: Message, reached: Target) -> Leg:
    """The dialog of a 2xx to an INVITE of ours of which nothing else is known any more: enough to acknowledge it, and
    to hang up."""
    leg = Leg(0, message.call_id, message.from_tag, reached, b"")
    leg.local = value_of(message.first[b"from"])
    leg.answered_by(message)
    leg.cseq = leg.uac_cseq = message.cseq
    return leg


def route_set(message: Message) -> tuple[bytes, ...]:
    """The URIs of Record-Route in their order, in angle brackets (§12.1). Raises WireError for an unreadable one."""
    if b"record-route" not in message.first:
        return ()
    return tuple(b"<%b>" % NameAddr.parse(value).uri for value in message.values(b"record-route"))


def contact_line(user: bytes, ours: Target) -> bytes:
    """Our Contact towards a peer: the user that the other side has, at our address on this path."""
    transport = b"" if not ours.reliable else b";transport=" + ours.transport.encode()
    return b"Contact: <sip:%b%b%b%b>" % (user, b"@" if user else b"", ours.sent_by, transport)


def without_tag(address: NameAddr) -> bytes:
    """A From or To value without its tag."""
    params = without_params(address.params, TAG) if address.params else b""
    return NameAddr(address.display, address.uri, params).to_bytes()  # a third of what `_replace` takes


def next_hop(uri: bytes, reached: Target) -> Target:
    """Where a request with this next URI goes: see `_next_hop`. The same for the same Contact, which comes three times
    in a call and again with the next one, so it is remembered: 0.9 µs instead of 4."""
    return (_next_hop if len(uri) <= URI_KEPT_BYTES else _next_hop.__wrapped__)(uri, reached)


@lru_cache(HOPS_KEPT)
def _next_hop(uri: bytes, reached: Target) -> Target:
    """Where a request with this next URI goes: the IP address in it, or where its peer was reached before.

    Names are not looked up on the path of a call; a private address from a peer that we reached at a public one is
    how a carrier behind NAT looks; 127.0.0.1 is how a PBX looks that does not know its own address. All of them mean
    the address that is known to work.
    """
    try:
        address = SipUri.parse(uri)
    except WireError:
        return reached
    transport = (address.param(b"transport") or b"").decode("latin-1").lower()
    if reached.transport == TLS:
        # §26.2.2: `sips:` means TLS, and `transport=tcp` there is what it runs over. A `sip:` that does not say tls has
        # another transport in mind than that over which its peer proved who it is; carriers write it all the same.
        if transport != TLS and address.scheme != b"sips":
            return reached
        transport = TLS
    if transport not in ("", reached.transport):
        return reached
    host, port = address.address, address.port or reached.default_port
    if host == reached.host:
        return reached if port == reached.port else _elsewhere(reached, host, port)
    try:
        there, here = ip_address(host), ip_address(reached.host)
    except ValueError:
        return reached
    if there.version != here.version or there.is_unspecified or there.is_multicast:
        return reached
    if there.version == 4 and there.is_reserved:
        return reached  # 240.0.0.0/4, to which nothing is sent, and in it 255.255.255.255, which is everybody
    if (here.is_global and not there.is_global) or (there.is_loopback and not here.is_loopback):
        return reached
    return _elsewhere(reached, str(there), port)


def _elsewhere(reached: Target, host: str, port: int) -> Target:
    """The same path to another address. Not over the connection that leads to the first one."""
    if reached.reliable:
        return Target(reached.transport, host, port, reached.sent_by, reached.local, line=reached.line)
    return reached.at(host, port)


def _host_port(target: Target) -> bytes:
    host = f"[{target.host}]" if ":" in target.host else target.host
    return f"{host}:{target.port}".encode()
