"""TCP and TLS as a check sees them: on loopback, with certificates of all kinds."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import trustme

from sipfailover.config import TrunkSettings, TrunkTls
from sipfailover.flow import Target
from sipfailover.preflight import connect
from sipfailover.preflight.connect import tcp_step, tls_steps
from sipfailover.preflight.report import Result, Step
from tests.transport.ends import closed_port

NAME = "carrier.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class Town:
    """An authority, and the settings of a trunk that believes it."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.file = folder / "ca.pem"
        self.authority.cert_pem.write_to_path(str(self.file))

    def trunk(self, **tls: str) -> TrunkSettings:
        settings = TrunkTls(**{"ca_file": str(self.file), **tls})
        return TrunkSettings(name="main", host=NAME, transport="tls", tls=settings)

    def context(self, *names: str, authority: trustme.CA | None = None, until: datetime.datetime | None = None):  # type: ignore[no-untyped-def]
        leaf = (authority or self.authority).issue_cert(*names, not_before=NOW - 30 * DAY, not_after=until)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf.configure_cert(context)
        return context


@pytest.fixture
def town(tmp_path: Path) -> Town:
    return Town(tmp_path)


@asynccontextmanager
async def serving(
    context: ssl.SSLContext | None, says: bytes = b"", waits: asyncio.Event | None = None
) -> AsyncIterator[Target]:
    writers: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(says)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # a client that refuses is no fault of the server
    try:
        yield Target("tls", "127.0.0.1", server.sockets[0].getsockname()[1], b"127.0.0.1:5061")
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def refused(town: Town, context: ssl.SSLContext | None, says: bytes = b"", **tls: str) -> Step:
    async with serving(context, says) as target:
        (step,) = await tls_steps(target, town.trunk(**tls), NOW)
    assert (step.name, step.result) == ("TLS", Result.FAILED)
    assert step.text.startswith(f"{target}: ")
    assert step.advice
    return step


async def test_tcp_opens() -> None:
    async with serving(None) as target:
        step = await tcp_step(target)
    assert (step.result, step.text) == (Result.GOOD, f"{target}: open")
    assert step.seconds is not None


async def test_a_closed_port() -> None:
    target = Target("tcp", "127.0.0.1", closed_port(socket.SOCK_STREAM), b"127.0.0.1:5060")
    step = await tcp_step(target)
    assert (step.result, step.text) == (Result.FAILED, f"{target}: the port is closed")


async def test_a_good_certificate_is_shown(town: Town) -> None:
    async with serving(town.context(NAME, "other.example", until=NOW + 100 * DAY)) as target:
        handshake, certificate = await tls_steps(target, town.trunk(), NOW)
    assert handshake.result is Result.GOOD
    assert handshake.facts["protocol"] == "TLSv1.3"
    assert certificate.result is Result.GOOD
    assert certificate.text.startswith("for carrier.example, other.example, by trustme")
    assert certificate.facts["names"] == [NAME, "other.example"]
    assert "(99 days)" in certificate.text or "(100 days)" in certificate.text


async def test_a_certificate_that_ends_soon_is_a_warning(town: Town) -> None:
    async with serving(town.context(NAME, until=NOW + 20 * DAY)) as target:
        _, certificate = await tls_steps(target, town.trunk(), NOW)
    assert certificate.result is Result.WARNING


def test_a_certificate_that_cannot_be_read_is_a_warning() -> None:
    assert connect.Certificate.read(b"") is None
    assert connect.Certificate.read(b"0\x03\x02\x01\x01") is None
    assert connect.certificate_step(None, NOW).result is Result.WARNING


async def test_an_expired_certificate(town: Town) -> None:
    step = await refused(town, town.context(NAME, until=NOW - 2 * DAY))
    assert f"the certificate for {NAME} has expired on {NOW - 2 * DAY:%Y-%m-%d}" in step.text


async def test_a_certificate_for_somebody_else(town: Town) -> None:
    step = await refused(town, town.context("other.example"))
    assert step.text.endswith(f"the certificate is for other.example, not for {NAME}")
    assert "tls.server_name" in step.advice


async def test_server_name_mends_it(town: Town) -> None:
    async with serving(town.context("other.example")) as target:
        steps = await tls_steps(target, town.trunk(server_name="other.example"), NOW)
    assert [step.result for step in steps] == [Result.GOOD, Result.GOOD]


async def test_an_unknown_authority(town: Town) -> None:
    step = await refused(town, town.context(NAME, authority=trustme.CA()))
    assert "whom we do not know" in step.text
    assert "tls.ca_file" in step.advice


async def test_an_authority_of_the_system_only(town: Town) -> None:
    step = await refused(town, town.context(NAME), ca_file="")
    assert "tls.ca_file" in step.advice


async def test_a_peer_that_speaks_no_tls(town: Town) -> None:
    step = await refused(town, None, b"SIP/2.0 400 Bad Request\r\n\r\n" * 20)
    assert step.text.endswith("what answers there does not speak TLS")


async def test_a_peer_that_says_nothing(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "WITHIN", 0.1)
    step = await refused(town, None)
    assert "no connection within" in step.text


async def test_a_file_that_is_no_certificate(town: Town) -> None:
    town.file.write_text("nothing")
    async with serving(town.context(NAME)) as target:
        (step,) = await tls_steps(target, town.trunk(), NOW)
    assert step.result is Result.FAILED
    assert step.advice == "check the section tls"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("shows", [False, True])
async def test_a_carrier_that_wants_our_certificate(
    town: Town, tmp_path: Path, shows: bool, version: ssl.TLSVersion
) -> None:
    context = town.context(NAME, until=NOW + 100 * DAY)
    context.verify_mode = ssl.CERT_REQUIRED
    context.minimum_version = context.maximum_version = version  # with 1.3 a client hears of it when it reads
    context.load_verify_locations(str(town.file))
    ours = tmp_path / "ours.pem"
    town.authority.issue_cert("office.example").private_key_and_cert_chain_pem.write_to_path(str(ours))
    if not shows:
        step = await refused(town, context)
        assert "tls.certificate_file" in step.advice
        return
    async with serving(context) as target:
        steps = await tls_steps(target, town.trunk(certificate_file=str(ours)), NOW)
    assert steps[0].result is Result.GOOD


async def test_the_host_is_a_good_name_beside_the_domain(town: Town) -> None:
    trunk = town.trunk().model_copy(update={"domain": "domain.example"})
    async with serving(town.context(NAME, until=NOW + 100 * DAY)) as target:
        steps = await tls_steps(target, trunk, NOW)
    assert [step.result for step in steps] == [Result.GOOD, Result.GOOD]
    async with serving(town.context("other.example")) as target:
        (step,) = await tls_steps(target, trunk, NOW)
    assert step.text.endswith("for other.example, not for domain.example or carrier.example")


@pytest.mark.parametrize(
    ("more", "names"),
    [
        ({}, ("h.example",)),
        ({"domain": "d.example"}, ("d.example", "h.example")),
        ({"domain": "h.example"}, ("h.example",)),
        ({"domain": "d.example", "tls": TrunkTls(server_name="s.example")}, ("s.example",)),
    ],
)
def test_the_names_that_are_expected(more: dict[str, Any], names: tuple[str, ...]) -> None:
    assert connect.expected_names(TrunkSettings(name="a", host="h.example", **more)) == names
