"""The crop in one pass over its pixels: places, then bytes, then colours, in short runs that live on the stack.

``vector_place`` finds where samples lie, ``vector_blend`` adds their bytes up, ``vector_output`` makes colours of the
sums. The loops around them are here. Addresses and sizes come in as plain numbers and tuples of them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.layouts import BYTE_PLANES, FLOAT_PLANES, PIXELS, PIXELS_REVERSED
from lipforge.kernels.crop.vector_blend import (
    CUT_LEVELS,
    LEVEL_BITS,
    PIXEL_SUMS_BYTES,
    PLANE_SUMS_BYTES,
    add_bgr,
    add_bgr_at_end,
    add_pairs,
    add_single,
    sum_shift,
)
from lipforge.kernels.crop.vector_output import (
    WORDS_BYTES,
    words_of_pixels,
    words_of_planes,
    write_pixels,
    write_pixels_reversed,
    write_plane_bytes,
    write_plane_floats,
)
from lipforge.kernels.crop.vector_place import ENTRY_BYTES, RUN, TABLE_BYTES, place_run
from lipforge.kernels.lanes import LANES, clear_bytes, copy_bytes, stack_bytes

RUN_BLOCKS = RUN // LANES
BGR_SUMS_BYTES, YUV_SUMS_BYTES = RUN_BLOCKS * PIXEL_SUMS_BYTES, RUN_BLOCKS * 3 * PLANE_SUMS_BYTES
ROOM_BYTES = RUN_BLOCKS * WORDS_BYTES + 3 * 4 * LANES  # words, and eight pixels in the widest layout


@compiled
def crop_bgr(plane: Any, path: Any, taps: int, size_px: int, output: Any) -> None:
    """Write the crop of an image with 3 bytes per pixel.

    Args:
        plane: address, bytes from row to row, bytes from pixel to pixel, last column, last row; all int64.
        path: six float64, crop px to image px, row by row.
        taps: samples per axis and crop px.
        size_px: S, width and height of the crop.
        output: address, layout, bytes from plane to plane (of the layouts that have planes); all int64.
    """
    table, sums, words = stack_bytes(TABLE_BYTES), stack_bytes(BGR_SUMS_BYTES), stack_bytes(ROOM_BYTES)
    shift = sum_shift(taps)
    scale = 1.0 / (taps * taps * 2.0 ** (LEVEL_BITS - shift))
    for row in range(size_px):
        for start in range(0, size_px, RUN):
            count = min(RUN, size_px - start)
            blocks = (count + LANES - 1) // LANES
            clear_bytes(sums, blocks * PIXEL_SUMS_BYTES)
            for j in range(taps):
                for i in range(taps):
                    # Sample i sits in the middle of the i-th of `taps` equal parts of the pixel.
                    x, y = start + ((i + 0.5) / taps - 0.5), row + ((j + 0.5) / taps - 0.5)
                    _add_bgr_run(table, sums, blocks, plane, place_run(table, blocks, plane, path, x, y), shift)
            for block in range(blocks):
                total, word = sums + block * PIXEL_SUMS_BYTES, words + block * WORDS_BYTES
                words_of_pixels(total, word, np.float32(scale), np.float32(0.5 + CUT_LEVELS))
            _write_run(words, output, row * size_px + start, count)


@compiled
def _add_bgr_run(table: int, sums: int, blocks: int, plane: Any, at_end: bool, shift: int) -> None:
    for block in range(blocks):
        entry, total = table + block * ENTRY_BYTES, sums + block * PIXEL_SUMS_BYTES
        if at_end:
            add_bgr_at_end(total, entry, plane[0], plane[1], shift)
        else:
            add_bgr(total, entry, plane[0], plane[1], shift)


@compiled
def crop_yuv(planes: Any, path: Any, chroma_path: Any, taps: Any, mixing: Any, size_px: int, output: Any) -> None:
    """Write the crop of a frame in two or three planes.

    Args:
        planes: luma and two of chroma, each as in ``crop_bgr``, one behind the other: 15 int64. Where a chroma pixel
            has two bytes, its first plane holds both channels and the second is not used.
        path: six float64, crop px to luma px, row by row.
        chroma_path: the same to chroma px.
        taps: samples per axis and crop px of luma and of chroma.
        mixing: 12 float64, a matrix of 3 x 4 row by row: each colour is ``row[:3] @ (Y, U, V) + row[3]``, in levels.
        size_px: S, width and height of the crop.
        output: as in ``crop_bgr``.
    """
    table, sums, words = stack_bytes(TABLE_BYTES), stack_bytes(YUV_SUMS_BYTES), stack_bytes(ROOM_BYTES)
    luma, u, v = planes[:5], planes[5:10], planes[10:]
    shifts = (sum_shift(taps[0]), sum_shift(taps[1]))
    factors = _of_sums(mixing, taps, shifts)
    for row in range(size_px):
        for start in range(0, size_px, RUN):
            count = min(RUN, size_px - start)
            blocks = (count + LANES - 1) // LANES
            clear_bytes(sums, blocks * 3 * PLANE_SUMS_BYTES)
            _add_plane(table, sums, blocks, luma, path, (start, row, taps[0], shifts[0]))
            chroma_run = (start, row, taps[1], shifts[1])
            _add_plane(table, sums + PLANE_SUMS_BYTES, blocks, u, chroma_path, chroma_run)
            if u[2] == 1:
                _add_plane(table, sums + 2 * PLANE_SUMS_BYTES, blocks, v, chroma_path, chroma_run)
            for block in range(blocks):
                words_of_planes(sums + block * 3 * PLANE_SUMS_BYTES, words + block * WORDS_BYTES, factors)
            _write_run(words, output, row * size_px + start, count)


@compiled
def _add_plane(table: int, sums: int, blocks: int, plane: Any, path: Any, run: Any) -> None:
    """Add all samples of a run of crop pixels: its first column, its row, taps and shift."""
    start, row, taps, shift = run
    for j in range(taps):
        for i in range(taps):
            x, y = start + ((i + 0.5) / taps - 0.5), row + ((j + 0.5) / taps - 0.5)
            place_run(table, blocks, plane, path, x, y)
            for block in range(blocks):
                entry, total = table + block * ENTRY_BYTES, sums + block * 3 * PLANE_SUMS_BYTES
                if plane[2] == 2:
                    add_pairs(total, entry, plane[0], plane[1], shift)
                else:
                    add_single(total, entry, plane[0], plane[1], shift)


@compiled
def _of_sums(mixing: Any, taps: Any, shifts: Any) -> Any:
    """Return the mixing matrix for sums instead of means; the mean loss of a sample by cutting is made up for."""
    luma = 1.0 / (taps[0] * taps[0] * 2.0 ** (LEVEL_BITS - shifts[0]))
    chroma = 1.0 / (taps[1] * taps[1] * 2.0 ** (LEVEL_BITS - shifts[1]))
    return (
        _row_of_sums(mixing[0:4], luma, chroma),
        _row_of_sums(mixing[4:8], luma, chroma),
        _row_of_sums(mixing[8:12], luma, chroma),
    )


@compiled
def _row_of_sums(row: Any, luma: float, chroma: float) -> Any:
    made_up = row[3] + CUT_LEVELS * (row[0] + row[1] + row[2]) + 0.5
    return np.float32(row[0] * luma), np.float32(row[1] * chroma), np.float32(row[2] * chroma), np.float32(made_up)


@compiled
def _write_run(words: int, output: Any, pixel: int, count: int) -> None:
    """Write ``count`` words from a pixel of the crop on; behind the words is room for a block in any layout."""
    target, layout, plane_bytes = output
    if layout <= PIXELS_REVERSED:
        _write_pixels(words, target + 3 * pixel, layout == PIXELS_REVERSED, count)
    elif layout == BYTE_PLANES:
        _write_planes(words, target + pixel, plane_bytes, 1, count)
    else:
        _write_planes(words, target + 4 * pixel, plane_bytes, 4, count)


@compiled
def _write_pixels(words: int, target: int, reverse: bool, count: int) -> None:
    spare = words + RUN_BLOCKS * WORDS_BYTES
    for done in range(0, count, LANES):
        whole = count - done >= LANES
        to = target + 3 * done if whole else spare
        if reverse:
            write_pixels_reversed(words + 4 * done, to)
        else:
            write_pixels(words + 4 * done, to)
        if not whole:
            copy_bytes(target + 3 * done, spare, 3 * (count - done))


@compiled
def _write_planes(words: int, target: int, plane_bytes: int, width: int, count: int) -> None:
    """Write bytes (``width`` 1) or float32 (4) to three planes."""
    spare = words + RUN_BLOCKS * WORDS_BYTES
    for done in range(0, count, LANES):
        whole = count - done >= LANES
        to, step = (target + width * done, plane_bytes) if whole else (spare, LANES * width)
        if width == 1:
            write_plane_bytes(words + 4 * done, to, step)
        else:
            write_plane_floats(words + 4 * done, to, step)
        if not whole:
            for k in range(3):
                copy_bytes(target + k * plane_bytes + width * done, spare + k * step, width * (count - done))
