"""A check of the trunks against the real network: sockets, the clock, and who is asked when.

All trunks are under way at once; test calls are made one after the other, because they may ring the same telephone.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from sipfailover.chance import Chance
from sipfailover.config import Address, Settings, TrunkSettings, is_address
from sipfailover.flow import TCP, TLS, Flow, Target
from sipfailover.preflight import connect, judge
from sipfailover.preflight.account import Held, leave, register
from sipfailover.preflight.ask import Heard, options
from sipfailover.preflight.call import OneCall
from sipfailover.preflight.conversation import Conversation, Ended, Script
from sipfailover.preflight.machine import Machine
from sipfailover.preflight.names import Names
from sipfailover.preflight.report import Result, Section, Tell, failed, good, skipped
from sipfailover.preflight.screen import Screen
from sipfailover.preflight.together import Place, compare
from sipfailover.proxy import Line, trunk_lines
from sipfailover.transport import HOSTS_FILE, ask_system

RUNNING = "the service is running on this machine: it holds the registration, REGISTER is not tried"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be checked."""

    trunks: tuple[str, ...] = ()
    """Names; empty for all."""
    number: str = ""
    """Whom to call over each trunk; empty for nobody."""
    caller: str = ""
    """The number to show; empty for one from the settings."""


def probe(
    settings: Settings,
    wish: Wish,
    write: Callable[[str], None],
    fancy: bool,
    nameservers: Sequence[Address] | None = None,
    hosts_file: Path = HOSTS_FILE,
) -> list[Section]:
    """Check the trunks, and write what is found as it goes. Returns the sections in their order.

    `nameservers`: None for the system's. Nothing that costs money is done unless the wish has a number.
    """
    return asyncio.run(_probe(settings, wish, write, fancy, nameservers, hosts_file))


async def _probe(
    settings: Settings,
    wish: Wish,
    write: Callable[[str], None],
    fancy: bool,
    nameservers: Sequence[Address] | None,
    hosts_file: Path,
) -> list[Section]:
    preflight = Preflight(settings, wish, write, fancy, nameservers, hosts_file)
    try:
        return await preflight.run()
    finally:
        await preflight.close()


