"""The door: when somebody floods, the kernel drops most of that before it takes place in our buffer.

A UDP socket has one queue. What comes faster than we read fills it, and then what PBXs and trunks send is dropped like
everything else. A filter on the socket (SO_ATTACH_FILTER, socket(7); any process may) decides before that: who is known
comes in; of strangers, and of the INVITEs of a known peer that has gone mad (a pest), one in `1 / share`. The share is
halved while more of these come in than we want to look at, and doubled while few do, so that a PBX which registers from
a new address, or the guest of a call, gets in after some repeats even during a flood. Whatever else a pest sends comes
in, as do its calls for help, where the number stands alone. Without a flood there is no filter.
"""

import ctypes
import socket
import struct
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_network

UNWANTED_A_SECOND = 2_000
"""Datagrams of strangers and pests a second from which the door closes further. To look at one costs some 5 µs."""
FEW = 500
"""Below so many a second it opens again."""
SHARE_MIN = 2.0**-12
"""It never closes further: 10 of 40,000."""
INVITE = b"INVI"
"""How what a pest has too much of begins."""
URI_AT = len(b"INVITE ")
KNOWN_MAX = 128
"""Addresses and networks that a filter lets in; the kernel takes 4,096 lines. With more the door stays open: nobody who
is known is shut out."""
PESTS_MAX = 16
"""Pests. Of further ones all comes in."""
EXEMPT_MAX = 32
"""Numbers for help that pests may always call. Further ones come in by chance, like the rest."""

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# <linux/filter.h>: where a socket filter finds what is not in the datagram.
_NETWORK_HEADER, _RANDOM = -0x100000, -0x1000 + 56
_LOAD, _LOAD_BYTE, _AND, _GO, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x30, 0x54, 0x05, 0x15, 0x35, 0x06
_ALL, _NOTHING = 0x7FFFFFFF, 0
_INSTRUCTION = struct.Struct("=HBBI")
_PROGRAM = struct.Struct("@HP")
_PAYLOAD = 8
"""A filter sees the datagram from its UDP header on."""
_SOURCE_AT = {socket.AF_INET: 12, socket.AF_INET6: 8}
"""Offset of the source address in the network header."""

Network = IPv4Network | IPv6Network


class Door:
    """How far the door is open, for all sockets. See the module."""

    __slots__ = ("_known", "_pests", "_seen_at", "_unwanted", "exempt", "share")

    def __init__(self) -> None:
        self.share = 1.0
        """Of the datagrams of strangers, and of the INVITEs of pests, that are let in."""
        self.exempt: tuple[bytes, ...] = ()
        """Beginnings of Request-URIs that pests may always call: `sip:112@`."""
        self._known: tuple[str, ...] = ()
        self._pests: tuple[str, ...] = ()
        self._unwanted = 0
        self._seen_at: float | None = None

    def look(self, unwanted: int, known: Iterable[str], pests: Iterable[str], now: float) -> bool:
        """To be called some ten times a second. `unwanted`: datagrams of strangers and INVITEs of pests that were read
        since the start; `known`: addresses and networks that come in; `pests`: addresses of which INVITEs do not, known
        as they are. True if the filters have to be set anew."""
        before, self._seen_at = self._seen_at, now
        rate = (unwanted - self._unwanted) / (now - before) if before is not None and now > before else 0.0
        self._unwanted = unwanted
        share = self.share
        if rate > UNWANTED_A_SECOND:
            share = max(SHARE_MIN, share / 2.0)
        elif rate < FEW and share < 1.0:
            share = min(1.0, share * 2.0)
        if share == self.share == 1.0:
            return False
        rules = tuple(sorted(set(known))), tuple(sorted(pests))
        if len(rules[0]) > KNOWN_MAX:
            share = 1.0
        changed = share != self.share or (share < 1.0 and rules != (self._known, self._pests))
        self.share, (self._known, self._pests) = share, rules
        return changed

    def apply(self, sock: socket.socket) -> None:
        """Set the filter of a UDP socket as it should be now. Harmless where the kernel does not want it."""
        try:
            if self.share >= 1.0:
                sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
                return
            lines = program(self._known, self._pests, self.exempt, self.share, sock.family)
            code = b"".join(_INSTRUCTION.pack(*line) for line in lines)
            buffer = ctypes.create_string_buffer(code)
            length = len(code) // _INSTRUCTION.size
            sock.setsockopt(
                socket.SOL_SOCKET, SO_ATTACH_FILTER, _PROGRAM.pack(length, ctypes.addressof(buffer))
            )  # the kernel copies it
        except OSError:
            return  # none to detach; or filters are forbidden here, and everything is read as before


