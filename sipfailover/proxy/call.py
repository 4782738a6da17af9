"""A call and its attempts, as the engine keeps them: values, no behaviour. Times are seconds, monotonic."""

from dataclasses import dataclass
from enum import IntEnum, unique
from math import inf
from typing import NamedTuple

from sipfailover.flow import PeerKey, Target
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.line import Line
from sipfailover.routing import Candidate, Said
from sipfailover.transaction import Timer
from sipfailover.trunk import Evidence
from sipfailover.wire import Exchange, Message

OUTBOUND = "outbound"
INBOUND = "inbound"

NEXT_TRUNK, NEXT_ADDRESS, OWN_NUMBER = "next trunk", "next address", "own number"
"""Kinds of rungs, as the history has them."""


class Progress(IntEnum):
    """How far a call has come."""

    TRYING = 0
    RINGING = 1
    ANSWERED = 2
    OVER = 3

    @property
    def label(self) -> str:
        """The word people read."""
        return "ending" if self is Progress.OVER else self.name.lower()


@unique
class Clock(IntEnum):
    """The clocks of calls and lines, beside the lettered ones of transactions. Numbered from 100 to tell them apart."""

    NO_ANSWER = 100
    """Nothing came back from a trunk at all."""
    NO_RINGING = 101
    """100, and then nothing."""
    RING_TIMEOUT = 102
    """It rings, and nobody comes (timer C)."""
    GIVE_UP = 103
    """The whole ladder has had its time."""
    ANSWER_AGAIN = 104
    """A 2xx that is not acknowledged is said again (RFC 3261 §13.3.1.4)."""
    NO_ACK = 105
    """64*T1 without ACK: the call is ended (§13.3.1.4)."""
    NO_FINAL = 107
    """An INVITE inside a dialog has had 100 or ringing, and then nothing (timer C)."""
    WATCH = 106
    """A trunk wants to be asked, or its health has a deadline."""
    REGISTER = 108
    """A registration wants to be renewed, or has a deadline."""
    ROLL_CALL = 111
    """It is time to ask the ends of some calls whether they are still there."""
    REFERENCE = 113
    """A reference wants to be asked, or its silence to be judged."""
    KEEP_ALIVE = 109
    """The NAT on the way to a trunk wants to see a packet."""
    UNREGISTER = 110
    """A registration of a PBX with us runs out."""
    LEFT = 112
    """It is time to look whether a line that left the file has calls still."""
    FINAL = 115
    """A failure that ended a call may have been acknowledged."""
    REMEMBER = 114
    """What was learnt of a line wants to be stored again."""
    HEDGE = 120
    """A trunk has been silent for longer than it usually is: a second attempt may begin beside this one."""
    IN_DOUBT = 121
    """A trunk has just become Suspect: the same for all that it has been silent to."""


@dataclass(slots=True)
class Presence:
    """What is known of whether the two ends of a call are still there. See `rollcall`."""

    next_at: float
    """When to ask again."""
    restored_at: float | None = None
    """It came from an earlier process; None: it began here."""
    caller: str = ""
    """What the calling side said last: see `rollcall.SAID`; empty while its answer is awaited."""
    called: str = ""
    silent: int = 0
    """Times in a row that neither answered."""


class Attempt:
    """One INVITE to one trunk or PBX."""

    __slots__ = (
        "asked_at", "branch", "call", "candidate", "clock", "exchange", "fallback", "forks", "heard", "hedge", "hedges",
        "leg", "line", "number", "over", "remote", "ringing_at", "sent_at", "until", "why", "won",
    )  # fmt: skip

    def __init__(self, call: int, number: int, line: Line, candidate: Candidate, leg: Leg, now: float):
        self.call = call
        """Number of its call."""
        self.number = number
        """Rung of the ladder, from 1."""
        self.line = line
        self.candidate = candidate
        self.leg = leg
        """The pattern for the legs of its forks: it has no remote tag."""
        self.branch = b""
        """Of its last INVITE."""
        self.fallback = False
        """It shows the carrier's own number."""
        self.sent_at = now
        self.asked_at = now
        """When its last INVITE left."""
        self.remote = str(leg.reached)
        self.heard = False
        """Something came back."""
        self.ringing_at: float | None = None
        self.clock: Timer | None = None
        """The one clock that runs. An attempt that is not over always has one."""
        self.until = inf
        """When its clocks end at the latest, because something else was said meanwhile."""
        self.hedge: Timer | None = None
        """Due when its silence is unusual; None: it has no such clock."""
        self.hedges = ""
        """The trunk beside whose attempt it began; empty: its turn had come."""
        self.why = ""
        """Why it began, where that was not its turn."""
        self.over = False
        """It has its outcome. What it still says is late."""
        self.won: Leg | None = None
        """The leg that carries the call."""
        self.exchange: Exchange | None = None if line.account is None else line.account.wallet.exchange()
        """Its way through the carrier's challenges."""
        self.forks: dict[bytes, Leg] = {}
        """The peer's tag → leg."""


