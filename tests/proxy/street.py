"""A carrier with its edges and its registrar in virtual time, and the engine that registers there.

The registrar asks for digest (`tests.kit.digest`), keeps the bindings it was given, and fails as a test wants: `says`
answers REGISTER in its place, `silent` are those who hear nothing. Times are seconds; an answer takes TRIP.
"""

from collections.abc import Callable, Sequence
from heapq import heappop, heappush

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.flow import PING, Flow, Target
from sipfailover.proxy import Engine, Log, Record, RegistrationChanged, Send
from sipfailover.proxy.line import Line
from sipfailover.wire import Message, NameAddr, compose
from tests.kit.digest import Doorman

TRIP = 0.04
HOUR = 3600.0
OURS = b"192.0.2.1:5060"
EDGE, EDGE_2, EDGE_3 = "198.51.100.1", "198.51.100.2", "198.51.100.3"
PBX = "192.0.2.10"
USER, PASSWORD = b"+41443210000", b"geheim"

SETTINGS = """
pbx: %s
listen: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]
trunks:
  - {name: main, host: %s, domain: carrier.example, username: "%s", password: %s%s}
%s
"""

Says = Callable[[Message], tuple[int, tuple[tuple[bytes, bytes], ...]] | None]
"""REGISTER → status and further headers of the answer; None for silence."""


