"""The whole service with its main trunk over TLS: what a bad certificate costs (no call), and what people read."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from sipfailover.chance import Chance
from sipfailover.simulator import Carrier
from sipfailover.wire import Message, StreamFramer
from tests.kit.certificates import DAY, Authority, self_signed
from tests.test_app import HOST, LOOPS, SETTINGS, Factory, Town, play, spoken, town, until

NAME = "sip.main.example"
TLS_SETTINGS = SETTINGS.replace(
    "{name: main,   host: %(main_host)s, port: %(main)d, register: no}",
    "{name: main, host: %(main_host)s, port: %(tls)d, transport: tls, register: no,"
    " tls: {ca_file: %(ca)s, server_name: sip.main.example%(more)s}}",
)


class TlsPlug:
    """A listener for TLS, or for plain TCP, that is joined to a simulated carrier by `join`."""

    def __init__(self) -> None:
        self.heard: list[Message] = []
        self.connections = 0
        self.mute = False
        self.answer = b""
        """Said to whatever comes first, instead of listening to it."""
        self._agent: Carrier | None = None
        self._joined = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._writers: dict[tuple[str, int], asyncio.StreamWriter] = {}
        self._alarm: asyncio.TimerHandle | None = None

    def join(self, agent: Carrier) -> None:
        self._agent = agent
        self._joined.set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        source = writer.get_extra_info("peername")[:2]
        self._writers[source] = writer
        framer = StreamFramer()
        await self._joined.wait()
        assert self._agent is not None
        with suppress(ConnectionError, ssl.SSLError):
            while data := await reader.read(65536):
                if self.answer:
                    writer.write(self.answer)
                elif not self.mute:
                    for one in framer.feed(data):
                        self.heard.append(Message(one))
                        self._agent.receive(source, one, self._loop.time())
                    self._flush()
        writer.close()

    def close(self) -> None:
        if self._alarm:
            self._alarm.cancel()
        for writer in self._writers.values():
            writer.transport.abort()

    def _flush(self) -> None:
        assert self._agent is not None
        for to, data in self._agent.take():
            if to in self._writers:
                self._writers[to].write(data)
        if self._alarm:
            self._alarm.cancel()
        due = self._agent.deadline()
        self._alarm = None if due is None else self._loop.call_at(due, self._wake)

    def _wake(self) -> None:
        assert self._agent is not None
        self._agent.wake(self._loop.time())
        self._flush()


@asynccontextmanager
async def secure_town(
    folder: Path, ca: Authority, context: ssl.SSLContext | None, more: str = "", **changes: Any
) -> AsyncIterator[tuple[Town, TlsPlug]]:
    """A town whose main carrier has this context, or speaks no TLS. more: keys of the trunk's `tls`."""
    plug = TlsPlug()
    listener = await asyncio.start_server(plug.serve, HOST, 0, ssl=context)
    port = listener.sockets[0].getsockname()[1]
    try:
        async with town(folder, text=TLS_SETTINGS, tls=port, ca=ca.file, more=more, **changes) as here:
            plug.join(here.main)
            yield here, plug
    finally:
        listener.close()
        plug.join(Carrier("gone", (HOST, 1), Chance(1)))
        plug.close()
        await asyncio.sleep(0)


def carrier(certificate: Path, asks_for: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for)
    return context


BAD = {
    "expired": ("certificate expired", f"that of {NAME}, on 20"),
    "not yet valid": ("certificate not yet valid", "is the clock of this machine right"),
    "another name": ("certificate for another name", f"it is for sip.other.example, wanted {NAME}; if that is the"),
    "unknown authority": ("certificate of an unknown authority", "Somebody Else issued it"),
    "self-signed": ("certificate of an unknown authority", f"{NAME} signed it itself"),
    "plain text": ("peer speaks no tls", "it answers in plain text; is"),
    "mute": ("no tls handshake in time", "the port is open, but nobody speaks tls there"),
    "wants ours": ("tls handshake broken off", "does it want a certificate of ours?"),
}


def bad_context(kind: str, ca: Authority, folder: Path) -> ssl.SSLContext | None:
    if kind in ("plain text", "mute"):
        return None
    if kind == "unknown authority":
        return carrier(Authority(folder, "Somebody Else").issue(NAME))
    if kind == "self-signed":
        return carrier(self_signed(folder, NAME))
    if kind == "wants ours":
        return carrier(ca.issue(NAME), asks_for=ca.file)
    days = {"expired": {"ends": -DAY}, "not yet valid": {"starts": DAY}}.get(kind, {})
    return carrier(ca.issue("sip.other.example" if kind == "another name" else NAME, **days))


