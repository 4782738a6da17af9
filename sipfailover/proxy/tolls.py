"""Toll fraud at work: each call of the PBX is asked for once on its way, counted, and refused where the rules say so.

What is decided is `routing.tolls`' business; this room keeps the books. They are stored with the calls in progress, so
that a restart is no way to begin the hour anew. `now`: seconds, monotonic.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sipfailover.config import KINDS, Settings
from sipfailover.errors import WireError
from sipfailover.proxy.call import OUTBOUND, Call
from sipfailover.proxy.commands import Log, Record
from sipfailover.proxy.facts import AttemptEnded
from sipfailover.proxy.line import Line
from sipfailover.proxy.view import TollView
from sipfailover.routing import AGENT, CALLS, MINUTES, PLACE, Refusal, Tally, over, quoted, toll_rules
from sipfailover.trunk import bare_emergency, emergency_spellings
from sipfailover.wire import Message, NameAddr
from sipfailover.wire.compose import Header
from sipfailover.wire.uri import user

TELL_EVERY = 60.0
"""Seconds between two log lines about one kind refused for one reason. What an attacker dials is counted in between."""
KEY = "toll/"
"""Key of the record that outlives the process."""
CAUSES = (PLACE, CALLS, MINUTES)
REFUSED = "refused"
STATUS, PHRASE = 403, b"Refused by toll_fraud"
CALL_REJECTED = 21
"""Q.850 cause: what a PBX shows its people as "call rejected"."""


@dataclass(slots=True)
class Told:
    """What the log has told of one kind and cause."""

    at: float
    since: int = 0
    """Calls refused since then."""


class Tolls:
    """See the module. `wall`: `now` as the time of day, None for a day of our own clock."""

    def __init__(self, settings: Settings) -> None:
        self.wall: Callable[[float], datetime] | None = None
        self._tallies: dict[str, Tally] = {}
        self.refused = {(kind, cause): 0 for kind in KINDS for cause in CAUSES}
        """(kind, cause) → calls refused since the start."""
        self._told: dict[tuple[str, str], Told] = {}
        """The same keys, so no more of them."""
        self.configure(settings)

    def configure(self, settings: Settings) -> None:
        """These settings count from the next call on; what was counted stays."""
        self.rules = rules = toll_rules(settings)
        self.idle = rules.idle
        """Nothing to do: no call need be looked at."""
        self._first_tier = min(trunk.tier for trunk in settings.trunks)
        self._emergency = emergency_spellings(settings.emergency.numbers, rules.plan) if not rules.idle else {}
        if not rules.counts:
            self._tallies = {}
        elif not self._tallies:
            self._tallies = {kind: Tally() for kind in KINDS}

    # -- a call on its way --------------------------------------------------------------------------------------------

    def may(self, call: Call, line: Line, now: float) -> Refusal | None:
        """Whether a call may go over this line. The first time it is counted, if it may. On the path."""
        if call.direction != OUTBOUND or call.emergency:
            return None
        rules = self.rules
        number = rules.number(call.uri, plain=call.source.number_form == "plain")
        if not call.toll:
            if (refusal := rules.place(number)) is not None:
                return refusal
        elif not self._is_backup(line):
            return None  # it has been let through already
        kind = rules.kind(number)
        tally = self._tallies.get(kind)
        if tally is not None:
            tally.today(*self._day(now))
            refusal = over(tally, rules.limit(kind, self._is_backup(line)), kind, now, counted=bool(call.toll))
            if refusal is not None:
                return refusal
            if not call.toll:
                tally.called(now)
        call.toll = kind
        return None

    def refers(self, call: Call, request: Message, line: Line, to: Line, now: float) -> Refusal | None:
        """Whether a carrier may be asked to call somebody for a PBX (REFER): that is paid like any call. One that is to
        be joined with a call that is there already (Replaces) is paid already."""
        if self.idle or line.role != "pbx" or to.role != "trunk":
            return None
        try:
            uri = NameAddr.parse(request.get(b"refer-to") or b"").uri
        except WireError:
            return None  # nobody can be called by it
        if b"replaces=" in uri.lower() or bare_emergency(user(uri), self._emergency) is not None:
            return None
        number = self.rules.number(uri, plain=line.number_form == "plain")
        kind = self.rules.kind(number)
        refusal = self.rules.place(number)
        tally = self._tallies.get(kind)
        if refusal is None and tally is not None:
            tally.today(*self._day(now))
            refusal = over(tally, self.rules.limit(kind, self._is_backup(to)), kind, now)
            if refusal is None:
                tally.called(now)
        return refusal

    def _is_backup(self, line: Line) -> bool:
        return line.trunk.tier > self._first_tier

    def answered(self, call: Call, now: float) -> None:
        """It talks from now on."""
        tally = self._tallies.get(call.toll)
        if tally is not None:
            tally.answered(call.number, now)

    def ended(self, call: Call, now: float) -> None:
        """It is over."""
        tally = self._tallies.get(call.toll)
        if tally is not None:
            tally.today(*self._day(now))
            tally.ended(call.number, now)

    def refuse(
        self, call: Call, refusal: Refusal, shown: Callable[[str], str], now: float, what: str = ""
    ) -> tuple[tuple[Header, ...], list[Record | Log]]:
        """Book a refusal: (headers of the answer, what is to be told). shown: a number as the log may have it; what:
        that something inside the call is refused, and not the call."""
        key = (refusal.kind, refusal.cause)
        self.refused[key] += 1
        text = f"toll_fraud: {refusal.text}"
        out: list[Record | Log] = []
        if not what:
            fact = AttemptEnded(
                at=now, call=call.number, number=call.attempts + 1, trunk="", outcome=REFUSED, status=STATUS,
                reason=text, verdict="gave up", sent_at=now, ringing_after=None, ended_after=0.0, remote="", call_id="",
            )  # fmt: skip
            out.append(Record(fact))
        told = self._told.get(key)
        if told is not None and now - told.at < TELL_EVERY:
            told.since += 1
        else:
            more = {"others_since_the_last_line": told.since} if told is not None and told.since else {}
            self._told[key] = Told(now)
            who = {"caller": shown(call.caller), "called": shown(call.called)}
            fields: dict[str, object] = {**who, "why": refusal.text, **more}
            out.append(Log("warning", f"{what}call {call.number} is refused by toll_fraud", fields))
        headers = (
            (b"warning", f"399 {AGENT} {quoted(text)}".encode()),
            (b"reason", f"Q.850;cause={CALL_REJECTED};text={quoted(text)}".encode()),
        )
        return headers, out

    def _day(self, now: float) -> tuple[int, float]:
        """(local date as a number, when it began on our clock)."""
        if self.wall is None:
            day = int(now // 86400.0) + 1
            return day, (day - 1) * 86400.0
        at = self.wall(now)
        midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
        return at.toordinal(), now - (at - midnight).total_seconds()

    # -- what outlives the process ------------------------------------------------------------------------------------

    def record(self, epoch: Callable[[float], float], now: float) -> tuple[tuple[str, bytes], ...]:
        """The books as a record for the journal; () where nothing is counted."""
        if not self._tallies:
            return ()
        ago = now - epoch(now)
        return ((KEY, json.dumps({kind: tally.kept(ago, now) for kind, tally in self._tallies.items()}).encode()),)

    def restore(self, record: bytes, epoch: Callable[[float], float], now: float) -> None:
        """Go on with the books of an earlier process. Raises ValueError, TypeError or KeyError for what is none."""
        ago = now - epoch(now)
        for kind, (day, seconds, steps) in json.loads(record).items():
            if (tally := self._tallies.get(kind)) is not None:
                tally.restore(int(day), float(seconds), [(float(end), int(n)) for end, n in steps], ago, now)

    def restored(self, call: Call, now: float) -> None:
        """An answered call of an earlier process goes on: what it talked before counts too."""
        if call.direction == OUTBOUND and not call.emergency and self._tallies and call.answered_at is not None:
            uri = b"sip:%b@restored.invalid" % call.called.encode("latin-1", "replace")
            call.toll = self.rules.kind(self.rules.number(uri, plain=call.source.number_form == "plain"))
            tally = self._tallies[call.toll]
            day, midnight = self._day(now)
            tally.today(day, midnight)
            tally.answered(call.number, max(call.answered_at, midnight))

    # -- the picture --------------------------------------------------------------------------------------------------

    def view(self, backup: bool, now: float) -> tuple[TollView, ...]:
        """How things stand, one for each kind; () where nothing is set. `backup`: calls go over a backup now."""
        if self.idle:
            return ()
        views = []
        for kind in KINDS:
            tally, limit = self._tallies.get(kind), self.rules.limit(kind, backup)
            stop = None
            if tally is not None:
                tally.today(*self._day(now))
                stop = over(tally, limit, kind, now)
            views.append(
                TollView(
                    kind=kind,
                    calls=tally.calls(now) if tally is not None else 0,
                    calls_per_hour=limit.calls_per_hour,
                    minutes=tally.minutes(now) if tally is not None else 0.0,
                    minutes_per_day=limit.minutes_per_day,
                    refused={cause: self.refused[kind, cause] for cause in CAUSES},
                    stopped=stop.text if stop is not None and stop.cause in self._refusing(kind) else "",
                )
            )
        return tuple(views)

    def _refusing(self, kind: str) -> set[str]:
        """Causes for which a call of this kind was refused: a limit of nothing at all is no news until then."""
        return {cause for cause in CAUSES if self.refused[kind, cause]}
