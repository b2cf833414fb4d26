"""Scanline fill: each edge leaves +1 or -1 at its first sample to the right, a running sum gives the winding number."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.polygon.reference import SAMPLES_PER_AXIS


@compiled
def fill_contour(contour: NDArray[np.float64], plane: NDArray[np.uint8]) -> None:
    """Fill one closed contour; same arguments and result as ``reference.fill_contour``."""
    size_px = plane.shape[0]
    steps = np.zeros(size_px * SAMPLES_PER_AXIS + 1, np.int32)
    covered = np.zeros(size_px, np.int32)
    left, right = _pixel_span(contour[:, 0], size_px)
    top, bottom = _pixel_span(contour[:, 1], size_px)
    area = SAMPLES_PER_AXIS * SAMPLES_PER_AXIS
    plane[:] = 0
    for y in range(top, bottom):
        for sample_row in range(y * SAMPLES_PER_AXIS, (y + 1) * SAMPLES_PER_AXIS):
            _mark_crossings(contour, sample_row, steps)
            _count_covered(steps, left, right, covered)
        for x in range(left, right):
            plane[y, x] = (covered[x] * 255 + area // 2) // area
            covered[x] = 0


@compiled
def _pixel_span(coordinates: NDArray[np.float64], size_px: int) -> tuple[int, int]:
    """Return the first pixel and the end of the range of pixels that a contour can touch along one axis."""
    low, high = math.inf, -math.inf
    for value in coordinates:
        low, high = min(low, value), max(high, value)
    first = math.floor(min(max(low + 0.5, 0.0), float(size_px)))
    end = math.ceil(min(max(high + 0.5, 0.0), float(size_px)))
    return first, end


@compiled
def _mark_crossings(contour: NDArray[np.float64], row: int, steps: NDArray[np.int32]) -> None:
    """Add every crossing of a row of samples to ``steps``, at the first sample that lies on it or right of it."""
    samples = steps.shape[0] - 1
    points = contour.shape[0]
    for i in range(points):
        j = i + 1 if i + 1 < points else 0
        y0 = (contour[i, 1] + 0.5) * SAMPLES_PER_AXIS - 0.5
        y1 = (contour[j, 1] + 0.5) * SAMPLES_PER_AXIS - 0.5
        if row < min(y0, y1) or row >= max(y0, y1):
            continue
        x0 = (contour[i, 0] + 0.5) * SAMPLES_PER_AXIS - 0.5
        x1 = (contour[j, 0] + 0.5) * SAMPLES_PER_AXIS - 0.5
        crossing = x0 + (row - y0) * ((x1 - x0) / (y1 - y0))
        first = math.ceil(min(max(crossing, 0.0), float(samples)))
        steps[first] += 1 if y1 < y0 else -1


@compiled
def _count_covered(steps: NDArray[np.int32], left: int, right: int, covered: NDArray[np.int32]) -> None:
    """Add the samples with a positive winding number to their pixel's count, and clear ``steps``."""
    winding = 0
    for x in range(left, right):
        count = 0
        for column in range(x * SAMPLES_PER_AXIS, (x + 1) * SAMPLES_PER_AXIS):
            winding += steps[column]
            steps[column] = 0
            count += winding > 0
        covered[x] += count
    # A crossing computed just beyond the contour's last pixel must not reach the next row.
    steps[right * SAMPLES_PER_AXIS :] = 0
