"""Who reads our log stalls, dies, or was never there: calls do not notice."""

import fcntl
import os
import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.street import SETTINGS, Street
from tests.interop.stage import SIP_PORT, Child, Stage, until

TALKATIVE = SETTINGS.replace("level: info", "level: debug")
PIPE_BYTES = 4096


def into(pipe: Path) -> list[str]:
    """Words that start a program with its standard error in this pipe."""
    return ["sh", "-c", f'exec "$@" 2>"{pipe}"', "sh"]


def test_a_reader_that_is_stopped_costs_lines_and_no_call_and_they_are_counted(stage: Stage) -> None:
    pipe, read = stage.folder / "pipe", stage.folder / "reader.log"
    os.mkfifo(pipe)
    reader = Child(stage, "reader", ["cat", pipe])
    with small(pipe), Street(stage, settings=TALKATIVE, before=into(pipe)) as street:
        street.calls(2)
        until(lambda: b"ready" in read.read_bytes(), 5.0, "the log is read", street.service)
        reader.signal(signal.SIGSTOP)
        until(lambda: not reading(reader.pid), 5.0, "stopped")
        before = read.stat().st_size
        for _ in range(40):
            garbage(stage)
            legs = street.calls(20)
            assert max(leg.answered_at - leg.seen_at for leg in legs if leg.answered_at) < 2.0
            if "The log: " in street.warnings():
                break
        else:
            raise AssertionError("the pipe never was full")
        assert "lines were dropped, because it is not read fast enough" in street.warnings()
        assert 'sipfailover_trouble{what="log"} 1.0' in street.get("/metrics")
        reader.signal(signal.SIGCONT)
        street.calls(2)
        text = until(
            lambda: (found := read.read_text()) and "lines before this one were dropped" in found and found,
            5.0, "the log says what it lacks", street.service,
        )  # fmt: skip
        assert len(text) - before > PIPE_BYTES / 2
        assert int(re.findall(r"\((\d+) lines? before", text)[0]) > 0
        for line in text.splitlines()[1:]:
            assert re.match(r"\d{4}-\d\d-\d\d |\(\d+ lines", line), f"torn: {line!r}"


@contextmanager
def small(pipe: Path) -> Iterator[None]:
    """A pipe into which little fits."""
    end = os.open(pipe, os.O_RDWR | os.O_NONBLOCK)
    try:
        fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        yield
    finally:
        os.close(end)


def garbage(stage: Stage) -> None:
    """What the log at level debug has a line for: datagrams of the PBX that nobody can read."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((stage.host(2), 0))
        for _ in range(100):
            sock.sendto(b"INVITE nonsense\r\n\r\n", (stage.host(1), SIP_PORT))


def reading(pid: int) -> bool:
    """Whether a process is not stopped."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "T"


@pytest.mark.parametrize("how", ["the reader dies", "there is none"])
def test_no_reader_at_all_costs_no_call(stage: Stage, how: str) -> None:
    pipe = stage.folder / "pipe"
    os.mkfifo(pipe)
    reader = Child(stage, "reader", ["cat", pipe])
    before = into(pipe) if how == "the reader dies" else ["sh", "-c", 'exec "$@" 0<&- 1>&- 2>&-', "sh"]
    with Street(stage, settings=TALKATIVE, before=before) as street:
        street.calls(2)
        reader.signal(signal.SIGKILL)
        street.calls(20)
        assert street.ready()
