"""What the rooms of the engine share: its tables, its clocks, what wants to leave. No decisions here.

The engine owns the tables; calls, attempts and legs refer to each other by key (a number, a tag), so that every table
can be printed and nothing is kept alive by a circle.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from urllib.parse import quote

from sipfailover.chance import Chance
from sipfailover.config import Settings
from sipfailover.flow import Target
from sipfailover.proxy import keepsake, underway
from sipfailover.proxy.call import Attempt, Call, Clock, Progress
from sipfailover.proxy.commands import Command, Forget, Keep, Log, Record
from sipfailover.proxy.facts import CallEnded, Fact
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.line import Line, pbx_lines, trunk_lines
from sipfailover.proxy.recollection import LINE, REMEMBER_EVERY, line_record
from sipfailover.proxy.tolls import Tolls
from sipfailover.routing import Admission, Peer
from sipfailover.transaction import Layer, Timer, TimerQueue, Transaction
from sipfailover.trunk import emergency_spellings, mask, number_plan, whole
from sipfailover.wire import Message, compose

ALLOW = b"INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO, REFER, NOTIFY, MESSAGE, SUBSCRIBE"
"""What we take part in (§20.5)."""

CALLS, REQUESTS = "does not let us call", "refuses what we send inside calls"
"""What is told of a carrier that wants another password, by what it refuses."""

RESULTS = {486: "busy", 600: "busy", 408: "no answer", 480: "no answer", 487: "cancelled"}
"""Final status → result of a call."""
TRUNK_FAILED, PBX_FAILED = "trunk failed", "PBX failed"
"""Results of calls that nothing could carry, out and in: what a carrier owes us must not count our own PBX."""

EPOCH_HOLDS = 1.0
"""Seconds for which the difference between our clock and the time of day is believed to stay the same."""
CALLS_LOOKED_AT_EVERY = 60.0
"""Seconds, at most, between two looks at whom the roll call asks, while there are answered calls."""

FINAL_LOOKED_AT_EVERY = 2.0
"""Seconds between two looks whether a failure that ended a call is acknowledged: for so long, and for timer H at most,
the next process would say it again."""


@dataclass(frozen=True, slots=True)
class Told:
    """A call whose caller was told that it came to nothing, and the transaction in which."""

    call: int
    key: tuple[bytes, bytes, bytes]
    tries: tuple[str, ...]
    """Keys of the records of its attempts."""


class Core:
    """See the module. `now`: seconds, monotonic."""

    def __init__(self, settings: Settings, chance: Chance, now: float) -> None:
        self.settings = settings
        self.chance = chance
        self.started_at = now
        self.timers = TimerQueue()
        self.out: list[Command] = []
        """Commands, in order."""
        self.layer = Layer(self.timers, self.out)
        self.trunks = trunk_lines(settings, chance, now)
        self.pbxs = pbx_lines(settings, chance, now)
        self.lines: dict[str, Line] = {line.name: line for line in (*self.trunks, *self.pbxs)}
        self.tolls = Tolls(settings)
        self.left: list[Line] = []
        """Those that a reload has taken out, while they have calls; oldest first."""
        self.by_peer: dict[Peer, Line] = {line.peer: line for line in self.lines.values()}
        """All of them."""
        self.admission = Admission()
        for line in self.lines.values():
            self.admission.lives_in(line.peer, line.networks)
        self.calls: dict[int, Call] = {}
        self.call_count = 0
        self.legs: dict[bytes, Leg] = {}
        """`Leg.key` → leg: every dialog in which a request may come."""
        self.keeping = False
        """Whether calls are stored so that they outlive this process. Otherwise records would be made for nobody."""
        self.epoch: Callable[[float], float] = lambda at: at
        """`now` as seconds since 1970."""
        self.roll_timer: Timer | None = None
        """Runs while there are answered calls."""
        self.hedges: Counter[tuple[str, str]] = Counter()
        """(trunk that was silent, `routing.hedge.FIRST`, `SECOND` or `NEITHER`) → second attempts that are over."""
        self.draining = False
        self.debug = False
        self.shown = mask
        """A telephone number as the log may have it."""
        self.emergency_numbers: Mapping[bytes, bytes] = {}
        """Every spelling of an emergency number → the number as it goes out."""
        self.configure(settings)

    def record(self, fact: Fact) -> None:
        """Keep this fact."""
        self.out.append(Record(fact))

    def log(self, level: str, text: str, **fields: object) -> None:
        """Tell the operator."""
        self.out.append(Log(level, text, fields))

    def not_let_in(self, line: Line, what: str, why: str, **fields: object) -> None:
        """A carrier refuses our user name or password, or asks what we cannot answer: one clear alarm, however many
        requests it refuses until it accepts one again. `what`: CALLS or REQUESTS."""
        account = line.account
        if account is not None and what not in account.alarms:
            account.alarms.add(what)
            self.log("error", f"{line.name} {what}", why=why, **fields)

    def let_in(self, line: Line, what: str) -> None:
        """A carrier has accepted one that showed our password. (A REGISTER that gets through says nothing of calls.)"""
        account = line.account
        if account is not None and what in account.alarms:
            account.alarms.discard(what)
            self.log("info", f"{line.name} accepts our password again")

    def respond(
        self, tx: Transaction, status: int, reason: bytes = b"", headers: Sequence[tuple[bytes, bytes]] = (),
        *, now: float, tag: bytes = b"",
    ) -> None:  # fmt: skip
        """Answer a request with something of our own. `tag`: ours, where the request had none."""
        request = tx.request
        assert request is not None
        tag = tag or (b"" if status == 100 else self.chance.tag())
        data = compose.reply(status, reason, tx.lines, compose.to_line(request, tag), headers)
        self.layer.respond(tx, status, data, now)

    def add(self, leg: Leg, call: Call) -> None:
        """From now on requests inside this dialog are ours."""
        key = leg.key
        if key not in self.legs:
            call.keys.append(key)
        self.legs[key] = leg

    def keep(self, call: Call, now: float, answered: Leg | None = None, data: bytes = b"") -> None:
        """Have an answered call outlive this process, as it stands now. `answered`: the leg whose INVITE is answered
        with `data` in this moment, which is kept too, until its ACK comes. On the path."""
        if not self.keeping:
            return
        tx = self.layer.servers.get(answered.answer_key) if answered is not None else None
        if answered is None or tx is None:
            self.out.append(Keep((self.call_kept(call, now),)))
            return
        record = underway.answer_record(answered, tx, data, self.epoch(now))
        kept = (self.call_kept(call, now), (underway.answer_key(answered), record))
        gone = (f"{underway.TRY}{call.number}", *call.tries, f"{underway.ASK}{call.number}")
        self.out.append(Keep(kept, gone))

    def keep_try(self, call: Call, attempt: Attempt, now: float) -> None:
        """Have the next process end an attempt in good order, which nobody could go on with. On the path."""
        tx = self.layer.servers.get(call.invite_key) if self.keeping else None
        if tx is not None:
            key = f"{underway.TRY}{call.number}"
            if attempt.hedges:  # the first is under way too
                key = f"{key}.{attempt.number}"
                if key not in call.tries:
                    call.tries = (*call.tries, key)
            self.out.append(Keep(((key, underway.try_record(call, attempt, tx, self.epoch, now)),)))

    def keep_ask(self, leg: Leg, tx: Transaction, branch: bytes, data: bytes) -> None:
        """Have the next process go on with an INVITE inside a call, from this leg, that is sent on as `data`."""
        if self.keeping:
            record = underway.ask_record(leg, tx, branch, data)
            self.out.append(Keep(((f"{underway.ASK}{leg.call}", record),)))

    def keep_final(self, number: int, tx: Transaction | None, now: float, tries: tuple[str, ...] = ()) -> None:
        """Have the next process say again what this one has said to the caller of a call that came to nothing.
        `tries`: keys of its attempts, beside the usual one."""
        if not self.keeping:
            return
        tries = (f"{underway.TRY}{number}", *tries)
        if tx is None:
            self.out.extend(map(Forget, tries))
            return
        self.out.append(Keep(((f"{underway.FINAL}{number}", underway.final_record(number, tx, self.epoch(now))),)))
        self.look_at_final(Told(number, tx.key, tries), now)

    def look_at_final(self, told: "Told", now: float) -> None:
        """Look again in a while, until it is acknowledged."""
        if self.layer.waits_for_ack(told.key):
            self.timers.start(FINAL_LOOKED_AT_EVERY, now, Clock.FINAL, told)
        else:
            self.out.extend(map(Forget, (f"{underway.FINAL}{told.call}", *told.tries)))

    def keep_bye(self, leg: Leg, line: str) -> None:
        """Have the next process hang up, if this one is not heard."""
        if self.keeping:
            leg.kept = underway.bye_key(leg)
            self.out.append(Keep(((leg.kept, underway.bye_record(leg, line)),)))

    def remember(self, line: Line, now: float) -> None:
        """Have what is known of a line outlive this process, as it stands now, and look again in a while."""
        if not self.keeping or line.left:
            return
        record = line_record(line, self.epoch, now)
        if record != line.remembered:
            line.remembered = record
            self.out.append(Keep(((LINE + quote(line.name, safe=""), record),)))
        if line.remember_timer is not None:
            line.remember_timer.stop()
        line.remember_timer = self.timers.start(REMEMBER_EVERY, now, Clock.REMEMBER, line)

    def call_kept(self, call: Call, now: float) -> tuple[str, bytes]:
        """The key and the record of an answered call. On the path."""
        assert call.b is not None
        call.traits = (*keepsake.traits(call.a), *keepsake.traits(call.b))
        return (f"{keepsake.CALL}{call.number}", keepsake.call_record(call, self.epoch, now))

    def keep_tolls(self, now: float) -> None:
        """Store what is counted against toll fraud."""
        if self.keeping and (records := self.tolls.record(self.epoch, now)):
            self.out.append(Keep(records))

    def keep_changed(self, call: Call, now: float) -> None:
        """Store it again if what its record says has changed enough."""
        if call.traits and call.b is not None:
            traits = (*keepsake.traits(call.a), *keepsake.traits(call.b))
            if traits != call.traits:
                self.keep(call, now)

    def remove(self, leg: Leg) -> None:
        """This dialog is over."""
        if leg.kept:
            self.out.append(Forget(leg.kept))
            leg.kept = ""
        for timer in (leg.again, leg.give_up):
            if timer is not None:
                timer.stop()
        leg.again = leg.give_up = None
        self.legs.pop(leg.key, None)

    def end(
        self, call: Call, status: int, ended_by: str, now: float, result: str = "", *, at: float | None = None
    ) -> None:
        """A call is over: tell it, and forget it. Legs that still wait for something are kept by who removes them.
        `at`: when it ended, if that was not just now."""
        if call.progress is Progress.OVER:
            return
        answered = call.answered_at is not None
        call.progress = Progress.OVER
        if call.give_up is not None:
            call.give_up.stop()
        self.calls.pop(call.number, None)
        if call.toll:
            self.tolls.ended(call, now if at is None else at)
            self.keep_tolls(now)
        call.source.trunk.calls_now -= 1
        if answered and call.line is not None:
            call.line.trunk.calls_now -= 1
        for key in call.keys:
            leg = self.legs.get(key)
            if leg is not None and leg.call == call.number:
                self.remove(leg)
        if call.traits:
            self._unkeep(call)
        else:
            self.keep_final(call.number, self.layer.servers.get(call.invite_key), now, call.tries)
        self.record(
            CallEnded(
                at=now if at is None else at,
                call=call.number,
                direction=call.direction,
                caller=call.caller,
                called=call.called,
                result=result or ("answered" if answered else RESULTS.get(status, "rejected")),
                status=status,
                trunk="" if result == TRUNK_FAILED else call.trunk,
                first_choice=call.first_choice,
                attempts=call.attempts,
                started_at=call.started_at,
                ringing_after=None if call.ringing_at is None else call.ringing_at - call.started_at,
                answered_at=call.answered_at,
                ended_by=ended_by,
                call_id=call.a.call_id.decode("latin-1"),
                emergency=call.emergency,
            )
        )

    def _unkeep(self, call: Call) -> None:
        """It need not outlive this process any more; its BYEs under way must, until they are answered."""
        byes = []
        for key in call.keys:
            leg = self.legs.get(key)
            if leg is not None:
                line = call.source if leg.caller else call.line
                leg.kept = underway.bye_key(leg)
                byes.append((leg.kept, underway.bye_record(leg, line.name if line is not None else "")))
        gone = [f"{kind}{call.number}" for kind in (keepsake.CALL, underway.ASK, underway.ANSWER)]
        self.out.append(Keep(tuple(byes), (*gone, f"{gone[-1]}/called")))

    def look_at_calls(self, seconds: float, now: float) -> None:
        """Have the roll call look after the calls in so many seconds, or sooner if that is planned already."""
        timer = self.roll_timer
        if timer is not None:
            if timer.due <= now + seconds:
                return
            timer.stop()
        self.roll_timer = self.timers.start(seconds, now, Clock.ROLL_CALL, self)

    def line_at(self, target: Target) -> Line | None:
        """The trunk or PBX that a TLS peer is, or that is known at this address."""
        if target.line:
            return self.named(target.line)
        peer = self.admission.who(target.host, target.port)
        return self.by_peer.get(peer) if peer is not None else None

    def named(self, name: str) -> Line | None:
        """The trunk or PBX with this name; one that left the file only if no other has it now."""
        line = self.lines.get(name)
        if line is None and self.left:
            line = next((one for one in reversed(self.left) if one.name == name), None)
        return line

    def configure(self, settings: Settings) -> None:
        """What is computed of the settings beside the lines."""
        self.settings = settings
        self.debug = settings.log.level == "debug"
        self.shown = whole if settings.log.numbers == "whole" else mask
        self.tolls.configure(settings)
        self.emergency_numbers = emergency_spellings(settings.emergency.numbers, number_plan(settings.numbering))

    def call_of(self, attempt: Attempt) -> Call | None:
        """The call that an attempt was for, None if it is over."""
        return self.calls.get(attempt.call)


def phrase(message: Message) -> str:
    """The reason phrase of a response, for sentences."""
    return message.reason.decode("utf-8", "replace").strip()[:80]


def epoch_by(wall: Callable[[float], datetime]) -> Callable[[float], float]:
    """`wall` as seconds since 1970, for every answered call: how the two clocks differ is looked up once a second."""
    offset, until = 0.0, float("-inf")

    def epoch(at: float) -> float:
        nonlocal offset, until
        if at >= until:
            offset, until = wall(at).timestamp() - at, at + EPOCH_HOLDS
        return at + offset

    return epoch
