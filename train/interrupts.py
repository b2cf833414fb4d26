"""Turns Ctrl-C and SIGTERM into a flag that the loop looks at between steps."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any


class InterruptGuard:
    """While entered, the first Ctrl-C or SIGTERM only sets ``requested``; a second one ends the process as usual.

    Args:
        echo_seconds: within that time after the first, further signals are taken for the same one. Under torchrun a
            Ctrl-C reaches a process twice: from the terminal, and passed on by torchrun.
    """

    def __init__(self, echo_seconds: float = 0.0) -> None:
        self.requested = False
        self._echo_seconds, self._first_s = echo_seconds, 0.0
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():  # Python allows handlers nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._previous[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, number: int, frame: FrameType | None) -> None:
        now_s = time.monotonic()
        if not self.requested:
            self.requested, self._first_s = True, now_s
            if not self._echo_seconds:
                self._restore()
        elif now_s - self._first_s > self._echo_seconds:
            self._restore()
            signal.raise_signal(number)

    def _restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()
