"""How a check is shown: as it goes, section by section in the order of the file, though all are under way at once."""

from collections.abc import Callable, Sequence

from sipfailover.preflight.report import Result, Section, Step

MARKS = {Result.GOOD: "✓", Result.WARNING: "!", Result.FAILED: "✗", Result.SKIPPED: "-"}
PLAIN = {Result.GOOD: "ok", Result.WARNING: "warn", Result.FAILED: "FAIL", Result.SKIPPED: "-"}
"""Where the output is no terminal, or cannot show others."""
COLOURS = {Result.GOOD: "32", Result.WARNING: "33", Result.FAILED: "31", Result.SKIPPED: "2"}
"""Numbers of the escape sequences (ECMA-48, SGR)."""
NAME_WIDTH = 13


class Screen:
    """Writes lines. `fancy`: signs and colours, for terminals."""

    def __init__(self, sections: Sequence[Section], write: Callable[[str], None], fancy: bool) -> None:
        self._sections = list(sections)
        self._write = write
        self._fancy = fancy
        self._shown = [0] * len(sections)
        self._done = [False] * len(sections)
        self._at = 0
        """The section that is being written."""

    def tell(self, section: Section, step: Step) -> None:
        """A step is known: it is shown at once if its section's turn has come."""
        section.steps.append(step)
        self._go_on()

    def done(self, section: Section) -> None:
        """No further step comes in this section."""
        self._done[self._sections.index(section)] = True
        self._go_on()

    def _go_on(self) -> None:
        while self._at < len(self._sections):
            section = self._sections[self._at]
            for step in section.steps[self._shown[self._at] :]:
                if not self._shown[self._at]:
                    self._write(section.title)
                self._shown[self._at] += 1
                for text in lines(step, self._fancy):
                    self._write(text)
            if not self._done[self._at]:
                return
            self._at += 1


def lines(step: Step, fancy: bool) -> list[str]:
    """A step as people read it: mark, name, text, time; and under it what to do."""
    if fancy:
        mark = f"\x1b[{COLOURS[step.result]}m{MARKS[step.result]}\x1b[0m"
        width = 4
    else:
        mark = f"{PLAIN[step.result]:<4}"
        width = 7
    took = "" if step.seconds is None else f", {step.seconds * 1000:.0f} ms"
    told = [f"  {mark} {step.name:<{NAME_WIDTH}} {step.text}{took}"]
    if step.advice:
        told.append(f"{'':<{width + NAME_WIDTH}} {'→' if fancy else '->'} {step.advice}")
    return told


def summary(sections: Sequence[Section]) -> str:
    """The last line."""
    told = []
    for section in sections:
        if section.name:
            warnings, failures = (
                section.count(Result.WARNING),
                [step.name for step in section.steps if step.result is Result.FAILED],
            )
            state = f"failed ({', '.join(dict.fromkeys(failures))})" if failures else "good"
            told.append(f"{section.name} {state}" + (f", {_many(warnings)}" if warnings else ""))
    general = [section for section in sections if not section.name]
    warnings = sum(section.count(Result.WARNING) for section in general)
    failures = [step.name for section in general for step in section.steps if step.result is Result.FAILED]
    if failures:
        told.append(f"{', '.join(dict.fromkeys(failures))} failed")
    if warnings:
        told.append(f"{_many(warnings)} about no single trunk")
    return "; ".join(told)


def _many(warnings: int) -> str:
    return "1 warning" if warnings == 1 else f"{warnings} warnings"
