"""The process around the service: its log, its event loop, its limits, and the signals it obeys."""

import asyncio
import gc
import signal
import sys
from collections.abc import Callable

from sipfailover import log
from sipfailover.app import App
from sipfailover.config import Settings
from sipfailover.reloader import Read
from sipfailover.secrecy import no_core_dumps
from sipfailover.transport import raise_limit

GC_THRESHOLD = (50_000, 20, 100)
"""Objects made until the collector looks. Calls have no reference cycles, so it finds nothing; looking costs 10–25 %
(field notes) with the default of 700."""
SWITCH_EVERY = 0.0005
"""Seconds for which the history's thread may hold the interpreter while a message waits. With the default of 5 ms one
call in a hundred under load waited for just that."""


def run(settings: Settings, read: Read | None = None) -> int:
    """Run until SIGTERM or SIGINT. `read`: how the file is read again. Returns the exit code; raises TransportError if
    it cannot start."""
    no_core_dumps()
    stream = log.set_up(settings.log.level, settings.log.format)
    factory, name = loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_serve(settings, name, read, stream, raise_limit()))


def loop_factory() -> tuple[Callable[[], asyncio.AbstractEventLoop], str]:
    """uvloop where it can be imported, else asyncio's own; and its name."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop, "asyncio"
    return uvloop.new_event_loop, "uvloop"


async def _serve(settings: Settings, loop_name: str, read: Read | None, stream: log.Stream, descriptors: int) -> int:
    loop = asyncio.get_running_loop()
    app = App(settings, loop, loop_name, read, stream, descriptors)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.drain)
    loop.add_signal_handler(signal.SIGHUP, app.reload_soon)
    try:
        await app.start()
        gc.collect()
        gc.freeze()  # what is there now stays: the collector need not look at it again
        gc.set_threshold(*GC_THRESHOLD)
        sys.setswitchinterval(SWITCH_EVERY)
        await app.ended.wait()
    finally:
        await app.stop()
    app.log.info("ended")
    return 0
