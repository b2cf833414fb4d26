"""Which cells of the crop the pixels of an image row meet: found out for a whole row before its pixels are made.

One after the other this would be a long chain of scalar instructions for each block; eight halves at once it is a few
vector instructions for each, and a row's blocks then wait for nothing.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.simd.half_window import PLAN_BYTES, PLANNED, STEP_BITS, UNIT, WINDOW_BITS
from lipforge.kernels.simd.instructions import INT64, store
from lipforge.kernels.simd.lanes import Vector, counting, intrinsic, spread, unpack


class Row(NamedTuple):
    """The int64 arguments of ``plan_windows``, in order; positions are in crop px, STEP_BITS behind the point."""

    x: Any  # crop position of the first pixel of the first half
    y: Any
    span_x: Any  # from half to half; not a multiple of rounded steps, which would add up their roundings
    span_y: Any
    reach_x: Any  # from the first to the last pixel of a half
    reach_y: Any
    last: Any  # S - 1
    border: Any  # width of the ramp at the square's edge; -1 or less: none
    row_bytes: Any  # of a plane


PLAN_OFFSET, PLAN_X, PLAN_Y, PLAN_ROWS, PLAN_INSIDE, PLAN_FINE_X, PLAN_FINE_Y = range(7)
"""What it finds for each: see there."""


@intrinsic
def plan_windows(typing_context: Any, plan: Any, row: Any) -> Any:
    """Find the windows of eight neighbouring halves; ``row`` is ``Row`` as a plain tuple.

    ``plan`` is the address of int32 (7, 8), overwritten: where the window begins in a plane, in bytes; position of the
    first pixel in it along x and y, WINDOW_BITS behind the point; rows that the pixels need; negative if a pixel may
    lie on the border's ramp; the two positions once more, STEP_BITS behind the point.
    """

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        for i, planned in enumerate(_emit_plan(code, Row(*unpack(code, arguments[1])))):
            store(code, planned.value, code.add(arguments[0], INT64(4 * PLANNED * i)))
        return context.get_dummy_value()

    return types.void(plan, row), emit


def _emit_plan(code: Any, row: Row) -> list[Vector]:
    spans = []
    for position, span, reach in ((row.x, row.span_x, row.reach_x), (row.y, row.span_y, row.reach_y)):
        first = spread(code, position) + counting(code).to_ints() * spread(code, span)
        end = first + spread(code, reach)
        spans.append((first, first.at_most(end), first.at_least(end)))
    (x, left, right), (y, top, bottom) = spans
    # Two units of WINDOW_BITS in reserve: roundings must not lead to the left of the window.
    reserve = 2 << (STEP_BITS - WINDOW_BITS)
    column, line = (_cell(low - reserve, row.last) for low in (left, top))
    rows = _cell(bottom + reserve, row.last) - line + 2
    inner = spread(code, code.sub(row.border, INT64(UNIT // 2)))
    far = spread(code, code.shl(row.last, INT64(STEP_BITS))) - inner
    inside = (left - inner).at_most(far - right).at_most((top - inner).at_most(far - bottom))
    offset = line * spread(code, row.row_bytes) + column * 2
    fine = [position + UNIT - (cell << STEP_BITS) for position, cell in ((x, column), (y, line))]
    dropped = STEP_BITS - WINDOW_BITS
    coarse = [(position + (1 << (dropped - 1))) >> dropped for position in fine]
    return [offset, *coarse, rows, inside, *fine]


def _cell(position: Vector, last: Any) -> Vector:
    """Return 1 + the cell in which a position lies, from 0 to S."""
    end = spread(position.code, position.code.shl(position.code.add(last, INT64(1)), INT64(STEP_BITS)))
    return (position + UNIT).at_least(0).at_most(end) >> STEP_BITS


@compiled
def plan_row(
    plans: int,
    forward: NDArray[np.float64],
    span: tuple[int, int, int],
    pixels: int,
    crop: tuple[int, int, int],
) -> None:
    """Plan the windows of a row, PLANNED halves at a time.

    Args:
        plans: address of ``plan_bytes``, overwritten.
        forward: float64 (2, 3), image px to crop px.
        span: row, first and end column.
        pixels: how many a half has.
        crop: S - 1; width of the border's ramp, STEP_BITS behind the point; bytes of a row of a plane.
    """
    y, first, end = span
    step_x, step_y = forward[0, 0], forward[1, 0]
    spans = (in_units(pixels * step_x), in_units(pixels * step_y))
    reach = (in_units((pixels - 1) * step_x), in_units((pixels - 1) * step_y))
    for x in range(first, end, PLANNED * pixels):
        crop_x = in_units(forward[0, 0] * x + forward[0, 1] * y + forward[0, 2])
        crop_y = in_units(forward[1, 0] * x + forward[1, 1] * y + forward[1, 2])
        plan_windows(plans, (crop_x, crop_y, *spans, *reach, *crop))
        plans += PLAN_BYTES


@compiled
def in_units(position: float) -> Any:
    """Return a position in crop px as int64, STEP_BITS behind the point."""
    return np.int64(math.floor(position * UNIT + 0.5))


@compiled
def half_plan(plans: int, half: int) -> Any:
    """Return the address of the numbers of a half, for ``Window``, in the plan of a row."""
    return plans + (half // PLANNED) * PLAN_BYTES + (half % PLANNED) * 4
