"""A carrier: takes the calls of the office in a mood that can be changed at any moment, and makes calls into the
office.

`Mode` names the ways in which carriers fail (field notes: they answer OPTIONS and lose calls; they say 100 and nothing
more). Each call's delays are drawn anew, so no two calls are alike.
"""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from sipfailover.chance import Chance
from sipfailover.simulator.leg import Leg, Manners, Packet
from sipfailover.simulator.text import Peer, Sip
from sipfailover.simulator.useragent import UserAgent


class Mode(StrEnum):
    """How a carrier behaves towards new calls. The value is what people read."""

    NORMAL = "answers"
    SILENT = "says nothing at all"
    STOPPED = "has stopped and will catch up later"
    DEAD = "is gone: its port is closed"
    REFUSING = "answers 503"
    FORBIDDING = "answers 403"
    TRYING_ONLY = "answers 100 and then nothing"
    OPTIONS_ONLY = "answers OPTIONS only"
    RINGS_THEN_FAILS = "rings and then fails"
    SLOW = "answers late"
    BUSY = "is busy"
    LATE_ANSWER = "answers long after everybody gave up"


NORMAL = Manners(trying=0.0, ringing=0.04, final=1.2)

MANNERS: dict[Mode, Manners] = {
    Mode.NORMAL: NORMAL,
    Mode.REFUSING: Manners(ringing=None, final=0.005, status=503),
    Mode.FORBIDDING: Manners(ringing=None, final=0.005, status=403),
    Mode.TRYING_ONLY: Manners(ringing=None, final=None),
    Mode.RINGS_THEN_FAILS: Manners(final=0.8, status=500),
    Mode.SLOW: Manners(trying=0.3, ringing=1.5, final=4.0),
    Mode.BUSY: Manners(ringing=None, final=0.05, status=486),
    Mode.LATE_ANSWER: Manners(ringing=None, final=6.0, obeys_cancel=False),
}
"""What each mode does with an INVITE; the modes that are not here do not hear it."""

DEAF = frozenset({Mode.SILENT, Mode.DEAD})


class Carrier(UserAgent):
    """See the module. `script`, when set, decides instead of the mode: it gets the leg and the chance, and returns
    manners or None (silence)."""

    def __init__(self, name: str, at: Peer, chance: Chance) -> None:
        super().__init__(name, at, chance)
        self.mode = Mode.NORMAL
        self.talk: float | None = None
        """Seconds after which this side hangs up a call it took; None: it leaves that to the other."""
        self.unheard: list[str] = []
        """Called numbers of INVITEs (retransmissions too) that came and were not answered because of the mode."""
        self.script: Callable[[Leg, Chance], Manners | None] | None = None
        self._kept: list[tuple[Peer, bytes]] = []

    def become(self, mode: Mode, now: float) -> None:
        """Change the mode. After STOPPED everything that had arrived is read, and every clock that had rung is late."""
        self.now = now
        before, self.mode = self.mode, mode
        if before is Mode.STOPPED:
            kept, self._kept = self._kept, []
            for source, data in kept:
                self.receive(source, data, now)

    def receive(self, source: Peer, data: bytes, now: float) -> None:
        if self.mode is Mode.STOPPED:
            self._kept.append((source, data))
            return
        super().receive(source, data, now)

    def wake(self, now: float) -> None:
        if self.mode is not Mode.STOPPED:
            super().wake(now)

    def deadline(self) -> float | None:
        return None if self.mode is Mode.STOPPED else super().deadline()

    def take(self) -> list[Packet]:
        out = super().take()
        return [] if self.mode in DEAF else out

    def hears(self, request: Sip) -> bool:
        fresh = request.method == b"INVITE" and not request.to_tag
        if self.mode in DEAF or (self.mode is Mode.OPTIONS_ONLY and fresh):
            if fresh:
                self.unheard.append(request.uri.partition(b":")[2].partition(b"@")[0].decode())
            return False
        return True

    def options_status(self) -> int | None:
        return None if self.mode in DEAF else 503 if self.mode is Mode.REFUSING else 200

    def manners(self, leg: Leg, request: Sip) -> Manners | None:
        if self.script is not None:
            return self.script(leg, self.chance)
        plain = MANNERS.get(self.mode, NORMAL)
        return replace(
            plain,
            ringing=None if plain.ringing is None else self.chance.spread(plain.ringing, 0.6),
            final=None if plain.final is None else self.chance.spread(plain.final, 0.6),
            talk=None if self.talk is None else self.chance.spread(self.talk, 0.6),
        )
