"""Chance: the only place where anything random is drawn.

Branches, tags and Call-IDs of legs must not be guessable (a stranger who knows the tags can hang up a call), so
production seeds the generator from the system and tests seed it with a number, to live through the same run again.
"""

import math
import random
import secrets

MAGIC_COOKIE = b"z9hG4bK"
"""Start of every branch made under RFC 3261 §8.1.1.7."""


class Chance:
    """Hands out identifiers and dice.

    `seed`: None draws every identifier from the operating system's generator; a number makes the whole
    sequence repeatable, for tests, simulations and replays only.
    """

    __slots__ = ("_pool", "_random", "_system", "_used")

    def __init__(self, seed: int | None = None) -> None:
        self._system = seed is None
        self._random = random.Random(seed)
        self._pool = ""
        self._used = 0

    def token(self) -> bytes:
        """16 hexadecimal digits: 64 bits nobody can guess. On the path: drawn from the system 1 kB at a time."""
        start = self._used
        if start >= len(self._pool):
            self._pool = (secrets.token_bytes(1024) if self._system else self._random.randbytes(1024)).hex()
            start = 0
        self._used = start + 16
        return self._pool[start : start + 16].encode()

    def tag(self) -> bytes:
        """A From or To tag (RFC 3261 §19.3)."""
        return self.token()

    def branch(self) -> bytes:
        """A Via branch with the magic cookie (RFC 3261 §8.1.1.7)."""
        return MAGIC_COOKIE + self.token()

    def call_id(self) -> bytes:
        """A Call-ID of ours: no host in it, so it tells nobody where we are."""
        return self.token() + self.token()

    def spread(self, value: float, share: float) -> float:
        """`value` moved by up to ± `share` of itself (0.1: ten per cent), so that many timers do not fire together."""
        return value * (1.0 + share * (2.0 * self._random.random() - 1.0))

    def dice(self) -> float:
        """A number from 0.0 up to but not including 1.0."""
        return self._random.random()

    def wait(self, mean: float) -> float:
        """An exponential waiting time with this mean, above 0: when the next of many independent things happens."""
        return -mean * math.log(1.0 - self._random.random())
