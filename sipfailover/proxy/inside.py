"""Inside a call: requests of one leg are relayed to the other, answers come back, ACK follows its INVITE, BYE ends it.

Each side has its own numbers and addresses (RFC 3261 §12); bodies and unknown headers pass as they come. BYE is
answered at once and carried over, so that a dead peer keeps nobody waiting (DESIGN.md §5.6). A 2xx is repeated until
its ACK comes (§13.3.1.4), because only the two ends of a leg can know what was lost on it.
"""

from dataclasses import dataclass

from sipfailover.flow import Send, Target
from sipfailover.proxy.call import Call, Clock
from sipfailover.proxy.core import Core
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.referral import remember, translate
from sipfailover.transaction import LIFE, T1, T2, Input, Transaction
from sipfailover.wire import OWNED, Message, reason_phrase, rewrite

INVITE, BYE, ACK = b"INVITE", b"BYE", b"ACK"
WITH_CONTACT = frozenset({INVITE, b"UPDATE", b"SUBSCRIBE", b"NOTIFY", b"REFER"})
"""Requests that (may) move the remote target, so that they carry our Contact (§12.2, RFC 3311, 6665, 3515)."""
RAISED = OWNED | {b"rack"}
MAX_FORWARDS = 70


@dataclass(slots=True, eq=False)
class Relayed:
    """A request inside a dialog that we sent on, or a BYE of our own."""

    method: bytes
    origin: bytes
    """Key of the leg it came from; b"" if it is our own."""
    leg: bytes
    """Key of the leg it went to."""
    server: tuple[bytes, bytes, bytes] | None
    """Key of the transaction that wants the answer; None if nobody does."""
    branch: bytes
    fallback: bool = False
    """It was sent once more, to the leg's other address."""


