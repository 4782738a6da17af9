"""Inside a call: requests of one leg are relayed to the other, answers come back, ACK follows its INVITE, BYE ends it.

Each side has its own numbers and addresses (RFC 3261 §12); bodies and unknown headers pass as they come. BYE is
answered at once and carried over, so that a dead peer keeps nobody waiting (DESIGN.md §5.6). A 2xx is repeated until
its ACK comes (§13.3.1.4), because only the two ends of a leg can know what was lost on it.
"""

from dataclasses import dataclass

from sipfailover.flow import Send, Target
from sipfailover.proxy import ending, experience
from sipfailover.proxy.answers import answer_inside
from sipfailover.proxy.call import Call, Clock
from sipfailover.proxy.commands import Forget
from sipfailover.proxy.core import REQUESTS, Core
from sipfailover.proxy.leg import Leg, leg_of
from sipfailover.proxy.line import Line
from sipfailover.proxy.referral import remember, translate
from sipfailover.proxy.underway import ASK, answer_key
from sipfailover.proxy.watch import Watch
from sipfailover.transaction import LIFE, PROCEEDING, T1, T2, Input, Timer, Transaction
from sipfailover.wire import Exchange, Message, Outcome, compose, rewrite

INVITE, BYE, ACK, REFER = b"INVITE", b"BYE", b"ACK", b"REFER"
WITH_CONTACT = frozenset({INVITE, b"UPDATE", b"SUBSCRIBE", b"NOTIFY", b"REFER"})
"""Requests that (may) move the remote target, so that they carry our Contact (§12.2, RFC 3311, 6665, 3515)."""
MUST_BE_KNOWN = frozenset({INVITE, b"UPDATE"})
"""Requests whose 481 says that the call is gone. To NOTIFY it means a subscription only (RFC 5057 §5.1), and INFO and
OPTIONS are refused with it by some who talk on."""
RACK = frozenset({b"rack"})
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
    line: Line | None = None
    """The trunk or PBX it went to, while its call goes on."""
    exchange: Exchange | None = None
    """Its way through the carrier's challenges, where we have an account."""
    request: Message | None = None
    """What is sent on, while a challenge may come."""
    fallback: bool = False
    """It was sent once more, to the leg's other address."""
    clock: Timer | None = None
    """Runs for an INVITE until its final answer."""


