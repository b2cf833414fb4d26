"""The paste in one pass over the region, row by row, in place."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.canvas import BGR, LUMA, PIXEL_BYTES, SEPARATE_CHROMA
from lipforge.kernels.compiled import compiled
from lipforge.kernels.numba_cells import inner_size, repeat_edges, rounded
from lipforge.kernels.numba_region import row_span
from lipforge.kernels.paste.layout import PAINTED
from lipforge.kernels.paste.vector_paste import (
    blend_bgr,
    blend_luma,
    blend_paired_chroma,
    blend_separate_chroma,
    pack_levels,
)
from lipforge.kernels.simd.half_window import UNIT
from lipforge.kernels.simd.lanes import copy_bytes
from lipforge.kernels.simd.number_formats import HALF, LARGEST_SHARE, SECOND_REST, SHARE_BITS, WIDTH
from lipforge.kernels.simd.row_plan import half_plan, in_units, plan_row

SHARE_UNIT = np.float32(1 << SHARE_BITS)
ONE_BITS, SIGN_BIT = np.uint32(0x3F800000), np.uint32(0x80000000)


@compiled
def pack_mask(mask: NDArray[np.float32], bits: NDArray[np.uint32], shares: NDArray[np.int16]) -> Any:
    """Turn a mask into shares and find out where it is not zero.

    Args:
        mask: float32 (S, S).
        bits: the same seen as uint32. Above 0 floats order like integers, and integers are what compilers vectorise.
        shares: int16 (S + 10, S + 10), overwritten, see ``kernels/cell_planes.py``.

    Returns:
        Whether the whole mask lies in [0, 1]; first column, first row, end column and end row of the cells with any
        mask (all 0 if there are none).
    """
    size_px = mask.shape[0]
    left, top, right, bottom = size_px, size_px, 0, 0
    outside = False
    for y in range(size_px):
        in_row = np.uint32(0)
        for x in range(size_px):
            number = bits[y, x]
            outside |= (number > ONE_BITS) & (number != SIGN_BIT)  # -0 is 0
            in_row |= number
        if in_row & ~SIGN_BIT:
            top, bottom = min(top, y), y + 1
            x = 0
            while x < left and mask[y, x] == 0.0:
                x += 1
            left = x
            x = size_px
            while x > right and mask[y, x - 1] == 0.0:
                x -= 1
            right = x
        for x in range(size_px):
            shares[y + 1, x + 1] = rounded(mask[y, x] * SHARE_UNIT, 0.0, LARGEST_SHARE)
    return not outside, (min(left, right), min(top, bottom), right, bottom)


@compiled
def pack_crop(crop: int, mixing: Any, rest: int, planes: NDArray[np.int16]) -> None:
    """Turn a crop into levels of the three channels that the canvas stores, and complete the mask's edge too.

    Args:
        crop: address of uint8 (S, S, 3).
        mixing: twelve int64, see ``pack_levels``.
        rest: address of room for a block of pixels.
        planes: int16 (4, S + 10, S + 10), see ``kernels/cell_planes.py``; the first is the mask's.
    """
    size_px = inner_size(planes)
    plane_bytes, row_bytes, cell_bytes = planes.strides
    inside = np.int64(planes.ctypes.data) + PAINTED * plane_bytes + row_bytes + cell_bytes
    for y in range(size_px):
        row, to = crop + y * size_px * 3, inside + y * row_bytes
        for start in range(0, size_px, WIDTH):
            if size_px >= WIDTH:  # the last block of a row begins earlier and does some pixels twice
                x = min(start, size_px - WIDTH)
                pack_levels(row + 3 * x, to + 2 * x, plane_bytes, mixing)
            else:  # the columns that it fills beyond the crop are room, or are filled by the next row and the edges
                copy_bytes(rest, row, 3 * size_px)
                pack_levels(rest, to, plane_bytes, mixing)
    repeat_edges(planes, 0, size_px)


@compiled
def paste_rows(
    kind: int,
    addresses: tuple[int, int, int],
    strides: tuple[int, int, int, int],
    size: tuple[int, int],
    bounds: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    box: tuple[float, float, float, float],
    crop: tuple[int, int],
    row_room: tuple[int, int],
) -> None:
    """Blend every pixel of ``bounds`` whose crop position lies in ``box``.

    Args:
        kind: BGR, LUMA, SEPARATE_CHROMA or PAIRED_CHROMA.
        addresses: of the plane, of the second plane (V), and of crop and mask as ``pack_planes`` packs them.
        strides: bytes from row to row of both planes and of a packed plane, and from packed plane to packed plane.
        size: width and height of the plane in px.
        bounds: left, top, right, bottom of the pixels to visit.
        forward: float64 (2, 3), px of this plane to crop px.
        box: left, top, right, bottom in crop px, both ends included.
        crop: S, pixels of a half.
        row_room: addresses of room for a block of pixels and for the plan of a row.
    """
    size_px, pixels = crop
    pixel_bytes = PIXEL_BYTES[kind]
    rest, plans = row_room
    steps = (in_units(forward[0, 0]), in_units(forward[1, 0]))
    for y in range(bounds[1], bounds[3]):
        first, end = row_span(forward, y, box, bounds[0], bounds[2])
        plan_row(plans, forward, (y, first, end), pixels, (size_px - 1, -UNIT, strides[2]))
        half = 0
        for x in range(first, end, 2 * pixels):
            at = addresses[0] + y * strides[0] + x * pixel_bytes
            second_at = addresses[1] + y * strides[1] + x * pixel_bytes
            left = end - x
            # Lanes that are not to be painted write what they read, so only the image's edge is in the way.
            direct = x + pixels + HALF <= size[0]
            count = min(left, 2 * pixels) * pixel_bytes
            if not direct:
                copy_bytes(rest, at, count)
                if kind == SEPARATE_CHROMA:
                    copy_bytes(rest + SECOND_REST, second_at, count)
            window = (addresses[2], half_plan(plans, half), *steps, strides[2], strides[3])
            targets = (at if direct else rest, second_at if direct else rest + SECOND_REST)
            block = (*targets, pixels, min(left, pixels), min(left - pixels, pixels))
            if kind == BGR:
                blend_bgr(window, block)
            elif kind == LUMA:
                blend_luma(window, block)
            elif kind == SEPARATE_CHROMA:
                blend_separate_chroma(window, block)
            else:
                blend_paired_chroma(window, block)
            if not direct:
                copy_bytes(at, rest, count)
                if kind == SEPARATE_CHROMA:
                    copy_bytes(second_at, rest + SECOND_REST, count)
            half += 2
