"""Counting of what a sync job writes: progress while it runs, a report at its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from lipforge.kernels.errors import InputError
from lipforge.runtime.output_frame import OutputFrame


@dataclass(frozen=True)
class Progress:
    """How far a job is.

    Attributes:
        frames: written so far.
        expected_frames: as far as the files tell beforehand; 0 if they do not.
    """

    frames: int
    expected_frames: int


@dataclass(frozen=True)
class SyncReport:
    """What a job did.

    Attributes:
        frames: written.
        driven_frames: whose lips were moved.
        faceless_frames: without a face, passed through untouched while there was audio.
        duration_s: length of the output.
        median_ms: engine time of a frame in its middle case: ``track``, ``prepare``, ``net``, ``composite``, ``total``.
    """

    frames: int
    driven_frames: int
    faceless_frames: int
    duration_s: float
    median_ms: dict[str, float]


class Tally:
    """Counts what was written and keeps the times for the report."""

    def __init__(self, expected_frames: int, on_progress: Callable[[Progress], None] | None) -> None:
        self._expected, self._on_progress = expected_frames, on_progress
        self._frames = self._driven = self._faceless = 0
        self._end = Fraction(0)
        self._times: list[tuple[float, ...]] = []

    def add(self, frame: OutputFrame) -> None:
        """Count a frame that was written."""
        stats = frame.stats
        self._frames += 1
        self._driven += stats.driven
        self._faceless += not stats.face
        self._end = frame.pts
        if stats.driven:
            self._times.append((stats.track_ms, stats.prepare_ms, stats.net_ms, stats.composite_ms, stats.total_ms))
            # A sample of the past is enough for a median; memory must not grow with the video.
            if len(self._times) >= 4096:
                self._times = self._times[::2]
        if self._on_progress is not None:
            self._on_progress(Progress(self._frames, self._expected))

    def check_faces(self, face: Path) -> None:
        """Refuse a result in which no lips were moved.

        Raises:
            InputError: there was no face in ``face``.
        """
        if self._driven == 0:
            raise InputError(
                f"--face {face}: no face was found in any of {self._frames} frames, so nothing was written. "
                "The face should look roughly at the camera and be at least some 60 pixels wide."
            )

    def report(self, fps: Fraction) -> SyncReport:
        """Sum up a job that ended well."""
        names = ("track", "prepare", "net", "composite", "total")
        medians = np.median(np.array(self._times), axis=0)
        return SyncReport(
            frames=self._frames,
            driven_frames=self._driven,
            faceless_frames=self._faceless,
            duration_s=float(self._end + 1 / fps),
            median_ms={name: round(float(value), 3) for name, value in zip(names, medians, strict=True)},
        )
