"""Composition: builds the parts, joins the engine to sockets, clock, ledger, log and page, and ends in good order.

The engine decides and appends commands; `_perform` carries them out after each batch of input, and re-arms the one
timer. Nothing here waits for a peer, a disk or a browser.
"""

import asyncio
import contextlib
import time
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from typing import Any

import structlog

from sipfailover import __version__, log
from sipfailover.alerts import Alerts
from sipfailover.chance import Chance
from sipfailover.config import Settings, describe
from sipfailover.errors import TransportError
from sipfailover.flow import Flow, Send, Target
from sipfailover.ledger import TIDY_EVERY, Journal, Ledger, Safekeeping
from sipfailover.proxy import Drop, Engine, EngineView, Fact, Log, OperatorActed, Reach, Record
from sipfailover.proxy.view import Fill
from sipfailover.reloader import Read, Reloader, token_of
from sipfailover.transport import Bounds, Expiry, Pool, Reacher, Resolver, Tls, bounds_within, peers_of
from sipfailover.trouble import Faults, Troubles
from sipfailover.trunk import Order
from sipfailover.web import Drained, Metrics, Reloaded, WebServer

DESCRIPTORS = 4096
"""Files and sockets that may be open at once, where nobody says how many."""
LEAVE_WITHIN = 2.0
"""Seconds that carriers get at the end to answer to `unregister_at_stop`, all together."""
CERTIFICATES_EVERY = 60.0
"""Seconds between two looks at the files of certificates, and at when they run out."""
LAG_EVERY = 0.1
"""Seconds between two looks at how late we are: the event loop, and the reading of what comes. New calls are refused by
what is seen then, so it is as short as a caller does not notice."""


