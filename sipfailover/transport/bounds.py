"""The bounds of the transport by name, each with who suffers when it is reached, and what is counted when one was.

Times are seconds, sizes are bytes. The defaults suit an office; tests make them small.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process lets the network do to it."""

    batch: int = 64
    """Datagrams read from one socket in one turn of the loop. The others wait in the kernel, so that a flood on one
    socket does not starve timers and connections: 64 take the engine a few milliseconds."""

    receive_buffer_bytes: int = 4 * 1024 * 1024
    """Asked of the kernel for each UDP socket: some 3,000 requests of 1 kB. It may grant less (net.core.rmem_max).
    Beyond it the newest datagrams are dropped and counted; their senders repeat them."""

    flows: int = 4096
    """Remembered UDP peers of one socket. When it is full all are forgotten: nobody suffers, each costs 3 µs again."""

    ways: int = 4096
    """Remembered ways to UDP peers. When it is full all are forgotten: nobody suffers, but an ICMP error about
    something sent before is not believed, and that request ends by its timer instead."""

    icmp_believed_for: float = 40.0
    """How long after the last datagram to a peer an ICMP error about it is believed: a little more than the 32 s that
    a request is repeated (RFC 3261 §17.1.2.2, Timer F). Later errors are counted and dropped."""

    connect_within: float = 3.0
    """From SYN to open, with TLS to the end of the handshake. Then what waited is given back as lost, and the call goes
    to the next trunk."""

    look_within: float = 0.5
    """For a second look at a certificate that was refused, to say whose it was and since when. The call that waits for
    its next trunk waits so much longer at most, and once in `look_every`."""

    look_every: float = 60.0
    """How long what a second look saw is believed."""

    handshake_within: float = 5.0
    """From accepting a connection with TLS to the end of its handshake. A slower peer loses the connection."""

    handshakes: int = 64
    """Handshakes of strangers that are under way at a time. A further stranger is refused; PBXs and trunks are not,
    so that those who connect and say nothing shut nobody else out."""

    shutdown_within: float = 1.0
    """For the goodbye of TLS (close_notify), which many peers do not return. Then the connection is cut."""

    connect_queue_bytes: int = 256 * 1024
    """Waiting for one connection to open. What comes on top is given back as lost at once."""

    write_buffer_bytes: int = 256 * 1024
    """Waiting in our memory for one peer that does not read, on top of what its kernel and ours hold. Beyond it the
    connection is broken off: that peer suffers, and 1,000 like it cost 256 MiB at most."""

    accepted: int = 1024
    """Connections that others opened. Further ones are closed at once; ours to the carriers have a bound of their
    own, so that strangers cannot use it up."""

    accepted_kept_for_peers: int = 512
    """Of these, how many only PBXs and trunks may have. Strangers who sit on all the others shut nobody else out."""

    accepted_per_host: int = 128
    """Connections that one source address opened. Further ones from there are closed at once."""

    opened: int = 256
    """Connections that we opened. Beyond it a message to a new peer is given back as lost."""

    backlog: int = 256
    """Connections the kernel completes before we take them. Beyond it a peer's SYN is dropped, sent again in 1 s."""

    message_within: float = 20.0
    """From the first byte of a message on a stream (or from accepting the connection) to its last. A slower peer loses
    the connection: it holds memory and a place."""

    keep_alive_every: float = 90.0
    """Silence on a connection after which we send CRLFCRLF (RFC 5626 §4.4.1). NAT and firewalls forget a silent TCP
    connection after some minutes; shorter costs a packet each time."""

    idle_close_after: float = 2 * 3600.0
    """Since the last message on a connection, keep-alives not counted. A call in progress may say nothing for as long
    as it lasts, and its BYE should find the connection, so this is longer than telephone calls are."""

    stranger_idle_close_after: float = 60.0
    """The same for somebody who is neither PBX nor trunk, registered nor in a call. They are not served, and with the
    connections of others they could hold all the places that strangers have."""

    unacknowledged_for: float = 10.0
    """How long sent bytes may stay without an acknowledgement of the peer's kernel until the connection counts as dead
    (TCP_USER_TIMEOUT). The system's own limit is a quarter of an hour, and all calls would go to a dead line."""

    sweep_every: float = 1.0
    """How often the connections are looked at for the four times above: each is exact to this."""


@dataclass(slots=True)
class Counters:
    """What happened since the start. Everything only goes up."""

    datagrams: int = 0
    """Datagrams read, keep-alives included."""
    shut_out: int = 0
    """Datagrams of strangers that the kernel dropped for us: see `door`."""
    send_buffer_full: int = 0
    """Datagrams that we dropped because the kernel's buffer was full; retransmission repairs it."""
    keep_alives_swallowed: int = 0
    """UDP keep-alives: empty, or nothing but CRLF and zero bytes."""
    icmp_errors: int = 0
    """ICMP errors about something that we sent."""
    icmp_ignored: int = 0
    """ICMP errors about a peer to whom we had not sent for long: late, or forged."""
    connections_accepted: int = 0
    connections_refused: int = 0
    """Closed as soon as they were accepted, or not opened, because of a bound or a ban."""
    accepts_failed: int = 0
    """Tries to accept that the system refused: no descriptor or memory left. The peer is accepted later."""
    handshakes_failed: int = 0
    """TLS handshakes of peers that connected to us, failed or not ended in time."""
    connections_opened: int = 0
    connects_failed: int = 0
    connections_closed: int = 0
    """Ended, whoever began it and whatever the reason."""
    streams_broken: int = 0
    """Closed because what came was no sequence of SIP messages."""
    streams_too_slow: int = 0
    """Broken off because a message took too long to arrive."""
    write_buffers_full: int = 0
    """Broken off because the peer did not read."""
    wedged: int = 0
    """Ended because requests over it had no answer, one after the other."""
    pings_answered: int = 0
    """Keep-alives on streams that we answered."""
    pings_sent: int = 0
