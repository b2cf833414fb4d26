"""Batches made ahead by background threads, in order, with bounded room."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from lipforge.train.task import Batch

PATIENCE_S = 5.0


class Prefetch:
    """Calls ``make(step)`` for ``first, first + 1, ...`` in threads, each at most two batches ahead.

    Decoders, Numba and torch release the interpreter lock in the heavy parts, so threads are enough and nothing is
    pickled. Batches come out in order of steps, however many threads there are. An exception of ``make`` is raised by
    ``next`` when its step is due. Use as a context manager: leaving it stops the threads.
    """

    def __init__(self, make: Callable[[int], Batch], first: int, threads: int = 1) -> None:
        self._make, self._due, self._to_make, self._room = make, first, first, 2 * threads
        self._made: dict[int, Batch | BaseException] = {}
        self._changed = threading.Condition()
        self._stopped = False
        self._threads = [threading.Thread(target=self._work, name=f"batches-{n}", daemon=True) for n in range(threads)]

    def __enter__(self) -> Prefetch:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join(PATIENCE_S)

    def next(self) -> Batch:
        """Return the next batch, in order of steps."""
        with self._changed:
            self._changed.wait_for(lambda: self._due in self._made)
            item = self._made.pop(self._due)
            if isinstance(item, BaseException):
                self._made[self._due] = item  # there is no later one
                raise item
            self._due += 1
            self._changed.notify_all()
        return item

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopped or self._to_make < self._due + self._room)
                if self._stopped:
                    return
                step, self._to_make = self._to_make, self._to_make + 1
            item: Batch | BaseException
            try:
                item = self._make(step)
            except BaseException as error:  # handed to the thread that asks
                item = error
            with self._changed:
                self._made[step] = item
                self._changed.notify_all()
            if isinstance(item, BaseException):
                return
