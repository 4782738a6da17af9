"""Reload and drain of the whole service on real sockets: HUP, POST, good, bad and missing files; both event loops."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp

from sipfailover.app import App
from sipfailover.config import load
from sipfailover.simulator import Mode
from sipfailover.simulator.peers import address_of
from tests.test_app import HOST, LOOPS, ROOT, SETTINGS, Factory, Town, free_port, play, rows, until

FILE = SETTINGS.replace("status: {listen: 127.0.0.1:%(page)d}", "status: {listen: 127.0.0.1:%(page)d, token: wink}")
SHOWN = {"Authorization": "Bearer wink"}


class FileTown(Town):
    """A town whose service reads a file."""

    def __init__(self, folder: Path, text: str = FILE) -> None:
        super().__init__(folder, text)
        self.file = folder / "sipfailover.yaml"
        self.write()
        self.app = App(load(str(self.file)), self.loop, "asyncio", lambda: load(str(self.file)))

    def write(self, *changes: tuple[str, str]) -> None:
        text = self.text
        for old, new in changes:
            assert old in text, old
            text = text.replace(old, new)
        self.file.write_text(text)

    async def __aenter__(self) -> "FileTown":
        await self.app.start()
        await until(lambda: self.app.engine.core.trunks[0].trunk.targets, "main has an address")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.app.stop()
        for plug in self.plugs.values():
            plug.close()

    async def warnings(self) -> list[str]:
        """Those on /status, but that the token stands in the file."""
        return [one for one in (await self.status())["warnings"] if "token stands" not in one]

    async def post(self, path: str, **body: str) -> tuple[int, dict[str, Any]]:
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"http://{HOST}:{self.page}{path}", headers=SHOWN, json=body) as answer,
        ):
            return answer.status, await answer.json()


@LOOPS
def test_a_good_file_is_in_effect_with_a_call_in_progress(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            here.write(("no_answer_within: 500ms", "no_answer_within: 300ms"), ("name: main, ", "name: first, "))
            status, answer = await here.post("/-/reload", who="anna")
            assert (status, answer["good"]) == (200, True)
            assert answer["changes"] == [
                "trunk main removed: 1 call goes on, no new ones; gone when the last has ended",
                "trunk first added: it begins as at a start",
                "failover.no_answer_within 500ms → 300ms: from the next call on",
            ]
            shown = await here.status()
            assert shown["config"]["fingerprint"] == answer["fingerprint"]
            assert shown["config"]["last_reload"]["good"] is True
            assert [trunk["name"] for trunk in shown["trunks"]] == ["first", "backup"]
            assert shown["calls"]["now"] == 1
            left = "Trunk main is not in the file any more: 1 call goes on over the former one."
            assert left in shown["warnings"]
            second = here.call("+41443210020")
            await until(lambda: second.acked_at, "a new call over the new trunk")
            for one in (leg, second):
                here.hang_up(one)
            await until(lambda: all(one.ended_at for one in here.main.legs), "hung up at the carrier")
            assert not here.phone.trouble
            assert not here.main.trouble
            assert left not in (await here.status())["warnings"]
            assert await here.metric("sipfailover_config_last_reload_successful") == 1

    play(factory, story)
    stored = rows(tmp_path / "history.db", "SELECT good, changes, who FROM configs ORDER BY id")
    assert stored[0] == (1, "", "")
    assert stored[1][0] == 1
    assert stored[1][1].splitlines()[2] == "failover.no_answer_within 500ms → 300ms: from the next call on"
    assert stored[1][2] == "anna (127.0.0.1)"
    prints = rows(tmp_path / "history.db", "SELECT fingerprint FROM configs ORDER BY id")
    assert prints[0] != prints[1]
    assert rows(tmp_path / "history.db", "SELECT trunk FROM calls ORDER BY call") == [("main",), ("first",)]


@LOOPS
def test_a_bad_file_is_refused_and_the_old_one_stays(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            before = here.app.settings
            here.write(("token: wink", "token: wink, tokn: geheim"), ("options_every: 200ms", "options_every: never"))
            status, answer = await here.post("/-/reload")
            assert (status, answer["good"]) == (422, False)
            assert [line.rpartition("yaml:")[2].partition(": ")[2] for line in answer["problems"]] == [
                "monitor.options_every: 'never' is not a duration: write for example 500ms, 2s, 10m, 4h or 400d",
                "status.tokn: unknown setting 'tokn', did you mean 'token'?",
            ]
            assert here.app.settings is before
            shown = await here.status()
            assert shown["config"]["last_reload"]["good"] is False
            (trouble,) = shown["troubles"]
            assert trouble["what"] == "configuration"
            assert "the file is refused, and what ran before is still in effect: " in trouble["text"]
            assert trouble["text"].endswith("(and 1 more)")
            assert "geheim" not in str(shown)
            assert await here.metric("sipfailover_config_last_reload_successful") == 0
            here.write()
            assert (await here.post("/-/reload"))[1]["changes"] == []
            assert await here.warnings() == []

    play(factory, story)
    assert [row[0] for row in rows(tmp_path / "history.db", "SELECT good FROM configs ORDER BY id")] == [1, 0, 1]


def test_a_file_that_is_gone_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            here.file.unlink()
            status, answer = await here.post("/-/reload")
            assert (status, answer["problems"]) == (422, [f"{here.file}: cannot be read: No such file or directory"])
            assert (await here.get("/readyz"))[0] == 200

    play(asyncio.new_event_loop, story)


def test_a_service_without_a_file_says_so(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            here.app.reloader._read = None
            status, answer = await here.post("/-/reload")
            assert (status, "without a file" in answer["problems"][0]) == (422, True)

    play(asyncio.new_event_loop, story)


def test_a_fault_of_ours_while_reading_ends_nothing(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:

            def broken() -> Any:
                raise ZeroDivisionError("a fault")

            here.app.reloader._read = broken
            status, answer = await here.post("/-/reload")
            assert (status, "a fault of ours" in answer["problems"][0]) == (422, True)
            assert (await here.get("/readyz"))[0] == 200

    play(asyncio.new_event_loop, story)


def test_what_needs_a_restart_is_said_and_stays_as_it_runs(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            other = free_port()
            here.write((f"status: {{listen: 127.0.0.1:{here.page}", f"status: {{listen: 127.0.0.1:{other}"))
            expected = f"status.listen 127.0.0.1:{here.page} → 127.0.0.1:{other}: after a restart"
            for _ in range(2):  # it is said as long as it is so
                assert (await here.post("/-/reload"))[1]["changes"] == [expected]
                assert await here.warnings() == [f"Not in effect yet: {expected}"]
            here.write()
            assert (await here.post("/-/reload"))[1]["changes"] == []
            assert await here.warnings() == []

    play(asyncio.new_event_loop, story)


def test_what_is_nonsense_without_what_needs_a_restart_is_refused(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            port = address_of(here.socks["main"])[1]
            here.write(
                (f", tcp 127.0.0.1:{here.sip}", f", tcp 127.0.0.1:{free_port()}"),
                (f"port: {port}", f"port: {here.sip}, transport: tcp"),
            )
            status, answer = await here.post("/-/reload")
            assert status == 422, answer
            assert "while what needs a restart is as it is now: listen" in answer["problems"][0]

    play(asyncio.new_event_loop, story)


def test_another_site_token_and_watching_are_in_effect_at_once(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            here.write(("site: Muster AG", "site: Beispiel AG"), ("token: wink", "token: wonk"))
            assert (await here.post("/-/reload"))[1]["changes"] == [
                "site Muster AG → Beispiel AG: at once", "status.token changed: at once",
            ]  # fmt: skip
            assert (await here.status())["site"] == "Beispiel AG"
            status, _ = await here.post("/-/reload")
            assert status == 401

    play(asyncio.new_event_loop, story)


def test_reloads_at_the_same_time_come_one_after_the_other(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            here.write(("no_answer_within: 500ms", "no_answer_within: 300ms"))
            found = await asyncio.gather(*(here.post("/-/reload") for _ in range(8)))
            assert sorted(len(answer["changes"]) for _, answer in found) == [0, 0, 0, 0, 0, 0, 0, 1]

    play(asyncio.new_event_loop, story)


@LOOPS
def test_orders_over_http_move_calls_and_are_in_the_history(factory: Factory, tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            path = "/api/v1/trunks/main/order"
            status, answer = await here.post(path, order="maintenance", **{"for": "1h"}, who="anna", why="new fibre")
            assert (status, answer["order"], bool(answer["until"])) == (200, "maintenance", True)
            leg = here.call()
            await until(lambda: leg.acked_at, "answered over the backup")
            main = (await here.status())["trunks"][0]
            assert (main["order"], main["ordered"]["who"], main["ordered"]["why"]) == (
                "draining", "anna (127.0.0.1)", "new fibre",
            )  # fmt: skip
            assert main["ordered"]["until"] == answer["until"]
            (told,) = [one for one in await here.warnings() if "as ordered" in one]
            assert re.fullmatch(r"main: draining, as ordered for .* more, by anna \(127\.0\.0\.1\): new fibre", told)
            assert (await here.status())["active_trunk"] == "backup"
            await here.post(path, order="resume", who="anna")
            await here.post("/api/v1/trunks/backup/order", order="use", **{"for": "300ms"})
            assert (await here.status())["active_trunk"] == "backup"
            await until(lambda: here.app.engine.watch.failovers.active == "main", "the order has ended by itself")
            assert (await here.post("/api/v1/trunks/nobody/order", order="off"))[0] == 404
            here.hang_up(leg)

    play(factory, story)
    acts = rows(tmp_path / "history.db", "SELECT who, action, trunk, why, until_ms > at_ms FROM operator_actions")
    assert acts == [
        ("anna (127.0.0.1)", "draining", "main", "new fibre", 1),
        ("anna (127.0.0.1)", "enabled", "main", "", None),
        ("127.0.0.1", "used", "backup", "", 1),
        ("", "enabled", "backup", "its time is over", None),
    ]


# -- drain ------------------------------------------------------------------------------------------------------------


@LOOPS
def test_drain_over_http_finishes_what_is_being_set_up_and_takes_calls_for_help(
    factory: Factory, tmp_path: Path
) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            leg = here.call()
            await until(lambda: here.main.legs, "the carrier has it")
            status, answer = await here.post("/-/drain", who="anna")
            assert (status, answer["being_set_up"], answer["calls"]) == (202, 1, 1)
            assert (await here.post("/-/drain"))[0] == 202, "asked again, it does not end at once"
            assert not here.app.ended.is_set()
            late = here.call("+41443210020")
            await until(lambda: late.status, "refused")
            assert late.status == 503
            sos = here.call("112")
            await until(lambda: sos.acked_at, "help is reached")
            assert (await here.get("/readyz"))[0] == 503
            assert (await here.get("/healthz"))[0] == 200
            await until(lambda: leg.acked_at, "answered")
            await asyncio.wait_for(here.app.ended.wait(), 5)

    play(factory, story)
    assert rows(tmp_path / "history.db", "SELECT who, action FROM operator_actions") == [("anna (127.0.0.1)", "drain")]


def test_while_draining_a_call_in_progress_is_ended_on_both_sides(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path) as here:
            talk = here.call()
            await until(lambda: talk.acked_at, "answered")
            here.plugs["main"].become(Mode.TRYING_ONLY)
            here.call("+41443210020")
            await until(lambda: here.app.engine.setting_up, "another one is being set up")
            here.app.drain()
            here.hang_up(talk)
            await until(lambda: here.main.legs[0].ended_at, "hung up at the carrier")
            assert not here.app.ended.is_set()

    play(asyncio.new_event_loop, story)


def test_draining_ends_within_its_bound_whatever_rings(tmp_path: Path) -> None:
    async def story() -> None:
        async with FileTown(tmp_path, f"{FILE}drain_within: 1s\n") as here:
            here.plugs["main"].become(Mode.SLOW)
            here.call()
            await until(lambda: here.main.legs, "the carrier has it")
            begun = time.monotonic()
            here.app.drain()
            await asyncio.wait_for(here.app.ended.wait(), 5)
            assert 0.9 < time.monotonic() - begun < 3.0

    play(asyncio.new_event_loop, story)


def test_where_calls_do_not_outlive_us_draining_waits_for_them(tmp_path: Path) -> None:
    async def story() -> None:
        text = FILE.replace("history: {file: %(history)s}\n", "")
        async with FileTown(tmp_path, text) as here:
            leg = here.call()
            await until(lambda: leg.acked_at, "answered")
            here.app.drain()
            await asyncio.sleep(0.3)
            assert not here.app.ended.is_set()
            here.hang_up(leg)
            await asyncio.wait_for(here.app.ended.wait(), 3)

    play(asyncio.new_event_loop, story)


# -- as a process, by signals and verbs -------------------------------------------------------------------------------


class Running:
    """The service as a process of its own, with its file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "sipfailover.yaml"
        names = ("pbx", "main", "backup", "sip", "page")
        self.ports = {name: free_port() for name in names}
        self.text = FILE % {**self.ports, "main_host": HOST, "history": folder / "history.db"}
        self.file.write_text(self.text)
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "SUDO_USER": "anna"}
        self.log = (folder / "log").open("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sipfailover", "run", "-c", self.file],
            stderr=self.log, env=self.environment, cwd=ROOT,
        )  # fmt: skip

    def __enter__(self) -> "Running":
        self.said("ready")
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.log.close()

    def said(self, words: str, seconds: float = 15.0) -> str:
        """The log, once these words are in it."""
        end = time.monotonic() + seconds
        while words not in (text := (self.folder / "log").read_text()):
            assert time.monotonic() < end, text
            time.sleep(0.02)
        return text

    def verb(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sipfailover", *words, "-c", str(self.file)],
            capture_output=True, text=True, timeout=30, check=False, cwd=ROOT,
            env={**self.environment, **environment},
        )  # fmt: skip

    def write(self, *changes: tuple[str, str]) -> None:
        text = self.text
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        self.file.write_text(text)


