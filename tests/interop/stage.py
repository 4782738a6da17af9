"""The stage of one test: loopback addresses nobody else uses, a folder, and the processes, all gone when it ends.

Every process is a `Child`: started without a shell, its output in a file of the folder, ended by its own pid and never
by name. Waiting is `until`: outside processes give no events, so their files and pages are polled with a deadline.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

POLL_EVERY = 0.02
"""Seconds between two looks at a file, a page or a process."""
TERM_WITHIN = 3.0
"""Seconds a process gets to end by itself after SIGTERM, then it is killed."""
SIP_PORT = 5060
SIPS_PORT = 5061
DISCARD_PORT = 9
NETWORKS_FROM, NETWORKS_TO = 16, 240
"""The second byte of the networks we take: 127.16.x to 127.239.x; below are the addresses people use by hand."""
LOG_TAIL = 4000
"""Characters of each log that a failing test shows."""

Found = TypeVar("Found")


class ProgramMissing(RuntimeError):
    """A program that the test needs is not installed."""


def program(name: str) -> str:
    """The path of an installed program. Raises ProgramMissing."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    if path is None:
        raise ProgramMissing(f"{name} is not installed")
    return path


def until(look: Callable[[], Found], within: float, what: object, child: "Child | None" = None) -> Found:
    """The first true value of `look`. `within`: seconds. Raises AssertionError with `what` (anything that prints)
    when time is up or, with the end of its log, when `child` ends before."""
    deadline = time.monotonic() + within
    while not (found := look()):
        if child is not None and not child.alive:
            raise AssertionError(f"{child.name} ended before: {what}\n{child.tail()}")
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within:g} s: {what}" + (f"\n{child.tail()}" if child else ""))
        time.sleep(POLL_EVERY)
    return found


class Child:
    """A process of the stage. `cpu`: the core it is pinned to, None for any."""

    def __init__(
        self,
        stage: "Stage",
        name: str,
        command: Sequence[str | Path],
        *,
        cpu: int | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.folder = stage.folder
        self.log = stage.folder / f"{name}.log"
        words = [str(word) for word in command]
        words[0] = program(words[0])
        if cpu is not None:
            words = [program("taskset"), "-c", str(cpu), *words]  # taskset becomes the program: the pid is the same
        with self.log.open("wb") as log:
            log.write((" ".join(words) + "\n").encode())
            log.flush()
            self.process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=stage.folder,
                env={**os.environ, **(env or {})}, start_new_session=True,
            )  # fmt: skip
        self.started_at = time.monotonic()
        stage.children.append(self)

    def __repr__(self) -> str:
        code = self.process.poll()
        return f"<{self.name} pid {self.pid} {'running' if code is None else f'ended with {code}'}>"

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def tail(self) -> str:
        """The end of its output."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to this process, if it is still there."""
        if self.alive:
            os.kill(self.pid, number)

    def wait(self, within: float) -> int:
        """Its exit code. Raises AssertionError if it does not end within so many seconds."""
        try:
            return self.process.wait(within)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end within {within:g} s\n{self.tail()}") from None

    def stop(self) -> None:
        """End it and whatever it started: TERM, and KILL for what is left. Harmless when it is gone."""
        if self.alive:
            self.signal(signal.SIGCONT)  # a stopped process would not hear the TERM
            self.signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(TERM_WITHIN)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)  # it leads a session of its own; workers may have outlived it
        self.process.wait()


class Stage:
    """The addresses 127.x.y.1 to .253 of a network that is ours while the stage stands, a folder, and the children."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[Child] = []
        self._claim, self._network = _claim_network()

    def host(self, number: int) -> str:
        """The address with this last byte."""
        return f"{self._network}.{number}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, the newest first, and give the network back."""
        for child in reversed(self.children):
            child.stop()
        self._claim.close()

    def tails(self) -> dict[str, str]:
        """The end of every log in the folder, for a test that failed."""
        found = {}
        for file in sorted(self.folder.rglob("*")):
            if file.suffix in (".log", ".errors", ".cfg", ".yaml") and file.is_file():
                found[file.name] = file.read_text(errors="replace")[-LOG_TAIL:]
        return found


def _claim_network() -> tuple[socket.socket, str]:
    """A network nobody has, and the socket that keeps others from taking it. The process id spreads parallel runs."""
    count = (NETWORKS_TO - NETWORKS_FROM) * 254
    for step in range(count):
        high, low = divmod((os.getpid() * 37 + step) % count, 254)
        network = f"127.{NETWORKS_FROM + high}.{low + 1}"
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            claim.bind((f"{network}.254", DISCARD_PORT))
        except OSError:
            claim.close()
        else:
            return claim, network
    raise AssertionError("no loopback network is free")
