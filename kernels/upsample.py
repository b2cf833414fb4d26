"""Bilinear upsampling along an image row, sixteen pixels at once; warp and paste read their crop-sized planes with it.

Planes are upsampled when a face is larger than the crop, so neighbouring pixels share cells: eight pixels of a row,
which is one half of a register, meet at most eight columns. Those columns of a row are loaded once (the **window**)
and every pixel picks its two neighbours from the register, which costs a fraction of loading them for each pixel.

When the crop is denser, a half does fewer pixels than eight (``pixels_per_half``) so that the window still holds them:
the smaller the face, the fewer pixels there are to lose time on. When the crop lies on its side, rows and columns
change roles before (``is_turned``), so that a step along the image's row moves more along the window than across.

A plane of S x S cells is kept with its edge repeated all around: cell (row, column) stands at [row + 1, column + 1].
Behind that there is room which a window may load and no pixel uses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numba.core import types
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.errors import InputError
from lipforge.kernels.fixed_point import (
    HALF,
    LARGEST_SHARE,
    NEXT_PLACE,
    Shorts,
    counting_halves,
    load_halves,
    look_up,
    narrow,
    places_of,
    spread_halves,
    spread_short,
    widen,
)
from lipforge.kernels.lanes import INT32, INT64, Vector, cgutils, counting, intrinsic, load, spread, store, unpack

SPARE = 8
"""Columns and rows behind a plane: a window is eight wide, and one half of a block may need more rows than the other."""

WINDOW_BITS = 13  # fraction bits of positions in a window, which is 8 cells wide: 16 bits in all
CELL = 1 << WINDOW_BITS
STEP_BITS = 18  # fraction bits of positions in the crop and of steps; seven steps stay exact to 13 bits
UNIT = 1 << STEP_BITS


class Window(NamedTuple):
    """The int64 arguments of sixteen pixels' upsampling, in order; addresses are bytes."""

    planes: Any  # address
    plan: Any  # address of the first half's numbers in a plan, see ``plan_windows``
    step_x: Any  # from pixel to pixel, STEP_BITS behind the point
    step_y: Any
    row_bytes: Any
    plane_bytes: Any


LARGEST_CROP_PX = 8000
"""Positions in the crop are int32 with STEP_BITS behind the point."""


def planes_shape(count: int, size_px: int) -> tuple[int, int, int]:
    """Return the shape of the int16 array that holds ``count`` planes of S x S cells with their edges and room.

    Raises:
        InputError: S is above LARGEST_CROP_PX.
    """
    if size_px > LARGEST_CROP_PX:
        raise InputError(f"the crop is {size_px} px wide; at most {LARGEST_CROP_PX} are allowed.")
    return count, size_px + 2 + SPARE, size_px + 2 + SPARE


def is_turned(forward: NDArray[np.float64]) -> bool:
    """Return whether the crop lies on its side in the image: then its x and y axes are to be exchanged."""
    return bool(abs(forward[1, 0]) > abs(forward[0, 0]))


def pixels_per_half(forward: NDArray[np.float64]) -> int:
    """Return how many neighbouring pixels (1 to 8) of an image row surely fit into a window.

    n pixels span (n - 1) steps; the first lies up to one cell behind the window's start, the last needs the cell to
    its right: 1 + (n - 1) * step < 7, with some reserve for roundings.
    """
    step = max(abs(float(forward[0, 0])), abs(float(forward[1, 0])))
    span = HALF - 2 - 0.01
    return HALF if step * (HALF - 1) <= span else 1 + int(span / step)


