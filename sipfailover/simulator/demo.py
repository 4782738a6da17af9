"""The demo: the service as a real process, an office and two carriers behind real sockets, and a main carrier that
fails.

`sipfailover demo` calls `main`. The plot is `PHASES`; what the reader sees is `screen`'s business; this module runs the
play and keeps the score. It ends with exit code 0 only if no call was lost and no carrier was left with a call that
nobody has.
"""

import asyncio
import signal
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from sipfailover.chance import Chance
from sipfailover.simulator.carrier import Carrier, Mode
from sipfailover.simulator.leg import Leg
from sipfailover.simulator.peers import Plug, address_of, bound
from sipfailover.simulator.phone import Phone
from sipfailover.simulator.screen import Keys, Lines, Screen
from sipfailover.simulator.text import Peer

CALL_EVERY = 0.25
"""Seconds between two calls."""
INBOUND_SHARE = 0.15
TALK = 2.5
READY_WITHIN = 10.0
CALLS_MAX_AGE = 12.0
"""Seconds that the last calls get to come to their end."""
EXIT_INTERRUPTED = 130

SETTINGS = """\
# The demo's own configuration. Its clocks are short, so that a minute shows what otherwise takes an hour.
site: Demo office
pbx: {{host: 127.0.0.1, port: {pbx}}}
listen: [udp 127.0.0.1:{sip}]
trunks:
  - {{name: main,   host: 127.0.0.1, port: {main}, transport: udp, register: no}}
  - {{name: backup, host: 127.0.0.1, port: {backup}, transport: udp, register: no}}
monitor: {{options_every: 500ms, timeout: 400ms, down_after: 2, up_after: 2}}
failover: {{no_answer_within: 1500ms, no_ringing_within: 2s, give_up_after: 15s, return_to_main: {{stable_for: 2s}}}}
status: {{listen: 127.0.0.1:{web}}}
log: {{level: info, format: text}}
"""


@dataclass(frozen=True, slots=True)
class Phase:
    """A scene of the play: what the main carrier does, told to the reader in plain words."""

    title: str
    text: str
    mode: Mode
    seconds: float


PHASES = (
    Phase("All is well", "Every call goes over the main carrier.", Mode.NORMAL, 4.0),
    Phase(
        "Main goes silent",
        "The carrier reads nothing, says nothing. Calls caught in it move to the backup, later ones go there at once.",
        Mode.SILENT,
        8.0,
    ),
    Phase("Main is back", "It is trusted again after two good seconds.", Mode.NORMAL, 6.5),
    Phase(
        "Main answers 503",
        '"Service Unavailable" is not what a caller hears: the call moves on within milliseconds.',
        Mode.REFUSING,
        6.0,
    ),
    Phase("Main is back", "Again it has to prove itself first.", Mode.NORMAL, 6.5),
    Phase(
        "Main says 100, then nothing",
        "It still answers every OPTIONS, so a check alone would call it healthy. The calls know better.",
        Mode.TRYING_ONLY,
        8.0,
    ),
    Phase("Main is back", "And the office never noticed.", Mode.NORMAL, 6.0),
)


@dataclass(slots=True, eq=False)
class Call:
    """One call of the demo, seen from the side that made it."""

    order: int
    number: str
    leg: Leg
    inbound: bool
    phase: int


@dataclass(slots=True)
class Score:
    """What the reader is told at the end, for one phase or for all of them."""

    calls: int = 0
    over_main: int = 0
    over_backup: int = 0
    moved: int = 0
    """Calls that the main carrier had and did not carry, so that they went on over the backup."""
    lost: int = 0
    slowest: float = 0.0
    """Longest time to ringing, seconds."""


