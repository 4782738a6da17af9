"""A second witness: a call in progress, which is asked where OPTIONS outside calls fall silent.

A filter at the carrier's edge, a rate limit or a changed software may drop OPTIONS while every call goes through. To us
that looks like a dead carrier, and within two seconds nothing that was heard before tells the two apart. What does is a
question on a path that has just worked: OPTIONS inside the dialog of a call that is up (RFC 3261 §11.2), to the same
address. Whatever comes back (200, 405, even 481) is from somebody who lives; silence says no more than before. Its
answer needs no handling: `Line.heard_at` is all that `watch` asks for.
"""

from dataclasses import dataclass
from itertools import islice

from sipfailover.flow import Target
from sipfailover.proxy.call import Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.line import Line

LOOKED_AT_MAX = 200
"""Calls that are looked at for one of this trunk, the newest first. Without one there is no witness."""
LIFE = 2.0
"""Seconds in which the question is repeated. The quick check that it stands beside is over then."""
MAX_FORWARDS = 70
OPTIONS = b"OPTIONS"


@dataclass(slots=True, eq=False)
class Witness:
    """A question under way; what is answered is nobody's business."""

    call: int


def ask(core: Core, line: Line, target: Target, now: float) -> bool:
    """Ask a call in progress over this address of a trunk. False if there is none. Off the path."""
    for call in islice(reversed(core.calls.values()), LOOKED_AT_MAX):
        leg = _leg(call, line)
        if leg is None or leg.answer or leg.to.peer != target.peer:
            continue
        branch = core.chance.branch()
        data = leg.request_lines(OPTIONS, leg.next_cseq(), branch, MAX_FORWARDS, False)
        data += b"\r\nAccept: application/sdp\r\nContent-Length: 0\r\n\r\n"
        t1 = line.trunk.no_answer().t1
        core.layer.request(branch, OPTIONS, data, leg.to, Witness(call.number), now, t1=t1, life=LIFE)
        core.keep_changed(call, now)
        return True
    return False


def _leg(call: Call, line: Line) -> Leg | None:
    """The side of an answered call that is this trunk's."""
    if call.answered_at is None:
        return None
    return call.b if call.line is line else call.a if call.source is line else None
