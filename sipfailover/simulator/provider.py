"""A carrier that knows its customer: registrar, digest (RFC 3261 §22, MD5 with qop=auth), calls that have a fate, and
failures as a scenario wants them.

What each kind of failure does to one call stands in TREATMENTS; what it does to the rest of the carrier, in
`Provider.afflict`. The path to it is the world's.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace

from sipfailover.chance import Chance
from sipfailover.simulator.calls import Call, Fate, Offer
from sipfailover.simulator.carrier import Carrier, Mode
from sipfailover.simulator.kinds import KINDS
from sipfailover.simulator.leg import Leg, Manners
from sipfailover.simulator.rules import MARK
from sipfailover.simulator.scenario import Fault
from sipfailover.simulator.text import Peer, Sip, address, param

SLOW = 8.0
"""Seconds by which "slow set-up" is late where the scenario says nothing else."""
REGISTERED_MAX = 3600.0
"""Seconds: the longest registration that is granted."""
NONCES_MAX = 2000
REFUSED = frozenset({"503", "503 with retry-after"})
UNASKED = frozenset({"options silent", "all options silent"})


@dataclass(frozen=True, slots=True)
class Account:
    """What the customer must prove. `password` is that of the configuration under rehearsal, never shown."""

    username: str
    password: str
    realm: str
    registers: bool


Treatment = Callable[[Fate, Fault, Chance], Manners | None]


def _refused(_fate: Fate, fault: Fault, chance: Chance) -> Manners:
    status = fault.status[int(chance.dice() * len(fault.status))]
    return Manners(ringing=None, final=0.05 + 0.5 * chance.dice(), status=status)


def _late(fate: Fate, fault: Fault, chance: Chance) -> Manners:
    plain = fate.manners()
    wait = SLOW if fault.delay is None else fault.delay
    later = None if plain.final is None else plain.final + wait
    return replace(plain, ringing=None if plain.ringing is None else plain.ringing + wait, final=later)


def _dropped(fate: Fate, _fault: Fault, chance: Chance) -> Manners:
    return replace(fate.manners(), talk=2.0 + 6.0 * chance.dice())


def deaf(chance: Chance) -> float:
    """Seconds until somebody who hears nothing hangs up."""
    return 4.0 + 6.0 * chance.dice()


TREATMENTS: dict[str, Treatment] = {
    "setup fails": _refused,
    "one destination": _refused,
    "options only": lambda fate, fault, chance: None,
    "trying only": lambda fate, fault, chance: Manners(ringing=None, final=None),
    "rings then fails": lambda fate, fault, chance: Manners(
        ringing=fate.dialled, final=fate.dialled + 1.0 + 2.0 * chance.dice(), status=500
    ),
    "no ringing": lambda fate, fault, chance: replace(fate.manners(), ringing=None),
    "slow set-up": _late,
    "drops after seconds": _dropped,
    "one way": lambda fate, fault, chance: replace(fate.manners(), talk=None if fate.caller_ends else deaf(chance)),
}
"""Kind of failure → how the carrier treats the call, None for silence. A status is a kind too."""


class Provider(Carrier):
    """See the module. `calls`: mark → call, of the whole scenario; `numbers`: those that "one destination" breaks."""

    def __init__(
        self, name: str, at: Peer, chance: Chance, *, calls: dict[bytes, Call], account: Account | None
    ) -> None:
        super().__init__(name, at, chance)
        self.calls = calls
        self.account = account
        self.contact = b""
        """Where the customer is registered."""
        self.expires_at = 0.0
        self.faults: list[Fault] = []
        """Those that are on now."""
        self.broken_numbers: list[tuple[Fault, frozenset[str]]] = []
        self._holding: set[str] = set()
        self._nonces: dict[bytes, float] = {}
        self._talks: dict[int, float] = {}

    # -- what is wrong with it ----------------------------------------------------------------------------------------

    def afflict(self, faults: list[Fault], now: float) -> None:
        """From now on these are on, and no others."""
        self.faults = faults
        self._holding = {word for fault in faults for word in fault.other_kinds}
        killed = "killed" in self._holding
        if killed and self.mode is not Mode.DEAD:
            self._forget_everything(now)
        self.become(Mode.DEAD if killed else Mode.SILENT if "silence" in self._holding else Mode.NORMAL, now)
        wait = self._retry_after
        self.options_extra = b"" if wait is None else b"Retry-After: %d\r\n" % wait

    def _forget_everything(self, now: float) -> None:
        """A process that was killed knows no call any more, and no registration."""
        for leg in self.legs:
            if leg.open:
                leg.ended_at, leg.ended_by = now, "us: killed"
            elif not leg.status and not leg.outgoing:
                leg.cancelled_at = leg.cancelled_at or now
        for asked in list(self._asked.values()):
            self._forget(asked.sip.branch, asked)
        for given in list(self._given.values()):
            self._drop(given)
        self._dialogs.clear()
        self.expires_at = 0.0

    @property
    def _retry_after(self) -> int | None:
        for fault in self.faults:
            if "503 with retry-after" in fault.other_kinds:
                return int(fault.retry_after)
        return None

    def options_status(self) -> int | None:
        if self._holding & UNASKED:
            return None
        return 503 if self._holding & REFUSED else super().options_status()

    def hears(self, request: Sip) -> bool:
        return super().hears(request) and (request.method != b"OPTIONS" or "all options silent" not in self._holding)

    # -- calls that go out over it ------------------------------------------------------------------------------------

    def _invited(self, sip: Sip) -> None:
        heard = not self._holding & REFUSED and self._meets(self._call(sip))[0] != "options only"
        if self.account is not None and heard and not self._proved(sip, b"proxy-authorization"):
            self._challenge(sip, 407, b"Proxy-Authenticate")
        else:
            super()._invited(sip)

    def _call(self, sip: Sip) -> Call | None:
        return self.calls.get(sip.get(MARK.lower()) or b"")

    def _meets(self, call: Call | None) -> tuple[str, Fault | None]:
        """The kind of failure that a call meets here now, and the fault it belongs to."""
        if call is None:
            return "", None
        for fault in self.faults:
            kinds = fault.call_kinds
            if not kinds or call.kind_dice >= fault.share:
                continue
            kind = kinds[int(call.kind_dice / fault.share * len(kinds))]
            if kind == "one destination" and call.called not in self._broken(fault):
                continue
            return kind, fault
        return "", None

    def _broken(self, fault: Fault) -> frozenset[str]:
        return next((numbers for known, numbers in self.broken_numbers if known is fault), frozenset())

    def manners(self, leg: Leg, request: Sip) -> Manners | None:
        call = self._call(request)
        if call is None:
            return super().manners(leg, request)
        kind, fault = self._meets(call)
        if self._holding & REFUSED:
            kind, manners = "503", Manners(ringing=None, final=0.005, status=503, retry_after=self._retry_after)
            alerts = None
        elif fault is None:
            manners = call.fate.manners()
            alerts = manners.ringing
        elif kind in TREATMENTS:
            found = TREATMENTS[kind](call.fate, fault, self.chance)
            alerts = None
            if found is not None:
                heard = found.ringing is not None or kind == "no ringing"
                alerts = (found.ringing or call.fate.dialled) if heard and call.fate.rings else None
            if found is None:
                call.offers.append(Offer(self.name, self.now, kind, None, None))
                return None
            manners = found
        else:
            manners, alerts = Manners(ringing=None, final=0.1, status=int(kind)), None
        at = None if alerts is None else self.now + alerts
        call.offers.append(Offer(self.name, self.now, kind, leg, at))
        return manners

    # -- calls that come in over it -----------------------------------------------------------------------------------

    def place(self, call: Call, proxy: Peer) -> None:
        """A call of somebody outside to the office. What is wrong with the carrier may keep it here."""
        kind, _ = self._meets(call)
        why = next((word for word in (*self._holding, kind) if word in KINDS and KINDS[word].inbound), "")
        if kind and kind not in KINDS:
            why = why or kind
        if why:
            call.unsent = why
            return
        uri = b""
        if self.account is not None and self.account.registers:
            if self.now >= self.expires_at:
                call.unsent = "not registered"
                return
            uri = self.contact
        fate = call.fate
        leg = call.leg = self.invite(call.called, call.caller, proxy, ((MARK, call.mark),), uri)
        call.offers.append(Offer(self.name, self.now, kind, leg, None))
        if kind == "drops after seconds":
            self._talks[id(leg)] = 2.0 + 6.0 * self.chance.dice()
        elif kind == "one way":
            self._talks[id(leg)] = deaf(self.chance)
        elif fate.caller_ends:
            self._talks[id(leg)] = fate.talk
        self.later(fate.patience, lambda: None if leg.answered_at is not None else self.hang_up(leg))

    def answered(self, leg: Leg) -> None:
        talk = self._talks.pop(id(leg), None)
        if talk is not None:
            self.later(talk, lambda: self.hang_up(leg))

    # -- registrar and digest -----------------------------------------------------------------------------------------

    def other(self, request: Sip) -> None:
        if request.method != b"REGISTER":
            super().other(request)
        elif "register silent" in self._holding:
            return
        elif "register refused" in self._holding:
            self._respond(self._new(request, None), 403)
        elif self._holding & REFUSED:
            self._respond(self._new(request, None), 503)
        elif self.account is not None and not self._proved(request, b"authorization"):
            self._challenge(request, 401, b"WWW-Authenticate")
        else:
            self._register(request)

    def _register(self, request: Sip) -> None:
        contact = request.get(b"contact") or b""
        asked = param(contact, b"expires") or request.get(b"expires") or b"3600"
        seconds = min(float(asked), REGISTERED_MAX)
        extra: tuple[tuple[bytes, bytes], ...] = ()
        if contact and contact != b"*" and seconds > 0:
            self.contact, self.expires_at = address(contact), self.now + seconds
            extra = ((b"Contact", b"<%s>;expires=%d" % (self.contact, seconds)),)
        elif contact:
            self.expires_at = 0.0
        self._respond(self._new(request, None), 200, extra)

    def _challenge(self, request: Sip, status: int, header: bytes) -> None:
        assert self.account is not None
        nonce = self.chance.tag()
        self._nonces[nonce] = self.now
        if len(self._nonces) > NONCES_MAX:
            self._nonces.pop(next(iter(self._nonces)))
        value = b'Digest realm="%s", nonce="%s", qop="auth", algorithm=MD5' % (self.account.realm.encode(), nonce)
        self._respond(self._new(request, None), status, ((header, value),))

    def _proved(self, request: Sip, header: bytes) -> bool:
        """Whether the customer's answer to a challenge of ours is right (RFC 7616 §3.4)."""
        account, value = self.account, request.get(header)
        if account is None or value is None or not value.lower().startswith(b"digest "):
            return False
        given = {}
        for part in value[7:].split(b","):
            name, _, text = part.strip().partition(b"=")
            given[name.strip().lower()] = text.strip().strip(b'"')
        if given.get(b"nonce") not in self._nonces:
            return False
        secret = _md5(b"%s:%s:%s" % (account.username.encode(), account.realm.encode(), account.password.encode()))
        asked = _md5(b"%s:%s" % (request.method, given.get(b"uri", b"")))
        middle = b":".join(given.get(name, b"") for name in (b"nonce", b"nc", b"cnonce", b"qop"))
        return given.get(b"response") == _md5(b"%s:%s:%s" % (secret, middle, asked))


def _md5(text: bytes) -> bytes:
    return hashlib.md5(text, usedforsecurity=False).hexdigest().encode()
