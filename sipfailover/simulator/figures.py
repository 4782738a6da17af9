"""What a rehearsal means for people: what became of each call, and the figures of all of them. Pure.

A call is lost if a telephone would have rung at the other end and the caller never got there. Seconds are extra if the
caller waited them for the first sign from the other end (ringing, an answer, busy) beyond what the same call takes
where nothing is wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from sipfailover.simulator.calls import REACHED, Call, as_record
from sipfailover.simulator.rehearsal import Rehearsal
from sipfailover.simulator.scenario import Scenario

NOTICED = 0.1
"""Seconds that nobody notices."""
LATE_ANSWERS = 40.0
"""Seconds after the end of a fault in which a trunk may still be held for it: calls of before come to their end."""

GOOD, REROUTED, LOST, DROPPED, ONE_WAY, MISLED, UNSENT = (
    "good", "rerouted", "lost", "dropped", "one way", "misled", "not sent",
)  # fmt: skip
"""What became of a call. `misled`: it would have been busy, or no number, and the caller heard something else.
`not sent`: the carrier never brought it to us."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one call."""

    call: Call
    word: str
    text: str
    """In words, where something was wrong."""
    waited: float | None
    """Seconds until the caller heard something; None: never."""
    extra: float
    """Of these, those that were due to a fault; 0 below NOTICED."""
    trunk: str
    """What carried it in the end; empty for none."""
    rang_twice: bool
    """Telephones rang at two carriers for it."""


def judge(call: Call) -> Outcome:
    """What became of one call."""
    leg, fate = call.leg, call.fate
    rang_twice = sum(offer.alerted for offer in call.offers) > 1
    if leg is None:
        return Outcome(call, UNSENT, f"the carrier kept it: {call.unsent}", None, 0.0, "", rang_twice)
    trunk = call.ended.trunk if call.ended is not None else ""
    heard = leg.ringing_after
    if heard is None and call.ended is not None and leg.status != 487:
        heard = call.ended.at - call.ended.started_at
    extra = 0.0 if heard is None or call.inbound else heard - fate.dialled - call.base
    extra = extra if extra > NOTICED else 0.0
    word, text = _word(call)
    if word == LOST and leg.status == 487 and leg.cancelled_at is not None:
        extra = max(0.0, leg.cancelled_at - leg.seen_at - fate.dialled)
    return Outcome(call, word, text, heard, extra, trunk, rang_twice)


def _word(call: Call) -> tuple[str, str]:
    leg, fate = call.leg, call.fate
    assert leg is not None
    met = ", ".join(f"{offer.trunk}: {offer.kind}" for offer in call.offers if offer.kind)
    if leg.answered_at is not None:
        last = call.offers[-1].kind if call.offers else ""
        if last == "drops after seconds":
            return DROPPED, "answered, and hung up by the network after seconds"
        if last == "one way":
            return ONE_WAY, "answered, and one side heard nothing"
        over = call.ended.trunk if call.ended is not None else "?"
        return (REROUTED, f"went over {over} ({met})") if _moved(call) else (GOOD, "")
    if fate.word in REACHED:
        if leg.ringing_at is None:
            if leg.status == 487:
                waited = (leg.cancelled_at or leg.seen_at) - leg.seen_at
                return LOST, f"the caller gave up after {waited:.0f} s of silence ({met})"
            return LOST, f"the caller heard {leg.status or 'nothing'} ({met})"
        if leg.status != 487 and not (fate.word == "no answer" and leg.status in (408, 480)):
            return LOST, f"it rang, and then failed with {leg.status} ({met})"
        return (REROUTED, f"rang over {call.offers[-1].trunk} ({met})") if _moved(call) else (GOOD, "")
    if fate.word != "fails" and leg.status not in (fate.status, 487):
        return MISLED, f"{fate.word}, and the caller heard {leg.status} ({met})"
    return (REROUTED, f"{fate.word}, learnt over {call.offers[-1].trunk}") if _moved(call) else (GOOD, "")


def _moved(call: Call) -> bool:
    """Whether a call that goes out went to another trunk than the first choice."""
    tried = {attempt.trunk for attempt in call.attempts}
    return not call.inbound and (len(tried) > 1 or (call.ended is not None and call.ended.rerouted))


