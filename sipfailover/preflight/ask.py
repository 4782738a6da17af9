"""OPTIONS to one address of a carrier, as a script: any answer shows that somebody is there (RFC 3261 §11)."""

from collections.abc import Generator

from sipfailover.chance import Chance
from sipfailover.flow import Target
from sipfailover.preflight.conversation import Question, Reply
from sipfailover.preflight.judge import words_of
from sipfailover.preflight.report import Step, Tell, failed, good, warning
from sipfailover.trunk import Sign, meaning
from sipfailover.wire import Message, compose
from sipfailover.wire.uri import with_host

WITHIN = 3.9
"""Seconds for an answer: over UDP the request has then been sent four times (at 0, 0.5, 1.5 and 3.5 s)."""
SHOWN = 60
"""Characters of a text of the carrier's that are shown."""

Heard = tuple[Question, Reply]
"""A question and what came of it: what `judge` looks at."""


def options(
    target: Target, host: bytes, port: int | None, chance: Chance, tell: Tell
) -> Generator[Question, Reply, Heard]:
    """Ask one address. `host`, `port`: how the trunk names itself, as in the engine's own OPTIONS."""
    question = options_question(target, host, port, chance)
    reply = yield question
    tell(options_step(question, reply))
    return question, reply


def options_question(target: Target, host: bytes, port: int | None, chance: Chance) -> Question:
    """The OPTIONS."""
    uri = with_host(b"sip:host", host, port)
    branch = chance.branch()
    transport = b"" if not target.reliable else b";transport=" + target.transport.encode()
    data = compose.request(
        b"OPTIONS",
        uri,
        via=compose.via_value(target.transport, target.sent_by, branch),
        from_=b"<sip:ping@%b>;tag=%b" % (target.sent_by, chance.tag()),
        to=b"<%b>" % uri,
        call_id=chance.call_id(),
        cseq=1,
        contact=b"<sip:%b%b>" % (target.sent_by, transport),
        headers=((b"accept", b"application/sdp"), (b"user-agent", b"sipfailover")),
    )
    return Question(b"OPTIONS", branch, data, target, WITHIN)


def options_step(question: Question, reply: Reply) -> Step:
    """What the answer to OPTIONS is worth."""
    to, message = question.to, reply.message
    name = "OPTIONS"
    if message is None and reply.why:
        what, advice = words_of(reply.why)
        return failed(name, f"{to}: {what}", advice, address=str(to))
    if message is None:
        advice = (
            "check address, port and firewall; ask the carrier whether it knows your address, "
            "for some do not answer strangers"
        )
        times = "" if to.reliable else f", sent {reply.sends} times"
        return failed(name, f"{to}: no answer within {reply.seconds:.1f} s{times}", advice, address=str(to))
    text = f"{to}: {line(message)}{server(message)}"
    facts: dict[str, object] = {"address": str(to), "status": message.status, "server": server(message)[6:]}
    sign = meaning(message.status, message.retry_after)
    if sign is Sign.PROBE_GOOD:
        return good(name, text, reply.seconds, **facts)
    if sign is Sign.PROBE_UNWELL:
        advice = "somebody is there, but not well: a trunk that is Down does not come back by such answers"
        return warning(name, text, advice, reply.seconds, **facts)
    return failed(name, text, "the carrier says that it is out of service: such a trunk counts as failing", **facts)


def line(message: Message) -> str:
    """`200 OK`, for people."""
    return f"{message.status} {_shown(message.reason)}".strip()


def server(message: Message) -> str:
    """` from NAME` as the other side calls itself, empty if it does not."""
    name = _shown(message.get(b"server") or message.get(b"user-agent") or b"")
    return f" from {name}" if name else ""


def _shown(value: bytes) -> str:
    return value.decode("utf-8", "replace").strip()[:SHOWN]
