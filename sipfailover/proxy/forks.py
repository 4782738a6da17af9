"""Early dialogs of an attempt: every callee behind a forking carrier has one, and the calling side its own for each."""

from sipfailover.proxy.call import Attempt, Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.leg import Leg
from sipfailover.wire import Message

FORKS_MAX = 32
"""Callees behind one attempt who may ring. What further ones say before they answer is dropped; an answer is heard."""


def pair(core: Core, call: Call, attempt: Attempt, message: Message) -> tuple[Leg, Leg]:
    """The two legs (calling side, called side) of the early or confirmed dialog that a response speaks of.

    The first callee has the tag that the caller knows already, further ones get new tags (§12.1). So does another trunk
    after one that rang, which only emergency calls go to: within one dialog the caller would keep to the first SDP
    (RFC 3264 §4, RFC 3262 §3).
    """
    b = attempt.forks.get(message.to_tag)
    if b is not None:
        return core.legs[b.partner], b
    b = attempt.leg.fork(attempt.leg.local_tag, message.to_tag)
    b.answered_by(message)
    a = call.a if call.a.key not in call.keys else call.a.fork(core.chance.tag(), call.a.remote_tag)
    a.partner, b.partner = b.key, a.key
    core.add(a, call)
    core.add(b, call)
    attempt.forks[message.to_tag] = b
    return a, b


def keep(core: Core, call: Call, a: Leg, b: Leg) -> None:
    """One is answered, and these are its legs: all others of the call are over."""
    for key in call.keys:
        if key not in (a.key, b.key) and (leg := core.legs.get(key)) is not None:
            core.remove(leg)
    call.keys = [a.key, b.key]


def is_one_too_many(attempt: Attempt, message: Message) -> bool:
    """Whether a provisional response begins an early dialog beyond FORKS_MAX."""
    return len(attempt.forks) >= FORKS_MAX and message.to_tag not in attempt.forks


def drop(core: Core, attempt: Attempt) -> None:
    """The early dialogs of an attempt lead nowhere any more."""
    for b in attempt.forks.values():
        core.remove(b)
        partner = core.legs.get(b.partner)
        if partner is not None:
            core.remove(partner)
    attempt.forks.clear()
