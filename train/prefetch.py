"""Batches made ahead by one background thread, with a bounded queue."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from types import TracebackType

from lipforge.train.task import Batch


class Prefetch:
    """Calls ``make(step)`` for ``first, first + 1, ...`` in a thread, at most ``depth`` batches ahead.

    Numba and torch release the interpreter lock in the heavy parts, so a thread is enough and nothing is pickled.
    An exception of ``make`` is raised by ``next``. Use as a context manager: leaving it stops the thread.
    """

    def __init__(self, make: Callable[[int], Batch], first: int, depth: int = 2) -> None:
        self._make, self._first = make, first
        self._queue: queue.Queue[Batch | BaseException] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="batches", daemon=True)

    def __enter__(self) -> Prefetch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(timeout=30.0)

    def next(self) -> Batch:
        """Return the next batch, in order of steps."""
        item = self._queue.get()
        if isinstance(item, BaseException):
            raise item
        return item

    def _work(self) -> None:
        step = self._first
        while not self._stop.is_set():
            item: Batch | BaseException
            try:
                item = self._make(step)
            except BaseException as error:  # handed to the thread that asks
                item = error
            while not self._stop.is_set():
                try:
                    self._queue.put(item, timeout=0.2)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException):
                return
            step += 1
