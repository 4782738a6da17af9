"""Every test of the transport runs on both loops: what holds on one may not hold on the other."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop

from tests.transport.ends import End


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def end() -> AsyncIterator[End]:
    """A pool that listens on nothing yet, with the usual bounds."""
    async with End() as end:
        yield end
