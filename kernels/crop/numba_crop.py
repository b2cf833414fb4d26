"""The crop in one pass over its pixels: places, then bytes, then colours, in short runs that live on the stack.

``vector_place`` finds where samples lie, ``vector_blend`` adds their bytes up, ``vector_output`` makes colours of the
sums. The loops around them are here. Entry points take plain numbers,
tuples of them and arrays of bytes, so that they can be compiled ahead of time for one signature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.footprint import taps_of
from lipforge.kernels.crop.layouts import SPARE_BYTES, address_of, block_of, copy_rest, described, spare_block
from lipforge.kernels.crop.vector_blend import (
    CUT_LEVELS,
    LEVEL_BITS,
    PIXEL_SUMS_BYTES,
    PLANE_SUMS_BYTES,
    add_bgr,
    add_bgr_at_end,
    add_records,
    add_single,
    adding,
    sum_shift,
)
from lipforge.kernels.crop.vector_chroma import RECORD_BYTES, chroma_path, fill_records, region_under
from lipforge.kernels.crop.vector_output import write_mean, write_mixed
from lipforge.kernels.crop.vector_place import (
    ENTRY_BYTES,
    RUN,
    TABLE_BYTES,
    fits_fixed_path,
    fixed_path,
    longest_run,
    place_run,
    place_run_far,
    position_of,
)
from lipforge.kernels.lanes import LANES, stack_bytes

taps_in_kernel = compiled(taps_of)

RUN_BLOCKS = RUN // LANES
BGR_SUMS_BYTES, YUV_SUMS_BYTES = RUN_BLOCKS * PIXEL_SUMS_BYTES, RUN_BLOCKS * 3 * PLANE_SUMS_BYTES


@compiled
def crop_bgr(
    image: NDArray[np.uint8], numbers: Any, path: Any, size_px: int, out: NDArray[np.uint8], layout: int
) -> None:
    """Write the crop of an image with 3 bytes per pixel.

    Args:
        image: uint8, 1-D: a row of the image, the first.
        numbers: bytes from row to row, bytes from pixel to pixel, last column, last row; int64.
        path: six float64, crop px to image px, row by row.
        size_px: S, width and height of the crop.
        out: the crop's bytes, 1-D, overwritten.
        layout: one of ``layouts``.
    """
    table, sums, spare = stack_bytes(TABLE_BYTES), stack_bytes(BGR_SUMS_BYTES), stack_bytes(SPARE_BYTES)
    taps = taps_in_kernel(path[0], path[1], path[3], path[4])
    address, shift = np.int64(image.ctypes.data), sum_shift(taps)
    fixed, near = fixed_path(path, taps), fits_fixed_path(path, size_px)
    longest = longest_run(path)
    output, half = described(np.int64(out.ctypes.data), layout, size_px), np.float32(0.5 + CUT_LEVELS)
    scale = np.float32(1.0 / (taps * taps * 2.0 ** (LEVEL_BITS - shift)))
    for row in range(size_px):
        for start in range(0, size_px, longest):
            count = min(longest, size_px - start)
            blocks = (count + LANES - 1) // LANES
            for j in range(taps):
                for i in range(taps):
                    x, y = position_of(fixed, row, start, j, i)
                    if near:
                        at_end = place_run(table, blocks, numbers, x, y, fixed[2], fixed[3])
                    else:
                        at_end = place_run_far(table, blocks, numbers, path, (row, start, taps, j, i))
                    _add_bgr_run(table, sums, blocks, address, numbers[0], at_end, (shift, adding(j, i)))
            first = address_of(output, row * size_px + start)
            for block in range(blocks):
                total, left = sums + block * PIXEL_SUMS_BYTES, count - block * LANES
                if left >= LANES:
                    write_mean(total, block_of(output, first, block), scale, half)
                else:
                    write_mean(total, spare_block(output, spare), scale, half)
                    copy_rest(output, first, block, spare, left)


@compiled
def _add_bgr_run(table: int, sums: int, blocks: int, image: int, stride: int, at_end: bool, options: Any) -> None:
    for block in range(blocks):
        entry, total = table + block * ENTRY_BYTES, sums + block * PIXEL_SUMS_BYTES
        if at_end:
            add_bgr_at_end(total, entry, image, stride, options)
        else:
            add_bgr(total, entry, image, stride, options)


@compiled
def crop_yuv(
    planes: Any,
    numbers: Any,
    chroma_offset: float,
    records: NDArray[np.uint8],
    path: Any,
    mixing: Any,
    size_px: int,
    out: NDArray[np.uint8],
    layout: int,
) -> int:
    """Write the crop of a frame in two or three planes.

    Args:
        planes: luma, U and V: uint8, 1-D, the first row of each. U and V may be the same row of two bytes per pixel.
        numbers: of luma as in ``crop_bgr``; then bytes from row to row of U and of V, from pixel to pixel of U, last
            column and row of both; nine int64.
        chroma_offset: see ``vector_chroma.chroma_path``.
        records: uint8, 1-D: working memory.
        path: six float64, crop px to luma px, row by row.
        mixing: 12 float64, a matrix of 3 x 4 row by row: each colour is ``row[:3] @ (Y, U, V) + row[3]``, in levels.
        size_px: S, width and height of the crop.
        out: as in ``crop_bgr``.
        layout: likewise.

    Returns:
        How many bytes of working memory are needed; if there are fewer, nothing has been written.
    """
    table, sums, spare = stack_bytes(TABLE_BYTES), stack_bytes(YUV_SUMS_BYTES), stack_bytes(SPARE_BYTES)
    luma_numbers, to_chroma = numbers[:4], chroma_path(path, chroma_offset)
    region = region_under(to_chroma, size_px, numbers[7], numbers[8])
    needed = region[2] * region[3] * RECORD_BYTES
    if records.size < needed:
        return needed
    luma, chroma = np.int64(planes[0].ctypes.data), np.int64(records.ctypes.data)
    u, v = (np.int64(planes[1].ctypes.data), numbers[4]), (np.int64(planes[2].ctypes.data), numbers[5])
    fill_records(chroma, u, v, numbers[6], region)
    to_records = (*to_chroma[:2], to_chroma[2] - region[0], *to_chroma[3:5], to_chroma[5] - region[1])
    record_numbers = (region[2] * RECORD_BYTES, RECORD_BYTES, region[2], region[3])
    taps = (taps_in_kernel(path[0], path[1], path[3], path[4]), taps_in_kernel(*to_chroma[:2], *to_chroma[3:5]))
    fixed, near = fixed_path(path, taps[0]), fits_fixed_path(path, size_px)
    record_fixed = fixed_path(to_records, taps[1])  # chroma is half as large: it fits where luma does
    shifts = (sum_shift(taps[0]), sum_shift(taps[1]))
    output = described(np.int64(out.ctypes.data), layout, size_px)
    factors, longest = _of_sums(mixing, taps, shifts), longest_run(path)
    for row in range(size_px):
        for start in range(0, size_px, longest):
            count = min(longest, size_px - start)
            blocks = (count + LANES - 1) // LANES
            for j in range(taps[0]):
                for i in range(taps[0]):
                    x, y = position_of(fixed, row, start, j, i)
                    if near:
                        place_run(table, blocks, luma_numbers, x, y, fixed[2], fixed[3])
                    else:
                        place_run_far(table, blocks, luma_numbers, path, (row, start, taps[0], j, i))
                    for block in range(blocks):
                        entry, total = table + block * ENTRY_BYTES, sums + block * 3 * PLANE_SUMS_BYTES
                        add_single(total, entry, luma, luma_numbers[0], (shifts[0], adding(j, i)))
            for j in range(taps[1]):
                for i in range(taps[1]):
                    x, y = position_of(record_fixed, row, start, j, i)
                    if near:
                        place_run(table, blocks, record_numbers, x, y, record_fixed[2], record_fixed[3])
                    else:
                        place_run_far(table, blocks, record_numbers, to_records, (row, start, taps[1], j, i))
                    for block in range(blocks):
                        entry, total = table + block * ENTRY_BYTES, sums + (block * 3 + 1) * PLANE_SUMS_BYTES
                        add_records(total, entry, chroma, 0, (shifts[1], adding(j, i)))
            first = address_of(output, row * size_px + start)
            for block in range(blocks):
                total, left = sums + block * 3 * PLANE_SUMS_BYTES, count - block * LANES
                if left >= LANES:
                    write_mixed(total, block_of(output, first, block), factors)
                else:
                    write_mixed(total, spare_block(output, spare), factors)
                    copy_rest(output, first, block, spare, left)
    return needed


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
