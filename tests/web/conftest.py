"""An office, a client of its server, and a client of any server."""

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
import uvloop
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from tests.web.office import Office


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The service runs on uvloop, whose transports are none of asyncio's classes."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
def office() -> Office:
    return Office()


@pytest.fixture
async def client(office: Office) -> AsyncIterator[TestClient[Request, Application]]:
    async with TestClient(TestServer(office.server().application())) as client:
        yield client


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session
