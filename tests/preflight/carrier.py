"""A carrier's desk for checks: OPTIONS, a registrar with digest, and calls, each of which can go wrong in its own way;
and a world in which a conversation or a call meets it, without sockets."""

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from sipfailover.chance import Chance
from sipfailover.flow import Flow, Send, Target
from sipfailover.preflight.conversation import Conversation, Ended, Script
from sipfailover.wire import Message, compose
from tests.kit.digest import Doorman

HERE = b"192.168.1.6:5060"
THERE = Target("udp", "198.51.100.7", 5060, HERE, "192.168.1.6")

Answer = tuple[int, tuple[tuple[bytes, bytes], ...]]


class Desk:
    """See the module. A status of 0 is silence."""

    def __init__(self, password: bytes = b"secret", realm: bytes = b"carrier.example", extra: bytes = b', qop="auth"'):
        self.door = Doorman(realm, b"u4711", password, extra)
        self.options = 200
        self.options_headers: tuple[tuple[bytes, bytes], ...] = ((b"server", b"Desk 1.0"),)
        self.register = 200
        """The final status to a REGISTER that was let in."""
        self.asks = True
        """REGISTER is challenged."""
        self.expires = 120
        self.min_expires = 0
        self.register_headers: tuple[tuple[bytes, bytes], ...] = ()
        self.others: list[bytes] = []
        """Contacts of others, whole values."""
        self.rewrite: Callable[[bytes], bytes] = lambda contact: contact
        """What the registrar makes of our Contact."""
        self.sees: tuple[bytes, int] | None = (b"192.168.1.6", 5060)
        """Where it sees us; None writes nothing into Via."""
        self.mangle: Callable[[bytes], bytes] = lambda answer: answer
        """What an ALG makes of every answer."""
        self.keeps_bindings = False
        """A REGISTER that removes is answered 500."""
        self.call: tuple[int, ...] = (100, 180)
        """What is said to INVITE."""
        self.contact = b"<sip:callee@198.51.100.7>"
        """Of whoever is called."""
        self.obeys_cancel = True
        self.heard: list[Message] = []
        self.bound: set[bytes] = set()

    def methods(self) -> list[str]:
        return [message.method.decode() for message in self.heard]

    def hear(self, data: bytes) -> list[bytes]:
        """One request; the answers to it."""
        asked = Message(data)
        self.heard.append(asked)
        answers: list[bytes] = []
        if asked.method == b"OPTIONS" and self.options:
            answers = [self.say(asked, self.options, self.options_headers)]
        elif asked.method == b"REGISTER" and self.register:
            answers = [self._registrar(asked)]
        elif asked.method == b"INVITE":
            answers = [self.say(asked, status) for status in self.call]
        elif asked.method == b"CANCEL":
            answers = [self.say(asked, 200)]
            if self.obeys_cancel:
                invite = next(one for one in reversed(self.heard) if one.method == b"INVITE")
                answers.append(self.say(invite, 487))
        elif asked.method == b"BYE":
            answers = [self.say(asked, 200)]
        return [self.mangle(answer) for answer in answers]

    def say(self, asked: Message, status: int, headers: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
        host, port = self.sees or (b"", 0)
        lines = compose.reply_lines(asked, host, port) if self.sees else compose.reply_lines(asked)
        more = list(headers)
        if asked.method == b"INVITE" and 100 < status < 300:
            more.append((b"contact", self.contact))
        tag = b"" if status == 100 else b"desk"
        return compose.reply(status, b"", lines, compose.to_line(asked, tag), more)

    def _registrar(self, asked: Message) -> bytes:
        if self.asks:
            verdict = self.door.verdict(asked.get(b"authorization"), b"REGISTER")
            if verdict != "good":
                return self.say(asked, 401, ((b"www-authenticate", self.door.challenge(verdict == "stale")),))
        expires = int(asked.get(b"expires") or b"0")
        if not expires:
            if self.keeps_bindings:
                return self.say(asked, 500)
            self.bound.clear()
        elif expires < self.min_expires:
            return self.say(asked, 423, ((b"min-expires", b"%d" % self.min_expires),))
        elif self.register == 200:
            assert asked.contact is not None
            self.bound = {self.rewrite(asked.contact.uri)}
        contacts = [b"<%b>;expires=%d" % (uri, self.expires) for uri in self.bound] + self.others
        return self.say(
            asked, self.register, ((b"contact", b", ".join(contacts)), *self.register_headers) if contacts else ()
        )


class Speaker(Protocol):
    """A part under test that has a clock and an outbox."""

    def receive(self, flow: Flow, data: bytes, now: float) -> None: ...
    def lost(self, where: Target, reason: str, now: float) -> None: ...
    def wake(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def take(self) -> list[Any]: ...


class World:
    """A part and a desk, in virtual time. `takes`: seconds that a message takes one way."""

    def __init__(self, part: Speaker, desk: Desk, takes: float = 0.005, start: float = 100.0) -> None:
        self.part, self.desk, self.takes = part, desk, takes
        self.now = start
        self.sent: list[tuple[float, Target, bytes]] = []
        self.ended: list[Ended] = []
        self.source: Target | None = None
        """Where answers come from, if it is not where the request went."""
        self.refuses = ""
        """Every request is lost with this word of the transport."""

    def run(self, over: Callable[[], object], most: float = 60.0) -> None:
        """Let time pass until it is over. Fails if that takes too long, or if nothing is planned any more."""
        end = self.now + most
        arrivals: list[tuple[float, Target, bytes]] = []
        while True:
            while commands := self.part.take():
                arrivals += [arrival for command in commands for arrival in self._perform(command)]
            if over():
                return
            due = self.part.deadline()
            first = min((at for at, _, _ in arrivals), default=None)
            moments = [moment for moment in (due, first) if moment is not None]
            assert moments, "nothing is planned any more"
            self.now = max(self.now, min(moments))
            assert self.now <= end, "not over in time"
            if first is not None and first <= self.now:
                _, to, data = arrivals.pop(0)
                source = self.source or to
                self.part.receive(
                    Flow(source.transport, source.host, source.port, to.sent_by, to.local), data, self.now
                )
            else:
                self.part.wake(self.now)

    def _perform(self, command: Any) -> list[tuple[float, Target, bytes]]:
        """Do what the part wants. Returns what arrives later: when, from where, what."""
        if not isinstance(command, Send):
            self.ended.append(command)
            return []
        self.sent.append((self.now, command.to, command.data))
        if self.refuses:
            self.part.lost(command.to, self.refuses, self.now)
            return []
        return [(self.now + 2 * self.takes, command.to, one) for one in self.desk.hear(command.data)]


def played(script: Script, desk: Desk, **changes: Any) -> tuple[Any, World]:
    """Play a script to its end with a desk. Returns what it gave back, and the world it was in."""
    world = World(Conversation(Chance(1)), desk)
    for name, value in changes.items():
        setattr(world, name, value)
    conversation = world.part
    assert isinstance(conversation, Conversation)
    conversation.start(script, world.now)
    world.run(lambda: world.ended)
    assert world.ended[0].script is script
    return world.ended[0].value, world
