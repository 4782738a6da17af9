"""The demo, as `make demo` shows it: a main carrier that fails in three ways, and no call lost."""

import subprocess
import sys

import pytest

from sipfailover.simulator.demo import PHASES


@pytest.mark.slow
def test_the_demo_loses_no_call() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sipfailover", "demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 lost;" in done.stdout
    for phase in PHASES:
        assert phase.title in done.stdout
