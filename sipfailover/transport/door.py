"""The door: when strangers flood, the kernel drops most of what they send before it takes place in our buffer.

A UDP socket has one queue. What comes faster than we read fills it, and then what PBXs and trunks send is dropped like
everything else. A filter on the socket (SO_ATTACH_FILTER, socket(7); any process may) decides before that: who is known
comes in, of strangers one in `1 / share`. The share is halved while more of them come in than we want to look at, and
doubled while few do, so that a PBX which registers from a new address, or the guest of a call, gets in after some
repeats even during a flood. Without a flood there is no filter.
"""

import ctypes
import socket
import struct
from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network, ip_network

STRANGERS_A_SECOND = 2_000
"""Datagrams of strangers a second from which the door closes further. To look at one costs some 5 µs."""
FEW = 500
"""Below so many a second it opens again."""
SHARE_MIN = 2.0**-12
"""It never closes further: 10 of 40,000."""
KNOWN_MAX = 256
"""Addresses and networks that a filter lets in. With more the door stays open; nobody who is known is shut out."""

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# <linux/filter.h>: where a socket filter finds what is not in the datagram.
_NETWORK_HEADER, _RANDOM = -0x100000, -0x1000 + 56
_LOAD, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_ALL, _NOTHING = 0x7FFFFFFF, 0
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_SOURCE_AT = {socket.AF_INET: 12, socket.AF_INET6: 8}
"""Offset of the source address in the network header."""

Network = IPv4Network | IPv6Network


class Door:
    """How far the door is open, for all sockets. See the module."""

    __slots__ = ("_known", "_seen_at", "_strangers", "share")

    def __init__(self) -> None:
        self.share = 1.0
        """Of the datagrams of strangers that are let in."""
        self._known: tuple[str, ...] = ()
        self._strangers = 0
        self._seen_at: float | None = None

    def look(self, strangers: int, known: Iterable[str], now: float) -> bool:
        """To be called some ten times a second. `strangers`: datagrams of strangers that were read since the start;
        `known`: addresses and networks that always come in. True if the filters have to be set anew."""
        before, self._seen_at = self._seen_at, now
        rate = (strangers - self._strangers) / (now - before) if before is not None and now > before else 0.0
        self._strangers = strangers
        share = self.share
        if rate > STRANGERS_A_SECOND:
            share = max(SHARE_MIN, share / 2.0)
        elif rate < FEW and share < 1.0:
            share = min(1.0, share * 2.0)
        if share == self.share == 1.0:
            return False
        everybody = tuple(sorted(set(known)))
        if len(everybody) > KNOWN_MAX:
            share = 1.0
        changed = share != self.share or (share < 1.0 and everybody != self._known)
        self.share, self._known = share, everybody
        return changed

    def apply(self, sock: socket.socket) -> None:
        """Set the filter of a UDP socket as it should be now. Harmless where the kernel does not want it."""
        try:
            if self.share >= 1.0:
                sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
                return
            code = b"".join(_INSTRUCTION.pack(*line) for line in program(self._known, self.share, sock.family))
            buffer = ctypes.create_string_buffer(code)
            length = len(code) // _INSTRUCTION.size
            sock.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER, _PROGRAM.pack(length, ctypes.addressof(buffer))
            )  # the kernel copies it
        except OSError:
            return  # none to detach; or filters are forbidden here, and everything is read as before


Instruction = tuple[int, int, int, int]
"""(code, jump if true, jump if false, operand)"""


def program(known: Iterable[str], share: float, family: int) -> list[Instruction]:
    """The filter: source known → all of it; else all of it for this share, by the kernel's dice; else nothing."""
    version, at = (6, _SOURCE_AT[socket.AF_INET6]) if family == socket.AF_INET6 else (4, _SOURCE_AT[socket.AF_INET])
    code: list[Instruction] = []
    for network in map(ip_network, known):
        if network.version == version:
            code += _passes(network, at)
    code.append((_LOAD, 0, 0, _RANDOM & 0xFFFFFFFF))
    code.append((_IF_AT_LEAST, 1, 0, min(0xFFFFFFFF, int(share * 2**32))))
    code.append((_RETURN, 0, 0, _ALL))
    code.append((_RETURN, 0, 0, _NOTHING))
    return code


def _passes(network: Network, at: int) -> list[Instruction]:
    """Instructions that return all of the datagram if its source is in this network, and fall through if not."""
    value, mask = network.network_address.packed, network.netmask.packed
    words = [
        (place, int.from_bytes(mask[place : place + 4]), int.from_bytes(value[place : place + 4]))
        for place in range(0, len(value), 4)
        if any(mask[place : place + 4])
    ]
    code: list[Instruction] = []
    for number, (place, bits, wanted) in enumerate(words):
        to_the_end = 3 * (len(words) - number - 1) + 1
        code.append((_LOAD, 0, 0, (_NETWORK_HEADER + at + place) & 0xFFFFFFFF))
        code.append((_AND, 0, 0, bits))
        code.append((_IF_EQUAL, 0, to_the_end, wanted))
    code.append((_RETURN, 0, 0, _ALL))
    return code