class Preflight:
    """One check. Made inside its event loop."""

    def __init__(
        self,
        settings: Settings,
        wish: Wish,
        write: Callable[[str], None],
        fancy: bool,
        nameservers: Sequence[Address] | None,
        hosts_file: Path,
    ) -> None:
        self._settings, self._wish = settings, wish
        self._loop = asyncio.get_running_loop()
        self._chance = Chance()
        self._names = Names(self._chance, nameservers, hosts_file)
        self._conversation = Conversation(self._chance)
        self._ends: dict[Script, asyncio.Future[Any]] = {}
        self._call: OneCall | None = None
        self._call_over = asyncio.Event()
        self._calling = asyncio.Lock()
        self._alarm: asyncio.TimerHandle | None = None
        chosen = [trunk for trunk in settings.trunks if not wish.trunks or trunk.name in wish.trunks]
        self._trunks = [(trunk, Section(_title(trunk), trunk.name)) for trunk in chosen]
        self._here, self._apart = Section("this machine"), Section("the trunks together")
        self._sections = [self._here, *(section for _, section in self._trunks), self._apart]
        self._screen = Screen(self._sections, write, fancy)
        self._lines = {line.name: line for line in trunk_lines(settings, self._chance, time.monotonic())}
        self._machine = Machine(
            self._loop, settings, self._teller(self._here),
            received=self._received, lost=self._lost, settled=self._settled,
        )  # fmt: skip
        self._public: frozenset[str] = frozenset()

    async def run(self) -> list[Section]:
        """All of it."""
        await self._find_public_address()
        self._screen.done(self._here)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._trunk(trunk, section)) for trunk, section in self._trunks]
        for step in compare([task.result() for task in tasks]):
            self._screen.tell(self._apart, step)
        self._screen.done(self._apart)
        return self._sections

    async def close(self) -> None:
        """Close every socket."""
        if self._alarm is not None:
            self._alarm.cancel()
        await self._machine.close()

    def _teller(self, section: Section) -> Tell:
        return partial(self._screen.tell, section)

    async def _find_public_address(self) -> None:
        """The addresses that `public_address` means."""
        public = self._settings.public_address
        if not public:
            return
        found = [public] if is_address(public) else await ask_system(self._loop, public)
        self._public = frozenset(found)
        if not found:
            advice = "mend public_address, or write the address itself"
            self._screen.tell(self._here, failed("public", f"public_address {public} has no address", advice))

    # -- one trunk ----------------------------------------------------------------------------------------------------

    async def _trunk(self, trunk: TrunkSettings, section: Section) -> Place:
        tell = self._teller(section)
        servers = asyncio.ensure_future(self._names.servers(trunk.host))
        try:
            addresses = await self._names.addresses(trunk, tell)
            targets = self._routes(trunk, addresses, tell)
            if targets:
                await self._reach(trunk, self._lines[trunk.name], targets, tell)
            return Place(trunk.name, tuple(address.host for address in addresses), await servers)
        finally:
            servers.cancel()
            self._screen.done(section)

    def _routes(self, trunk: TrunkSettings, addresses: Sequence[Address], tell: Tell) -> list[Target]:
        """The ways there, with our own name on each."""
        targets, told = [], set()
        for address in addresses:
            way = self._machine.pool.local_for(
                trunk.transport, address.host, address.port, self._settings.public_address
            )
            if isinstance(way, str):
                tell(failed("route", way, "check this machine's network, and whether listen has this transport"))
                continue
            if way.transport == TLS:
                way = replace(way, line=trunk.name)  # whose certificate it must show
            targets.append(way)
            text = f"from {way.local}, known as {way.sent_by.decode()}"
            if text not in told:
                told.add(text)
                tell(good("route", text, None, local=way.local, sent_by=way.sent_by.decode()))
        return targets

    async def _reach(self, trunk: TrunkSettings, line: Line, targets: list[Target], tell: Tell) -> None:
        """Everything that needs the carrier's answers."""
        targets = await self._connect(trunk, targets, tell)
        scripts = [options(target, line.host, line.port, self._chance, tell) for target in targets]
        heard: list[Heard] = await asyncio.gather(*map(self._play, scripts))
        best = next((one for one in heard if one[1].message is not None), None)
        silent = next((question.to for question, reply in heard if not reply.why), None)
        target = best[0].to if best is not None else silent
        account, held = line.account, None
        if account is not None and account.registers:
            if target is None:
                tell(skipped("REGISTER", "not tried, because no address can be reached"))
            elif self._machine.running:
                tell(skipped("REGISTER", RUNNING))
            else:
                held = await self._play(register(account, target, trunk.realm, self._chance, tell))
                if best is None and held is not None:
                    best = (held.question, held.reply)
        try:
            if best is not None:
                self._judge(best, tell)
            if self._wish.number:
                await self._make_call(trunk, target, held, tell)
        finally:  # also when somebody interrupts a call: the carrier would ring here for minutes
            if held is not None and account is not None and target is not None:
                await self._play(leave(held, account, target, self._chance, tell))
        self._compare_profile(trunk, best is not None, held, tell)

    def _compare_profile(self, trunk: TrunkSettings, answers: bool, held: Held | None, tell: Tell) -> None:
        applied = self._settings.profiles.get(trunk.name)
        if applied is None:
            return
        works = {"host", "port", "transport"} if answers else set()
        if held is not None:
            works |= {"register", "domain", "realm"}
            works |= {"register_expires"} if held.granted == trunk.register_expires else set()
        step = judge.guesses(applied, frozenset(works))
        if step is not None:
            tell(step)

    async def _connect(self, trunk: TrunkSettings, targets: list[Target], tell: Tell) -> list[Target]:
        """The addresses where a connection can be opened; over UDP there is nothing to open."""
        if trunk.transport not in (TCP, TLS):
            return targets
        steps = await asyncio.gather(*map(connect.tcp_step, targets))
        for step in steps:
            tell(step)
        opened = [target for target, step in zip(targets, steps, strict=True) if step.result is not Result.FAILED]
        if trunk.transport == TLS:
            now = connect.utc_now()
            for shown in await asyncio.gather(*(connect.tls_step(target, trunk, now) for target in opened)):
                if shown is not None:
                    tell(shown)
        return opened

    def _judge(self, heard: Heard, tell: Tell) -> None:
        question, reply = heard
        steps = (
            judge.pace(reply),
            judge.way_back(question, reply),
            judge.seen_from_there(reply, question.to, question.to.local, self._public),
            judge.clock(reply.message, _wall(reply.at)),
        )
        for step in steps:
            if step is not None:
                tell(step)

    # -- a call -------------------------------------------------------------------------------------------------------

    async def _make_call(self, trunk: TrunkSettings, target: Target | None, held: Held | None, tell: Tell) -> None:
        if target is None:
            tell(skipped("call", "not tried, because no address can be reached"))
            return
        if trunk.register and held is None:
            why = (
                "the service is running and holds the registration" if self._machine.running else "it is not registered"
            )
            tell(skipped("call", f"not tried, because {why}"))
            return
        async with self._calling:
            self._call_over.clear()
            now = time.monotonic()
            wish = self._wish
            self._call = OneCall(self._settings, trunk, target, wish.number, wish.caller, self._chance, now)
            self._settled()
            await self._call_over.wait()
            tell(self._call.step())
            self._call = None

    # -- between the network and the parts that do not know it --------------------------------------------------------

    async def _play(self, script: Script) -> Any:
        """Run a script to its end."""
        end: asyncio.Future[Any] = self._loop.create_future()
        self._ends[script] = end
        self._conversation.start(script, time.monotonic())
        self._settled()
        return await end

    def _received(self, flow: Flow, data: bytes) -> None:
        now = time.monotonic()
        if self._call is not None:
            self._call.receive(flow, data, now)
            if flow.host == self._call.host and data[:4].upper() != b"SIP/":
                return  # a request inside the call, or one that the engine answers
        self._conversation.receive(flow, data, now)

    def _lost(self, where: Target, reason: str) -> None:
        now = time.monotonic()
        self._conversation.lost(where, reason, now)
        if self._call is not None:
            self._call.lost(where, reason, now)

    def _settled(self) -> None:
        """Do what the parts want done, and plan when to wake them."""
        for command in self._conversation.take():
            if isinstance(command, Ended):
                end = self._ends.pop(command.script)
                if not end.done():
                    end.set_result(command.value)
            else:
                self._machine.pool.send(command.to, command.data)
        due = self._conversation.deadline()
        if self._call is not None:
            for send in self._call.take():
                self._machine.pool.send(send.to, send.data)
            if self._call.over:
                self._call_over.set()
            else:
                due = self._call.deadline() if due is None else min(due, self._call.deadline())
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if due is not None:
            self._alarm = self._loop.call_later(max(0.0, due - time.monotonic()), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        now = time.monotonic()
        self._conversation.wake(now)
        if self._call is not None and not self._call.over:
            self._call.wake(now)
        self._settled()


def _title(trunk: TrunkSettings) -> str:
    where = str(Address(trunk.host, trunk.port)) if trunk.port else trunk.host
    profile = f", profile {trunk.profile}" if trunk.profile else ""
    return f"{trunk.name} ({trunk.transport} {where}{profile})"


def _wall(at: float) -> datetime:
    """Seconds on the monotonic clock as a time of the wall clock."""
    return datetime.now(UTC) + timedelta(seconds=at - time.monotonic())