@dataclass(frozen=True, slots=True)
class Spread:
    """Several durations, in seconds."""

    count: int = 0
    middle: float = 0.0
    longest: float = 0.0
    total: float = 0.0


def spread(values: Iterable[float]) -> Spread:
    """How several durations are spread."""
    known = list(values)
    return Spread(len(known), median(known), max(known), sum(known)) if known else Spread()


@dataclass(frozen=True, slots=True)
class TrunkFigures:
    """What one trunk lived through."""

    name: str
    faults: int
    """How often it began to be better left alone."""
    faulty: float
    """Seconds for which that was so."""
    detected: Spread
    """From the beginning of a fault to Down, where it was not Down already."""
    after_first: Spread
    """The same from the first thing that was sent to the trunk after the fault had begun."""
    covered: int
    """Faults that began while it was still out of service for an earlier one."""
    missed: int
    """Faults that ended before it was taken out of service."""
    returned: Spread
    """From the end of a fault to Up."""
    false_alarms: int
    """Times it went Down although nothing was wrong with it."""
    changes: int
    bands: tuple[tuple[float, float, str], ...] = field(repr=False)
    """(from, to, state)."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What callers lived through."""

    outbound: int
    inbound: int
    lost: int
    """Outbound calls that should have rung somewhere and did not."""
    misled: int
    dropped: int
    """Both directions: answered, and hung up by the network."""
    one_way: int
    rerouted: int
    """Outbound calls that began at one trunk and went on to another."""
    over_others: int
    """Outbound calls that another trunk than the main one carried, moved or sent there at once."""
    not_sent: int
    """Inbound calls that the carrier never brought to us."""
    lost_inbound: int
    """Inbound calls that came to us and should have rung, and did not."""
    extra: Spread
    """Seconds waited for nothing, of outbound calls that waited longer than they should."""
    waited: Spread
    """Seconds until an outbound caller heard ringing."""
    switches: int
    """Times that new calls began to go over another trunk."""
    double_rings: int
    false_alarms: int
    probes: int
    trunks: tuple[TrunkFigures, ...]
    outcomes: tuple[Outcome, ...] = field(repr=False)
    broken: tuple[str, ...]
    """Rules that did not hold: faults of ours."""


def count(rehearsal: Rehearsal) -> Figures:
    """The figures of a rehearsal that is over."""
    outcomes = tuple(judge(call) for call in rehearsal.calls)
    out = [one for one in outcomes if not one.call.inbound]
    come = [one for one in outcomes if one.call.inbound]
    trunks = tuple(_trunk(rehearsal, name) for name in rehearsal.trunks)
    return Figures(
        outbound=len(out),
        inbound=len(come),
        lost=_times(out, LOST),
        misled=_times(out, MISLED),
        dropped=_times(outcomes, DROPPED),
        one_way=_times(outcomes, ONE_WAY),
        rerouted=sum(_moved(one.call) for one in out),
        over_others=sum(bool(one.trunk) and one.trunk != rehearsal.trunks[0] for one in out),
        not_sent=_times(come, UNSENT),
        lost_inbound=_times(come, LOST),
        extra=spread(one.extra for one in out if one.extra > 0),
        waited=spread(one.waited for one in out if one.waited is not None and one.call.fate.rings),
        switches=max(0, len([1 for _, name in rehearsal.active if name]) - 1),
        double_rings=sum(one.rang_twice for one in outcomes),
        false_alarms=sum(trunk.false_alarms for trunk in trunks),
        probes=rehearsal.probes,
        trunks=trunks,
        outcomes=outcomes,
        broken=tuple(rehearsal.broken),
    )


def _times(outcomes: Sequence[Outcome], word: str) -> int:
    return sum(one.word == word for one in outcomes)