FASTER = ("no_answer_within: 500ms", "no_answer_within: 300ms")
WRONG = ("options_every: 200ms", "options_every: never")


def test_hup_with_a_good_a_bad_and_no_file(tmp_path: Path) -> None:
    with Running(tmp_path) as service:
        service.write(FASTER)
        service.process.send_signal(signal.SIGHUP)
        service.said("reloaded: failover.no_answer_within 500ms → 300ms: from the next call on")
        service.write(WRONG)
        service.process.send_signal(signal.SIGHUP)
        log = service.said("refused: ")
        assert "the file is refused, and what ran before is still in effect" in log
        assert "monitor.options_every: 'never' is not a duration" in log
        service.file.unlink()
        service.process.send_signal(signal.SIGHUP)
        service.said("cannot be read: No such file or directory")
        service.write()
        service.process.send_signal(signal.SIGHUP)
        service.said("reloaded: failover.no_answer_within 300ms → 500ms: from the next call on")
        assert "wink" not in service.said("reloaded")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0


def test_another_form_of_the_log_holds_at_once(tmp_path: Path) -> None:
    with Running(tmp_path) as service:
        service.file.write_text(service.text + "log: {format: json}\n")
        service.process.send_signal(signal.SIGHUP)
        log = service.said('"event": "reloaded: log.format text → json: at once"')
        assert json.loads(log.splitlines()[-1])["level"] in ("info", "warning")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0


