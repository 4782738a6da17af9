"""What a server is told about its office; tests change it between requests."""

from dataclasses import dataclass, field
from typing import Any

from sipfailover.proxy.view import EngineView
from sipfailover.web import Metrics, WebServer
from tests.web.picture import picture, wall


@dataclass
class Office:
    """A server over a picture that can be exchanged."""

    view: EngineView = field(default_factory=picture)
    loop_lag: float = 0.001
    draining: bool = False
    unbound: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    metrics: Metrics = field(default_factory=lambda: Metrics(version="1.2.3", loop="asyncio"))

    def server(self, **more: Any) -> WebServer:
        return WebServer(
            "127.0.0.1",
            0,
            view=lambda: self.view,
            site="Muster AG Winterthur",
            version="1.2.3",
            wall=wall,
            loop_lag=lambda: self.loop_lag,
            draining=lambda: self.draining,
            metrics=self.metrics,
            unbound=lambda: self.unbound,
            warnings=lambda: self.warnings,
            **more,
        )
