"""Two network namespaces joined by a cable: an office and its carrier, with addresses that a test may change.

Needs root and `ip`; nothing outside the two namespaces is touched, and they are gone when the test ends.
"""

import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from tests.interop.needs import REQUIRED, needs
from tests.interop.stage import program

OFFICE, CARRIER = "office", "carrier"


def needs_namespaces(*programs: str) -> list[pytest.MarkDecorator]:
    """Marks for a module, as `needs`, with a skip where namespaces cannot be made."""
    marks = needs("ip", *programs)
    if not REQUIRED and not _can_make_one():
        marks.append(pytest.mark.skipif(True, reason="network namespaces cannot be made here (that takes root)"))
    return marks


def _can_make_one() -> bool:
    name = f"sf-try-{os.getpid()}"
    try:
        _ip("netns", "add", name)
        _ip("netns", "del", name)
    except (RuntimeError, subprocess.CalledProcessError):
        return False
    return True


class Cable:
    """The namespaces `office` and `carrier` with one link each, which are the two ends of a cable."""

    def __init__(self) -> None:
        self._made: list[str] = []

    def __enter__(self) -> Self:
        try:
            for end in (OFFICE, CARRIER):
                _ip("netns", "add", self.name(end))
                self._made.append(self.name(end))
                self.ip(end, "link", "set", "lo", "up")
            self.ip(OFFICE, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", self.name(CARRIER))
            for end in (OFFICE, CARRIER):
                self.ip(end, "link", "set", "wire", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._made:
            with suppress(subprocess.CalledProcessError):
                _ip("netns", "del", name)  # the cable goes with it

    def name(self, end: str) -> str:
        """The namespace's name; other runs on this machine have others."""
        return f"sf-{end}-{os.getpid()}"

    def ip(self, end: str, *words: str) -> None:
        """`ip` inside a namespace. Raises CalledProcessError."""
        _ip("-n", self.name(end), *words)

    def inside(self, end: str, *command: str | Path) -> list[str | Path]:
        """The command line that runs this one in a namespace; its process id is the command's."""
        return ["ip", "netns", "exec", self.name(end), *command]


def _ip(*words: str) -> None:
    subprocess.run([program("ip"), *words], check=True, capture_output=True, timeout=10)