class Demo:
    """The office, the carriers and the calls between them. `status` is what the service says about itself."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        chance = Chance(2018)
        socks = [bound(), bound(), bound()]
        proxy, web = bound(), bound()
        self.proxy: Peer = address_of(proxy)
        self.web = address_of(web)[1]
        proxy.close()
        web.close()
        self.phone = Phone("Office", address_of(socks[0]), chance, proxy=self.proxy)
        self.main = Carrier("main", address_of(socks[1]), chance)
        self.backup = Carrier("backup", address_of(socks[2]), chance)
        self.main.talk = self.backup.talk = TALK * 1.4
        agents = (self.phone, self.main, self.backup)
        self.plugs = {agent.name: Plug(agent, sock, loop) for agent, sock in zip(agents, socks, strict=True)}
        self.chance = chance
        self.calls: list[Call] = []
        self.phase = 0
        self.every = CALL_EVERY
        self.status: dict[str, Any] = {}
        self._next: asyncio.TimerHandle | None = None

    @property
    def page(self) -> str:
        """Address of the service's status page."""
        return f"http://127.0.0.1:{self.web}/"

    def settings(self) -> str:
        """The configuration of the service, as YAML."""
        return SETTINGS.format(
            pbx=self.phone.at[1], sip=self.proxy[1], main=self.main.at[1], backup=self.backup.at[1], web=self.web
        )

    def become(self, mode: Mode) -> None:
        """The main carrier changes its mood."""
        self.plugs["main"].become(mode)

    def place_calls(self) -> None:
        """One call now, the next one a moment later, until `stop_calls`."""
        self._next = self.loop.call_later(self.chance.spread(self.every, 0.4), self.place_calls)
        order = len(self.calls) + 1
        inbound = self.chance.dice() < INBOUND_SHARE
        number = f"+4144321{order:04d}"
        if inbound:
            well = self.main.mode is Mode.NORMAL and self.chance.dice() < 0.5
            carrier = self.main if well else self.backup
            plug = self.plugs[carrier.name]
            leg = plug.tell(lambda: carrier.invite(number, f"+4179555{order:04d}", self.proxy))
            self.loop.call_later(1.5 + TALK, lambda: plug.tell(lambda: carrier.hang_up(leg)))
        else:
            talk = TALK if self.chance.dice() < 0.5 else TALK * 4
            leg = self.plugs["Office"].tell(lambda: self.phone.call(number, talk=talk))
        self.calls.append(Call(order, number, leg, inbound, self.phase))

    def stop_calls(self) -> None:
        """No further call; those in progress go on."""
        if self._next:
            self._next.cancel()
            self._next = None

    def close(self) -> None:
        """Close all sockets."""
        self.stop_calls()
        for plug in self.plugs.values():
            plug.close()

    def trunks(self) -> dict[str, str]:
        """Called number → what carried it: `main`, `backup`, or `main → backup`."""
        asked = {leg.number for leg in self.main.legs if not leg.outgoing} | set(self.main.unheard)
        carried = {leg.number for leg in self.backup.legs if not leg.outgoing}
        found = dict.fromkeys(asked - carried, "main") | dict.fromkeys(carried - asked, "backup")
        found |= dict.fromkeys(asked & carried, "main → backup")
        for carrier in (self.main, self.backup):
            found |= {leg.number: carrier.name for leg in carrier.legs if leg.outgoing}
        return found

    def score(self, phase: int | None = None) -> Score:
        """The score of one phase, or of all. A call without an answer at the time of asking counts as lost."""
        score, trunks = Score(), self.trunks()
        for call in self.calls:
            if phase is not None and call.phase != phase:
                continue
            over = trunks.get(call.number, "")
            score.calls += 1
            score.over_main += over == "main"
            score.over_backup += "backup" in over
            score.moved += "→" in over
            score.lost += call.leg.answered_at is None
            score.slowest = max(score.slowest, call.leg.ringing_after or 0.0)
        return score

    def open_legs(self) -> list[Leg]:
        """Legs that somebody still has: set up, or on the way there."""
        return [
            leg for agent in (self.phone, self.main, self.backup) for leg in agent.legs if leg.open or not leg.status
        ]

    def ghosts(self) -> list[Leg]:
        """Answered legs that were never acknowledged or never hung up."""
        return [leg for agent in (self.phone, self.main, self.backup) for leg in agent.legs if leg.ghost]


@dataclass(slots=True)
class Service:
    """The proxy as a child process, with its configuration and its log in a directory that goes away with it."""

    folder: Path
    process: asyncio.subprocess.Process | None = None
    log: Path = field(init=False)

    def __post_init__(self) -> None:
        self.log = self.folder / "sipfailover.log"

    async def start(self, settings: str) -> None:
        """Start it; it is ready when its page says so."""
        file = self.folder / "sipfailover.yaml"
        file.write_text(settings)
        with self.log.open("wb") as log:
            self.process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "sipfailover", "run", "-c", str(file),
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.returncode is None

    def tail(self, lines: int = 15) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    async def stop(self) -> None:
        """End it: TERM first, then, if it does not go by itself, KILL."""
        process = self.process
        if process is None or process.returncode is not None:
            return
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), 1.0)
        except TimeoutError:  # it drains: it would wait for calls that nobody hangs up any more
            process.kill()
            await process.wait()


