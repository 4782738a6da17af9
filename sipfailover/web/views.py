"""Readiness, JSON status and plain lines: pure functions of `EngineView`, schema 1 (new keys may come, none goes)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain

from sipfailover.proxy.view import AccountView, AddressView, CallView, EngineView, FailoverView, TollView, TrunkView
from sipfailover.trouble import Trouble

from .words import Show, Wall, mask, masked_text, rfc3339, sentence

SCHEMA = 1
LOOP_LAG_MAX = 2.0
"""Seconds the event loop may be late before `/healthz` says so and the container is restarted."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of `/readyz?verbose`, in the style of Kubernetes."""

    name: str
    problem: str = ""
    """Why it fails; empty when it is well."""
    needed: bool = True
    """Whether we are unready without it. One trunk of several is not needed."""

    def __str__(self) -> str:
        return f"[-]{self.name}: {self.problem}" if self.problem else f"[+]{self.name} ok"


def health(loop_lag: float) -> tuple[int, str]:
    """(HTTP status, text): whether the loop turns. Trunks play no part: a carrier's outage must not restart us."""
    return (200, "ok\n") if loop_lag < LOOP_LAG_MAX else (503, f"the event loop is {loop_lag:.1f} s late\n")


def checks(
    view: EngineView,
    *,
    draining: bool,
    unbound: Sequence[str],
    watched: Sequence[str] = (),
    troubles: Sequence[Trouble] = (),
) -> tuple[Check, ...]:
    """Everything readiness looks at, in the order in which one would repair it. `watched`: what may be in trouble."""
    wrong = {trouble.what: trouble.text for trouble in troubles}
    usable = any(trunk.carries_new_calls for trunk in view.trunks)
    return (
        Check("running", "draining: new calls are refused" if draining else ""),
        Check("listeners", "; ".join(unbound)),
        *(Check(f"trunk {trunk.name}", _unfit(trunk), needed=not usable) for trunk in view.trunks),
        *(Check(f"pbx {pbx.name}", _unfit(pbx), needed=False) for pbx in view.pbxs),
        *(Check(what, wrong.get(what, ""), needed=False) for what in watched),
    )


def _unfit(trunk: TrunkView) -> str:
    if trunk.carries_new_calls:
        return ""
    if trunk.order != "enabled":
        return f"{trunk.order}, as ordered"
    if trunk.health == "Up":
        return trunk.target  # which says why there is no address
    return f"{trunk.health}: {trunk.why}" if trunk.why else trunk.health


def ready(found: Sequence[Check], *, verbose: bool) -> tuple[int, str]:
    """(HTTP status, text). 200 when every needed check is well; else 503 with the reasons, asked or not."""
    failed = [check for check in found if check.problem and check.needed]
    shown = found if verbose else failed
    verdict = "not ready" if failed else "ready" if verbose else "ok"
    return (503 if failed else 200), "".join(f"{line}\n" for line in chain(shown, (verdict,)))


@dataclass(frozen=True, slots=True)
class ConfigView:
    """Which configuration is in effect, and what came of the last reload."""

    fingerprint: str
    loaded_at: float
    """Seconds, monotonic, as the others."""
    reload_good: bool = True
    """False: the last file was refused."""
    reload_at: float | None = None
    """None: there was none."""
    reload_lines: tuple[str, ...] = ()
    """What it changed, or what is wrong with the file."""


