"""SIP messages for tests, and names for the peers that exchange them.

Builders come in two kinds. `invite`, `request` make bytes at once. `answer`, `ack`, `cancel`, `bye` return a
function of `Seen`, which the playbook calls when their turn comes, so that tags, branches and routes fit what the
engine really sent.
"""

from itertools import count

from sipfailover.flow import Flow, PeerKey, Target
from sipfailover.wire import Message, compose
from tests.kit.playbook import Build, Seen

NAMES: dict[PeerKey, str] = {}
"""`Target.peer` → how a conversation shows this peer."""

US = b"192.0.2.1:5060"
"""How the engine names itself in tests unless said otherwise."""

SDP = (
    b"v=0\r\no=- 1 1 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n"
    b"m=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\na=ptime:20\r\n"
)

_numbers = count(1)


def flow(
    name: str, host: str, port: int = 5060, transport: str = "udp", *, sent_by: bytes = US, connection: int = 0,
    line: str = "",
) -> Flow:  # fmt: skip
    """A flow from a peer that conversations show as `name`."""
    made = Flow(transport, host, port, sent_by, connection=connection, line=line)
    NAMES[made.peer] = name
    return made


def target(peer: Target) -> Target:
    """The bare target under a flow: what `Engine.resolved` wants."""
    return Target(peer.transport, peer.host, peer.port, peer.sent_by, peer.local, line=peer.line)


def invite(
    called: str = "+41443210019",
    *,
    caller: str = "+41441112233",
    host: str = "192.0.2.10:5060",
    transport: str = "UDP",
    to: bytes = US,
    call_id: str | None = None,
    branch: str | None = None,
    cseq: int = 1,
    max_forwards: int = 70,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = SDP,
) -> bytes:
    """A new INVITE from a user agent at `host` to us (`to`). Call-ID and branch are fresh unless given."""
    number = next(_numbers)
    return compose.request(
        b"INVITE",
        b"sip:%s@%s" % (called.encode(), to),
        via=b"SIP/2.0/%s %s;branch=%s;rport"
        % (transport.encode(), host.encode(), (branch or f"z9hG4bKtest{number}").encode()),
        from_=b'"Office" <sip:%s@%s>;tag=from%d' % (caller.encode(), host.encode(), number),
        to=b"<sip:%s@%s>" % (called.encode(), to),
        call_id=(call_id or f"call{number}@{host}").encode(),
        cseq=cseq,
        contact=b"<sip:%s@%s>" % (caller.encode(), host.encode()),
        max_forwards=max_forwards,
        headers=(*headers, *(((b"content-type", b"application/sdp"),) if body else ())),
        body=body,
    )


def request(
    method: str,
    uri: str = "sip:192.0.2.1:5060",
    *,
    host: str = "192.0.2.10:5060",
    transport: str = "UDP",
    from_tag: str = "from",
    to_tag: str = "",
    call_id: str | None = None,
    cseq: int = 1,
    max_forwards: int = 70,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes = b"",
) -> bytes:
    """Any request from `host`; outside a dialog unless `to_tag` and `call_id` say otherwise."""
    number = next(_numbers)
    return compose.request(
        method.encode(),
        uri.encode(),
        via=b"SIP/2.0/%s %s;branch=z9hG4bKtest%d;rport" % (transport.encode(), host.encode(), number),
        from_=b"<sip:test@%s>;tag=%s" % (host.encode(), from_tag.encode()),
        to=b"<%s>%s" % (uri.encode(), b";tag=" + to_tag.encode() if to_tag else b""),
        call_id=(call_id or f"call{number}@{host}").encode(),
        cseq=cseq,
        contact=b"<sip:test@%s>" % host.encode(),
        max_forwards=max_forwards,
        headers=headers,
        body=body,
    )


def answer(
    status: int,
    *,
    to: str | None = None,
    tag: str = "callee",
    contact: str | None = None,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    body: bytes | None = None,
    reason: str = "",
) -> Build:
    """The peer answers the last request we sent it, or the last one with method `to`. A 183 or a 2xx to INVITE has
    SDP and Contact."""

    def build(seen: Seen) -> bytes:
        asked = seen.last(
            *(
                [to]
                if to
                else ["INVITE", "BYE", "CANCEL", "OPTIONS", "INFO", "UPDATE", "PRACK", "REFER", "NOTIFY", "MESSAGE"]
            )
        )
        talks = asked.method == b"INVITE" and (status == 183 or 200 <= status < 300)
        sdp = body if body is not None else (SDP if talks else b"")
        more = list(headers)
        if asked.method == b"INVITE" and 100 < status < 300:
            more.append((b"contact", (contact or f"<sip:callee@{seen.peer[1]}:{seen.peer[2]}>").encode()))
        if sdp:
            more.append((b"content-type", b"application/sdp"))
        return compose.response(
            asked, status, reason.encode(), to_tag=b"" if status == 100 else tag.encode(), headers=tuple(more), body=sdp
        )

    return build


def ack(body: bytes = b"") -> Build:
    """The peer acknowledges the last final answer that we gave to its INVITE: §17.1.1.3 for a failure, §13.2.2.4 for
    a 2xx."""

    def build(seen: Seen) -> bytes:
        asked = seen.given("INVITE")
        final = seen.last(where=is_final)
        if final.status >= 300:
            return compose.ack(asked, final)
        return in_dialog("ACK", asked, final, cseq=asked.cseq, body=body)

    return build


def is_final(message: Message) -> bool:
    """True for a final response to an INVITE."""
    return message.status >= 200 and message.cseq_method == b"INVITE"


def cancel() -> Build:
    """The peer cancels its last INVITE."""
    return lambda seen: compose.cancel(seen.given("INVITE"))


def bye(*, callee: bool = False, cseq: int | None = None) -> Build:
    """The peer hangs up: the caller of the dialog, or its callee (who got our INVITE)."""

    def build(seen: Seen) -> bytes:
        if callee:
            asked = seen.last("INVITE")
            final = seen.given(where=is_final)
            return in_dialog("BYE", asked, final, cseq=cseq or 1, from_callee=True)
        asked = seen.given("INVITE")
        return in_dialog("BYE", asked, seen.last(where=is_final), cseq=cseq or asked.cseq + 1)

    return build


def in_dialog(
    method: str, asked: Message, final: Message, *, cseq: int, body: bytes = b"", from_callee: bool = False
) -> bytes:
    """A request inside the dialog that `asked` (INVITE) and `final` (its 2xx) made, from the caller or from the
    callee."""
    remote = (asked if from_callee else final).contact
    assert remote is not None, "the dialog has no Contact to go to"
    local = (final if from_callee else asked).contact
    assert local is not None
    host = local.uri.rpartition(b"@")[2].removeprefix(b"sip:").partition(b";")[0]
    ours, theirs = (final.get(b"to"), asked.get(b"from")) if from_callee else (asked.get(b"from"), final.get(b"to"))
    return compose.request(
        method.encode(),
        remote.uri,
        via=b"SIP/2.0/%s %s;branch=z9hG4bKtest%d;rport" % (asked.via.transport, host, next(_numbers)),
        from_=ours or b"",
        to=theirs or b"",
        call_id=asked.call_id,
        cseq=cseq,
        headers=((b"content-type", b"application/sdp"),) if body else (),
        body=body,
    )
