"""Describes image planes to the compiled crop, in plain numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError

LARGEST_PLANE_BYTES = 2**32 - 1  # byte offsets in a plane are 32-bit numbers


def described(plane: NDArray[np.uint8], columns: int) -> tuple[NDArray[np.uint8], tuple[int, int, int, int]]:
    """Return the first row and what leads from there to all other pixels.

    A plane with a single row or too few columns is copied, with its edge repeated.

    Args:
        plane: uint8 (H, W) or (H, W, channels), pixels of a row next to each other.
        columns: how many the kernel needs at least.

    Returns:
        Bytes of the first row, uint8, 1-D; then bytes from row to row, from pixel to pixel; last column, last row.

    Raises:
        InputError: the plane is too large for the kernel.
    """
    height, width = plane.shape[:2]
    stride = plane.strides[0]
    if height * stride > LARGEST_PLANE_BYTES:
        raise InputError(f"an image of {height} rows, {stride} bytes apart, is too large; pass one of less than 4 GiB.")
    if height == 1 or width < columns:
        missing = [(0, int(height == 1)), (0, max(0, columns - width)), (0, 0)]
        return described(np.pad(plane, missing[: plane.ndim], "edge"), columns)
    row = plane[0]
    if plane.ndim == 2:
        return row, (stride, 1, width - 1, height - 1)
    return row.reshape(-1), (stride, plane.shape[2], width - 1, height - 1)
