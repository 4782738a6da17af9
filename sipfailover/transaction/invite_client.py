"""Client transaction for INVITE: RFC 3261 §17.1.1 (figure 5), with Accepted from RFC 6026 §7.2 and CANCEL from §9.1.

Retransmits until somebody answers, acknowledges 300–699 itself, and lets every 2xx through for 64*T1, because a 2xx
may be repeated by a peer that lost our ACK. The ACK for 2xx is the user's business. Given up before any answer, it
stops asking, stays 64*T1 for whatever comes late, and cancels on the first provisional answer.
"""

from enum import IntEnum

from sipfailover.transaction.machine import (
    Input,
    Table,
    Transaction,
    double,
    drop,
    pass_up,
    release,
    resend,
    send,
    settle,
    start_again,
    start_end,
    stop_again,
    stop_end,
)
from sipfailover.transaction.timers import LIFE
from sipfailover.wire import Message, compose


class State(IntEnum):
    """Figure 5."""

    CALLING = 0
    PROCEEDING = 1
    COMPLETED = 2
    ACCEPTED = 3
    TERMINATED = 4


CALLING, PROCEEDING, COMPLETED, ACCEPTED, TERMINATED = State


def acknowledge(tx: Transaction, message: Message | None, now: float) -> None:
    """§17.1.1.3: the ACK to a failure is ours, and is kept to be said again."""
    assert message is not None
    tx.data = compose.ack(Message(tx.data), message)
    send(tx, message, now)


def remember_cancel(tx: Transaction, _message: Message | None, _now: float) -> None:
    """§9.1: a CANCEL must not leave before a provisional answer; the peer would not know what is meant."""
    tx.cancelled = True


def cancel(tx: Transaction, _message: Message | None, now: float) -> None:
    """Send the CANCEL, once."""
    tx.cancelled = True
    tx.layer.start_cancel(tx, now)


def cancel_if_due(tx: Transaction, message: Message | None, now: float) -> None:
    """The provisional answer for which a CANCEL was waiting is here."""
    if tx.cancelled:
        cancel(tx, message, now)
        start_end(Input.TIMER_B, LIFE)(tx, message, now)


TELL_PROVISIONAL = pass_up(Input.PROVISIONAL)
TELL_SUCCESS = pass_up(Input.SUCCESS)
TELL_FAILURE = pass_up(Input.FAILURE)

TABLE: Table = {
    (CALLING, Input.TIMER_A):        (CALLING, resend, start_again(Input.TIMER_A, double)),
    (CALLING, Input.TIMER_B):        (TERMINATED, drop, pass_up(Input.TIMER_B)),
    (CALLING, Input.LOST):           (TERMINATED, drop, pass_up(Input.LOST)),
    (CALLING, Input.CANCEL):         (CALLING, remember_cancel, stop_again, start_end(Input.TIMER_B, LIFE)),
    (CALLING, Input.PROVISIONAL):    (PROCEEDING, stop_again, stop_end, TELL_PROVISIONAL, cancel_if_due),
    (CALLING, Input.SUCCESS):        (ACCEPTED, stop_again, settle, release, TELL_SUCCESS,
                                      start_end(Input.TIMER_M, LIFE)),
    (CALLING, Input.FAILURE):        (COMPLETED, stop_again, settle, acknowledge, TELL_FAILURE,
                                      start_end(Input.TIMER_D, LIFE, 0.0)),
    (PROCEEDING, Input.PROVISIONAL): (PROCEEDING, TELL_PROVISIONAL),
    (PROCEEDING, Input.CANCEL):      (PROCEEDING, cancel, start_end(Input.TIMER_B, LIFE)),
    (PROCEEDING, Input.TIMER_B):     (TERMINATED, drop, pass_up(Input.TIMER_B)),  # §9.1: cancelled, and no final came
    (PROCEEDING, Input.LOST):        (PROCEEDING, settle, pass_up(Input.LOST)),  # §18.2.2: the answer needs none
    (PROCEEDING, Input.SUCCESS):     (ACCEPTED, settle, release, TELL_SUCCESS, start_end(Input.TIMER_M, LIFE)),
    (PROCEEDING, Input.FAILURE):     (COMPLETED, settle, acknowledge, TELL_FAILURE,
                                      start_end(Input.TIMER_D, LIFE, 0.0)),
    (COMPLETED, Input.FAILURE):      (COMPLETED, resend),  # §17.1.1.2: the peer lost our ACK
    (COMPLETED, Input.TIMER_D):      (TERMINATED, drop),
    (ACCEPTED, Input.SUCCESS):       (ACCEPTED, TELL_SUCCESS),  # RFC 6026 §7.2: repeated, or of another branch
    (ACCEPTED, Input.TIMER_M):       (TERMINATED, drop),
}  # fmt: skip

IGNORED = {
    (COMPLETED, Input.PROVISIONAL): "late 1xx, §17.1.1.2",
    (COMPLETED, Input.SUCCESS): "a 2xx after a failure: the layer passes it up as a stray answer",
    (COMPLETED, Input.CANCEL): "answered already, §9.1",
    (COMPLETED, Input.LOST): "settled: only the ACK could be lost, and the peer asks for it again",
    (ACCEPTED, Input.PROVISIONAL): "late 1xx",
    (ACCEPTED, Input.FAILURE): "a failure after a 2xx: another branch of a fork, which the 2xx outweighs (§13.2.2.4)",
    (ACCEPTED, Input.CANCEL): "answered already: the user hangs up",
    (ACCEPTED, Input.LOST): "the call is up; its next request finds out",
}
