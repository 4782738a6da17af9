"""The README says what is true: its verdict table is the one in the code."""

from pathlib import Path

from sipfailover.routing import TABLE
from sipfailover.routing.verdict import Next, Row
from sipfailover.trunk import Sign

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- verdicts: printed from the table by tests/test_readme.py -->\n", "<!-- end -->"

NEXT = {
    Next.YES: "yes",
    Next.NO: "no",
    Next.UNLESS_AGREED: "yes, unless a trunk before said the same",
    Next.IF_SUSPECT: "while the trunk is Suspect",
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


def test_the_verdict_table_of_the_readme_is_the_one_in_the_code():
    text = README.read_text()
    printed = text.partition(BEGIN)[2].partition(END)[0]
    assert printed == verdicts(), f"put this between the two comments of README.md:\n{verdicts()}"
