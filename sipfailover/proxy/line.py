"""A line: one trunk or one PBX as the engine uses it, that is `Trunk` and what the settings say about calls there."""

from dataclasses import dataclass, field

from sipfailover.chance import Chance
from sipfailover.config import Monitor, Settings
from sipfailover.routing import Peer, Rules
from sipfailover.transaction import Timer
from sipfailover.trunk import HealthRules, ProbeRules, Trunk

NOT_REGISTERED = "register is set, but this version does not register: the carrier must know our address"


@dataclass(slots=True, eq=False)
class Line:
    """A trunk or a PBX (then `role` is `pbx`)."""

    role: str
    trunk: Trunk
    rules: Rules
    host: bytes
    """Host for the Request-URI, as the settings have it."""
    port: int | None
    peer: Peer = field(init=False)
    timer: Timer | None = None
    """When to look after it again."""

    def __post_init__(self) -> None:
        self.peer = Peer(self.role, self.trunk.name)

    @property
    def name(self) -> str:
        """The name people gave it."""
        return self.trunk.name

    def __repr__(self) -> str:
        return f"<Line {self.role} {self.trunk!r}>"


def trunk_lines(settings: Settings, chance: Chance, now: float) -> list[Line]:
    """The carrier lines, in the order of the file."""
    failover = settings.failover
    common = Rules().changed(failover.next_trunk_on, failover.never_retry)
    lines = []
    for section in settings.trunks:
        own = section.failover
        rules = common.changed(own.next_trunk_on, own.never_retry)
        health, probe = _monitor_rules(settings, settings.monitor_for(section))
        trunk = Trunk(section.name, section.tier, health, probe, failover.no_answer_within, chance, now)
        trunk.channels = section.channels
        trunk.note = NOT_REGISTERED if section.register else ""
        lines.append(Line("trunk", trunk, rules, section.host.encode("idna"), section.port))
    return lines


def pbx_lines(settings: Settings, chance: Chance, now: float) -> list[Line]:
    """The PBXs, in the order of the file."""
    lines = []
    for section in settings.pbx:
        health, probe = _monitor_rules(settings, settings.monitor)
        trunk = Trunk(section.name, 0, health, probe, settings.failover.no_answer_within, chance, now)
        lines.append(Line("pbx", trunk, Rules(), section.host.encode("idna"), section.port))
    return lines


def _monitor_rules(settings: Settings, monitor: Monitor) -> tuple[HealthRules, ProbeRules]:
    health = HealthRules(
        down_after=monitor.down_after,
        up_after=monitor.up_after,
        stable_for=settings.failover.return_to_main.stable_for,
        count_calls=monitor.count_real_calls,
    )
    return health, ProbeRules(every=monitor.options_every, timeout=monitor.timeout)
