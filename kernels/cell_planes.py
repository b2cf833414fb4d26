"""Planes of the crop's cells as int16: how they lie in memory, and how values get into them.

A plane of S x S cells is kept with its edge repeated all around: cell (row, column) stands at [row + 1, column + 1].
Behind that there is room which a window of ``kernels/simd/upsample.py`` may load and no pixel uses.
"""

from __future__ import annotations

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
