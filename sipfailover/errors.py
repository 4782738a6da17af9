"""Every error of ours, on one page, named by whose fault it is.

`WireError` is the peer's: the bytes cannot be served, and the error carries the status that answers them.
`TransportError` is the world's: a socket, a name or a connection, with the peer and the phase.
`ConfigError` is the operator's: all problems of one file at once, each with file, line and column.
`RemoteError` is of a verb that talks to a running service: that is not there, or refuses.
What can happen on every call (busy, silence, refusal) is no error but a value: see `routing.verdict`.
"""

from dataclasses import dataclass


class SipfailoverError(Exception):
    """The root: catch it to catch all of ours and nothing else."""


class WireError(SipfailoverError):
    """A peer sent bytes that we cannot serve.

    `status` is the SIP status that answers a request like this (400, 413, 416, 505, …). `text` says what is
    wrong and shows the value; it may go into the reason phrase, so it has no line breaks.
    """

    def __init__(self, text: str, status: int = 400) -> None:
        super().__init__(text)
        self.text = text
        self.status = status


class TransportError(SipfailoverError):
    """The world failed. `peer`: whom we wanted to reach or where we wanted to listen; `phase`: what we were doing."""

    def __init__(self, peer: str, phase: str, text: str) -> None:
        super().__init__(f"{phase} {peer}: {text}")
        self.peer = peer
        self.phase = phase


class NoSuchName(TransportError):
    """DNS works, and says that the name has nothing of what we need. Other failures say nothing about the name."""


class RemoteError(SipfailoverError):
    """A running service cannot be reached, or does not do what was asked for; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a configuration file. `line` and `column` count from 1; 0 means the whole file."""

    file: str
    line: int
    column: int
    path: str
    """Where in the tree, as `trunks.1.transport`; empty for the whole file."""
    text: str
    """What is wrong and what to do, in one sentence."""
    source: str = ""
    """The line of the file, to show under the message."""

    def __str__(self) -> str:
        where = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        head = f"{where}: {self.path}: {self.text}" if self.path else f"{where}: {self.text}"
        if not self.source:
            return head
        return f"{head}\n    {self.source}\n    {' ' * (self.column - 1)}^"


class ConfigError(SipfailoverError):
    """The operator's file cannot be used. `problems` has every reason found, in the order of the file."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
