"""Taking the picture: the engine's tables as frozen views. Off the path: asked once a page or scrape."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from sipfailover.proxy import bounds, registrar
from sipfailover.proxy.call import Call
from sipfailover.proxy.core import Core
from sipfailover.proxy.entrance import Entrance
from sipfailover.proxy.line import Line
from sipfailover.proxy.view import AccountView, AddressView, CallView, EngineView, LoadView, TrunkView
from sipfailover.trunk import Addresses, Order, State, Trunk

if TYPE_CHECKING:
    from sipfailover.proxy.engine import Engine

CALLS_SHOWN = 200
"""Calls in a picture. More would make the page long and the picture slow; all are counted."""


TEXT_SHOWN = 256
"""Bytes of a carrier's header value in a picture."""


def take(engine: Engine, now: float) -> EngineView:
    """See `EngineView`."""
    core = engine.core
    calls = list(islice(reversed(core.calls.values()), CALLS_SHOWN))
    count, layer = engine.count, core.layer
    return EngineView(
        now=now,
        started_at=core.started_at,
        trunks=tuple(
            _line(line, core, now, engine.watch.failovers.active)
            for line in sorted(core.trunks, key=lambda line: line.trunk.tier)
        ),
        pbxs=tuple(_line(line, core, now) for line in core.pbxs),
        active_trunk=engine.watch.failovers.active,
        calls=tuple(_call(call) for call in reversed(calls)),
        calls_now=len(core.calls),
        last_failover=engine.watch.failovers.last,
        own_line=engine.watch.blame.words,
        own_line_since=engine.watch.blame.since if engine.watch.blame.words else None,
        own_line_excuses=engine.watch.blame.finding.excuses,
        transactions=len(layer),
        requests={(role, way, method.decode("latin-1")): n for (role, way, method), n in count.requests.items()},
        responses={(role, way, f"{kind}xx"): n for (role, way, kind), n in count.responses.items()},
        retransmissions={
            (way, method.decode("latin-1")): n
            for way, counts in (("in", layer.repeats_in), ("out", layer.repeats_out))
            for method, n in counts.items()
        },
        rejected=dict(count.rejections),
        tolls=core.tolls.view(_on_backup(engine), now),
        registers=dict(engine.registering.ended),
        hedges=dict(core.hedges),
        load=_load(engine.entrance),
        bounds=bounds.of(engine),
    )


def _load(entrance: Entrance) -> LoadView:
    load = entrance.load
    return LoadView(
        behind=load.behind,
        calls_per_second=load.rate,
        share=load.share if load.rate is not None else 0.0,
        banned=len(entrance.bans),
        bans=entrance.bans.imposed,
    )


def _on_backup(engine: Engine) -> bool:
    """Whether new calls take another trunk than one of the first choice."""
    lines, active = engine.core.lines, engine.watch.failovers.active
    first = min(line.trunk.tier for line in engine.core.trunks)
    return active in lines and lines[active].trunk.tier > first


def _line(line: Line, core: Core, now: float, active: str = "") -> TrunkView:
    trunk, no_ringing = line.trunk, core.settings.failover.no_ringing_within
    health = trunk.health
    why = health.why or ("" if health.state is State.UP else "no reason is known")
    return TrunkView(
        name=trunk.name,
        tier=trunk.tier,
        order=trunk.order.label,
        health=health.state.label,
        since=health.since,
        why=why,
        carries_new_calls=trunk.carries_new_calls or (trunk.usable and trunk.name == active),
        target=trunk.where(),
        calls_now=trunk.calls_now,
        round_trip=trunk.roundtrip.smoothed,
        no_answer_within=trunk.no_answer().bound,
        no_answer_at_most=trunk.no_answer_within,
        set_up_time=trunk.setup.mean if trunk.setup.known else None,
        no_ringing_within=trunk.no_ringing(no_ringing),
        no_ringing_at_most=no_ringing,
        inbound=trunk.inbound.state.label,
        inbound_why=trunk.inbound.why,
        probe=", ".join(part for part in ("no OPTIONS" if trunk.probe.off else "", health.progress) if part),
        last_probe_at=trunk.probe.ended_at,
        loss_ratio=trunk.probe.loss_ratio,
        registration=_registration(line, now),
        account=_account(line),
        addresses=_addresses(trunk.addresses, now),
        addresses_story=trunk.addresses.story(now),
        note=trunk.note or trunk.tls_why or _ordered(trunk, now) or _mute(trunk),
        order_until=trunk.ordered.until,
        order_who=trunk.ordered.who,
        order_why=trunk.ordered.why,
    )


def _addresses(addresses: Addresses, now: float) -> tuple[AddressView, ...]:
    return tuple(
        AddressView(
            target=str(known.target),
            in_use=known.target == addresses.current,
            answers=known.answers,
            why=known.why,
            avoided_until=known.avoided_until if known.avoided(now) else None,
            round_trip=known.round_trip,
        )
        for known in addresses.known
    )


def _ordered(trunk: Trunk, now: float) -> str:
    """An order that somebody gave, so that nothing stays forced by accident."""
    if trunk.order is Order.ENABLED:
        return ""
    told = trunk.ordered.words(now)
    return f"{trunk.order.label}, as ordered {told}" if told else ""


def _mute(trunk: Trunk) -> str:
    """What is to be known of a trunk that answers no OPTIONS."""
    if not trunk.probe.mute or trunk.probe.ended_at is None:
        return ""
    return "it answers no OPTIONS: only calls tell how it is"


def _registration(line: Line, now: float) -> str:
    if line.registrant is not None:
        return registrar.story(line.registrant, now)
    account = line.account
    if account is None or not account.registers:
        return ""
    return account.registration.story(now) if account.registration is not None else "Not registered: no address yet"


def _account(line: Line) -> AccountView | None:
    registration = line.account.registration if line.account is not None else None
    if registration is None:
        return None
    view = registration.view
    return AccountView(
        state=view.word.value,
        since=view.since,
        why=view.why,
        granted=view.granted,
        expires_at=view.expires_at,
        next_at=view.next_at,
        contact=_text(view.contact),
        public="" if view.public is None else str(view.public),
        path=tuple(map(_text, view.path)),
        associated=tuple(map(_text, view.associated)),
        rewritten=view.rewritten,
        stale=len(view.stale),
        others=len(view.others),
    )


def _text(said: bytes) -> str:
    """What a carrier wrote, as one bounded line."""
    return "".join(c if c.isprintable() else " " for c in said[:TEXT_SHOWN].decode("utf-8", "replace"))


def _call(call: Call) -> CallView:
    return CallView(
        number=call.number,
        direction=call.direction,
        state=call.progress.label,
        caller=call.caller,
        called=call.called,
        trunk=call.trunk,
        rerouted=call.rerouted,
        started_at=call.started_at,
        answered_at=call.answered_at,
    )
