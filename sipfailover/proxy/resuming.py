"""Resuming: what was under way when an earlier process died goes on, or is ended on both sides (records: `underway`).

A 2xx that may not be acknowledged is said again, so that its ACK comes and the called side gets it. An INVITE inside a
call is sent again with its branch, so that who was asked says again what it had said, and who had asked hears it. A
set-up has no one who could go on with it: CANCEL for the called side, 503 for the caller; a carrier that answers all
the same is hung up on (`stray`). A caller who was told that nothing came of it is told so again.
"""

from collections.abc import Callable, Iterator

from sipfailover.errors import WireError
from sipfailover.proxy import keepsake, underway
from sipfailover.proxy.call import Clock
from sipfailover.proxy.commands import Forget
from sipfailover.proxy.core import Core
from sipfailover.proxy.facts import CallEnded
from sipfailover.proxy.inside import INVITE, MAX_FORWARDS, Inside, Relayed, exchange_for
from sipfailover.proxy.keepsake import raw
from sipfailover.transaction import LIFE
from sipfailover.wire import Message, compose

Record = tuple[str, bytes]

CANCEL = b"CANCEL"
RESTARTED = b"Service restarted"
RETRY_AFTER = (b"retry-after", b"1")
SET_UP_MAX = 300.0
"""Seconds: whoever was called longer ago than that does not ring any more, and who called has hung up."""


class Resuming:
    """See the module. `now`: seconds, monotonic. Once, when the answered calls are there again."""

    def __init__(self, core: Core, inside: Inside) -> None:
        self.core = core
        self.inside = inside
        self.given_up = 0
        """Set-ups that were ended."""
        self._told: dict[int, bool] = {}
        """Calls whose callers were told that nothing came of it → whether they are told so again."""
        self._tries: dict[int, tuple[str, ...]] = {}
        """Calls → the keys of their attempts."""

    def resume(self, records: list[Record], now: float) -> int:
        """Take what was kept. Returns how many records could not be read."""
        unreadable = 0
        kinds: tuple[tuple[str, Callable[[bytes, float], bool]], ...] = (
            (underway.ASK, self._ask),
            (underway.ANSWER, self._answer),
            (underway.FINAL, self._final),
            (underway.TRY, self._try),
        )
        for key, _ in _of(underway.TRY, records):
            number = key.removeprefix(underway.TRY).partition(".")[0]
            if number.isdigit():
                self._tries[int(number)] = (*self._tries.get(int(number), ()), key)
        for kind, take in kinds:
            for key, record in sorted(_of(kind, records), reverse=True):  # of two attempts, the second one first
                try:
                    is_wanted = take(record, now)
                except (TypeError, ValueError, AssertionError, WireError):
                    unreadable += 1
                    is_wanted = False
                if not is_wanted:
                    self.core.out.append(Forget(key))
        return unreadable

    # Each says whether its record is still of use.

    def _answer(self, record: bytes, now: float) -> bool:
        """Say a 2xx again whose ACK may not have come. If it had, it comes once more, and does no harm."""
        core = self.core
        kept = underway.to_answer(record)
        call = core.calls.get(kept.number)
        if call is None or call.answered_at is None or call.b is None:
            return False
        answered_at = min(now, kept.at + now - core.epoch(now)) if kept.at else call.answered_at
        left = LIFE - (now - answered_at)
        if left <= 0:
            return False
        leg, partner = (call.a, call.b) if kept.by_caller else (call.b, call.a)
        cseq = kept.cseq or leg.uas_cseq
        key = (raw(kept.branch), raw(kept.sent_by), INVITE)
        to, data = keepsake.to_target(kept.to), raw(kept.data)
        tx = core.layer.answered(key, (leg.call_id, leg.remote_tag, cseq), to, data, now, left)
        leg.uas_cseq = cseq
        self.inside.answer(leg, tx, 200, data, now, left=left)
        partner.ack_cseq = 0
        return True

    def _ask(self, record: bytes, now: float) -> bool:
        """Go on with an INVITE inside a call."""
        core = self.core
        kept = underway.to_ask(record)
        call = core.calls.get(kept.number)
        if call is None or call.b is None:
            return False
        leg, partner, line = (call.a, call.b, call.line) if kept.by_caller else (call.b, call.a, call.source)
        request, copy = Message(raw(kept.request)), Message(raw(kept.data))
        key, branch = (raw(kept.their_branch), raw(kept.sent_by), INVITE), raw(kept.branch)
        tx = core.layer.pending(key, keepsake.to_target(kept.to), request, raw(kept.lines))
        tx.user = relayed = Relayed(INVITE, leg.key, partner.key, key, branch, line, exchange_for(line), request)
        leg.uas_cseq = request.cseq
        leg.remote_cseq = max(leg.remote_cseq, request.cseq)
        partner.uac_cseq = copy.cseq
        self.inside.invites[leg.key] = self.inside.invites[partner.key] = relayed
        relayed.clock = core.timers.start(core.settings.failover.ring_timeout, now, Clock.NO_FINAL, relayed)
        core.layer.request(branch, INVITE, raw(kept.data), partner.to, relayed, now)
        return True

    def _final(self, record: bytes, now: float) -> bool:
        """Say a failure again whose ACK may not have come."""
        core = self.core
        kept = underway.to_final(record)
        core.call_count = max(core.call_count, kept.number)
        self._told[kept.number] = core.epoch(now) - kept.at <= LIFE
        if not self._told[kept.number]:
            return False
        key = (raw(kept.branch), raw(kept.sent_by), INVITE)
        tx = core.layer.refused(key, keepsake.to_target(kept.to), raw(kept.data), now)
        core.keep_final(kept.number, tx, now, self._tries.get(kept.number, ()))
        return True

    def _try(self, record: bytes, now: float) -> bool:
        """Nobody could go on with this attempt: the called side is let go, and the calling side may try again."""
        core = self.core
        kept = underway.to_try(record)
        core.call_count = max(core.call_count, kept.number)
        started = min(now, kept.started_at + now - core.epoch(now))
        if now - started > SET_UP_MAX:
            return False
        leg, branch = keepsake.to_leg(kept.leg, kept.number), raw(kept.branch)
        lines = leg.request_lines(CANCEL, kept.leg.cseq, branch, MAX_FORWARDS, False)
        core.layer.request(branch, CANCEL, lines + b"\r\nContent-Length: 0\r\n\r\n", leg.reached, None, now)
        if kept.number in self._told:
            return self._told[kept.number]
        self.given_up += 1
        before, _, to = raw(kept.lines).rpartition(b"\r\n")
        answer = compose.reply(503, RESTARTED, before, to, (RETRY_AFTER,))
        key = (raw(kept.their_branch), raw(kept.sent_by), INVITE)
        tx = core.layer.refused(key, keepsake.to_target(kept.to), answer, now)
        core.record(
            CallEnded(
                at=now, call=kept.number, direction=kept.direction, caller=kept.caller, called=kept.called,
                result="rejected", status=503, trunk=kept.source if kept.direction == "inbound" else kept.line,
                first_choice=kept.first_choice, attempts=kept.attempts, started_at=started, ringing_after=None,
                answered_at=None, ended_by="sipfailover", call_id=kept.call_id, emergency=kept.emergency,
            )
        )  # fmt: skip
        core.keep_final(kept.number, tx, now, self._tries.get(kept.number, ()))
        self._told[kept.number] = True  # once, however many attempts were under way
        return True


def _of(kind: str, records: list[Record]) -> Iterator[Record]:
    return (one for one in records if one[0].startswith(kind))
