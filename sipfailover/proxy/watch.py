"""Watching the lines: OPTIONS at their time, what answers and calls say about health, and which trunk is active now.

How often is asked and what an answer means is `trunk.probe`'s, what follows for health is `trunk.health`'s, and for one
address of several `trunk.addresses`'; this room sends, listens and tells. The address in use is asked for the trunk's
sake: while another one is left, that it fails is its own affair. The others are asked more rarely, for their own sake.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

from sipfailover.flow import Target
from sipfailover.proxy import witness
from sipfailover.proxy.blame import SILENCE, Blame
from sipfailover.proxy.call import Clock
from sipfailover.proxy.core import Core, phrase
from sipfailover.proxy.facts import OperatorActed, ProbeEnded, TrunkChanged
from sipfailover.proxy.failovers import Failovers
from sipfailover.proxy.leg import contact_line
from sipfailover.proxy.line import Line
from sipfailover.transaction import Input, Transaction
from sipfailover.trunk import (
    AS_USUAL,
    ASKED_EVERY,
    JITTER,
    Change,
    Evidence,
    InboundSeen,
    Ordered,
    Sign,
    State,
    meaning,
)
from sipfailover.wire import Message, compose
from sipfailover.wire.uri import with_host

WORDS = {
    "refused": "port closed",
    "reset": "connection reset",
    "closed": "connection closed",
    "timeout": "no connection within the time allowed",
    "unreachable": "host unreachable",
    "wedged": "connection open, but nothing answers over it",
}
"""The transport's word → words for people. Others, as those of TLS, are sentences already."""

LOCAL = "local: "
"""How the transport's word begins if the trouble is our own."""

BAD = frozenset({*SILENCE, Sign.PROBE_503, Sign.CALL_FAULT, Sign.RETRY_AFTER})


@dataclass(slots=True, eq=False)
class Asked:
    """An OPTIONS under way."""

    line: Line
    sent_at: float
    target: Target


@dataclass(slots=True, eq=False)
class AskedOther:
    """An OPTIONS under way to an address that is not in use."""

    line: Line
    sent_at: float
    target: Target


