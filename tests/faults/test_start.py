"""What is missing at the start: a name that does not resolve, a port that is taken, a home, a locale, a time zone."""

import os
import socket

import pytest

from tests.faults.street import SETTINGS, WEB_PORT, Street
from tests.interop.stage import SIP_PORT, Stage, until

NAMED = SETTINGS.replace("host: {main},", "host: sip.nowhere.invalid,")


def test_a_trunk_whose_name_does_not_resolve_is_told_and_calls_go_over_the_other(stage: Stage) -> None:
    with Street(stage, settings=NAMED) as street:
        legs = street.calls(3)
        assert max(leg.answered_at - leg.seen_at for leg in legs if leg.answered_at) < 1.0, "nobody waited for DNS"
        assert len(street.backup.legs) == 3
        main = street.status()["trunks"][0]
        assert "sip.nowhere.invalid" in main["target"], main
        assert not main["carries_new_calls"]


def test_a_sip_port_that_is_taken_ends_the_start_with_words_and_a_code(stage: Stage) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((stage.host(1), SIP_PORT))
        with Street(stage, ready=False) as street:
            assert street.service.wait(10.0) == 1
            assert f"udp {stage.host(1)}:{SIP_PORT}" in street.log
            assert "Traceback" not in street.log


def test_a_page_whose_port_is_taken_is_said_and_calls_go_on(stage: Stage) -> None:
    with socket.create_server((stage.host(1), WEB_PORT)), Street(stage, ready=False) as street:
        until(lambda: "ready" in street.log, 10.0, "started", street.service)
        assert "the page cannot be shown; calls go on" in street.log
        street.calls(3)


@pytest.mark.parametrize("bare", [
    {"LC_ALL": "C", "LANG": "C"}, {"HOME": "/nonexistent"}, {"TZ": "Nowhere/Atlantis"}, {"LC_ALL": "xx_YY.UTF-8"},
    {"PYTHONUTF8": "0", "LC_ALL": "C"},
], ids=lambda bare: " ".join(f"{name}={value}" for name, value in bare.items()))  # fmt: skip
def test_an_odd_environment_is_none_of_our_business(stage: Stage, bare: dict[str, str]) -> None:
    with Street(stage, env=bare, settings="site: Zürich-Höngg\n" + SETTINGS) as street:
        street.calls(2)
        assert "Zürich-Höngg" in street.get("/")


def test_without_uvloop_asyncio_does_and_says_so(stage: Stage) -> None:
    hidden = stage.folder / "hidden"
    hidden.mkdir()
    (hidden / "uvloop.py").write_text("raise ImportError('not here')\n")
    path = os.pathsep.join([str(hidden), os.getcwd()])
    with Street(stage, env={"PYTHONPATH": path}) as street:
        street.calls(3)
        assert "loop=asyncio" in street.log
