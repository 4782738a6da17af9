"""Reload: the file is read and checked again, and put into effect whole, or refused whole.

Reading happens beside the event loop, because it may be a slow disk; putting into effect is one step in it, between two
messages. What each key does is `config.EFFECTS`' and the engine's (`proxy.reloading`); here it is told to those who
hold the sockets, the names, the certificates, the page and the log.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from sipfailover import log
from sipfailover.config import Changes, Settings, as_it_runs, compare, fingerprint, objections
from sipfailover.errors import ConfigError, SipfailoverError
from sipfailover.ledger import Ledger
from sipfailover.proxy import ConfigChanged, Engine, Fact
from sipfailover.transport import Resolver, Tls, peers_of
from sipfailover.web import ConfigView, Reloaded, WebServer

Read = Callable[[], Settings]
"""Read and check the file anew. Raises ConfigError with all problems."""
LINES_MAX = 100
"""Lines of one reload that are told; of more, how many."""
NO_FILE = "this service was started without a file that could be read again"
WITH_THE_REST = "cannot be so while what needs a restart is as it is now"


class Reloader:
    """The configuration in effect, and the way to another one.

    `settings`: what is in effect, which is what the file says but for what needs a restart. `stream`: where the log
    goes, if that is ours to change.
    """

    def __init__(
        self,
        settings: Settings,
        read: Read | None,
        *,
        engine: Engine,
        tls: Tls,
        resolver: Resolver,
        ledger: Ledger,
        record: Callable[[Fact], None],
        settled: Callable[[], None],
        say: Callable[[str, str, dict[str, object]], None],
        stream: log.Stream | None = None,
    ) -> None:
        self.settings = settings
        self.web: WebServer | None = None
        self._read = read
        self._engine = engine
        self._tls = tls
        self._resolver = resolver
        self._ledger = ledger
        self._record = record
        self._settled = settled
        self._say = say
        self._stream = stream
        self._one_at_a_time = asyncio.Lock()
        self._waiting: tuple[str, ...] = ()
        self._loaded_at = time.monotonic()
        self._fingerprint = fingerprint(settings)
        self._last: Reloaded | None = None

    def begin(self) -> None:
        """Note in the history what is in effect from the start on."""
        self._record(ConfigChanged(self._loaded_at, self._fingerprint, True, (), ""))

    async def reload(self, who: str) -> Reloaded:
        """Read the file and put it into effect. `who`: for the history. Never raises."""
        async with self._one_at_a_time:
            try:
                if self._read is None:
                    raise SipfailoverError(NO_FILE)
                wanted = await asyncio.get_running_loop().run_in_executor(None, self._read)
                return self._put_into_effect(wanted, who)
            except ConfigError as error:
                return self._refused(tuple(_plain(error)), who)
            except SipfailoverError as error:
                return self._refused((str(error),), who)
            except Exception as error:  # the border: a fault of ours must not end what runs
                return self._refused((f"a fault of ours, please report it: {error!r}",), who)

    @property
    def view(self) -> ConfigView:
        """For the page and /status."""
        last = self._last
        if last is None:
            return ConfigView(self._fingerprint, self._loaded_at)
        return ConfigView(self._fingerprint, self._loaded_at, last.good, last.at, last.lines)

    @property
    def problem(self) -> str:
        """Why the file as it was last read is not in effect; empty if it is."""
        if self._last is None or self._last.good:
            return ""
        more = len(self._last.lines) - 1
        return f"the file is refused, and what ran before is still in effect: {self._last.lines[0]}" + (
            f" (and {more} more)" if more else ""
        )

    @property
    def warnings(self) -> tuple[str, ...]:
        """What the operator should know of it."""
        left = tuple(f"{sentence[0].upper()}{sentence[1:]}." for sentence in self._engine.left)
        return (*(f"Not in effect yet: {line}" for line in self._waiting), *left)

    def _put_into_effect(self, wanted: Settings, who: str) -> Reloaded:
        now = time.monotonic()
        before = self.settings
        changes = compare(before, wanted)
        settings = as_it_runs(before, wanted)
        if changes.waiting:
            against = tuple(f"{why} ({WITH_THE_REST}: {_names(changes)})" for why in objections(settings))
            if against:
                return self._refused(against, who)
        told = self._engine.reload(settings, now)
        self.settings = settings
        self._waiting = tuple(map(str, changes.waiting))
        self._fingerprint, self._loaded_at = fingerprint(settings), now
        lines = (*told, *self._waiting)
        if len(lines) > LINES_MAX:
            lines = (*lines[:LINES_MAX], f"and {len(lines) - LINES_MAX} more")
        self._tell_others(before, settings, compare(before, settings))
        self._last = Reloaded(True, now, self._fingerprint, lines, who)
        self._record(ConfigChanged(now, self._fingerprint, True, lines, who))
        self._say("info", "reloaded" if lines else "reloaded: nothing has changed", {"by": who})
        for line in lines:
            self._say("info", f"reloaded: {line}", {})
        for warning in settings.warnings:
            self._say("warning", str(warning), {})
        return self._last

    def _tell_others(self, before: Settings, settings: Settings, changes: Changes) -> None:
        """Everybody but the engine."""
        left = {line.name for line in self._engine.core.left}
        self._tls.configure(settings, asyncio.get_running_loop().time(), left)
        self._resolver.change(peers_of(settings), changes.anew)
        self._settled()
        self._ledger.keep_for(settings.history.keep)
        if settings.log != before.log and self._stream is not None:
            log.set_up(settings.log.level, settings.log.format, stream=self._stream)
        if self.web is not None:
            self.web.configure(settings.site, token_of(settings))

    def _refused(self, problems: tuple[str, ...], who: str) -> Reloaded:
        now = time.monotonic()
        self._last = Reloaded(False, now, self._fingerprint, problems[:LINES_MAX], who)
        self._record(ConfigChanged(now, self._fingerprint, False, self._last.lines, who))
        self._say("error", "the file is refused, and what ran before is still in effect", {"by": who})
        for problem in self._last.lines:
            self._say("error", f"refused: {problem}", {})
        return self._last


def token_of(settings: Settings) -> str:
    """The token of the page, "" if there is none."""
    token = settings.status.token
    return token.get_secret_value() if token is not None else ""


def _names(changes: Changes) -> str:
    return ", ".join(change.key for change in changes.waiting)


def _plain(error: ConfigError) -> list[str]:
    """Its problems, a line each: without the lines of the file, in which a secret may stand."""
    return [str(replace(problem, source="")) for problem in error.problems]
