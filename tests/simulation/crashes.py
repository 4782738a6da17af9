"""Worlds in which the service is killed at one step of a call, and another process goes on with what was kept.

A step is the moment before what the engine wants is stored, or after so many of the messages that it wants to send:
what `app` does with one batch of commands, cut anywhere. `lives` tells how many steps a call of some kind takes, and
`wrong_with` lives through it with a crash at one of them and says in sentences what is not as it should be.

    python -m tests.simulation.crashes "out, held by the caller" 17 --away 3     # that world again, and what was said
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from sipfailover.chance import Chance
from sipfailover.config import Settings, parse
from sipfailover.flow import Flow, Send, Target
from sipfailover.proxy import AttemptEnded, CallEnded, Command, Engine, Fact, Forget, Keep, Record
from sipfailover.simulator import Carrier, Leg, Manners, Network, Phone, Weather, World
from sipfailover.simulator.core import T2
from sipfailover.simulator.leftovers import leftovers
from sipfailover.simulator.leg import Packet
from sipfailover.simulator.text import Sip, reply
from sipfailover.simulator.useragent import Given

PROXY = ("192.0.2.1", 5060)
OFFICE = ("192.0.2.10", 5060)
MAIN = ("198.51.100.1", 5060)
BACKUP = ("203.0.113.1", 5060)

SETTINGS: Settings = parse(
    f"""
pbx: {OFFICE[0]}:5060
listen: [udp {PROXY[0]}:5060]
trunks:
  - {{name: main,   host: {MAIN[0]}, port: 5060, register: no}}
  - {{name: backup, host: {BACKUP[0]}, port: 5060, register: no}}
