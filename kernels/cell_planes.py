"""Planes of the crop's cells as int16: how they lie in memory, and how values get into them.

A plane of S x S cells is kept with its edge repeated all around: cell (row, column) stands at [row + 1, column + 1].
Behind that there is room which a window of ``kernels/simd/upsample.py`` may load and no pixel uses.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.errors import InputError

SPARE = 8
"""Columns and rows behind a plane: a window has eight columns, and a half is loaded with the other half's rows too."""

LARGEST_CROP_PX = 8000
"""Positions in the crop are int32 with STEP_BITS behind the point."""


def planes_shape(count: int, size_px: int) -> tuple[int, int, int]:
    """Return the shape of the int16 array that holds ``count`` planes of S x S cells with their edges and room.

    Raises:
        InputError: S is above LARGEST_CROP_PX.
    """
    if size_px > LARGEST_CROP_PX:
        raise InputError(f"the crop is {size_px} px wide; at most {LARGEST_CROP_PX} are allowed.")
    return count, size_px + 2 + SPARE, size_px + 2 + SPARE


@compiled
def rounded(value: float, low: float, high: float) -> Any:
    """Return a float32 as int16, cut to whole numbers low and high and rounded to nearest."""
    cut: Any = min(max(value, np.float32(low)), np.float32(high))
    # Cutting off what is behind the point rounds down only above 0.
    return np.int16(np.int32(cut + np.float32(32768.5)) - np.int32(32768))


@compiled
def inner_size(planes: NDArray[np.int16]) -> Any:
    """Return S of planes with their edges and room."""
    return planes.shape[1] - 2 - SPARE


@compiled
def repeat_edges(planes: NDArray[np.int16], first: int, end: int) -> None:
    """Fill the cells around planes, of which rows from ``first`` to ``end`` are filled in, from their neighbours."""
    size_px = inner_size(planes)
    for i in range(planes.shape[0]):
        for y in range(first + 1, end + 1):
            planes[i, y, 0] = planes[i, y, 1]
            planes[i, y, size_px + 1] = planes[i, y, size_px]
        for x in range(size_px + 2):
            planes[i, first, x] = planes[i, first + 1, x]
            planes[i, end + 1, x] = planes[i, end, x]
