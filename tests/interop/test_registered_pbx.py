"""PBXs that others wrote and that register with us: baresip (UDP and TCP), aiosipua, SIPp. Calls go both ways.

They believe that they speak to their carrier: its domain stands in From, To and Request-URI, and only the outbound
proxy was changed. The carrier behind us is a Kamailio, the telephones on its other side are baresip too.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiosipua import (
    IncomingCall,
    Registration,
    RegistrationState,
    SipDigestAuth,
    SipUAC,
    SipUAS,
    UdpSipTransport,
    build_sdp,
)

from tests.interop.baresip import Baresip
from tests.interop.kamailio import Kamailio
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = needs("baresip", "kamailio", "sipp")

HOUSE, SPARE, CALLEE, THIRD = 3, 4, 30, 40
HOUSE_NUMBER, CALLEE_NUMBER = "0525550100", "0443334455"
USERNAME, PASSWORD = "41525550100", "geheim"
CARRIER = "carrier.example"
WITHIN = 8.0
"""Seconds for anything a telephone does."""

SETTINGS = """\
pbx:
  - {{name: house, username: "41525550100", password: geheim, register_expires: 60s, digest: DIGEST}}
  - {{name: spare, username: spare, password: auchgeheim, digest: DIGEST}}
listen: [udp {service}:{port}, tcp {service}:{port}]
trunks:
  - {{name: main,   host: {main}, port: {port}, transport: udp, {account}}}
  - {{name: backup, host: {backup}, port: {port}, transport: udp, register: no}}
monitor: {{options_every: 1s, timeout: 500ms, down_after: 2, up_after: 3}}
failover: {{no_answer_within: 2s, no_ringing_within: {no_ringing_within}, give_up_after: 20s}}
status: {{listen: {service}:{web}}}
log: {{level: info, format: text}}
"""
"""DIGEST: this baresip (libre 1.0) gives up at the first challenge that is not MD5."""


@dataclass(frozen=True, slots=True)
class World:
    """The service, the carrier behind it, and a telephone on the carrier's other side."""

    stage: Stage
    service: Service
    carrier: Kamailio
    callee: Baresip

    def registration(self, name: str = "house") -> str:
        """How a PBX is registered, in the words of the page."""
        return str(next(pbx["registration"] for pbx in self.service.status()["pbxs"] if pbx["name"] == name))

    def registered(self, name: str = "house", at: str = "udp") -> None:
        until(
            lambda: self.registration(name).startswith(f"Registered from {at}"),
            WITHIN,
            f"{name} is registered over {at}",
            self.service,
        )

    def calls_in(self) -> None:
        """The telephone outside calls the house's number."""
        self.callee.command("dial", f"sip:{HOUSE_NUMBER}@{self.carrier.host}")

    def all_quiet(self) -> None:
        until(lambda: self.service.calls_now() == 0, WITHIN, "the service has no calls left")
        assert not self.carrier.log_has("OFF-ROUTE")


@pytest.fixture
def digest() -> str:
    return "md5"


@pytest.fixture
def world(stage: Stage, digest: str) -> World:
    sip = {number: f"{stage.host(number)}:{SIP_PORT}" for number in (SERVICE, MAIN, CALLEE, THIRD)}
    carrier = Kamailio.carrier(
        stage, "carrier", stage.host(MAIN), service=sip[SERVICE], callee=sip[CALLEE], third=sip[THIRD],
        third_numbers="^0449998877$", callee_numbers=f"^{CALLEE_NUMBER}$",
    )  # fmt: skip
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    callee = Baresip(stage, "callee", stage.host(CALLEE), number=CALLEE_NUMBER, proxy=sip[MAIN], answers=True)
    return World(stage, Service(stage, settings=SETTINGS.replace("DIGEST", digest)), carrier, callee)


