"""Thousands of random worlds are good ones; and each rule by which they are judged can fail.

SIPFAILOVER_SEEDS=1000000 makes the long run as long as one wants (a soak), SIPFAILOVER_FIRST_SEED begins it elsewhere.
"""

import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import pytest

from sipfailover.flow import Send
from sipfailover.proxy import AttemptEnded, Engine, Record, ending, hedging, ladder, rung
from sipfailover.proxy.call import Clock
from sipfailover.proxy.core import Core
from sipfailover.proxy.inside import Inside
from sipfailover.proxy.ladder import Ladder
from sipfailover.proxy.stray import Stray
from sipfailover.routing import hedge
from sipfailover.transaction import Layer, Timer, TimerQueue
from tests.simulation.schedules import invariants, play, report

FIRST = int(os.environ.get("SIPFAILOVER_FIRST_SEED", "0"))
SEEDS = int(os.environ.get("SIPFAILOVER_SEEDS", "10000"))
QUICK = 200
ENOUGH = 1000
"""Worlds in which a deliberate fault must have been noticed."""


def reports(seeds: range) -> list[str]:
    """The bad worlds among these, at most three of them; over all cores."""
    found: list[str] = []
    with ProcessPoolExecutor() as pool:
        for text in pool.map(report, seeds, chunksize=20):
            if text:
                found.append(text)
            if len(found) == 3:
                pool.shutdown(cancel_futures=True)
                break
    return found


def test_hundreds_of_random_worlds_are_good() -> None:
    bad = reports(range(QUICK))
    assert not bad, "\n\n".join(bad)


@pytest.mark.slow
def test_thousands_of_random_worlds_are_good() -> None:
    bad = reports(range(FIRST + QUICK, FIRST + QUICK + SEEDS))
    assert not bad, "\n\n".join(bad)


FOUND: dict[tuple[int, bool], str] = {
    (5475, False): "the 2xx to a re-INVITE whose sender said BYE at once was not acknowledged",
    (489, False): "the ACK to an INVITE before the last one was not repeated to a carrier that had lost it",
    (722, False): "the same, and the call would have been hung up after 32 s",
    (883, False): "the same towards the office",
    (882, True): "the 2xx to a re-INVITE that came after the answer to our BYE was not acknowledged",
    (982, False): "the same in an emergency call",
    (30078, True): "a re-INVITE was lost, as the port said, and the 491 that came all the same was not acknowledged",
    (3754, True): "the same between two hedged calls",
}
"""(seed, with hedging) → what was wrong in that world."""


@pytest.mark.parametrize(("seed", "hedging"), FOUND, ids=str)
def test_what_was_wrong_in_a_world_is_mended(seed: int, hedging: bool) -> None:
    assert invariants(play(seed, hedging=hedging)) == []


