"""What a fault needs on the machine: root and programs. Missing means skipped with the reason, or failed where interop
is required, as for the peers of the interop tests."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest

from tests.interop.needs import REQUIRED, needs

Test = TypeVar("Test")


def needs_root_and(*programs: str) -> Callable[[Test], Test]:
    """Decorates a test that does to the machine what only root may."""
    return _marked([*needs(*programs), pytest.mark.skipif(not REQUIRED and os.geteuid() != 0, reason="it takes root")])


def needs_programs(*programs: str) -> Callable[[Test], Test]:
    """Decorates a test that runs these."""
    return _marked(needs(*programs))


def _marked(marks: list[pytest.MarkDecorator]) -> Callable[[Test], Test]:
    def marked(test: Test) -> Test:
        for mark in marks:
            test = mark(test)
        return test

    return marked
