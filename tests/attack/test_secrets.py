"""Canaries: a service whose every secret is a word that nobody else says, in all the trouble it can have.

Nothing that it writes has one of these words in it: not the log at its most talkative, the page, the history, the
journal, the settings told back, nor what it sends.
"""

import base64
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pydantic

from sipfailover.config import Settings, describe, json_schema, load
from sipfailover.wire import Challenge, Message, compose

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
CANARIES = {
    "pbx.password": "canary-pbx-Kuckuck",
    "trunks.password": "canary-trunk-Rotkehlchen",
    "status.token": "canary-token-Zaunkoenig",
    "notify.password": "canary-mail-Wendehals",
    "notify.webhook": "http://127.0.0.1:9/canary-hook-Pirol",
}
PATHS = ("/", "/status", "/status?plain", "/metrics", "/readyz?verbose", "/healthz", "/nothing", "/%00")
FILE_CANARY = "canary-file-Wiedehopf"
SETTINGS = """
pbx: [{{name: office, host: 127.0.0.1, port: {pbx}}}, {{name: desk, username: desk, password: {pbx_secret}}}]
listen: [udp 127.0.0.1:{sip}, tcp 127.0.0.1:{sip}]
trunks:
  - {{name: refuses, host: 127.0.0.1, port: {refuses}, username: acc, password: {trunk_secret}}}
  - {{name: dark, host: 127.0.0.1, port: {dark}, transport: tls, username: acc, password_file: secret, register: yes}}
  - {{name: noise, host: 127.0.0.1, port: {noise}, transport: tcp, username: acc, password: {trunk_secret}}}
status: {{listen: "127.0.0.1:{page}", token: {token}}}
history: {{file: history.db}}
monitor: {{options_every: 1s, timeout: 500ms}}
log: {{level: debug}}
notify:
  - {{email: it@a.example, smtp: smtp://127.0.0.1:9, sender: t@a.example, username: u, password: {mail_secret}}}
  - {{webhook: "{hook_secret}", username: u, password: {mail_secret}}}
"""


def secrets_of(section: type[pydantic.BaseModel], path: str = "") -> Iterator[str]:
    """Every key of the settings that holds a secret."""
    definitions = section.model_json_schema()["$defs"]

    def walk(node: object, path: str, seen: tuple[str, ...]) -> Iterator[str]:
        if isinstance(node, dict):
            if node.get("writeOnly"):
                yield path
            if (ref := str(node.get("$ref", "")).rpartition("/")[2]) and ref not in seen:
                yield from walk(definitions[ref], path, (*seen, ref))
            for name, inner in node.get("properties", {}).items():
                yield from walk(inner, f"{path}.{name}" if path else name, seen)
            for word in ("anyOf", "items", "prefixItems", "allOf"):
                inner = node.get(word, ())
                for one in inner if isinstance(inner, list) else [inner]:
                    yield from walk(one, path, seen)

    yield from walk(section.model_json_schema(), path, ())


def test_every_secret_of_the_settings_has_its_canary() -> None:
    assert set(secrets_of(Settings)) == set(CANARIES)


class Carrier:
    """A UDP peer that challenges everything, again and again, and hears what we answer."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                data, source = self.socket.recvfrom(65535)
                self.heard.append(data)
                if data[:4] == b"SIP/" or data[:3] == b"ACK":
                    continue
                request = Message(data)
                asks = Challenge(b'"canary"', b'"n%d"' % len(self.heard), qop=(b"auth",)).to_bytes()
                headers = ((b"www-authenticate", asks),)
                status = 401 if request.method in (b"REGISTER", b"INVITE") else 500
                self.socket.sendto(compose.response(request, status, to_tag=b"t", headers=headers), source)


class Noise:
    """A TCP peer that answers with what is no SIP, and hangs up."""

    def __init__(self, answer: bytes) -> None:
        self.socket = socket.create_server((HOST, 0))
        self.port = self.socket.getsockname()[1]
        self.heard: list[bytes] = []
        threading.Thread(target=self._serve, args=(answer,), daemon=True).start()

    def _serve(self, answer: bytes) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self.socket.accept()
                with connection, suppress(OSError):
                    self.heard.append(connection.recv(65535))
                    connection.sendall(answer)


def free() -> int:
    with socket.socket() as one:
        one.bind((HOST, 0))
        port: int = one.getsockname()[1]
        return port


def fetch(port: int, path: str, token: str = "", method: str = "GET") -> bytes:
    """Whatever HTTP says, head and body."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    request = Request(f"http://{HOST}:{port}{path}", headers=headers, method=method)
    try:
        with urlopen(request, timeout=5) as answer:
            return str(answer.headers).encode() + bytes(answer.read())
    except HTTPError as error:
        return str(error.headers).encode() + error.read()


