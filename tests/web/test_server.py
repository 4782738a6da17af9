"""The server from outside: what each path answers, and what it refuses."""

import asyncio
import contextlib
import json
from dataclasses import replace

import pytest
from aiohttp import ClientSession
from aiohttp.test_utils import TestClient, TestServer
from aiohttp.web import Application, Request

from sipfailover.errors import TransportError
from sipfailover.ledger import Ledger
from sipfailover.proxy.view import Fill, LoadView
from sipfailover.trouble import Troubles
from sipfailover.web import server as web_server
from tests.web.office import Office
from tests.web.picture import (
    ACCOUNT,
    BACKUP,
    DEAD_BACKUP,
    DEAD_MAIN,
    MAIN,
    PBX,
    TALKING,
    TOLL,
    TWO_ADDRESSES,
    failed_over,
    picture,
    wall,
)

Client = TestClient[Request, Application]


@pytest.mark.parametrize("path", ["/healthz", "/livez"])
async def test_health_does_not_depend_on_trunks(client: Client, office: Office, path: str) -> None:
    office.view = picture(DEAD_MAIN, DEAD_BACKUP)
    office.draining = True
    answer = await client.get(path)
    assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_health_fails_when_the_loop_is_late(client: Client, office: Office) -> None:
    office.loop_lag = 3.14
    answer = await client.get("/healthz")
    assert (answer.status, await answer.text()) == (503, "the event loop is 3.1 s late\n")


async def test_ready_says_ok(client: Client) -> None:
    answer = await client.get("/readyz")
    assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_ready_over_the_backup_and_verbose_says_why(client: Client, office: Office) -> None:
    office.view = failed_over()
    answer = await client.get("/readyz?verbose")
    assert answer.status == 200
    assert (await answer.text()).splitlines() == [
        "[+]running ok",
        "[+]listeners ok",
        "[-]trunk main: Down: 2 OPTIONS in a row without an answer, the last after 500 ms",
        "[+]trunk backup ok",
        "[+]pbx pbx ok",
        "ready",
    ]


async def test_verbose_says_of_who_is_well_and_has_no_address_why_not(client: Client, office: Office) -> None:
    away = replace(PBX, carries_new_calls=False, target="it is not registered: it said goodbye")
    office.view = picture(pbxs=(away,))
    assert "[-]pbx pbx: it is not registered: it said goodbye" in await (await client.get("/readyz?verbose")).text()


async def test_not_ready_gives_every_reason_unasked(client: Client, office: Office) -> None:
    office.view = picture(DEAD_MAIN, replace(BACKUP, order="off", carries_new_calls=False))
    office.unbound = ("udp 0.0.0.0:5060: address already in use",)
    office.draining = True
    answer = await client.get("/readyz")
    assert answer.status == 503
    assert (await answer.text()).splitlines() == [
        "[-]running: draining: new calls are refused",
        "[-]listeners: udp 0.0.0.0:5060: address already in use",
        "[-]trunk main: Down: 2 OPTIONS in a row without an answer, the last after 500 ms",
        "[-]trunk backup: off, as ordered",
        "not ready",
    ]


async def test_status_has_the_picture_with_times_and_masked_numbers(client: Client, office: Office) -> None:
    hedges = {("main", "first"): 1, ("main", "second"): 3, ("backup", "second"): 2}
    office.view = failed_over(pbxs=(replace(PBX, note="no certificate yet"),), hedges=hedges)
    office.warnings = ("Only 4 channels on backup.",)
    answer = await client.get("/status")
    assert answer.content_type == "application/json"
    status = json.loads(await answer.text())
    assert status["schema"] == 1
    assert status["time"] == "2026-11-23T10:31:07+01:00"
    assert status["uptime_seconds"] == 172800
    assert status["summary"]["state"] == "degraded"
    assert status["active_trunk"] == "backup"
    main = status["trunks"][0]
    assert (main["name"], main["tier"], main["state"], main["carries_new_calls"]) == ("main", 1, "down", False)
    assert main["since"] == "2026-11-23T10:28:00+01:00"
    assert main["check"]["round_trip_seconds"] == 0.0213
    assert status["last_failover"]["from"] == "main"
    assert status["own_line"] == {"why": "", "since": None}
    assert status["hedges"] == {"first": 1, "second": 5, "neither": 0}
    backup = status["trunks"][1]
    assert backup["inbound"] == {"state": "up", "why": ""}
    assert backup["clocks"] == {
        "no_answer_seconds": {"now": 0.8, "at_most": 4.0},
        "no_ringing_seconds": {"now": 8.4, "at_most": 12.0},
        "set_up_seconds": 2.1,
    }
    assert [call["called"] for call in status["calls"]["shown"]] == ["+4144321****", "+4144321****"]
    assert status["calls"]["shown"][0]["duration_seconds"] == 92
    assert status["warnings"] == ["pbx: no certificate yet", "Only 4 channels on backup."]
    assert "3210019" not in json.dumps(status)


