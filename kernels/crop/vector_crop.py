"""Eight pixels of a crop: add bilinear samples up, then mix the sums into the channels. See ``kernels/lanes.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba.core import types

from lipforge.kernels.bilinear import (
    GATHER_ORDER,
    byte_of,
    gather,
    locate,
    pack_three,
    three_channels,
    to_levels,
)
from lipforge.kernels.lanes import (
    FLOATS,
    INT64,
    LANES,
    Vector,
    counting,
    intrinsic,
    load,
    shuffle,
    spread,
    store,
    unpack,
)


class Tap(NamedTuple):
    """The int64 arguments of one sample of eight pixels, in order."""

    totals: Any  # address of one vector of eight float32 per channel, which the sample is added to
    image: Any  # address of the first pixel
    stride: Any  # bytes from row to row
    limit: Any  # largest byte offset from which a whole word (8 bytes of BGR, else 4) can be loaded
    last_x: Any
    last_y: Any
    x: Any  # whole part of the first sample's position, cut to +-2**23 so that the distance to it is exact in float32
    y: Any


class Path(NamedTuple):
    """The float32 arguments, in order."""

    x: Any  # the rest of the first sample's position
    y: Any
    step_x: Any  # from sample to sample
    step_y: Any


def _emit_tap(code: Any, tap: Tap, path: Path, channels: int, inside: bool) -> None:
    """Add one sample of an image with 1, 2 or 3 bytes per pixel.

    Args:
        code: the instruction builder.
        tap: whole numbers.
        path: fractions.
        channels: bytes per pixel.
        inside: the caller knows that no sample needs the image's last two rows, so the row below always exists and a
            word never ends beyond the image.
    """
    along = counting(code)
    shift_x = along.times_plus(spread(code, path.step_x), spread(code, path.x))
    shift_y = along.times_plus(spread(code, path.step_y), spread(code, path.y))
    last_y = spread(code, tap.last_y)
    column, share_x = locate(spread(code, tap.x), shift_x, spread(code, tap.last_x))
    row, share_y = locate(spread(code, tap.y), shift_y, last_y)
    start, stride = column * channels, spread(code, tap.stride)
    if inside:
        offset = row * stride + start
        words = [_words(address, offset, channels) for address in (tap.image, code.add(tap.image, tap.stride))]
    else:
        lines = (row, (row + 1).at_most(last_y))
        words = [_words_near_end(tap, line * stride + start, channels) for line in lines]
    upper, lower = (_blend(code, word, share_x, channels) for word in words)
    for i, (above, below) in enumerate(zip(upper, lower, strict=True)):
        address = code.add(tap.totals, INT64(4 * LANES * i))
        total = Vector(code, load(code, FLOATS, address)) + above.towards(below, share_y)
        store(code, total.value, address)


def _words(address: Any, offset: Vector, channels: int) -> Any:
    return gather(address, offset, 64 if channels == 3 else 32)


def _words_near_end(tap: Tap, offset: Vector, channels: int) -> Any:
    """Load words; those that would end beyond the image are loaded earlier and shifted down."""
    code = offset.code
    start = offset.at_most(spread(code, tap.limit))
    words = _words(tap.image, start, channels)
    excess = (offset - start << 3).value
    if channels == 3:
        order = list(GATHER_ORDER[64])
        excess = code.zext(shuffle(code, excess, excess, order), ir.VectorType(INT64, LANES))
    return code.lshr(words, excess)


def _blend(code: Any, words: Any, share: Vector, channels: int) -> list[Vector]:
    """Blend each pixel with its right neighbour in the same word."""
    if channels == 3:
        return three_channels(code, words, share)
    word = Vector(code, words)
    return [byte_of(word, i).towards(byte_of(word, i + channels), share) for i in range(channels)]


def _tap_emitter(channels: int, inside: bool) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        tap, path = (unpack(code, argument) for argument in arguments)
        _emit_tap(code, Tap(*tap), Path(*path), channels, inside)
        return context.get_dummy_value()

    return emit


@intrinsic
def add_bgr(typing_context: Any, tap: Any, path: Any) -> Any:
    """Add a sample of eight pixels with 3 channels (``Tap`` and ``Path`` as plain tuples)."""
    return types.void(tap, path), _tap_emitter(3, inside=False)


@intrinsic
def add_bgr_inside(typing_context: Any, tap: Any, path: Any) -> Any:
    """Do the same where no sample needs the last two rows."""
    return types.void(tap, path), _tap_emitter(3, inside=True)


@intrinsic
def add_pairs(typing_context: Any, tap: Any, path: Any) -> Any:
    """Add a sample of eight pixels with 2 channels."""
    return types.void(tap, path), _tap_emitter(2, inside=False)


@intrinsic
def add_pairs_inside(typing_context: Any, tap: Any, path: Any) -> Any:
    """Do the same where no sample needs the last two rows."""
    return types.void(tap, path), _tap_emitter(2, inside=True)


@intrinsic
def add_single(typing_context: Any, tap: Any, path: Any) -> Any:
    """Add a sample of eight pixels with 1 channel."""
    return types.void(tap, path), _tap_emitter(1, inside=False)


@intrinsic
def add_single_inside(typing_context: Any, tap: Any, path: Any) -> Any:
    """Do the same where no sample needs the last two rows."""
    return types.void(tap, path), _tap_emitter(1, inside=True)


@intrinsic
def write_mixed(typing_context: Any, totals: Any, target: Any, mixing: Any) -> Any:
    """Write 24 bytes: each channel is a sum of the three totals, with a row of the 3 x 4 float32 ``mixing``."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        totals, target, mixing = arguments
        sums = [Vector(code, load(code, FLOATS, code.add(totals, INT64(4 * LANES * i)))) for i in range(3)]
        channels = []
        for row in unpack(code, mixing):
            *factors, value = (spread(code, number) for number in unpack(code, row))
            for total, factor in zip(sums, factors, strict=True):
                value = total.times_plus(factor, value)
            channels.append(to_levels(value))
        store(code, pack_three(channels), target)
        return context.get_dummy_value()

    return types.void(totals, target, mixing), emit
