"""Where the samples of a run of crop pixels lie in a plane, and how much each of their four neighbours counts.

Finding places and blending bytes alternate in runs of up to ``RUN`` pixels. In between, places wait in a table on the
stack, so that the loads of the blending never wait for the arithmetic of the places.

The table has one entry of ``ENTRY_BYTES`` for eight pixels: their byte offsets in the plane (uint32), their weights
across (two 16-bit numbers: left, right) and their weights down (the lower row's, twice). A sample on or beyond the last
column is the right neighbour of the last but one, with full weight; likewise below. So every sample has four
neighbours inside the plane, whatever the transform, and nothing that is loaded needs a check.

A position is int64 in units of 2**-32 px. Within a run it is int32 in units of 2**-21 px, relative to the whole pixel
where the run starts: that fits for runs that span less than 1024 px (1024 * 2**21 = 2**31), to which their length is
cut. The end of a run is off by at most 128 * 2**-22 px.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.footprint import taps_of
from lipforge.kernels.simd.instructions import INT64, load, store
from lipforge.kernels.simd.lanes import INTS, LANES, Vector, intrinsic, spread, unpack

RUN = 128
ENTRY_BYTES = 3 * 4 * LANES
TABLE_BYTES = RUN // LANES * ENTRY_BYTES

# Weights add up to 2**ACROSS_BITS and 2**DOWN_BITS; ``vector_blend`` shows why these.
ACROSS_BITS, DOWN_BITS = 11, 15
ACROSS_FULL, DOWN_FULL = 1 << ACROSS_BITS, 1 << DOWN_BITS

FIXED_BITS, LANE_BITS = 32, 21
ONE_PX = 1 << FIXED_BITS

taps_in_kernel = compiled(taps_of)
FARTHEST_IN_RUN_PX = 1016.0
FARTHEST_PX = 2.0**29


@compiled
def sampling_of(path: Any, size_px: int) -> Any:
    """Return where the samples of a crop lie.

    Args:
        path: six float64, crop px to plane px, row by row.
        size_px: S, width and height of the crop.

    Returns:
        Thirteen int64. Ten are lengths in 2**-32 px: position of the first sample, way from pixel to pixel in a row,
        from row to row, from sample to sample in a row, and from one row of samples to the next; x and y of each. Then
        samples per axis and crop px, 0 if positions do not fit; how far samples must be shifted down so that the sum of
        all those of a pixel, each below 2**26, stays below 2**31; and the longest run of pixels, a multiple of eight.
    """
    a, b, c, d, e, f = path
    taps, shift, step = taps_in_kernel(a, b, d, e), 0, max(abs(a), abs(d), 1e-3)
    while taps * taps > 32 << shift:
        shift += 1
    end = size_px + RUN
    farthest = max(abs(c) + end * (abs(a) + abs(b)), abs(f) + end * (abs(d) + abs(e)))
    longest = min(RUN, int(min(FARTHEST_IN_RUN_PX / step, 1.0 * RUN)) // LANES * LANES)
    if longest == 0 or farthest > FARTHEST_PX:
        return 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1
    first, part = 0.5 / taps - 0.5, 1.0 / taps  # sample i sits in the middle of the i-th of `taps` equal parts
    return (
        # Half of a weight's unit is added here, once, so that cutting positions off later rounds them.
        _fixed(a * first + (b * first + c)) + (ONE_PX >> (ACROSS_BITS + 1)),
        _fixed(d * first + (e * first + f)) + (ONE_PX >> (DOWN_BITS + 1)),
        _fixed(a),
        _fixed(d),
        _fixed(b),
        _fixed(e),
        _fixed(a * part),
        _fixed(d * part),
        _fixed(b * part),
        _fixed(e * part),
        taps,
        shift,
        longest,
    )


@compiled
def _fixed(px: float) -> int:
    return math.floor(px * ONE_PX + 0.5)


@compiled
def position_of(sampling: Any, row: int, column: int, j: int, i: int) -> Any:
    """Return x and y of sample i in row j of samples of a crop pixel, in 2**-32 px."""
    return (
        sampling[0] + column * sampling[2] + row * sampling[4] + i * sampling[6] + j * sampling[8],
        sampling[1] + column * sampling[3] + row * sampling[5] + i * sampling[7] + j * sampling[9],
    )


@compiled
def place_run(table: int, blocks: int, numbers: Any, x: int, y: int, step_x: int, step_y: int) -> Any:
    """Fill the first entries of a table.

    Args:
        table: address.
        blocks: how many entries.
        numbers: bytes from row to row, bytes from pixel to pixel, last column, last row of the plane.
        x: position of the first sample, in 2**-32 px.
        y: likewise.
        step_x: way to the next pixel's sample, in 2**-32 px.
        step_y: likewise.

    Returns:
        Whether a sample may have the plane's last pixel among its neighbours.
    """
    length = LANES * blocks
    least_x, least_y = x + min(length * step_x, 0), y + min(length * step_y, 0)
    most_x, most_y = x + max(length * step_x, 0), y + max(length * step_y, 0)
    # A pixel earlier than need be: rounded steps stray a little from the true line, but by far less.
    end_x, end_y = (numbers[2] - 2) * ONE_PX, (numbers[3] - 2) * ONE_PX
    inside = least_x >= ONE_PX and least_y >= ONE_PX and most_x < end_x and most_y < end_y
    start = (x >> FIXED_BITS, y >> FIXED_BITS)
    along_x, along_y = _to_lanes(x & (ONE_PX - 1)), _to_lanes(y & (ONE_PX - 1))
    step = (_to_lanes(step_x), _to_lanes(step_y))
    for _ in range(blocks):
        if inside:
            place_eight_inside(table, numbers, start, (along_x, along_y), step)
        else:
            place_eight(table, numbers, start, (along_x, along_y), step)
        table += ENTRY_BYTES
        along_x += LANES * step[0]
        along_y += LANES * step[1]
    return most_x >= end_x and most_y >= end_y


@compiled
def _to_lanes(fixed: int) -> int:
    """Return a length in 2**-32 px in units of 2**-LANE_BITS px, rounded."""
    return (fixed + (1 << (FIXED_BITS - LANE_BITS - 1))) >> (FIXED_BITS - LANE_BITS)


@intrinsic
def place_eight(typing_context: Any, table: Any, numbers: Any, start: Any, along: Any, step: Any) -> Any:
    """Write one entry.

    ``start`` is a whole pixel (x, y), ``along`` the way from there to the first sample and ``step`` the way from sample
    to sample, in 2**-LANE_BITS px.
    """
    return types.void(types.intp, numbers, start, along, step), _place_emitter(inside=False)


@intrinsic
def place_eight_inside(typing_context: Any, table: Any, numbers: Any, start: Any, along: Any, step: Any) -> Any:
    """Do the same where all positions are known to lie in the plane."""
    return types.void(types.intp, numbers, start, along, step), _place_emitter(inside=True)


def _place_emitter(inside: bool) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        table = arguments[0]
        numbers, start, along, step = (unpack(code, argument) for argument in arguments[1:])
        stride, pixel, *last = numbers
        places = []
        for i, weight_bits in enumerate((ACROSS_BITS, DOWN_BITS)):
            lanes = Vector(code, ir.Constant(INTS, list(range(LANES))))
            way = spread(code, along[i]) + lanes * spread(code, step[i])
            whole = spread(code, start[i]) + way.shifted_down(LANE_BITS)
            weight = way << (32 - LANE_BITS) >> (32 - weight_bits)
            places.append((whole, weight) if inside else _clamped(whole, weight, last[i], weight_bits))
        (column, right), (row, lower) = places
        offset = row * spread(code, stride) + column * spread(code, pixel)
        across = (right << 16) - right + ACROSS_FULL  # no borrow: the left weight is at least 0
        for i, value in enumerate((offset, across, lower | lower << 16)):
            store(code, value.value, code.add(table, INT64(4 * LANES * i)))
        return context.get_dummy_value()

    return emit


def _clamped(whole: Vector, weight: Vector, last: Any, weight_bits: int) -> tuple[Vector, Vector]:
    """Return the left or upper neighbour, within [0, last - 1], and the weight of the other one."""
    last_left = spread(whole.code, whole.code.sub(last, INT64(1)))
    weight = weight.replaced(whole.below(0), 0).replaced(whole.above(last_left), 1 << weight_bits)
    return whole.at_least(0).at_most(last_left), weight


def load_entry(code: Any, table: Any) -> tuple[list[Any], Vector, Vector]:
    """Return the offsets (int64 each), the weights across and the weights down of one entry."""
    offsets = []
    for i in range(0, LANES, 2):
        two = load(code, INT64, code.add(table, INT64(4 * i)))
        offsets += [code.and_(two, INT64(0xFFFFFFFF)), code.lshr(two, INT64(32))]
    across, down = (load(code, INTS, code.add(table, INT64(4 * LANES * i))) for i in (1, 2))
    return offsets, Vector(code, across), Vector(code, down)
