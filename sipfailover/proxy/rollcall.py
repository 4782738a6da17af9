"""Roll call: are the two ends of a call still there? A call that ended unseen would take a channel for ever.

Nobody need ask while a call is young: its BYE comes. But a BYE can come while this process is down, and an end can
vanish without one. So both ends of a restored call are asked soon after the start, spread over time, and those of every
very long call once in a while, with OPTIONS inside the dialog (RFC 3261 §11.2). Some refuse that with 481 and talk on
(`inside.MUST_BE_KNOWN`); they are asked once more with UPDATE, whose 481 means what it says (§12.2.1.2, RFC 5057 §5.1).
Silence alone means little, because some never answer OPTIONS inside a dialog: a call is closed for it only if neither
end has answered SILENT_MAX times in a row.
"""

from dataclasses import dataclass

from sipfailover.proxy.call import Call, Presence
from sipfailover.proxy.core import CALLS_LOOKED_AT_EVERY, Core
from sipfailover.proxy.inside import MAX_FORWARDS, Inside
from sipfailover.proxy.leg import Leg
from sipfailover.transaction import Input, Transaction
from sipfailover.wire import Message

FIRST_AFTER = 10.0
"""Seconds from a restart to the first question: whoever hung up meanwhile repeats its BYE every T2 (4 s), and that says
more than any answer."""
CALLS_PER_SECOND = 50
"""Restored calls that are asked in one second: 10,000 of them take three minutes, and nobody notices."""
LONG_CALL = 2 * 3600.0
"""Seconds after which the ends of a call are asked, and then again each time."""
AGAIN_AFTER = 60.0
"""Seconds to the next question when neither end has answered, or when it was no time to ask."""
SILENT_MAX = 3
LOOK_EVERY_MIN = 1.0
"""Seconds between two looks at who is to be asked, at least; at most CALLS_LOOKED_AT_EVERY."""
ASKED_MAX = CALLS_PER_SECOND
"""Calls that are asked in one look; the others are asked a second later."""

PRESENT, SILENT, GONE = SAID = "present", "silent", "gone"
OPTIONS, UPDATE = b"OPTIONS", b"UPDATE"


@dataclass(slots=True, eq=False)
class RollCalled:
    """A question under way."""

    call: int
    leg: bytes
    method: bytes
    fallback: bool = False
    """It was sent once more, to the leg's other address."""


def verdict(caller: str, called: str, silent: int) -> str | None:
    """Who ended the call, as `CallEnded.ended_by` has it; None: it goes on. `silent`: times in a row that neither end
    answered, this one included."""
    match caller, called:
        case ("gone", "gone"):
            return "unseen"
        case ("gone", _):
            return "caller"
        case (_, "gone"):
            return "called"
        case ("silent", "silent"):
            return "unseen" if silent >= SILENT_MAX else None
    return None


class RollCall:
    """See the module. `now`: seconds, monotonic. Off the path."""

    def __init__(self, core: Core, inside: Inside) -> None:
        self.core = core
        self.inside = inside

    def restored(self, call: Call, place: int, now: float) -> None:
        """This call came from an earlier process, as one of several; `place`: which one."""
        call.presence = Presence(now + FIRST_AFTER + place / CALLS_PER_SECOND, restored_at=now)
        self.core.look_at_calls(FIRST_AFTER, now)

    def wake(self, now: float) -> None:
        """Ask those whose time has come."""
        core = self.core
        core.roll_timer = None
        soonest, asked = float("inf"), 0
        for call in list(core.calls.values()):
            if call.answered_at is None:
                soonest = min(soonest, now + CALLS_LOOKED_AT_EVERY)
                continue
            presence = call.presence
            if presence is None:
                if now < call.answered_at + LONG_CALL:
                    soonest = min(soonest, call.answered_at + LONG_CALL)
                    continue
                presence = call.presence = Presence(now)
            if presence.next_at <= now and asked < ASKED_MAX:
                asked += 1
                self._ask_both(call, presence, now)
            soonest = min(soonest, presence.next_at)
        if core.calls:
            core.look_at_calls(min(CALLS_LOOKED_AT_EVERY, max(LOOK_EVERY_MIN, soonest - now)), now)

    def _ask_both(self, call: Call, presence: Presence, now: float) -> None:
        assert call.b is not None
        presence.next_at = now + AGAIN_AFTER
        legs = (call.a, call.b)
        if any(leg.answer or leg.key in self.inside.invites for leg in legs):
            return  # they talk about the call just now
        presence.caller = presence.called = ""
        for leg in legs:
            self._ask(RollCalled(call.number, leg.key, OPTIONS), leg, now)
        self.core.keep_changed(call, now)

    def _ask(self, asked: RollCalled, leg: Leg, now: float) -> None:
        core = self.core
        branch = core.chance.branch()
        data = leg.request_lines(asked.method, leg.next_cseq(), branch, MAX_FORWARDS, asked.method == UPDATE)
        if asked.method == OPTIONS:
            data += b"\r\nAccept: application/sdp"
        core.layer.request(branch, asked.method, data + b"\r\nContent-Length: 0\r\n\r\n", leg.to, asked, now)

    def heard(self, tx: Transaction, asked: RollCalled, what: Input, message: Message | None, now: float) -> None:
        """A question was answered, or was not."""
        core = self.core
        call, leg = core.calls.get(asked.call), core.legs.get(asked.leg)
        if what is Input.PROVISIONAL or call is None or call.presence is None or leg is None:
            return
        if what is Input.LOST and not asked.fallback and self.inside.other_way(leg, tx.to):
            asked.fallback = True
            core.layer.request(tx.key[0], asked.method, tx.data, leg.to, asked, now)
            return
        gone = message is not None and message.status == 481
        if gone and asked.method == OPTIONS:
            self._ask(RollCalled(call.number, leg.key, UPDATE), leg, now)
            return
        if message is None:
            said = PRESENT if tx.reason.startswith("local: ") else SILENT  # our own trouble says nothing of others
        else:
            said = GONE if gone else SILENT if message.status == 408 else PRESENT
        if leg.caller:
            call.presence.caller = said
        else:
            call.presence.called = said
        if call.presence.caller and call.presence.called:
            self._judge(call, call.presence, now)

    def _judge(self, call: Call, presence: Presence, now: float) -> None:
        """Both have answered, or had their time."""
        neither = presence.caller == presence.called == SILENT
        presence.silent = presence.silent + 1 if neither else 0
        ended_by = verdict(presence.caller, presence.called, presence.silent)
        if ended_by is None:
            presence.next_at = now + (AGAIN_AFTER if neither else LONG_CALL)
            if not neither:
                presence.restored_at = None
            return
        core = self.core
        at = now if presence.restored_at is None else presence.restored_at  # it was over by then
        text = f"call {call.number} has ended unseen, so it is closed"
        core.log("warning", text, caller=presence.caller, called=presence.called)
        for leg in (call.a, call.b):
            if leg is not None:
                self.inside.hang_up(leg, now)  # who still has it is told; and who was misunderstood, too
        core.end(call, 200, ended_by, now, at=at)