Instruction = tuple[int, int, int, int]
"""(code, jump if true, jump if false, operand)"""
_LET_IN: list[Instruction] = [(_RETURN, 0, 0, _ALL)]


def program(
    known: Sequence[str], pests: Sequence[str], exempt: Sequence[bytes], share: float, family: int
) -> list[Instruction]:
    """The filter. Source a pest: its INVITE → dice, unless exempt, and the rest → all of it. Source known: all of it.
    Else dice, which is all of the datagram for this share, and nothing otherwise. Less than four bytes of a pest, a
    keep-alive at best, are nothing: a filter that reads beyond the end of a datagram drops it.
    """
    version, at = (6, _SOURCE_AT[socket.AF_INET6]) if family == socket.AF_INET6 else (4, _SOURCE_AT[socket.AF_INET])
    dice: list[Instruction] = [
        (_LOAD, 0, 0, _RANDOM & 0xFFFFFFFF),
        (_IF_AT_LEAST, 1, 0, min(0xFFFFFFFF, int(share * 2**32))),
        (_RETURN, 0, 0, _ALL),
        (_RETURN, 0, 0, _NOTHING),
    ]
    code: list[Instruction] = []
    for network in _of(version, known):
        code += _unless_from(network, at, _LET_IN)
    code += dice
    for network in reversed(_of(version, pests[:PESTS_MAX])):
        code = _unless_from(network, at, [(_GO, 0, 0, len(code))]) + code
    for_help = [line for begin in exempt[:EXEMPT_MAX] for line in _unless_there(begin, URI_AT, _LET_IN)]
    return code + _unless_there(INVITE, 0, for_help + dice) + _LET_IN


def _of(version: int, networks: Iterable[str]) -> list[Network]:
    return [network for network in map(ip_network, networks) if network.version == version]


def _unless_from(network: Network, at: int, then: list[Instruction]) -> list[Instruction]:
    """Instructions that fall through where the source is not in this network, and else go on with `then`."""
    value, mask = network.network_address.packed, network.netmask.packed
    tests = []
    for place in range(0, len(value), 4):
        bits = int.from_bytes(mask[place : place + 4])
        if bits:
            loads = [(_LOAD, 0, 0, (_NETWORK_HEADER + at + place) & 0xFFFFFFFF), (_AND, 0, 0, bits)]
            tests.append((loads, int.from_bytes(value[place : place + 4])))
    return _all_of(tests, then)


def _unless_there(begin: bytes, at: int, then: list[Instruction]) -> list[Instruction]:
    """Instructions that fall through where the message does not have these bytes at this place, and else go on with
    `then`. Compared by four, and one by one what is left."""
    tests = []
    place = 0
    while place < len(begin):
        size, code = (4, _LOAD) if len(begin) - place >= 4 else (1, _LOAD_BYTE)
        tests.append(([(code, 0, 0, _PAYLOAD + at + place)], int.from_bytes(begin[place : place + size])))
        place += size
    return _all_of(tests, then)


def _all_of(tests: list[tuple[list[Instruction], int]], then: list[Instruction]) -> list[Instruction]:
    """`then` where each test loads what it wants, else on behind it. Only `_GO` reaches further than 255 lines."""
    code = then
    for loads, wanted in reversed(tests):
        code = [*loads, (_IF_EQUAL, 1, 0, wanted), (_GO, 0, 0, len(code)), *code]
    return code
