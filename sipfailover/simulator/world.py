"""A world in virtual time: the production engine, the user agents around it, and the network between them.

One seed, one run: whatever happens, happens in the same order with the same bytes again. The clock jumps from one event
to the next, so a minute of telephony takes milliseconds.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple, Protocol, TypeVar

from sipfailover.flow import UDP, Flow, Target
from sipfailover.proxy.commands import Command, Log, Record, Send
from sipfailover.proxy.facts import Fact
from sipfailover.simulator.network import Network
from sipfailover.simulator.text import Peer
from sipfailover.simulator.useragent import UserAgent

Told = TypeVar("Told")


class Engine(Protocol):
    """The verbs of the engine that a world drives."""

    def receive(self, flow: Flow, data: bytes, now: float) -> None: ...
    def lost(self, where: Target, reason: str, now: float) -> None: ...
    def resolved(self, name: str, targets: tuple[Target, ...], now: float, why: str = "") -> None: ...
    def wake(self, now: float) -> None: ...
    def deadline(self) -> float | None: ...
    def take(self) -> list[Command]: ...


class Passed(NamedTuple):
    """A datagram as it was handed over, or as it was sent (`arrived` False)."""

    at: float
    source: Peer
    to: Peer
    data: bytes
    arrived: bool


class World:
    """See the module.

    engine: the production engine, made with a `Chance` of its own seed; at: the address where it listens;
    network: what lies between everybody. User agents join with `join`, names are given to the engine with `name`.
    """

    def __init__(self, engine: Engine, at: Peer, network: Network, *, now: float = 0.0) -> None:
        self.engine = engine
        self.at = at
        self.network = network
        self.now = now
        self.agents: dict[Peer, UserAgent] = {}
        self.facts: list[Fact] = []
        self.log: list[Log] = []
        self.passed: list[Passed] = []
        """Every datagram, when it was sent and again when it arrived, in order."""
        self._sent_by = b"%s:%d" % (at[0].encode(), at[1])
        self._events: list[tuple[float, int, Callable[[], object]]] = []
        self._count = 0

    def join(self, agent: UserAgent) -> None:
        """A user agent takes its place at its address."""
        self.agents[agent.at] = agent

    def target(self, peer: Peer) -> Target:
        """The engine's target for a peer."""
        return Target(UDP, peer[0], peer[1], self._sent_by)

    def name(self, name: str, *peers: Peer) -> None:
        """The engine learns where a trunk or PBX is (none: its name does not resolve)."""
        self.engine.resolved(name, tuple(map(self.target, peers)), self.now, "" if peers else "no such name")
        self._perform()

    def at_time(self, when: float, do: Callable[[], object]) -> None:
        """Something happens at a moment of the world's clock: a call, a change of mode, a cut."""
        self._count += 1
        heappush(self._events, (when, self._count, do))

    def run(self, until: float) -> None:
        """Let everything happen up to a moment. Returns early when nobody plans anything any more."""
        while (due := self._next()) is not None and due <= until:
            self.step(due)
        self.now = max(self.now, until)

    def step(self, now: float) -> None:
        """Do what is due now: datagrams first, then the engine's clocks, then everybody else's."""
        self.now = now
        while self._events and self._events[0][0] <= now:
            heappop(self._events)[2]()
        due = self.engine.deadline()
        if due is not None and due <= now:
            self.engine.wake(now)
            self._perform()
        for agent in self.agents.values():
            due = agent.deadline()
            if due is not None and due <= now:
                agent.wake(now)
            self.collect(agent)

    def tell(self, agent: UserAgent, do: Callable[[], Told]) -> Told:
        """Have an agent do something now: call, hang up, change its mode."""
        agent.now = self.now
        told = do()
        self.collect(agent)
        return told

    def plan(self, when: float, agent: UserAgent, do: Callable[[], object]) -> None:
        """Have an agent do something at a moment of the world's clock."""
        self.at_time(when, lambda: self.tell(agent, do))

    def collect(self, agent: UserAgent) -> None:
        """Post what an agent wants to send."""
        for to, data in agent.take():
            self._post(agent.at, to, data)

    def _next(self) -> float | None:
        first = self._events[0][0] if self._events else None
        for due in (self.engine.deadline(), *[agent.deadline() for agent in self.agents.values()]):
            if due is not None and (first is None or due < first):
                first = due
        return None if first is None else max(first, self.now)

    def _perform(self) -> None:
        for command in self.engine.take():
            if isinstance(command, Send):
                where = command.to
                self._post(self.at, (where.host, where.port), command.data, where)
            elif isinstance(command, Record):
                self.facts.append(command.fact)
            elif isinstance(command, Log):
                self.log.append(command)

    def _post(self, source: Peer, to: Peer, data: bytes, where: Target | None = None) -> None:
        self.passed.append(Passed(self.now, source, to, data, False))
        for when in self.network.send(source, to, self.now):
            self.at_time(when, lambda: self._deliver(source, to, data, where))

    def _deliver(self, source: Peer, to: Peer, data: bytes, where: Target | None) -> None:
        if to == self.at:
            self.passed.append(Passed(self.now, source, to, data, True))
            self.engine.receive(Flow(UDP, source[0], source[1], self._sent_by), data, self.now)
            self._perform()
            return
        agent = self.agents.get(to)
        if agent is None or to in self.network.closed:
            if where is not None:
                for when in self.network.send(to, source, self.now):
                    self.at_time(when, lambda: self._unreachable(where))
            return
        self.passed.append(Passed(self.now, source, to, data, True))
        agent.receive(source, data, self.now)
        self.collect(agent)

    def _unreachable(self, where: Target) -> None:
        self.engine.lost(where, "refused", self.now)
        self._perform()

    def transcript(self) -> str:
        """What was said, one line for each datagram sent: for people who look for a fault."""
        names = {self.at: "engine", **{peer: agent.name for peer, agent in self.agents.items()}}
        lines = []
        for at, source, to, data, arrived in self.passed:
            first = data.partition(b"\r\n")[0].decode("latin-1").replace("SIP/2.0", "").strip()
            cseq = data.partition(b"CSeq:")[2].partition(b"\r\n")[0].decode().strip()
            arrow = "-->" if arrived else "..."
            lines.append(f"{at:9.4f} {names.get(source, source)} {arrow} {names.get(to, to)}: {first} ({cseq})")
        return "\n".join(lines)
