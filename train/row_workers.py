"""Threads that make the rows of a batch side by side."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from lipforge.kernels.errors import ConfigError


class RowWorkers:
    """Calls a function for every row of a batch, in one thread or several.

    Decoding, resizing and the mel kernels release the interpreter lock, so threads are enough and nothing is pickled.
    Every row is written to its own place: the number of threads never changes a batch.

    Args:
        count: threads; 1 uses the caller's own.
    """

    def __init__(self, count: int) -> None:
        if count < 1:
            raise ConfigError(f"data.workers={count}; it must be 1 or more.")
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="rows") if count > 1 else None

    def run(self, make: Callable[[int], None], rows: int) -> None:
        """Call ``make`` with 0 to ``rows - 1``; an exception of one of them is raised."""
        if self._pool is None:
            for row in range(rows):
                make(row)
        else:
            for _ in self._pool.map(make, range(rows)):
                pass