monitor: {{options_every: 1h, dropped_within: 0}}
failover: {{no_answer_within: 2s, no_ringing_within: 5s, give_up_after: 9s, ring_timeout: 20s}}
"""
)

NUMBER, EMERGENCY, IN = "+41443210019", "112", "+41443000000"
STARTS_AT, ACTS_AT, HANGS_UP_AT = 1.0, 6.0, 90.0
AGREED_AT = 85.0
"""By then both ends talk, or neither does: more than 64*T1 after every crash of a set-up."""
OVER_AT = 400.0
APART_MAX = 1.0
"""Seconds between the ends of the two legs of a call that goes on until somebody hangs up."""
RINGS_MAX = 60.0
"""Seconds that a carrier rings for a call of which nobody knows any more."""
SECOND_WITHIN = 8
"""Steps after the first crash at which a second one is tried."""
KINDS_OF_CALLS = ("call/", "answer/", "try/", "bye/", "ask/", "final/")


class Mortal:
    """An engine for a `World` that is killed at some steps, and `away` seconds later another one is there."""

    def __init__(self, dies_at: tuple[int, ...], away: float) -> None:
        self.dies_at = dies_at
        self.away = away
        self.steps = 0
        """So many there have been."""
        self.kept: dict[str, bytes] = {}
        self.facts: list[Fact] = []
        self.died_at: list[float] = []
        self.lives = 0
        self._back_at: float | None = None
        self._forgotten: list[str] = []
        self._targets: dict[str, tuple[Target, ...]] = {}
        self._now = 0.0
        self.engine: Engine | None = None
        self._be_born(0.0)

    def _be_born(self, now: float) -> None:
        self.lives += 1
        self._back_at = None
        self.engine = Engine(SETTINGS, Chance(1000 + self.lives), now)
        self.engine.restore(list(self.kept.items()), now)
        for name, targets in self._targets.items():
            self.engine.resolved(name, targets, now)

    # The verbs of an engine.

    def receive(self, flow: Flow, data: bytes, now: float) -> None:
        self._now = now
        if self.engine is not None:
            self.engine.receive(flow, data, now)

    def lost(self, where: Target, reason: str, now: float) -> None:
        self._now = now
        if self.engine is not None:
            self.engine.lost(where, reason, now)

    def resolved(self, name: str, targets: tuple[Target, ...], now: float, why: str = "") -> None:
        self._targets[name] = targets
        if self.engine is not None:
            self.engine.resolved(name, targets, now, why)

    def wake(self, now: float) -> None:
        self._now = now
        if self.engine is not None:
            self.engine.wake(now)
        elif self._back_at is not None and now >= self._back_at:
            self._be_born(now)

    def deadline(self) -> float | None:
        return self.engine.deadline() if self.engine is not None else self._back_at

    def take(self) -> list[Command]:
        """What the world performs: no more than what left before the end."""
        if self.engine is None:
            return []
        commands = self.engine.take()
        if any(map(_matters, commands)) and self._dies():
            return []
        self._store(commands)
        done: list[Command] = []
        for command in commands:
            done.append(command)
            if isinstance(command, Send) and _matters(command) and self._dies():
                break
        return done

    def _dies(self) -> bool:
        self.steps += 1
        if self.engine is None or self.steps - 1 not in self.dies_at:
            return False
        self.engine, self._back_at = None, self._now + self.away
        self._forgotten.clear()  # what it had in mind is gone with it
        self.died_at.append(self._now)
        return True

    def _store(self, commands: Iterable[Command]) -> None:
        """As the journal does: at once what is kept, some time later what is forgotten."""
        for command in commands:
            if isinstance(command, Keep):
                for key in (*self._forgotten, *command.instead_of):
                    self.kept.pop(key, None)
                self._forgotten.clear()
                self.kept |= dict(command.records)
            elif isinstance(command, Forget):
                self._forgotten.append(command.key)
            elif isinstance(command, Record):
                self.facts.append(command.fact)

    def still_kept(self) -> list[str]:
        """What would still outlive the process, of calls."""
        return [key for key in self.kept if key.startswith(KINDS_OF_CALLS) and key not in self._forgotten]


def _matters(command: Command) -> bool:
    """Whether it has to do with a call: the watch over the trunks makes no steps."""
    if isinstance(command, Send):
        return b" OPTIONS\r\n" not in command.data
    if isinstance(command, Keep):
        return any(key.startswith(KINDS_OF_CALLS) for key, _ in command.records) or bool(command.instead_of)
    return isinstance(command, Record) and isinstance(command.fact, CallEnded | AttemptEnded)


class Forking(Carrier):
    """A carrier behind which two telephones ring, and the second one is answered."""

    def _ring(self, given: Given) -> None:
        assert given.leg is not None
        other = reply(given.request, 183, self.chance.tag(), (self._contact(),), b"")
        self._out.append(Packet(given.request.source, other))
        super()._ring(given)


@dataclass(slots=True)
class Story:
    """One world."""

    mortal: Mortal
    world: World
    phone: Phone
    main: Carrier
    backup: Carrier
    calls: list[Leg] = field(default_factory=list)
    """Of those who call."""
    trouble: list[str] = field(default_factory=list)

    @property
    def agents(self) -> tuple[Phone, Carrier, Carrier]:
        return self.phone, self.main, self.backup

    def call_out(self, number: str = NUMBER, patience: float | None = None) -> None:
        """The office calls."""
        self.world.plan(STARTS_AT, self.phone, lambda: self.calls.append(self.phone.call(number, patience=patience)))

    def call_in(self) -> None:
        """Somebody calls the office over the main trunk."""
        self.world.plan(STARTS_AT, self.main, lambda: self.calls.append(self.main.invite(IN, "+41795550000", PROXY)))

    def act(self, agent: Phone | Carrier, do: Callable[[Leg], object], at: float = ACTS_AT) -> None:
        """One end does something with its call, if it has one."""
        self.world.plan(at, agent, lambda: [do(leg) for leg in agent.legs if leg.open])

    def hang_up(self, agent: Phone | Carrier, at: float = HANGS_UP_AT) -> None:
        """One end hangs up."""
        self.act(agent, agent.hang_up, at)


Plan = Callable[[Story], None]


def _answers(**more: float | None) -> Manners:
    return replace(Manners(ringing=0.1, final=1.5), **more)  # type: ignore[arg-type]


def _out(*, ends: str = "phone") -> Plan:
    def plan(story: Story) -> None:
        story.call_out()
        story.hang_up(getattr(story, ends))

    return plan


def _in(*, ends: str = "phone") -> Plan:
    def plan(story: Story) -> None:
        story.call_in()
        story.hang_up(getattr(story, ends))

    return plan


def _held(who: str) -> Plan:
    def plan(story: Story) -> None:
        _out()(story)
        agent: Phone | Carrier = getattr(story, who)
        story.act(agent, agent.renegotiate)

    return plan


def _asks(who: str, method: bytes, *, inwards: bool = False) -> Plan:
    def plan(story: Story) -> None:
        (_in() if inwards else _out())(story)
        agent: Phone | Carrier = getattr(story, who)
        story.act(agent, lambda leg: agent.inside(leg, method))

    return plan


def _refers(story: Story) -> None:
    _out()(story)
    to = ((b"Refer-To", b"<sip:+41443210020@192.0.2.1>"),)
    story.act(story.phone, lambda leg: story.phone._ask(b"REFER", leg, to))
    notify = ((b"Event", b"refer"), (b"Subscription-State", b"active;expires=60"))
    story.act(story.main, lambda leg: story.main._ask(b"NOTIFY", leg, notify), ACTS_AT + 0.1)


def _crossing(story: Story) -> None:
    """Both hang up in the same moment."""
    _out()(story)
    story.hang_up(story.main)


ANSWERS = _answers()


def _treated(main: Manners | None, backup: Manners | None = ANSWERS, *, number: str = NUMBER) -> Plan:
    """How the carriers treat the call; None: in silence."""

    def plan(story: Story) -> None:
        story.main.script = lambda leg, chance: main
        story.backup.script = lambda leg, chance: backup
        story.call_out(number)
        story.hang_up(story.phone)

    return plan


def _cancelled(patience: float, main: Manners | None) -> Plan:
    def plan(story: Story) -> None:
        story.main.script = lambda leg, chance: main
        story.call_out(patience=patience)
        story.hang_up(story.phone)

    return plan


KINDS: dict[str, Plan] = {
    "out, the caller hangs up": _out(),
    "out, the callee hangs up": _out(ends="main"),
    "out, both hang up": _crossing,
    "in, the callee hangs up": _in(),
    "in, the caller hangs up": _in(ends="main"),
    "out, two telephones ring": _out(),
    "out, the main trunk is silent": _treated(None),
    "out, the main trunk says 503": _treated(Manners(ringing=None, final=0.05, status=503)),
    "out, the main trunk says 100 and nothing more": _treated(Manners(ringing=None, final=None)),
    "out, the main trunk answers late": _treated(Manners(trying=None, ringing=None, final=3.0, obeys_cancel=False)),
    "out, the main trunk rings late": _treated(Manners(trying=None, ringing=3.0, final=4.0)),
    "out, busy": _treated(Manners(ringing=None, final=0.1, status=486)),
    "out, both trunks fail": _treated(None, Manners(ringing=None, final=0.05, status=503)),
    "out, nobody answers": _treated(Manners(final=None)),
    "emergency, answered": _treated(_answers(), number=EMERGENCY),
    "emergency, the main trunk is silent": _treated(None, number=EMERGENCY),
    "emergency, both are silent": _treated(None, None, number=EMERGENCY),
    "out, cancelled while it rings": _cancelled(1.0, _answers(final=10.0)),
    "out, cancelled at once": _cancelled(0.02, _answers(final=10.0)),
    "out, cancelled as it is answered": _cancelled(1.5, _answers()),
    "out, held by the caller": _held("phone"),
    "out, held by the callee": _held("main"),
    "out, REFER and NOTIFY": _refers,
    **{
        f"{'in' if inwards else 'out'}, {method.decode()} of the {'office' if who == 'phone' else 'carrier'}": _asks(
            who, method, inwards=inwards
        )
        for method in (b"UPDATE", b"INFO", b"PRACK")
        for inwards in (False, True)
        for who in ("phone", "main")
    },
}
"""What happens in a world."""


def live(kind: str, dies_at: tuple[int, ...], away: float = 0.5) -> Story:
    """Live through a world of this kind, in which the service dies at these steps."""
    mortal = Mortal(dies_at, away)
    world = World(mortal, PROXY, Network(Chance(1), Weather(delay=0.01)))
    phone = Phone("office", OFFICE, Chance(2), proxy=PROXY)
    phone.script = lambda leg, chance: _answers()
    main = (Forking if kind == "out, two telephones ring" else Carrier)("main", MAIN, Chance(3))
    backup = Carrier("backup", BACKUP, Chance(4))
    story = Story(mortal, world, phone, main, backup)
    for carrier in (main, backup):
        carrier.script = lambda leg, chance: _answers()
    for agent in story.agents:
        world.join(agent)
    for name, agent in (("pbx", phone), ("main", main), ("backup", backup)):
        world.name(name, agent.at)
    KINDS[kind](story)
    world.at_time(AGREED_AT, _agree, story)
    world.run(OVER_AT)
    return story


def steps(kind: str) -> int:
    """How many there are in a world of this kind."""
    return live(kind, ()).mortal.steps


def worlds(away: float, *, twice: bool = False) -> Iterator[tuple[str, tuple[int, ...], float]]:
    """A world for each step of each kind, as `wrong_with` takes it; with `twice` and a second crash, at each of the
    steps that follow soon."""
    for kind in KINDS:
        for step in range(steps(kind)):
            if not twice:
                yield kind, (step,), away
                continue
            for later in range(step + 1, step + 1 + SECOND_WITHIN):
                yield kind, (step, later), away


def wrong_with(kind: str, dies_at: tuple[int, ...], away: float = 0.5) -> list[str]:
    """What is wrong with a world, as sentences."""
    story = live(kind, dies_at, away)
    return [*story.trouble, *_legs(story), *_requests(story), *_tables(story), *_facts(story)]


def _agree(story: Story) -> None:
    """Both ends of a call talk, or neither does."""
    callers = [leg for agent in story.agents for leg in agent.legs if leg.outgoing and leg.open]
    called = [leg for agent in story.agents for leg in agent.legs if not leg.outgoing and leg.open]
    if len(callers) != len(called):
        story.trouble.append(f"long after the crash {len(callers)} callers talk with {len(called)} callees")


def _legs(story: Story) -> list[str]:
    wrong = []
    for agent in story.agents:
        wrong += [f"{agent.name} got nonsense: {text}" for text in agent.trouble]
        for leg in agent.legs:
            who = f"{agent.name}, {'calling' if leg.outgoing else 'called'}"
            if leg.trouble:
                wrong.append(f"{who}: {leg.trouble}")
            if leg.outgoing and not leg.status:
                wrong.append(f"{who}: never had a final answer")
            if leg.finals > 1:
                wrong.append(f"{who}: had {leg.finals} final answers")
            if leg.open:
                wrong.append(f"{who}: is still open")
            if leg.answered_at is not None and leg.acked_at is None:
                wrong.append(f"{who}: was answered and never acknowledged")
            if leg.offers > 1:
                wrong.append(f"{who}: was offered {leg.offers} times")
            if leg.ended_by.startswith("us: ") and "crossed" not in leg.ended_by:
                wrong.append(f"{who}: had to end it itself, {leg.ended_by}")
            if not leg.outgoing and leg.ringing_at is not None and leg.answered_at is None:
                wrong += _rings(story, who, leg)
    ends = [leg.ended_at for leg in story.calls if leg.answered_at is not None and leg.ended_at is not None]
    others = [leg.ended_at for agent in story.agents for leg in agent.legs if leg not in story.calls and leg.ended_at]
    if ends and ends[0] >= HANGS_UP_AT:
        apart = min((abs(at - ends[0]) for at in others), default=OVER_AT)
        times = len(story.mortal.died_at)
        if apart > APART_MAX + times * story.mortal.away + (T2 if times > 1 else 0.0):
            wrong.append(f"the two ends of the call were hung up {apart:.1f} s apart")
    return wrong


def _requests(story: Story) -> list[str]:
    """Every request inside a call that goes on is answered, and what it asks for is done."""
    names = {agent.at: agent.name for agent in story.agents}
    answers: dict[tuple[bytes, bytes, int, bytes], int] = {}
    for passed in story.world.passed:
        if passed.arrived and passed.source == PROXY and passed.data.startswith(b"SIP/2.0 "):
            said = Sip(passed.data)
            if said.status >= 200:
                answers.setdefault((said.call_id, said.from_tag, said.cseq, said.cseq_method), said.status)
    wrong = []
    given_up = all(leg.answered_at is None for leg in story.calls)  # and who answered in vain may not know it yet
    for passed in story.world.passed:
        if passed.arrived or passed.to != PROXY or passed.data.startswith((b"SIP/2.0 ", b"ACK ", b"OPTIONS ")):
            continue
        asked = Sip(passed.data)
        status = answers.get((asked.call_id, asked.from_tag, asked.cseq, asked.method), 0)
        what = f"{asked.method.decode()} of {names[passed.source]}"
        if not status:
            wrong.append(f"{what} had no answer")
        elif asked.to_tag and status >= 300 and asked.method != b"BYE" and not (status == 481 and given_up):
            wrong.append(f"{what} was answered {status}")
    return list(dict.fromkeys(wrong))


def _rings(story: Story, who: str, leg: Leg) -> list[str]:
    """Somebody rings, and is cancelled, or says in the end that nobody came."""
    assert leg.ringing_at is not None
    over = [at for at, status in _said(story, leg) if status >= 200]
    lasted = min(over, default=OVER_AT) - leg.ringing_at
    return [f"{who}: rings for {lasted:.0f} s, and nobody cancels"] if lasted > RINGS_MAX else []


def _said(story: Story, leg: Leg) -> list[tuple[float, int]]:
    """What the called side answered, and when."""
    mark = b"Call-ID: %b\r\n" % leg.call_id
    return [
        (passed.at, int(passed.data[8:11]))
        for passed in story.world.passed
        if not passed.arrived and passed.to == PROXY and passed.data.startswith(b"SIP/2.0 ") and mark in passed.data
        and Sip(passed.data).cseq_method == b"INVITE"
    ]  # fmt: skip


def _tables(story: Story) -> list[str]:
    engine = story.mortal.engine
    assert engine is not None
    return [*leftovers(engine), *(f"still kept: {key}" for key in story.mortal.still_kept())]


def _facts(story: Story) -> list[str]:
    """Each call that was let in has one row that tells how it ended, and as it ended."""
    ended = [fact for fact in story.mortal.facts if isinstance(fact, CallEnded)]
    wrong = []
    for leg in story.calls:
        rows = [fact for fact in ended if fact.call_id == leg.call_id.decode()]
        if len(rows) != 1:
            wrong.append(f"{len(rows)} rows tell of the call")
            continue
        (row,) = rows
        if (leg.answered_at is not None) != (row.answered_at is not None):
            wrong.append(f"the caller's answer was {leg.status}, and the row says {row.result}")
        late = 2 * story.mortal.away + T2 + 1.0  # whoever hung up meanwhile repeats its BYE every T2
        if row.answered_at is not None and leg.ended_at is not None and abs(row.at - leg.ended_at) > late:
            wrong.append(f"the call ended at {leg.ended_at:.1f}, and the row says {row.at:.1f}")
    attempts = [(fact.call, fact.number, fact.call_id) for fact in story.mortal.facts if isinstance(fact, AttemptEnded)]
    if len(set(attempts)) != len(attempts):
        wrong.append("an attempt has two rows")
    return wrong


def main(arguments: Sequence[str]) -> int:
    """See the module. Returns the exit code."""
    reader = argparse.ArgumentParser(prog="python -m tests.simulation.crashes")
    reader.add_argument("kind", choices=KINDS)
    reader.add_argument("step", type=int, nargs="+")
    reader.add_argument("--away", type=float, default=0.5, help="seconds until the next process is there")
    given = reader.parse_args(arguments)
    dies_at = tuple(given.step)
    story = live(given.kind, dies_at, given.away)
    print(story.world.transcript(), f"killed at {story.mortal.died_at}", sep="\n")
    wrong = wrong_with(given.kind, dies_at, given.away)
    print(*wrong, sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
