"""The first step: where a name leads, and what DNS said on the way, with a name server on loopback."""

import asyncio
from pathlib import Path

import pytest

from sipfailover.chance import Chance
from sipfailover.config import Address, TrunkSettings, parse
from sipfailover.preflight import names
from sipfailover.preflight.names import Names
from sipfailover.preflight.report import Result, Step
from tests.transport.nameserver import name_server


def trunk(line: str) -> TrunkSettings:
    return parse(f"pbx: 192.168.1.5\nlisten: [udp 127.0.0.1, tcp 127.0.0.1]\ntrunks: [{{name: main, {line}}}]").trunks[
        0
    ]


class Asked:
    """One look-up."""

    def __init__(self, tmp_path: Path) -> None:
        self.hosts = tmp_path / "hosts"
        self.hosts.write_text("192.0.2.77 pbx.lan\n")
        self.steps: list[Step] = []

    async def addresses(self, server: Address, line: str) -> list[str]:
        found = await Names(Chance(1), [server], self.hosts).addresses(trunk(line), self.steps.append)
        return [str(one) for one in found]

    @property
    def step(self) -> Step:
        (step,) = self.steps
        return step


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


async def test_an_address_needs_no_name_server(asked: Asked) -> None:
    nobody = Address("127.0.0.1", 9)
    assert await asked.addresses(nobody, "host: 198.51.100.7") == ["198.51.100.7:5060"]
    assert await asked.addresses(nobody, "host: 198.51.100.7, port: 5070") == ["198.51.100.7:5070"]
    assert asked.steps == []


async def test_srv_is_shown_with_its_order_and_who_was_asked(asked: Asked) -> None:
    async with name_server() as (server, at):
        server.zone = {
            ("_sip._udp.carrier.example", "SRV"): ["20 0 5060 b.carrier.example.", "10 0 5062 a.carrier.example."],
            ("a.carrier.example", "A"): ["198.51.100.1"],
            ("b.carrier.example", "A"): ["198.51.100.2"],
        }
        server.ttl = 60
        assert await asked.addresses(at, "host: carrier.example") == ["198.51.100.1:5062", "198.51.100.2:5060"]
    step = asked.step
    assert step.result is Result.GOOD
    assert step.text.startswith("198.51.100.1:5062, 198.51.100.2:5060 (SRV _sip._udp.carrier.example: ")
    assert step.text.endswith(f"; good for 60 s; asked {at})")
    assert step.facts["ttl"] == 60
    questions = step.facts["questions"]
    assert isinstance(questions, list)
    assert {one["type"] for one in questions} == {"NAPTR", "SRV", "A", "AAAA"}


async def test_naptr_is_named(asked: Asked) -> None:
    async with name_server() as (server, at):
        server.zone = {
            ("carrier.example", "NAPTR"): ['10 10 "S" "SIP+D2U" "" _sip._udp.edge.example.'],
            ("_sip._udp.edge.example", "SRV"): ["10 0 5062 a.edge.example."],
            ("a.edge.example", "A"): ["198.51.100.1"],
        }
        assert await asked.addresses(at, "host: carrier.example") == ["198.51.100.1:5062"]
    assert "(NAPTR, then SRV _sip._udp.edge.example: " in asked.step.text


@pytest.mark.parametrize(
    ("line", "way"),
    [("host: carrier.example", "A and AAAA, there is no SRV"), ("host: carrier.example, port: 5060", "because port")],
)
async def test_without_srv_the_name_itself(asked: Asked, line: str, way: str) -> None:
    async with name_server() as (server, at):
        server.zone = {
            ("carrier.example", "A"): ["198.51.100.1"],
            ("carrier.example", "AAAA"): ["2001:db8::1"],
        }
        assert await asked.addresses(at, line) == ["198.51.100.1:5060", "[2001:db8::1]:5060"]
    assert way in asked.step.text


async def test_the_hosts_file_is_named(asked: Asked) -> None:
    assert await asked.addresses(Address("127.0.0.1", 9), "host: pbx.lan, port: 5060") == ["192.0.2.77:5060"]
    assert "hosts file" in asked.step.text


async def test_an_unknown_name_has_failed(asked: Asked) -> None:
    async with name_server() as (_, at):
        assert await asked.addresses(at, "host: unknown.invalid") == []
    assert asked.step.result is Result.FAILED
    assert asked.step.text == "look up unknown.invalid: DNS knows no address of that name"
    assert "check host" in asked.step.advice


async def test_a_silent_name_server_costs_little(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "NAME_WITHIN", 0.3)
    async with name_server() as (server, at):
        server.silent = {"SRV", "A", "AAAA", "NS", "SOA"}
        begun = asyncio.get_running_loop().time()
        assert await asked.addresses(at, "host: carrier.example") == []
        assert await Names(Chance(1), [at]).servers("carrier.example") == frozenset()
        assert asyncio.get_running_loop().time() - begun < 2.0
    assert asked.step.text.startswith("carrier.example: DNS does not answer within")


async def test_many_addresses_are_cut(asked: Asked) -> None:
    async with name_server() as (server, at):
        server.zone = {("carrier.example", "A"): [f"198.51.100.{number}" for number in range(1, 21)]}
        assert len(await asked.addresses(at, "host: carrier.example")) == names.ADDRESSES_SHOWN


async def test_the_name_servers_of_a_zone() -> None:
    async with name_server() as (server, at):
        soa = "ns1.host.example. admin.host.example. 1 7200 3600 1209600 300"
        server.zone = {
            ("sip.carrier.example", "A"): ["198.51.100.1"],
            ("carrier.example", "SOA"): [soa],
            ("carrier.example", "NS"): ["NS1.host.example.", "ns2.host.example."],
        }
        found = await Names(Chance(1), [at]).servers("sip.carrier.example")
    assert found == {"ns1.host.example", "ns2.host.example"}
    assert await Names(Chance(1), [at]).servers("198.51.100.1") == frozenset()


async def test_a_name_that_only_the_root_knows_has_no_name_servers_of_its_own() -> None:
    async with name_server() as (server, at):
        soa = "a.root.example. admin.root.example. 1 7200 3600 1209600 300"
        server.zone = {(".", "SOA"): [soa], (".", "NS"): ["a.root.example."], ("example", "SOA"): [soa]}
        assert await Names(Chance(1), [at]).servers("pbx.lan") == frozenset()
        assert await Names(Chance(1), [at]).servers("carrier.example") == frozenset()
        assert (".", "SOA") in server.asked
