"""The engine as others may see it: a frozen picture, taken by `Engine.view(now)`. No message, no secret in it.

Times named `…_at` and `since` are seconds on the engine's monotonic clock; durations are seconds.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class AccountView:
    """Our registration with a carrier."""

    state: str
    """`Registered`, `Registering`, `Failed`, `Not used`."""
    since: float
    why: str
    """Why the last REGISTER failed; empty if it did not. May be set while Registered: then a refresh failed."""
    granted: int
    """Seconds, as the registrar said; 0 without a binding."""
    expires_at: float | None
    """None without a binding."""
    next_at: float | None
    """When the next REGISTER leaves; None while one is in flight, or none will."""
    contact: str
    """The address by which the carrier reaches us, as a URI."""
    public: str
    """Where the carrier sees us, `203.0.113.5:40123`; empty before it has said so."""
    path: tuple[str, ...]
    """The edges that inbound calls come through (RFC 3327)."""
    associated: tuple[str, ...]
    """P-Associated-URI: identities that the account may show. Numbers are in it: masked by whoever shows them."""
    rewritten: bool
    """The registrar lists our address differently than we sent it: something on the way rewrites SIP."""
    stale: int
    """Bindings of ours at former addresses."""
    others: int
    """Bindings of somebody else on the same account."""


@dataclass(frozen=True, slots=True)
class AddressView:
    """One address of a trunk that has several."""

    target: str
    """`udp 192.0.2.1:5060`."""
    in_use: bool
    """REGISTER, OPTIONS and calls go there first."""
    answers: bool | None
    """How the last request there ended; None if nothing was sent yet."""
    why: str
    """How it failed, in words; empty while it answers."""
    avoided_until: float | None
    """None: it is not avoided."""
    round_trip: float | None
    """Of the last OPTIONS that measured it, seconds."""


@dataclass(frozen=True, slots=True)
class TrunkView:
    """One trunk, or one PBX (then `tier` is 0)."""

    name: str
    tier: int
    """1 is the first choice."""
    order: str
    """What people said: `enabled`, `draining`, `off`, `used`."""
    health: str
    """What was observed: `Up`, `Suspect`, `Down`, `Trial`."""
    since: float
    why: str
    """The evidence for the present health, one sentence; empty while Up and never otherwise."""
    carries_new_calls: bool
    target: str
    """Where we send: `udp 192.0.2.1:5060`, or the name with the reason when it does not resolve."""
    calls_now: int
    round_trip: float | None
    """Smoothed, seconds; None before the first answer."""
    no_answer_within: float
    """The no-answer clock as measured now, seconds."""
    no_answer_at_most: float
    """The same as it is configured: it is never longer."""
    set_up_time: float | None
    """How long it usually takes until a telephone rings, seconds; None before enough calls have rung."""
    no_ringing_within: float
    """The no-ringing clock as measured now, seconds."""
    no_ringing_at_most: float
    """The same as it is configured: it is never longer."""
    inbound: str
    """How calls come in over it: `Up`, `Suspect`, `Down`. It moves no call."""
    inbound_why: str
    """The evidence for that, one sentence; empty while Up and never otherwise."""
    probe: str
    """Progress of the checks, as `2/3 good` or `1/2 failed`."""
    last_probe_at: float | None
    loss_ratio: float
    """Share of the last 20 probes without an answer that counts."""
    registration: str = ""
    """How our registration at a trunk stands, or that of a PBX with us, one line for people: `Registered for 4 min, …`,
    `Registered from udp 192.168.10.5:5060 for 8 min`; empty where none is used."""
    account: AccountView | None = None
    """The same in parts; None where none is used, or the trunk never had an address."""
    addresses: tuple[AddressView, ...] = ()
    """In the order of RFC 3263; empty while it has none."""
    addresses_story: str = ""
    """The same as one line for people, if there are several: `2 of 3 addresses answer; …`."""
    note: str = ""
    """Something the operator should know, e.g. that a setting has no effect yet, or who ordered what."""
    order_until: float | None = None
    """When the order ends by itself; None: when somebody says so, or there is none."""
    order_who: str = ""
    order_why: str = ""


@dataclass(frozen=True, slots=True)
class Fill:
    """How full one of the collections is that have a bound."""

    name: str
    """As in `sipfailover_bound_used`: `calls`, `transactions`, `connections_accepted`, …"""
    now: int
    at_most: int


@dataclass(frozen=True, slots=True)
class LoadView:
    """How we keep up, and what is refused because we do not."""

    behind: float = 0.0
    """Seconds, as of the last look: how late the event loop is, or for how long there was something left to read."""
    calls_per_second: float | None = None
    """New calls that may begin now, of all sources together; None: as they come."""
    share: float = 0.0
    """Of these, what one source may begin."""
    banned: int = 0
    """Addresses of strangers that are not looked at."""
    bans: int = 0
    """The same since the start."""


@dataclass(frozen=True, slots=True)
class CallView:
    """One call in progress."""

    number: int
    direction: str
    state: str
    """`trying`, `ringing`, `answered`, `ending`."""
    caller: str
    called: str
    trunk: str
    rerouted: bool
    started_at: float
    answered_at: float | None


@dataclass(frozen=True, slots=True)
class FailoverView:
    """The last time new calls were sent elsewhere, or came back."""

    number: int
    at: float
    came_from: str
    went_to: str
    why: str


@dataclass(frozen=True, slots=True)
class TollView:
    """Calls of one kind of destination, where `toll_fraud` says something."""

    kind: str
    """`national`, `abroad`, `premium`, `satellite`."""
    calls: int
    """Begun within the last hour."""
    calls_per_hour: int | None
    """The limit that counts now; None for none."""
    minutes: float
    """Of answered calls, today."""
    minutes_per_day: int | None
    refused: dict[str, int]
    """`place`, `calls`, `minutes` → calls refused since the start."""
    stopped: str
    """Why calls of this kind are refused now, one sentence; empty while they are not."""


@dataclass(frozen=True, slots=True)
class EngineView:
    """Everything the status page and the metrics need, except what they count from facts."""

    now: float
    started_at: float
    trunks: tuple[TrunkView, ...]
    """In the order they are tried."""
    pbxs: tuple[TrunkView, ...]
    active_trunk: str
    """The trunk that new calls take now; empty if none is usable."""
    calls: tuple[CallView, ...]
    """At most `CALLS_SHOWN`, the newest last; `calls_now` counts all."""
    calls_now: int
    last_failover: FailoverView | None
    transactions: int
    requests: dict[tuple[str, str, str], int]
    """(side `pbx`|`trunk`|`other`, `in`|`out`, method) → count since the start."""
    responses: dict[tuple[str, str, str], int]
    """(side, `in`|`out`, `1xx` … `6xx`) → count since the start."""
    retransmissions: dict[tuple[str, str], int]
    """(`in`|`out`, method) → count since the start."""
    own_line: str
    """What is the matter with our own line, a sentence; empty if nothing is known to be."""
    own_line_since: float | None
    own_line_excuses: bool
    """No trunk is blamed for its silence meanwhile."""
    rejected: dict[str, int]
    """The words of `count.REASONS` → count since the start."""
    tolls: tuple[TollView, ...] = ()
    """Empty where `toll_fraud` says nothing."""
    registers: dict[tuple[str, str], int] = field(default_factory=dict)
    """(trunk, `granted`|`no answer`|`fault`|`refused`) → REGISTERs since the start."""
    hedges: dict[tuple[str, str], int] = field(default_factory=dict)
    """(trunk whose silence it was, who had won: `first`|`second`|`neither`) → second attempts since the start that are
    over."""
    load: LoadView = field(default_factory=LoadView)
    bounds: tuple[Fill, ...] = ()
    """The engine's; the shell adds its own."""
    transport: dict[str, int] = field(default_factory=dict)
    """What the sockets counted since the start, by the names of `transport.Counters`; filled in by the shell."""
