"""A generator's outputs, measured and turned into planes of 16-bit numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.numba_cells import repeat_edges, rounded
from lipforge.kernels.simd.number_formats import LARGEST_LEVEL, LARGEST_SHARE, LEVEL_BITS, SHARE_BITS
from lipforge.kernels.warp.layout import LARGEST_SHIFT, LOW_X, MASK, PAINTED, SHIFT_X, WIDE_BITS

INFINITE_BITS = 0x7F800000
SIGN_OFF = np.int32(0x7FFFFFFF)
WIDEST_SHIFT = np.float32(LARGEST_SHIFT * (1 << WIDE_BITS))

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
def pack_shift(
    flow: NDArray[np.float32],
    shifting: tuple[float, float, float, float],
    wide: bool,
    rows: tuple[int, int],
    planes: NDArray[np.int16],
) -> None:
    """Turn flow into displacements in px of the canvas, cut at LARGEST_SHIFT.

    Args:
        flow: float32 (2, S, S), crop px.
        shifting: two rows of two: from flow along x and y to displacement along x and y in units.
        wide: units are 2 ** -WIDE_BITS px; otherwise an int16 is to hold all displacements.
        rows: first and end row that are needed.
        planes: int16 (8, S + 10, S + 10), SHIFT_X and SHIFT_Y overwritten, and LOW_X and LOW_Y if wide; see
            ``vector_warp`` and ``kernels/cell_planes.py``.
    """
    size_px = flow.shape[1]
    for axis in range(2):
        along_x, along_y = np.float32(shifting[2 * axis]), np.float32(shifting[2 * axis + 1])
        high, low = planes[SHIFT_X + axis], planes[LOW_X + axis]
        for y in range(rows[0], rows[1]):
            if wide:
                for x in range(size_px):
                    shift = along_x * flow[0, y, x] + along_y * flow[1, y, x]
                    units = np.int32(min(max(shift, -WIDEST_SHIFT), WIDEST_SHIFT))
                    high[y + 1, x + 1], low[y + 1, x + 1] = np.int16(units >> 16), np.int16(units & 0xFFFF)
            else:
                for x in range(size_px):
                    shift = along_x * flow[0, y, x] + along_y * flow[1, y, x]
                    high[y + 1, x + 1] = rounded(shift, -LARGEST_SHIFT, LARGEST_SHIFT)


@compiled
def pack_colours(
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    strength: float,
    mixing: tuple[float, ...],
    rows: tuple[int, int],
    planes: NDArray[np.int16],
) -> None:
    """Turn mask and colour into 16-bit numbers, cut at the ends of their range, and complete the edges of all planes.

    Args:
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        strength: multiplies the mask.
        mixing: see ``Canvas``.
        rows: first and end row that are needed.
        planes: int16 (8, S + 10, S + 10), MASK (as share) and three planes from PAINTED on (levels times 128)
            overwritten; see ``vector_warp`` and ``kernels/cell_planes.py``.
    """
    size_px = mask.shape[0]
    share = np.float32(strength * (1 << SHARE_BITS))
    for y in range(rows[0], rows[1]):
        for x in range(size_px):
            planes[MASK, y + 1, x + 1] = rounded(share * mask[y, x], 0.0, LARGEST_SHARE)
        for channel in range(3):
            red, green = np.float32(mixing[4 * channel]), np.float32(mixing[4 * channel + 1])
            blue, one = np.float32(mixing[4 * channel + 2]), np.float32(mixing[4 * channel + 3])
            for x in range(size_px):
                level = red * colour[0, y, x] + green * colour[1, y, x] + blue * colour[2, y, x] + one
                planes[PAINTED + channel, y + 1, x + 1] = rounded(level * LEVEL_UNIT, 0.0, LARGEST_LEVEL)
    repeat_edges(planes, rows[0], rows[1])
