"""Do lips follow their own voice, and only that: correlation on speech frames with true, swapped and shifted lips."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.evaluate.interval import Estimate
from lipforge.runtime.evaluate.lip_agreement import correlation, estimate_correlation

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_SHIFT_S = 0.52  # of speech alone, both ways around
SHIFT_STEP = 2


@dataclass(frozen=True)
class SpokenLips:
    """The lips of one video and of its reference at the same times.

    Attributes:
        opening: float64 (T,), of the video, see ``lip_curves.aperture``.
        true_opening: float64 (T,), of the reference.
        speech: bool (T,), where the reference's voice speaks.
        fps: frames a second.
    """

    opening: F64
    true_opening: F64
    speech: Mask
    fps: float

    @property
    def spoken(self) -> F64:
        """Both openings in speech frames where both are known, float64 (K, 2)."""
        rows = np.column_stack([self.opening, self.true_opening])
        return np.asarray(rows[self.speech & np.isfinite(rows).all(1)])


def own_correlation(lips: SpokenLips) -> Estimate:
    """Return the correlation with the reference on speech frames: pauses make any two clips agree."""
    rows = lips.spoken
    return estimate_correlation(rows[:, 0], rows[:, 1], lips.fps)


def shifted_correlation(lips: SpokenLips) -> float:
    """Return the mean correlation when the video's speech frames are turned around by more than half a second."""
    rows, least = lips.spoken, round(LEAST_SHIFT_S * lips.fps)
    shifts = range(least, len(rows) - least, SHIFT_STEP)
    found = [correlation(np.roll(rows[:, 0], shift), rows[:, 1]) for shift in shifts]
    return float(np.nanmean(found)) if np.isfinite(found).any() else float("nan")


def swapped_correlation(lips: SpokenLips, others: Sequence[SpokenLips]) -> float:
    """Return the mean correlation of the reference with the lips that other videos have at the same time."""
    found = []
    for other in others:
        frames = min(len(lips.opening), len(other.opening))
        speech = lips.speech[:frames]
        found.append(correlation(other.opening[:frames][speech], lips.true_opening[:frames][speech]))
    return float(np.nanmean(found)) if found and np.isfinite(found).any() else float("nan")
