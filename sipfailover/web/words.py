"""What the page, the JSON and later the alerts say in words: the one sentence, times, durations, masked numbers.

Pure functions. Times come in on the engine's monotonic clock and `wall` makes local time of them.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from sipfailover.proxy.view import EngineView, TrunkView
from sipfailover.trunk import mask as mask
from sipfailover.trunk import whole as whole

Wall = Callable[[float], datetime]
"""Seconds on the engine's monotonic clock → aware local time."""

OK = "ok"
DEGRADED = "degraded"
DOWN = "down"

NUMBER_DIGITS = 7
_NUMBER = re.compile(rf"\+?\d{{{NUMBER_DIGITS},}}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sentence:
    """How things are, to be read from the office door."""

    state: str
    """`ok`, `degraded` (calls run, somebody should look) or `down` (calls fail)."""
    parts: tuple[str, ...]
    """Whole sentences: what calls do, then what is wrong."""

    @property
    def text(self) -> str:
        return " ".join(self.parts)


def sentence(view: EngineView, wall: Wall, *, draining: bool = False) -> Sentence:
    """The state of everything in a few short sentences: what calls do, and what is wrong."""
    pbx = _about_pbxs(view)
    if view.own_line and not draining:
        said = _about_ourselves(view, wall)
    elif draining:
        calls = f"{view.calls_now} call{'' if view.calls_now == 1 else 's'}"
        said = Sentence(DOWN, (f"Shutting down: no new calls; waiting for {calls} to be done.",))
    else:
        said = _about_trunks(view, wall, praise="The trunks are well." if pbx else "All good.")
    if not pbx:
        return said
    return Sentence(DOWN if said.state == DOWN else DEGRADED, (*said.parts, pbx))


def _about_ourselves(view: EngineView, wall: Wall) -> Sentence:
    """It is our own line, or our own DNS: no carrier need be called."""
    since = "" if view.own_line_since is None else f" since {clock(view.own_line_since, view.now, wall)}"
    said = f"It is probably our own line{since}: {view.own_line}."
    doubted = any(trunk.health != "Up" for trunk in view.trunks)
    meanwhile = "No trunk is blamed."
    if not view.own_line_excuses:
        meanwhile = "No trunk is blamed for that, and the last good addresses are used."
    return Sentence(DOWN if doubted else DEGRADED, (said, meanwhile))


def _about_pbxs(view: EngineView) -> str:
    silent = [pbx.name for pbx in view.pbxs if not pbx.carries_new_calls]
    if not silent:
        return ""
    if len(view.pbxs) == 1 and view.pbxs[0].registration.startswith("Not registered"):
        return "The PBX is not registered."
    if len(silent) == len(view.pbxs):
        return "The PBX does not answer." if len(silent) == 1 else "The PBXs do not answer."
    names = " and ".join((", ".join(silent[:-1]), silent[-1])) if len(silent) > 1 else silent[0]
    return f"PBX {names} {'does' if len(silent) == 1 else 'do'} not answer."


def _about_trunks(view: EngineView, wall: Wall, praise: str) -> Sentence:
    if not any(trunk.carries_new_calls for trunk in view.trunks):
        return Sentence(DOWN, ("No trunk can carry a call.",))
    main = view.trunks[0]
    active = next((trunk for trunk in view.trunks if trunk.name == view.active_trunk), None)
    if active is None:
        return Sentence(DEGRADED, ("Calls are moving to another trunk.", _about(main, "Main")))
    if active.tier > main.tier:
        moved = view.last_failover
        since = f" since {clock(moved.at, view.now, wall)}" if moved and moved.went_to == active.name else ""
        doubt = () if active.health == "Up" else (_about(active, "Backup"),)
        return Sentence(DEGRADED, (f"Calls run over {active.name}{since}.", _about(main, "Main"), *doubt))
    ailing = [trunk for trunk in view.trunks if trunk.health != "Up"]
    if not ailing:
        return Sentence(OK, (praise, f"Calls run over {active.name}."))
    about = (_about(trunk, "Main" if trunk.tier == main.tier else "Backup") for trunk in ailing)
    return Sentence(DEGRADED, (f"Calls run over {active.name}.", *about))


def _about(trunk: TrunkView, role: str) -> str:
    """`Main trunk berlin is Down.` The order before the health: nobody expects a trunk that is off to be well."""
    who = f"{role} trunk {trunk.name}"
    if trunk.order == "off":
        return f"{who} is switched off."
    if trunk.order == "draining":
        return f"{who} takes no new calls, as ordered."
    if trunk.health == "Up":
        return f"{who} is Up again and will take calls when it has been stable."
    if trunk.health == "Trial":
        return f"{who} is back and on Trial."
    return f"{who} is {trunk.health}."


Show = Callable[[str], str]
"""How numbers are written for this reader: `mask`, or `whole` for who has shown the token."""


def masked_text(text: str) -> str:
    """A sentence with its telephone numbers as anybody may see them: whatever has NUMBER_DIGITS in a row."""
    return _NUMBER.sub(lambda found: mask(found[0]), text)


def rfc3339(at: float, wall: Wall) -> str:
    """`2026-11-23T10:31:07+01:00`: with zone, whole seconds."""
    return wall(at).isoformat(timespec="seconds")


def clock(at: float, now: float, wall: Wall) -> str:
    """`10:28`, or `22 Nov 10:28` when it was not today."""
    then, today = wall(at), wall(now)
    return f"{then:%H:%M}" if then.date() == today.date() else f"{then.day} {then:%b %H:%M}"


def lasted(seconds: float) -> str:
    """`8 s`, `3 min`, `2 h 5 min`, `4 d 3 h`: rounded down, two units at most."""
    whole = max(0, int(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if hours == 0:
        return f"{minutes} min"
    if days == 0:
        return f"{hours} h {minutes % 60} min" if minutes % 60 else f"{hours} h"
    return f"{days} d {hours % 24} h" if hours % 24 else f"{days} d"


def talk_time(seconds: float) -> str:
    """`0:07`, `12:31`, `1:02:03`: as a telephone shows it."""
    whole = max(0, int(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def milliseconds(seconds: float | None) -> str:
    """`0.4 ms`, `21 ms`, `1.4 s`; a dash when it was never measured."""
    if seconds is None:
        return "–"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    ms = seconds * 1000
    return f"{ms:.0f} ms" if ms >= 10 else f"{ms:.1f} ms"