async def test_status_says_how_we_keep_up_and_how_full_everything_is(client: Client, office: Office) -> None:
    office.view = replace(
        picture(),
        load=LoadView(behind=0.2504, calls_per_second=120.04, share=40.0, banned=3, bans=7),
        bounds=(Fill("calls", 12, 20_000),),
        transport={"kernel_drops": 9, "shut_out": 100},
        rejected={"late": 5},
    )
    status = await (await client.get("/status")).json()
    assert status["load"] == {
        "behind_seconds": 0.25,
        "new_calls_per_second": 120.0,
        "share_of_one_source": 40.0,
        "banned_addresses": 3,
        "not_served": {"late": 5},
        "kernel_drops": 9,
        "shut_out": 100,
    }
    assert status["bounds"] == [{"name": "calls", "now": 12, "at_most": 20_000}]
    assert status["warnings"] == ["Overloaded: no source may begin more than 40 calls a second now"]
    office.view = picture()
    calm = await (await client.get("/status")).json()
    assert (calm["load"]["new_calls_per_second"], calm["load"]["share_of_one_source"]) == (None, None)
    assert calm["warnings"] == []


async def test_status_and_page_say_which_calls_are_refused_as_toll_fraud(client: Client, office: Office) -> None:
    office.view = picture(tolls=(TOLL,))
    status = json.loads(await (await client.get("/status")).text())
    (toll,) = status["toll_fraud"]
    assert (toll["kind"], toll["calls_in_the_last_hour"], toll["calls_per_hour"]) == ("abroad", 20, 20)
    assert (toll["minutes_today"], toll["minutes_per_day"], toll["refused"]["calls"]) == (84.3, None, 3)
    said = "Calls are refused by toll_fraud. abroad: 20 calls in the last hour, 20 are allowed."
    assert status["warnings"] == [said]
    assert said in await (await client.get("/")).text()


async def test_status_has_the_registration_in_parts_with_masked_numbers(client: Client, office: Office) -> None:
    failed = replace(ACCOUNT, state="Failed", why="403 Forbidden to REGISTER", expires_at=None, next_at=None, public="")
    office.view = picture(replace(MAIN, account=ACCOUNT), replace(BACKUP, account=failed))
    text = await (await client.get("/status")).text()
    main, backup = json.loads(text)["trunks"]
    assert main["account"] == {
        "state": "registered",
        "since": "2026-11-23T09:31:07+01:00",
        "why": "",
        "granted_seconds": 180,
        "expires": "2026-11-23T10:33:07+01:00",
        "next": "2026-11-23T10:32:07+01:00",
        "contact": "sip:sf0123456789abcd@192.0.2.9:5060",
        "public_address": "203.0.113.5:40123",
        "address_rewritten": False,
        "path": ["<sip:edge.carrier.example;lr>"],
        "identities": ["+4144321****", "+4144321****"],
        "stale_bindings": 1,
        "other_bindings": 0,
    }
    assert (backup["account"]["state"], backup["account"]["why"]) == ("failed", "403 Forbidden to REGISTER")
    assert [backup["account"][key] for key in ("expires", "next", "public_address")] == [None, None, None]
    office.view = picture()
    assert json.loads(await (await client.get("/status")).text())["trunks"][0]["account"] is None


async def test_each_address_of_a_trunk_is_shown(client: Client, office: Office) -> None:
    office.view = picture(TWO_ADDRESSES, BACKUP)
    trunks = json.loads(await (await client.get("/status")).text())["trunks"]
    assert trunks[0]["addresses"] == [
        {
            "target": "udp 198.51.100.7:5060",
            "in_use": False,
            "answers": False,
            "why": "no answer within 2 s",
            "avoided_seconds": 28.0,
            "round_trip_seconds": 0.0213,
        },
        {
            "target": "udp 198.51.100.8:5060",
            "in_use": True,
            "answers": True,
            "why": "",
            "avoided_seconds": None,
            "round_trip_seconds": None,
        },
    ]
    assert trunks[1]["addresses"] == []
    page = await (await client.get("/")).text()
    assert "1 of 2 addresses answer; udp 198.51.100.7:5060 avoided for 28 s: no answer within 2 s" in page