def test_a_signal_in_the_moment_of_the_start_does_no_harm(tmp_path: Path) -> None:
    with Running(tmp_path) as service:
        for _ in range(50):
            service.process.send_signal(signal.SIGHUP)
        service.said("reloaded: nothing has changed")
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(10) == 0


def test_the_verb_reload_says_what_changes_or_what_is_wrong(tmp_path: Path) -> None:
    with Running(tmp_path) as service:
        service.write(FASTER)
        done = service.verb("reload")
        assert (done.returncode, done.stdout, done.stderr) == (
            0, "failover.no_answer_within 500ms → 300ms: from the next call on\n", "",
        )  # fmt: skip
        assert service.verb("reload").stdout == "nothing has changed\n"
        service.write(WRONG)
        done = service.verb("reload")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == service.verb("check").stderr, "the words of check"
        assert "'never' is not a duration" in done.stderr
        service.write()
        done = service.verb("reload", "--pid", str(service.process.pid))
        assert (done.returncode, "was asked to read it" in done.stdout) == (0, True)
        service.said("reloaded: failover.no_answer_within 300ms → 500ms")
        service.said("by='anna (127.0.0.1)'")


def test_a_file_that_is_good_here_and_bad_there_is_refused_with_its_words_and_exit_code_2(tmp_path: Path) -> None:
    """The environment of who asks is not the service's."""
    with Running(tmp_path) as service:
        service.write(("site: Muster AG", "site: ${PLACE}"))
        done = service.verb("reload", PLACE="Winterthur")
        assert done.returncode == 2
        assert "PLACE" in done.stderr
        assert done.stderr.endswith("It was refused, and what ran before is still in effect.\n")


