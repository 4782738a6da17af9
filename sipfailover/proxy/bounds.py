"""The bounds of the engine in one place: each collection that peers can fill, how full it is, and how full it may get.

Who suffers when one is reached stands beside its constant. What is not listed cannot grow with what peers send: the
tables of a trunk or PBX (one row for each address, account or number that is remembered, bounded where they are kept),
and what one call has (attempts by its ladder, early dialogs by `forks.FORKS_MAX`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sipfailover.proxy import count, entrance, registrar
from sipfailover.proxy.view import Fill
from sipfailover.routing import BANS_MAX, LOAD_SOURCES_MAX, SOURCES_MAX

if TYPE_CHECKING:
    from sipfailover.proxy.engine import Engine


def of(engine: Engine) -> tuple[Fill, ...]:
    """Every bounded collection that peers can fill, as it is now."""
    core, door, desk = engine.core, engine.entrance, engine.registrar
    busiest = max((line.trunk.calls_now for line in core.lines.values()), default=0)
    return (
        Fill("calls", len(core.calls), entrance.CALLS_MAX),
        Fill("calls_of_one_line", busiest, entrance.CALLS_OF_ONE_MAX),
        Fill("transactions", len(core.layer), entrance.TRANSACTIONS_MAX),
        Fill("guests", len(door.guests), entrance.GUESTS_MAX),
        Fill("banned", len(door.bans), BANS_MAX),
        Fill("strangers_with_strikes", door.bans.strikes, SOURCES_MAX),
        Fill("strangers_told", door.told, entrance.STRANGERS_TOLD_MAX),
        Fill("calling_sources", door.load.sources, LOAD_SOURCES_MAX),
        *(Fill(f"allowance_{name}", used, SOURCES_MAX) for name, used in (*door.allowances, *desk.allowances)),
        Fill("registers_unanswered", desk.unanswered, registrar.UNANSWERED_MAX),
        Fill("registers_told", desk.told, registrar.TOLD_MAX),
        Fill("methods", engine.count.methods, count.METHODS_MAX),
    )
