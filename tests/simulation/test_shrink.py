"""Delta debugging finds the few that matter, and knows when to stop."""

from collections.abc import Sequence

from tests.simulation import schedules
from tests.simulation.schedules import play, report
from tests.simulation.shrink import shrink


def test_the_two_that_matter_are_left_of_many() -> None:
    asked = []

    def fails(some: Sequence[int]) -> bool:
        asked.append(len(some))
        return {3, 17} <= set(some)

    assert shrink(range(40), fails) == [3, 17]
    assert len(asked) < 80


def test_nothing_is_left_where_it_fails_anyway() -> None:
    assert shrink(range(9), lambda some: True) == []


def test_it_stops_after_so_many_tries() -> None:
    asked = []

    def fails(some: Sequence[int]) -> bool:
        asked.append(some)
        return set(some) >= set(range(0, 100, 2))

    left = shrink(range(100), fails, tries=10)
    assert len(asked) == 10
    assert set(left) >= set(range(0, 100, 2))


def test_events_that_are_left_out_do_not_happen_and_change_nothing_else() -> None:
    whole, seed = next((world, seed) for seed in range(50) if has_three_calls(world := play(seed)))
    calls = [place for place, event in enumerate(whole.events) if event.text.startswith("the office calls")]
    part = play(seed, frozenset(calls[1:]))
    assert [leg.number for leg in part.calls] == [whole.calls[0].number]
    assert [event.text for event in part.events] == [event.text for event in whole.events]
    assert {line[10:] for line in part.treated} & {line[10:] for line in whole.treated}


def has_three_calls(world: schedules.Play) -> bool:
    """And a carrier heard of the first one."""
    return len(world.calls) >= 3 and any(world.calls[0].number in line for line in world.treated)


def test_a_bad_world_is_told_with_its_seed_and_what_it_takes(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    good = schedules.invariants
    blamed = play(11).events[0]

    def harsh(story: schedules.Play) -> list[str]:
        numbers = {leg.number for leg in story.calls}
        return (
            [*good(story), "somebody was called"] if any(number in blamed.text for number in numbers) else good(story)
        )

    assert report(11) == ""
    monkeypatch.setattr(schedules, "invariants", harsh)
    text = report(11)
    assert text.startswith("world 11:\n  * somebody was called\nit takes 1 of its ")
    assert blamed.text in text
    assert text.endswith("again: python -m tests.simulation.schedules 11")
