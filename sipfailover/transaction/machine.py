"""What the four state machines have in common: inputs, the transaction, the step, and the effects a row may name.

A table is a dictionary (state, input) → (next state, effect, …). Pairs that are in no table mean nothing; each machine
lists them in `IGNORED` with the reason, and a test walks the product. Acting on what is passed up is the user's
(`proxy`); sockets are the shell's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import TYPE_CHECKING

from sipfailover.flow import Send, Target
from sipfailover.transaction.timers import T2, Timer
from sipfailover.wire import Message

if TYPE_CHECKING:
    from sipfailover.transaction.layer import Layer


class Input(IntEnum):
    """What can happen to a transaction: messages, timers by their letters, and the wishes of its user."""

    REQUEST = 0
    """The request came again (server), or came (as told to the user)."""
    ACK = 1
    PROVISIONAL = 2
    SUCCESS = 3
    FAILURE = 4
    """300 to 699."""
    SEND_PROVISIONAL = 5
    SEND_SUCCESS = 6
    SEND_FAILURE = 7
    CANCEL = 8
    """The user does not want an answer to its INVITE any more."""
    LOST = 9
    """The transport could not deliver, or lost the connection."""
    TIMER_A = 10
    TIMER_B = 11
    TIMER_D = 12
    TIMER_E = 13
    TIMER_F = 14
    TIMER_G = 15
    TIMER_H = 16
    TIMER_I = 17
    TIMER_J = 18
    TIMER_K = 19
    TIMER_L = 20
    TIMER_M = 21


RESPONSES = (Input.PROVISIONAL, Input.PROVISIONAL, Input.SUCCESS, *[Input.FAILURE] * 4)
"""Class of a status → input. Index 0 is not used."""
SENDING = (Input.SEND_PROVISIONAL, Input.SEND_PROVISIONAL, Input.SEND_SUCCESS, *[Input.SEND_FAILURE] * 4)

Effect = Callable[["Transaction", Message | None, float], None]
Table = Mapping[tuple[int, Input], tuple[IntEnum, *tuple[Effect, ...]]]


class Transaction:
    """One transaction, of whichever kind its table makes it."""

    __slots__ = (
        "again", "cancelled", "data", "end", "interval", "key", "layer", "lines", "merge_key", "reason", "request",
        "sends", "state", "t1", "table", "to", "user",
    )  # fmt: skip

    def __init__(
        self, layer: Layer, table: Table, state: IntEnum, key: tuple[bytes, bytes, bytes], to: Target, t1: float
    ) -> None:
        self.layer = layer
        self.table = table
        self.state = state
        self.key = key
        """(branch, sent-by, method): §17.2.3. For clients the sent-by is b"", because the branch is ours."""
        self.to = to
        """Where requests (client) or answers (server) go."""
        self.t1 = t1
        self.data = b""
        """What may have to be sent again: the request, the ACK to its failure, or the last answer."""
        self.sends = 0
        """How often the request left (client)."""
        self.interval = t1
        self.again: Timer | None = None
        """Timer A, E or G."""
        self.end: Timer | None = None
        """The timer that ends the present state."""
        self.cancelled = False
        """The user has asked for CANCEL (INVITE client)."""
        self.user: object = None
        """Whose it is; given back with everything that is passed up."""
        self.request: Message | None = None
        """The request (server); None when its 2xx has been acknowledged."""
        self.lines = b""
        """The lines that every answer begins with (server); the Reason of the CANCEL (INVITE client)."""
        self.merge_key: tuple[bytes, bytes, int] | None = None
        """Under which a merged request is recognised (INVITE server, §8.2.2.2)."""
        self.reason = ""
        """Why the transport lost it."""

    def __repr__(self) -> str:
        method, way = self.key[2].decode("latin-1"), "to" if self.layer.clients.get(self.key) is self else "from"
        return f"<Transaction {method} {way} {self.to}: {self.state.name}>"


def step(tx: Transaction, what: Input, message: Message | None, now: float) -> bool:
    """Take one input. False if the table has no row for it, so that nothing happened. On the path."""
    row = tx.table.get((tx.state, what))
    if row is None:
        return False
    tx.state = row[0]
    for effect in row[1:]:
        effect(tx, message, now)
    return True


MAX_METHODS = 32
"""Methods that are counted one by one. RFCs know 14; others come from whoever makes them up."""


def count(counter: dict[bytes, int], method: bytes) -> None:
    """One more of this method; b"other" once there are `MAX_METHODS`."""
    if method not in counter and len(counter) >= MAX_METHODS:
        method = b"other"
    counter[method] = counter.get(method, 0) + 1


# -- effects ----------------------------------------------------------------------------------------------------------


def send(tx: Transaction, _message: Message | None, _now: float) -> None:
    """Send what is kept, again or for the first time."""
    tx.layer.out.append(Send(tx.to, tx.data))


def resend(tx: Transaction, _message: Message | None, _now: float) -> None:
    """The same bytes once more."""
    tx.sends += 1
    count(tx.layer.repeats_out, tx.key[2])
    tx.layer.out.append(Send(tx.to, tx.data))


def resend_if_any(tx: Transaction, message: Message | None, now: float) -> None:
    """The last answer once more, if there was one yet."""
    if tx.data:
        resend(tx, message, now)


def pass_up(what: Input) -> Effect:
    """The user is told this."""

    def tell(tx: Transaction, message: Message | None, _now: float) -> None:
        tx.layer.raised.append((tx, what, message))

    return tell


def double(tx: Transaction) -> float:
    """Twice the interval (timer A)."""
    tx.interval *= 2
    return tx.interval


def double_to_t2(tx: Transaction) -> float:
    """Twice the interval, T2 at most (timers E and G)."""
    tx.interval = min(T2, tx.interval * 2)
    return tx.interval


def start_again(name: Input, seconds: Callable[[Transaction], float]) -> Effect:
    """Start the timer that sends again, on transports that lose data."""

    def start(tx: Transaction, _message: Message | None, now: float) -> None:
        if not tx.to.reliable:
            tx.again = tx.layer.timers.start(seconds(tx), now, name, tx)

    return start


def start_end(name: Input, unreliable: float, reliable: float | None = None) -> Effect:
    """Start the timer that ends the state: `unreliable` seconds, or `reliable` over a stream (None: as long)."""
    over_stream = unreliable if reliable is None else reliable

    def start(tx: Transaction, _message: Message | None, now: float) -> None:
        if tx.end is not None:
            tx.end.owner = None
        tx.end = tx.layer.timers.start(over_stream if tx.to.reliable else unreliable, now, name, tx)

    return start


def stop_again(tx: Transaction, _message: Message | None, _now: float) -> None:
    """No further repetition."""
    if tx.again is not None:
        tx.again.owner = None
        tx.again = None


def stop_end(tx: Transaction, _message: Message | None, _now: float) -> None:
    """Nothing ends this state but messages."""
    if tx.end is not None:
        tx.end.owner = None
        tx.end = None


def settle(tx: Transaction, _message: Message | None, _now: float) -> None:
    """It has its final answer, or will have none: what the transport loses from now on does not concern it."""
    waiting = tx.layer.waiting.get(tx.to.peer)
    if waiting is not None:
        waiting.pop(tx.key, None)
        if not waiting:
            del tx.layer.waiting[tx.to.peer]


def release(tx: Transaction, _message: Message | None, _now: float) -> None:
    """Nothing is sent again: let go of it. A call has its INVITE for 64*T1 otherwise."""
    tx.data = b""


def drop(tx: Transaction, message: Message | None, now: float) -> None:
    """It is over: forget it."""
    stop_again(tx, message, now)
    stop_end(tx, message, now)
    settle(tx, message, now)
    tx.layer.forget(tx)
