"""A transaction layer in virtual time: what it sends and raises is read with the second at which it happened."""

from collections.abc import Iterable

from sipfailover.flow import Flow, Send, Target
from sipfailover.transaction import Input, Layer, TimerQueue, Transaction
from sipfailover.wire import Message, compose

US = b"192.0.2.1:5060"
PHONE = Flow("udp", "192.0.2.10", 5060, US)
STREAM = Flow("tcp", "192.0.2.10", 49152, US, connection=7)
TRUNK = Target("udp", "198.51.100.7", 5060, US)
TCP_TRUNK = Target("tcp", "198.51.100.7", 5060, US)
BRANCH = b"z9hG4bKours"


class World:
    """The layer, its clock, and what came of it so far."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = TimerQueue()
        self.out: list[Send] = []
        self.layer = Layer(self.timers, self.out)
        self.sent: list[tuple[float, Target, bytes]] = []
        self.told: list[tuple[float, Transaction | None, Input, Message | None]] = []

    def collect(self) -> None:
        self.sent += [(self.now, send.to, send.data) for send in self.out]
        self.out.clear()
        self.told += [(self.now, *raised) for raised in self.layer.raised]
        self.layer.raised.clear()

    def after(self, seconds: float) -> None:
        """Time passes; every timer rings at its own moment."""
        end = self.now + seconds
        while (due := self.timers.deadline()) is not None and due <= end + 1e-9:
            self.now = max(self.now, due)
            for owner, name in self.timers.expired(self.now):
                self.layer.ring(owner, Input(name), self.now)  # type: ignore[arg-type]
            self.collect()
        self.now = end

    def receive(self, flow: Flow, data: bytes) -> None:
        self.layer.receive(flow, Message(data), self.now)
        self.collect()

    def call(self, method: bytes = b"INVITE", to: Target = TRUNK, branch: bytes = BRANCH, **more: float) -> Transaction:
        """Send a request of ours."""
        data = request(method, branch=branch, sent_by=US, transport=to.transport)
        tx = self.layer.request(branch, method, data, to, "user", self.now, **more)
        self.collect()
        return tx

    def answered(self, status: int, method: bytes = b"INVITE", branch: bytes = BRANCH, tag: bytes = b"them") -> None:
        """The trunk answers."""
        self.receive(Flow("udp", "198.51.100.7", 5060, US), answer(status, method, branch, tag))

    def respond(self, tx: Transaction, status: int) -> None:
        """The user answers a request."""
        assert tx.request is not None
        self.layer.respond(tx, status, compose.response(tx.request, status, to_tag=b"us"), self.now)
        self.collect()

    def cancel(self, branch: bytes = BRANCH) -> None:
        self.layer.cancel(branch, self.now)
        self.collect()

    def lost(self, where: Target, reason: str = "refused") -> None:
        self.layer.lost(where, reason, self.now)
        self.collect()

    def asked(self, flow: Flow, data: bytes) -> Transaction:
        """A new request comes in; gives its transaction."""
        self.receive(flow, data)
        tx = self.told[-1][1]
        assert tx is not None
        return tx

    def times(self, what: bytes) -> list[float]:
        """When messages left whose start line begins so."""
        return [round(when, 3) for when, _, data in self.sent if data.startswith(what)]

    def inputs(self) -> list[Input]:
        """What users were told."""
        return [what for _, _, what, _ in self.told]

    def assert_empty(self) -> None:
        """Nothing is left of what was."""
        layer = self.layer
        assert (layer.clients, layer.servers, layer.waiting, layer.merged) == ({}, {}, {}, {})
        assert len(layer) == 0
        assert len(self.timers) == 0


def request(
    method: bytes,
    *,
    branch: bytes = b"z9hG4bKtheirs",
    sent_by: bytes = b"192.0.2.10:5060",
    transport: str = "udp",
    via: bytes = b"",
    to_tag: bytes = b"",
    from_tag: bytes = b"phone",
    call_id: bytes = b"call",
    cseq: int = 1,
    uri: bytes = b"sip:+41443210019@192.0.2.1",
    routes: Iterable[bytes] = (),
) -> bytes:
    """A request; `via` instead of transport, sent-by and branch."""
    return compose.request(
        method,
        uri,
        via=via or b"SIP/2.0/%b %b;branch=%b" % (transport.upper().encode(), sent_by, branch),
        from_=b"<sip:phone@192.0.2.10>" + (b";tag=" + from_tag if from_tag else b""),
        to=b"<sip:+41443210019@192.0.2.1>" + (b";tag=" + to_tag if to_tag else b""),
        call_id=call_id,
        cseq=cseq,
        routes=routes,
    )


def answer(status: int, method: bytes = b"INVITE", branch: bytes = BRANCH, tag: bytes = b"them") -> bytes:
    """An answer of the trunk to a request of ours."""
    return compose.response(Message(request(method, branch=branch, sent_by=US)), status, to_tag=tag)
