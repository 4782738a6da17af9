"""The service is killed at every single step of a call of every kind, and both ends are left as they should be.

SIPFAILOVER_CRASHES=all lives through every step with each of several times until the next process is there, and through
two crashes in a row (`make soak` does); otherwise it is every step once.
"""

import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import pytest

from sipfailover.proxy import Engine, Forget, Keep
from sipfailover.proxy.core import Core
from tests.simulation.crashes import KINDS, live, steps, worlds, wrong_with

ALL = os.environ.get("SIPFAILOVER_CRASHES") == "all"
AWAY = (0.2, 3.0)
"""Seconds: peers repeat what had no answer after the first, and have repeated it several times after the second."""


def bad(jobs: list[tuple[str, tuple[int, ...], float]]) -> list[str]:
    """What is wrong with these worlds, over all cores, and how to live through one again."""
    found = []
    with ProcessPoolExecutor() as pool:
        for job, wrong in zip(jobs, pool.map(_wrong, jobs, chunksize=20), strict=True):
            if wrong:
                found.append(f"{job}: {'; '.join(wrong)}")
    return found


def _wrong(job: tuple[str, tuple[int, ...], float]) -> list[str]:
    kind, dies_at, away = job
    return wrong_with(kind, dies_at, away)


@pytest.mark.parametrize("kind", KINDS)
def test_a_world_without_a_crash_is_a_good_one(kind: str) -> None:
    assert wrong_with(kind, ()) == []
    assert steps(kind) > 5


@pytest.mark.slow
@pytest.mark.parametrize("away", AWAY)
def test_a_crash_at_every_step_of_every_kind_of_call_leaves_both_ends_consistent(away: float) -> None:
    jobs = list(worlds(away))
    assert len(jobs) > 400
    found = bad(jobs)
    assert found == [], "\n".join(found)


@pytest.mark.slow
@pytest.mark.skipif(not ALL, reason="SIPFAILOVER_CRASHES=all lives through two crashes in a row, for minutes")
@pytest.mark.parametrize("away", AWAY)
def test_a_second_crash_soon_after_the_first_changes_nothing(away: float) -> None:
    found = bad(list(worlds(away, twice=True)))
    assert found == [], "\n".join(found)


# -- these worlds can tell --------------------------------------------------------------------------------------------


def without(*kinds: str) -> Any:
    """An engine that keeps nothing of some kinds."""
    take = Engine.take

    def less(engine: Engine) -> list[Any]:
        kept = []
        for one in take(engine):
            if isinstance(one, Keep):
                one = Keep(tuple(pair for pair in one.records if not pair[0].startswith(kinds)), one.instead_of)
            kept.append(one)
        return kept

    return less


def never_forgets(engine: Engine, take: Any = Engine.take) -> list[Any]:
    """One that leaves everything there."""
    return [one for one in take(engine) if not isinstance(one, Forget)]


FORGETFUL = {
    "answered calls": (without("call/"), "out, the caller hangs up", "talk with"),
    "answers": (without("answer/"), "out, the caller hangs up", "acknowledged"),
    "set-ups": (without("try/"), "out, the caller hangs up", "final answer"),
    "refusals": (without("final/"), "out, busy", "final answers"),
    "INVITEs inside calls": (without("ask/"), "out, held by the caller", "INVITE of office had no answer"),
    "BYEs": (without("bye/"), "out, the main trunk answers late", "talk with"),
    "what is to be forgotten": (never_forgets, "out, busy", "still kept"),
}


@pytest.mark.parametrize("what", FORGETFUL)
def test_what_is_not_kept_is_noticed(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    take, kind, sentence = FORGETFUL[what]
    monkeypatch.setattr(Engine, "take", take)
    said = {text for step in range(steps(kind)) for text in wrong_with(kind, (step,), 3.0)}
    assert any(sentence in text for text in said), said


def test_a_cancel_that_is_not_sent_after_the_crash_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Core, "keep_try", lambda *_: None)
    said = {text for step in range(20) for text in wrong_with("out, nobody answers", (step,), 3.0)}
    assert any("nobody cancels" in text or "final answer" in text for text in said), said


def test_the_process_is_killed_where_it_is_said() -> None:
    story = live("out, the caller hangs up", (3,), 3.0)
    assert story.mortal.died_at == [pytest.approx(story.mortal.died_at[0])]
    assert story.mortal.lives == 2
    assert len(live("out, the caller hangs up", (3, 5), 0.2).mortal.died_at) == 2
