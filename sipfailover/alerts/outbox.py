"""What was not delivered yet, for one target each: tried again and again, kept in a file over a restart.

Sans-IO but for the file, which is written whole with every change (a handful of messages a day). Calls never wait for
it: the file belongs to the alerts alone, and a disk that refuses costs what a restart would have kept.
"""

import contextlib
import json
import os
from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sipfailover.alerts.condition import Condition, Severity
from sipfailover.alerts.text import Words

LETTERS_MAX = 200
"""Letters that wait for one target. Beyond it the oldest is dropped and counted."""
RETRY_FIRST, RETRY_MOST = 10.0, 600.0
"""Seconds until a letter is tried again: doubled each time, up to the second."""
GIVE_UP_AFTER = 86_400.0
"""Seconds after which a letter is not tried any more: nobody wants yesterday's news."""
FILE_MAX_BYTES = 16 << 20
"""More than LETTERS_MAX for each of the most targets there may be; a longer file is none of ours."""


@dataclass(slots=True, eq=False)
class Letter:
    """One message to one target. Times are Unix time: they outlive the process."""

    words: Words
    written_at: float
    tries: int = 0
    due_at: float = 0.0
    """Not before this."""
    keys: tuple[str, ...] = ()
    """The conditions that it is about."""


@dataclass(slots=True)
class Box:
    """The letters for one target. `name` is the same after a restart."""

    name: str
    letters: deque[Letter] = field(default_factory=deque)
    dropped: int = 0
    """Letters that were never delivered."""
    problem: str = ""
    """Why the last try failed; "" since one went well."""

    def put(self, letter: Letter) -> None:
        """Deliver this one too, in its turn."""
        self.letters.append(letter)
        if len(self.letters) > LETTERS_MAX:
            self.letters.popleft()
            self.dropped += 1

    def next_due(self) -> float | None:
        """When the next letter may be tried, Unix time; None if there is none."""
        return min((letter.due_at for letter in self.letters), default=None)

    def first(self, now: float) -> Letter | None:
        """The letter to try now. Who is too old is dropped."""
        while self.letters and now - self.letters[0].written_at > GIVE_UP_AFTER:
            self.letters.popleft()
            self.dropped += 1
        return next((letter for letter in self.letters if letter.due_at <= now), None)

    def went_well(self, letter: Letter) -> None:
        """It was delivered."""
        if letter in self.letters:
            self.letters.remove(letter)
        self.problem = ""

    def failed(self, letter: Letter, why: str, now: float) -> None:
        """It was not delivered; the others wait as long, because they have the same way."""
        letter.tries += 1
        again = now + min(RETRY_MOST, RETRY_FIRST * 2 ** (letter.tries - 1))
        for one in self.letters:
            one.due_at = max(one.due_at, again)
        self.problem = why


@dataclass(frozen=True, slots=True)
class Kept:
    """What a file holds: letters by the name of their target, and what was told and is not over (Unix times)."""

    letters: dict[str, list[Letter]]
    told: list[tuple[Condition, float]]


def load(path: str | None) -> Kept:
    """What an earlier process left. A file that is missing, damaged or not ours is an empty one."""
    if path is None:
        return Kept({}, [])
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(FILE_MAX_BYTES))
        letters = {name: [_letter(one) for one in many] for name, many in found["letters"].items()}
        told = [(_condition(one["condition"]), float(one["at"])) for one in found["told"]]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return Kept({}, [])
    return Kept(letters, told)


def save(path: str, boxes: Iterable[Box], told: Iterable[tuple[Condition, float]]) -> str:
    """Write it all, whole or not at all. Returns "" or why it could not be written."""
    data = {
        "letters": {box.name: [asdict(letter) for letter in box.letters] for box in boxes},
        "told": [{"condition": asdict(condition), "at": at} for condition, at in told],
    }
    beside = f"{path}.new"
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(handle, "w") as file:
            json.dump(data, file)
        os.rename(beside, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        return f"cannot write {path}: {error.strerror}"
    return ""


def _letter(kept: dict[str, Any]) -> Letter:
    words = Words(**{**kept["words"], "severity": Severity(kept["words"]["severity"])})
    return Letter(words, float(kept["written_at"]), int(kept["tries"]), float(kept["due_at"]), tuple(kept["keys"]))


def _condition(kept: dict[str, Any]) -> Condition:
    return Condition(str(kept["what"]), str(kept["who"]), Severity(kept["severity"]), str(kept["why"]))
