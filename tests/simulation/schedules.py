"""Random worlds: an office, two carriers and a bad network, in which answers, CANCELs, hang-ups and failures race.

One seed is one world. The delays are drawn around the engine's own clocks, so that things happen milliseconds before
or after them. `invariants` says in sentences what went wrong; an empty list is a good world. A world is a list of
events, so a bad one can be told with the few of them that it takes (`shrink`).

    python -m tests.simulation.schedules 4711                # live through that world again, and tell what was said
    python -m tests.simulation.schedules --seeds 1000000     # live through so many worlds; --first N begins elsewhere
"""

import argparse
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from zlib import crc32

from sipfailover.chance import Chance
from sipfailover.config import Settings, parse
from sipfailover.proxy import AttemptEnded, CallEnded, Engine, Line
from sipfailover.simulator import MARK, Carrier, Leg, Manners, Mode, Network, Phone, Rules, Weather, World
from sipfailover.trunk import Evidence, Sign
from tests.simulation.shrink import shrink

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
monitor: {{options_every: 2s, timeout: 500ms, down_after: 2, up_after: 3}}
failover: {{no_answer_within: 2s, no_ringing_within: 5s, give_up_after: 9s, ring_timeout: 20s,
           return_to_main: {{stable_for: 5s}}}}
"""
)
HEDGING: Settings = SETTINGS.model_copy(update={"failover": SETTINGS.failover.model_copy(update={"hedge": True})})

GIVE_UP, RING = 9.0, 20.0
SLACK = 1.0
"""Seconds that the network and repetitions may add to a clock of the engine's, where nothing is lost."""
FORGOTTEN = (33.0, 40.0)
"""Seconds after which a carrier wakes up, and no transaction remembers its INVITE (64*T1)."""
EMERGENCY = "112"
MODES = tuple(Mode)
STATUSES = (200, 200, 200, 200, 486, 603, 404, 500, 503, 403, 480, 302)
HEALED_AT = 30.0
HUNG_UP_AT = 50.0
OVER_AT = 150.0


@dataclass(frozen=True, slots=True)
class Event:
    """Something that is planned to happen in a world."""

    when: float
    text: str
    do: Callable[[], object]


@dataclass(slots=True)
class Play:
    """One world and what is needed to judge it."""

    world: World
    phone: Phone
    main: Carrier
    backup: Carrier
    rules: Rules
    events: list[Event] = field(default_factory=list)
    """All that was planned, also what was left out."""
    treated: list[str] = field(default_factory=list)
    """What the carriers did with each call, in words."""
    calls: list[Leg] = field(default_factory=list)
    inbound: list[Leg] = field(default_factory=list)
    disturbed: dict[str, list[float]] = field(default_factory=lambda: {"main": [], "backup": []})
    """When each carrier changed its mode."""
    lossy: bool = False
    hedging: bool = False
    deaf: bool = False
    """The office hears nothing from some moment on, and says what it likes."""

    def plan(self, when: float, text: str, do: Callable[[], object]) -> None:
        """This will happen, unless it is left out."""
        self.events.append(Event(when, text, do))


def near(chance: Chance, moments: tuple[float, ...], spread: float = 0.1) -> float:
    """A moment within ± `spread` seconds of one of these."""
    moment = moments[int(chance.dice() * len(moments))]
    return max(0.001, moment + spread * (2 * chance.dice() - 1))


def manners(chance: Chance) -> Manners | None:
    """What a carrier does with one call: often the usual, sometimes something that crosses a clock."""
    dice = chance.dice()
    if dice < 0.08:
        return None
    if dice < 0.13:
        late = near(chance, FORGOTTEN, 3.0)
        return Manners(
            trying=None,
            ringing=late if chance.dice() < 0.5 else None,
            final=late + 2 * chance.dice(),
            status=STATUSES[int(chance.dice() * len(STATUSES))],
            obeys_cancel=chance.dice() < 0.7,
        )
    trying = None if dice < 0.3 else near(chance, (0.0, 0.0, 0.8, 2.0))
    ringing = None if chance.dice() < 0.3 else near(chance, (0.05, 0.8, 2.0, 5.0))
    final = None if chance.dice() < 0.1 else near(chance, (0.1, 0.8, 2.0, 5.0, 9.0, 20.0))
    if ringing is not None and final is not None and ringing > final:
        ringing, final = final, ringing
    return Manners(
        trying=trying,
        ringing=ringing,
        ringing_status=183 if chance.dice() < 0.3 else 180,
        final=final,
        status=STATUSES[int(chance.dice() * len(STATUSES))],
        talk=None if chance.dice() < 0.7 else 3.0 * chance.dice(),
        obeys_cancel=chance.dice() < 0.8,
        retry_after=int(chance.dice() * 5) if chance.dice() < 0.2 else None,
    )


