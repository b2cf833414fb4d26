"""Sixteen pixels of the compositor: sample the fields, gather the source, blend, store. See ``kernels/fixed_point.py``.

One block function per way the channels lie in memory; what differs between them is a ``Layout``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numba.core import types

from lipforge.kernels.fixed_point import (
    LARGEST_SHARE,
    SHARE_BITS,
    SHORTS,
    Shorts,
    any_set,
    counting_halves,
    narrow,
    spread_halves,
    spread_short,
    widen,
)
from lipforge.kernels.lanes import INT64, cgutils, intrinsic, load, spread, store, unpack
from lipforge.kernels.pixels import (
    load_offsets,
    sample_one,
    sample_three,
    sample_two,
    store_offsets,
    write_one,
    write_three,
    write_two,
)
from lipforge.kernels.upsample import Upsampler, Window


class Motion(NamedTuple):
    """The int64 arguments of a block's motion, in order; positions in px."""

    moved: Any  # address of MOVED_BYTES, written
    ahead: Any  # pixels from the first half to the second
    x: Any  # position of the first pixel in the copy
    y: Any
    last_x: Any  # last column and row of the copy
    last_y: Any
    source_stride: Any  # bytes from row to row of the copy
    shift_bits: Any  # fraction bits of the displacements


class Block(NamedTuple):
    """The int64 arguments of a block's pixels, in order; addresses are bytes."""

    moved: Any  # address of what the block's motion wrote
    target: Any  # address of the first pixel
    second_target: Any  # the same in the V plane; unused elsewhere
    ahead: Any  # pixels from the first half to the second
    source: Any  # address of the copy's first pixel
    second_source: Any
    source_stride: Any  # bytes from row to row of the copy


MOVED_BYTES = 64 + 6 * 32
"""16 int32 byte offsets into the copy; then 16 int16 each: shares of the right and lower neighbour, mask, colours."""


class Ramp(NamedTuple):
    """The float32 arguments of a block, in order, for blocks near the square's edge."""

    crop_x: Any  # crop position of the first pixel
    crop_y: Any
    step_x: Any  # how far the crop position moves from pixel to pixel
    step_y: Any
    slope: Any  # the ramp is slope * distance to the square's edge + lift, clipped to [0, 1]
    lift: Any
    last: Any  # S - 1


@dataclass(frozen=True)
class Layout:
    """How a block reads source pixels and writes results.

    Attributes:
        pixel_bytes: from one pixel of the source to the next.
        painted: which planes of the fields are the colours of the channels.
        sample: from the block's arguments, byte offsets and shares to one vector per channel.
        write: stores one vector of levels per channel at the addresses of both halves' pixels.
        planes: 2 if U and V have a plane each.
    """

    pixel_bytes: int
    painted: tuple[int, ...]
    sample: Callable[..., list[Shorts]]
    write: Callable[[list[Shorts], Any, Any], None]
    planes: int = 1


BGR = Layout(3, (5, 4, 3), sample_three, write_three)
LUMA = Layout(1, (3,), sample_one, write_one)
SEPARATE_CHROMA = Layout(1, (4, 5), sample_one, write_one, planes=2)
PAIRED_CHROMA = Layout(2, (4, 5), sample_two, write_two)


def _emit_motion(code: Any, layout: Layout, window: Window, motion: Motion, ramp: Ramp) -> Any:
    """Find where sixteen pixels come from; return one bit: whether anything moves or paints there."""
    fields = Upsampler(code, window)
    near, values = fields.near_border, [fields.plane(i) for i in range(3)]
    shift_x, shift_y, weight = _near_border(code, near, motion, ramp, values)
    active = any_set(code, shift_x | shift_y | weight)
    with code.if_then(active):
        # A lane with zero flow and mask will write the bytes it reads: its shares are exactly 0.
        column, share_x = _locate(_pixels(code, motion), shift_x, motion, motion.last_x)
        row, share_y = _locate(spread_short(code, motion.y), shift_y, motion, motion.last_y)
        store_offsets(column, row, layout.pixel_bytes, motion.source_stride, motion.moved)
        for i, value in enumerate([share_x, share_y, weight, *map(fields.plane, layout.painted)]):
            store(code, value.value, code.add(motion.moved, INT64(64 + 32 * i)))
    return active


def _emit_pixels(code: Any, layout: Layout, block: Block) -> None:
    """Gather the source pixels, blend and write them."""
    offsets = load_offsets(code, block.moved)
    kept = [
        Shorts(code, load(code, SHORTS, code.add(block.moved, INT64(64 + 32 * i))))
        for i in range(3 + len(layout.painted))
    ]
    share_x, share_y, weight, *painted = kept
    sources, targets = (block.source, block.second_source), (block.target, block.second_target)
    warped = []
    for source in sources[: layout.planes]:
        warped += layout.sample(source, offsets, (share_x, share_y), block.source_stride)
    blended = [a.towards(b, weight) for a, b in zip(warped, painted, strict=True)]
    half = code.mul(block.ahead, INT64(layout.pixel_bytes))
    channels = len(blended) // layout.planes
    for i in range(layout.planes):
        layout.write(blended[i * channels : (i + 1) * channels], targets[i], code.add(targets[i], half))


