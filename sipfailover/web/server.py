"""The HTTP server: routes, headers and bounds. What is said comes from `views`, `page` and `metrics`.

Every connection carries one request and lives `CONNECTION_SECONDS` at most, so that neither a slow reader nor a
crowd can hold anything; the page's style sheet is cached by the browser. Nothing here waits for a trunk or a disk.
Nobody can keep `/healthz` from being answered, which would have a healthy container restarted: when all places are
taken, the newest gets one, and whoever holds most of them loses the one that he has had longest.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime

from aiohttp import web

from sipfailover.errors import TransportError
from sipfailover.proxy.view import EngineView
from sipfailover.trouble import Troubles

from . import views
from .actions import Actions, Deeds
from .metrics import Metrics
from .page import Page
from .views import ConfigView
from .words import Show, mask, whole

CONNECTIONS_MAX = 64
"""Connections open at once. For a further one the oldest of the host with most connections is closed: most likely it
says nothing, because a request takes milliseconds. Calls do not notice either way."""


CONNECTION_SECONDS = 15.0
"""Life of a connection from accept to the last byte; at most half as much more, because the timer looks in steps."""

REQUEST_LINE_MAX = 2048
BODY_MAX = 1024
HEADER_MAX = 4096

PATHS = ("/", "/status", "/status?plain", "/readyz?verbose", "/healthz", "/livez", "/metrics")

HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "Server": "sipfailover",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def _nothing() -> Sequence[str]:
    return ()


class WebServer:
    """Answers on one address. The package's docstring describes the arguments."""

    def __init__(
        self,
        host: str,
        port: int,
        *,
        view: Callable[[], EngineView],
        site: str,
        version: str,
        wall: Callable[[float], datetime],
        loop_lag: Callable[[], float],
        draining: Callable[[], bool],
        metrics: Metrics,
        troubles: Troubles | None = None,
        unbound: Callable[[], Sequence[str]] = _nothing,
        warnings: Callable[[], Sequence[str]] = _nothing,
        token: str = "",
        deeds: Deeds | None = None,
        config: Callable[[], ConfigView] | None = None,
        say: Callable[[str, str, dict[str, object]], None] = lambda level, text, values: None,
    ) -> None:
        self._host = host
        self._port = port
        self._view = view
        self._site = site
        self._version = version
        self._wall = wall
        self._loop_lag = loop_lag
        self._draining = draining
        self._metrics = metrics
        self._troubles = troubles or Troubles()
        self._unbound = unbound
        self._further_warnings = warnings
        self._actions = Actions(deeds, token.encode(), say, wall)
        self._config = config
        self._page = Page(site=site, version=version)
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None
        self._reaper: asyncio.TimerHandle | None = None

    def configure(self, site: str, token: str) -> None:
        """Another name of the place, another token; from the next request on."""
        self._site, self._actions.token = site, token.encode()
        self._page = Page(site=site, version=self._version)

    async def start(self) -> None:
        """Listen. Raises `TransportError` when the address cannot be had."""
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            keepalive_timeout=0.0,
            lingering_time=0.0,
            max_line_size=REQUEST_LINE_MAX,
            max_field_size=HEADER_MAX,
            shutdown_timeout=1.0,
        )
        await runner.setup()
        assert runner.server is not None
        loop, http = asyncio.get_running_loop(), runner.server

        def accept() -> asyncio.BaseProtocol:
            opened = [connection for connection in http.connections if connection.transport is not None]
            if len(opened) >= CONNECTIONS_MAX:
                _cut_off(_oldest_of_the_busiest(opened))
            return http()

        try:
            self._server = await loop.create_server(accept, self._host or None, self._port)
        except OSError as error:
            await runner.cleanup()
            text = error.strerror or str(error)
            raise TransportError(f"{self._host}:{self._port}", "listening for HTTP on", text) from error
        self._runner = runner
        self._reap(http, {})

    def _reap(self, http: web.Server, seen: dict[web.RequestHandler, float]) -> None:
        """Close the connections that have lived too long. One timer looks at all, because most live milliseconds."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        seen = {connection: seen.get(connection, now) for connection in http.connections}
        for connection, since in seen.items():
            if now - since >= CONNECTION_SECONDS:
                _cut_off(connection)
        self._reaper = loop.call_later(CONNECTION_SECONDS / 4, self._reap, http, seen)

    async def stop(self) -> None:
        """Close the listener and every connection. May be called twice, or without `start`."""
        server, runner, self._server, self._runner = self._server, self._runner, None, None
        if self._reaper is not None:
            self._reaper.cancel()
        if server is not None:
            server.close()
        if runner is not None:
            await runner.cleanup()

    @property
    def address(self) -> tuple[str, int]:
        """(host, port) as bound; as configured before `start`."""
        if self._server is None or not self._server.sockets:
            return self._host, self._port
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    @property
    def url(self) -> str:
        """The page's address for a browser on this machine."""
        host, port = self.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
        return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"

    def application(self) -> web.Application:
        """The routes alone, for a test client."""
        application = web.Application(middlewares=[_dress], client_max_size=BODY_MAX)
        application.router.add_get("/", self._get_page)
        application.router.add_get("/status", self._get_status)
        application.router.add_get("/healthz", self._get_health)
        application.router.add_get("/livez", self._get_health)
        application.router.add_get("/readyz", self._get_ready)
        application.router.add_get("/metrics", self._get_metrics)
        application.router.add_get("/static/{name}", self._get_static)
        self._actions.add_to(application.router)
        return application

    async def _get_health(self, request: web.Request) -> web.Response:
        status, text = views.health(self._loop_lag())
        return web.Response(status=status, text=text)

    async def _get_ready(self, request: web.Request) -> web.Response:
        view = self._view()
        found = views.checks(
            view,
            draining=self._draining(),
            unbound=self._unbound(),
            watched=self._troubles.known,
            troubles=self._troubles.now(view.now),
        )
        status, text = views.ready(found, verbose="verbose" in request.query)
        return web.Response(status=status, text=text)

    async def _get_status(self, request: web.Request) -> web.Response:
        view = self._view()
        if "plain" in request.query:
            return web.Response(text=views.plain(view, self._wall))
        status = views.status(
            view,
            self._wall,
            site=self._site,
            version=self._version,
            draining=self._draining(),
            warnings=self._further_warnings(),
            troubles=self._troubles.now(view.now),
            config=self._config() if self._config is not None else None,
            show=self._show(request),
        )
        text = json.dumps(status, ensure_ascii=False, indent=2) + "\n"
        return web.Response(text=text, content_type="application/json")

    async def _get_metrics(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.render(self._view(), self._wall, request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    async def _get_page(self, request: web.Request) -> web.Response:
        view = self._view()
        text = self._page.render(
            view,
            self._wall,
            draining=self._draining(),
            warnings=(*self._further_warnings(), *map(str, self._troubles.now(view.now))),
            still="still" in request.query,
            show=self._show(request),
        )
        return web.Response(text=text, content_type="text/html")

    async def _get_static(self, request: web.Request) -> web.Response:
        found = self._page.static.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        headers = {"Content-Type": found.content_type, "Cache-Control": "public, max-age=31536000, immutable"}
        return web.Response(body=found.body, headers=headers)

    def _show(self, request: web.Request) -> Show:
        """How numbers are written for this reader."""
        return whole if self._actions.knows(request) else mask


def _oldest_of_the_busiest(connections: Sequence[web.RequestHandler]) -> web.RequestHandler:
    """Who gives way when there is no room: see CONNECTIONS_MAX. `connections` are in the order in which they came."""
    hosts = [_host_of(connection) for connection in connections]
    busiest, _ = Counter(hosts).most_common(1)[0]
    return connections[hosts.index(busiest)]


def _host_of(connection: web.RequestHandler) -> str:
    peer = connection.transport.get_extra_info("peername") if connection.transport is not None else None
    return str(peer[0]) if peer else ""


def _cut_off(connection: web.RequestHandler) -> None:
    """Close it without waiting for a peer that does not read."""
    transport = connection.transport
    connection.force_close()
    if transport is not None:
        transport.abort()


@web.middleware
async def _dress(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Give every answer the headers that bound a browser; make words of 404 and 405; one request a connection."""
    try:
        response = await handler(request)
    except web.HTTPNotFound:
        response = web.Response(status=404, text=f"Nothing here. Try {'  '.join(PATHS)}\n")
    except web.HTTPMethodNotAllowed as refusal:
        allow = ", ".join(sorted(refusal.allowed_methods))
        response = web.Response(status=405, text=f"Only {allow} here.\n", headers={"Allow": allow})
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    response.force_close()
    return response
