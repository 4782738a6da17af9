"""What the system gives us is used up: descriptors, memory. And an error of ours in the midst of a call."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.needs import needs_programs
from tests.faults.street import SETTINGS, Street
from tests.interop.stage import SIP_PORT, Stage, until

WITH_TCP = SETTINGS.replace("listen: udp {service}:5060", "listen: [udp {service}:5060, tcp {service}:5060]")
DESCRIPTORS = 256
MEMORY = 400 << 20
"""Bytes of address space: what the service takes when it starts, and a little."""

FAULTY = """
import sipfailover.proxy.engine as engine

whole = engine.Engine.receive

def receive(self, flow, data, now):
    if data.startswith(b"INVITE") and b"0449990000" in data.partition(b"\\r\\n")[0]:
        raise {error}
    whole(self, flow, data, now)

engine.Engine.receive = receive
"""


@contextmanager
def crowd(stage: Stage, count: int) -> Iterator[list[socket.socket]]:
    """So many who connect to our TCP port, as PBX and as strangers, and say nothing."""
    with ExitStack() as stack:
        socks = []
        for place in range(count):
            sock = stack.enter_context(socket.socket())
            sock.settimeout(2.0)
            sock.bind((stage.host(2 if place % 2 else 100 + place % 50), 0))
            sock.connect((stage.host(1), SIP_PORT))
            socks.append(sock)
        yield socks


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


@needs_programs("prlimit")
def test_with_few_descriptors_a_crowd_is_bounded_and_costs_no_call(stage: Stage) -> None:
    with Street(stage, settings=WITH_TCP, before=["prlimit", f"--nofile={DESCRIPTORS}"]) as street:
        assert f"only {DESCRIPTORS} files and sockets" in street.warnings()
        with crowd(stage, DESCRIPTORS + 10):
            assert street.ready(), "there is room for the page"
            street.calls(20)
        street.calls(2)


def is_well(street: Street) -> bool:
    """Whether the page says so; while descriptors are short it is cut off now and then, as everybody is."""
    try:
        return "Connections" not in street.warnings()
    except OSError:
        return False


@needs_programs("prlimit")
def test_when_the_descriptors_are_used_up_calls_go_on_and_nothing_spins_and_it_is_told(stage: Stage) -> None:
    with Street(stage, settings=WITH_TCP) as street:
        held = street.call(talk=None)
        pid = street.service.pid
        left = max(int(one.name) for one in Path(f"/proc/{pid}/fd").iterdir()) + 3
        subprocess.run(["prlimit", f"--pid={pid}", f"--nofile={left}"], check=True)
        with crowd(stage, 12):
            until(lambda: "nobody new can connect" in street.log, 10.0, "the log tells it", street.service)
            before = cpu_seconds(pid)
            street.calls(20)
            assert cpu_seconds(pid) - before < 1.0, "it does not spin"
        # Who waits in the backlog is taken a few at a time, twice a second.
        street.hang_up(held)
        until(lambda: held.ended_at, 5.0, "the call before it ends", street.service)
        until(lambda: is_well(street), 15.0, "all is well", street.service)
        street.calls(2)


@needs_programs("prlimit")
def test_with_little_memory_calls_go_on(stage: Stage) -> None:
    with Street(stage, before=["prlimit", f"--as={MEMORY}"]) as street:
        for _ in range(5):
            street.calls(50)


@pytest.mark.parametrize("error", ["ValueError('x')", "MemoryError()", "RecursionError()", "KeyError(1)"])
def test_an_error_of_ours_costs_one_message_and_is_told_once(stage: Stage, error: str) -> None:
    hidden = stage.folder / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text(FAULTY.format(error=error))
    path = f"{hidden}:{Path(__file__).parents[2]}"
    with Street(stage, env={"PYTHONPATH": path}) as street:
        lost = [street.call("0449990000") for _ in range(3)]
        street.calls(10)
        said = street.warned("This software: an error 3 times")
        assert "please report it" in said
        assert street.log.count("Traceback") == 1, "each place once"
        assert street.ready()
        assert not any(leg.answered_at for leg in lost)
