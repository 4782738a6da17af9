"""What happened, as records that can be stored, counted and shown. The engine makes them, others only read.

Times named `at` are seconds on the engine's monotonic clock; whoever stores or shows them adds the offset to the
wall clock. Durations are seconds. Numbers of callers are as they stood in the message, masked by whoever shows them.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AttemptEnded:
    """One INVITE to one trunk came to its end, or to its answer."""

    at: float
    call: int
    """Number of the call, counted from 1 since the start."""
    number: int
    """Rung of the ladder, counted from 1."""
    trunk: str
    """Name of the trunk (or of the PBX, for calls that come in); empty where we refused the call and asked none."""
    outcome: str
    """`answered`, `rejected`, `silent`, `no ringing`, `unreachable`, `cancelled`: see `routing.verdict`; `refused`:
    by us, see `routing.tolls`."""
    status: int
    """The final SIP status, 0 when there was none."""
    reason: str
    """Reason phrase, Reason header or the transport's word, as it came."""
    verdict: str
    """What we did about it, in words: `relayed`, `next trunk`, `next address`, `own number` (the same trunk once
    more, showing its `caller_id`), `gave up`; of two at a time: `hedged` (it failed, and the other went on),
    `overtaken` (the other rang or answered first)."""
    sent_at: float
    ringing_after: float | None
    """Seconds from our INVITE to the first 18x, None if nothing rang."""
    ended_after: float
    """Seconds from our INVITE to the outcome."""
    remote: str
    """The address it went to, as `udp 192.0.2.1:5060`."""
    call_id: str
    """Call-ID of this leg, as the carrier knows it."""
    why: str = ""
    """Why it began, where that was not simply its turn: `hedge: …`, with the clock."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """One call is over, answered or not. Every attempt of it has been told before."""

    at: float
    call: int
    direction: str
    """`outbound` (PBX to trunk) or `inbound` (trunk to PBX)."""
    caller: str
    called: str
    result: str
    """`answered`, `busy`, `no answer`, `cancelled`, `rejected`, `refused` (by us, `toll_fraud`), `trunk failed`,
    `PBX failed` (calls that come in)."""
    status: int
    """What the calling side was told in the end."""
    trunk: str
    """The trunk that carried it, whose answer was relayed, or that it came from; empty if none could carry it."""
    first_choice: str
    """The trunk that was tried first."""
    attempts: int
    started_at: float
    ringing_after: float | None
    """Seconds the caller waited for the first 18x or 2xx."""
    answered_at: float | None
    ended_by: str
    """`caller` (also before the answer), `called`, `sipfailover` (with the reason in the log), `unseen` (neither end
    knew anything of it any more when they were asked: it ended at `at` or before), or empty when it was refused."""
    call_id: str
    """Call-ID as the calling side knows it."""

    emergency: bool = False
    """It was for one of `emergency.numbers`."""

    @property
    def rerouted(self) -> bool:
        """True if another trunk than the first choice carried it."""
        return self.direction == "outbound" and bool(self.trunk) and self.trunk != self.first_choice


@dataclass(frozen=True, slots=True)
class TrunkChanged:
    """The health of a trunk moved."""

    at: float
    trunk: str
    before: str
    after: str
    """`Up`, `Suspect`, `Down`, `Trial`."""
    why: str
    """One sentence with the evidence."""
    rule: str = ""
    """Name of the rule that moved it, as README's tables have it."""
    evidence: tuple[str, ...] = ()
    """What it was seen by, a line each, the newest last; numbers called are cut short."""
    direction: str = "outbound"
    """`inbound`: how calls come in over it, which moves no calls."""


@dataclass(frozen=True, slots=True)
class RegistrationChanged:
    """Our registration with a carrier moved."""

    at: float
    trunk: str
    before: str
    after: str
    """`Registering`, `Registered`, `Failed`, `Not used`."""
    why: str
    """One sentence: the carrier's answer, or what took its place."""
    status: int
    """The SIP status of that answer, 0 when there was none."""


@dataclass(frozen=True, slots=True)
class ProbeEnded:
    """An OPTIONS to a trunk or a PBX was answered, or was not. Only those to the address in use are told: they say how
    the trunk is, the others how one of its further addresses is."""

    at: float
    trunk: str
    result: str
    """`answered`, `timeout`, `refused`, `unreachable`, `fault` (answered, but in a way that does not count)."""
    status: int
    round_trip: float | None
    remote: str = ""
    """The address it went to, as `udp 192.0.2.1:5060`."""


@dataclass(frozen=True, slots=True)
class OperatorActed:
    """Somebody has said what is to be done with a trunk, or an order has ended by itself."""

    at: float
    who: str
    """As they called themselves; empty if nobody did, or its time was over."""
    action: str
    """`enabled`, `draining`, `off`, `used`: an order; `release`: it need not wait; `reload`, `drain`."""
    trunk: str
    """Or PBX; empty for what concerns all."""
    why: str
    until: float | None
    """When the order ends by itself."""


@dataclass(frozen=True, slots=True)
class ConfigChanged:
    """Another configuration is in effect, or one was refused. The first of a run has no changes."""

    at: float
    fingerprint: str
    """Of what is in effect now: `config.fingerprint`."""
    good: bool
    """False: a file was refused, and nothing changed."""
    changes: tuple[str, ...]
    """A line each, with its effect; or what is wrong with the file. Without a secret."""
    who: str
    """Who wanted it; empty at the start."""


Fact = AttemptEnded | CallEnded | TrunkChanged | RegistrationChanged | ProbeEnded | OperatorActed | ConfigChanged
