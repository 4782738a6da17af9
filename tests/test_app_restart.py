"""The whole service is gone without a word and another one begins: over TCP and TLS both ends are found again.

The connections are gone with the process. Ours to the carrier is made anew as soon as there is something to say; the
carrier, who has no way to us but that, uses the new one.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from sipfailover.app import App
from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.proxy import Engine
from sipfailover.simulator import Carrier
from sipfailover.simulator.leg import Manners
from tests.kit.certificates import Authority
from tests.test_app import HOST, LOOPS, SETTINGS, Factory, Town, play, town, until
from tests.test_app_tls import NAME, TLS_SETTINGS, TlsPlug, carrier

TCP_SETTINGS = SETTINGS.replace(
    "{name: main,   host: %(main_host)s, port: %(main)d, register: no}",
    "{name: main, host: %(main_host)s, port: %(tls)d, transport: tcp, register: no}",
)
RINGS = Manners(ringing=0.05, final=None)
SECURITY = pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])


class Persistent(TlsPlug):
    """A carrier that speaks over the connection that was made last, if that to where it wants to speak is gone."""

    def _flush(self) -> None:
        assert self._agent is not None
        living = {peer: writer for peer, writer in self._writers.items() if not writer.is_closing()}
        for to, data in self._agent.take():
            writer = living.get(to) or (list(living.values())[-1] if living else None)
            if writer is not None:
                writer.write(data)
        if self._alarm:
            self._alarm.cancel()
        due = self._agent.deadline()
        self._alarm = None if due is None else self._loop.call_at(due, self._wake)

    def hang_up(self) -> None:
        """It hangs up what is open."""
        assert self._agent is not None
        self._agent.now = self._loop.time()
        for leg in self._agent.legs:
            self._agent.hang_up(leg)
        self._flush()


@asynccontextmanager
async def street(folder: Path, secure: bool) -> AsyncIterator[tuple[Town, Persistent]]:
    """A town whose main carrier is reached over a stream."""
    plug = Persistent()
    ca = Authority(folder)
    context: ssl.SSLContext | None = carrier(ca.issue(NAME)) if secure else None
    listener = await asyncio.start_server(plug.serve, HOST, 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    text = TLS_SETTINGS if secure else TCP_SETTINGS
    try:
        async with town(folder, text=text, tls=port, ca=ca.file, more="") as here:
            here.main.at = (HOST, port)  # as its Contact says
            plug.join(here.main)
            yield here, plug
    finally:
        listener.close()
        plug.join(Carrier("gone", (HOST, 1), Chance(1)))
        plug.close()
        await asyncio.sleep(0)


async def killed_and_started_again(here: Town) -> None:
    """As kill -9 leaves it: sockets and clocks are gone, nothing is said or written any more."""
    old = here.app
    silent = Engine(old.settings, Chance(1), time.monotonic())
    vars(silent).update(take=list, deadline=lambda: None)
    old.engine = silent
    for timer in (old._alarm, old._lag_timer, old._tidy_timer, old._certificates_timer):
        if timer is not None:
            timer.cancel()
    old.resolver.close()
    old.pool.close()
    await old.resolver.closed()
    await old.pool.closed()
    if old.web is not None:
        await old.web.stop()
    old.ledger.close()
    here.app = App(parse(here.text), here.loop, "asyncio")
    await here.app.start()


@LOOPS
@SECURITY
@pytest.mark.parametrize("callee", [False, True], ids=["the caller", "the callee"])
def test_a_call_over_a_stream_ends_on_both_sides_after_a_restart(
    tmp_path: Path, factory: Factory, secure: bool, callee: bool
) -> None:
    async def story() -> None:
        async with street(tmp_path, secure) as (here, plug):
            leg = here.call()
            await until(lambda: leg.acked_at, "somebody answers")
            (there,) = here.main.legs
            await until(lambda: there.acked_at, "and hears the ACK")
            before = plug.connections
            await killed_and_started_again(here)
            assert len(here.app.engine.core.calls) == 1
            if callee:
                await until(lambda: plug.connections > before, "the trunk is asked at once, over a new connection")
                plug.hang_up()
                await until(lambda: leg.ended_at, "the caller hears that")
                assert leg.ended_by == "them"
            else:
                here.hang_up(leg)
                await until(lambda: there.ended_at, "the callee hears that")
                assert there.ended_by == "them"
                assert plug.connections > before
            await until(lambda: not here.app.engine.core.calls, "no call is left")
            await until(lambda: not here.app.engine.core.legs, "and no leg")
            assert here.main.trouble == here.phone.trouble == []

    play(factory, story)


@LOOPS
@SECURITY
def test_a_call_that_rings_over_a_stream_is_ended_on_both_sides_after_a_restart(
    tmp_path: Path, factory: Factory, secure: bool
) -> None:
    async def story() -> None:
        async with street(tmp_path, secure) as (here, _plug):
            here.main.script = lambda leg, chance: RINGS
            leg = here.call()
            await until(lambda: leg.ringing_at, "it rings")
            await killed_and_started_again(here)
            await until(lambda: leg.status == 503, "the caller may try again")
            (there,) = here.main.legs
            await until(lambda: there.cancelled_at, "nobody is left ringing")

    play(factory, story)
