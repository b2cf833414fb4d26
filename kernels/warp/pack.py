"""A generator's outputs, measured and turned into planes of 16-bit numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.fixed_point import LARGEST_LEVEL, LARGEST_SHARE, LEVEL_BITS, SHARE_BITS
from lipforge.kernels.upsample import repeat_edges, rounded

INFINITE_BITS = 0x7F800000
SIGN_OFF = np.int32(0x7FFFFFFF)
LARGEST_SHIFT = 16383.0
"""Differences of two displacements then fit an int16."""

LEVEL_UNIT = np.float32(1 << LEVEL_BITS)


@compiled
def measure_fields(flow: NDArray[np.int32], mask: NDArray[np.int32], colour: NDArray[np.int32]) -> Any:
    """Find out how far the fields reach, from the bits of their float32 values.

    Without its sign bit a float orders like an integer; integer maxima are what compilers vectorise.

    Args:
        flow: float32 (2, S, S) seen as int32.
        mask: float32 (S, S) seen as int32.
        colour: float32 (3, S, S) seen as int32.

    Returns:
        Whether every value is finite; the largest |flow| along x and y; first column, first row, end column and end row
        of the cells with any flow or mask (all 0 if there are none).
    """
    size_px = mask.shape[0]
    reach_x = reach_y = largest = np.int32(0)
    left, top, right, bottom = size_px, size_px, 0, 0
    for y in range(size_px):
        in_row = np.int32(0)
        for x in range(size_px):
            bits_x, bits_y, bits = flow[0, y, x] & SIGN_OFF, flow[1, y, x] & SIGN_OFF, mask[y, x] & SIGN_OFF
            in_row |= bits_x | bits_y | bits
            reach_x, reach_y, largest = max(reach_x, bits_x), max(reach_y, bits_y), max(largest, bits)
        for channel in range(3):
            for x in range(size_px):
                largest = max(largest, colour[channel, y, x] & SIGN_OFF)
        if in_row:
            top, bottom = min(top, y), y + 1
            x = 0
            while x < left and (flow[0, y, x] | flow[1, y, x] | mask[y, x]) & SIGN_OFF == 0:
                x += 1
            left = min(left, x)
            x = size_px
            while x > right and (flow[0, y, x - 1] | flow[1, y, x - 1] | mask[y, x - 1]) & SIGN_OFF == 0:
                x -= 1
            right = max(right, x)
    finite = max(largest, max(reach_x, reach_y)) < INFINITE_BITS
    reach = np.int32(reach_x).view(np.float32), np.int32(reach_y).view(np.float32)
    return finite, reach, (min(left, right), min(top, bottom), right, bottom)


@compiled
def pack_fields(
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    shifting: tuple[float, float, float, float],
    strength: float,
    mixing: tuple[float, ...],
    rows: tuple[int, int],
    planes: NDArray[np.int16],
) -> None:
    """Turn the outputs into six planes of 16-bit numbers with their edges repeated all around.

    Displacements are cut at LARGEST_SHIFT units, mask and colours at the ends of their range.

    Args:
        flow: float32 (2, S, S), crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        shifting: two rows of two: from flow along x and y to displacement along x and y in units.
        strength: multiplies the mask.
        mixing: see ``Canvas``.
        rows: first and end row that are needed.
        planes: int16 (6, S + 10, S + 10), overwritten: displacement along x and y, mask as share, three of colour as
            levels times 128; see ``kernels/upsample.py``.
    """
    size_px = mask.shape[0]
    xx, xy, yx, yy = np.float32(shifting[0]), np.float32(shifting[1]), np.float32(shifting[2]), np.float32(shifting[3])
    share = np.float32(strength * (1 << SHARE_BITS))
    for y in range(rows[0], rows[1]):
        for x in range(size_px):
            planes[0, y + 1, x + 1] = rounded(xx * flow[0, y, x] + xy * flow[1, y, x], -LARGEST_SHIFT, LARGEST_SHIFT)
        for x in range(size_px):
            planes[1, y + 1, x + 1] = rounded(yx * flow[0, y, x] + yy * flow[1, y, x], -LARGEST_SHIFT, LARGEST_SHIFT)
        for x in range(size_px):
            planes[2, y + 1, x + 1] = rounded(share * mask[y, x], 0.0, LARGEST_SHARE)
        for channel in range(3):
            red, green = np.float32(mixing[4 * channel]), np.float32(mixing[4 * channel + 1])
            blue, one = np.float32(mixing[4 * channel + 2]), np.float32(mixing[4 * channel + 3])
            for x in range(size_px):
                level = red * colour[0, y, x] + green * colour[1, y, x] + blue * colour[2, y, x] + one
                planes[3 + channel, y + 1, x + 1] = rounded(level * LEVEL_UNIT, 0.0, LARGEST_LEVEL)
    repeat_edges(planes, rows[0], rows[1])
