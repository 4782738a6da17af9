"""What the engine wants done. Twin of the engine's inputs (`receive`, `lost`, `resolved`, `wake`).

The engine appends, the shell performs in order; nothing reaches back. A command that cannot be done comes back
as an input: bytes that could not be delivered as `lost`.
"""

from dataclasses import dataclass

from sipfailover.flow import Send as Send
from sipfailover.flow import Target
from sipfailover.proxy.facts import Fact


@dataclass(slots=True)
class Drop:
    """End the stream connection to this peer, if there is one: requests over it had no answer.

    Whatever waits there comes back as `lost`.
    """

    to: Target


@dataclass(slots=True)
class Reach:
    """Open a TCP connection to this IP address and port, and close it. Within `trunk.REACHED_WITHIN` seconds
    `Engine.reached` wants to hear what came of it: accepted and refused are both an answer."""

    host: str
    port: int


@dataclass(slots=True)
class Keep:
    """Store these records so that they outlive the process, before anything that follows is done; and take others out
    with the same stroke. If that cannot be done, calls go on, and would not survive a restart."""

    records: tuple[tuple[str, bytes], ...]
    """(key without spaces, record without line feeds). A record takes the place of an older one with its key."""
    instead_of: tuple[str, ...] = ()
    """Keys of records that are not needed any more."""


@dataclass(slots=True)
class Forget:
    """This record is not needed any more. There is no hurry: to find it in the next process would do no harm."""

    key: str


@dataclass(slots=True)
class Record:
    """Keep this fact: the ledger stores it, metrics count it. Losing it costs evidence, never a call."""

    fact: Fact


@dataclass(slots=True)
class Log:
    """One line for the operator's log. `level` is `debug`, `info`, `warning` or `error`; `fields` are its values."""

    level: str
    text: str
    fields: dict[str, object]


Command = Send | Drop | Record | Log | Keep | Forget | Reach
