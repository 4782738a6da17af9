"""Connections that are open and yet dead: the peer's kernel takes what we send, and nobody there reads it.

A carrier's edge that fails over behind its address leaves such connections behind (drachtio-server #488), and only new
ones work. TCP sees nothing wrong, so the sign is requests in a row that end without any answer.
"""

from sipfailover.flow import PeerKey, Target
from sipfailover.proxy.commands import Drop
from sipfailover.proxy.core import Core

WEDGED_AFTER = 3
"""Requests in a row without any answer, and nothing else heard from the peer meanwhile. One silent call may be the
carrier's routing, and closing costs the calls in progress a new connection."""

PEERS_MAX = 256
"""Peers that owe us answers. When it is full all are forgotten: a dead connection is then found a little later."""


class Wedged:
    """Counts the unanswered requests of each stream peer."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._unanswered: dict[PeerKey, int] = {}
        """`Target.peer` → requests without an answer since something was heard."""

    def alive(self, where: Target) -> None:
        """Something came from there, or the connection is gone already. On the path."""
        if self._unanswered:
            self._unanswered.pop(where.peer, None)

    def unanswered(self, to: Target) -> None:
        """A request to there has timed out."""
        if not to.reliable:
            return
        count = self._unanswered.pop(to.peer, 0) + 1
        if count >= WEDGED_AFTER:
            self._core.out.append(Drop(to))
            return
        if len(self._unanswered) >= PEERS_MAX:
            self._unanswered.clear()
        self._unanswered[to.peer] = count