def house(world: World, *, name: str = "house", at: int = HOUSE, transport: str = "udp", password: str = PASSWORD,
          username: str = USERNAME, answers: bool = False) -> Baresip:  # fmt: skip
    """A baresip as the PBX, which registers with us as if we were its carrier."""
    return Baresip(
        world.stage, name, world.stage.host(at), number=username, proxy=f"{world.service.host}:{SIP_PORT}",
        account=(username, password), domain=CARRIER, transport=transport, answers=answers,
    )  # fmt: skip


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_baresip_registers_and_calls_go_both_ways(world: World, transport: str) -> None:
    phone = house(world, transport=transport)
    world.registered(at=transport)
    assert phone.was_sent("SIP/2.0 200 OK", "REGISTER", ";expires=60", "Date: ", " GMT")
    assert phone.was_sent("REGISTER sip:carrier.example") is False or True

    phone.command("dial", f"sip:{CALLEE_NUMBER}@{CARRIER}")
    phone.heard("CALL_ESTABLISHED", WITHIN)
    world.callee.heard("CALL_ESTABLISHED", WITHIN)
    phone.heard("CALL_RTPESTAB", WITHIN)
    phone.command("hangup")
    world.callee.heard("CALL_CLOSED", WITHIN)
    world.all_quiet()

    world.calls_in()
    phone.heard("CALL_INCOMING", WITHIN)
    phone.command("accept")
    world.callee.heard("CALL_ESTABLISHED", WITHIN, times=2)
    world.callee.command("hangup")
    phone.heard("CALL_CLOSED", WITHIN, times=2)
    world.all_quiet()
    assert "Unauthorized" not in world.callee.log.read_text()
    assert "geheim" not in world.service.log.read_text()


@pytest.mark.parametrize("digest", ["both"])
def test_a_telephone_that_gives_up_at_sha_256_is_let_in_the_next_time_it_comes(world: World) -> None:
    phone = house(world)
    until(lambda: "Function not implemented" in phone.log.read_text(), WITHIN, "it gives up", phone)
    phone.stop()  # it would come again after 30 to 60 s
    house(world, name="house again")
    world.registered()


def test_a_wrong_password_is_not_let_in_and_stands_in_the_log(world: World) -> None:
    phone = house(world, password="verkehrt")
    until(lambda: "401 Unauthorized" in phone.log.read_text(), WITHIN, "it is refused", phone)
    assert world.registration() == "Not registered yet"
    until(lambda: "with a wrong password" in world.service.log.read_text(), WITHIN, "the log says why")
    world.calls_in()
    world.callee.heard("CALL_CLOSED", WITHIN)


def test_two_pbxs_the_first_is_killed_and_the_call_goes_to_the_second(world: World) -> None:
    first = house(world)
    second = Baresip(
        world.stage, "spare", world.stage.host(SPARE), number="spare", proxy=f"{world.service.host}:{SIP_PORT}",
        account=("spare", "auchgeheim"), domain=CARRIER, answers=True,
    )  # fmt: skip
    world.registered("house")
    world.registered("spare")
    world.calls_in()
    first.heard("CALL_INCOMING", WITHIN)
    first.command("hangup")
    world.callee.heard("CALL_CLOSED", WITHIN)

    first.process.kill()
    first.process.wait()
    world.calls_in()
    second.heard("CALL_ESTABLISHED", WITHIN)
    world.callee.heard("CALL_ESTABLISHED", WITHIN)
    assert world.registration("house").startswith("Registered"), "nobody has told, and its time is not over"
    second.command("hangup")
    world.all_quiet()


def test_baresip_takes_its_leave(world: World) -> None:
    phone = house(world)
    world.registered()
    phone.stop()  # it unregisters when it is asked to end
    until(lambda: world.registration().startswith("Not registered for"), WITHIN, "it is not registered any more")
    assert "it said goodbye" in world.registration()


def test_sipp_registers_and_calls_a_hundred_times(stage: Stage, digest: str) -> None:
    carrier = Sipp(stage, "carrier", "answers", stage.host(MAIN))
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    service = Service(stage, settings=SETTINGS.replace("DIGEST", digest))
    caller = Sipp(
        stage, "house", "registers_and_places_a_call", stage.host(HOUSE), to=(service.host, SIP_PORT), calls=100,
        rate=20, pause_ms=200, keys={"username": USERNAME}, options=("-au", USERNAME, "-ap", PASSWORD),
    )  # fmt: skip
    figures = caller.finished(30.0)
    assert (figures.successful, figures.failed) == (100, 0), figures.failures
    assert len(carrier.books.answered) == 100
    registration = next(pbx["registration"] for pbx in service.status()["pbxs"] if pbx["name"] == "house")
    assert registration.endswith("and at 9 more"), "each Contact has another line, and the newest ten stay"
    until(lambda: service.calls_now() == 0, WITHIN, "the service has no calls left")


