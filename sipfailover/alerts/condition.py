"""What is wrong now, as far as somebody should be told: a pure function of the picture that the page shows.

Whatever is told can be seen on the page, and what is over there is over here. Orders are no condition: who switched a
trunk off knows it.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from sipfailover.proxy.view import EngineView, TrunkView
from sipfailover.trouble import Trouble


class Severity(IntEnum):
    """How bad. CRITICAL: calls fail now."""

    NOTICE = 1
    WARNING = 2
    CRITICAL = 3


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing that is wrong."""

    what: str
    """`no trunk`, `trunk`, `own line`, `pbx`, `inbound`, `registration`, `trouble`, `certificate`."""
    who: str
    """Of which trunk, PBX, or part of ours; empty where there is but one."""
    severity: Severity
    why: str
    """The evidence, one sentence without its full stop."""

    @property
    def key(self) -> str:
        """What makes it the same one the next time it is seen."""
        return f"{self.what}:{self.who}"


def conditions(view: EngineView, troubles: Sequence[Trouble], expiring: Iterable[str] = ()) -> tuple[Condition, ...]:
    """Everything that is wrong, the worst first. `expiring`: sentences about certificates that run out."""
    usable = any(trunk.carries_new_calls for trunk in view.trunks)
    found: list[Condition] = []
    if view.own_line:
        severity = Severity.WARNING if usable else Severity.CRITICAL
        found.append(Condition("own line", "", severity, view.own_line))
    elif not usable:
        found.append(Condition("no trunk", "", Severity.CRITICAL, _reasons(view.trunks)))
    found += [
        Condition("trunk", trunk.name, Severity.WARNING, _why(trunk))
        for trunk in view.trunks
        if trunk.health in ("Down", "Trial") and trunk.order == "enabled"
    ]
    found += _about_pbxs(view)
    found += [
        Condition("inbound", trunk.name, Severity.WARNING, trunk.inbound_why)
        for trunk in view.trunks
        if trunk.inbound == "Down"
    ]
    found += [
        Condition("registration", trunk.name, Severity.WARNING, trunk.account.why or "the carrier does not register us")
        for trunk in view.trunks
        if trunk.account is not None and trunk.account.state == "Failed"
    ]
    found += [Condition("trouble", trouble.what, Severity.WARNING, str(trouble)) for trouble in troubles]
    found += [Condition("certificate", text, Severity.NOTICE, text) for text in expiring]
    return tuple(sorted(found, key=lambda condition: -condition.severity))


def _about_pbxs(view: EngineView) -> list[Condition]:
    silent = [pbx for pbx in view.pbxs if not pbx.carries_new_calls]
    severity = Severity.CRITICAL if len(silent) == len(view.pbxs) else Severity.WARNING
    return [Condition("pbx", pbx.name, severity, _why(pbx)) for pbx in silent]


def _why(line: TrunkView) -> str:
    return line.why or line.target


def _reasons(trunks: Sequence[TrunkView]) -> str:
    return "; ".join(
        f"{trunk.name} is {trunk.health}: {_why(trunk)}"
        if trunk.order == "enabled"
        else f"{trunk.name} is {trunk.order}"
        for trunk in trunks
    )
