"""Which trunk new calls take, and the moments at which that became another one: a failover, or the return from it."""

from sipfailover.proxy import recollection
from sipfailover.proxy.commands import Keep
from sipfailover.proxy.core import Core
from sipfailover.proxy.view import FailoverView
from sipfailover.trunk import Order


class Failovers:
    """`active`: name of the trunk that new calls take, "" if none can. Times are seconds, monotonic."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.active = ""
        self.last: FailoverView | None = None
        self._before = ""
        """The last trunk that was active."""

    def look(self, now: float, why: str) -> None:
        """Notice that new calls take another trunk than before."""
        trunks = [line.trunk for line in self.core.trunks]
        fit = [trunk for trunk in trunks if trunk.carries_new_calls]
        if not fit:  # in Trial, and there is none better: all calls prove it
            fit = [trunk for trunk in trunks if trunk.usable]
        first = min(fit, key=lambda trunk: (trunk.order is not Order.USED, trunk.tier)) if fit else None
        active = first.name if first is not None else ""  # full is no failover: calls overflow
        if active == self.active:
            return
        self.active = active
        if not active:
            self.core.log("error", "no trunk can carry a call", why=why)
            return
        before, self._before = self._before, active
        if before and before != active:
            self.last = FailoverView(self.last.number + 1 if self.last else 1, now, before, active, why)
            self.core.log("warning", f"new calls go over {active}", before=before, why=why)
            if self.core.keeping:
                record = recollection.failover_record(self.last, self.core.epoch, now)
                self.core.out.append(Keep(((recollection.FAILOVER, record),)))

    def recall(self, record: bytes, now: float) -> None:
        """New calls were last sent elsewhere by an earlier process. Raises what `to_failover` does."""
        self.last = recollection.to_failover(record, self.core.epoch, now)
        self._before = self.last.went_to
