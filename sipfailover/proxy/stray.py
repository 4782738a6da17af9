"""Late answers: a carrier that was given up may wake hours later and ring, answer or refuse. Nobody pays for a ghost.

While the transaction lives (64*T1) it knows what to do. Afterwards the response itself has all that is needed: its
topmost Via is ours, From has our tag, To the carrier's. So ringing is cancelled, a failure acknowledged (RFC 3261
§17.1.1.3), an answer acknowledged and hung up (§13.2.2.4), however late it comes and without any memory of it.
Only trunks and PBXs are listened to, so a stranger cannot make us send anything.
"""

from sipfailover.flow import Flow, Send, Target
from sipfailover.proxy.core import Core
from sipfailover.proxy.inside import Inside
from sipfailover.proxy.leg import leg_of
from sipfailover.routing import Allowance, site
from sipfailover.transaction import Input
from sipfailover.wire import Message, compose, value_of

INVITE = b"INVITE"
LATE_ANSWERS = (200, 0.05)
"""Late answers of one source that are served: so many at once, and one more each so many seconds; after an outage some
dozens come. Beyond it they are dropped, and a carrier repeats them. Each costs a transaction of 32 s, and nothing of a
late answer can be checked: whoever forges a carrier's address could write any Contact into it, and a BYE is sent there
up to eleven times."""


class Stray:
    """Responses to INVITE that fit no transaction. `now`: seconds, monotonic."""

    def __init__(self, core: Core, inside: Inside) -> None:
        self.core = core
        self.inside = inside
        self._late = Allowance(*LATE_ANSWERS)

    def heard(self, what: Input, message: Message, flow: Flow, now: float) -> None:
        """Answer a response that nobody waits for."""
        if message.cseq_method != INVITE or not self._is_ours(message, flow):
            return
        leg = self.core.legs.get(message.from_tag + b";" + message.to_tag)
        if leg is not None and (what is not Input.FAILURE or message.cseq <= leg.success_cseq):
            if what is Input.SUCCESS:
                self.inside.acknowledge_again(leg, message)  # of a call that goes on
            return
        if message.status > 100 and not self._late.take(site(flow.host), now):
            return
        if what is Input.SUCCESS:
            self.answered_in_vain(message, flow, now)
        elif what is Input.FAILURE:
            self.core.out.append(Send(flow, self._hop_by_hop(b"ACK", message)))
        elif message.status > 100:
            branch = message.via.branch
            if (branch, b"", b"CANCEL") not in self.core.layer.clients:
                self.core.layer.request(branch, b"CANCEL", self._hop_by_hop(b"CANCEL", message), flow, None, now)

    def answered_in_vain(self, message: Message, reached: Target, now: float) -> None:
        """Acknowledge a 2xx and hang up. A 2xx that is repeated meanwhile finds the leg, and is acknowledged again."""
        core = self.core
        key = message.from_tag + b";" + message.to_tag
        known = core.legs.get(key)
        if known is not None:
            self.inside.acknowledge_again(known, message)
            return
        leg = leg_of(message, reached)
        core.log(
            "info",
            "a late answer is acknowledged and hung up",
            to=str(reached),
            call_id=message.call_id.decode("latin-1"),
        )
        line = core.line_at(reached)
        core.keep_bye(leg, line.name if line is not None else "")
        self.inside.hang_up(leg, now)

    def _is_ours(self, message: Message, flow: Flow) -> bool:
        """True if it answers something that we sent: our address in the only Via, and a branch as ours are."""
        via = message.via
        line = self.core.line_at(flow)
        target = line.trunk.target if line is not None else None
        ours = {flow.sent_by.lower(), target.sent_by.lower() if target is not None else b""}
        known = line is not None and via.sent_by in ours and len(via.branch) == len(b"z9hG4bK") + 16
        return known and len(message.values(b"via")) == 1  # §8.1.3.3

    def _hop_by_hop(self, method: bytes, message: Message) -> bytes:
        """ACK to a failure or CANCEL, from the response alone. To has the URI that was our Request-URI."""
        to = message.to
        uri, tag = to.uri, to.tag
        return compose.request(
            method,
            uri,
            via=message.via._replace(params=b";branch=%b;rport" % message.via.branch).to_bytes(),
            from_=value_of(message.first[b"from"]),
            to=value_of(message.first[b"to"]) if method == b"ACK" or not tag else b"<%b>" % uri,
            call_id=message.call_id,
            cseq=message.cseq,
        )