class Rung(NamedTuple):
    """One attempt to come. See `rung`."""

    line: Line
    target: Target
    candidate: Candidate
    round: int = 1
    overflow: bool = False
    """The call goes out again, to the number that is for calls that no PBX takes."""
    kind: str = NEXT_TRUNK

    @property
    def where(self) -> str:
        """Where the call goes on, in words."""
        if self.kind == NEXT_ADDRESS:
            return str(self.target)
        return self.line.name if self.kind == NEXT_TRUNK else "the same trunk with its own number"


class Call:
    """One call, from the INVITE that began it to its end."""

    __slots__ = (
        "a", "addresses", "answered_at", "attempt", "attempts", "b", "called", "caller", "decided", "direction",
        "emergency", "faulted", "finals", "first_choice", "give_up", "give_up_at", "invite_key", "keys", "line",
        "number", "overflowed", "presence", "progress", "put_off", "refused", "request", "ringing_at", "rival", "round",
        "said", "source", "started_at", "toll", "traits", "tried", "tries", "uri",
    )  # fmt: skip

    def __init__(self, number: int, direction: str, source: Line, request: Message | None, a: Leg, now: float) -> None:
        self.number = number
        self.direction = direction
        self.source = source
        """The PBX or trunk that calls."""
        self.request: Message | None = request
        """The INVITE, while it may have to go to a further trunk."""
        self.a = a
        """The calling side's leg."""
        self.b: Leg | None = None
        """The called side's leg, once it is answered."""
        self.caller = ""
        self.called = ""
        self.uri = b""
        """Who is called, as it came."""
        self.emergency = False
        self.toll = ""
        """Kind of its destination, once `tolls` has let it through."""
        self.invite_key: tuple[bytes, bytes, bytes] = (b"", b"", b"")
        """Key of the server transaction that wants an answer."""
        self.progress = Progress.TRYING
        self.started_at = now
        self.ringing_at: float | None = None
        """First 18x or 2xx."""
        self.answered_at: float | None = None
        self.tried: set[str] = set()
        """Names that had their attempt, in this round."""
        self.addresses: dict[str, set[PeerKey]] = {}
        """Name → the addresses that had one."""
        self.faulted = False
        """A trunk has met a fault with it."""
        self.refused: tuple[Line, Evidence] | None = None
        """Who has refused its number, while another trunk is asked; the evidence waits for what that says."""
        self.round = 1
        """An emergency call goes round twice."""
        self.overflowed = False
        """No PBX took it, so it goes out again."""
        self.first_choice = ""
        self.attempt: Attempt | None = None
        """The one that runs."""
        self.rival: Attempt | None = None
        """A second one that runs beside it: see `routing.hedge`."""
        self.decided = False
        """One of two attempts was refused by who may speak for the callee: no further trunk is asked."""
        self.put_off: tuple[Rung, ...] = ()
        """Further tries at the trunk of an attempt that failed while another was under way."""
        self.tries: tuple[str, ...] = ()
        """Keys of records of second attempts."""
        self.attempts = 0
        self.line: Line | None = None
        """What carries it, or tries to."""
        self.said: list[Said] = []
        self.finals: list[Message | None] = []
        self.give_up: Timer | None = None
        self.give_up_at = 0.0
        self.keys: list[bytes] = []
        """Keys of all its legs that can be found."""
        self.traits: tuple[object, ...] = ()
        """What its record says that may change: see `keepsake.traits`."""
        self.presence: Presence | None = None
        """How its two ends answered the roll call; None before the first."""

    def beside(self, attempt: Attempt) -> Attempt | None:
        """The attempt that is under way beside this one."""
        return self.rival if attempt is self.attempt else self.attempt

    @property
    def rerouted(self) -> bool:
        """True if another trunk than the first choice has it."""
        return self.direction == OUTBOUND and self.line is not None and self.line.name != self.first_choice

    @property
    def trunk(self) -> str:
        """Name of the trunk: where it goes, or where it came from."""
        if self.direction == INBOUND:
            return self.source.name
        return self.line.name if self.line is not None else ""

    def __repr__(self) -> str:
        over = f" over {self.trunk}" if self.trunk else ""
        return f"<Call {self.number} {self.direction} {self.progress.label}{over}, {self.attempts} attempts>"
