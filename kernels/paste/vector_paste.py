"""Sixteen pixels of a paste: upsample crop and mask, blend with the pixels in place; see ``kernels/simd``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from numba.core import types

from lipforge.kernels.canvas import BGR, LUMA, PAIRED_CHROMA, SEPARATE_CHROMA
from lipforge.kernels.paste.layout import MASK, PAINTED
from lipforge.kernels.simd.fixed_point import BIT, any_set, lanes_below, spread_short
from lipforge.kernels.simd.instructions import INT64, store
from lipforge.kernels.simd.lanes import intrinsic, unpack
from lipforge.kernels.simd.number_formats import HALF, LARGEST_LEVEL
from lipforge.kernels.simd.pixels import LAYOUTS, Layout, read_three
from lipforge.kernels.simd.upsample import Upsampler, Window, upsample_block


class Block(NamedTuple):
    """The int64 arguments of a block, in order."""

    target: Any  # address of the first pixel
    second_target: Any  # of that in the V plane
    pixels: Any  # how many a half has
    first_pixels: Any  # how many of them are to be painted, in both halves
    second_pixels: Any


def _emit_paste(code: Any, layout: Layout, window: Window, block: Block) -> None:
    """Blend sixteen pixels unless the mask is zero in all of them."""

    def emit(fields: Upsampler) -> None:
        # A lane with zero mask writes the level it read.
        weight = fields.plane(MASK) & lanes_below(code, block.first_pixels, block.second_pixels)
        second_half = code.mul(block.pixels, INT64(layout.pixel_bytes))
        with code.if_then(any_set(code, weight)):
            painted = [fields.plane(PAINTED + channel) for channel in layout.channels]
            for first in (block.target, block.second_target)[: layout.planes]:
                second = code.add(first, second_half)
                levels = layout.read(code, first, second)
                mine, painted = painted[: len(levels)], painted[len(levels) :]
                blended = [level.towards(colour, weight) for level, colour in zip(levels, mine, strict=True)]
                layout.write(blended, first, second)

    upsample_block(code, window, BIT(0), emit)


@intrinsic
def pack_levels(typing_context: Any, source: Any, planes: Any, plane_bytes: Any, mixing: Any) -> Any:
    """Turn sixteen pixels of a crop, one after the other, into levels of the three stored channels.

    ``source`` and ``planes`` are addresses: of the pixels and of their place in the plane of the first channel;
    ``plane_bytes`` leads to the next. ``mixing`` has three rows of three signed shares, of the crop's channels, and an
    offset in levels times 128. A sum may leave 16 bits on the way, but comes back: the last one lies between 64 and
    32 704 (chroma of full range).
    """

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        address, target, step = arguments[:3]
        numbers = unpack(code, arguments[3])
        pixels = read_three(code, address, code.add(address, INT64(3 * HALF)))
        for channel in range(3):
            *shares, offset = (spread_short(code, number) for number in numbers[4 * channel : 4 * channel + 4])
            mixed = offset
            for level, share in zip(pixels, shares, strict=True):
                mixed = mixed + level.times(share)
            level = mixed.at_least(0).at_most(LARGEST_LEVEL)
            store(code, level.value, code.add(target, code.mul(step, INT64(channel))))
        return context.get_dummy_value()

    return types.void(source, planes, plane_bytes, mixing), emit


def _emitter(kind: int) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        window, block = (unpack(code, argument) for argument in arguments)
        _emit_paste(code, LAYOUTS[kind], Window(*window), Block(*block))
        return context.get_dummy_value()

    return emit


@intrinsic
def blend_bgr(typing_context: Any, window: Any, block: Any) -> Any:
    """Blend sixteen BGR pixels (``Window`` and ``Block`` as plain tuples)."""
    return types.void(window, block), _emitter(BGR)


@intrinsic
def blend_luma(typing_context: Any, window: Any, block: Any) -> Any:
    """Blend sixteen pixels of a luma plane."""
    return types.void(window, block), _emitter(LUMA)


@intrinsic
def blend_separate_chroma(typing_context: Any, window: Any, block: Any) -> Any:
    """Blend sixteen pixels of a U and a V plane."""
    return types.void(window, block), _emitter(SEPARATE_CHROMA)


@intrinsic
def blend_paired_chroma(typing_context: Any, window: Any, block: Any) -> Any:
    """Blend sixteen pixels of a plane with U and V in turns."""
    return types.void(window, block), _emitter(PAIRED_CHROMA)