class Upsampler:
    """Emits the upsampling of a block's planes; what all planes share is computed once.

    Args:
        code: LLVM instruction builder.
        window: the block's arguments.
        rows: how many rows of cells its pixels need, 2 or 3; None: any number, found out at run time.
    """

    def __init__(self, code: Any, window: Window, rows: int | None) -> None:
        self._code, self._window, self._rows = code, window, rows
        offsets, x, y = (planned(code, window, i) for i in (PLAN_OFFSET, PLAN_X, PLAN_Y))
        self._starts = [code.add(window.planes, code.zext(offset, INT64)) for offset in offsets]
        across, self._down = (
            spread_halves(code, *start) + _along(code, step) for start, step in ((x, window.step_x), (y, window.step_y))
        )
        self._left = places_of(across >> WINDOW_BITS)
        self._right = self._left + NEXT_PLACE
        # 13 bits behind the point become 15; the cell falls off.
        self._share_x, self._share_y = ((position << 2) & LARGEST_SHARE for position in (across, self._down))

    def plane(self, index: int) -> Shorts:
        """Return the upsampled values of one plane.

        They lie between the cells' values; |difference of neighbouring cells| must be below 32768.
        """
        above, below = (self._row(index, INT64(row)) for row in (0, 1))
        value = above.towards(below, self._share_y)
        if self._rows is None:
            return self._rows_below(index, value, below)
        for row in range(1, self._rows - 1):
            value, below = self._row_below(index, INT64(row), value, below)
        return value

    def _rows_below(self, index: int, value: Shorts, above: Shorts) -> Shorts:
        code = self._code
        slots = [cgutils.alloca_once_value(code, vector.value) for vector in (value, above)]
        rows = code.zext(_most_rows(code, self._window), INT64)
        with cgutils.for_range_slice(code, INT64(1), code.sub(rows, INT64(1)), INT64(1)) as (row, _):
            passed = self._row_below(index, row, *(Shorts(code, code.load(slot)) for slot in slots))
            for slot, vector in zip(slots, passed, strict=True):
                code.store(vector.value, slot)
        return Shorts(code, code.load(slots[0]))

    def _row_below(self, index: int, row: Any, value: Shorts, above: Shorts) -> tuple[Shorts, Shorts]:
        """Give the pixels that lie below a row of the window their values; return all values and the next row."""
        code = self._code
        below = self._row(index, code.add(row, INT64(1)))
        reached = self._down.reaches(spread_short(code, code.mul(row, INT64(CELL))))
        chosen = code.select(reached, above.towards(below, self._share_y).value, value.value)
        return Shorts(code, chosen), below

    def _row(self, index: int, row: Any) -> Shorts:
        """Return a row of a plane, upsampled along x."""
        code, window = self._code, self._window
        offset = code.add(code.mul(window.plane_bytes, INT64(index)), code.mul(window.row_bytes, row))
        table = load_halves(code, *(code.add(start, offset) for start in self._starts))
        return look_up(table, self._left).towards(look_up(table, self._right), self._share_x)


def upsample_block(code: Any, window: Window, special: Any, emit: Callable[[Upsampler, bool], None]) -> None:
    """Emit a block's code three times and choose at run time: for pixels that need 2, 3 or any number of rows.

    Most blocks need 2 or 3, and straight code for them is a third faster than code with branches inside.

    Args:
        code: LLVM instruction builder.
        window: the block's arguments.
        special: one bit; where it is set, the last of the three runs.
        emit: ``emit(fields, special)``, Python bool, emits the block once.
    """
    rows = _most_rows(code, window)
    with code.if_else(code.or_(special, code.icmp_signed(">", rows, INT32(3)))) as (rare, usual):
        with rare:
            emit(Upsampler(code, window, None), True)
        with usual, code.if_else(code.icmp_signed("==", rows, INT32(2))) as (flat, tall):
            with flat:
                emit(Upsampler(code, window, 2), False)
            with tall:
                emit(Upsampler(code, window, 3), False)


def planned(code: Any, window: Window, index: int) -> list[Any]:
    """Return a number of the plan, as int32, for both halves."""
    address = code.add(window.plan, INT64(4 * PLANNED * index))
    return [load(code, INT32, code.add(address, INT64(4 * half))) for half in (0, 1)]


def near_border(code: Any, window: Window) -> Any:
    """Return one bit: whether pixels may lie on the border's ramp."""
    return code.icmp_signed("<", code.or_(*planned(code, window, PLAN_INSIDE)), INT32(0))


def _most_rows(code: Any, window: Window) -> Any:
    rows = planned(code, window, PLAN_ROWS)
    return code.select(code.icmp_signed(">", *rows), *rows)


def _along(code: Any, step: Any) -> Shorts:
    """Return how far the eight pixels of each half are from its first one, WINDOW_BITS behind the point."""
    dropped = STEP_BITS - WINDOW_BITS
    numbers = widen(counting_halves(code))
    return narrow(*((number * spread(code, step) + (1 << (dropped - 1))) >> dropped for number in numbers))


class Row(NamedTuple):
    """The int64 arguments of ``plan_windows``, in order; positions are in crop px, STEP_BITS behind the point."""

    x: Any  # crop position of the first pixel of the first half
    y: Any
    step_x: Any  # from pixel to pixel
    step_y: Any
    pixels: Any  # how many pixels a half has
    last: Any  # S - 1
    border: Any  # width of the ramp at the square's edge; -1 or less: none
    row_bytes: Any  # of a plane


