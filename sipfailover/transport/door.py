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
from collections.abc import Iterable
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
KNOWN_MAX = 256
"""Addresses and networks that a filter lets in. With more the door stays open; nobody who is known is shut out."""

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27
# <linux/filter.h>: where a socket filter finds what is not in the datagram.
_NETWORK_HEADER, _RANDOM = -0x100000, -0x1000 + 56
_LOAD, _LOAD_BYTE, _AND, _IF_EQUAL, _IF_AT_LEAST, _RETURN = 0x20, 0x30, 0x54, 0x15, 0x35, 0x06
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
        if sum(map(len, rules)) > KNOWN_MAX:
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
            code = b"".join(
                _INSTRUCTION.pack(*line)
                for line in program(self._known, self._pests, self.exempt, self.share, sock.family)
            )
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
    known: Iterable[str], pests: Iterable[str], exempt: Iterable[bytes], share: float, family: int
) -> list[Instruction]:
    """The filter: INVITE of a pest → dice, unless exempt; source known → all of it; else dice. Dice: all of the datagram
    for this share, else nothing."""
    version, at = (6, _SOURCE_AT[socket.AF_INET6]) if family == socket.AF_INET6 else (4, _SOURCE_AT[socket.AF_INET])
    dice: list[Instruction] = [
        (_LOAD, 0, 0, _RANDOM & 0xFFFFFFFF),
        (_IF_AT_LEAST, 1, 0, min(0xFFFFFFFF, int(share * 2**32))),
        (_RETURN, 0, 0, _ALL),
        (_RETURN, 0, 0, _NOTHING),
    ]
    of_pest = _differs_or(
        INVITE, 0, [*(line for begin in exempt for line in _differs_or(begin, URI_AT, _LET_IN)), *dice]
    )
    code: list[Instruction] = []
    for network in _of(version, pests):
        code += _from_elsewhere_or(network, at, of_pest + _LET_IN)
    for network in _of(version, known):
        code += _from_elsewhere_or(network, at, _LET_IN)
    return code + dice


def _of(version: int, networks: Iterable[str]) -> list[Network]:
    return [network for network in map(ip_network, networks) if network.version == version]


def _differs_or(begin: bytes, at: int, then: list[Instruction]) -> list[Instruction]:
    """Instructions that fall through where the message does not have these bytes at this place, and else go on with
    `then`. What is left of four bytes is compared one by one."""
    tests: list[tuple[int, int, int]] = []
    place = 0
    while place < len(begin):
        size, code = (4, _LOAD) if len(begin) - place >= 4 else (1, _LOAD_BYTE)
        tests.append((code, _PAYLOAD + at + place, int.from_bytes(begin[place : place + size])))
        place += size
    code_lines: list[Instruction] = []
    for number, (code, where, wanted) in enumerate(tests):
        code_lines += [(code, 0, 0, where), (_IF_EQUAL, 0, 2 * (len(tests) - number - 1) + len(then), wanted)]
    return code_lines + then


def _from_elsewhere_or(network: Network, at: int, then: list[Instruction]) -> list[Instruction]:
    """Instructions that fall through where the source is not in this network, and else go on with `then`."""
    value, mask = network.network_address.packed, network.netmask.packed
    words = [
        (place, int.from_bytes(mask[place : place + 4]), int.from_bytes(value[place : place + 4]))
        for place in range(0, len(value), 4)
        if any(mask[place : place + 4])
    ]
    code: list[Instruction] = []
    for number, (place, bits, wanted) in enumerate(words):
        to_the_end = 3 * (len(words) - number - 1) + len(then)
        code.append((_LOAD, 0, 0, (_NETWORK_HEADER + at + place) & 0xFFFFFFFF))
        code.append((_AND, 0, 0, bits))
        code.append((_IF_EQUAL, 0, to_the_end, wanted))
    return code + then
