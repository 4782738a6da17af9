"""A line: one trunk or one PBX as the engine uses it, that is `Trunk` and what the settings say about calls there."""

from dataclasses import dataclass, field, replace
from hashlib import sha256

from sipfailover.chance import Chance
from sipfailover.config import Monitor, Settings, TrunkSettings
from sipfailover.flow import PeerKey, Target
from sipfailover.proxy.bindings import Binding, Bindings
from sipfailover.routing import Peer, Rules
from sipfailover.transaction import Timer
from sipfailover.trunk import OFF, HealthRules, Presentation, ProbeRules, Registration, Trunk, presentation
from sipfailover.wire import Credentials, Wallet
from sipfailover.wire.uri import SipUri, user

REFUSED_FOR, REFUSED_FOR_REGISTERED = 120.0, 600.0
"""Seconds for which calls do not show a password that was refused: many accounts lock after five to ten wrong ones in
ten minutes. Where we register, a REGISTER that gets through ends it sooner, and those that do not are counted too."""

NOWHERE = "pbx.invalid"
"""Host of a PBX that has none: it is called by its Contact, and without one it is not called."""


PBX_OPTIONS_EVERY = 5.0
"""Seconds, at most, between two OPTIONS to a PBX: it is near, and calls that come in wait for it to be back."""


@dataclass(slots=True, eq=False)
class Account:
    """What we have at a carrier: whom we register, and what answers its challenges. Its repr shows no password."""

    domain: bytes
    """SIP domain of the account."""
    aor: bytes
    """Address of record, as a URI."""
    wallet: Wallet
    """For calls."""
    registrar: Wallet
    """For REGISTER. A wallet of its own: a proxy takes Proxy-Authorization out, but Authorization, which registrars ask
    for, goes on to whoever is called, who could guess passwords by it at leisure."""
    registers: bool
    expires: int
    """Seconds to ask for."""
    token: bytes
    """User part of the Contact that we register: by it calls that come in are recognised, also after a restart."""
    clears: bool = False
    """Whether whatever is registered on the account goes at the start, and our own former addresses when seen."""
    leaves: bool = False
    """Whether the registration is given up when the service ends."""
    registration: Registration | None = None
    """Made when the carrier's address is known."""
    edge: Target | None = None
    """Where REGISTERs go, or will from the next one on: the trunk's address as of the last look."""
    held_at: PeerKey | None = None
    """The peer that granted the binding we hold, or held last."""
    seen_as: tuple[bytes | None, bytes | None] = (None, None)
    """`received` and `rport` of the last answer of the edge that was looked at."""
    silent_until: float = 0.0
    """Until then calls answer no challenge."""
    alarms: set[str] = field(default_factory=set)
    """What is not let in, as in `core.not_let_in`: it was told, and is not told again until it is."""

    @property
    def refused_for(self) -> float:
        """Seconds for which calls answer no challenge after that."""
        return REFUSED_FOR_REGISTERED if self.registers else REFUSED_FOR

    def refused(self, now: float) -> None:
        """The carrier says that user name or password is wrong."""
        self.silent_until = now + self.refused_for

    def accepted(self) -> None:
        """A REGISTER got through."""
        self.silent_until = 0.0


@dataclass(slots=True, eq=False)
class Registrant:
    """A PBX that registers with us: what it has to show, and where it is. Its repr shows no password."""

    username: bytes
    password: str = field(repr=False)
    longest: float
    """Seconds for which it is registered at most."""
    md5_only: bool = False
    """It is offered nothing else."""
    number_in_uri: bool = False
    """Calls to it have the number in the Request-URI, instead of the name in its Contact."""
    bindings: Bindings = ()
    """Where it is registered, the one that calls go to first."""
    left_at: float | None = None
    """When its last registration ended; None if it never had one."""
    left: str = ""
    """Why that ended, in words."""
    resolved: tuple[Target, ...] = ()
    """The addresses of its `host`, if it has one: calls go there while it is not registered."""
    why: str = ""
    """Why its host does not resolve."""
    timer: Timer | None = None
    """When the next binding runs out."""

    def binding(self, target: Target, number: bytes = b"") -> Binding | None:
        """The binding whose calls go to this target, None if it is an address of its host. `number`: who is called; of
        several at one place it is the one that was registered for it."""
        there = [binding for binding in self.bindings if binding.target.peer == target.peer]
        meant = [binding for binding in there if number and user(binding.aor) == number]
        return next(iter(meant or there), None)


MOVED, REMOVED = "moved", "removed"
"""What a reload can do to a line: another one has its name now, or none."""


