"""What an answer to REGISTER means (RFC 3261 §10.2.4, §10.2.8, §10.3). Pure functions.

What follows from it is the table in `trunk.registration`.
"""

from dataclasses import dataclass
from enum import IntEnum

from sipfailover.trunk.register import Ask, Bindings, Purpose, RegisterAnswer, sort_out
from sipfailover.trunk.standing import RegistrationSign

EXPIRES_MAX = 7200
"""Seconds. A Min-Expires above it is a failure: what for would a carrier want that?"""
MAX_BRIEF = 3
"""423 answered at once so many times in a row, then it is a failure like others."""


class Input(IntEnum):
    """What can happen to a registration."""

    START = 0
    DUE = 1
    """It is time, and a REGISTER leaves."""
    CLEAR = 2
    """There are stale bindings, and a REGISTER against them leaves."""
    CHALLENGED = 3
    GRANTED = 4
    DONE = 5
    """2xx to a REGISTER that removes."""
    LOST = 6
    """2xx, but without a binding of ours, or with one of no duration."""
    TOO_BRIEF = 7
    """423 with a Min-Expires that we can meet."""
    REFUSED = 8
    """401, 403 or 407, credentials and all."""
    FAILED = 9
    """Any other answer, silence, or the transport."""
    EXPIRED = 10
    """The time of the binding is over."""
    HURRY = 11
    """Our address moved, the connection was lost, somebody wants to know."""
    STOP = 12
    """Remove the binding and end."""
    QUIT = 13
    """End, and leave the binding to its time."""
    WIPE = 14
    """It is the start, all bindings of the account shall go, and a REGISTER against them leaves."""
    MOVED = 15
    """Another edge of the carrier is used from now on: what was asked at the old one is of no interest."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one REGISTER ended, with what its effects need."""

    why: str = ""
    retry_after: float = 0.0
    """Seconds, 0 if the answer had none."""
    answer: RegisterAnswer | None = None
    granted: int = 0
    """Seconds, as the registrar said."""
    bindings: Bindings | None = None


ANSWERS: dict[int | str, Input] = {
    "2xx": Input.GRANTED,
    "3xx": Input.FAILED,
    "4xx": Input.FAILED,  # 404 too: the account may be gone for as long as its database is
    "5xx": Input.FAILED,
    "6xx": Input.FAILED,
    401: Input.REFUSED,
    403: Input.REFUSED,
    407: Input.REFUSED,
    423: Input.TOO_BRIEF,
}
"""What a final answer to REGISTER means, by status or else by class, before one looks into it (`judge`)."""

SIGNS = {
    Input.GRANTED: RegistrationSign.GOOD,
    Input.LOST: RegistrationSign.FAULT,
    Input.FAILED: RegistrationSign.FAULT,
    Input.REFUSED: RegistrationSign.REFUSED,
}
"""What the end of a REGISTER that binds is a sign of; anything else is NEUTRAL, silence is SILENT."""


def judge(answer: RegisterAnswer, asked: Ask, bound: bytes, brief: int) -> tuple[Input, Outcome]:
    """What a final answer to this REGISTER is, as an input of the table.

    `bound`: the Contact of the binding that we hold. `brief`: how often in a row 423 was answered at once.
    """
    what = ANSWERS[answer.status] if answer.status in ANSWERS else ANSWERS[f"{answer.status // 100}xx"]
    why = f"{answer.line} to REGISTER"
    if what is Input.GRANTED:
        return _granted(answer, asked, why) if asked.purpose is Purpose.REGISTER else _done(answer, bound, why)
    if what is Input.TOO_BRIEF:
        wanted = answer.min_expires or 0
        if asked.purpose is Purpose.REGISTER and asked.expires < wanted <= EXPIRES_MAX and brief < MAX_BRIEF:
            return what, Outcome(why, answer=answer)
        what = Input.FAILED
    if asked.purpose is Purpose.WIPE and what is Input.FAILED and answer.status // 100 == 4 and answer.status != 408:
        what = Input.DONE  # it does not do that: asking again changes nothing
    return what, Outcome(why, answer.retry_after, answer)


def sign_of(what: Input, asked: Ask, answered: bool) -> RegistrationSign:
    """What this end of a REGISTER is a sign of. `answered`: False for silence and a transport that failed."""
    if asked.purpose in (Purpose.CLEAR, Purpose.LEAVE):
        return RegistrationSign.NEUTRAL
    return SIGNS.get(what, RegistrationSign.NEUTRAL) if answered else RegistrationSign.SILENT


def _granted(answer: RegisterAnswer, asked: Ask, why: str) -> tuple[Input, Outcome]:
    """§10.2.4: our binding's own `expires`, else the Expires header, else what we asked for.

    A 200 that lists no binding at all is taken at its word: some registrars never list any. One that lists others
    and not ours has not bound us.
    """
    bindings = sort_out(answer.bindings, asked.contacts[0])
    granted = 0 if answer.lists_bindings else _first(answer.expires, asked.expires)
    if bindings.ours is not None:
        granted = _first(bindings.ours.expires, answer.expires, asked.expires)
    if granted > 0:
        return Input.GRANTED, Outcome(why, answer=answer, granted=granted, bindings=bindings)
    missing = "with 0 s" if bindings.ours or not answer.lists_bindings else "without our binding"
    return Input.LOST, Outcome(f"{why} {missing}", answer=answer)


def _done(answer: RegisterAnswer, bound: bytes, why: str) -> tuple[Input, Outcome]:
    bindings = sort_out(answer.bindings, bound) if bound and answer.lists_bindings else None
    return Input.DONE, Outcome(why, answer=answer, bindings=bindings)


def _first(*values: int | None) -> int:
    return next((value for value in values if value is not None), 0)
