"""Where a service is looked for, and what is said when it is not there or does not answer as one of ours.

Against a real service: tests/test_reloader.
"""

import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from sipfailover.config import Settings, parse
from sipfailover.errors import RemoteError
from sipfailover.remote import Remote, order_path, send_signal, whoever


def settings(status: str = "listen: 127.0.0.1:8080, token: wink") -> Settings:
    return parse(f"pbx: 192.0.2.5\ntrunks: [{{name: main, host: 192.0.2.1}}]\nstatus: {{{status}}}\n")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SIPFAILOVER_URL", "SIPFAILOVER_TOKEN", "SUDO_USER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("192.168.10.6:8080", "http://192.168.10.6:8080"),
        ("0.0.0.0:81", "http://127.0.0.1:81"),
        ("'[::]:81'", "http://[::1]:81"),
        ("'[2001:db8::1]:81'", "http://[2001:db8::1]:81"),
    ],
)
def test_it_is_where_the_file_says(listen: str, url: str) -> None:
    assert Remote.of(settings(f"listen: {listen}, token: wink")).url == url


def test_who_asks_may_know_better(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIPFAILOVER_TOKEN", "wonk")
    monkeypatch.setenv("SIPFAILOVER_URL", "http://a.example:81/")
    found = Remote.of(settings())
    assert (found.url, found.token) == ("http://a.example:81", "wonk")
    assert Remote.of(settings(), "https://b.example/pbx").url == "https://b.example/pbx"


def test_a_page_that_is_off_and_a_missing_token_are_told_before_anything_is_sent() -> None:
    with pytest.raises(RemoteError, match="is off"):
        Remote.of(settings("listen: off"))
    with pytest.raises(RemoteError, match="no token: set"):
        Remote.of(settings("listen: 127.0.0.1:9")).ask("POST", "/-/reload")


@pytest.mark.parametrize("url", ["ftp://a", "http://", "http://a:b", "nonsense"])
def test_what_is_no_url_is_told(url: str) -> None:
    with pytest.raises(RemoteError, match="not a URL"):
        Remote(url, "wink").ask("POST", "/-/reload")


class Other(BaseHTTPRequestHandler):
    """Something else that answers there."""

    status, body = 404, b"<html>"

    def do_POST(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def other() -> Iterator[HTTPServer]:
    server = HTTPServer(("127.0.0.1", 0), Other)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (404, b"<html>", "no sipfailover that can do this"),
        (404, b'{"error": "there is no trunk"}', "refuses: there is no trunk"),
        (500, b"[]", "it answered 500"),
        (401, b"{}", "another token"),
    ],
)
def test_what_answers_otherwise_is_told(
    other: HTTPServer, monkeypatch: pytest.MonkeyPatch, status: int, body: bytes, words: str
) -> None:
    monkeypatch.setattr(Other, "status", status)
    monkeypatch.setattr(Other, "body", body)
    with pytest.raises(RemoteError, match=words):
        Remote(f"http://127.0.0.1:{other.server_port}", "wink").ask("POST", "/-/reload")


def test_names_are_quoted_in_paths_and_people_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert order_path("a/b?") == "/api/v1/trunks/a%2Fb%3F/order"
    assert whoever()
    monkeypatch.setenv("SUDO_USER", "anna")
    assert whoever() == "anna"


def test_a_process_that_is_not_there_is_told() -> None:
    with pytest.raises(RemoteError, match="there is no process"):
        send_signal(2**22 + 1, signal.SIGHUP)