def test_verbs_that_cannot_be_done_say_what_to_do(tmp_path: Path) -> None:
    with Running(tmp_path) as service:
        done = service.verb("maintenance", "mian")
        assert (done.returncode, "there is no trunk or PBX 'mian', but main, backup, pbx" in done.stderr) == (1, True)
        service.write((", token: wink", ""))
        done = service.verb("reload")
        assert (done.returncode, "set status.token" in done.stderr) == (1, True)
        service.write(("token: wink", "token: wonk"))
        done = service.verb("reload")
        assert (done.returncode, "another token" in done.stderr) == (1, True)
        assert service.verb("reload", SIPFAILOVER_TOKEN="wink").returncode == 0, "the one that it runs with"
        done = service.verb("use", "main", "--for", "ever")
        assert (done.returncode, "for: 'ever' is not a duration" in done.stderr) == (1, True)
        service.process.send_signal(signal.SIGTERM)
        service.process.wait(10)
        done = service.verb("drain")
        assert done.returncode == 1
        assert (
            f"no service answers at http://127.0.0.1:{service.ports['page']} (Connection refused). Does it run?"
            in done.stderr
        )
        done = service.verb("drain", "--pid", str(service.process.pid))
        assert (done.returncode, "does the service run?" in done.stderr) == (1, True)
        service.write((f"listen: 127.0.0.1:{service.ports['page']}", "listen: off"))
        done = service.verb("drain")
        assert (done.returncode, "status.listen is off" in done.stderr) == (1, True)