async def test_plain_status_has_one_line_a_trunk(client: Client, office: Office) -> None:
    office.view = picture(replace(DEAD_MAIN, why='said "no"\nand\\'), replace(BACKUP, round_trip=None))
    lines = (await (await client.get("/status?plain")).text()).splitlines()
    assert lines == [
        "main tier=1 order=enabled state=down since=2026-11-23T10:28:00+01:00 new_calls=no calls=0 round_trip=0.021"
        ' target="udp 198.51.100.7:5060" why="said \\"no\\" and\\\\"',
        "backup tier=2 order=enabled state=up since=2026-11-23T08:31:07+01:00 new_calls=yes calls=0 round_trip=-"
        ' target="udp 203.0.113.20:5060" why=""',
    ]


async def test_the_page_tells_it_in_words_without_script(client: Client, office: Office) -> None:
    office.view = failed_over()
    answer = await client.get("/")
    page = await answer.text()
    assert answer.content_type == "text/html"
    assert "<span>Calls run over backup since 10:28.</span> <span>Main trunk main is Down.</span>" in page
    assert "2 OPTIONS in a row without an answer" in page
    assert 'http-equiv="refresh" content="5"' in page
    assert "+4144321****" in page
    assert "0019" not in page
    assert "<script" not in page
    assert "style=" not in page
    assert "http://" not in page.replace('xmlns="http://', "")


async def test_the_page_holds_still_when_asked(client: Client) -> None:
    assert "http-equiv" not in await (await client.get("/?still")).text()


async def test_what_peers_wrote_is_escaped_on_the_page(client: Client, office: Office) -> None:
    evil = '"><script>alert(1)</script>'
    office.view = picture(
        replace(MAIN, name=evil, why=evil, target=evil, note=evil), calls=(replace(TALKING, caller=evil, called=evil),)
    )
    page = await (await client.get("/")).text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    "view",
    [
        picture(calls=(), calls_now=0, pbxs=(), last_failover=None),
        picture(DEAD_MAIN, DEAD_BACKUP, calls_now=500),
        picture(*(replace(MAIN, name=f"trunk-{n}", health="Trial", order="draining") for n in range(9))),
    ],
)
async def test_the_page_renders_every_picture(client: Client, office: Office, view: object) -> None:
    office.view = view  # type: ignore[assignment]
    assert (await client.get("/")).status == 200


async def test_a_pbx_that_has_not_registered_is_not_shown_as_up(client: Client, office: Office) -> None:
    office.view = picture(
        pbxs=(replace(PBX, name="office", carries_new_calls=False, registration="Not registered yet"),)
    )
    page = await (await client.get("/")).text()
    card = page[page.index("<h3>office</h3>") :]
    assert "<strong>Not registered</strong>" in card
    assert "<strong>Up</strong>" not in card


async def test_everything_the_page_needs_is_served_here(client: Client) -> None:
    page = await (await client.get("/")).text()
    links = [part.split('"')[0] for part in page.split('href="')[1:]]
    assert any(link.startswith("/static/style.css?v=") for link in links)
    for link in links:
        assert (await client.get(link)).status == 200, link


@pytest.mark.parametrize("path", ["/", "/status", "/healthz", "/readyz", "/metrics", "/nowhere"])
async def test_every_answer_bounds_the_browser(client: Client, path: str) -> None:
    headers = (await client.get(path)).headers
    assert headers["Cache-Control"] == "no-store"
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert headers["Server"] == "sipfailover"
    assert headers["Connection"] == "close"


async def test_static_files_may_be_kept_for_ever(client: Client) -> None:
    answer = await client.get("/static/style.css")
    assert answer.content_type == "text/css"
    assert "immutable" in answer.headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/nowhere", "/static/../server.py", "/static/page.html", "/status/"])
async def test_an_unknown_path_lists_the_known_ones(client: Client, path: str) -> None:
    answer = await client.get(path)
    assert answer.status == 404
    assert "/readyz?verbose" in await answer.text()


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/healthz", "/static/style.css"])
async def test_nothing_but_reading_is_allowed(client: Client, method: str, path: str) -> None:
    answer = await client.request(method, path)
    assert answer.status == 405
    assert answer.headers["Allow"] == "GET, HEAD"


async def test_head_is_get_without_the_body(client: Client) -> None:
    answer = await client.head("/status")
    assert (answer.status, await answer.read()) == (200, b"")


async def test_a_broken_history_is_shown_and_does_not_make_us_unready(office: Office, session: ClientSession) -> None:
    ledger = Ledger("/dev/null/history.db", wall, retry_seconds=0.0)
    ledger.start()
    ledger.flush(5)
    troubles = Troubles()
    troubles.watch("history", "History", lambda: ledger.problem)
    server = office.server(troubles=troubles)
    await server.start()
    try:
        ready = await session.get(server.url + "readyz?verbose")
        assert ready.status == 200
        assert "[-]history: cannot write /dev/null/history.db" in await ready.text()
        status = await (await session.get(server.url + "status")).json()
        assert status["warnings"][0] == status["troubles"][0]["text"]
        assert status["warnings"][0].startswith("History: cannot write")
        assert status["troubles"][0]["what"] == "history"
        assert "History: cannot write" in await (await session.get(server.url)).text()
    finally:
        await server.stop()
        ledger.close()


