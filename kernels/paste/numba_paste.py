"""The paste in one pass over the region: eight pixels of a row at a time, in place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.paste.vector_paste import blend_bgr, blend_luma, blend_paired_chroma, blend_separate_chroma
from lipforge.kernels.simd.lanes import LANES, copy_bytes
from lipforge.kernels.spans import row_span

# What the pixels of a plane are, for ``paste_rows``.
BGR, LUMA, SEPARATE_CHROMA, PAIRED_CHROMA = 0, 1, 2, 3
PIXEL_BYTES = (3, 1, 1, 2)


@compiled
def pack_records(
    crop: NDArray[np.uint8], mask: NDArray[np.float32], mixing: NDArray[np.float32], records: NDArray[np.float32]
) -> Any:
    """Lay crop and mask side by side and find out where the mask is not zero.

    Args:
        crop: uint8 (S, S, 3).
        mask: float32 (S, S).
        mixing: float32 (3, 4), from the crop's channels and 1 to the levels that the image stores.
        records: float32 (S + 1, S + 1, 4), overwritten: three levels, mask. The last row and column repeat their
            neighbours.

    Returns:
        Whether the whole mask lies in [0, 1]; first column, first row, end column and end row of the cells with any
        mask (all 0 if there are none).
    """
    size_px = mask.shape[0]
    left, top, right, bottom = size_px, size_px, 0, 0
    valid = True
    for y in range(size_px):
        for x in range(size_px):
            first, second, third = np.float32(crop[y, x, 0]), np.float32(crop[y, x, 1]), np.float32(crop[y, x, 2])
            for i in range(3):
                records[y, x, i] = mixing[i, 0] * first + mixing[i, 1] * second + mixing[i, 2] * third + mixing[i, 3]
            weight = mask[y, x]
            records[y, x, 3] = weight
            valid = valid and 0.0 <= weight <= 1.0
            if weight != 0.0:
                left, right = min(left, x), max(right, x + 1)
                top, bottom = min(top, y), y + 1
        records[y, size_px] = records[y, size_px - 1]
    records[size_px] = records[size_px - 1]
    return valid, min(left, right), min(top, bottom), right, bottom


@compiled
def paste_rows(
    kind: int,
    addresses: tuple[int, int, int],
    strides: tuple[int, int],
    bounds: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    box: tuple[float, float, float, float],
    size_px: int,
) -> None:
    """Blend every pixel of ``bounds`` whose crop position lies in ``box``.

    Args:
        kind: BGR, LUMA, SEPARATE_CHROMA or PAIRED_CHROMA.
        addresses: of the plane, of the second plane (V), and of the records.
        strides: bytes from row to row of both planes.
        bounds: left, top, right, bottom of the pixels to visit.
        forward: float64 (2, 3), px of this plane to crop px.
        box: left, top, right, bottom in crop px, both ends included.
        size_px: S.
    """
    pixel_bytes = PIXEL_BYTES[kind]
    rest = np.zeros(8 * LANES, np.uint8)  # a row's last, partly filled block is made here
    rest_address = np.int64(rest.ctypes.data)
    step_x, step_y = np.float32(forward[0, 0]), np.float32(forward[1, 0])
    for y in range(bounds[1], bounds[3]):
        first, end = row_span(forward, y, box, bounds[0], bounds[2])
        for x in range(first, end, LANES):
            at = addresses[0] + y * strides[0] + x * pixel_bytes
            second_at = addresses[1] + y * strides[1] + x * pixel_bytes
            crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
            crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
            whole_x, whole_y = math.floor(crop_x), math.floor(crop_y)
            path = (np.float32(crop_x - whole_x), np.float32(crop_y - whole_y), step_x, step_y)
            count = min(end - x, LANES) * pixel_bytes
            if end - x >= LANES:
                _blend(kind, (at, second_at, addresses[2], size_px - 1, whole_x, whole_y), path)
            else:
                second_rest = rest_address + 4 * LANES
                copy_bytes(rest_address, at, count)
                if kind == SEPARATE_CHROMA:
                    copy_bytes(second_rest, second_at, count)
                _blend(kind, (rest_address, second_rest, addresses[2], size_px - 1, whole_x, whole_y), path)
                copy_bytes(at, rest_address, count)
                if kind == SEPARATE_CHROMA:
                    copy_bytes(second_at, second_rest, count)


@compiled
def _blend(kind: int, block: Any, path: Any) -> None:
    if kind == BGR:
        blend_bgr(block, path)
    elif kind == LUMA:
        blend_luma(block, path)
    elif kind == SEPARATE_CHROMA:
        blend_separate_chroma(block, path)
    else:
        blend_paired_chroma(block, path)
