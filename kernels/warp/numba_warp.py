"""The compositor in one pass over the region: sixteen pixels of a row at a time, straight into the image."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.lanes import copy_bytes
from lipforge.kernels.spans import row_span
from lipforge.kernels.upsample import PLANNED, STEP_BITS, UNIT, plan_windows
from lipforge.kernels.warp.vector_warp import *
from lipforge.kernels.warp.vector_warp import MOVED_BYTES

# What the pixels of a plane are, for ``composite_rows``.
BGR, LUMA, SEPARATE_CHROMA, PAIRED_CHROMA = 0, 1, 2, 3
PIXEL_BYTES = (3, 1, 1, 2)

REST_BYTES = 64
"""Room for a block of pixels."""


@compiled
def copy_region(source: int, source_stride: int, copy: int, copy_stride: int, size: tuple[int, int, int]) -> None:
    """Copy a region of an image and repeat its edge once all around.

    Args:
        source: address of the region.
        source_stride: bytes from row to row.
        copy: address of a memory of (height + 2) rows.
        copy_stride: bytes from row to row of the copy, at least (width + 2) pixels.
        size: width and height in px, and bytes of a pixel.
    """
    width, height, pixel_bytes = size
    for y in range(-1, height + 1):
        row = source + min(max(y, 0), height - 1) * source_stride
        to = copy + (y + 1) * copy_stride
        copy_bytes(to, row, pixel_bytes)
        copy_bytes(to + pixel_bytes, row, width * pixel_bytes)
        copy_bytes(to + (width + 1) * pixel_bytes, row + (width - 1) * pixel_bytes, pixel_bytes)


@compiled
def composite_rows(
    kind: int,
    addresses: tuple[int, int, int, int, int, int],
    strides: tuple[int, int, int, int, int],
    copied: tuple[int, int, int, int],
    bounds: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    box: tuple[float, float, float, float],
    size_px: int,
    pixels: int,
    shift_bits: int,
    border: float,
    plan: NDArray[np.int32],
) -> None:
    target, second_target, source, second_source, planes, rest = addresses
    pixel_bytes = PIXEL_BYTES[kind]
    last = size_px - 1
    row_bytes, plane_bytes = strides[3], strides[4]
    step_x, step_y = np.int64(round(forward[0, 0] * UNIT)), np.int64(round(forward[1, 0] * UNIT))
    slope, lift = (1.0 / border, 0.0) if border > 0.0 else (0.0, 1.0)
    border_units = np.int64(border * UNIT) if border > 0.0 else np.int64(-UNIT)
    last_x, last_y = copied[2] - copied[0], copied[3] - copied[1]
    float_step_x, float_step_y = np.float32(forward[0, 0]), np.float32(forward[1, 0])
    plan_address = np.int64(plan.ctypes.data)
    moved = plan_address + 80000
    columns = plan[10000:20000]
    PLAN_BYTES = 160
    for y in range(bounds[1], bounds[3]):
        first, end = row_span(forward, y, box, bounds[0], bounds[2])
        blocks = 0
        record_index = np.uint64(0)
        for x in range(first, end, PLANNED * pixels):
            crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
            crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
            start = (np.int64(crop_x * UNIT), np.int64(crop_y * UNIT))
            plan_windows(
                plan_address + PLAN_BYTES * (blocks >> 2),
                (*start, step_x, step_y, pixels, last, border_units, row_bytes),
            )
            blocks += PLANNED // 2
        record = moved
        x = first
        i = 0
        while x < end:
            window = (planes, plan_address + PLAN_BYTES * (i >> 2) + 8 * (i & 3), step_x, step_y, row_bytes, plane_bytes)
            motion = (
                record,
                pixels,
                x - copied[0] + 1,
                y - copied[1] + 1,
                last_x,
                last_y,
                strides[2],
                shift_bits,
            )
            ramp = (
                np.float32(forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]),
                np.float32(forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]),
                float_step_x,
                float_step_y,
                np.float32(slope),
                np.float32(lift),
                np.float32(last),
            )
            if kind == BGR:
                written = move_bgr(window, motion, ramp)
            elif kind == LUMA:
                written = move_luma(window, motion, ramp)
            elif kind == SEPARATE_CHROMA:
                written = move_separate_chroma(window, motion, ramp)
            else:
                written = move_paired_chroma(window, motion, ramp)
            columns[record_index] = x
            record_index += np.uint64(written)
            record += MOVED_BYTES * np.int64(written)
            x += 2 * pixels
            i += 1
        for i in range(record_index):
            x = columns[i]
            at = target + y * strides[0] + x * pixel_bytes
            second_at = second_target + y * strides[1] + x * pixel_bytes
            full = end - x >= 16 and pixels == 8
            block = (
                moved + MOVED_BYTES * np.int64(i),
                at if full else rest,
                second_at if full else rest + 32,
                pixels,
                source,
                second_source,
                strides[2],
            )
            if kind == BGR:
                write_bgr(block)
            elif kind == LUMA:
                write_luma(block)
            elif kind == SEPARATE_CHROMA:
                write_separate_chroma(block)
            else:
                write_paired_chroma(block)
            if not full:
                count = min(end - x, 2 * pixels) * pixel_bytes
                copy_bytes(at, rest, count)
                if kind == SEPARATE_CHROMA:
                    copy_bytes(second_at, rest + 32, count)
