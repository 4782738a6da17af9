"""An office with two carriers, and what its peers say inside a call: builders for the playbook.

Every builder finds its dialog in what was said before: the first INVITE of the caller and the answer that the caller
or the callee has to it. `callee=True` speaks for the carrier's side.
"""

from itertools import count

from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.flow import Flow
from sipfailover.proxy import Engine
from sipfailover.wire import Message, compose
from tests.kit import Playbook, Seen, ack, answer, flow, invite, received, send, target
from tests.kit.playbook import Build
from tests.kit.sip import SDP

PBX = flow("pbx", "192.0.2.10")
MAIN = flow("main", "198.51.100.1")
BACKUP = flow("backup", "203.0.113.1")

SETTINGS = """
pbx: 192.0.2.10:5060
trunks:
  - {name: main,   host: 198.51.100.1, port: 5060, register: no}
  - {name: backup, host: 203.0.113.1,  port: 5060, register: no}
"""

HOLD = SDP + b"a=sendonly\r\n"
_numbers = count(1)


def office(seed: int = 1) -> Engine:
    """An engine that knows where everybody is."""
    engine = Engine(parse(SETTINGS), Chance(seed), 0.0)
    for name, peer in (("pbx", PBX), ("main", MAIN), ("backup", BACKUP)):
        engine.resolved(name, (target(peer),), 0.0)
    engine.take()
    return engine


def ringing(
    *, caller: Flow = PBX, carrier: Flow = MAIN, ask: bytes | None = None, reply: Build | None = None
) -> Playbook:
    """A call out that rings in the carrier's net (183 with a Contact, tag `callee`)."""
    book = Playbook(office())
    assert (
        book
        >> received(caller, ask or invite())
        << send(caller, 100)
        << send(carrier, "INVITE")
        >> received(carrier, reply or answer(183))
        << send(caller, 183)
    )
    return book


def accepted(
    *, caller: Flow = PBX, carrier: Flow = MAIN, ask: bytes | None = None, last: Build | None = None
) -> Playbook:
    """A call out that was answered (with `last`); the answer is not acknowledged yet."""
    book = ringing(caller=caller, carrier=carrier, ask=ask)
    assert book >> received(carrier, last or answer(200)) << send(caller, 200)
    return book


def talking(*, caller: Flow = PBX, carrier: Flow = MAIN, ask: bytes | None = None) -> Playbook:
    """A call out that was answered and acknowledged."""
    book = accepted(caller=caller, carrier=carrier, ask=ask)
    assert book >> received(caller, ack()) << send(carrier, "ACK")
    return book


def invited(book: Playbook, where: Flow = MAIN) -> Message:
    """The INVITE that began the call, as the carrier got it."""
    return book.seen(where).last("INVITE", where=lambda one: not one.to_tag)


def inside(
    method: str,
    cseq: int,
    *,
    callee: bool = False,
    tag: str = "callee",
    body: bytes = b"",
    headers: tuple[tuple[bytes, bytes], ...] = (),
    contact: bytes | None = None,
    host: bytes | None = None,
    call_id: bytes | None = None,
    from_tag: bytes | None = None,
    max_forwards: int = 70,
) -> Build:
    """A request inside the call, from the caller or from the callee with this tag.

    contact: a value other than the one of the beginning; host: who signs the Via; the rest makes it a wrong one.
    """

    def build(seen: Seen) -> bytes:
        if callee:
            asked = seen.last("INVITE", where=lambda one: not one.to_tag)
            told = seen.given(where=lambda one: begins(one, asked) and one.to_tag == tag.encode())
            local, remote, there, here = told.get(b"to"), asked.get(b"from"), asked.contact, told.contact
        else:
            asked = seen.given("INVITE", where=lambda one: not one.to_tag)
            told = seen.last(where=lambda one: begins(one, asked))
            local, remote, there, here = asked.get(b"from"), told.get(b"to"), told.contact, asked.contact
        assert local
        assert remote
        assert there
        assert here
        if from_tag is not None:
            local = local.partition(b";tag=")[0] + b";tag=" + from_tag
        more = list(headers)
        if body and not any(name == b"content-type" for name, _ in more):
            more.append((b"content-type", b"application/sdp"))
        return compose.request(
            method.encode(),
            there.uri,
            via=b"SIP/2.0/UDP %b;branch=z9hG4bKinside%d;rport"
            % (host or b"%s:%d" % (seen.peer[1].encode(), seen.peer[2]), next(_numbers)),
            from_=local,
            to=remote,
            call_id=call_id or asked.call_id,
            cseq=cseq,
            contact=contact if contact is not None else here.to_bytes(),
            max_forwards=max_forwards,
            headers=more,
            body=body,
        )

    return build


def begins(answer: Message, asked: Message) -> bool:
    """True for an answer to this INVITE that makes a dialog."""
    return 100 < answer.status < 300 and (answer.cseq, answer.cseq_method) == (asked.cseq, b"INVITE")


def reply(
    status: int,
    to: str,
    *,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = b"",
    contact: bytes = b"",
    reason: bytes = b"",
) -> Build:
    """The peer answers the newest request with this method inside the call."""

    def build(seen: Seen) -> bytes:
        asked = seen.last(to, where=lambda one: one.to_tag)
        more = [*headers, *(((b"contact", contact),) if contact else ())]
        if body:
            more.append((b"content-type", b"application/sdp"))
        return compose.response(asked, status, reason, headers=tuple(more), body=body)

    return build


def acknowledge(cseq: int, *, callee: bool = False, body: bytes = b"") -> Build:
    """The ACK to a 2xx inside the call."""
    return inside("ACK", cseq, callee=callee, body=body, contact=b"")


def refused(callee: bool = False) -> Build:
    """The ACK to a failure that answered the newest INVITE of this peer."""
    return lambda seen: compose.ack(seen.given("INVITE"), seen.last(where=lambda one: one.status >= 300))


def is_empty(book: Playbook) -> bool:
    """True if the engine keeps nothing of any call."""
    core = book.engine.core  # type: ignore[attr-defined]
    layer = core.layer
    left = [tx for tx in (*layer.clients.values(), *layer.servers.values()) if tx.key[2] != b"OPTIONS"]
    held = {
        "calls": core.calls, "legs": core.legs, "transactions": left, "merged": layer.merged,
        "invites": book.engine.inside.invites,  # type: ignore[attr-defined]
        "waiting": [key for peer in layer.waiting.values() for key in peer if key[2] != b"OPTIONS"],
        "raised": layer.raised,
    }  # fmt: skip
    found = {name: what for name, what in held.items() if what}
    assert not found, found
    return True
