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

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from numba.core import types

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


def planes_shape(count: int, size_px: int) -> tuple[int, int, int]:
    """Return the shape of the int16 array that holds ``count`` planes of S x S cells with their edges and room."""
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
    """Emits the upsampling of a block's planes; what all planes share is computed once."""

    def __init__(self, code: Any, window: Window) -> None:
        self._code, self._window = code, window
        (offsets, x, y, rows, inside) = (self._planned(i) for i in range(5))
        self._starts = [code.add(window.planes, code.zext(offset, INT64)) for offset in offsets]
        x, self._y = (
            spread_halves(code, *start) + _along(code, step)
            for start, step in ((x, window.step_x), (y, window.step_y))
        )
        self._left = places_of(x >> WINDOW_BITS)
        self._right = self._left + NEXT_PLACE
        # 13 bits behind the point become 15; the cell falls off.
        self._share_x, self._share_y = ((position << 2) & LARGEST_SHARE for position in (x, self._y))
        most = code.select(code.icmp_signed(">", *rows), *rows)
        self._tall, self._taller = (code.icmp_signed(">", most, INT32(limit)) for limit in (2, 3))
        self._last_row = code.sub(code.zext(most, INT64), INT64(1))
        self.near_border = code.icmp_signed("<", code.or_(*inside), INT32(0))

    def _planned(self, index: int) -> list[Any]:
        """Return a number of the plan for both halves."""
        address = self._code.add(self._window.plan, INT64(4 * PLANNED * index))
        return [load(self._code, INT32, self._code.add(address, INT64(4 * half))) for half in (0, 1)]

    def plane(self, index: int) -> Shorts:
        """Return the upsampled values of one plane.

        They lie between the cells' values; |difference of neighbouring cells| must be below 32768.
        """
        code = self._code
        above, below = self._row(index, INT64(0)), self._row(index, INT64(1))
        value = cgutils.alloca_once_value(code, above.towards(below, self._share_y).value)
        with code.if_then(self._tall):
            last = cgutils.alloca_once_value(code, below.value)
            self._replace_below(index, INT64(1), value, last)
            with code.if_then(self._taller), _rolled_range(code, INT64(2), self._last_row) as row:
                self._replace_below(index, row, value, last)
        return Shorts(code, code.load(value))

    def _replace_below(self, index: int, row: Any, value: Any, last: Any) -> None:
        """Give the pixels that lie below a row of the window their values."""
        code = self._code
        above, below = Shorts(code, code.load(last)), self._row(index, code.add(row, INT64(1)))
        reached = self._y.reaches(spread_short(code, code.mul(row, INT64(CELL))))
        code.store(code.select(reached, above.towards(below, self._share_y).value, code.load(value)), value)
        code.store(below.value, last)

    def _row(self, index: int, row: Any) -> Shorts:
        """Return a row of a plane, upsampled along x."""
        code, window = self._code, self._window
        offset = code.add(code.mul(window.plane_bytes, INT64(index)), code.mul(window.row_bytes, row))
        table = load_halves(code, *(code.add(start, offset) for start in self._starts))
        return look_up(table, self._left).towards(look_up(table, self._right), self._share_x)


def _along(code: Any, step: Any) -> Shorts:
    """Return how far the eight pixels of each half are from its first one, WINDOW_BITS behind the point."""
    dropped = STEP_BITS - WINDOW_BITS
    numbers = widen(counting_halves(code))
    return narrow(*((number * spread(code, step) + (1 << (dropped - 1))) >> dropped for number in numbers))


@contextmanager
def _rolled_range(code: Any, start: Any, end: Any) -> Iterator[Any]:
    """Repeat the instructions of the block for each int64 from start to end, which is more; never unrolled."""
    before, body, after = code.block, code.append_basic_block("rows"), code.append_basic_block("rows.end")
    code.branch(body)
    code.position_at_end(body)
    number = code.phi(INT64)
    number.add_incoming(start, before)
    yield number
    following = code.add(number, INT64(1))
    number.add_incoming(following, code.block)
    jump = code.cbranch(code.icmp_signed("<", following, end), body, after)
    # The first operand of a loop's metadata is to be itself; that it is distinct will do, and llvmlite has no other way.
    jump.set_metadata("llvm.loop", code.module.add_metadata([code.module.add_metadata(["llvm.loop.unroll.disable"])]))
    code.position_at_end(after)


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
