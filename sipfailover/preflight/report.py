"""What a check of the trunks found: steps, in sections. Values only; how they look is `screen`'s.

A section is one trunk, or this machine, or the trunks compared with each other. A step is one thing that was tried.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Result(StrEnum):
    """How one step ended."""

    GOOD = "good"
    WARNING = "warning"
    """It works, but somebody should look at it."""
    FAILED = "failed"
    SKIPPED = "skipped"
    """It was not tried, and the text says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that was tried."""

    name: str
    """A short word, the same for the same thing in every section: `name`, `route`, `OPTIONS`, `REGISTER`, …"""
    result: Result
    text: str
    """What was seen, in one sentence without a full stop. No secret is in it."""
    advice: str = ""
    """What to do about it; empty where there is nothing to do."""
    seconds: float | None = None
    """How long it took, where that means something."""
    facts: Mapping[str, object] = field(default_factory=dict)
    """The same for programs: what JSON can carry."""


Tell = Callable[[Step], None]
"""Takes a step as soon as it is known."""


def printable(text: str) -> str:
    """Without what would move the cursor of a terminal: much of a text comes from the other side."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def good(name: str, text: str, seconds: float | None = None, /, **facts: object) -> Step:
    """It works."""
    return Step(name, Result.GOOD, printable(text), "", seconds, facts)


def warning(name: str, text: str, advice: str = "", seconds: float | None = None, /, **facts: object) -> Step:
    """It works, but."""
    return Step(name, Result.WARNING, printable(text), advice, seconds, facts)


def failed(name: str, text: str, advice: str = "", /, **facts: object) -> Step:
    """It does not work."""
    return Step(name, Result.FAILED, printable(text), advice, None, facts)


def skipped(name: str, text: str, advice: str = "") -> Step:
    """It was not tried."""
    return Step(name, Result.SKIPPED, text, advice)


@dataclass(slots=True)
class Section:
    """What belongs together: `name` is the trunk's, or empty for what concerns no single trunk."""

    title: str
    name: str = ""
    steps: list[Step] = field(default_factory=list)

    def count(self, result: Result) -> int:
        """How many steps ended so."""
        return sum(step.result is result for step in self.steps)

    @property
    def good(self) -> bool:
        """True if nothing failed; warnings are allowed."""
        return not self.count(Result.FAILED)


def as_json(sections: list[Section]) -> dict[str, object]:
    """One object for programs: `good`, `general` (steps that concern no single trunk) and `trunks`."""
    return {
        "good": all(section.good for section in sections),
        "general": [_step(step) for section in sections if not section.name for step in section.steps],
        "trunks": [
            {"name": section.name, "good": section.good, "steps": [_step(step) for step in section.steps]}
            for section in sections
            if section.name
        ],
    }


def _step(step: Step) -> dict[str, object]:
    told: dict[str, object] = {"step": step.name, "result": step.result.value, "text": step.text}
    if step.advice:
        told["advice"] = step.advice
    if step.seconds is not None:
        told["seconds"] = round(step.seconds, 4)
    if step.facts:
        told["facts"] = dict(step.facts)
    return told