def test_verbs_order_and_drain(tmp_path: Path) -> None:
    with Running(tmp_path) as service:
        done = service.verb("maintenance", "main", "--for", "2h", "--reason", "new fibre")
        assert done.stdout.startswith("main: maintenance until 20"), done.stderr
        done = service.verb("use", "backup")
        assert done.stdout.startswith("backup: use until 20"), done.stderr
        done = service.verb("resume", "main")
        assert done.stdout == "main: resume\n"
        service.said("no trunk can carry a call")
        done = service.verb("hold", "--for", "resumed")
        assert (done.returncode, "there is nothing to hold" in done.stderr) == (1, True), (
            "nobody answers at their ports"
        )
        done = service.verb("release", "main")
        assert done.stdout.startswith("main need not wait")
        service.said("trunk main is draining, as ordered")
        done = service.verb("drain")
        assert done.stdout == "draining: 0 calls, 0 of them being set up; it ends within 30 s\n"
        assert service.process.wait(10) == 0
    acts = rows(tmp_path / "history.db", "SELECT who, action, trunk, why FROM operator_actions ORDER BY id")
    assert acts == [
        ("anna (127.0.0.1)", "draining", "main", "new fibre"),
        ("anna (127.0.0.1)", "used", "backup", ""),
        ("anna (127.0.0.1)", "enabled", "main", ""),
        ("anna (127.0.0.1)", "release", "main", ""),
        ("anna (127.0.0.1)", "drain", "", ""),
    ]
