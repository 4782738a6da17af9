"""Where bytes go and where they came from: values only, no socket.

A `Target` is a peer we may send to and the name we use for ourselves on that path. A `Flow` is a target that
exists: a UDP socket and a peer, or one stream connection. Answers to a stream request go back over its flow
(RFC 3261 §18.2.2); a new request goes to a target, and the shell finds or opens the connection.
"""

from dataclasses import dataclass, field, replace
from typing import Self

UDP = "udp"
TCP = "tcp"
TLS = "tls"

PING = b"\r\n\r\n"
"""The keep-alive of RFC 5626 §3.5.1, on either transport: to whom does not know it, it is an empty line (§7.5)."""
PeerKey = tuple[str, str, int, str]
"""(transport, host, port, line): see `Target.peer`."""


@dataclass(frozen=True, slots=True)
class Target:
    """A peer, and how we name ourselves towards it."""

    transport: str
    """`udp`, `tcp` or `tls`."""
    host: str
    """IP address, IPv6 without brackets. Names are resolved before a target exists."""
    port: int
    sent_by: bytes
    """Our own host and port for Via and Contact on this path, as written: `192.0.2.9:5060`, `[2001:db8::9]:5060`."""
    local: str = ""
    """The address of ours to send from (UDP: which socket). Empty: the system chooses."""
    line: str = field(default="", kw_only=True)
    """With TLS: the name of the trunk or PBX that the peer must prove to be, and has proved where this is a `Flow`.
    Empty: whoever it is, and always without TLS. Two trunks at one address never share a connection."""
    priority: int = field(default=0, compare=False, kw_only=True)
    """SRV priority of the server (RFC 2782), the lowest is the best; 0 where no SRV record led here."""

    peer: PeerKey = field(init=False, repr=False, compare=False)
    """(transport, host, port, line): the key under which a peer is known."""
    reliable: bool = field(init=False, repr=False, compare=False)
    """True where the transport repeats lost data itself (RFC 3261 §17: no retransmission timers)."""

    def __post_init__(self) -> None:
        # Made once: a call asks for these two some thirty times, and has six targets at most.
        object.__setattr__(self, "peer", (self.transport, self.host, self.port, self.line))
        object.__setattr__(self, "reliable", self.transport != UDP)

    def at(self, host: str, port: int) -> Self:
        """The same path towards another address; a flow loses nothing, because only UDP answers move (RFC 3581)."""
        return replace(self, host=host, port=port)

    @property
    def default_port(self) -> int:
        """The port that a URI or Via without one means on this transport (RFC 3261 §18.1.1, §19.1.2)."""
        return 5061 if self.transport == TLS else 5060

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.transport} {host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Flow(Target):
    """A target that exists now. Streams carry the number of their connection; UDP has 0."""

    connection: int = 0


@dataclass(slots=True)
class Send:
    """Give these bytes to a peer now; never wait.

    `to` is a `Flow` (that very connection) or a `Target` (any connection to there; open one if there is none).
    What cannot be delivered is answered with `Engine.lost(to, reason, now)`.
    """

    to: Target
    data: bytes
