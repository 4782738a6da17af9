"""An office whose service can be killed at any moment: the next engine begins with what the last one has kept."""

from collections.abc import Iterator

from sipfailover.chance import Chance
from sipfailover.flow import Flow
from sipfailover.proxy import Command, Engine, Forget, Keep, Log, Record, Send
from sipfailover.proxy.facts import Fact
from sipfailover.wire import Message
from tests.kit import target
from tests.kit.sip import in_dialog, is_final
from tests.proxy.office import ADDRESSES, MAIN, PBX, Office, settings

SETTINGS = """
pbx: [192.0.2.10, 192.0.2.11]
listen: [udp 192.0.2.1:5060, tcp 192.0.2.1:5060]
monitor: {options_every: 1h}
trunks:
  - {name: main,   host: 198.51.100.1, port: 5060, register: no, channels: 30}
  - {name: backup, host: 203.0.113.1,  port: 5060, register: no}
"""


class Survivor(Office):
    """See the module. `kept`: what a journal would have now; `facts`: all that was recorded, by whatever engine."""

    answers_probes = False

    def __init__(self, text: str = SETTINGS) -> None:
        self.text = text
        self.kept: dict[str, bytes] = {}
        self.facts: list[Fact] = []
        self.told: list[Log] = []
        self.lives = 0
        super().__init__(self._born(0.0))

    def _born(self, now: float, text: str = "") -> "Mortal":
        self.lives += 1
        self.text = text or self.text
        engine = Mortal(self, settings(self.text), Chance(self.lives), now, wall=None)
        engine.restore(list(self.kept.items()), now)
        for name, peer in ADDRESSES.items():
            engine.resolved(name, (target(peer),), now)
        return engine

    def crash(self, *, away: float = 0.0, text: str = "") -> "Survivor":
        """kill -9, and `away` seconds later another one is there, with these settings (default: the same)."""
        self.now += away
        self.engine = self._born(self.now, text)
        self.collect()
        return self

    def calls(self) -> list[str]:
        """What must outlive the process now, of calls."""
        return sorted(
            key for key in self.kept if key.startswith(("call/", "answer/", "try/", "bye/", "ask/", "final/"))
        )

    def ended(self) -> list[Fact]:
        """The records of calls that are over."""
        return [fact for fact in self.facts if type(fact).__name__ == "CallEnded"]

    def logs(self) -> list[Log]:
        """Every line of the log, of whatever engine."""
        return self.told

    def channels(self) -> dict[str, int]:
        """Name of each line that has calls → how many."""
        return {name: line.trunk.calls_now for name, line in self.engine.core.lines.items() if line.trunk.calls_now}

    def answers_from(self, peer: Flow) -> Message:
        """The answer that made the caller's dialog, or that the carrier gave."""
        return self.seen(peer).last(where=is_final)

    def ask(self, method: str, cseq: int, *, callee: bool = False, pbx: Flow = PBX, carrier: Flow = MAIN) -> bytes:
        """A request inside the call of the newest INVITE, from either end, as that end knows the dialog."""
        if callee:
            asked = self.seen(carrier).last("INVITE", where=lambda one: not one.to_tag)
            final = self.seen(carrier).given(where=is_final)
        else:
            asked = self.seen(pbx).given("INVITE", where=lambda one: not one.to_tag)
            final = self.seen(pbx).last(where=is_final)
        return in_dialog(method, asked, final, cseq=cseq, from_callee=callee)


class Mortal(Engine):
    """An engine whose commands are noted where they outlive it."""

    def __init__(self, survivor: Survivor, *values: object, **more: object) -> None:
        super().__init__(*values, **more)  # type: ignore[arg-type]
        self.survivor = survivor

    def take(self) -> list[Command]:
        """What is to be done; what is to be kept is done already."""
        return list(self._noted(super().take()))

    def _noted(self, commands: list[Command]) -> Iterator[Command]:
        for command in commands:
            if isinstance(command, Keep):
                for key in command.instead_of:
                    self.survivor.kept.pop(key, None)
                self.survivor.kept |= dict(command.records)
            elif isinstance(command, Forget):
                self.survivor.kept.pop(command.key, None)
            elif isinstance(command, Record):
                self.survivor.facts.append(command.fact)
            elif isinstance(command, Log):
                self.survivor.told.append(command)
            yield command


def sends(commands: list[Command]) -> list[Send]:
    """The messages among commands."""
    return [command for command in commands if isinstance(command, Send)]
