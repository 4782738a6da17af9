"""A SIP user agent of the simulator: the protocol half of `Phone` and `Carrier`, RFC 3261 §8, §12–§15, §17 over UDP.

Sans-IO like the engine and with the same verbs (`receive`, `wake`, `deadline`, `take`), but written apart from it, so
that the two can disagree. It retransmits, acknowledges, cancels and hangs up as the RFC asks, and keeps a `Leg` for
every dialog it ever had part in. What it does with a call (ring, answer, refuse, say nothing) is said by `Manners`; who
chooses them is the subclass's business.
"""

from collections.abc import Callable

from sipfailover.chance import Chance
from sipfailover.simulator.core import ALLOW, LIFE, PATIENCE, SDP_TYPE, T1, T2, T4, Clock
from sipfailover.simulator.leg import Leg, Manners, Packet
from sipfailover.simulator.text import Peer, Sip, address, quick_reply, reply, sdp, user_of
from sipfailover.simulator.uac import Uac


class Given:
    """A server transaction (§17.2)."""

    __slots__ = ("again", "clocks", "end", "interval", "last", "leg", "manners", "request", "status")

    def __init__(self, request: Sip, leg: Leg | None) -> None:
        self.request = request
        self.leg = leg
        self.last = b""
        self.status = 0
        self.interval = T1
        self.again: Clock | None = None
        self.end: Clock | None = None
        self.clocks: list[Clock] = []
        self.manners: Manners | None = None


def acknowledges(ack: Sip, given: Given) -> bool:
    """True if this ACK is for this transaction's final answer: by branch after a failure, by dialog after a 2xx."""
    invite = given.request
    if invite.method != b"INVITE" or given.status < 200 or invite.call_id != ack.call_id or invite.cseq != ack.cseq:
        return False
    if given.status >= 300:
        return invite.branch == ack.branch
    return given.leg is not None and ack.to_tag == given.leg.local_tag


