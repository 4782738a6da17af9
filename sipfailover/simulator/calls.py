"""The calls of a scenario: when, to whom, and what would become of each if no trunk ever failed.

That is drawn before anything is dialled, so it is the same whichever carrier is asked, and whichever configuration:
what differs in the end is what the trunks and the proxy did.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sipfailover.chance import Chance
from sipfailover.proxy import AttemptEnded, CallEnded
from sipfailover.simulator.leg import Leg, Manners
from sipfailover.simulator.scenario import Office

REACHED = frozenset({"answered", "voicemail", "no answer"})
"""Fates in which a telephone rings at the other end: such a call is lost if it does not."""
ORDINARY = (480, 480, 500, 503, 404)
"""What a call is refused with that fails behind any carrier."""
NOBODY_FOR = 600.0
"""Seconds that a telephone goes on ringing at which nobody is: longer than any caller waits."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of a call where nothing is wrong. Durations in seconds."""

    word: str
    """`answered`, `voicemail`, `no answer`, `busy`, `declined`, `wrong number`, `fails`."""
    dialled: float
    """From the INVITE until it rings, or is refused."""
    final: float | None
    """From the INVITE to the final answer, None: none comes."""
    status: int
    talk: float
    """From the answer to the end."""
    caller_ends: bool
    patience: float
    """How long the caller lets it ring …"""
    patience_in_silence: float
    """… and waits while nothing is heard."""

    @property
    def rings(self) -> bool:
        """Whether a telephone rings."""
        return self.word in REACHED or self.word == "declined"

    def manners(self) -> Manners:
        """How a carrier that is well treats the call."""
        return Manners(
            ringing=self.dialled if self.rings else None,
            final=self.final,
            status=self.status,
            talk=None if self.caller_ends else self.talk,
        )


@dataclass(slots=True)
class Offer:
    """The call, as one carrier got it."""

    trunk: str
    at: float
    kind: str
    """The kind of failure that it met there; empty for none."""
    leg: Leg | None
    alerts_at: float | None
    """When a telephone rings because of it, heard by the caller or not; None: never."""

    @property
    def alerted(self) -> bool:
        """Whether a telephone rang: nobody had hung up before."""
        if self.leg is None or self.alerts_at is None:
            return False
        ended = self.leg.cancelled_at
        return ended is None or ended > self.alerts_at


@dataclass(slots=True)
class Call:
    """One call of a scenario, and what became of it."""

    number: int
    at: float
    inbound: bool
    caller: str
    called: str
    fate: Fate
    kind_dice: float
    """Decides which failure it meets, on whichever trunk."""
    leg: Leg | None = None
    """The calling side's."""
    offers: list[Offer] = field(default_factory=list)
    unsent: str = ""
    """Why the carrier never sent it to us."""
    ended: CallEnded | None = None
    attempts: list[AttemptEnded] = field(default_factory=list)
    base: float = 0.0
    """Seconds that the ways to the carrier and back take, where nothing is wrong."""

    @property
    def mark(self) -> bytes:
        """By this it is known on both sides of the engine."""
        return b"%d" % self.number


def draw_calls(office: Office, start: datetime, seconds: float, chance: Chance) -> list[Call]:
    """All calls of a scenario, in the order of their time."""
    calls = []
    for index, at in enumerate(office.calls_per_hour.moments(start, seconds, chance), 1):
        inbound = chance.dice() < office.inbound_share
        extension = f"+4144321{int(chance.dice() * 20):04d}"
        other = destination(office.destinations, chance)
        caller, called = (other, extension) if inbound else (extension, other)
        calls.append(Call(index, at, inbound, caller, called, draw_fate(office, chance), chance.dice()))
    return calls


def destination(count: int, chance: Chance) -> str:
    """A number that is called, the first ones often: drawn so that a tenth of them gets about a third of the calls."""
    rank = int(count * chance.dice() ** 2)
    return number_of(rank)


def number_of(rank: int) -> str:
    """The number at this place, 0 for the one that is called most."""
    return f"+4131555{rank:05d}"


def draw_fate(office: Office, chance: Chance) -> Fate:
    """What becomes of one call."""
    word = _word(office, chance.dice())
    dialled = chance.spread(office.post_dial_delay, 0.6)
    rings_for = 1.0 + chance.wait(max(0.1, office.answer_within - 1.0))
    final: float | None = dialled + min(rings_for, 40.0)
    status = 200
    if word == "voicemail":
        final = dialled + 20.0 + 5.0 * chance.dice()
    elif word == "no answer":
        final = None
    elif word == "busy":
        final, status = dialled, 486
    elif word == "wrong number":
        final, status = dialled, 404
    elif word == "declined":
        final, status = dialled + 1.0 + 6.0 * chance.dice(), 603
    elif word == "fails":
        final, status = dialled, ORDINARY[int(chance.dice() * len(ORDINARY))]
    return Fate(
        word=word,
        dialled=dialled,
        final=final,
        status=status,
        talk=2.0 + chance.wait(office.talk),
        caller_ends=chance.dice() < 0.5,
        patience=chance.spread(office.patience, 0.4),
        patience_in_silence=chance.spread(office.patience_in_silence, 0.3),
    )


def _word(office: Office, dice: float) -> str:
    shares: tuple[tuple[str, float], ...] = (
        ("busy", office.busy), ("no answer", office.no_answer), ("wrong number", office.wrong_number),
        ("declined", office.declined), ("voicemail", office.voicemail), ("fails", office.ordinary_failures),
    )  # fmt: skip
    for word, share in shares:
        if dice < share:
            return word
        dice -= share
    return "answered"


def as_record(call: Call) -> dict[str, Any]:
    """The call as a mapping, for JSON."""
    return {
        "number": call.number,
        "at": round(call.at, 3),
        "direction": "inbound" if call.inbound else "outbound",
        "caller": call.caller,
        "called": call.called,
        "fate": call.fate.word,
        "status": call.leg.status if call.leg is not None else 0,
        "unsent": call.unsent,
        "offers": [
            {"trunk": offer.trunk, "at": round(offer.at, 3), "met": offer.kind, "rang": offer.alerted}
            for offer in call.offers
        ],
        "attempts": [
            {"trunk": one.trunk, "outcome": one.outcome, "status": one.status, "after": round(one.ended_after, 3)}
            for one in call.attempts
        ],
    }
