"""Alerts as the service has them: told while they last, held in quiet hours, kept over a restart."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sipfailover.alerts import Alerts, incident, send_test
from sipfailover.alerts import alerts as module
from sipfailover.alerts.alerts import quiet_until
from sipfailover.alerts.condition import Severity
from sipfailover.config import Notify, Settings
from sipfailover.proxy.view import EngineView
from tests.alerts.sinks import webhook
from tests.alerts.test_incident import ended
from tests.web.picture import BACKUP, DEAD_MAIN, TO_BACKUP, picture

FAILED_OVER = picture(trunks=(DEAD_MAIN, BACKUP), active_trunk="backup", last_failover=TO_BACKUP)


def wall(at: float) -> datetime:
    return datetime.now().astimezone() + timedelta(seconds=at - time.monotonic())


class Office:
    """What the service shows, to be changed by a test."""

    def __init__(self, folder: Path, *targets: dict[str, Any]) -> None:
        self.view = picture()
        self.settings = Settings.model_validate(
            {
                "pbx": "192.0.2.5",
                "trunks": [{"name": "main", "host": "198.51.100.7"}],
                "notify": list(targets),
                "history": {"file": str(folder / "history.db")},
            }
        )

    def alerts(self) -> Alerts:
        return Alerts(self.settings, wall, view=self._view, troubles=lambda now: (), expiring=self._expiring)

    def _view(self) -> EngineView:
        return replace(self.view, now=time.monotonic())

    def _expiring(self) -> Iterable[str]:
        return ()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_EVERY", 0.02)
    monkeypatch.setattr(incident, "JOIN", dict.fromkeys(Severity, 0.05))
    monkeypatch.setattr(incident, "CLEAR_FOR", 0.05)


async def until(found: Any, what: str) -> None:
    end = time.monotonic() + 5.0
    while not found():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.01)


async def test_a_failover_and_its_end_are_told(tmp_path: Path) -> None:
    async with webhook() as hook:
        office = Office(tmp_path, {"webhook": hook.url})
        alerts = office.alerts()
        alerts.start()
        office.view = FAILED_OVER
        await until(lambda: hook.posts, "told")
        office.view = picture()
        await until(lambda: len(hook.posts) == 2, "told that it is over")
        await alerts.close()
        assert [post["kind"] for post in hook.posts] == ["began", "recovered"]
        assert alerts.problem == ""


async def test_who_wants_other_things_gets_those_alone(tmp_path: Path) -> None:
    async with webhook() as one, webhook() as two:
        office = Office(
            tmp_path, {"webhook": one.url, "at_least": "critical"}, {"webhook": two.url, "about": "recovered"}
        )
        alerts = office.alerts()
        alerts.start()
        office.view = FAILED_OVER
        await until(lambda: alerts.incidents.told, "noticed")
        office.view = picture()
        await until(lambda: two.posts, "told that it is over")
        await alerts.close()
        assert one.posts == []
        assert [post["kind"] for post in two.posts] == ["recovered"]


async def test_what_cannot_be_delivered_is_shown_and_delivered_by_the_next_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with webhook() as hook:
        hook.status = 503
        office = Office(tmp_path, {"webhook": hook.url})
        alerts = office.alerts()
        alerts.start()
        office.view = FAILED_OVER
        await until(lambda: alerts.problem, "not delivered")
        assert "json to 127.0.0.1: 127.0.0.1 said 503" in alerts.problem
        await alerts.close()
        hook.status = 200
        monkeypatch.setattr(Alerts, "_unix", lambda self: time.time() + 60.0)
        after = office.alerts()
        after.start()
        await until(lambda: hook.posts, "delivered after all")
        await asyncio.sleep(0.2)
        await after.close()
        assert [post["kind"] for post in hook.posts] == ["began"], "once"


async def test_one_who_cannot_be_reached_holds_up_nobody(tmp_path: Path) -> None:
    async with webhook() as hook:
        office = Office(tmp_path, {"webhook": "http://127.0.0.1:1/x"}, {"webhook": hook.url})
        alerts = office.alerts()
        alerts.start()
        office.view = FAILED_OVER
        await until(lambda: hook.posts, "told")
        await alerts.close()
        assert "127.0.0.1" in alerts.problem


async def test_in_quiet_hours_what_is_over_by_then_is_never_told(tmp_path: Path) -> None:
    hour = datetime.now().hour
    async with webhook() as hook:
        office = Office(tmp_path, {"webhook": hook.url, "quiet": f"{hour:02}:00-{(hour + 2) % 24:02}:00"})
        alerts = office.alerts()
        alerts.start()
        office.view = FAILED_OVER
        await until(lambda: alerts.incidents.told, "noticed")
        (box,) = alerts.boxes.values()
        assert len(box.letters) == 1
        office.view = picture()
        await until(lambda: not alerts.incidents.open, "over")
        assert not box.letters
        await alerts.close()
        assert hook.posts == []


@pytest.mark.parametrize(
    ("quiet", "now", "due"),
    [
        ("22:00-06:00", "2026-11-23T21:59:59", "2026-11-23T21:59:59"),
        ("22:00-06:00", "2026-11-23T22:00:00", "2026-11-24T06:00:00"),
        ("22:00-06:00", "2026-11-24T05:59:59", "2026-11-24T06:00:00"),
        ("22:00-06:00", "2026-11-24T06:00:00", "2026-11-24T06:00:00"),
        ("12:00-13:30", "2026-11-24T12:15:00", "2026-11-24T13:30:00"),
    ],
)
def test_quiet_hours_end_when_they_end(quiet: str, now: str, due: str) -> None:
    target = Notify.model_validate({"webhook": "https://a.example/x", "quiet": quiet})
    at = datetime.fromisoformat(now)
    assert datetime.fromtimestamp(quiet_until(target, Severity.WARNING, at)) == datetime.fromisoformat(due)
    assert quiet_until(target, Severity.CRITICAL, at) == at.timestamp()


async def test_a_test_message_says_of_each_target_how_it_went(tmp_path: Path) -> None:
    async with webhook() as hook:
        office = Office(tmp_path, {"webhook": hook.url}, {"webhook": "http://127.0.0.1:1/x", "format": "slack"})
        found = await send_test(office.settings)
        assert found[0] == ("json to 127.0.0.1", "")
        assert found[1][0] == "slack to 127.0.0.1"
        assert found[1][1]
        assert hook.posts[0]["subject"] == "[sipfailover] This is a test message"


async def test_where_nobody_is_to_be_told_nothing_is_kept_of_calls(tmp_path: Path) -> None:
    alerts = Office(tmp_path).alerts()
    alerts.start()
    for number in range(10):
        alerts.record(ended(number, trunk="", result="trunk failed", emergency=True))
    assert alerts.incidents.look((), 1000.0) == []
    await alerts.close()
