"""Keepsakes: what outlives this process of an answered call and of a PBX's registration, as small records.

A record is a JSON list, its fields in the order of the tuples below; bytes are Latin-1 text in it, times are seconds
since 1970. Fields may be added at the end, with a default. Pure: `core` decides when a record is made, `restoring` what
becomes of it in the next process. What has no end yet is in `underway`.

Not in it: credentials (a challenge will come), connections (they are gone; requests go to the leg's target over a new
one).
"""

import json
from collections.abc import Callable
from typing import NamedTuple

from sipfailover.flow import Flow, Target
from sipfailover.proxy.bindings import Binding, Bindings
from sipfailover.proxy.call import Call
from sipfailover.proxy.leg import Leg
from sipfailover.wire import OWNED
from sipfailover.wire.uri import SipUri

CALL, PBX = "call/", "pbx/"
"""What the keys begin with. Behind it: the number of the call; the name of the PBX, quoted."""

CSEQ_MARGIN = 256
"""By so much our CSeq jumps ahead in a new process: more requests than that have not left since the record was made.
(Gaps are allowed, RFC 3261 §12.2.2.)"""
RECORD_AGAIN_AFTER = CSEQ_MARGIN // 2
"""Requests of ours on one leg after which the record is made anew."""
GONE = -1
"""Number of the connection of flows that an earlier process had: there is none with it."""

Place = tuple[str, str, int, str, str, str, int]
"""A target: transport, host, port, sent-by, local, line; and 1 for a flow."""
Epoch = Callable[[float], float]
"""Our clock → seconds since 1970."""

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), check_circular=False).encode


class LegRecord(NamedTuple):
    """One dialog. See the fields of `Leg`."""

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    contact: str
    target: str
    routes: list[str]
    reached: Place
    to: Place | None
    """None: where it was reached."""
    fallback: Place | None
    behind_nat: bool
    caller: bool
    cseq: int
    remote_cseq: int
    uas_cseq: int
    success_cseq: int
    kept_out: list[str]
    refers: list[tuple[int, int]]


class CallRecord(NamedTuple):
    """An answered call."""

    number: int
    direction: str
    source: str
    """Name of the line that calls."""
    line: str
    """Name of the line that carries it."""
    caller: str
    called: str
    first_choice: str
    attempts: int
    emergency: bool
    started_at: float
    ringing_at: float
    answered_at: float
    a: LegRecord
    b: LegRecord


class BindingRecord(NamedTuple):
    """See the fields of `Binding`."""

    aor: str
    contact: str
    instance: str
    call_id: str
    cseq: int
    path: list[str]
    flow: Place
    target: Place
    fallback: Place | None
    since: float
    expires_at: float


# -- into records -----------------------------------------------------------------------------------------------------


def call_record(call: Call, epoch: Epoch, now: float) -> bytes:
    """An answered call, about 1 kB. On the path."""
    assert call.b is not None
    assert call.line is not None
    assert call.answered_at is not None
    offset = epoch(now) - now
    return encoded(
        CallRecord(
            call.number,
            call.direction,
            call.source.name,
            call.line.name,
            call.caller,
            call.called,
            call.first_choice,
            call.attempts,
            call.emergency,
            round(call.started_at + offset, 3),
            round((call.ringing_at or call.answered_at) + offset, 3),
            round(call.answered_at + offset, 3),
            leg_record(call.a),
            leg_record(call.b),
        )
    )


def bindings_record(bindings: Bindings, epoch: Epoch, now: float) -> bytes:
    """Where a PBX is registered."""
    offset = epoch(now) - now
    return encoded([
        BindingRecord(
            text(one.aor), text(one.contact), text(one.instance), text(one.call_id), one.cseq,
            [text(hop) for hop in one.path], place(one.flow), place(one.target),
            None if one.fallback is None else place(one.fallback),
            round(one.since + offset, 3), round(one.expires_at + offset, 3),
        )
        for one in bindings
    ])  # fmt: skip


