"""Interop's fixtures: the stage of a test, its logs when the test fails, and a line for each test that was skipped.

A test says what it needs: `pytestmark = needs("sipp")`, from `tests.interop.needs`.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.stage import Stage

HERE = Path(__file__).parent


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """Addresses and processes of this test; everything is gone when it ends."""
    with Stage(tmp_path) as stage:
        yield stage


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show the end of every log of the stage under a test that failed."""
    report = yield
    stage = getattr(item, "funcargs", {}).get("stage")
    if report.failed and call.when != "teardown" and isinstance(stage, Stage):
        report.sections += [(f"{name} (its end)", text) for name, text in stage.tails().items() if text]
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """At the end of a run, each interop test that was skipped and why, so that nobody takes it for passed."""
    skipped = [
        (report.nodeid, report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr))
        for report in terminalreporter.stats.get("skipped", [])
        if "interop" in report.keywords
    ]
    if skipped:
        terminalreporter.section("interop tests that did not run")
        for nodeid, reason in skipped:
            terminalreporter.line(f"{nodeid}: {reason.removeprefix('Skipped: ')}")
