"""Memory: what was ordered and learnt of a trunk, as plain values that outlive the process, and back again. Pure.

Every slot of everything that a trunk is made of has a row in KEPT: how it becomes a value of JSON and comes back, or
that it is left behind, because the next process knows better. Moments are kept as seconds since 1970, so a hold-down
goes on by the time of day. That may have been set meanwhile: what is past is not after now, and what is ahead is no
further ahead than a carrier can have asked for.

Nothing that was kept is proof: good checks in a row are counted from none, so what was Down stays so until it answers.
"""

from collections import deque
from collections.abc import Callable
from copy import deepcopy
from math import isfinite
from typing import Any, NamedTuple

from sipfailover.trunk.counters import NUMBERS_IN_DOUBT_MAX, RETRY_AFTER_MAX, Counters
from sipfailover.trunk.evidence import EVIDENCE_KEPT, Evidence, Sign, State
from sipfailover.trunk.health import Health
from sipfailover.trunk.inbound import Inbound
from sipfailover.trunk.judgement import NUMBERS_MAX, Score, Series
from sipfailover.trunk.probe import REMEMBERED, Probe
from sipfailover.trunk.recent import Recent
from sipfailover.trunk.roundtrip import RoundTrip, Smoothed
from sipfailover.trunk.setup_time import SetUpTime
from sipfailover.trunk.trunk import Order, Ordered, Trunk

Value = Any
"""What JSON has: numbers, texts, lists, names with values, true, false, null."""


class Clocks(NamedTuple):
    """What a moment is, on our clock and by the time of day."""

    now: float
    """Seconds, monotonic."""
    offset: float
    """What makes `now` seconds since 1970."""


class Kind(NamedTuple):
    """How a slot is kept."""

    dump: Callable[[Any, Clocks], Value]
    load: Callable[[Value, Any, Clocks], Any]
    """(value, what stands in the slot now, clocks) → what belongs into it. Raises TypeError or ValueError for what
    `dump` never made."""


def remembered(trunk: Trunk, now: float, offset: float) -> Value:
    """All that is worth keeping of a trunk. `offset`: what makes `now` seconds since 1970."""
    return _dump_part(trunk, Clocks(now, offset))


def recall(trunk: Trunk, memory: Value, now: float, offset: float) -> None:
    """Take what was remembered into a new trunk; names that are missing leave what stands there. Raises TypeError or
    ValueError for what is no such memory, and then nothing of it is taken."""
    clocks = Clocks(now, offset)
    found = _loaded(trunk, memory, clocks)
    for name, value in found.items():
        setattr(trunk, name, value)


# -- kinds ------------------------------------------------------------------------------------------------------------


def _dump_plain(thing: Any, _clocks: Clocks) -> Value:
    return thing


def _load_plain(value: Value, present: Any, _clocks: Clocks) -> Any:
    """A number, a text or a yes, if the present one is of that kind."""
    if isinstance(present, float) and type(value) is int:
        value = float(value)
    if type(value) is not type(present) or (isinstance(value, float) and not isfinite(value)):
        raise TypeError(f"{value!r} stands where something like {present!r} belongs")
    return value


def _dump_moment(moment: float | None, clocks: Clocks) -> Value:
    """Null for never."""
    return round(moment + clocks.offset, 3) if moment is not None and isfinite(moment) else None


def _load_past(value: Value, present: Any, clocks: Clocks) -> Any:
    return present if value is None else min(clocks.now, _load_plain(value, 0.0, clocks) - clocks.offset)


def _load_ahead(value: Value, present: Any, clocks: Clocks) -> Any:
    if value is None:
        return present
    return min(clocks.now + RETRY_AFTER_MAX, _load_plain(value, 0.0, clocks) - clocks.offset)


def _load_amount(value: Value, _present: Any, clocks: Clocks) -> float:
    return float(max(0.0, _load_plain(value, 0.0, clocks)))