class App:
    """One running service. Made inside its event loop. `read`: how the file is read again; None: it cannot be."""

    def __init__(
        self,
        settings: Settings,
        loop: asyncio.AbstractEventLoop,
        loop_name: str,
        read: Read | None = None,
        stream: log.Stream | None = None,
        descriptors: int = DESCRIPTORS,
    ) -> None:
        self.descriptors = descriptors
        self.loop = loop
        self.log = structlog.get_logger("sipfailover")
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        chance = Chance()
        self.engine = Engine(settings, chance, time.monotonic(), wall)
        self.tls = Tls(self._say)
        self.expiry = Expiry(self.tls, self._say)
        self.ledger = Ledger(settings.history.file, wall, keep=settings.history.keep)
        self.journal = Journal(settings.history.calls_file_used)
        self.safekeeping = Safekeeping(self.journal, self.ledger, wall)
        self.pool = Pool(
            loop,
            received=self._received,
            lost=self._lost,
            settled=self._settled,
            known=self.engine.knows,
            keep_alive_every=self.engine.keep_alive_every,
            banned=lambda host: self.engine.shuts_out(host, time.monotonic()),
            tls=self.tls,
            say=self._say,
            bounds=bounds_within(descriptors),
        )
        self.resolver = Resolver(loop, self._resolved, name_us=self.pool.local_for, chance=chance)
        self.reacher = Reacher(loop, self._reached)
        self.reloader = Reloader(
            settings,
            read,
            engine=self.engine,
            tls=self.tls,
            resolver=self.resolver,
            ledger=self.ledger,
            record=self._record,
            settled=self._settled,
            say=self._say,
            stream=stream,
        )
        self.web: WebServer | None = None
        self.faults = Faults()
        self._stream = stream
        self.troubles = self._watched()
        self.metrics = Metrics(
            version=__version__, loop=loop_name, certificates=self._certificates, troubles=self.troubles
        )
        self.alerts = Alerts(
            settings,
            wall,
            view=lambda: self.engine.view(time.monotonic()),
            troubles=self.troubles.now,
            expiring=lambda: self.expiry.warnings(self.loop.time()),
            page=lambda: self.web.url if self.web else "",
        )
        self.loop_name = loop_name
        self._drain_ends_at = float("inf")
        self._reloads: set[asyncio.Task[Reloaded]] = set()
        """Those that signals have asked for."""
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = float("inf")
        self._left: asyncio.Event | None = None
        """From `stop` on; set when no registration is being given up any more."""
        self._looked_at = 0.0
        self._lag = 0.0
        self._lag_timer: asyncio.TimerHandle | None = None
        self._tidy_timer: asyncio.TimerHandle | None = None
        self._certificates_timer: asyncio.TimerHandle | None = None

    # -- start and end ------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Bind everything. Raises TransportError if an address for SIP cannot be had: then nothing runs."""
        self.loop.set_exception_handler(self._fault)
        self.tls.configure(self.settings, self.loop.time())
        for listen in self.settings.listen:
            self.pool.listen(listen.transport, listen.host, listen.port)
        self.ledger.start()
        self._restore()
        self.reloader.begin()
        self.resolver.start(peers_of(self.settings))
        self._settled()
        await self._start_web()
        self.alerts.start()
        self.started.set()
        self._look()
        self._look_at_certificates()
        for line in describe(self.settings):
            self.log.info(line)
        for warning in self._warnings():
            self.log.warning(warning)
        self.log.info("ready", version=__version__, loop=self.loop_name, page=self.web.url if self.web else "off")

    def _restore(self) -> None:
        """Go on with the calls of an earlier process. Only now: with our addresses bound, there is no other one."""
        now = time.monotonic()
        records = self.journal.open(now)
        if self.journal.is_on:
            self.engine.restore(records, now, self.safekeeping.restore(records, now))
            self._settled()
            self._tidy()

    def _tidy(self) -> None:
        self.safekeeping.tidy(time.monotonic())
        self._tidy_timer = self.loop.call_later(TIDY_EVERY, self._tidy)

    async def _start_web(self) -> None:
        listen = self.settings.status.listen
        if not listen:
            return
        web = WebServer(
            listen.host,
            listen.port if listen.port is not None else 8080,
            view=self._view,
            site=self.settings.site,
            version=__version__,
            wall=wall,
            loop_lag=self._lag_now,
            draining=lambda: self.engine.core.draining,
            metrics=self.metrics,
            troubles=self.troubles,
            warnings=self._warnings,
            token=token_of(self.settings),
            deeds=self,
            config=lambda: self.reloader.view,
            say=self._say,
        )
        try:
            await web.start()
        except TransportError as error:
            self.log.error("the page cannot be shown; calls go on", why=str(error))
            return
        self.web = self.reloader.web = web

    async def stop(self) -> None:
        """Close everything."""
        await self._leave()
        await self.alerts.close()
        for timer in (self._alarm, self._lag_timer, self._tidy_timer, self._certificates_timer):
            if timer is not None:
                timer.cancel()
        self.resolver.close()
        self.reacher.close()
        self.pool.close()
        await self.resolver.closed()
        await self.reacher.closed()
        await self.pool.closed()
        if self.web is not None:
            await self.web.stop()
        await self.loop.run_in_executor(None, self.ledger.close)
        self.safekeeping.close()

    async def _leave(self) -> None:
        """Give up the registrations of which the file says so. A carrier that does not answer costs LEAVE_WITHIN."""
        left = self._left = asyncio.Event()
        self.engine.leave(time.monotonic())
        self._settled()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_WITHIN):
                await left.wait()

    def drain(self) -> None:
        """The first signal: no new calls; the second: the end."""
        if self.ended.is_set():
            return
        if self.engine.core.draining:
            self.log.warning("ended at once, by a second signal", calls=len(self.engine.core.calls))
            self.ended.set()
            return
        self.begin_drain("a signal")

    def begin_drain(self, who: str) -> Drained:
        """Take no new calls but those for help, and end when nothing is waited for any more, or its time is over. Asked
        again, it only says how that stands."""
        now, calls = time.monotonic(), len(self.engine.core.calls)
        if not self.engine.core.draining:
            self.engine.drain()
            self._drain_ends_at = now + self.settings.drain_within
            told = {"being_set_up": self.engine.setting_up, "calls": calls, "by": who}
            if calls and not self._calls_survive:
                told["also_waited_for"] = "calls in progress, which would be lost"
            self._say("info", "draining: new calls are refused", told)
            self._record(OperatorActed(now, who, "drain", "", "", self._drain_ends_at))
            self._look_whether_drained()
        return Drained(self.engine.setting_up, calls, max(0.0, self._drain_ends_at - now))

    def _look_whether_drained(self) -> None:
        if not self._unfinished() or time.monotonic() >= self._drain_ends_at:
            self.ended.set()
        elif not self.ended.is_set():
            self.loop.call_later(0.05, self._look_whether_drained)

    def _unfinished(self) -> int:
        """Calls that are not answered yet, or whose answer waits for its ACK: without it the carrier hangs up. Where
        calls in progress do not outlive us, all of them."""
        core = self.engine.core
        waited_for = self.engine.setting_up if self._calls_survive else len(core.calls)
        return waited_for + sum(bool(leg.answer) for leg in core.legs.values())

    @property
    def _calls_survive(self) -> bool:
        return self.journal.is_on and not self.journal.problem

    # -- what operators do (`web.Deeds`) ------------------------------------------------------------------------------

    def reload_soon(self) -> None:
        """SIGHUP: read the file again. What comes of it is in the log, in the history and on /status."""
        task = self.loop.create_task(self.reload("a signal"))
        self._reloads.add(task)
        task.add_done_callback(self._reloads.discard)

    async def reload(self, who: str) -> Reloaded:
        """Put the file into effect as it is now, or refuse it."""
        await self.started.wait()
        return await self.reloader.reload(who)

    def order(self, name: str, order: Order, seconds: float | None, who: str, why: str) -> None:
        """What is to be done with a trunk or PBX, for so long. Raises KeyError for a name that is none."""
        now = time.monotonic()
        self.engine.order(name, order, now, None if seconds is None else now + seconds, who, why)
        self._settled()

    def release(self, name: str, who: str, why: str) -> None:
        """A trunk need not wait. Raises KeyError for a name that is none."""
        self.engine.release(name, time.monotonic(), who, why)
        self._settled()

    def active(self) -> str:
        """The trunk that new calls take, "" if there is none."""
        return self.engine.watch.failovers.active

    def names(self) -> tuple[str, ...]:
        """All trunks and PBXs."""
        return tuple(self.engine.core.lines)

    @property
    def settings(self) -> Settings:
        """Those in effect."""
        return self.reloader.settings

    # -- between engine and world -------------------------------------------------------------------------------------

    def _received(self, flow: Flow, data: bytes) -> None:
        self.engine.receive(flow, data, time.monotonic())
        self._perform()  # at once: what leaves for one call need not wait until the others of its batch are read

    def _lost(self, where: Target, reason: str) -> None:
        self.engine.lost(where, reason, time.monotonic())
        if reason.startswith("local: "):
            self.resolver.look_again()  # what we send from may be our address no more

    def _resolved(self, name: str, targets: tuple[Target, ...], why: str, forget: bool) -> None:
        self.engine.resolved(name, targets, time.monotonic(), why, forget=forget)
        self._settled()

    def _reached(self, host: str, port: int, why: str) -> None:
        self.engine.reached(host, port, why, time.monotonic())
        self._settled()

    def _perform(self) -> None:
        """Do what the engine wants done, in order."""
        commands = self.engine.take()
        if commands:
            self.safekeeping.store(commands, time.monotonic())  # before anything leaves
        for command in commands:
            if isinstance(command, Send):
                self.pool.send(command.to, command.data)
            elif isinstance(command, Record):
                self.metrics.record(command.fact)
                self.alerts.record(command.fact)
            elif isinstance(command, Drop):
                self.pool.drop(command.to)
            elif isinstance(command, Reach):
                self.reacher.reach(command.host, command.port)
            elif isinstance(command, Log):
                self._write(command)

    def _settled(self) -> None:
        """After a batch of input: what is still to be done, and when to wake the engine."""
        self._perform()
        due = self.engine.deadline()
        if due is not None and due < self._alarm_at:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm_at = due
            self._alarm = self.loop.call_later(max(0.0, due - time.monotonic()), self._wake)
        if self._left is not None and not self.engine.leaving:
            self._left.set()

    def _wake(self) -> None:
        self._alarm, self._alarm_at = None, float("inf")
        try:
            self.engine.wake(time.monotonic())
        finally:
            self._settled()  # whatever happened: without the next alarm, no clock would run until something comes in

    def _record(self, fact: Fact) -> None:
        """Something has happened that the engine does not know of."""
        self.metrics.record(fact)
        self.alerts.record(fact)
        self.safekeeping.store([Record(fact)], time.monotonic())

    def _write(self, command: Log) -> None:
        getattr(self.log, command.level)(command.text, **command.fields)

    def _say(self, level: str, text: str, values: dict[str, object]) -> None:
        self._write(Log(level, text, values))

    def _fault(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """An error that nobody has handled is ours: tell it, and go on. The loop hands it over."""
        error = context.get("exception")
        if self.faults.is_new(error, context["message"]):
            self.log.error(f"a fault of ours, please report it: {context['message']}", exc_info=error)

    # -- what is wrong with us ----------------------------------------------------------------------------------------

    def _watched(self) -> Troubles:
        """Whatever may go wrong here while calls go on."""
        troubles = Troubles()
        troubles.watch("history", "History", lambda: self.ledger.problem)
        troubles.watch("messages", "Messages", lambda: self.alerts.problem)
        troubles.watch("calls file", "Calls would not survive a restart", lambda: self.journal.problem)
        if (stream := self._stream) is not None:
            troubles.watch("log", "The log", lambda: stream.problem)
        troubles.watch("configuration", "Configuration", lambda: self.reloader.problem)
        troubles.watch("connections", "Connections", lambda: self.pool.problem)
        troubles.watch("software", "This software", lambda: self.faults.problem)
        return troubles

    # -- certificates -------------------------------------------------------------------------------------------------

    def _look_at_certificates(self) -> None:
        self.expiry.look(self.loop.time())
        self._certificates_timer = self.loop.call_later(CERTIFICATES_EVERY, self._look_at_certificates)

    def _warnings(self) -> list[str]:
        found = (*map(str, self.settings.warnings), *self.reloader.warnings, *self._few_descriptors())
        return [*found, *self.expiry.warnings(self.loop.time())]

    def _few_descriptors(self) -> list[str]:
        """If the system gives us few."""
        usual, bounds = Bounds(), self.pool.bounds
        if bounds == usual:
            return []
        few = f"The system lets us open only {self.descriptors} files and sockets (ulimit -n): "
        return [f"{few}at most {bounds.accepted} connections are taken instead of {usual.accepted}"]

    def _certificates(self) -> list[tuple[str, str, float]]:
        held = self.tls.held(self.loop.time())
        return [(one.use, one.name, one.certificate.not_after.timestamp()) for one in held]

    def _view(self) -> EngineView:
        """The engine's picture, with what only the shell knows."""
        view = self.engine.view(time.monotonic())
        ours = tuple(Fill(f"transport_{name}", now, at_most) for name, now, at_most in self.pool.fill)
        history = Fill("history_queue", self.ledger.waiting, self.ledger.queue_max)
        counted = {**asdict(self.pool.counters), "kernel_drops": self.pool.kernel_drops}
        return replace(view, bounds=(*view.bounds, *ours, history), transport=counted)

    # -- how late we are ----------------------------------------------------------------------------------------------

    def _look(self) -> None:
        now = time.monotonic()
        if self._looked_at:
            self._lag = max(0.0, now - self._looked_at - LAG_EVERY)
            self.metrics.observe_loop_lag(self._lag)
            self.engine.late(max(self._lag, self.pool.behind), now, self.pool.door.share)
            pests = self.engine.pests
            if pests:
                self.pool.door.exempt = tuple(b"sip:%b@" % number for number in self.engine.numbers_for_help)
            self.pool.look(self.engine.unwanted, self.engine.known_hosts(), pests)
            self._settled()
        self._looked_at = now
        if self._stream is not None:
            self._stream.catch_up()
        self._lag_timer = self.loop.call_later(LAG_EVERY, self._look)

    def _lag_now(self) -> float:
        return max(self._lag, time.monotonic() - self._looked_at - LAG_EVERY)


def wall(at: float) -> datetime:
    """Seconds on the engine's clock as local time, by the wall clock of this moment: a clock that was set is right at
    once."""
    return datetime.now().astimezone() + timedelta(seconds=at - time.monotonic())
