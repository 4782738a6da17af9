"""Alerts in the running service: looks every few seconds, and a task for each target delivers what there is to tell.

A target that cannot be reached holds nobody else up, and calls do not know of any of it.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import structlog

from sipfailover.alerts import outbox
from sipfailover.alerts.condition import Severity, conditions
from sipfailover.alerts.incident import BEGAN, RECOVERED, Incidents, Notice
from sipfailover.alerts.outbox import Box, Letter
from sipfailover.alerts.send import NotDelivered, deliver
from sipfailover.alerts.text import trial, words
from sipfailover.config import Notify, Settings
from sipfailover.proxy.facts import Fact
from sipfailover.proxy.view import EngineView
from sipfailover.trouble import Trouble
from sipfailover.web import Wall

LOOK_EVERY = 2.0
"""Seconds between two looks at the picture."""
IDLE = 3600.0
"""Seconds that a target's task sleeps at most."""
CLOSE_WITHIN = 3.0
"""Seconds that what is under way gets at the end; what is not delivered then is delivered after the restart."""


class Alerts:
    """See the module. Made and used inside the event loop."""

    def __init__(
        self,
        settings: Settings,
        wall: Wall,
        *,
        view: Callable[[], EngineView],
        troubles: Callable[[float], Sequence[Trouble]],
        expiring: Callable[[], Iterable[str]],
        page: Callable[[], str] = str,
    ) -> None:
        self._settings = settings
        self._wall = wall
        self._view, self._troubles, self._expiring = view, troubles, expiring
        file = self._file = settings.history.messages_file_used
        self._page = page
        self._log = structlog.get_logger("sipfailover.alerts")
        kept = outbox.load(file)
        offset = self._unix() - time.monotonic()
        self.incidents = Incidents([(condition, at - offset) for condition, at in kept.told])
        self.boxes = {name: Box(name) for name in names(settings.notify)}
        for name, box in self.boxes.items():
            box.letters.extend(kept.letters.get(name, ()))
        self._bells = {name: asyncio.Event() for name in self.boxes}
        self._tasks: list[asyncio.Task[None]] = []
        self._trouble = ""

    @property
    def problem(self) -> str:
        """What could not be delivered, for the operator; "" while all is."""
        failing = [f"{box.name}: {box.problem}" for box in self.boxes.values() if box.problem]
        failing += [f"{box.name}: {box.dropped} were never delivered" for box in self.boxes.values() if box.dropped]
        return "; ".join([*failing, *([self._trouble] if self._trouble else [])])

    def start(self) -> None:
        """Begin to look and to deliver. Nothing is done where nobody is to be told."""
        if not self._settings.notify:
            return
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._look_always(), name="alerts")]  # `close` ends them
        for target, box in zip(self._settings.notify, self.boxes.values(), strict=True):
            self._tasks.append(loop.create_task(self._deliver_always(target, box), name=f"alerts: {box.name}"))

    async def close(self) -> None:
        """End; what waits is kept."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=CLOSE_WITHIN)
            self._save()

    def record(self, fact: Fact) -> None:
        """Take note of a fact. On the path, so it only counts; and nothing where nobody is to be told."""
        if self._tasks:
            self.incidents.record(fact)

    async def _look_always(self) -> None:
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Look at how things are now, and write what is to be told."""
        view = self._view()
        before = len(self.incidents.told)
        notices = self.incidents.look(conditions(view, self._troubles(view.now), self._expiring()), view.now)
        for notice in notices:
            self._write(notice, view)
        if notices or before != len(self.incidents.told):
            self._save()

    def _write(self, notice: Notice, view: EngineView) -> None:
        told = words(
            notice, view, self._wall, site=self._settings.site, page=self._page(),
            stable_for=self._settings.failover.return_to_main.stable_for,
        )  # fmt: skip
        now = self._wall(view.now)
        for target, box in zip(self._settings.notify, self.boxes.values(), strict=True):
            if notice.kind not in target.about or notice.severity.name.lower() not in _worse(target.at_least):
                continue
            if notice.kind == RECOVERED and take_back(box, notice):
                continue  # nobody has heard of it
            due = quiet_until(target, notice.severity, now)
            box.put(
                Letter(told, now.timestamp(), due_at=due, keys=tuple(one.condition.key for one in notice.incidents))
            )
            self._bells[box.name].set()

    async def _deliver_always(self, target: Notify, box: Box) -> None:
        bell = self._bells[box.name]
        while True:
            letter = box.first(self._unix())
            if letter is None:
                due = box.next_due()
                bell.clear()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(IDLE if due is None else max(0.05, min(IDLE, due - self._unix()))):
                        await bell.wait()
                continue
            try:
                await deliver(target, letter.words, site=self._settings.site)
            except NotDelivered as error:
                self._failed(box, letter, str(error))
            except Exception as error:  # the border of the task: an error of ours costs a try, not all messages to come
                self._failed(box, letter, f"an error of ours: {error!r}")
            else:
                box.went_well(letter)
                self._log.info("told", to=box.name, subject=letter.words.subject)
            self._save()

    def _failed(self, box: Box, letter: Letter, why: str) -> None:
        if not box.problem:
            self._log.error("a message could not be delivered; it is tried again", to=box.name, why=why)
        box.failed(letter, why, self._unix())

    def _unix(self) -> float:
        """Now, as Unix time: letters outlive the process."""
        return self._wall(time.monotonic()).timestamp()

    def _save(self) -> None:
        if self._file is None:
            return
        offset = self._unix() - time.monotonic()
        told = [(condition, at + offset) for condition, at in self.incidents.told]
        self._trouble = outbox.save(self._file, self.boxes.values(), told)


def names(targets: Sequence[Notify]) -> list[str]:
    """What the targets are called, in words without a secret; the same after a restart, and no two alike."""
    found: list[str] = []
    for target in targets:
        alike = sum(name.partition(" (")[0] == str(target) for name in found)
        found.append(f"{target} ({alike + 1})" if alike else str(target))
    return found


def quiet_until(target: Notify, severity: Severity, now: datetime) -> float:
    """When a letter may leave, Unix time: at once, or after the quiet hours if it is not critical."""
    if target.quiet is None or severity is Severity.CRITICAL:
        return now.timestamp()
    begin, end = target.quiet.begin, target.quiet.end
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = now.hour * 3600 + now.minute * 60 + now.second
    inside = begin <= passed < end if begin < end else passed >= begin or passed < end
    if not inside:
        return now.timestamp()
    return midnight.timestamp() + end + (86_400 if passed >= end else 0)


def take_back(box: Box, notice: Notice) -> bool:
    """What waits in quiet hours and is over is not told any more. True if that was all that there was to take back."""
    over = {one.condition.key for one in notice.incidents}
    for letter in list(box.letters):
        if letter.tries == 0 and letter.words.kind == BEGAN and letter.keys and over.issuperset(letter.keys):
            box.letters.remove(letter)
            over.difference_update(letter.keys)
    return not over


def _worse(least: str) -> tuple[str, ...]:
    names = tuple(severity.name.lower() for severity in Severity)
    return names[names.index(least) :]


async def send_test(settings: Settings) -> list[tuple[str, str]]:
    """A test message to every target, at once. Returns (target, "" or why it was not delivered)."""
    told = trial(settings.site, datetime.now().astimezone().isoformat(timespec="seconds"))
    found = []
    for target, name in zip(settings.notify, names(settings.notify), strict=True):
        try:
            await deliver(target, told, site=settings.site)
        except NotDelivered as error:
            found.append((name, str(error)))
        else:
            found.append((name, ""))
    return found
