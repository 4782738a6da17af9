"""The ladder: one attempt after the other until somebody answers for the call (DESIGN.md §5.3, §5.4).

Which line comes next is `routing.plan`'s decision, what an outcome means is `routing.verdict`'s, what the caller is
told in the end is `routing.best`'s. This room acts: it sends, runs the clocks, gives up, relays. An attempt that is
over is cancelled, and what it still says is absorbed here or in `stray`; the caller never sees it.
"""

from dataclasses import replace

from sipfailover.flow import Flow
from sipfailover.proxy.answers import REDIRECTED, answer_for
from sipfailover.proxy.call import OUTBOUND, Attempt, Call, Clock, Progress
from sipfailover.proxy.core import CALLS, PBX_FAILED, TRUNK_FAILED, Core, phrase
from sipfailover.proxy.facts import AttemptEnded
from sipfailover.proxy.inside import Inside
from sipfailover.proxy.invitation import begin, invitation, offer
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.line import Line
from sipfailover.proxy.stray import Stray
from sipfailover.proxy.watch import WORDS, Watch
from sipfailover.routing import (
    Answered,
    Cancelled,
    Candidate,
    Final,
    NoRinging,
    Outcome,
    Rejected,
    RingingThenSilent,
    Said,
    Silent,
    Unreachable,
    Verdict,
    best,
    judge,
    plan,
)
from sipfailover.transaction import PROCEEDING, Input, Transaction
from sipfailover.wire import Exchange, Message, parse_reasons, value_of
from sipfailover.wire import Outcome as Challenged

INVITE = b"INVITE"
DRAIN_RETRY_AFTER = (b"retry-after", b"30")
"""Seconds a caller is asked to wait while we are shutting down."""
RANG_IN_VAIN = Final(None, 408, b"", ())
"""A telephone rang until the ring timeout: whatever another trunk said before, this tells the caller more."""


