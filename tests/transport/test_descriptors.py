"""As many connections as the system has descriptors for."""

import resource

import pytest

from sipfailover.transport import Bounds, bounds_within, raise_limit


@pytest.mark.parametrize("limit", [resource.RLIM_INFINITY, 1_048_576, 4096, 1408])
def test_where_there_is_room_nothing_changes(limit: int) -> None:
    assert bounds_within(limit) == Bounds()


@pytest.mark.parametrize("limit", [1407, 1024, 512, 256, 150])
def test_where_there_is_little_all_connections_fit_and_what_else_is_open_too(limit: int) -> None:
    bounds = bounds_within(limit)
    assert bounds.accepted + bounds.opened <= limit - 128
    assert 0 < bounds.accepted_per_host <= bounds.accepted
    assert bounds.accepted_kept_for_peers < bounds.accepted
    assert bounds.opened >= 4


def test_with_next_to_nothing_a_few_connections_are_left() -> None:
    bounds = bounds_within(20)
    assert (bounds.accepted, bounds.opened) == (4, 4)


def test_the_limit_is_what_the_system_allows() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert raise_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == before[1]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
