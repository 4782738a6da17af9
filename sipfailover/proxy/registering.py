"""Registering with the carriers that want it (RFC 3261 §10): sends what `trunk.registration` asks for.

When to register, for how long and what an answer means is the registration's; what it is evidence of for the trunk's
health is said in `SIGNS`. REGISTER leaves from the same socket to the same address as OPTIONS and calls (the *edge*);
when the trunk takes another address, it is registered there at once, and `holds` says whether it is already.
"""

from dataclasses import dataclass

from sipfailover.flow import Target
from sipfailover.proxy.call import Attempt, Clock
from sipfailover.proxy.core import CALLS, Core
from sipfailover.proxy.facts import RegistrationChanged
from sipfailover.proxy.keepalive import KeepAlive
from sipfailover.proxy.line import Account, Line
from sipfailover.proxy.watch import LOCAL, WORDS, Watch
from sipfailover.transaction import Input, Transaction
from sipfailover.trunk import (
    ANSWER_WITHIN,
    OUR_REGISTRATION,
    Ask,
    Evidence,
    InboundSeen,
    PublicAddress,
    RegisterAnswer,
    Registration,
    RegistrationEvidence,
    RegistrationRules,
    RegistrationSign,
    Sign,
    Word,
    register_request,
)
from sipfailover.wire import Exchange, Message, Outcome, compose

REGISTER = b"REGISTER"

SIGNS: dict[RegistrationSign, Sign | None] = {
    RegistrationSign.GOOD: Sign.PROBE_GOOD,
    RegistrationSign.SILENT: Sign.PROBE_FAILED,
    RegistrationSign.FAULT: Sign.PROBE_UNWELL,
    RegistrationSign.REFUSED: Sign.CALL_FAULT,
    RegistrationSign.RAN_OUT: None,
    RegistrationSign.NEUTRAL: None,
}
"""What the end of a REGISTER is evidence of. A refusal counts as one failed call (to `REGISTER`): alone it brings no
trunk Down, because many carriers take calls of an account that they do not let register. 503 counts as to OPTIONS."""

RESULTS = {
    RegistrationSign.GOOD: "granted",
    RegistrationSign.SILENT: "no answer",
    RegistrationSign.FAULT: "fault",
    RegistrationSign.REFUSED: "refused",
}
"""How ends of REGISTERs are counted, by trunk. Others (423, removing what is stale) count for nothing."""

STOPPED = "the service ends"
LEFT_THE_FILE = "the configuration has it no more"


INBOUND = {Word.REGISTERED: InboundSeen.REGISTERED, Word.FAILED: InboundSeen.UNREGISTERED}
"""What a registration is for calls that come in."""


@dataclass(slots=True, eq=False)
class Registers:
    """A REGISTER under way."""

    line: Line
    ask: Ask
    exchange: Exchange


