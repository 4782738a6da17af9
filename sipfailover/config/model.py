"""The settings: one class per section of the file, every key with its meaning, unit, default and when to change it.

The file's form is read by `load`; the words (durations, addresses, yes and no) by `words`; what spans several keys
is judged by `check`. A trunk's own section is in `trunk`. The docstring under a field is its help, in `sipfailover
schema` and in the documentation.
"""

import os
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, PrivateAttr, field_validator, model_validator

from sipfailover.config.hours import ReturnWhen, When
from sipfailover.config.notify import Notify
from sipfailover.config.section import Outcomes, Port, Secret, Section, Transport
from sipfailover.config.telephone import PhoneNumber
from sipfailover.config.tolls import TollFraud
from sipfailover.config.trunk import Monitor, NumberForm, TrunkSettings, TrunkTls
from sipfailover.config.words import (
    SIP_PORT,
    SIPS_PORT,
    Address,
    Dialled,
    Digits,
    Host,
    Name,
    Network,
    OneLine,
    OwnAddress,
    PublicHost,
    Seconds,
    Text,
    as_list,
    endpoint,
    lower,
)
from sipfailover.errors import Problem
from sipfailover.profiles import Applied

MAX_TRUNKS = 64
MAX_PBXS = 16
MAX_LISTENERS = 32
MAX_NOTIFY = 16


class Pbx(Section):
    """A PBX: calls that come from its address go out over the trunks, calls from the trunks go to it."""

    name: Name = "pbx"
    """How the PBX is called on the page and in the log. Default: pbx, and pbx-2, pbx-3, … for further ones."""
    host: Host | None = None
    """Its IP address, or a name that resolves to it. Calls are accepted from these addresses. Needed, except for a PBX
    or telephone that registers with us."""
    port: Port | None = None
    """The port to which we send. Default 5060, with tls 5061."""
    transport: Transport = "udp"
    """udp, tcp or tls, for calls that we send to the PBX; from it, all are taken. Default udp."""
    tls: TrunkTls = TrunkTls()
    """Certificates, with transport: tls."""
    networks: Annotated[tuple[Network, ...], BeforeValidator(as_list)] = ()
    """More addresses and networks that are this PBX, as in 192.168.10.0/28. Default: none."""
    username: OneLine = ""
    """With this name and the password the PBX registers with us, and calls reach it where it registered from. A PBX
    that was made for the carrier keeps the name that the carrier gave it. Default: none, it does not register."""
    password: Secret | None = None
    """The password that goes with it; better ${NAME} or password_file. Default: none."""
    password_file: Text = ""
    """A file that holds the password. Relative to this file. Default: none."""
    register_expires: Annotated[Seconds, Field(ge=60, le=86400)] = 600.0
    """The longest time for which it is registered until it has to come again, 1m to 1d. Default 10m."""
    called_number_in: Annotated[Literal["to", "uri"], BeforeValidator(lower)] = "to"
    """Where it reads which of your numbers was called, if it registers: to, as carriers do it (the To header; the call
    is addressed by the Contact that it registered), or uri (the number stands in that Contact instead of the name).
    Default to; a PBX that is called at its host has the number in both."""
    digest: Annotated[Literal["both", "md5"], BeforeValidator(lower)] = "both"
    """How it may prove its password when it registers: both (SHA-256, or MD5 if it has not that) or md5, for old
    telephones that give up where they are offered anything else. Default both; one that does not answer is offered MD5
    alone the next time it comes, so that such a telephone registers too, half a minute late.
    """
    number_format: NumberForm = "keep"
    """How numbers are written towards this PBX in calls that come in: e164 (+41443210000), plain (41443210000),
    international (0041443210000), national (0443210000) or keep (as the carrier wrote them). Default keep."""

    @property
    def registers(self) -> bool:
        """Whether it registers with us."""
        return bool(self.username)

    @property
    def port_used(self) -> int:
        """The port to which we send."""
        return self.port or (SIPS_PORT if self.transport == "tls" else SIP_PORT)

    def __str__(self) -> str:
        where = f"{self.transport} {Address(self.host, self.port_used)}" if self.host else ""
        registers = f"registers as {self.username}" if self.registers else ""
        return ", ".join(part for part in (where, registers) if part)