def _load_measured(value: Value, present: Any, clocks: Clocks) -> float | None:
    """Null before the first sample."""
    return None if value is None else _load_amount(value, present, clocks)


def _load_count(value: Value, present: Any, clocks: Clocks) -> int:
    return max(0, int(_load_plain(value, int(present), clocks)))


def _dump_part(thing: Any, clocks: Clocks) -> Value:
    return {
        name: kind.dump(getattr(thing, name), clocks) for name, kind in KEPT[type(thing)].items() if kind is not LEFT
    }


def _load_part(value: Value, present: Any, clocks: Clocks) -> Any:
    fresh = deepcopy(present)
    for name, found in _loaded(fresh, value, clocks).items():
        setattr(fresh, name, found)
    return fresh


def _loaded(present: Any, value: Value, clocks: Clocks) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is no memory of a {type(present).__name__}")
    return {
        name: kind.load(value[name], getattr(present, name), clocks)
        for name, kind in KEPT[type(present)].items()
        if kind is not LEFT and name in value
    }


def _load_probe(value: Value, present: Probe, clocks: Clocks) -> Probe:
    """The one that asks goes on asking: it is not copied."""
    found = _loaded(present, value, clocks)
    for name, one in found.items():
        setattr(present, name, one)
    return present


def _dump_happened(happened: dict[str, tuple[float, str]], clocks: Clocks) -> Value:
    return [[number, _dump_moment(at, clocks), what] for number, (at, what) in happened.items()]


def _load_happened(value: Value, _present: Any, clocks: Clocks) -> dict[str, tuple[float, str]]:
    """Number → (when, what), the newest last."""
    newest = max(NUMBERS_MAX, NUMBERS_IN_DOUBT_MAX)
    return {
        _load_plain(number, "", clocks): (_load_past(at, clocks.now, clocks), _load_plain(what, "", clocks))
        for number, at, what in value[-newest:]
    }


def _dump_trail(trail: deque[Evidence], clocks: Clocks) -> Value:
    return [[int(one.sign), one.what, one.destination, one.more, _dump_moment(one.at, clocks)] for one in trail]


def _load_trail(value: Value, _present: Any, clocks: Clocks) -> deque[Evidence]:
    found: deque[Evidence] = deque(maxlen=EVIDENCE_KEPT)
    for sign, *texts, at in value:
        what, destination, more = (_load_plain(text, "", clocks) for text in texts)
        found.append(
            Evidence(Sign(sign), what, destination, more=more, at=_load_past(at, clocks.now, clocks))
        )  # fmt: skip
    return found


def _dump_scores(scores: tuple[Score, ...], clocks: Clocks) -> Value:
    return [_dump_part(score, clocks) for score in scores]


def _load_scores(value: Value, present: tuple[Score, ...], clocks: Clocks) -> tuple[Score, ...]:
    return tuple(_load_part(one, score, clocks) for one, score in zip(value, present, strict=True))


def _load_results(value: Value, _present: Any, clocks: Clocks) -> deque[bool]:
    return deque((_load_plain(one, True, clocks) for one in value), maxlen=REMEMBERED)


def _load_samples(value: Value, present: deque[float], clocks: Clocks) -> deque[float]:
    return deque((_load_amount(one, 0.0, clocks) for one in value), maxlen=present.maxlen)


def _nothing(*_: Any) -> Any:
    raise AssertionError("what is left behind is neither kept nor taken")


def _dump_ordered(ordered: Ordered, clocks: Clocks) -> Value:
    until, at = _dump_moment(ordered.until, clocks), _dump_moment(ordered.at, clocks)
    return [int(ordered.order), until, ordered.who, ordered.why, at]


def _load_ordered(value: Value, _present: Any, clocks: Clocks) -> Ordered:
    """It ends by the time of day, whatever that was set to meanwhile."""
    order, until, who, why, at = value
    ends = None if until is None else _load_plain(until, 0.0, clocks) - clocks.offset
    who, why = (_load_plain(text, "", clocks) for text in (who, why))
    return Ordered(Order(_load_count(order, 0, clocks)), ends, who, why, _load_past(at, clocks.now, clocks))


