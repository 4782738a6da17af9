"""The README says what is true: its verdict table is the one in the code."""

from pathlib import Path

import pytest

from sipfailover.routing import TABLE
from sipfailover.routing.verdict import Next, Row
from sipfailover.trunk import Sign, State
from sipfailover.trunk.health import TABLE as HEALTH
from sipfailover.trunk.judgement import FAULTS
from sipfailover.trunk.questions import NAMES
from tests.simulation import rivals

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- verdicts: printed from the table by tests/test_readme.py -->\n", "<!-- end -->"

NEXT = {
    Next.YES: "yes",
    Next.NO: "no",
    Next.UNLESS_AGREED: "yes, unless a trunk before said the same",
    Next.SECOND_OPINION: "once, for a second opinion",
}
SIGNS = {
    Sign.CALL_GOOD: "no: it did its work",
    Sign.CALL_SILENT: "yes, as a failed check",
    Sign.CALL_FAULT: "once different numbers met one",
    Sign.CALL_REFUSED: "if another trunk then gets through, or one number after the other is refused",
    None: "neither for nor against",
}


def verdicts() -> str:
    """The table as Markdown: rows that mean the same share a line."""
    shared: dict[tuple[Next, Sign | None], list[str]] = {}
    for key, row in TABLE.items():
        shared.setdefault(meaning(row), []).append(str(key))
    lines = ["| outcome, before any ringing | next trunk | counts against the trunk |", "|---|---|---|"]
    lines += [f"| {', '.join(keys)} | {NEXT[go]} | {SIGNS[sign]} |" for (go, sign), keys in shared.items()]
    return "\n".join(lines) + "\n"


def meaning(row: Row) -> tuple[Next, Sign | None]:
    return row.next, row.sign


WORDS = {
    Sign.PROBE_GOOD: "OPTIONS answered",
    Sign.PROBE_UNWELL: "OPTIONS answered 500, 502, 504, 408",
    Sign.PROBE_FAILED: "OPTIONS not answered",
    Sign.PROBE_MUTE: "OPTIONS not answered, as ever there",
    Sign.PROBE_OUTDONE: "quick check not answered, but something else from there came",
    Sign.PROBE_503: "OPTIONS answered 503",
    Sign.PROBES_SILENT: "quick check not answered",
    Sign.CALL_GOOD: "call answered, or busy",
    Sign.CALL_SILENT: "call without any answer",
    Sign.CALL_FAULT: "call met a fault",
    Sign.CALL_REFUSED: "call refused (403, 404, …)",
    Sign.CALL_DROPPED: "answered call died within seconds",
    Sign.CALL_LASTED: "answered call lasted",
    Sign.CALL_SLOW: "slow to ring",
    Sign.CALL_PROMPT: "rang in time",
    Sign.RETRY_AFTER: "503 with Retry-After",
    Sign.TIME: "time has passed",
    Sign.RELEASED: "an operator gives it back",
}
FIGURE = "<!-- health: printed from the table by tests/test_readme.py -->\n"


def health() -> str:
    """The figure, an arrow for each rule, and under it what each kind of evidence does in each state."""
    arrows: dict[tuple[State, State], dict[str, None]] = {}
    for (state, _), (_, row) in HEALTH.items():
        for question, after in row:
            arrows.setdefault((state, after), {}).update(dict.fromkeys(NAMES[question]))
    lines = ["```mermaid", "stateDiagram-v2", "    [*] --> Up"]
    lines += [f"    {a.label} --> {b.label}: {' · '.join(names)}" for (a, b), names in sorted(arrows.items())]
    lines += ["```", "", "| evidence | Up | Suspect | Down | Trial |", "|---|---|---|---|---|"]
    lines += [f"| {WORDS[sign]} | {' | '.join(cell(state, sign) for state in State)} |" for sign in WORDS]
    return "\n".join(lines) + "\n"


def cell(state: State, sign: Sign) -> str:
    """Where this evidence leads in this state: by rule; `counted` if it only counts, `–` if it says nothing."""
    if (state, sign) not in HEALTH:
        return "–"
    arrows = HEALTH[state, sign][1]
    return "; ".join(f"**{after.label}**: {' or '.join(NAMES[question])}" for question, after in arrows) or "counted"


def test_the_health_figure_of_the_readme_is_the_table_in_the_code():
    assert WORDS.keys() == set(Sign)
    printed = README.read_text().partition(FIGURE)[2].partition(END)[0]
    assert printed == health(), f"put this between the two comments of README.md:\n{health()}"


def test_the_arithmetic_of_the_readme_is_that_of_the_code():
    """The numbers in the sentences about scores."""
    text = README.read_text()
    outage, brown_out = FAULTS.charts
    for chart, usual, good in ((outage, 0.02, "0.67"), (brown_out, 0.02, "0.05")):
        bad, well = chart.weights(usual)
        assert f"{bad:.2f} / −{good}" in text
        assert f"{-well:.2f}" == good
    assert f"{FAULTS.least * 100:g} % to {FAULTS.most * 100:g} %" in text
    assert f"after {FAULTS.held / 3600:g} h" in text


def test_the_verdict_table_of_the_readme_is_the_one_in_the_code():
    text = README.read_text()
    printed = text.partition(BEGIN)[2].partition(END)[0]
    assert printed == verdicts(), f"put this between the two comments of README.md:\n{verdicts()}"


RIVALS = "<!-- rivals: printed by python -m tests.simulation.rivals -->\n"


@pytest.mark.slow
def test_the_comparison_in_the_readme_is_what_the_rehearsals_come_to():
    results = rivals.lived()
    assert [one.figures.broken for one in results] == [()] * len(results)
    printed = README.read_text().partition(RIVALS)[2].partition(END)[0]
    assert printed == rivals.table(results), f"put this between the two comments of README.md:\n{rivals.table(results)}"
