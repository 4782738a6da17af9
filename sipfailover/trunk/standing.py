"""How a registration stands and is told: stages, words, what an answer is a sign of, the view for status. Values only.

What moves them is `trunk.registration`.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

from sipfailover.trunk.register import PublicAddress


class Stage(IntEnum):
    """Where the registration stands."""

    NOT_USED = 0
    PENDING = 1
    """No binding; a REGISTER is due now or shortly."""
    TRYING = 2
    """No binding; a REGISTER is in flight."""
    FAILED = 3
    """No binding; the next try is some time away."""
    REGISTERED = 4
    REFRESHING = 5
    """Registered, and a REGISTER is in flight."""
    AT_RISK = 6
    """Registered, but the last refresh failed; the next try is some time away."""
    CLEARING = 7
    """Registered, and a REGISTER that removes stale bindings is in flight."""
    LEAVING = 8
    """Our binding is being removed."""
    WIPING = 9
    """No binding; a REGISTER that removes whatever is on the account (`Contact: *`) is in flight."""


class Word(StrEnum):
    """The state as people read it."""

    NOT_USED = "Not used"
    REGISTERING = "Registering"
    REGISTERED = "Registered"
    FAILED = "Failed"


class RegistrationSign(IntEnum):
    """What the end of one REGISTER is a sign of."""

    GOOD = 0
    SILENT = 1
    """No answer, or the transport failed."""
    FAULT = 2
    """An answer that is no refusal of us: 3xx to 6xx, or 2xx without our binding."""
    REFUSED = 3
    """401, 403, 407: wrong credentials, a barred account, or a registrar in trouble."""
    RAN_OUT = 4
    """Nothing was answered now, but the binding is over: inbound calls do not find us."""
    NEUTRAL = 5
    """Nothing about health: 423, stale bindings removed, left, an address that moved."""


@dataclass(frozen=True, slots=True)
class RegistrationEvidence:
    """Something that was learnt; the owner maps it to the health of the trunk, to alarms and to the ledger."""

    sign: RegistrationSign
    before: Word
    after: Word
    what: str = ""
    """In words that fit into a sentence: `no answer within 10 s`, `403 Forbidden to REGISTER`."""
    status: int = 0
    """Of the answer, 0 without one."""
    retry_after: float = 0.0
    sent_at: float | None = None
    """When the REGISTER left."""
    moved: tuple[PublicAddress, PublicAddress] | None = None
    """The carrier sees us at another address: before, now."""


@dataclass(frozen=True, slots=True)
class RegistrationView:
    """What status shows. Times are seconds, monotonic."""

    word: Word
    since: float
    why: str
    """Why the last REGISTER failed; empty if it did not. May be set while Registered: then a refresh failed."""
    granted: int
    """Seconds, 0 without a binding."""
    expires_at: float | None
    next_at: float | None
    """When the next REGISTER leaves; None while one is in flight, and when not used."""
    contact: bytes
    public: PublicAddress | None
    path: tuple[bytes, ...]
    """The edges that inbound requests come through (RFC 3327), as the last 200 says."""
    associated: tuple[bytes, ...]
    """P-Associated-URI of the last 200: identities that the account may show."""
    rewritten: bool
    """The registrar lists our Contact with another address than we sent: something on the way rewrites it."""
    stale: tuple[bytes, ...]
    """Bindings of ours at former addresses."""
    others: tuple[bytes, ...]
    """Bindings of somebody else on the same account."""