async def test_it_starts_on_a_free_port_and_stops_twice(office: Office, session: ClientSession) -> None:
    server = office.server()
    await server.start()
    host, port = server.address
    assert (host, server.url) == ("127.0.0.1", f"http://127.0.0.1:{port}/")
    assert (await session.get(server.url + "healthz")).status == 200
    await server.stop()
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, port)


async def test_an_occupied_port_is_named(office: Office) -> None:
    occupier = office.server()
    await occupier.start()
    server = office.server()
    server._port = occupier.address[1]
    try:
        with pytest.raises(TransportError, match=r"listening for HTTP on 127\.0\.0\.1:\d+: .*in use"):
            await server.start()
    finally:
        await server.stop()
        await occupier.stop()


async def test_a_crowd_gets_no_more_than_the_bound_and_the_oldest_gives_way(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "CONNECTIONS_MAX", 3)
    server = office.server()
    await server.start()
    pairs = [await asyncio.open_connection(*server.address) for _ in range(4)]
    try:
        with contextlib.suppress(ConnectionResetError):  # The usual way: an abort.
            async with asyncio.timeout(5):
                assert await pairs[0][0].read() == b""
        pairs[1][1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"200 OK" in await pairs[1][0].read(), "only one had to go"
    finally:
        for _, held in pairs:
            held.close()
        await server.stop()


async def test_idle_connections_do_not_keep_the_health_check_from_its_answer(
    office: Office, session: ClientSession
) -> None:
    server = office.server()
    await server.start()
    crowd = [await asyncio.open_connection(*server.address) for _ in range(web_server.CONNECTIONS_MAX + 20)]
    try:
        for _ in range(5):
            assert (await session.get(server.url + "healthz")).status == 200
    finally:
        for _, held in crowd:
            held.close()
        await server.stop()


async def test_who_holds_most_places_loses_one_and_nobody_else_does(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(web_server, "CONNECTIONS_MAX", 5)
    server = office.server()
    await server.start()
    quiet = await asyncio.open_connection(*server.address, local_addr=("127.0.0.2", 0))
    crowd = [await asyncio.open_connection(*server.address, local_addr=("127.0.0.3", 0)) for _ in range(12)]
    try:
        quiet[1].write(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(5):
            assert b"200 OK" in await quiet[0].read(), "the oldest of all, and yet it stays"
    finally:
        for _, held in (quiet, *crowd):
            held.close()
        await server.stop()


async def test_a_slow_reader_is_cut_off(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web_server, "CONNECTION_SECONDS", 0.02)
    server = office.server()
    await server.start()
    try:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(b"GET /healthz HTTP/1.1\r\nHost:")
        async with asyncio.timeout(5):
            await reader.read()
        writer.close()
    finally:
        await server.stop()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000 + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(500)) + b"\r\n",
        b"INVITE sip:x SIP/2.0\r\n\r\n",
        b"\0\0\0\r\n\r\n",
    ],
)
async def test_an_unreasonable_request_gets_400_and_the_door(office: Office, request_bytes: bytes) -> None:
    server = office.server()
    await server.start()
    try:
        reader, writer = await asyncio.open_connection(*server.address)
        writer.write(request_bytes)
        async with asyncio.timeout(5):
            answer = await reader.read()
        writer.close()
        assert b" 400 Bad Request" in answer.split(b"\r\n", 1)[0]
    finally:
        await server.stop()


@pytest.mark.parametrize(
    ("header", "seen"),
    [
        ("Bearer geheim", True), ("bearer  geheim", True), ("Bearer geheimnis", False), ("Basic geheim", False),
        ("Bearer", False), ("", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/status"])
async def test_who_shows_the_token_sees_whole_numbers(office: Office, path: str, header: str, seen: bool) -> None:
    async with TestClient(TestServer(office.server(token="geheim").application())) as client:
        text = await (await client.get(path, headers={"Authorization": header} if header else {})).text()
    assert ("+41443210019" in text) is seen
    assert ("+4144321****" in text) is not seen
    assert "geheim" not in text


@pytest.mark.parametrize("header", ["Bearer ", "Bearer", "Bearer x"])
async def test_without_a_configured_token_nobody_sees_whole_numbers(client: Client, header: str) -> None:
    text = await (await client.get("/status", headers={"Authorization": header})).text()
    assert "+41443210019" not in text
