"""An office with its PBX and its trunks, for playbooks: addresses, settings, and the usual beginnings of a call."""

from collections.abc import Callable
from datetime import datetime
from functools import cache

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.flow import Flow, Target
from sipfailover.proxy import Engine
from sipfailover.proxy.line import Line
from sipfailover.trunk import Evidence, Sign, State
from sipfailover.wire import Message, compose
from tests.kit import Playbook, ack, after, answer, flow, invite, received, resolved, send, target
from tests.kit.leftovers import leftovers, stopped_clocks
from tests.kit.playbook import is_probe, matches

PBX = flow("PBX", "192.0.2.10")
MAIN = flow("main", "198.51.100.1")
BACKUP = flow("backup", "203.0.113.1")
THIRD = flow("third", "203.0.113.65")
PBX2 = flow("PBX 2", "192.0.2.11")
STRANGER = flow("a stranger", "192.0.2.99")

ADDRESSES = {"main": MAIN, "backup": BACKUP, "third": THIRD, "pbx": PBX, "pbx-2": PBX2}

BOUND = 4.0
"""Seconds: the configured no-answer bound, which holds because no round trip is measured yet."""
PBX_BOUND = 1.5
"""The same towards a PBX."""
NO_RINGING = 12.0
GIVE_UP = 25.0
RING = 180.0


class Office(Playbook):
    """A playbook that looks after the engine's own promises at every step: what must run, runs."""

    engine: Engine
    answers_probes = True
    """Everybody answers OPTIONS at once; nobody need look at them."""

    def collect(self) -> None:
        super().collect()
        if self.answers_probes:
            asked = [(to, data) for to, data in self.sent if is_probe(data)]
            self.sent = [one for one in self.sent if one not in asked]
            for to, data in asked:
                known = Flow(to.transport, to.host, to.port, to.sent_by, to.local)
                self.engine.receive(known, compose.response(Message(data), 200), self.now)
                super().collect()
        assert stopped_clocks(self.engine) == []
        assert self.engine.core.layer.raised == []

    def line(self, name: str) -> Line:
        """A trunk or PBX as the engine has it."""
        return self.engine.core.lines[name]

    def done(self, seconds: float = 400.0) -> None:
        """Time passes, nothing more is said, and nothing is left."""
        assert self >> after(seconds)
        assert leftovers(self.engine) == []


def office(
    more: str = "",
    *,
    trunks: tuple[str, ...] = ("main", "backup"),
    pbxs: tuple[str, ...] = ("pbx",),
    channels: int | None = None,
    known: bool = True,
    probes: str = "options_every: 1h",
    wall: Callable[[float], datetime] | None = None,
) -> Office:
    """An engine that knows where everybody is (`known`), and a playbook for it.

    `more`: further sections of the settings; `channels`: of the first trunk. Probes are rare and always answered.
    """
    lines = [
        f"pbx: [{', '.join(ADDRESSES[name].host for name in pbxs)}]",
        "listen: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]",
        f"monitor: {{{probes}}}",
        "trunks:",
    ]
    for number, name in enumerate(trunks):
        limit = f", channels: {channels}" if channels and not number else ""
        lines.append(f"  - {{name: {name}, host: {ADDRESSES[name].host}, port: 5060, register: no{limit}}}")
    book = Office(Engine(settings("\n".join([*lines, more])), Chance(2018), 0.0, wall))
    if known:
        for name in (*trunks, *pbxs):
            assert book >> resolved(name, target(ADDRESSES[name]))
            book.line(name).trunk.probe.mute = False  # they have answered OPTIONS before
    return book


settings = cache(parse)
"""Settings are frozen: who asks for the same ones again gets them at once."""


def calling(book: Playbook, at: Flow = MAIN, called: str = "+41443210019", data: bytes | None = None) -> Playbook:
    """The PBX calls, and the first trunk is asked."""
    return book >> received(PBX, data or invite(called)) << send(PBX, 100) << send(at, "INVITE")


def ringing(book: Playbook, at: Flow = MAIN) -> Playbook:
    """The PBX calls, and it rings."""
    return calling(book, at) >> received(at, answer(180)) << send(PBX, 180)


def answered(book: Playbook, at: Flow = MAIN) -> Playbook:
    """The PBX calls, and somebody answers."""
    return (
        ringing(book, at)
        >> received(at, answer(200))
        << send(PBX, 200)
        >> received(PBX, ack())
        << send(at, "ACK")
    )  # fmt: skip


def played(book: Playbook) -> Office:
    """The same, with what was written down so far behind it."""
    assert book
    assert isinstance(book, Office)
    return book


def doubt(book: Office, name: str = "main") -> None:
    """One call to another number has failed: from now on good and bad evidence both leave a mark."""
    book.line(name).trunk.health.observe(Evidence(Sign.CALL_FAULT, "503 before", "+41000000000"), book.now)


def down(book: Office, name: str) -> None:
    """A carrier has asked to be left alone: it is Down."""
    book.line(name).trunk.health.observe(Evidence(Sign.RETRY_AFTER, "503", retry_after=60.0), book.now)
    assert book.line(name).trunk.health.state is State.DOWN


def evidence(book: Office, name: str = "main") -> str:
    """What was learnt of a trunk that was in `doubt`: `good`, `fault`, `silent`, `refused`, `stay away`, `nothing`."""
    health = book.line(name).trunk.health
    counters = health.counters
    if counters.held_until > 0:
        return "stay away"
    if counters.silent_calls:
        return "silent"
    if counters.refused.recent:
        return "refused"
    if len(counters.faults) > 1:
        return "fault"
    return "nothing" if counters.faults else "good"


def has(**wanted: bytes | int | None) -> Callable[[Message], bool]:
    """A check: these headers (`retry_after` is Retry-After) have these values; None: are not there; `body`, `reason`
    and `uri` are meant too. For a header that is there several times, one of them."""

    def check(message: Message) -> bool:
        for name, value in wanted.items():
            if name in ("body", "uri", "reason", "method", "call_id", "status", "cseq"):
                found = getattr(message, name) == value
            else:
                values = [line.partition(b":")[2].strip() for line in message.lines(name.replace("_", "-").encode())]
                found = not values if value is None else value in values
            if not found:
                return False
        return True

    return check


def tcp(name: str, host: str, connection: int = 1, port: int = 40000) -> Flow:
    """A TCP connection from a peer."""
    return flow(name, host, port, "tcp", connection=connection)


def sent(book: Playbook, to: Target, what: str | int) -> list[Message]:
    """Everything of one kind that a peer was sent, repeats too."""
    return [Message(data) for where, data in book.sent if where.peer == to.peer and matches(data, what)]