def status(
    view: EngineView,
    wall: Wall,
    *,
    site: str,
    version: str,
    draining: bool = False,
    warnings: Sequence[str] = (),
    troubles: Sequence[Trouble] = (),
    config: ConfigView | None = None,
    show: Show = mask,
) -> dict[str, object]:
    """The picture as `/status` gives it: seconds, RFC 3339 times, numbers masked unless `show` says otherwise."""
    summary = sentence(view, wall, draining=draining)
    return {
        "schema": SCHEMA,
        "version": version,
        "site": site,
        "time": rfc3339(view.now, wall),
        "started": rfc3339(view.started_at, wall),
        "uptime_seconds": int(view.now - view.started_at),
        "draining": draining,
        "summary": {"state": summary.state, "text": summary.text},
        "active_trunk": view.active_trunk,
        "pbxs": [_line(pbx, view.now, wall) for pbx in view.pbxs],
        "trunks": [
            {**_line(trunk, view.now, wall), "tier": trunk.tier, "account": _account(trunk.account, wall, show)}
            for trunk in view.trunks
        ],
        "calls": {"now": view.calls_now, "shown": [_call(call, view, wall, show) for call in view.calls]},
        "last_failover": _failover(view.last_failover, wall),
        "hedges": _hedges(view.hedges),
        "own_line": {
            "why": view.own_line,
            "since": None if view.own_line_since is None else rfc3339(view.own_line_since, wall),
        },
        "load": {
            "behind_seconds": round(view.load.behind, 3),
            "new_calls_per_second": _rounded(view.load.calls_per_second),
            "share_of_one_source": _rounded(view.load.share) if view.load.calls_per_second is not None else None,
            "banned_addresses": view.load.banned,
            "not_served": dict(view.rejected),
            "kernel_drops": view.transport.get("kernel_drops", 0),
            "shut_out": view.transport.get("shut_out", 0),
        },
        "bounds": [{"name": fill.name, "now": fill.now, "at_most": fill.at_most} for fill in view.bounds],
        "toll_fraud": [_toll(toll) for toll in view.tolls],
        "config": None if config is None else _config(config, wall, show),
        "troubles": [
            {"what": trouble.what, "since": rfc3339(trouble.since, wall), "text": str(trouble)} for trouble in troubles
        ],
        "warnings": list(all_warnings(view, (*warnings, *map(str, troubles)))),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def _config(config: ConfigView, wall: Wall, show: Show) -> dict[str, object]:
    last = None
    if config.reload_at is not None:
        lines = [line if show is not mask else masked_text(line) for line in config.reload_lines]
        last = {"time": rfc3339(config.reload_at, wall), "good": config.reload_good, "lines": lines}
    return {"fingerprint": config.fingerprint, "loaded": rfc3339(config.loaded_at, wall), "last_reload": last}


def all_warnings(view: EngineView, further: Sequence[str]) -> tuple[str, ...]:
    """What the operator should know and no card says by its state: the notes of the lines, then the others."""
    notes = (f"{line.name}: {line.note}" for line in chain(view.trunks, view.pbxs) if line.note)
    tolls = (f"Calls are refused by toll_fraud. {toll.stopped}." for toll in view.tolls if toll.stopped)
    return (*notes, *_overload(view), *tolls, *further)


def _overload(view: EngineView) -> tuple[str, ...]:
    """Whether calls are refused now because there are too many."""
    load = view.load
    if load.calls_per_second is None:
        return ()
    return (f"Overloaded: no source may begin more than {load.share:.0f} calls a second now",)


def _toll(toll: TollView) -> dict[str, object]:
    return {
        "kind": toll.kind,
        "calls_in_the_last_hour": toll.calls,
        "calls_per_hour": toll.calls_per_hour,
        "minutes_today": round(toll.minutes, 1),
        "minutes_per_day": toll.minutes_per_day,
        "refused": toll.refused,
        "stopped": toll.stopped,
    }


def _line(trunk: TrunkView, now: float, wall: Wall) -> dict[str, object]:
    return {
        "name": trunk.name,
        "order": trunk.order,
        "ordered": {
            "until": None if trunk.order_until is None else rfc3339(trunk.order_until, wall),
            "who": trunk.order_who,
            "why": trunk.order_why,
        },
        "state": trunk.health.lower(),
        "since": rfc3339(trunk.since, wall),
        "why": trunk.why,
        "carries_new_calls": trunk.carries_new_calls,
        "check": {
            "progress": trunk.probe,
            "last": None if trunk.last_probe_at is None else rfc3339(trunk.last_probe_at, wall),
            "round_trip_seconds": None if trunk.round_trip is None else round(trunk.round_trip, 6),
            "loss_ratio": round(trunk.loss_ratio, 4),
        },
        "no_answer_within_seconds": round(trunk.no_answer_within, 3),
        "clocks": {
            "no_answer_seconds": {"now": round(trunk.no_answer_within, 3), "at_most": trunk.no_answer_at_most},
            "no_ringing_seconds": {"now": round(trunk.no_ringing_within, 3), "at_most": trunk.no_ringing_at_most},
            "set_up_seconds": None if trunk.set_up_time is None else round(trunk.set_up_time, 3),
        },
        "inbound": {"state": trunk.inbound.lower(), "why": trunk.inbound_why},
        "registration": trunk.registration,
        "calls": {"now": trunk.calls_now},
        "target": trunk.target,
        "addresses": [_address(address, now) for address in trunk.addresses],
    }


def _address(address: AddressView, now: float) -> dict[str, object]:
    return {
        "target": address.target,
        "in_use": address.in_use,
        "answers": address.answers,
        "why": address.why,
        "avoided_seconds": None if address.avoided_until is None else round(address.avoided_until - now, 3),
        "round_trip_seconds": None if address.round_trip is None else round(address.round_trip, 6),
    }


def _account(account: AccountView | None, wall: Wall, show: Show) -> dict[str, object] | None:
    """The registration in parts, for scripts; None where none is used."""
    if account is None:
        return None
    return {
        "state": account.state.lower(),
        "since": rfc3339(account.since, wall),
        "why": account.why,
        "granted_seconds": account.granted,
        "expires": None if account.expires_at is None else rfc3339(account.expires_at, wall),
        "next": None if account.next_at is None else rfc3339(account.next_at, wall),
        "contact": account.contact,
        "public_address": account.public or None,
        "address_rewritten": account.rewritten,
        "path": list(account.path),
        "identities": [show(_uri_in(identity)) for identity in account.associated],
        "stale_bindings": account.stale,
        "other_bindings": account.others,
    }


def _uri_in(value: str) -> str:
    """The URI of a name-addr: what stands in angle brackets, or all of it."""
    _, bracket, rest = value.partition("<")
    return rest.partition(">")[0] if bracket else value


def _call(call: CallView, view: EngineView, wall: Wall, show: Show) -> dict[str, object]:
    return {
        "id": call.number,
        "direction": call.direction,
        "state": call.state,
        "caller": show(call.caller),
        "called": show(call.called),
        "trunk": call.trunk,
        "rerouted": call.rerouted,
        "started": rfc3339(call.started_at, wall),
        "answered": None if call.answered_at is None else rfc3339(call.answered_at, wall),
        "duration_seconds": None if call.answered_at is None else int(view.now - call.answered_at),
    }


def _hedges(counts: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """Second attempts beside one that was under way, by who has won."""
    who = ("first", "second", "neither")
    return {won: sum(number for (_, known), number in counts.items() if known == won) for won in who}


def _failover(last: FailoverView | None, wall: Wall) -> dict[str, object] | None:
    if last is None:
        return None
    return {
        "id": last.number,
        "time": rfc3339(last.at, wall),
        "from": last.came_from,
        "to": last.went_to,
        "why": last.why,
    }


def plain(view: EngineView, wall: Wall) -> str:
    """One line a trunk, `key=value` after the name, for grep and eyes."""
    return "".join(
        f"{trunk.name} tier={trunk.tier} order={trunk.order} state={trunk.health.lower()}"
        f" since={rfc3339(trunk.since, wall)}"
        f" new_calls={'yes' if trunk.carries_new_calls else 'no'} calls={trunk.calls_now}"
        f" round_trip={'-' if trunk.round_trip is None else f'{trunk.round_trip:.3f}'}"
        f" target={_quoted(trunk.target)} why={_quoted(trunk.why)}\n"
        for trunk in view.trunks
    )


def _quoted(text: str) -> str:
    clean = "".join(c if c.isprintable() else " " for c in text)
    return '"' + clean.replace("\\", "\\\\").replace('"', '\\"') + '"'
