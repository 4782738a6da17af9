"""Bans: sources that have sent so much which nobody asked for that they are not looked at any more. Pure.

A ban saves work, it protects nothing: strangers are not served anyway. So it is short, it is never about somebody
known, in a dialog with us or registered (its user sees to that), and when the table is full the oldest ban goes.
"""

from sipfailover.routing.allowance import SOURCES_MAX

STRIKES = 100
"""Unwelcome messages at once from one source until it is banned."""
FORGIVEN_EVERY = 1.0
"""Seconds after which one of them is forgotten. A scanner sends thousands; a PBX that is not configured yet sends some
OPTIONS a minute, and is never banned."""
BANNED_FOR = 600.0
"""Seconds. What is forged in the name of a PBX that moves to this address later costs it no more than this."""
BANS_MAX = 4096
"""Banned sources. Beyond it the oldest ban ends early: that source costs a look again."""


class Bans:
    """`source` is whatever the user counts by. `now`: seconds, monotonic."""

    __slots__ = ("_forgiven_at", "_until", "imposed")

    def __init__(self) -> None:
        self._until: dict[str, float] = {}
        """Source → end of its ban, the oldest first."""
        self._forgiven_at: dict[str, float] = {}
        """Source → when all its strikes are forgotten: one number tells how many it has now."""
        self.imposed = 0
        """Bans since the start."""

    def holds(self, source: str, now: float) -> bool:
        """Whether this source is banned. On the path of strangers."""
        until = self._until.get(source)
        if until is None:
            return False
        if until <= now:
            del self._until[source]
            return False
        return True

    def strike(self, source: str, now: float) -> bool:
        """It has sent something unwelcome. True if it is banned for that, from now on."""
        known = self._forgiven_at
        forgiven_at = max(now, known.get(source, now)) + FORGIVEN_EVERY
        if forgiven_at <= now + STRIKES * FORGIVEN_EVERY:
            if len(known) >= SOURCES_MAX and source not in known:
                known.clear()  # nobody suffers: all begin anew
            known[source] = forgiven_at
            return False
        del known[source]
        if len(self._until) >= BANS_MAX:
            del self._until[next(iter(self._until))]
        self._until[source] = now + BANNED_FOR
        self.imposed += 1
        return True

    def lift(self, source: str) -> None:
        """It has shown that it belongs to us. Harmless if it is not banned."""
        self._until.pop(source, None)
        self._forgiven_at.pop(source, None)

    @property
    def strikes(self) -> int:
        """Sources with strikes."""
        return len(self._forgiven_at)

    def __len__(self) -> int:
        return len(self._until)
