"""The log: structlog to standard error, as text for people or one JSON object a line for a collector.

A stalled pipe must not stall calls: standard error is written without waiting, and what does not fit is dropped and
counted (the next line that fits says how many).
"""

import json
import logging
import os
import stat
from collections.abc import MutableMapping
from typing import Any

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


STANDARD_ERROR = 2


class Stream:
    """Standard error for structlog's loggers. Never waits, never raises: a log that cannot be written must not end
    calls."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self._rest = b""
        """The end of a line that fitted in part; it goes before everything else."""
        self.dropped = 0
        """Lines that were not written, since the last that was."""

    @property
    def problem(self) -> str:
        """While lines are being dropped: how many, and why."""
        return f"{self.dropped} lines were dropped, because it is not read fast enough" if self.dropped else ""

    def catch_up(self) -> None:
        """If lines were dropped and it is read again, say so, without waiting for the next line."""
        dropped, self.dropped = self.dropped, 0
        if dropped:
            self.write_line(f"({dropped} lines before this one were dropped: the log is not read fast enough)")
            if self.dropped:
                self.dropped = dropped

    def write_line(self, line: str) -> None:
        """One line, or nothing at all."""
        if self.dropped:
            line = f"{line}\n({self.dropped} lines before this one were dropped: the log is not read fast enough)"
        if not self._write(self._rest):
            self.dropped += 1
        elif self._write(line.encode("utf-8", "replace") + b"\n"):
            self.dropped = 0
        else:
            self.dropped += 1

    def _write(self, data: bytes) -> bool:
        """False if nothing of it left; what does not fit of a part is kept."""
        try:
            self._rest = data[os.write(self._handle, data) :] if data else b""
        except OSError:  # full, or closed
            return False
        return True


class Logger:
    """What structlog calls at the end: the rendered line."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write it."""
        self._stream.write_line(message)

    debug = info = warning = error = critical = exception = msg


def set_up(level: str, form: str, handle: int | None = None, stream: Stream | None = None) -> Stream:
    """Configure the log of the whole process. `level`: debug, info, warning or error; `form`: text or json. `stream`:
    what it was written to before, and goes on to be. Returns what it is written to."""
    number = STANDARD_ERROR if handle is None else handle
    stream = stream or Stream(without_waiting(number))
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_to_json) if form == "json" else structlog.dev.ConsoleRenderer(
            colors=os.isatty(number), pad_event_to=0, sort_keys=False
        )
    )  # fmt: skip
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if form == "json" else "%Y-%m-%d %H:%M:%S", utc=form == "json"),
            *((_printable,) if form == "text" else ()),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: Logger(stream),
        cache_logger_on_first_use=False,
    )
    return stream


def without_waiting(handle: int) -> int:
    """A descriptor for the same pipe or terminal that never makes us wait.

    "Do not wait" belongs to the open file, which we share with whoever started us: on a terminal that is the shell,
    and its other programs would fail with "resource temporarily unavailable". So it is opened once more, for us alone.
    A file on disk is left as it is. Only what cannot be opened again (a socket, somebody else's pipe) is changed.
    """
    kind = os.fstat(handle).st_mode
    if stat.S_ISREG(kind):
        return handle
    try:
        return os.open(f"/proc/self/fd/{handle}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        if stat.S_ISFIFO(kind) or stat.S_ISSOCK(kind):
            os.set_blocking(handle, False)
        return handle


def _printable(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """What peers wrote must not command a terminal, nor look like a line of ours."""
    for key, value in event.items():
        if isinstance(value, str) and not value.isprintable():
            event[key] = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)
    return event


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
