"""The settings: one class per section of the file, every key with its meaning, unit, default and when to change it.

The file's form is read by `load`; the words (durations, addresses, yes and no) by `words`; what spans several keys
is judged by `check`. The docstring under a field is its help, in `sipfailover schema` and in the documentation.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    field_validator,
    model_validator,
)

from sipfailover.config.words import (
    SIP_PORT,
    Address,
    Dialled,
    Host,
    Name,
    Outcome,
    OwnAddress,
    PublicHost,
    Seconds,
    Text,
    Whole,
    YesNo,
    as_list,
    endpoint,
    lower,
    transport,
)
from sipfailover.errors import Problem

Transport = Annotated[Literal["udp", "tcp"], BeforeValidator(transport)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=1024)]
Outcomes = Annotated[tuple[Outcome, ...], BeforeValidator(as_list)]

MAX_TRUNKS = 64
MAX_PBXS = 16
MAX_LISTENERS = 32


class Section(BaseModel):
    """What all sections share: nothing unknown, nothing changed after loading, help taken from the docstrings."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _empty_means_defaults(cls, data: Any) -> Any:
        return {} if data == "" else data


class Pbx(Section):
    """A PBX: calls that come from its address go out over the trunks, calls from the trunks go to it."""

    name: Name = "pbx"
    """How the PBX is called on the page and in the log. Default: pbx, and pbx-2, pbx-3, … for further ones."""
    host: Host
    """Its IP address, or a name that resolves to it. Calls are accepted from these addresses."""
    port: Port = SIP_PORT
    """The port to which we send. Default 5060."""
    transport: Transport = "udp"
    """udp or tcp, for calls that we send to the PBX; from it, both are taken. Default udp."""


class Listen(Section):
    """One address and port on which we speak SIP."""

    transport: Transport = "udp"
    """udp or tcp."""
    host: Host
    """An IP address of this machine; 0.0.0.0 or [::] for all of them."""
    port: Port = SIP_PORT
    """Default 5060."""

    def __str__(self) -> str:
        return f"{self.transport} {Address(self.host, self.port)}"


class Monitor(Section):
    """How a trunk is watched. Under a trunk, the keys written there apply to that trunk only."""

    options_every: Annotated[Seconds, Field(ge=0.1, le=3600)] = 10.0
    """Time between two SIP OPTIONS to a healthy trunk, 100ms to 1h. Shorter finds failures sooner between calls and
    costs the carrier more; ask the carrier before going under 10s. Default 10s."""
    timeout: Annotated[Seconds, Field(ge=0.05, le=32)] = 2.0
    """How long one OPTIONS may stay without an answer before it counts as failed, 50ms to 32s. Default 2s."""
    down_after: Annotated[Whole, Field(ge=1, le=100)] = 3
    """Failed checks in a row until the trunk is Down. Default 3."""
    up_after: Annotated[Whole, Field(ge=1, le=100)] = 3
    """Good checks in a row until a trunk that was Down is Up. Default 3."""
    count_real_calls: YesNo = True
    """Whether calls count as checks too: one that gets no reply asks for probes at once. Default yes."""


class ReturnToMain(Section):
    """How new calls come back to a better trunk after it failed."""

    when: Annotated[Literal["automatic"], BeforeValidator(lower)] = "automatic"
    """automatic: as soon as the trunk has been stable. The only way in this version, and the default."""
    stable_for: Annotated[Seconds, Field(ge=0, le=7 * 86400)] = 600.0
    """How long a trunk that was Down must stay without a fault before new calls use it again, 0 to 7d.
    Longer is calmer with a trunk that comes and goes. Default 10m."""


