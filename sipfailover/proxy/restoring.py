"""Restoring: what an earlier process kept becomes calls again (DESIGN.md §2.6).

Both legs of every answered call are found by their tags, as if nothing had been; a BYE without an answer is sent again;
PBXs are registered where they were; trunks are as they were known. What else was under way is for `resuming`.
"""

from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from sipfailover.errors import WireError
from sipfailover.proxy import keepsake, recollection, underway
from sipfailover.proxy.bindings import alive, without_stream
from sipfailover.proxy.call import Call, Progress
from sipfailover.proxy.commands import Forget, Keep
from sipfailover.proxy.core import Core
from sipfailover.proxy.facts import CallEnded
from sipfailover.proxy.inside import Inside
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.registrar import Registrar
from sipfailover.proxy.resuming import Resuming
from sipfailover.proxy.rollcall import RollCall
from sipfailover.proxy.tolls import KEY
from sipfailover.proxy.watch import Watch
from sipfailover.trunk import Order, State

Record = tuple[str, bytes]


class Restoring:
    """See the module. `now`: seconds, monotonic. Once, before anything is received."""

    def __init__(self, core: Core, watch: Watch, inside: Inside, registrar: Registrar, rollcall: RollCall) -> None:
        self.core = core
        self.watch = watch
        self.inside = inside
        self.registrar = registrar
        self.rollcall = rollcall
        self._ends: list[tuple[Leg, str]] = []
        """Legs that want a BYE, with the name of their line."""
        self._kept: list[Record] = []
        """The records, with the CSeq that has jumped."""

    def restore(self, records: Iterable[Record], now: float) -> None:
        """Take what was kept: (key, record) in any order. What cannot be read is left out, and told."""
        core, found = self.core, list(records)
        unreadable = 0
        for kind, take in (
            (recollection.LINE, self._line),
            (recollection.FAILOVER, self._failover),
            (keepsake.CALL, self._call),
            (underway.BYE, self._bye),
            (keepsake.PBX, self._pbx),
        ):
            for key, record in _of(kind, found):
                try:
                    take(key, record, now)
                except (TypeError, ValueError, KeyError, AssertionError, WireError):
                    unreadable += 1
                    core.out.append(Forget(key))
        core.out.append(Keep(tuple(self._kept)))
        for line in core.lines.values():
            core.remember(line, now)
        for leg, name in self._ends:
            self.inside.hang_up(leg, now, line=core.lines.get(name))
        for key, record in _of(KEY, found):
            try:
                core.tolls.restore(record, core.epoch, now)
            except (TypeError, ValueError, KeyError, AttributeError):
                unreadable += 1
                core.out.append(Forget(key))
        for call in core.calls.values():
            core.tolls.restored(call, now)
        resuming = Resuming(core, self.inside)
        unreadable += resuming.resume(found, now)
        if core.calls or self._ends or resuming.given_up:
            text = f"{len(core.calls)} calls go on after a restart"
            core.log("info", text, byes=len(self._ends), set_up_in_vain=resuming.given_up)
        if unreadable:
            core.log("error", f"{unreadable} records of an earlier process cannot be used")
        self._ends, self._kept = [], []

    def _call(self, key: str, record: bytes, now: float) -> None:
        core = self.core
        kept = keepsake.to_call(record)
        a, b = keepsake.to_leg(kept.a, kept.number), keepsake.to_leg(kept.b, kept.number)
        a.partner, b.partner = b.key, a.key
        for leg in (a, b):
            if leg.remote_cseq > leg.uas_cseq:
                leg.remote_cseq -= 1  # perhaps it had no answer: then it comes again
        core.call_count = max(core.call_count, kept.number)
        source, line = core.lines.get(kept.source), core.lines.get(kept.line)
        if source is None or line is None:
            self._without_line(key, kept, a, b, now)
            return
        call = Call(kept.number, kept.direction, source, None, a, now)
        call.b, call.line = b, line
        call.caller, call.called, call.first_choice = kept.caller, kept.called, kept.first_choice
        call.attempts, call.emergency = kept.attempts, kept.emergency
        call.started_at, call.ringing_at, call.answered_at = self._times(kept, now)
        call.progress = Progress.ANSWERED
        core.add(a, call)
        core.add(b, call)
        self.rollcall.restored(call, len(core.calls), now)
        core.calls[call.number] = call
        source.trunk.calls_now += 1
        line.trunk.calls_now += 1
        if line.role == "trunk":
            line.trunk.talks.recall(call.number, call.answered_at, now)
        if source.role == "trunk":
            source.trunk.talks_in.recall(call.number, call.answered_at, now)
        self._kept.append(core.call_kept(call, now))

    def _line(self, key: str, record: bytes, now: float) -> None:
        core = self.core
        line = core.lines.get(unquote(key.removeprefix(recollection.LINE)))
        if line is None or not recollection.recall(line, record, core.epoch, now):
            core.out.append(Forget(key))
            return
        trunk, what = line.trunk, f"{line.role} {line.name}"
        if trunk.order is not Order.ENABLED:
            told = trunk.ordered.words(now)
            text = f"{what} is {trunk.order.label}, as ordered before the restart"
            core.log("warning", text, **({"order": told} if told else {}))
        if trunk.health.state is not State.UP:
            text = f"{what} is {trunk.health.state.label}, as before the restart"
            core.log("warning", text, why=trunk.health.why)
        self.watch.recalled(line, now)

    def _failover(self, _key: str, record: bytes, now: float) -> None:
        self.watch.failovers.recall(record, now)

    def _times(self, kept: keepsake.CallRecord, now: float) -> tuple[float, float, float]:
        """When it began, rang and was answered, on our clock. A wall clock that was set back puts nothing ahead."""
        offset = now - self.core.epoch(now)
        started, ringing, answered = (
            min(now, at + offset) for at in (kept.started_at, kept.ringing_at, kept.answered_at)
        )
        return started, ringing, answered

    def _without_line(self, key: str, kept: keepsake.CallRecord, a: Leg, b: Leg, now: float) -> None:
        """The settings do not have one of its lines any more: nobody would be let in to end it."""
        core = self.core
        text = f"call {kept.number} is ended: its trunk or PBX is not in the file any more"
        core.log("warning", text, source=kept.source, line=kept.line)
        started, ringing, answered = self._times(kept, now)
        core.record(
            CallEnded(
                at=now, call=kept.number, direction=kept.direction, caller=kept.caller, called=kept.called,
                result="answered", status=200, trunk=kept.source if kept.direction == "inbound" else kept.line,
                first_choice=kept.first_choice, attempts=kept.attempts, started_at=started,
                ringing_after=ringing - started, answered_at=answered, ended_by="sipfailover",
                call_id=kept.a.call_id, emergency=kept.emergency,
            )
        )  # fmt: skip
        core.out.append(Forget(key))
        for leg, line in ((a, kept.source), (b, kept.line)):
            self._end(leg, line)

    def _bye(self, key: str, record: bytes, _now: float) -> None:
        kept = underway.to_bye(record)
        leg = keepsake.to_leg(kept.leg, 0)
        self._end(leg, kept.line)
        if leg.kept != key:
            self.core.out.append(Forget(key))  # as an earlier version named it

    def _end(self, leg: Leg, line: str) -> None:
        leg.kept = underway.bye_key(leg)
        self._ends.append((leg, line))
        self._kept.append((leg.kept, underway.bye_record(leg, line)))

    def _pbx(self, key: str, record: bytes, now: float) -> None:
        core = self.core
        line = core.lines.get(unquote(key.removeprefix(keepsake.PBX)))
        if line is None or line.registrant is None:
            core.out.append(Forget(key))
            return
        bindings = keepsake.to_bindings(record, now - core.epoch(now))
        self.registrar.restore(line, without_stream(alive(bindings, now), keepsake.GONE), now)


def _of(kind: str, records: list[Record]) -> Iterator[Record]:
    return (one for one in records if one[0].startswith(kind))
