"""The crop in one pass over its pixels: places, then bytes, then colours, in short runs that live on the stack.

``vector_place`` finds where samples lie, ``vector_blend`` adds their bytes up, ``vector_output`` makes colours of the
sums; for frames in YUV planes ``vector_chroma`` gathers the chroma first. The loops around them are here. Entry points
take plain numbers, tuples of them and arrays of bytes, so that they can be compiled ahead of time for one signature.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.numba_output import SPARE_BYTES, copy_rest, described
from lipforge.kernels.crop.vector_blend import (
    CUT_LEVELS,
    LEVEL_BITS,
    PIXEL_SUMS_BYTES,
    PLANE_SUMS_BYTES,
    add_bgr,
    add_bgr_at_end,
    add_records,
    add_single,
)
from lipforge.kernels.crop.vector_chroma import RECORD_BYTES, chroma_path, fill_records, region_under
from lipforge.kernels.crop.vector_output import write_mean, write_mixed
from lipforge.kernels.crop.vector_place import ENTRY_BYTES, RUN, TABLE_BYTES, place_run, position_of, sampling_of
from lipforge.kernels.simd.lanes import LANES, stack_bytes

RUN_BLOCKS = RUN // LANES
BGR_SUMS_BYTES, YUV_SUMS_BYTES = RUN_BLOCKS * PIXEL_SUMS_BYTES, RUN_BLOCKS * 3 * PLANE_SUMS_BYTES


@compiled
def crop_bgr(
    image: NDArray[np.uint8], numbers: Any, path: Any, size_px: int, out: NDArray[np.uint8], layout: int
) -> Any:
    """Write the crop of an image with 3 bytes per pixel.

    Args:
        image: uint8, 1-D: a row of the image, the first.
        numbers: bytes from row to row, bytes from pixel to pixel, last column, last row; int64.
        path: six float64, crop px to image px, row by row.
        size_px: S, width and height of the crop.
        out: the crop's bytes, 1-D, overwritten.
        layout: one of ``layouts``.

    Returns:
        Whether positions fit into fixed point; nothing has been written if not.
    """
    table, sums, spare = stack_bytes(TABLE_BYTES), stack_bytes(BGR_SUMS_BYTES), stack_bytes(SPARE_BYTES)
    sampling, output = sampling_of(path, size_px), described(_address(out), layout, size_px)
    taps, shift, longest = sampling[10:]
    address, target = _address(image), output[0]
    scale, half = np.float32(1.0 / (taps * taps * 2.0 ** (LEVEL_BITS - shift))), np.float32(0.5 + CUT_LEVELS)
    for row in range(size_px if taps else 0):
        for start in range(0, size_px, longest):
            count = min(longest, size_px - start)
            blocks = (count + LANES - 1) // LANES
            for j in range(taps):
                for i in range(taps):
                    x, y = position_of(sampling, row, start, j, i)
                    at_end = place_run(table, blocks, numbers, x, y, sampling[2], sampling[3])
                    options = shift, 0 if j == i == 0 else -1
                    _add_bgr_run(table, sums, blocks, address, numbers[0], at_end, options)
            for block in range(blocks):
                total, left = sums + block * PIXEL_SUMS_BYTES, count - block * LANES
                if left >= LANES:
                    write_mean(total, (target, layout, output[1]), scale, half)
                else:
                    write_mean(total, (spare, layout, output[2]), scale, half)
                    copy_rest(output, target, spare, left)
                target += min(left, LANES) * output[3]
    return taps > 0


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
) -> Any:
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
        How many bytes of working memory are needed, or -1 if positions do not fit into fixed point. With less memory,
        and where they do not fit, nothing has been written.
    """
    table, sums, spare = stack_bytes(TABLE_BYTES), stack_bytes(YUV_SUMS_BYTES), stack_bytes(SPARE_BYTES)
    to_chroma = chroma_path(path, chroma_offset)
    region = region_under(to_chroma, size_px, numbers[7], numbers[8])
    needed = region[2] * region[3] * RECORD_BYTES
    sampling = sampling_of(path, size_px)
    if sampling[10] == 0 or records.size < needed:
        return needed if sampling[10] else -1
    luma, chroma = _address(planes[0]), _address(records)
    u, v = (_address(planes[1]), numbers[4]), (_address(planes[2]), numbers[5])
    fill_records(chroma, u, v, numbers[6], region)
    to_records = (*to_chroma[:2], to_chroma[2] - region[0], *to_chroma[3:5], to_chroma[5] - region[1])
    record_numbers = (region[2] * RECORD_BYTES, RECORD_BYTES, region[2], region[3])
    record_sampling, output = sampling_of(to_records, size_px), described(_address(out), layout, size_px)
    factors, target, longest = _of_sums(mixing, sampling, record_sampling), output[0], sampling[12]
    for row in range(size_px):
        for start in range(0, size_px, longest):
            count = min(longest, size_px - start)
            blocks = (count + LANES - 1) // LANES
            for j in range(sampling[10]):
                for i in range(sampling[10]):
                    x, y = position_of(sampling, row, start, j, i)
                    place_run(table, blocks, numbers[:4], x, y, sampling[2], sampling[3])
                    options = sampling[11], 0 if j == i == 0 else -1
                    for block in range(blocks):
                        entry, total = table + block * ENTRY_BYTES, sums + block * 3 * PLANE_SUMS_BYTES
                        add_single(total, entry, luma, numbers[0], options)
            for j in range(record_sampling[10]):
                for i in range(record_sampling[10]):
                    x, y = position_of(record_sampling, row, start, j, i)
                    place_run(table, blocks, record_numbers, x, y, record_sampling[2], record_sampling[3])
                    options = record_sampling[11], 0 if j == i == 0 else -1
                    for block in range(blocks):
                        entry, total = table + block * ENTRY_BYTES, sums + (block * 3 + 1) * PLANE_SUMS_BYTES
                        add_records(total, entry, chroma, 0, options)
            for block in range(blocks):
                total, left = sums + block * 3 * PLANE_SUMS_BYTES, count - block * LANES
                if left >= LANES:
                    write_mixed(total, (target, layout, output[1]), factors)
                else:
                    write_mixed(total, (spare, layout, output[2]), factors)
                    copy_rest(output, target, spare, left)
                target += min(left, LANES) * output[3]
    return needed


@compiled
def _address(array: Any) -> Any:
    return np.int64(array.ctypes.data)


@compiled
def _of_sums(mixing: Any, luma: Any, chroma: Any) -> Any:
    """Return the mixing matrix for sums instead of means, float32; what samples lose by cutting is made up for."""
    y = 1.0 / (luma[10] * luma[10] * 2.0 ** (LEVEL_BITS - luma[11]))
    uv = 1.0 / (chroma[10] * chroma[10] * 2.0 ** (LEVEL_BITS - chroma[11]))
    a, b, c, d, e, f, g, h, i, j, k, m = mixing
    ends = d + CUT_LEVELS * (a + b + c) + 0.5, h + CUT_LEVELS * (e + f + g) + 0.5, m + CUT_LEVELS * (i + j + k) + 0.5
    blue = np.float32(a * y), np.float32(b * uv), np.float32(c * uv), np.float32(ends[0])
    green = np.float32(e * y), np.float32(f * uv), np.float32(g * uv), np.float32(ends[1])
    return blue, green, (np.float32(i * y), np.float32(j * uv), np.float32(k * uv), np.float32(ends[2]))
