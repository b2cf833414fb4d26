"""The arithmetic of ``region`` and the pixels of an image row that lie in a box of the crop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled


@compiled
def region_of_box(inverse: NDArray[np.float64], box: tuple[float, float, float, float], height: int, width: int) -> Any:
    """Return left, top, right, bottom of the pixels that can lie in a box; see ``Region.of_box``."""
    left, right = _extent(inverse[0], box)
    top, bottom = _extent(inverse[1], box)
    # A pixel exactly on the square's edge must be visited however the inverse was rounded; its own test decides.
    slack = 1e-3
    return _clipped(left - slack, top - slack, right + slack, bottom + slack, height, width)


@compiled
def _extent(row: NDArray[np.float64], box: tuple[float, float, float, float]) -> Any:
    near, far = row[0] * box[0], row[0] * box[2]
    upper, lower = row[1] * box[1], row[1] * box[3]
    return min(near, far) + min(upper, lower) + row[2], max(near, far) + max(upper, lower) + row[2]


@compiled
def region_grown(
    bounds: tuple[int, int, int, int],
    inverse: NDArray[np.float64],
    reach: tuple[float, float],
    columns: int,
    height: int,
    width: int,
) -> Any:
    """Return left, top, right, bottom of a widened region; see ``Region.grown``."""
    left, top, right, bottom = bounds
    far_x = abs(inverse[0, 0]) * reach[0] + abs(inverse[0, 1]) * reach[1] + 1.0
    far_y = abs(inverse[1, 0]) * reach[0] + abs(inverse[1, 1]) * reach[1] + 1.0
    return _clipped(left - far_x, top - far_y, right + far_x + columns, bottom + far_y, height, width)


@compiled
def _clipped(left: float, top: float, right: float, bottom: float, height: int, width: int) -> Any:
    return (
        math.floor(min(max(left, 0.0), width)),
        math.floor(min(max(top, 0.0), height)),
        math.floor(min(max(right + 1.0, 0.0), width)),
        math.floor(min(max(bottom + 1.0, 0.0), height)),
    )


@compiled
def row_span(
    forward: NDArray[np.float64], y: int, box: tuple[float, float, float, float], left: int, right: int
) -> Any:
    """Return first and end column of the pixels of row y, among [left, right), whose crop position lies in the box.

    Args:
        forward: float64 (2, 3), image px to crop px.
        y: the row.
        box: left, top, right, bottom in crop px, both ends included.
        left: first column to consider.
        right: end of the columns to consider.
    """
    first, end = float(left), float(right)
    for axis in range(2):
        slope, start = forward[axis, 0], forward[axis, 1] * y + forward[axis, 2]
        low, high = (box[axis] - start), (box[axis + 2] - start)
        if abs(slope) > 1e-9:
            near, far = min(low / slope, high / slope), max(low / slope, high / slope)
            # One pixel more on both sides: the exact test below decides, not this division.
            first, end = max(first, math.floor(near) - 1.0), min(end, math.floor(far) + 3.0)
    x, stop = int(first), int(max(first, end))
    while x < stop and not _inside(forward, x, y, box):
        x += 1
    while stop > x and not _inside(forward, stop - 1, y, box):
        stop -= 1
    return x, stop


@compiled
def _inside(forward: NDArray[np.float64], x: int, y: int, box: tuple[float, float, float, float]) -> Any:
    crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
    crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
    return box[0] <= crop_x <= box[2] and box[1] <= crop_y <= box[3]
