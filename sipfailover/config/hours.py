"""When something may happen: `automatic`, `manual`, or between two times of the local day, as in `02:00-05:00`."""

import re
from typing import Annotated, NamedTuple

from pydantic import BeforeValidator, WithJsonSchema

_HOURS = re.compile(r"(\d{1,2}):(\d\d)\s*(?:-|–|to)\s*(\d{1,2}):(\d\d)", re.ASCII)
DAY_MINUTES = 24 * 60


class When(NamedTuple):
    """`word`: automatic, manual or hours; then from `begin` until `end`, in seconds since midnight, local time. The end
    may lie on the next day."""

    word: str
    begin: float = 0.0
    end: float = 0.0

    @property
    def window(self) -> tuple[float, float] | None:
        """The hours, None if it is not about hours."""
        return (self.begin, self.end) if self.word == "hours" else None

    def __str__(self) -> str:
        return f"{_clock(self.begin)}-{_clock(self.end)}" if self.word == "hours" else self.word


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 3600:02}:{int(seconds) // 60 % 60:02}"


def when(value: object) -> object:
    """`automatic`, `manual` or `02:00-05:00`."""
    if not isinstance(value, str):
        return value
    text = value.strip().lower()
    if text in ("automatic", "manual"):
        return When(text)
    match = _HOURS.fullmatch(text)
    if match is None:
        raise ValueError(f"'{value}' is no time for a return: write automatic, manual, or hours as in 02:00-05:00")
    begin, end = (int(hour) * 60 + int(minute) for hour, minute in ((match[1], match[2]), (match[3], match[4])))
    if max(int(match[2]), int(match[4])) > 59 or max(begin, end) > DAY_MINUTES:
        raise ValueError(f"'{value}' has a time that no clock shows: hours from 00:00 to 24:00")
    if begin % DAY_MINUTES == end % DAY_MINUTES:
        raise ValueError(f"'{value}' begins when it ends: write automatic for the whole day")
    return When("hours", begin * 60.0, end * 60.0)


ReturnWhen = Annotated[
    When,
    BeforeValidator(when),
    WithJsonSchema({"type": "string", "pattern": r"^(automatic|manual|\d{1,2}:\d\d-\d{1,2}:\d\d)$"}),
]
