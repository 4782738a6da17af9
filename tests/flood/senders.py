"""What floods: a process that sends one kind of thing as fast as it is told, from addresses of one loopback network.

`python -m tests.flood.senders KIND HOST PORT SOURCE,… SECONDS RATE` and, at its end, how many were sent on standard
output. Datagrams leave 32 at a time (UDP_SEGMENT, udp(7)): one system call each would make the sender the slower one.
"""

import errno
import itertools
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

SOL_UDP, UDP_SEGMENT = 17, 103
TOGETHER = 32
"""Datagrams in one system call."""
STEP = 0.005
"""Seconds between two bursts."""
OPEN_MAX = 900
"""Connections that the flood of connections keeps open; the oldest goes first."""

INVITE = (
    b"INVITE sip:0443%(n)012d@%(to)s SIP/2.0\r\n"
    b"Via: SIP/2.0/UDP %(source)s:%(port)05d;branch=z9hG4bK%(n)012d\r\n"
    b"From: <sip:0525550100@%(source)s>;tag=%(n)012d\r\nTo: <sip:0443%(n)012d@%(to)s>\r\n"
    b"Call-ID: %(n)012d@flood\r\nCSeq: 1 INVITE\r\nContact: <sip:flood@%(source)s:%(port)05d>\r\n"
    b"Max-Forwards: 70\r\nContent-Type: application/sdp\r\nContent-Length: 130\r\n\r\n" + b"v=0".ljust(130)
)
REGISTER = (
    b"REGISTER sip:%(to)s SIP/2.0\r\nVia: SIP/2.0/UDP %(source)s:%(port)05d;branch=z9hG4bK%(n)012d\r\n"
    b"From: <sip:100@%(to)s>;tag=%(n)012d\r\nTo: <sip:100@%(to)s>\r\nCall-ID: %(n)012d@flood\r\nCSeq: 1 REGISTER\r\n"
    b"Contact: <sip:100@%(source)s:%(port)05d>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
)
OPTIONS = (
    b"OPTIONS sip:100@%(to)s SIP/2.0\r\nVia: SIP/2.0/UDP %(source)s:%(port)05d;branch=z9hG4bK%(n)012d;rport\r\n"
    b'From: "sipvicious"<sip:100@1.1.1.1>;tag=%(n)012d\r\nTo: "sipvicious"<sip:100@1.1.1.1>\r\n'
    b"Call-ID: %(n)012d@flood\r\nCSeq: 1 OPTIONS\r\nUser-Agent: friendly-scanner\r\nMax-Forwards: 70\r\n"
    b"Content-Length: 0\r\n\r\n"
)
TEXTS = {"invites": INVITE, "registers": REGISTER, "options": OPTIONS}


def datagrams(kind: str, to: str, source: str, port: int) -> Callable[[int], bytes]:
    """What makes the n-th datagram. All of one kind and source have the same length."""
    if kind == "garbage":
        return lambda n: os.urandom(400)
    text = TEXTS[kind]
    known = {b"to": to.encode(), b"source": source.encode(), b"port": port}
    return lambda n: text % {**known, b"n": n}


def flood(kind: str, host: str, port: int, sources: list[str], seconds: float, rate: float) -> int:
    """Send so many datagrams a second, or as many as can be. Returns how many left."""
    ends: list[tuple[socket.socket, Callable[[int], bytes]]] = []
    for source in sources:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((source, 0))
        sock.connect((host, port))
        make = datagrams(kind, host, source, sock.getsockname()[1])
        sock.setsockopt(SOL_UDP, UDP_SEGMENT, len(make(0)))
        ends.append((sock, make))
    number, begin = 0, time.monotonic()
    first = os.getpid() * 1_000_000
    turns = itertools.cycle(ends)
    while (passed := time.monotonic() - begin) < seconds:
        while number < passed * rate and time.monotonic() - begin < seconds:
            sock, make = next(turns)
            batch = b"".join([make(first + number + place) for place in range(TOGETHER)])
            with suppress(OSError):  # a port that is closed, a buffer that is full: a flood does not mind
                sock.send(batch)
                number += TOGETHER
        time.sleep(STEP)
    return number


def connect(host: str, port: int, sources: list[str], seconds: float, rate: float) -> int:
    """Open connections; every other one says nothing, the rest say half a message or nonsense. Returns how many."""
    kept: deque[socket.socket] = deque()
    turns, number, begin = itertools.cycle(sources), 0, time.monotonic()
    says = (b"", b"INVITE sip:1@example SIP/2.0\r\nContent-Length: 99999\r\n", b"", b"\x16\x03\x01\x02\x00\x01")
    while (passed := time.monotonic() - begin) < seconds:
        while number < passed * rate and time.monotonic() - begin < seconds:
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            with suppress(OSError):
                sock.bind((next(turns), 0))
                if sock.connect_ex((host, port)) in (0, errno.EINPROGRESS):
                    with suppress(OSError):
                        sock.send(says[number % len(says)])
            kept.append(sock)
            number += 1
            if len(kept) > OPEN_MAX:
                kept.popleft().close()
        time.sleep(STEP)
    return number


def main() -> None:
    kind, host, port, sources, seconds, rate = sys.argv[1:]
    if kind == "connections":
        sent = connect(host, int(port), sources.split(","), float(seconds), float(rate))
    else:
        sent = flood(kind, host, int(port), sources.split(","), float(seconds), float(rate))
    print(f"sent {sent}")


if __name__ == "__main__":
    main()
