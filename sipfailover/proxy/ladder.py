"""The ladder: one attempt after the other until somebody answers for the call (DESIGN.md §5.3, §5.4).

Which line comes next is `routing.plan`'s decision, what an outcome means is `routing.verdict`'s, what the caller is
told in the end is `routing.best`'s. This room acts: it sends, runs the clocks, gives up, relays. An attempt that is
over is cancelled, and what it still says is absorbed here or in `stray`; the caller never sees it.
"""

from dataclasses import replace

from sipfailover.flow import Flow
from sipfailover.proxy import ending, experience, forks, hedging, loops
from sipfailover.proxy.answers import answer_for
from sipfailover.proxy.call import NEXT_TRUNK, OUTBOUND, OWN_NUMBER, Attempt, Call, Clock, Progress, Rung
from sipfailover.proxy.closing import close
from sipfailover.proxy.core import CALLS, CALLS_LOOKED_AT_EVERY, Core, phrase
from sipfailover.proxy.inside import Inside
from sipfailover.proxy.invitation import begin, invitation, offer, overflow
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.line import Line
from sipfailover.proxy.rung import next_rung, next_trunk, patience, second_trunk
from sipfailover.proxy.stray import Stray
from sipfailover.proxy.watch import WORDS, Watch
from sipfailover.routing import (
    Answered,
    Cancelled,
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
    hedge,
    judge,
)
from sipfailover.transaction import GRAIN, PROCEEDING, Input, Transaction
from sipfailover.trunk import Sign, State
from sipfailover.wire import Exchange, Message
from sipfailover.wire import Outcome as Challenged

