"""What people do over HTTP: who may, what is understood, and what is answered."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from sipfailover.trunk import Order
from sipfailover.web import ConfigView, Drained, Reloaded
from sipfailover.web import actions as web_actions
from tests.web.office import Office
from tests.web.picture import wall

Client = TestClient[Request, Application]
TOKEN = "wink wink"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


@dataclass
class Clerk:
    """Does what is ordered, on paper."""

    done: list[tuple[Any, ...]] = field(default_factory=list)
    good: bool = True
    active_trunk: str = "main"

    async def reload(self, who: str) -> Reloaded:
        self.done.append(("reload", who))
        return Reloaded(self.good, 1.0, "abc", ("site a → b: at once",) if self.good else ("f.yaml:1:1: no",), who)

    def begin_drain(self, who: str) -> Drained:
        self.done.append(("drain", who))
        return Drained(2, 7, 29.96)

    def order(self, name: str, order: Order, seconds: float | None, who: str, why: str) -> None:
        self.done.append((name, order, None if seconds is None else round(seconds), who, why))

    def release(self, name: str, who: str, why: str) -> None:
        self.done.append((name, "release", who, why))

    def active(self) -> str:
        return self.active_trunk

    def names(self) -> tuple[str, ...]:
        return ("main", "backup", "pbx")


@pytest.fixture
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture
async def desk(office: Office, clerk: Clerk) -> AsyncIterator[Client]:
    async with TestClient(TestServer(office.server(token=TOKEN, deeds=clerk).application())) as client:
        yield client


PATHS = [
    ("POST", "/-/reload"), ("POST", "/-/drain"), ("POST", "/api/v1/hold"), ("POST", "/api/v1/trunks/main/order"),
    ("DELETE", "/api/v1/trunks/main/order"),
]  # fmt: skip
EACH = pytest.mark.parametrize(("method", "path"), PATHS)


@EACH
@pytest.mark.parametrize(
    ("headers", "status", "words"),
    [
        ({}, 401, "no token was shown"),
        ({"Authorization": "Bearer other"}, 401, "another token than ours"),
        ({"Authorization": f"Basic {TOKEN}"}, 401, "another token than ours"),
        ({"Authorization": "Bearer "}, 401, "another token than ours"),
        ({"Cookie": f"token={TOKEN}"}, 401, "no token was shown"),
        ({**SHOWN, "Origin": "http://evil.example"}, 403, "another site"),
        ({**SHOWN, "Origin": "null"}, 403, "another site"),
        ({**SHOWN, "Sec-Fetch-Site": "cross-site"}, 403, "another site"),
        ({**SHOWN, "Sec-Fetch-Site": "same-site"}, 403, "another site"),
    ],
)
async def test_nobody_does_anything_without_the_token_or_from_another_site(
    desk: Client, clerk: Clerk, method: str, path: str, headers: dict[str, str], status: int, words: str
) -> None:
    answer = await desk.request(method, path, headers=headers, json={"order": "off"})
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert words in (await answer.json())["error"]
    assert (answer.headers.get("WWW-Authenticate") == "Bearer") is (status == 401)
    assert clerk.done == []


@EACH
async def test_without_a_token_in_the_file_nothing_changes_over_http(
    office: Office, clerk: Clerk, method: str, path: str
) -> None:
    async with TestClient(TestServer(office.server(deeds=clerk).application())) as client:
        answer = await client.request(method, path, headers={"Authorization": "Bearer "})
        assert (answer.status, "set status.token" in (await answer.json())["error"]) == (403, True)
        assert clerk.done == []


@EACH
async def test_a_get_changes_nothing(desk: Client, clerk: Clerk, method: str, path: str) -> None:
    answer = await desk.get(path, headers=SHOWN)
    assert (answer.status, method in answer.headers["Allow"]) == (405, True)
    assert clerk.done == []


async def test_our_own_page_may(desk: Client, clerk: Clerk) -> None:
    origin = f"http://{desk.host}:{desk.port}"
    answer = await desk.post("/-/reload", headers={**SHOWN, "Origin": origin, "Sec-Fetch-Site": "same-origin"})
    assert (answer.status, clerk.done) == (200, [("reload", "127.0.0.1")])


async def test_a_reload_says_what_changes(desk: Client, clerk: Clerk) -> None:
    answer = await desk.post("/-/reload", headers=SHOWN, json={"who": "anna"})
    assert answer.status == 200
    assert await answer.json() == {
        "schema": 1, "good": True, "fingerprint": "abc", "changes": ["site a → b: at once"],
    }  # fmt: skip
    assert clerk.done == [("reload", "anna (127.0.0.1)")]


async def test_a_refused_reload_says_what_is_wrong(desk: Client, clerk: Clerk) -> None:
    clerk.good = False
    answer = await desk.post("/-/reload", headers=SHOWN)
    assert answer.status == 422
    assert await answer.json() == {"schema": 1, "good": False, "fingerprint": "abc", "problems": ["f.yaml:1:1: no"]}


async def test_draining_says_how_it_stands(desk: Client) -> None:
    answer = await desk.post("/-/drain", headers=SHOWN)
    assert answer.status == 202
    assert await answer.json() == {
        "schema": 1, "draining": True, "being_set_up": 2, "calls": 7, "ends_within_seconds": 30.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "order", "seconds"),
    [
        ({"order": "use"}, Order.USED, 3600),
        ({"order": "hold", "for": "90m"}, Order.USED, 5400),
        ({"order": "maintenance", "for": "2h"}, Order.DRAINING, 7200),
        ({"order": "off", "for": "resumed"}, Order.OFF, None),
        ({"order": "off", "until": "resumed"}, Order.OFF, None),
        ({"order": "resume"}, Order.ENABLED, None),
    ],
)
async def test_an_order_lasts_as_long_as_it_says_or_an_hour(
    desk: Client, clerk: Clerk, body: dict[str, str], order: Order, seconds: int | None
) -> None:
    sent = {**body, "who": "anna", "why": "fibre works"}
    answer = await desk.post("/api/v1/trunks/backup/order", headers=SHOWN, json=sent)
    assert answer.status == 200
    assert clerk.done == [("backup", order, seconds, "anna (127.0.0.1)", "fibre works")]
    told = await answer.json()
    assert (told["name"], told["order"], told["until"] is None) == ("backup", body["order"], seconds is None)


@pytest.mark.parametrize("zone", [True, False], ids=["with zone", "local time"])
async def test_an_order_may_end_at_a_time_of_day(desk: Client, clerk: Clerk, zone: bool) -> None:
    end = wall(time.monotonic() + 100.0)
    until = (end if zone else end.replace(tzinfo=None)).isoformat()
    answer = await desk.post("/api/v1/trunks/main/order", headers=SHOWN, json={"order": "off", "until": until})
    assert answer.status == 200
    assert clerk.done[0][2] in (99, 100)


async def test_release_resume_and_hold(desk: Client, clerk: Clerk) -> None:
    assert (await desk.post("/api/v1/trunks/main/order", headers=SHOWN, json={"order": "release"})).status == 200
    assert (await desk.delete("/api/v1/trunks/main/order", headers=SHOWN)).status == 200
    assert (await desk.post("/api/v1/hold", headers=SHOWN, json={"for": "10m"})).status == 200
    assert clerk.done == [
        ("main", "release", "127.0.0.1", ""),
        ("main", Order.ENABLED, None, "127.0.0.1", ""),
        ("main", Order.USED, 600, "127.0.0.1", ""),
    ]
    clerk.active_trunk = ""
    assert (await desk.post("/api/v1/hold", headers=SHOWN)).status == 409


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"{", "not JSON"),
        (b"[]", "not a JSON object"),
        (b"\xff", "not JSON"),
        (b"{}", "order is missing: one of use, hold, maintenance, off, resume, release"),
        (b'{"order": "orf"}', "order: 'orf' is none"),
        (b'{"order": {}}', "order is missing"),
        (b'{"order": {"off": 1}}', "order: {'off': 1} is none"),
        (b'{"order": "off", "form": "1h"}', "unknown key 'form'"),
        (b'{"order": "off", "for": "1h", "until": "resumed"}', "both for and until"),
        (b'{"order": "off", "for": "ever"}', "for: "),
        (b'{"order": "off", "for": {}}', "for: "),
        (b'{"order": "off", "until": "tomorrow"}', "until: 'tomorrow' is no time"),
        (b'{"order": "off", "until": "2020-01-01T00:00:00+01:00"}', "within the next 30 days"),
        (b'{"order": "off", "for": "400d"}', "within the next 30 days"),
        (b'{"order": "off", "for": "0"}', "within the next 30 days"),
        (b'{"order": "off", "who": 1}', "who is not a text"),
        (b'{"order": "off", "why": []}', "why is not a text"),
    ],
)
async def test_what_is_not_understood_is_refused_in_words(desk: Client, clerk: Clerk, body: bytes, words: str) -> None:
    answer = await desk.post("/api/v1/trunks/main/order", headers=SHOWN, data=body)
    assert answer.status == 400
    assert words in (await answer.json())["error"]
    assert clerk.done == []


async def test_a_trunk_that_there_is_not_is_told_with_those_there_are(desk: Client, clerk: Clerk) -> None:
    answer = await desk.post("/api/v1/trunks/mian/order", headers=SHOWN, json={"order": "off"})
    assert answer.status == 404
    assert (await answer.json())["error"] == "there is no trunk or PBX 'mian', but main, backup, pbx"
    assert clerk.done == []


async def test_a_body_that_is_too_long_is_refused(desk: Client, clerk: Clerk) -> None:
    answer = await desk.post("/-/reload", headers=SHOWN, data=b" " * 5000)
    assert (answer.status, clerk.done) == (413, [])


async def test_what_people_write_has_one_line_and_an_end(desk: Client, clerk: Clerk) -> None:
    body = {"order": "off", "who": "a\nb\x1b[31m", "why": "x" * 900}
    assert (await desk.post("/api/v1/trunks/main/order", headers=SHOWN, json=body)).status == 200
    _, _, _, who, why = clerk.done[0]
    assert who == "a b [31m (127.0.0.1)"
    assert why == "x" * web_actions.TEXT_MAX


async def test_another_token_holds_from_the_next_request_on(office: Office, clerk: Clerk) -> None:
    server = office.server(token="old", deeds=clerk)
    async with TestClient(TestServer(server.application())) as client:
        server.configure("Muster", "new")
        assert (await client.post("/-/reload", headers={"Authorization": "Bearer old"})).status == 401
        assert (await client.post("/-/reload", headers={"Authorization": "Bearer new"})).status == 200
        assert "Muster" in await (await client.get("/")).text()


async def test_requests_without_our_token_are_told_once_a_minute(office: Office, clerk: Clerk) -> None:
    told: list[tuple[object, ...]] = []
    server = office.server(token=TOKEN, deeds=clerk, say=lambda *what: told.append(what))
    async with TestClient(TestServer(server.application())) as client:
        for _ in range(5):
            await client.post("/-/reload", headers={"Authorization": "Bearer x"})
    assert told == [
        ("warning", "a request over HTTP had not our token", {"source": "127.0.0.1", "path": "/-/reload"}),
    ]  # fmt: skip


async def test_status_has_the_configuration_with_masked_numbers(office: Office) -> None:
    view = ConfigView("abc", 172_000.0, False, 172_800.0, ("a.yaml:3:1: '+41443210019' is not a number",))
    async with TestClient(TestServer(office.server(token=TOKEN, config=lambda: view).application())) as client:
        found = (await (await client.get("/status")).json())["config"]
        assert found["fingerprint"] == "abc"
        assert found["last_reload"]["good"] is False
        assert found["last_reload"]["lines"] == ["a.yaml:3:1: '+4144321****' is not a number"]
        whole = (await (await client.get("/status", headers=SHOWN)).json())["config"]
        assert whole["last_reload"]["lines"] == ["a.yaml:3:1: '+41443210019' is not a number"]
    async with TestClient(TestServer(office.server().application())) as client:
        assert (await (await client.get("/status")).json())["config"] is None


async def test_a_reload_that_takes_long_keeps_nobody_waiting(office: Office, clerk: Clerk) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def slow(who: str) -> Reloaded:
        begun.set()
        await go.wait()
        return Reloaded(True, 1.0, "abc", ())

    clerk.reload = slow  # type: ignore[method-assign]
    async with TestClient(TestServer(office.server(token=TOKEN, deeds=clerk).application())) as client:
        asked = asyncio.create_task(client.post("/-/reload", headers=SHOWN))
        await begun.wait()
        assert (await client.get("/healthz")).status == 200
        go.set()
        assert (await asked).status == 200