class Watch:
    """See the module. `now`: seconds, monotonic. `wall`: that as the local time of day, for hours of return; without it
    they never come."""

    def __init__(self, core: Core, wall: Callable[[float], datetime] | None = None) -> None:
        self.core = core
        self._wall = wall
        self.failovers = Failovers(core)
        self.blame = Blame(core)
        self.unproven: set[str] = set()
        """Names of lines that are known from before a restart only: asked at once, when their address is known."""
        self._used: dict[str, Target] = {}
        """The address in use that was last noticed, by the name of the line."""

    def start(self, now: float) -> None:
        """Begin to watch every line, and our own."""
        self.blame.references.ask(now)
        for line in self.core.lines.values():
            self.begin(line, now)

    def begin(self, line: Line, now: float) -> None:
        """Watch a line, or watch it by other rules than before."""
        self._tell_time(line, now)
        self._arm(line, now)
        self.core.remember(line, now)

    def leave(self, line: Line) -> None:
        """A line has left the file: it is not watched any more."""
        self._used.pop(line.name, None)
        for timer in (line.timer, line.remember_timer):
            if timer is not None:
                timer.stop()
        line.timer = line.remember_timer = None

    def resolved(self, line: Line, now: float) -> None:
        """A line has other addresses."""
        self._look(line, now)
        if line.name in self.unproven and line.trunk.target is not None:
            self.unproven.discard(line.name)
            if line.trunk.health.rules.quick and not line.trunk.probe.mute:
                self._ask_quickly(line, now)
            else:
                line.trunk.probe.again(now)
                self._arm(line, now)
        self.blame.resolved(now)
        self.failovers.look(now, "its name resolves" if line.trunk.targets else line.trunk.resolve_why)

    def observe(self, line: Line, evidence: Evidence | None, now: float) -> None:
        """Something was seen of a line. On the path: a good call to a trunk that is Up costs some microseconds."""
        if evidence is None:
            return
        if line.left:
            return  # nobody decides anything by it any more
        trunk, sign = line.trunk, evidence.sign
        silent = sign in SILENCE
        line.silent = line.silent or silent or sign is Sign.PROBE_MUTE
        if silent and self._is_settled_elsewhere(line, evidence, now):
            self._arm(line, now)
            return
        change = trunk.health.observe(evidence, now)
        if change is not None:
            if sign is Sign.CALL_GOOD and change.before is State.DOWN and trunk.health.counters.down_by_silence:
                trunk.probe.mute = True  # its OPTIONS were silent, and a call went through
            self._changed(line, change, now)
        if change is not None or sign in BAD:
            if silent and (sign is not Sign.PROBES_SILENT or change is not None):
                self._confirm(line, now)
            trunk.probe.hurry(now, trunk.health)
            self._arm(line, now)

    def heard_from(self, line: Line, now: float) -> None:
        """Something came from a line while our own was in doubt."""
        if self.blame.heard(line, now):
            for other in self.core.trunks:
                other.trunk.probe.hurry(now, other.trunk.health)
                self._arm(other, now)

    def reached(self, host: str, port: int, why: str, now: float) -> None:
        """A reference was reached, or was not. If that clears our own line, trunks that are silent are asked again."""
        if self.blame.reference_said(host, port, why, now):
            for line in self.core.trunks:
                if line.silent_at > line.heard_at and self.blame.can_ask(line):
                    self._ask_quickly(line, now)

    def inbound(self, line: Line, seen: InboundSeen, now: float, number: str = "", what: str = "") -> None:
        """Something was seen of how calls come in over a trunk: kept and told, and no call moves."""
        if line.left:
            return
        change = line.trunk.inbound.observe(seen, now, number, what)
        if change is not None:
            before, after = change.before.label, change.after.label
            evidence = tuple(one.words(now) for one in change.evidence)
            fact = TrunkChanged(now, line.name, before, after, change.why, change.rule, evidence, "inbound")
            self.core.record(fact)
            level = "info" if change.after is State.UP else "warning"
            self.core.log(level, f"calls that come in over {line.name}: {after}", was=before, why=change.why)
            self._arm(line, now)
            self.core.remember(line, now)

    def _is_settled_elsewhere(self, line: Line, evidence: Evidence, now: float) -> bool:
        """True if a silence is evidence of nothing more: a quick check is asking already, or it is our own line."""
        probe = line.trunk.probe
        if evidence.sign is Sign.CALL_SILENT and probe.quick and line.trunk.health.state is State.SUSPECT:
            return True
        asked_at = evidence.sent_at if evidence.sent_at is not None else now
        return self.blame.excuses(line, evidence, asked_at, now)

    def _confirm(self, line: Line, now: float) -> None:
        """Something was silent: ask for sure, and ask the other trunks whether it is us."""
        if line.trunk.health.rules.quick and line.trunk.health.state in (State.SUSPECT, State.TRIAL):
            self._ask_quickly(line, now)
            if line.role == "trunk":
                for other in self.core.trunks:
                    health = other.trunk.health
                    if other is not line and self.blame.can_ask(other) and health.state is not State.DOWN:
                        self._ask_quickly(other, now)

    def _ask_quickly(self, line: Line, now: float) -> None:
        trunk = line.trunk
        if trunk.target is not None:
            if not trunk.probe.quick and not trunk.probe.mute:
                witness.ask(self.core, line, trunk.target, now)
            trunk.probe.confirm(now, trunk.roundtrip.probes.mean, trunk.roundtrip.patience)
            self._arm(line, now)

    def address_failed(self, line: Line, target: Target, why: str, now: float, retry_after: float = 0.0) -> bool:
        """A request to one address of a line had no answer, could not be sent or was answered 503: see
        `Addresses.failed`. True if another address is left: then it is no evidence against the line."""
        left = line.trunk.addresses.failed(target, why, now, retry_after)
        self._look(line, now)
        return left

    def wake(self, line: Line, now: float) -> None:
        """The timer of a line is due."""
        line.timer = None
        trunk = line.trunk
        if trunk.probe.overdue(now) and trunk.target is not None:
            evidence = self._unanswered(line, trunk.target, "", now)
            self._ended(Asked(line, now, trunk.target), evidence, "timeout", 0, None, now)
        self._tell_time(line, now)
        until = trunk.ordered.until
        if until is not None and until <= now:
            self.order(line, replace(AS_USUAL, why="its time is over", at=now), now)
        due = trunk.inbound.deadline()
        if due is not None and due <= now:
            self.inbound(line, InboundSeen.TIME, now)
        due = trunk.health.deadline(now)
        if due is not None and due <= now:
            change = trunk.health.wake(now)
            if change is not None:
                self._changed(line, change, now)
                trunk.probe.hurry(now, trunk.health)
        better = trunk.addresses.better(now)
        if better is not None and not (trunk.calls_now and line.account is not None and line.account.registers):
            trunk.addresses.use(better)
        if trunk.target is not None and trunk.probe.due(now):
            self._ask(line, trunk.target, now)
        other = None if trunk.probe.off else trunk.addresses.to_ask(now)
        if other is not None:
            self._ask_other(line, other, now)
        self._look(line, now)

    def _tell_time(self, line: Line, now: float) -> None:
        """The time of day, each time anew: a clock that was set, or goes to summer time, is right at once."""
        if self._wall is not None and line.trunk.health.rules.window is not None:
            local = self._wall(now)
            day = local.hour * 3600 + local.minute * 60 + local.second + local.microsecond / 1e6
            line.trunk.health.clock(day - now)

    def order(self, line: Line, ordered: Ordered, now: float) -> None:
        """People say whether calls may go to a trunk, or its time is over."""
        before, order = line.trunk.ordered, ordered.order
        line.trunk.obey(ordered)
        if before == replace(ordered, at=before.at):
            return
        told = ordered.words(now)
        self.core.record(OperatorActed(now, ordered.who, order.label, line.name, ordered.why, ordered.until))
        text = f"{line.role} {line.name} is {order.label}, as ordered"
        self.core.log("warning", text, was=before.order.label, **({"order": told} if told else {}))
        self._arm(line, now)
        self.core.remember(line, now)
        if line.role == "trunk":
            self.failovers.look(now, f"{line.name} is {order.label}, as ordered{f' ({told})' if told else ''}")

    def release(self, line: Line, now: float, who: str = "", why: str = "") -> None:
        """People say that a trunk need not wait: once it answers, single calls try it."""
        self.core.record(OperatorActed(now, who, "release", line.name, why, None))
        self.core.log("warning", f"{line.role} {line.name} is given back by an operator", who=who, why=why)
        self.observe(line, Evidence(Sign.RELEASED, "an operator gave it back"), now)
        line.trunk.probe.hurry(now, line.trunk.health)
        self._arm(line, now)
        self.core.remember(line, now)

    def recalled(self, line: Line, now: float) -> None:
        """It is as an earlier process has left it: ask at once whether that is still true."""
        self.unproven.add(line.name)
        self._tell_time(line, now)
        self._arm(line, now)

    def _look(self, line: Line, now: float) -> None:
        """Notice that a line uses another address than before, which is asked at once, and plan what comes next."""
        if line.left:
            return
        trunk, before = line.trunk, self._used.get(line.name)
        if trunk.target is not None and (before is None or before.peer != trunk.target.peer):
            self._used[line.name] = trunk.target
            if before is not None:
                why = next((known.why for known in trunk.addresses.known if known.target.peer == before.peer), "")
                text = f"{line.role} {line.name} uses another address"
                self.core.log("warning", text, before=str(before), now=str(trunk.target), why=why)
                trunk.probe.again(now)
                if line.registration_timer is not None:  # who registers looks where that is now
                    line.registration_timer.stop()
                    line.registration_timer = self.core.timers.start(0.0, now, Clock.REGISTER, line)
        self._arm(line, now)

    def _arm(self, line: Line, now: float) -> None:
        """Have `wake` called at the next moment that matters."""
        if line.left:
            return
        trunk = line.trunk
        dues = [trunk.health.deadline(now), trunk.inbound.deadline(), trunk.ordered.until]
        if not trunk.probe.off:
            dues.append(trunk.addresses.ask_due())
            if trunk.target is not None:
                dues.append(trunk.probe.deadline())
        due = min([due for due in dues if due is not None], default=None)
        if due is None:
            return
        if line.timer is not None:
            if line.timer.owner is not None and line.timer.due <= due:
                return
            line.timer.stop()
        line.timer = self.core.timers.start(max(0.0, due - now), now, Clock.WATCH, line)

    def _ask(self, line: Line, target: Target, now: float) -> None:
        """Ask the address in use."""
        trunk = line.trunk
        clock = trunk.no_answer()
        trunk.probe.sent(now, trunk.health, clock.bound if trunk.roundtrip.patience else 0.0)
        self._send(Asked(line, now, target), clock.t1, now)

    def _ask_other(self, line: Line, target: Target, now: float) -> None:
        """Ask an address that is not in use."""
        rules = line.trunk.probe.rules
        again_at = now + self.core.chance.spread(rules.every * ASKED_EVERY, JITTER)
        line.trunk.addresses.asked(target, again_at, now + rules.timeout)
        self._send(AskedOther(line, now, target), line.trunk.no_answer().t1, now)

    def _send(self, asked: Asked | AskedOther, t1: float, now: float) -> None:
        """Send one OPTIONS (§11.1), addressed as a call would be, and again after `t1` seconds."""
        core, line, target = self.core, asked.line, asked.target
        branch = core.chance.branch()
        binding = line.binding(target)
        uri = with_host(b"sip:host", line.host, line.port) if binding is None else binding.uri
        data = compose.request(
            b"OPTIONS",
            uri,
            via=compose.via_value(target.transport, target.sent_by, branch),
            from_=b"<sip:ping@%b>;tag=%b" % (target.sent_by, core.chance.tag()),
            to=b"<%b>" % uri,
            call_id=core.chance.call_id(),
            cseq=1,
            contact=contact_line(b"", target).partition(b" ")[2],
            routes=() if binding is None else binding.path,
            headers=((b"accept", b"application/sdp"), (b"user-agent", b"sipfailover")),
        )
        core.layer.request(branch, b"OPTIONS", data, target, asked, now, t1=t1, life=line.trunk.probe.rules.timeout)

    def heard(self, tx: Transaction, asked: Asked, what: Input, message: Message | None, now: float) -> None:
        """An OPTIONS to the address in use was answered, or was not."""
        line, trunk, target = asked.line, asked.line.trunk, asked.target
        if what is Input.PROVISIONAL:
            return
        if message is None:
            word = "timeout" if what is Input.TIMER_F else "refused" if tx.reason == "refused" else "unreachable"
            if not trunk.probe.concerns(asked.sent_at):
                return  # another check has begun since, or it was known already
            if tx.reason.startswith(LOCAL) or not trunk.addresses.has(target):
                trunk.probe.forget()  # our own trouble is evidence of nothing, nor is a place that it has left
                if tx.reason.startswith(LOCAL):
                    self.blame.unsent(line, tx.reason.removeprefix(LOCAL), now)
                self._ended(asked, None, word, 0, None, now)
                return
            quick, reason = trunk.probe.quick, WORDS.get(tx.reason, tx.reason)
            evidence = self._unanswered(line, target, reason, now)
            if quick and trunk.probe.quick:
                self.address_failed(line, target, reason, now)
                return  # others of the same check are under way
            self._ended(asked, evidence, word, 0, None, now)
            return
        trip = now - asked.sent_at if tx.sends == 1 else None
        if trip is not None:
            trunk.roundtrip.observe(trip)
        evidence = trunk.probe.answered(message.status, phrase(message), message.retry_after, now)
        good = evidence is not None and evidence.sign is Sign.PROBE_GOOD
        if good:
            trunk.addresses.good(target, now, probe=True, round_trip=trip)
        else:
            evidence = self._charge(line, target, evidence, now)
        self._ended(asked, evidence, "answered" if good else "fault", message.status, trip, now)

    def _unanswered(self, line: Line, target: Target, what: str, now: float) -> Evidence | None:
        """A check may be over without an answer (`what` is empty) or with the transport's word."""
        probe = line.trunk.probe
        outdone = probe.outdone(line.heard_at, now) if not what else None
        if outdone is not None:
            self.core.log("warning", f"{line.role} {line.name} answers OPTIONS no more", why=outdone.what)
            return outdone
        return self._charge(line, target, probe.failed(what, now), now)

    def _charge(self, line: Line, target: Target, evidence: Evidence | None, now: float) -> Evidence | None:
        """Hold a failed OPTIONS against its address. What is left as evidence against the line: nothing while another
        address may answer."""
        if evidence is None or evidence.sign not in BAD:
            return evidence
        left = line.trunk.addresses.failed(target, evidence.what, now, evidence.retry_after)
        return None if left else evidence

    def heard_other(self, tx: Transaction, asked: AskedOther, what: Input, message: Message | None, now: float) -> None:
        """An OPTIONS to an address that was not in use when it left was answered, or was not."""
        line, addresses = asked.line, asked.line.trunk.addresses
        if what is Input.PROVISIONAL or (message is None and tx.reason.startswith(LOCAL)):
            return
        if message is None and line.trunk.probe.mute and what is Input.TIMER_F:
            return  # as ever there
        if message is None:
            why = "no answer to OPTIONS" if what is Input.TIMER_F else WORDS.get(tx.reason, tx.reason)
            addresses.failed(asked.target, why, now)
        else:
            sign = meaning(message.status, message.retry_after)
            if sign is Sign.PROBE_GOOD:
                trip = now - asked.sent_at if tx.sends == 1 else None
                addresses.good(asked.target, now, probe=True, round_trip=trip)
            elif sign in BAD:
                why = f"{message.status} {phrase(message)}".strip() + " to OPTIONS"
                addresses.failed(asked.target, why, now, message.retry_after)
        self._look(line, now)

    def _ended(
        self, asked: Asked, evidence: Evidence | None, result: str, status: int, trip: float | None, now: float
    ) -> None:
        line = asked.line
        self.core.record(ProbeEnded(now, line.name, result, status, trip, str(asked.target)))
        self.observe(line, evidence, now)
        self._look(line, now)

    def _changed(self, line: Line, change: Change, now: float) -> None:
        before, after = change.before.label, change.after.label
        evidence = tuple(one.words(now) for one in change.evidence)
        self.core.record(TrunkChanged(now, line.name, before, after, change.why, change.rule, evidence))
        level = "info" if change.after is State.UP else "warning"
        self.core.log(level, f"{line.role} {line.name} is {after}", was=before, why=change.why)
        self.core.remember(line, now)
        if line.role == "trunk":
            self.failovers.look(now, f"{line.name} is {after}: {change.why}")
            if self.core.settings.failover.hedge and change.after in (State.SUSPECT, State.DOWN):
                self.core.timers.start(0.0, now, Clock.IN_DOUBT, line)  # now, but not in the middle of what goes on
