"""A call leg as one side lived it, and the manners with which a called side treats an INVITE: values, no behaviour."""

from dataclasses import dataclass
from typing import NamedTuple

from sipfailover.simulator.text import Peer


class Packet(NamedTuple):
    """One datagram that wants to leave."""

    to: Peer
    data: bytes


@dataclass(frozen=True, slots=True)
class Manners:
    """What a called side does with one INVITE. All times are seconds after the INVITE; None: never."""

    trying: float | None = 0.0
    ringing: float | None = 0.02
    ringing_status: int = 180
    """180, or 183 with a session description (early media)."""
    final: float | None = 1.0
    status: int = 200
    talk: float | None = None
    """Seconds from the ACK until this side hangs up."""
    obeys_cancel: bool = True
    """False: says 200 to CANCEL, as it must, and goes on as if nothing had been said."""
    retry_after: int | None = None


@dataclass(slots=True, eq=False)
class Leg:
    """One dialog, or the try at one, as this side lived it. The books are made of these."""

    number: str
    """The called number."""
    outgoing: bool
    call_id: bytes
    local_tag: bytes
    peer: Peer
    seen_at: float
    """When the INVITE was sent or came."""
    remote_tag: bytes = b""
    local: bytes = b""
    """Our address with tag, as it stands in From of our requests."""
    remote: bytes = b""
    target: bytes = b""
    """Contact of the other side."""
    cseq: int = 1
    ringing_at: float | None = None
    """First 18x, sent or received."""
    answered_at: float | None = None
    """First 2xx, sent or received."""
    acked_at: float | None = None
    status: int = 0
    """Final answer to the INVITE; 0 while there is none, 408 if none came."""
    finals: int = 0
    """Different final answers received: more than one is a fault of the other side."""
    cancelled_at: float | None = None
    """When CANCEL was sent or came."""
    ended_at: float | None = None
    """When an answered call was hung up."""
    ended_by: str = ""
    """`us`, `them`, or `us: …` with a reason that no user had."""
    stray: bool = False
    """A second 2xx to one INVITE (fork), acknowledged and hung up."""
    offers: int = 1
    """How often a new transaction brought this same INVITE: more than once is a fault of the other side."""
    trouble: str = ""
    """What the protocol does not allow and happened all the same."""

    @property
    def ringing_after(self) -> float | None:
        """Seconds from INVITE to the first 18x or 2xx."""
        first = self.ringing_at if self.ringing_at is not None else self.answered_at
        return None if first is None else first - self.seen_at

    @property
    def open(self) -> bool:
        """True while somebody pays for it."""
        return self.answered_at is not None and self.ended_at is None

    @property
    def ghost(self) -> bool:
        """True for an answer that was never acknowledged, or never hung up."""
        return self.answered_at is not None and (self.acked_at is None or self.ended_at is None)
