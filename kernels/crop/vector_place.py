"""Where the samples of a run of crop pixels lie in a plane, and how much each of their four neighbours counts.

Finding places and blending bytes alternate in runs of up to ``RUN`` pixels. In between, places wait in a table on the
stack, so that the loads of the blending never wait for the arithmetic of the places.

The table has one entry of ``ENTRY_BYTES`` for eight pixels: their byte offsets in the plane (uint32), their weights
across (two 16-bit numbers: left, right) and their weights down (the lower row's, twice). A sample on or beyond the last
column is the right neighbour of the last but one, with full weight; likewise below. So every sample has four
neighbours inside the plane, whatever the transform, and nothing that is loaded needs a check.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.compiled import compiled
from lipforge.kernels.lanes import INT32, INT64, INTS, LANES, Vector, intrinsic, load, spread, store, unpack

RUN = 128
ENTRY_BYTES = 3 * 4 * LANES
TABLE_BYTES = RUN // LANES * ENTRY_BYTES

# Weights add up to 2**ACROSS_BITS and 2**DOWN_BITS; ``vector_blend`` shows why these.
ACROSS_BITS, DOWN_BITS = 11, 15
ACROSS_FULL, DOWN_FULL = 1 << ACROSS_BITS, 1 << DOWN_BITS

# Positions are int64 in 2**-32 px. Within eight pixels they are int32 in 2**-20 px, relative to a whole pixel: with
# steps below 128 px that fits (8 * 128 * 2**20 = 2**30), and 7 steps are off by at most 7 * 2**-21 px.
FIXED_BITS, LANE_BITS = 32, 20
FIXED_ONE = float(1 << FIXED_BITS)
LARGEST_STEP_PX = 127.0
FARTHEST_PX = 2.0**29


@compiled
def place_run(table: int, blocks: int, plane: Any, path: Any, crop_x: float, crop_y: float) -> Any:
    """Fill the first entries of a table.

    Args:
        table: address.
        blocks: how many entries.
        plane: address, bytes from row to row, bytes from pixel to pixel, last column, last row.
        path: inverse transform, crop px to plane px, row by row.
        crop_x: of the first sample, in crop px; the others follow 1 px apart.
        crop_y: of all samples.

    Returns:
        Whether a sample may have the plane's last pixel among its neighbours.
    """
    _, stride, pixel, last_x, last_y = plane
    x, y = path[0] * crop_x + (path[1] * crop_y + path[2]), path[3] * crop_x + (path[4] * crop_y + path[5])
    end_x, end_y = x + path[0] * (LANES * blocks), y + path[3] * (LANES * blocks)
    farthest = max(max(abs(x), abs(y)), max(abs(end_x), abs(end_y)))
    if farthest < FARTHEST_PX and max(abs(path[0]), abs(path[3])) < LARGEST_STEP_PX:
        # Half of a weight's unit is added here, once, so that cutting positions off later rounds them.
        fixed_x = math.floor(x * FIXED_ONE) + (1 << (FIXED_BITS - ACROSS_BITS - 1))
        fixed_y = math.floor(y * FIXED_ONE) + (1 << (FIXED_BITS - DOWN_BITS - 1))
        step_x, step_y = math.floor(path[0] * FIXED_ONE + 0.5), math.floor(path[3] * FIXED_ONE + 0.5)
        numbers = (stride, pixel, last_x, last_y)
        inside = min(x, end_x) > 1.0 and max(x, end_x) < last_x - 1.0 and min(y, end_y) > 1.0 and max(y, end_y) < last_y - 1.0
        for _ in range(blocks):
            if inside:
                place_eight_inside(table, numbers, (fixed_x, fixed_y), (step_x, step_y))
            else:
                place_eight(table, numbers, (fixed_x, fixed_y), (step_x, step_y))
            table += ENTRY_BYTES
            fixed_x += LANES * step_x
            fixed_y += LANES * step_y
    else:
        _place_far(table, blocks, plane, (x, y), (path[0], path[3]))
    return max(x, end_x) >= last_x - 1.0 and max(y, end_y) >= last_y - 1.0


@compiled
def _place_far(table: int, blocks: int, plane: Any, start: Any, step: Any) -> None:
    """As ``place_run``, one by one in float64: for transforms so absurd that int32 would overflow."""
    _, stride, pixel, last_x, last_y = plane
    for i in range(blocks * LANES):
        x = min(max(start[0] + i * step[0], 0.0), float(last_x))
        y = min(max(start[1] + i * step[1], 0.0), float(last_y))
        column, row = min(math.floor(x), last_x - 1), min(math.floor(y), last_y - 1)
        right, lower = math.floor((x - column) * ACROSS_FULL + 0.5), math.floor((y - row) * DOWN_FULL + 0.5)
        entry = table + i // LANES * ENTRY_BYTES + 4 * (i % LANES)
        store_int32(entry, row * stride + column * pixel)
        store_int32(entry + 4 * LANES, (ACROSS_FULL - right) | (right << 16))
        store_int32(entry + 8 * LANES, lower | (lower << 16))


@intrinsic
def store_int32(typing_context: Any, address: Any, value: Any) -> Any:
    """Write the low 32 bits of an integer."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        store(code, code.trunc(arguments[1], INT32), arguments[0])
        return context.get_dummy_value()

    return types.void(types.intp, types.int64), emit


