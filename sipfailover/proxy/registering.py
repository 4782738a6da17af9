"""Registering with the carriers that want it (RFC 3261 §10): sends what `trunk.registration` asks for.

When to register, for how long and what an answer means is the registration's; what it is evidence of for the trunk's
health is said in `SIGNS`. REGISTER leaves from the same socket to the same address as OPTIONS and calls.
"""

from dataclasses import dataclass

from sipfailover.proxy.call import Clock
from sipfailover.proxy.core import Core
from sipfailover.proxy.line import Account, Line
from sipfailover.proxy.watch import WORDS, Watch
from sipfailover.transaction import Input, Transaction
from sipfailover.trunk import (
    ANSWER_WITHIN,
    Ask,
    Evidence,
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


@dataclass(slots=True, eq=False)
class Registers:
    """A REGISTER under way."""

    line: Line
    ask: Ask
    exchange: Exchange


class Registering:
    """See the module. `now`: seconds, monotonic."""

    def __init__(self, core: Core, watch: Watch) -> None:
        self.core = core
        self.watch = watch

    def resolved(self, line: Line, now: float) -> None:
        """A carrier is at these addresses: register there, or again if we have another name on that path."""
        account, target = line.account, line.trunk.target
        if account is None or not account.registers or target is None:
            return
        transport = b";transport=" + target.transport.encode() if target.reliable else b""
        contact = b"sip:%b@%b%b" % (account.token, target.sent_by, transport)
        if account.registration is None:
            rules = RegistrationRules(account.expires, reliable=target.reliable)
            account.registration = Registration(rules, contact, self.core.chance, now)
            account.registration.start(now)
        else:
            account.registration.rebind(contact, now)
        self._arm(line, account.registration, now)

    def wake(self, line: Line, now: float) -> None:
        """The timer of a registration is due."""
        line.registration_timer = None
        account = line.account
        if account is None or account.registration is None or line.trunk.target is None:
            return  # `resolved` goes on
        registration = account.registration
        self._learn(line, registration.wake(now), now)
        ask = registration.due(now)
        if ask is not None:
            self._send(Registers(line, ask, account.registrar.exchange()), account, now)
        self._arm(line, registration, now)

    def heard(self, tx: Transaction, asked: Registers, what: Input, message: Message | None, now: float) -> None:
        """A REGISTER was answered, or was not."""
        line, account = asked.line, asked.line.account
        if what is Input.PROVISIONAL or account is None or account.registration is None:
            return
        registration = account.registration
        if message is None:
            why = "" if what is Input.TIMER_F else WORDS.get(tx.reason, tx.reason)
            self._learn(line, registration.failed(asked.ask.cseq, why, now), now)
            line.trunk.avoid(tx.to)
        else:
            answer = RegisterAnswer.read(message)
            challenge = asked.exchange.challenged(message) if message.status in (401, 407) else None
            if challenge is Outcome.REFUSED:
                account.refused(now)
            elif challenge is Outcome.AGAIN:
                again = registration.challenged(answer, now)
                if again is not None:
                    asked.ask = again
                    self._send(asked, account, now)
                    self._arm(line, registration, now)
                    return
            asked.exchange.accepted(message)
            if message.status < 300:
                account.accepted()
            self._learn(line, registration.answered(answer, now), now, asked.exchange.why)
        self._arm(line, registration, now)

    def answers(self, line: Line, now: float) -> None:
        """The carrier answers OPTIONS. If it was silent before, it may have started anew without our binding, and the
        next try may be minutes away."""
        if line.silent:
            line.silent = False
            self._hurry(line, now)

    def doubted(self, line: Line, now: float) -> None:
        """A call was refused with 403, which is also what a registrar says that has lost our binding. If it was the
        number that is barred, this costs a REGISTER in ten seconds (`trunk.lease.HURRY_EVERY`)."""
        self._hurry(line, now)

    def _hurry(self, line: Line, now: float) -> None:
        registration = line.account.registration if line.account is not None else None
        if registration is not None:
            registration.hurry(now)
            self._arm(line, registration, now)

    def address_seen(self, line: Line, message: Message, now: float) -> None:
        """An answer to OPTIONS shows where the carrier sees us: if that moved, the registration must move too."""
        registration = line.account.registration if line.account is not None else None
        if registration is not None:
            self._learn(line, registration.address_seen(PublicAddress.read(message), now), now)
            self._arm(line, registration, now)

    def _send(self, asked: Registers, account: Account, now: float) -> None:
        core, line, ask = self.core, asked.line, asked.ask
        target = line.trunk.target
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

    def _learn(self, line: Line, evidence: RegistrationEvidence | None, now: float, why: str = "") -> None:
        """What a REGISTER has taught: the log, and the health of the trunk."""
        if evidence is None:
            return
        what = "; ".join(part for part in (evidence.what, why) if part)
        if evidence.before is not evidence.after and evidence.after is not Word.REGISTERING:
            level = "error" if evidence.after is Word.FAILED else "info"
            self.core.log(level, f"trunk {line.name}: {evidence.after}", why=what)
        if evidence.moved is not None:
            before, after = evidence.moved
            text = f"trunk {line.name} sees us at another address"
            self.core.log("warning", text, before=str(before), now=str(after))
        sign = SIGNS[evidence.sign]
        if evidence.status == 503 and sign is not None:
            sign = Sign.RETRY_AFTER if evidence.retry_after else Sign.PROBE_503
        if sign is not None:
            destination = "REGISTER" if sign is Sign.CALL_FAULT else ""
            seen = Evidence(sign, what, destination, evidence.retry_after, evidence.sent_at)
            self.watch.observe(line, seen, now)

    def _arm(self, line: Line, registration: Registration, now: float) -> None:
        """Have `wake` called at the next moment that matters."""
        if line.registration_timer is not None:
            line.registration_timer.stop()
            line.registration_timer = None
        due = registration.deadline()
        if due is not None and line.trunk.target is not None:
            line.registration_timer = self.core.timers.start(max(0.0, due - now), now, Clock.REGISTER, line)
