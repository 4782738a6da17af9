"""How calls look on one trunk: what its settings say about numbers and callers, made ready for calls. Pure.

Both directions are here as functions of one number or one address: who is called, who is shown, and what the house is
told of a call that comes in. Which headers a call gets is `identity`'s and `diversion`'s business.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from sipfailover.config import Ddi, Numbers, Settings, TrunkSettings
from sipfailover.trunk.numbers import (
    DIALABLE,
    E164,
    KEEP,
    PLAIN,
    SHORT_MAX,
    NumberPlan,
    PrefixRule,
    bare_emergency,
    digits_of,
    emergency_spellings,
    form_of,
    number_plan,
    prefix_rules,
    replace_prefix,
    understand,
    without_outside_line,
    write,
)
from sipfailover.wire.fields import param
from sipfailover.wire.names import COMPACT
from sipfailover.wire.uri import scheme, user, user_params, with_host, with_number, with_user_phone

PAI, PPI, RPID = b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id"
IDENTITY_HEADERS = {"pai": PAI, "ppi": PPI, "rpid": RPID}
IDENTITY = frozenset(IDENTITY_HEADERS.values())
CHANGES = (
    "called", "caller", "identity", "called_prefixes", "caller_prefixes", "caller_id", "allowed", "ddi", "account",
    "headers", "display_name", "hidden", "number_when_hidden", "diversion", "user_phone", "added", "removed",
)  # fmt: skip
"""What changes calls to a trunk, if it is not as a trunk has it that nothing was written for."""


@dataclass(frozen=True, slots=True)
class Presentation:
    """One trunk's settings about numbers and callers. The defaults say: everything as it comes."""

    host: bytes
    """Host of Request-URI and To; also of callers whose own address has none (tel URIs)."""
    domain: bytes = b""
    """Where callers live, as this carrier sees them: the account's domain, or `domain`; b"": where the PBX says."""
    plan: NumberPlan = field(default_factory=NumberPlan)
    called: str = KEEP
    caller: str = KEEP
    identity: str = KEEP
    inbound: str = KEEP
    called_prefixes: tuple[PrefixRule, ...] = ()
    caller_prefixes: tuple[PrefixRule, ...] = ()
    caller_id: bytes = b""
    """`+41…`, b"" for none."""
    allowed: tuple[Numbers, ...] = ()
    ddi: tuple[Ddi, ...] = ()
    account: bytes = b""
    """The user in From, where it is not the caller's number."""
    headers: tuple[bytes, ...] | None = None
    """Names of the identity headers to write; None: those that the PBX wrote."""
    display_name: bool = True
    hidden: str = KEEP
    number_when_hidden: bool = True
    diversion: str = KEEP
    user_phone: bool | None = None
    added: tuple[bytes, ...] = ()
    """Whole lines."""
    removed: frozenset[bytes] = frozenset()
    """Names in lower case."""
    emergency: Mapping[bytes, bytes] = field(default_factory=dict)
    """Every spelling of an emergency number → the number as it goes out."""
    idle: bool = True
    """Nothing here changes a call that is no emergency, `domain` apart."""

    @property
    def kept_out(self) -> frozenset[bytes]:
        """Headers of the PBX that this carrier gets inside a call neither: only the INVITE that begins it is written
        anew, and a re-INVITE must not tell what that one kept back."""
        return self.removed if self.headers is None else self.removed | IDENTITY

    # -- calls to the carrier -----------------------------------------------------------------------------------------

    def called_uri(self, uri: bytes, *, plain: bool, dialled: bool) -> bytes:
        """Who is called, as this carrier wants it written; the host is the caller's business. Other schemes than sip,
        sips and tel stay.

        plain: the calling side writes 41443210000. dialled: it is a PBX, so that the outside line's prefix may stand
        there; and an emergency number is bare, whatever stood before or behind it.
        """
        who = user(uri)
        if not who:
            return uri
        if dialled:
            bare = bare_emergency(who, self.emergency)
            if bare is not None:
                return with_number(uri, bare, alone=True)
        text = replace_prefix(who, self.called_prefixes)
        if self.called != KEEP:
            number = self._understood(text, uri, plain, dialled)
            if number is not None:
                text = write(number, self.called, self.plan)
            elif dialled:
                text = without_outside_line(text, self.plan)
        return with_number(uri, text) if text != who else uri

    def shown(self, uri: bytes, form: str, *, plain: bool, fallback: bool = False, asked: bool = True) -> bytes:
        """The user that is shown instead of the one in this address of a caller.

        A number of the house becomes the carrier's (`ddi`); one that may not be shown becomes `caller_id`, as each does
        with `fallback`, and so does a user name where only some numbers may be shown. asked: False where it is no
        question what may be shown, as with the number that a call was forwarded from.
        """
        text = user(uri)
        if fallback and asked and self.caller_id:
            understood = self._understood(text, uri, plain, False)
            return self._in_form(self.caller_id, form, text, understood)
        changed = replace_prefix(text, self.caller_prefixes)
        understood = self._understood(changed, uri, plain, False)
        number = self._ours_at_the_carrier(understood)
        if asked and self.allowed and self.caller_id and not self._may_show(number):
            number = self.caller_id
        if number is None or (form == KEEP and number == understood):
            return changed
        return self._in_form(number, form, changed, understood)

    def with_phone(self, uri: bytes) -> bytes:
        """A sip address with or without `;user=phone`, as this carrier wants it where a number stands."""
        wanted = self.user_phone
        return uri if wanted is None or not is_dialable(user(uri)) else with_user_phone(uri, wanted)

    def _understood(self, text: bytes, uri: bytes, plain: bool, dialled: bool) -> bytes | None:
        """The international number. One whose context is another country's plan is not ours to read."""
        context = param(user_params(uri), b"phone-context") if b";" in uri else None
        if context is not None and context[:1] == b"+" and not context[1:].startswith(self.plan.country_code):
            return None
        return understand(text, self.plan, plain=plain, dialled=dialled)

    def _in_form(self, number: bytes, form: str, text: bytes, meant: bytes | None) -> bytes:
        """A number in a form; `keep` is how `text` was written that stood there, if it `meant` a number."""
        if form == KEEP:
            form = E164 if meant is None else form_of(text, meant, self.plan)
        return write(number, form, self.plan)

    def _may_show(self, number: bytes | None) -> bool:
        return number is not None and any(one.first <= int(number) <= one.last for one in self.allowed)

    def _ours_at_the_carrier(self, number: bytes | None) -> bytes | None:
        """`ddi` on the way out."""
        if number is None or not self.ddi:
            return number
        value = int(number)
        for carrier, house in self.ddi:
            if house.first <= value <= house.last:
                return b"+%d" % (carrier.first + value - house.first)
        return number

    # -- calls from the carrier ---------------------------------------------------------------------------------------

    def called_in_the_house(self, uri: bytes, form: str) -> bytes:
        """Who is called by this carrier, as the house knows the number, in the form of its PBX."""
        number = self._received(uri)
        return self._told(uri, self._ours_in_the_house(number), number, form)

    def caller_in_the_house(self, uri: bytes, form: str) -> bytes:
        """Who calls over this carrier, in the form of the PBX."""
        if form == KEEP:
            return uri
        number = self._received(uri)
        return self._told(uri, number, number, form)

    def _received(self, uri: bytes) -> bytes | None:
        return self._understood(user(uri), uri, self.inbound == PLAIN, False)

    def _told(self, uri: bytes, number: bytes | None, received: bytes | None, form: str) -> bytes:
        if number is None or (form == KEEP and number == received):
            return uri
        text = user(uri)
        told = self._in_form(number, form, text, received)
        return uri if told == text else with_number(uri, told)

    def _ours_in_the_house(self, number: bytes | None) -> bytes | None:
        """`ddi` on the way in."""
        if number is None or not self.ddi:
            return number
        value = int(number)
        for carrier, house in self.ddi:
            if carrier.first <= value <= carrier.last:
                return b"+%d" % (house.first + value - carrier.first)
        return number


