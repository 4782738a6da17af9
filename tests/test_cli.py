"""The verbs as a user meets them: what is printed where, and the exit code."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from sipfailover import __version__
from sipfailover.cli import main
from sipfailover.healthcheck import main as healthcheck

GOOD = "pbx: 192.168.10.5\ntrunks: [{name: main, host: 192.0.2.1}, {name: backup, host: 192.0.2.2}]\n"


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SIPFAILOVER_CONFIG", raising=False)

    def call(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["sipfailover", *arguments])
        return main()

    return call


def test_check_says_what_the_file_means(cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.yaml").write_text(GOOD)
    assert cli("check", "-c", "a.yaml") == 0
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "a.yaml: good",
        "  PBX       pbx: udp 192.168.10.5:5060",
        "  listen    udp 0.0.0.0:5060, tcp 0.0.0.0:5060",
        "  trunk 1   main: udp 192.0.2.1:5060; OPTIONS every 10s, Down after 3 failed, Up after 3 good",
        "  account   main: none, the carrier knows our address",
        "  trunk 2   backup: udp 192.0.2.2:5060; OPTIONS every 10s, Down after 3 failed, Up after 3 good",
        "  account   backup: none, the carrier knows our address",
        "  failover  next trunk after 4s without an answer or 12s without ringing; give up after 25s; "
        "back after 10m without a fault",
        "  emergency 112, 117, 118, 142, 143, 144, 145, 147",
        "  inbound   while no PBX answers, calls that come in get 503",
        "  status    http://127.0.0.1:8080/",
        "  history   not kept",
        "  calls     in progress are lost by a restart: set history.file, or history.calls_file",
        "  log       info, text",
    ]
    assert err == ""


def test_check_shows_every_problem_and_exits_2(cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.yaml").write_text(GOOD + "sitee: x\nlog: {level: inof}\n")
    assert cli("check", "-c", "a.yaml") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "a.yaml:3:1: sitee: unknown setting 'sitee', did you mean 'site'?",
        "    sitee: x",
        "    ^",
        "a.yaml:4:14: log.level: 'inof' is not known, did you mean 'info'?",
        "    log: {level: inof}",
        "                 ^",
        "2 problems. Nothing was started or changed.",
    ]


def test_run_refuses_a_bad_file_before_anything_else(cli, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.yaml").write_text("pbx: x")
    assert cli("run", "-c", "a.yaml") == 2


def test_check_warns_of_an_account_without_a_password(cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.yaml").write_text(GOOD.replace("192.0.2.1}", "192.0.2.1, username: u}"))
    assert cli("check", "-c", "a.yaml") == 0
    out, err = capsys.readouterr()
    assert out.startswith("a.yaml: good, 1 warning\n")
    assert err.startswith("warning: a.yaml:2:50: trunks.0.username: there is no password")


def test_the_file_is_found_by_option_variable_or_place(cli, tmp_path: Path, monkeypatch, capsys) -> None:  # type: ignore[no-untyped-def]
    assert cli("check") == 2
    assert "neither /etc/sipfailover/sipfailover.yaml nor ./sipfailover.yaml exists" in capsys.readouterr().err
    (tmp_path / "sipfailover.yaml").write_text(GOOD)
    assert cli("check") == 0
    assert capsys.readouterr().out.startswith("./sipfailover.yaml: good")
    (tmp_path / "other.yaml").write_text(GOOD)
    monkeypatch.setenv("SIPFAILOVER_CONFIG", "other.yaml")
    assert cli("check") == 0
    assert capsys.readouterr().out.startswith("other.yaml: good")


def test_schema_is_json(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("schema") == 0
    assert json.loads(capsys.readouterr().out)["required"] == ["pbx", "trunks"]


def test_profiles_are_listed(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("profiles") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "profile                          carrier      how         confirmed  guessed"
    assert "peoplefone                       peoplefone   registers           5        3" in lines
    assert lines[-1] == "Write 'profile: NAME' under a trunk. All of one: sipfailover profiles show NAME"
    assert (max(map(len, lines)) <= 80, err) == (True, "")


def test_one_profile_is_shown_with_lines_to_paste(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("profiles", "show", "generic-ip") == 0
    assert capsys.readouterr().out.splitlines() == [
        "generic-ip",
        "  A carrier that knows your public IP address and that no other profile knows.",
        "",
        'A start for a carrier with "IP authentication", a "static trunk" or "peering".',
        "Tell it this machine's public address and port, and ask it for the points that",
        "are not known below.",
        "",
        "It sets, where you write nothing else:",
        "  register: no",
        "      confirmed; source: it is what this profile is for",
        "  transport: udp",
        "      safe guess; source: RFC 3261 §18",
        "      what nearly every carrier serves",
        "",
        "Left to you, because it is not known:",
        "  number_format: numbers go as the PBX writes them; e164 (+41…) is the most",
        "      frequent wish",
        "      source: differs from carrier to carrier",
        "  identity.headers: what the PBX writes is passed on",
        "      source: differs from carrier to carrier",
        "",
        "You fill in:",
        "  host: where the carrier wants your calls",
        "  domain (if you have it): if the carrier wants another name than the host in",
        "      its calls",
        "  networks (if you have it): from where calls come in, if not from the host's",
        "      own addresses",
        "  caller_id (if you have it): a number of yours at this carrier, shown when the",
        "      caller's own may not be",
        "  channels (if you have it): the simultaneous calls that you pay for",
        "",
        "To paste:",
        "",
        "trunks:",
        "  - name: main",
        "    profile: generic-ip",
        "    host: sip.carrier.example",
        "    # domain: carrier.example",
        "    # networks: [198.51.100.0/24]",
        "    # caller_id: +41443210000",
        "    # channels: 8",
    ]


def test_profiles_are_told_to_programs(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("profiles", "--json") == 0
    every = json.loads(capsys.readouterr().out)
    assert cli("profiles", "show", "Twilio", "--json") == 0
    one = json.loads(capsys.readouterr().out)
    assert one["name"] == "twilio"
    assert one in every


def test_an_unknown_profile_is_one_sentence_and_exits_2(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("profiles", "show", "swisscom") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(
        "sipfailover: 'swisscom' is no profile, did you mean 'swisscom-smart-business-connect'? There"
    )
    assert err.count("\n") == 1


def test_check_names_the_profile_of_a_trunk(cli, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "a.yaml").write_text(GOOD.replace("host: 192.0.2.1", "host: 192.0.2.1, profile: generic-ip"))
    assert cli("check", "-c", "a.yaml") == 0
    out, err = capsys.readouterr()
    assert (
        "  profile   main: generic-ip, 1 of its 2 settings is a safe guess: `sipfailover profiles show generic-ip`, "
        "`check --probe` tells more"
    ) in out.splitlines()
    assert err == ""


def test_version(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("version") == 0
    assert capsys.readouterr().out.startswith(f"sipfailover {__version__} ")


def test_an_unknown_verb_exits_2(cli) -> None:  # type: ignore[no-untyped-def]
    assert cli("chekc") == 2


def test_help_has_every_verb_and_the_exit_codes(cli, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert cli("--help") == 0
    out = capsys.readouterr().out
    for word in ("run", "check", "profiles", "schema", "version", "demo", "healthcheck", "Exit codes: 0 good"):
        assert word in out


# ---- the health probe


class Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page():  # type: ignore[no-untyped-def]
    with HTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_the_probe_is_0_when_healthy_and_1_when_not(page: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck([page + "/healthz"]) == 0
    assert healthcheck([page]) == 0
    assert healthcheck([page + "/x"]) == 1
    assert capsys.readouterr().err == f"{page}/x: answered 503\n"


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "x", "http://127.0.0.1:x/", "http://[::1/"])
def test_the_probe_refuses_what_is_no_url(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck([url]) == 1
    assert "URL" in capsys.readouterr().err


def test_the_probe_is_1_when_nobody_listens() -> None:
    with socket.socket() as reserved:
        reserved.bind(("127.0.0.1", 0))
        assert healthcheck([f"http://127.0.0.1:{reserved.getsockname()[1]}/"]) == 1


def test_the_probe_imports_the_standard_library_only() -> None:
    heavy = "('aiohttp', 'pydantic', 'typer', 'yaml', 'asyncio')"
    code = f"import sys, sipfailover.healthcheck; print(*[m for m in sys.modules if m in {heavy}])"
    assert _python("-c", code).stdout.strip() == ""


def test_check_imports_neither_web_nor_shell(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    code = (
        "import sys; sys.argv=['sipfailover','check','-c','a.yaml']\n"
        "from sipfailover.cli import main; assert main() == 0\n"
        "print(*[m for m in sys.modules if m in ('aiohttp', 'uvloop', 'jinja2', 'dns', 'asyncio')])"
    )
    assert _python("-c", code, cwd=tmp_path).stdout.splitlines()[-1] == ""


@pytest.mark.bench
def test_check_starts_in_less_than_600_ms(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(GOOD)
    times = []
    for _ in range(3):
        start = time.perf_counter()
        assert _python("-m", "sipfailover", "check", "-c", "a.yaml", cwd=tmp_path).returncode == 0
        times.append(time.perf_counter() - start)
    assert min(times) < 0.6


def _python(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    root = str(Path(__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd or root, env=environment, capture_output=True, text=True, timeout=30
    )
