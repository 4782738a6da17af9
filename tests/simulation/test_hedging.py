"""What hedging is for: callers who meet a trunk in doubt hear ringing sooner, and the trunk goes Down all the same."""

from dataclasses import dataclass
from statistics import fmean, median

import pytest

from sipfailover.simulator import Rehearsal, Result, result
from tests.simulation.damage import CASES, DEFAULTS, SEEDS

HEDGING = DEFAULTS.model_copy(update={"failover": DEFAULTS.failover.model_copy(update={"hedge": True})})


@dataclass(frozen=True, slots=True)
class Caught:
    """Calls that began while main was broken and Suspect, of all seeds."""

    extra: tuple[float, ...]
    """Seconds until it rang, beyond what such a call usually takes."""
    down_after: float
    """Seconds from the fault to Down, at most."""
    lost: int
    double_rings: int
    broken: tuple[str, ...]


def caught(name: str, *, hedge: bool) -> Caught:
    case = next(case for case in CASES if case.name == name)
    settings = HEDGING if hedge else DEFAULTS
    lived = [result(Rehearsal(settings, case.scenario(), seed=seed, name=name).run()) for seed in SEEDS]
    return Caught(
        tuple(extra for one in lived for extra in _extra(one)),
        max(one.figures.trunks[0].detected.longest for one in lived),
        sum(one.figures.lost for one in lived),
        sum(one.figures.double_rings for one in lived),
        tuple(sentence for one in lived for sentence in one.figures.broken),
    )


def _extra(lived: Result) -> list[float]:
    main = lived.figures.trunks[0]
    first, last, *_ = lived.spans["main"][0]
    return [
        outcome.extra
        for outcome in lived.figures.outcomes
        for begin, end, state in main.bands
        if state == "Suspect" and begin <= outcome.call.at < end and first <= outcome.call.at < last
    ]


@pytest.mark.parametrize(
    ("name", "off", "on"),
    [("OPTIONS fine, INVITE silent", 0.8, 0.1), ("OPTIONS fine, 100 and then nothing", 6.0, 0.9)],
)
def test_most_calls_that_meet_a_trunk_in_doubt_ring_much_sooner(name: str, off: float, on: float) -> None:
    """Every third one has its time at main, and shows whether that is broken: so Down comes some calls later."""
    without, with_hedge = caught(name, hedge=False), caught(name, hedge=True)
    print(f"{name}: {without} without hedging, {with_hedge} with it")
    assert median(without.extra) == pytest.approx(off, abs=0.05)
    assert median(with_hedge.extra) <= on
    assert fmean(with_hedge.extra) < 0.5 * fmean(without.extra)
    assert with_hedge.down_after <= without.down_after + 120.0
    assert (with_hedge.lost, with_hedge.double_rings, with_hedge.broken) == (0, 0, ())