PLAIN = Kind(_dump_plain, _load_plain)
COUNT = Kind(_dump_plain, _load_count)
AMOUNT = Kind(_dump_plain, _load_amount)
MEASURED = Kind(_dump_plain, _load_measured)
PAST = Kind(_dump_moment, _load_past)
AHEAD = Kind(_dump_moment, _load_ahead)
STATE = Kind(lambda state, _: int(state), lambda value, present, _: State(_load_count(value, present, _)))
ORDER = Kind(lambda order, _: int(order), lambda value, present, _: Order(_load_count(value, present, _)))
ORDERED = Kind(_dump_ordered, _load_ordered)
PART = Kind(_dump_part, _load_part)
PROBE = Kind(_dump_part, _load_probe)
HAPPENED = Kind(_dump_happened, _load_happened)
TRAIL = Kind(_dump_trail, _load_trail)
SCORES = Kind(_dump_scores, _load_scores)
RESULTS = Kind(lambda results, _: list(results), _load_results)
SAMPLES = Kind(lambda samples, _: [round(one, 4) for one in samples], _load_samples)
LEFT = Kind(_nothing, _nothing)
"""The settings say it, or the next process has to see for itself."""

# -- what is kept of what ---------------------------------------------------------------------------------------------

KEPT: dict[type, dict[str, Kind]] = {
    Trunk: {
        "order": ORDER, "ordered": ORDERED, "health": PART, "inbound": PART, "roundtrip": PART, "setup": PART,
        "probe": PROBE,
        **dict.fromkeys((
            "addresses", "calls_now", "channels", "clocks_fixed", "name", "no_answer_within", "note", "overtaken",
            "resolve_why", "talks", "talks_in", "tier", "tls_why",
        ), LEFT),
    },
    Health: {"state": STATE, "since": PAST, "counters": PART, **dict.fromkeys(("rules", "_trial_until"), LEFT)},
    Counters: {
        **dict.fromkeys(("why", "down_rule", "down_by_silence", "probe_failing", "calls_failed", "released"), PLAIN),
        **dict.fromkeys(("probes_failed", "silent_calls", "trials_good", "trials_wanted", "relapses"), COUNT),
        **dict.fromkeys(("failed_at", "last_call_failed_at", "doubted_at", "call_good_at", "returned_at"), PAST),
        "held_until": AHEAD, "trail": TRAIL, "faults": HAPPENED,
        **dict.fromkeys(("faulty", "refused", "dropped", "slow"), PART),
        **dict.fromkeys(("checks_good", "day_at", "rules"), LEFT),
    },
    Series: {
        "scores": SCORES, "recent": HAPPENED, **dict.fromkeys(("_last", "_last_bad", "_faded_at"), PAST),
        **dict.fromkeys(("_bad", "_calls", "_learnt_bad", "_learnt_seen", "_seen"), AMOUNT), "kind": LEFT,
    },
    Score: {"value": AMOUNT, **dict.fromkeys(("bad", "seen"), COUNT), "since": PAST},
    Inbound: {
        "state": STATE, **dict.fromkeys(("since", "suspected_at"), PAST), "drops": PART,
        **dict.fromkeys(("why", "registered"), PLAIN),
    },
    RoundTrip: dict.fromkeys(("calls", "first_answers", "probes"), PART),
    Recent: {"_samples": SAMPLES},
    Smoothed: {"mean": MEASURED, "variation": AMOUNT},
    SetUpTime: {**dict.fromkeys(("mean", "variation"), AMOUNT), "samples": COUNT, "recent": PART},
    Probe: {
        "mute": PLAIN, "results": RESULTS,
        **dict.fromkeys((
            "_chance", "_gap", "_grace", "_left", "_misses", "_until", "_word", "ended_at", "next_at", "quick", "rules",
            "sent_at", "status",
        ), LEFT),
    },
}  # fmt: skip
