"""SIPVicious against a running service: strangers hear nothing, or learn nothing, and nobody else notices."""

import re
from urllib.request import urlopen

import pytest

from tests.interop.needs import needs
from tests.interop.service import SETTINGS, WEB_PORT, Service
from tests.interop.sipvicious import STRANGER, scan, tool
from tests.interop.stage import Stage

pytestmark = needs(tool("svmap"), tool("svwar"), tool("svcrack"))

PASSWORD = "mellon"
REGISTERED = SETTINGS.replace(
    "pbx: {{host: {pbx}, port: {port}, transport: {transport}}}",
    "pbx: [{{host: {pbx}, port: {port}}}, {{name: desk, username: '1000', password: " + PASSWORD + "}}]",
)
NAMES = ["1000", "1001", "2000", "100", "admin"]


def rejected(service: Service, why: str) -> int:
    with urlopen(f"http://{service.host}:{WEB_PORT}/metrics", timeout=2) as answer:
        text = answer.read().decode()
    found = re.search(rf'^sipfailover_sip_rejected_total{{why="{why}"}} ([0-9.e+]+)$', text, re.MULTILINE)
    assert found, text
    return int(float(found[1]))


def is_well(service: Service) -> None:
    """It runs, says so, has seen no fault of its own, and told the operator of the stranger once at most."""
    assert service.alive
    assert service.status()["calls"]["now"] == 0
    log = service.log.read_text()
    assert "a fault of ours" not in log
    assert log.count(f".{STRANGER} are ignored") <= 1
    assert PASSWORD not in log


def test_svmap_finds_nobody(stage: Stage) -> None:
    service = Service(stage)
    for method in ("OPTIONS", "INVITE", "REGISTER"):
        said = scan(stage, "svmap", "-m", method, service.host)
        assert "found nothing" in said, said
        assert "User Agent" not in said, said
    assert rejected(service, "not_allowed") >= 3
    is_well(service)


@pytest.mark.parametrize("method", ["REGISTER", "INVITE", "OPTIONS"])
def test_svwar_hears_nothing(stage: Stage, method: str) -> None:
    service = Service(stage)
    said = scan(stage, "svwar", "--force", "-m", method, "-e", "100-140", "-t", "0.01", service.host)
    assert "found nothing" in said, said
    is_well(service)


def test_svwar_does_not_learn_which_names_there_are(stage: Stage) -> None:
    service = Service(stage, settings=REGISTERED)
    (stage.folder / "names.txt").write_text("\n".join(NAMES) + "\n")
    said = scan(stage, "svwar", "--force", "-m", "REGISTER", "-d", "names.txt", service.host)
    told = set(re.findall(r"^\|?\s*([a-z0-9]+)\s*\|\s*(\S+)", said, re.MULTILINE))
    kinds = {name: kind for name, kind in told if name in NAMES}
    assert len(set(kinds.values())) <= 1, f"names are told apart: {kinds}"
    assert not kinds or set(kinds) == set(NAMES), f"some names are found and some are not: {kinds}"
    for method in ("INVITE", "OPTIONS"):
        assert "found nothing" in scan(stage, "svwar", "--force", "-m", method, "-d", "names.txt", service.host)
    is_well(service)


def test_svcrack_does_not_get_to_the_right_password(stage: Stage) -> None:
    """It stands in the dictionary, behind more wrong ones than are looked at."""
    service = Service(stage, settings=REGISTERED)
    (stage.folder / "words.txt").write_text("\n".join([*(f"wrong{n}" for n in range(60)), PASSWORD]) + "\n")
    said = scan(stage, "svcrack", "-u", "1000", "-d", "words.txt", "-t", "0.05", service.host)
    assert f"is {PASSWORD}" not in said, said
    assert not re.search(rf"\b{PASSWORD}\b", said), said
    is_well(service)
