"""A hundred thousand damaged messages through everything that reads them: only our own errors, quickly, and no leak.

Every run damages the same vectors in the same way. A target is whatever eats bytes: add one to `TARGETS`.
"""

import gc
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from sipfailover.errors import WireError
from sipfailover.flow import Flow, Send
from sipfailover.transaction import Input, Layer, TimerQueue
from sipfailover.wire import Message, StreamFramer, compose

VECTORS = Path(__file__).parent.parent / "vectors"
COUNT = 100_000
SEED = 2018
LIMIT = 0.005
"""Seconds for one input under 64 kB. What takes longer is measured again, the best of five: machines hiccup."""
GROWTH = 8 * 2**20
"""Bytes that the process may grow from the first fifth of the run to its end."""

# -- damage -----------------------------------------------------------------------------------------------------------

Damage = Callable[[random.Random, bytearray, list[bytes]], None]


def flip_bits(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    for _ in range(dice.randint(1, 8)):
        if data:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)


def truncate(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    del data[dice.randint(0, len(data)) :]


def splice(dice: random.Random, data: bytearray, others: list[bytes]) -> None:
    other = dice.choice(others)
    at, start = dice.randint(0, len(data)), dice.randint(0, len(other))
    data[at : at + dice.randint(0, 40)] = other[start : start + dice.randint(1, 200)]


def duplicate_line(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    lines = bytes(data).split(b"\r\n")
    line = dice.choice(lines)
    lines.insert(dice.randint(0, len(lines)), line)
    data[:] = b"\r\n".join(lines)


def insert_line_end(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    at = dice.randint(0, len(data))
    data[at:at] = dice.choice([b"\r\n", b"\r", b"\n", b"\r\n ", b"\r\n\r\n", b"\0", b"\x0b", b"\r\nTo: x\r\n"])


def huge_number(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    digits = [index for index, byte in enumerate(data) if 48 <= byte <= 57]
    if digits:
        at = dice.choice(digits)
        data[at : at + 1] = dice.choice(
            [b"-1", b"9" * dice.choice([10, 11, 400]), b"4294967296", b"2147483648", b"0x7f"]
        )


def insert_mark(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    at = dice.randint(0, len(data))
    data[at:at] = dice.choice(
        [b'"', b"<", b">", b",", b";", b":", b"=", b"\\", b";tag=x", b"@", b"[", b"%00", b"?", b" "]
    )


def repeat(dice: random.Random, data: bytearray, _all: list[bytes]) -> None:
    """A piece so often that the message gets large, now and then as large as can be."""
    at = dice.randint(0, len(data))
    piece = bytes(data[at : at + dice.randint(1, 30)]) or b","
    size = 60_000 if dice.random() < 0.02 else 500
    data[at:at] = piece * (size // len(piece))


DAMAGES: list[Damage] = [
    flip_bits, truncate, splice, splice, duplicate_line, insert_line_end, huge_number, insert_mark, repeat,
]  # fmt: skip


def damaged(count: int, seed: int) -> Iterator[bytes]:
    """This many damaged messages; the same for the same seed."""
    dice = random.Random(seed)
    vectors = [path.read_bytes() for path in sorted(VECTORS.rglob("*")) if path.suffix in (".dat", ".sip")]
    assert len(vectors) == 540
    for _ in range(count):
        data = bytearray(dice.choice(vectors))
        for _ in range(dice.choice([1, 1, 1, 2, 3, 5])):
            dice.choice(DAMAGES)(dice, data, vectors)
        yield bytes(data[:65_535])


# -- targets ----------------------------------------------------------------------------------------------------------


class Target(Protocol):
    """Whatever eats bytes. Raises WireError for what cannot be served, and nothing else."""

    def eat(self, data: bytes) -> None: ...

    def end(self) -> None:
        """The run is over: nothing may be left."""


class Datagrams:
    """Each input is a datagram for the transaction layer, whose user answers every request; time goes by."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers = TimerQueue()
        self.out: list[Send] = []
        self.layer = Layer(self.timers, self.out)
        self.flow = Flow("udp", "2001:db8::10", 40000, b"[2001:db8::1]:5060")
        self.served = 0

    def eat(self, data: bytes) -> None:
        self.pass_time(0.05)
        try:
            message = Message(data)
        except WireError as error:
            answer = compose.refusal(data, error.status, error.text.encode("latin-1", "replace"))
            assert answer is None or answer.count(b"\r\n\r\n") == 1
            raise
        self.layer.receive(self.flow, message, self.now)
        self.served += 1
        for tx, what, request in self.layer.raised:
            if tx is not None and what is Input.REQUEST and request is not None:
                # The layer has taken it, so it can be answered: an error here is no longer the peer's.
                to = compose.to_line(request, b"us")
                self.layer.respond(tx, 486, compose.reply(486, b"", tx.lines, to), self.now)
        self.layer.raised.clear()
        for send in self.out:
            Message(send.data)
        self.out.clear()

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        for owner, name in self.timers.expired(self.now):
            self.layer.ring(owner, Input(name), self.now)  # type: ignore[arg-type]
        self.layer.raised.clear()
        self.out.clear()

    def end(self) -> None:
        assert self.served > 1000, "the damage leaves too little to serve"
        self.pass_time(40.0)
        self.pass_time(40.0)
        layer = self.layer
        assert (layer.clients, layer.servers, layer.waiting, layer.merged) == ({}, {}, {}, {})
        assert len(self.timers) == 0
        assert max(len(layer.repeats_in), len(layer.repeats_out)) < 40


class Streams:
    """Each input is a connection of its own, whole or byte by byte; what comes out is read."""

    def __init__(self, size: int = 65_536) -> None:
        self.size = size
        self.messages = 0

    def eat(self, data: bytes) -> None:
        framer = StreamFramer()
        for at in range(0, len(data), self.size):
            for one in framer.feed(data[at : at + self.size]):
                self.messages += 1
                Message(one)
        assert framer.pending <= 65_535 + self.size

    def end(self) -> None:
        assert self.messages > 1000


TARGETS: dict[str, tuple[Callable[[], Target], bool]] = {
    "datagrams": (Datagrams, True),
    "streams": (Streams, True),
    "streams byte by byte": (lambda: Streams(1), False),
}
"""Name → how to make it, and whether `LIMIT` counts for it (one call a byte costs its own time)."""


def resident() -> int:
    """Bytes of memory that this process has."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def seconds(target: Target, data: bytes) -> float:
    start = time.perf_counter()
    try:
        target.eat(data)
    except WireError:
        pass
    except Exception as error:
        raise AssertionError(f"{type(error).__name__} ({error}) from these bytes: {data!r}") from error
    return time.perf_counter() - start


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_messages_do_no_harm(name: str) -> None:
    make, limited = TARGETS[name]
    target = make()
    before = 0
    for index, data in enumerate(damaged(COUNT, SEED)):
        if index == COUNT // 5:
            before = resident()
        took = seconds(target, data)
        if limited and took > LIMIT:
            best = min(seconds(make(), data) for _ in range(5))
            assert best < LIMIT, f"{best * 1000:.1f} ms for {len(data)} bytes: {data[:2000]!r}"
    grown = resident() - before
    target.end()
    assert grown < GROWTH, f"grew by {grown / 2**20:.1f} MiB"


@pytest.mark.parametrize("name", TARGETS)
def test_some_damaged_messages_do_no_harm(name: str) -> None:
    """The same in small, for every run."""
    target = TARGETS[name][0]()
    for data in damaged(1000, SEED + 1):
        seconds(target, data)


def test_damage_is_the_same_for_the_same_seed() -> None:
    assert list(damaged(50, 1)) == list(damaged(50, 1)) != list(damaged(50, 2))
