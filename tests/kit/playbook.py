"""Playbook: a conversation with the engine, written down before it happens and compared with what did happen.

    book = Playbook(engine)
    assert (
        book
        >> received(PHONE, invite("+41443210019"))
        << send(PHONE, 100) << send(BERLIN, "INVITE")
        >> received(BERLIN, answer(180))           # builders are called with what was seen so far
        << send(PHONE, 180)
        >> after(4.0)
    )

`>>` puts something in: `received`, `lost`, `resolved`, `after` (lets time pass, clock by clock). `<<` says what must
come out of the inputs before it: `send`, `recorded`, `logged`, or `sends_nothing()`. `assert` plays what was added
since the last assert, so a playbook can be continued. What comes out must be complete: a message nobody expected fails
the play. Passed over when not asked for: repeats of a message (retransmissions), OPTIONS probes and keep-alives.
The order counts for each peer, not between peers. A failing play prints the whole conversation.
"""

from collections.abc import Callable
from typing import Protocol, Self

from sipfailover.errors import WireError
from sipfailover.flow import PING, Flow, PeerKey, Target
from sipfailover.proxy.commands import Command, Log, Reach, Record, Send
from sipfailover.wire import Message

Build = Callable[["Seen"], bytes]
Check = Callable[[Message], object]


