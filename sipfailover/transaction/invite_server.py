"""Server transaction for INVITE: RFC 3261 §17.2.1 (figure 7), with Accepted from RFC 6026 §7.1.

Repeats a failure until it is acknowledged. A 2xx is repeated by the user (§13.3.1.4), because only the user sees its
ACK; Accepted absorbs the INVITEs that were under way.
"""

from enum import IntEnum

from sipfailover.transaction.machine import (
    Input,
    Table,
    double_to_t2,
    drop,
    pass_up,
    resend,
    resend_if_any,
    send,
    start_again,
    start_end,
    stop_again,
)
from sipfailover.transaction.timers import LIFE, T4


class State(IntEnum):
    """Figure 7, and Accepted."""

    PROCEEDING = 0
    COMPLETED = 1
    CONFIRMED = 2
    ACCEPTED = 3
    TERMINATED = 4


PROCEEDING, COMPLETED, CONFIRMED, ACCEPTED, TERMINATED = State

TABLE: Table = {
    (PROCEEDING, Input.REQUEST):          (PROCEEDING, resend_if_any),
    (PROCEEDING, Input.SEND_PROVISIONAL): (PROCEEDING, send),
    (PROCEEDING, Input.SEND_SUCCESS):     (ACCEPTED, send, start_end(Input.TIMER_L, LIFE)),
    (PROCEEDING, Input.SEND_FAILURE):     (COMPLETED, send, start_again(Input.TIMER_G, lambda tx: tx.t1),
                                           start_end(Input.TIMER_H, LIFE)),
    (COMPLETED, Input.REQUEST):           (COMPLETED, resend),
    (COMPLETED, Input.TIMER_G):           (COMPLETED, resend, start_again(Input.TIMER_G, double_to_t2)),
    (COMPLETED, Input.TIMER_H):           (TERMINATED, drop, pass_up(Input.TIMER_H)),
    (COMPLETED, Input.ACK):               (CONFIRMED, stop_again, start_end(Input.TIMER_I, T4, 0.0)),
    (CONFIRMED, Input.TIMER_I):           (TERMINATED, drop),
    (ACCEPTED, Input.SEND_SUCCESS):       (ACCEPTED, resend),  # RFC 6026 §7.1: the user repeats its 2xx
    (ACCEPTED, Input.ACK):                (ACCEPTED, pass_up(Input.ACK)),  # RFC 2543: the ACK has the INVITE's branch
    (ACCEPTED, Input.TIMER_L):            (TERMINATED, drop),
}  # fmt: skip

IGNORED = {
    (PROCEEDING, Input.ACK): "acknowledges nothing",
    (COMPLETED, Input.SEND_PROVISIONAL): "answered already",
    (COMPLETED, Input.SEND_SUCCESS): "answered already: §17.2.1, any other final answer is discarded",
    (COMPLETED, Input.SEND_FAILURE): "answered already",
    (CONFIRMED, Input.REQUEST): "late, §17.2.1",
    (CONFIRMED, Input.ACK): "again: that is what Confirmed is for",
    (CONFIRMED, Input.SEND_PROVISIONAL): "answered already",
    (CONFIRMED, Input.SEND_SUCCESS): "answered already",
    (CONFIRMED, Input.SEND_FAILURE): "answered already",
    (ACCEPTED, Input.REQUEST): "absorbed, RFC 6026 §7.1: the user repeats the 2xx",
    (ACCEPTED, Input.SEND_PROVISIONAL): "answered already",
    (ACCEPTED, Input.SEND_FAILURE): "answered already",
}