def _trunk(rehearsal: Rehearsal, name: str) -> TrunkFigures:
    seconds = rehearsal.scenario.seconds
    changes = [
        change
        for change in rehearsal.changes
        if change.trunk == name and change.at <= seconds and change.direction == "outbound"
    ]
    harm = rehearsal.harm(name)
    bands = _bands([(change.at, change.after) for change in changes], seconds)
    asked = rehearsal.asked.get(name, [])
    detected, after_first, returned, covered, missed = [], [], [], 0, 0
    for index, (first, last) in enumerate(harm.all):
        until = harm.all[index + 1][0] if index + 1 < len(harm.all) else seconds
        if _state(bands, first) in ("Down", "Trial"):
            covered += 1
        else:
            down = next((at for at, _, state in bands if first <= at < last and state == "Down"), None)
            if down is None:
                missed += 1
            else:
                detected.append(down - first)
                after_first.append(down - next((at for at in asked if first <= at <= down), down))
        if _state(bands, last) not in ("Up", "Suspect"):
            back = next((at for at, _, state in bands if last <= at < until and state == "Up"), None)
            if back is not None:
                returned.append(back - last)
    alarms = sum(change.after == "Down" and not _blamed(harm.at(change.at), change.at) for change in changes)
    return TrunkFigures(
        name=name,
        faults=len(harm.all),
        faulty=harm.seconds,
        detected=spread(detected),
        after_first=spread(after_first),
        covered=covered,
        missed=missed,
        returned=spread(returned),
        false_alarms=alarms,
        changes=len(changes),
        bands=tuple(bands),
    )


def _bands(changes: list[tuple[float, str]], seconds: float) -> list[tuple[float, float, str]]:
    starts = [(0.0, "Up"), *changes]
    ends = [at for at, _ in changes] + [seconds]
    return [(first, last, state) for (first, state), last in zip(starts, ends, strict=True) if last > first]


def _state(bands: list[tuple[float, float, str]], at: float) -> str:
    return next((state for first, last, state in bands if first <= at < last), "Up")


def _blamed(span: tuple[float, float] | None, at: float) -> bool:
    return span is not None and at <= span[1] + LATE_ANSWERS


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a trunk's story."""

    at: float
    trunk: str
    word: str
    """A state, or `fault` and `over`."""
    text: str


def story(rehearsal: Rehearsal) -> list[Line]:
    """What happened to the trunks, and what was said of it, in the order of time."""
    lines = []
    for name in rehearsal.trunks:
        for (first, last), fault in rehearsal.spans[name]:
            lines.append(Line(first, name, "fault", f"begins: {fault.label}"))
            lines.append(Line(last, name, "over", f"ends: {fault.label}"))
    lines += [Line(change.at, change.trunk, change.after, change.why) for change in rehearsal.changes]
    for before, after in pairwise(rehearsal.active):
        text = f"new calls go over {after[1] or 'no trunk'}, before over {before[1] or 'none'}"
        lines.append(Line(after[0], after[1] or "none", "switch", text))
    return sorted(lines, key=lambda line: line.at)


@dataclass(frozen=True, slots=True)
class Result:
    """A rehearsal that is over, as it is shown. Can be handed from one process to another."""

    name: str
    """The configuration's."""
    seed: int
    scenario: Scenario
    figures: Figures
    story: tuple[Line, ...]
    spans: dict[str, tuple[tuple[float, float, str, bool], ...]]
    """Trunk → (from, to, what was wrong, whether it was better left alone)."""


def result(rehearsal: Rehearsal) -> Result:
    """What came of a rehearsal."""
    spans = {
        name: tuple((first, last, fault.label, fault.harms) for (first, last), fault in planned)
        for name, planned in rehearsal.spans.items()
    }
    told = tuple(story(rehearsal))
    return Result(rehearsal.name, rehearsal.seed, rehearsal.scenario, count(rehearsal), told, spans)


def as_json(result: Result) -> dict[str, Any]:
    """Everything, as mappings and lists."""
    scenario, figures = result.scenario, result.figures
    plain = asdict(replace(figures, outcomes=()))
    del plain["outcomes"]
    return {
        "config": result.name,
        "seed": result.seed,
        "title": scenario.title,
        "start": scenario.start.isoformat(),
        "seconds": scenario.seconds,
        "figures": plain,
        "faults": {
            name: [
                {"from": round(first, 3), "to": round(last, 3), "what": what, "harms": harms}
                for first, last, what, harms in spans
            ]
            for name, spans in result.spans.items()
        },
        "story": [
            {"at": round(line.at, 3), "time": scenario.wall(line.at).isoformat(timespec="milliseconds"),
             "trunk": line.trunk, "what": line.word, "text": line.text}
            for line in result.story
        ],
        "calls": [
            as_record(one.call)
            | {"result": one.word, "text": one.text, "waited": _rounded(one.waited), "extra": _rounded(one.extra),
               "trunk": one.trunk, "rang_twice": one.rang_twice}
            for one in figures.outcomes
        ],
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
