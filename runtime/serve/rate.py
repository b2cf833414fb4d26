"""How often somebody may ask: token buckets."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from time import monotonic
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)

MOST_KEYS = 4096
"""Beyond this many the one that asked longest ago is forgotten: memory stays bounded whoever asks."""


class Rate:
    """One bucket: ``per_s`` tokens a second flow in, it holds ``burst``.

    Args:
        per_s: sustained rate.
        burst: how many at once.
        clock: seconds.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._level, self._at = burst, clock()

    def allow(self, cost: float = 1.0) -> bool:
        """Take ``cost`` tokens if they are there."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._per_s)
        self._at = now
        if self._level < cost:
            return False
        self._level -= cost
        return True

    def wait_s(self) -> float:
        """Return how long to wait for a token; 0 if one is there."""
        level = min(self._burst, self._level + (self._clock() - self._at) * self._per_s)
        return max(0.0, (1.0 - level) / self._per_s)


class Rates(Generic[Key]):
    """A bucket for each of many, such as addresses."""

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float] = monotonic) -> None:
        self._per_s, self._burst, self._clock = per_s, burst, clock
        self._rates: OrderedDict[Key, Rate] = OrderedDict()

    def allow(self, key: Key) -> bool:
        """Take a token from the bucket of ``key``."""
        rate = self._rates.get(key)
        if rate is None:
            rate = self._rates[key] = Rate(self._per_s, self._burst, self._clock)
            if len(self._rates) > MOST_KEYS:
                self._rates.popitem(last=False)
        self._rates.move_to_end(key)
        return rate.allow()