def play(seed: int, without: frozenset[int] = frozenset(), *, hedging: bool | None = None) -> Play:
    """Live through the world of this seed. `without`: places of planned events that do not happen; nothing else
    changes, because what the carriers do with a call is drawn for that call alone. `hedging`: whether calls are hedged;
    None: in every second world, by dice of its own."""
    chance, dice = Chance(seed), Chance(seed + 6)
    hedging = dice.dice() < 0.5 if hedging is None else hedging
    calm = chance.dice() < 0.4
    weather = Weather(
        delay=0.001 + 0.04 * chance.dice(),
        jitter=0.03 * chance.dice(),
        loss=0.0 if calm else 0.1 * chance.dice(),
        duplicate=0.0 if calm else 0.1 * chance.dice(),
        reorder=0.0 if calm else 0.3 * chance.dice(),
    )
    network = Network(Chance(seed + 1), weather)
    engine = Engine(HEDGING if hedging else SETTINGS, Chance(seed + 2), 0.0)
    world = World(engine, PROXY, network)
    rules = Rules(engine, {MAIN: "main", BACKUP: "backup"}, SETTINGS.emergency.numbers, hold=5.0)
    world.watchers = [rules]
    phone = Phone("Office", OFFICE, Chance(seed + 3), proxy=PROXY)
    carriers = Carrier("main", MAIN, Chance(seed + 4)), Carrier("backup", BACKUP, Chance(seed + 5))
    for agent in (phone, *carriers):
        world.join(agent)
    story = Play(world, phone, *carriers, rules, lossy=not calm, hedging=hedging)
    for name, agent in (("pbx", phone), ("main", carriers[0]), ("backup", carriers[1])):
        world.name(name, agent.at)
    for carrier in carriers:
        carrier.script = _script(story, seed, carrier)
    _plan_calls(story, chance)
    _plan_faults(story, chance)
    if hedging:
        _plan_doubts(story, dice)
    for place, event in enumerate(story.events):
        if place not in without:
            world.at_time(event.when, event.do)
    _plan_the_end(story)
    world.run(OVER_AT)
    return story


def _script(story: Play, seed: int, carrier: Carrier) -> Callable[[Leg, Chance], Manners | None]:
    """How a carrier treats calls: by dice of their own, so that one more or less changes nothing for the others."""
    offered: Counter[str] = Counter()

    def treat(leg: Leg, _dice: Chance) -> Manners | None:
        offered[leg.number] += 1
        own = manners(Chance(crc32(f"{carrier.name} {leg.number} {offered[leg.number]} {seed}".encode())))
        story.treated.append(f"{story.world.now:9.4f} {carrier.name} treats {leg.number} with {own or 'silence'}")
        return own

    return treat


