"""Certificates that run out: who is told, how often, and in which words."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sipfailover.certificate import read
from sipfailover.config import parse
from sipfailover.transport import Expiry, Tls, tls
from tests.kit.certificates import DAY, Authority

HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
def look_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_EVERY", 0.0)


class Watched:
    """Our certificate in a file, a carrier's as it was seen, and what the log says."""

    def __init__(self, folder: Path, ours: timedelta, theirs: timedelta) -> None:
        self.ca = Authority(folder)
        self.file = self.ca.issue("we.example", ends=ours)
        self.said: list[tuple[str, str]] = []
        self.tls = Tls(lambda level, text, values: None)
        trunk = "{name: main, host: sip.example, transport: tls}"
        backup = "{name: backup, host: 192.0.2.2}"
        self.tls.configure(
            parse(f"pbx: pbx.example\ntls: {{certificate_file: {self.file}}}\ntrunks: [{trunk}, {backup}]"), 0.0
        )
        self.tls.saw("main", read(self.ca.issue("sip.example", ends=theirs))[0])
        self.expiry = Expiry(self.tls, lambda level, text, values: self.said.append((level, text)))

    def look(self, after: timedelta = 0 * DAY) -> list[tuple[str, str]]:
        """What is said anew when it is so much later."""
        self.said.clear()
        self.expiry.look(1.0, datetime.now(UTC) + after)
        return list(self.said)


def test_nothing_is_said_while_there_is_time(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 60 * DAY, 60 * DAY)
    assert watched.look() == []
    assert watched.expiry.warnings(1.0) == []


def test_each_is_told_once_a_day_and_when_it_is_over(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 20 * DAY + HOUR, 60 * DAY)
    ((level, text),) = watched.look()
    assert level == "warning"
    assert text.startswith("our certificate for tls listeners expires in 20 days, on 2")
    assert watched.look(timedelta(seconds=60)) in ([], [("warning", text)])  # at midnight it is said again
    assert [level for level, _ in watched.look(DAY)] == ["warning"]
    assert [level for level, _ in watched.look(21 * DAY)] == ["error"]
    assert watched.look(21 * DAY) == []
    both = watched.look(45 * DAY)
    assert [level for level, _ in both] == ["error", "warning"]
    assert both[1][1].startswith("the certificate of main expires in 14 days, on 2")
    assert any(
        one.startswith("our certificate for tls listeners expires in 20") for one in watched.expiry.warnings(1.0)
    )


def test_a_new_file_ends_it(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 5 * DAY, 60 * DAY)
    assert len(watched.look()) == 1
    watched.ca.issue("we.example", to=watched.file)
    assert watched.look() == []
    assert watched.expiry.warnings(1.0) == []
    watched.ca.issue("we.example", to=watched.file, ends=3 * DAY)
    assert len(watched.look()) == 1


def test_a_file_that_broke_is_on_the_page(tmp_path: Path) -> None:
    watched = Watched(tmp_path, 60 * DAY, 60 * DAY)
    watched.file.write_text("broken")
    (warning,) = watched.expiry.warnings(1.0)
    assert str(watched.file) in warning
