"""A generator's outputs, measured and turned into planes of 16-bit numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.fixed_point import LARGEST_LEVEL, LARGEST_SHARE

INFINITE_BITS = 0x7F800000
SIGN_OFF = np.int32(0x7FFFFFFF)
LARGEST_SHIFT = 16383.0
"""Differences of two displacements then fit an int16."""


@compiled
def measure_fields(flow: NDArray[np.int32], mask: NDArray[np.int32], colour: NDArray[np.int32]) -> Any:
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
    return finite, reach_x, reach_y, min(left, right), min(top, bottom), right, bottom


@compiled
def pack_fields(
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    shifting: tuple[float, float, float, float],
    gain: float,
    mixing: NDArray[np.float32],
    rows: tuple[int, int],
    planes: NDArray[np.int16],
) -> None:
    size_px = mask.shape[0]
    xx, xy, yx, yy = np.float32(shifting[0]), np.float32(shifting[1]), np.float32(shifting[2]), np.float32(shifting[3])
    for y in range(rows[0], rows[1]):
        for x in range(size_px):
            planes[0, y + 1, x + 1] = _rounded(xx * flow[0, y, x] + xy * flow[1, y, x], -LARGEST_SHIFT, LARGEST_SHIFT)
        for x in range(size_px):
            planes[1, y + 1, x + 1] = _rounded(yx * flow[0, y, x] + yy * flow[1, y, x], -LARGEST_SHIFT, LARGEST_SHIFT)
        share = np.float32(gain * 32768.0)
        for x in range(size_px):
            planes[2, y + 1, x + 1] = _rounded(mask[y, x] * share, 0.0, LARGEST_SHARE)
        for channel in range(3):
            red, green, blue, one = (
                mixing[channel, 0] * np.float32(128.0),
                mixing[channel, 1] * np.float32(128.0),
                mixing[channel, 2] * np.float32(128.0),
                mixing[channel, 3] * np.float32(128.0),
            )
            for x in range(size_px):
                level = red * colour[0, y, x] + green * colour[1, y, x] + blue * colour[2, y, x] + one
                planes[3 + channel, y + 1, x + 1] = _rounded(level, 0.0, LARGEST_LEVEL)
    repeat_edges(planes, size_px)


@compiled
def _rounded(value: float, low: float, high: float) -> Any:
    value = min(max(value, np.float32(low)), np.float32(high))
    return np.int16(np.int32(value + np.float32(32768.5)) - np.int32(32768))


@compiled
def repeat_edges(planes: NDArray[np.int16], size_px: int) -> None:
    """Fill the cells around each plane from their neighbours."""
    for i in range(planes.shape[0]):
        for y in range(1, size_px + 1):
            planes[i, y, 0] = planes[i, y, 1]
            planes[i, y, size_px + 1] = planes[i, y, size_px]
        for x in range(size_px + 2):
            planes[i, 0, x] = planes[i, 1, x]
            planes[i, size_px + 1, x] = planes[i, size_px, x]