class Engine(Protocol):
    """The verbs of the engine that a playbook uses."""

    def receive(self, flow: Flow, data: bytes, now: float) -> None: ...
    def lost(self, where: Target, reason: str, now: float) -> None: ...
    def resolved(self, name: str, targets: tuple[Target, ...], now: float, why: str = "") -> None: ...
    def wake(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def take(self) -> list[Command]: ...


def line(data: bytes) -> str:
    """The first line of a message, as a reader wants it: without the version."""
    first = data.partition(b"\r\n")[0].decode("latin-1")
    return first.removesuffix(" SIP/2.0").removeprefix("SIP/2.0 ")


class Seen:
    """What the engine sent and was sent so far. Given to builders, so that an answer can fit its request."""

    def __init__(self, peer: PeerKey, sent: list[tuple[Target, bytes]], got: list[tuple[Flow, bytes]]) -> None:
        self.peer = peer
        self._sent = sent
        self._got = got

    def last(self, *what: str | int, where: Check | None = None) -> Message:
        """The newest message that we sent to this peer and that is one of `what` (methods, statuses; any if none) and
        passes `where`."""
        return find([(to.peer, data) for to, data in self._sent], self.peer, what, where, "sent to")

    def given(self, *what: str | int, where: Check | None = None) -> Message:
        """The newest message that this peer gave us; chosen as in `last`."""
        return find([(flow.peer, data) for flow, data in self._got], self.peer, what, where, "received from")


def find(
    talk: list[tuple[PeerKey, bytes]],
    peer: PeerKey,
    what: tuple[str | int, ...],
    where: Check | None,
    verb: str,
) -> Message:
    """The newest message of a talk that fits, or a failure that says what was looked for."""
    for who, data in reversed(talk):
        if who == peer and (not what or any(matches(data, item) for item in what)):
            try:
                message = Message(data)
            except WireError:
                continue  # said by somebody who may say anything, or an answer to that
            if where is None or where(message):
                return message
    raise AssertionError(f"the engine has {verb} {peer} no message {what or ''}")


def matches(data: bytes, what: str | int) -> bool:
    """True if a message is a request with this method, or a response with this status."""
    if isinstance(what, int):
        return data.startswith(b"SIP/2.0 %d " % what)
    return data.startswith(what.encode() + b" ")


class Input:
    """One thing that happens to the engine."""

    def __init__(self, text: str, do: Callable[["Playbook"], str | None]) -> None:
        self.text = text
        self.do = do


class Expectation:
    """One thing that must come out."""

    def __init__(self, text: str, accepts: Callable[[Command], bool], peer: PeerKey | None = None) -> None:
        self.text = text
        self.accepts = accepts
        self.peer = peer


def received(flow: Flow, data: bytes | Build) -> Input:
    """The engine receives a message: bytes, or a builder from `tests.kit.sip`."""

    def do(book: "Playbook") -> str:
        raw = data if isinstance(data, bytes) else data(Seen(flow.peer, book.sent, book.got))
        book.got.append((flow, raw))
        book.engine.receive(flow, raw, book.now)
        return f"{name_of(flow)}  {line(raw)}"

    return Input("received", do)


def lost(where: Target, reason: str = "refused") -> Input:
    """The network says that a peer cannot be reached."""

    def do(book: "Playbook") -> str:
        book.engine.lost(where, reason, book.now)
        return f"{name_of(where)}  lost: {reason}"

    return Input("lost", do)


def resolved(name: str, *targets: Target, why: str = "") -> Input:
    """A name was looked up."""

    def do(book: "Playbook") -> str:
        book.engine.resolved(name, targets, book.now, why)
        return f"{name} is {', '.join(map(str, targets)) or 'unknown'}"

    return Input("resolved", do)


def after(seconds: float) -> Input:
    """Time passes; every clock that is due on the way rings at its own moment."""

    def do(book: "Playbook") -> None:
        end = book.now + seconds
        for _ in range(100_000):
            due = book.engine.deadline()
            if due is None or due > end:
                break
            book.now = max(book.now, due)
            book.engine.wake(book.now)
            book.collect()
        else:
            raise AssertionError("the engine's deadline does not move: wake() leaves it in the past")
        book.now = end

    return Input(f"({seconds:g} s pass)", do)


def send(to: Target, what: str | int, check: Check | None = None) -> Expectation:
    """A message to this peer: a method or a status, and whatever else `check(message)` asks (a false value fails)."""

    def accepts(command: Command) -> bool:
        if not isinstance(command, Send) or command.to.peer != to.peer or not matches(command.data, what):
            return False
        return check is None or check(Message(command.data)) not in (False, None)

    return Expectation(f"{name_of(to)}  {what}" + (" that passes the check" if check else ""), accepts, to.peer)


def recorded(kind: type, **values: object) -> Expectation:
    """A fact of this class whose fields have these values."""

    def accepts(command: Command) -> bool:
        if not isinstance(command, Record) or not isinstance(command.fact, kind):
            return False
        return all(getattr(command.fact, key) == value for key, value in values.items())

    return Expectation(f"a record {kind.__name__}({', '.join(f'{k}={v!r}' for k, v in values.items())})", accepts)


def logged(level: str, part: str = "") -> Expectation:
    """A log line of this level that has this text in it."""
    return Expectation(
        f"a log line {level}: …{part}…",
        lambda command: isinstance(command, Log) and command.level == level and part in command.text,
    )


def sends_nothing() -> Expectation:
    """Says aloud what is the rule anyway: no further message comes out."""
    return Expectation("", lambda command: False)


def name_of(where: Target) -> str:
    """A peer as the conversation shows it: by the name given in `tests.kit.sip`, or its address."""
    from tests.kit.sip import NAMES

    return NAMES.get(where.peer, str(where))


class Playbook:
    """See the module. `now` is where the clock starts; `strict` asks for probes and retransmissions too."""

    def __init__(self, engine: Engine, *, now: float = 0.0, strict: bool = False) -> None:
        self.engine = engine
        self.now = now
        self.strict = strict
        self.sent: list[tuple[Target, bytes]] = []
        self.got: list[tuple[Flow, bytes]] = []
        self._script: list[Input | Expectation] = []
        self._story: list[str] = []
        self._out: list[tuple[float, Command]] = []
        self.noted: list[Log | Record] = []
        """Everything for log and history so far."""
        self.asked: list[tuple[float, Reach]] = []
        """References that the engine wants to be asked, and since when."""
        self._known: set[tuple[PeerKey, bytes]] = set()
        self._failed = False

    def __rshift__(self, step: Input) -> Self:
        self._script.append(step)
        return self

    def __lshift__(self, step: Expectation) -> Self:
        self._script.append(step)
        return self

    def __bool__(self) -> bool:
        script, self._script = self._script, []
        wanted: list[Expectation] = []
        for step in script:
            if isinstance(step, Expectation):
                wanted.append(step)
                continue
            self._compare(wanted)
            wanted = []
            at, text = self.now, step.do(self)
            self._story.append(f"    {at:9.3f} >> {text or step.text}")
            self.collect()
        self._compare(wanted)
        return True

    def __del__(self) -> None:
        if self._script and not self._failed:
            raise AssertionError("a playbook was written but never played: put `assert` before it")

    def seen(self, peer: Target) -> Seen:
        """What was said so far, from the point of view of this peer."""
        return Seen(peer.peer, self.sent, self.got)

    def collect(self) -> None:
        """Take what the engine wants done, at this moment."""
        for command in self.engine.take():
            self._out.append((self.now, command))
            if isinstance(command, Log | Record):
                self.noted.append(command)
            if isinstance(command, Reach):
                self.asked.append((self.now, command))
            if isinstance(command, Send):
                self.sent.append((command.to, command.data))

    def _compare(self, wanted: list[Expectation]) -> None:
        left = [step for step in wanted if step.text]
        bad: list[str] = []
        for at, command in self._out:
            if isinstance(command, Send):
                text = f"{at:9.3f}    << {name_of(command.to)}  {line(command.data)}"
                key = (command.to.peer, command.data)
                repeat = key in self._known
                self._known.add(key)
                step = next((step for step in left if step.peer == command.to.peer), None)
                if step and step.accepts(command):
                    left.remove(step)
                    self._story.append(f"    {text}")
                elif not self.strict and (repeat or is_probe(command.data) or command.data == PING):
                    self._story.append(f"    {text}   (not asked for: {'repeat' if repeat else 'probe or keep-alive'})")
                else:
                    hint = f", wanted {step.text}" if step else ""
                    bad.append(f"  ✗ {text}   came, was not expected{hint}\n{indent(command.data)}")
            else:
                step = next((step for step in left if step.accepts(command)), None)
                if step:
                    left.remove(step)
                self._story.append(f"    {at:9.3f}    << {command}")
        self._out.clear()
        bad += [f"  ✗ {self.now:9.3f}    << {step.text}   expected, did not come" for step in left]
        if bad:
            self._failed = True
            raise AssertionError("\n".join(["the conversation went another way:", *self._story, *bad]))


def is_probe(data: bytes) -> bool:
    """True for an OPTIONS request of the engine's own."""
    return data.startswith(b"OPTIONS ")


def indent(data: bytes) -> str:
    """A message, set off to the right."""
    return "\n".join("             | " + text for text in data.decode("latin-1").splitlines())