class Street:
    """See the module. `keys`: of the trunk, as in the file; `more`: further sections; `edges`: hosts of the carrier."""

    def __init__(
        self, keys: str = "", more: str = "", *, edges: Sequence[str] = (EDGE,), seed: int = 1, transport: str = "udp",
        known: bool = True,
    ) -> None:  # fmt: skip
        text = SETTINGS % (PBX, EDGE, USER.decode(), PASSWORD.decode(), f", {keys}" if keys else "", more)
        self.engine = Engine(parse(text), Chance(seed), 0.0)
        self.now = 0.0
        self.transport = transport
        self.edges = tuple(edges)
        self.doorman = Doorman(b"carrier", USER, PASSWORD)
        self.bindings: dict[bytes, float] = {}
        """Contact URI → until when."""
        self.grant = 120
        self.says: Says | None = None
        self.silent: set[str] = set()
        """`REGISTER`, `OPTIONS`, or the address of an edge that is gone."""
        self.public: tuple[str, int] | None = None
        """Where the carrier sees us, if not where we are."""
        self.asked: list[tuple[float, Target, Message]] = []
        """Every REGISTER but repeats."""
        self.others: list[tuple[float, Target, Message]] = []
        """Every other request."""
        self.pings: list[tuple[float, Target]] = []
        self.changes: list[RegistrationChanged] = []
        self.log: list[Log] = []
        self._mail: list[tuple[float, int, Flow, bytes]] = []
        self._posted = 0
        self._branches: set[bytes] = set()
        self._challenged = False
        self._first: list[float] = []
        self.engine.resolved("pbx", (self.target(PBX),), 0.0)
        if known:
            self.resolve(*edges)

    # -- what happens

    def target(self, host: str, ours: bytes = OURS) -> Target:
        return Target(self.transport, host, 5060, ours, ours.partition(b":")[0].decode())

    def resolve(self, *edges: str, ours: bytes = OURS, why: str = "") -> None:
        """The carrier's name has these addresses, and we have this name on the way there."""
        self.engine.resolved("main", tuple(self.target(edge, ours) for edge in edges), self.now, why)
        self._perform()

    def until(self, end: float) -> "Street":
        """Live until this moment."""
        while True:
            due = self.engine.deadline()
            mail = self._mail[0][0] if self._mail else None
            at = min((at for at in (due, mail) if at is not None), default=None)
            if at is None or at > end:
                break
            self.now = max(self.now, at)
            if mail is not None and mail <= self.now:
                _, _, flow, data = heappop(self._mail)
                self.engine.receive(flow, data, self.now)
            else:
                self.engine.wake(self.now)
            self._perform()
        self.now = max(self.now, end)
        return self

    def live(self, seconds: float) -> "Street":
        return self.until(self.now + seconds)

    def until_registered(self, within: float = 2 * HOUR, at: bytes = b"") -> float:
        """Seconds from now until the carrier has a binding (`at` this address of ours) and we know it, in steps of
        TRIP."""
        start = self.now
        while not (self.bound and self.registered and at in b" ".join(self.bindings)):
            assert self.now - start <= within, f"not within {within} s: {self.story}"
            self.live(TRIP)
        return self.now - start

    def lost(self, where: Target, reason: str) -> None:
        self.engine.lost(where, reason, self.now)
        self._perform()

    def receive(self, host: str, data: bytes) -> None:
        """A message of a telephone or of the carrier."""
        flow = Flow(self.transport, host, 5060, OURS, OURS.partition(b":")[0].decode())
        self.engine.receive(flow, data, self.now)
        self._perform()

    # -- what is known

    @property
    def line(self) -> Line:
        return self.engine.core.lines["main"]

    @property
    def registered(self) -> bool:
        account = self.engine.view(self.now).trunks[0].account
        return account is not None and account.state == "Registered"

    @property
    def bound(self) -> bool:
        """Whether the carrier has a binding that leads to us."""
        return any(until > self.now for until in self.bindings.values())

    @property
    def story(self) -> str:
        return self.engine.view(self.now).trunks[0].registration

    def times(self, since: float = 0.0, until: float = float("inf")) -> list[float]:
        """When REGISTERs left, those that answer a challenge not counted again."""
        return [at for at in self._first if since <= at < until]

    def errors(self) -> list[str]:
        return [log.text for log in self.log if log.level == "error"]

    # -- the carrier

    def _perform(self) -> None:
        for command in self.engine.take():
            if isinstance(command, Send):
                self._arrives(command.to, command.data)
            elif isinstance(command, Log):
                self.log.append(command)
            elif isinstance(command, Record) and isinstance(command.fact, RegistrationChanged):
                self.changes.append(command.fact)

    def _arrives(self, to: Target, data: bytes) -> None:
        if data == PING:
            self.pings.append((self.now, to))
            return
        message = Message(data)
        if message.status:
            return
        repeat = message.via.branch in self._branches and message.method != b"ACK"
        self._branches.add(message.via.branch)
        if not repeat:
            if message.method == b"REGISTER":
                self._first += [] if self._challenged else [self.now]
                self._challenged = False
            (self.asked if message.method == b"REGISTER" else self.others).append((self.now, to, message))
        if to.host in self.silent or message.method.decode() in self.silent or to.host == PBX:
            return
        if message.method == b"REGISTER":
            self._answer(to, message, *(self._register(message) or (0, ())))
        elif message.method == b"OPTIONS":
            self._answer(to, message, 200, ())

    def _register(self, asked: Message) -> tuple[int, tuple[tuple[bytes, bytes], ...]] | None:
        if self.says is not None:
            return self.says(asked)
        if self.doorman.verdict(asked.get(b"authorization"), asked.method) != "good":
            self._challenged = True
            return 401, ((b"www-authenticate", self.doorman.challenge()),)
        contact, expires = asked.get(b"contact") or b"", int(asked.get(b"expires") or b"0")
        if contact == b"*":
            assert expires == 0, "§10.2.2"
            self.bindings.clear()
            return 200, ()
        uri = NameAddr.parse(contact).uri
        self.bindings.pop(uri, None)
        if expires:
            self.bindings[uri] = self.now + self.grant
        left = {uri: int(until - self.now) for uri, until in self.bindings.items() if until > self.now}
        return 200, tuple((b"contact", b"<%b>;expires=%d" % one) for one in left.items())

    def _answer(self, to: Target, asked: Message, status: int, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        if not status:
            return
        data = compose.response(asked, status, to_tag=b"carrier", headers=headers)
        if self.public is not None:
            seen = b";received=%b;rport=%d" % (self.public[0].encode(), self.public[1])
            data = data.replace(b";rport", seen, 1)
        flow = Flow(to.transport, to.host, to.port, to.sent_by, to.local, 1 if to.reliable else 0)
        self._posted += 1
        heappush(self._mail, (self.now + TRIP, self._posted, flow, data))
