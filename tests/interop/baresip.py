"""baresip as a telephone without sound hardware (its microphone hears its own speaker, module aubridge).

It is driven over its control port: commands and events are JSON in netstrings (module ctrl_tcp). Its SIP trace goes to
its log, so that a test can look at what it was sent. It takes commands when the constructor returns.
"""

import json
import socket
import time
from pathlib import Path
from typing import Any, Self

from tests.interop.stage import POLL_EVERY, SIP_PORT, Child, Stage, until

CONTROL_PORT = 4444
MODULES_DIRECTORIES = (
    "/usr/lib/baresip/modules",
    "/usr/lib/x86_64-linux-gnu/baresip/modules",
    "/usr/local/lib/baresip/modules",
)
START_WITHIN = 10.0
REPLY_WITHIN = 5.0

CONFIG = """\
poll_method epoll
sip_listen {host}:{port}
net_interface {host}
call_local_timeout 60
call_max_calls 8
audio_source aubridge,{name}
audio_player aubridge,{name}
audio_alert aubridge,{name}
ausrc_srate 8000
auplay_srate 8000
rtp_ports {rtp_first}-{rtp_last}
jitter_buffer_delay 5-10
module_path {modules}
module g711.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen {host}:{control}
"""
RTP_PORTS = 40


class Baresip(Child):
    """A telephone with the number `number` at `host`, port 5060.

    `proxy`: host:port all its requests outside a dialog go to. `answers`: whether it lifts the receiver by itself.
    `account`: (user name, password) with which it registers there, again after half of `expires` seconds. `domain`: of
    its carrier, as it believes; by default its own host. `transport`: udp or tcp.
    """

    def __init__(
        self,
        stage: Stage,
        name: str,
        host: str,
        *,
        number: str,
        proxy: str,
        answers: bool = False,
        account: tuple[str, str] | None = None,
        expires: int = 60,
        domain: str = "",
        transport: str = "udp",
    ) -> None:
        folder = stage.folder / name
        folder.mkdir()
        place = sum(isinstance(child, Baresip) for child in stage.children)
        first = 30_000 + RTP_PORTS * place
        modules = next(path for path in MODULES_DIRECTORIES if Path(path).is_dir())
        (folder / "config").write_text(
            CONFIG.format(
                host=host, port=SIP_PORT, name=name, control=CONTROL_PORT, modules=modules, rtp_first=first,
                rtp_last=first + RTP_PORTS - 1,
            )
        )  # fmt: skip
        mode = "auto" if answers else "manual"
        registers = f";regint={expires};auth_user={account[0]};auth_pass={account[1]}" if account else ";regint=0"
        way = f"sip:{proxy};transport={transport}"
        line = f'<sip:{number}@{domain or host}>{registers};outbound="{way}";answermode={mode};audio_codecs=PCMA'
        (folder / "accounts").write_text(line + "\n")
        (folder / "contacts").write_text("")
        self.host = host
        self.events: list[str] = []
        """Types of the events that it told since the start, in order: CALL_ESTABLISHED, CALL_CLOSED, …"""
        self._unread = b""
        self._replies: dict[str, dict[str, Any]] = {}
        self._control: socket.socket | None = None
        super().__init__(stage, name, ["baresip", "-4", "-s", "-f", folder])
        self._control = until(self._connected, START_WITHIN, f"{name} takes commands", self)

    def command(self, command: str, params: str = "") -> str:
        """Do what one would type; its answer. Raises AssertionError if it says that it could not."""
        token = f"{command}-{time.monotonic_ns()}"
        words = json.dumps({"command": command, "params": params, "token": token}).encode()
        assert self._control is not None
        self._control.sendall(b"%d:%s," % (len(words), words))
        until(lambda: self._listen() or token in self._replies, REPLY_WITHIN, f"{self.name} answers to {command}", self)
        reply = self._replies.pop(token)
        assert reply.get("ok"), f"{self.name} could not {command} {params}: {reply.get('data')}"
        return str(reply.get("data", ""))

    def heard(self, event: str, within: float, times: int = 1) -> Self:
        """Wait for the event, for the `times`-th one since the start."""

        def there() -> bool:
            self._listen()
            return self.events.count(event) >= times

        until(there, within, f"{self.name}: {event} (heard: {', '.join(self.events)})", self)
        return self

    def was_sent(self, *texts: str) -> bool:
        """Whether one message of its SIP trace, in or out, has all these texts."""
        messages = self.log.read_text(errors="replace").split("\x1b[")
        return any(all(text in message for text in texts) for message in messages)

    def stop(self) -> None:
        if self._control is not None:
            self._control.close()
            self._control = None
        super().stop()

    def _connected(self) -> socket.socket | None:
        try:
            control = socket.create_connection((self.host, CONTROL_PORT), timeout=REPLY_WITHIN)
        except OSError:
            return None
        control.settimeout(POLL_EVERY)
        return control

    def _listen(self) -> None:
        """Read what came: netstrings, `length:json,`."""
        assert self._control is not None
        try:
            while data := self._control.recv(65536):
                self._unread += data
        except TimeoutError:
            pass
        while b":" in self._unread:
            length, _, rest = self._unread.partition(b":")
            size = int(length)
            if len(rest) <= size:
                return
            said = json.loads(rest[:size])
            self._unread = rest[size + 1 :]
            if said.get("event"):
                self.events.append(said["type"])
            else:
                self._replies[said.get("token", "")] = said
