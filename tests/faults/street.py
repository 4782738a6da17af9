"""The service as a process of its own, with an office and two carriers that live in a thread of the test.

So a fault can be done to the process really (a full disk, a limit, a stopped reader of its log), while calls go
through it: `street.calls()` places some and demands that each of them is answered and hung up in good order.
"""

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self, TypeVar
from urllib.request import urlopen

from sipfailover.chance import Chance
from sipfailover.simulator import Carrier, Leg, Manners, Phone
from sipfailover.simulator.peers import Plug, bound
from tests.interop.stage import SIP_PORT, Child, Stage, until

ROOT = Path(__file__).parents[2]
SERVICE, PBX, MAIN, BACKUP = 1, 2, 10, 20
"""Last bytes of the addresses in a stage's network."""
WEB_PORT = 8080
READY_WITHIN = 15.0
CALL_WITHIN = 8.0
"""Seconds in which a call is set up, answered and hung up, also on a busy machine."""
TALK = 0.2

SETTINGS = """
pbx: {pbx}:5060
listen: udp {service}:5060
trunks:
  - {{name: main,   host: {main}, register: no}}
  - {{name: backup, host: {backup}, register: no}}
monitor: {{options_every: 1s, timeout: 500ms, dropped_within: 0}}
status: {{listen: {service}:8080}}
history: {{file: {history}}}
log: {{level: info, format: text}}
"""

Told = TypeVar("Told")


class Street:
    """See the module. `before`: words in front of the command line, as `prlimit --nofile=40`; `history`: the file."""

    def __init__(
        self,
        stage: Stage,
        *,
        settings: str = SETTINGS,
        before: Sequence[str | Path] = (),
        history: str | Path = "./history.db",
        env: dict[str, str] | None = None,
        ready: bool = True,
        page: str = "",
        port: int = SIP_PORT,
        **more: object,
    ) -> None:
        self.stage = stage
        self.file = stage.folder / "sipfailover.yaml"
        hosts = {"service": SERVICE, "pbx": PBX, "main": MAIN, "backup": BACKUP}
        where = {name: stage.host(number) for name, number in hosts.items()}
        self.file.write_text(settings.format(**where, history=history, **more))
        self.page = page or f"http://{where['service']}:{WEB_PORT}"
        self.before, self.env, self.must_be_ready = before, env or {}, ready
        self.phone = Phone("office", (where["pbx"], SIP_PORT), Chance(1), proxy=(where["service"], port))
        self.main, self.backup = (Carrier(name, (where[name], SIP_PORT), Chance(2)) for name in ("main", "backup"))
        self.main.script = self.backup.script = lambda leg, chance: Manners(ringing=0.02, final=0.1)
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, name="street")
        self.plugs: dict[str, Plug] = {}

    def __enter__(self) -> Self:
        self.thread.start()
        for agent in (self.phone, self.main, self.backup):
            self.plugs[agent.name] = self.told(lambda agent=agent: Plug(agent, bound(*agent.at), self.loop))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        """Start the service, and wait until it is ready."""
        run = [*self.before, sys.executable, "-m", "sipfailover", "run", "-c", self.file]
        self.service = Child(self.stage, "sipfailover", run, env={"PYTHONPATH": str(ROOT), **self.env})
        if self.must_be_ready:
            until(self.ready, READY_WITHIN, f"{self.page}/readyz answers 200", self.service)

    def __exit__(self, *_: object) -> None:
        for plug in self.plugs.values():
            self.told(plug.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def told(self, do: Callable[[], Told]) -> Told:
        """Have something done in the thread of the peers."""

        async def done() -> Told:
            return do()

        return asyncio.run_coroutine_threadsafe(done(), self.loop).result(READY_WITHIN)

    # -- calls --------------------------------------------------------------------------------------------------------

    def call(self, number: str = "0443210019", talk: float | None = TALK) -> Leg:
        """Begin a call; `talk`: seconds until the office hangs up, None: it does not."""
        return self.told(lambda: self.plugs["office"].tell(lambda: self.phone.call(number, talk=talk)))

    def hang_up(self, leg: Leg) -> None:
        self.told(lambda: self.plugs["office"].tell(lambda: self.phone.hang_up(leg)))

    def calls(self, count: int = 5) -> list[Leg]:
        """So many calls at once; every one of them is answered, and hung up by the office."""
        legs = [self.call() for _ in range(count)]
        for leg in legs:
            until(lambda leg=leg: leg.ended_at or leg.status >= 300, CALL_WITHIN, f"a call ends: {leg}", self.service)
            assert leg.status == 200, leg
            assert leg.ended_by == "us", leg
        return legs

    # -- what the admin sees ------------------------------------------------------------------------------------------

    def get(self, path: str) -> str:
        """What the page's server answers. Raises OSError, HTTPError for a status of 400 or more."""
        with urlopen(f"{self.page}{path}", timeout=3.0) as answer:
            return str(answer.read().decode())

    def ready(self) -> bool:
        try:
            return bool(self.get("/readyz"))
        except OSError:
            return False

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.get("/status"))
        return found

    def warnings(self) -> str:
        """What the page warns of, a line each."""
        return "\n".join(self.status()["warnings"])

    def warned(self, words: str, within: float = 10.0) -> str:
        """Wait until the page warns of this. Returns all its warnings."""

        def look() -> str:
            found = self.warnings()
            return found if words in found else ""

        return until(look, within, f"the page says: {words}", self.service)

    @property
    def log(self) -> str:
        return self.service.log.read_text(errors="replace")
