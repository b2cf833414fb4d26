"""What the server counts and measures, and its text in Prometheus's exposition format (version 0.0.4)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from threading import Lock

import numpy as np

WINDOW = 2048
"""Quantiles are those of the last so many values: 80 s of one stream at 25 frames a second."""

QUANTILES = (0.5, 0.95, 0.99)


class Summary:
    """Quantiles of the last values, count and sum of all."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=WINDOW)
        self._count, self._sum = 0, 0.0
        self._lock = Lock()

    def add(self, value: float) -> None:
        """Add a value; from any thread."""
        with self._lock:
            self._recent.append(value)
            self._count += 1
            self._sum += value

    def quantiles(self) -> tuple[float, ...]:
        """Return the values at ``QUANTILES`` of the last ones; NaN if there are none."""
        with self._lock:
            recent = list(self._recent)
        return tuple(np.quantile(recent, QUANTILES).tolist()) if recent else (float("nan"),) * len(QUANTILES)

    def lines(self, name: str) -> Iterator[str]:
        """Yield the samples of a summary."""
        for quantile, value in zip(QUANTILES, self.quantiles(), strict=True):
            yield f'{name}{{quantile="{quantile:g}"}} {_number(value)}'
        yield f"{name}_sum {_number(self._sum)}"
        yield f"{name}_count {self._count}"


class Metrics:
    """All figures of a server; counters only grow, from any thread.

    Attributes:
        compute_ms: computing a frame: face, networks, picture.
        queue_ms: voice that waits before it is seen, told with every frame that leaves.
        av_offset_ms: how much later than its frame a share of audio left for the client, in ms; negative if earlier.
        first_frame_ms: from the first audio of a stream to its first frame with driven lips.
    """

    def __init__(self) -> None:
        self.compute_ms, self.queue_ms = Summary(), Summary()
        self.av_offset_ms, self.first_frame_ms = Summary(), Summary()
        self._counters: dict[str, int] = dict.fromkeys(_COUNTERS, 0)
        self._lock = Lock()

    def count(self, name: str, by: int = 1) -> None:
        """Add to one of the counters."""
        with self._lock:
            self._counters[name] += by

    def counter(self, name: str) -> int:
        """Return a counter."""
        return self._counters[name]

    def text(self, sessions: dict[str, int]) -> str:
        """Return all figures as text.

        Args:
            sessions: how many streams are open, by kind.
        """
        lines: list[str] = []
        lines += _heading("lipforge_sessions", "gauge", "Streams that are open.")
        lines += [f'lipforge_sessions{{kind="{kind}"}} {number}' for kind, number in sorted(sessions.items())]
        for name, meaning in _COUNTERS.items():
            full = f"lipforge_{name}_total"
            lines += [*_heading(full, "counter", meaning), f"{full} {self._counters[name]}"]
        for name, meaning in _SUMMARIES.items():
            full = f"lipforge_{name}"
            summary: Summary = getattr(self, name)
            lines += [*_heading(full, "summary", meaning), *summary.lines(full)]
        return "\n".join(lines) + "\n"


_COUNTERS = {
    "streams": "Streams that were opened.",
    "streams_refused": "Streams that were refused because all places were taken.",
    "streams_failed": "Streams that ended with an error of their own.",
    "frames": "Frames that left for a client.",
    "frames_driven": "Of these, frames whose lips follow the voice.",
    "frames_dropped": "Frames that were dropped because their time was over or the machine too slow.",
    "interrupts": "Interruptions that clients asked for.",
    "bad_messages": "Messages of clients that could not be understood.",
}

_SUMMARIES = {
    "compute_ms": "Computing a frame, in milliseconds.",
    "queue_ms": "Voice that waits before it is seen and heard, in milliseconds.",
    "av_offset_ms": "Audio leaving later than its frame, in milliseconds; negative if earlier.",
    "first_frame_ms": "From a stream's first audio to its first driven frame, in milliseconds.",
}


def _heading(name: str, kind: str, meaning: str) -> list[str]:
    return [f"# HELP {name} {meaning}", f"# TYPE {name} {kind}"]


def _number(value: float) -> str:
    return "NaN" if value != value else f"{value:.6g}"
