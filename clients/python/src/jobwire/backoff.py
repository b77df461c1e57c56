"""How long to wait before trying again: a random time, longer on average with every failure."""

from __future__ import annotations

import random
from collections.abc import Callable


class Backoff:
    """Full jitter: between nothing and a limit that doubles. All times in seconds."""

    def __init__(
        self, first: float = 1.0, longest: float = 30.0, chance: Callable[[], float] = random.random
    ) -> None:
        self._first = first
        self._longest = longest
        self._chance = chance
        self._failures = 0

    def succeeded(self) -> None:
        """Begin again with short times."""
        self._failures = 0

    def next_delay(self, at_least: float = 0.0) -> float:
        """Return how long to wait after one more failure."""
        limit = min(self._longest, self._first * float(2 ** min(self._failures, 16)))
        self._failures += 1
        return at_least + self._chance() * limit
