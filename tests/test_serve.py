"""The process around the service: which event loop it takes. Its signals are in `test_app`, `test_reloader`."""

import asyncio
import sys

import pytest
import uvloop

from sipfailover.serve import loop_factory


def test_without_uvloop_it_runs_on_asyncio_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    assert loop_factory() == (uvloop.new_event_loop, "uvloop")
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert loop_factory() == (asyncio.new_event_loop, "asyncio")
