"""Eight pixels of the compositor: sample the fields, gather the source, blend, store. See ``kernels/simd``.

One block function per way the channels lie in memory; what differs between them is a ``Layout``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from numba.core import types

from lipforge.kernels.simd.bilinear import (
    locate,
    pack_one,
    pack_three,
    pack_two,
    sample_one,
    sample_records,
    sample_three,
    to_levels,
)
from lipforge.kernels.simd.instructions import INT64, store
from lipforge.kernels.simd.lanes import Vector, any_lane, counting, intrinsic, spread, unpack

RECORD = 8  # float32 per field record: flow x, flow y, mask, three of colour, two unused


class Block(NamedTuple):
    """The int64 arguments of a block, in order; addresses are bytes, positions px."""

    target: Any  # address of the first of the eight pixels
    second_target: Any  # the same in the V plane; unused elsewhere
    source: Any  # address of the copy's first pixel
    second_source: Any
    source_stride: Any  # bytes from row to row of the copy
    x: Any  # position of the first pixel in the copy
    y: Any
    last_x: Any  # last column and row of the copy
    last_y: Any
    fields: Any  # address of the field records, (S + 1, S + 1, RECORD) float32
    last_field: Any  # S - 1
    crop_x: Any  # whole part of the first pixel's crop position
    crop_y: Any


class Motion(NamedTuple):
    """The float32 arguments of a block, in order."""

    crop_x: Any  # the rest of the first pixel's crop position, in [0, 1)
    crop_y: Any
    step_x: Any  # how far the crop position moves from pixel to pixel
    step_y: Any
    xx: Any  # crop px to px of this plane, linear part
    xy: Any
    yx: Any
    yy: Any
    slope: Any  # the ramp is slope * distance to the square's edge + lift, clipped to [0, 1]
    lift: Any
    strength: Any


@dataclass(frozen=True)
class Layout:
    """How a block reads source pixels and writes results.

    Attributes:
        pixel_bytes: from one pixel of the source to the next.
        painted: which members of a field record are the colours of the channels.
        sample: from the block's arguments, byte offsets and shares to one vector per channel.
        write: stores one vector of levels per channel.
    """

    pixel_bytes: int
    painted: tuple[int, ...]
    sample: Callable[[Block, Vector, tuple[Vector, Vector]], list[Vector]]
    write: Callable[[Block, list[Vector]], None]


def _write_pair(block: Block, levels: list[Vector]) -> None:
    store(levels[0].code, pack_one(levels[0]), block.target)
    store(levels[0].code, pack_one(levels[1]), block.second_target)


def _sample_pair(block: Block, offset: Vector, shares: tuple[Vector, Vector]) -> list[Vector]:
    starts = (block.source, block.second_source)
    return [sample_one(start, offset, shares, block.source_stride, across=1)[0] for start in starts]


BGR = Layout(
    pixel_bytes=3,
    painted=(5, 4, 3),
    sample=lambda block, offset, shares: sample_three(block.source, offset, shares, block.source_stride),
    write=lambda block, levels: store(levels[0].code, pack_three(levels), block.target),
)
LUMA = Layout(
    pixel_bytes=1,
    painted=(3,),
    sample=lambda block, offset, shares: sample_one(block.source, offset, shares, block.source_stride, across=1),
    write=lambda block, levels: store(levels[0].code, pack_one(levels[0]), block.target),
)
SEPARATE_CHROMA = Layout(pixel_bytes=1, painted=(4, 5), sample=_sample_pair, write=_write_pair)
PAIRED_CHROMA = Layout(
    pixel_bytes=2,
    painted=(4, 5),
    sample=lambda block, offset, shares: sample_one(block.source, offset, shares, block.source_stride, 2, 2),
    write=lambda block, levels: store(levels[0].code, pack_two(*levels), block.target),
)


def _emit_block(code: Any, layout: Layout, block: Block, motion: Motion) -> Any:
    """Composite eight pixels unless nothing moves or paints there; return one bit: whether pixels were written."""
    flow_x, flow_y, weight, painted = _emit_fields(code, layout, block, motion)
    active = any_lane(code, flow_x.differs(0.0), flow_y.differs(0.0), weight.differs(0.0))
    with code.if_then(active):
        # A lane with zero flow and mask writes the bytes it read: its shares are exactly 0.
        shift_x = flow_x.times_plus(spread(code, motion.xx), flow_y * spread(code, motion.xy))
        shift_y = flow_x.times_plus(spread(code, motion.yx), flow_y * spread(code, motion.yy))
        lane_x = spread(code, block.x) + counting(code).to_ints()
        column, share_x = locate(lane_x, shift_x, spread(code, block.last_x))
        row, share_y = locate(spread(code, block.y), shift_y, spread(code, block.last_y))
        offset = row * spread(code, block.source_stride) + column * layout.pixel_bytes
        warped = layout.sample(block, offset, (share_x, share_y))
        blended = [a.towards(b, weight) for a, b in zip(warped, painted, strict=True)]
        layout.write(block, [to_levels(channel) for channel in blended])
    return active


def _emit_fields(
    code: Any, layout: Layout, block: Block, motion: Motion
) -> tuple[Vector, Vector, Vector, list[Vector]]:
    """Return flow x, flow y and mask, with ramp and strength, and the colours of eight pixels."""
    last = spread(code, block.last_field)
    along = counting(code)
    offset_x = along.times_plus(spread(code, motion.step_x), spread(code, motion.crop_x))
    offset_y = along.times_plus(spread(code, motion.step_y), spread(code, motion.crop_y))
    whole_x, whole_y = spread(code, block.crop_x), spread(code, block.crop_y)
    column, share_x = locate(whole_x, offset_x, last)
    row, share_y = locate(whole_y, offset_y, last)
    row_bytes = code.mul(code.add(block.last_field, INT64(2)), INT64(4 * RECORD))
    offset = row * spread(code, row_bytes) + column * (4 * RECORD)
    record = sample_records(block.fields, offset, (share_x, share_y), row_bytes, RECORD)

    crop_x, crop_y = whole_x.to_floats() + offset_x, whole_y.to_floats() + offset_y
    far = last.to_floats()
    edge = crop_x.at_most(far - crop_x).at_most(crop_y).at_most(far - crop_y) + 0.5
    ramp = edge.times_plus(spread(code, motion.slope), spread(code, motion.lift)).at_least(0.0).at_most(1.0)
    gain = ramp * spread(code, motion.strength)
    return record[0] * gain, record[1] * gain, record[2] * gain, [record[i] for i in layout.painted]


def _emitter(layout: Layout) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        block = Block(*unpack(code, arguments[0]))
        motion = Motion(*unpack(code, arguments[1]))
        return _emit_block(code, layout, block, motion)

    return emit


@intrinsic
def warp_bgr(typing_context: Any, block: Any, motion: Any) -> Any:
    """Composite eight BGR pixels (``Block`` and ``Motion`` as plain tuples); return whether they were written."""
    return types.boolean(block, motion), _emitter(BGR)


@intrinsic
def warp_luma(typing_context: Any, block: Any, motion: Any) -> Any:
    """Composite eight pixels of a luma plane."""
    return types.boolean(block, motion), _emitter(LUMA)


@intrinsic
def warp_separate_chroma(typing_context: Any, block: Any, motion: Any) -> Any:
    """Composite eight pixels of a U and a V plane."""
    return types.boolean(block, motion), _emitter(SEPARATE_CHROMA)


@intrinsic
def warp_paired_chroma(typing_context: Any, block: Any, motion: Any) -> Any:
    """Composite eight pixels of a plane with U and V in turns."""
    return types.boolean(block, motion), _emitter(PAIRED_CHROMA)
