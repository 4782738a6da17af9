"""Client transaction for everything but INVITE and ACK: RFC 3261 §17.1.2 (figure 6)."""

from enum import IntEnum

from sipfailover.transaction.machine import (
    Input,
    Table,
    Transaction,
    double_to_t2,
    drop,
    pass_up,
    resend,
    settle,
    start_again,
    start_end,
    stop_again,
)
from sipfailover.transaction.timers import T2, T4


class State(IntEnum):
    """Figure 6."""

    TRYING = 0
    PROCEEDING = 1
    COMPLETED = 2
    TERMINATED = 3


TRYING, PROCEEDING, COMPLETED, TERMINATED = State


def every_t2(_tx: Transaction) -> float:
    """§17.1.2.2: once somebody said 1xx, T2 is often enough."""
    return T2


TELL_PROVISIONAL = pass_up(Input.PROVISIONAL)
TELL_SUCCESS = pass_up(Input.SUCCESS)
TELL_FAILURE = pass_up(Input.FAILURE)
TELL_TIMEOUT = pass_up(Input.TIMER_F)
TELL_LOST = pass_up(Input.LOST)
START_K = start_end(Input.TIMER_K, T4, 0.0)

TABLE: Table = {
    (TRYING, Input.TIMER_E):         (TRYING, resend, start_again(Input.TIMER_E, double_to_t2)),
    (TRYING, Input.TIMER_F):         (TERMINATED, drop, TELL_TIMEOUT),
    (TRYING, Input.LOST):            (TERMINATED, drop, TELL_LOST),
    (TRYING, Input.PROVISIONAL):     (PROCEEDING, TELL_PROVISIONAL),
    (TRYING, Input.SUCCESS):         (COMPLETED, stop_again, settle, TELL_SUCCESS, START_K),
    (TRYING, Input.FAILURE):         (COMPLETED, stop_again, settle, TELL_FAILURE, START_K),
    (PROCEEDING, Input.TIMER_E):     (PROCEEDING, resend, start_again(Input.TIMER_E, every_t2)),
    (PROCEEDING, Input.TIMER_F):     (TERMINATED, drop, TELL_TIMEOUT),
    (PROCEEDING, Input.LOST):        (TERMINATED, drop, TELL_LOST),
    (PROCEEDING, Input.PROVISIONAL): (PROCEEDING, TELL_PROVISIONAL),
    (PROCEEDING, Input.SUCCESS):     (COMPLETED, stop_again, settle, TELL_SUCCESS, START_K),
    (PROCEEDING, Input.FAILURE):     (COMPLETED, stop_again, settle, TELL_FAILURE, START_K),
    (COMPLETED, Input.TIMER_K):      (TERMINATED, drop),
}  # fmt: skip

IGNORED = {
    (COMPLETED, Input.PROVISIONAL): "late 1xx, §17.1.2.2",
    (COMPLETED, Input.SUCCESS): "the answer again: that is what Completed is for",
    (COMPLETED, Input.FAILURE): "the answer again: that is what Completed is for",
    (COMPLETED, Input.LOST): "answered: nothing is to be sent any more",
}
