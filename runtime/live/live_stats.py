"""Figures of a live stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lipforge.runtime.output_frame import FrameStats

REMEMBERED_FRAMES = 1024


@dataclass(frozen=True)
class LiveStats:
    """What a stream did so far.

    Attributes:
        frames: that left.
        driven_frames: whose lips were moved.
        dropped_frames: that overload or a full queue cost; their audio left with the next frame.
        interrupts: calls of ``interrupt`` so far.
        audio_s: length of the audio that left.
        filled_s: silence in it that stood in for audio that had not come.
        queued_audio_ms: audio that waits.
        queued_frames: camera frames that wait.
        compute_ms: p50, p95 and p99 of the engine's time for a frame, of the last 1024 frames; 0 before the first.
    """

    frames: int
    driven_frames: int
    dropped_frames: int
    interrupts: int
    audio_s: float
    filled_s: float
    queued_audio_ms: float
    queued_frames: int
    compute_ms: tuple[float, float, float]


class ComputeTimes:
    """The engine's times of the newest frames, in memory of fixed size."""

    def __init__(self) -> None:
        self._times_ms = np.zeros(REMEMBERED_FRAMES)
        self.frames = self.driven = 0

    def add(self, stats: FrameStats) -> None:
        """Count a frame."""
        self._times_ms[self.frames % REMEMBERED_FRAMES] = stats.total_ms
        self.frames += 1
        self.driven += stats.driven

    def percentiles(self) -> tuple[float, float, float]:
        """Return p50, p95 and p99 in ms; zeros before the first frame."""
        known = self._times_ms[: min(self.frames, REMEMBERED_FRAMES)]
        if not len(known):
            return 0.0, 0.0, 0.0
        p50, p95, p99 = np.percentile(known, (50, 95, 99))
        return float(p50), float(p95), float(p99)
