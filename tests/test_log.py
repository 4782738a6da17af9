"""The log: two forms, never in the way of calls, nothing in it that commands a terminal."""

import fcntl
import json
import os
import pty
import re
import socket
from collections.abc import Iterator

import pytest
import structlog

from sipfailover.log import Stream, set_up, without_waiting

PIPE_BYTES = 4096


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """(read end, write end); the write end waits, as the one that a shell or a container gives us."""
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)
    structlog.reset_defaults()


def said(end: int) -> str:
    return os.read(end, 1 << 20).decode()


def test_text_is_one_line_for_people(pipe: tuple[int, int]) -> None:
    set_up("info", "text", pipe[1])
    log = structlog.get_logger("x")
    log.debug("not asked for")
    log.warning("trunk main is Down", was="Up", why="2 checks in a row failed", seconds=1.5)
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \[warning  \] trunk main is Down was=Up why='2 checks in a row failed' "
        r"seconds=1.5\n",
        said(pipe[0]),
    )


def test_json_is_one_object_a_line(pipe: tuple[int, int]) -> None:
    set_up("debug", "json", pipe[1])
    log = structlog.get_logger("x")
    log.debug("Zürich\nand on", why='a "b"', raw=b"x", at=("udp", 5060))
    log.info("second")
    first, second = said(pipe[0]).splitlines()
    told = json.loads(first)
    assert (told["event"], told["level"], told["why"], told["at"]) == (
        "Zürich\nand on",
        "debug",
        'a "b"',
        ["udp", 5060],
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", told["timestamp"])
    assert json.loads(second)["event"] == "second"


@pytest.mark.parametrize("level", ["debug", "info", "warning", "error"])
def test_what_is_below_the_level_is_not_said(pipe: tuple[int, int], level: str) -> None:
    set_up(level, "json", pipe[1])
    levels = ["debug", "info", "warning", "error"]
    for name in levels:
        getattr(structlog.get_logger("x"), name)("x")
    assert [json.loads(line)["level"] for line in said(pipe[0]).splitlines()] == levels[levels.index(level) :]


@pytest.mark.parametrize(
    "evil", ["\x1b[2J\x1b]0;owned\x07", "a\nb 2026-01-01 [error] forged", "\x00\r\x9b31m", "\u202e"]
)
def test_what_a_peer_wrote_cannot_command_a_terminal_or_forge_a_line(pipe: tuple[int, int], evil: str) -> None:
    set_up("info", "text", pipe[1])
    structlog.get_logger("x").info(f"call to {evil}", why=evil)
    line = said(pipe[0])
    assert line.count("\n") == 1
    assert line[:-1].isprintable()


def test_an_exception_is_told_with_its_lines(pipe: tuple[int, int]) -> None:
    set_up("info", "text", pipe[1])
    try:
        raise ValueError("x")
    except ValueError:
        structlog.get_logger("x").exception("boom")
    assert "Traceback (most recent call last):\n" in said(pipe[0])


def test_a_pipe_that_nobody_reads_never_makes_us_wait_and_the_loss_is_told(pipe: tuple[int, int]) -> None:
    set_up("info", "json", pipe[1])
    log = structlog.get_logger("x")
    for number in range(5000):  # a pipe holds 64 KiB
        log.info("line", number=number)
    told = [json.loads(line) for line in said(pipe[0]).splitlines()]
    assert [line["number"] for line in told] == list(range(len(told)))
    assert 100 < len(told) < 5000
    log.info("again")
    first, *rest = said(pipe[0]).splitlines()
    assert json.loads(first)["event"] == "again"
    assert rest == [f"({5000 - len(told)} lines before this one were dropped: the log is not read fast enough)"]
    log.info("well")
    assert len(said(pipe[0]).splitlines()) == 1


def test_a_line_that_fits_in_part_is_finished_before_the_next(pipe: tuple[int, int]) -> None:
    stream = Stream(without_waiting(pipe[1]))
    long = "x" * (10 * PIPE_BYTES)  # over PIPE_BUF, so that the kernel may take a part of it
    for _ in range(4):
        stream.write_line(long)
    read = ""
    for _ in range(4):
        read += said(pipe[0])
        stream.write_line("short")
    read += said(pipe[0])
    lines = [line for line in read.splitlines() if not line.startswith("(")]
    assert set(lines) == {long, "short"}


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    stream = Stream(without_waiting(write))
    stream.write_line("into nothing")
    assert stream.dropped == 1
    os.close(write)


def test_a_terminal_that_we_share_keeps_waiting_for_everybody_else() -> None:
    master, terminal = pty.openpty()
    shell = os.dup(terminal)  # the shell's descriptor for the same open file
    set_up("info", "text", terminal)
    assert os.get_blocking(shell)
    structlog.get_logger("x").info("to the terminal")
    assert b"to the terminal" in os.read(master, 1000)
    for end in (master, terminal, shell):
        os.close(end)
    structlog.reset_defaults()


def test_a_pipe_that_we_share_keeps_waiting_for_everybody_else(pipe: tuple[int, int]) -> None:
    own = without_waiting(pipe[1])
    assert os.get_blocking(pipe[1])
    assert not os.get_blocking(own)
    os.close(own)


def test_a_file_is_written_where_it_ends(tmp_path: object) -> None:
    handle = os.open(f"{tmp_path}/log", os.O_CREAT | os.O_RDWR)
    os.write(handle, b"before\n")
    Stream(without_waiting(handle)).write_line("after")
    os.lseek(handle, 0, os.SEEK_SET)
    assert os.read(handle, 100) == b"before\nafter\n"
    os.close(handle)


def test_a_socket_does_not_wait_either() -> None:
    ours, theirs = socket.socketpair()  # what systemd gives a service
    with ours, theirs:
        stream = Stream(without_waiting(ours.fileno()))
        for _ in range(5000):
            stream.write_line("x" * 200)
        assert stream.dropped


def test_a_reader_that_comes_back_hears_what_it_missed_without_a_further_line(pipe: tuple[int, int]) -> None:
    fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    stream = Stream(without_waiting(pipe[1]))
    stream.catch_up()
    for _ in range(100):
        stream.write_line("x" * 100)
    dropped = stream.dropped
    stream.catch_up()
    assert stream.dropped == dropped, "still nobody reads"
    assert f"{dropped} lines were dropped" in stream.problem
    said(pipe[0])
    stream.catch_up()
    assert f"({dropped} lines before this one were dropped" in said(pipe[0])
    assert stream.problem == ""
