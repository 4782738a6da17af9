"""Under way: what had no end yet when a process died, as records: set-ups, answers, requests inside calls, BYEs.

In the same form as those of `keepsake`. A transaction is kept by what it takes to answer it: its key, where its answers
go, the lines that they begin with. Peers repeat what had no answer at all; but who has had 100 only waits, so each
INVITE has a record from before its 100 until its final answer is acknowledged. Of other requests there is none: they
are repeated, and then sent on a second time, because once more does less harm than never.
"""

import json
from typing import NamedTuple
from urllib.parse import quote

from sipfailover.flow import Target
from sipfailover.proxy.call import Attempt, Call
from sipfailover.proxy.keepsake import Epoch, LegRecord, Place, encoded, leg_record, place, text
from sipfailover.proxy.leg import Leg
from sipfailover.transaction import Transaction
from sipfailover.wire import Message, compose, rewrite

ANSWER, TRY, FINAL, ASK, BYE = "answer/", "try/", "final/", "ask/", "bye/"
"""What the keys begin with. Behind it: the number of the call; for a BYE, the tags of the leg, quoted."""


class AnswerRecord(NamedTuple):
    """A 2xx that may not be acknowledged yet, and the transaction it answers."""

    number: int
    branch: str
    sent_by: str
    to: Place
    data: str
    cseq: int = 0
    """Of that INVITE; 0: the one that began the call."""
    by_caller: bool = True
    """The calling side had asked."""
    at: float = 0.0
    """When it was answered, seconds since 1970; 0: when the call was."""


class TryRecord(NamedTuple):
    """A call that is being set up, and the INVITE that is under way."""

    number: int
    direction: str
    source: str
    line: str
    caller: str
    called: str
    first_choice: str
    attempts: int
    emergency: bool
    started_at: float
    call_id: str
    """Call-ID as the calling side knows it."""
    branch: str
    """Of our INVITE."""
    leg: LegRecord
    """It went to where this was reached."""
    their_branch: str
    sent_by: str
    to: Place
    """Where answers to the caller's INVITE go."""
    lines: str
    """The lines that they begin with, and then To."""


class ByeRecord(NamedTuple):
    """A BYE of ours that has no answer yet."""

    line: str
    """Name of the line it goes to."""
    leg: LegRecord


class FinalRecord(NamedTuple):
    """What a caller was told whose call came to nothing, and may not have acknowledged."""

    number: int
    branch: str
    sent_by: str
    to: Place
    data: str
    at: float


class AskRecord(NamedTuple):
    """An INVITE inside a call that was sent on, and has no final answer."""

    number: int
    by_caller: bool
    their_branch: str
    sent_by: str
    to: Place
    """Where answers to it go."""
    lines: str
    """The lines that they begin with."""
    request: str
    branch: str
    """Of our copy."""
    data: str
    """Our copy."""


# -- into records -----------------------------------------------------------------------------------------------------


def answer_key(leg: Leg) -> str:
    """The key of the 2xx that this leg was given."""
    return f"{ANSWER}{leg.call}{'' if leg.caller else '/called'}"


def answer_record(leg: Leg, tx: Transaction, data: bytes, at: float) -> bytes:
    """The 2xx that answers the last INVITE of this leg. `at`: seconds since 1970. On the path."""
    branch, sent_by, _ = tx.key
    return encoded(
        AnswerRecord(
            leg.call, text(branch), text(sent_by), _reply_place(tx), text(data), leg.uas_cseq, leg.caller, round(at, 3)
        )
    )


def final_record(call: int, tx: Transaction, at: float) -> bytes:
    """The failure that answers the INVITE which began this call."""
    branch, sent_by, _ = tx.key
    return encoded(FinalRecord(call, text(branch), text(sent_by), _reply_place(tx), text(tx.data), round(at, 3)))


def ask_record(leg: Leg, tx: Transaction, branch: bytes, data: bytes) -> bytes:
    """An INVITE inside a call, from this leg, and its copy."""
    assert tx.request is not None
    their_branch, sent_by, _ = tx.key
    return encoded(
        AskRecord(
            leg.call, leg.caller, text(their_branch), text(sent_by), _reply_place(tx), text(tx.lines),
            text(_whole(tx.request)), text(branch), text(data),
        )
    )  # fmt: skip


def try_record(call: Call, attempt: Attempt, tx: Transaction, epoch: Epoch, now: float) -> bytes:
    """A call whose INVITE leaves. On the path."""
    request = tx.request
    assert request is not None
    return encoded(
        TryRecord(
            call.number,
            call.direction,
            call.source.name,
            attempt.line.name,
            call.caller,
            call.called,
            call.first_choice,
            call.attempts,
            call.emergency,
            round(call.started_at + epoch(now) - now, 3),
            text(call.a.call_id),
            text(attempt.branch),
            leg_record(attempt.leg),
            text(tx.key[0]),
            text(tx.key[1]),
            _reply_place(tx),
            text(tx.lines + b"\r\n" + compose.to_line(request, call.a.local_tag)),
        )
    )


def _whole(request: Message) -> bytes:
    """A request as it came."""
    return rewrite(request, b"%b %b SIP/2.0" % (request.method, request.uri), frozenset())


def _reply_place(tx: Transaction) -> Place:
    """Where an answer goes when its connection is gone: to where its Via points (§18.2.2)."""
    to = tx.to
    if to.reliable and tx.request is not None:
        port = tx.request.via.port or to.default_port
        to = Target(to.transport, to.host, port, to.sent_by, to.local, line=to.line)
    return place(to)


def bye_key(leg: Leg) -> str:
    """The key of the BYE on this leg."""
    return BYE + quote(leg.key, safe=";")


def bye_record(leg: Leg, line: str) -> bytes:
    """A leg that has been sent its BYE."""
    return encoded(ByeRecord(line, leg_record(leg)))


# -- out of records ---------------------------------------------------------------------------------------------------
# They raise ValueError or TypeError for what no maker of ours has made.


def to_answer(record: bytes) -> AnswerRecord:
    """A 2xx that may not be acknowledged yet."""
    return AnswerRecord(*json.loads(record))


def to_try(record: bytes) -> TryRecord:
    """A call that was being set up."""
    found = TryRecord(*json.loads(record))
    return found._replace(leg=LegRecord(*found.leg))


def to_bye(record: bytes) -> ByeRecord:
    """A leg that has been sent its BYE."""
    found = ByeRecord(*json.loads(record))
    return found._replace(leg=LegRecord(*found.leg))


def to_final(record: bytes) -> FinalRecord:
    """What a caller was told whose call came to nothing."""
    return FinalRecord(*json.loads(record))


def to_ask(record: bytes) -> AskRecord:
    """An INVITE inside a call that had no final answer."""
    return AskRecord(*json.loads(record))
