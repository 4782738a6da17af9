"""A hundred thousand damaged messages into an engine, from everybody it knows: it never raises, and keeps nothing."""

import random
import time

import pytest

from sipfailover.chance import Chance
from sipfailover.flow import Flow
from sipfailover.proxy import Engine
from sipfailover.proxy.commands import Send
from sipfailover.proxy.rung import EMERGENCY_ROUNDS
from tests.kit import target
from tests.kit.leftovers import leftovers
from tests.kit.playbook import is_probe
from tests.properties.test_fuzz import COUNT, GROWTH, LIMIT, SEED, damaged, resident
from tests.proxy.office import BACKUP, MAIN, PBX, RING, office, tcp

KEPT = 20_000
"""Transactions, legs and calls that may be there at once: at 20 messages a second, 64*T1 is 640 messages."""
PEERS = (PBX, MAIN, BACKUP, tcp("PBX over tcp", PBX.host), tcp("main over tcp", MAIN.host))


class Fuzzed:
    """An engine under fire. Each message comes 50 ms after the last; carriers answer some of what reaches them, with
    damage as well."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.engine: Engine = office().engine
        self.engine.core.chance = Chance(seed)
        self.now = 1.0
        self.slowest = 0.0
        self.calls = 0

    def eat(self, data: bytes) -> None:
        self._pass(0.05)
        self._timed(self.dice.choice(PEERS), data)

    def _timed(self, flow: Flow, data: bytes) -> None:
        """`LIMIT` for one input. What takes longer is measured again, by new engines: machines hiccup."""
        start = time.perf_counter()
        self._receive(flow, data)
        took = time.perf_counter() - start
        if took > LIMIT:
            took = min(fresh(flow, data) for _ in range(5))
            assert took < LIMIT, f"{took * 1000:.1f} ms for {len(data)} bytes from {flow}: {data[:2000]!r}"
        self.slowest = max(self.slowest, took)

    def _receive(self, flow: Flow, data: bytes) -> None:
        try:
            self.engine.receive(flow, data, self.now)
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} ({error}) from {flow}, {data!r}") from error
        self._answer()

    def _pass(self, seconds: float) -> None:
        until = self.now + seconds
        while (due := self.engine.deadline()) is not None and due <= until:
            self.now = max(self.now, due)
            self.engine.wake(self.now)
            self._answer()
        self.now = until

    def _answer(self) -> None:
        """What our side was asked is answered now and then, soundly or not."""
        for one in self.engine.take():
            if not isinstance(one, Send) or one.data[:4] == b"SIP/" or one.data[:4] == b"ACK ":
                continue
            self.calls += one.data.startswith(b"INVITE ")
            if not is_probe(one.data) and self.dice.random() < 0.4:
                continue
            status = 200 if is_probe(one.data) else self.dice.choice([100, 180, 183, 200, 200, 302, 404, 486, 503])
            _, _, lines = one.data.partition(b"\r\n")
            head = lines.partition(b"\r\n\r\n")[0]
            reply = bytearray(b"SIP/2.0 %d x\r\n%b\r\n\r\n" % (status, head.replace(b"Content-Length", b"X-Length")))
            reply = reply.replace(b"\r\nTo: ", b"\r\nContact: <sip:x@%b>\r\nTo: " % one.to.host.encode(), 1)
            if not is_probe(one.data) and self.dice.random() < 0.3 and reply:
                reply[self.dice.randrange(len(reply))] ^= 1 << self.dice.randrange(8)
            peer = Flow(one.to.transport, one.to.host, one.to.port, one.to.sent_by, one.to.local)
            if any(peer.peer == target(known).peer for known in PEERS):
                self._receive(peer, bytes(reply))

    def tables(self) -> int:
        """Everything that is kept now."""
        core = self.engine.core
        return len(core.layer) + len(core.legs) + len(core.calls) + len(core.layer.merged) + len(core.timers)

    def end(self) -> None:
        """Nobody says anything any more; calls that were answered go on until they are hung up."""
        self._pass(EMERGENCY_ROUNDS * len(self.engine.core.trunks) * RING + 400.0)
        for leg in list(self.engine.core.legs.values()):
            call = self.engine.core.calls.get(leg.call)
            self.engine.inside.hang_up(leg, self.now)
            if call is not None:
                self.engine.core.end(call, 200, "sipfailover", self.now)
        self._pass(400.0)
        assert leftovers(self.engine) == []


def fresh(flow: Flow, data: bytes) -> float:
    """Seconds that an engine without any history takes for this."""
    engine = office().engine
    start = time.perf_counter()
    engine.receive(flow, data, 1.0)
    return time.perf_counter() - start


@pytest.mark.slow
def test_a_hundred_thousand_damaged_messages_do_an_engine_no_harm() -> None:
    fuzzed = Fuzzed(SEED)
    before, most = 0, 0
    for index, data in enumerate(damaged(COUNT, SEED)):
        if index == COUNT // 5:
            before = resident()
        fuzzed.eat(data)
        if index % 1000 == 0:
            most = max(most, fuzzed.tables())
    grown = resident() - before
    assert fuzzed.calls > 1000, "the damage leaves too few calls"
    assert most < KEPT
    assert grown < GROWTH, f"grew by {grown / 2**20:.1f} MiB"
    fuzzed.end()


def test_some_damaged_messages_do_an_engine_no_harm() -> None:
    fuzzed = Fuzzed(SEED + 1)
    for data in damaged(1000, SEED + 1):
        fuzzed.eat(data)
    fuzzed.end()
