"""A rehearsal: one scenario lived through with one configuration, in virtual time, with the production engine.

Puts the parts together: office, carriers, paths between them, faults at their times; runs, and keeps what happened.
What it means for people is counted in `figures`.
"""

import gc
from collections.abc import Callable
from dataclasses import replace

from sipfailover.chance import Chance
from sipfailover.config import Document, Settings, TrunkSettings
from sipfailover.errors import ConfigError
from sipfailover.proxy import AttemptEnded, CallEnded, Engine, Fact, ProbeEnded, TrunkChanged
from sipfailover.simulator.agenda import Span, Spans, swizzle
from sipfailover.simulator.calls import Call, draw_calls, number_of
from sipfailover.simulator.core import PATIENCE
from sipfailover.simulator.network import CALM, Network, Weather
from sipfailover.simulator.phone import Phone
from sipfailover.simulator.provider import Account, Provider
from sipfailover.simulator.rules import Rules
from sipfailover.simulator.scenario import Fault, Scenario, names_in
from sipfailover.simulator.switchboard import Switchboard
from sipfailover.simulator.text import Peer
from sipfailover.simulator.world import World

PROXY: Peer = ("192.0.2.1", 5060)
OFFICE_WAY = Weather(delay=0.001)
PBX_ASKED_EVERY = 60.0
"""Seconds between OPTIONS to a PBX, instead of five: no fault of a scenario befalls a PBX, and half of all that
happened in ten days was that it was asked, and answered."""
LATENCY = 0.6
"""Seconds there and back, of "latency" where the scenario says nothing else."""
OVERTIME = 80.0
"""Seconds after the end, and after the longest ringing, for what still goes on: tables empty (64*T1, twice)."""
CHUNK = 600.0
"""Seconds of the world between two looks at who waits for it."""
GC_THRESHOLD = (50_000, 20, 100)
"""As in production: calls have no reference cycles."""