def told(port: int) -> bytes:
    """Everybody says something wrong to the service; everything that it answers."""
    said = b""
    register = compose.request(
        b"REGISTER", b"sip:x", via=b"SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKcanary;rport", from_=b"<sip:desk@x>;tag=a",
        to=b"<sip:desk@x>", call_id=b"canary", cseq=1, contact=b"<sip:desk@127.0.0.1:9>",
        headers=((b"user-agent", b"a telephone with a name that is long enough for an answer"),),
    )  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.bind((HOST, 0))
        phone.settimeout(0.3)
        wrong = b'Digest username="desk", realm="x", nonce="n", uri="sip:x", response="%032d"' % 0
        broken = register.replace(b"\r\nCall-ID", b"\r\nAuthorization: " + wrong + b"\r\nCall-ID").replace(
            b"z9hG4bK", b"z9hG4bKx"
        )
        for data in (register, broken, b"INVITE garbage\r\n\r\n", register.replace(b"CSeq: 1", b"CSeq: x")):
            phone.sendto(data, (HOST, port))
            with suppress(TimeoutError):
                said += phone.recv(65535)
    return said


def test_no_secret_is_written_anywhere(tmp_path: Path) -> None:
    refuses, noise, dark = Carrier(), Noise(b"HTTP/1.1 400 Bad Request\r\n\r\n"), Noise(b"this is no TLS")
    (tmp_path / "secret").write_text(FILE_CANARY)
    (tmp_path / "secret").chmod(0o600)
    sip, page = free(), free()
    file = tmp_path / "sipfailover.yaml"
    file.write_text(
        SETTINGS.format(
            pbx=free(), sip=sip, page=page, refuses=refuses.port, dark=dark.port, noise=noise.port,
            pbx_secret=CANARIES["pbx.password"], trunk_secret=CANARIES["trunks.password"],
            token=CANARIES["status.token"], mail_secret=CANARIES["notify.password"],
            hook_secret=CANARIES["notify.webhook"],
        )
    )  # fmt: skip
    file.chmod(0o600)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    program = [sys.executable, "-X", "dev", "-m", "sipfailover"]
    log = tmp_path / "log"
    out = b""
    with log.open("wb") as err:
        process = subprocess.Popen(
            [*program, "run", "-c", str(file)], stdin=subprocess.DEVNULL, stdout=err, stderr=err, env=environment
        )
        try:
            _until(lambda: b"ready" in log.read_bytes(), process, log)
            deadline = time.monotonic() + 20
            wanted = [b"refuses user name or password", b"no tls connection"]
            while not all(one in log.read_bytes() for one in wanted) and time.monotonic() < deadline:
                time.sleep(0.1)
            out += told(sip)
            for path in PATHS:
                for token in ("", CANARIES["status.token"], CANARIES["status.token"] + "x"):
                    out += fetch(page, path, token)
            out += fetch(page, "/status", method="POST") + fetch(page, "/status", CANARIES["status.token"], "DELETE")
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    for words in (["check", "-c", str(file)], ["notify", "test", "-c", str(file)], ["schema"]):
        done = subprocess.run([*program, *words], capture_output=True, timeout=60, env=environment, check=False)
        out += done.stdout + done.stderr
    file.write_text(file.read_text() + "\nlog: {level: nonsense}\nstatus: {token: [a]}\n")
    out += subprocess.run([*program, "check", "-c", str(file)], capture_output=True, timeout=60, env=environment).stderr
    whole = log.read_bytes()
    assert all(one in whole for one in wanted), whole.decode()
    for written in ("history.db", "calls.journal"):
        out += (tmp_path / written).read_bytes()
    for peer in (refuses, noise, dark):
        out += b"".join(peer.heard)
    assert any(b"\r\nAuthorization: Digest " in one for one in refuses.heard)
    assert b"wrong password" in whole
    for canary in (*CANARIES.values(), FILE_CANARY):
        for form in forms(canary.rpartition("/")[2]):
            assert form not in whole + out, f"{canary} is seen as {form!r}"


def _until(found: object, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 20
    while not found():  # type: ignore[operator]
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def forms(secret: str) -> list[bytes]:
    """A secret as somebody could have written it: as it is, in base64 and hexadecimal, hashed as digest does."""
    data = secret.encode()
    hashed = [hashlib.md5(b"%b:%b:%b" % (user, realm, data)).hexdigest().encode()
              for user in (b"acc", b"desk") for realm in (b"canary", b"x", b"127.0.0.1")]  # fmt: skip
    return [data, base64.b64encode(data).rstrip(b"="), data.hex().encode(), data[7:], *hashed]


def test_settings_told_back_have_no_secret(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(FILE_CANARY)
    (tmp_path / "secret").chmod(0o600)
    file = tmp_path / "sipfailover.yaml"
    ports = dict.fromkeys(("pbx", "refuses", "dark", "noise"), 5070)
    file.write_text(
        SETTINGS.format(
            **{**ports, "refuses": 5071, "dark": 5072, "noise": 5073}, sip=5060, page=8080,
            pbx_secret=CANARIES["pbx.password"], trunk_secret=CANARIES["trunks.password"],
            token=CANARIES["status.token"], mail_secret=CANARIES["notify.password"],
            hook_secret=CANARIES["notify.webhook"],
        )
    )  # fmt: skip
    settings = load(str(file), {})
    told = [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump()), *describe(settings)]
    told += [json.dumps(json_schema()), *map(str, settings.warnings)]
    for canary in (*CANARIES.values(), FILE_CANARY):
        assert not any(canary.rpartition("/")[2] in one for one in told)