def presentation(section: TrunkSettings, settings: Settings, host: bytes) -> Presentation:
    """What the settings say of one trunk. `host`: of its Request-URIs."""
    identity = section.identity
    called = section.called_format or section.number_format
    caller = section.caller_format or section.number_format
    written = section.identity_format or caller
    plan = number_plan(settings.numbering)
    made = Presentation(
        host=host,
        domain=host if section.username or section.domain else b"",
        plan=plan,
        called=called,
        caller=caller,
        identity=written,
        inbound=section.inbound_format or section.number_format,
        called_prefixes=prefix_rules(section.called_prefixes),
        caller_prefixes=prefix_rules(section.caller_prefixes),
        caller_id=(section.caller_id or "").encode(),
        allowed=section.allowed_caller_ids,
        ddi=section.ddi,
        account=section.username.encode() if identity.from_user == "account" else b"",
        headers=None if identity.headers is None else tuple(IDENTITY_HEADERS[name] for name in identity.headers),
        display_name=identity.display_name == KEEP,
        hidden=identity.hidden,
        number_when_hidden=identity.number_when_hidden,
        diversion=identity.diversion,
        user_phone=identity.user_phone,
        added=tuple(line.encode() for line in section.add_headers),
        removed=frozenset(COMPACT.get(name, name) for name in (n.lower().encode() for n in section.remove_headers)),
        emergency=emergency_spellings(settings.emergency.numbers, plan),
    )
    nothing = Presentation(host)
    return replace(made, idle=all(getattr(made, key) == getattr(nothing, key) for key in CHANGES))


def is_dialable(text: bytes) -> bool:
    """Whether a user part is something that can be dialled, as opposed to a name."""
    digits = digits_of(text)
    return bool(digits) and not digits.lstrip(b"+").translate(None, DIALABLE)


def is_short(text: bytes) -> bool:
    """Whether a user part is too short to be somebody's number outside of the house."""
    return len(digits_of(text)) <= SHORT_MAX


def at_host(uri: bytes, host: bytes) -> bytes:
    """A tel URI as a sip URI at this host (RFC 3261 §19.1.6), others as they are."""
    return with_host(uri, host) if scheme(uri) == b"tel" else uri
