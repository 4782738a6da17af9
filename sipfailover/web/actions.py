"""What people do over HTTP: reload, drain, and orders for trunks. POST and DELETE, with the token, answered as JSON.

A browser that somebody else's page misuses has no token to send (there is no cookie), and what comes from another
origin is refused before that is looked at. What is done is the shell's (`Deeds`); the words of the requests are here.
"""

import json
import math
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from hmac import compare_digest
from typing import Any, Protocol
from urllib.parse import urlsplit

from aiohttp import web

from sipfailover.config import duration
from sipfailover.trunk import Order

from .words import Wall

TEXT_MAX = 200
"""Characters of who and why that are kept."""
USUALLY_FOR = 3600.0
"""Seconds that an order lasts where nothing is said: nothing stays forced by accident."""
LONGEST = 30 * 86400.0
REFUSALS_TOLD_EVERY = 60.0
"""Seconds between two lines in the log about requests without the right token."""

RELEASE = "release"
ORDERS = {
    "use": Order.USED,
    "hold": Order.USED,
    "maintenance": Order.DRAINING,
    "off": Order.OFF,
    "resume": Order.ENABLED,
}
"""Words of requests → orders. `use` and `hold` say the same of one trunk: new calls go there."""
NO_TOKEN = "nothing changes over HTTP while no token is configured: set status.token or status.token_file"


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What came of a reload."""

    good: bool
    """False: the file was refused, and nothing changed."""
    at: float
    """Seconds, monotonic."""
    fingerprint: str
    """Of what is in effect now."""
    lines: tuple[str, ...]
    """What changed, with its effect; or what is wrong with the file."""
    who: str = ""


@dataclass(frozen=True, slots=True)
class Drained:
    """How draining stands."""

    being_set_up: int
    calls: int
    ends_within: float
    """Seconds, at most."""


class Deeds(Protocol):
    """Who does it. All in the event loop; none of them raises for what an operator says, but KeyError for a trunk or
    PBX that there is not."""

    async def reload(self, who: str) -> Reloaded: ...
    def begin_drain(self, who: str) -> Drained: ...
    def order(self, name: str, order: Order, seconds: float | None, who: str, why: str) -> None: ...
    def release(self, name: str, who: str, why: str) -> None: ...
    def active(self) -> str: ...
    def names(self) -> tuple[str, ...]: ...


class Unacceptable(Exception):
    """The request cannot be understood; the text says why."""


class Actions:
    """The handlers. `token`: b"" refuses everything."""

    def __init__(
        self, deeds: Deeds | None, token: bytes, say: Callable[[str, str, dict[str, object]], None], wall: Wall
    ) -> None:
        self.deeds = deeds
        self.token = token
        self._say = say
        self._wall = wall
        self._told_at = -math.inf

    def add_to(self, router: web.UrlDispatcher) -> None:
        """The routes."""
        router.add_post("/-/reload", self._with_token(self._reload))
        router.add_post("/-/drain", self._with_token(self._drain))
        router.add_post("/api/v1/hold", self._with_token(self._hold))
        router.add_post("/api/v1/trunks/{name}/order", self._with_token(self._order))
        router.add_delete("/api/v1/trunks/{name}/order", self._with_token(self._resume))

    def knows(self, request: web.Request) -> bool:
        """Whether a request shows the token. Compared in constant time."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        return bool(self.token) and scheme.lower() == "bearer" and compare_digest(given.strip().encode(), self.token)

    # -- who may ------------------------------------------------------------------------------------------------------

    def _with_token(
        self, handler: Callable[[web.Request, Deeds, dict[str, Any]], Awaitable[web.Response]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def guarded(request: web.Request) -> web.Response:
            if not self.token or self.deeds is None:
                return _refused(403, NO_TOKEN)
            if not _is_ours(request):
                return _refused(403, "this comes from another site's page")
            if not self.knows(request):
                self._tell(request)
                shown = "another token than ours" if "Authorization" in request.headers else "no token"
                answer = _refused(401, f"{shown} was shown: send Authorization: Bearer TOKEN (status.token)")
                answer.headers["WWW-Authenticate"] = "Bearer"
                return answer
            try:
                return await handler(request, self.deeds, await _body(request))
            except Unacceptable as error:
                return _refused(400, str(error))

        return guarded

    def _tell(self, request: web.Request) -> None:
        now = time.monotonic()
        if now >= self._told_at + REFUSALS_TOLD_EVERY:
            self._told_at = now
            self._say(
                "warning", "a request over HTTP had not our token", {"source": request.remote, "path": request.path}
            )

    # -- what ---------------------------------------------------------------------------------------------------------

    async def _reload(self, request: web.Request, deeds: Deeds, body: dict[str, Any]) -> web.Response:
        done = await deeds.reload(_who(request, body))
        key = "changes" if done.good else "problems"
        answer = {"good": done.good, "fingerprint": done.fingerprint, key: list(done.lines)}
        return _json(answer, 200 if done.good else 422)

    async def _drain(self, request: web.Request, deeds: Deeds, body: dict[str, Any]) -> web.Response:
        drained = deeds.begin_drain(_who(request, body))
        answer: dict[str, object] = {
            "draining": True,
            "being_set_up": drained.being_set_up,
            "calls": drained.calls,
            "ends_within_seconds": round(drained.ends_within, 1),
        }
        return _json(answer, 202)

    async def _hold(self, request: web.Request, deeds: Deeds, body: dict[str, Any]) -> web.Response:
        """Stay where we are: new calls go on over the trunk that has them now."""
        name = deeds.active()
        if not name:
            return _refused(409, "no trunk can carry a call: there is nothing to hold")
        return self._ordered(request, deeds, name, "hold", body)

    async def _order(self, request: web.Request, deeds: Deeds, body: dict[str, Any]) -> web.Response:
        word = body.get("order")
        if not isinstance(word, str) or (word not in ORDERS and word != RELEASE):
            words = ", ".join((*ORDERS, RELEASE))
            raise Unacceptable(f"order: {word!r} is none" if word else f"order is missing: one of {words}")
        return self._ordered(request, deeds, request.match_info["name"], word, body)

    async def _resume(self, request: web.Request, deeds: Deeds, body: dict[str, Any]) -> web.Response:
        return self._ordered(request, deeds, request.match_info["name"], "resume", body)

    def _ordered(self, request: web.Request, deeds: Deeds, name: str, word: str, body: dict[str, Any]) -> web.Response:
        if name not in deeds.names():
            return _refused(404, f"there is no trunk or PBX {name[:64]!r}, but {', '.join(deeds.names())}")
        who, why = _who(request, body), _text(body, "why")
        answer: dict[str, object] = {"name": name, "order": word, "until": None}
        if word == RELEASE:
            deeds.release(name, who, why)
        else:
            seconds = None if word == "resume" else _seconds(body, self._wall)
            deeds.order(name, ORDERS[word], seconds, who, why)
            if seconds is not None:
                answer["until"] = self._wall(time.monotonic() + seconds).isoformat(timespec="seconds")
        return _json(answer)


def _is_ours(request: web.Request) -> bool:
    """Whether a browser's request comes from a page of ours; other clients say nothing of where they come from."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc.lower() != request.host.lower():
        return False
    return request.headers.get("Sec-Fetch-Site", "none") in ("none", "same-origin")


async def _body(request: web.Request) -> dict[str, Any]:
    """The JSON object that came with it; nothing at all is an empty one."""
    data = await request.read()
    if not data.strip():
        return {}
    try:
        body = json.loads(data)
    except ValueError as error:
        raise Unacceptable("the body is not JSON") from error
    if not isinstance(body, dict):
        raise Unacceptable("the body is not a JSON object")
    unknown = sorted(set(body) - {"order", "for", "until", "who", "why"})
    if unknown:
        raise Unacceptable(f"unknown key {unknown[0][:40]!r}: order, for, until, who, why")
    return body


def _who(request: web.Request, body: dict[str, Any]) -> str:
    """As they call themselves, and from where."""
    where = request.remote or "?"
    return f"{_text(body, 'who')} ({where})" if body.get("who") else where


def _text(body: dict[str, Any], key: str) -> str:
    value = body.get(key, "")
    if not isinstance(value, str):
        raise Unacceptable(f"{key} is not a text")
    return "".join(c if c.isprintable() else " " for c in value[:TEXT_MAX]).strip()


def _seconds(body: dict[str, Any], wall: Wall) -> float | None:
    """How long an order lasts; None: until it is resumed."""
    lasts, until = body.get("for"), body.get("until")
    if lasts is not None and until is not None:
        raise Unacceptable("both for and until are given: keep one of the two")
    if lasts is None and until is None:
        return USUALLY_FOR
    if "resumed" in (lasts, until):
        return None
    if until is not None:
        try:
            end = datetime.fromisoformat(str(until))
        except ValueError as error:
            raise Unacceptable(f"until: {str(until)[:40]!r} is no time, as in 2026-11-24T14:00:00+01:00") from error
        now = wall(time.monotonic())
        seconds = ((end if end.tzinfo is not None else end.replace(tzinfo=now.tzinfo)) - now).total_seconds()
    else:
        try:
            seconds = float(duration(str(lasts)))  # type: ignore[arg-type]
        except ValueError as error:
            raise Unacceptable(f"for: {error}") from error
    if not 0 < seconds <= LONGEST:
        raise Unacceptable("the end is not within the next 30 days")
    return seconds


def _json(answer: dict[str, object], status: int = 200) -> web.Response:
    return web.Response(
        status=status, text=json.dumps({"schema": 1, **answer}, ensure_ascii=False) + "\n",
        content_type="application/json",
    )  # fmt: skip


def _refused(status: int, why: str) -> web.Response:
    return _json({"error": why}, status)
