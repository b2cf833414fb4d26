"""The compositor in one pass over the region, row by row, from a copy of it straight into the image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.canvas import BGR, LUMA, PIXEL_BYTES, SEPARATE_CHROMA
from lipforge.kernels.compiled import compiled
from lipforge.kernels.numba_region import row_span
from lipforge.kernels.simd.half_window import UNIT
from lipforge.kernels.simd.lanes import copy_bytes
from lipforge.kernels.simd.number_formats import HALF, SECOND_REST
from lipforge.kernels.simd.row_plan import half_plan, in_units, plan_row
from lipforge.kernels.warp.layout import RECORD_BYTES
from lipforge.kernels.warp.vector_warp import (
    move_bgr,
    move_luma,
    move_paired_chroma,
    move_separate_chroma,
    write_bgr,
    write_luma,
    write_paired_chroma,
    write_separate_chroma,
)


@compiled
def composite_rows(
    kind: int,
    addresses: tuple[int, int, int, int, int],
    strides: tuple[int, int, int, int, int],
    copied: tuple[int, int, int, int],
    bounds: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    box: tuple[float, float, float, float],
    crop: tuple[int, int, int, int, int],
    border_px: float,
    row_room: tuple[int, int, int],
    columns: NDArray[np.int32],
) -> None:
    """Composite every pixel of ``bounds`` whose crop position lies in ``box``.

    Args:
        kind: BGR, LUMA, SEPARATE_CHROMA or PAIRED_CHROMA.
        addresses: of the plane and of the second plane (V), of room for their copies, and of the fields.
        strides: bytes from row to row of the plane, of the second plane, of the copies and of a field, and from field
            to field.
        copied: left, top, right, bottom of what is to be copied: all that a flow can reach.
        bounds: left, top, right, bottom of the pixels to visit.
        forward: float64 (2, 3), px of this plane to crop px.
        box: left, top, right, bottom in crop px, both ends included.
        crop: S, pixels of a half, fraction bits of int16 displacements, whether they are int32, and how often these
            planes halve the resolution that they are for.
        border_px: width of the border's ramp in crop px.
        row_room: addresses, see ``WarpScratch.row_room``.
        columns: int32, likewise.
    """
    size_px, pixels, _, _, _ = crop
    ramp_units = in_units(min(border_px, size_px)) if border_px > 0.0 else -UNIT
    _copy_region(kind, addresses, strides, copied)
    for y in range(bounds[1], bounds[3]):
        first, end = row_span(forward, y, box, bounds[0], bounds[2])
        plan_row(row_room[1], forward, (y, first, end), pixels, (size_px - 1, ramp_units, strides[3]))
        active = _move_row(
            kind, (y, first, end), addresses[4], strides, copied, forward, crop, border_px, row_room, columns
        )
        _write_row(kind, (y, end, active), addresses, strides, pixels, copied[2], row_room, columns)


@compiled
def _copy_region(
    kind: int,
    addresses: tuple[int, int, int, int, int],
    strides: tuple[int, int, int, int, int],
    copied: tuple[int, int, int, int],
) -> None:
    """Copy a region of the planes and repeat its edge once all around."""
    for y in range(copied[1], copied[3]):
        _copy_row(addresses[0] + y * strides[0], addresses[2], strides[2], copied, y, PIXEL_BYTES[kind])
        if kind == SEPARATE_CHROMA:
            _copy_row(addresses[1] + y * strides[1], addresses[3], strides[2], copied, y, 1)


@compiled
def _copy_row(row: int, copy: int, stride: int, copied: tuple[int, int, int, int], y: int, pixel_bytes: int) -> None:
    left, top, right, bottom = copied
    count = (right - left) * pixel_bytes
    to = copy + (y - top + 1) * stride
    copy_bytes(to, row + left * pixel_bytes, pixel_bytes)
    copy_bytes(to + pixel_bytes, row + left * pixel_bytes, count)
    copy_bytes(to + pixel_bytes + count, row + (right - 1) * pixel_bytes, pixel_bytes)
    if y == top:
        copy_bytes(to - stride, to, count + 2 * pixel_bytes)
    if y == bottom - 1:
        copy_bytes(to + stride, to, count + 2 * pixel_bytes)


@compiled
def _move_row(
    kind: int,
    span: tuple[int, int, int],
    fields: int,
    strides: tuple[int, int, int, int, int],
    copied: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    crop: tuple[int, int, int, int, int],
    border_px: float,
    row_room: tuple[int, int, int],
    columns: NDArray[np.int32],
) -> Any:
    """Take step one with the blocks of a row (row, first and end column); return how many of them change anything."""
    y, first, end = span
    size_px, pixels, shift_bits, wide, halvings = crop
    window = (in_units(forward[0, 0]), in_units(forward[1, 0]), strides[3], strides[4])
    place = (y - copied[1] + 1, copied[2] - copied[0], copied[3] - copied[1], strides[2], shift_bits, wide)
    slope, lift = (1.0 / border_px, 0.0) if border_px > 0.0 else (0.0, 1.0)
    wide_unit = 0.5**halvings
    slopes = (forward[0, 0], forward[1, 0], slope, lift, size_px - 1.0, wide_unit)
    active = np.uint64(0)  # unsigned: spares numba's test for a negative index
    half = 0
    for x in range(first, end, 2 * pixels):
        left = end - x
        motion = (
            row_room[2] + RECORD_BYTES * np.int64(active),
            pixels,
            min(left, pixels),
            min(left - pixels, pixels),
            x - copied[0] + 1,
        )
        ramp = (
            np.float32(forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]),
            np.float32(forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]),
            np.float32(slopes[0]),
            np.float32(slopes[1]),
            np.float32(slopes[2]),
            np.float32(slopes[3]),
            np.float32(slopes[4]),
            np.float32(slopes[5]),
        )
        columns[active] = x
        # Spelled out here and not in a function of its own: LLVM would not inline it into the loop.
        if kind == BGR:
            changes = move_bgr((fields, half_plan(row_room[1], half), *window), (*motion, *place), ramp)
        elif kind == LUMA:
            changes = move_luma((fields, half_plan(row_room[1], half), *window), (*motion, *place), ramp)
        elif kind == SEPARATE_CHROMA:
            changes = move_separate_chroma((fields, half_plan(row_room[1], half), *window), (*motion, *place), ramp)
        else:
            changes = move_paired_chroma((fields, half_plan(row_room[1], half), *window), (*motion, *place), ramp)
        active += np.uint64(changes)
        half += 2
    return np.int64(active)


@compiled
def _write_row(
    kind: int,
    row: tuple[int, int, int],
    addresses: tuple[int, int, int, int, int],
    strides: tuple[int, int, int, int, int],
    pixels: int,
    right: int,
    row_room: tuple[int, int, int],
    columns: NDArray[np.int32],
) -> None:
    """Take step two with the blocks of a row (row, end column, how many), in it or, if it is too short, beside it."""
    y, end, active = row
    rest, _, record = row_room
    pixel_bytes = PIXEL_BYTES[kind]
    first, second = addresses[0] + y * strides[0], addresses[1] + y * strides[1]
    for i in range(np.uint64(active)):
        x = int(columns[i])
        at, second_at = first + x * pixel_bytes, second + x * pixel_bytes
        # Lanes that are not to be composited write what they read: the image's pixel, wherever that was copied.
        direct = x + pixels + HALF <= right
        targets = (at if direct else rest, second_at if direct else rest + SECOND_REST)
        block = (record, pixels, *targets, addresses[2], addresses[3], strides[2])
        if kind == BGR:
            write_bgr(block)
        elif kind == LUMA:
            write_luma(block)
        elif kind == SEPARATE_CHROMA:
            write_separate_chroma(block)
        else:
            write_paired_chroma(block)
        if not direct:
            count: int = min(end - x, 2 * pixels) * pixel_bytes
            copy_bytes(at, rest, count)
            if kind == SEPARATE_CHROMA:
                copy_bytes(second_at, rest + SECOND_REST, count)
        record += RECORD_BYTES
