"""A world in virtual time: the production engine, the user agents around it, and the network between them.

One seed, one run: whatever happens, happens in the same order with the same bytes again. The clock jumps from one event
to the next, so a minute of telephony takes milliseconds.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import NamedTuple, Protocol, TypeVar

from sipfailover.flow import UDP, Flow, Target
from sipfailover.proxy.commands import Command, Log, Reach, Record, Send
from sipfailover.proxy.facts import Fact
from sipfailover.simulator.network import Network
from sipfailover.simulator.text import Peer
from sipfailover.simulator.useragent import UserAgent
from sipfailover.trunk import REACHED_WITHIN

Told = TypeVar("Told")

NEVER = float("inf")


class Engine(Protocol):
    """The verbs of the engine that a world drives."""

    def receive(self, flow: Flow, data: bytes, now: float) -> None: ...
    def lost(self, where: Target, reason: str, now: float) -> None: ...
    def reached(self, host: str, port: int, why: str, now: float) -> None: ...
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


class Watcher(Protocol):
    """Whoever looks on: told of everything that goes through the engine, in order."""

    def sent(self, to: Peer, data: bytes, now: float) -> None:
        """The engine sent this."""

    def received(self, source: Peer, data: bytes, now: float) -> None:
        """The engine is about to read this."""

    def recorded(self, fact: Fact, now: float) -> None:
        """The engine says that this has happened."""

    def stepped(self, now: float) -> None:
        """The engine has done what it wanted to do, for this moment."""


QUESTIONS = (b"INVITE ", b"OPTIONS ", b"REGISTER ")
"""What tells by its answer whether a carrier serves: a BYE is answered by many that refuse every call."""


class World:
    """See the module.

    engine: the production engine, made with a `Chance` of its own seed; at: the address where it listens;
    network: what lies between everybody; keep: whether `passed` and `facts` are kept (a long world has millions).
    User agents join with `join`, names are given to the engine with `name`.
    """

    def __init__(self, engine: Engine, at: Peer, network: Network, *, now: float = 0.0, keep: bool = True) -> None:
        self.engine = engine
        self.at = at
        self.network = network
        self.now = now
        self.keep = keep
        self.agents: dict[Peer, UserAgent] = {}
        self.watchers: list[Watcher] = []
        self.awaited: dict[Peer, Callable[[float], object]] = {}
        """Who wants to know when the engine asks a peer something, once."""
        self.no_route = ""
        """Why our own machine cannot send at all; empty while it can."""
        self.facts: list[Fact] = []
        self.log: list[Log] = []
        self.passed: list[Passed] = []
        """Every datagram, when it was sent and again when it arrived, in order."""
        self._sent_by = b"%s:%d" % (at[0].encode(), at[1])
        self._flows: dict[Peer, Flow] = {}
        """Source → the flow over which it is heard."""
        self._events: list[tuple[float, int, Callable[..., object], tuple[object, ...]]] = []
        self._count = 0
        self._engine_at = NEVER
        self._agent_at: dict[Peer, float] = {}

    def join(self, agent: UserAgent, transport: str = UDP) -> None:
        """A user agent takes its place at its address. On streams (`tcp`, `tls`) its packets come late, not never."""
        self.agents[agent.at] = agent
        if transport != UDP:
            self.network.streams[agent.at] = transport
            self._flows.pop(agent.at, None)

    def target(self, peer: Peer) -> Target:
        """The engine's target for a peer."""
        return Target(self.network.streams.get(peer, UDP), peer[0], peer[1], self._sent_by)

    def name(self, name: str, *peers: Peer, why: str = "no such name") -> None:
        """The engine learns where a trunk or PBX is (none: its name does not resolve, and why)."""
        self.engine.resolved(name, tuple(map(self.target, peers)), self.now, "" if peers else why)
        self._perform()

    def at_time(self, when: float, do: Callable[..., object], *args: object) -> None:
        """Something happens at a moment of the world's clock: a call, a change of mode, a cut."""
        self._count += 1
        heappush(self._events, (when, self._count, do, args))

    def run(self, until: float) -> None:
        """Let everything happen up to a moment. Returns early when nobody plans anything any more."""
        self._perform()
        for agent in self.agents.values():
            self.collect(agent)
        events = self._events
        while True:
            first = events[0][0] if events else NEVER
            due = self._engine_at
            if due < first:
                if due > until:
                    break
                self.now = max(self.now, due)
                self.engine.wake(self.now)
                self._perform()
            elif first <= until and events:
                when, _, do, args = heappop(events)
                if when > self.now:
                    self.now = when
                do(*args)
            else:
                break
        self.now = max(self.now, until)

    def show(self, do: Callable[[], object]) -> None:
        """Have the engine notice something now that comes over no network, and act."""
        do()
        self._perform()

    def tell(self, agent: UserAgent, do: Callable[[], Told]) -> Told:
        """Have an agent do something now: call, hang up, change its mode."""
        agent.now = self.now
        told = do()
        self.collect(agent)
        return told

    def plan(self, when: float, agent: UserAgent, do: Callable[[], object]) -> None:
        """Have an agent do something at a moment of the world's clock."""
        self.at_time(when, self.tell, agent, do)

    def collect(self, agent: UserAgent) -> None:
        """Post what an agent wants to send, and plan to wake it."""
        for to, data in agent.take():
            self._post(agent.at, to, data)
        due = agent.deadline()
        if due is not None and due < self._agent_at.get(agent.at, NEVER):
            self._agent_at[agent.at] = due
            self.at_time(due, self._wake_agent, agent, due)

    def _wake_agent(self, agent: UserAgent, due: float) -> None:
        if self._agent_at.get(agent.at) != due:
            return  # it was woken sooner
        self._agent_at[agent.at] = NEVER
        next_due = agent.deadline()
        if next_due is not None and next_due <= self.now:
            agent.wake(self.now)
        self.collect(agent)

    def _perform(self) -> None:
        """Do what the engine wants done, and plan to wake it."""
        commands = self.engine.take()
        if commands:
            self._carry_out(commands)
        for watcher in self.watchers:
            watcher.stepped(self.now)
        due = self.engine.deadline()
        self._engine_at = NEVER if due is None else due

    def _carry_out(self, commands: list[Command]) -> None:
        now, watchers = self.now, self.watchers
        for command in commands:
            if isinstance(command, Send):
                where = command.to
                to = (where.host, where.port)
                for watcher in watchers:
                    watcher.sent(to, command.data, now)
                self._post(self.at, to, command.data, where)
            elif isinstance(command, Record):
                if self.keep:
                    self.facts.append(command.fact)
                for watcher in watchers:
                    watcher.recorded(command.fact, now)
            elif isinstance(command, Reach):
                self._reach((command.host, command.port))
            elif isinstance(command, Log) and self.keep:
                self.log.append(command)

    def _reach(self, place: Peer) -> None:
        """A connection is tried to somebody who speaks no SIP: there if a packet goes there and comes back."""
        if self.no_route and place in self.network.far:
            self.at_time(self.now, self._reached, place, self.no_route)
            return
        there = self.network.send(self.at, place, self.now)
        back = self.network.send(place, self.at, there[0]) if there else []
        if back and back[0] <= self.now + REACHED_WITHIN:
            self.at_time(back[0], self._reached, place, "")
        else:
            self.at_time(self.now + REACHED_WITHIN, self._reached, place, f"no answer within {REACHED_WITHIN:g} s")

    def _reached(self, place: Peer, why: str) -> None:
        self.engine.reached(*place, why, self.now)
        self._perform()

    def _post(self, source: Peer, to: Peer, data: bytes, where: Target | None = None) -> None:
        if self.keep:
            self.passed.append(Passed(self.now, source, to, data, False))
        if self.awaited and where is not None and to in self.awaited and data.startswith(QUESTIONS):
            self.awaited.pop(to)(self.now)
        if where is not None and self.no_route and to in self.network.far:
            self.at_time(self.now, self._unreachable, where, self.no_route)
            return
        for when in self.network.send(source, to, self.now):
            self.at_time(when, self._deliver, source, to, data, where)

    def _deliver(self, source: Peer, to: Peer, data: bytes, where: Target | None) -> None:
        if to == self.at:
            if self.keep:
                self.passed.append(Passed(self.now, source, to, data, True))
            for watcher in self.watchers:
                watcher.received(source, data, self.now)
            flow = self._flows.get(source)
            if flow is None:
                transport = self.network.streams.get(source, UDP)
                flow = self._flows[source] = Flow(transport, source[0], source[1], self._sent_by)
            self.engine.receive(flow, data, self.now)
            self._perform()
            return
        agent = self.agents.get(to)
        if agent is None or to in self.network.closed:
            if where is not None:
                for when in self.network.send(to, source, self.now):
                    self.at_time(when, self._unreachable, where, "refused")
            return
        if self.keep:
            self.passed.append(Passed(self.now, source, to, data, True))
        agent.receive(source, data, self.now)
        self.collect(agent)

    def _unreachable(self, where: Target, reason: str) -> None:
        self.engine.lost(where, reason, self.now)
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