class Play:
    """One performance, from the first light to the last bow."""

    def __init__(self, console: Console, *, keep: bool) -> None:
        self.console = console
        self.keep = keep
        self.over = asyncio.Event()
        """Set by Ctrl-C and its relatives."""

    async def run(self, folder: Path) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self.over.set)
        demo, service = Demo(loop), Service(folder)
        show = (Screen if self.console.is_terminal else Lines)(self.console, demo, PHASES)
        try:
            await service.start(demo.settings())
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=1.0)) as web:
                if not await self._ready(web, demo, service):
                    return self._failed(service)
                watch = asyncio.ensure_future(self._watch(web, demo))
                try:
                    with show:
                        await self._perform(demo, service, show)
                finally:
                    watch.cancel()
            if not service.alive:
                return self._failed(service)
            if self.over.is_set():
                self.console.print("Stopped. The service and the carriers are gone.")
                return EXIT_INTERRUPTED
            ghosts = demo.ghosts()
            show.summary(len(ghosts))
            return 0 if demo.score().lost == 0 and not ghosts else 1
        finally:
            demo.close()
            await service.stop()

    async def _perform(self, demo: Demo, service: Service, show: Screen | Lines) -> None:
        demo.place_calls()
        for demo.phase, phase in enumerate(PHASES):
            demo.become(phase.mode)
            show.phase(demo.phase)
            if await self._pass(phase.seconds, service, show):
                break
            show.phase_over(demo.phase)
        if self.keep and not self.over.is_set() and service.alive:
            await self._play_on(demo, service, show)
            self.over.clear()  # the last calls get their end; a second Ctrl-C does not wait for it
        demo.stop_calls()
        demo.become(Mode.NORMAL)
        end = demo.loop.time() + (CALLS_MAX_AGE if service.alive and not self.over.is_set() else 0.0)
        show.closing()
        while demo.open_legs() and demo.loop.time() < end:
            if await self._pass(0.2, service, show):
                break

    async def _play_on(self, demo: Demo, service: Service, show: Screen | Lines) -> None:
        demo.every = 1.0
        with Keys(demo.become, self.over.set) as keys:
            show.playing(keys.help)
            while not await self._pass(1.0, service, show):
                pass

    async def _pass(self, seconds: float, service: Service, show: Screen | Lines) -> bool:
        """Let time pass; True if the play is over before its end."""
        end = asyncio.get_running_loop().time() + seconds
        while (left := end - asyncio.get_running_loop().time()) > 0:
            show.refresh()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.over.wait(), min(left, 0.125))
            if self.over.is_set() or not service.alive:
                return True
        return False

    async def _ready(self, web: aiohttp.ClientSession, demo: Demo, service: Service) -> bool:
        end = demo.loop.time() + READY_WITHIN
        while service.alive and demo.loop.time() < end and not self.over.is_set():
            try:
                async with web.get(demo.page + "readyz") as answer:
                    if answer.status == 200:
                        return True
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.05)
        return False

    async def _watch(self, web: aiohttp.ClientSession, demo: Demo) -> None:
        while True:
            try:
                async with web.get(demo.page + "status") as answer:
                    demo.status = await answer.json()
            except (aiohttp.ClientError, TimeoutError):
                demo.status = {}
            await asyncio.sleep(0.25)

    def _failed(self, service: Service) -> int:
        if self.over.is_set():
            return EXIT_INTERRUPTED
        self.console.print("The service did not start, or ended by itself. The end of its log:", style="bold red")
        self.console.print(service.tail(), markup=False, highlight=False)
        return 1


def main(*, keep: bool = False, console: Console | None = None) -> int:
    """Show the demo. `keep` goes on afterwards until Ctrl-C. Returns 0 if no call was lost and no ghost was left."""
    with tempfile.TemporaryDirectory(prefix="sipfailover-demo-") as folder:

        async def play() -> int:
            return await Play(console or Console(), keep=keep).run(Path(folder))

        return asyncio.run(play())