def _plan_calls(story: Play, chance: Chance) -> None:
    world, phone = story.world, story.phone
    for number in range(1 + int(chance.dice() * 4)):
        start = 2.0 + 10 * chance.dice()
        patience = near(chance, (0.1, 0.8, 2.0, 5.0)) if chance.dice() < 0.4 else None
        talk = 4 * chance.dice() if chance.dice() < 0.8 else None
        hold = chance.dice() if chance.dice() < 0.3 else None
        called = EMERGENCY if chance.dice() < 0.15 else f"+4144321{number:04d}"
        headers = ((MARK, b"%d" % (number + 1)),)
        dial = partial(phone.call, called, patience=patience, talk=talk, hold=hold, headers=headers)
        text = f"the office calls {called} (patience {patience}, talk {talk}, hold after {hold})"
        story.plan(start, text, lambda dial=dial: story.calls.append(world.tell(phone, dial)))  # type: ignore[misc]
        if chance.dice() < 0.3:  # both sides change the session in the same moment (§14)
            moment = start + near(chance, (1.0, 2.0, 4.0), 0.5)
            crossing = 0.03 * chance.dice()
            for when, agent in ((moment, phone), (moment + crossing, story.main), (moment + crossing, story.backup)):
                story.plan(
                    when,
                    f"{agent.name} renegotiates all its calls",
                    lambda agent=agent: world.tell(agent, lambda: _renegotiate(agent)),  # type: ignore[misc]
                )
    if chance.dice() < 0.4:
        carrier = story.main if chance.dice() < 0.5 else story.backup
        caller = f"+4179555{int(chance.dice() * 1000):04d}"
        start = 2.0 + 10 * chance.dice()
        ring = partial(carrier.invite, "+41443000000", caller, PROXY, ((MARK, b"in"),))
        story.plan(
            start, f"a call comes in over {carrier.name}", lambda: story.inbound.append(world.tell(carrier, ring))
        )
        if chance.dice() < 0.6:
            wait = 3 * chance.dice()
            story.plan(
                start + wait,
                "its caller hangs up",
                lambda: world.tell(carrier, lambda: [carrier.hang_up(leg) for leg in story.inbound]),
            )


def _renegotiate(agent: Phone | Carrier) -> None:
    for leg in agent.legs:
        agent.renegotiate(leg)


def _plan_faults(story: Play, chance: Chance) -> None:
    world = story.world
    if chance.dice() < 0.05:
        story.deaf = True
        story.plan(3.0 + 12 * chance.dice(), "the office is gone", lambda: world.network.closed.add(OFFICE))
    for carrier in (story.main, story.backup):
        for _ in range(int(chance.dice() * 4)):
            when = 1.0 + 14 * chance.dice()
            mode = MODES[int(chance.dice() * len(MODES))]
            story.plan(when, f"{carrier.name} {mode}", partial(_become, story, carrier, mode))


def _plan_doubts(story: Play, dice: Chance) -> None:
    """Both trunks are measured, so that silence can be unusual; and now and then one of them is Suspect for a reason
    that nobody sees here."""
    engine = story.world.engine
    for line in engine.core.trunks:
        answers, rings = near(dice, (0.05, 0.3, 0.8), 0.05), near(dice, (0.1, 0.8, 2.0))
        for _ in range(12):
            line.trunk.roundtrip.first_answers.observe(answers)
            line.trunk.setup.recent.observe(rings)
        for _ in range(1 + int(dice.dice() * 4)):
            evidence = Evidence(Sign.CALL_FAULT, "503 to somebody else", f"+4100000{int(dice.dice() * 1000):04d}")
            doubt = partial(_doubt, story, line, evidence)
            story.plan(1.5 + 11 * dice.dice(), f"{line.name} is in doubt", doubt)


def _doubt(story: Play, line: Line, evidence: Evidence) -> None:
    world = story.world
    world.show(lambda: world.engine.watch.observe(line, evidence, world.now))


def _plan_the_end(story: Play) -> None:
    """All is well again, everybody hangs up, and there is time enough for every clock."""
    world = story.world
    for carrier in (story.main, story.backup):
        world.at_time(HEALED_AT, _become, story, carrier, Mode.NORMAL)
    world.at_time(HEALED_AT, lambda: setattr(world.network, "weather", Weather(delay=0.01)))

    def hang_up() -> None:
        for agent in (story.phone, story.main, story.backup):
            world.tell(agent, lambda agent=agent: [agent.hang_up(leg) for leg in agent.legs])  # type: ignore[misc]

    world.at_time(HUNG_UP_AT, hang_up)
    world.at_time(HUNG_UP_AT + 15, hang_up)


def _become(story: Play, carrier: Carrier, mode: Mode) -> None:
    world = story.world
    if mode is not carrier.mode:
        story.disturbed[carrier.name].append(world.now)
    world.network.closed.discard(carrier.at)
    if mode is Mode.DEAD:
        world.network.closed.add(carrier.at)
    world.tell(carrier, lambda: carrier.become(mode, world.now))


