"""Do the lips of a video move as those of its reference: correlation, lag, distance."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.evaluate.interval import Estimate, correlation_of_frames, correlation_of_sums, correlation_rows

F64 = NDArray[np.float64]

LONGEST_LAG_S = 0.4
LEAST_FRAMES = 12  # fewer say nothing
LEAST_SPREAD = 1e-6  # of a curve that does not move; any correlation with it would be rounding


@dataclass(frozen=True)
class Lag:
    """How far one curve runs behind another: ``seconds`` (positive: it is late) and the ``correlation`` there."""

    seconds: float
    correlation: float


def correlation(a: F64, b: F64) -> float:
    """Return Pearson's correlation of two curves float64 (T,) over the frames where both are known.

    nan if those are too few or a curve does not move.
    """
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if len(a) < LEAST_FRAMES or a.std() < LEAST_SPREAD or b.std() < LEAST_SPREAD:
        return float("nan")
    return float(correlation_of_sums(correlation_rows(a, b).sum(0)))


def estimate_correlation(a: F64, b: F64, fps: float) -> Estimate:
    """Return ``correlation`` with its interval over blocks of time."""
    return Estimate(float("nan")) if np.isnan(correlation(a, b)) else correlation_of_frames(a, b, fps)


def best_lag(curve: F64, reference: F64, fps: float) -> Lag:
    """Return by how much a curve has to be brought forward to agree best with the reference.

    Args:
        curve: float64 (T,), one value a frame.
        reference: float64 (T,), at the same times.
        fps: frames a second.

    Returns:
        The lag, between the frames by a parabola through the three best; nan if no lag has a correlation.
    """
    longest = round(LONGEST_LAG_S * fps)
    lags = np.arange(-longest, longest + 1)
    found = np.array([correlation(*_shifted(curve, reference, int(lag))) for lag in lags])
    if not np.isfinite(found).any():
        return Lag(float("nan"), float("nan"))
    best = int(np.nanargmax(found))
    return Lag((lags[best] + peak_between(found, best)) / fps, float(found[best]))


def peak_between(values: F64, best: int) -> float:
    """Return where, from -0.5 to 0.5 of a step beside ``best``, the parabola through three values peaks."""
    if not 0 < best < len(values) - 1:
        return 0.0
    before, at, after = values[best - 1 : best + 2]
    bend = before - 2 * at + after
    if not np.isfinite(bend) or abs(bend) < 1e-12:
        return 0.0
    return float(np.clip((before - after) / (2 * bend), -0.5, 0.5))


def landmark_distance(outlines: F64, reference: F64, eye_distance_px: float = 40.0) -> F64:
    """Return how far lips and chin are from those of the reference in each frame.

    Args:
        outlines: float64 (T, P, 2), crop px.
        reference: float64 (T, P, 2), at the same times.
        eye_distance_px: between the outer eye corners of the crop.

    Returns:
        float64 (T,): the mean over the points, in eye distances; nan where one of them is not known.
    """
    return np.asarray(np.linalg.norm(outlines - reference, axis=-1).mean(-1) / eye_distance_px)


def _shifted(curve: F64, reference: F64, lag: int) -> tuple[F64, F64]:
    """Cut both so that frame ``t + lag`` of the curve stands beside frame ``t`` of the reference."""
    if lag >= 0:
        return curve[lag:], reference[: len(reference) - lag]
    return curve[:lag], reference[-lag:]
