"""Certificates that run out: said in the log, once a day each, and in words for the page, from three weeks before.

Those of ours, from their files as they are used, and those that carriers and PBXs have shown.
"""

from datetime import UTC, date, datetime

from sipfailover.transport.tls import Held, Say, Tls


class Expiry:
    """Looks after the end of every certificate that `tls` holds. `say`: one line for the operator's log."""

    def __init__(self, tls: Tls, say: Say) -> None:
        self._tls = tls
        self._say = say
        self._told: dict[tuple[str, str], tuple[str, date]] = {}
        """(name, use) → what was said last, and on which day. As many as there are certificates."""

    def look(self, now: float, today: datetime | None = None) -> None:
        """Read anew what has changed, and tell what is new or a day old.

        now: seconds, monotonic; today: aware, None is this moment.
        """
        at = today or datetime.now(UTC)
        found = troubles(self._tls.held(now), at)
        for one, trouble in found:
            key, news = (one.name, one.use), (trouble, at.date())
            before = self._told.get(key)
            if before is None or before[1] != at.date() or ("expired" in trouble) != ("expired" in before[0]):
                self._told[key] = news
                self._say("warning" if one.certificate.usable(at) else "error", f"{one} {trouble}", {})
        for key in set(self._told) - {(one.name, one.use) for one, _ in found}:
            del self._told[key]

    def warnings(self, now: float) -> list[str]:
        """What is the matter now, one sentence each, for the page."""
        found = troubles(self._tls.held(now), datetime.now(UTC))
        return [*self._tls.problems(), *(f"{one} {trouble}" for one, trouble in found)]


def troubles(held: tuple[Held, ...], at: datetime) -> list[tuple[Held, str]]:
    """Those whose end is near, or past, each with what is the matter."""
    return [(one, trouble) for one in held if (trouble := one.certificate.trouble(at))]
