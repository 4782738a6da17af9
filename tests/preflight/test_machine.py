"""The sockets of a check: the service's own if they are free."""

import asyncio

import pytest

from sipfailover.config import Settings, parse
from sipfailover.preflight.machine import Machine
from sipfailover.preflight.report import Result, Step
from tests.test_app import free_port
from tests.transport.ends import udp_peer


class Tried:
    """One try to have the sockets."""

    def __init__(self, settings: Settings) -> None:
        self.steps: list[Step] = []
        nothing = lambda *_: None  # noqa: E731
        self.machine = Machine(
            asyncio.get_running_loop(), settings, self.steps.append, received=nothing, lost=nothing, settled=nothing
        )

    async def __aenter__(self) -> "Tried":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.machine.close()

    @property
    def ports(self) -> set[tuple[str, int]]:
        return {(transport, port) for transport, _, port in self.machine.pool.bound}


def listening(*listen: str) -> Settings:
    addresses = ", ".join(f'"{one}"' for one in listen)
    return parse(f"pbx: 192.168.1.5\nlisten: [{addresses}]\ntrunks: [{{name: main, host: 192.0.2.1}}]")


async def test_free_ports_are_used_as_the_service_would() -> None:
    port = free_port()
    async with Tried(listening(f"udp 127.0.0.1:{port}", f"tcp 127.0.0.1:{port}")) as tried:
        assert not tried.machine.running
        assert tried.ports == {("udp", port), ("tcp", port)}
        assert [step.result for step in tried.steps] == [Result.GOOD]


async def test_a_port_that_is_taken_means_that_the_service_runs() -> None:
    with udp_peer() as service:
        port = service.getsockname()[1]
        async with Tried(listening(f"udp 127.0.0.1:{port}")) as tried:
            assert tried.machine.running
            assert len(tried.ports) == 1
            assert ("udp", port) not in tried.ports
            (step,) = tried.steps
    assert step.result is Result.WARNING
    assert (
        step.text == f"udp 127.0.0.1:{port} is taken: the service is running on this machine, so other ports are used"
    )


@pytest.mark.parametrize("host", ["192.0.2.99", "[2001:db8::99]"])
async def test_an_address_that_is_not_ours_has_failed(host: str) -> None:
    async with Tried(listening(f"udp {host}:{free_port()}")) as tried:
        assert not tried.machine.running
        (step,) = tried.steps
    assert step.result is Result.FAILED
    assert "is not an address of this machine" in step.text or "switched off" in step.text
