"""One look-up, against a name server on loopback: NAPTR, SRV and addresses, and what an earlier answer is good for."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import dns.asyncresolver
import dns.rdata
import dns.resolver
import pytest
from dns.rdtypes.IN.NAPTR import NAPTR

from sipfailover.chance import Chance
from sipfailover.errors import NoSuchName, TransportError
from sipfailover.flow import TCP, TLS, UDP
from sipfailover.transport import lookup
from sipfailover.transport.lookup import Found, Lookup, by_preference
from tests.transport.nameserver import NameServer, name_server

CARRIER = {
    ("sip.example", "NAPTR"): [
        '10 10 "s" "SIPS+D2T" "" _sips._tcp.edge7.example.',
        '20 10 "S" "sip+d2t" "" _sip._tcp.edge7.example.',
        '30 10 "s" "SIP+D2U" "" _sip._udp.edge7.example.',
        '5 10 "u" "E2U+sip" "!^.*$!sip:info@example!" .',
    ],
    ("_sips._tcp.edge7.example", "SRV"): ["1 0 5071 tls.example."],
    ("_sip._tcp.edge7.example", "SRV"): ["1 0 5072 tcp.example."],
    ("_sip._udp.edge7.example", "SRV"): ["1 0 5073 udp.example."],
    ("_sip._udp.sip.example", "SRV"): ["1 0 1 wrong.example."],
    ("tls.example", "A"): ["127.0.0.1"],
    ("tcp.example", "A"): ["127.0.0.2"],
    ("udp.example", "A"): ["127.0.0.3"],
    ("wrong.example", "A"): ["127.0.0.66"],
    ("sip.example", "A"): ["127.0.0.9"],
}
"""A carrier with everything."""


class Asking:
    """A name server and one who asks it."""

    def __init__(self, zone: NameServer, finder: Lookup) -> None:
        self.zone = zone
        self.finder = finder
        self.last: Found | None = None

    async def of(self, transport: str = UDP, host: str = "sip.example", port: int | None = None) -> list[str]:
        """Look up, living on the answer before."""
        self.last = await self.finder.find(host, port, transport, self.last)
        return [f"{place.host}:{place.port}" for place in self.last.places]

    @property
    def found(self) -> Found:
        assert self.last is not None
        return self.last


@pytest.fixture
async def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Asking]:
    async def nobody(loop: asyncio.AbstractEventLoop, host: str) -> list[str]:
        return []

    monkeypatch.setattr(lookup, "ask_system", nobody)  # the real one would ask a name server outside of this machine
    monkeypatch.setattr(lookup, "LOOKUP_WITHIN", 0.2)
    async with name_server() as (zone, address):
        yield Asking(zone, Lookup(asyncio.get_running_loop(), Chance(1), [address], tmp_path / "no hosts file"))


@pytest.mark.parametrize(
    ("transport", "place"), [(UDP, "127.0.0.3:5073"), (TCP, "127.0.0.2:5072"), (TLS, "127.0.0.1:5071")]
)
async def test_naptr_leads_to_the_servers_of_the_written_transport(asking: Asking, transport: str, place: str) -> None:
    asking.zone.zone = CARRIER
    assert await asking.of(transport) == [place]
    assert asking.found.kind == "NAPTR"


@pytest.mark.parametrize("transport", [UDP, TCP, TLS])
async def test_naptr_for_other_transports_changes_nothing(asking: Asking, transport: str) -> None:
    """What the administrator wrote is never changed: SRV is asked under the name itself."""
    name = {UDP: "SIP+D2U", TCP: "SIP+D2T", TLS: "SIPS+D2T"}[transport]
    own = {UDP: "_sip._udp", TCP: "_sip._tcp", TLS: "_sips._tcp"}[transport]
    records = [record for record in CARRIER["sip.example", "NAPTR"] if name not in record.upper()]
    asking.zone.zone = {
        **CARRIER,
        ("sip.example", "NAPTR"): records,
        (f"{own}.sip.example", "SRV"): ["1 0 5074 udp.example."],
    }
    assert await asking.of(transport) == ["127.0.0.3:5074"]
    assert asking.found.kind == "SRV"


@pytest.mark.parametrize(("transport", "port"), [(UDP, 5060), (TCP, 5060), (TLS, 5061)])
async def test_without_naptr_and_srv_it_is_the_address_and_the_usual_port(
    asking: Asking, transport: str, port: int
) -> None:
    asking.zone.zone = {("sip.example", "A"): ["127.0.0.9"]}
    assert await asking.of(transport) == [f"127.0.0.9:{port}"]
    assert asking.found.kind == "A"


async def test_a_port_turns_naptr_off(asking: Asking) -> None:
    asking.zone.zone = CARRIER
    assert await asking.of(port=5090) == ["127.0.0.9:5090"]
    assert {kind for _, kind in asking.zone.asked} == {"A", "AAAA"}


async def test_a_pointer_to_nothing_is_passed_over(asking: Asking) -> None:
    asking.zone.zone = {
        **CARRIER,
        ("sip.example", "NAPTR"): [
            '10 1 "s" "SIP+D2U" "" _sip._udp.nowhere.example.',
            '10 2 "s" "SIP+D2U" "" _sip._udp.edge7.example.',
        ],
    }
    assert await asking.of() == ["127.0.0.3:5073"]


def naptr(text: str) -> NAPTR:
    record = dns.rdata.from_text("IN", "NAPTR", text)
    assert isinstance(record, NAPTR)
    return record


@pytest.mark.parametrize(
    ("records", "names"),
    [
        (['10 2 "s" "SIP+D2U" "" b.', '10 1 "s" "SIP+D2U" "" a.'], ["a.", "b."]),
        (['20 1 "s" "SIP+D2U" "" b.', '10 9 "s" "SIP+D2U" "" a.'], ["a."]),  # RFC 3403 §4.1: the lowest order only
        (['10 1 "s" "SIP+D2T" "" b.', '20 9 "s" "SIP+D2U" "" a.'], ["a."]),
        (['10 1 "a" "SIP+D2U" "" a.'], []),
        (['10 1 "u" "SIP+D2U" "!^.*$!sip:x@y!" .'], []),
        (['10 1 "s" "SIP+D2U" "!x!y!" a.'], []),
        (['10 1 "s" "SIP+D2U" "" .'], []),
        (['10 1 "S" "sip+d2u" "" a.'], ["a."]),
        ([f'10 {number} "s" "SIP+D2U" "" a{number}.' for number in range(99)], [f"a{number}." for number in range(16)]),
    ],
)
def test_which_pointers_are_followed(records: list[str], names: list[str]) -> None:
    assert [str(record.replacement) for record in by_preference(map(naptr, records), "SIP+D2U")] == names


async def test_dns_that_drops_naptr_delays_the_first_answer_a_little_and_is_asked_again_soon(
    asking: Asking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "NAPTR_WITHIN", 0.05)
    asking.zone.zone = {**CARRIER, ("_sip._udp.sip.example", "SRV"): ["1 0 5074 udp.example."]}
    asking.zone.silent = {"NAPTR"}
    started = asyncio.get_running_loop().time()
    assert await asking.of() == ["127.0.0.3:5074"]
    assert asyncio.get_running_loop().time() - started < 0.2, "not as long as another question may take"
    assert asking.found.ttl == 0.0
    assert await asking.of() == ["127.0.0.3:5074"]
    assert asking.found.ttl == 300.0
    asking.zone.silent = set()
    assert await asking.of() == ["127.0.0.3:5073"]


@pytest.mark.parametrize("kind", ["NAPTR", "SRV", "A"])
@pytest.mark.parametrize("how", ["silent", "failing"])
async def test_a_question_that_fails_moves_no_trunk_that_rests_on_it(asking: Asking, kind: str, how: str) -> None:
    asking.zone.zone = CARRIER
    assert await asking.of() == ["127.0.0.3:5073"]
    getattr(asking.zone, how).add(kind)
    with pytest.raises(TransportError) as caught:
        await asking.of()
    assert not isinstance(caught.value, NoSuchName)


async def test_dns_that_cannot_do_srv_still_follows_a_carrier_that_moves(asking: Asking) -> None:
    """It was a guess the first time, and must not become the last answer for ever."""
    asking.zone.zone = {("sip.example", "A"): ["127.0.0.9"]}
    asking.zone.failing = {"SRV", "NAPTR"}
    assert await asking.of() == ["127.0.0.9:5060"]
    asking.zone.zone = {("sip.example", "A"): ["127.0.0.10"]}
    assert await asking.of() == ["127.0.0.10:5060"]


async def test_srv_that_vanishes_is_a_denial_and_no_move(asking: Asking) -> None:
    asking.zone.zone = {k: v for k, v in CARRIER.items() if k[1] != "NAPTR"}
    assert await asking.of() == ["127.0.0.66:1"]
    del asking.zone.zone["_sip._udp.sip.example", "SRV"]
    with pytest.raises(NoSuchName, match=r"look up sip\.example: DNS knows no _sip\._udp of that name any more"):
        await asking.of()
    asking.last = None
    assert await asking.of() == ["127.0.0.9:5060"]


SERVERS = {
    ("_sip._udp.sip.example", "SRV"): ["1 0 5081 one.example.", "2 0 5082 two.example.", "3 0 5083 three.example."],
    ("one.example", "A"): ["127.0.0.1"],
    ("two.example", "A"): ["127.0.0.2"],
    ("three.example", "A"): ["127.0.0.3"],
}


async def test_a_server_that_cannot_be_looked_up_now_keeps_its_addresses(asking: Asking) -> None:
    asking.zone.zone = SERVERS
    everywhere = ["127.0.0.1:5081", "127.0.0.2:5082", "127.0.0.3:5083"]
    assert await asking.of() == everywhere
    assert [place.priority for place in asking.found.places] == [1, 2, 3]
    asking.zone.failing = {("one.example", "A"), ("one.example", "AAAA")}
    for _ in range(2):
        assert await asking.of() == everywhere
        assert asking.found.ttl == 0.0, "ask again soon"
    asking.zone.failing = {"A", "AAAA"}
    with pytest.raises(TransportError, match="DNS has no answer"):
        await asking.of()


async def test_a_server_without_any_address_is_left_out(asking: Asking) -> None:
    asking.zone.zone = {key: records for key, records in SERVERS.items() if key[0] != "one.example"}
    assert await asking.of() == ["127.0.0.2:5082", "127.0.0.3:5083"]
    asking.zone.zone = {key: records for key, records in SERVERS.items() if key[1] == "SRV"}
    with pytest.raises(NoSuchName):
        await asking.of()
    asking.zone.failing = {("two.example", "A")}
    with pytest.raises(TransportError) as caught:
        await asking.of()
    assert not isinstance(caught.value, NoSuchName), "of one of them DNS said nothing"


async def test_a_family_that_fails_keeps_its_addresses(asking: Asking) -> None:
    asking.zone.zone = {("sip.example", "A"): ["127.0.0.9"], ("sip.example", "AAAA"): ["::1"]}
    assert await asking.of(port=5060) == ["127.0.0.9:5060", "::1:5060"]
    for kind in ("A", "AAAA"):
        asking.zone.failing = {kind}
        assert await asking.of(port=5060) == ["127.0.0.9:5060", "::1:5060"]
        assert asking.found.ttl == 0.0


async def test_an_address_as_the_target_of_srv_is_taken_as_meant(asking: Asking) -> None:
    asking.zone.zone = {("_sip._udp.sip.example", "SRV"): ["1 0 5081 127.0.0.4.", "2 0 0 ."]}
    assert await asking.of() == ["127.0.0.4:5081"]


async def test_the_same_place_under_two_names_is_one_with_the_better_priority(asking: Asking) -> None:
    asking.zone.zone = {
        ("_sip._udp.sip.example", "SRV"): ["9 0 5060 two.example.", "4 0 5060 one.example."],
        ("one.example", "A"): ["127.0.0.1"],
        ("two.example", "A"): ["127.0.0.1"],
    }
    assert await asking.of() == ["127.0.0.1:5060"]
    assert asking.found.places[0].priority == 4


async def test_a_flood_of_records_is_bounded(asking: Asking, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "MAX_SERVICES", 2)
    monkeypatch.setattr(lookup, "MAX_ADDRESSES", 3)
    asking.zone.zone = {
        **SERVERS,
        ("one.example", "A"): ["127.0.0.1", "127.0.1.1"],
        ("two.example", "A"): ["127.0.0.2", "127.0.1.2"],
    }
    assert len(await asking.of()) == 3
    assert ("three.example", "A") not in asking.zone.asked


async def test_without_any_name_server_it_says_so_and_asks_the_system(
    asking: Asking, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def unconfigured(*_: object) -> None:
        raise dns.resolver.NoResolverConfiguration

    monkeypatch.setattr(dns.asyncresolver, "Resolver", unconfigured)
    asking.finder = Lookup(asyncio.get_running_loop(), Chance(1), None, tmp_path / "no hosts file")
    with pytest.raises(TransportError, match=r"look up sip\.example: no name server is configured") as caught:
        await asking.of()
    assert not isinstance(caught.value, NoSuchName)

    async def system(loop: asyncio.AbstractEventLoop, host: str) -> list[str]:
        return ["127.0.0.8"]

    monkeypatch.setattr(lookup, "ask_system", system)
    assert await asking.of() == ["127.0.0.8:5060"]
