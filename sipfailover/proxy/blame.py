"""Whom to blame: whether silence is our own line's, and whether what a trunk said of a number is true.

Both compare one trunk with the others, so they belong to none of them. `trunk.ourselves` decides the first; the second
is simple: a number that one trunk refuses and another one reaches within minutes is not the reason. This room only
remembers, and says what is to be held against whom; `watch` does it.
"""

from sipfailover.proxy.core import Core
from sipfailover.proxy.line import Line
from sipfailover.proxy.reference import FAST, References
from sipfailover.trunk import (
    NOT_YET,
    NOTHING,
    Evidence,
    Finding,
    Order,
    Sign,
    State,
    Witness,
    duration,
    silent_together,
    unresolved,
)

REFUSALS_MAX = 256
"""Refused numbers that are remembered. The oldest is forgotten when there are more: then it is not compared."""
COMPARED_WITHIN = 600.0
"""Seconds in which another trunk has to reach a number that one has refused; and for which two that agree are
believed."""
JUDGED_AFTER = 1.0
"""Seconds after a reference was asked until its silence is judged: so long trunks are asked that are asked quickly."""
SILENCE = frozenset({Sign.PROBE_FAILED, Sign.PROBES_SILENT, Sign.CALL_SILENT})


class Blame:
    """See the module. `now`: seconds, monotonic."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.references = References(core)
        self.finding: Finding = NOTHING
        """What is the matter with our own line."""
        self.since = 0.0
        self.refusals: dict[str, dict[str, tuple[float, str]]] = {}
        """Number → trunk → (when, what it said)."""
        self.bad: dict[str, float] = {}
        """Number that two trunks refused → when. As many as `refusals`."""

    # -- our own line -------------------------------------------------------------------------------------------------

    @property
    def words(self) -> str:
        """What is the matter with our own line, one sentence; empty if nothing is known to be."""
        return self.finding.words

    def excuses(self, line: Line, evidence: Evidence, asked_at: float, now: float) -> bool:
        """True if this silence of a trunk is not to be held against it. `asked_at`: when all were asked."""
        if line.role != "trunk" or evidence.sign not in SILENCE:
            return False
        line.silent_at = now
        if evidence.sign is Sign.PROBES_SILENT and not self.finding.excuses:
            self._found(self._silent(asked_at), now)
        elif evidence.sign is not Sign.PROBES_SILENT:
            self.references.ask(now, again_in=FAST)
        return self.finding.excuses

    def unsent(self, line: Line, why: str, now: float) -> None:
        """Something could not even be sent to a trunk."""
        line.unsent = why
        if line.role == "trunk" and not self.finding.excuses:
            self._found(self._silent(now), now)

    def reference_said(self, host: str, port: int, why: str, now: float) -> bool:
        """A reference was reached, or was not (`why`). True if that is the end of a trouble of our own."""
        one = self.references.reached(host, port, why, now)
        if one is None:
            return False
        if not why:
            return self._is_not_us(f"reference {one.address}", now)
        if self._in_doubt:
            if now < one.asked_at + JUDGED_AFTER:
                self.references.look(one.asked_at + JUDGED_AFTER - now, now)
            elif not self.finding.excuses:
                self._found(self._silent(one.asked_at), now)
        return False

    def wake(self, now: float) -> None:
        """The references want to be asked, or their silence to be judged."""
        if self._in_doubt and not self.finding.excuses:
            failed = [one.asked_at for one in self.references.all if one.why and now >= one.asked_at + JUDGED_AFTER]
            if failed:
                self._found(self._silent(min(failed)), now)
        if self._in_doubt or self.finding.excuses:
            self.references.ask(now, again_in=FAST)
        else:
            self.references.ask(now)

    @property
    def _in_doubt(self) -> bool:
        """True while a trunk is silent that is not known to be Down."""
        return any(
            line.silent_at > line.heard_at and line.trunk.health.state is not State.DOWN for line in self.core.trunks
        )

    def _is_not_us(self, heard: str, now: float) -> bool:
        """Something was reached: the end of the finding, unless it has another reason."""
        if not self.finding.excuses or self._silent(self.since).excuses:
            return False
        lasted = duration(now - self.since)
        self.core.log("warning", f"our own line is well, or well again after {lasted}", heard=heard, was=self.words)
        self.finding = NOTHING
        self.resolved(now)
        return True

    def _silent(self, since: float) -> Finding:
        return silent_together(self._witnesses(since), since, self.references.places)

    def heard(self, line: Line, now: float) -> bool:
        """A trunk is heard. True if that is the end of a trouble of our own."""
        line.unsent = ""
        if not self.finding.excuses or line.role != "trunk":
            return False
        lasted = duration(now - self.since)
        self.core.log("warning", f"our own line is back after {lasted}", heard=line.name, was=self.words)
        self.finding = NOTHING
        self.resolved(now)
        return True

    def resolved(self, now: float) -> None:
        """A name was looked up."""
        if self.finding.excuses:
            return
        reasons = (line.trunk.resolve_why for line in self.core.trunks)
        finding = unresolved(["" if why == NOT_YET else why for why in reasons])
        if finding != NOTHING:
            self._found(finding, now)
        elif self.finding != NOTHING:
            self.core.log("info", "names of trunks resolve again", after=duration(now - self.since))
            self.finding = NOTHING

    def _found(self, finding: Finding, now: float) -> None:
        if finding == NOTHING or finding.words == self.finding.words:
            return
        if self.finding == NOTHING:
            self.since = now
        self.finding = finding
        hint = "no trunk is blamed, and calls try them all" if finding.excuses else "the last good addresses are used"
        self.core.log("error", f"it is our own line: {finding.words}", hint=hint)
        if finding.excuses:
            for line in self.core.trunks:
                line.trunk.health.excuse()

    def _witnesses(self, asked_at: float) -> list[Witness]:
        """Those that were asked, or were heard, or found silent, unasked."""
        return [
            Witness(line.name, line.trunk.target.host, line.heard_at, line.unsent)
            for line in self.core.trunks
            if line.trunk.target is not None
            and line.trunk.order is not Order.OFF
            and line.trunk.health.state is not State.DOWN
            and (self.can_ask(line) or max(line.heard_at, line.silent_at) >= asked_at or line.unsent)
        ]

    @staticmethod
    def can_ask(line: Line) -> bool:
        """Whether a quick check of this trunk tells anything: it is allowed, and OPTIONS are answered there at all."""
        return line.trunk.health.rules.quick and not line.trunk.probe.mute

    # -- what they say of numbers -------------------------------------------------------------------------------------

    def refused(self, line: Line, number: str, what: str, now: float) -> None:
        """A trunk says that this number cannot be called."""
        if line.role != "trunk":
            return
        said = self.refusals.pop(number, {})
        self.refusals[number] = said
        said[line.name] = (now, what)
        if len(self.refusals) > REFUSALS_MAX:
            del self.refusals[next(iter(self.refusals))]

    def agreed(self, number: str, now: float) -> None:
        """Two trunks have refused this number: it is held against none, and asked of one alone for a while."""
        self.refusals.pop(number, None)
        self.bad.pop(number, None)
        self.bad[number] = now
        if len(self.bad) > REFUSALS_MAX:
            del self.bad[next(iter(self.bad))]

    def known_bad(self, number: str, now: float) -> bool:
        """Whether what a trunk says against this number needs no second opinion. On the path."""
        return number in self.bad and now < self.bad[number] + COMPARED_WITHIN

    def reached(self, line: Line, number: str, now: float) -> list[tuple[Line, Evidence]]:
        """A trunk has reached this number: what that is evidence of, for others. On the path."""
        self.bad.pop(number, None)
        said = self.refusals.pop(number, None) if line.role == "trunk" else None
        if said is None:
            return []
        return [
            (other, Evidence(Sign.CALL_FAULT, f"{what}, but {line.name} reached that number", number))
            for name, (at, what) in said.items()
            if name != line.name and now <= at + COMPARED_WITHIN and (other := self.core.lines.get(name)) is not None
        ]
