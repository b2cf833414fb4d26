"""How values get into planes of the crop's cells; ``cell_planes`` tells how these lie in memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.cell_planes import SPARE
from lipforge.kernels.compiled import compiled


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
