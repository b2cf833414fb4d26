"""Bilinear blending of bytes in 16-bit fixed point, added to sums; eight pixels at a time. See ``simd.fixed_point``.

Every function takes the address of an entry of ``vector_place`` and blends the four neighbours of its eight samples:

1. down: ``upper * (2**15 - w) + lower * w``, where a byte stands in the upper half of 16 bits (b * 2**8) and a product
   keeps its upper 16 bits. What remains is the level times 2**7: at most 255 * 2**7 = 32640, which fits a signed short.
   Each of the two products is cut off, so the result is low by less than 2 / 2**7 of a level, by 1 / 2**7 on average
   (``CUT_LEVELS``), and exact for weights 0 and 2**15.
2. across: left and right neighbour, next to each other, times their weights, which add up to 2**11. The result is the
   level times 2**18, exact, below 2**26 (``LEVEL_BITS``).
3. The result, shifted down by ``shift`` bits, is added to int32 sums. ``sum_shift`` gives the least shift with which
   n x n samples stay below 2**31: none up to n = 5.

With weights rounded to 2**-16 and 2**-12 the largest error of a sample is 255 * (2**-16 + 2**-12) + 2**-7 < 0.08 level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.compiled import compiled
from lipforge.kernels.crop.vector_place import ACROSS_BITS, DOWN_FULL, load_entry
from lipforge.kernels.lanes import (
    BYTE,
    INT32,
    INT64,
    INTS,
    LANES,
    Vector,
    intrinsic,
    load,
    shuffle,
    splat,
    spread,
    store,
)
from lipforge.kernels.simd.fixed_point import BYTES, SHORT, SHORTS, high_products, pair_products

LEVEL_BITS = 7 + ACROSS_BITS
CUT_LEVELS = 1.0 / 128.0
PIXEL_SUMS_BYTES = 4 * 4 * LANES  # of eight pixels: blue, green, red and a number that means nothing, int32
PLANE_SUMS_BYTES = 4 * LANES  # of eight pixels: one int32 each


@compiled
def sum_shift(taps: int) -> int:
    """Return how far samples are shifted down before taps x taps of them are added."""
    shift = 0
    while taps * taps > 32 << shift:
        shift += 1
    return shift


# A 3-byte pixel and its right neighbour, as they lie in 8 bytes, turned into pairs of the upper halves of shorts.
# Number 32 stands for a zero byte.
_BGR_PAIRS = [32, 0, 32, 3, 32, 1, 32, 4, 32, 2, 32, 5, 32, 32, 32, 32]


def _add_bgr(code: Any, sums: Any, entry: Any, plane: tuple[Any, Any], shift: Any, at_end: bool) -> None:
    offsets, across, down = load_entry(code, entry)
    order = [32 if i == 32 else i + 16 * half for half in (0, 1) for i in _BGR_PAIRS]
    zeros = ir.Constant(BYTES, [0] * (4 * LANES))
    for k in range(LANES // 2):  # pixels k and k + 4 share a register; ``narrow`` puts them in order
        both = [k] * 4 + [k + 4] * 4
        rows = []
        for address in (plane[0], code.add(*plane)):
            words = [_load_six(code, code.add(address, offsets[i]), at_end) for i in (k, k + 4)]
            halves = shuffle(code, *(splat(code, word, 4) for word in words), [0, 1, 6, 7])
            rows.append(code.bitcast(shuffle(code, code.bitcast(halves, BYTES), zeros, order), SHORTS))
        weights = [code.bitcast(shuffle(code, value, value, both), SHORTS) for value in (across.value, down.value)]
        blended = pair_products(code, _blend_rows(code, rows, weights[1]), weights[0])
        _add(code, code.add(sums, INT64(4 * LANES * k)), blended, shift)


def _load_six(code: Any, address: Any, at_end: bool) -> Any:
    """Return 6 bytes in an int64; its last two come from the memory behind them unless the plane ends there."""
    if not at_end:
        return load(code, INT64, address)
    high = code.zext(load(code, SHORT, code.add(address, INT64(4))), INT64)
    return code.or_(code.zext(load(code, INT32, address), INT64), code.shl(high, INT64(32)))


def _add_single(code: Any, sums: Any, entry: Any, plane: tuple[Any, Any], shift: Any) -> None:
    offsets, across, down = load_entry(code, entry)
    rows = []
    for address in (plane[0], code.add(*plane)):
        pairs = code.bitcast(_collect(code, SHORT, address, offsets), ir.VectorType(BYTE, 2 * LANES))
        rows.append(_shifted(code, code.zext(pairs, SHORTS)))
    blended = _blend_rows(code, rows, code.bitcast(down.value, SHORTS))
    _add(code, sums, pair_products(code, blended, code.bitcast(across.value, SHORTS)), shift)


def _add_pairs(code: Any, sums: Any, entry: Any, plane: tuple[Any, Any], shift: Any) -> None:
    offsets, across, down = load_entry(code, entry)
    words = [code.bitcast(_collect(code, INT32, address, offsets), SHORTS) for address in (plane[0], code.add(*plane))]
    first = [_shifted(code, word) for word in words]
    second = [code.and_(word, ir.Constant(SHORTS, [0xFF00] * (2 * LANES))) for word in words]
    for i, rows in enumerate((first, second)):
        blended = _blend_rows(code, rows, code.bitcast(down.value, SHORTS))
        summed = pair_products(code, blended, code.bitcast(across.value, SHORTS))
        _add(code, code.add(sums, INT64(PLANE_SUMS_BYTES * i)), summed, shift)


def _collect(code: Any, kind: Any, address: Any, offsets: list[Any]) -> Any:
    """Return SHORTS or half of it: one integer of 16 or 32 bits from each of eight places.

    They are put together in 64-bit integers, because inserting numbers into a vector one by one is slow on many
    processors.
    """
    each = 64 // kind.width
    words = ir.Constant(ir.VectorType(INT64, LANES // each), ir.Undefined)
    for k in range(LANES // each):
        word = None
        for i in range(each):
            part = code.zext(load(code, kind, code.add(address, offsets[each * k + i])), INT64)
            word = part if word is None else code.or_(word, code.shl(part, INT64(i * kind.width)))
        words = code.insert_element(words, word, INT32(k))
    return words


def _shifted(code: Any, shorts: Any) -> Any:
    return code.shl(shorts, ir.Constant(SHORTS, [8] * (2 * LANES)))


def _blend_rows(code: Any, rows: list[Any], lower: Any) -> Any:
    """Step 1 above."""
    upper = code.sub(ir.Constant(SHORTS, [DOWN_FULL] * (2 * LANES)), lower)
    return code.add(high_products(code, rows[0], upper), high_products(code, rows[1], lower))


def _add(code: Any, address: Any, blended: Any, shift: Any) -> None:
    """Step 3 above."""
    addend = Vector(code, blended) >> spread(code, shift)
    store(code, (Vector(code, load(code, INTS, address)) + addend).value, address)


def _emitter(add: Callable[..., None], *fixed: Any) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        sums, entry, image, stride, shift = arguments
        add(code, sums, entry, (image, stride), shift, *fixed)
        return context.get_dummy_value()

    return emit


@intrinsic
def add_bgr(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, shift: Any) -> Any:
    """Add samples of 3-byte pixels to ``PIXEL_SUMS_BYTES``; loads 8 bytes at each pixel, so 2 behind its neighbour."""
    return types.void(*[types.intp] * 5), _emitter(_add_bgr, False)


@intrinsic
def add_bgr_at_end(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, shift: Any) -> Any:
    """Do the same without touching a byte behind the neighbour."""
    return types.void(*[types.intp] * 5), _emitter(_add_bgr, True)


@intrinsic
def add_pairs(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, shift: Any) -> Any:
    """Add samples of 2-byte pixels to two times ``PLANE_SUMS_BYTES``, first and second bytes."""
    return types.void(*[types.intp] * 5), _emitter(_add_pairs)


@intrinsic
def add_single(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, shift: Any) -> Any:
    """Add samples of 1-byte pixels to ``PLANE_SUMS_BYTES``."""
    return types.void(*[types.intp] * 5), _emitter(_add_single)