def test_many_worlds_hedge_and_every_end_of_a_hedge_is_among_them() -> None:
    counts: Counter[str] = Counter()
    for seed in range(QUICK // 2):
        story = play(seed, hedging=True)
        assert invariants(story) == []
        for (_, who), number in story.world.engine.core.hedges.items():  # type: ignore[attr-defined]
            counts[who] += number
    assert min(counts[hedge.FIRST], counts[hedge.SECOND], counts[hedge.NEITHER]) >= 5, counts


def test_a_world_is_the_same_for_the_same_seed() -> None:
    one, other = play(4711), play(4711)
    assert one.world.transcript() == other.world.transcript()
    assert one.world.facts == other.world.facts


# -- the rules can fail -----------------------------------------------------------------------------------------------

Patch = pytest.MonkeyPatch


def nothing(*_args: Any, **_named: Any) -> None:
    """Instead of something that matters."""


def without(owner: type, name: str, patch: Patch) -> None:
    """This is simply not done."""
    patch.setattr(owner, name, nothing)


def mute(start: bytes, patch: Patch) -> None:
    """Messages that begin so never leave."""
    take = Engine.take

    def less(engine: Engine) -> list[Any]:
        return [one for one in take(engine) if not (isinstance(one, Send) and one.data.startswith(start))]

    patch.setattr(Engine, "take", less)


def forget_records(kind: type, patch: Patch) -> None:
    """Every second record of this kind is lost."""
    take, count = Engine.take, [0]

    def less(engine: Engine) -> list[Any]:
        kept = []
        for one in take(engine):
            if isinstance(one, Record) and isinstance(one.fact, kind):
                count[0] += 1
                if count[0] % 2:
                    continue
            kept.append(one)
        return kept

    patch.setattr(Engine, "take", less)


def deaf_clock(clock: Clock, patch: Patch) -> None:
    """This clock runs, and nobody hears it."""
    init = Engine.__init__

    def made(engine: Engine, *args: Any) -> None:
        init(engine, *args)
        engine._clocks[clock] = nothing

    patch.setattr(Engine, "__init__", made)


def stopped_clock(clock: Clock, patch: Patch) -> None:
    """This clock is never started."""
    start = TimerQueue.start

    def lazy(queue: TimerQueue, seconds: float, now: float, name: int, owner: Any) -> Timer:
        timer = start(queue, seconds, now, name, owner)
        if name == clock:
            timer.stop()
        return timer

    patch.setattr(TimerQueue, "start", lazy)


def ring_twice(patch: Patch) -> None:
    """The next trunk is tried after ringing too."""
    judge = ladder.judge

    def bold(outcome: Any, *args: Any, **named: Any) -> Any:
        return judge(outcome, *args, **named | {"emergency": True})

    patch.setattr(ladder, "judge", bold)


def no_emergency(patch: Patch) -> None:
    """Emergency calls are calls like others, and the first answer is the last."""
    patch.setattr(rung, "next_trunk", lambda *_: None)


def miscount(patch: Patch) -> None:
    """A trunk that was silent keeps its channel."""
    close = Ladder._close

    def greedy(self: Ladder, call: Any, attempt: Any, outcome: Any, *rest: Any, **named: Any) -> None:
        close(self, call, attempt, outcome, *rest, **named)
        if outcome.word == "silent":
            attempt.line.trunk.calls_now += 1

    patch.setattr(Ladder, "_close", greedy)


def forget_merged(patch: Patch) -> None:
    """What makes a merged request known is never forgotten."""
    forget = Layer.forget

    def half(layer: Layer, tx: Any) -> None:
        tx.merge_key = None
        forget(layer, tx)

    patch.setattr(Layer, "forget", half)


def no_partner_bye(patch: Patch) -> None:
    """BYE is answered, and not carried over."""
    hang_up = Inside.hang_up

    def lazy(inside: Inside, leg: Any, now: float, bye: Any = None) -> None:
        if bye is None:
            hang_up(inside, leg, now, bye)

    patch.setattr(Inside, "hang_up", lazy)


def no_bye_for_ghosts(patch: Patch) -> None:
    """A late answer is acknowledged, and not hung up."""
    request = Layer.request

    def lazy(
        layer: Layer, branch: bytes, method: bytes, data: bytes, to: Any, user: Any, *rest: Any, **named: Any
    ) -> Any:
        tx = request(layer, branch, method, data, to, user, *rest, **named)
        if method == b"BYE" and b"Reason" not in data and getattr(user, "origin", None) == b"" and user.server is None:
            layer.out[:] = [one for one in layer.out if not (isinstance(one, Send) and one.data == data)]
            if tx.again is not None:
                tx.again.stop()
        return tx

    patch.setattr(Layer, "request", lazy)


def forgetful_stray(patch: Patch) -> None:
    """What nobody waits for any more is not looked at."""
    patch.setattr(Stray, "heard", nothing)


def keep_the_slower(patch: Patch) -> None:
    """The first rings, and the second is left to itself."""
    patch.setattr(Ladder, "_wins", nothing)


def hedge_after_ringing(patch: Patch) -> None:
    """A second attempt begins although it rings."""
    provisional, reason = Ladder._provisional, hedging.reason

    def bold(core: Any, call: Any, attempt: Any, now: float) -> str:
        rings = attempt.ringing_at is not None and not attempt.over and call.rival is None
        return "it rings" if rings else reason(core, call, attempt, now)

    def late(self: Ladder, attempt: Any, message: Any, now: float) -> None:
        provisional(self, attempt, message, now)
        self.second(attempt, now)

    patch.setattr(hedging, "reason", bold)
    patch.setattr(Ladder, "_provisional", late)


def drop_final(patch: Patch) -> None:
    """The caller is not told that all trunks failed."""
    patch.setattr(ending, "fail", lambda core, call, _final, now: core.end(call, 503, "", now, "trunk failed"))


SABOTAGE: dict[str, tuple[Callable[[Patch], None], str]] = {
    "CANCEL is not sent": (partial(mute, b"CANCEL "), "nobody cancels"),
    "ACK is not sent": (partial(mute, b"ACK "), "was never acknowledged"),
    "BYE is not sent": (partial(mute, b"BYE "), "hung up"),
    "ACK is not carried over": (partial(without, Inside, "acknowledged"), "was never acknowledged"),
    "BYE is not carried over": (no_partner_bye, "themselves"),
    "BYE for late answers is not sent": (no_bye_for_ghosts, "hung up"),
    "late answers are not looked at": (partial(without, Stray, "answered_in_vain"), "was never acknowledged"),
    "answers after 64*T1 are not looked at": (forgetful_stray, "never acknowledged"),
    "a caller's CANCEL is ignored": (partial(without, Ladder, "cancelled"), "was cancelled, and heard so"),
    "the next trunk is tried after ringing": (ring_twice, "and was offered to"),
    "the next trunk is never tried": (no_emergency, "an emergency call was given up after 1"),
    "a free trunk is not asked": (no_emergency, "was refused, and"),
    "a dialog is never forgotten": (partial(without, Core, "remove"), "still there: <Leg"),
    "a trunk keeps a channel": (miscount, "counts"),
    "a merged request is never forgotten": (forget_merged, "still merged"),
    "an answer is not repeated": (partial(deaf_clock, Clock.ANSWER_AGAIN), "final answer"),
    "silence has no clock": (partial(stopped_clock, Clock.NO_ANSWER), "no clock runs"),
    "100 has no clock": (partial(stopped_clock, Clock.NO_RINGING), "no clock runs"),
    "ringing has no clock": (partial(stopped_clock, Clock.RING_TIMEOUT), "no clock runs"),
    "nobody hears that it rings too long": (partial(deaf_clock, Clock.RING_TIMEOUT), "rang for"),
    "nobody gives up": (partial(deaf_clock, Clock.GIVE_UP), "in silence"),
    "the caller is not told of the failure": (drop_final, "no final answer"),
    "a hedge that lost is not cancelled": (keep_the_slower, "still has it"),
    "a hedge begins after ringing": (hedge_after_ringing, "and was offered again"),
    "records get lost": (partial(forget_records, AttemptEnded), "attempts recorded of"),
}
"""What is broken → how, and a piece of a sentence that must be among those that complain. That an answer without ACK is
ended cannot be seen here: the other side ends it in the same moment, by the same rule (§13.3.1.4)."""


@pytest.mark.parametrize("fault", SABOTAGE)
def test_a_deliberate_fault_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    sabotage, sentence = SABOTAGE[fault]
    sabotage(monkeypatch)
    others: dict[str, int] = {}
    for seed in range(ENOUGH):
        try:
            wrong = invariants(play(seed))
        except Exception as error:
            wrong = [repr(error)]
        if any(sentence in text for text in wrong):
            print(f"{fault}: noticed in world {seed}")
            return
        others.update(dict.fromkeys(wrong, seed))
    pytest.fail(f"nobody noticed in {ENOUGH} worlds; noticed instead: {dict(list(others.items())[:5])}")


def test_without_a_fault_nothing_is_noticed() -> None:
    assert [text for seed in range(20) for text in invariants(play(seed))] == []
