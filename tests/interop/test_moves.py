"""What moves under a registration, in real time: our own address (a cable between two network namespaces), and DNS.

The bounds in virtual time, with hours instead of seconds, are in `tests/proxy/test_registering.py`.
"""

import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sipfailover.app import App
from sipfailover.chance import Chance
from sipfailover.config import parse
from sipfailover.transport import Resolver, lookup, resolve
from tests.interop.netns import CARRIER, OFFICE, Cable, needs_namespaces
from tests.interop.service import BACKUP, MAIN, ROOT, SERVICE
from tests.interop.stage import SIP_PORT, Child, Stage, until
from tests.kit.registrar import Registered, Registrar
from tests.transport.nameserver import name_server

pytestmark = needs_namespaces()

EDGE, HOME, AWAY = "198.51.100.1", "198.51.100.7", "198.51.100.8"
REGISTERED_WITHIN = 8.0
OPTIONS_EVERY = 1.0
MOVED_WITHIN = 3.5
"""Seconds from the new address to the REGISTER from there: at the next OPTIONS (1 s and a tenth), which cannot be sent
from the old one, our address is looked at again, not sooner than a second after the look before."""

SETTINGS = """
pbx: {{host: 127.0.0.1, port: 5062}}
listen: udp 0.0.0.0:5060
trunks:
  - {{name: main, host: {edge}, port: 5060, username: u7}}
monitor: {{options_every: 1s, timeout: 500ms}}
status: {{listen: off}}
history: {{file: {folder}/history.db}}
log: {{format: text}}
"""


@pytest.mark.parametrize("gap", [0.0, 2.5], ids=["at once", "after a pause"])
def test_when_our_address_changes_we_are_registered_from_the_new_one_within_seconds(stage: Stage, gap: float) -> None:
    with Cable() as cable:
        cable.ip(CARRIER, "addr", "add", f"{EDGE}/24", "dev", "wire")
        cable.ip(OFFICE, "addr", "add", f"{HOME}/24", "dev", "wire")
        book = stage.folder / "registered.jsonl"
        book.touch()
        registrar = cable.inside(CARRIER, sys.executable, "-m", "tests.kit.registrar", EDGE, "5060", book)
        Child(stage, "registrar", registrar, env={"PYTHONPATH": str(ROOT)})
        file = stage.folder / "sipfailover.yaml"
        file.write_text(SETTINGS.format(edge=EDGE, folder=stage.folder))
        command = cable.inside(OFFICE, sys.executable, "-m", "sipfailover", "run", "-c", file)
        service = Child(stage, "sipfailover", command, env={"PYTHONPATH": str(ROOT)})
        until(lambda: of(book, HOME), REGISTERED_WITHIN, "registered from home", service)

        cable.ip(OFFICE, "addr", "del", f"{HOME}/24", "dev", "wire")
        time.sleep(gap)  # the router takes its time to give us another one; meanwhile nothing can be sent
        cable.ip(OFFICE, "addr", "add", f"{AWAY}/24", "dev", "wire")
        moved_at = time.time()
        moved = until(lambda: of(book, AWAY), MOVED_WITHIN, f"registered from {AWAY}", service)
        print(f"registered from the new address after {moved[0].at - moved_at:.2f} s")
        assert f"@{AWAY}:5060" in moved[-1].contact
        assert "Failed" not in service.log.read_text(), "our own trouble is no failure of the carrier"


def of(book: Path, host: str) -> list[Registered]:
    """The REGISTERs that came from this address."""
    seen = [Registered(**json.loads(line)) for line in book.read_text().splitlines()]
    return [one for one in seen if one.source.startswith(f"{host}:")]


def test_a_registration_lives_on_while_dns_is_gone_and_follows_it_when_it_is_back(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name server is closed for as long as two refreshes take, and says another address when it is back."""
    monkeypatch.setattr(resolve, "SOONEST", 0.3)
    monkeypatch.setattr(resolve, "AFTER_FAILURE", 0.3)
    monkeypatch.setattr(lookup, "LOOKUP_WITHIN", 0.5)
    asyncio.run(without_dns(stage))


async def without_dns(stage: Stage) -> None:
    loop = asyncio.get_running_loop()
    text = SETTINGS.format(edge="carrier.example", folder=stage.folder).replace("0.0.0.0", stage.host(SERVICE))
    app = App(parse(text), loop, "asyncio")
    ends = []
    edges = [Registrar(None, grant=10), Registrar(None, grant=10)]
    try:
        for edge, number in zip(edges, (MAIN, BACKUP), strict=True):
            at = (stage.host(number), SIP_PORT)
            transport, _ = await loop.create_datagram_endpoint(lambda edge=edge: edge, local_addr=at)  # type: ignore[misc]
            ends.append(transport)
        async with name_server() as (server, address):
            server.zone["carrier.example", "A"] = [stage.host(MAIN)]
            server.ttl = 1
            app.resolver = Resolver(
                loop, app._resolved, name_us=app.pool.local_for, chance=Chance(1), nameservers=[address]
            )
            await app.start()
            await came(lambda: edges[0].let_in, "registered", app)
        await came(lambda: "last good" in app.engine.view(time.monotonic()).trunks[0].target, "DNS is missed", app)
        before = len(edges[0].let_in)
        await came(lambda: len(edges[0].let_in) >= before + 2, "refreshed twice without DNS", app)
        async with name_server() as (server, address):
            server.zone["carrier.example", "A"] = [stage.host(BACKUP)]
            app.resolver._lookup._nameservers = [address]
            back = time.monotonic()
            await came(lambda: edges[1].let_in, "registered where DNS says now", app)
            print(f"followed in {time.monotonic() - back:.2f} s")
    finally:
        await app.stop()
        for end in ends:
            end.close()
        await asyncio.sleep(0)


async def came(found: Callable[[], object], what: str, app: App, seconds: float = 14.0) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < end, f"not within {seconds} s: {what}: {app.engine.view(time.monotonic()).trunks[0]}"
        await asyncio.sleep(0.02)
