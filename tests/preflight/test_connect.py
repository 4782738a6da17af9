"""TCP and TLS as they are seen from outside, on loopback, with certificates of all kinds."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

from sipfailover.config import TrunkSettings, TrunkTls
from sipfailover.flow import Target
from sipfailover.preflight import connect
from sipfailover.preflight.connect import Shown, shown_step, tcp_step, tls_step
from sipfailover.preflight.report import Result
from tests.transport.ends import closed_port

NAME = "carrier.example"
NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
TRUNK = TrunkSettings(name="main", host=NAME, transport="tls")
TARGET = Target("tls", "192.0.2.1", 5061, b"192.0.2.9:5061")


def context(*names: str, until: datetime.datetime | None = None) -> ssl.SSLContext:
    """That of a server with a certificate for these names, of an authority that nobody knows."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert(*names, not_before=NOW - 30 * DAY, not_after=until).configure_cert(made)
    return made


@asynccontextmanager
async def serving(secure: ssl.SSLContext | None, says: bytes = b"") -> AsyncIterator[Target]:
    writers: list[asyncio.StreamWriter] = []

    async def accept(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(says)

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=secure)
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)  # a client that goes is no fault of the server
    try:
        yield Target("tls", "127.0.0.1", server.sockets[0].getsockname()[1], b"127.0.0.1:5061")
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def test_tcp_opens() -> None:
    async with serving(None) as target:
        step = await tcp_step(target)
    assert (step.result, step.text) == (Result.GOOD, f"{target}: open")
    assert step.seconds is not None


async def test_a_closed_port() -> None:
    target = Target("tcp", "127.0.0.1", closed_port(socket.SOCK_STREAM), b"127.0.0.1:5060")
    step = await tcp_step(target)
    assert (step.result, step.text) == (Result.FAILED, f"{target}: the port is closed")


async def test_a_certificate_is_shown_without_being_believed() -> None:
    async with serving(context(NAME, "*.other.example", until=NOW + 100 * DAY)) as target:
        step = await tls_step(target, TRUNK, NOW)
    assert step is not None
    assert step.result is Result.GOOD
    assert step.text.startswith(f"{target}: TLSv1.3, TLS_")
    assert f"; a certificate for {NAME}, *.other.example, by " in step.text
    assert step.text.endswith(f", until {NOW + 100 * DAY:%Y-%m-%d}")
    assert step.facts["names"] == [NAME, "*.other.example"]


@pytest.mark.parametrize(("days", "word"), [(20, "expires in"), (-2, "expired on")])
async def test_a_certificate_whose_time_is_over_or_nearly_so(days: int, word: str) -> None:
    async with serving(context(NAME, until=NOW + days * DAY)) as target:
        step = await tls_step(target, TRUNK, NOW)
    assert step is not None
    assert step.result is Result.WARNING
    assert f": it {word} " in step.text


def test_a_certificate_that_cannot_be_read() -> None:
    step = shown_step(TARGET, Shown("TLSv1.3", "A", None, 0.1), NOW)
    assert (step.result, step.text) == (
        Result.WARNING,
        "tls 192.0.2.1:5061: TLSv1.3, A; the certificate cannot be read",
    )


async def test_without_a_handshake_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "WITHIN", 0.2)
    async with serving(None, b"SIP/2.0 400 Bad Request\r\n\r\n") as target:
        assert await tls_step(target, TRUNK, NOW) is None
    async with serving(None) as target:
        assert await tls_step(target, TRUNK, NOW) is None


async def test_our_own_certificate_is_shown_where_it_is_wanted(tmp_path: Path) -> None:
    authority = trustme.CA()
    ours = tmp_path / "ours.pem"
    authority.issue_cert("office.example").private_key_and_cert_chain_pem.write_to_path(str(ours))
    secure = context(NAME)
    secure.verify_mode, secure.maximum_version = ssl.CERT_REQUIRED, ssl.TLSVersion.TLSv1_2
    authority.configure_trust(secure)
    with_ours = TRUNK.model_copy(update={"tls": TrunkTls(certificate_file=str(ours))})
    async with serving(secure) as target:
        assert await tls_step(target, with_ours, NOW) is not None
        assert await tls_step(target, TRUNK, NOW) is None
        missing = TRUNK.model_copy(update={"tls": TrunkTls(certificate_file=str(tmp_path / "missing.pem"))})
        assert await tls_step(target, missing, NOW) is None
