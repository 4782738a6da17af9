"""The sockets that a check uses: the service's own where they are free, because carriers look at the source port.

A port that is taken means that the service is running: it holds the registrations, and then nothing is registered.
"""

import asyncio
import errno
from collections.abc import Callable

from sipfailover.config import Settings
from sipfailover.errors import TransportError
from sipfailover.flow import TLS, Flow, Target
from sipfailover.preflight.report import Tell, failed, good, warning
from sipfailover.transport import Pool, Tls


class Machine:
    """A pool of sockets, and whether the service seems to be running beside us."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        settings: Settings,
        tell: Tell,
        *,
        received: Callable[[Flow, bytes], None],
        lost: Callable[[Target, str], None],
        settled: Callable[[], None],
    ) -> None:
        self.running = False
        """Another program has our ports."""
        tls = Tls()
        tls.configure(settings, loop.time())
        self.pool = Pool(loop, received=received, lost=lost, settled=settled, tls=tls)
        self._abandoned: Pool | None = None
        sip = [listen for listen in settings.listen if listen.transport != TLS]
        shown = ", ".join(str(listen) for listen in sip)
        try:
            for listen in sip:
                self.pool.listen(listen.transport, listen.host, listen.port)
        except TransportError as error:
            cause = error.__cause__
            self.running = isinstance(cause, OSError) and cause.errno == errno.EADDRINUSE
            self._abandoned = self.pool
            self._abandoned.close()
            self.pool = Pool(loop, received=received, lost=lost, settled=settled, tls=tls)
            for listen in sip:
                host = listen.host if self.running else "::" if ":" in listen.host else "0.0.0.0"
                self.pool.listen(listen.transport, host, 0)
            if self.running:
                text = f"{error.peer} is taken: the service is running on this machine, so other ports are used"
                advice = (
                    "carriers may answer other ports differently; for a full check stop the service, "
                    "and any other program that has its ports"
                )
                tell(warning("listen", text, advice))
            else:
                tell(failed("listen", str(error), "the service could not start: mend listen"))
        else:
            tell(good("listen", f"{shown}: free, and used by this check as by the service", None))

    async def close(self) -> None:
        """Close every socket, and wait until the loop holds nothing of ours."""
        self.pool.close()
        await self.pool.closed()
        if self._abandoned is not None:
            await self._abandoned.closed()