class UserAgent(Uac):
    """See the module; this file has the called half, server transactions (§17.2), and decides who gets a message."""

    def __init__(self, name: str, at: Peer, chance: Chance) -> None:
        super().__init__(name, at, chance)
        self._given: dict[tuple[bytes, bytes, bytes], Given] = {}

    def receive(self, source: Peer, data: bytes, now: float) -> None:
        """One datagram. What cannot be read goes into `trouble`."""
        self.now = now
        if data.startswith(b"OPTIONS ") and self._options(source, data):
            return
        if not data.strip():
            return
        try:
            sip = Sip(data, source)
        except ValueError as error:
            self.trouble.append(f"{self.name} got nonsense: {error}")
            return
        if sip.status:
            self._response(sip)
        else:
            self._request(sip)

    def _options(self, source: Peer, data: bytes) -> bool:
        """Answer OPTIONS outside a call at once and keep nothing of it; False if it wants to be looked at."""
        status = self.options_status()
        if status is None:
            return False
        answer = quick_reply(data, source, status, b"options", b"%s: %s\r\n%s" % (*ALLOW, self.options_extra))
        if answer is not None:
            self._out.append(Packet(source, answer))
        return answer is not None

    # What a subclass decides.

    options_extra = b""
    """Header lines for the answers to OPTIONS, each with its line end."""

    def manners(self, leg: Leg, request: Sip) -> Manners | None:
        """How to treat a new INVITE. None: as if it had never come."""
        return Manners()

    def hears(self, request: Sip) -> bool:
        """False for a request that is dropped before anybody looks at it."""
        return True

    def options_status(self) -> int | None:
        """How OPTIONS outside calls are answered; None: not at all."""
        return 200

    def other(self, request: Sip) -> None:
        """Another request outside calls."""
        self._respond(self._new(request, None), 405, (ALLOW,))

    # Server transactions.

    def _request(self, sip: Sip) -> None:
        if not self.hears(sip):
            return
        if sip.method == b"ACK":
            self._acked(sip)
            return
        key = (sip.branch, sip.sent_by, sip.method)
        given = self._given.get(key)
        if given is not None:  # a retransmission: say the same again (§17.2)
            if given.last:
                self._out.append(Packet(sip.source, given.last))
            return
        if sip.method == b"CANCEL":
            self._cancelled(sip)
            return
        to_tag = sip.to_tag
        if to_tag:
            leg = self._dialogs.get((sip.call_id, to_tag + sip.from_tag))
            self._inside(sip, leg)
        elif sip.method == b"INVITE":
            self._invited(sip)
        elif sip.method == b"OPTIONS":
            status = self.options_status()
            if status is not None:
                self._respond(self._new(sip, None), status, (ALLOW,))
        else:
            self.other(sip)

    def _new(self, sip: Sip, leg: Leg | None) -> Given:
        given = Given(sip, leg)
        key = (sip.branch, sip.sent_by, sip.method)
        self._given[key] = given
        if sip.method != b"INVITE":
            given.end = self.later(LIFE, lambda: self._drop(given))
        return given

    def _drop(self, given: Given) -> None:
        for clock in (given.again, given.end, *given.clocks):
            if clock:
                clock.stop()
        self._given.pop((given.request.branch, given.request.sent_by, given.request.method), None)

    def _respond(
        self, given: Given, status: int, extra: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b""
    ) -> None:
        """Answer a request, and see to it that a final answer to INVITE arrives (§13.3.1.4, timers G and H)."""
        if given.status >= 200:
            return
        leg = given.leg
        given.status = status
        tag = leg.local_tag if leg else self.chance.tag()
        given.last = reply(given.request, status, tag, extra, body)
        self._out.append(Packet(given.request.source, given.last))
        if given.request.method == b"INVITE" and status >= 200:
            given.again = self.later(T1, lambda: self._repeat(given))
            given.end = self.later(LIFE, lambda: self._no_ack(given))

    def _repeat(self, given: Given) -> None:
        self._out.append(Packet(given.request.source, given.last))
        given.interval = min(T2, given.interval * 2)
        given.again = self.later(given.interval, lambda: self._repeat(given))

    def _no_ack(self, given: Given) -> None:
        leg, status = given.leg, given.status
        waiting = given.again is not None
        self._drop(given)
        if waiting and leg:
            leg.trouble = leg.trouble or f"no ACK for {status}"
            if status < 300 and leg.open:
                self.hang_up(leg, "us: no ACK")

    def _acked(self, sip: Sip) -> None:
        given = next((given for given in self._given.values() if acknowledges(sip, given)), None)
        if given is None or given.again is None:
            return  # a repeat, or too late
        given.again.stop()
        given.again = None
        if given.status >= 300:
            if given.end:
                given.end.stop()
            given.end = self.later(T4, lambda: self._drop(given))  # timer I
            return
        leg = given.leg
        if leg and leg.acked_at is None:
            leg.acked_at = self.now
            if given.manners and given.manners.talk is not None:
                self.later(given.manners.talk, lambda: self.hang_up(leg))
            self.changed(leg)

    def _invited(self, sip: Sip) -> None:
        for known in self._given.values():  # §8.2.2.2: the same request by another way
            if known.request.method == b"INVITE" and known.request.call_id == sip.call_id and known.leg:
                known.leg.offers += 1
                self._respond(self._new(sip, None), 482)
                return
        number = user_of(sip.uri)
        leg = Leg(number, False, sip.call_id, self.chance.tag(), sip.source, self.now)
        leg.remote_tag, leg.remote = sip.from_tag, sip.one(b"from")
        leg.local = sip.one(b"to") + b";tag=" + leg.local_tag
        leg.target = address(sip.get(b"contact") or b"")
        if not leg.target:
            leg.trouble = "an INVITE without Contact"
            leg.target = b"sip:%s:%d" % (sip.source[0].encode(), sip.source[1])
        manners = self.manners(leg, sip)
        if manners is None:
            return
        self.legs.append(leg)
        given = self._new(sip, leg)
        given.manners = manners
        self._dialogs[(leg.call_id, leg.local_tag + leg.remote_tag)] = leg
        if manners.trying is not None:
            self._plan(given, manners.trying, lambda: self._respond(given, 100))
        if manners.ringing is not None:
            self._plan(given, manners.ringing, lambda: self._ring(given))
        if manners.final is not None:
            self._plan(given, manners.final, lambda: self._final(given))
        given.clocks.append(self.later(PATIENCE, lambda: self._weary(given)))
        self.changed(leg)

    def _plan(self, given: Given, seconds: float, do: Callable[[], None]) -> None:
        if seconds <= 0:
            do()
        else:
            given.clocks.append(self.later(seconds, do))

    def _contact(self) -> tuple[bytes, bytes]:
        return (b"Contact", b"<sip:%s:%d>" % (self.at[0].encode(), self.at[1]))

    def _ring(self, given: Given) -> None:
        leg, manners = given.leg, given.manners
        assert leg is not None
        assert manners is not None
        if given.status >= 200:
            return
        if leg.ringing_at is None:
            leg.ringing_at = self.now
        if manners.ringing_status == 183:
            self._respond(given, 183, (self._contact(), SDP_TYPE), sdp(self.at[0], 40002))
        else:
            self._respond(given, manners.ringing_status, (self._contact(),))
        self.changed(leg)

    def _final(self, given: Given) -> None:
        leg, manners = given.leg, given.manners
        assert leg is not None
        assert manners is not None
        if given.status >= 200:
            return
        leg.status = manners.status
        if manners.status < 300:
            leg.answered_at = self.now
            self._respond(given, manners.status, (self._contact(), ALLOW, SDP_TYPE), sdp(self.at[0], 40002))
        else:
            wait = () if manners.retry_after is None else ((b"Retry-After", b"%d" % manners.retry_after),)
            self._respond(given, manners.status, wait)
        self.changed(leg)

    def _weary(self, given: Given) -> None:
        if given.status < 200 and given.leg:
            given.leg.status = 480
            self._respond(given, 480)
            self.changed(given.leg)

    def _cancelled(self, sip: Sip) -> None:
        given = self._given.get((sip.branch, sip.sent_by, b"INVITE"))
        self._respond(self._new(sip, given.leg if given else None), 200 if given else 481)
        if given is None or given.leg is None or given.status >= 200:
            return
        given.leg.cancelled_at = self.now
        if given.manners and given.manners.obeys_cancel:
            given.leg.status = 487
            self._respond(given, 487)
        self.changed(given.leg)

    def _inside(self, sip: Sip, leg: Leg | None) -> None:
        given = self._new(sip, leg)
        if leg is None:
            self._respond(given, 481)
        elif sip.method == b"BYE":
            self._respond(given, 200)
            if leg.answered_at is None:
                leg.trouble = "BYE before the answer"
            self._ended(leg, "them")
        elif sip.method == b"INVITE":
            if leg.ended_at is not None:
                self._respond(given, 481)
            elif any(
                asked.leg is leg and asked.method == b"INVITE" and not asked.done for asked in self._asked.values()
            ):
                self._respond(given, 491)  # §14.2: glare
            else:
                self._respond(given, 200, (self._contact(), SDP_TYPE), sdp(self.at[0], 40002))
        else:
            self._respond(given, 481 if leg.ended_at is not None else 200)

    @property
    def leftovers(self) -> list[str]:
        """Transactions that still wait for something, as sentences; empty when everything has come to its end."""
        return [f"{self.name} waits for an answer to {asked.sip}" for asked in self._asked.values()] + [
            f"{self.name} still holds {given.request}" for given in self._given.values()
        ]
