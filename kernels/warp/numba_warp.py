"""The compositor in one pass over the region: eight pixels of a row at a time, straight into the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.simd.lanes import LANES, copy_bytes
from lipforge.kernels.spans import row_span
from lipforge.kernels.warp.vector_warp import (
    RECORD,
    warp_bgr,
    warp_luma,
    warp_paired_chroma,
    warp_separate_chroma,
)

# What the pixels of a plane are, for ``composite_rows``.
BGR, LUMA, SEPARATE_CHROMA, PAIRED_CHROMA = 0, 1, 2, 3
PIXEL_BYTES = (3, 1, 1, 2)

INFINITE_BITS = 0x7F800000

# Unsigned offsets spare numba's test for negative indices in every store.
U1, U2, U3, U4, U5 = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(5)


@compiled
def measure_fields(flow: NDArray[np.int32], mask: NDArray[np.int32], colour: NDArray[np.int32]) -> Any:
    """Find out how far the fields reach, from the bits of their float32 values.

    Without its sign bit a float orders like an integer; integer maxima are what compilers vectorise.

    Args:
        flow: float32 (2, S, S) seen as int32.
        mask: float32 (S, S) seen as int32.
        colour: float32 (3, S, S) seen as int32.

    Returns:
        Whether every value is finite; the largest |flow| along x and y as bits; first column, first row, end column and
        end row of the cells with any flow or mask (all 0 if there are none).
    """
    size_px = mask.shape[0]
    sign_off = np.int32(0x7FFFFFFF)
    columns = np.zeros(size_px, np.int32)
    reach_x = reach_y = largest = np.int32(0)
    top, bottom = size_px, 0
    for y in range(size_px):
        in_row = np.int32(0)
        for x in range(size_px):
            bits_x, bits_y, bits = flow[0, y, x] & sign_off, flow[1, y, x] & sign_off, mask[y, x] & sign_off
            columns[x] |= bits_x | bits_y | bits
            in_row |= bits_x | bits_y | bits
            reach_x, reach_y, largest = max(reach_x, bits_x), max(reach_y, bits_y), max(largest, bits)
        for channel in range(3):
            for x in range(size_px):
                largest = max(largest, colour[channel, y, x] & sign_off)
        if in_row:
            top, bottom = min(top, y), y + 1
    active = np.flatnonzero(columns)
    left, right = (active[0], active[-1] + 1) if active.size else (0, 0)
    finite = max(largest, max(reach_x, reach_y)) < INFINITE_BITS
    return finite, reach_x, reach_y, left, min(top, bottom), right, bottom


@compiled
def pack_fields(
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    mixing: NDArray[np.float32],
    rows: tuple[int, int],
    fields: NDArray[np.float32],
) -> None:
    """Interleave the six planes, so that a pixel's values lie next to each other.

    Args:
        flow: float32 (2, S, S), crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        mixing: float32 (3, 4): from RGB and 1 to the levels that the image stores.
        rows: first and end row that are needed.
        fields: float32 (S + 1, S + 1, 8), overwritten: flow x, flow y, mask, three of colour, two unused. The last row
            and column repeat their neighbours.
    """
    size_px = mask.shape[0]
    # Scalars and one flat output: the compiler cannot know that an array in the loop does not change with it.
    m00, m01, m02, m03 = mixing[0, 0], mixing[0, 1], mixing[0, 2], mixing[0, 3]
    m10, m11, m12, m13 = mixing[1, 0], mixing[1, 1], mixing[1, 2], mixing[1, 3]
    m20, m21, m22, m23 = mixing[2, 0], mixing[2, 1], mixing[2, 2], mixing[2, 3]
    flat = fields.reshape(-1)
    for y in range(rows[0], rows[1]):
        at = np.uint64(y * (size_px + 1) * RECORD)
        for x in range(size_px):
            red, green, blue = colour[0, y, x], colour[1, y, x], colour[2, y, x]
            flat[at], flat[at + U1], flat[at + U2] = flow[0, y, x], flow[1, y, x], mask[y, x]
            flat[at + U3] = m00 * red + m01 * green + m02 * blue + m03
            flat[at + U4] = m10 * red + m11 * green + m12 * blue + m13
            flat[at + U5] = m20 * red + m21 * green + m22 * blue + m23
            at += np.uint64(RECORD)
        fields[y, size_px] = fields[y, size_px - 1]
    fields[rows[1]] = fields[rows[1] - 1]


@compiled
def composite_rows(
    kind: int,
    addresses: tuple[int, int, int, int, int],
    strides: tuple[int, int, int],
    copied: tuple[int, int, int, int],
    bounds: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    box: tuple[float, float, float, float],
    size_px: int,
    ramp: tuple[float, float, float],
) -> None:
    """Composite every pixel of ``bounds`` whose crop position lies in ``box``.

    Args:
        kind: BGR, LUMA, SEPARATE_CHROMA or PAIRED_CHROMA.
        addresses: of the plane and of the second plane (V), of their copies, and of the fields. A copy has one more
            row and 8 more bytes than it needs.
        strides: bytes from row to row of the plane, of the second plane and of the copies.
        copied: left, top, right, bottom of what was copied, with all that a flow can reach.
        bounds: left, top, right, bottom of the pixels to visit.
        forward: float64 (2, 3), px of this plane to crop px.
        inverse: float64 (2, 3), crop px to px of this plane.
        box: left, top, right, bottom in crop px, both ends included.
        size_px: S.
        ramp: slope and lift of the border ramp, and strength.
    """
    target, second_target, source, second_source, fields = addresses
    pixel_bytes = PIXEL_BYTES[kind]
    rest = np.empty(8 * LANES, np.uint8)  # a row's last, partly filled block is made here
    rest_address = np.int64(rest.ctypes.data)
    step_x, step_y = np.float32(forward[0, 0]), np.float32(forward[1, 0])
    xx, xy = np.float32(inverse[0, 0]), np.float32(inverse[0, 1])
    yx, yy = np.float32(inverse[1, 0]), np.float32(inverse[1, 1])
    slope, lift, strength = np.float32(ramp[0]), np.float32(ramp[1]), np.float32(ramp[2])
    last_x, last_y = copied[2] - copied[0] - 1, copied[3] - copied[1] - 1
    for y in range(bounds[1], bounds[3]):
        first, end = row_span(forward, y, box, bounds[0], bounds[2])
        for x in range(first, end, LANES):
            crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
            crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
            whole_x, whole_y = math.floor(crop_x), math.floor(crop_y)
            at = target + y * strides[0] + x * pixel_bytes
            second_at = second_target + y * strides[1] + x * pixel_bytes
            full = end - x >= LANES
            block = (
                at if full else rest_address,
                second_at if full else rest_address + 4 * LANES,
                source,
                second_source,
                strides[2],
                x - copied[0],
                y - copied[1],
                last_x,
                last_y,
                fields,
                size_px - 1,
                whole_x,
                whole_y,
            )
            part_x, part_y = np.float32(crop_x - whole_x), np.float32(crop_y - whole_y)
            motion = (part_x, part_y, step_x, step_y, xx, xy, yx, yy, slope, lift, strength)
            if kind == BGR:
                written = warp_bgr(block, motion)
            elif kind == LUMA:
                written = warp_luma(block, motion)
            elif kind == SEPARATE_CHROMA:
                written = warp_separate_chroma(block, motion)
            else:
                written = warp_paired_chroma(block, motion)
            if written and not full:
                copy_bytes(at, rest_address, (end - x) * pixel_bytes)
                if kind == SEPARATE_CHROMA:
                    copy_bytes(second_at, rest_address + 4 * LANES, (end - x) * pixel_bytes)
