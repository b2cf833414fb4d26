"""Bilinear blending of bytes in 16-bit fixed point, added to sums; eight pixels at a time. See ``simd.products``.

Every function takes the address of an entry of ``vector_place`` and blends the four neighbours of its eight samples:

1. down: ``upper * (2**15 - w) + lower * w``, where a byte stands in the upper half of 16 bits (b * 2**8) and a product
   keeps its upper 16 bits. What remains is the level times 2**7: at most 255 * 2**7 = 32640, which fits a signed short.
   Each of the two products is cut off, so the result is low by less than 2 / 2**7 of a level, by 1 / 2**7 on average
   (``CUT_LEVELS``), and exact for weights 0 and 2**15.
2. across: left and right neighbour, next to each other, times their weights, which add up to 2**11. The result is the
   level times 2**18, exact, below 2**26 (``LEVEL_BITS``).
3. The result is shifted down and added to int32 sums; n x n of them stay below 2**31 without a shift up to n = 5. The
   functions take the shift, and -1 to add to what is there or 0 to begin anew.

With weights rounded to 2**-16 and 2**-12 the largest error of a sample is 255 * (2**-16 + 2**-12) + 2**-7 < 0.08 level.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types

from lipforge.kernels.crop.vector_place import ACROSS_BITS, DOWN_FULL, load_entry
from lipforge.kernels.simd.instructions import BYTE, INT32, INT64, load, shuffle, splat, store
from lipforge.kernels.simd.lanes import INTS, LANES, Vector, intrinsic, spread, unpack
from lipforge.kernels.simd.products import BYTES, SHORT, SHORTS, high_products, pair_products

LEVEL_BITS = 7 + ACROSS_BITS
CUT_LEVELS = 1.0 / 128.0
PIXEL_SUMS_BYTES = 4 * 4 * LANES  # of eight pixels: blue, green, red and a number that means nothing, int32
PLANE_SUMS_BYTES = 4 * LANES  # of eight pixels: one int32 each


# A 3-byte pixel and its right neighbour, as they lie in 8 bytes, turned into pairs of the upper halves of shorts.
# Number 32 stands for a zero byte.
_BGR_PAIRS = [32, 0, 32, 3, 32, 1, 32, 4, 32, 2, 32, 5, 32, 32, 32, 32]


def _add_bgr(code: Any, sums: Any, entry: Any, plane: tuple[Any, Any], options: tuple[Any, Any], at_end: bool) -> None:
    offsets, across, down = load_entry(code, entry)
    order = [32 if i == 32 else i + 16 * half for half in (0, 1) for i in _BGR_PAIRS]
    zeros = ir.Constant(BYTES, [0] * (4 * LANES))
    for k in range(LANES // 2):  # pixels k and k + 4 share a register; ``narrow`` puts them in order
        both = [k] * 4 + [k + 4] * 4
        rows = []
        for address in (plane[0], code.add(*plane)):
            words = [_load_six(code, code.add(address, offsets[i]), at_end) for i in (k, k + 4)]
            halves = _side_by_side(code, words)
            rows.append(code.bitcast(shuffle(code, code.bitcast(halves, BYTES), zeros, order), SHORTS))
        weights = [code.bitcast(shuffle(code, value, value, both), SHORTS) for value in (across.value, down.value)]
        blended = pair_products(code, _blend_rows(code, rows, weights[1]), weights[0])
        _add(code, code.add(sums, INT64(4 * LANES * k)), blended, options)


def _side_by_side(code: Any, words: list[Any]) -> Any:
    """Return one int64 in the lower half of a register and another in the upper half, each twice."""
    return shuffle(code, splat(code, words[0], 4), splat(code, words[1], 4), [0, 1, 6, 7])


def _load_six(code: Any, address: Any, at_end: bool) -> Any:
    """Return 6 bytes in an int64; its last two come from the memory behind them unless the plane ends there."""
    if not at_end:
        return load(code, INT64, address)
    high = code.zext(load(code, SHORT, code.add(address, INT64(4))), INT64)
    return code.or_(code.zext(load(code, INT32, address), INT64), code.shl(high, INT64(32)))


def _add_single(code: Any, sums: Any, entry: Any, plane: tuple[Any, Any], options: tuple[Any, Any]) -> None:
    offsets, across, down = load_entry(code, entry)
    eight = ir.Constant(SHORTS, [8] * (2 * LANES))
    rows = []
    for address in (plane[0], code.add(*plane)):
        rows.append(code.shl(code.zext(_collect(code, address, offsets), SHORTS), eight))
    blended = _blend_rows(code, rows, code.bitcast(down.value, SHORTS))
    _add(code, sums, pair_products(code, blended, code.bitcast(across.value, SHORTS)), options)


def _add_records(code: Any, sums: Any, entry: Any, plane: tuple[Any, Any], options: tuple[Any, Any]) -> None:
    offsets, across, down = load_entry(code, entry)
    zeros = ir.Constant(BYTES, [0] * (4 * LANES))
    spread_bytes = [value for half in (0, 1) for i in range(8) for value in (32, i + 16 * half)]
    parts = []
    for k in (0, 2):  # pixels k, k + 1 in the lower half of the registers, k + 4, k + 5 in the upper
        shorts = []
        for i in (k, k + 1):
            words = [load(code, INT64, code.add(plane[0], offsets[j])) for j in (i, i + 4)]
            halves = _side_by_side(code, words)
            shorts.append(shuffle(code, code.bitcast(halves, BYTES), zeros, spread_bytes))
        first, second = (code.bitcast(value, ir.VectorType(INT64, LANES // 2)) for value in shorts)
        rows = [code.bitcast(shuffle(code, first, second, lanes), SHORTS) for lanes in ([0, 4, 2, 6], [1, 5, 3, 7])]
        both = [k, k, k + 1, k + 1, k + 4, k + 4, k + 5, k + 5]
        weights = [code.bitcast(shuffle(code, value, value, both), SHORTS) for value in (across.value, down.value)]
        parts.append(pair_products(code, _blend_rows(code, rows, weights[1]), weights[0]))
    for i in (0, 1):
        channel = shuffle(code, parts[0], parts[1], [i, i + 2, i + 8, i + 10, i + 4, i + 6, i + 12, i + 14])
        _add(code, code.add(sums, INT64(PLANE_SUMS_BYTES * i)), channel, options)


def _collect(code: Any, address: Any, offsets: list[Any]) -> Any:
    """Return 16 bytes: a pixel and its right neighbour from each of eight places."""
    pairs = ir.Constant(ir.VectorType(SHORT, LANES), ir.Undefined)
    for i, offset in enumerate(offsets):
        pairs = code.insert_element(pairs, load(code, SHORT, code.add(address, offset)), INT32(i))
    return code.bitcast(pairs, ir.VectorType(BYTE, 2 * LANES))


def _blend_rows(code: Any, rows: list[Any], lower: Any) -> Any:
    """Step 1 above."""
    upper = code.sub(ir.Constant(SHORTS, [DOWN_FULL] * (2 * LANES)), lower)
    return code.add(high_products(code, rows[0], upper), high_products(code, rows[1], lower))


def _add(code: Any, address: Any, blended: Any, options: tuple[Any, Any]) -> None:
    """Step 3 above."""
    shift, kept = options
    before = Vector(code, load(code, INTS, address)) & spread(code, kept)
    store(code, (before + (Vector(code, blended) >> spread(code, shift))).value, address)


def _emitter(add: Callable[..., None], *fixed: Any) -> Callable[[Any, Any, Any, Any], Any]:
    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        sums, entry, image, stride, options = arguments
        add(code, sums, entry, (image, stride), tuple(unpack(code, options)), *fixed)
        return context.get_dummy_value()

    return emit


@intrinsic
def add_bgr(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, options: Any) -> Any:
    """Add samples of 3-byte pixels to ``PIXEL_SUMS_BYTES``; loads 8 bytes at each pixel, so 2 behind its neighbour."""
    return types.void(*[types.intp] * 4, options), _emitter(_add_bgr, False)


@intrinsic
def add_bgr_at_end(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, options: Any) -> Any:
    """Do the same without touching a byte behind the neighbour."""
    return types.void(*[types.intp] * 4, options), _emitter(_add_bgr, True)


@intrinsic
def add_records(typing_context: Any, sums: Any, entry: Any, records: Any, stride: Any, options: Any) -> Any:
    """Add samples of ``vector_chroma`` records to two times ``PLANE_SUMS_BYTES``, U and V; ``stride`` is not used."""
    return types.void(*[types.intp] * 4, options), _emitter(_add_records)


@intrinsic
def add_single(typing_context: Any, sums: Any, entry: Any, image: Any, stride: Any, options: Any) -> Any:
    """Add samples of 1-byte pixels to ``PLANE_SUMS_BYTES``."""
    return types.void(*[types.intp] * 4, options), _emitter(_add_single)
