"""The admin's side over HTTP: health, readiness, status, metrics and one page; reload, drain and orders with a token.

    WebServer(
        host: str, port: int, *,                    # "0.0.0.0" or "" = every address; port 0 = a free one
        view: Callable[[], EngineView],             # a fresh picture, asked once per request
        site: str, version: str,
        wall: Callable[[float], datetime],          # engine's monotonic seconds → aware local time
        loop_lag: Callable[[], float],              # seconds the event loop is late now
        draining: Callable[[], bool],
        metrics: Metrics,
        ledger: Ledger | None = None,               # its `problem` is shown; it never makes us unready
        unbound: Callable[[], Sequence[str]],       # listeners that are not bound, each with the reason; default: none
        warnings: Callable[[], Sequence[str]],      # further sentences for the operator; default: none
        token: str,                                 # `Authorization: Bearer TOKEN` sees whole numbers and may order;
                                                    # "": nobody may
        deeds: Deeds | None,                        # who does what is ordered: `actions.Deeds`
        config: Callable[[], ConfigView] | None,    # which configuration is in effect
        say: Callable[[str, str, dict], None],      # (level, text, values): one line for the log
    )
    await web.start()                               # TransportError if the address cannot be had; calls need no page
    web.address -> (host, port); web.url -> "http://127.0.0.1:8080/"
    web.configure(site, token)                      # others, from the next request on
    await web.stop()

    Metrics(*, version: str, loop: str)             # loop: "uvloop" or "asyncio"
    metrics.record(fact)                            # once per fact, a few microseconds
    metrics.observe_loop_lag(seconds)               # each time the shell measures it

Everything shown is made by pure functions of `EngineView`: `words` (the sentence, masking, times), `views` (readiness,
JSON, plain lines), `page` (HTML). `actions` is what changes something. `server` holds the sockets, the bounds and the
headers.
"""

from .actions import Drained as Drained
from .actions import Reloaded as Reloaded
from .metrics import Metrics as Metrics
from .server import WebServer as WebServer
from .views import ConfigView as ConfigView
from .words import Sentence as Sentence
from .words import mask as mask
from .words import sentence as sentence
