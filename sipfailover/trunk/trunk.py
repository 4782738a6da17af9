"""One trunk, or one PBX (tier 0): what people ordered and what was observed of it, side by side (DESIGN.md §2.11).

Orders and observations never touch each other; `usable` is one line made of both. Which trunk a call takes is
`routing.plan`'s business, and resolving names is the shell's.
"""

from dataclasses import dataclass
from enum import IntEnum

from sipfailover.chance import Chance
from sipfailover.flow import Target
from sipfailover.trunk.addresses import Addresses
from sipfailover.trunk.evidence import HealthRules, State, duration
from sipfailover.trunk.health import Health
from sipfailover.trunk.inbound import Inbound
from sipfailover.trunk.overtaken import Overtaken
from sipfailover.trunk.probe import Probe, ProbeRules
from sipfailover.trunk.roundtrip import NoAnswer, RoundTrip, fixed
from sipfailover.trunk.setup_time import SetUpTime
from sipfailover.trunk.talks import Talks


class Order(IntEnum):
    """What people said about a trunk."""

    ENABLED = 0
    DRAINING = 1
    """Calls in progress go on, new ones go elsewhere."""
    OFF = 2
    USED = 3
    """New calls go here first, whatever its tier, while it can take them."""

    @property
    def label(self) -> str:
        """The word people read: `enabled`, `draining`, `off`, `used`."""
        return self.name.lower()

    @property
    def open(self) -> bool:
        """Whether new calls may go there."""
        return self is Order.ENABLED or self is Order.USED


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order with its story. Times are seconds, monotonic."""

    order: Order = Order.ENABLED
    until: float | None = None
    """When it ends by itself; None: when somebody says so."""
    who: str = ""
    why: str = ""
    at: float = 0.0

    def words(self, now: float) -> str:
        """`until 14:00` is for who knows the time of day; this is `for 59 min more, by anna: fibre works`."""
        lasts = "" if self.until is None else f"for {duration(max(0.0, self.until - now))} more"
        by = f"by {self.who}" if self.who else ""
        told = ", ".join(part for part in (lasts, by) if part)
        return ": ".join(part for part in (told, self.why) if part)


AS_USUAL = Ordered()


NOT_YET = "its name has not been resolved yet"
"""Why a trunk has no address at first; that is no trouble of anybody's."""
DROPPED_WITHIN = 8.0
"""Seconds, as `monitor.dropped_within` has it by default."""
UNPROVEN_WITHIN = 1.5
"""Seconds. Where OPTIONS had no answer and nothing else was ever heard, the first call tells whether anybody is there:
it waits for three transmissions at a round trip of half a second. RFC 3261 §17.2.1 wants 100 within 200 ms."""