def invariants(story: Play) -> list[str]:
    """What is wrong with this world, as sentences."""
    legs = {carrier.name: carrier.legs for carrier in (story.main, story.backup)}
    return [*story.rules.finish(legs, story.world.now), *_calls(story), *_carriers(story), *_facts(story)]


def _calls(story: Play) -> list[str]:
    wrong: list[str] = []
    if story.deaf:
        return wrong
    for leg in story.calls:
        if not leg.status:
            wrong.append(f"{leg.number} never got a final answer")
        if leg.finals > 1:
            wrong.append(f"{leg.number} got {leg.finals} final answers")
        if leg.open:
            wrong.append(f"{leg.number} is still open")
        if leg.trouble and not _is_explained(story, leg.trouble):
            wrong.append(f"{leg.number}: {leg.trouble}")
        wrong += _waiting(story, leg)
    wrong += [f"the office got nonsense: {text}" for text in story.phone.trouble]
    wrong += [f"inbound call: {leg.finals} final answers" for leg in story.inbound if leg.finals > 1]
    return wrong


def _is_explained(story: Play, trouble: str) -> bool:
    """True if the network or a carrier may be the cause: what was lost, or a port that was closed for a while."""
    if trouble.startswith("no final answer"):
        return False
    return story.lossy or ("re-INVITE" in trouble and any(story.disturbed.values()))


def _waiting(story: Play, leg: Leg) -> list[str]:
    """How long the caller was left in silence, and how long it rang. `status` has no time of its own: the final answer
    is the last that the engine said before its ACK."""
    if story.lossy or leg.number == EMERGENCY:
        return []
    told = [at for at, status in _told(story, leg) if status >= 200]
    final = min(told, default=OVER_AT)
    wrong = []
    first = final if leg.ringing_at is None else min(final, leg.ringing_at)
    if first - leg.seen_at > GIVE_UP + SLACK:
        wrong.append(f"{leg.number} waited {first - leg.seen_at:.1f} s in silence")
    if leg.cancelled_at is not None and final - leg.cancelled_at > SLACK:
        wrong.append(f"{leg.number} was cancelled, and heard so {final - leg.cancelled_at:.1f} s later")
    if leg.ringing_at is not None and final - leg.ringing_at > RING + SLACK:
        wrong.append(f"{leg.number} rang for {final - leg.ringing_at:.1f} s")
    return wrong


def _told(story: Play, leg: Leg) -> list[tuple[float, int]]:
    """What the engine answered to the INVITE of an office leg: (when it arrived, status)."""
    mark = b"Call-ID: %b\r\n" % leg.call_id
    return [
        (passed.at, int(passed.data[8:11]))
        for passed in story.world.passed
        if passed.arrived and passed.source == PROXY and passed.data[:4] == b"SIP/" and mark in passed.data
        and b"CSeq: 1 INVITE\r\n" in passed.data
    ]  # fmt: skip


def _carriers(story: Play) -> list[str]:
    wrong = []
    for carrier in (story.main, story.backup):
        wrong += [f"{carrier.name} got nonsense: {text}" for text in carrier.trouble]
        for leg in carrier.legs:
            if leg.outgoing:
                continue
            if leg.answered_at is not None and leg.ended_at is None:
                wrong.append(f"{carrier.name} still has a call to {leg.number}: nobody hung up")
            if leg.answered_at is not None and leg.acked_at is None and not _was_deaf(story, carrier, leg):
                wrong.append(f"{carrier.name} answered {leg.number} and was never acknowledged")
            if leg.offers > 1:
                wrong.append(f"{carrier.name} was offered {leg.number} {leg.offers} times")
            if not story.lossy and not _was_deaf(story, carrier, leg):
                wrong += _ghosts(story, carrier, leg)
    return wrong + _double_ringing(story)