class Registering:
    """See the module. `now`: seconds, monotonic."""

    def __init__(self, core: Core, watch: Watch, keepalive: KeepAlive) -> None:
        self.core = core
        self.watch = watch
        self.keepalive = keepalive
        self.ended: dict[tuple[str, str], int] = {}
        """(trunk, one of RESULTS) → REGISTERs that ended so, since the start. Bounded by the trunks of the file."""
        self.over = False
        """The service ends: nothing is registered any more."""

    def resolved(self, line: Line, now: float) -> None:
        """A carrier is at these addresses: register there, or again if we have another name on that path."""
        account, target = line.account, line.trunk.target
        if account is None or not account.registers or account.registration is not None:
            self.follow(line, now)
        elif target is not None and not self.over:
            account.edge, account.registration = target, self._begin(line, account, target, now)
            self._arm(line, now)
        self.keepalive.start(line, now)

    def configured(self, line: Line, now: float) -> None:
        """The settings of a line are other ones now."""
        self._arm(line, now)
        self.keepalive.start(line, now)

    def follow(self, line: Line, now: float) -> None:
        """The trunk may use another address now, or we have another name on the way: register there first.

        At once, and without waiting for an answer of the old edge; but after as many REGISTERs in vain as the trunk
        has addresses all were tried, and the registration's own pauses count again.
        """
        account, target = line.account, line.trunk.target
        registration = account.registration if account is not None else None
        if account is None or registration is None or target is None or target is account.edge or self.over:
            return
        before, account.edge = account.edge, target
        if before is None or target.peer != before.peer:
            if registration.in_vain < len(line.trunk.targets):
                registration.move(_contact(account, target), now)
            account.seen_as = (None, None)
        elif target.sent_by != before.sent_by:
            registration.rebind(_contact(account, target), now)
        self._arm(line, now)

    def wake(self, line: Line, now: float) -> None:
        """The timer of a registration is due."""
        line.registration_timer = None
        account = line.account
        if account is None or account.registration is None or line.trunk.target is None:
            return  # `resolved` goes on
        self.follow(line, now)
        registration = account.registration
        self._learn(line, registration.wake(now), now)
        ask = registration.due(now)
        if ask is not None:
            self._send(Registers(line, ask, account.registrar.exchange()), account, now)
        self._arm(line, now)

    # -- what was heard -----------------------------------------------------------------------------------------------

    def heard(self, tx: Transaction, asked: Registers, what: Input, message: Message | None, now: float) -> None:
        """A REGISTER was answered, or was not."""
        line, account = asked.line, asked.line.account
        if what is Input.PROVISIONAL or account is None or account.registration is None:
            return
        registration = account.registration
        if message is None:
            why = "" if what is Input.TIMER_F else WORDS.get(tx.reason, tx.reason)
            ours = tx.reason.startswith(LOCAL)  # our own trouble is evidence of nothing
            left = not ours and self.watch.address_failed(line, tx.to, why or "no answer to REGISTER", now)
            self._learn(line, registration.failed(asked.ask.cseq, why, now), now, evident=not ours and not left)
            self.follow(line, now)
        else:
            answer = RegisterAnswer.read(message)
            if account.edge is not None and tx.to.peer == account.edge.peer:
                account.seen_as = (message.via.received, message.via.rport)
            challenge = asked.exchange.challenged(message) if message.status in (401, 407) else None
            if challenge is Outcome.REFUSED:
                account.refused(now)
            elif challenge is Outcome.AGAIN:
                again = registration.challenged(answer, now)
                if again is not None:
                    asked.ask = again
                    self._send(asked, account, now)
                    self._arm(line, now)
                    return
            asked.exchange.accepted(message)
            if message.status < 300:
                account.accepted()
            evidence = registration.answered(answer, now)
            left = False
            if evidence is not None and evidence.sign is RegistrationSign.GOOD:
                account.held_at = tx.to.peer
                line.trunk.addresses.good(tx.to, now, probe=True)
                self.keepalive.start(line, now)
            elif message.status == 503:  # RFC 3263 §4.3
                why = f"{answer.line} to REGISTER"
                left = self.watch.address_failed(line, tx.to, why, now, answer.retry_after)
            self._learn(line, evidence, now, asked.exchange.why, evident=not left)
            self.follow(line, now)
        self._arm(line, now)

    def answers(self, line: Line, tx: Transaction, message: Message, now: float) -> None:
        """The carrier answers OPTIONS. If it was silent before, it may have started anew without our binding, and the
        next try may be minutes away."""
        self.follow(line, now)
        self._see(line, tx, message, now)
        if line.silent:
            line.silent = False
            self._hurry(line, now)

    def called(self, tx: Transaction, attempt: Attempt, what: Input, message: Message | None, now: float) -> None:
        """The INVITE of an attempt has something to tell. On the path.

        A call that is refused with 403 may mean a registrar that has lost our binding. If it was the number that is
        barred, this costs a REGISTER in ten seconds (`trunk.lease.HURRY_EVERY`). Where a failure is known already, its
        pauses count.
        """
        line = attempt.line
        account = line.account
        if account is None or what is Input.PROVISIONAL:
            return
        self.follow(line, now)
        if message is None:
            return
        if message.status < 300 and attempt.exchange is not None and attempt.exchange.sent:
            self.core.let_in(line, CALLS)
        registration = account.registration
        if registration is not None:
            self._see(line, tx, message, now)
            if message.status == 403 and registration.well:
                self._hurry(line, now)

    def lost(self, where: Target, now: float) -> None:
        """A connection is gone, and the carrier can call us over no other: register over a new one (RFC 5626 §4.2).

        While REGISTER fails anyway its own pauses count: a connection that cannot be had is lost each time, too.
        """
        line = self.core.line_at(where) if where.reliable else None
        account = line.account if line is not None else None
        if line is None or account is None or account.registration is None or account.edge is None:
            return
        if where.peer == account.edge.peer and account.registration.well:
            self._hurry(line, now)

    def _hurry(self, line: Line, now: float) -> None:
        registration = line.account.registration if line.account is not None else None
        if registration is not None:
            registration.hurry(now)
            self._arm(line, now)

    def _see(self, line: Line, tx: Transaction, message: Message, now: float) -> None:
        """An answer of the edge shows where the carrier sees us: if that moved, the registration must move too.

        Answers of other addresses say nothing: a NAT may give us another port towards each.
        """
        account, via = line.account, message.via
        if account is None or account.registration is None or account.edge is None:
            return
        seen = (via.received, via.rport)
        if seen == account.seen_as or tx.to.peer != account.edge.peer:
            return
        account.seen_as = seen
        self._learn(line, account.registration.address_seen(PublicAddress.read(message), now), now)
        self._arm(line, now)

    # -- the end ------------------------------------------------------------------------------------------------------

    def leave(self, now: float) -> None:
        """The service ends: give up the registrations of which the file says so; the others are left to their time."""
        self.over = True
        for line in (*self.core.trunks, *self.core.left):
            account = line.account
            if account is None or account.registration is None:
                continue
            before = account.registration.word
            leaves = account.leaves or (bool(line.left) and account.registers)
            account.registration.stop(now, unregister=leaves)
            if leaves and before is not Word.NOT_USED:
                self.core.log("info", f"trunk {line.name}: the registration is given up")
                self.core.record(RegistrationChanged(now, line.name, before, Word.NOT_USED, STOPPED, 0))
            self._arm(line, now)

    def give_up(self, line: Line, registration: Registration, now: float) -> None:
        """This one is not wanted any more, and the carrier is told."""
        before = registration.word
        registration.stop(now, unregister=True)
        if before is not Word.NOT_USED:
            self.core.log("info", f"trunk {line.name}: the registration is given up")
            self.core.record(RegistrationChanged(now, line.name, before, Word.NOT_USED, LEFT_THE_FILE, 0))
        self._arm(line, now)

    @property
    def leaving(self) -> bool:
        """True while a registration is being given up."""
        lines = (*self.core.trunks, *self.core.left)
        accounts = (line.account for line in lines if line.account is not None)
        return any(one.registration.deadline() is not None for one in accounts if one.registration is not None)

    # -- our own ------------------------------------------------------------------------------------------------------

    def _begin(self, line: Line, account: Account, target: Target, now: float) -> Registration:
        rules = RegistrationRules(
            account.expires,
            clear_stale=account.clears,
            wipe=account.clears,
            keep_alive=line.keep_alive_every,
            reliable=target.reliable,
        )
        registration = Registration(rules, _contact(account, target), self.core.chance, now)
        registration.start(now)
        return registration

    def _send(self, asked: Registers, account: Account, now: float) -> None:
        core, line, ask = self.core, asked.line, asked.ask
        target = account.edge
        assert target is not None
        branch = core.chance.branch()
        uri = b"sip:" + account.aor.partition(b"@")[2]
        data = register_request(
            ask,
            aor=account.aor,
            via=compose.via_value(target.transport, target.sent_by, branch),
            headers=(*asked.exchange.headers(REGISTER, uri, b"", core.chance.token()), (b"user-agent", b"sipfailover")),
        )
        t1 = line.trunk.no_answer().t1
        core.layer.request(branch, REGISTER, data, target, asked, now, t1=t1, life=ANSWER_WITHIN)

    def _learn(
        self, line: Line, evidence: RegistrationEvidence | None, now: float, why: str = "", *, evident: bool = True
    ) -> None:
        """What a REGISTER has taught: log, ledger, and (where `evident`) the health of the trunk."""
        if evidence is None:
            return
        what = "; ".join(part for part in (evidence.what, why) if part)
        if evidence.sign in RESULTS:
            key = (line.name, RESULTS[evidence.sign])
            self.ended[key] = self.ended.get(key, 0) + 1
        if evidence.before is not evidence.after:
            changed = RegistrationChanged(now, line.name, evidence.before, evidence.after, what, evidence.status)
            self.core.record(changed)
            if evidence.after in INBOUND:
                self.watch.inbound(line, INBOUND[evidence.after], now, what=what)
            if evidence.after is not Word.REGISTERING:
                level = "error" if evidence.after is Word.FAILED else "info"
                self.core.log(level, f"trunk {line.name}: {evidence.after}", why=what)
        if evidence.moved is not None:
            before, after = evidence.moved
            text = f"trunk {line.name} sees us at another address"
            self.core.log("warning", text, before=str(before), now=str(after))
        sign = SIGNS[evidence.sign]
        if evidence.status == 503 and sign is not None:
            sign = Sign.RETRY_AFTER if evidence.retry_after else Sign.PROBE_503
        if sign is not None and evident:
            destination = OUR_REGISTRATION if sign is Sign.CALL_FAULT else ""
            seen = Evidence(sign, what, destination, evidence.retry_after, evidence.sent_at)
            silent = line.silent
            self.watch.observe(line, seen, now)
            line.silent = silent  # where OPTIONS are answered all the while, the next answer is no sign of a return

    def _arm(self, line: Line, now: float) -> None:
        """Have `wake` called at the next moment that matters."""
        registration = line.account.registration if line.account is not None else None
        if line.registration_timer is not None:
            line.registration_timer.stop()
            line.registration_timer = None
        due = registration.deadline() if registration is not None else None
        if due is not None and line.trunk.target is not None:
            line.registration_timer = self.core.timers.start(max(0.0, due - now), now, Clock.REGISTER, line)


def _contact(account: Account, target: Target) -> bytes:
    """The URI by which the carrier reaches us."""
    transport = b";transport=" + target.transport.encode() if target.reliable else b""
    return b"sip:%b@%b%b" % (account.token, target.sent_by, transport)
