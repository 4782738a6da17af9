"""Incidents: one message for each, joined, with its end, and none for what nobody needs to know."""

from dataclasses import replace

from sipfailover.alerts.condition import Condition, Severity
from sipfailover.alerts.incident import (
    BEGAN,
    CALM,
    CLEAR_FOR,
    EMERGENCY,
    FLAPPING,
    FLAPS,
    JOIN,
    OPEN_MAX,
    RECOVERED,
    REMIND_CRITICAL,
    REMINDER,
    Incidents,
    Notice,
)  # fmt: skip
from sipfailover.proxy.facts import CallEnded

MAIN = Condition("trunk", "main", Severity.WARNING, "3 OPTIONS had no answer")
BACKUP = Condition("trunk", "backup", Severity.WARNING, "3 OPTIONS had no answer")
NONE = Condition("no trunk", "", Severity.CRITICAL, "main is Down; backup is Down")


def ended(call: int = 1, *, trunk: str = "main", result: str = "answered", emergency: bool = False) -> CallEnded:
    return CallEnded(
        at=100.0, call=call, direction="outbound", caller="+41441112233", called="117" if emergency else "0443210019",
        result=result, status=200, trunk=trunk, first_choice="main", attempts=1, started_at=90.0, ringing_after=1.0,
        answered_at=95.0, ended_by="caller", call_id="x", emergency=emergency,
    )  # fmt: skip


class World:
    """Looks every two seconds, as the service does."""

    def __init__(self, incidents: Incidents | None = None) -> None:
        self.incidents = incidents or Incidents()
        self.now = 1000.0
        self.told: list[Notice] = []

    def live(self, seconds: float, *conditions: Condition) -> list[Notice]:
        """So long with this wrong. Returns what was told meanwhile."""
        told = []
        end = self.now + seconds
        while self.now < end:
            told += self.incidents.look(conditions, self.now)
            self.now += 2.0
        return told


def kinds(notices: list[Notice]) -> list[str]:
    return [notice.kind for notice in notices]


def test_what_is_well_is_not_told() -> None:
    assert World().live(3600) == []


def test_a_trunk_that_fails_is_told_once_and_so_is_its_return() -> None:
    world = World()
    began = world.live(600, MAIN)
    assert kinds(began) == [BEGAN]
    assert [one.condition for one in began[0].incidents] == [MAIN]
    assert began[0].at - 1000.0 <= JOIN[Severity.WARNING] + 2.0
    recovered = world.live(600)
    assert kinds(recovered) == [RECOVERED]
    assert recovered[0].incidents[0].seen_at == 1000.0


def test_what_is_over_before_it_was_told_is_never_told() -> None:
    world = World()
    assert world.live(JOIN[Severity.WARNING] - 4, MAIN) == []
    assert world.live(600) == []


def test_a_look_between_two_states_is_no_recovery() -> None:
    world = World()
    world.live(60, MAIN)
    assert world.live(CLEAR_FOR - 2) == []
    assert world.live(600, MAIN) == []


def test_trunks_that_fail_within_half_a_minute_are_told_together() -> None:
    world = World()
    assert world.live(20, MAIN) == []
    told = world.live(600, MAIN, BACKUP)
    assert kinds(told) == [BEGAN]
    assert [one.condition.who for one in told[0].incidents] == ["main", "backup"]


def test_calls_that_fail_are_told_at_once_and_again_every_quarter_of_an_hour() -> None:
    world = World()
    told = world.live(2 * REMIND_CRITICAL + 60, NONE, MAIN, BACKUP)
    assert kinds(told) == [BEGAN, REMINDER, REMINDER]
    assert told[0].at - 1000.0 <= JOIN[Severity.CRITICAL] + 2.0
    assert told[0].severity is Severity.CRITICAL
    assert [one.condition.what for one in told[0].incidents] == ["no trunk", "trunk", "trunk"], "the worst first"
    assert [one.condition.what for one in told[1].incidents] == ["no trunk"]
    assert kinds(world.live(60)) == [RECOVERED]


def test_who_comes_and_goes_is_told_as_flapping_once_until_it_has_been_calm() -> None:
    world = World()
    told: list[str] = []
    for _ in range(8):
        told += kinds(world.live(120, MAIN))
        told += kinds(world.live(120))
    assert told == [*[BEGAN, RECOVERED] * (FLAPS - 1), FLAPPING]
    world.live(CALM + 60)
    assert kinds(world.live(120, MAIN)) == [BEGAN]


def test_calls_are_counted_while_it_lasts() -> None:
    world = World()
    world.live(60, MAIN)
    for fact in (
        ended(1, trunk="backup"),
        ended(2, trunk="backup"),
        ended(3, trunk="", result="trunk failed"),
        ended(4),
    ):
        world.incidents.record(fact)
    assert world.live(60)[0].counts == (2, 1)


def test_calls_that_showed_it_are_counted_and_its_evidence_is_that_of_its_beginning() -> None:
    world = World()
    world.now = 101.0
    world.incidents.record(ended(1, trunk="backup"))
    assert kinds(world.live(60, MAIN)) == [BEGAN]
    world.live(60, replace(MAIN, why="nothing failed for 5 s; single calls show whether calls work"))
    (over,) = world.live(60)
    assert over.counts == (1, 0)
    assert over.incidents[0].condition.why == MAIN.why


def test_an_emergency_call_that_went_another_way_is_told_at_once() -> None:
    world = World()
    world.incidents.record(ended(emergency=True))
    assert world.live(2) == []
    world.incidents.record(ended(2, trunk="backup", emergency=True))
    (told,) = world.live(2)
    assert (told.kind, told.severity, told.text) == (
        EMERGENCY, Severity.WARNING, "A call to 117 went over backup instead of main",
    )  # fmt: skip
    world.incidents.record(ended(3, trunk="", result="trunk failed", emergency=True))
    (told,) = world.live(2)
    assert told.severity is Severity.CRITICAL
    assert "reached nobody" in told.text


def test_after_a_restart_what_was_told_is_not_told_again_and_its_end_is() -> None:
    before = World()
    before.live(60, MAIN)
    after = World(Incidents(before.incidents.told))
    assert after.live(600, MAIN) == []
    assert kinds(after.live(60)) == [RECOVERED]
    gone_meanwhile = World(Incidents(before.incidents.told))
    assert kinds(gone_meanwhile.live(60)) == [RECOVERED]


def test_the_conditions_that_are_followed_are_bounded() -> None:
    world = World()
    many = [Condition("certificate", str(number), Severity.NOTICE, "ends soon") for number in range(3 * OPEN_MAX)]
    (told,) = world.live(60, *many)
    assert len(told.incidents) == len(world.incidents.open) == OPEN_MAX
