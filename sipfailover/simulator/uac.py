"""The calling half of a simulated user agent: client transactions (RFC 3261 §17.1), calls out, requests in calls."""

from sipfailover.chance import Chance
from sipfailover.simulator.core import ALLOW, LIFE, SDP_TYPE, T1, T2, T4, Clock, Core
from sipfailover.simulator.leg import Leg, Packet
from sipfailover.simulator.text import Peer, Sip, address, compose, peer_of, sdp


class Asked:
    """A client transaction (§17.1)."""

    __slots__ = ("again", "cancel_due", "data", "done", "end", "final", "interval", "leg", "method", "sip", "to")

    def __init__(self, method: bytes, to: Peer, data: bytes, leg: Leg | None) -> None:
        self.method = method
        self.to = to
        self.data = data
        self.sip = Sip(data)
        self.leg = leg
        self.interval = T1
        self.again: Clock | None = None
        self.end: Clock | None = None
        self.final: bytes = b""
        """The ACK to a final answer, to say it again."""
        self.cancel_due = False
        self.done = False


class Uac(Core):
    """See the module."""

    def __init__(self, name: str, at: Peer, chance: Chance) -> None:
        super().__init__(name, at, chance)
        self._asked: dict[tuple[bytes, bytes], Asked] = {}

    # Calls that we make.

    def invite(
        self, number: str, caller: str, to: Peer, headers: tuple[tuple[bytes, bytes], ...] = (), uri: bytes = b""
    ) -> Leg:
        """Call a number at a peer. The leg that is returned fills itself as things happen.

        `uri`: the Request-URI, where it is not the number at the peer (a registered Contact)."""
        domain = b"%s:%d" % (to[0].encode(), to[1])
        leg = Leg(number, True, self.chance.call_id(), self.chance.tag(), to, self.now)
        leg.local = b'"%s" <sip:%s@%s:%d>;tag=%s' % (
            self.name.encode(), caller.encode(), self.at[0].encode(), self.at[1], leg.local_tag,
        )  # fmt: skip
        leg.remote = b"<sip:%s@%s>" % (number.encode(), domain)
        leg.target = uri or b"sip:%s@%s" % (number.encode(), domain)
        self.legs.append(leg)
        self._ask(b"INVITE", leg, (ALLOW, *headers, SDP_TYPE), sdp(self.at[0], 40000))
        return leg

    def hang_up(self, leg: Leg, why: str = "us") -> None:
        """End a call in whatever state it is: CANCEL (§9.1) before the answer, BYE (§15) after it."""
        if leg.ended_at is not None:
            return
        if leg.answered_at is None:
            if leg.outgoing and not leg.status and leg.cancelled_at is None:
                leg.cancelled_at = self.now
                for asked in list(self._asked.values()):
                    if asked.leg is leg and asked.method == b"INVITE":
                        self._cancel(asked)
            return
        if not leg.outgoing and leg.acked_at is None and why == "us":
            self.later(0.1, lambda: self.hang_up(leg))  # §15: a callee waits for the ACK
            return
        self._ended(leg, why)
        self._ask(b"BYE", leg)

    def renegotiate(self, leg: Leg, direction: bytes = b"sendonly") -> None:
        """Put a call on hold, or take it back: a re-INVITE (§14.1)."""
        if leg.open and leg.acked_at is not None:
            self._ask(b"INVITE", leg, (SDP_TYPE,), sdp(self.at[0], 40000, direction))

    def inside(self, leg: Leg, method: bytes) -> None:
        """Send a request that only wants an answer (INFO, OPTIONS, …) inside a call."""
        if leg.open:
            self._ask(method, leg)

    # Client transactions.

    def _ask(self, method: bytes, leg: Leg, headers: tuple[tuple[bytes, bytes], ...] = (), body: bytes = b"") -> Asked:
        if leg.status or leg.answered_at is not None:
            leg.cseq += 1
        branch = self.chance.branch()
        to = peer_of(leg.target)
        data = self._compose(method, leg, branch, leg.cseq, headers, body)
        asked = Asked(method, to, data, leg)
        self._asked[(branch, method)] = asked
        self._out.append(Packet(to, data))
        asked.again = self.later(T1, lambda: self._again(asked))
        asked.end = self.later(LIFE, lambda: self._no_answer(branch, asked))
        return asked

    def _compose(
        self,
        method: bytes,
        leg: Leg,
        branch: bytes,
        cseq: int,
        headers: tuple[tuple[bytes, bytes], ...] = (),
        body: bytes = b"",
    ) -> bytes:
        host, port = self.at[0].encode(), self.at[1]
        fields = [
            (b"Via", b"SIP/2.0/UDP %s:%d;branch=%s;rport" % (host, port, branch)),
            (b"Max-Forwards", b"70"),
            (b"From", leg.local),
            (b"To", leg.remote),
            (b"Call-ID", leg.call_id),
            (b"CSeq", b"%d %s" % (cseq, method)),
        ]
        if method != b"BYE":
            fields.append((b"Contact", b"<sip:%s:%d>" % (host, port)))
        return compose(b"%s %s SIP/2.0" % (method, leg.target), (*fields, *headers), body)

    def _again(self, asked: Asked) -> None:
        self._out.append(Packet(asked.to, asked.data))
        asked.interval = asked.interval * 2 if asked.method == b"INVITE" else min(T2, asked.interval * 2)
        asked.again = self.later(asked.interval, lambda: self._again(asked))

    def _no_answer(self, branch: bytes, asked: Asked) -> None:
        self._forget(branch, asked)
        leg = asked.leg
        if leg and asked.method == b"INVITE" and not asked.done and not leg.status:
            leg.status = 408
            leg.trouble = leg.trouble or "no final answer to INVITE"
            self.changed(leg)

    def _forget(self, branch: bytes, asked: Asked) -> None:
        for clock in (asked.again, asked.end):
            if clock:
                clock.stop()
        self._asked.pop((branch, asked.method), None)

    def _cancel(self, asked: Asked) -> None:
        """§9.1: the same branch, and only after a provisional answer."""
        if asked.again is not None:
            asked.cancel_due = True
            return
        asked.cancel_due = False
        leg = asked.leg
        assert leg is not None
        branch = asked.sip.branch
        data = self._compose(b"CANCEL", leg, branch, asked.sip.cseq)
        cancel = Asked(b"CANCEL", asked.to, data, leg)
        self._asked[(branch, b"CANCEL")] = cancel
        self._out.append(Packet(asked.to, data))
        cancel.again = self.later(T1, lambda: self._again(cancel))
        cancel.end = self.later(LIFE, lambda: self._no_answer(branch, cancel))
        if asked.end:
            asked.end.stop()
        asked.end = self.later(LIFE, lambda: self._no_answer(branch, asked))

    def _response(self, sip: Sip) -> None:
        asked = self._asked.get((sip.branch, sip.cseq_method))
        if asked is None:
            return  # a late repeat: its transaction is over
        if asked.again:
            asked.again.stop()
            asked.again = None
        leg = asked.leg
        if sip.status < 200:
            if asked.method == b"INVITE" and not asked.done:
                if leg and not leg.status and asked.end:
                    asked.end.stop()
                if leg and leg.ringing_at is None and sip.status > 100 and leg.answered_at is None:
                    leg.ringing_at = self.now
                    self.changed(leg)
                if asked.cancel_due:
                    self._cancel(asked)
            elif not asked.done:
                asked.interval = T2
                asked.again = self.later(T2, lambda: self._again(asked))
            return
        if asked.method != b"INVITE":
            if not asked.done:
                asked.done = True
                self._linger(sip.branch, asked, T4)
            return
        assert leg is not None
        if sip.status >= 300:
            self._refused(asked, leg, sip)
        else:
            self._accepted(asked, leg, sip)

    def _linger(self, branch: bytes, asked: Asked, seconds: float) -> None:
        if asked.end:
            asked.end.stop()
        asked.end = self.later(seconds, lambda: self._forget(branch, asked))

    def _refused(self, asked: Asked, leg: Leg, sip: Sip) -> None:
        if not asked.final:  # §17.1.1.3: same branch, To as in the response
            mine = asked.sip
            asked.final = compose(
                b"ACK %s SIP/2.0" % mine.uri,
                [
                    (b"Via", mine.one(b"via")),
                    (b"Max-Forwards", b"70"),
                    (b"From", mine.one(b"from")),
                    (b"To", sip.one(b"to")),
                    (b"Call-ID", mine.call_id),
                    (b"CSeq", b"%d ACK" % mine.cseq),
                ],
                b"",
            )
        self._out.append(Packet(asked.to, asked.final))
        if asked.done:
            if leg.answered_at is None and leg.status != sip.status:
                leg.finals += 1
            elif leg.answered_at is not None and asked.sip.to_tag == b"":
                leg.finals += 1
                leg.trouble = f"{sip.status} after the answer"
            return
        asked.done = True
        self._linger(sip.branch, asked, LIFE)
        if asked.sip.to_tag:  # a re-INVITE: the call goes on, or is gone
            if sip.status in (408, 481) and leg.open:
                leg.trouble = leg.trouble or f"re-INVITE was answered {sip.status}"
                self.hang_up(leg, f"us: {sip.status}")
            return
        leg.finals += 1
        leg.status = sip.status
        self.changed(leg)

    def _accepted(self, asked: Asked, leg: Leg, sip: Sip) -> None:
        first = not asked.done
        asked.done = True
        if first:
            self._linger(sip.branch, asked, LIFE)
        if asked.sip.to_tag:
            self._acknowledge(leg, asked.sip.cseq)
            return
        if leg.answered_at is None:
            leg.finals += 1
            late = bool(leg.status)
            leg.status, leg.answered_at = sip.status, self.now
            leg.remote_tag, leg.remote = sip.to_tag, sip.one(b"to")
            leg.target = address(sip.get(b"contact") or b"")
            self._dialogs[(leg.call_id, leg.local_tag + leg.remote_tag)] = leg
            if not leg.target:
                leg.trouble = "a 2xx without Contact"
                leg.target = asked.sip.uri
            if late:
                leg.trouble = "an answer after a failure"
            self._acknowledge(leg, asked.sip.cseq)
            if leg.cancelled_at is not None:
                self.hang_up(leg, "us: the answer crossed our CANCEL")
            else:
                self.answered(leg)
            self.changed(leg)
        elif sip.to_tag == leg.remote_tag:
            self._acknowledge(leg, asked.sip.cseq)
        elif (fork := self._dialogs.get((leg.call_id, leg.local_tag + sip.to_tag))) is None:
            fork = Leg(leg.number, True, leg.call_id, leg.local_tag, leg.peer, leg.seen_at, stray=True)
            fork.local, fork.remote, fork.remote_tag = leg.local, sip.one(b"to"), sip.to_tag
            fork.target = address(sip.get(b"contact") or b"")
            fork.status, fork.answered_at, fork.cseq = sip.status, self.now, asked.sip.cseq
            self._dialogs[(leg.call_id, leg.local_tag + sip.to_tag)] = fork
            self.legs.append(fork)
            self._acknowledge(fork, asked.sip.cseq)
            self.hang_up(fork, "us: a second answer")
        else:
            self._acknowledge(fork, asked.sip.cseq)

    def _acknowledge(self, leg: Leg, cseq: int) -> None:
        """§13.2.2.4: the ACK to a 2xx has a branch of its own and goes to the Contact."""
        leg.acked_at = leg.acked_at if leg.acked_at is not None else self.now
        self._out.append(Packet(peer_of(leg.target), self._compose(b"ACK", leg, self.chance.branch(), cseq)))

    def answered(self, leg: Leg) -> None:
        """A call that we made was answered, and we have acknowledged it. For subclasses."""
