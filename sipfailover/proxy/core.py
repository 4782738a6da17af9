"""What the rooms of the engine share: its tables, its clocks, what wants to leave. No decisions here.

The engine owns the tables; calls, attempts and legs refer to each other by key (a number, a tag), so that every table
can be printed and nothing is kept alive by a circle.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from sipfailover.chance import Chance
from sipfailover.config import Settings
from sipfailover.flow import Target
from sipfailover.proxy import keepsake
from sipfailover.proxy.call import Attempt, Call, Clock, Progress
from sipfailover.proxy.commands import Command, Forget, Keep, Log, Record
from sipfailover.proxy.facts import CallEnded, Fact
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.line import Line, pbx_lines, trunk_lines
from sipfailover.routing import Admission, Peer
from sipfailover.transaction import Layer, Timer, TimerQueue, Transaction
from sipfailover.trunk import emergency_spellings, number_plan
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

    def keep(self, call: Call, now: float, more: tuple[tuple[str, bytes], ...] = ()) -> None:
        """Have an answered call outlive this process, as it stands now. `more`: what is stored with it. On the path."""
        if self.keeping:
            gone = (f"{keepsake.TRY}{call.number}", *call.tries)
            self.out.append(Keep((self.call_kept(call, now), *more), gone))

    def keep_try(self, call: Call, attempt: Attempt, now: float) -> None:
        """Have the next process end an attempt in good order, which nobody could go on with. On the path."""
        tx = self.layer.servers.get(call.invite_key) if self.keeping else None
        if tx is not None:
            key = f"{keepsake.TRY}{call.number}"
            if attempt.hedges:  # the first is under way too
                key = f"{key}.{attempt.number}"
                if key not in call.tries:
                    call.tries = (*call.tries, key)
            self.out.append(Keep(((key, keepsake.try_record(call, attempt, tx, self.epoch, now)),)))

    def call_kept(self, call: Call, now: float) -> tuple[str, bytes]:
        """The key and the record of an answered call. On the path."""
        assert call.b is not None
        call.traits = (*keepsake.traits(call.a), *keepsake.traits(call.b))
        return (f"{keepsake.CALL}{call.number}", keepsake.call_record(call, self.epoch, now))

    def answer_kept(self, call: Call, tx: Transaction, data: bytes) -> tuple[tuple[str, bytes], ...]:
        """The record of the 2xx that answers its INVITE, for `keep`."""
        if not self.keeping:
            return ()
        return ((f"{keepsake.ANSWER}{call.number}", keepsake.answer_record(call.number, tx, data)),)

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
        call.source.trunk.calls_now -= 1
        if answered and call.line is not None:
            call.line.trunk.calls_now -= 1
        for key in call.keys:
            leg = self.legs.get(key)
            if leg is not None and leg.call == call.number:
                self.remove(leg)
        if call.traits:
            self._unkeep(call)
        elif self.keeping:
            self.out.extend(map(Forget, (f"{keepsake.TRY}{call.number}", *call.tries)))
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
                leg.kept = keepsake.BYE + leg.local_tag.decode("latin-1")
                byes.append((leg.kept, keepsake.bye_record(leg, line.name if line is not None else "")))
        gone = (f"{keepsake.CALL}{call.number}", f"{keepsake.ANSWER}{call.number}")
        self.out.append(Keep(tuple(byes), gone))

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