@intrinsic
def place_eight(typing_context: Any, table: Any, plane: Any, position: Any, step: Any) -> Any:
    """Write one entry.

    ``plane`` is stride, pixel, last column and last row; ``position`` x and y of the first sample and ``step`` the way
    to the next, int64 in 2**-32 px.
    """
    return types.void(types.intp, plane, position, step), _place_emitter(False)


@intrinsic
def place_eight_inside(typing_context: Any, table: Any, plane: Any, position: Any, step: Any) -> Any:
    """Do the same where all positions are known to lie in the plane."""
    return types.void(types.intp, plane, position, step), _place_emitter(True)


def _place_emitter(inside: bool) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        table = arguments[0]
        (stride, pixel, last_x, last_y), position, step = (unpack(code, argument) for argument in arguments[1:])
        column, right = _place_axis(code, position[0], step[0], None if inside else last_x, ACROSS_BITS)
        row, lower = _place_axis(code, position[1], step[1], None if inside else last_y, DOWN_BITS)
        offset = row * spread(code, stride) + column * spread(code, pixel)
        across = (right << 16) - right + ACROSS_FULL  # no borrow: the left weight is at least 0
        for i, value in enumerate((offset, across, lower | lower << 16)):
            store(code, value.value, code.add(table, INT64(4 * LANES * i)))
        return context.get_dummy_value()

    return emit


def _place_axis(code: Any, position: Any, step: Any, last: Any, weight_bits: int) -> tuple[Vector, Vector]:
    """Return the nearer-to-zero neighbour, within [0, last - 1], and the weight of the other one."""
    lanes = Vector(code, ir.Constant(INTS, list(range(LANES))))
    drop = INT64(FIXED_BITS - LANE_BITS)
    fraction = code.lshr(code.and_(position, INT64((1 << FIXED_BITS) - 1)), drop)
    rounded_step = code.ashr(code.add(step, INT64(1 << (FIXED_BITS - LANE_BITS - 1))), drop)
    along = spread(code, fraction) + lanes * spread(code, rounded_step)
    whole = spread(code, code.ashr(position, INT64(FIXED_BITS))) + along.shifted_down(LANE_BITS)
    weight = along << (32 - LANE_BITS) >> (32 - weight_bits)
    if last is None:
        return whole, weight
    first, last_first = 0, spread(code, code.sub(last, INT64(1)))
    weight = weight.replaced(whole.below(first), 0).replaced(whole.above(last_first), 1 << weight_bits)
    return whole.at_least(first).at_most(last_first), weight


def load_entry(code: Any, table: Any) -> tuple[list[Any], Vector, Vector]:
    """Return the offsets (int64 each), the weights across and the weights down of one entry."""
    offsets = [code.zext(load(code, INT32, code.add(table, INT64(4 * i))), INT64) for i in range(LANES)]
    across, down = (load(code, INTS, code.add(table, INT64(4 * LANES * i))) for i in (1, 2))
    return offsets, Vector(code, across), Vector(code, down)