@dataclass(slots=True, eq=False)
class Line:
    """A trunk or a PBX (then `role` is `pbx`)."""

    role: str
    trunk: Trunk
    rules: Rules
    host: bytes
    """Host for the Request-URI, as the settings have it."""
    port: int | None
    networks: tuple[str, ...] = ()
    """From where else it may send."""
    peer: Peer = field(init=False)
    timer: Timer | None = None
    """When to look after it again."""
    account: Account | None = None
    """None: the carrier knows us by our address."""
    presentation: Presentation | None = None
    """How calls look on a trunk; None for a PBX."""
    number_form: str = "keep"
    """How the other side writes the numbers of calls that come from it; a PBX wants those of calls to it so, too."""
    registration_timer: Timer | None = None
    keep_alive_every: float | None = None
    """Seconds between keep-alives as configured; 0 for none, None: while registered."""
    keep_alive_timer: Timer | None = None
    registrant: Registrant | None = None
    """Of a PBX that registers with us."""
    silent: bool = False
    """It has not answered since the last OPTIONS that had no answer, or call."""
    heard_at: float = float("-inf")
    """When anything came from there last, seconds."""
    silent_at: float = float("-inf")
    """When something was unanswered last that should have been answered, seconds."""
    remembered: bytes = b""
    """Its record as it was stored last."""
    remember_timer: Timer | None = None
    """When to look whether that is still true."""
    unsent: str = ""
    """Why the last thing could not even be sent there; empty since something was heard."""
    left: str = ""
    """MOVED or REMOVED by a reload: it is here for its calls alone. Empty for who is in the file."""
    left_timer: Timer | None = None
    """When to look whether it can go."""
    unused_since: float | None = None
    """Since when it has no calls, from when that was noticed after it left."""

    def __post_init__(self) -> None:
        self.peer = Peer(self.role, self.trunk.name)

    @property
    def name(self) -> str:
        """The name people gave it."""
        return self.trunk.name

    def called_at(self, binding: Binding, number: bytes) -> bytes:
        """The Request-URI of a call to a registered PBX. `number`: who is called, b"" if that is no number."""
        if self.registrant is None or not self.registrant.number_in_uri or not number:
            return binding.uri
        return SipUri.parse(binding.uri)._replace(user=number, password=None).to_bytes()

    def binding(self, target: Target, number: bytes = b"") -> Binding | None:
        """How this PBX wants to be called at this target, if it registered there. See `Registrant.binding`."""
        return self.registrant.binding(target, number) if self.registrant is not None else None

    def holds(self, target: Target) -> bool:
        """Whether calls are expected at this address: we are registered there, or do not register at all."""
        account = self.account
        if account is None or not account.registers:
            return True
        registration = account.registration
        return registration is not None and registration.held and account.held_at == target.peer

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
        trunk.clocks_fixed = failover.clocks == "fixed"
        trunk.look_for_drops(settings.monitor_for(section).dropped_within)
        host, port = (section.domain, None) if section.domain else (section.host, section.port)
        line = Line("trunk", trunk, rules, host.encode("idna"), port, section.networks)
        line.account = _account(section, line.host)
        line.keep_alive_every = section.keep_alive_every
        line.presentation = presentation(section, settings, line.host)
        line.number_form = line.presentation.inbound
        lines.append(line)
    return lines


def _account(section: TrunkSettings, domain: bytes) -> Account | None:
    if not section.username:
        return None
    name, password = section.username, section.password
    credentials = []
    if password is not None:
        known_as = section.auth_username or name
        credentials.append(Credentials(known_as, password.get_secret_value(), section.realm or None))
    aor = b"sip:%b@%b" % (name.encode(), b"[%b]" % domain if b":" in domain else domain)
    return Account(
        domain=domain,
        aor=aor,
        wallet=Wallet(credentials),
        registrar=Wallet(credentials),
        registers=section.register,
        expires=int(section.register_expires),
        clears=section.clear_old_registrations,
        leaves=section.unregister_at_stop,
        token=b"sf" + sha256(section.name.encode() + b"\n" + aor).hexdigest()[:14].encode(),
    )


def pbx_lines(settings: Settings, chance: Chance, now: float) -> list[Line]:
    """The PBXs, in the order of the file."""
    lines = []
    for section in settings.pbx:
        health, probe = _monitor_rules(settings, settings.monitor)
        # It is the only place that calls can go to: back means back, and it is near, so it is always asked.
        health = replace(
            health, stable_for=0.0, manual=False, window=None, asked=True, quick=settings.monitor.confirm_quickly
        )
        probe = replace(probe, every=min(probe.every, PBX_OPTIONS_EVERY))
        trunk = Trunk(section.name, 0, health, probe, settings.inbound.no_answer_within, chance, now)
        trunk.clocks_fixed = settings.failover.clocks == "fixed"
        host = (section.host or NOWHERE).encode("idna")
        line = Line("pbx", trunk, Rules(), host, section.port_used, section.networks)
        line.number_form = section.number_format
        if section.registers and section.password is not None:
            password = section.password.get_secret_value()
            line.registrant = Registrant(
                section.username.encode(),
                password,
                section.register_expires,
                section.digest == "md5",
                section.called_number_in == "uri",
            )
            if not section.host:
                trunk.gone("it is not registered")
        lines.append(line)
    return lines


def _monitor_rules(settings: Settings, monitor: Monitor) -> tuple[HealthRules, ProbeRules]:
    every = OFF if monitor.options_every is None else monitor.options_every
    health = HealthRules(
        down_after=monitor.down_after,
        up_after=monitor.up_after,
        stable_for=settings.failover.return_to_main.stable_for,
        count_calls=monitor.count_real_calls,
        asked=every != OFF,
        quick=monitor.confirm_quickly and every != OFF,
        manual=settings.failover.return_to_main.when.word == "manual",
        window=settings.failover.return_to_main.when.window,
    )
    return health, ProbeRules(every=every, timeout=monitor.timeout)
