"""What an interop test needs on the machine: missing means skipped with the reason, or failed where it is required.

`SIPFAILOVER_INTEROP=required` in the environment is for the build that must not lie: there a missing program fails.
"""

import os

import pytest

from tests.interop.stage import ProgramMissing, program

REQUIRED = os.environ.get("SIPFAILOVER_INTEROP") == "required"


def needs(*programs: str) -> list[pytest.MarkDecorator]:
    """Marks for a module: interop, and a skip for each program that is missing. When interop is required there is no
    skip: the test runs, and starting the program raises ProgramMissing with its name."""
    missing = [name for name in programs if not _there(name)]
    skips = [pytest.mark.skipif(not REQUIRED, reason=f"{name} is not installed") for name in missing]
    return [pytest.mark.interop, *skips]


def _there(name: str) -> bool:
    try:
        program(name)
    except ProgramMissing:
        return False
    return True
