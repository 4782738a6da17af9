"""The service under test as a process, with the file that its users write, and what its page says about it."""

import json
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from tests.interop.stage import SIP_PORT, Child, Stage, until

ROOT = Path(__file__).parents[2]
WEB_PORT = 8080
PAGE_WITHIN = 1.0
"""Seconds until an HTTP answer is given up."""
READY_WITHIN = 15.0
WATCH_EVERY = 0.05
"""Seconds between two looks at the page by `Watch`."""

SERVICE, PBX, MAIN, BACKUP = 1, 2, 10, 20
"""Last bytes of the addresses in a stage's network."""

SETTINGS = """\
pbx: {{host: {pbx}, port: {port}, transport: {transport}}}
listen: [udp {service}:{port}, tcp {service}:{port}]
trunks:
  - {{name: main,   host: {main}, port: {port}, transport: {transport}, {account}}}
  - {{name: backup, host: {backup}, port: {port}, transport: {transport}, register: no}}
monitor: {{options_every: 1s, timeout: 500ms, down_after: 2, up_after: 3, dropped_within: 0}}  # talks are short here
failover: {{no_answer_within: 2s, no_ringing_within: {no_ringing_within}, give_up_after: 20s, \
return_to_main: {{stable_for: 10s}}}}
status: {{listen: {service}:{web}}}
history: {{file: ./history.db}}
log: {{level: info, format: text}}
"""


class Service(Child):
    """sipfailover between the PBX and the two carriers of a stage, ready when the constructor returns.

    `transport`: udp or tcp, on both sides. `no_ringing_within`: a duration as in the file. `account`: keys of the main
    trunk that say how it knows us. `settings`: another file, with the same names in braces. `cpu`: as in Child.
    `root`: the checkout that is run.
    """

    def __init__(
        self,
        stage: Stage,
        *,
        transport: str = "udp",
        no_ringing_within: str = "8s",
        account: str = "register: no",
        settings: str = SETTINGS,
        cpu: int | None = None,
        root: Path = ROOT,
    ) -> None:
        file = stage.folder / "sipfailover.yaml"
        file.write_text(
            settings.format(
                service=stage.host(SERVICE), pbx=stage.host(PBX), main=stage.host(MAIN), backup=stage.host(BACKUP),
                port=SIP_PORT, web=WEB_PORT, transport=transport, no_ringing_within=no_ringing_within,
                account=account,
            )
        )  # fmt: skip
        self.host = stage.host(SERVICE)
        self._page = f"http://{self.host}:{WEB_PORT}"
        command = [sys.executable, "-m", "sipfailover", "run", "-c", file]
        super().__init__(
            stage, "sipfailover", command, cpu=cpu, env={"PYTHONPATH": os.pathsep.join((str(root), *sys.path[1:]))}
        )
        until(self.ready, READY_WITHIN, f"{self._page}/readyz answers 200", self)

    def ready(self) -> bool:
        """Whether /readyz says 200."""
        try:
            with urlopen(f"{self._page}/readyz", timeout=PAGE_WITHIN) as answer:
                return bool(answer.status == 200)
        except HTTPError as error:
            error.close()
        except OSError:
            pass
        return False

    def status(self) -> dict[str, Any]:
        """/status. Raises OSError when the page does not answer."""
        with urlopen(f"{self._page}/status", timeout=PAGE_WITHIN) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def states(self) -> dict[str, str]:
        """Name of each trunk → up, suspect, down or trial."""
        return {trunk["name"]: trunk["state"] for trunk in self.status()["trunks"]}

    def registration(self) -> str:
        """How the main trunk is registered, in the words of the page: `Registered for 4 s, …`."""
        return str(next(trunk["registration"] for trunk in self.status()["trunks"] if trunk["name"] == "main"))

    def calls_now(self) -> int:
        """Calls that the service has, by its own account."""
        return int(self.status()["calls"]["now"])


@dataclass(frozen=True, slots=True)
class Span:
    """A time during which a trunk was seen in one state. `start`, `end`: the first and the last look that saw it,
    seconds, wall clock (books have the same)."""

    state: str
    start: float
    end: float


class Watch:
    """Looks at the page all the time, in a thread of its own, and keeps the states of one trunk."""

    def __init__(self, service: Service, trunk: str) -> None:
        self._service = service
        self._trunk = trunk
        self._over = threading.Event()
        self._spans: list[Span] = []
        self._thread = threading.Thread(target=self._look, name=f"watch {trunk}")

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    @property
    def spans(self) -> list[Span]:
        """What was seen so far, in order."""
        return list(self._spans)

    def seen(self, state: str) -> bool:
        """Whether the trunk was seen in this state."""
        return any(span.state == state for span in self._spans)

    def _look(self) -> None:
        while not self._over.wait(WATCH_EVERY):
            asked_at = time.time()  # what the page says is true from here on, or a little later
            try:
                state = self._service.states()[self._trunk]
            except OSError:
                continue
            now = time.time()
            if self._spans and self._spans[-1].state == state:
                self._spans[-1] = Span(state, self._spans[-1].start, asked_at)
            else:
                self._spans.append(Span(state, now, asked_at))
