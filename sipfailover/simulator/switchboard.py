"""The office of a scenario: its PBX places calls that have a fate, lets callers lose patience, and takes calls."""

from sipfailover.chance import Chance
from sipfailover.simulator.calls import Call
from sipfailover.simulator.leg import Leg, Manners
from sipfailover.simulator.phone import Phone
from sipfailover.simulator.provider import deaf
from sipfailover.simulator.rules import MARK
from sipfailover.simulator.text import Peer, Sip

RINGS_AFTER = 0.1
"""Seconds until a telephone of the office rings."""


class Switchboard(Phone):
    """See the module. `calls`: mark → call, of the whole scenario."""

    def __init__(self, name: str, at: Peer, chance: Chance, *, proxy: Peer, calls: dict[bytes, Call]) -> None:
        super().__init__(name, at, chance, proxy=proxy)
        self.calls = calls
        self._placed: dict[int, Call] = {}

    def place(self, call: Call) -> None:
        """Somebody of the office dials."""
        leg = call.leg = self.call(call.called, caller=call.caller, headers=((MARK, call.mark),))
        self._placed[id(leg)] = call
        self.later(call.fate.patience_in_silence, lambda: self._hears_nothing(leg))

    def _hears_nothing(self, leg: Leg) -> None:
        if leg.ringing_at is None and leg.answered_at is None:
            self.hang_up(leg)

    def changed(self, leg: Leg) -> None:
        call = self._placed.get(id(leg))
        if call is not None and leg.ringing_at == self.now and leg.answered_at is None and not leg.status:
            self.later(call.fate.patience, lambda: self._impatient(leg))

    def answered(self, leg: Leg) -> None:
        call = self._placed.get(id(leg))
        if call is not None and call.fate.caller_ends:
            met = call.offers[-1].kind if call.offers else ""
            self.later(deaf(self.chance) if met == "one way" else call.fate.talk, lambda: self.hang_up(leg))

    def manners(self, leg: Leg, request: Sip) -> Manners | None:
        call = self.calls.get(request.get(MARK.lower()) or b"")
        if call is None:
            return super().manners(leg, request)
        fate = call.fate
        final = None if fate.final is None else max(0.0, fate.final - fate.dialled) + RINGS_AFTER
        return Manners(
            ringing=RINGS_AFTER if fate.rings else None,
            final=final,
            status=fate.status,
            talk=None if fate.caller_ends else fate.talk,
        )