class Failover(Section):
    """When a call moves to the next trunk, and when it must not."""

    no_answer_within: Annotated[Seconds, Field(ge=0.2, le=32)] = 4.0
    """No reply at all to a call within this time: the same call goes to the next trunk. 200ms to 32s. This is the
    upper bound; once the trunk's round trip has been measured, less is enough. Default 4s."""
    no_ringing_within: Annotated[Seconds, Field(ge=0.5, le=120)] = 12.0
    """The trunk said "100 Trying" and then nothing more (no ringing, no answer) within this time, counted from the
    start of the attempt: next trunk. Longer for carriers that are slow to ring telephones abroad. Default 12s."""
    give_up_after: Annotated[Seconds, Field(ge=1, le=300)] = 25.0
    """The longest silence a caller gets over all trunks together, until the call is refused. Default 25s."""
    ring_timeout: Annotated[Seconds, Field(ge=10, le=3600)] = 180.0
    """How long a telephone may ring until we give the call up (RFC 3261's timer C, which wants 3m or more).
    Default 3m."""
    next_trunk_on: Outcomes = ()
    """More outcomes that send a call to the next trunk: timeout, unreachable, codes (403) or classes (4xx).
    They are added to the built-in table; an exact code goes before a class. Default: the built-in table alone."""
    never_retry: Outcomes = ()
    """More outcomes that go to the caller as they are, because the number or the person called has answered. They are
    added to the built-in table (busy, declined and not found are in it); an exact code goes before a class.
    Default: the built-in table alone."""
    return_to_main: ReturnToMain = ReturnToMain()
    """How new calls come back."""


class TrunkFailover(Section):
    """Outcomes that mean something else on this trunk. Both keys are added to those of the section `failover`."""

    next_trunk_on: Outcomes = ()
    """More outcomes of this trunk that send a call to the next one, as in the section failover."""
    never_retry: Outcomes = ()
    """More outcomes of this trunk that go to the caller as they are, as in the section failover."""


class TrunkSettings(Section):
    """A carrier line."""

    name: Name
    """A short name of your own, used everywhere: letters, digits, dot, dash and underscore."""
    description: Text = ""
    """A remark for people. Default: none."""
    tier: Annotated[Whole, Field(ge=1, le=999)] = 0
    """The lowest number is tried first. Without it the order of the list counts, as it does
    among equal numbers. Give it to all trunks or to none. Default: the place in the list."""
    host: Host
    """The carrier's host name or IP address. Calls are accepted from its addresses."""
    port: Port | None = None
    """The carrier's port. Default: what DNS says (SRV), else 5060; writing a port turns SRV off."""
    transport: Transport = "udp"
    """udp or tcp. Default udp."""
    register_: Annotated[YesNo, Field(alias="register")] = False
    """Whether to register with the carrier; no means that it knows our IP address. Default: yes with a username, no
    without."""
    register_expires: Annotated[Seconds, Field(ge=60, le=86400)] = 300.0
    """For how long we ask to be registered, 1m to 1d; what the carrier grants counts. Default 5m."""
    domain: Host | None = None
    """The carrier's SIP domain, when it differs from the host that we send to: in the account's address and in the
    addresses of calls. Default: the host."""
    username: Text = ""
    """The account's name: in the address that we register, and for the password unless auth_username is given.
    Default: none."""
    auth_username: Text = ""
    """The name that goes with the password, when the carrier has another one for it. Default: the username."""
    realm: Text = ""
    """The only realm that gets the password. Default: whoever challenges us at the carrier's address."""
    password: Secret | None = None
    """The account's password; better ${NAME} or password_file than the password itself. Default: none."""
    password_file: Text = ""
    """A file that holds the password, for example /run/secrets/carrier. Relative to this file. Default: none."""
    channels: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    """How many calls the carrier lets you have at a time; further ones go to the next trunk. Default: no limit."""
    monitor: Monitor | None = None
    """Keys of the section monitor that are different for this trunk. Default: none."""
    failover: TrunkFailover = TrunkFailover()
    """Outcomes that mean something else on this trunk. Default: none."""

    @property
    def register(self) -> bool:
        """Whether the carrier wants to be registered with."""
        return self.register_

    @model_validator(mode="before")
    @classmethod
    def _register_with_a_username(cls, data: Any) -> Any:
        if isinstance(data, dict) and data.get("username") and "register" not in data:
            return data | {"register": True}
        return data


class Emergency(Section):
    """Calls that must get through."""

    numbers: Annotated[tuple[Dialled, ...], BeforeValidator(as_list)] = (
        "112", "117", "118", "143", "144", "145", "147", "1414", "1415",
    )  # fmt: skip
    """Numbers as they are dialled. Such a call ignores channel limits and tries every trunk, also one that is Down.
    Default: the Swiss ones."""


