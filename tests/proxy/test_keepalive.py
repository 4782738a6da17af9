"""Keep-alives: who gets them, how often, from where; and what the transport is told for its streams."""

from itertools import pairwise

import pytest

from sipfailover.proxy.keepalive import SPREAD
from sipfailover.trunk.lease import KEEPALIVE_STREAM, KEEPALIVE_UDP
from tests.proxy.street import EDGE, EDGE_2, HOUR, PBX, TRIP, Street

BY_ADDRESS = "register: no"


def gaps(street: Street) -> list[float]:
    """Seconds between packets of ours on the registered way: keep-alives, and REGISTERs, from which they count anew."""
    first = street.pings[0][0]
    times = sorted(at for at, *_ in (*street.pings, *street.asked) if at >= first)
    return [after - before for before, after in pairwise(times)]


TRIPS = 4 * TRIP
"""A registration begins when it is granted, and its REGISTER left before."""


def test_a_registered_flow_is_kept_alive_under_25_seconds_from_where_the_register_left() -> None:
    street = Street()
    street.grant = 3600
    street.live(HOUR)
    assert {to for _, to in street.pings} == {to for _, to, _ in street.asked}
    found = gaps(street)
    assert max(found) <= KEEPALIVE_UDP + TRIPS
    assert sum(gap >= KEEPALIVE_UDP * (1 - SPREAD) for gap in found) >= HOUR / KEEPALIVE_UDP - 5, "and seldom sooner"
    assert street.engine.view(street.now).requests == {
        key: count for key, count in street.engine.view(street.now).requests.items() if key[2].isalpha()
    }, "they are no requests"


@pytest.mark.parametrize(
    ("keys", "most"),
    [("keep_alive_every: 10s", 10.0), (f"{BY_ADDRESS}, keep_alive_every: 40s", 40.0)],
    ids=["registered", "known by our address"],
)
def test_the_configured_time_goes_before_the_default_and_holds_without_a_registration(keys: str, most: float) -> None:
    street = Street(keys).until(HOUR)
    found = gaps(street)
    assert max(found) <= most + TRIPS
    assert HOUR / most <= len(street.pings) <= HOUR / (most * (1 - SPREAD))
    assert bool(street.asked) is ("register" not in keys)


@pytest.mark.parametrize("keys", ["keep_alive_every: 0s", f"{BY_ADDRESS}, keep_alive_every: 0s", BY_ADDRESS])
def test_none_are_sent_where_none_are_wanted(keys: str) -> None:
    assert Street(keys).until(HOUR).pings == []


def test_a_registrar_that_wants_them_sooner_gets_them_sooner() -> None:
    street = Street()
    street.says = lambda asked: (200, ((b"contact", asked.get(b"contact") or b""), (b"flow-timer", b"12")))
    street.until(HOUR)
    assert max(gaps(street)) <= 12.0 + TRIPS


def test_they_end_with_the_registration_and_begin_with_the_next_one() -> None:
    street = Street().until(900.0)
    street.says = lambda _: (403, ())
    street.live(300.0)
    over = street.now
    street.live(HOUR)
    assert not [at for at, _ in street.pings if at > over]
    street.says = None
    street.until_registered()
    back = street.now
    street.live(120.0)
    assert next(at for at, _ in street.pings if at > back) <= back + KEEPALIVE_UDP


def test_they_follow_the_trunk_to_another_address() -> None:
    street = Street(edges=(EDGE, EDGE_2)).until(900.0)
    street.silent = {EDGE}
    moved = street.now + 60.0
    street.live(HOUR)
    assert {to for at, to in street.pings if at > moved} == {street.target(EDGE_2)}


@pytest.mark.parametrize(
    ("keys", "least", "most"),
    [
        ("", KEEPALIVE_STREAM * (1 - SPREAD), KEEPALIVE_STREAM),
        ("keep_alive_every: 240s", 240 * (1 - SPREAD), 240.0),
        ("keep_alive_every: 0s", 0.0, 0.0),
        (f"{BY_ADDRESS}, keep_alive_every: 20s", 20.0, 20.0),
        (f"{BY_ADDRESS}, keep_alive_every: 0s", 0.0, 0.0),
    ],
)
def test_on_streams_the_transport_does_it_and_is_told_how_often(keys: str, least: float, most: float) -> None:
    street = Street(keys, transport="tcp").until(900.0)
    assert street.pings == []
    every = street.engine.keep_alive_every(EDGE, 5060)
    assert every is not None
    assert least <= every <= most


def test_on_other_streams_the_transport_does_as_usual() -> None:
    street = Street(BY_ADDRESS, transport="tcp").until(60.0)
    assert [street.engine.keep_alive_every(host, 5060) for host in (EDGE, PBX, "192.0.2.250")] == [None] * 3
