"""What an engine must not keep once every call is over, and calls that nothing would end, as sentences.

Looks into the engine's tables by their names, and changes nothing there.
"""

from sipfailover.proxy import Engine


def leftovers(engine: Engine) -> list[str]:
    """Everything in the engine's tables, but for the watch over the trunks (their clocks, OPTIONS and REGISTER)."""
    core = engine.core
    left = [f"still there: {thing!r}" for thing in (*core.calls.values(), *core.legs.values())]
    left += [f"still there: {tx!r}" for tx in core.layer.clients.values() if tx.key[2] not in WATCHING]
    left += [f"still there: {tx!r}" for tx in core.layer.servers.values() if tx.key[2] not in WATCHING]
    left += [f"still merged: {key!r}" for key in core.layer.merged]
    for peer, waiting in core.layer.waiting.items():
        left += [f"still waiting at {peer}: {tx!r}" for tx in waiting.values() if tx.key[2] not in WATCHING]
    left += [f"{line.name} counts {line.trunk.calls_now} calls" for line in core.lines.values() if line.trunk.calls_now]
    lines = set(map(id, core.lines.values()))
    for lane in core.timers._lanes.values():
        left += [
            f"a timer still runs: {timer.name} of {timer.owner!r}"
            for timer in lane
            if timer.owner is not None
            and id(timer.owner) not in lines
            and not any(word in repr(timer.owner) for word in ("OPTIONS", "REGISTER", "References"))
        ]
    if engine.inside.invites:
        left.append("an INVITE inside a dialog is still pending")
    if core.layer.raised:
        left.append("what transactions have raised was not handed on")
    return left


WATCHING = frozenset({b"OPTIONS", b"REGISTER"})
"""Methods of the watch over the trunks, which never ends."""


def stopped_clocks(engine: Engine) -> list[str]:
    """Calls without an answer that nothing would ever end: each has an attempt, and each attempt a clock that runs."""
    wrong = []
    for call in engine.core.calls.values():
        if call.answered_at is not None:
            continue
        if call.attempt is None:
            wrong.append(f"{call!r} has no attempt that runs")
        for attempt in (call.attempt, call.rival):
            if attempt is None:
                continue
            if attempt.over:
                wrong.append(f"{call!r} has an attempt that does not run any more, at {attempt.line.name}")
            elif attempt.clock is None or attempt.clock.owner is not attempt:
                wrong.append(f"{call!r}: no clock runs for its attempt at {attempt.line.name}")
    return wrong
