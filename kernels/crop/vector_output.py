"""From sums of samples to what the caller asked for, eight pixels at a time.

In between stand eight *words* in a register, with blue, green, red and a meaningless number in bytes 0 to 3.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.crop.layouts import BYTE_PLANES, FLOAT_PLANES, PIXELS
from lipforge.kernels.crop.vector_blend import PLANE_SUMS_BYTES
from lipforge.kernels.simd.instructions import INT64, load, shuffle, store
from lipforge.kernels.simd.lanes import FLOATS, INTS, LANES, Vector, intrinsic, spread, unpack
from lipforge.kernels.simd.products import narrow


@intrinsic
def write_mean(typing_context: Any, sums: Any, output: Any, scale: Any, half: Any) -> Any:
    """Write eight pixels, sums * scale + half (float32) rounded down, from sums of four numbers a pixel.

    ``output`` is the address of the first pixel, its layout (see ``layouts``) and the bytes from plane to plane.
    """

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        sums, output, scale, half = arguments
        levels = []
        for k in range(LANES // 2):
            total = Vector(code, load(code, INTS, code.add(sums, INT64(4 * LANES * k)))).to_floats()
            levels.append(total.times_plus(spread(code, scale), spread(code, half)).to_ints().value)
        _write(code, narrow(code, levels), *unpack(code, output))
        return context.get_dummy_value()

    return types.void(types.intp, output, types.float32, types.float32), emit


@intrinsic
def write_mixed(typing_context: Any, sums: Any, output: Any, mixing: Any) -> Any:
    """Write eight pixels from three sums each: colours are sums with a row (4 float32) of the 3 x 4 ``mixing``.

    They are clipped and rounded down. ``output`` is as in ``write_mean``.
    """

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        sums, output, mixing = arguments
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
        _write(code, shuffle(code, planes, planes, order), *unpack(code, output))
        return context.get_dummy_value()

    return types.void(types.intp, output, mixing), emit


def _write(code: Any, words: Any, target: Any, layout: Any, plane_step: Any) -> None:
    """Write eight words in whatever layout; the branches always go the same way within a crop."""
    ways: tuple[tuple[int, int, Callable[[], None]], ...] = (
        (PIXELS, PIXELS, lambda: _write_pixels(code, words, target, (0, 1, 2))),
        (PIXELS + 1, PIXELS + 1, lambda: _write_pixels(code, words, target, (2, 1, 0))),
        (BYTE_PLANES, BYTE_PLANES + 1, lambda: _write_bytes(code, words, target, plane_step)),
        (FLOAT_PLANES, FLOAT_PLANES + 1, lambda: _write_floats(code, words, target, plane_step)),
    )
    for first, last, write in ways:
        above, below = (
            code.icmp_signed(*compared) for compared in ((">=", layout, INT64(first)), ("<=", layout, INT64(last)))
        )
        with code.if_then(code.and_(above, below)):
            write()


def _write_pixels(code: Any, words: Any, target: Any, order: tuple[int, int, int]) -> None:
    store(code, shuffle(code, words, words, [4 * i + k for i in range(LANES) for k in order]), target)


def _write_bytes(code: Any, words: Any, target: Any, plane_step: Any) -> None:
    for k in range(3):
        store(code, shuffle(code, words, words, [4 * i + k for i in range(LANES)]), target)
        target = code.add(target, plane_step)


def _write_floats(code: Any, words: Any, target: Any, plane_step: Any) -> None:
    full = ir.Constant(FLOATS, [255.0] * LANES)
    for k in range(3):
        level = _byte_of(Vector(code, code.bitcast(words, INTS)), k)
        store(code, code.fdiv(level.value, full), target)
        target = code.add(target, plane_step)


def _byte_of(words: Vector, index: int) -> Vector:
    """Return byte 0 to 3 of every int32 as float32."""
    shifted = words >> (8 * index) if index else words
    return (shifted & 255 if index < 3 else shifted).to_floats()
