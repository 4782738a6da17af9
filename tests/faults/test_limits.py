"""What the system gives us is used up: descriptors, memory. And an error of ours in the midst of a call."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.faults.needs import needs_programs
from tests.faults.street import SETTINGS, Street
from tests.interop.stage import SIP_PORT, Stage, until

WITH_TCP = SETTINGS.replace("listen: udp {service}:5060", "listen: [udp {service}:5060, tcp {service}:5060]")
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


@pytest.mark.parametrize("crowded", [(256, False), (24, True)], ids=["few", "next to none"])
@needs_programs("prlimit")
def test_with_few_descriptors_a_crowd_costs_no_call_and_nothing_spins(stage: Stage, crowded: tuple[int, bool]) -> None:
    descriptors, is_exhausted = crowded
    with Street(stage, settings=WITH_TCP, before=["prlimit", f"--nofile={descriptors}"]) as street:
        assert f"only {descriptors} files and sockets" in street.warnings()
        held = street.call(talk=None)
        with crowd(stage, descriptors + 10):
            if is_exhausted:
                until(lambda: "nobody new can connect" in street.log, 10.0, "the log tells it", street.service)
            else:
                assert street.ready(), "there is room for the page"
            before = cpu_seconds(street.service.pid)
            street.calls(20)
            assert cpu_seconds(street.service.pid) - before < 1.0, "it does not spin"
        street.hang_up(held)
        until(lambda: held.ended_at, 5.0, "the call before it ends", street.service)
        until(lambda: street.ready() and "Connections" not in street.warnings(), 10.0, "all is well", street.service)
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
