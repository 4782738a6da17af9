"""How a check is shown."""

from sipfailover.preflight.report import Result, Section, failed, good, skipped, warning
from sipfailover.preflight.screen import Screen, lines, summary


def test_each_kind_of_step_in_plain_letters() -> None:
    assert lines(good("OPTIONS", "200 OK", 0.0123), False) == ["  ok   OPTIONS       200 OK, 12 ms"]
    assert lines(skipped("REGISTER", "not tried"), False) == ["  -    REGISTER      not tried"]
    assert lines(warning("pace", "slow", "look"), False) == [
        "  warn pace          slow",
        "                     -> look",
    ]
    assert lines(failed("name", "unknown", "mend it"), False) == [
        "  FAIL name          unknown",
        "                     -> mend it",
    ]


def test_a_terminal_gets_signs_and_colours_and_the_same_columns() -> None:
    first, second = lines(failed("name", "unknown", "mend it"), True)
    assert first == "  \x1b[31m✗\x1b[0m name          unknown"
    assert second.index("→") == len("  ✗ name          ")
    assert lines(good("x", "y"), True)[0].startswith("  \x1b[32m✓")
    assert lines(warning("x", "y"), True)[0].startswith("  \x1b[33m!")


def test_sections_come_in_their_order_whoever_is_first() -> None:
    written: list[str] = []
    main, backup, empty, last = Section("main", "main"), Section("backup", "backup"), Section("empty"), Section("last")
    screen = Screen([main, backup, empty, last], written.append, False)
    screen.tell(backup, good("a", "of backup"))
    assert written == []
    screen.tell(main, good("a", "of main"))
    assert written == ["main", "  ok   a             of main"], "at once, because it is its turn"
    screen.done(backup)
    screen.tell(main, good("b", "of main"))
    assert len(written) == 3
    screen.done(main)
    assert written[3:] == ["backup", "  ok   a             of backup"]
    screen.tell(last, good("a", "of last"))
    assert len(written) == 5, "the empty section is not done yet"
    screen.done(empty)
    assert written[5:] == ["last", "  ok   a             of last"], "an empty section has no title"
    screen.done(last)
    assert len(written) == 7


def test_the_summary_names_what_failed() -> None:
    main, backup, general = Section("main", "main"), Section("backup", "backup"), Section("together")
    main.steps += [good("a", "x"), warning("b", "y")]
    backup.steps += [failed("OPTIONS", "x"), failed("OPTIONS", "y"), warning("b", "y"), warning("b", "y")]
    assert summary([general, main, backup]) == "main good, 1 warning; backup failed (OPTIONS), 2 warnings"
    general.steps += [failed("listen", "x"), warning("apart", "y")]
    assert summary([general, main]) == "main good, 1 warning; listen failed; 1 warning about no single trunk"
    assert main.good
    assert not backup.good
    assert backup.count(Result.WARNING) == 2
