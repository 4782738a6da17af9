"""Is it us? The table of the module, case by case."""

import pytest

from sipfailover.trunk import NOTHING, Finding, Place, Witness, silent_together, unresolved

NEVER = float("-inf")


def seen(name: str, heard_at: float, place: str = "", unsent: str = "") -> Witness:
    return Witness(name, place or name, heard_at, unsent)


TOGETHER = "main and backup fell silent in the same moment"


@pytest.mark.parametrize(
    ("witnesses", "words"),
    [
        ([seen("main", 90.0), seen("backup", 95.0)], TOGETHER),
        ([seen("main", 90.0), seen("backup", 100.0)], ""),
        ([seen("main", 90.0), seen("backup", 95.0), seen("third", 101.0)], ""),
        ([seen("main", 90.0)], ""),
        ([seen("main", 90.0), seen("backup", NEVER)], ""),
        ([seen("main", 90.0, "edge"), seen("backup", 95.0, "edge")], ""),
        ([seen("main", 90.0, "edge"), seen("backup", 95.0, "edge"), seen("third", 5.0)], "main, backup and third fell"),
        ([seen("main", 90.0, unsent="no route"), seen("backup", NEVER, unsent="no route")], "nothing can be sent"),
        ([seen("main", 90.0, unsent="no route"), seen("backup", 99.0)], TOGETHER),
        ([seen("main", NEVER, unsent="no route")], "nothing can be sent to any trunk (no route)"),
        ([], ""),
    ],
)
def test_who_has_been_heard_since_all_were_asked(witnesses: list[Witness], words: str) -> None:
    finding = silent_together(witnesses, 100.0)
    assert finding.words.startswith(words)
    assert (finding == NOTHING) is (words == "")
    assert finding.excuses is bool(words)


ALONE = [seen("main", 90.0)]
SILENT = Place("192.0.2.53:53", 100.0, 60.0)
UNSENT = "nothing can be sent to any trunk (no route)"
WITH_IT = "main and 192.0.2.53:53 fell silent in the same moment"


@pytest.mark.parametrize(
    ("witnesses", "references", "words"),
    [
        (ALONE, [SILENT], WITH_IT),
        (ALONE, [Place("192.0.2.53:53", 98.5, 40.0)], WITH_IT),
        (ALONE, [Place("192.0.2.53:53", 97.0, 40.0)], ""),
        (ALONE, [Place("192.0.2.53:53", 98.5, 98.6)], ""),
        (ALONE, [Place("192.0.2.53:53", 100.0, 100.0)], ""),
        (ALONE, [Place("192.0.2.53:53", 100.0, -51.0)], ""),
        (ALONE, [Place("192.0.2.53:53", 100.0, NEVER)], ""),
        (ALONE, [SILENT, Place("192.0.2.54:443", 100.0, 100.1)], ""),
        ([seen("main", 90.0), seen("backup", 95.0)], [Place("192.0.2.54:443", 100.0, 100.1)], ""),
        ([seen("main", 90.0), seen("backup", 95.0)], [Place("192.0.2.54:443", 100.0, NEVER)], TOGETHER),
        ([seen("main", 90.0), seen("backup", 100.0)], [SILENT], ""),
        ([seen("main", NEVER)], [SILENT, SILENT], ""),
        ([], [SILENT, SILENT], ""),
        ([seen("main", 9.0, unsent="no route")], [Place("x", 99.0, 100.1)], UNSENT),
    ],
    ids=[
        "it was well, and is asked, and silent", "asked a moment before", "not asked", "answered a moment before",
        "there", "silent for long", "never there", "one of two is there", "two trunks, and it is there",
        "two trunks, never there", "another trunk is there", "a trunk that never was", "no trunk", "our own network",
    ],
)  # fmt: skip
def test_what_references_say_of_it(witnesses: list[Witness], references: list[Place], words: str) -> None:
    assert silent_together(witnesses, 100.0, references).words == words


def test_names_that_do_not_resolve_are_our_dns_only_if_all_do_not() -> None:
    assert unresolved(["timeout", "timeout"]) == Finding("the name of no trunk resolves (timeout)")
    assert unresolved(["timeout", ""]) == NOTHING
    assert unresolved(["timeout"]) == NOTHING, "with one trunk its name may be wrong"
    assert unresolved([]) == NOTHING
