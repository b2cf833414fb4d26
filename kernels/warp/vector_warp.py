"""Sixteen pixels of the compositor in two steps; see ``kernels/simd/fixed_point.py`` for how to read vector code.

The first step samples the fields: where do the pixels come from, and what is painted over them. The second gathers,
blends and writes. A row's blocks all take the first step, then all take the second: a block's way from its position in
the crop to the pixel it writes is one long chain, and a processor overlaps several blocks only while they are short.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numba.core import types

from lipforge.kernels.canvas import BGR, LUMA, PAIRED_CHROMA, SEPARATE_CHROMA
from lipforge.kernels.simd.fixed_point import (
    BIT,
    SHORTS,
    Shorts,
    any_set,
    counting_halves,
    lanes_below,
    narrow,
    spread_halves,
    spread_short,
    widen,
)
from lipforge.kernels.simd.instructions import INT64, cgutils, load, store
from lipforge.kernels.simd.lanes import Vector, intrinsic, spread, unpack
from lipforge.kernels.simd.number_formats import LARGEST_SHARE, SHARE_BITS, WIDTH
from lipforge.kernels.simd.pixels import LAYOUTS, Layout, load_offsets, store_offsets
from lipforge.kernels.simd.upsample import Upsampler, Window, near_border, upsample_block
from lipforge.kernels.warp.layout import LOW_X, LOW_Y, MASK, PAINTED, SHIFT_X, SHIFT_Y, WIDE_BITS


class Motion(NamedTuple):
    """The int64 arguments of step one, in order; positions in px."""

    record: Any  # address of RECORD_BYTES, written
    pixels: Any  # how many a half has
    first_pixels: Any  # how many of them are to be composited, in both halves
    second_pixels: Any
    x: Any  # position of the first pixel in the copy
    y: Any
    last_x: Any  # last column and row of the copy
    last_y: Any
    source_stride: Any  # bytes from row to row of the copy
    shift_bits: Any  # fraction bits of the displacements if they are int16
    wide: Any  # whether they are int32


class Ramp(NamedTuple):
    """The float32 arguments of step one, in order, for blocks near the square's edge."""

    crop_x: Any  # crop position of the first pixel
    crop_y: Any
    step_x: Any  # how far the crop position moves from pixel to pixel
    step_y: Any
    slope: Any  # the ramp is slope * distance to the square's edge + lift, clipped to [0, 1]
    lift: Any
    last: Any  # S - 1
    wide_unit: Any  # px of these planes that 2 ** WIDE_BITS units of an int32 displacement are: 1, or 0.5 for chroma


class Block(NamedTuple):
    """The int64 arguments of step two, in order; addresses are bytes."""

    record: Any  # what step one wrote
    pixels: Any  # how many a half has
    target: Any  # address of the first pixel
    second_target: Any  # the same in the V plane
    source: Any  # address of the copy's first pixel
    second_source: Any
    source_stride: Any  # bytes from row to row of the copy


@dataclass(frozen=True)
class _Mover:
    """Emits step one: finds where sixteen pixels come from and what is painted over them."""

    code: Any
    layout: Layout
    window: Window
    motion: Motion
    ramp: Ramp

    def emit(self) -> Any:
        """Emit the step; return one bit: whether anything moves or paints there."""
        code, motion = self.code, self.motion
        changes = cgutils.alloca_once(code, BIT)
        wide = code.icmp_signed("!=", motion.wide, INT64(0))
        partial = code.icmp_signed("<", code.add(motion.first_pixels, motion.second_pixels), INT64(WIDTH))

        def emit(fields: Upsampler) -> None:
            if fields.rare:
                self._emit_rare(fields, wide, changes)
                return
            with code.if_else(code.or_(near_border(code, self.window), partial)) as (outer, inner):
                with outer:
                    self._emit_moves(fields, _ramp(code, motion, self.ramp), changes)
                with inner:
                    self._emit_moves(fields, None, changes)

        upsample_block(code, self.window, wide, emit)
        return code.load(changes)

    def _emit_rare(self, fields: Upsampler, wide: Any, changes: Any) -> None:
        gain = _ramp(self.code, self.motion, self.ramp)
        with self.code.if_else(wide) as (fine, coarse):
            with fine:
                planes = ((SHIFT_X, LOW_X), (SHIFT_Y, LOW_Y))
                moves = [self._split_wide(fields.wide_plane(*halves), gain) for halves in planes]
                self._finish(fields, moves, fields.plane(MASK).times(gain), changes)
            with coarse:
                self._emit_moves(fields, gain, changes)

    def _emit_moves(self, fields: Upsampler, gain: Shorts | None, changes: Any) -> None:
        """Emit what a block does with its fields, multiplied by the ramp if it lies there."""
        moves = [self._split(self._damped(fields.plane(index), gain)) for index in (SHIFT_X, SHIFT_Y)]
        self._finish(fields, moves, self._damped(fields.plane(MASK), gain), changes)

    def _damped(self, value: Shorts, gain: Shorts | None) -> Shorts:
        return value if gain is None else value.times(gain)

    def _split(self, shift: Shorts) -> tuple[Shorts, Shorts]:
        """Return the whole pixels of displacements, rounded down, and the rest as share."""
        code, bits = self.code, self.motion.shift_bits
        rest = spread_short(code, code.sub(INT64(SHARE_BITS), bits))
        return shift.signed_shift(spread_short(code, bits)), (shift << rest) & LARGEST_SHARE

    def _split_wide(self, shift: list[Vector], gain: Shorts) -> tuple[Shorts, Shorts]:
        """As ``_split`` with displacements as float32, which are to be multiplied by the ramp."""
        unit = spread(self.code, self.ramp.wide_unit) * (1.0 / LARGEST_SHARE)
        gains = [share.to_floats() * unit for share in widen(gain)]
        scaled = [(number * factor + 0.5).floor().to_ints() for number, factor in zip(shift, gains, strict=True)]
        return narrow(*(number >> WIDE_BITS for number in scaled)), narrow(*scaled) & LARGEST_SHARE

    def _finish(self, fields: Upsampler, moves: list[tuple[Shorts, Shorts]], weight: Shorts, changes: Any) -> None:
        """Write the record, if anything changes; a lane with zero flow and mask will write the bytes it reads."""
        code, motion = self.code, self.motion
        (whole_x, share_x), (whole_y, share_y) = moves
        active = any_set(code, whole_x | share_x | whole_y | share_y | weight)
        code.store(active, changes)
        with code.if_then(active):
            x = counting_halves(code) + spread_halves(code, motion.x, code.add(motion.x, motion.pixels))
            column = _inside(whole_x + x, motion.last_x)
            row = _inside(whole_y + spread_short(code, motion.y), motion.last_y)
            store_offsets(column, row, self.layout.pixel_bytes, motion.source_stride, motion.record)
            painted = [fields.plane(PAINTED + channel) for channel in self.layout.channels]
            for i, value in enumerate([share_x, share_y, weight, *painted]):
                store(code, value.value, _member(code, motion.record, i))


