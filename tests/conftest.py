"""For every test: what a skipped interop test means.

On a desk the peers that others wrote may be missing, so their tests are skipped, and the closing summary lists each
with its reason. With SIPFAILOVER_INTEROP=required (what CI sets) a skipped interop test is a failed one: a peer that
silently went missing would otherwise pass for proof.
"""

import os
from collections.abc import Generator
from typing import Any

import pytest

VARIABLE = "SIPFAILOVER_INTEROP"
SKIPPED = pytest.StashKey[list[tuple[str, str]]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[SKIPPED] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if item.get_closest_marker("interop"):
        _judge(item, report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield  # a whole module can skip itself before its markers are known: then its folder tells
    if "interop" in collector.nodeid.split("/"):
        _judge(collector, report)
    return report


def _judge(node: pytest.Item | pytest.Collector, report: pytest.TestReport | pytest.CollectReport) -> None:
    if not report.skipped or hasattr(report, "wasxfail"):
        return
    why = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    why = why.removeprefix("Skipped: ")
    if os.environ.get(VARIABLE) == "required":
        report.outcome = "failed"
        report.longrepr = f"{node.nodeid} was skipped, but {VARIABLE}=required: {why}"
    else:
        node.config.stash[SKIPPED].append((node.nodeid, why))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if skipped := config.stash[SKIPPED]:
        terminalreporter.section(f"{len(skipped)} interop tests skipped")
        for name, why in skipped:
            terminalreporter.line(f"{name}: {why}")