def leg_record(leg: Leg) -> LegRecord:
    """On the path."""
    reached, to, fallback = leg.reached, leg.to, leg.fallback
    kept_out = leg.kept_out
    return LegRecord(
        leg.call_id.decode("latin-1"),
        leg.local_tag.decode("latin-1"),
        leg.remote_tag.decode("latin-1"),
        leg.local.decode("latin-1"),
        leg.remote.decode("latin-1"),
        leg.contact.decode("latin-1"),
        leg.target.decode("latin-1"),
        [text(route) for route in leg.routes],
        place(reached),
        None if to is reached else place(to),
        None if fallback is None else place(fallback),
        leg.behind_nat,
        leg.caller,
        leg.cseq,
        leg.remote_cseq,
        leg.uas_cseq,
        leg.success_cseq,
        [] if kept_out is OWNED else [text(name) for name in sorted(kept_out - OWNED)],
        [] if leg.refers is None else list(leg.refers.items()),
    )


def place(target: Target) -> Place:
    """A target as a record has it."""
    kind = int(type(target) is Flow)
    return (target.transport, target.host, target.port, text(target.sent_by), target.local, target.line, kind)


def traits(leg: Leg) -> tuple[object, ...]:
    """What a record of this leg depends on: when it is another one, the record is made anew."""
    refers = leg.refers
    newest = next(reversed(refers)) if refers else 0
    return (leg.target, leg.to.peer, leg.reached.peer, leg.fallback, leg.cseq // RECORD_AGAIN_AFTER, newest)


# -- out of records ---------------------------------------------------------------------------------------------------
# They raise ValueError, TypeError or WireError for what no maker of ours has made.


def to_call(record: bytes) -> CallRecord:
    """An answered call."""
    found = CallRecord(*json.loads(record))
    return found._replace(a=LegRecord(*found.a), b=LegRecord(*found.b))


def to_bindings(record: bytes, offset: float) -> Bindings:
    """Where a PBX is registered, without connections. `offset`: what makes our clock of seconds since 1970."""
    found = []
    for one in json.loads(record):
        kept = BindingRecord(*one)
        contact = raw(kept.contact)
        flow, target = to_target(kept.flow), to_target(kept.target)
        fallback = None if kept.fallback is None else to_target(kept.fallback)
        assert isinstance(flow, Flow)
        found.append(
            Binding(
                raw(kept.aor), contact, SipUri.parse(contact).comparable(), raw(kept.instance),
                raw(kept.call_id), kept.cseq, tuple(raw(hop) for hop in kept.path), flow, target, fallback,
                kept.since + offset, kept.expires_at + offset,
            )
        )  # fmt: skip
    return tuple(found)


def to_leg(record: LegRecord, call: int) -> Leg:
    """The dialog, to be gone on with. Its CSeq has jumped ahead."""
    leg = Leg(call, raw(record.call_id), raw(record.local_tag), to_target(record.reached), raw(record.contact))
    leg.remote_tag = raw(record.remote_tag)
    leg.local, leg.remote = raw(record.local), raw(record.remote)
    leg.target = raw(record.target)
    leg.routes = tuple(raw(route) for route in record.routes)
    leg.to = leg.reached if record.to is None else to_target(record.to)
    leg.fallback = None if record.fallback is None else to_target(record.fallback)
    leg.behind_nat, leg.caller = record.behind_nat, record.caller
    leg.cseq = record.cseq + CSEQ_MARGIN
    leg.remote_cseq, leg.uas_cseq = record.remote_cseq, record.uas_cseq
    leg.uac_cseq = leg.success_cseq = leg.ack_cseq = record.success_cseq  # what was pending beyond that is lost
    leg.kept_out = OWNED | {raw(name) for name in record.kept_out} if record.kept_out else OWNED
    leg.refers = dict(record.refers) if record.refers else None
    leg.restored = True
    return leg


def to_target(place: Place) -> Target:
    """A target. A flow over a stream has the number of no connection, so that its loss leads to where else it goes."""
    transport, host, port, sent_by, local, line, kind = place
    if kind:
        gone = 0 if transport == "udp" else GONE
        return Flow(transport, host, port, raw(sent_by), local, line=line, connection=gone)
    return Target(transport, host, port, raw(sent_by), local, line=line)


def encoded(record: object) -> bytes:
    """A record as the journal has it. On the path."""
    return _encode(record).encode()


def text(data: bytes) -> str:
    """Bytes as a record has them."""
    return data.decode("latin-1")


def raw(kept: str) -> bytes:
    """The bytes again."""
    return kept.encode("latin-1")
