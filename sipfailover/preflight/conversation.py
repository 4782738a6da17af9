"""Questions to carriers, one after the other, without a socket or a clock: RFC 3261 §17 does the repeating.

A script is a generator that yields a `Question` and is given its `Reply`; many run at once over one transaction layer.
What is asked, and what an answer means, is the scripts'. Times are seconds, monotonic.

    conversation.start(script, now)
    conversation.receive(flow, data, now) · lost(where, reason, now) · wake(now)
    for command in conversation.take(): …      # Send, or Ended
    conversation.deadline()
"""

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any

from sipfailover.chance import Chance
from sipfailover.errors import WireError
from sipfailover.flow import Flow, Send, Target
from sipfailover.transaction import Input, Layer, TimerQueue, Transaction
from sipfailover.wire import Message, compose

UNANSWERED = frozenset({Input.TIMER_B, Input.TIMER_F, Input.LOST})
FINAL = frozenset({Input.SUCCESS, Input.FAILURE})


@dataclass(frozen=True, slots=True)
class Question:
    """A request outside of any dialog, to be sent now."""

    method: bytes
    branch: bytes
    """The one in its topmost Via."""
    data: bytes
    to: Target
    within: float
    """Seconds to wait for a final answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of a question."""

    message: Message | None
    """The final answer, None if there was none."""
    why: str
    """Without an answer: the transport's word (`refused`, `local: no route`, …), or "" for silence."""
    seconds: float
    """From the first sending to the end."""
    sends: int
    """How often the request left."""
    at: float
    """When it ended."""
    source: Target | None = None
    """Where the answer came from."""
    altered: bool = False
    """The answer was not to our branch: somebody on the way has rewritten our Via."""


Script = Generator[Question, Reply, Any]
"""What it returns comes with `Ended`."""


@dataclass(slots=True, eq=False)
class Ended:
    """A script is over."""

    script: Script
    value: Any


@dataclass(slots=True, eq=False)
class _Waiting:
    """A script that waits for an answer."""

    script: Script
    question: Question
    key: tuple[bytes, int, bytes]
    """Call-ID, CSeq: what an answer keeps even if its Via was rewritten."""
    asked_at: float


class Conversation:
    """See the module."""

    def __init__(self, chance: Chance) -> None:
        self._chance = chance
        self._timers = TimerQueue()
        self._out: list[Send | Ended] = []
        self._layer = Layer(self._timers, self._out)
        self._waiting: dict[tuple[bytes, int, bytes], _Waiting] = {}
        """One for each script at most."""
        self._source: Flow | None = None

    def start(self, script: Script, now: float) -> None:
        """Begin: its first question leaves."""
        self._go_on(script, None, now)

    def receive(self, flow: Flow, data: bytes, now: float) -> None:
        """One message came. What cannot be read is ignored; requests of others are answered 503: nobody is here."""
        try:
            message = Message(data)
            self._layer.receive(flow, message, now)
        except WireError:
            return
        self._source = flow
        self._settle(now)
        self._source = None

    def lost(self, where: Target, reason: str, now: float) -> None:
        """What was sent there did not arrive."""
        self._layer.lost(where, reason, now)
        self._settle(now)

    def wake(self, now: float) -> None:
        """The deadline has come."""
        for owner, name in self._timers.expired(now):
            assert isinstance(owner, Transaction)
            self._layer.ring(owner, Input(name), now)
        self._settle(now)

    def deadline(self) -> float | None:
        """When to call `wake`; None while nothing is planned."""
        return self._timers.deadline()

    def take(self) -> list[Send | Ended]:
        """What is to be done, in order. The list is the caller's."""
        out = self._out.copy()
        self._out.clear()  # the layer appends to the same list
        return out

    # -- our own ------------------------------------------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        raised = self._layer.raised
        while raised:
            tx, what, message = raised.pop(0)
            if tx is None:
                if message is not None and what in FINAL:
                    self._astray(message, now)
            elif what is Input.REQUEST:
                self._refuse(tx, now)
            elif isinstance(tx.user, _Waiting) and what in FINAL | UNANSWERED:
                self._answered(tx.user, what, message, tx, now)

    def _answered(self, waiting: _Waiting, what: Input, message: Message | None, tx: Transaction, now: float) -> None:
        if self._waiting.get(waiting.key) is not waiting:
            return  # it was answered under another branch before
        del self._waiting[waiting.key]
        why = tx.reason if what is Input.LOST else ""
        source = self._source if message is not None else None
        reply = Reply(message, why, now - waiting.asked_at, tx.sends, now, source)
        self._go_on(waiting.script, reply, now)

    def _astray(self, message: Message, now: float) -> None:
        """An answer to no branch of ours, perhaps to a question of ours all the same."""
        waiting = self._waiting.pop((message.call_id, message.cseq, message.cseq_method), None)
        if waiting is not None:
            reply = Reply(message, "", now - waiting.asked_at, 1, now, self._source, altered=True)
            self._go_on(waiting.script, reply, now)

    def _refuse(self, tx: Transaction, now: float) -> None:
        request = tx.request
        assert request is not None
        data = compose.reply(503, b"Being checked", tx.lines, compose.to_line(request, self._chance.tag()))
        self._layer.respond(tx, 503, data, now)

    def _go_on(self, script: Script, reply: Reply | None, now: float) -> None:
        try:
            question = next(script) if reply is None else script.send(reply)
        except StopIteration as end:
            self._out.append(Ended(script, end.value))
            return
        request = Message(question.data)
        waiting = _Waiting(script, question, (request.call_id, request.cseq, request.method), now)
        self._waiting[waiting.key] = waiting
        self._layer.request(
            question.branch, question.method, question.data, question.to, waiting, now, life=question.within
        )
