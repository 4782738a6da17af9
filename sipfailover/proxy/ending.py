"""A call ends without an answer, or goes no further: what the caller is told, and the record of it."""

from sipfailover.proxy.answers import REDIRECTED, answer_for
from sipfailover.proxy.call import OUTBOUND, Call
from sipfailover.proxy.core import PBX_FAILED, TRUNK_FAILED, Core
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.tolls import PHRASE, REFUSED, STATUS
from sipfailover.routing import Final, Refusal
from sipfailover.transaction import Transaction
from sipfailover.wire import Message

RANG_IN_VAIN = Final(None, 408, b"", ())
"""A telephone rang until the ring timeout: whatever another trunk said before, this tells the caller more."""


def fail(core: Core, call: Call, final: Final, now: float) -> None:
    """Tell the caller the most informative thing that was said (§16.7)."""
    tx = core.layer.servers.get(call.invite_key)
    result = ""
    if final.index is not None:
        call.line = core.named(call.said[final.index].trunk)
        message = call.finals[final.index]
        assert message is not None
        if tx is not None:
            data = answer_for(tx, call.a, message, dropped=REDIRECTED, more=final.headers)
            core.layer.respond(tx, final.status, data, now)
    elif tx is not None:
        core.respond(tx, final.status, final.reason, final.headers, now=now, tag=call.a.local_tag)
    if final.index is None and final is not RANG_IN_VAIN:
        result = TRUNK_FAILED if call.direction == OUTBOUND else PBX_FAILED
        why = after(call) or final.reason.decode()
        core.log("error", f"call {call.number} could not be carried", to=core.shown(call.called), why=why)
    core.end(call, final.status, "", now, result)


def refuse(core: Core, call: Call, refusal: Refusal, now: float) -> None:
    """The call may not go there: see `tolls`."""
    headers, told = core.tolls.refuse(call, refusal, core.shown, now)
    core.out.extend(told)
    tx = core.layer.servers.get(call.invite_key)
    if tx is not None:
        core.respond(tx, STATUS, PHRASE, headers, now=now, tag=call.a.local_tag)
    core.end(call, STATUS, "", now, REFUSED)


def may_refer(core: Core, tx: Transaction, request: Message, call: Call, leg: Leg, now: float) -> bool:
    """False if a transfer goes where calls may not go: see `tolls`. It is answered then. `leg`: who asks for it."""
    line, to = call.source, call.line
    if not leg.caller and to is not None:
        line, to = to, line
    refusal = core.tolls.refers(call, request, line, to, now) if to is not None else None
    if refusal is not None:
        headers, told = core.tolls.refuse(call, refusal, core.shown, now, "a transfer in ")
        core.out.extend(told)
        core.respond(tx, STATUS, PHRASE, headers, now=now)
    return refusal is None


def after(call: Call) -> str:
    """What the attempts of a call came to, in words."""
    return "; ".join(f"{said.trunk}: {said.words}" for said in call.said)