INVITE = b"INVITE"
DRAIN_RETRY_AFTER = (b"retry-after", b"30")
"""Seconds a caller is asked to wait while we are shutting down."""


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
        experience.called(self.watch, source, now)
        failover = core.settings.failover
        call.give_up_at = now + failover.give_up_after
        if call.emergency:  # every attempt has its clock, and none is cut short
            core.log("warning", f"emergency call to {call.called}", call=call.number)
        else:
            call.give_up = core.timers.start(failover.give_up_after, now, Clock.GIVE_UP, call)
        self._climb(call, next_trunk(call, core, now), now)

    def _climb(self, call: Call, rung: Rung | None, now: float) -> None:
        """Try the next rung; if there is none, tell the caller."""
        core = self.core
        if rung is None:
            ending.fail(self.core, call, self._final(call), now)
            return
        if not core.tolls.idle and (refusal := core.tolls.may(call, rung.line, now)) is not None:
            ending.refuse(core, call, refusal, now)
            return
        if rung.overflow and not call.overflowed:
            if loops.goes_round(core, call):
                core.log("warning", f"call {call.number} goes in a circle: inbound.overflow leads back to us")
                ending.fail(self.core, call, loops.ROUND, now)
                return
            overflow(self.core, call, ending.after(call))
        if rung.round != call.round:
            call.round = rung.round
            call.tried = {said.trunk for said in call.said if said.status}
        self._try(call, rung, now)

    def _try(self, call: Call, rung: Rung, now: float, *, beside: Attempt | None = None, why: str = "") -> None:
        """Send the INVITE to one line, shaped for it, and start its clock. `beside`: what it hedges, and `why`."""
        core, request, line, candidate = self.core, call.request, rung.line, rung.candidate
        assert request is not None
        trunk = line.trunk
        leg = offer(
            call.number, request, call.uri, line, rung.target, core.chance, source=call.source,
            emergency=call.emergency, fallback=rung.kind == OWN_NUMBER,
        )  # fmt: skip
        call.attempts += 1
        if line.name not in call.tried:
            call.tried.add(line.name)
            call.addresses[line.name] = set()
        call.addresses[line.name].add(rung.target.peer)
        call.first_choice = call.first_choice or line.name
        attempt = Attempt(call.number, call.attempts, line, candidate, leg, now)
        attempt.fallback = rung.kind == OWN_NUMBER
        if beside is None:
            call.line, call.attempt = line, attempt
        else:
            call.rival, attempt.hedges, attempt.why = attempt, beside.line.name, why
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
        clock = attempt.line.trunk.no_answer(patience(call, attempt.line, core).no_answer)
        core.keep_try(call, attempt, now)
        core.layer.request(branch, INVITE, data, leg.reached, attempt, now, t1=clock.t1)
        attempt.asked_at = now
        self._clock(attempt, clock.bound, Clock.NO_ANSWER, now)

    # -- a second attempt ---------------------------------------------------------------------------------------------

    def second(self, attempt: Attempt, now: float) -> None:
        """Begin a second attempt beside this one, if `routing.hedge` allows it and there is a trunk for it."""
        core, call = self.core, self.core.call_of(attempt)
        why = hedging.reason(core, call, attempt, now) if call is not None else ""
        if call is None or not why:
            return
        rung = second_trunk(call, core, now)
        if rung is not None and core.tolls.may(call, rung.line, now) is None:
            core.log("info", f"call {call.number} goes to {rung.where} as well as to {attempt.line.name}", why=why)
            self._try(call, rung, now, beside=attempt, why=why)

    def in_doubt(self, line: Line, now: float) -> None:
        """A trunk has come into doubt: what it has been silent to for long may be hedged now."""
        for call in list(self.core.calls.values()):
            for attempt in (call.attempt, call.rival):
                if attempt is not None and attempt.line is line:
                    self.second(attempt, now)

    def _wins(self, call: Call, attempt: Attempt, now: float) -> None:
        """It rings, or is answered: if another one is under way, that is not wanted any more."""
        other = call.beside(attempt)
        if other is not None:
            if attempt is call.rival:
                experience.overtaken(call, other, now)
            self._drop(call, other, hedging.OVERTAKEN, now, hedging.ELSEWHERE)
            call.attempt, call.rival, call.line = attempt, None, attempt.line

    def _drop(self, call: Call, attempt: Attempt, words: str, now: float, reason: bytes = b"") -> None:
        """Cancel what has no outcome of its own. `reason`: why, for the CANCEL (RFC 3326)."""
        self.core.layer.cancel(attempt.branch, now, reason)
        outcome = Cancelled(attempt.ringing_at is not None)
        self._close(call, attempt, outcome, None, self._judge(outcome, attempt, call), words, now)

    def _leave_to(self, call: Call, other: Attempt, then: hedge.Then, now: float) -> None:
        """One of two attempts has failed, and the other goes on alone."""
        call.attempt, call.rival, call.line = other, None, other.line
        if then is hedge.Then.HAS_THE_LAST_WORD:
            call.decided = True
            other.until = now + hedge.LAST_WORD
            clock = other.clock
            if clock is not None and clock.due > other.until:
                clock.stop()
                self._clock(other, hedge.LAST_WORD, Clock(clock.name), now)
        else:
            self.second(other, now)

    # -- what an attempt says -----------------------------------------------------------------------------------------

    def heard(self, tx: Transaction, attempt: Attempt, what: Input, message: Message | None, now: float) -> None:
        """The client transaction of an attempt has something to tell."""
        if message is not None and not attempt.heard:
            experience.heard(self.watch, attempt, now)
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
        forks.drop(self.core, attempt)
        self._send(call, attempt, now)
        return True

    def _provisional(self, attempt: Attempt, message: Message, now: float) -> None:
        call = self.core.call_of(attempt)
        if attempt.over or call is None or (message.to_tag and forks.is_one_too_many(attempt, message)):
            return  # late: the transaction cancels it; or rung by too many
        if message.status in (100, 199) and attempt.clock is not None and attempt.clock.name == Clock.NO_ANSWER:
            self._restart(attempt, patience(call, attempt.line, self.core).no_ringing, Clock.NO_RINGING, now)
        if message.status == 100:
            return
        if attempt.ringing_at is None and message.status != 199:  # RFC 6228: an early dialog is over, the call is not
            self._wins(call, attempt, now)
            attempt.ringing_at = now
            experience.rang(self.watch, call, attempt, now)
            if attempt.exchange is not None:
                attempt.exchange.passed()
            if call.ringing_at is None:
                call.ringing_at = now
            call.progress = Progress.RINGING
            if call.give_up is not None:
                call.give_up.stop()
        if attempt.ringing_at is not None:  # again with each answer: a queue says 183 every minute (§16.7 step 2)
            self._restart(attempt, self.core.settings.failover.ring_timeout, Clock.RING_TIMEOUT, now)
        a = forks.pair(self.core, call, attempt, message)[0] if message.to_tag else call.a
        self._relay(call, a, message, now)

    def _restart(self, attempt: Attempt, seconds: float, clock: Clock, now: float) -> None:
        """Another clock instead of the one that runs; both count from the INVITE, a telephone's ringing from now."""
        if attempt.clock is not None:
            attempt.clock.stop()
        since = now if clock is Clock.RING_TIMEOUT else attempt.sent_at
        self._clock(attempt, max(0.0, since + seconds - now), clock, now)

    def _clock(self, attempt: Attempt, seconds: float, clock: Clock, now: float) -> None:
        """Start its clock."""
        if clock is not Clock.RING_TIMEOUT:
            seconds = min(seconds, max(0.0, attempt.until - now))
        attempt.clock = self.core.timers.start(seconds, now, clock, attempt)
        if self.core.settings.failover.hedge:
            hedging.arm(self.core, attempt, now)

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
        self._wins(call, attempt, now)
        a, b = forks.pair(core, call, attempt, message)
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
        if call.toll:
            core.tolls.answered(call, now)
            core.keep_tolls(now)
        if call.give_up is not None:
            call.give_up.stop()
        attempt.line.trunk.calls_now += 1  # `_close` gives the attempt's own channel back
        answered = Answered(message.status)
        self._close(call, attempt, answered, message, self._judge(answered, attempt, call), "relayed", now)
        forks.keep(core, call, a, b)
        call.request, call.attempt, call.finals, call.put_off = None, None, [], ()
        if tx is not None:
            data = answer_for(tx, a, message)
            core.look_at_calls(CALLS_LOOKED_AT_EVERY, now)
            self.inside.answer(a, tx, message.status, data, now)
        if call.rerouted:
            core.log("info", f"call {call.number} was rerouted to {call.trunk}", after=ending.after(call))

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
        after, cut_short = now - attempt.sent_at, now > attempt.until - GRAIN
        if clock is Clock.NO_ANSWER:
            self._end(attempt, Silent(after), None, now, cut_short=cut_short)
        elif clock is Clock.NO_RINGING:
            self._end(attempt, NoRinging(after), None, now, cut_short=cut_short)
        else:
            rang = now - (attempt.ringing_at or attempt.sent_at)
            self._end(attempt, RingingThenSilent(rang), None, now)

    def give_up(self, call: Call, now: float) -> None:
        """The caller has waited long enough. The clocks of a first attempt are shorter, so this is a later one."""
        call.give_up_at = now
        for attempt in (call.rival, call.attempt):
            if attempt is not None:
                after = now - attempt.sent_at
                self._end(attempt, NoRinging(after) if attempt.heard else Silent(after), None, now, cut_short=True)

    # -- an attempt ends ----------------------------------------------------------------------------------------------

    def _end(
        self, attempt: Attempt, outcome: Outcome, message: Message | None, now: float, *, cut_short: bool = False
    ) -> None:
        """An attempt has failed: the other one that is under way, the next one, or the end of the ladder. `cut_short`:
        it did not have its time, because others used that up; then it is evidence of nothing."""
        call = self.core.call_of(attempt)
        if attempt.over or call is None:
            return
        core, verdict = self.core, self._judge(outcome, attempt, call)
        fault = verdict.sign is Sign.CALL_FAULT
        if cut_short or (fault and call.faulted):
            verdict = replace(verdict, sign=None)  # cut short, or the number fails everywhere: no trunk's doing
        call.faulted = call.faulted or fault
        call.said.append(Said(attempt.line.name, message.status if message else 0, verdict.said, verdict.as_is))
        call.finals.append(message)
        rung, other = None, call.beside(attempt)
        if verdict.next_trunk and not call.decided and (now < call.give_up_at or call.emergency):
            rung = next_rung(call, attempt, outcome, core, now)
            if rung is not None and verdict.opinion and rung.candidate.desperate:
                rung, verdict = None, replace(verdict, opinion=False)  # whom nobody would believe
            if rung is not None and rung.kind != NEXT_TRUNK:
                verdict = replace(verdict, sign=None)  # evidence against this address or that number only
                call.put_off = (*call.put_off, rung)
            if call.put_off and other is None:
                rung, *later = call.put_off
                call.put_off = tuple(later)
        then = hedge.RACE[hedge.ended(outcome, verdict)]
        if other is not None and then is hedge.Then.GIVEN_UP:
            self._drop(call, other, "gave up", now)
        elif other is not None:
            words = rung.kind if rung is not None and rung.kind != NEXT_TRUNK else hedging.HEDGED
            self._close(call, attempt, outcome, message, verdict, words, now)
            text = f"call {call.number} is left to {other.line.name}, as {attempt.line.name} has failed"
            core.log("info", text, why=verdict.said)
            self._leave_to(call, other, then, now)
            return
        if rung is not None:
            same = rung.line is attempt.line
            self._close(call, attempt, outcome, message, verdict, rung.kind if same else NEXT_TRUNK, now)
            where = rung.where if same else rung.line.name
            text = f"call {call.number} moves on from {attempt.line.name} to {where}"
            core.log("info", text, why=verdict.said)
            self._climb(call, rung, now)
            return
        final = ending.RANG_IN_VAIN if isinstance(outcome, RingingThenSilent) else self._final(call)
        words = "relayed" if final.index == len(call.said) - 1 else "gave up"
        self._close(call, attempt, outcome, message, verdict, words, now)
        ending.fail(self.core, call, final, now)

    def _final(self, call: Call) -> Final:
        return best(call.said, "trunk" if call.direction == OUTBOUND else "PBX")

    def _judge(self, outcome: Outcome, attempt: Attempt, call: Call) -> Verdict:
        agreed = [said.status for said in call.said if said.trunk != attempt.line.name]
        up = attempt.line.trunk.health.state is State.UP
        believed = call.direction != OUTBOUND or (up and self.watch.blame.known_bad(call.called, call.started_at))
        return judge(outcome, attempt.line.rules, agreed=agreed, emergency=call.emergency, believed=believed)

    def _close(
        self, call: Call, attempt: Attempt, outcome: Outcome, message: Message | None, verdict: Verdict, words: str,
        now: float,
    ) -> None:  # fmt: skip
        close(self.core, self.watch, call, attempt, outcome, message, verdict, words, now)

    # -- the call ends without an answer ------------------------------------------------------------------------------

    def cancelled(self, call: Call, now: float, reason: bytes = b"") -> None:
        """The caller hung up before the answer (§9.2). `reason`: its Reason line, to be carried over (RFC 3326)."""
        core = self.core
        for attempt in (call.attempt, call.rival):
            if attempt is not None and not attempt.over:
                self._drop(call, attempt, "gave up", now, reason)
        tx = core.layer.servers.get(call.invite_key)
        if tx is not None:
            core.respond(tx, 487, now=now, tag=call.a.local_tag)
        core.end(call, 487, "caller", now)