class Inside:
    """See the module. `now`: seconds, monotonic. On the path."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.invites: dict[bytes, Relayed] = {}
        """Leg → the INVITE that is pending on it, whichever way it goes: §14.1 and §14.2 allow one."""

    # -- requests -----------------------------------------------------------------------------------------------------

    def request(self, tx: Transaction, request: Message, leg: Leg, now: float) -> None:
        """A request inside a dialog, any method but ACK and CANCEL."""
        core = self.core
        if request.call_id != leg.call_id:
            core.respond(tx, 481, now=now)
            return
        if request.cseq <= leg.remote_cseq:
            core.respond(tx, 500, b"CSeq out of order", now=now)  # §12.2.2
            return
        leg.remote_cseq = request.cseq
        call = core.calls.get(leg.call)
        if request.method == BYE:
            self._bye(tx, request, leg, call, now)
            return
        partner = core.legs.get(leg.partner)
        if partner is None or call is None:
            core.respond(tx, 481, now=now)
            return
        if request.method == INVITE:
            refused = self._glare(leg)
            if refused:
                core.respond(tx, refused, now=now, headers=((b"retry-after", b"3"),) if refused == 500 else ())
                return
            core.respond(tx, 100, now=now)
            leg.uas_cseq = request.cseq
        if request.method in WITH_CONTACT:
            leg.asked_by(request, tx.to)
        self._relay(tx, request, leg, partner, now)

    def _glare(self, leg: Leg) -> int:
        """The status that refuses an INVITE on this leg now; 0 if it may go on."""
        pending = self.invites.get(leg.key)
        if pending is not None:
            return 500 if pending.origin == leg.key else 491  # §14.2
        return 491 if leg.answer or leg.key not in self.core.legs or not self._is_answered(leg) else 0

    def _is_answered(self, leg: Leg) -> bool:
        call = self.core.calls.get(leg.call)
        return call is not None and call.answered_at is not None

    def _relay(self, tx: Transaction, request: Message, leg: Leg, partner: Leg, now: float) -> None:
        """Send a request on, in the other dialog (§12.2.1.1)."""
        core = self.core
        method = request.method
        branch = core.chance.branch()
        forwards = request.max_forwards
        cseq = partner.next_cseq()
        beginning = partner.request_lines(
            method, cseq, branch, MAX_FORWARDS if forwards is None else forwards - 1, method in WITH_CONTACT
        )
        dropped = OWNED
        if method == b"PRACK" and (rack := request.get(b"rack")) is not None:
            parts = rack.split()
            if len(parts) == 3:  # RFC 3262 §7.2: response number, CSeq number and method of the INVITE
                beginning += b"\r\nRAck: %b %d %b" % (parts[0], partner.uac_cseq, parts[2])
                dropped = RAISED
        translated = translate(request, core.legs, leg, partner)
        if translated:
            name, value = translated
            beginning += b"\r\n%b: %b" % (name.title(), value)
            dropped = dropped | {name}
        if method == b"REFER":
            remember(partner, cseq, request.cseq)
        relayed = Relayed(method, leg.key, partner.key, tx.key, branch)
        if method == INVITE:
            partner.uac_cseq = cseq
            self.invites[leg.key] = self.invites[partner.key] = relayed
        tx.user = relayed
        core.layer.request(branch, method, rewrite(request, beginning, dropped), partner.to, relayed, now)

    def cancelled(self, relayed: Relayed, now: float) -> None:
        """The INVITE inside a dialog that we relayed is cancelled: so is its copy, whose 487 then comes back."""
        self.core.layer.cancel(relayed.branch, now)

    # -- answers ------------------------------------------------------------------------------------------------------

    def heard(self, tx: Transaction, relayed: Relayed, what: Input, message: Message | None, now: float) -> None:
        """A request that we sent on has an answer, or will have none."""
        core = self.core
        leg = core.legs.get(relayed.leg)
        if what is Input.LOST and leg is not None and not relayed.fallback and self._other_way(leg, tx.to):
            relayed.fallback = True
            core.layer.request(tx.key[0], relayed.method, tx.data, leg.to, relayed, now)
            return
        if what is Input.LOST and self.invites.get(relayed.leg) is relayed and tx.key in core.layer.clients:
            return  # it goes on: what was refused was another message (see `Layer.lost`)
        if what is not Input.PROVISIONAL and relayed.method == BYE:
            if leg is not None and not relayed.origin:
                core.remove(leg)
            return
        if what is not Input.PROVISIONAL and relayed.method == INVITE:
            self._settled(relayed)
            if what is not Input.SUCCESS and leg is not None:
                leg.uac_cseq = leg.ack_cseq  # as if it had never been: nothing waits for an ACK of ours
        server = core.layer.servers.get(relayed.server) if relayed.server is not None else None
        origin = core.legs.get(relayed.origin)
        if message is None:
            if server is not None:
                core.respond(server, 408, now=now)
            return
        if message.status == 100:
            return
        if what is Input.SUCCESS and leg is not None:
            if relayed.method == INVITE and leg.ack and leg.ack_cseq == message.cseq:
                core.out.append(Send(leg.to, leg.ack))  # said again: the peer lost our ACK
                return
            if relayed.method == INVITE and message.cseq < leg.uac_cseq:
                return  # of an INVITE before the last one
            if relayed.method in WITH_CONTACT and b"contact" in message.first:
                leg.aim(message)
            if relayed.method == INVITE and not leg.call:
                self._acknowledge_for_nobody(leg)  # our BYE was on its way
        if server is None or server.request is None:
            return  # nobody asks any more
        data = answer_inside(server, origin, message)
        if what is Input.SUCCESS and relayed.method == INVITE and origin is not None:
            if not origin.answer:
                self.answer(origin, server, message.status, data, now)
            return
        core.layer.respond(server, message.status, data, now)

    def _settled(self, relayed: Relayed) -> None:
        """This INVITE is pending no longer."""
        for key in (relayed.origin, relayed.leg):
            if self.invites.get(key) is relayed:
                del self.invites[key]

    @staticmethod
    def _other_way(leg: Leg, lost: Target) -> bool:
        """True if the leg has, or takes now, another address than the one where something was lost."""
        if leg.to == lost and leg.fallback is not None:
            leg.to, leg.fallback = leg.fallback, None
        return leg.to != lost

    # -- 2xx and ACK --------------------------------------------------------------------------------------------------

    def answer(self, leg: Leg, tx: Transaction, status: int, data: bytes, now: float) -> None:
        """Send a 2xx to an INVITE, and again until its ACK comes (§13.3.1.4)."""
        core = self.core
        core.layer.respond(tx, status, data, now)
        leg.answer, leg.answer_key = data, tx.key
        leg.interval = T1
        leg.again = core.timers.start(T1, now, Clock.ANSWER_AGAIN, leg)
        leg.give_up = core.timers.start(LIFE, now, Clock.NO_ACK, leg)

    def ring(self, leg: Leg, clock: Clock, now: float) -> None:
        """A 2xx is not acknowledged yet."""
        core = self.core
        if clock is Clock.NO_ACK:
            call = core.calls.get(leg.call)
            partner = core.legs.get(leg.partner)
            core.log("warning", f"call {leg.call}: the answer was never acknowledged, so it is ended", leg=str(leg))
            self.hang_up(leg, now)
            if partner is not None:
                self.hang_up(partner, now)
            if call is not None:
                core.end(call, 200, "sipfailover", now)
            return
        tx = core.layer.servers.get(leg.answer_key)
        if tx is not None and leg.answer:
            core.layer.respond(tx, 200, leg.answer, now)
            leg.interval = min(T2, leg.interval * 2)
            leg.again = core.timers.start(leg.interval, now, Clock.ANSWER_AGAIN, leg)

    def acknowledged(self, ack: Message, now: float) -> None:
        """An ACK to a 2xx: it stops the repeating, and goes on to the other side with its body (§13.2.2.4)."""
        core = self.core
        leg = core.legs.get(ack.to_tag + b";" + ack.from_tag)
        if leg is None or ack.call_id != leg.call_id or ack.cseq != leg.uas_cseq:
            return
        if leg.again is not None:
            leg.again.stop()
        if leg.give_up is not None:
            leg.give_up.stop()
        leg.answer, leg.again, leg.give_up = b"", None, None
        tx = core.layer.servers.get(leg.answer_key)
        if tx is not None:
            core.layer.arrived(tx)
        partner = core.legs.get(leg.partner)
        if partner is None or partner.ack_cseq == partner.uac_cseq:
            return
        forwards = ack.max_forwards
        beginning = partner.request_lines(
            ACK, partner.uac_cseq, core.chance.branch(), MAX_FORWARDS if not forwards else forwards - 1, False
        )
        self._acknowledge(partner, rewrite(ack, beginning))

    def _acknowledge_for_nobody(self, leg: Leg) -> None:
        """The ACK that no caller will send any more."""
        lines = leg.request_lines(ACK, leg.uac_cseq, self.core.chance.branch(), MAX_FORWARDS, False)
        self._acknowledge(leg, lines + b"\r\nContent-Length: 0\r\n\r\n")

    def _acknowledge(self, leg: Leg, data: bytes) -> None:
        leg.ack, leg.ack_cseq = data, leg.uac_cseq
        self.core.out.append(Send(leg.to, data))

    def acknowledge_again(self, leg: Leg, message: Message) -> None:
        """The peer repeats its 2xx: our ACK was lost, or the caller has not acknowledged yet."""
        if leg.ack and leg.ack_cseq == message.cseq:
            self.core.out.append(Send(leg.to, leg.ack))

    # -- the end ------------------------------------------------------------------------------------------------------

    def _bye(self, tx: Transaction, request: Message, leg: Leg, call: Call | None, now: float) -> None:
        """Answer at once, and carry it over (§15.1)."""
        core = self.core
        core.respond(tx, 200, now=now)
        partner = core.legs.get(leg.partner)
        if call is None:
            return  # our own BYE is under way on this leg: the two crossed
        if partner is not None:
            self.hang_up(partner, now, request)
        core.end(call, 200, "caller" if leg.caller else "called", now)

    def hang_up(self, leg: Leg, now: float, bye: Message | None = None) -> None:
        """Send BYE on a leg, and before it the ACK that its 2xx still waits for. `bye`: what to carry over."""
        core = self.core
        pending = self.invites.get(leg.key)
        if pending is not None:
            self._interrupt(pending, now)
        asked = pending is not None and pending.leg == leg.key
        if leg.uac_cseq and leg.ack_cseq != leg.uac_cseq and not asked:
            self._acknowledge_for_nobody(leg)
        branch = core.chance.branch()
        cseq = leg.next_cseq()
        if bye is None:
            lines = leg.request_lines(BYE, cseq, branch, MAX_FORWARDS, False)
            data = lines + b"\r\nContent-Length: 0\r\n\r\n"
        else:
            forwards = bye.max_forwards
            data = rewrite(
                bye, leg.request_lines(BYE, cseq, branch, MAX_FORWARDS if not forwards else forwards - 1, False)
            )
        for timer in (leg.again, leg.give_up):
            if timer is not None:
                timer.stop()
        leg.again = leg.give_up = None
        leg.answer = b""
        leg.call = 0  # from now on it is nobody's: `core.end` leaves it until the BYE is answered
        core.legs[leg.key] = leg
        core.layer.request(branch, BYE, data, leg.to, Relayed(BYE, b"", leg.key, None, branch), now)

    def _interrupt(self, pending: Relayed, now: float) -> None:
        """The call ends while an INVITE inside it is pending: who asked is told (§15.1.2), who was asked need not
        answer any more, and whether it does or not, nothing is left of it in 64*T1."""
        core = self.core
        self._settled(pending)
        server = core.layer.servers.get(pending.server) if pending.server is not None else None
        if server is not None:
            core.respond(server, 487, now=now)
        core.layer.cancel(pending.branch, now)


def answer_inside(tx: Transaction, leg: Leg | None, message: Message) -> bytes:
    """A response to a relayed request, as the side that asked gets it."""
    request = tx.request
    assert request is not None
    lines = [
        b"SIP/2.0 %d %b" % (message.status, message.reason or reason_phrase(message.status)),
        tx.lines,
        request.first[b"to"],
    ]
    if leg is not None and b"contact" in message.first and message.status < 300:
        lines.append(leg.contact)
    return rewrite(message, b"\r\n".join(lines))