class Rehearsal:
    """See the module. `name`: how the configuration is called in what is shown."""

    def __init__(self, settings: Settings, scenario: Scenario, *, seed: int | None = None, name: str = "") -> None:
        self.settings = settings
        self.scenario = scenario
        self.seed = scenario.seed if seed is None else seed
        self.name = name
        chance = Chance(self.seed)
        self.calls = draw_calls(scenario.office, scenario.start, scenario.seconds, chance)
        self.by_mark = {call.mark: call for call in self.calls}
        self.engine = Engine(settings, Chance(self.seed + 1), 0.0)
        for line in self.engine.core.pbxs:
            line.trunk.probe.rules = replace(line.trunk.probe.rules, every=PBX_ASKED_EVERY)
        self.network = Network(Chance(self.seed + 2))
        self.world = World(self.engine, PROXY, self.network, keep=False)
        self.trunks = tuple(trunk.name for trunk in sorted(settings.trunks, key=lambda trunk: trunk.tier))
        self.changes: list[TrunkChanged] = []
        self.active: list[tuple[float, str]] = []
        """When new calls began to go over which trunk; empty name: none is usable."""
        self.asked: dict[str, list[float]] = {}
        """Trunk → when it was first sent anything after a fault had begun, for each that harms it."""
        self.probes = 0
        self.broken: list[str] = []
        """Rules that did not hold."""
        self.wall_steps: list[tuple[float, float]] = []
        """When the wall clock jumped, and by how much."""
        self._by_id: dict[str, Call] = {}
        self._attempts: dict[int, list[AttemptEnded]] = {}
        self._on: dict[str, list[Fault]] = {name: [] for name in self.trunks}
        self._join(Chance(self.seed + 3))
        self.spans = self._plan_faults(Chance(self.seed + 4))
        """Trunk → (when, fault), every time that one is on."""
        peers = {provider.at: name for name, provider in self.providers.items()}
        hold = settings.failover.return_to_main.stable_for
        self.rules = Rules(self.engine, peers, settings.emergency.numbers, hold=hold)
        self.rules.also = self.recorded
        self.world.watchers = [self.rules]

    # -- putting it together ------------------------------------------------------------------------------------------

    def _join(self, chance: Chance) -> None:
        world, network = self.world, self.network
        self.office = Switchboard("Office", ("192.0.2.10", 5060), chance, proxy=PROXY, calls=self.by_mark)
        for index, pbx in enumerate(self.settings.pbx):
            phone: Phone = self.office
            if index:
                at = (f"192.0.2.{10 + index}", 5060)
                phone = Switchboard(pbx.name, at, chance, proxy=PROXY, calls=self.by_mark)
            world.join(phone, pbx.transport)
            self._both_ways(phone.at, OFFICE_WAY)
            world.name(pbx.name, phone.at)
        self.providers: dict[str, Provider] = {}
        for index, trunk in enumerate(self.settings.trunks, 1):
            at = (f"198.51.100.{index}", trunk.port or 5060)
            provider = Provider(trunk.name, at, chance, calls=self.by_mark, account=account_of(trunk))
            self.providers[trunk.name] = provider
            world.join(provider, trunk.transport)
            network.far.add(at)
            self._both_ways(at, self._weather(trunk.name))
            world.name(trunk.name, at)
        self.references = [(place.host, place.port or 0) for place in self.settings.monitor.reference]
        for place in self.references:
            network.far.add(place)
            network.streams[place] = "tcp"

    def _weather(self, trunk: str) -> Weather:
        """The path to a trunk as it is now."""
        section = self.scenario.network_of(trunk)
        plain = Weather(section.round_trip / 2, section.jitter, section.loss, section.duplicate, section.reorder)
        for fault in self._on[trunk]:
            if "latency" in fault.kind:
                plain = replace(plain, delay=(LATENCY if fault.delay is None else fault.delay) / 2)
            if "loss" in fault.kind:
                plain = replace(plain, loss=max(plain.loss, fault.loss))
        return CALM if plain == CALM else plain

    def _both_ways(self, peer: Peer, weather: Weather) -> None:
        self.network.paths[(peer, PROXY)] = self.network.paths[(PROXY, peer)] = weather

    def _plan_faults(self, chance: Chance) -> dict[str, list[tuple[Span, Fault]]]:
        planned: dict[str, list[tuple[Span, Fault]]] = {name: [] for name in self.trunks}
        for fault in self.scenario.faults:
            first, last = self.scenario.span(fault)
            every = fault.everywhere or fault.pattern.word == "swizzle"
            names = fault.trunk or (self.trunks if every else self.trunks[:1])
            broken = frozenset(number_of(rank) for rank in range(fault.destinations))
            common = fault.pattern.spans(first, last, chance)
            single = swizzle(len(names), first, last, chance) if fault.pattern.word == "swizzle" else []
            for index, name in enumerate(names):
                self.providers[name].broken_numbers.append((fault, broken))
                for span in [single[index]] if single else common:
                    planned[name].append((span, fault))
                    self.world.at_time(span[0], self._begin, fault, name)
                    self.world.at_time(span[1], self._end, fault, name)
        return planned

    # -- faults -------------------------------------------------------------------------------------------------------

    def _begin(self, fault: Fault, trunk: str) -> None:
        self._on[trunk].append(fault)
        if fault.harms:
            self.world.awaited[self.providers[trunk].at] = self.asked.setdefault(trunk, []).append
        if "clock step" in fault.kind and trunk == self.trunks[0]:
            self.wall_steps.append((self.world.now, fault.step))
        self._apply(trunk)

    def _end(self, fault: Fault, trunk: str) -> None:
        self._on[trunk].remove(fault)
        self._apply(trunk)

    def _apply(self, trunk: str) -> None:
        """Make the world what the faults that are on want it to be, for one trunk."""
        world, network, provider = self.world, self.network, self.providers[trunk]
        words = {word for fault in self._on[trunk] for word in fault.kind}
        (network.closed.add if "killed" in words else network.closed.discard)(provider.at)
        (network.cut if words & {"partition", "no uplink"} else network.mend)([provider.at], [PROXY])
        self._both_ways(provider.at, self._weather(trunk))
        away = any("no uplink" in fault.kind for faults in self._on.values() for fault in faults)
        (network.cut if away else network.mend)(self.references, [PROXY])
        if "no route" in words:
            world.no_route = "local: no route"
        elif not any("no route" in fault.kind for faults in self._on.values() for fault in faults):
            world.no_route = ""
        world.tell(provider, lambda: provider.afflict(list(self._on[trunk]), world.now))
        peers = () if "no dns" in words else (provider.at,)
        world.name(trunk, *peers, why="the name server does not answer")

    # -- running ------------------------------------------------------------------------------------------------------

    def run(self, progress: Callable[[float], object] = lambda share: None) -> "Rehearsal":
        """Live through it. `progress`: told the share that is done."""
        world, seconds = self.world, self.scenario.seconds
        inbound_over = self.providers[self.scenario.office.inbound_over or self.trunks[0]]
        for call in self.calls:
            world.at_time(call.at, self._dial, call, inbound_over)
        before = gc.get_threshold()
        gc.set_threshold(*GC_THRESHOLD)
        try:
            now = 0.0
            while now < seconds:
                now = min(seconds, now + CHUNK)
                world.run(now)
                progress(now / seconds)
            rings = max(PATIENCE, self.settings.failover.ring_timeout)
            for wait in (0.0, 40.0, rings + OVERTIME):
                world.run(seconds + wait)
                for agent in world.agents.values():
                    world.tell(agent, lambda agent=agent: [agent.hang_up(leg) for leg in agent.legs])  # type: ignore[misc]
        finally:
            gc.set_threshold(*before)
        legs = {name: provider.legs for name, provider in self.providers.items()}
        self.broken = self.rules.finish(legs, world.now)
        return self

    def _dial(self, call: Call, inbound_over: Provider) -> None:
        if call.inbound:
            self.world.tell(inbound_over, lambda: inbound_over.place(call, PROXY))
        else:
            self.world.tell(self.office, lambda: self.office.place(call))
            call.base = 2 * OFFICE_WAY.delay + self.scenario.network_of(self.trunks[0]).round_trip
            if self.providers[self.trunks[0]].account is not None:
                call.base += self.scenario.network_of(self.trunks[0]).round_trip
        if call.leg is not None:
            self._by_id[call.leg.call_id.decode()] = call

    # -- looking on ---------------------------------------------------------------------------------------------------

    def recorded(self, fact: Fact, now: float) -> None:
        """The engine says that this has happened."""
        if isinstance(fact, ProbeEnded):
            self.probes += 1
        elif isinstance(fact, AttemptEnded):
            self._attempts.setdefault(fact.call, []).append(fact)
        elif isinstance(fact, CallEnded):
            call = self._by_id.pop(fact.call_id, None)
            attempts = self._attempts.pop(fact.call, [])
            if call is not None:
                call.ended, call.attempts = fact, attempts
        elif isinstance(fact, TrunkChanged):
            if fact.trunk in self._on:
                self.changes.append(fact)
            active = self.engine.view(now).active_trunk
            if not self.active or self.active[-1][1] != active:
                self.active.append((now, active))

    # -- what was wrong, when -----------------------------------------------------------------------------------------

    def harm(self, trunk: str) -> Spans:
        """When a trunk was better left alone."""
        return Spans([span for span, fault in self.spans[trunk] if fault.harms])


def account_of(trunk: TrunkSettings) -> Account | None:
    """What the carrier of this trunk asks for; None where it knows us by our address."""
    if not trunk.username or trunk.password is None:
        return None
    realm = trunk.realm or trunk.domain or trunk.host
    return Account(trunk.auth_username or trunk.username, trunk.password.get_secret_value(), realm, trunk.register)


def check_names(document: Document[Scenario], settings: Settings, config: str) -> None:
    """Raises ConfigError if the scenario names trunks that the configuration does not have. `config`: its file."""
    known = [trunk.name for trunk in settings.trunks]
    wrong = [
        document.problem(path, f"'{name}' is no trunk of {config}, which has {', '.join(known)}")
        for path, name in names_in(document.value)
        if name not in known
    ]
    if wrong:
        raise ConfigError(tuple(wrong))