class Inside:
    """See the module. `now`: seconds, monotonic. On the path."""

    def __init__(self, core: Core, watch: Watch) -> None:
        self.core = core
        self.watch = watch
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
        if tx.to.reliable or request.via.rport is not None:  # else `tx.to` is where answers go, not where it came from
            leg.heard_over(tx.to)
        call = core.calls.get(leg.call)
        if request.method == BYE:
            self._bye(tx, request, leg, call, now)
            return
        partner = core.legs.get(leg.partner)
        if partner is None or call is None:
            core.respond(tx, 481, now=now)
            return
        if (
            request.method == REFER
            and not core.tolls.idle
            and not ending.may_refer(self.core, tx, request, call, leg, now)
        ):
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
        line = self._line(partner)
        relayed = Relayed(request.method, leg.key, partner.key, tx.key, b"", line, exchange_for(line))
        tx.user = relayed
        self._send(relayed, request, leg, partner, now)
        call = self.core.calls.get(leg.call)
        if call is not None:
            self.core.keep_changed(call, now)

    def _line(self, leg: Leg) -> Line | None:
        """The trunk or PBX at the other end of this leg; None when the call is over."""
        call = self.core.calls.get(leg.call)
        return None if call is None else call.source if leg.caller else call.line

    def _send(self, relayed: Relayed, request: Message, leg: Leg, partner: Leg, now: float) -> None:
        """Send it, for the first time or with what its challenge wants (§22.2)."""
        core = self.core
        method = request.method
        branch = relayed.branch = core.chance.branch()
        forwards = request.max_forwards
        cseq = partner.next_cseq()
        beginning = partner.request_lines(
            method, cseq, branch, MAX_FORWARDS if forwards is None else forwards - 1, method in WITH_CONTACT
        )
        dropped = partner.kept_out
        if method == b"PRACK" and (rack := request.get(b"rack")) is not None:
            parts = rack.split()
            if len(parts) == 3:  # RFC 3262 §7.2: response number, CSeq number and method of the INVITE
                beginning += b"\r\nRAck: %b %d %b" % (parts[0], partner.uac_cseq, parts[2])
                dropped |= RACK
        translated = translate(request, core.legs, leg, partner)
        if translated:
            name, value = translated
            beginning += b"\r\n%b: %b" % (name.title(), value)
            dropped = dropped | {name}
        if method == b"REFER":
            remember(partner, cseq, request.cseq)
        if relayed.exchange is not None:
            relayed.request = request
            beginning = self._signed(beginning, relayed.exchange, method, request.body, partner)
        if method == INVITE:
            partner.uac_cseq = cseq
            self.invites[leg.key] = self.invites[partner.key] = relayed
            relayed.clock = core.timers.start(core.settings.failover.ring_timeout, now, Clock.NO_FINAL, relayed)
        data = rewrite(request, beginning, dropped)
        server = core.layer.servers.get(relayed.server) if method == INVITE and relayed.server is not None else None
        if server is not None:
            core.keep_ask(leg, server, branch, data)
        core.layer.request(branch, method, data, partner.to, relayed, now)

    def cancelled(self, relayed: Relayed, now: float) -> None:
        """The INVITE inside a dialog that we relayed is cancelled, or has had no final answer for too long (timer C):
        its copy is cancelled, whose 487 then comes back."""
        self.core.layer.cancel(relayed.branch, now)

    # -- answers ------------------------------------------------------------------------------------------------------

    def heard(self, tx: Transaction, relayed: Relayed, what: Input, message: Message | None, now: float) -> None:
        """A request that we sent on has an answer, or will have none."""
        core = self.core
        leg = core.legs.get(relayed.leg)
        if what is Input.LOST and relayed.method == INVITE and tx.state is PROCEEDING:
            return  # the peer has it, and its answer needs nothing that was lost
        if what is Input.LOST and leg is not None and not relayed.fallback and self.other_way(leg, tx.to):
            relayed.fallback = True
            core.layer.request(tx.key[0], relayed.method, tx.data, leg.to, relayed, now)
            return
        if what is Input.FAILURE and message is not None and self._answered_challenge(relayed, leg, message, now):
            return
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
        if what is Input.SUCCESS and relayed.method == INVITE and leg is None:
            self._acknowledge_alone(leg_of(message, tx.to))  # our BYE overtook it, and is answered already
        if what is Input.SUCCESS and leg is not None:
            if relayed.exchange is not None:
                relayed.exchange.accepted(message)
                self._let_in(relayed)
                if relayed.method == INVITE:
                    leg.credentials = tuple(relayed.exchange.sent)
            if relayed.method == INVITE:
                if ack := leg.ack_to(message.cseq):
                    core.out.append(Send(leg.to, ack))  # said again: the peer lost our ACK
                    return
                if message.cseq < leg.uac_cseq:
                    return  # of an INVITE before the last one
                leg.success_cseq = message.cseq
                if leg.call == 0:  # it crossed our BYE: nobody else will acknowledge it
                    self._acknowledge_alone(leg)
                    return
            if relayed.method in WITH_CONTACT and b"contact" in message.first:
                leg.aim(message)
                if leg.call in core.calls:
                    core.keep_changed(core.calls[leg.call], now)
        if server is None or server.request is None:
            return  # nobody asks any more
        data = answer_inside(server, origin, message)
        if what is Input.SUCCESS and relayed.method == INVITE and origin is not None:
            if not origin.answer:
                self.answer(origin, server, message.status, data, now)
            return
        core.layer.respond(server, message.status, data, now)
        if message.status == 481 and relayed.method in MUST_BE_KNOWN and leg is not None and self._is_answered(leg):
            self._lost_by(leg, now)

    def _lost_by(self, leg: Leg, now: float) -> None:
        """The peer knows nothing of this call any more (§12.2.1.2): it restarted, or its BYE was lost. Who asked should
        hang up now, but some do not; then nobody ever would."""
        core = self.core
        call, partner = core.calls[leg.call], core.legs.get(leg.partner)
        core.log("warning", f"call {call.number}: the other side has lost it, so it is ended", leg=str(leg))
        self.hang_up(leg, now)
        if partner is not None:
            self.hang_up(partner, now)
        experience.hung_up(self.watch, call, leg.caller, now)
        core.end(call, 200, "sipfailover", now)

    def _answered_challenge(self, relayed: Relayed, leg: Leg | None, message: Message, now: float) -> bool:
        """True if a failure was a challenge, and the request left again with its answer."""
        exchange = relayed.exchange
        if exchange is None or leg is None:
            return False
        if message.status not in (401, 407):
            exchange.accepted(message)
            return False
        if exchange.challenged(message) is not Outcome.AGAIN:
            if relayed.line is not None:
                self.core.not_let_in(relayed.line, REQUESTS, exchange.why, method=relayed.method.decode("latin-1"))
            return False
        if relayed.method == BYE and not relayed.origin:
            self._send_bye(relayed, leg, now)
            return True
        if relayed.request is None:
            return False
        if relayed.clock is not None:
            relayed.clock.stop()
        self._send(relayed, relayed.request, self.core.legs.get(relayed.origin, leg), leg, now)
        return True

    def _let_in(self, relayed: Relayed) -> None:
        """A request that showed our password has got through."""
        if relayed.line is not None and relayed.exchange is not None and relayed.exchange.sent:
            self.core.let_in(relayed.line, REQUESTS)

    def _signed(self, beginning: bytes, exchange: Exchange, method: bytes, body: bytes, leg: Leg) -> bytes:
        """The beginning of a request with what the carrier wants to see."""
        return b"\r\n".join((beginning, *exchange.lines(method, leg.target, body, self.core.chance.token())))

    def _settled(self, relayed: Relayed) -> None:
        """This INVITE is pending no longer."""
        if relayed.clock is not None:
            relayed.clock.stop()
        leg = self.core.legs.get(relayed.origin)
        if self.core.keeping and leg is not None:
            self.core.out.append(Forget(f"{ASK}{leg.call}"))
        for key in (relayed.origin, relayed.leg):
            if self.invites.get(key) is relayed:
                del self.invites[key]

    @staticmethod
    def other_way(leg: Leg, lost: Target) -> bool:
        """True if the leg has, or takes now, another address than the one where something was lost."""
        if leg.to == lost and leg.fallback is not None:
            leg.to, leg.fallback = leg.fallback, None
        return leg.to != lost

    # -- 2xx and ACK --------------------------------------------------------------------------------------------------

    def answer(self, leg: Leg, tx: Transaction, status: int, data: bytes, now: float, *, left: float = LIFE) -> None:
        """Send a 2xx to an INVITE, and again until its ACK comes (§13.3.1.4). `left`: seconds to wait for that."""
        core = self.core
        leg.answer, leg.answer_key = data, tx.key
        call = core.calls.get(leg.call)
        if call is not None:
            core.keep(call, now - (LIFE - left), leg, data)
        core.layer.respond(tx, status, data, now)
        leg.interval = T1
        leg.again = core.timers.start(T1, now, Clock.ANSWER_AGAIN, leg)
        leg.give_up = core.timers.start(left, now, Clock.NO_ACK, leg)

    def ring(self, leg: Leg, clock: Clock, now: float) -> None:
        """A 2xx is not acknowledged yet."""
        core = self.core
        if clock is Clock.NO_ACK:
            call = core.calls.get(leg.call)
            partner = core.legs.get(leg.partner)
            if leg.restored and partner is not None:
                # Perhaps the ACK came to the process before us, and the peer does not care to repeat it. If it never
                # came, the called side gives up by itself; and the roll call asks both.
                self._quiet(leg)
                partner.ack_cseq = partner.success_cseq
                return
            core.log("warning", f"call {leg.call}: the answer was never acknowledged, so it is ended", leg=str(leg))
            self.hang_up(leg, now)
            if partner is not None:
                self.hang_up(partner, now)
            if call is not None:
                experience.unacknowledged(self.watch, call, leg.caller, now)
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
        self._quiet(leg)
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
        beginning += shown(partner)
        self._acknowledge(partner, rewrite(ack, beginning))

    def _quiet(self, leg: Leg) -> None:
        """The 2xx of this leg is not repeated any more."""
        if leg.answer and leg.call and self.core.keeping:
            self.core.out.append(Forget(answer_key(leg)))
        for timer in (leg.again, leg.give_up):
            if timer is not None:
                timer.stop()
        leg.answer, leg.again, leg.give_up = b"", None, None

    def _acknowledge(self, leg: Leg, data: bytes) -> None:
        leg.acknowledged(data)
        self.core.out.append(Send(leg.to, data))

    def _acknowledge_alone(self, leg: Leg) -> None:
        """An ACK of our own, because the side that should send it is gone."""
        leg.uac_cseq = leg.success_cseq
        lines = leg.request_lines(ACK, leg.uac_cseq, self.core.chance.branch(), MAX_FORWARDS, False) + shown(leg)
        self._acknowledge(leg, lines + b"\r\nContent-Length: 0\r\n\r\n")

    def acknowledge_again(self, leg: Leg, message: Message) -> None:
        """The peer repeats its 2xx: our ACK was lost, or the caller has not acknowledged yet."""
        if ack := leg.ack_to(message.cseq):
            self.core.out.append(Send(leg.to, ack))
        elif leg.restored and message.cseq > leg.ack_cseq and leg.key not in self.invites:
            partner = self.core.legs.get(leg.partner)
            if partner is None or not partner.answer:  # of an INVITE that the process before us had sent on
                leg.success_cseq = message.cseq
                self._acknowledge_alone(leg)

    # -- the end ------------------------------------------------------------------------------------------------------

    def _bye(self, tx: Transaction, request: Message, leg: Leg, call: Call | None, now: float) -> None:
        """Answer at once, and carry it over (§15.1)."""
        core = self.core
        core.respond(tx, 200, now=now)
        partner = core.legs.get(leg.partner)
        if call is None:
            return  # our own BYE is under way on this leg: the two crossed
        if leg.ack_cseq != leg.success_cseq:
            self._acknowledge_alone(leg)  # it answered an INVITE and hangs up before the ACK: nobody else sends one now
        if partner is not None:
            self.hang_up(partner, now, request)
        experience.hung_up(self.watch, call, leg.caller, now)
        core.end(call, 200, "caller" if leg.caller else "called", now)

    def hang_up(self, leg: Leg, now: float, bye: Message | None = None, *, line: Line | None = None) -> None:
        """Send BYE on a leg, and before it the ACK that its 2xx still waits for. `bye`: what to carry over; `line`:
        where it goes, if its call is not there to tell."""
        core = self.core
        pending = self.invites.get(leg.key)
        if pending is not None:
            self._interrupt(pending, now)
        if leg.ack_cseq != leg.success_cseq:
            self._acknowledge_alone(leg)
        line = line or self._line(leg)
        relayed = Relayed(BYE, b"", leg.key, None, b"", line, exchange_for(line), bye)
        self._quiet(leg)
        leg.call = 0  # from now on it is nobody's: `core.end` leaves it until the BYE is answered
        core.legs[leg.key] = leg
        self._send_bye(relayed, leg, now)

    def _send_bye(self, relayed: Relayed, leg: Leg, now: float) -> None:
        """Send a BYE of our own, or one that is carried over, for the first time or with what its challenge wants."""
        core, bye = self.core, relayed.request
        branch = relayed.branch = core.chance.branch()
        forwards = bye.max_forwards if bye is not None else None
        lines = leg.request_lines(BYE, leg.next_cseq(), branch, MAX_FORWARDS if not forwards else forwards - 1, False)
        if relayed.exchange is not None:
            lines = self._signed(lines, relayed.exchange, BYE, bye.body if bye is not None else b"", leg)
        data = rewrite(bye, lines) if bye is not None else lines + b"\r\nContent-Length: 0\r\n\r\n"
        core.layer.request(branch, BYE, data, leg.to, relayed, now)

    def _interrupt(self, pending: Relayed, now: float) -> None:
        """The call ends while an INVITE inside it is pending: who asked is told (§15.1.2), who was asked need not
        answer any more, and whether it does or not, nothing is left of it in 64*T1."""
        core = self.core
        self._settled(pending)
        server = core.layer.servers.get(pending.server) if pending.server is not None else None
        if server is not None:
            core.respond(server, 487, now=now)
        core.layer.cancel(pending.branch, now)


def exchange_for(line: Line | None) -> Exchange | None:
    """A way through challenges for one request to this line; None where we have no account."""
    return line.account.wallet.exchange() if line is not None and line.account is not None else None


def shown(leg: Leg) -> bytes:
    """The credentials of the INVITE, which the ACK to its 2xx repeats (§22.1): lines, each with a CRLF in front."""
    return b"".join([b"\r\n" + line for line in compose.header_lines(leg.credentials)])
