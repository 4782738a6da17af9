"""Pictures of an engine, made by hand: an office whose main trunk is well or not."""

from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

from sipfailover.proxy.view import AccountView, AddressView, CallView, EngineView, FailoverView, TollView, TrunkView

NOW = 10_000.0
"""Monotonic seconds of every picture: 10:31:07 on Monday, 23 November 2026, in Winterthur."""

WALL_NOW = datetime(2026, 11, 23, 10, 31, 7, tzinfo=timezone(timedelta(hours=1)))


def wall(at: float) -> datetime:
    return WALL_NOW + timedelta(seconds=at - NOW)


MAIN = TrunkView(
    name="main",
    tier=1,
    order="enabled",
    health="Up",
    since=NOW - 7200,
    why="",
    carries_new_calls=True,
    target="udp 198.51.100.7:5060",
    calls_now=2,
    round_trip=0.0213,
    no_answer_within=0.8,
    no_answer_at_most=4.0,
    set_up_time=2.1,
    no_ringing_within=8.4,
    no_ringing_at_most=12.0,
    inbound="Up",
    inbound_why="",
    probe="3/3 good",
    last_probe_at=NOW - 2,
    loss_ratio=0.0,
)
BACKUP = replace(MAIN, name="backup", tier=2, target="udp 203.0.113.20:5060", calls_now=0, round_trip=0.0342)
PBX = replace(MAIN, name="pbx", tier=0, target="udp 192.0.2.5:5060", round_trip=0.0019)

ACCOUNT = AccountView(
    state="Registered",
    since=NOW - 3600,
    why="",
    granted=180,
    expires_at=NOW + 120,
    next_at=NOW + 60,
    contact="sip:sf0123456789abcd@192.0.2.9:5060",
    public="203.0.113.5:40123",
    path=("<sip:edge.carrier.example;lr>",),
    associated=("<sip:+41443210019@carrier.example>", "tel:+41443210020"),
    rewritten=False,
    stale=1,
    others=0,
)

TOLL = TollView(
    kind="abroad",
    calls=20,
    calls_per_hour=20,
    minutes=84.26,
    minutes_per_day=None,
    refused={"place": 0, "calls": 3, "minutes": 0},
    stopped="abroad: 20 calls in the last hour, 20 are allowed",
)

DEAD_MAIN = replace(
    MAIN,
    health="Down",
    since=NOW - 187,
    why="2 OPTIONS in a row without an answer, the last after 500 ms",
    carries_new_calls=False,
    calls_now=0,
    probe="0/3 good",
    loss_ratio=1.0,
)
DEAD_BACKUP = replace(DEAD_MAIN, name="backup", tier=2, target="udp 203.0.113.20:5060", why="connection refused")
TWO_ADDRESSES = replace(
    MAIN,
    addresses=(
        AddressView("udp 198.51.100.7:5060", False, False, "no answer within 2 s", NOW + 28.0, 0.0213),
        AddressView("udp 198.51.100.8:5060", True, True, "", None, None),
    ),
    addresses_story="1 of 2 addresses answer; udp 198.51.100.7:5060 avoided for 28 s: no answer within 2 s",
)
TO_BACKUP = FailoverView(number=3, at=NOW - 187, came_from="main", went_to="backup", why="main is Down: no answer.")

TALKING = CallView(
    number=41,
    direction="outbound",
    state="answered",
    caller="sip:201@192.0.2.5",
    called="sip:+41443210019@198.51.100.7",
    trunk="backup",
    rerouted=True,
    started_at=NOW - 100,
    answered_at=NOW - 92,
)
RINGING = CallView(
    number=42,
    direction="inbound",
    state="ringing",
    caller="0791234567",
    called="+41443210000",
    trunk="main",
    rerouted=False,
    started_at=NOW - 4,
    answered_at=None,
)


def picture(*trunks: TrunkView, **changes: Any) -> EngineView:
    """An engine with these trunks (default: both well) that has run for two days."""
    trunks = trunks or (MAIN, BACKUP)
    active = next((trunk.name for trunk in trunks if trunk.carries_new_calls), "")
    base = EngineView(
        now=NOW,
        started_at=NOW - 2 * 86400,
        trunks=trunks,
        pbxs=(PBX,),
        active_trunk=active,
        calls=(TALKING, RINGING),
        calls_now=2,
        last_failover=None,
        own_line="",
        own_line_since=None,
        own_line_excuses=False,
        transactions=7,
        requests={("pbx", "in", "INVITE"): 12, ("other", "in", "XYZZY"): 2, ("other", "in", "FROB"): 3},
        responses={("trunk", "in", "2xx"): 11},
        retransmissions={("in", "INVITE"): 1},
        rejected={"malformed": 4, "too_big": 0, "not_allowed": 9},
    )
    return replace(base, **changes)


def failed_over(**changes: Any) -> EngineView:
    """The main trunk is Down, calls run over the backup."""
    return picture(DEAD_MAIN, BACKUP, last_failover=TO_BACKUP, **changes)