class Listen(Section):
    """One address and port on which we speak SIP."""

    transport: Transport = "udp"
    """udp, tcp or tls."""
    host: Host
    """An IP address of this machine; 0.0.0.0 or [::] for all of them."""
    port: Port = SIP_PORT
    """Default 5060, with tls 5061."""

    @model_validator(mode="before")
    @classmethod
    def _port_of_the_transport(cls, data: Any) -> Any:
        if isinstance(data, dict) and "port" not in data and lower(data.get("transport")) == "tls":
            return data | {"port": SIPS_PORT}
        return data

    def __str__(self) -> str:
        return f"{self.transport} {Address(self.host, self.port)}"


class ReturnToMain(Section):
    """How new calls come back to a better trunk after it failed."""

    when: ReturnWhen = When("automatic")
    """automatic: as soon as the trunk has been stable. Hours, as in 02:00-05:00 of the local day (the end may be on the
    next one): only then, when few calls would meet a fault that is not over. manual: only when an operator says so.
    Meanwhile calls go over the others, and over this one too if all are Down. Default automatic."""
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
    clocks: Annotated[Literal["measured", "fixed"], BeforeValidator(lower)] = "measured"
    """measured: no_answer_within and no_ringing_within are upper bounds, and less is waited where a trunk is usually
    quicker. fixed: they are used as they are, here and in the sections emergency and inbound, and nothing is learned;
    callers then wait longer when a trunk fails. For comparisons, and for those who must know the number beforehand.
    Default measured."""
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
    hedge: bool = False
    """A call that meets a trunk in doubt (Suspect), and silence there for longer than 95 % of the calls before it, also
    goes to the next trunk at once; the first to ring has it, and the other is cancelled. So it rings up to several
    seconds sooner where a trunk fails in the worst way. It costs that for a moment two carriers have the call: a
    channel at both, now and then a call that is shown as missed, and in rare cases two telephones that ring. Never
    once it rings. Default no."""
    return_to_main: ReturnToMain = ReturnToMain()
    """How new calls come back."""


class Emergency(Section):
    """Calls that must get through."""

    numbers: Annotated[tuple[Dialled, ...], BeforeValidator(as_list)] = (
        "112", "117", "118", "142", "143", "144", "145", "147",
    )  # fmt: skip
    """Numbers as they are dialled; they are also known behind the prefix of the outside line or of national numbers and
    behind the country code (0112, +41112), and go out bare. Such a call ignores channel limits and orders, never hides
    the caller's number, has clocks of its own, and tries every trunk, also one that is Down. Default: the Swiss
    ones."""
    first: Annotated[tuple[Name, ...], BeforeValidator(as_list)] = ()
    """Names of trunks that emergency calls try first, in this order: those that know where you are (the carrier has
    your address for the number that is shown). The others follow in their usual order. Default: the usual order."""
    no_answer_within: Annotated[Seconds, Field(ge=0.2, le=32)] = 2.0
    """As in the section failover, for emergency calls. Default 2s."""
    no_ringing_within: Annotated[Seconds, Field(ge=0.5, le=120)] = 8.0
    """As in the section failover, for emergency calls. Default 8s."""


class Numbering(Section):
    """How numbers are written where you are. Needed only where a trunk or PBX has a number format."""

    country_code: Annotated[Digits, Field(max_length=3)] = "41"
    """Of the country where you are, without plus and zeros. Default 41, Switzerland."""
    national_prefix: Annotated[Digits, Field(max_length=4)] = "0"
    """What stands before a number in the same country; empty in countries that have none. Default 0."""
    international_prefix: Annotated[Digits, Field(max_length=5)] = "00"
    """What stands before the country code of a number abroad. Default 00."""
    outside_line: Annotated[Digits, Field(max_length=3)] = ""
    """What people dial to get out of the house, if the PBX does not take it away. On trunks that have a number format
    it is taken from the number called, also where that number could be read without it. Default: nothing."""


class Inbound(Section):
    """Calls that come in while no PBX answers."""

    overflow: PhoneNumber | None = None
    """A number, for example of a mobile telephone, to which calls then go over a trunk. Default: they are refused with
    503, at once where it is known, so that the carrier's own forwarding acts."""
    no_answer_within: Annotated[Seconds, Field(ge=0.2, le=32)] = 1.5
    """No reply at all from a PBX to a call within this time: the next PBX, or the end. Default 1500ms."""


