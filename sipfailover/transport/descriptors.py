"""How many files and sockets the system lets us have open at once, and how many connections that leaves room for.

A crowd that connects must not use up what the history, the page and our own connections to the carriers need: the
bounds are made to fit below the limit before anything is opened.
"""

import resource
from dataclasses import replace

from sipfailover.transport.bounds import Bounds

KEPT = 128
"""Descriptors for everything that is no SIP connection: listeners, DNS, files, and the page's connections."""
FEWEST = 4
"""Connections that others may open, and that we may open, however little there is."""
OWN_SHARE = 5
"""One of so many connections is kept for those that we open."""


def raise_limit() -> int:
    """Take as many descriptors as the system allows this process without asking anybody. Returns how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):
            return soft
    return hard


def bounds_within(limit: int) -> Bounds:
    """The usual bounds, or as many connections as this many descriptors leave room for."""
    usual = Bounds()
    room = limit - KEPT
    if limit == resource.RLIM_INFINITY or room >= usual.accepted + usual.opened:
        return usual
    opened = min(usual.opened, max(FEWEST, room // OWN_SHARE))
    accepted = min(usual.accepted, max(FEWEST, room - opened))
    return replace(
        usual,
        opened=opened,
        accepted=accepted,
        accepted_kept_for_peers=accepted // 2,
        accepted_per_host=min(usual.accepted_per_host, max(FEWEST, accepted // 4)),
    )
