"""Bilinear upsampling along an image row, sixteen pixels at once; warp and paste read their crop-sized planes with it.

Planes are upsampled when a face is larger than the crop, so neighbouring pixels share cells: eight pixels of a row,
which is one half of a register, meet at most eight columns. Those columns of a row are loaded once (the **window**)
and every pixel picks its two neighbours from the register, which costs a fraction of loading them for each pixel.

When the crop is denser, a half does fewer pixels than eight (``pixels_per_half``) so that the window still holds them:
the smaller the face, the fewer pixels there are to lose time on. When the crop lies on its side, rows and columns
change roles before (``is_turned``), so that a step along the image's row moves more along the window than across.

``kernels/cell_planes.py`` says how the planes lie in memory, ``kernels/simd/row_plan.py`` finds the windows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from lipforge.kernels.simd.fixed_point import (
    NEXT_PLACE,
    Shorts,
    counting_halves,
    has_reached,
    join,
    load_halves,
    look_up,
    narrow,
    places_of,
    spread_halves,
    where,
    widen,
)
from lipforge.kernels.simd.half_window import PLANNED, STEP_BITS, UNIT, WINDOW_BITS
from lipforge.kernels.simd.instructions import INT32, INT64, cgutils, load, shuffle
from lipforge.kernels.simd.lanes import Vector, spread
from lipforge.kernels.simd.number_formats import LARGEST_SHARE
from lipforge.kernels.simd.row_plan import PLAN_FINE_X, PLAN_FINE_Y, PLAN_INSIDE, PLAN_OFFSET, PLAN_ROWS, PLAN_X, PLAN_Y

CELL = 1 << WINDOW_BITS


class Window(NamedTuple):
    """The int64 arguments of sixteen pixels' upsampling, in order; addresses are bytes."""

    planes: Any  # address
    plan: Any  # address of the first half's numbers in a plan, see ``plan_windows``
    step_x: Any  # from pixel to pixel, STEP_BITS behind the point
    step_y: Any
    row_bytes: Any
    plane_bytes: Any


