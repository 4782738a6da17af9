"""Talking to a service that runs, over its page's address: what the verbs reload, drain, use, … send, with the token.

Where it is and what it wants to see is in the same file that it runs with. Standard library only: it is one request.
"""

import json
import os
import pwd
import signal
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import quote, urlsplit

from sipfailover.config import Settings
from sipfailover.errors import RemoteError

TIMEOUT = 30.0
"""Seconds: a reload reads files, on a disk that may be slow."""
ANSWER_MAX = 1_000_000
URL_VARIABLE = "SIPFAILOVER_URL"
TOKEN_VARIABLE = "SIPFAILOVER_TOKEN"


class Remote:
    """A service that runs. `url`: `http://127.0.0.1:8080`; `token`: as in `status.token`, "" if there is none."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.token = token

    @classmethod
    def of(cls, settings: Settings, url: str | None = None) -> "Remote":
        """The one that runs with these settings. `url`: where it is, if not where they say."""
        token = os.environ.get(TOKEN_VARIABLE, "")
        if not token and settings.status.token is not None:
            token = settings.status.token.get_secret_value()
        given, listen = url or os.environ.get(URL_VARIABLE), settings.status.listen
        if given is None:
            if listen is None:
                raise RemoteError("status.listen is off: the running service cannot be asked over HTTP. Use signals")
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(listen.host, listen.host)
            given = f"http://[{host}]:{listen.port}" if ":" in host else f"http://{host}:{listen.port}"
        return cls(given, token)

    def ask(self, method: str, path: str, **body: object) -> tuple[int, dict[str, Any]]:
        """Send one request; (status, answer) for 200, 202 and 422. Raises RemoteError for everything else."""
        if not self.token:
            raise RemoteError(
                f"no token: set status.token or status.token_file in the file that the service runs with, or "
                f"{TOKEN_VARIABLE} here. Signals need none"
            )
        status, answer = self._ask(method, path, {"who": whoever(), **body})
        if status in (200, 202, 422):
            return status, answer
        why = str(answer.get("error", f"it answered {status}"))
        if status == 401:
            why = "it runs with another token than the file has now (or the one given here): a signal needs none"
        elif status == 404 and "error" not in answer:
            why = "what answers there is no sipfailover that can do this"
        raise RemoteError(f"{self.url} refuses: {why}")

    def _ask(self, method: str, path: str, body: dict[str, object]) -> tuple[int, dict[str, Any]]:
        parts = urlsplit(self.url)
        try:
            port = parts.port
        except ValueError as error:
            raise RemoteError(f"not a URL: {self.url}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise RemoteError(f"not a URL: {self.url}")
        make = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        connection = make(parts.hostname, port, timeout=TIMEOUT)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            connection.request(method, parts.path + path, json.dumps(body).encode(), headers)
            response = connection.getresponse()
            data = response.read(ANSWER_MAX)
        except (OSError, HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            hint = "Does it run? If status.listen has changed since it started, say where it is: --url"
            raise RemoteError(f"no service answers at {self.url} ({why}). {hint}") from error
        finally:
            connection.close()
        try:
            answer = json.loads(data)
        except ValueError:
            answer = {}
        return response.status, answer if isinstance(answer, dict) else {}


def order_path(name: str) -> str:
    """Where orders for this trunk go."""
    return f"/api/v1/trunks/{quote(name, safe='')}/order"


def whoever() -> str:
    """Who is at this terminal, also behind sudo."""
    name = os.environ.get("SUDO_USER")
    if name:
        return name
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"user {os.getuid()}"


def send_signal(pid: int, number: signal.Signals) -> None:
    """Send a signal to a service that runs. Raises RemoteError if it does not."""
    try:
        os.kill(pid, number)
    except ProcessLookupError as error:
        raise RemoteError(f"there is no process {pid}: does the service run?") from error
    except PermissionError as error:
        raise RemoteError(f"process {pid} is somebody else's: do it as who runs the service, or as root") from error
