"""Phones and carriers of the simulator, connected straight to each other: they must be sound before they may judge
the engine."""

import pytest

from sipfailover.chance import Chance
from sipfailover.flow import Flow, Target
from sipfailover.proxy.commands import Command
from sipfailover.simulator import Carrier, Manners, Mode, Network, Phone, Weather, World

OFFICE = ("192.0.2.10", 5060)
CARRIER = ("198.51.100.1", 5060)


class Nobody:
    """An engine's place with nobody in it."""

    def receive(self, flow: Flow, data: bytes, now: float) -> None:
        raise AssertionError("nobody is here")

    def lost(self, where: Target, reason: str, now: float) -> None: ...

    def resolved(self, name: str, targets: tuple[Target, ...], now: float, why: str = "") -> None: ...

    def wake(self, now: float) -> None: ...

    def deadline(self) -> float | None:
        return None

    def take(self) -> list[Command]:
        return []


class Pair:
    """A phone that calls a carrier without anybody in between."""

    def __init__(self, seed: int = 1, weather: Weather = Weather()) -> None:  # noqa: B008
        self.world = World(Nobody(), ("203.0.113.1", 5060), Network(Chance(seed), weather))
        self.phone = Phone("office", OFFICE, Chance(seed + 1), proxy=CARRIER)
        self.carrier = Carrier("carrier", CARRIER, Chance(seed + 2))
        self.world.join(self.phone)
        self.world.join(self.carrier)

    def run(self, seconds: float = 400.0) -> None:
        self.world.collect(self.phone)
        self.world.collect(self.carrier)
        self.world.run(self.world.now + seconds)

    def messages(self, start: bytes) -> int:
        return sum(1 for passed in self.world.passed if not passed.arrived and passed.data.startswith(start))

    def clean(self) -> None:
        assert self.phone.leftovers + self.carrier.leftovers == []
        assert self.phone.trouble + self.carrier.trouble == []
        assert [leg.trouble for leg in self.phone.legs + self.carrier.legs if leg.trouble] == []


def test_a_call_rings_is_answered_and_hung_up_by_the_caller():
    pair = Pair()
    leg = pair.phone.call("+41443210019", talk=5.0)
    pair.run()
    (other,) = pair.carrier.legs
    assert (leg.status, leg.ended_by, other.ended_by) == (200, "us", "them")
    assert other.number == "+41443210019"
    assert leg.ringing_after is not None
    assert leg.ringing_after < 0.1
    assert not leg.ghost
    assert not other.ghost
    pair.clean()


def test_the_called_side_hangs_up():
    pair = Pair()
    pair.carrier.talk = 3.0
    leg = pair.phone.call("1")
    pair.run()
    assert (leg.ended_by, pair.carrier.legs[0].ended_by) == ("them", "us")
    pair.clean()


def test_the_carrier_calls_the_office():
    pair = Pair()
    leg = pair.carrier.invite("+41443210010", "+41790000000", OFFICE)
    pair.world.plan(10.0, pair.carrier, lambda: pair.carrier.hang_up(leg))
    pair.run()
    assert (leg.status, leg.ended_by, pair.phone.legs[0].ended_by) == (200, "us", "them")
    pair.clean()


def test_hold_is_a_second_invite_in_the_same_dialog():
    pair = Pair()
    pair.phone.call("1", talk=5.0, hold=1.0)
    pair.run()
    assert pair.messages(b"INVITE ") == 2
    assert len(pair.carrier.legs) == 1
    pair.clean()


def test_an_impatient_caller_cancels_and_is_told_487():
    pair = Pair()
    leg = pair.phone.call("1", patience=0.5)
    pair.run()
    assert leg.status == 487
    assert pair.carrier.legs[0].cancelled_at is not None
    pair.clean()


def test_cancel_waits_for_a_provisional_answer():
    pair = Pair()
    pair.carrier.script = lambda leg, chance: Manners(trying=None, ringing=2.0, final=4.0)
    leg = pair.phone.call("1", patience=0.1)
    pair.run()
    cancels = [passed.at for passed in pair.world.passed if passed.data.startswith(b"CANCEL")]
    assert min(cancels) > 2.0
    assert leg.status == 487
    pair.clean()


def test_an_answer_that_crosses_a_cancel_is_acked_and_byed():
    pair = Pair()
    pair.carrier.script = lambda leg, chance: Manners(final=0.5)
    leg = pair.phone.call("1", patience=0.505)
    pair.run()
    assert leg.ended_by == "us: the answer crossed our CANCEL"
    assert not pair.carrier.legs[0].ghost
    pair.clean()


def test_an_answer_long_after_cancel_is_acked_and_byed():
    pair = Pair()
    pair.carrier.mode = Mode.LATE_ANSWER
    leg = pair.phone.call("1", patience=1.0)
    pair.run()
    assert leg.answered_at is not None
    assert not leg.ghost
    assert not pair.carrier.legs[0].ghost
    pair.clean()


@pytest.mark.parametrize(
    ("mode", "status"),
    [
        (Mode.NORMAL, 200),
        (Mode.SILENT, 408),
        (Mode.OPTIONS_ONLY, 408),
        (Mode.REFUSING, 503),
        (Mode.FORBIDDING, 403),
        (Mode.BUSY, 486),
        (Mode.RINGS_THEN_FAILS, 500),
        (Mode.SLOW, 200),
        (Mode.TRYING_ONLY, 487),
    ],
)
def test_each_mode_ends_the_call_its_way(mode: Mode, status: int):
    pair = Pair()
    pair.carrier.mode = mode
    leg = pair.phone.call("1", patience=60.0, talk=2.0)
    pair.run()
    assert leg.status == status
    assert leg.finals <= 1
    assert pair.phone.leftovers + pair.carrier.leftovers == []


def test_a_stopped_carrier_catches_up():
    pair = Pair()
    pair.carrier.mode = Mode.STOPPED
    leg = pair.phone.call("1", talk=1.0)
    pair.world.plan(5.0, pair.carrier, lambda: pair.carrier.become(Mode.NORMAL, pair.world.now))
    pair.run()
    assert leg.status == 200
    assert leg.ringing_after is not None
    assert leg.ringing_after > 5.0
    assert len(pair.carrier.legs) == 1
    pair.clean()


def test_nothing_is_repeated_on_a_good_network():
    pair = Pair()
    pair.phone.call("1", talk=5.0)
    pair.run()
    assert len({passed.data for passed in pair.world.passed}) == pair.messages(b"")


@pytest.mark.parametrize("seed", range(60))
def test_bad_weather_changes_nothing_in_the_end(seed: int):
    pair = Pair(seed, Weather(delay=0.05, jitter=0.2, loss=0.3, duplicate=0.2, reorder=0.3))
    legs = [pair.phone.call(str(number), talk=2.0) for number in range(3)]
    pair.run()
    assert [leg.status for leg in legs] == [200] * 3
    assert not any(leg.ghost for leg in pair.phone.legs + pair.carrier.legs)
    assert len(pair.carrier.legs) == 3
    pair.clean()


def test_the_same_seed_is_the_same_world_byte_for_byte():
    def story(seed: int) -> list[object]:
        pair = Pair(seed, Weather(jitter=0.1, loss=0.1, duplicate=0.1, reorder=0.1))
        pair.phone.call("1", talk=2.0)
        pair.run()
        return list(pair.world.passed)

    assert story(7) == story(7)
    assert story(7) != story(8)