class Upsampler:
    """Emits the upsampling of a block's planes; what all planes share is computed once.

    Args:
        code: LLVM instruction builder.
        window: the block's arguments.
        rows: how many rows of cells its pixels need, 2 or 3; None: any number, found out at run time.
    """

    def __init__(self, code: Any, window: Window, rows: int | None) -> None:
        self._code, self._window, self._rows = code, window, rows
        self.rare = rows is None
        offsets, x, y = (planned(code, window, i) for i in (PLAN_OFFSET, PLAN_X, PLAN_Y))
        self._starts = [code.add(window.planes, code.zext(offset, INT64)) for offset in offsets]
        self._across, self._down = (
            spread_halves(code, *start) + _along(code, step) for start, step in ((x, window.step_x), (y, window.step_y))
        )
        self._left = places_of(self._across >> WINDOW_BITS)
        self._right = self._left + NEXT_PLACE
        # 13 bits behind the point become 15; the cell falls off.
        self._share_x, self._share_y = ((position << 2) & LARGEST_SHARE for position in (self._across, self._down))

    def plane(self, index: int) -> Shorts:
        """Return the upsampled values of one plane.

        They lie between the cells' values; |difference of neighbouring cells| must be below 32768.
        """
        values: list[Shorts] = self._down_rows(lambda row: [self._row(index, row)], [self._share_y], [self._down])
        return values[0]

    def wide_plane(self, high: int, low: int) -> list[Vector]:
        """Return the upsampled values of int32 whose halves are two planes, as float32 in the order of ``widen``."""
        across = self._wide_shares(PLAN_FINE_X, self._window.step_x, self._across)
        down = self._wide_shares(PLAN_FINE_Y, self._window.step_y, self._down)
        positions = [position & 0xFFFF for position in widen(self._down)]
        return self._down_rows(lambda row: self._wide_row(high, low, row, across), down, positions)

    def _wide_shares(self, start: int, step: Any, position: Shorts) -> list[Vector]:
        """Return the shares along an axis with all bits that the plan has, for the cells of the rounded positions."""
        code, shares = self._code, []
        first, second = (spread(code, number) for number in planned(code, self._window, start))
        # In the order of ``widen`` a vector holds four pixels of each half.
        starts = Vector(code, shuffle(code, first.value, second.value, [0, 1, 2, 3, 12, 13, 14, 15]))
        for number, cell in zip(widen(counting_halves(code)), widen(position >> WINDOW_BITS), strict=True):
            fine = (starts + number * spread(code, step)).to_floats() * (1.0 / UNIT)
            shares.append(fine - cell.to_floats())
        return shares

    def _down_rows(self, row_at: Callable[[Any], list[Any]], shares: list[Any], positions: list[Any]) -> list[Any]:
        """Return values between rows, for pixels at positions that count from the window's first row."""
        above, below = row_at(INT64(0)), row_at(INT64(1))
        values = _between(above, below, shares)
        if self._rows is None:
            return self._rows_below(row_at, shares, positions, (values, below))
        for row in range(1, self._rows - 1):
            values, below = self._row_below(row_at, shares, positions, INT64(row), (values, below))
        return values

    def _rows_below(self, row_at: Any, shares: Any, positions: Any, start: tuple[list[Any], list[Any]]) -> list[Any]:
        code = self._code
        slots = [[cgutils.alloca_once_value(code, vector.value) for vector in vectors] for vectors in start]
        rows = code.zext(_most_rows(code, self._window), INT64)
        kind = type(start[0][0])
        with cgutils.for_range_slice(code, INT64(1), code.sub(rows, INT64(1)), INT64(1)) as (row, _):
            values, above = ([kind(code, code.load(slot)) for slot in vectors] for vectors in slots)
            passed = self._row_below(row_at, shares, positions, row, (values, above))
            for to, vectors in zip(slots, passed, strict=True):
                for slot, vector in zip(to, vectors, strict=True):
                    code.store(vector.value, slot)
        return [kind(code, code.load(slot)) for slot in slots[0]]

    def _row_below(
        self, row_at: Any, shares: Any, positions: Any, row: Any, known: tuple[list[Any], list[Any]]
    ) -> tuple[list[Any], list[Any]]:
        """Give the pixels that lie below a row of the window their values; return all values and the next row."""
        code, (values, above) = self._code, known
        below = row_at(code.add(row, INT64(1)))
        start = code.mul(row, INT64(CELL))
        chosen = []
        for value, deeper, position in zip(values, _between(above, below, shares), positions, strict=True):
            chosen.append(where(has_reached(position, start), deeper, value))
        return chosen, below

    def _row(self, index: int, row: Any) -> Shorts:
        """Return a row of a plane, upsampled along x."""
        left, right = self._taps(index, row)
        return left.towards(right, self._share_x)

    def _wide_row(self, high: int, low: int, row: Any, shares: list[Vector]) -> list[Vector]:
        pairs = zip(self._taps(low, row), self._taps(high, row), strict=True)
        left, right = ([number.to_floats() for number in join(*pair)] for pair in pairs)
        return _between(left, right, shares)

    def _taps(self, index: int, row: Any) -> tuple[Shorts, Shorts]:
        """Return the left and the right neighbours of the pixels in a row of a plane."""
        code, window = self._code, self._window
        offset = code.add(code.mul(window.plane_bytes, INT64(index)), code.mul(window.row_bytes, row))
        table = load_halves(code, *(code.add(start, offset) for start in self._starts))
        return look_up(table, self._left), look_up(table, self._right)


def _between(starts: list[Any], ends: list[Any], shares: list[Any]) -> list[Any]:
    """Return starts + shares * (ends - starts); floats are rounded twice on every machine, fused products or not."""
    if isinstance(starts[0], Shorts):
        return [start.towards(end, share) for start, end, share in zip(starts, ends, shares, strict=True)]
    return [start + (end - start) * share for start, end, share in zip(starts, ends, shares, strict=True)]


def upsample_block(code: Any, window: Window, rare: Any, emit: Callable[[Upsampler], None]) -> None:
    """Emit a block's code three times and choose at run time: for pixels that need 2, 3 or any number of rows.

    Most blocks need 2 or 3. Straight code for them saves a tenth of a whole composite.

    Args:
        code: LLVM instruction builder.
        window: the block's arguments.
        rare: one bit; where it is set, the last of the three runs.
        emit: emits the block once, with fields for that number of rows.
    """
    rows = _most_rows(code, window)
    with code.if_else(code.or_(rare, code.icmp_signed(">", rows, INT32(3)))) as (many, few):
        with many:
            emit(Upsampler(code, window, None))
        with few, code.if_else(code.icmp_signed("==", rows, INT32(2))) as (flat, tall):
            with flat:
                emit(Upsampler(code, window, 2))
            with tall:
                emit(Upsampler(code, window, 3))


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
