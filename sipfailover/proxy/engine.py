"""The engine: everything between bytes in and bytes out, without a socket, a clock or a task (DESIGN.md §2.2).

    engine = Engine(settings, Chance(), now)
    engine.restore(records, now)               # what an earlier one has kept; this one keeps, too
    engine.resolved("main", targets, now)      # the shell tells where trunks and PBXs are
    engine.receive(flow, data, now)            # one message came
    engine.lost(where, reason, now)            # something could not be delivered
    engine.reached(host, port, why, now)       # a reference beside the carriers was reached, or was not
    engine.wake(now)                           # the deadline has come
    for command in engine.take(): …            # perform these, in order
    engine.deadline()                          # when to wake it

Time is seconds on one monotonic clock. Nothing here waits, and no error of a peer comes out: what cannot be served is
answered, or dropped and counted. This room receives and hands on; the rooms beside it decide and act.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime

from sipfailover.chance import Chance
from sipfailover.config import Settings
from sipfailover.errors import WireError
from sipfailover.flow import Flow, Target
from sipfailover.proxy import outside, picture, reloading
from sipfailover.proxy.call import Attempt, Clock
from sipfailover.proxy.commands import Command
from sipfailover.proxy.core import Core, epoch_by
from sipfailover.proxy.count import Count
from sipfailover.proxy.entrance import TRANSACTIONS_MAX, Entrance
from sipfailover.proxy.inside import Inside, Relayed
from sipfailover.proxy.invitation import is_emergency
from sipfailover.proxy.keepalive import KeepAlive
from sipfailover.proxy.ladder import DRAIN_RETRY_AFTER, Ladder
from sipfailover.proxy.line import REMOVED, Line
from sipfailover.proxy.registering import Registering, Registers
from sipfailover.proxy.registrar import Registrar
from sipfailover.proxy.reloading import Reloading
from sipfailover.proxy.restoring import Restoring
from sipfailover.proxy.rollcall import RollCall, RollCalled
from sipfailover.proxy.stray import Stray
from sipfailover.proxy.view import EngineView
from sipfailover.proxy.watch import Asked, AskedOther, Watch
from sipfailover.proxy.wedged import Wedged
from sipfailover.transaction import Input, Transaction
from sipfailover.trunk import Order, Ordered
from sipfailover.wire import Message, compose


class Engine:
    """See the module. `seed`-ed `chance` makes a run repeatable, byte for byte. `wall`: `now` as the time of day,
    where a peer is told it."""

    def __init__(
        self, settings: Settings, chance: Chance, now: float, wall: Callable[[float], datetime] | None = None
    ) -> None:
        self.core = core = Core(settings, chance, now)
        self.count = Count(core)
        self.watch = Watch(core, wall)
        self.wedged = Wedged(core)
        self.keepalive = KeepAlive(core)
        self.registering = Registering(core, self.watch, self.keepalive)
        self.registrar = Registrar(core, self.watch, self.count, wall)
        self.inside = Inside(core, self.watch)
        self.stray = Stray(core, self.inside)
        self.ladder = Ladder(core, self.watch, self.inside, self.stray)
        self.rollcall = RollCall(core, self.inside)
        self.reloading = Reloading(core, self.watch, self.registering, self.registrar, self.keepalive)
        if wall is not None:
            core.epoch, core.tolls.wall = epoch_by(wall), wall
        self.entrance = Entrance(core, self.count, self.registrar, now)
        self._clocks: dict[int, Callable[..., None]] = {
            Clock.NO_ANSWER: self.ladder.ring,
            Clock.NO_RINGING: self.ladder.ring,
            Clock.RING_TIMEOUT: self.ladder.ring,
            Clock.GIVE_UP: lambda call, _clock, now: self.ladder.give_up(call, now),
            Clock.ANSWER_AGAIN: self.inside.ring,
            Clock.NO_ACK: self.inside.ring,
            Clock.NO_FINAL: lambda relayed, _clock, now: self.inside.cancelled(relayed, now),
            Clock.HEDGE: lambda attempt, _clock, now: self.ladder.second(attempt, now),
            Clock.IN_DOUBT: lambda line, _clock, now: self.ladder.in_doubt(line, now),
            Clock.WATCH: lambda line, _clock, now: self.watch.wake(line, now),
            Clock.REGISTER: lambda line, _clock, now: self.registering.wake(line, now),
            Clock.REFERENCE: lambda _references, _clock, now: self.watch.blame.wake(now),
            Clock.KEEP_ALIVE: lambda line, _clock, now: self.keepalive.wake(line, now),
            Clock.ROLL_CALL: lambda _core, _clock, now: self.rollcall.wake(now),
            Clock.UNREGISTER: lambda line, _clock, now: self.registrar.wake(line, now),
            Clock.FINAL: lambda told, _clock, now: core.look_at_final(told, now),
            Clock.REMEMBER: lambda line, _clock, now: core.remember(line, now),
            Clock.LEFT: lambda line, _clock, now: self.reloading.wake(line, now),
        }
        self.watch.start(now)

    def restore(self, records: Iterable[tuple[str, bytes]], now: float, last_call: int = 0) -> None:
        """Begin with what an earlier engine has kept (`Keep`): its answered calls go on. From now on ours are kept, so
        that the next one has them. Once, before anything is received. `last_call`: a number that a call has had."""
        self.core.keeping = True
        self.core.call_count = last_call
        Restoring(self.core, self.watch, self.inside, self.registrar, self.rollcall).restore(records, now)

    # -- inputs -------------------------------------------------------------------------------------------------------

    def receive(self, flow: Flow, data: bytes, now: float) -> None:
        """One message came over a flow. On the path."""
        core = self.core
        source = core.line_at(flow)
        if source is None:
            source = self.entrance.stranger(flow, data, now)
            if source is None:
                return
        elif self.entrance.turns_away(flow, data, source, now):
            source.heard_at = now
            return
        source.heard_at = now
        if self.watch.blame.finding.excuses:
            self.watch.heard_from(source, now)
        if flow.reliable:
            self._over_stream(flow, source)
        try:
            message = Message(data)
            self.count.received(source.role, message)
            if message.method != b"ACK":  # which nobody answers, and both sides wait for it
                _ = message.max_forwards
            if len(core.layer) >= TRANSACTIONS_MAX and self.entrance.is_too_much(message, flow.host):
                return
            core.layer.receive(flow, message, now)
        except WireError as error:
            self._refuse(flow, data, error)
            return
        if core.layer.raised:
            self._settle(now, flow, source)

    def lost(self, where: Target, reason: str, now: float) -> None:
        """What was sent there did not arrive, or the connection is gone. `reason`: a word of the transport."""
        self.wedged.alive(where)
        if where.line and ": " in reason and not reason.startswith("local: "):
            self._tls_failed(self.core.named(where.line), reason)
        self.registrar.lost(where, now)
        self.core.layer.lost(where, reason, now)
        self._settle(now)
        self.registering.lost(where, now)

    def reached(self, host: str, port: int, why: str, now: float) -> None:
        """What came of a `Reach`: somebody is there (`why` empty), or not, with the reason in words."""
        self.watch.reached(host, port, why, now)

    def resolved(
        self, name: str, targets: tuple[Target, ...], now: float, why: str = "", *, forget: bool = False
    ) -> None:
        """A trunk or PBX is at these addresses now; () with the reason: its name does not resolve, and the last good
        addresses are used on unless `forget` says that they are too old."""
        line = self.core.lines.get(name)
        if line is None:
            return
        if not targets and line.trunk.resolve_why != why:
            self.core.log("warning", f"{line.role} {name} cannot be found", why=why)
        if line.registrant is not None:
            self.registrar.resolved(line, line.registrant, targets, why, now)
            return
        if forget:
            line.trunk.gone(why)
        else:
            line.trunk.resolved(targets, why, now)
        self.core.admission.learn(line.peer, [(target.host, target.port) for target in targets])
        self.watch.resolved(line, now)
        self.registering.resolved(line, now)

    def wake(self, now: float) -> None:
        """The deadline has come."""
        core = self.core
        for owner, name in core.timers.expired(now):
            if isinstance(owner, Transaction):
                core.layer.ring(owner, Input(name), now)
                if core.layer.raised:
                    self._settle(now)
            else:
                self._clocks[name](owner, Clock(name), now)

    def late(self, seconds: float, now: float, seen: float = 1.0) -> None:
        """So many seconds the shell is behind with reading what comes. To be told some ten times a second: beyond
        a bound new calls are refused, and calls that go on are not. `seen`: the share that it lets in of `pests`."""
        self.entrance.late(seconds, now, seen)

    def reload(self, settings: Settings, now: float) -> tuple[str, ...]:
        """These settings are in effect from now on; calls in progress go on. What changed, and for which calls, a
        sentence each. They are checked, and say of what needs a restart what is so now (`config.as_it_runs`). Tell
        `resolved` for trunks and PBXs that are new or start anew; of the others their addresses are known."""
        return self.reloading.reload(settings, now)

    def order(
        self, name: str, order: Order, now: float, until: float | None = None, who: str = "", why: str = ""
    ) -> None:
        """An operator says whether calls may go to this trunk or PBX. Raises KeyError for a name that is none.

        `until`: seconds, monotonic, when the order ends by itself and all is as usual; None: when somebody says so.
        `who`, `why`: for the history.
        """
        self.watch.order(self.core.lines[name], Ordered(order, until, who, why, now), now)

    def release(self, name: str, now: float, who: str = "", why: str = "") -> None:
        """An operator gives a trunk back that is Down: it need not wait for its time, nor for the hours of return; once
        it answers its checks, single calls try it. Raises KeyError for a name that is none."""
        self.watch.release(self.core.lines[name], now, who, why)

    def drain(self) -> None:
        """Take no new calls from now on; those that are being set up, or talk, go on."""
        self.core.draining = True

    def leave(self, now: float) -> None:
        """The end is near: give up the registrations of which the file says so. `leaving` says until when to wait."""
        for line in self.core.lines.values():
            self.core.remember(line, now)
        self.registering.leave(now)

    # -- outputs ------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When to call `wake`, None while nothing is planned."""
        return self.core.timers.deadline()

    def take(self) -> list[Command]:
        """What is to be done, in order. The list is the caller's."""
        core = self.core
        if not core.out:
            return []
        out = core.out.copy()
        core.out.clear()  # the transaction layer appends to the same list
        self.count.sent(out)
        return out

    def view(self, now: float) -> EngineView:
        """A picture for those who show and count."""
        return picture.take(self, now)

    def knows(self, host: str) -> bool:
        """Whether a PBX, a trunk or the guest of a call is at this IP address."""
        return self.core.admission.knows(host) or self.entrance.is_guest(host)

    def shuts_out(self, host: str, now: float) -> bool:
        """Whether connections from this IP address are refused."""
        return not self.core.admission.knows(host) and self.entrance.shuts_out(host, now)

    def known_hosts(self) -> Iterator[str]:
        """Addresses and networks (`198.51.100.0/24`) of everybody who is served: PBXs, trunks, guests of calls."""
        yield from self.core.admission.everybody()
        yield from self.entrance.guests

    @property
    def pests(self) -> frozenset[str]:
        """Addresses of PBXs and trunks that have gone mad: of the INVITEs that come from there, few need be let in."""
        return self.entrance.load.mad

    @property
    def unwanted(self) -> int:
        """Messages since the start of which few need be let in: of strangers, guests not counted, and of pests."""
        return self.entrance.strangers + self.entrance.load.from_mad

    @property
    def numbers_for_help(self) -> tuple[bytes, ...]:
        """As they are dialled, without anything before or behind them."""
        return tuple(dict.fromkeys(self.core.emergency_numbers.values()))

    def keep_alive_every(self, host: str, port: int) -> float | None:
        """Seconds of silence after which a connection to this peer is kept alive: 0 for never, None: as usual."""
        peer = self.core.admission.who(host, port)
        return self.keepalive.every(self.core.by_peer[peer]) if peer is not None else None

    @property
    def left(self) -> tuple[str, ...]:
        """Trunks and PBXs that a reload has taken out and that still have calls, a sentence each."""
        return reloading.leaving(self.core)

    @property
    def leaving(self) -> bool:
        """True after `leave` while a carrier has not answered yet."""
        return self.registering.leaving

    @property
    def setting_up(self) -> int:
        """Calls that are not answered yet."""
        return sum(call.answered_at is None for call in self.core.calls.values())

    @property
    def unanswered(self) -> int:
        """Peers that owe us a final answer to some request."""
        return len(self.core.layer.waiting)

    # -- dispatch -----------------------------------------------------------------------------------------------------

    def _settle(self, now: float, flow: Flow | None = None, source: Line | None = None) -> None:
        """Hand on what transactions have raised. `flow`, `source`: where the message came from that raised it."""
        raised = self.core.layer.raised
        while raised:  # handling one may raise more
            tx, what, message = raised.pop(0)
            try:
                if tx is None:
                    assert message is not None
                    if what is Input.ACK:
                        self.inside.acknowledged(message, now)
                    elif flow is not None:
                        self.stray.heard(what, message, flow, now)
                else:
                    self._hand_on(tx, what, message, flow, source, now)
            except WireError as error:  # deep in a response: it counts as not said, and the clocks go on
                self.count.rejected("malformed")
                if self.core.debug:
                    self.core.log("debug", "a message cannot be used", message=repr(message), why=error.text)

    def _hand_on(
        self, tx: Transaction, what: Input, message: Message | None, flow: Flow | None, source: Line | None, now: float
    ) -> None:
        """Something happened to a transaction: its user is told."""
        user = tx.user
        if what in (Input.TIMER_B, Input.TIMER_F) and not (
            isinstance(user, Asked | AskedOther) and user.line.trunk.probe.mute  # no sign of anything, as ever there
        ):
            self.wedged.unanswered(tx.to)
        if isinstance(user, Attempt):
            self.ladder.heard(tx, user, what, message, now)
            self.registering.called(tx, user, what, message, now)
        elif isinstance(user, Relayed) and tx.request is None:
            self.inside.heard(tx, user, what, message, now)
        elif isinstance(user, Asked):
            self.watch.heard(tx, user, what, message, now)
            if user.line.account is not None and what is not Input.PROVISIONAL:
                if message is not None:
                    self.registering.answers(user.line, tx, message, now)
                else:
                    self.registering.follow(user.line, now)
        elif isinstance(user, AskedOther):
            self.watch.heard_other(tx, user, what, message, now)
        elif isinstance(user, RollCalled):
            self.rollcall.heard(tx, user, what, message, now)
        elif isinstance(user, Registers):
            self.registering.heard(tx, user, what, message, now)
        elif what is Input.REQUEST and message is not None and flow is not None and source is not None:
            self._request(tx, message, flow, source, now)
        elif what is Input.ACK and message is not None:
            self.inside.acknowledged(message, now)

    def _request(self, tx: Transaction, request: Message, flow: Flow, source: Line, now: float) -> None:
        """A new request."""
        core = self.core
        try:
            if request.method == b"CANCEL":
                self._cancel(tx, request, now)
                return
            to_tag = request.to_tag
            if to_tag:
                leg = core.legs.get(to_tag + b";" + request.from_tag)
                if leg is None:
                    core.respond(tx, 481, now=now)
                elif request.max_forwards == 0:
                    core.respond(tx, 483, now=now)
                elif request.method == b"BYE" and self._is_early(leg.call) and request.call_id == leg.call_id:
                    self._early_bye(tx, leg.caller, leg.call, now)
                else:
                    self.inside.request(tx, request, leg, now)
            elif not outside.screen(core, tx, request, now):
                return
            elif request.method == b"REGISTER":
                self.registrar.register(tx, request, flow, now)
            elif request.method != b"INVITE":
                outside.answer(core, tx, request, source, now)
            elif tx.merge_key is None:
                core.respond(tx, 482, now=now)  # §8.2.2.2
            elif is_emergency(core, request, source):
                self.ladder.invited(tx, request, flow, source, now)  # whatever the hour
            elif source.left == REMOVED:
                core.respond(tx, 503, b"Not used any more", (DRAIN_RETRY_AFTER,), now=now)
            elif core.draining:
                core.respond(tx, 503, b"Shutting down", (DRAIN_RETRY_AFTER,), now=now)
            else:
                self.ladder.invited(tx, request, flow, source, now)
        except WireError as error:
            self.count.rejected("malformed")
            core.respond(tx, error.status, _phrase(error), now=now)

    def _cancel(self, tx: Transaction, cancel: Message, now: float) -> None:
        """§9.2: answered 200 if there is something to cancel, whatever comes of it."""
        core = self.core
        invite = core.layer.cancelled_by(cancel)
        if invite is None:
            core.respond(tx, 481, now=now)
            return
        user = invite.user
        call = core.calls.get(user) if isinstance(user, int) else None
        core.respond(tx, 200, now=now, tag=call.a.local_tag if call is not None else b"")
        if isinstance(user, Relayed):
            self.inside.cancelled(user, now)
        elif call is not None and call.answered_at is None:
            self.ladder.cancelled(call, now, cancel.get(b"reason") or b"")

    def _is_early(self, number: int) -> bool:
        call = self.core.calls.get(number)
        return call is not None and call.answered_at is None

    def _early_bye(self, tx: Transaction, by_caller: bool, number: int, now: float) -> None:
        """§15: a caller may end an early dialog with BYE; a callee may not."""
        self.core.respond(tx, 200 if by_caller else 481, now=now)
        if by_caller:
            self.ladder.cancelled(self.core.calls[number], now)

    def _over_stream(self, flow: Flow, source: Line) -> None:
        """Something came over a connection: it lives; and if we opened it, TLS works again."""
        self.wedged.alive(flow)
        trunk = source.trunk
        if trunk.tls_why and trunk.target is not None and flow.peer == trunk.target.peer:
            trunk.tls_why = ""

    def _tls_failed(self, line: Line | None, reason: str) -> None:
        """A connection to a trunk or PBX came to nothing for a reason that somebody must mend: told once, and on the
        page until something comes over a connection to there."""
        if line is not None and line.trunk.tls_why != reason:
            line.trunk.tls_why = reason
            self.core.log("error", f"no tls connection to {line.role} {line.name}", why=reason)

    def _refuse(self, flow: Flow, data: bytes, error: WireError) -> None:
        """Answer what cannot be read, if it can be answered at all. Nothing is kept of it."""
        self.count.rejected("too_big" if error.status == 513 else "malformed")
        answer = compose.refusal(data, error.status, _phrase(error))
        if self.core.debug:
            self.core.log("debug", "a message cannot be read", source=str(flow), why=error.text)
        if answer is not None:
            self.count.refused(flow, answer)


def _phrase(error: WireError) -> bytes:
    """A reason phrase that says what is wrong, on one line."""
    return "".join(c if c.isprintable() else " " for c in error.text).encode("utf-8", "replace")[:160]