class Trunk:
    """A carrier line. `tier`: 1 is the first choice. `no_answer_within`: seconds, the configured bound."""

    __slots__ = (
        "addresses", "calls_now", "channels", "clocks_fixed", "health", "inbound", "name", "no_answer_within", "note",
        "order", "ordered", "overtaken", "probe", "resolve_why", "roundtrip", "setup", "talks", "talks_in", "tier",
        "tls_why",
    )  # fmt: skip

    def __init__(
        self,
        name: str,
        tier: int,
        health_rules: HealthRules,
        probe_rules: ProbeRules,
        no_answer_within: float,
        chance: Chance,
        now: float,
    ) -> None:
        self.name = name
        self.tier = tier
        self.order = Order.ENABLED
        self.ordered = AS_USUAL
        """The same with its story: see `obey`."""
        self.health = Health(health_rules, now)
        self.probe = Probe(probe_rules, chance, now)
        self.roundtrip = RoundTrip()
        self.setup = SetUpTime()
        self.overtaken = Overtaken()
        """Where another trunk was faster."""
        self.inbound = Inbound(now)
        """How calls come in over it: shown, and moves no call."""
        self.talks, self.talks_in = Talks(DROPPED_WITHIN), Talks(DROPPED_WITHIN)
        """Its young answered calls, those that went out and those that came in."""
        self.no_answer_within = no_answer_within
        self.clocks_fixed = False
        """The configured clocks are used as they are, whatever was measured."""
        self.addresses = Addresses()
        """Where it is, and what was seen of each address; the last good ones while its name does not resolve."""
        self.resolve_why = NOT_YET
        """Why its name does not resolve now, in words; empty while it does."""
        self.calls_now = 0
        self.channels: int | None = None
        """How many calls it carries at a time; None: no limit. Full is no fault: calls overflow to the next one."""
        self.note = ""
        """Something the operator should know."""
        self.tls_why = ""
        """Why the last TLS connection to it could not be made; empty as soon as something comes over one."""

    def obey(self, ordered: Ordered) -> None:
        """People have said what to do with it."""
        self.ordered, self.order = ordered, ordered.order

    def take_settings(self, fresh: "Trunk", now: float) -> None:
        """What the settings say, from one that was just made of them; what was observed and ordered stays."""
        self.tier, self.channels, self.no_answer_within = fresh.tier, fresh.channels, fresh.no_answer_within
        self.clocks_fixed = fresh.clocks_fixed
        self.health.use(fresh.health.rules)
        self.probe.use(fresh.probe.rules, now)
        if fresh.talks.within != self.talks.within:
            self.look_for_drops(fresh.talks.within)

    def resolved(self, targets: tuple[Target, ...], why: str = "", now: float = 0.0) -> None:
        """Its name has these addresses now; () with the reason keeps the last good ones. The one in use stays."""
        if targets:
            self.addresses.resolved(targets, now)
        self.resolve_why = "" if targets else why or "its name has no address"

    def gone(self, why: str) -> None:
        """It has no address any more, not even an old one: its name is denied, or its registration with us is over."""
        self.addresses.resolved(())
        self.resolve_why = why

    @property
    def targets(self) -> tuple[Target, ...]:
        """Its addresses in the order of RFC 3263; the last good ones while its name does not resolve."""
        return self.addresses.targets

    def look_for_drops(self, within: float) -> None:
        """An answered call that the network ends within so many seconds may have been cut off; 0: look for none."""
        self.talks, self.talks_in = Talks(within), Talks(within)

    @property
    def target(self) -> Target | None:
        """The address in use; None if its name never resolved. REGISTER, OPTIONS and calls go there."""
        return self.addresses.current

    @property
    def usable(self) -> bool:
        """True if new calls may go here: ordered so, with an address, and not Down (tried when all else fails)."""
        return self.order.open and self.target is not None and self.health.state is not State.DOWN

    @property
    def carries_new_calls(self) -> bool:
        """True if new calls go here when its tier comes, all of them; in Trial only single ones do."""
        return self.usable and self.health.state is not State.TRIAL

    @property
    def full(self) -> bool:
        """True while every channel has a call."""
        return self.channels is not None and self.calls_now >= self.channels

    def no_answer(self, within: float | None = None) -> NoAnswer:
        """The no-answer clock for an attempt that starts now. `within`: seconds, another bound than the usual one."""
        bound = self.no_answer_within if within is None else within
        if self.clocks_fixed:
            return fixed(bound)
        if self.probe.mute and self.probe.ended_at is not None and self.roundtrip.smoothed is None:
            bound = min(bound, UNPROVEN_WITHIN)
        return self.roundtrip.no_answer(bound)

    def no_ringing(self, within: float) -> float:
        """The no-ringing clock for an attempt that starts now, in seconds. `within`: the configured bound."""
        return within if self.clocks_fixed else self.setup.no_ringing(within)

    def where(self) -> str:
        """`udp 192.0.2.1:5060`, or why there is no address; both while an old address is used."""
        if self.target is None:
            return self.resolve_why
        return f"{self.target} (last good, {self.resolve_why})" if self.resolve_why else str(self.target)

    def story(self, now: float) -> str:
        """For an operator: `main (tier 1, enabled) at udp 192.0.2.1:5060: Down for 12 s, …`."""
        return f"{self.name} (tier {self.tier}, {self.order.label}) at {self.where()}: {self.health.story(now)}"

    def __repr__(self) -> str:
        why = f", {self.health.why}" if self.health.why else ""
        state = f"{self.health.state.name} since {self.health.since:.3f}, {self.health.progress}{why}"
        return f"<Trunk {self.name} {state}, {self.order.label}, {self.calls_now} calls, at {self.where()}>"
