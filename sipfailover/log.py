"""The log: structlog to standard error, as text for people or one JSON object a line for a collector.

A stalled pipe must not stall calls: standard error is written without waiting, and what does not fit is dropped and
counted (the next line that fits says how many).
"""

import json
import logging
import os
import sys
from typing import Any

import structlog

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class Stream:
    """Standard error for structlog's loggers. Never raises: a log that cannot be written must not end calls."""

    def __init__(self, handle: int) -> None:
        self._handle = handle
        self.dropped = 0
        """Lines that were not written, since the last that was."""

    def write_line(self, line: str) -> None:
        """One line, or nothing at all."""
        if self.dropped:
            line = f"{line}\n({self.dropped} lines before this one were dropped: the log is not read fast enough)"
        try:
            os.write(self._handle, line.encode("utf-8", "replace") + b"\n")
            self.dropped = 0
        except OSError:  # full, or closed
            self.dropped += 1


class Logger:
    """What structlog calls at the end: the rendered line."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Write it."""
        self._stream.write_line(message)

    debug = info = warning = error = critical = exception = msg


def set_up(level: str, form: str, handle: int | None = None) -> None:
    """Configure the log of the whole process. `level`: debug, info, warning or error; `form`: text or json."""
    number = sys.stderr.fileno() if handle is None else handle
    os.set_blocking(number, False)
    stream = Stream(number)
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_to_json) if form == "json" else structlog.dev.ConsoleRenderer(
            colors=os.isatty(number), pad_event_to=0, sort_keys=False
        )
    )  # fmt: skip
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso" if form == "json" else "%Y-%m-%d %H:%M:%S", utc=form == "json"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: Logger(stream),
        cache_logger_on_first_use=False,
    )


def _to_json(value: Any, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