def _ghosts(story: Play, carrier: Carrier, leg: Leg) -> list[str]:
    """A carrier need not end what nobody talks on: an answer that was not wanted is hung up by the engine, at once; a
    caller that has gone takes the callee along, and the other way round. What was cancelled ends."""
    attempts = {attempt.call_id: attempt for attempt in _of(story, AttemptEnded)}
    attempt = attempts.get(leg.call_id.decode())
    if attempt is None:
        return [f"{carrier.name} got a call to {leg.number} that has no record"]
    wrong = []
    if attempt.outcome != "answered":
        if leg.answered_at is not None and leg.ended_by != "them":
            wrong.append(f"{carrier.name} answered {leg.number} in vain, and nobody hung up")
        rang = leg.ringing_at is not None and leg.answered_at is None
        gave_up = attempt.outcome in ("silent", "no ringing", "cancelled", "unanswered")
        if rang and gave_up and _could_cancel(story, carrier, leg):
            wrong.append(f"{carrier.name} rings for {leg.number} ({attempt.outcome}), and nobody cancels")
        return wrong
    office = next((one for one in story.calls if _call_id_of(story, attempt.call) == one.call_id.decode()), None)
    if office is None or office.ended_at is None or leg.ended_at is None:
        return wrong
    both_by_themselves = not leg.ended_by.startswith("them") and not office.ended_by.startswith("them")
    if both_by_themselves and abs(leg.ended_at - office.ended_at) > SLACK:
        wrong.append(f"{carrier.name} and the office each had to hang up {leg.number} themselves")
    return wrong


def _could_cancel(story: Play, carrier: Carrier, leg: Leg) -> bool:
    """True if there was time for a CANCEL between the ringing and the carrier's own end, and none was sent."""
    mark = b"Call-ID: %b\r\n" % leg.call_id
    talk = [passed for passed in story.world.passed if not passed.arrived and mark in passed.data]
    if any(passed.to == carrier.at and passed.data.startswith(b"CANCEL ") for passed in talk):
        return False
    finals = [one.at for one in talk if one.source == carrier.at and b"SIP/2.0 2" <= one.data < b"SIP/2.0 7"]
    assert leg.ringing_at is not None
    return min(finals, default=OVER_AT) - leg.ringing_at > SLACK


def _call_id_of(story: Play, call: int) -> str:
    return next((fact.call_id for fact in _of(story, CallEnded) if fact.call == call), "")


def _was_deaf(story: Play, carrier: Carrier, leg: Leg) -> bool:
    """True if it may not have heard us while its answer was to be acknowledged, or its ringing to be cancelled; or the
    office did not hear that it should acknowledge."""
    if story.deaf:
        return True
    until = leg.seen_at if leg.answered_at is None else leg.answered_at
    return any(leg.seen_at - 20 <= at <= until + 33 for at in story.disturbed[carrier.name])


def _double_ringing(story: Play) -> list[str]:
    """No carrier is offered a call after another one was heard ringing for it."""
    rang: dict[str, tuple[float, str]] = {}
    wrong = []
    names = {MAIN: "main", BACKUP: "backup"}
    emergencies = {str(fact.call) for fact in _of(story, CallEnded) if fact.called == EMERGENCY}
    numbers = {attempt.call_id: attempt.call for attempt in _of(story, AttemptEnded)}
    for passed in story.world.passed:
        if passed.arrived and passed.to == PROXY and passed.data[:9] == b"SIP/2.0 1" and passed.data[9:11] != b"00":
            call = _call_number(numbers, passed.data)
            if call is not None and passed.source in names:
                rang.setdefault(call, (passed.at, names[passed.source]))
        if not passed.arrived and passed.source == PROXY and passed.data.startswith(b"INVITE ") and passed.to in names:
            call = _call_number(numbers, passed.data)
            if call in rang and b"To: " in passed.data and b";tag=" not in passed.data.partition(b"To: ")[2][:60]:
                at, who = rang[call]
                if who != names[passed.to] and call not in emergencies:
                    late = _attempt_over_before(story, call, who, at)
                    if not late:
                        wrong.append(f"call {call} rang at {who} ({at:.3f}) and was offered to {names[passed.to]}")
    return wrong


def _attempt_over_before(story: Play, call: str, who: str, at: float) -> bool:
    """True if that attempt was given up before its ringing arrived: it was late, and is cancelled."""
    return any(
        str(attempt.call) == call and attempt.trunk == who and attempt.at <= at + 1e-9
        for attempt in _of(story, AttemptEnded)
    )


def _call_number(numbers: dict[str, int], data: bytes) -> str | None:
    call_id = data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0].decode()
    number = numbers.get(call_id)
    return None if number is None else str(number)


