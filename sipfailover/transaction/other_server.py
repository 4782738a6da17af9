"""Server transaction for everything but INVITE and ACK: RFC 3261 §17.2.2 (figure 8)."""

from enum import IntEnum

from sipfailover.transaction.machine import Input, Table, drop, resend, send, start_end
from sipfailover.transaction.timers import LIFE


class State(IntEnum):
    """Figure 8."""

    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    TERMINATED = 3


TRYING, PROCEEDING, COMPLETED, TERMINATED = State

START_J = start_end(Input.TIMER_J, LIFE, 0.0)

TABLE: Table = {
    (TRYING, Input.SEND_PROVISIONAL):     (PROCEEDING, send),
    (TRYING, Input.SEND_SUCCESS):         (COMPLETED, send, START_J),
    (TRYING, Input.SEND_FAILURE):         (COMPLETED, send, START_J),
    (PROCEEDING, Input.REQUEST):          (PROCEEDING, resend),
    (PROCEEDING, Input.SEND_PROVISIONAL): (PROCEEDING, send),
    (PROCEEDING, Input.SEND_SUCCESS):     (COMPLETED, send, START_J),
    (PROCEEDING, Input.SEND_FAILURE):     (COMPLETED, send, START_J),
    (COMPLETED, Input.REQUEST):           (COMPLETED, resend),
    (COMPLETED, Input.TIMER_J):           (TERMINATED, drop),
}  # fmt: skip

IGNORED = {
    (TRYING, Input.REQUEST): "discarded until there is an answer, §17.2.2",
    (COMPLETED, Input.SEND_PROVISIONAL): "answered already",
    (COMPLETED, Input.SEND_SUCCESS): "answered already: §17.2.2, any other final answer is discarded",
    (COMPLETED, Input.SEND_FAILURE): "answered already",
}
