"""TLS over real connections on loopback: who is believed, what is refused and how that is said, and every bound."""

import asyncio
import os
import socket
import ssl
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from sipfailover.config import Settings, parse
from sipfailover.flow import TCP, TLS, Flow, Target
from sipfailover.transport import Bounds, tls
from tests.kit.certificates import DAY, Authority, self_signed
from tests.transport.ends import End, alerting, closed_port, connected, message, serving

V4 = "127.0.0.1"
NAME = "sip.carrier.example"
QUICK = 0.02
HELLO = message()


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are looked at each time: a test does not wait until a change would be seen."""
    monkeypatch.setattr(tls, "LOOK_EVERY", 0.0)


def settings(main: str = "", ours: str = "", host: str = NAME, more: str = "") -> Settings:
    """A file with one trunk over TLS and this `tls` section of its own, and `ours`."""
    return parse(f"""
pbx: {{host: pbx.example, transport: udp}}
tls: {{{ours}}}
trunks:
  - {{name: main, host: {host}, transport: tls, register: no, tls: {{{main}}}{more}}}
  - {{name: backup, host: backup.example, domain: other.example, transport: tls, register: no, tls: {{{main}}}}}
""")


def carrier(certificate: Path, asks_for: Path | None = None, newest: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a carrier has for its listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for)
    if newest is not None:
        context.set_ciphers("DEFAULT:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.maximum_version = newest
    return context


def client(ca_file: Path, certificate: Path | None = None) -> ssl.SSLContext:
    """What a PBX has to connect to us."""
    context = ssl.create_default_context(cafile=ca_file)
    context.check_hostname = False
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


# -- we connect -------------------------------------------------------------------------------------------------------


async def test_a_good_certificate_and_messages_go_both_ways_over_one_connection(ca: Authority) -> None:
    names = []
    context = carrier(ca.issue(NAME))
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=context) as server:
        target = end.target(TLS, V4, server.port, "main")
        assert target.sent_by == b"127.0.0.1:5061"
        end.pool.send(target, HELLO)
        peer = await server.peer()
        assert await peer.hears(len(HELLO)) == HELLO
        end.pool.send(target, HELLO)
        assert await peer.hears(len(HELLO)) == HELLO
        for byte in message("answer"):
            peer.say(bytes([byte]))
        await end.came()
        assert end.received == [(Flow(TLS, V4, server.port, b"127.0.0.1:5061", V4, 1, line="main"), message("answer"))]
        end.pool.send(end.flow, message("ACK"))
        assert await peer.hears(len(message("ACK"))) == message("ACK")
        version = peer.writer.get_extra_info("ssl_object").version()
        assert (names, version, end.lost) == ([NAME], "TLSv1.3", [])
        assert end.pool.counters.connections_opened == 1
        held = [(one.name, one.use, one.certificate.names) for one in end.pool.tls.held(0.0)]
        assert held == [("main", "peer", (NAME,))]


async def test_an_address_is_proved_by_an_address_and_has_no_sni(ca: Authority) -> None:
    names: list[str | None] = []
    context = carrier(ca.issue(V4))
    context.sni_callback = lambda _sock, name, _context: names.append(name)
    async with End(settings=settings(f"ca_file: {ca.file}", host=V4)) as end, serving(tls=context) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        assert await (await server.peer()).hears(len(HELLO)) == HELLO
    assert names == [None]


@pytest.mark.parametrize(
    ("has", "wanted"),
    [
        ("sip:carrier.example", "server_name: carrier.example"),
        ("*.carrier.example", ""),
        ("other.name.example", "server_name: Other.Name.example"),
    ],
)
async def test_other_names_that_are_good(ca: Authority, has: str, wanted: str) -> None:
    own = f"ca_file: {ca.file}" + (f", {wanted}" if wanted else "")
    async with End(settings=settings(own)) as end, serving(tls=carrier(ca.issue(has))) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        assert await (await server.peer()).hears(len(HELLO)) == HELLO


@pytest.mark.parametrize("has", ["other.example", "backup.example"])
async def test_the_domain_and_the_host_of_a_trunk_are_both_good(ca: Authority, has: str) -> None:
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=carrier(ca.issue(has))) as server:
        end.pool.send(end.target(TLS, V4, server.port, "backup"), HELLO)
        assert await (await server.peer()).hears(len(HELLO)) == HELLO


@pytest.mark.parametrize("kind", ["self-signed", "leaf"])
async def test_the_carriers_own_certificate_is_a_good_ca_file(ca: Authority, tmp_path: Path, kind: str) -> None:
    file = self_signed(tmp_path, NAME) if kind == "self-signed" else ca.issue(NAME)
    async with End(settings=settings(f"ca_file: {file}")) as end, serving(tls=carrier(file)) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        assert await (await server.peer()).hears(len(HELLO)) == HELLO


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("kind", "word", "said"),
    [
        ("expired", "certificate expired", f"that of {NAME}, on 20"),
        ("early", "certificate not yet valid", "is the clock of this machine right"),
        ("named", "certificate for another name", f"it is for sbc7.wrong.example, wanted {NAME};"),
        ("unknown", "certificate of an unknown authority", "Somebody Else issued it, and is not among those in"),
        ("self-signed", "certificate of an unknown authority", f"{NAME} signed it itself, and is not among"),
        ("nameless", "certificate for another name", "nobody (it has no name but the common name"),
    ],
)
async def test_a_bad_certificate_is_refused_in_words_to_act_on_and_nothing_is_said_over_it(
    ca: Authority, tmp_path: Path, kind: str, word: str, said: str, newest: ssl.TLSVersion
) -> None:
    file = {
        "expired": lambda: ca.issue(NAME, ends=-2 * DAY),
        "early": lambda: ca.issue(NAME, starts=2 * DAY),
        "named": lambda: ca.issue("sbc7.wrong.example"),
        "unknown": lambda: Authority(tmp_path, "Somebody Else").issue(NAME),
        "self-signed": lambda: self_signed(tmp_path, NAME),
        "nameless": lambda: ca.issue(common=NAME),
    }[kind]()
    async with (
        End(settings=settings(f"ca_file: {ca.file}")) as end,
        serving(tls=carrier(file, newest=newest)) as server,
    ):
        target = end.target(TLS, V4, server.port, "main")
        for count in (1, 2):  # the second time, what was seen is known
            end.pool.send(target, HELLO)
            await end.were_lost(count)
        assert end.lost[0][0] == target
        first, second = end.reasons
        assert first == second
        assert first.startswith(f"{word}: ")
        assert said in first
        assert end.pool.connections == 0
        assert end.pool.counters.connects_failed == 2
        heard = [await peer.ends() for peer in server.all]
    assert b"".join(heard) == b""


async def test_where_dns_leads_proves_nothing(ca: Authority) -> None:
    """The certificate of the SRV record's target is good, and is not the carrier's (RFC 5922 §4)."""
    context = carrier(ca.issue("sbc1.hosting.example"))
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=context) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        await end.were_lost()
    assert end.reasons[0].startswith("certificate for another name: it is for sbc1.hosting.example")


async def test_without_a_ca_file_the_systems_authorities_are_believed(ca: Authority) -> None:
    async with End(settings=settings()) as end, serving(tls=carrier(ca.issue(NAME))) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        await end.were_lost()
    assert "Test Authority issued it, and is not among the system's" in end.reasons[0]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_our_certificate_is_shown_where_it_is_asked_for(ca: Authority, newest: ssl.TLSVersion) -> None:
    ours, context = ca.issue("we.example"), carrier(ca.issue(NAME), asks_for=ca.file, newest=newest)
    own = f"ca_file: {ca.file}, certificate_file: {ours}"
    async with End(settings=settings(own)) as end, serving(tls=context) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        peer = await server.peer()
        assert await peer.hears(len(HELLO)) == HELLO
        assert peer.writer.get_extra_info("peercert")["subject"] == ((("commonName", "we.example"),),)
        held = [(one.name, one.use) for one in end.pool.tls.held(0.0)]
        assert set(held) == {("main", "client"), ("backup", "client"), ("main", "peer")}


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_peer_that_wants_our_certificate_is_said_so(ca: Authority, newest: ssl.TLSVersion) -> None:
    context = carrier(ca.issue(NAME), asks_for=ca.file, newest=newest)
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, alerting(context) as port:
        end.pool.send(end.target(TLS, V4, port, "main"), HELLO)
        await end.were_lost()
    assert end.reasons[0].startswith("peer wants our certificate")
    assert "tls.certificate_file" in end.reasons[0]


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_peer_that_refuses_our_certificate_is_said_so(
    ca: Authority, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    ours = Authority(tmp_path, "Our Own").issue("we.example")
    context = carrier(ca.issue(NAME), asks_for=ca.file, newest=newest)
    own = f"ca_file: {ca.file}, certificate_file: {ours}"
    async with End(settings=settings(own)) as end, alerting(context) as port:
        end.pool.send(end.target(TLS, V4, port, "main"), HELLO)
        await end.were_lost()
    assert end.reasons[0].startswith("peer refuses our certificate: it says 'unknown ca'")


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_peer_that_wants_our_certificate_and_does_not_say_so_is_guessed_at(
    ca: Authority, newest: ssl.TLSVersion
) -> None:
    context = carrier(ca.issue(NAME), asks_for=ca.file, newest=newest)
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=context) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        await end.were_lost()
        assert end.reasons == [
            "tls handshake broken off: it closed the connection; "
            f"is {server.port} its port for tls, and does it want a certificate of ours?"
        ]


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
async def test_an_old_tls_is_refused(ca: Authority) -> None:
    context = carrier(ca.issue(NAME), newest=ssl.TLSVersion.TLSv1_1)
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, alerting(context) as port:
        end.pool.send(end.target(TLS, V4, port, "main"), HELLO)
        await end.were_lost()
    assert end.reasons == ["peer speaks an old tls: 1.2 or 1.3 is needed"]


@pytest.mark.parametrize("does", ["answers", "closes", "resets", "nothing"])
async def test_a_peer_without_tls_is_said_so(ca: Authority, does: str) -> None:
    bounds = Bounds(connect_within=0.2)
    async with End(bounds, settings(f"ca_file: {ca.file}")) as end, serving() as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        peer = await server.peer()
        if does == "answers":
            peer.say(b"SIP/2.0 400 Bad Request\r\n\r\n")
        elif does == "closes":
            await peer.reader.read(5)
            peer.writer.close()
        elif does == "resets":
            peer.reset()
        await end.were_lost()
        expected = {
            "answers": f"peer speaks no tls: it answers in plain text; is {server.port} its port for tls?",
            "nothing": "no tls handshake in time: the port is open, but nobody speaks tls there; "
            f"is {server.port} its port for tls?",
        }
        closed = (
            "tls handshake broken off: it closed the connection; "
            f"is {server.port} its port for tls, and does it want a certificate of ours?"
        )
        assert end.reasons == [expected.get(does, closed)]


async def test_tcp_fails_with_its_own_words(ca: Authority) -> None:
    port = closed_port(socket.SOCK_STREAM)
    async with End(settings=settings(f"ca_file: {ca.file}")) as end:
        end.pool.send(end.target(TLS, V4, port, "main"), HELLO)
        await end.were_lost()
        end.pool.send(Target(TLS, V4, port, b"x:1", "192.0.2.77", line="main"), HELLO)
        await end.were_lost(2)
    assert end.reasons == ["refused", "local: not an address of this machine"]


async def test_two_trunks_at_one_address_share_no_connection_and_no_fault(ca: Authority) -> None:
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=carrier(ca.issue(NAME))) as server:
        main, backup = (end.target(TLS, V4, server.port, line) for line in ("main", "backup"))
        end.pool.send(main, HELLO)
        peer = await server.peer()
        assert await peer.hears(len(HELLO)) == HELLO
        end.pool.send(backup, message("for the backup alone"))
        await end.were_lost()
        assert end.lost[0][0] == backup
        assert "wanted other.example or backup.example" in end.reasons[0]
        end.pool.send(main, HELLO)
        assert await peer.hears(len(HELLO)) == HELLO
        assert (end.pool.counters.connections_opened, end.pool.connections) == (1, 1)


async def test_a_file_that_is_missing_is_the_reason_until_it_is_there(ca: Authority, tmp_path: Path) -> None:
    file = tmp_path / "carrier.pem"
    file.write_bytes(ca.file.read_bytes())
    found = settings(f"ca_file: {file}")
    file.unlink()
    async with End(settings=found) as end, serving(tls=carrier(ca.issue(NAME))) as server:
        target = end.target(TLS, V4, server.port, "main")
        end.pool.send(target, HELLO)
        await end.were_lost()
        problem = f"{file} cannot be read: no such file or directory"
        assert end.reasons == [f"our tls settings cannot be used: {problem}"]
        assert end.pool.tls.problems() == (problem,)
        assert ("error", f"tls: {problem}", {}) in end.said
        file.write_bytes(ca.file.read_bytes())
        end.pool.send(target, HELLO)
        assert await (await server.peer()).hears(len(HELLO)) == HELLO
        end.pool.tls.held(asyncio.get_running_loop().time())
        assert end.pool.tls.problems() == ()


async def test_nobody_is_asked_without_a_name_to_check() -> None:
    registers = parse("pbx: {username: u, password: p}\ntrunks: [{name: main, host: a.example, transport: tls}]")
    async with End(settings=registers) as end:
        for number, line in enumerate(("", "stranger", "pbx"), 1):
            end.pool.send(Target(TLS, V4, 5061, b"x:1", line=line), HELLO)
            await end.were_lost(number)
    assert end.reasons == ["closed"] * 3


async def test_a_trunk_that_a_reload_takes_away_while_we_connect_proves_nothing(ca: Authority) -> None:
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=carrier(ca.issue(NAME))) as server:
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        other = parse("pbx: pbx.example\ntrunks: [{name: other, host: a.example, transport: tls}]")
        end.pool.tls.configure(other, asyncio.get_running_loop().time())
        await end.were_lost()
        assert end.pool.connections == 0


async def test_a_carrier_that_goes_without_a_goodbye_is_closed_and_the_next_message_opens_anew(ca: Authority) -> None:
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=carrier(ca.issue(NAME))) as server:
        target = end.target(TLS, V4, server.port, "main")
        end.pool.send(target, HELLO)
        peer = await server.peer()
        assert await peer.hears(len(HELLO)) == HELLO
        peer.say(message("answer"))
        await end.came()
        sock = socket.socket(fileno=os.dup(peer.writer.get_extra_info("socket").fileno()))
        sock.shutdown(socket.SHUT_WR)  # FIN, and no close_notify
        sock.close()
        await end.were_lost()
        assert end.reasons == ["closed"]
        end.pool.send(target, message("again"))
        assert await (await server.peer()).hears(len(message("again"))) == message("again")


async def test_a_wedged_connection_is_replaced_and_whoever_waits_is_told(ca: Authority) -> None:
    async with End(settings=settings(f"ca_file: {ca.file}")) as end, serving(tls=carrier(ca.issue(NAME))) as server:
        target = end.target(TLS, V4, server.port, "main")
        end.pool.drop(target)  # nothing is open yet
        end.pool.send(target, HELLO)
        end.pool.drop(target)  # nor now
        old = await server.peer()
        assert await old.hears(len(HELLO)) == HELLO
        await end.until(lambda: end.pool.connections)
        end.pool.drop(end.target(TLS, V4, server.port, "backup"))
        assert end.pool.connections == 1
        end.pool.drop(target)
        await end.were_lost()
        assert [(where.peer, reason) for where, reason in end.lost] == [(target.peer, "wedged")]
        assert await old.ends() == b""
        end.pool.send(target, message("again"))
        assert await (await server.peer()).hears(len(message("again"))) == message("again")
        assert end.pool.counters.wedged == 1
        assert [text for _, text, _ in end.said] == [
            f"the connection to tls 127.0.0.1:{server.port} is closed: requests in a row had no answer over it"
        ]


async def test_a_wedged_tcp_connection_is_replaced_too(end: End) -> None:
    at = end.listen(TCP)
    async with connected(*at) as peer:
        peer.say(HELLO)
        await end.came()
        end.pool.drop(end.flow)
        await end.were_lost()
        assert end.lost == [(end.flow, "wedged")]
        assert await peer.ends() == b""
        end.pool.drop(end.flow)
        end.pool.drop(Target("udp", V4, 5060, b"x:1"))
        assert end.pool.counters.wedged == 1


# -- others connect ---------------------------------------------------------------------------------------------------


async def test_a_listener_takes_whoever_speaks_tls_and_answers_over_the_connection(ca: Authority) -> None:
    async with End(settings=settings(ours=f"certificate_file: {ca.issue('we.example')}")) as end:
        at = end.listen(TLS)
        assert end.pool.bound == ((TLS, *at),)
        async with connected(*at, tls=client(ca.file)) as peer:
            peer.say(HELLO)
            await end.came()
            assert end.flow == Flow(TLS, *peer.at, b"%s:%d" % (at[0].encode(), at[1]), at[0], 1)
            end.pool.send(end.flow, message("answer"))
            assert await peer.hears(len(message("answer"))) == message("answer")
            end.pool.send(Target(TLS, *peer.at, b"x:1"), message("request"))
            assert await peer.hears(len(message("request"))) == message("request")
            end.pool.send(Target(TLS, *peer.at, b"x:1", line="main"), message("for main alone"))
            await end.were_lost()
        held = [(one.name, one.use) for one in end.pool.tls.held(0.0)]
        assert held == [("", "server")]


async def test_our_name_has_the_port_of_the_listener_for_tls(ca: Authority) -> None:
    async with End(settings=settings(ours=f"certificate_file: {ca.issue('we.example')}")) as end:
        end.listen(TCP)
        port = end.listen(TLS)[1]
        assert end.pool.local_for(TLS, V4, 5061, "public.example") == Target(
            TLS, V4, 5061, b"public.example:%d" % port, V4
        )


@pytest.mark.parametrize(
    ("shows", "line"),
    [
        (NAME, "main"),
        ("other.example", "backup"),
        ("pbx.example", "pbx"),
        ("*.carrier.example", "main"),
        ("stranger.example", ""),
    ],
)
async def test_a_verified_name_says_which_trunk_or_pbx_it_is(ca: Authority, shows: str, line: str) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}, client_ca_file: {ca.file}"
    async with End(settings=settings(ours=ours), known=lambda host: False) as end:
        at = end.listen(TLS)
        async with connected(*at, local="127.0.0.9", tls=client(ca.file, ca.issue(shows))) as peer:
            peer.say(HELLO)
            await end.came()
            assert (end.flow.line, end.flow.host) == (line, "127.0.0.9")
            end.pool.send(Target(TLS, *peer.at, b"x:1", line=line), message("request"))
            assert await peer.hears(len(message("request"))) == message("request")


@pytest.mark.parametrize(("known", "line"), [(True, ""), (False, "main")])
async def test_of_two_trunks_with_one_name_the_address_decides_if_it_is_known(
    ca: Authority, known: bool, line: str
) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}, client_ca_file: {ca.file}"
    both = settings(ours=ours, more=", domain: other.example")
    async with End(settings=both, known=lambda host: known) as end:
        at = end.listen(TLS)
        async with connected(*at, tls=client(ca.file, ca.issue("other.example"))) as peer:
            peer.say(HELLO)
            await end.came()
            assert end.flow.line == line


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("none", "it shows no certificate, which tls.client_ca_file asks for"),
        ("unknown", "its certificate is refused: unable to get local issuer certificate"),
        ("expired", "its certificate is refused: certificate has expired"),
        ("plain", "it speaks no tls"),
        ("closes", "it closed the connection"),
    ],
)
async def test_who_cannot_connect_is_told_to_the_log_if_it_is_known(
    ca: Authority, tmp_path: Path, kind: str, why: str
) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}, client_ca_file: {ca.file}"
    contexts = {
        "none": lambda: client(ca.file),
        "unknown": lambda: client(ca.file, Authority(tmp_path, "Somebody Else").issue(NAME)),
        "expired": lambda: client(ca.file, ca.issue(NAME, ends=-2 * DAY)),
    }
    context = contexts[kind]() if kind in contexts else None
    async with End(settings=settings(ours=ours), known=lambda host: host == V4) as end:
        at = end.listen(TLS)

        async def knock(local: str) -> None:
            failed = end.pool.counters.handshakes_failed
            try:
                async with connected(*at, local=local, tls=context) as peer:
                    if kind != "closes":
                        peer.say(HELLO)
                        await peer.ends()
            except (ssl.SSLError, ConnectionError):
                pass  # told in the handshake, with TLS 1.2
            for _ in range(500):
                if end.pool.counters.handshakes_failed > failed:
                    return
                await asyncio.sleep(0.01)  # a counter tells nobody that it moved
            raise AssertionError("the handshake did not fail")

        await knock("127.0.0.9")
        assert end.said == []
        await knock(V4)
        await knock(V4)
        ((level, text, values),) = end.said
        assert (level, text) == ("warning", "127.0.0.1 cannot connect with tls")
        assert str(values["why"]).startswith(why)
        assert end.received == []
        assert end.pool.connections == 0


async def test_a_new_certificate_is_used_and_a_broken_one_is_not(ca: Authority, tmp_path: Path) -> None:
    file = ca.issue("first.example", to=tmp_path / "ours.pem")
    async with End(settings=settings(ours=f"certificate_file: {file}")) as end:
        at = end.listen(TLS)

        async def shown() -> str:
            async with connected(*at, tls=client(ca.file)) as peer:
                peer.say(HELLO)
                await end.came(len(end.received) + 1)
                subject = peer.writer.get_extra_info("peercert")["subject"]
                return str(subject[0][0][1])

        async with connected(*at, tls=client(ca.file)) as old:
            assert await shown() == "first.example"
            ca.issue("second.example", to=file)
            assert await shown() == "second.example"
            assert end.said == [("info", "tls: certificates were read anew", {"files": str(file)})]
            file.write_text("half a file")
            assert await shown() == "second.example"
            level, text, _ = end.said[-1]
            assert (level, "the old certificate is used on" in text) == ("error", True)
            assert end.pool.tls.problems()
            file.unlink()
            assert await shown() == "second.example"
            ca.issue("third.example", to=file)
            assert await shown() == "third.example"
            assert end.pool.tls.problems() == ()
            old.say(HELLO)  # it keeps what it began with
            await end.came(6)


async def test_a_listener_without_a_certificate_refuses(ca: Authority) -> None:
    async with End(settings=settings()) as end:
        at = end.listen(TLS)
        async with connected(*at) as peer:
            assert await peer.ends() == b""
        assert end.pool.counters.connections_refused == 1


# -- bounds -----------------------------------------------------------------------------------------------------------


async def test_a_handshake_that_is_not_ended_is_cut_off(ca: Authority) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}"
    async with End(Bounds(handshake_within=0.1, accepted_per_host=1), settings(ours=ours)) as end:
        at = end.listen(TLS)
        async with connected(*at) as peer:
            peer.say(b"\x16\x03\x01\x02\x00")
            async with connected(*at) as other:
                assert await other.ends() == b""  # it holds the only place of its host
            assert await peer.ends() == b""
        await end.until(lambda: end.said)
        assert end.said[0][2] == {"why": "no handshake in time"}
        assert (end.pool.counters.handshakes_failed, end.pool.counters.connections_refused) == (1, 1)
        async with connected(*at, tls=client(ca.file)) as peer:
            peer.say(HELLO)
            await end.came()


async def test_strangers_who_connect_and_say_nothing_shut_no_pbx_out(ca: Authority) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}"
    async with End(Bounds(handshakes=3), settings(ours=ours), known=lambda host: host == V4) as end:
        at = end.listen(TLS)
        async with AsyncExitStack() as stack:
            for _ in range(3):
                await stack.enter_async_context(connected(*at, local="127.0.0.9"))
            async with connected(*at, local="127.0.0.8") as further:
                assert await further.ends() == b""
            async with connected(*at, tls=client(ca.file)) as pbx:
                pbx.say(HELLO)
                await end.came()
        assert end.pool.counters.connections_refused == 1


async def test_a_flood_of_connections_stays_within_the_bounds(ca: Authority) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}"
    bounds = Bounds(accepted=6, accepted_kept_for_peers=2, accepted_per_host=10)
    async with End(bounds, settings(ours=ours), known=lambda host: host == V4) as end:
        at = end.listen(TLS)
        async with AsyncExitStack() as stack:
            hosts = [f"127.0.1.{number}" for number in range(1, 21)]
            peers = [await stack.enter_async_context(connected(*at, local=host)) for host in hosts]
            for peer in peers[4:]:
                assert await peer.ends() == b""
            async with connected(*at, tls=client(ca.file)) as pbx:
                pbx.say(HELLO)
                await end.came()
        assert end.pool.counters.connections_refused == 16


async def test_a_second_look_has_a_bound(ca: Authority, tmp_path: Path) -> None:
    """A peer that lets the first connection fail and then says nothing delays the call by no more than that."""
    context = carrier(Authority(tmp_path, "Somebody Else").issue(NAME))
    once: list[object] = []

    def choose(*_: object) -> int | None:
        once.append(None)
        return None

    context.sni_callback = choose  # type: ignore[assignment]
    bounds = Bounds(look_within=0.1)
    async with End(bounds, settings(f"ca_file: {ca.file}")) as end, serving(tls=context) as server, serving() as mute:
        target = end.target(TLS, V4, server.port, "main")
        opening = end.pool._streams._opening
        connect = opening._connect

        async def then_mute(to: Target) -> socket.socket:
            return await connect(to if not once else end.target(TLS, V4, mute.port, "main"))

        opening._connect = then_mute  # type: ignore[method-assign]
        began = asyncio.get_running_loop().time()
        end.pool.send(target, HELLO)
        await end.were_lost()
        assert asyncio.get_running_loop().time() - began < 2.0
    assert end.reasons[0].startswith("certificate of an unknown authority: its issuer is not among those in")


async def test_a_peer_that_does_not_read_loses_the_connection(ca: Authority) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}"
    async with End(Bounds(write_buffer_bytes=100_000), settings(ours=ours)) as end:
        at = end.listen(TLS)
        async with connected(*at, tls=client(ca.file)) as peer:
            peer.say(HELLO)
            await end.came()
            peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
            for _ in range(1000):
                end.pool.send(end.flow, message("x" * 60_000))
                if end.lost:
                    break
                await asyncio.sleep(0)
            await end.were_lost()
            assert end.lost[0] == (end.flow, "buffer full")
            peer.reset()


async def test_pings_slowness_and_idleness_are_as_over_tcp(ca: Authority) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}"
    bounds = Bounds(keep_alive_every=0.05, idle_close_after=0.5, message_within=0.3, sweep_every=QUICK)
    async with End(bounds, settings(ours=ours)) as end:
        at = end.listen(TLS)
        async with connected(*at, tls=client(ca.file)) as peer, connected(*at, tls=client(ca.file)) as slow:
            slow.say(b"INVITE")
            peer.say(HELLO + b"\r\n\r\n")
            assert await peer.hears(2) == b"\r\n"
            assert await peer.hears(4) == b"\r\n\r\n"
            await slow.ends()
            await peer.ends()
            await end.were_lost(2)
        assert sorted(end.reasons) == ["closed", "timeout"]


async def test_closing_tells_nobody_and_ends_what_is_half_open(ca: Authority) -> None:
    ours = f"certificate_file: {ca.issue('we.example')}"
    async with serving() as mute:
        end = End(settings=settings(f"ca_file: {ca.file}", ours=ours))
        at = end.listen(TLS)
        async with connected(*at) as half, connected(*at, tls=client(ca.file)) as whole:
            whole.say(HELLO)
            await end.came()
            end.pool.send(end.flow, message("bye"))
            end.pool.send(end.target(TLS, V4, mute.port, "main"), HELLO)
            await mute.peer()
            end.pool.close()
            async with asyncio.timeout(2):
                await end.pool.closed()
            assert await half.ends() == b""
            assert await whole.ends() in (b"", message("bye"))
    assert end.lost == []


@pytest.mark.parametrize("turns", range(8))
async def test_closing_at_any_moment_of_a_handshake(ca: Authority, turns: int) -> None:
    async with serving(tls=carrier(ca.issue(NAME))) as server:
        end = End(settings=settings(f"ca_file: {ca.file}"))
        end.pool.send(end.target(TLS, V4, server.port, "main"), HELLO)
        for _ in range(turns):
            await asyncio.sleep(0)
        end.pool.close()
        async with asyncio.timeout(2):
            await end.pool.closed()
    assert end.lost == []


@pytest.mark.parametrize("turns", range(10))
async def test_closing_at_any_moment_of_a_handshake_of_a_peer(ca: Authority, turns: int) -> None:
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context))
    end = End(settings=settings(ours=f"certificate_file: {ca.issue('we.example')}"))
    at = end.listen(TLS)
    with socket.create_connection(at):
        for _ in range(turns):
            await asyncio.sleep(0)
        end.pool.close()
        async with asyncio.timeout(2):
            await end.pool.closed()
        await asyncio.sleep(0)
    assert (end.lost, faults) == ([], [])
