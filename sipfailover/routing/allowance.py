"""Allowance: how often somebody may, by source and in total. Token buckets, pure.

What is over it is not served, and costs nothing; who may what, and what is said instead, is the user's business.
"""

from ipaddress import IPv6Address, ip_address

SOURCES_MAX = 4096
"""Sources that are remembered until they have all their tokens again. Beyond it a new one is refused: it suffers."""

FORGET_EVERY = 1.0
"""Seconds between two looks, when there is no room, at who has all tokens again."""

ROUNDING = 1e-6
"""Of a token: what adding up seconds may cost, or the last one of a burst would be refused."""

IPV6_SITE_BITS = 64
"""Whoever has an IPv6 address has so many more of them that the network counts."""


class Allowance:
    """`burst` at once and one more each `every` seconds for one source; `total_burst` and one each `total_every` for
    all together (0: without end). `now`: seconds, monotonic."""

    __slots__ = ("_all", "_burst", "_every", "_forget_at", "_full_at", "_total_burst", "_total_every")

    def __init__(self, burst: int, every: float, total_burst: int = 0, total_every: float = 0.0) -> None:
        self._burst, self._every = burst, every
        self._total_burst, self._total_every = total_burst, total_every
        self._full_at: dict[str, float] = {}
        """Source → when it has all its tokens again: one number tells how many it has now."""
        self._all = 0.0
        """The same for all together."""
        self._forget_at = float("-inf")
        """When looking for whom to forget may find somebody."""

    def may(self, source: str, now: float) -> bool:
        """Whether `take` would be granted."""
        if self._total_burst and self._all > now + (self._total_burst - 1 + ROUNDING) * self._total_every:
            return False
        full_at = self._full_at.get(source)
        if full_at is None:
            return len(self._full_at) < SOURCES_MAX or self._forget(now)
        return full_at <= now + (self._burst - 1 + ROUNDING) * self._every

    def take(self, source: str, now: float) -> bool:
        """Whether this source may, once more. Takes nothing if not."""
        if not self.may(source, now):
            return False
        self._full_at[source] = max(now, self._full_at.pop(source, now)) + self._every
        self._all = max(now, self._all) + self._total_every
        return True

    def _forget(self, now: float) -> bool:
        """Forget who has all tokens again. True if there is room then. Once in FORGET_EVERY: from forged addresses each
        is a new source, and looking through all of them for each would be the attack."""
        if now < self._forget_at:
            return False
        self._forget_at = now + FORGET_EVERY
        self._full_at = {source: full_at for source, full_at in self._full_at.items() if full_at > now}
        return len(self._full_at) < SOURCES_MAX

    def __len__(self) -> int:
        return len(self._full_at)


def site(host: str) -> str:
    """Under what a source is counted: its address, of IPv6 the network."""
    if ":" not in host:
        return host
    address = ip_address(host.partition("%")[0])
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{IPv6Address(int(address) >> IPV6_SITE_BITS << IPV6_SITE_BITS)}/{IPV6_SITE_BITS}"
    return host
