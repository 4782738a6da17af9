"""The settings of one trunk: where the carrier is, the account there, and how calls look on this trunk."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from sipfailover.config.section import Outcomes, Port, Secret, Section, Transport
from sipfailover.config.telephone import DdiMap, PhoneNumber, PhoneNumbers, PrefixRule
from sipfailover.config.words import (
    DURATION_OR_OFF_SCHEMA,
    Header,
    HeaderName,
    Host,
    Name,
    Network,
    OneLine,
    Reference,
    Seconds,
    Text,
    Whole,
    YesNo,
    as_list,
    duration_or_off,
    lower,
)

NumberForm = Annotated[Literal["keep", "e164", "plain", "international", "national"], BeforeValidator(lower)]
IdentityHeader = Annotated[Literal["pai", "ppi", "rpid"], BeforeValidator(lower)]
REFERENCES_MAX = 4
"""Places beside the carriers that are asked."""

OptionsEvery = Annotated[
    Annotated[float, Field(ge=0.1, le=3600)] | None,
    BeforeValidator(duration_or_off),
    WithJsonSchema(DURATION_OR_OFF_SCHEMA),
]


class Monitor(Section):
    """How a trunk is watched. Under a trunk, the keys written there apply to that trunk only."""

    options_every: OptionsEvery = 10.0
    """Time between two SIP OPTIONS to a healthy trunk, 100ms to 1h. Shorter finds failures sooner between calls and
    costs the carrier more; ask the carrier before going under 10s. off: none is ever sent, for carriers that forbid
    them. The trunk is then judged by its calls and its registration alone: a failure is found by the first calls that
    meet it, and the way back begins with single calls once it was quiet for stable_for. A PBX is asked all the same,
    every 5s. Default 10s."""
    timeout: Annotated[Seconds, Field(ge=0.05, le=32)] = 2.0
    """How long one OPTIONS may stay without an answer before it counts as failed, 50ms to 32s. Default 2s."""
    down_after: Annotated[Whole, Field(ge=1, le=100)] = 3
    """Failed checks in a row until the trunk is Down: OPTIONS at their interval (in doubt, one a second), and calls
    without any reply. Silence that confirm_quickly has confirmed is not counted but believed at once. Default 3."""
    up_after: Annotated[Whole, Field(ge=1, le=100)] = 3
    """Good checks in a row until a trunk that was Down is Up. Default 3."""
    count_real_calls: YesNo = True
    """Whether calls count as checks too: one that gets no reply asks for probes at once. Default yes."""
    confirm_quickly: YesNo = True
    """Whether something that had no reply is followed by five OPTIONS within a second: if none of them has an answer,
    the trunk is Down, two seconds after it fell silent and whatever down_after says; one answer clears it. While a
    trunk is Up, an OPTIONS then has no longer than a call would have, which is less than the timeout. no: only
    down_after counts, which is slower by seconds; for carriers that mind five OPTIONS in a second. Default yes."""
    dropped_within: Annotated[Seconds, Field(ge=0, le=60)] = 8.0
    """An answered call that the carrier's side ends within this time may have been cut off: one means nothing, but
    several numbers one after the other do, more of them where short calls are usual. 0 does not look at it. Default
    8s."""
    reference: Annotated[tuple[Reference, ...], BeforeValidator(as_list), Field(max_length=REFERENCES_MAX)] = ()
    """Up to four places that are no carrier's, as IP address and port (192.0.2.53:53), which show whether our own line
    is up: when trunks are silent, and once a minute, a TCP connection is opened to each and closed again; accepted or
    refused, it is there. If one is there while all trunks are silent, it is the carriers; if they are silent too, it is
    us, and no trunk is blamed. Worth most with a single trunk, which has no other to compare with. Choose places that
    are up whenever the internet is, beyond your own router. For all trunks together. Default: none, so trunks are
    compared with each other."""


class TrunkFailover(Section):
    """Outcomes that mean something else on this trunk. Both keys are added to those of the section `failover`."""

    next_trunk_on: Outcomes = ()
    """More outcomes of this trunk that send a call to the next one, as in the section failover."""
    never_retry: Outcomes = ()
    """More outcomes of this trunk that go to the caller as they are, as in the section failover."""


class TrunkTls(Section):
    """How a carrier or PBX proves who it is, and we to it. Only with `transport: tls`."""

    ca_file: Text = ""
    """A PEM file with the certificates of the authorities that we believe about this carrier or PBX, for example its
    own. Relative to this file. Default: those of the system."""
    server_name: Host | None = None
    """The name that its certificate must have, when it is neither `domain` nor `host`. Default: one of these. The name
    to which DNS leads from there proves nothing."""
    certificate_file: Text = ""
    """Our own certificate with its chain (PEM), where the other side asks for one. Default: none is shown."""
    key_file: Text = ""
    """The private key that belongs to it (PEM, without a password). Default: it is in certificate_file."""


class Identity(Section):
    """How the caller is told to this carrier."""

    from_user: Annotated[Literal["caller", "account"], BeforeValidator(lower)] = "caller"
    """What stands in From: the caller's number, or the account's username, where the carrier wants that and takes the
    number from an identity header. Default caller."""
    headers: Annotated[tuple[IdentityHeader, ...], BeforeValidator(as_list)] | None = None
    """The headers that tell the caller's number to the carrier: pai (P-Asserted-Identity), ppi
    (P-Preferred-Identity), rpid (Remote-Party-ID); [] for none. The number is the one that the PBX wrote in these, else
    in From. Default: those that the PBX wrote, as it wrote them."""
    display_name: Annotated[Literal["keep", "drop"], BeforeValidator(lower)] = "keep"
    """Whether the caller's name goes to the carrier. Default keep."""
    hidden: Annotated[Literal["keep", "id", "anonymous", "both"], BeforeValidator(lower)] = "keep"
    """How a caller who hides the number is told: id (Privacy: id, the number in From), anonymous (From is
    anonymous@anonymous.invalid, the number in the identity headers, no Privacy), both. Default: as the PBX wrote it,
    and Privacy: id where nothing of that would be left."""
    number_when_hidden: YesNo = True
    """Whether this carrier gets the number of a caller who hides it, in an identity header, so that it can bill and
    trace the call; it does not pass it on. Default yes."""
    diversion: Annotated[Literal["keep", "drop", "diversion", "history-info"], BeforeValidator(lower)] = "keep"
    """What tells that a call was forwarded: keep as the PBX wrote it, drop it, or write it as Diversion or as
    History-Info whichever of the two the PBX wrote. Default keep."""
    user_phone: YesNo | None = None
    """Whether `;user=phone` stands behind numbers. Default: as it came; a tel: number that becomes a SIP address gets
    it."""


