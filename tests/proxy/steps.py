"""A call step by step, over a service that can be killed after each of them, and what is to be true in the end."""

from collections.abc import Callable

from sipfailover.flow import Flow
from sipfailover.wire import Message, compose
from tests.kit import ack, after, answer, invite, received, send, sends_nothing
from tests.kit.leftovers import leftovers
from tests.kit.sip import SDP
from tests.proxy.office import MAIN, PBX
from tests.proxy.survivor import Survivor
from tests.proxy.talk import HOLD, inside, reply

Step = Callable[[Survivor], None]


def calls(book: Survivor) -> None:
    assert book >> received(PBX, invite()) << send(PBX, 100) << send(MAIN, "INVITE")


def rings(book: Survivor) -> None:
    assert book >> received(MAIN, answer(180)) << send(PBX, 180)


def is_answered(book: Survivor) -> None:
    assert book >> received(MAIN, answer(200)) << send(PBX, 200)


def acknowledges(book: Survivor) -> None:
    assert book >> received(PBX, ack()) << send(MAIN, "ACK")


def holds(book: Survivor) -> None:
    hold = inside("INVITE", 2, body=HOLD)
    assert book >> received(PBX, hold) << send(PBX, 100) << send(MAIN, "INVITE", lambda one: one.body == HOLD)


def is_held(book: Survivor) -> None:
    moved = reply(200, "INVITE", contact=b"<sip:new@198.51.100.7:5070>", body=SDP)
    assert book >> received(MAIN, moved) << send(PBX, 200)


def acknowledges_the_hold(book: Survivor) -> None:
    there = Flow("udp", "198.51.100.7", 5070, b"192.0.2.1:5060")
    assert book >> received(PBX, inside("ACK", 2, contact=b"")) << send(there, "ACK")


def is_asked_by_the_callee(book: Survivor) -> None:
    assert book >> received(MAIN, book.ask("INFO", 7, callee=True)) << send(PBX, "INFO")
    assert book >> received(PBX, reply(200, "INFO")) << send(MAIN, 200)


STEPS: list[Step] = [
    calls, rings, is_answered, acknowledges, holds, is_held, acknowledges_the_hold, is_asked_by_the_callee,
]  # fmt: skip
ANSWERED = STEPS.index(is_answered) + 1
MOVED = STEPS.index(is_held) + 1


def talking(*, steps: int = STEPS.index(acknowledges) + 1) -> Survivor:
    book = Survivor()
    for step in STEPS[:steps]:
        step(book)
    return book


def at(steps: int) -> Flow:
    """Where the carrier hears requests inside the call after so many steps."""
    return MAIN if steps < MOVED else Flow("udp", "198.51.100.7", 5070, b"192.0.2.1:5060")


def hangs_up(book: Survivor, carrier: Flow, *, callee: bool) -> None:
    """One end says BYE, and the other end gets it, on its own leg. If its 2xx has no ACK yet, it gets that, too."""
    unacknowledged = any(leg.ack_cseq != leg.success_cseq for leg in book.engine.core.legs.values())
    pending = send(PBX, 487) if book.engine.inside.invites else sends_nothing()  # who holds the call is told, too
    asked = book.seen(PBX).given("INVITE", where=lambda one: not one.to_tag)
    offered = book.seen(MAIN).last("INVITE", where=lambda one: not one.to_tag)
    if callee:
        heard = book >> received(MAIN, book.ask("BYE", 900, callee=True)) << send(MAIN, 200)
        if unacknowledged:
            heard = heard << send(carrier, "ACK")
        assert (
            heard
            << pending
            << send(PBX, "BYE", lambda one: one.call_id == asked.call_id and one.to_tag == asked.from_tag)
            >> received(PBX, reply(200, "BYE"))
        )
    else:
        assert (
            book
            >> received(PBX, book.ask("BYE", 900))
            << send(PBX, 200)
            << pending
            << (send(carrier, "ACK") if unacknowledged else sends_nothing())
            << send(carrier, "BYE", lambda one: one.call_id == offered.call_id and one.to_tag == b"callee")
            >> received(carrier, lambda seen: _ok(seen.last("BYE")))
        )


def _ok(asked: Message) -> bytes:
    return compose.response(asked, 200)


def is_over(book: Survivor) -> None:
    """Nothing is left of it, in the engine nor in what is kept."""
    assert book >> after(400)
    assert leftovers(book.engine) == []
    assert book.calls() == []
    assert book.channels() == {}
