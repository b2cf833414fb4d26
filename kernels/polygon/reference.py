"""Point in polygon at every sample of every pixel: the definition that the fast fill must match exactly."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

SAMPLES_PER_AXIS = 4


def fill_contour(contour: NDArray[np.float64], plane: NDArray[np.uint8]) -> None:
    """Fill one closed contour, see ``lipforge.kernels.polygon.draw_lips``.

    Args:
        contour: float64 (n, 2), x and y in px, finite.
        plane: uint8 (S, S), overwritten.
    """
    size_px = plane.shape[0]
    samples = size_px * SAMPLES_PER_AXIS
    # In sample units a sample point has whole coordinates: sample i of pixel 0 sits at (i + 0.5) / 4 - 0.5 px.
    corners = (contour + 0.5) * SAMPLES_PER_AXIS - 0.5
    y, x = np.mgrid[0:samples, 0:samples].astype(np.float64)
    winding = np.zeros((samples, samples), np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        # The upper end belongs to an edge, the lower end to the next one, so that a corner counts once.
        spans_row = (y >= min(y0, y1)) & (y < max(y0, y1))
        crossing = x0 + (y - y0) * ((x1 - x0) / (y1 - y0))
        winding += np.where(spans_row & (x >= crossing), 1 if y1 < y0 else -1, 0)
    blocks = (winding > 0).reshape(size_px, SAMPLES_PER_AXIS, size_px, SAMPLES_PER_AXIS)
    covered = blocks.sum(axis=(1, 3))
    plane[:] = (covered * 255 + SAMPLES_PER_AXIS**2 // 2) // SAMPLES_PER_AXIS**2
