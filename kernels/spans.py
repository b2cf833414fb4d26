"""Which part of a crop is active, and which pixels of an image row lie in it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled


def active_box(cells: tuple[int, ...], size_px: int) -> tuple[float, float, float, float]:
    """Return left, top, right, bottom in crop px outside which bilinear samples meet only zero cells.

    Args:
        cells: first column, first row, end column, end row of the cells that are not zero.
        size_px: S, width and height of the crop.
    """
    # A cell is felt up to one cell away, and at the border up to the square's edge.
    left, top = (float(first - 1) if first > 0 else -0.5 for first in cells[:2])
    right, bottom = (float(end) if end < size_px else size_px - 0.5 for end in cells[2:])
    return left, top, right, bottom


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