def _pixels(code: Any, motion: Motion) -> Shorts:
    return counting_halves(code) + spread_halves(code, motion.x, code.add(motion.x, motion.ahead))


def _locate(pixel: Shorts, shift: Shorts, motion: Motion, last: Any) -> tuple[Shorts, Shorts]:
    """Return the column (or row) of the left neighbour of the moved pixels and the share of the right one."""
    code = pixel.code
    bits = spread_short(code, motion.shift_bits)
    whole = (pixel + shift.signed_shift(bits)).at_least(0).at_most(spread_short(code, last))
    rest = spread_short(code, code.sub(INT64(SHARE_BITS), motion.shift_bits))
    return whole, (shift << rest) & LARGEST_SHARE


def _near_border(code: Any, near: Any, motion: Motion, ramp: Ramp, values: list[Shorts]) -> list[Shorts]:
    """Multiply values by the border ramp where it is not 1."""
    slots = [cgutils.alloca_once_value(code, value.value) for value in values]
    with code.if_then(near):
        gain = _ramp(code, motion, ramp)
        for slot, value in zip(slots, values, strict=True):
            code.store(value.times(gain).value, slot)
    return [Shorts(code, code.load(slot)) for slot in slots]


def _ramp(code: Any, motion: Motion, ramp: Ramp) -> Shorts:
    gains = []
    for number in widen(counting_halves(code) + spread_halves(code, INT64(0), motion.ahead)):
        along, last = number.to_floats(), spread(code, ramp.last)
        crop_x = along.times_plus(spread(code, ramp.step_x), spread(code, ramp.crop_x))
        crop_y = along.times_plus(spread(code, ramp.step_y), spread(code, ramp.crop_y))
        edge = crop_x.at_most(last - crop_x).at_most(crop_y).at_most(last - crop_y) + 0.5
        gain = edge.times_plus(spread(code, ramp.slope), spread(code, ramp.lift)).at_least(0.0).at_most(1.0)
        gains.append((gain * float(LARGEST_SHARE) + 0.5).to_ints())
    return narrow(*gains)


def _motion_emitter(layout: Layout) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        window, motion, ramp = (unpack(code, argument) for argument in arguments)
        return _emit_motion(code, layout, Window(*window), Motion(*motion), Ramp(*ramp))

    return emit


def _pixels_emitter(layout: Layout) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        _emit_pixels(code, layout, Block(*unpack(code, arguments[0])))
        return context.get_dummy_value()

    return emit


@intrinsic
def move_bgr(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Find where sixteen BGR pixels come from (plain tuples); return whether any change."""
    return types.boolean(window, motion, ramp), _motion_emitter(BGR)


@intrinsic
def write_bgr(typing_context: Any, block: Any) -> Any:
    """Composite sixteen BGR pixels whose motion is known (``Block`` as a plain tuple)."""
    return types.void(block), _pixels_emitter(BGR)


@intrinsic
def move_luma(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Find where sixteen pixels of a luma plane come from (plain tuples); return whether any change."""
    return types.boolean(window, motion, ramp), _motion_emitter(LUMA)


@intrinsic
def write_luma(typing_context: Any, block: Any) -> Any:
    """Composite sixteen pixels of a luma plane whose motion is known (``Block`` as a plain tuple)."""
    return types.void(block), _pixels_emitter(LUMA)


@intrinsic
def move_separate_chroma(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Find where sixteen pixels of a U and a V plane come from (plain tuples); return whether any change."""
    return types.boolean(window, motion, ramp), _motion_emitter(SEPARATE_CHROMA)


@intrinsic
def write_separate_chroma(typing_context: Any, block: Any) -> Any:
    """Composite sixteen pixels of a U and a V plane whose motion is known (``Block`` as a plain tuple)."""
    return types.void(block), _pixels_emitter(SEPARATE_CHROMA)


@intrinsic
def move_paired_chroma(typing_context: Any, window: Any, motion: Any, ramp: Any) -> Any:
    """Find where sixteen pixels of a plane with U and V in turns come from (plain tuples); return whether any change."""
    return types.boolean(window, motion, ramp), _motion_emitter(PAIRED_CHROMA)


@intrinsic
def write_paired_chroma(typing_context: Any, block: Any) -> Any:
    """Composite sixteen pixels of a plane with U and V in turns whose motion is known (``Block`` as a plain tuple)."""
    return types.void(block), _pixels_emitter(PAIRED_CHROMA)
