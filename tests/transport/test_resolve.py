"""Names to targets, against a name server on loopback: RFC 3263's order, failures, refreshing, the hosts file."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Self

import dns.rdata
import pytest
from dns.rdtypes.IN.SRV import SRV

from sipfailover.chance import Chance
from sipfailover.config import Address, Pbx, Settings, TrunkSettings
from sipfailover.flow import TCP, TLS, UDP, Target
from sipfailover.transport import Peer, Resolver, lookup, peers_of, resolve
from sipfailover.transport.lookup import by_weight
from tests.transport.ends import PATIENCE, End
from tests.transport.nameserver import NameServer, name_server

V4 = "127.0.0.1"
REAL_ASK_SYSTEM = lookup.ask_system


class Answers:
    """A resolver between a pool and a name server, and what it said."""

    def __init__(self, end: End, servers: list[Address] | None, hosts: Path) -> None:
        self.end = end
        self.all: list[tuple[str, tuple[Target, ...], str]] = []
        self.forgotten = False
        """What was said last: that earlier addresses are to be forgotten."""
        self._changed = asyncio.Event()
        self.resolver = Resolver(
            asyncio.get_running_loop(),
            self._resolved,
            name_us=end.pool.local_for,
            chance=Chance(1),
            nameservers=servers,
            hosts_file=hosts,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.resolver.close()
        await self.resolver.closed()

    def _resolved(self, name: str, targets: tuple[Target, ...], why: str, forget: bool) -> None:
        self.all.append((name, targets, why))
        self.forgotten = forget
        self._changed.set()

    async def came(self, count: int = 1) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.all) < count:
                self._changed.clear()
                await self._changed.wait()

    async def of(self, host: str, port: int | None = None, transport: str = UDP) -> list[str]:
        """The addresses of a name, as `127.0.0.1:5060`."""
        self.resolver.start([Peer("main", host, port, transport)])
        await self.came()
        return self.addresses

    @property
    def addresses(self) -> list[str]:
        return [f"{target.host}:{target.port}" for target in self.all[-1][1]]

    @property
    def why(self) -> str:
        return self.all[-1][2]


@pytest.fixture
async def dns_server() -> AsyncIterator[tuple[NameServer, Address]]:
    async with name_server() as both:
        yield both


@pytest.fixture
def hosts(tmp_path: Path) -> Path:
    path = tmp_path / "hosts"
    path.write_text("")
    return path


@pytest.fixture
def zone(dns_server: tuple[NameServer, Address]) -> NameServer:
    return dns_server[0]


@pytest.fixture
async def answers(end: End, dns_server: tuple[NameServer, Address], hosts: Path) -> AsyncIterator[Answers]:
    end.listen(UDP)
    end.listen(TCP)
    async with Answers(end, [dns_server[1]], hosts) as answers:
        yield answers


@pytest.fixture(autouse=True)
def system(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What the system's own resolver knows: the real one would ask a name server outside of this machine."""
    known: dict[str, list[str]] = {}

    async def ask(loop: asyncio.AbstractEventLoop, host: str) -> list[str]:
        return known.get(host, [])

    monkeypatch.setattr(lookup, "ask_system", ask)
    return known


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits that a test can live through."""
    monkeypatch.setattr(resolve, "SOONEST", 0.02)
    monkeypatch.setattr(resolve, "AFTER_FAILURE", 0.02)
    monkeypatch.setattr(lookup, "LOOKUP_WITHIN", 0.1)


async def test_an_address_is_there_at_once_without_dns(end: End, hosts: Path) -> None:
    port = end.listen(UDP, "0.0.0.0")[1]
    async with Answers(end, [], hosts) as answers:
        answers.resolver.start([Peer("main", V4, None, UDP, "pbx.example.ch"), Peer("pbx", V4, 5070, UDP)])
        assert answers.all == [
            ("main", (Target(UDP, V4, 5060, b"pbx.example.ch:%d" % port, V4),), ""),
            ("pbx", (Target(UDP, V4, 5070, b"127.0.0.1:%d" % port, V4),), ""),
        ]


@pytest.mark.parametrize(("public", "written"), [("2001:db8::9", b"[2001:db8::9]"), ("192.0.2.9", b"192.0.2.9")])
async def test_the_public_address_is_written_as_given(end: End, hosts: Path, public: str, written: bytes) -> None:
    port = end.listen(TCP)[1]
    async with Answers(end, [], hosts) as answers:
        answers.resolver.start([Peer("main", V4, None, TCP, public)])
        assert answers.all[0][1][0].sent_by == written + b":%d" % port


async def test_without_a_listener_of_the_kind_it_says_so(end: End, hosts: Path) -> None:
    end.listen(UDP)
    async with Answers(end, [], hosts) as answers:
        answers.resolver.start([Peer("main", V4, None, TCP), Peer("other", "::1", None, UDP)])
        assert answers.all == [
            ("main", (), "no tcp listener for IPv4"),
            ("other", (), "no udp listener for IPv6"),
        ]


async def test_a_port_turns_srv_off(answers: Answers, zone: NameServer) -> None:
    zone.zone = {
        ("sip.example", "A"): ["127.0.0.7", "127.0.0.8"],
        ("_sip._udp.sip.example", "SRV"): ["0 0 1 sip.example."],
    }
    assert sorted(await answers.of("sip.example", 5070)) == ["127.0.0.7:5070", "127.0.0.8:5070"]
    assert {kind for _, kind in zone.asked} == {"A", "AAAA"}


async def test_srv_is_followed_by_priority(answers: Answers, zone: NameServer) -> None:
    zone.zone = {
        ("_sip._tcp.sip.example", "SRV"): ["20 0 5082 two.example.", "10 0 5081 one.example."],
        ("_sip._udp.sip.example", "SRV"): ["10 0 1 wrong.example."],
        ("one.example", "A"): ["127.0.0.1"],
        ("two.example", "A"): ["127.0.0.2"],
    }
    assert await answers.of("sip.example", None, TCP) == ["127.0.0.1:5081", "127.0.0.2:5082"]


async def test_a_server_without_address_is_left_out(answers: Answers, zone: NameServer) -> None:
    zone.zone = {
        ("_sip._udp.sip.example", "SRV"): ["1 0 5081 missing.invalid.", "2 0 5082 two.example."],
        ("two.example", "A"): ["127.0.0.2"],
    }
    assert await answers.of("sip.example") == ["127.0.0.2:5082"]


async def test_without_srv_it_is_port_5060(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("sip.example", "A"): ["127.0.0.2"]}
    assert await answers.of("sip.example") == ["127.0.0.2:5060"]


async def test_a_service_that_is_not_offered(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("_sip._udp.sip.example", "SRV"): ["0 0 0 ."], ("sip.example", "A"): [V4]}
    assert await answers.of("sip.example") == []
    assert answers.why == "look up sip.example: DNS says that it offers no SIP over udp (SRV '.')"


async def test_ipv4_goes_before_ipv6_and_only_what_we_can_send_from(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("sip.example", "A"): [V4], ("sip.example", "AAAA"): ["::1"]}
    assert await answers.of("sip.example") == ["127.0.0.1:5060"]
    answers.end.listen(UDP, "::")
    answers.resolver.start([Peer("again", "sip.example", None, UDP)])
    await answers.came(2)
    assert answers.addresses == ["127.0.0.1:5060", "::1:5060"]


async def test_one_family_that_fails_does_not_hide_the_other(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("sip.example", "A"): [V4]}
    zone.failing = {"AAAA"}
    assert await answers.of("sip.example") == ["127.0.0.1:5060"]


async def test_dns_that_cannot_do_srv_is_worked_around_at_the_start(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("sip.example", "A"): [V4]}
    zone.failing = {"SRV"}
    assert await answers.of("sip.example") == ["127.0.0.1:5060"]


@pytest.mark.usefixtures("quick")
async def test_a_failing_srv_does_not_move_a_trunk_that_has_an_answer(answers: Answers, zone: NameServer) -> None:
    zone.ttl = 0
    zone.zone = {
        ("_sip._udp.sip.example", "SRV"): ["1 0 5081 one.example."],
        ("one.example", "A"): ["127.0.0.1"],
        ("sip.example", "A"): ["127.0.0.9"],
    }
    assert await answers.of("sip.example") == ["127.0.0.1:5081"]
    zone.failing = {"SRV"}
    await answers.came(2)
    assert answers.addresses == []
    assert answers.why.startswith("look up _sip._udp.sip.example: DNS has no answer")


@pytest.mark.usefixtures("quick")
async def test_a_dead_dns_is_told_in_words_and_asked_again(answers: Answers, zone: NameServer) -> None:
    zone.silent = {"A", "AAAA", "SRV"}
    assert await answers.of("sip.example", 5060) == []
    assert answers.why == "look up sip.example: DNS does not answer"
    zone.silent = set()
    zone.zone = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.came(2)
    assert answers.addresses == ["127.0.0.3:5060"]


@pytest.mark.usefixtures("quick")
async def test_a_dead_dns_delays_neither_the_start_nor_addresses(answers: Answers, zone: NameServer) -> None:
    zone.silent = {"A", "AAAA", "SRV"}
    answers.resolver.start([Peer("main", "sip.example", None, UDP), Peer("backup", V4, None, UDP)])
    assert [name for name, _, _ in answers.all] == ["backup"]


@pytest.mark.usefixtures("quick")
async def test_only_news_are_told(answers: Answers, zone: NameServer) -> None:
    zone.ttl = 0
    zone.zone = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.of("sip.example", 5060)
    await zone.was_asked(8)  # four rounds
    assert len(answers.all) == 1
    zone.zone = {("sip.example", "A"): ["127.0.0.4"]}
    await answers.came(2)
    assert answers.addresses == ["127.0.0.4:5060"]
    zone.zone = {}
    await answers.came(3)
    denied = "look up sip.example: DNS knows no address of that name; what it said before is used for 24 h"
    assert answers.all[-1][1:] == ((), denied)
    assert not answers.forgotten
    zone.zone = {("sip.example", "A"): ["127.0.0.4"]}
    await answers.came(4)
    assert answers.addresses == ["127.0.0.4:5060"]


@pytest.mark.usefixtures("quick")
async def test_a_name_that_comes_and_goes_keeps_its_addresses(answers: Answers, zone: NameServer) -> None:
    zone.ttl = 0
    zone.zone = known = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.of("sip.example", 5060)
    for turn in range(1, 4):
        zone.zone = {}
        await answers.came(2 * turn)
        assert (answers.addresses, answers.forgotten) == ([], False)
        zone.zone = known
        await answers.came(2 * turn + 1)
        assert answers.addresses == ["127.0.0.3:5060"]


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("empty", [{}, {("sip.example", "TXT"): ["nothing"]}], ids=["NXDOMAIN", "no data"])
async def test_a_name_that_is_denied_for_a_day_is_given_up(
    answers: Answers, zone: NameServer, monkeypatch: pytest.MonkeyPatch, empty: dict[tuple[str, str], list[str]]
) -> None:
    monkeypatch.setattr(resolve, "DENIED_BELIEVED_AFTER", 0.2)
    zone.ttl = 0
    zone.zone = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.of("sip.example", 5060)
    started = asyncio.get_running_loop().time()
    zone.zone = empty
    await answers.came(3)
    assert asyncio.get_running_loop().time() - started >= 0.2
    assert answers.all[1][2].endswith("; what it said before is used for 5.55556e-05 h")
    assert answers.all[2][1:] == ((), "look up sip.example: DNS knows no address of that name")
    assert answers.forgotten
    zone.zone = {("sip.example", "A"): ["127.0.0.4"]}
    await answers.came(4)
    assert (answers.addresses, answers.forgotten) == (["127.0.0.4:5060"], False)


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("how", ["failing", "silent"])
async def test_when_dns_is_gone_the_last_answer_is_never_given_up(
    answers: Answers, zone: NameServer, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(resolve, "DENIED_BELIEVED_AFTER", 0.05)
    zone.ttl = 0
    zone.zone = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.of("sip.example", 5060)
    getattr(zone, how).update({"A", "AAAA"})
    await answers.came(2)
    await zone.was_asked(len(zone.asked) + 8)
    assert (len(answers.all), answers.addresses, answers.forgotten) == (2, [], False)
    getattr(zone, how).clear()
    await answers.came(3)
    assert answers.addresses == ["127.0.0.3:5060"]


@pytest.mark.usefixtures("quick")
async def test_an_answer_that_lost_one_of_three_addresses_is_followed(answers: Answers, zone: NameServer) -> None:
    zone.ttl = 0
    zone.zone = {("sip.example", "A"): ["127.0.0.3", "127.0.0.4", "127.0.0.5"]}
    await answers.of("sip.example", 5060)
    zone.zone = {("sip.example", "A"): ["127.0.0.3", "127.0.0.5"]}
    while len(answers.addresses) == 3:  # name servers turn the order round and round, which is news, too
        await answers.came(len(answers.all) + 1)
    assert set(answers.addresses) == {"127.0.0.3:5060", "127.0.0.5:5060"}


@pytest.mark.usefixtures("quick")
async def test_dns_is_asked_again_before_the_time_to_live_is_over(
    answers: Answers, zone: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve.AHEAD * (1.0 + resolve.SPREAD) < 1.0
    monkeypatch.setattr(resolve, "AHEAD", 0.1)
    zone.ttl = 4
    zone.zone = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.of("sip.example", 5060)
    started = asyncio.get_running_loop().time()
    await zone.was_asked(3)
    assert 0.3 <= asyncio.get_running_loop().time() - started < 4.0
    assert len(answers.all) == 1


@pytest.mark.usefixtures("quick")
async def test_the_lot_is_drawn_anew_at_each_refresh_and_priorities_are_kept(
    answers: Answers, zone: NameServer
) -> None:
    zone.ttl = 0
    zone.zone = {
        ("_sip._udp.sip.example", "SRV"): ["1 50 5081 one.example.", "1 50 5082 one.example.", "2 0 5083 one.example."],
        ("one.example", "A"): [V4],
    }
    await answers.of("sip.example")
    await answers.came(5)  # only another order is news
    orders = {tuple(target.port for target in targets) for _, targets, _ in answers.all}
    assert orders == {(5081, 5082, 5083), (5082, 5081, 5083)}
    assert {tuple(target.priority for target in targets) for _, targets, _ in answers.all} == {(1, 1, 2)}


@pytest.mark.usefixtures("quick")
async def test_another_priority_is_news(answers: Answers, zone: NameServer) -> None:
    zone.ttl = 0
    zone.zone = {("_sip._udp.sip.example", "SRV"): ["1 0 5081 one.example."], ("one.example", "A"): [V4]}
    await answers.of("sip.example")
    zone.zone[("_sip._udp.sip.example", "SRV")] = ["7 0 5081 one.example."]
    await answers.came(2)
    assert [targets[0].priority for _, targets, _ in answers.all] == [1, 7]


@pytest.mark.usefixtures("quick")
async def test_a_long_time_to_live_is_kept(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("sip.example", "A"): ["127.0.0.3"]}
    await answers.of("sip.example", 5060)
    asked = len(zone.asked)
    await asyncio.sleep(0.1)  # five times the shortest pause: nothing may happen
    assert len(zone.asked) == asked


async def test_the_hosts_file_goes_first(answers: Answers, zone: NameServer, hosts: Path) -> None:
    write(hosts, "# containers\n127.0.0.5\tother PBX.lan pbx # ours\n::1 pbx.lan\nnonsense\n")
    zone.zone = {("pbx.lan", "A"): ["127.0.0.9"]}
    assert await answers.of("pbx.lan") == ["127.0.0.5:5060"]
    assert zone.asked == []


async def test_a_hosts_file_that_is_missing_is_empty(answers: Answers, zone: NameServer, hosts: Path) -> None:
    write(hosts, None)
    zone.zone = {("pbx.lan", "A"): ["127.0.0.9"]}
    assert await answers.of("pbx.lan", 5062) == ["127.0.0.9:5062"]


async def test_the_system_is_asked_for_what_dns_does_not_know(answers: Answers, system: dict[str, list[str]]) -> None:
    system["printer.local"] = ["fe80::1%eth0", "::1", "127.0.0.4", "127.0.0.4"]
    assert await answers.of("printer.local") == ["127.0.0.4:5060"]


async def test_the_real_system_knows_localhost() -> None:
    assert V4 in await REAL_ASK_SYSTEM(asyncio.get_running_loop(), "localhost")


@pytest.mark.usefixtures("quick")
async def test_our_own_address_is_looked_at_again(
    answers: Answers, zone: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "OWN_ADDRESS_EVERY", 0.02)
    first = Target(UDP, V4, 5060, b"127.0.0.1:1", V4)
    second = Target(UDP, V4, 5060, b"127.0.0.2:1", "127.0.0.2")
    given: list[Target | str] = [first]
    resolver = Resolver(
        asyncio.get_running_loop(), answers._resolved, name_us=lambda *_: given[0], chance=Chance(1), nameservers=[]
    )
    resolver.start([Peer("main", V4, None, UDP)])
    assert answers.all == [("main", (first,), "")]
    given[0] = "no route to 127.0.0.1:5060"
    await answers.came(2)
    given[0] = second
    await answers.came(3)
    resolver.close()
    await resolver.closed()
    assert answers.all[1:] == [("main", (), "no route to 127.0.0.1:5060"), ("main", (second,), "")]
    assert zone.asked == []


async def test_who_could_not_send_has_our_own_address_looked_at_at_once_but_not_all_the_time(
    answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "LOOK_AGAIN_AFTER", 0.05)
    ours = [b"192.0.2.9:5060"]
    looks: list[float] = []
    loop = asyncio.get_running_loop()

    def name_us(transport: str, host: str, port: int, public: str) -> Target:
        looks.append(loop.time())
        return Target(transport, host, port, ours[0], "192.0.2.9")

    answers.resolver._name_us = name_us
    answers.resolver.start([Peer("main", V4, 5060, UDP)])
    await answers.came()
    ours[0] = b"192.0.2.10:5060"
    answers.resolver.look_again()  # while it is in its first, shortest pause: that is not forgotten
    await answers.came(2)
    assert answers.all[-1][1][0].sent_by == b"192.0.2.10:5060"
    until = loop.time() + 0.3
    while loop.time() < until:
        answers.resolver.look_again()
        await asyncio.sleep(0.005)
    assert 3 <= sum(at > until - 0.3 for at in looks) <= 8


@pytest.mark.usefixtures("quick")
async def test_a_bug_is_one_failed_look_up(answers: Answers, zone: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    zone.zone = {("sip.example", "A"): [V4]}
    with monkeypatch.context() as patch:
        patch.setattr(lookup, "_in_order", lambda addresses: 1 / 0)
        assert await answers.of("sip.example", 5060) == []
        assert "ZeroDivisionError" in answers.why
    await answers.came(2)
    assert answers.addresses == ["127.0.0.1:5060"]


def write(path: Path, text: str | None) -> None:
    """Write a file, or take it away."""
    if text is None:
        path.unlink()
    else:
        path.write_text(text)


def srv(priority: int, weight: int, name: str) -> SRV:
    record = dns.rdata.from_text("IN", "SRV", f"{priority} {weight} 5060 {name}.")
    assert isinstance(record, SRV)
    return record


def test_weights_are_shares_and_priorities_are_strict() -> None:
    records = [srv(1, 60, "a"), srv(1, 30, "b"), srv(1, 10, "c"), srv(0, 0, "first"), srv(2, 99, "last")]
    chance = Chance(7)
    second: Counter[str] = Counter()
    for _ in range(5000):
        order = [str(record.target) for record in by_weight(records, chance)]
        assert (order[0], order[4], len(set(order))) == ("first.", "last.", 5)
        second[order[1]] += 1
    assert 0.56 < second["a."] / 5000 < 0.64
    assert 0.26 < second["b."] / 5000 < 0.34
    assert 0.07 < second["c."] / 5000 < 0.13


def test_a_weight_of_zero_has_a_small_chance() -> None:
    chance = Chance(7)
    first = Counter(str(by_weight([srv(0, 9, "a"), srv(0, 0, "b")], chance)[0].target) for _ in range(2000))
    assert 0.05 < first["b."] / 2000 < 0.15


def test_the_public_address_is_for_trunks() -> None:
    settings = Settings(
        pbx=(Pbx(host="pbx.lan", port=5070, transport="tcp"),),
        public_address="192.0.2.9",
        trunks=(TrunkSettings(name="main", host="sip.example"), TrunkSettings(name="b", host="192.0.2.1", port=5080)),
    )
    assert peers_of(settings) == (
        Peer("pbx", "pbx.lan", 5070, TCP),
        Peer("main", "sip.example", None, UDP, "192.0.2.9"),
        Peer("b", "192.0.2.1", 5080, UDP, "192.0.2.9"),
    )


# -- tls --------------------------------------------------------------------------------------------------------------


async def test_tls_has_services_of_its_own_and_a_port_of_its_own(answers: Answers, zone: NameServer) -> None:
    zone.zone[("_sips._tcp.carrier.example", "SRV")] = ["10 1 5071 sbc1.hosting.example."]
    zone.zone[("sbc1.hosting.example", "A")] = [V4]
    assert await answers.of("carrier.example", transport=TLS) == ["127.0.0.1:5071"]
    (target,) = answers.all[-1][1]
    assert (target.transport, target.line) == (TLS, "main"), "whose name is to be proved is not what DNS says"


@pytest.mark.parametrize("host", ["carrier.example", V4])
async def test_without_a_service_tls_is_at_5061(answers: Answers, zone: NameServer, host: str) -> None:
    zone.zone[("carrier.example", "A")] = [V4]
    assert await answers.of(host, transport=TLS) == ["127.0.0.1:5061"]


async def test_a_name_in_the_hosts_file_is_at_5061_too(answers: Answers, hosts: Path) -> None:
    write(hosts, "127.0.0.1 carrier.example\n")
    assert await answers.of("carrier.example", transport=TLS) == ["127.0.0.1:5061"]


async def test_only_tls_says_whom_the_peer_must_prove_to_be(answers: Answers) -> None:
    await answers.of(V4, transport=TCP)
    assert answers.all[-1][1][0].line == ""


async def test_what_stays_is_left_alone_and_what_changes_is_told(answers: Answers) -> None:
    one, two = Peer("one", V4, 5060, UDP), Peer("two", V4, 5070, UDP)
    answers.resolver.start([one, two])
    assert [name for name, _, _ in answers.all] == ["one", "two"]
    moved, three = Peer("two", V4, 5080, UDP), Peer("three", V4, 5090, UDP)
    answers.resolver.change([one, moved, three])
    assert [(name, targets[0].port) for name, targets, _ in answers.all[2:]] == [("two", 5080), ("three", 5090)]
    answers.resolver.change([one], anew={"one"})
    assert [(name, targets[0].port) for name, targets, _ in answers.all[4:]] == [("one", 5060)]
    await asyncio.sleep(0.01)
    assert len(answers.all) == 5
    assert not answers.resolver._dropped, "those that were dropped have ended"


async def test_a_name_that_starts_anew_is_told_what_is_known_of_it(answers: Answers, zone: NameServer) -> None:
    zone.zone = {("carrier.example", "A"): [V4]}
    assert await answers.of("carrier.example", 5060) == ["127.0.0.1:5060"]
    asked = len(zone.asked)
    answers.resolver.change([Peer("main", "carrier.example", 5060, UDP)], anew={"main"})
    assert [targets[0].port for _, targets, _ in answers.all] == [5060, 5060]
    await asyncio.sleep(0.02)
    assert len(zone.asked) == asked