def _facts(story: Play) -> list[str]:
    """The records agree with what the office lived through."""
    ended = [fact for fact in _of(story, CallEnded) if fact.direction == "outbound"]
    wrong = []
    by_id = {fact.call_id: fact for fact in ended}
    if len(by_id) != len(ended):
        wrong.append("a call was recorded twice")
    for leg in story.calls:
        fact = by_id.get(leg.call_id.decode())
        if story.deaf and fact is None:
            continue
        if fact is None:
            if leg.status not in (0, 408, 487):
                wrong.append(f"{leg.number} ({leg.status}) has no record")
            continue
        if leg.answered_at is not None and fact.answered_at is None:
            wrong.append(f"{leg.number} was answered, and the record says {fact.result}")
        attempts = [attempt for attempt in _of(story, AttemptEnded) if attempt.call == fact.call]
        if len(attempts) != fact.attempts:
            wrong.append(f"{leg.number}: {len(attempts)} attempts recorded of {fact.attempts}")
        if fact.called == EMERGENCY and fact.result == "trunk failed" and fact.attempts < 2:
            wrong.append(f"an emergency call was given up after {fact.attempts} attempts")
    return wrong


def _of(story: Play, kind: type) -> list:  # type: ignore[type-arg]
    return [fact for fact in story.world.facts if isinstance(fact, kind)]


def wrong_with(seed: int, without: frozenset[int] = frozenset()) -> list[str]:
    """What is wrong with the world of this seed, as sentences; an error of the engine is one too."""
    try:
        return invariants(play(seed, without))
    except Exception as error:
        return ["the engine raised an error", *traceback.format_exception(error)]


def report(seed: int) -> str:
    """What is wrong with the world of this seed, the few events that it takes, what was said in it, and how to live
    through it again; "" if it is a good one."""
    wrong = wrong_with(seed)
    if not wrong:
        return ""
    planned = _planned(seed)
    kept = shrink(range(len(planned)), lambda some: bool(wrong_with(seed, _all_but(some, len(planned)))))
    without = _all_but(kept, len(planned))
    lines = [f"world {seed}:", *(f"  * {sentence}" for sentence in wrong)]
    lines.append(f"it takes {len(kept)} of its {len(planned)} events:")
    lines += [f"  {planned[place].when:9.4f} {planned[place].text}" for place in kept]
    still = wrong_with(seed, without)
    if still != wrong:
        lines += ["and then it is said:", *(f"  * {sentence}" for sentence in still)]
    try:
        story = play(seed, without)
        lines += [*(f"  {line}" for line in story.treated), story.world.transcript()]
    except Exception as error:
        lines.append(f"(it ends with {error!r})")
    return "\n".join([*lines, f"again: python -m tests.simulation.schedules {seed}"])


def _planned(seed: int) -> list[Event]:
    """The events of a world, without living through any of them."""
    return play(seed, frozenset(range(1000))).events


def _all_but(kept: Sequence[int], count: int) -> frozenset[int]:
    return frozenset(range(count)) - frozenset(kept)


def soak(first: int, seeds: int) -> int:
    """Live through so many worlds on all cores, tell the bad ones, and how far it is. Returns how many were bad."""
    bad = done = 0
    with ProcessPoolExecutor() as pool:
        for text in pool.map(report, range(first, first + seeds), chunksize=50):
            done += 1
            if text:
                bad += 1
                print(text, flush=True)
            if done % 5000 == 0 or done == seeds:
                print(f"{done} of {seeds} worlds, {bad} of them bad", flush=True)
    return bad


def main(arguments: Sequence[str]) -> int:
    """See the module. Returns the exit code."""
    reader = argparse.ArgumentParser(prog="python -m tests.simulation.schedules")
    reader.add_argument("worlds", nargs="*", type=int, help="seeds to live through again")
    reader.add_argument("--seeds", type=int, default=0, help="how many worlds")
    reader.add_argument("--first", type=int, default=0, help="the first seed of them")
    given = reader.parse_args(arguments)
    for seed in given.worlds:
        print(report(seed) or f"world {seed}: good\n{play(seed).world.transcript()}")
    return 1 if given.seeds and soak(given.first, given.seeds) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
