"""Keep-alives towards the trunks (RFC 5626 §3.5.1, §4.4): an empty packet now and then on the way of incoming calls.

Over UDP this room sends them, from the socket and to the address of REGISTER, OPTIONS and calls. On streams the
transport does it by itself when nothing was said for so long, and asks here for how long (`every`).
"""

from sipfailover.flow import PING, Send
from sipfailover.proxy.call import Clock
from sipfailover.proxy.core import Core
from sipfailover.proxy.line import Line
from sipfailover.trunk import Registration

SPREAD = 0.2
"""Share by which a pause may be shorter, so that many boxes do not send at one moment (RFC 5626 §4.4: 80–100 %). What
a registration says is drawn so already."""


class KeepAlive:
    """See the module. `now`: seconds, monotonic."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def every(self, line: Line) -> float | None:
        """Seconds, at most, between two packets on the way to this line: 0 for none, None if nothing is said about it.

        While registered it is what the registration says, which knows the configured time and the registrar's
        Flow-Timer; otherwise what is configured.
        """
        registration = _held(line)
        return registration.keepalive_every if registration is not None else line.keep_alive_every

    def start(self, line: Line, now: float) -> None:
        """The line has an address, or another one, or a registration: count from now."""
        if line.keep_alive_timer is not None:
            line.keep_alive_timer.stop()
            line.keep_alive_timer = None
        target, every = line.trunk.target, self.every(line)
        if every and target is not None and not target.reliable:
            pause = every if _held(line) is not None else every * (1.0 - SPREAD * self.core.chance.dice())
            line.keep_alive_timer = self.core.timers.start(pause, now, Clock.KEEP_ALIVE, line)

    def wake(self, line: Line, now: float) -> None:
        """It is time."""
        line.keep_alive_timer = None
        target = line.trunk.target
        if target is not None and self.every(line):
            self.core.out.append(Send(target, PING))
        self.start(line, now)


def _held(line: Line) -> Registration | None:
    """The registration of a line, while there is a binding."""
    registration = line.account.registration if line.account is not None else None
    return registration if registration is not None and registration.held else None