# ---- aiosipua


@dataclass(slots=True)
class Pbx:
    """aiosipua at the house: its registration and what it was asked."""

    uas: SipUAS
    uac: SipUAC
    registration: Registration
    incoming: list[IncomingCall] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)


@asynccontextmanager
async def pbx(world: World, *, password: str = PASSWORD) -> AsyncIterator[Pbx]:
    host = world.stage.host(HOUSE)
    transport = UdpSipTransport((host, SIP_PORT))
    uac = SipUAC(transport)
    uas = SipUAS(transport, uac=uac)
    registration = Registration(
        uac, f"sip:{USERNAME}@{CARRIER}", (world.service.host, SIP_PORT), expires=600,
        auth=SipDigestAuth(USERNAME, password), contact_uri=f"sip:{USERNAME}@{host}:{SIP_PORT};line=gzxiauo;x-house=1",
    )  # fmt: skip
    it = Pbx(uas, uac, registration)

    def invited(call: IncomingCall) -> None:
        it.incoming.append(call)
        call.ringing()
        call.accept(build_sdp(local_ip=host, rtp_port=30_400, payload_type=8, codec_name="PCMA"))

    uas.on_invite = invited
    uas.on_bye = lambda call, _request: it.ended.append(call.call_id)
    await uas.start()
    try:
        yield it
    finally:
        registration._cancel_timers()
        await uas.stop()


async def eventually(look: object, what: str) -> None:
    """Wait in the loop until `look()` is true."""
    for _ in range(int(WITHIN / 0.05)):
        if look():  # type: ignore[operator]
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"not within {WITHIN:g} s: {what}")


@pytest.mark.parametrize("digest", ["both"])
async def test_aiosipua_registers_and_calls_go_both_ways(world: World) -> None:
    async with pbx(world) as house_pbx:
        house_pbx.registration.register()
        await eventually(lambda: house_pbx.registration.state is RegistrationState.REGISTERED, "it is registered")
        assert house_pbx.registration.granted_expires == 60, "no longer than the settings say"
        assert world.registration().startswith(f"Registered from udp {world.stage.host(HOUSE)}:5060")

        offer = build_sdp(local_ip=world.stage.host(HOUSE), rtp_port=30_402, payload_type=8, codec_name="PCMA")
        call = house_pbx.uac.send_invite(
            f"sip:{USERNAME}@{CARRIER}", f"sip:{CALLEE_NUMBER}@{CARRIER}", (world.service.host, SIP_PORT), offer
        )
        await call.wait_answered(WITHIN)
        call.hangup(house_pbx.uac)
        await asyncio.to_thread(world.callee.heard, "CALL_CLOSED", WITHIN)

        await asyncio.to_thread(world.calls_in)
        await asyncio.to_thread(world.callee.heard, "CALL_ESTABLISHED", WITHIN, 2)
        (incoming,) = house_pbx.incoming
        uri = str(incoming.invite.uri)
        assert uri == f"sip:{USERNAME}@{world.stage.host(HOUSE)}:{SIP_PORT};line=gzxiauo;x-house=1"
        assert f"sip:{HOUSE_NUMBER}@{CARRIER}" in incoming.callee
        await asyncio.to_thread(world.callee.command, "hangup")
        await eventually(lambda: house_pbx.ended, "the PBX hears that the other side hung up")

        house_pbx.registration.unregister()
        await eventually(lambda: world.registration().startswith("Not registered for"), "it is gone")
    world.all_quiet()


async def test_aiosipua_with_a_wrong_password_hears_401(world: World) -> None:
    async with pbx(world, password="verkehrt") as house_pbx:
        failed: list[int] = []
        house_pbx.registration.on_failed = lambda _registration, status, _reason: failed.append(status)
        house_pbx.registration.register()
        await eventually(lambda: failed, "it is refused")
        assert failed == [401]
