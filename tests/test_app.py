"""The whole service in this process, on real sockets of this machine, on both event loops."""

import asyncio
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop

from sipfailover import app as app_module
from sipfailover.app import LEAVE_WITHIN, App
from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.simulator import Carrier, Leg, Mode, Phone
from sipfailover.simulator.peers import Plug, address_of, bound
from tests.kit.registrar import Registrar

ROOT = Path(__file__).parents[1]
HOST = "127.0.0.1"
LOOPS = pytest.mark.parametrize("factory", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
Factory = Callable[[], asyncio.AbstractEventLoop]

SETTINGS = """
site: Muster AG
pbx: {host: 127.0.0.1, port: %(pbx)d}
listen: [udp 127.0.0.1:%(sip)d, tcp 127.0.0.1:%(sip)d]
trunks:
  - {name: main,   host: %(main_host)s, port: %(main)d, register: no}
  - {name: backup, host: 127.0.0.1, port: %(backup)d, register: no}
monitor: {options_every: 200ms, timeout: 200ms, down_after: 2, up_after: 2}
failover: {no_answer_within: 500ms, no_ringing_within: 2s, give_up_after: 10s}
status: {listen: 127.0.0.1:%(page)d}
history: {file: %(history)s}
"""


def free_port() -> int:
    """A port that is free for UDP and TCP now."""
    with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind((HOST, 0))
        udp.bind((HOST, tcp.getsockname()[1]))
        return int(tcp.getsockname()[1])


async def until(found: Callable[[], Any], what: str, seconds: float = 8.0) -> Any:
    """Wait until something is true, looking often: what sockets and threads do cannot be put on a clock of ours."""
    end = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        await asyncio.sleep(0.01)
    return value


class Town:
    """The service, an office and two carriers."""

    def __init__(self, folder: Path, text: str = SETTINGS, **changes: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.socks = {name: bound() for name in ("pbx", "main", "backup")}
        ports = {name: address_of(sock)[1] for name, sock in self.socks.items()}
        self.history = folder / "history.db"
        values = {
            **ports, "sip": free_port(), "page": free_port(), "main_host": HOST, "history": self.history, **changes,
        }  # fmt: skip
        self.sip, self.page = values["sip"], values["page"]
        self.text = text % values
        self.app = App(parse(self.text), self.loop, "asyncio")
        self.phone = Phone("office", (HOST, ports["pbx"]), Chance(1), proxy=(HOST, self.sip))
        self.main, self.backup = (Carrier(name, (HOST, ports[name]), Chance(2)) for name in ("main", "backup"))
        self.plugs = {
            agent.name: Plug(agent, self.socks[name], self.loop)
            for name, agent in (("pbx", self.phone), ("main", self.main), ("backup", self.backup))
        }

    def call(self, number: str = "+41443210019", **more: Any) -> Leg:
        return self.plugs["office"].tell(lambda: self.phone.call(number, **more))

    def hang_up(self, leg: Leg) -> None:
        self.plugs["office"].tell(lambda: self.phone.hang_up(leg))

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(f"http://{HOST}:{self.page}{path}") as answer:
            return answer.status, await answer.text()

    async def status(self) -> dict[str, Any]:
        _, text = await self.get("/status")
        found: dict[str, Any] = json.loads(text)
        return found

    async def metric(self, line: str) -> float:
        _, text = await self.get("/metrics")
        found = [one for one in text.splitlines() if one.startswith(line)]
        return float(found[0].rpartition(" ")[2]) if found else 0.0


@asynccontextmanager
async def town(folder: Path, **changes: Any) -> AsyncIterator[Town]:
    """A town that has started, and is closed in the end."""
    here = Town(folder, **changes)
    try:
        await here.app.start()
        if here.app.settings.trunks[0].host == HOST:
            await until(lambda: here.app.engine.core.trunks[0].trunk.targets, "main has an address")
        yield here
    finally:
        await here.app.stop()
        for plug in here.plugs.values():
            plug.close()


def play(factory: Factory, story: Callable[[], Awaitable[None]]) -> None:
    """Live through a story on this kind of loop."""

    async def told() -> None:
        await story()

    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(told())


def rows(file: Path, query: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(file) as db:
        found = db.execute(query).fetchall()
    db.close()
    return found


@LOOPS
def test_a_call_goes_through_and_page_metrics_and_ledger_agree(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            shown = await here.status()
            assert shown["calls"]["now"] == 1
            assert [(one["state"], one["trunk"]) for one in shown["calls"]["shown"]] == [("answered", "main")]
            here.hang_up(leg)
            await until(lambda: here.main.legs[0].ended_at, "hung up at the carrier")
            assert not here.phone.trouble
            assert not here.main.trouble
            assert (await here.status())["calls"]["now"] == 0
            assert (await here.get("/readyz"))[0] == 200
            calls = 'sipfailover_calls_total{direction="outbound",result="answered",trunk="main"}'
            assert await here.metric(calls) == 1
            assert await here.metric('sipfailover_attempts_total{outcome="answered",trunk="main"}') == 1

    play(factory, story)
    history = tmp_path / "history.db"
    assert rows(history, "SELECT direction, result, trunk, rerouted, attempts, ended_by FROM calls") == [
        ("outbound", "answered", "main", 0, 1, "caller")
    ]
    assert rows(history, "SELECT trunk, outcome, verdict FROM attempts") == [("main", "answered", "relayed")]
    assert rows(history, "SELECT ended_ms IS NOT NULL FROM runs") == [(1,)]


@LOOPS
@pytest.mark.parametrize("mode", [Mode.REFUSING, Mode.DEAD, Mode.SILENT], ids=["503", "port closed", "silent"])
def test_a_call_is_rerouted_and_page_metrics_and_ledger_agree(factory: Factory, mode: Mode, tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            here.plugs["main"].become(mode)
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            assert leg.answered_at is not None
            assert leg.ringing_after is not None
            assert leg.ringing_after < 2.0
            (shown,) = (await here.status())["calls"]["shown"]
            assert (shown["trunk"], shown["rerouted"], shown["state"]) == ("backup", True, "answered")
            here.hang_up(leg)
            await until(lambda: here.backup.legs[0].ended_at, "hung up at the carrier")
            assert await here.metric('sipfailover_calls_rerouted_total{from="main",to="backup"') == 1
            assert await here.metric('sipfailover_attempts_total{outcome="answered",trunk="backup"}') == 1
            await until(lambda: here.app.engine.watch.failovers.active == "backup", "failover")
            assert "backup" in (await here.get("/"))[1]
            assert (await here.status())["last_failover"]["to"] == "backup"

    play(factory, story)
    history = tmp_path / "history.db"
    assert rows(history, "SELECT result, trunk, first_choice, rerouted FROM calls") == [
        ("answered", "backup", "main", 1)
    ]
    assert [row[0] for row in rows(history, "SELECT trunk FROM attempts ORDER BY number")][-1] == "backup"


@LOOPS
def test_a_call_into_the_office_goes_through(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            leg = here.plugs["main"].tell(lambda: here.main.invite("+41441112233", "+41790000000", (HOST, here.sip)))
            await until(lambda: leg.acked_at, "answered")
            here.plugs["main"].tell(lambda: here.main.hang_up(leg))
            await until(lambda: here.phone.legs[0].ended_at, "hung up in the office")
            assert not here.phone.trouble

    play(factory, story)


@LOOPS
def test_the_first_signal_drains_and_what_is_being_set_up_is_finished(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            leg = here.call()
            await until(lambda: here.main.legs, "the carrier has it")
            here.app.drain()
            assert not here.app.ended.is_set()
            late = here.call("+41443210020")
            await until(lambda: late.status, "refused")
            assert late.status == 503
            assert len(here.main.legs) == 1
            status, text = await here.get("/readyz")
            assert (status, "draining" in text) == (503, True)
            await asyncio.wait_for(here.app.ended.wait(), 8)
            assert leg.answered_at is not None

    play(factory, story)


def test_an_ack_that_is_under_way_is_waited_for(tmp_path: Path) -> None:
    """A carrier whose answer is never acknowledged ends the call after half a minute."""

    async def story() -> None:
        async with town(tmp_path) as here:
            kept: list[Any] = []
            here.phone._acknowledge = lambda *what: kept.append(what)  # type: ignore[method-assign]
            leg = here.call()
            await until(lambda: here.main.legs, "the carrier has it")
            here.app.drain()
            await until(lambda: kept, "answered")
            await asyncio.sleep(0.2)
            assert not here.app.ended.is_set()
            del here.phone._acknowledge  # type: ignore[attr-defined]
            here.plugs["office"].tell(lambda: here.phone._acknowledge(*kept[0]))
            await asyncio.wait_for(here.app.ended.wait(), 3)
            await until(lambda: here.main.legs[0].acked_at, "acknowledged")
            assert leg.answered_at is not None

    play(asyncio.new_event_loop, story)


def test_a_second_signal_ends_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            here.plugs["main"].become(Mode.TRYING_ONLY)
            here.call()
            await until(lambda: here.main.legs, "the carrier has it")
            here.app.drain()
            await asyncio.sleep(0.1)
            assert not here.app.ended.is_set()
            here.app.drain()
            assert here.app.ended.is_set()
            here.app.drain()

    play(asyncio.new_event_loop, story)


def test_nothing_to_wait_for_ends_at_the_first_signal(tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            here.app.drain()
            assert here.app.ended.is_set()

    play(asyncio.new_event_loop, story)


REGISTERS = """
pbx: {host: 127.0.0.1, port: 9}
listen: [udp 127.0.0.1:%(sip)d]
trunks:
  - {name: main, host: 127.0.0.1, port: %(main)d, username: "+41443210000", auth_username: u7, password: geheim%(keys)s}
monitor: {options_every: 200ms, timeout: 200ms}
status: {listen: off}
history: {file: %(history)s}
"""


@asynccontextmanager
async def registered(folder: Path, registrar: Registrar, keys: str) -> AsyncIterator[App]:
    """A service that is registered at this registrar. `App.stop` may be called twice."""
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: registrar, local_addr=(HOST, 0))
    port = transport.get_extra_info("sockname")[1]
    text = REGISTERS % {"sip": free_port(), "main": port, "keys": keys, "history": folder / "history.db"}
    app = App(parse(text), loop, "asyncio")

    def known() -> bool:
        account = app.engine.view(time.monotonic()).trunks[0].account
        return account is not None and account.state == "Registered"

    try:
        await app.start()
        await until(known, "registered")
        yield app
    finally:
        await app.stop()
        transport.close()
        await asyncio.sleep(0)


@LOOPS
@pytest.mark.parametrize("gives_up", [True, False])
def test_the_registration_is_given_up_at_the_end_where_the_file_says_so(
    factory: Factory, gives_up: bool, tmp_path: Path
) -> None:
    registrar = Registrar(b"geheim")

    async def story() -> None:
        async with registered(tmp_path, registrar, ", unregister_at_stop: yes" if gives_up else "") as app:
            assert registrar.doorman is not None
            registrar.doorman.expire()  # so the last one is challenged too
            started = time.monotonic()
            await app.stop()
            assert time.monotonic() - started < 1.5

    play(factory, story)
    assert bool(registrar.bindings) is not gives_up
    stored = rows(tmp_path / "history.db", "SELECT before, after, status FROM registration_changes ORDER BY id")
    assert stored == [("Registering", "Registered", 200), ("Registered", "Not used", 0)][: 1 + gives_up]


def test_keep_alives_leave_from_where_the_register_left(tmp_path: Path) -> None:
    async def story() -> None:
        registrar = Registrar()
        async with registered(tmp_path, registrar, ", keep_alive_every: 100ms"):
            await until(lambda: len(registrar.pings) >= 3, "kept alive")
            assert set(registrar.pings) == {one.source for one in registrar.let_in}

    play(asyncio.new_event_loop, story)


@LOOPS
def test_a_carrier_that_is_silent_at_the_end_costs_two_seconds(factory: Factory, tmp_path: Path) -> None:
    registrar = Registrar(b"geheim")

    async def story() -> None:
        async with registered(tmp_path, registrar, ", unregister_at_stop: yes") as app:
            registrar.silent = True
            started = time.monotonic()
            await app.stop()
            assert LEAVE_WITHIN <= time.monotonic() - started < LEAVE_WITHIN + 1.5

    play(factory, story)


def test_a_page_address_that_is_taken_costs_the_page_and_no_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        with socket.socket() as other:
            other.bind((HOST, 0))
            other.listen()
            lines = spoken(monkeypatch)
            async with town(tmp_path, page=other.getsockname()[1]) as here:
                said = [event for level, event, _ in lines if level == "error"]
                assert said == ["the page cannot be shown; calls go on"]
                leg = here.call()
                await until(lambda: leg.acked_at, "answered")

    play(asyncio.new_event_loop, story)


def test_a_history_that_cannot_be_written_costs_the_history_and_no_call(tmp_path: Path) -> None:
    async def story() -> None:
        (tmp_path / "file").write_text("a file where a directory should be")
        async with town(tmp_path, history=tmp_path / "file" / "history.db") as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            await until(lambda: here.app.ledger.problem, "the ledger has noticed")
            shown = await here.status()
            assert any("History: cannot write" in warning for warning in shown["warnings"])
            assert (await here.get("/readyz"))[0] == 200

    play(asyncio.new_event_loop, story)


@LOOPS
def test_references_are_asked_over_tcp(factory: Factory, tmp_path: Path) -> None:
    """One that accepts and one that refuses: both are there. (Addresses beside those of the trunks.)"""

    async def story() -> None:
        with socket.socket() as server:
            server.bind(("127.0.0.2", 0))
            server.listen()
            there, closed = server.getsockname()[1], free_port()
            places = f"reference: [127.0.0.2:{there}, 127.0.0.2:{closed}]"
            async with town(tmp_path, text=SETTINGS.replace("up_after: 2}", f"up_after: 2, {places}}}")) as here:
                references = here.app.engine.watch.blame.references.all
                await until(lambda: all(one.reached_at > 0 for one in references), "both are reached")
                assert [one.why for one in references] == ["", ""]

    play(factory, story)


def test_a_name_that_does_not_resolve_costs_that_trunk_and_no_call(tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path, main_host="carrier.invalid") as here:
            await until(lambda: here.app.engine.core.trunks[1].trunk.targets, "backup has an address")
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            assert here.backup.legs
            trunk = (await here.status())["trunks"][0]
            assert trunk["carries_new_calls"] is False
            assert trunk["target"]

    play(asyncio.new_event_loop, story)


@LOOPS
def test_a_fault_of_our_own_is_told_and_the_service_goes_on(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        lines = spoken(monkeypatch)
        async with town(tmp_path) as here:
            sound = here.app.engine.receive

            def faulty(*what: Any) -> None:
                here.app.engine.receive = sound  # type: ignore[method-assign]
                raise ZeroDivisionError("ours")

            here.app.engine.receive = faulty  # type: ignore[method-assign]
            leg = here.call()
            await until(lambda: leg.acked_at, "answered, after the INVITE was said again")
            told = [more for level, _, more in lines if level == "error"]
            assert any(isinstance(more.get("exc_info"), ZeroDivisionError) for more in told)
            wake = here.app.engine.wake

            def late(*what: Any) -> None:
                here.app.engine.wake = wake  # type: ignore[method-assign]
                raise ZeroDivisionError("ours")

            here.app.engine.wake = late  # type: ignore[method-assign]
            await until(lambda: here.app.engine.wake == wake, "a clock has rung")
            before = here.app.engine.core.trunks[0].trunk.probe.ended_at
            await until(lambda: here.app.engine.core.trunks[0].trunk.probe.ended_at != before, "probes go on")

    play(factory, story)


def spoken(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, dict[str, Any]]]:
    """What the service logs from now on: (level, text, values)."""
    lines: list[tuple[str, str, dict[str, Any]]] = []

    class Logger:
        def __getattr__(self, level: str) -> Callable[..., None]:
            return lambda text, **more: lines.append((level, text, more))

    monkeypatch.setattr(app_module.structlog, "get_logger", lambda *_: Logger())
    return lines


# -- as a process -----------------------------------------------------------------------------------------------------


def written(folder: Path, **changes: Any) -> Path:
    values = {
        "pbx": free_port(), "main": free_port(), "backup": free_port(), "sip": free_port(), "page": free_port(),
        "main_host": HOST, "history": folder / "history.db", **changes,
    }  # fmt: skip
    file = folder / "sipfailover.yaml"
    file.write_text(SETTINGS % values)
    return file


def command(file: Path) -> list[str]:
    return [sys.executable, "-m", "sipfailover", "run", "-c", str(file)]


def test_a_sip_port_that_is_taken_is_said_and_the_exit_code_is_1(tmp_path: Path) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind((HOST, 0))
        port = other.getsockname()[1]
        ended = subprocess.run(
            command(written(tmp_path, sip=port)), capture_output=True, text=True, timeout=20, check=False, cwd=ROOT
        )
    assert ended.returncode == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert ended.stderr.startswith("sipfailover: ")


@pytest.mark.parametrize("missing", [False, True], ids=["uvloop", "asyncio"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_exit_code_0_and_a_last_line(tmp_path: Path, number: int, missing: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if missing:
        (tmp_path / "uvloop.py").write_text("raise ImportError('not here')")
        environment["PYTHONPATH"] = f"{tmp_path}:{ROOT}"
    with subprocess.Popen(command(written(tmp_path)), stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "ready" in line:
                process.send_signal(number)
        assert process.wait(10) == 0
    assert "ended" in lines[-1]
    assert any(f"loop={'asyncio' if missing else 'uvloop'}" in line for line in lines)


# ---- calls and restarts


def test_a_call_goes_on_after_the_service_was_restarted(tmp_path: Path) -> None:
    async def story() -> None:
        async with town(tmp_path) as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            await here.app.stop()
            here.app = App(parse(here.text), here.loop, "asyncio")
            await here.app.start()
            status = await here.status()
            assert [(one["state"], one["trunk"]) for one in status["calls"]["shown"]] == [("answered", "main")]
            assert here.app.engine.core.lines["main"].trunk.calls_now == 1
            here.hang_up(leg)
            await until(lambda: here.main.legs[0].ended_at, "hung up at the carrier")
            assert (await here.status())["calls"]["now"] == 0
            assert not here.phone.trouble
            assert not here.main.trouble

    play(asyncio.new_event_loop, story)
    assert rows(tmp_path / "history.db", "SELECT run, result, trunk, ended_by FROM calls WHERE run = 2") == [
        (2, "answered", "main", "caller")
    ]
    assert b"call/1 [" not in (tmp_path / "calls.journal").read_bytes().splitlines()[-1]


def test_a_calls_file_that_cannot_be_used_is_told_and_calls_go_on(tmp_path: Path) -> None:
    text = SETTINGS.replace("%(history)s", "%(history)s, calls_file: %(calls)s")

    async def story() -> None:
        async with town(tmp_path, text=text, calls=tmp_path) as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            (told,) = [one for one in (await here.status())["warnings"] if "restart" in one]
            assert "left alone" in told
            here.hang_up(leg)
            await until(lambda: here.main.legs[0].ended_at, "hung up at the carrier")

    play(asyncio.new_event_loop, story)


def test_without_a_history_nothing_is_kept(tmp_path: Path) -> None:
    text = SETTINGS.replace("history: {file: %(history)s}", "")

    async def story() -> None:
        async with town(tmp_path, text=text) as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            assert not here.app.engine.core.keeping

    play(asyncio.new_event_loop, story)
    assert list(tmp_path.iterdir()) == []


@LOOPS
def test_a_flood_is_seen_refused_kept_out_and_forgotten(factory: Factory, tmp_path: Path) -> None:
    """The shell tells the engine how late it is, and the kernel whom to keep out."""

    async def story() -> None:
        async with town(tmp_path) as here:
            app = here.app
            for number in range(3):
                app.engine.entrance.strangers += 100_000 * (number + 1)
                app._looked_at -= 0.5
                app._look()
                await asyncio.sleep(0.01)  # uvloop's clock stands still for a turn
            view = app._view()
            assert app.pool.door.share < 1.0
            assert view.load.behind >= 0.4
            assert view.load.calls_per_second is not None
            names = {fill.name for fill in view.bounds}
            assert {"calls", "transport_accepted", "transport_flows", "history_queue"} <= names
            assert {"kernel_drops", "shut_out", "datagrams", "connections_refused"} <= set(view.transport)
            await until(lambda: app.pool.door.share == 1.0, "the door is open again")
            await until(lambda: app._view().load.calls_per_second is None, "calls are let in as they come")

    play(factory, story)