class Status(Section):
    """The status page and the metrics, over HTTP."""

    listen: OwnAddress = Address("127.0.0.1", 8080)
    """Address and port of the page, or off. It has no password of its own for reading: choose an address that only
    your own network reaches. Default 127.0.0.1:8080."""
    token: Secret | None = None
    """Who shows this token (Authorization: Bearer TOKEN) sees whole telephone numbers. Better ${NAME} or token_file.
    Default: nobody does."""
    token_file: Text = ""
    """A file that holds the token. Relative to this file. Default: none."""


class History(Section):
    """What happened, kept on disk: calls, checks, failovers."""

    file: Text | None = None
    """An SQLite file, made when missing. Relative to this file. Default: nothing is kept."""
    keep: Annotated[Seconds, Field(ge=3600, le=3660 * 86400)] = 400 * 86400.0
    """How long records are kept, 1h to ten years. Default 400d."""


class Log(Section):
    """The log, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = "info"
    """debug, info, warning or error. Default info."""
    format: Annotated[Literal["text", "json"], BeforeValidator(lower)] = "text"
    """text for people, json for a log collector: one object a line. Default text."""


PbxEntry = Annotated[Pbx, BeforeValidator(endpoint)]
ListenEntry = Annotated[Listen, BeforeValidator(endpoint)]


class Settings(Section):
    """Everything the file says."""

    site: Text = ""
    """The name of the place, on the page. Default: none."""
    pbx: Annotated[tuple[PbxEntry, ...], BeforeValidator(as_list), Field(min_length=1, max_length=MAX_PBXS)]
    """Your PBX: an address (192.168.10.5, pbx.lan:5070), or host, port and transport, or a list of these that is
    tried in order for calls from the carriers."""
    listen: Annotated[
        tuple[ListenEntry, ...], BeforeValidator(as_list), Field(min_length=1, max_length=MAX_LISTENERS)
    ] = (Listen(transport="udp", host="0.0.0.0"), Listen(transport="tcp", host="0.0.0.0"))
    """Where this machine speaks SIP: transport and address, for example "udp 192.168.10.6:5060".
    Default: udp and tcp on 0.0.0.0:5060."""
    public_address: PublicHost = ""
    """The address that carriers see, when this machine stands behind NAT or in a container with a bridge; it is
    written into Via and Contact towards trunks. Default: the machine's own address."""
    trunks: Annotated[tuple[TrunkSettings, ...], Field(min_length=1, max_length=MAX_TRUNKS)]
    """The carrier lines, the main one first."""
    monitor: Monitor = Monitor()
    """How trunks are watched."""
    failover: Failover = Failover()
    """When a call moves to the next trunk, and when it must not."""
    emergency: Emergency = Emergency()
    """Calls that must get through."""
    status: Status = Status()
    """The status page and the metrics."""
    history: History = History()
    """What happened, kept on disk."""
    log: Log = Log()
    """The log."""

    _warnings: tuple[Problem, ...] = PrivateAttr(default=())

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works but should be looked at, with file and line. `check` prints it, the start log repeats it."""
        return self._warnings

    def with_warnings(self, warnings: tuple[Problem, ...]) -> Self:
        """The same settings with these warnings."""
        copy = self.model_copy()
        copy._warnings = warnings
        return copy

    def monitor_for(self, trunk: TrunkSettings) -> Monitor:
        """How this trunk is watched: its own keys, else the section's."""
        own = trunk.monitor
        if own is None:
            return self.monitor
        return self.monitor.model_copy(update={key: getattr(own, key) for key in own.model_fields_set})

    @field_validator("pbx")
    @classmethod
    def _name_pbxs(cls, pbxs: tuple[Pbx, ...]) -> tuple[Pbx, ...]:
        return tuple(
            pbx if index == 0 or "name" in pbx.model_fields_set else pbx.model_copy(update={"name": f"pbx-{index + 1}"})
            for index, pbx in enumerate(pbxs)
        )

    @field_validator("trunks")
    @classmethod
    def _tier_by_place(cls, trunks: tuple[TrunkSettings, ...]) -> tuple[TrunkSettings, ...]:
        if any(trunk.tier for trunk in trunks):
            return trunks
        return tuple(trunk.model_copy(update={"tier": index + 1}) for index, trunk in enumerate(trunks))
