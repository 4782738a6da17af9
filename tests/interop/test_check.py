"""`check --probe` at a registrar that others wrote: Kamailio, with digest on REGISTER and on calls."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.interop.kamailio import Kamailio
from tests.interop.needs import needs
from tests.interop.sipp import Sipp
from tests.interop.stage import Stage

pytestmark = needs("sipp", "kamailio")

SERVICE, PBX, CARRIER, CALLEE, NETWORK = 2, 20, 10, 30, 40
DOMAIN, ACCOUNT, AUTH_USERNAME, PASSWORD = "carrier.example", "+41525550100", "u4711", "geheim, und lang"
GRANTED = 120
CHECK_WITHIN = 30.0

SETTINGS = """
pbx: %(pbx)s
listen: [udp %(service)s:5060]
trunks:
  - name: main
    host: %(carrier)s
    port: 5060
    domain: carrier.example
    username: "+41525550100"
    auth_username: u4711
    password_file: password
    caller_id: "+41525550100"
"""


class Checked:
    """One check, and the carrier that it met."""

    def __init__(self, stage: Stage, *arguments: str, password: str = PASSWORD) -> None:
        callee = stage.host(CALLEE)
        self.carrier = Kamailio.registrar(
            stage, "main", stage.host(CARRIER), callee=f"{callee}:5060", network=stage.host(NETWORK), account=ACCOUNT,
            auth_username=AUTH_USERNAME, password=PASSWORD, domain=DOMAIN, expires=GRANTED,
        )  # fmt: skip
        self.callee = Sipp(stage, "callee", "answers", callee)
        file = stage.folder / "a.yaml"
        hosts = {"pbx": stage.host(PBX), "service": stage.host(SERVICE), "carrier": stage.host(CARRIER)}
        file.write_text(SETTINGS % hosts)
        (stage.folder / "password").write_text(password)
        command = [sys.executable, "-m", "sipfailover", "check", "-c", str(file), "--probe", "--json", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=CHECK_WITHIN)
        self.code = done.returncode
        told = json.loads(done.stdout)
        self.steps: dict[str, dict[str, Any]] = {step["step"]: step for step in told["trunks"][0]["steps"]}

    def results(self) -> dict[str, str]:
        return {name: step["result"] for name, step in self.steps.items()}


def test_an_account_is_registered_and_removed_again(stage: Stage) -> None:
    checked = Checked(stage)
    names = ("route", "OPTIONS", "challenge", "REGISTER", "public", "un-REGISTER")
    assert checked.results() == dict.fromkeys(names, "good")
    assert checked.code == 0
    assert checked.steps["challenge"]["facts"]["realms"] == [DOMAIN]
    assert checked.steps["REGISTER"]["facts"]["granted"] == GRANTED
    assert "Kamailio" in checked.steps["OPTIONS"]["text"]
    let_in = checked.carrier.seen("LET-IN", "REGISTER")
    assert [seen.cseq for seen in let_in] == [2, 3], "the second one takes it away"
    assert not checked.callee.books.calls


def test_a_wrong_password_is_tried_once(stage: Stage) -> None:
    checked = Checked(stage, password="verkehrt")
    assert checked.code == 1
    assert checked.results()["REGISTER"] == "failed"
    assert len(checked.carrier.seen("WRONG", "REGISTER")) == 1


@pytest.mark.slow
def test_a_test_call_is_let_in_and_rings(stage: Stage) -> None:
    checked = Checked(stage, "--call", "+41443210000")
    said = [one["status"] for one in checked.steps["call"]["facts"]["said"]]
    assert said[:3] == [407, 100, 180]
    assert len(checked.carrier.seen("LET-IN", "INVITE")) == 1
    assert not checked.carrier.seen("NOT-REGISTERED", "INVITE")
    assert not checked.callee.books.answered, "given up before anybody answers"
