"""Making sockets of ours, and what the kernel's errors mean in words. Linux only: the error queue is (ip(7)).

Everything here is off the path.
"""

import errno
import os
import socket
import struct
import sys
from typing import Any

from sipfailover.errors import TransportError
from sipfailover.flow import UDP
from sipfailover.transport.bounds import Bounds
from sipfailover.transport.naming import is_wildcard, shown

# Numbers from <linux/in.h>, <linux/in6.h>, <asm/socket.h> and <linux/errqueue.h> that Python 3.11 does not name.
IP_PKTINFO = 8
IP_MTU_DISCOVER = 10
IP_RECVERR = 11
IPV6_MTU_DISCOVER = 23
IPV6_RECVERR = 25
IPV6_PKTINFO = 50
PMTUDISC_DONT = 0
SO_MEMINFO = 55
SK_MEMINFO_DROPS = 8
SO_EE_ORIGIN_LOCAL = 1

LARGEST_DATAGRAM = 65_507
"""Bytes in one UDP datagram over IPv4: 65,535 less the headers of IP and UDP. IPv6 would carry 20 more."""

Address = Any
"""What the kernel calls a peer: (host, port), and for IPv6 (host, port, flow, scope)."""

_EXTENDED_ERROR = struct.Struct("=IBBBBII")
_BROKEN = {
    errno.ECONNREFUSED: "refused",
    errno.ECONNRESET: "reset",
    errno.EPIPE: "reset",
    errno.ECONNABORTED: "reset",
    errno.ETIMEDOUT: "timeout",
}
_UNREACHABLE = frozenset({errno.EHOSTUNREACH, errno.ENETUNREACH, errno.EHOSTDOWN, errno.ENETDOWN})
_LOCAL = {
    errno.EMSGSIZE: "local: too big",
    errno.ENETUNREACH: "local: no route",
    errno.ENETDOWN: "local: network down",
    errno.EADDRNOTAVAIL: "local: not an address of this machine",
    errno.EPERM: "local: not permitted",
    errno.EACCES: "local: not permitted",
    errno.EMFILE: "local: too many open files",
    errno.ENFILE: "local: too many open files",
}


def reason_of(error: OSError | None) -> str:
    """Why something that we sent, or a connection, came to nothing; None is an orderly close by the peer.

    One or two words: `refused`, `reset`, `timeout`, `unreachable`, `closed`. With `local: ` before them where the
    cause is on this machine: what the kernel says before anything left, and everything that we do not know.
    """
    if error is None:
        return "closed"
    number = error.errno
    if number is None:
        return "timeout" if isinstance(error, TimeoutError) else f"local: {error}"
    known = _BROKEN.get(number) or _LOCAL.get(number)
    if known:
        return known
    return "unreachable" if number in _UNREACHABLE else f"local: {os.strerror(number).lower()}"


def reason_in(ancillary: list[tuple[int, int, bytes]]) -> str:
    """The reason out of the error queue (struct sock_extended_err, ip(7)): what an ICMP message said.

    "" for an error of local origin, because the call that sent has raised it already.
    """
    for level, kind, data in ancillary:
        if (level, kind) in ((socket.IPPROTO_IP, IP_RECVERR), (socket.IPPROTO_IPV6, IPV6_RECVERR)):
            number, origin, *_ = _EXTENDED_ERROR.unpack_from(data)
            if origin == SO_EE_ORIGIN_LOCAL:
                return ""
            return _BROKEN.get(number, "too big" if number == errno.EMSGSIZE else "unreachable")
    return ""


def listening(transport: str, host: str, port: int, bounds: Bounds) -> socket.socket:
    """A non-blocking socket bound to this address of ours: UDP ready to read, TCP listening. Port 0 takes a free one.

    Raises TransportError with a text for the administrator.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    kind = socket.SOCK_DGRAM if transport == UDP else socket.SOCK_STREAM
    sock: socket.socket | None = None
    try:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        if family == socket.AF_INET6:
            # IPv4 has sockets of its own, so that no address is ever written as ::ffff:192.0.2.1.
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if transport == UDP:
            _prepare_udp(sock, family, is_wildcard(host), bounds)
        else:
            # After a restart connections of before are still in TIME_WAIT. Never for UDP: there it would let a second
            # process take our port and our calls.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        if transport != UDP:
            sock.listen(bounds.backlog)
    except OSError as error:
        if sock is not None:
            sock.close()
        raise TransportError(f"{transport} {shown(host, port)}", "listen on", _why_not(error, host, port)) from error
    return sock


def _prepare_udp(sock: socket.socket, family: int, wildcard: bool, bounds: Bounds) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, bounds.receive_buffer_bytes)
    # PMTUDISC_DONT: no "don't fragment" bit. A request with many Via or a long SDP is larger than the MTU, and carriers
    # that want it over UDP all the same are the rule, whatever §18.1.1 says.
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_MTU_DISCOVER, PMTUDISC_DONT)
        if wildcard:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, PMTUDISC_DONT)
        if wildcard:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)


def _why_not(error: OSError, host: str, port: int) -> str:
    """What an administrator can do about it."""
    if error.errno == errno.EADDRINUSE:
        return f"another program already uses port {port}: stop it, or choose another port"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"{host} is not an address of this machine"
    if error.errno == errno.EACCES:
        return f"port {port} needs privileges: choose one from 1024 on"
    if error.errno == errno.EAFNOSUPPORT:
        return "this machine has IPv6 switched off" if ":" in host else "this machine has IPv4 switched off"
    return (error.strerror or str(error)).lower()


def source_control(local: str) -> list[tuple[int, int, bytes]]:
    """Control data for sendmsg that makes a datagram of a wildcard socket leave from this address of ours."""
    if ":" in local:
        return [(socket.IPPROTO_IPV6, IPV6_PKTINFO, socket.inet_pton(socket.AF_INET6, local) + bytes(4))]
    return [(socket.IPPROTO_IP, IP_PKTINFO, bytes(4) + socket.inet_aton(local) + bytes(4))]


def address_in(packet_info: bytes) -> str:
    """Our own address out of struct in_pktinfo or in6_pktinfo of a received datagram.

    IPv4: the `ipi_spec_dst` in the middle, which is ours even if the datagram went to a broadcast address.
    """
    if len(packet_info) == 20:
        return socket.inet_ntop(socket.AF_INET6, packet_info[:16])
    return socket.inet_ntoa(packet_info[4:8])


def kernel_drops(sock: socket.socket) -> int:
    """Datagrams that the kernel dropped because this socket's buffer was full. Asked for: it costs the path nothing."""
    counts = sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 4 * (SK_MEMINFO_DROPS + 1))
    return int.from_bytes(counts[4 * SK_MEMINFO_DROPS :], sys.byteorder)
