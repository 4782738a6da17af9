"""A telephone that others wrote (baresip) at the office, Kamailio as the carrier, telephones behind it.

Call, hold, take back, transfer blindly (REFER), hang up from each side, and a call that comes in.
"""

from dataclasses import dataclass

import pytest

from tests.interop.baresip import Baresip
from tests.interop.kamailio import Kamailio
from tests.interop.needs import needs
from tests.interop.service import BACKUP, MAIN, PBX, SERVICE, Service
from tests.interop.sipp import Sipp
from tests.interop.stage import SIP_PORT, Stage, until

pytestmark = needs("baresip", "kamailio", "sipp")

CALLEE, THIRD = 30, 40
OFFICE_NUMBER, CALLEE_NUMBER, THIRD_NUMBER = "0525550100", "0443334455", "0449998877"
WITHIN = 8.0
"""Seconds for anything a telephone does."""


@dataclass(frozen=True, slots=True)
class Office:
    """The telephone at the office, the one it talks to, a third one, and what is between them."""

    phone: Baresip
    callee: Baresip
    third: Baresip
    service: Service
    carrier: Kamailio

    def dial(self) -> None:
        """The office calls; both talk when this returns."""
        self.phone.command("dial", f"sip:{CALLEE_NUMBER}@{self.service.host}")
        self.phone.heard("CALL_ESTABLISHED", WITHIN)
        self.callee.heard("CALL_ESTABLISHED", WITHIN)

    def all_quiet(self) -> None:
        """Nobody has a call any more, and no request left the carrier's route."""
        until(lambda: self.service.calls_now() == 0, WITHIN, "the service has no calls left")
        assert not self.carrier.log_has("OFF-ROUTE")


@pytest.fixture
def office(stage: Stage) -> Office:
    sip = {number: f"{stage.host(number)}:{SIP_PORT}" for number in (SERVICE, PBX, MAIN, CALLEE, THIRD)}
    carrier = Kamailio.carrier(
        stage, "carrier", stage.host(MAIN), service=sip[SERVICE], callee=sip[CALLEE], third=sip[THIRD],
        third_numbers=f"^{THIRD_NUMBER}$", callee_numbers=f"^{CALLEE_NUMBER}$",
    )  # fmt: skip
    Sipp(stage, "backup", "answers", stage.host(BACKUP))
    phone = Baresip(stage, "phone", stage.host(PBX), number=OFFICE_NUMBER, proxy=sip[SERVICE])
    callee = Baresip(stage, "callee", stage.host(CALLEE), number=CALLEE_NUMBER, proxy=sip[MAIN], answers=True)
    third = Baresip(stage, "third", stage.host(THIRD), number=THIRD_NUMBER, proxy=sip[MAIN], answers=True)
    return Office(phone, callee, third, Service(stage), carrier)


@pytest.mark.parametrize("hangs_up", ["phone", "callee"])
def test_the_office_calls_and_either_side_hangs_up(office: Office, hangs_up: str) -> None:
    office.dial()
    office.phone.heard("CALL_RTPESTAB", WITHIN)  # sound arrives: the SDP passed unharmed
    getattr(office, hangs_up).command("hangup")
    office.phone.heard("CALL_CLOSED", WITHIN)
    office.callee.heard("CALL_CLOSED", WITHIN)
    office.all_quiet()


def test_the_office_holds_a_call_and_takes_it_back(office: Office) -> None:
    office.dial()
    offers = office.callee.events.count("CALL_REMOTE_SDP")

    office.phone.command("hold")
    office.callee.heard("CALL_REMOTE_SDP", WITHIN, times=offers + 1)
    assert office.callee.was_sent("INVITE sip:", "a=sendonly")
    office.phone.command("resume")
    office.callee.heard("CALL_REMOTE_SDP", WITHIN, times=offers + 2)

    office.phone.command("hangup")
    office.callee.heard("CALL_CLOSED", WITHIN)
    office.all_quiet()


def test_the_office_transfers_a_call_blindly(office: Office) -> None:
    office.dial()
    office.phone.command("transfer", f"sip:{THIRD_NUMBER}@{office.service.host}")
    office.callee.heard("TRANSFER", WITHIN)
    office.third.heard("CALL_ESTABLISHED", WITHIN)
    office.phone.heard("CALL_CLOSED", WITHIN)  # the NOTIFY said 200, so the telephone left
    assert office.phone.was_sent("NOTIFY sip:", "SIP/2.0 200 OK")
    office.all_quiet()

    office.third.command("hangup")
    office.callee.heard("CALL_CLOSED", WITHIN, times=2)


@pytest.mark.parametrize("hangs_up", ["phone", "callee"])
def test_a_call_comes_in_and_either_side_hangs_up(office: Office, hangs_up: str) -> None:
    office.callee.command("dial", f"sip:{OFFICE_NUMBER}@{office.carrier.host}")
    office.phone.heard("CALL_INCOMING", WITHIN)
    office.callee.heard("CALL_RINGING", WITHIN)
    office.phone.command("accept")
    office.callee.heard("CALL_ESTABLISHED", WITHIN)
    getattr(office, hangs_up).command("hangup")
    office.phone.heard("CALL_CLOSED", WITHIN)
    office.callee.heard("CALL_CLOSED", WITHIN)
    office.all_quiet()
