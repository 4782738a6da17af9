"""References: places beside the carriers that show whether our own line is up (`monitor.reference`).

They are asked once a minute, so that it is known which of them answer at all, and at once when a trunk is silent. The
asking is the shell's (`Reach`): a TCP connection is opened, and accepted or refused are both an answer. What follows is
`trunk.ourselves`' to decide and `proxy.blame`'s to say.
"""

from dataclasses import dataclass

from sipfailover.config import Address
from sipfailover.proxy.call import Clock
from sipfailover.proxy.commands import Reach
from sipfailover.proxy.core import Core
from sipfailover.transaction import Timer
from sipfailover.trunk import REACHED_WITHIN, Place

EVERY, FAST = 60.0, 5.0
"""Seconds between two questions to each; and while a trunk is silent."""
LEFT_ALONE = REACHED_WITHIN + 1.0
"""Seconds after which a question is over, whatever the shell says: no flag stays set for ever."""
NEVER = float("-inf")


@dataclass(slots=True, eq=False)
class Reference:
    """One of them."""

    address: Address
    asked_at: float = NEVER
    reached_at: float = NEVER
    waiting: bool = False
    why: str = ""
    """Why it could not be reached; empty if it could, or was not asked yet."""

    def is_waiting(self, now: float) -> bool:
        """True while an answer to the last question may come."""
        return self.waiting and now < self.asked_at + LEFT_ALONE


class References:
    """See the module. `now`: seconds, monotonic."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.all = [Reference(address) for address in core.settings.monitor.reference]
        """Bounded by who reads settings (`config.trunk.REFERENCES_MAX`)."""
        self.timer: Timer | None = None

    def configure(self, now: float) -> None:
        """The settings have changed: those that stay keep what was seen of them, others are asked at once."""
        known = {one.address: one for one in self.all}
        self.all = [known.get(address) or Reference(address) for address in self.core.settings.monitor.reference]
        if self.timer is not None and not self.all:
            self.timer.stop()
        if any(one.asked_at == NEVER for one in self.all):
            self.ask(now)

    @property
    def places(self) -> list[Place]:
        """All of them, as they were asked."""
        return [Place(str(one.address), one.asked_at, one.reached_at) for one in self.all]

    def ask(self, now: float, *, again_in: float = EVERY) -> None:
        """Ask all that are not being asked already, and once more after so many seconds."""
        for one in self.all:
            if not one.is_waiting(now):
                one.asked_at, one.waiting = now, True
                self.core.out.append(Reach(one.address.host, one.address.port or 0))
        if self.all:
            self.look(again_in, now)

    def look(self, seconds: float, now: float) -> None:
        """Have `Blame.wake` called after so many seconds, instead of when that was planned."""
        if self.timer is not None:
            self.timer.stop()
        self.timer = self.core.timers.start(seconds, now, Clock.REFERENCE, self)

    def reached(self, host: str, port: int, why: str, now: float) -> Reference | None:
        """One was reached, or was not (`why`, in words). None if it is none of ours."""
        found = next((one for one in self.all if (one.address.host, one.address.port) == (host, port)), None)
        if found is not None:
            self._tell(found, why)
            found.waiting, found.why = False, why
            if not why:
                found.reached_at = now
        return found

    def _tell(self, one: Reference, why: str) -> None:
        """The log hears when one begins to answer, and when it stops."""
        if why and not one.why:
            text = f"reference {one.address} cannot be reached"
            if one.reached_at == NEVER:
                text += ", so it tells nothing of our own line"
            self.core.log("warning", text, why=why)
        elif one.why and not why:
            self.core.log("info", f"reference {one.address} can be reached")

    def __repr__(self) -> str:
        return f"<References {self.all}>"