class TrunkSettings(Section):
    """A carrier line."""

    name: Name
    """A short name of your own, used everywhere: letters, digits, dot, dash and underscore."""
    profile: Text = ""
    """What is known of this carrier, as a start: `sipfailover profiles` lists them, `profiles show NAME` says what they
    set. Every key that is written here goes before the profile's. Default: none."""
    description: Text = ""
    """A remark for people. Default: none."""
    tier: Annotated[Whole, Field(ge=1, le=999)] = 0
    """The lowest number is tried first. Without it the order of the list counts, as it does
    among equal numbers. Give it to all trunks or to none. Default: the place in the list."""
    host: Host
    """The carrier's host name or IP address. Calls are accepted from its addresses."""
    port: Port | None = None
    """The carrier's port. Default: what DNS says (NAPTR, SRV), else 5060, with tls 5061; writing it turns that off."""
    transport: Transport = "udp"
    """udp, tcp or tls. Default udp."""
    tls: TrunkTls = TrunkTls()
    """Certificates, with transport: tls."""
    networks: Annotated[tuple[Network, ...], BeforeValidator(as_list)] = ()
    """More addresses and networks from which this carrier sends calls, as in 198.51.100.0/24. Default: none."""
    register_: Annotated[YesNo, Field(alias="register")] = False
    """Whether to register with the carrier; no means that it knows our IP address. Default: yes with a username, no
    without."""
    register_expires: Annotated[Seconds, Field(ge=60, le=86400)] = 300.0
    """For how long we ask to be registered, 1m to 1d; what the carrier grants counts. Default 5m."""
    keep_alive_every: Annotated[Seconds, Field(ge=0, le=3600)] | None = None
    """Time between two empty packets that keep a NAT or firewall open on the way to the carrier, 0 for none. Default:
    25s over udp and 90s over tcp and tls while registered."""
    clear_old_registrations: YesNo = False
    """Whether to remove, at the start, whatever is registered on this account (`Contact: *`): for carriers that go on
    calling places that are gone. It also throws out other devices on the account. Later on only our own former
    addresses are removed, when the carrier lists one. Default no."""
    unregister_at_stop: YesNo = False
    """Whether to give the registration up when the service ends. Default no: calls that come in during a restart
    then wait for it, and the carrier's own forwarding does not act. Write yes where it should."""
    domain: Host | None = None
    """The carrier's SIP domain, when it differs from the host that we send to: in the account's address and in the
    addresses of calls. Default: the host."""
    username: OneLine = ""
    """The account's name: in the address that we register, and for the password unless auth_username is given.
    Default: none."""
    auth_username: OneLine = ""
    """The name that goes with the password, when the carrier has another one for it. Default: the username."""
    realm: OneLine = ""
    """The only realm that gets the password. Default: whoever challenges us at the carrier's address."""
    password: Secret | None = None
    """The account's password; better ${NAME} or password_file than the password itself. Default: none."""
    password_file: Text = ""
    """A file that holds the password, for example /run/secrets/carrier. Relative to this file. Default: none."""
    channels: Annotated[Whole, Field(ge=1, le=100_000)] | None = None
    """How many calls the carrier lets you have at a time; further ones go to the next trunk. Default: no limit."""
    number_format: NumberForm = "keep"
    """How numbers are written on this trunk: e164 (+41443210000), plain (41443210000), international
    (0041443210000), national (0443210000, abroad 00…) or keep (as they come). A number that is not understood, short
    and star codes, and emergency numbers are never changed. Default keep."""
    called_format: NumberForm | None = None
    """The same for the number called only. Default: number_format."""
    caller_format: NumberForm | None = None
    """The same for the caller's number in From only. Default: number_format."""
    identity_format: NumberForm | None = None
    """The same for the identity headers only. Default: caller_format."""
    inbound_format: NumberForm | None = None
    """How the carrier writes the numbers of calls that come in, where that is not number_format. Default:
    number_format."""
    called_prefixes: Annotated[tuple[PrefixRule, ...], BeforeValidator(as_list)] = ()
    """What the called number begins with and what it becomes, before its form is changed, as in "00 -> +" or
    "9 ->"; the first that fits is taken. Default: none."""
    caller_prefixes: Annotated[tuple[PrefixRule, ...], BeforeValidator(as_list)] = ()
    """The same for the caller's number. Default: none."""
    caller_id: PhoneNumber | None = None
    """A number of yours at this carrier: shown when the caller's own may not be, and once more after the carrier has
    refused a call because of the caller's number (403). Default: none; the call goes to the next trunk."""
    allowed_caller_ids: Annotated[tuple[PhoneNumbers, ...], BeforeValidator(as_list)] = ()
    """The numbers, single or ranges (+41443210000-19), that this carrier lets you show. Others are replaced by
    caller_id. Default: all."""
    ddi: DdiMap = ()
    """Numbers of this carrier and the numbers of the house that they stand for, as in +41315550000-9: +41443210000-9.
    Calls that come in to the first ring at the second; calls that go out from the second show the first. Default:
    none."""
    identity: Identity = Identity()
    """How the caller is told to this carrier."""
    add_headers: Annotated[tuple[Header, ...], BeforeValidator(as_list)] = ()
    """Header lines that calls to this carrier get, as in "X-Customer: 4711". Default: none."""
    remove_headers: Annotated[tuple[HeaderName, ...], BeforeValidator(as_list)] = ()
    """Names of headers that the PBX wrote and that do not go to this carrier. Default: none."""
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