def _member(code: Any, record: Any, index: int) -> Any:
    return code.add(record, INT64(4 * WIDTH + 2 * WIDTH * index))


def _inside(position: Shorts, last: Any) -> Shorts:
    """Cut columns (or rows) to those of the copy.

    Pixels and whole displacements are at most 10 901 and 16 384: their sum fits. The share may stay what it is, because
    a border that repeats the edge lies around the copy.
    """
    return position.at_least(0).at_most(spread_short(position.code, last))


def _ramp(code: Any, motion: Motion, ramp: Ramp) -> Shorts:
    gains = []
    for number in widen(counting_halves(code) + spread_halves(code, INT64(0), motion.pixels)):
        along, last = number.to_floats(), spread(code, ramp.last)
        # Products and sums rounded by themselves: the same on machines with and without fused ones.
        crop_x = along * spread(code, ramp.step_x) + spread(code, ramp.crop_x)
        crop_y = along * spread(code, ramp.step_y) + spread(code, ramp.crop_y)
        edge = crop_x.at_most(last - crop_x).at_most(crop_y).at_most(last - crop_y) + 0.5
        gain = (edge * spread(code, ramp.slope) + spread(code, ramp.lift)).at_least(0.0).at_most(1.0)
        gains.append((gain * float(LARGEST_SHARE) + 0.5).to_ints())
    # Lanes that are not to be composited get 0.
    return narrow(*gains) & lanes_below(code, motion.first_pixels, motion.second_pixels)


def _emit_pixels(code: Any, layout: Layout, block: Block) -> None:
    """Gather the source pixels, blend and write them."""
    offsets = load_offsets(code, block.record)
    members = range(3 + len(layout.channels))
    kept = [Shorts(code, load(code, SHORTS, _member(code, block.record, i))) for i in members]
    shares, weight, painted = (kept[0], kept[1]), kept[2], kept[3:]
    second_half = code.mul(block.pixels, INT64(layout.pixel_bytes))
    for source, target in [(block.source, block.target), (block.second_source, block.second_target)][: layout.planes]:
        warped = layout.sample(source, offsets, shares, block.source_stride)
        mine, painted = painted[: len(warped)], painted[len(warped) :]
        blended = [level.towards(colour, weight) for level, colour in zip(warped, mine, strict=True)]
        layout.write(blended, target, code.add(target, second_half))


def _motion(layout: Layout) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        window, motion, ramp = (unpack(code, argument) for argument in arguments)
        return _Mover(code, layout, Window(*window), Motion(*motion), Ramp(*ramp)).emit()

    return emit


def _pixels(layout: Layout) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        _emit_pixels(code, layout, Block(*unpack(code, arguments[0])))
        return context.get_dummy_value()

    return emit


# One pair of functions for each kind of planes; arguments are ``Window``, ``Motion``, ``Ramp`` and ``Block`` as tuples.


@intrinsic
def move_bgr(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Step one for BGR; return whether any of the pixels changes."""
    return types.boolean(window, motion, ramp), _motion(LAYOUTS[BGR])


@intrinsic
def write_bgr(typing_context: Any, block: Any) -> Any:
    """Step two for BGR."""
    return types.void(block), _pixels(LAYOUTS[BGR])


@intrinsic
def move_luma(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Step one for luma."""
    return types.boolean(window, motion, ramp), _motion(LAYOUTS[LUMA])


@intrinsic
def write_luma(typing_context: Any, block: Any) -> Any:
    """Step two for luma."""
    return types.void(block), _pixels(LAYOUTS[LUMA])


@intrinsic
def move_separate_chroma(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Step one for a U and a V plane."""
    return types.boolean(window, motion, ramp), _motion(LAYOUTS[SEPARATE_CHROMA])


@intrinsic
def write_separate_chroma(typing_context: Any, block: Any) -> Any:
    """Step two for a U and a V plane."""
    return types.void(block), _pixels(LAYOUTS[SEPARATE_CHROMA])


@intrinsic
def move_paired_chroma(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Step one for U and V in turns."""
    return types.boolean(window, motion, ramp), _motion(LAYOUTS[PAIRED_CHROMA])


@intrinsic
def write_paired_chroma(typing_context: Any, block: Any) -> Any:
    """Step two for U and V in turns."""
    return types.void(block), _pixels(LAYOUTS[PAIRED_CHROMA])
