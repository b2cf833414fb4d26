"""From sums of samples to what the caller asked for, eight pixels at a time.

In between stand eight *words*, uint32 with blue, green and red in bytes 0, 1 and 2.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.bilinear import byte_of
from lipforge.kernels.crop.vector_blend import PLANE_SUMS_BYTES
from lipforge.kernels.lanes import INT64, INTS, LANES, Vector, intrinsic, load, shuffle, spread, store, unpack
from lipforge.kernels.simd.fixed_point import BYTES, narrow

WORDS_BYTES = 4 * LANES


@intrinsic
def words_of_pixels(typing_context: Any, sums: Any, words: Any, scale: Any, half: Any) -> Any:
    """Round sums * scale + half (float32) of four numbers a pixel down to bytes."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        sums, words, scale, half = arguments
        levels = []
        for k in range(LANES // 2):
            total = Vector(code, load(code, INTS, code.add(sums, INT64(4 * LANES * k)))).to_floats()
            levels.append(total.times_plus(spread(code, scale), spread(code, half)).to_ints().value)
        store(code, narrow(code, levels), words)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.float32, types.float32), emit


@intrinsic
def words_of_planes(typing_context: Any, sums: Any, words: Any, mixing: Any) -> Any:
    """Mix three sums a pixel, with a row (4 float32) of the 3 x 4 ``mixing`` for each colour, clip and round down."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        sums, words, mixing = arguments
        totals = [
            Vector(code, load(code, INTS, code.add(sums, INT64(PLANE_SUMS_BYTES * i)))).to_floats() for i in range(3)
        ]
        levels = []
        for row in unpack(code, mixing):
            *factors, value = (spread(code, number) for number in unpack(code, row))
            for total, factor in zip(totals, factors, strict=True):
                value = total.times_plus(factor, value)
            levels.append(value.to_ints().value)
        planes = narrow(code, [*levels, ir.Constant(INTS, [0] * LANES)])
        order = [16 * half + 4 * k + i for half in (0, 1) for i in range(4) for k in range(4)]
        store(code, shuffle(code, planes, planes, order), words)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, mixing), emit


def _write_interleaved(code: Any, words: Any, target: Any, order: tuple[int, int, int]) -> None:
    pixels = load(code, BYTES, words)
    store(code, shuffle(code, pixels, pixels, [4 * i + k for i in range(LANES) for k in order]), target)


@intrinsic
def write_pixels(typing_context: Any, words: Any, target: Any) -> Any:
    """Write 24 bytes: blue, green and red of each pixel."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        _write_interleaved(code, *arguments, (0, 1, 2))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


@intrinsic
def write_pixels_reversed(typing_context: Any, words: Any, target: Any) -> Any:
    """Write 24 bytes: red, green and blue of each pixel."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        _write_interleaved(code, *arguments, (2, 1, 0))
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), emit


@intrinsic
def write_plane_bytes(typing_context: Any, words: Any, target: Any, plane_step: Any) -> Any:
    """Write 8 bytes to each of three planes, ``plane_step`` bytes apart."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        words, target, plane_step = arguments
        pixels = load(code, BYTES, words)
        for k in range(3):
            store(code, shuffle(code, pixels, pixels, [4 * i + k for i in range(LANES)]), target)
            target = code.add(target, plane_step)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), emit


@intrinsic
def write_plane_floats(typing_context: Any, words: Any, target: Any, plane_step: Any) -> Any:
    """Write 8 float32, levels divided by 255, to each of three planes, ``plane_step`` bytes apart."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        words, target, plane_step = arguments
        pixels = Vector(code, load(code, INTS, words))
        full = ir.Constant(pixels.to_floats().value.type, [255.0] * LANES)
        for k in range(3):
            store(code, code.fdiv(byte_of(pixels, k).value, full), target)
            target = code.add(target, plane_step)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), emit