@LOOPS
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_certificate_costs_no_call_and_is_told_so_that_somebody_can_act(
    factory: Factory, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word, sentence = BAD[kind]

    async def story() -> None:
        lines = spoken(monkeypatch)
        ca = Authority(tmp_path)
        async with secure_town(tmp_path, ca, bad_context(kind, ca, tmp_path)) as (here, plug):
            plug.mute = kind == "mute"
            if kind == "plain text":
                plug.answer = b"SIP/2.0 400 Bad Request\r\n\r\n"
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            assert leg.ringing_after is not None
            assert leg.ringing_after < 2.0
            assert here.backup.legs
            assert not here.main.legs
            here.hang_up(leg)

            def told() -> list[str]:
                return [str(more["why"]) for _, text, more in lines if text == "no tls connection to trunk main"]

            (why, *_) = await until(told, "the log says why")
            assert why.startswith(f"{word}: ")
            assert sentence in why
            shown = await here.status()
            assert [one for one in shown["warnings"] if one.startswith(f"main: {word}: ")]
            await until(lambda: here.app.engine.watch.failovers.active == "backup", "failover")
            if kind != "mute":  # there the check's own time is over first
                assert word in (await here.status())["trunks"][0]["why"]
            await asyncio.sleep(0.5)
            assert len(told()) == 1, "told once, not with each check"
            assert plug.heard == []

    play(factory, story)


@LOOPS
@pytest.mark.parametrize("mutual", [False, True], ids=["one-sided", "mutual"])
def test_a_call_goes_over_tls_and_says_so(factory: Factory, mutual: bool, tmp_path: Path) -> None:
    async def story() -> None:
        ca = Authority(tmp_path)
        context = carrier(ca.issue(NAME, ends=5 * DAY), ca.file if mutual else None)
        more = f", certificate_file: {ca.issue('we.example')}" if mutual else ""
        async with secure_town(tmp_path, ca, context, more) as (here, plug):
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            here.hang_up(leg)
            await until(lambda: here.main.legs[0].ended_at, "hung up at the carrier")
            assert not here.phone.trouble
            assert not here.main.trouble
            assert not here.backup.legs
            assert plug.connections == 1
            methods = [message.method for message in plug.heard if message.method != b"OPTIONS"]
            assert methods == [b"INVITE", b"ACK", b"BYE"]
            for message in plug.heard:
                assert message.via.transport == b"TLS"
                if message.method in (b"INVITE", b"OPTIONS"):
                    assert message.contact is not None
                    assert message.contact.uri.endswith(b":5061;transport=tls")
            shown = await here.status()
            assert shown["trunks"][0]["target"].startswith("tls 127.0.0.1:")
            assert any(one.startswith("the certificate of main expires in 4 days") for one in shown["warnings"])
            ends = 'sipfailover_certificate_expiry_timestamp_seconds{name="main",use="peer"}'
            assert await here.metric(ends) > 1e9
            own = 'sipfailover_certificate_expiry_timestamp_seconds{name="main",use="client"}'
            assert (await here.metric(own) > 1e9) is mutual

    play(factory, story)


@LOOPS
def test_a_carrier_that_renews_its_certificate_is_used_again(
    factory: Factory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        spoken(monkeypatch)
        ca = Authority(tmp_path)
        file = ca.issue(NAME, ends=-DAY)
        context = carrier(file)
        async with secure_town(tmp_path, ca, context) as (here, _):
            trunk = here.app.engine.core.trunks[0].trunk
            await until(lambda: trunk.tls_why, "refused")
            context.load_cert_chain(ca.issue(NAME, to=file))
            await until(lambda: not trunk.tls_why, "accepted")
            assert not [one for one in (await here.status())["warnings"] if "certificate" in one]

    play(factory, story)


@LOOPS
def test_a_connection_over_which_nothing_is_answered_is_replaced(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        ca = Authority(tmp_path)
        async with secure_town(tmp_path, ca, carrier(ca.issue(NAME))) as (here, plug):
            await until(lambda: plug.heard, "checked")
            plug.mute = True
            await until(lambda: here.app.pool.counters.wedged, "found")
            plug.mute = False
            heard = len(plug.heard)
            await until(lambda: len(plug.heard) > heard, "checked over a new one")
            assert plug.connections == 2

    play(factory, story)
