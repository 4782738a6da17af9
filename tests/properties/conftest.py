"""Hypothesis runs the same examples every time, so that a red run can be repeated.

`HYPOTHESIS_PROFILE=search` looks for new ones, for as long as somebody wants to wait.
"""

import os

from hypothesis import HealthCheck, settings

QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]

settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, max_examples=200, suppress_health_check=QUIET
)
settings.register_profile("search", deadline=None, max_examples=20_000, suppress_health_check=QUIET)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))
