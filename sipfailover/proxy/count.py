"""Counting messages by side, direction and kind, since the start. Read by `picture` when asked. On the path."""

from collections.abc import Sequence

from sipfailover.flow import PING, Flow, Send
from sipfailover.proxy.commands import Command
from sipfailover.proxy.core import Core
from sipfailover.wire import Message

METHODS_MAX = 64
"""Different methods that are counted by name. What a peer invents beyond that counts as `other`."""

REASONS = ("malformed", "too_big", "not_allowed", "banned", "wrong_password", "too_often", "late", "full")
"""Why messages are not served. `late` and `full`: calls that were refused because we were."""


class Count:
    """See the module."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.requests: dict[tuple[str, str, bytes], int] = {}
        self.responses: dict[tuple[str, str, int], int] = {}
        self.rejections = dict.fromkeys(REASONS, 0)
        self._methods: set[bytes] = set()

    @property
    def methods(self) -> int:
        """Different methods seen."""
        return len(self._methods)

    def received(self, role: str, message: Message) -> None:
        """A message of a known peer."""
        if message.status:
            self._response(role, "in", message.status // 100)
        else:
            self._request(role, "in", message.method)

    def sent(self, commands: Sequence[Command]) -> None:
        """What is about to leave."""
        line_at = self.core.line_at
        for command in commands:
            if type(command) is Send:
                to, data = command.to, command.data
                line = line_at(to)
                role = "other" if line is None else line.role
                if data[:4] == b"SIP/":
                    self._response(role, "out", data[8] - 48)
                elif data != PING:
                    self._request(role, "out", data[: data.find(b" ")])

    def rejected(self, why: str) -> None:
        """A message that was not served."""
        self.rejections[why] += 1

    def refused(self, flow: Flow, answer: bytes) -> None:
        """A message that was refused without a transaction; this is the answer."""
        self.core.out.append(Send(flow, answer))

    def _request(self, role: str, direction: str, method: bytes) -> None:
        if method not in self._methods:
            if len(self._methods) >= METHODS_MAX:
                method = b"other"
            self._methods.add(method)
        key = (role, direction, method)
        self.requests[key] = self.requests.get(key, 0) + 1

    def _response(self, role: str, direction: str, kind: int) -> None:
        key = (role, direction, kind)
        self.responses[key] = self.responses.get(key, 0) + 1
