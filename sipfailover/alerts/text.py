"""Notices in words: the subject says what, the body says effect, cause, what comes next, and where to look.

Pure functions. Telephone numbers are masked, because a mailbox is read by many.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sipfailover.alerts.condition import Condition, Severity
from sipfailover.alerts.incident import BEGAN, EMERGENCY, FLAPPING, RECOVERED, REMINDER, TEST, Incident, Notice
from sipfailover.proxy.view import EngineView
from sipfailover.web import Wall, clock, lasted, rfc3339, sentence

SUBJECT_MAX = 160
"""Characters; the rest of a long list of names is cut off."""


@dataclass(frozen=True, slots=True)
class Words:
    """A notice as people read it. Each of the lines is a whole sentence; empty lines are left out."""

    kind: str
    severity: Severity
    time: str
    """RFC 3339."""
    subject: str
    effect: str
    cause: str = ""
    next: str = ""
    look: str = ""

    @property
    def body(self) -> str:
        """The lines with their heads, as in a mail."""
        parts = (("Effect", self.effect), ("Cause", self.cause), ("Next", self.next), ("Look", self.look))
        return "\n".join(f"{head + ':':<9}{text}" for head, text in parts if text)


def words(notice: Notice, view: EngineView, wall: Wall, *, site: str, page: str, stable_for: float) -> Words:
    """Say it. `stable_for`: `failover.return_to_main.stable_for`, seconds; `page`: its address, or ""."""
    subject, cause, then = _WRITERS[notice.kind](notice, view, wall, stable_for)
    effect = _effect(notice, view, wall)
    subject = f"[{site or 'sipfailover'}] {subject}"
    if len(subject) > SUBJECT_MAX:
        subject = f"{subject[: SUBJECT_MAX - 1]}…"
    return Words(notice.kind, notice.severity, rfc3339(notice.at, wall), subject, effect, cause, then, page)


def _began(notice: Notice, view: EngineView, wall: Wall, stable_for: float) -> tuple[str, str, str]:
    worst = notice.incidents[0].condition
    trunks = [one.condition.who for one in notice.incidents if one.condition.what == "trunk"]
    subject = _headline(worst, notice, view, wall)
    if worst.what == "trunk" and len(trunks) > 1:
        subject = f"{len(trunks)} of {len(view.trunks)} trunks are down: {', '.join(trunks)}"
    return subject, _causes(notice.incidents, wall, view.now), _what_next(worst, view, stable_for)


def _recovered(notice: Notice, view: EngineView, wall: Wall, stable_for: float) -> tuple[str, str, str]:
    worst = notice.incidents[0]
    subject = f"{_good_news(worst.condition, view)} after {lasted(notice.at - worst.seen_at)}"
    rerouted, lost = notice.counts
    lived = f"{_calls(rerouted)} went another way meanwhile, {lost} {'was' if lost == 1 else 'were'} lost."
    return subject, _causes(notice.incidents, wall, view.now), lived


def _reminder(notice: Notice, view: EngineView, wall: Wall, stable_for: float) -> tuple[str, str, str]:
    subject, cause, then = _began(notice, view, wall, stable_for)
    return f"STILL: {subject}", cause, then


def _flapping(notice: Notice, view: EngineView, wall: Wall, stable_for: float) -> tuple[str, str, str]:
    names = ", ".join(dict.fromkeys(_name(one.condition) for one in notice.incidents))
    return (
        f"{names} comes and goes",
        _causes(notice.incidents, wall, view.now),
        "No message of each time; the next one when it has been calm for half an hour and fails again.",
    )


def _emergency(notice: Notice, view: EngineView, wall: Wall, stable_for: float) -> tuple[str, str, str]:
    return notice.text.replace("A call to", "EMERGENCY CALL to"), "", "Make sure that help was reached."


_WRITERS = {
    BEGAN: _began, RECOVERED: _recovered, REMINDER: _reminder, FLAPPING: _flapping, EMERGENCY: _emergency,
}  # fmt: skip


def trial(site: str, time: str) -> Words:
    """What is sent when somebody wants to know whether it arrives. `time`: RFC 3339."""
    return Words(
        TEST,
        Severity.NOTICE,
        time,
        f"[{site or 'sipfailover'}] This is a test message",
        effect="None: somebody wants to know whether messages arrive.",
        cause="It was asked for with `sipfailover notify test`.",
        next="Nobody needs to do anything.",
    )


def _headline(condition: Condition, notice: Notice, view: EngineView, wall: Wall) -> str:
    who, since = condition.who, clock(notice.incidents[0].seen_at, view.now, wall)
    match condition.what:
        case "no trunk":
            return f"NO TRUNK LEFT – calls to outside fail since {since}"
        case "own line":
            return f"Our own line does not work since {since} – no trunk is to blame"
        case "trunk":
            over = view.active_trunk
            moved = f"Calls now run over {over} – " if over and over != who else ""
            return f"{moved}{who} is down"
        case "pbx":
            return f"The PBX ({who}) does not answer – calls that come in cannot reach it"
        case "inbound":
            return f"Calls that come in over {who} fail"
        case "registration":
            return f"{who} does not register us"
        case "certificate":
            return condition.why
        case _:
            return f"Trouble here: {condition.why}"


def _good_news(condition: Condition, view: EngineView) -> str:
    who = condition.who
    match condition.what:
        case "no trunk":
            return f"Calls work again{f', over {view.active_trunk}' if view.active_trunk else ''}"
        case "own line":
            return "Our own line works again"
        case "trunk":
            back = f"Back on {who}" if view.active_trunk == who else f"{who} is well again"
            return back
        case "pbx":
            return f"The PBX ({who}) answers again"
        case "inbound":
            return f"Calls come in over {who} again"
        case "registration":
            return f"{who} registers us again"
        case _:
            return f"Over: {condition.why}"


def _name(condition: Condition) -> str:
    named = {"no trunk": "Every trunk", "own line": "Our own line", "pbx": f"The PBX ({condition.who})"}
    return named.get(condition.what, condition.who)


def _effect(notice: Notice, view: EngineView, wall: Wall) -> str:
    """What calls do now."""
    now = sentence(view, wall)
    nothing_to_do = (
        "" if notice.severity is Severity.CRITICAL or now.state == "down" else "Nobody needs to do anything. "
    )
    return f"{nothing_to_do}{now.text}"


def _causes(incidents: Sequence[Incident], wall: Wall, now: float) -> str:
    def cause(one: Incident) -> str:
        who = f"{one.condition.who}: " if one.condition.what in ("trunk", "pbx", "inbound", "registration") else ""
        return f"{who}{one.condition.why} (since {clock(one.seen_at, now, wall)})."

    return " ".join(cause(one) for one in incidents)


def _what_next(condition: Condition, view: EngineView, stable_for: float) -> str:
    match condition.what:
        case "trunk":
            return f"New calls go back to {condition.who} when it has been stable for {lasted(stable_for)}."
        case "no trunk":
            return "Every call still tries all trunks. This message is repeated every 15 minutes while it lasts."
        case "own line":
            return "Look at the router and the internet line; calls go on as soon as one trunk is heard again."
        case "pbx":
            return "Look at the PBX. It is asked again and again, and gets calls with its first answer."
        case "registration":
            return "It is tried again and again, and calls go over another trunk meanwhile."
        case _:
            return ""


def _calls(count: int) -> str:
    return f"{count} call{'' if count == 1 else 's'}"