class Tls(Section):
    """Our own certificate, for listeners with tls."""

    certificate_file: Text = ""
    """Our certificate with its chain (PEM). Read again when it changes. Relative to this file. Default: none."""
    key_file: Text = ""
    """The private key that belongs to it (PEM, without a password). Default: it is in certificate_file."""
    client_ca_file: Text = ""
    """A PEM file with the authorities whose certificates PBXs and carriers must show to connect. Default: none is asked
    for."""


class Status(Section):
    """The status page and the metrics, over HTTP."""

    listen: OwnAddress = Address("127.0.0.1", 8080)
    """Address and port of the page, or off. It has no password of its own for reading: choose an address that only
    your own network reaches. Default 127.0.0.1:8080."""
    token: Secret | None = None
    """Who shows this token (Authorization: Bearer TOKEN) sees whole telephone numbers, and may reload, drain and order
    trunks. Better ${NAME} or token_file. Default: nobody does."""
    token_file: Text = ""
    """A file that holds the token. Relative to this file. Default: none."""


class History(Section):
    """What happened, kept on disk: calls, checks, failovers."""

    file: Text | None = None
    """An SQLite file, made when missing. Relative to this file. Default: nothing is kept."""
    keep: Annotated[Seconds, Field(ge=3600, le=3660 * 86400)] = 400 * 86400.0
    """How long records are kept, 1h to ten years. Default 400d."""
    calls_file: Text | None = None
    """A file for the calls in progress, so that they go on after a restart or a crash; on a local disk. Relative to
    this file. Default: calls.journal beside file; without file, calls do not outlive the service."""

    @property
    def calls_file_used(self) -> str | None:
        """Where calls in progress are kept; None: nowhere."""
        return self.calls_file or self._beside("calls.journal")

    @property
    def messages_file_used(self) -> str | None:
        """Where messages wait that could not be delivered yet; None: they do not outlive a restart."""
        return self._beside("messages.json")

    def _beside(self, name: str) -> str | None:
        return os.path.join(os.path.dirname(self.file), name) if self.file else None


class Log(Section):
    """The log, on standard error."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(lower)] = "info"
    """debug, info, warning or error. Default info."""
    format: Annotated[Literal["text", "json"], BeforeValidator(lower)] = "text"
    """text for people, json for a log collector: one object a line. Default text."""
    numbers: Annotated[Literal["masked", "whole"], BeforeValidator(lower)] = "masked"
    """Telephone numbers of callers and called: masked (+4144321****) or whole. A log goes to more places than the
    history, which has them whole. level: debug shows parts of messages as they are. Default masked."""


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
    """Where this machine speaks SIP: transport and address, for example "udp 192.168.10.6:5060" or
    "tls 192.168.10.6:5061".
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
    numbering: Numbering = Numbering()
    """How numbers are written where you are."""
    inbound: Inbound = Inbound()
    """Calls that come in while no PBX answers."""
    toll_fraud: TollFraud = TollFraud()
    """Where calls may go, and how many."""
    tls: Tls = Tls()
    """Our own certificate."""
    drain_within: Annotated[Seconds, Field(ge=0, le=3600)] = 30.0
    """After SIGTERM, or when it is drained: how long calls that are being set up may take, and where calls in progress
    would not outlive the service (history.calls_file), those too. 0 to 1h. Whatever stops the service has to wait a
    little longer. Default 30s."""
    status: Status = Status()
    """The status page and the metrics."""
    history: History = History()
    """What happened, kept on disk."""
    notify: Annotated[tuple[Notify, ...], BeforeValidator(as_list), Field(max_length=MAX_NOTIFY)] = ()
    """Who is told by mail or webhook when something is wrong, and when it is over. Default: nobody."""
    log: Log = Log()
    """The log."""

    _warnings: tuple[Problem, ...] = PrivateAttr(default=())
    _profiles: dict[str, Applied] = PrivateAttr(default_factory=dict)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What works but should be looked at, with file and line. `check` prints it, the start log repeats it."""
        return self._warnings

    def with_warnings(self, warnings: tuple[Problem, ...]) -> Self:
        """The same settings with these warnings."""
        copy = self.model_copy()
        copy._warnings = warnings
        return copy

    @property
    def profiles(self) -> dict[str, Applied]:
        """What came from carrier profiles: name of the trunk → profile, with those of its settings that are in effect.
        The values themselves already stand in the trunk."""
        return self._profiles

    def with_profiles(self, profiles: dict[str, Applied]) -> Self:
        """The same settings, knowing what came from profiles."""
        copy = self.model_copy()
        copy._profiles = profiles
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
