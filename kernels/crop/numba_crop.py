"""The crop in one pass: eight pixels at a time with all their taps, no buffer between image and crop."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.vector_crop import (
    add_bgr,
    add_bgr_inside,
    add_pairs,
    add_pairs_inside,
    add_single,
    add_single_inside,
    write_mixed,
)
from lipforge.kernels.lanes import LANES, copy_bytes

VECTORS_BYTES = 3 * 4 * LANES  # the sums of eight pixels, one vector per channel
FARTHEST_PX = 2.0**23  # whole numbers up to here are exact in float32


@compiled
def crop_rows(
    planes: NDArray[np.int64],
    inverse: NDArray[np.float64],
    chroma_inverse: NDArray[np.float64],
    mixing: NDArray[np.float64],
    out: NDArray[np.uint8],
) -> None:
    """Fill ``out`` from an image whose channels lie in one to three planes.

    Args:
        planes: (n, 7): address, stride, last x, last y, limit, channels and taps per axis of each plane, see ``Tap``.
        inverse: (2, 3), crop px to px of the first plane.
        chroma_inverse: (2, 3), crop px to px of the other planes.
        mixing: (3, 4): channel i of the crop is ``mixing[i, :3] @ means of the samples + mixing[i, 3]``.
        out: (S, S, 3), C-contiguous, overwritten.
    """
    size_px = out.shape[0]
    blocks = (size_px + LANES - 1) // LANES
    totals, rest = np.empty((blocks, 3, LANES), np.float32), np.empty(3 * LANES, np.uint8)
    totals_address, rest_address, target = _address(totals), _address(rest), _address(out)
    shares = _shares(planes)
    factors = (_four(mixing[0], shares), _four(mixing[1], shares), _four(mixing[2], shares))
    for row in range(size_px):
        totals[:] = 0.0
        at = totals_address
        for i in range(planes.shape[0]):
            taps = planes[i, 6]
            for j in range(taps):
                for k in range(taps):
                    # Sample k sits in the middle of the k-th of `taps` equal parts of the pixel.
                    first, crop_y = (k + 0.5) / taps - 0.5, row + ((j + 0.5) / taps - 0.5)
                    _add_row(planes[i], chroma_inverse if i else inverse, first, crop_y, blocks, at)
            at += planes[i, 5] * 4 * LANES
        for block in range(size_px // LANES):
            write_mixed(totals_address + block * VECTORS_BYTES, target, factors)
            target += 3 * LANES
        left_over = size_px % LANES
        if left_over:
            write_mixed(totals_address + (blocks - 1) * VECTORS_BYTES, rest_address, factors)
            copy_bytes(target, rest_address, left_over * 3)
            target += left_over * 3


@compiled
def _add_row(
    plane: NDArray[np.int64], inverse: NDArray[np.float64], first: float, crop_y: float, blocks: int, totals: int
) -> None:
    """Add one sample of every pixel of a crop row to its vectors, which start at address ``totals``."""
    image, stride, last_x, last_y, limit, channels = plane[0], plane[1], plane[2], plane[3], plane[4], plane[5]
    across, down = inverse[0, 0], inverse[1, 0]
    step_x, step_y = np.float32(across), np.float32(down)
    start_x = inverse[0, 1] * crop_y + inverse[0, 2]
    start_y = inverse[1, 1] * crop_y + inverse[1, 2]
    first_y, end_y = down * first + start_y, down * (first + blocks * LANES) + start_y
    inside = min(first_y, end_y) >= 0.0 and max(first_y, end_y) < last_y - 2.0
    for block in range(blocks):
        crop_x = block * LANES + first
        x, y = across * crop_x + start_x, down * crop_x + start_y
        whole_x = math.floor(min(max(x, -FARTHEST_PX), FARTHEST_PX))
        whole_y = math.floor(min(max(y, -FARTHEST_PX), FARTHEST_PX))
        tap = (totals, image, stride, limit, last_x, last_y, whole_x, whole_y)
        path = (np.float32(x - whole_x), np.float32(y - whole_y), step_x, step_y)
        if channels == 3:
            if inside:
                add_bgr_inside(tap, path)
            else:
                add_bgr(tap, path)
        elif channels == 2:
            if inside:
                add_pairs_inside(tap, path)
            else:
                add_pairs(tap, path)
        elif inside:
            add_single_inside(tap, path)
        else:
            add_single(tap, path)
        totals += VECTORS_BYTES


@compiled
def _address(array: Any) -> Any:
    return np.int64(array.ctypes.data)


@compiled
def _shares(planes: NDArray[np.int64]) -> Any:
    """Return, for each of the three channels, the share of one sample in the mean."""
    shares = np.empty(3)
    channel = 0
    for i in range(planes.shape[0]):
        for _ in range(planes[i, 5]):
            shares[channel] = 1.0 / (planes[i, 6] * planes[i, 6])
            channel += 1
    return shares


@compiled
def _four(row: NDArray[np.float64], shares: NDArray[np.float64]) -> Any:
    """Return a row of the mixing matrix for sums instead of means."""
    a, b, c = row[0] * shares[0], row[1] * shares[1], row[2] * shares[2]
    return np.float32(a), np.float32(b), np.float32(c), np.float32(row[3])
