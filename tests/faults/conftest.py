"""The stage of the interop tests, and their way to tell of a failure."""

from tests.interop.conftest import pytest_runtest_makereport as pytest_runtest_makereport
from tests.interop.conftest import stage as stage