PLANNED = 8
"""Halves that ``plan_windows`` plans at once."""

PLAN_OFFSET, PLAN_X, PLAN_Y, PLAN_ROWS, PLAN_INSIDE = range(5)
"""What it finds for each: see there."""


@intrinsic
def plan_windows(typing_context: Any, plan: Any, row: Any) -> Any:
    """Find the windows of eight neighbouring halves.

    Args:
        plan: address of int32 (5, 8), overwritten: where the window begins in a plane, in bytes; position of the first
            pixel in it along x and y, WINDOW_BITS behind the point; rows that the pixels need; negative if a pixel
            lies on the border's ramp.
        row: ``Row`` as a plain tuple.
    """

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        for i, planned in enumerate(_emit_plan(code, Row(*unpack(code, arguments[1])))):
            store(code, planned.value, code.add(arguments[0], INT64(4 * PLANNED * i)))
        return context.get_dummy_value()

    return types.void(plan, row), emit


def _emit_plan(code: Any, row: Row) -> list[Vector]:
    spans = []
    for position, step in ((row.x, row.step_x), (row.y, row.step_y)):
        first = spread(code, position) + counting(code).to_ints() * spread(code, code.mul(step, row.pixels))
        end = first + spread(code, code.mul(step, code.sub(row.pixels, INT64(1))))
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
    return [offset, _in_window(x, column), _in_window(y, line), rows, inside]


def _cell(position: Vector, last: Any) -> Vector:
    """Return 1 + the cell in which a position lies, from 0 to S."""
    end = spread(position.code, position.code.shl(position.code.add(last, INT64(1)), INT64(STEP_BITS)))
    return (position + UNIT).at_least(0).at_most(end) >> STEP_BITS


def _in_window(position: Vector, cell: Vector) -> Vector:
    """Return where a position lies in the window that begins with the cell before ``cell``."""
    dropped = STEP_BITS - WINDOW_BITS
    return (position + (UNIT + (1 << (dropped - 1))) - (cell << STEP_BITS)) >> dropped


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
    step_x, step_y = in_units(forward[0, 0]), in_units(forward[1, 0])
    for x in range(first, end, PLANNED * pixels):
        crop_x = in_units(forward[0, 0] * x + forward[0, 1] * y + forward[0, 2])
        crop_y = in_units(forward[1, 0] * x + forward[1, 1] * y + forward[1, 2])
        plan_windows(plans, (crop_x, crop_y, step_x, step_y, pixels, *crop))
        plans += PLAN_BYTES


@compiled
def in_units(position: float) -> Any:
    """Return a position in crop px as int64, STEP_BITS behind the point."""
    return np.int64(math.floor(position * UNIT + 0.5))


PLAN_BYTES = 5 * 4 * PLANNED


def plan_bytes(width: int, pixels: int) -> int:
    """Return how much memory the plan of a row of this many pixels takes."""
    return -(-width // (PLANNED * pixels)) * PLAN_BYTES


@compiled
def half_plan(plans: int, half: int) -> Any:
    """Return the address of the numbers of a half, for ``Window``, in the plan of a row."""
    return plans + (half // PLANNED) * PLAN_BYTES + (half % PLANNED) * 4


@compiled
def rounded(value: float, low: float, high: float) -> Any:
    """Return a float32 as int16, cut to whole numbers low and high and rounded to nearest."""
    cut = min(max(value, np.float32(low)), np.float32(high))
    # Cutting off what is behind the point rounds down only above 0.
    return np.int16(np.int32(cut + np.float32(32768.5)) - np.int32(32768))


@compiled
def inner_size(planes: NDArray[np.int16]) -> Any:
    """Return S of planes with their edges and room."""
    return planes.shape[1] - 2 - SPARE


@compiled
def repeat_edges(planes: NDArray[np.int16], first: int, end: int) -> None:
    """Fill the cells around planes from their neighbours; the planes themselves are filled from row ``first`` to ``end``."""
    size_px = inner_size(planes)
    for i in range(planes.shape[0]):
        for y in range(first + 1, end + 1):
            planes[i, y, 0] = planes[i, y, 1]
            planes[i, y, size_px + 1] = planes[i, y, size_px]
        for x in range(size_px + 2):
            planes[i, first, x] = planes[i, first + 1, x]
            planes[i, end + 1, x] = planes[i, end, x]
