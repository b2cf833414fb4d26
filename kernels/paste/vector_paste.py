"""Eight pixels of a paste: sample crop and mask, blend with the pixels in place. See ``kernels/simd``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types

from lipforge.kernels.simd.bilinear import locate, pack_one, pack_three, pack_two, sample_records, to_levels
from lipforge.kernels.simd.instructions import BYTE, INT64, load, shuffle, store
from lipforge.kernels.simd.lanes import INTS, LANES, Vector, any_lane, counting, intrinsic, spread, unpack

RECORD = 4  # float32 per record: three channels in levels, mask


class Block(NamedTuple):
    """The int64 arguments of a block, in order."""

    pixels: Any  # address of the eight pixels
    second_pixels: Any  # of those in the V plane; unused elsewhere
    records: Any  # address of the records, (S + 1, S + 1, RECORD) float32
    last: Any  # S - 1
    crop_x: Any  # whole part of the first pixel's crop position
    crop_y: Any


class Path(NamedTuple):
    """The float32 arguments, in order."""

    crop_x: Any  # the rest of the first pixel's crop position
    crop_y: Any
    step_x: Any  # from pixel to pixel
    step_y: Any


def _emit_paste(
    code: Any,
    block: Block,
    path: Path,
    members: tuple[int, ...],
    read: Callable[[Any, Block], list[Vector]],
    write: Callable[[Any, Block, list[Vector]], None],
) -> Any:
    """Blend eight pixels unless the mask is zero in all of them; return one bit: whether pixels were written."""
    along, last = counting(code), spread(code, block.last)
    shift_x = along.times_plus(spread(code, path.step_x), spread(code, path.crop_x))
    shift_y = along.times_plus(spread(code, path.step_y), spread(code, path.crop_y))
    column, share_x = locate(spread(code, block.crop_x), shift_x, last)
    row, share_y = locate(spread(code, block.crop_y), shift_y, last)
    row_bytes = code.mul(code.add(block.last, INT64(2)), INT64(4 * RECORD))
    offset = row * spread(code, row_bytes) + column * (4 * RECORD)
    record = sample_records(block.records, offset, (share_x, share_y), row_bytes, RECORD)
    weight = record[3]
    active = any_lane(code, weight.differs(0.0))
    with code.if_then(active):
        # A lane with zero mask writes the level it read.
        pairs = zip(read(code, block), (record[i] for i in members), strict=True)
        write(code, block, [to_levels(pixel.towards(painted, weight)) for pixel, painted in pairs])
    return active


def _read_bgr(code: Any, block: Block) -> list[Vector]:
    packed = load(code, ir.VectorType(BYTE, 3 * LANES), block.pixels)
    zero = ir.Constant(packed.type, [0] * (3 * LANES))
    channels = []
    for channel in range(3):
        # Each byte followed by three zeros is an int32.
        lanes = [lane for i in range(LANES) for lane in (3 * i + channel, *[3 * LANES] * 3)]
        channels.append(Vector(code, code.bitcast(shuffle(code, packed, zero, lanes), INTS)).to_floats())
    return channels


def _read_one(code: Any, address: Any) -> Vector:
    return Vector(code, code.zext(load(code, ir.VectorType(BYTE, LANES), address), INTS)).to_floats()


def _read_pairs(code: Any, block: Block) -> list[Vector]:
    words = Vector(code, code.zext(load(code, ir.VectorType(ir.IntType(16), LANES), block.pixels), INTS))
    return [(words & 255).to_floats(), (words >> 8).to_floats()]


def _write_separate(code: Any, block: Block, levels: list[Vector]) -> None:
    store(code, pack_one(levels[0]), block.pixels)
    store(code, pack_one(levels[1]), block.second_pixels)


def _emitter(members: tuple[int, ...], read: Any, write: Any) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        block, path = (unpack(code, argument) for argument in arguments)
        return _emit_paste(code, Block(*block), Path(*path), members, read, write)

    return emit


@intrinsic
def blend_bgr(typing_context: Any, block: Any, path: Any) -> Any:
    """Blend eight BGR pixels (``Block`` and ``Path`` as plain tuples); return whether they were written."""
    emit = _emitter((0, 1, 2), _read_bgr, lambda code, block, levels: store(code, pack_three(levels), block.pixels))
    return types.boolean(block, path), emit


@intrinsic
def blend_luma(typing_context: Any, block: Any, path: Any) -> Any:
    """Blend eight pixels of a luma plane."""
    emit = _emitter(
        (0,),
        lambda code, block: [_read_one(code, block.pixels)],
        lambda code, block, levels: store(code, pack_one(levels[0]), block.pixels),
    )
    return types.boolean(block, path), emit


@intrinsic
def blend_separate_chroma(typing_context: Any, block: Any, path: Any) -> Any:
    """Blend eight pixels of a U and a V plane."""
    emit = _emitter(
        (1, 2),
        lambda code, block: [_read_one(code, block.pixels), _read_one(code, block.second_pixels)],
        _write_separate,
    )
    return types.boolean(block, path), emit


@intrinsic
def blend_paired_chroma(typing_context: Any, block: Any, path: Any) -> Any:
    """Blend eight pixels of a plane with U and V in turns."""
    emit = _emitter((1, 2), _read_pairs, lambda code, block, levels: store(code, pack_two(*levels), block.pixels))
    return types.boolean(block, path), emit
