"""`python -m tests.bench.path`: what a call costs between bytes in and bytes out, without sockets, disk and kernel.

The same calls as SIPp places them (seven messages come in, eight leave), given to an engine that keeps records for a
restart. It shows where a change goes in seconds instead of minutes: the median of each message, which others at work on
the machine hardly move. What users pay is measured by `python -m tests.bench`.
"""

import argparse
import gc
import statistics
import time

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.flow import UDP, Flow, Send, Target
from sipfailover.proxy import Engine
from sipfailover.wire import Message

OURS, PBX, MAIN = "127.1.2.1", "127.1.2.2", "127.1.2.10"
SETTINGS = f"""
pbx: {PBX}:5060
listen: [udp {OURS}:5060]
trunks:
  - {{name: main, host: {MAIN}, port: 5060, register: no}}
"""
SDP = (
    b"v=0\r\no=office 53655765 2353687637 IN IP4 127.1.2.2\r\ns=-\r\nc=IN IP4 127.1.2.2\r\nt=0 0\r\n"
    b"m=audio 6000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
)
CALLS = 5000
APART = 1 / 800
"""Seconds between two calls on the engine's clock: its timers ring as they do under load."""


class World:
    """One engine and both its peers. `spent`: message → seconds in the engine, one for each of its kind."""

    def __init__(self) -> None:
        self.now = 0.0
        self.engine = Engine(parse(SETTINGS), Chance(1), self.now)
        self.engine.restore((), self.now)
        for name, host in (("pbx", PBX), ("main", MAIN)):
            self.engine.resolved(name, (Target(UDP, host, 5060, f"{OURS}:5060".encode(), OURS),), self.now)
        self.engine.take()
        self.pbx = Flow(UDP, PBX, 5070, f"{OURS}:5060".encode(), OURS)
        self.main = Flow(UDP, MAIN, 5060, f"{OURS}:5060".encode(), OURS)
        self.calls = 0
        self.spent: dict[str, list[float]] = {}

    def give(self, name: str, flow: Flow, data: bytes) -> list[bytes]:
        """One message comes in; what leaves towards the other side or back."""
        engine, now = self.engine, self.now
        start = time.perf_counter()
        engine.receive(flow, data, now)
        commands = engine.take()
        engine.deadline()
        self.spent.setdefault(name, []).append(time.perf_counter() - start)
        return [command.data for command in commands if isinstance(command, Send)]

    def begin(self) -> tuple[bytes, bytes]:
        """A call is placed, rings, is answered and acknowledged; (the INVITE's dialog lines, those of the answer)."""
        self.calls += 1
        number = self.calls
        self.now += APART
        beside = f"Call-ID: {number}-24494@{PBX}\r\n"
        who = f'From: "Office" <sip:0525550100@{PBX}:5070>;tag=24494caller{number}\r\n'
        to = f"To: <sip:0443100{number}@{OURS}:5060>"
        via = f"Via: SIP/2.0/UDP {PBX}:5070;branch=z9hG4bK-24494-{number}-"
        invite = (
            f"INVITE sip:0443100{number}@{OURS}:5060;transport=UDP SIP/2.0\r\n{via}0\r\n{who}{to}\r\n{beside}"
            f"CSeq: 1 INVITE\r\nContact: <sip:0525550100@{PBX}:5070;transport=UDP>\r\nMax-Forwards: 70\r\n"
            "Allow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nContent-Type: application/sdp\r\n"
            f"Content-Length: {len(SDP)}\r\n\r\n"
        ).encode() + SDP
        sent = self.give("INVITE", self.pbx, invite)
        asked = Message(sent[-1])
        self.give("180", self.main, self.answer(asked, b"180 Ringing", number))
        (answer,) = self.give("200", self.main, self.answer(asked, b"200 OK", number, SDP))
        said = Message(answer)
        self.target, self.dialog = said.first[b"contact"][10:-1], (who + said.first[b"to"].decode() + "\r\n" + beside)
        self.via, self.tag = via, said.to_tag
        ack = (
            b"ACK %b SIP/2.0\r\n" % self.target
            + (
                f"{via}5\r\n{self.dialog}CSeq: 1 ACK\r\nContact: <sip:0525550100@{PBX}:5070;transport=UDP>\r\n"
                "Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
            ).encode()
        )
        self.give("ACK", self.pbx, ack)
        return self.target, self.dialog.encode()

    def end(self) -> None:
        """The caller hangs up, and the other side agrees."""
        bye = (
            b"BYE %b SIP/2.0\r\n" % self.target
            + (f"{self.via}7\r\n{self.dialog}CSeq: 2 BYE\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n").encode()
        )
        sent = self.give("BYE", self.pbx, bye)
        self.give("200 BYE", self.main, self.answer(Message(sent[-1]), b"200 OK", self.calls))

    def ring(self) -> None:
        """Timers that are due."""
        start = time.perf_counter()
        due = self.engine.deadline()
        if due is not None and due <= self.now:
            self.engine.wake(self.now)
        self.engine.take()
        self.spent.setdefault("timers", []).append(time.perf_counter() - start)

    @staticmethod
    def answer(request: Message, status: bytes, number: int, body: bytes = b"") -> bytes:
        """What the called side answers."""
        first = request.first
        tag = b"" if request.to_tag else b";tag=24466callee%d" % number
        contact = b"Contact: <sip:%b:5060;transport=UDP>\r\n" % MAIN.encode() if request.method == b"INVITE" else b""
        kind = b"Content-Type: application/sdp\r\n" if body else b""
        lines = b"\r\n".join((first[b"via"], first[b"from"], first[b"to"] + tag, first[b"call-id"], first[b"cseq"]))
        return b"SIP/2.0 %b\r\n%b\r\n%b%bContent-Length: %d\r\n\r\n%b" % (
            status, lines, contact, kind, len(body), body,
        )  # fmt: skip


def held(world: World, calls: int) -> None:
    """So many calls that nobody ends."""
    for _ in range(calls):
        world.begin()
        world.ring()


def measure(world: World, calls: int) -> dict[str, float]:
    """Microseconds by message, the median of each."""
    world.spent = {}
    for _ in range(calls):
        world.begin()
        world.end()
        world.ring()
    return {name: 1e6 * statistics.median(seconds) for name, seconds in world.spent.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.path", description=__doc__)
    parser.add_argument("--calls", type=int, default=CALLS)
    parser.add_argument("--held", type=int, default=0, help="calls that are held meanwhile")
    options = parser.parse_args()
    world = World()
    held(world, options.held)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    found = measure(world, options.calls)
    for name, microseconds in found.items():
        print(f"{name:10} {microseconds:7.1f} µs")
    print(f"{'a call':10} {sum(found.values()):7.1f} µs")


if __name__ == "__main__":
    main()
