"""Delta debugging (Zeller's ddmin, bounded): of many things that end badly together, a few that do."""

from collections.abc import Callable, Sequence

TRIES_MAX = 120
"""How often a world is lived through again; after that what was found so far is good enough."""


def shrink(things: Sequence[int], fails: Callable[[Sequence[int]], bool], tries: int = TRIES_MAX) -> list[int]:
    """A subset for which `fails` is still true, from which nothing single can be taken away (as far as the tries went).

    `fails` is true for all of them."""
    kept, parts = list(things), 2
    while kept and tries > 0:
        size = max(1, -(-len(kept) // parts))
        for start in range(0, len(kept), size):
            rest = kept[:start] + kept[start + size :]
            tries -= 1
            if fails(rest):
                kept, parts = rest, max(2, parts - 1)
                break
            if tries <= 0:
                break
        else:
            if size == 1:
                break
            parts = min(len(kept), parts * 2)
    return kept
