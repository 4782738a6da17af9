"""A whole check on real sockets, as the command line gives it: what is printed, what is asked, and the exit code."""

import datetime
import json
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import trustme

from sipfailover.cli import main
from sipfailover.preflight import account, ask, connect
from tests.preflight.carrier import Desk
from tests.preflight.desks import invites, tcp_desk, udp_desk
from tests.test_app import free_port
from tests.transport.ends import closed_port, udp_peer

MAIN, BACKUP = "127.0.71.7", "127.0.72.8"
"""Loopback addresses that are not neighbours."""
TRUNK = "{name: %s, host: %s, port: %d%s}"
ROOT = Path(__file__).parents[2]
ACCOUNT = ', username: u, auth_username: u4711, password: "${SECRET}", domain: carrier.example'


class Town:
    """Two carriers, a file, and the command line."""

    def __init__(self, stack: ExitStack, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.main, self.backup = Desk(), Desk()
        self.backup.options_headers = ()
        self.ports = {
            "main": stack.enter_context(udp_desk(self.main, MAIN)),
            "backup": stack.enter_context(udp_desk(self.backup, BACKUP)),
        }
        self.folder, self.capsys = folder, capsys
        self.sip = free_port()
        self.trunks = [
            TRUNK % ("main", MAIN, self.ports["main"], ACCOUNT),
            TRUNK % ("backup", BACKUP, self.ports["backup"], ""),
        ]
        self.more = ""
        self.err = ""

    def check(self, *arguments: str, listen: str = "") -> tuple[int, str]:
        """The exit code and what was printed, with times and ports made equal."""
        listen = listen or f"[udp 127.0.0.1:{self.sip}, tcp 127.0.0.1:{self.sip}]"
        lines = [
            "pbx: 192.168.1.5",
            f"listen: {listen}",
            "trunks:",
            *(f"  - {line}" for line in self.trunks),
            self.more,
        ]
        (self.folder / "a.yaml").write_text("\n".join(lines))
        sys.argv = ["sipfailover", "check", "-c", "a.yaml", "--probe", *arguments]
        code = main()
        out, self.err = self.capsys.readouterr()
        return code, self.evened(out)

    def evened(self, out: str) -> str:
        for name, port in (*self.ports.items(), ("sip", self.sip)):
            out = re.sub(rf":{port}\b", f":{name.upper()}", out)
        return re.sub(r"\b\d+ ms", "N ms", out)

    def steps(self, *arguments: str, **more: str) -> dict[str, dict[str, Any]]:
        """Trunk → step → what was told, as JSON has it; "" for what concerns no single trunk."""
        code, out = self.check("--json", *arguments, **more)
        told = json.loads(out)
        assert told["good"] == (code == 0)
        found = {trunk["name"]: {step["step"]: step for step in trunk["steps"]} for trunk in told["trunks"]}
        return {"": {step["step"]: step for step in told["general"]}, **found}


@pytest.fixture
def town(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Town]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET", "secret")
    monkeypatch.setattr(sys, "argv", sys.argv)
    with ExitStack() as stack:
        yield Town(stack, tmp_path, capsys)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is believed sooner."""
    for module in (ask, account):
        monkeypatch.setattr(module, "WITHIN", 0.4)


def test_a_whole_check(town: Town) -> None:
    code, out = town.check()
    assert out.splitlines() == [
        "a.yaml: good",
        "this machine",
        "  ok   listen        udp 127.0.0.1:SIP, tcp 127.0.0.1:SIP: free, and used by this check as by the service",
        "main (udp 127.0.71.7:MAIN)",
        "  ok   route         from 127.0.0.1, known as 127.0.0.1:SIP",
        "  ok   OPTIONS       udp 127.0.71.7:MAIN: 200 OK from Desk 1.0, N ms",
        '  ok   challenge     401 Unauthorized: realm "carrier.example", MD5, qop auth',
        "  ok   REGISTER      200 OK: registered for 120 s, asked for 300 s, N ms",
        "  ok   public        seen at 127.0.0.1:SIP, our own address: no NAT",
        "  ok   un-REGISTER   removed again, only ours, N ms",
        "backup (udp 127.0.72.8:BACKUP)",
        "  ok   route         from 127.0.0.1, known as 127.0.0.1:SIP",
        "  ok   OPTIONS       udp 127.0.72.8:BACKUP: 200 OK, N ms",
        "  ok   public        seen at 127.0.0.1:SIP, our own address: no NAT",
        "the trunks together",
        "  ok   apart         no two trunks share an address, a network or their name servers",
        "main good; backup good",
    ]
    assert code == 0
    assert town.err == ""
    assert town.main.methods() == ["OPTIONS", "REGISTER", "REGISTER", "REGISTER"], "nothing that costs money"
    assert town.main.bound == set()
    assert "secret" not in out


def test_a_check_whose_reader_left_goes_on_to_its_end(town: Town) -> None:
    town.check()
    file = town.folder / "a.yaml"
    command = [sys.executable, "-m", "sipfailover", "check", "-c", file, "--probe"]
    town.main.heard.clear()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == f"{file}: good\n".encode()
        process.stdout.close()
        assert b"Traceback" not in process.stderr.read()
        assert process.wait(30) == 0
    assert town.main.methods()[-1] == "REGISTER"
    assert town.main.bound == set(), "removed again"


def test_json_has_the_same(town: Town) -> None:
    told = town.steps()
    assert told["main"]["REGISTER"]["facts"] == {"status": 200, "granted": 120, "asked": 300}
    assert told["main"]["OPTIONS"]["facts"]["server"] == "Desk 1.0"
    assert told["backup"]["public"]["facts"]["nat"] is False
    assert told[""]["apart"]["result"] == "good"


def test_a_dead_main_does_not_hide_the_backup(town: Town, impatient: None) -> None:
    town.main.options = town.main.register = 0
    begun = time.monotonic()
    code, out = town.check()
    assert time.monotonic() - begun < 3.0
    assert code == 1
    assert "  FAIL OPTIONS       udp 127.0.71.7:MAIN: no answer within 0.4 s" in out
    assert "  FAIL REGISTER      no answer within 0.4 s" in out
    assert out.index("main (udp") < out.index("backup (udp"), "in the order of the file"
    assert out.endswith("main failed (OPTIONS, REGISTER); backup good\n")


def test_a_dead_carrier_costs_eight_seconds() -> None:
    assert 2 * ask.WITHIN <= 8.0


def test_who_is_silent_to_options_and_registers_is_judged_by_that(town: Town, impatient: None) -> None:
    town.main.options = 0
    told = town.steps("--trunk", "main")["main"]
    assert told["OPTIONS"]["result"] == "failed"
    assert told["REGISTER"]["result"] == "good"
    assert told["public"]["result"] == "good"


def test_a_closed_port_is_not_registered_at(town: Town) -> None:
    town.trunks = [TRUNK % ("main", MAIN, closed_port(host=MAIN), ACCOUNT)]
    told = town.steps()["main"]
    assert told["OPTIONS"]["text"].endswith("the port is closed")
    assert told["REGISTER"]["result"] == "skipped"


def test_one_trunk_alone(town: Town) -> None:
    code, out = town.check("--trunk", "backup")
    assert code == 0
    assert "main" not in out
    assert "the trunks together" not in out
    assert town.main.heard == []


def test_a_wrong_password_is_exit_1(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "other")
    code, out = town.check()
    assert code == 1
    assert "  FAIL REGISTER      401 Unauthorized: " in out
    assert "                     -> check username, auth_username and password" in out
    assert out.endswith("main failed (REGISTER); backup good\n")


def test_a_nat_is_found_and_what_to_write(town: Town) -> None:
    town.main.sees = (b"203.0.113.5", 61234)
    code, out = town.check("--trunk", "main")
    assert code == 0, "a warning is no failure"
    assert "  warn public        the carrier sees us at 203.0.113.5:61234, we say 127.0.0.1:SIP" in out
    assert "                     -> write public_address: 203.0.113.5" in out
    town.more = "public_address: 203.0.113.5"
    assert town.steps("--trunk", "main")["main"]["public"]["text"].startswith(
        "the carrier sees us at 203.0.113.5:61234: a NAT gives us another port"
    )


def test_a_public_address_without_an_address_has_failed(town: Town) -> None:
    town.more = "public_address: nowhere.invalid"
    assert town.steps("--trunk", "backup")[""]["public"]["result"] == "failed"


def test_beside_the_running_service_nothing_is_registered(town: Town) -> None:
    with udp_peer() as service:
        listen = f"[udp 127.0.0.1:{service.getsockname()[1]}]"
        told = town.steps("--call", "+41443210000", listen=listen)
    assert told[""]["listen"]["result"] == "warning"
    assert told["main"]["OPTIONS"]["result"] == "good"
    assert told["main"]["REGISTER"]["result"] == "skipped"
    assert "it holds the registration" in told["main"]["REGISTER"]["text"]
    assert told["main"]["call"]["result"] == "skipped"
    assert told["backup"]["call"]["result"] == "good"
    assert town.main.methods() == ["OPTIONS"]


def test_trunks_that_are_neighbours_are_told(town: Town) -> None:
    near = Desk()
    with udp_desk(near, "127.0.71.9") as port:
        town.trunks[1] = TRUNK % ("backup", "127.0.71.9", port, "")
        code, out = town.check()
    assert code == 0
    assert "  warn apart         main and backup are both in 127.0.71.0/24" in out
    assert out.endswith("main good; backup good; 1 warning about no single trunk\n")


def test_tcp(town: Town) -> None:
    desk = Desk()
    with tcp_desk(desk, BACKUP) as port:
        town.trunks = [TRUNK % ("backup", BACKUP, port, ", transport: tcp")]
        told = town.steps()["backup"]
    assert {name: step["result"] for name, step in told.items()} == dict.fromkeys(
        ("route", "connect", "OPTIONS", "public"), "good"
    )
    town.trunks = [TRUNK % ("backup", BACKUP, port, ", transport: tcp")]
    told = town.steps()["backup"]
    assert told["connect"]["text"].endswith("the port is closed")
    assert "OPTIONS" not in told, "one failure is told once"


@pytest.mark.parametrize(
    ("kind", "result", "why"),
    [
        ("good", "good", "200 OK"),
        ("expired", "failed", "certificate expired: "),
        ("for another name", "failed", "certificate for another name: "),
        ("of a stranger", "failed", "certificate of an unknown authority: "),
        ("plain text", "failed", "nobody speaks tls there"),
    ],
)
def test_tls(town: Town, kind: str, result: str, why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "WITHIN", 1.0)
    authority, stranger = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(str(town.folder / "ca.pem"))
    secure = None
    if kind != "plain text":
        now = datetime.datetime.now(datetime.UTC)
        day = datetime.timedelta(days=1)
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        leaf = (stranger if kind == "of a stranger" else authority).issue_cert(
            "other.example" if kind == "for another name" else "carrier.example",
            not_before=now - 90 * day,
            not_after=now + (-2 if kind == "expired" else 90) * day,
        )
        leaf.configure_cert(secure)
    desk = Desk()
    with tcp_desk(desk, BACKUP, secure) as port:
        more = ", transport: tls, tls: {ca_file: ca.pem}" + ACCOUNT
        town.trunks = [TRUNK % ("backup", BACKUP, port, more)]
        told = town.steps()["backup"]
    assert told["connect"]["result"] == "good"
    assert told["OPTIONS"]["result"] == result
    assert why in told["OPTIONS"]["text"]
    assert told["REGISTER"]["result"] == ("good" if kind == "good" else "skipped")
    assert ("TLS" in told) == (secure is not None)
    assert bool(desk.heard) == (kind == "good")


def test_a_name_that_leads_nowhere(town: Town) -> None:
    town.trunks = [TRUNK % ("main", "nowhere.invalid", 5060, "")]
    code, out = town.check()
    assert code == 1
    assert "  FAIL name          look up nowhere.invalid: " in out


def test_a_test_call_over_each_trunk_one_after_the_other(town: Town) -> None:
    code, out = town.check("--call", "+41 44 321 00 00", "--caller", "+41443219999")
    assert code == 0
    assert out.count("  ok   call          100 Trying after N ms, 180 Ringing after N ms, 487 Request Terminated") == 2
    for desk in (town.main, town.backup):
        (invite,) = invites(desk)
        assert invite.uri.startswith(b"sip:+41443210000@")
        assert invite.from_.uri.startswith(b"sip:+41443219999@")
        assert desk.methods().count("CANCEL") == desk.methods().count("ACK") == 1
    assert town.main.methods()[-1] == "REGISTER", "away at the end"
    assert town.main.bound == set()


def test_who_is_not_registered_makes_no_call(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "other")
    told = town.steps("--trunk", "main", "--call", "+41443210000")["main"]
    assert told["call"]["text"] == "not tried, because it is not registered"
    assert not invites(town.main)


def test_guesses_of_a_profile_are_told_at_the_end(town: Town) -> None:
    more = ', username: u, auth_username: u4711, password: "${SECRET}", profile: peoplefone, domain: carrier.example'
    town.trunks = [TRUNK % ("main", MAIN, town.ports["main"], more)]
    told = town.steps()["main"]
    assert list(told)[-1] == "profile"
    assert told["profile"]["result"] == "warning"
    assert "seen to work as peoplefone guesses: transport: udp" in told["profile"]["text"]
    assert "number_format" in told["profile"]["facts"]["guesses"]


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["--probe", "--trunk", "mian"], "there is no trunk 'mian', but main, backup"),
        (["--probe", "--call", "0112"], "emergency number"),
        (["--probe", "--call", "hello"], "not a telephone number"),
        (["--call", "+41443210000"], "go with --probe"),
        (["--json"], "go with --probe"),
        (["--trunk", "main"], "go with --probe"),
    ],
)
def test_a_bad_command_line_is_exit_2_and_asks_nobody(town: Town, arguments: list[str], why: str) -> None:
    town.check("--trunk", "backup")
    town.backup.heard.clear()
    sys.argv = ["sipfailover", "check", "-c", "a.yaml", *arguments]
    assert main() == 2
    err = " ".join(town.capsys.readouterr().err.split())
    assert why in err
    assert town.main.heard == town.backup.heard == []


def test_a_bad_file_is_exit_2(town: Town) -> None:
    town.more = "sitee: x"
    assert town.check()[0] == 2
    assert "did you mean 'site'" in town.err
