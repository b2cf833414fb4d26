"""Describes image planes to the compiled crop, in plain numbers."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.errors import InputError

LARGEST_PLANE_BYTES = 2**32 - 1  # byte offsets in a plane are 32-bit numbers


def with_neighbours(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return the plane, or a copy with its edge repeated if it is a single row or column.

    Args:
        plane: uint8 (H, W) or (H, W, channels).

    Raises:
        InputError: it is too large for the kernel.
    """
    height, width = plane.shape[:2]
    if height * plane.strides[0] > LARGEST_PLANE_BYTES:
        raise InputError(
            f"an image of {height} rows, {plane.strides[0]} bytes apart, is too large; pass less than 4 GiB."
        )
    if height > 1 and width > 1:
        return plane
    return np.pad(plane, [(0, int(height == 1)), (0, int(width == 1)), (0, 0)][: plane.ndim], "edge")


def described(plane: NDArray[np.uint8]) -> tuple[int, int, int, int, int]:
    """Return address, bytes from row to row, bytes from pixel to pixel, last column and last row.

    Args:
        plane: uint8 (H, W) or (H, W, channels), pixels of a row next to each other; alive while the numbers are used.
    """
    height, width = plane.shape[:2]
    return plane.ctypes.data, plane.strides[0], plane.strides[1], width - 1, height - 1
