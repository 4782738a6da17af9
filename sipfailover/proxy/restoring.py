"""Restoring: what an earlier process kept becomes calls again (DESIGN.md §2.6).

Both legs of every answered call are found by their tags, as if nothing had been; a 2xx that may not be acknowledged is
said again, so that its ACK comes and the called side gets it; a BYE that had no answer is sent again; PBXs are
registered where they were. What was ringing is lost, because nobody remembers its transactions, and is ended on both
sides: CANCEL and 503. A carrier that answers it all the same is hung up on (`stray`).
"""

from collections.abc import Iterable, Iterator
from urllib.parse import unquote

from sipfailover.errors import WireError
from sipfailover.flow import Target
from sipfailover.proxy import keepsake
from sipfailover.proxy.bindings import alive, without_stream
from sipfailover.proxy.call import Call, Progress
from sipfailover.proxy.commands import Forget, Keep
from sipfailover.proxy.core import Core
from sipfailover.proxy.facts import CallEnded
from sipfailover.proxy.inside import INVITE, MAX_FORWARDS, Inside
from sipfailover.proxy.leg import Leg
from sipfailover.proxy.registrar import Registrar
from sipfailover.proxy.rollcall import RollCall
from sipfailover.transaction import LIFE
from sipfailover.wire import compose

Record = tuple[str, bytes]

CANCEL = b"CANCEL"
RESTARTED = b"Service restarted"
RETRY_AFTER = (b"retry-after", b"1")
SET_UP_MAX = 300.0
"""Seconds: whoever was called longer ago than that does not ring any more, and who called has hung up."""


class Restoring:
    """See the module. `now`: seconds, monotonic. Once, before anything is received."""

    def __init__(self, core: Core, inside: Inside, registrar: Registrar, rollcall: RollCall) -> None:
        self.core = core
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
            (keepsake.CALL, self._call),
            (keepsake.BYE, self._bye),
            (keepsake.PBX, self._pbx),
        ):
            for key, record in _of(kind, found):
                try:
                    take(key, record, now)
                except (TypeError, ValueError, KeyError, AssertionError, WireError):
                    unreadable += 1
                    core.out.append(Forget(key))
        core.out.append(Keep(tuple(self._kept)))
        for leg, line in self._ends:
            self.inside.hang_up(leg, now, line=core.lines.get(line))
        for key, record in _of(keepsake.ANSWER, found):
            try:
                if self._answer(keepsake.to_answer(record), now):
                    continue
            except (TypeError, ValueError):
                unreadable += 1
            core.out.append(Forget(key))
        given_up: set[int] = set()
        for key, record in sorted(_of(keepsake.TRY, found), reverse=True):  # of two attempts, the second one first
            try:
                kept = keepsake.to_try(record)
                if self._let_go(kept, now) and kept.number not in given_up:
                    given_up.add(kept.number)
                    self._give_up(kept, now)
            except (TypeError, ValueError):
                unreadable += 1
            core.out.append(Forget(key))
        if core.calls or self._ends or given_up:
            text = f"{len(core.calls)} calls go on after a restart"
            core.log("info", text, byes=len(self._ends), set_up_in_vain=len(given_up))
        if unreadable:
            core.log("error", f"{unreadable} records of an earlier process cannot be used")
        self._ends, self._kept = [], []

    def _call(self, key: str, record: bytes, now: float) -> None:
        core = self.core
        kept = keepsake.to_call(record)
        a, b = keepsake.to_leg(kept.a, kept.number), keepsake.to_leg(kept.b, kept.number)
        a.partner, b.partner = b.key, a.key
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
        self._kept.append(core.call_kept(call, now))

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
        kept = keepsake.to_bye(record)
        self._end(keepsake.to_leg(kept.leg, 0), kept.line)

    def _end(self, leg: Leg, line: str) -> None:
        leg.kept = keepsake.BYE + leg.local_tag.decode("latin-1")
        self._ends.append((leg, line))
        self._kept.append((leg.kept, keepsake.bye_record(leg, line)))

    def _pbx(self, key: str, record: bytes, now: float) -> None:
        core = self.core
        line = core.lines.get(unquote(key.removeprefix(keepsake.PBX)))
        if line is None or line.registrant is None:
            core.out.append(Forget(key))
            return
        bindings = keepsake.to_bindings(record, now - core.epoch(now))
        self.registrar.restore(line, without_stream(alive(bindings, now), keepsake.GONE), now)

    def _answer(self, kept: keepsake.AnswerRecord, now: float) -> bool:
        """Say a 2xx again whose ACK may not have come. If it had, it comes once more, and does no harm. False if it is
        too late for that."""
        core = self.core
        call = core.calls.get(kept.number)
        if call is None or call.answered_at is None or call.b is None:
            return False
        left = LIFE - (now - call.answered_at)
        if left <= 0:
            return False
        a, b, data = call.a, call.b, kept.data.encode("latin-1")
        key = (kept.branch.encode("latin-1"), kept.sent_by.encode("latin-1"), INVITE)
        to: Target = keepsake.to_target(kept.to)
        tx = core.layer.answered(key, (a.call_id, a.remote_tag, a.uas_cseq), to, data, now, left)
        self.inside.answer(a, tx, 200, data, now, left=left)
        b.ack_cseq = 0
        return True

    def _let_go(self, kept: keepsake.TryRecord, now: float) -> bool:
        """Nobody could go on with this attempt: the called side is let go. False if it is too late for that."""
        core = self.core
        core.call_count = max(core.call_count, kept.number)
        if now - self._started(kept, now) > SET_UP_MAX:
            return False
        leg = keepsake.to_leg(kept.leg, kept.number)
        branch = kept.branch.encode("latin-1")
        lines = leg.request_lines(CANCEL, kept.leg.cseq, branch, MAX_FORWARDS, False)
        core.layer.request(branch, CANCEL, lines + b"\r\nContent-Length: 0\r\n\r\n", leg.reached, None, now)
        return True

    def _started(self, kept: keepsake.TryRecord, now: float) -> float:
        return min(now, kept.started_at + now - self.core.epoch(now))

    def _give_up(self, kept: keepsake.TryRecord, now: float) -> None:
        """The calling side may try again. Once, however many attempts were under way."""
        core, started = self.core, self._started(kept, now)
        before, _, to = kept.lines.encode("latin-1").rpartition(b"\r\n")
        answer = compose.reply(503, RESTARTED, before, to, (RETRY_AFTER,))
        key = (kept.their_branch.encode("latin-1"), kept.sent_by.encode("latin-1"), INVITE)
        core.layer.refused(key, keepsake.to_target(kept.to), answer, now)
        core.record(
            CallEnded(
                at=now, call=kept.number, direction=kept.direction, caller=kept.caller, called=kept.called,
                result="rejected", status=503, trunk=kept.source if kept.direction == "inbound" else kept.line,
                first_choice=kept.first_choice, attempts=kept.attempts, started_at=started, ringing_after=None,
                answered_at=None, ended_by="sipfailover", call_id=kept.call_id, emergency=kept.emergency,
            )
        )  # fmt: skip


def _of(kind: str, records: list[Record]) -> Iterator[Record]:
    return (one for one in records if one[0].startswith(kind))
