"""The office: a PBX with its telephones, as the proxy sees it. Makes calls, takes calls, and remembers how each one
went."""

from collections.abc import Callable

from sipfailover.chance import Chance
from sipfailover.simulator.leg import Leg, Manners
from sipfailover.simulator.text import Peer, Sip
from sipfailover.simulator.useragent import UserAgent


class Phone(UserAgent):
    """See the module. `script`, when set, says how calls that come in are treated."""

    def __init__(self, name: str, at: Peer, chance: Chance, *, proxy: Peer) -> None:
        super().__init__(name, at, chance)
        self.proxy = proxy
        """Where all calls are sent."""
        self.script: Callable[[Leg, Chance], Manners | None] | None = None
        self._plans: dict[int, tuple[float | None, float | None]] = {}

    def call(
        self,
        number: str,
        *,
        caller: str = "+41441112233",
        patience: float | None = None,
        talk: float | None = None,
        hold: float | None = None,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> Leg:
        """Call a number.

        patience: seconds until the caller gives up if nobody has answered (CANCEL);
        talk: seconds from the answer to our BYE;
        hold: seconds from the answer to a re-INVITE that puts the call on hold. None: not at all.
        """
        leg = self.invite(number, caller, self.proxy, headers)
        self._plans[id(leg)] = (talk, hold)
        if patience is not None:
            self.later(patience, lambda: self._impatient(leg))
        return leg

    def _impatient(self, leg: Leg) -> None:
        if leg.answered_at is None:
            self.hang_up(leg)

    def answered(self, leg: Leg) -> None:
        talk, hold = self._plans.pop(id(leg), (None, None))
        if hold is not None:
            self.later(hold, lambda: self.renegotiate(leg))
        if talk is not None:
            self.later(talk, lambda: self.hang_up(leg))

    def manners(self, leg: Leg, request: Sip) -> Manners | None:
        if self.script is not None:
            return self.script(leg, self.chance)
        return Manners(ringing=self.chance.spread(0.03, 0.6), final=self.chance.spread(0.8, 0.6))
