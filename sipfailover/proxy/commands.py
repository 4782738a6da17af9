"""What the engine wants done. Twin of the engine's inputs (`receive`, `lost`, `resolved`, `wake`).

The engine appends, the shell performs in order; nothing reaches back. A command that cannot be done comes back
as an input: bytes that could not be delivered as `lost`.
"""

from dataclasses import dataclass

from sipfailover.flow import Target
from sipfailover.proxy.facts import Fact


@dataclass(slots=True)
class Send:
    """Give these bytes to a peer now; never wait.

    `to` is a `Flow` (that very connection) or a `Target` (any connection to there; open one if there is none).
    What cannot be delivered is answered with `Engine.lost(to, reason, now)`.
    """

    to: Target
    data: bytes


@dataclass(slots=True)
class Record:
    """Keep this fact: the ledger stores it, metrics count it, the demo shows it. Losing it costs evidence, no call."""

    fact: Fact


@dataclass(slots=True)
class Log:
    """One line for the operator's log. `level` is `debug`, `info`, `warning` or `error`; `fields` are its values."""

    level: str
    text: str
    fields: dict[str, object]


Command = Send | Record | Log