class Ladder:
    """Calls from their INVITE to their answer. `now`: seconds, monotonic. On the path."""

    def __init__(self, core: Core, watch: Watch, inside: Inside, stray: Stray) -> None:
        self.core = core
        self.watch = watch
        self.inside = inside
        self.stray = stray

    # -- a call begins ------------------------------------------------------------------------------------------------

    def invited(self, tx: Transaction, request: Message, flow: Flow, source: Line, now: float) -> None:
        """A new INVITE from a PBX or a trunk. Raises WireError for an address in it that cannot be read."""
        core = self.core
        call = begin(core, tx, request, flow, source, now)
        failover = core.settings.failover
        call.give_up_at = now + failover.give_up_after
        call.give_up = core.timers.start(failover.give_up_after, now, Clock.GIVE_UP, call)
        if call.emergency:
            core.log("warning", f"emergency call to {call.called}", call=call.number)
        self._climb(call, now)

    def _climb(self, call: Call, now: float) -> None:
        """Try the best line that was not tried yet; if there is none, tell the caller."""
        core = self.core
        lines = core.trunks if call.direction == OUTBOUND else core.pbxs
        for candidate in plan([line.trunk for line in lines], now, emergency=call.emergency):
            if not candidate.included:
                break
            if candidate.name not in call.tried:
                self._try(call, core.lines[candidate.name], candidate, now)
                return
        self._fail(call, self._final(call), now)

    def _try(self, call: Call, line: Line, candidate: Candidate, now: float) -> None:
        """Send the INVITE to one line, shaped for it, and start its clock."""
        core, request, trunk = self.core, call.request, line.trunk
        target = trunk.target
        assert request is not None
        assert target is not None
        leg = offer(call.number, request, call.uri, line, target, core.chance)
        call.attempts += 1
        call.tried.add(line.name)
        call.first_choice = call.first_choice or line.name
        call.line = line
        attempt = Attempt(call.number, call.attempts, line, candidate, leg, now)
        call.attempt = attempt
        trunk.calls_now += 1
        if candidate.trial:
            trunk.health.trial_started(now)
        if candidate.desperate:
            core.log("warning", f"call {call.number} tries {line.name} although it is unfit", why=candidate.reason)
        self._send(call, attempt, now)

    def _send(self, call: Call, attempt: Attempt, now: float) -> None:
        """The INVITE of an attempt, for the first time or with what its challenge wants (§22.2), and its clock."""
        core, request, leg = self.core, call.request, attempt.leg
        assert request is not None
        leg.uac_cseq = leg.next_cseq()
        branch = attempt.branch = core.chance.branch()
        data = invitation(request, leg, branch, attempt.exchange, core)
        clock = attempt.line.trunk.no_answer()
        core.layer.request(branch, INVITE, data, leg.reached, attempt, now, t1=clock.t1)
        attempt.clock = core.timers.start(clock.bound, now, Clock.NO_ANSWER, attempt)

    # -- what an attempt says -----------------------------------------------------------------------------------------

    def heard(self, tx: Transaction, attempt: Attempt, what: Input, message: Message | None, now: float) -> None:
        """The client transaction of an attempt has something to tell."""
        if message is not None and not attempt.heard:
            attempt.heard = True
            trunk = attempt.line.trunk
            trip = now - attempt.sent_at
            if trip <= trunk.no_answer_within:
                trunk.roundtrip.observe(trip, call=True)
        if what is Input.PROVISIONAL or what is Input.SUCCESS:
            assert message is not None
            (self._provisional if what is Input.PROVISIONAL else self._success)(attempt, message, now)
        elif attempt.over:
            return
        elif what is Input.FAILURE:
            assert message is not None
            if attempt.exchange is not None and self._answered_challenge(attempt, attempt.exchange, message, now):
                return
            rang = attempt.ringing_at is not None
            outcome = Rejected(message.status, message.retry_after, rang, phrase(message))
            self._end(attempt, outcome, message, now)
        elif what is Input.LOST:
            self._lost(tx, attempt, now)
        else:
            self._end(attempt, Silent(now - attempt.sent_at), None, now)

    def _answered_challenge(self, attempt: Attempt, exchange: Exchange, message: Message, now: float) -> bool:
        """True if a failure was a challenge, and the INVITE left again with its answer."""
        if message.status not in (401, 407):
            exchange.accepted(message)
            return False
        call = self.core.call_of(attempt)
        if call is None:
            return False
        account = attempt.line.account
        if account is not None and now < account.silent_until and not call.emergency:
            return False  # it was told, and each further try brings the account nearer to its lock
        outcome = exchange.challenged(message)
        if outcome is not Challenged.AGAIN:
            if outcome is Challenged.REFUSED and account is not None:
                account.refused(now)
            self.core.not_let_in(attempt.line, CALLS, exchange.why, call=call.number)
            return False
        if attempt.clock is not None:
            attempt.clock.stop()
        self._drop_forks(attempt)
        self._send(call, attempt, now)
        return True

    def _provisional(self, attempt: Attempt, message: Message, now: float) -> None:
        call = self.core.call_of(attempt)
        if attempt.over or call is None:
            return  # late: the transaction cancels it
        if attempt.clock is not None and attempt.clock.name == Clock.NO_ANSWER:
            self._restart(attempt, self.core.settings.failover.no_ringing_within, Clock.NO_RINGING, now)
        if message.status == 100:
            return
        if attempt.ringing_at is None and message.status != 199:  # RFC 6228: an early dialog is over, the call is not
            attempt.ringing_at = now
            if attempt.exchange is not None:
                attempt.exchange.passed()
            if call.ringing_at is None:
                call.ringing_at = now
            call.progress = Progress.RINGING
            if call.give_up is not None:
                call.give_up.stop()
        if attempt.ringing_at is not None:  # again with each answer: a queue says 183 every minute (§16.7 step 2)
            self._restart(attempt, self.core.settings.failover.ring_timeout, Clock.RING_TIMEOUT, now)
        a = self._pair(call, attempt, message)[0] if message.to_tag else call.a
        self._relay(call, a, message, now)

    def _restart(self, attempt: Attempt, seconds: float, clock: Clock, now: float) -> None:
        """Another clock instead of the one that runs; both count from the INVITE, a telephone's ringing from now."""
        if attempt.clock is not None:
            attempt.clock.stop()
        since = now if clock is Clock.RING_TIMEOUT else attempt.sent_at
        attempt.clock = self.core.timers.start(max(0.0, since + seconds - now), now, clock, attempt)

    def _pair(self, call: Call, attempt: Attempt, message: Message) -> tuple[Leg, Leg]:
        """The two legs (calling side, called side) of the early or confirmed dialog that a response speaks of.

        Every callee behind a forking carrier has a dialog of its own on both sides: the first has the tag that the
        caller knows already, further ones get new tags (§12.1). So does another trunk after one that rang, which only
        emergency calls go to: within one dialog the caller would keep to the first SDP (RFC 3264 §4, RFC 3262 §3).
        """
        core = self.core
        b = attempt.forks.get(message.to_tag)
        if b is not None:
            return core.legs[b.partner], b
        b = attempt.leg.fork(attempt.leg.local_tag, message.to_tag)
        b.answered_by(message)
        a = call.a if call.a.key not in call.keys else call.a.fork(core.chance.tag(), call.a.remote_tag)
        a.partner, b.partner = b.key, a.key
        core.add(a, call)
        core.add(b, call)
        attempt.forks[message.to_tag] = b
        return a, b

    def _relay(self, call: Call, a: Leg, message: Message, now: float) -> None:
        """A provisional answer goes to the caller as it came, with the caller's own dialog."""
        tx = self.core.layer.servers.get(call.invite_key)
        if tx is not None:
            self.core.layer.respond(tx, message.status, answer_for(tx, a, message), now)

    def _success(self, attempt: Attempt, message: Message, now: float) -> None:
        core = self.core
        won = attempt.won
        if won is not None and won.remote_tag == message.to_tag:
            self.inside.acknowledge_again(won, message)  # the peer lost our ACK
            return
        call = core.call_of(attempt)
        if won is not None or attempt.over or call is None:
            self.stray.answered_in_vain(message, attempt.leg.reached, now)
            return
        a, b = self._pair(call, attempt, message)
        b.answered_by(message)
        if attempt.exchange is not None:
            attempt.exchange.accepted(message)
            b.credentials = tuple(attempt.exchange.sent)
        attempt.won = b
        tx = core.layer.servers.get(call.invite_key)
        call.b, call.a = b, a
        call.answered_at = now
        if call.ringing_at is None:
            call.ringing_at = now
        call.progress = Progress.ANSWERED
        if call.give_up is not None:
            call.give_up.stop()
        attempt.line.trunk.calls_now += 1  # `_close` gives the attempt's own channel back
        self._close(attempt, call, Answered(message.status), message, "relayed", now)
        for key in call.keys:
            if key not in (a.key, b.key) and (leg := core.legs.get(key)) is not None:
                core.remove(leg)
        call.keys = [a.key, b.key]
        call.request, call.attempt, call.finals = None, None, []
        if tx is not None:
            self.inside.answer(a, tx, message.status, answer_for(tx, a, message), now)
        if call.rerouted:
            core.log("info", f"call {call.number} was rerouted to {call.trunk}", after=_after(call))

    def _lost(self, tx: Transaction, attempt: Attempt, now: float) -> None:
        """The transport lost the INVITE, or the port was closed while the peer was thinking about it."""
        rang = attempt.ringing_at is not None
        if rang and tx.state is PROCEEDING:
            return  # a telephone rings, and its answer needs nothing of what was lost (§18.2.2)
        local = tx.reason.startswith("local: ")
        reason = tx.reason.removeprefix("local: ")
        self._end(attempt, Unreachable(WORDS.get(reason, reason), local, rang), None, now)

    # -- clocks -------------------------------------------------------------------------------------------------------

    def ring(self, attempt: Attempt, clock: Clock, now: float) -> None:
        """The clock of an attempt has run out."""
        after = now - attempt.sent_at
        if clock is Clock.NO_ANSWER:
            self._end(attempt, Silent(after), None, now)
        elif clock is Clock.NO_RINGING:
            self._end(attempt, NoRinging(after), None, now)
        else:
            rang = now - (attempt.ringing_at or attempt.sent_at)
            self._end(attempt, RingingThenSilent(rang), None, now)

    def give_up(self, call: Call, now: float) -> None:
        """The caller has waited long enough. The clocks of a first attempt are shorter, so this is a later one."""
        attempt = call.attempt
        call.give_up_at = now
        assert attempt is not None
        after = now - attempt.sent_at
        outcome = NoRinging(after) if attempt.heard else Silent(after)
        self._end(attempt, outcome, None, now, cut_short=True)

    # -- an attempt ends ----------------------------------------------------------------------------------------------

    def _end(
        self, attempt: Attempt, outcome: Outcome, message: Message | None, now: float, *, cut_short: bool = False
    ) -> None:
        """An attempt has failed: the next one, or the end of the ladder. `cut_short`: it did not have its time, because
        those before it used that up; then it is evidence of nothing."""
        call = self.core.call_of(attempt)
        if attempt.over or call is None:
            return
        verdict = self._judge(outcome, attempt, call)
        if cut_short:
            verdict = replace(verdict, sign=None)
        status = message.status if message is not None else 0
        call.said.append(Said(attempt.line.name, status, verdict.said, verdict.as_is))
        call.finals.append(message)
        if isinstance(outcome, Silent | Unreachable):
            attempt.line.trunk.avoid(attempt.leg.reached)
        if verdict.next_trunk and (now < call.give_up_at or call.emergency) and self._is_left(call, now):
            self._close(attempt, call, outcome, message, "next trunk", now, verdict)
            why = verdict.said
            self.core.log("info", f"call {call.number} moves on from {attempt.line.name}", why=why, to=call.called)
            self._climb(call, now)
            return
        final = RANG_IN_VAIN if isinstance(outcome, RingingThenSilent) else self._final(call)
        words = "relayed" if final.index == attempt.number - 1 else "gave up"
        self._close(attempt, call, outcome, message, words, now, verdict)
        self._fail(call, final, now)

    def _final(self, call: Call) -> Final:
        return best(call.said, "trunk" if call.direction == OUTBOUND else "PBX")

    def _is_left(self, call: Call, now: float) -> bool:
        lines = self.core.trunks if call.direction == OUTBOUND else self.core.pbxs
        candidates = plan([line.trunk for line in lines], now, emergency=call.emergency)
        return any(candidate.included and candidate.name not in call.tried for candidate in candidates)

    def _judge(self, outcome: Outcome, attempt: Attempt, call: Call) -> Verdict:
        agreed = [said.status for said in call.said]
        return judge(outcome, attempt.line.rules, agreed=agreed, emergency=call.emergency)

    def _close(
        self,
        attempt: Attempt,
        call: Call,
        outcome: Outcome,
        message: Message | None,
        words: str,
        now: float,
        verdict: Verdict | None = None,
    ) -> None:
        """The books of one attempt: its clock, its channel, its evidence, its record, and what must be cancelled."""
        core, trunk = self.core, attempt.line.trunk
        attempt.over = True
        if attempt.clock is not None:
            attempt.clock.stop()
            attempt.clock = None
        trunk.calls_now -= 1
        verdict = verdict or self._judge(outcome, attempt, call)
        evidence = verdict.evidence(call.called, attempt.sent_at)
        if evidence is None and attempt.candidate.trial:
            trunk.health.trial_ended()
        if message is None:
            core.layer.cancel(attempt.branch, now)
        if attempt.won is None:
            self._drop_forks(attempt)
        ringing_at = attempt.ringing_at
        core.record(
            AttemptEnded(
                at=now,
                call=call.number,
                number=attempt.number,
                trunk=attempt.line.name,
                outcome=outcome.word,
                status=message.status if message is not None else 0,
                reason=_reason(outcome, message),
                verdict=words,
                sent_at=attempt.sent_at,
                ringing_after=None if ringing_at is None else ringing_at - attempt.sent_at,
                ended_after=now - attempt.sent_at,
                remote=attempt.remote,
                call_id=attempt.leg.call_id.decode(),
            )
        )
        self.watch.observe(attempt.line, evidence, now)

    def _drop_forks(self, attempt: Attempt) -> None:
        """The early dialogs of an attempt lead nowhere any more."""
        for b in attempt.forks.values():
            self.core.remove(b)
            partner = self.core.legs.get(b.partner)
            if partner is not None:
                self.core.remove(partner)
        attempt.forks.clear()

    # -- the call ends without an answer ------------------------------------------------------------------------------

    def _fail(self, call: Call, final: Final, now: float) -> None:
        """Tell the caller the most informative thing that was said (§16.7)."""
        core = self.core
        tx = core.layer.servers.get(call.invite_key)
        result = ""
        if final.index is not None:
            call.line = core.lines[call.said[final.index].trunk]
            message = call.finals[final.index]
            assert message is not None
            if tx is not None:
                data = answer_for(tx, call.a, message, dropped=REDIRECTED, more=final.headers)
                core.layer.respond(tx, final.status, data, now)
        elif tx is not None:
            core.respond(tx, final.status, final.reason, final.headers, now=now, tag=call.a.local_tag)
        if final.index is None and final is not RANG_IN_VAIN:
            result = TRUNK_FAILED if call.direction == OUTBOUND else PBX_FAILED
            why = _after(call) or final.reason.decode()
            core.log("error", f"call {call.number} could not be carried", to=call.called, why=why)
        core.end(call, final.status, "", now, result)

    def cancelled(self, call: Call, now: float, reason: bytes = b"") -> None:
        """The caller hung up before the answer (§9.2). `reason`: its Reason line, to be carried over (RFC 3326)."""
        core = self.core
        attempt = call.attempt
        if attempt is not None and not attempt.over:
            core.layer.cancel(attempt.branch, now, reason)
            self._close(attempt, call, Cancelled(attempt.ringing_at is not None), None, "gave up", now)
        tx = core.layer.servers.get(call.invite_key)
        if tx is not None:
            core.respond(tx, 487, now=now, tag=call.a.local_tag)
        core.end(call, 487, "caller", now)


def _reason(outcome: Outcome, message: Message | None) -> str:
    """The phrase, and what Reason headers say behind it: `Service Unavailable (Q.850 34 No circuit available)`."""
    if message is None:
        return outcome.reason if isinstance(outcome, Unreachable) else ""
    said = [phrase(message)]
    for line in message.lines(b"reason"):
        for one in parse_reasons(value_of(line)):
            parts = (one.protocol.decode(), str(one.cause or ""), one.text.decode("utf-8", "replace"))
            said.append(f"({' '.join(part for part in parts if part)})")
    return " ".join(said).strip()


def _after(call: Call) -> str:
    return "; ".join(f"{said.trunk}: {said.words}" for said in call.said)
