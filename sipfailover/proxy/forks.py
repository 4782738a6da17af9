"""Early dialogs of an attempt: every callee behind a forking carrier has one, and the calling side its own for each."""

from sipfailover.proxy.call import Attempt, Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.leg import Leg
from sipfailover.wire import Message

FORKS_MAX = 16
"""Early dialogs of one attempt. When it is full the oldest is forgotten: requests in it are answered 481, and nobody
else notices."""


def pair(core: Core, call: Call, attempt: Attempt, message: Message) -> tuple[Leg, Leg]:
    """The two legs (calling side, called side) of the early or confirmed dialog that a response speaks of.

    The first callee has the tag that the caller knows already, further ones get new tags (§12.1). So does another trunk
    after one that rang, which only emergency calls go to: within one dialog the caller would keep to the first SDP
    (RFC 3264 §4, RFC 3262 §3).
    """
    b = attempt.forks.get(message.to_tag)
    if b is not None:
        return core.legs[b.partner], b
    if len(attempt.forks) >= FORKS_MAX:
        _forget(core, attempt.forks.pop(next(iter(attempt.forks))))
    b = attempt.leg.fork(attempt.leg.local_tag, message.to_tag)
    b.answered_by(message)
    a = call.a if call.a.key not in call.keys else call.a.fork(core.chance.tag(), call.a.remote_tag)
    a.partner, b.partner = b.key, a.key
    core.add(a, call)
    core.add(b, call)
    attempt.forks[message.to_tag] = b
    return a, b


def drop(core: Core, attempt: Attempt) -> None:
    """The early dialogs of an attempt lead nowhere any more."""
    for b in attempt.forks.values():
        _forget(core, b)
    attempt.forks.clear()


def _forget(core: Core, b: Leg) -> None:
    core.remove(b)
    partner = core.legs.get(b.partner)
    if partner is not None:
        core.remove(partner)
