"""Chroma as *records*: for each position, all that a bilinear sample of both channels needs, in 8 bytes.

Sampling two planes would take eight loads per crop pixel. The part of the chroma under the crop is small (a quarter of
the face's pixels), so it is copied once into records, of which a sample loads one: ``u u v v`` of a row (left, right,
left, right), then the same of the row below.
"""

from __future__ import annotations

import math
from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.layouts import RECORD_COLUMNS as STEP
from lipforge.kernels.simd.instructions import BYTE, INT64, load, shuffle, store
from lipforge.kernels.simd.lanes import intrinsic

RECORD_BYTES = 8


@compiled
def chroma_path(path: Any, offset: float) -> Any:
    """Return the transform from crop px to chroma px, from the one to luma px (six float64 each, row by row).

    Args:
        path: crop px to luma px.
        offset: luma px from the first luma column to the first of chroma, 0 or 0.5; between rows it is always 0.5.
    """
    a, b, x, c, d, y = path
    return 0.5 * a, 0.5 * b, 0.5 * (x - offset), 0.5 * c, 0.5 * d, 0.5 * (y - 0.5)


@compiled
def region_under(path: Any, size_px: int, last_x: int, last_y: int) -> Any:
    """Return the part of a chroma plane that a crop samples: left, top, width, height in chroma px.

    Args:
        path: crop px to chroma px, row by row.
        size_px: S, width and height of the crop.
        last_x: last column of the plane, at least ``STEP``.
        last_y: last row, at least 1.
    """
    middle, reach = 0.5 * (size_px - 1), 0.5 * size_px
    x, y = path[2] + middle * (path[0] + path[1]), path[5] + middle * (path[3] + path[4])
    reach_x, reach_y = reach * (abs(path[0]) + abs(path[1])), reach * (abs(path[3]) + abs(path[4]))
    left, right = _within(x - reach_x, last_x - STEP), _within(x + reach_x, last_x - 1)
    top, bottom = _within(y - reach_y, last_y - 1), _within(y + reach_y, last_y - 1)
    return left, top, max(right + 1 - left, STEP), bottom + 1 - top


@compiled
def _within(position: float, last: int) -> int:
    return math.floor(min(max(position, 0.0), float(last)))


@compiled
def fill_records(records: int, u: Any, v: Any, pixel: int, region: Any) -> None:
    """Copy a region of chroma into records, row by row without gaps.

    Args:
        records: address of 8 bytes for each position.
        u: address of the plane, bytes from row to row.
        v: likewise.
        pixel: bytes from pixel to pixel in a row; with 2, ``v`` lies between the bytes of ``u`` and is not read.
        region: left, top, width and height in chroma px, width at least ``STEP``; a further column and row of pixels
            follow on its right and below.
    """
    left, top, width, height = region
    for row in range(top, top + height):
        upper_u, upper_v = u[0] + row * u[1] + left * pixel, v[0] + row * v[1] + left
        for start in range(0, width, STEP):
            at = min(start, width - STEP)  # the last eight may overlap those before
            if pixel == 2:
                fill_from_pairs(records + at * RECORD_BYTES, upper_u + 2 * at, u[1])
            else:
                fill_from_planes(records + at * RECORD_BYTES, upper_u + at, u[1], upper_v + at, v[1])
        records += width * RECORD_BYTES


def _write_records(code: Any, target: Any, rows: list[Any]) -> None:
    """Interleave two rows of eight half records (4 bytes each)."""
    upper, lower = (code.bitcast(row, ir.VectorType(ir.IntType(32), STEP)) for row in rows)
    store(code, shuffle(code, upper, lower, [i + STEP * row for i in range(STEP) for row in (0, 1)]), target)


@intrinsic
def fill_from_planes(typing_context: Any, target: Any, u: Any, u_stride: Any, v: Any, v_stride: Any) -> Any:
    """Write eight records from the addresses of the first pixels in the upper row."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        target, u, u_stride, v, v_stride = arguments
        rows = []
        for _ in range(2):
            us, vs = (code.bitcast(_pairs(code, plane), ir.VectorType(ir.IntType(16), STEP)) for plane in (u, v))
            rows.append(shuffle(code, us, vs, [i + STEP * plane for i in range(STEP) for plane in (0, 1)]))
            u, v = code.add(u, u_stride), code.add(v, v_stride)
        _write_records(code, target, rows)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 5), emit


def _pairs(code: Any, address: Any) -> Any:
    """Return eight bytes, each followed by its right neighbour."""
    kind = ir.VectorType(BYTE, STEP)
    left, right = load(code, kind, address), load(code, kind, code.add(address, INT64(1)))
    return shuffle(code, left, right, [i + STEP * side for i in range(STEP) for side in (0, 1)])


@intrinsic
def fill_from_pairs(typing_context: Any, target: Any, uv: Any, stride: Any) -> Any:
    """Do the same from a plane with two bytes per pixel."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        target, uv, stride = arguments
        kind = ir.VectorType(BYTE, 2 * STEP)
        order = [2 * i + channel + 2 * STEP * side for i in range(STEP) for channel in (0, 1) for side in (0, 1)]
        rows = []
        for address in (uv, code.add(uv, stride)):
            left, right = load(code, kind, address), load(code, kind, code.add(address, INT64(2)))
            rows.append(shuffle(code, left, right, order))
        _write_records(code, target, rows)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 3), emit
