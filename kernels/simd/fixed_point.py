"""Vector code with 16-bit fixed-point numbers: sixteen pixels at once, twice as many as with float32.

Read ``lanes`` first; ``Shorts`` is to sixteen int16 what ``Vector`` is to eight float32. Which number an int16 stands
for is written where it is made. The kernels use three kinds:

* **shares** in [0, 32767 / 32768], 15 bits: how much of the other neighbour, or of the painted colour;
* **levels** of a pixel times 128, in [0, 32640]: the difference of two levels always fits into an int16;
* **positions** inside a window of eight cells, 13 bits behind the point, as unsigned numbers below 8.

Sixteen lanes are two **halves** of eight, as AVX2 registers are. Two instructions make the format pay, and LLVM does
not find them by itself: the rounding product of an int16 and a share (``Shorts.times``) and the lookup of eight places
in a table of eight numbers (``look_up``). They are asked for by name on x86 and ARM and written out elsewhere; the bits
of the results are the same everywhere.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from llvmlite import ir

from lipforge.kernels.simd.cpu import cpu_features
from lipforge.kernels.simd.instructions import BYTE, INT32, cgutils, load, shuffle, splat
from lipforge.kernels.simd.lanes import INTS, Vector, spread
from lipforge.kernels.simd.number_formats import HALF, SHARE_BITS, WIDTH

BIT, SHORT = ir.IntType(1), ir.IntType(16)
SHORTS, HALF_SHORTS = ir.VectorType(SHORT, WIDTH), ir.VectorType(SHORT, HALF)
BYTES, HALF_BYTES = ir.VectorType(BYTE, 2 * WIDTH), ir.VectorType(BYTE, 2 * HALF)


@dataclass(frozen=True)
class Shorts:
    """Sixteen int16; sums and differences wrap around, so whoever writes them says why they cannot."""

    code: Any
    value: Any

    def __add__(self, other: Shorts | int) -> Shorts:
        return self._new(self.code.add(self.value, self._like(other)))

    def __sub__(self, other: Shorts | int) -> Shorts:
        return self._new(self.code.sub(self.value, self._like(other)))

    def __mul__(self, other: Shorts | int) -> Shorts:
        return self._new(self.code.mul(self.value, self._like(other)))

    def __and__(self, bits: Shorts | int) -> Shorts:
        return self._new(self.code.and_(self.value, self._like(bits)))

    def __or__(self, bits: Shorts | int) -> Shorts:
        return self._new(self.code.or_(self.value, self._like(bits)))

    def __lshift__(self, bits: Shorts | int) -> Shorts:
        return self._new(self.code.shl(self.value, self._like(bits)))

    def __rshift__(self, bits: Shorts | int) -> Shorts:
        return self._new(self.code.lshr(self.value, self._like(bits)))

    def signed_shift(self, bits: Shorts | int) -> Shorts:
        """Return the numbers divided by 2 ** bits, rounded down."""
        return self._new(self.code.ashr(self.value, self._like(bits)))

    def times(self, share: Shorts) -> Shorts:
        """Return self * share / 32768, rounded to nearest; its size is never above that of self."""
        return self._new(_rounding_product(self.code, self.value, share.value))

    def towards(self, other: Shorts, share: Shorts) -> Shorts:
        """Return self + share * (other - self), between both; exactly self where share is 0."""
        return self + (other - self).times(share)

    def at_least(self, low: Shorts | int) -> Shorts:
        """Return the larger of both in each lane."""
        return self._choose(">", self._like(low), self.code.icmp_signed)

    def at_most(self, high: Shorts | int) -> Shorts:
        """Return the smaller of both in each lane."""
        return self._choose("<", self._like(high), self.code.icmp_signed)

    def half(self, index: int) -> Any:
        """Return lanes 0 to 7 or 8 to 15 as an LLVM vector."""
        return shuffle(self.code, self.value, self.value, [HALF * index + i for i in range(HALF)])

    def _choose(self, comparison: str, other: Any, compare: Callable[..., Any]) -> Shorts:
        return self._new(self.code.select(compare(comparison, self.value, other), self.value, other))

    def _new(self, value: Any) -> Shorts:
        return Shorts(self.code, value)

    def _like(self, other: Shorts | int) -> Any:
        return other.value if isinstance(other, Shorts) else ir.Constant(SHORTS, [other] * WIDTH)


def end_to_end(code: Any, parts: Sequence[Any]) -> Any:
    """Return the LLVM vector that two of the same type make."""
    first, second = parts
    return shuffle(code, first, second, list(range(2 * first.type.count)))


def counting_halves(code: Any) -> Shorts:
    """Return 0, 1, 2 ... 7 in both halves."""
    return Shorts(code, ir.Constant(SHORTS, [i % HALF for i in range(WIDTH)]))


def spread_short(code: Any, scalar: Any) -> Shorts:
    """Return a vector with the low 16 bits of an int64 in every lane."""
    return Shorts(code, splat(code, code.trunc(scalar, SHORT), WIDTH))


def spread_halves(code: Any, first: Any, second: Any) -> Shorts:
    """Return a vector with the low 16 bits of one integer in lanes 0 to 7 and of another in the rest."""
    whole = [splat(code, code.trunc(scalar, SHORT), WIDTH) for scalar in (first, second)]
    return Shorts(code, shuffle(code, whole[0], whole[1], [i if i < HALF else WIDTH + i for i in range(WIDTH)]))


def lanes_below(code: Any, first: Any, second: Any) -> Shorts:
    """Return all bits set in the first lanes of each half, as many as two integers say, and 0 in the others."""
    below = code.icmp_signed("<", counting_halves(code).value, spread_halves(code, first, second).value)
    return Shorts(code, code.sext(below, SHORTS))


def load_halves(code: Any, first: Any, second: Any) -> Shorts:
    """Load eight int16 from each of two addresses."""
    halves = [load(code, HALF_SHORTS, address) for address in (first, second)]
    return Shorts(code, end_to_end(code, halves))


def any_set(code: Any, value: Shorts) -> Any:
    """Return one bit: whether any lane is not zero."""
    bits = ir.IntType(16 * WIDTH)
    return code.icmp_unsigned("!=", code.bitcast(value.value, bits), ir.Constant(bits, 0))


def has_reached(position: Shorts | Vector, number: Any) -> Any:
    """Return, for ``where``, in which lanes a position (Shorts from 0 to 65535, or int32) is at least an int64."""
    code = position.code
    if isinstance(position, Shorts):
        return code.icmp_unsigned(">=", position.value, spread_short(code, number).value)
    return code.icmp_signed(">=", position.value, spread(code, number).value)


NumbersT = TypeVar("NumbersT", Shorts, Vector)


def where(condition: Any, yes: NumbersT, no: NumbersT) -> NumbersT:
    """Return the numbers of one vector in some lanes and those of another in the rest."""
    return type(yes)(yes.code, yes.code.select(condition, yes.value, no.value))


def places_of(index: Shorts) -> Shorts:
    """Return for ``look_up`` where number ``index`` (0 to 7) of a half lies: the places of its two bytes."""
    return index * 0x0202 + 0x0100


NEXT_PLACE = 0x0202  # added to a place: that of the number to the right


def look_up(table: Shorts, places: Shorts) -> Shorts:
    """Return the chosen numbers of each half of a table, which both have eight.

    Lanes whose place is beyond the table hold anything; what they hold may differ from machine to machine.
    """
    code = table.code
    table_bytes, place_bytes = (code.bitcast(vector.value, BYTES) for vector in (table, places))
    return Shorts(code, code.bitcast(_look_up_bytes(code, table_bytes, place_bytes), SHORTS))


def widen(value: Shorts) -> tuple[Vector, Vector]:
    """Return the sixteen numbers as int32: lanes 0-3 and 8-11, then 4-7 and 12-15.

    In this order nothing crosses the middle of a register, here nor in ``narrow``. ``wide_place`` finds a lane again.
    """
    code, halves = value.code, []
    for start in (0, 4):
        lanes = [lane for i in range(4) for lane in (start + i, start + i)]
        doubled = shuffle(code, value.value, value.value, lanes + [HALF + lane for lane in lanes])
        halves.append(Vector(code, code.ashr(code.bitcast(doubled, INTS), ir.Constant(INTS, [16] * HALF))))
    return halves[0], halves[1]


def narrow(first: Vector, second: Vector) -> Shorts:
    """Return the low 16 bits of numbers that lie as ``widen`` returns them."""
    code = first.code
    words = [code.bitcast(vector.value, SHORTS) for vector in (first, second)]
    in_half = [0, 2, 4, 6, WIDTH, WIDTH + 2, WIDTH + 4, WIDTH + 6]
    return Shorts(code, shuffle(code, words[0], words[1], in_half + [HALF + lane for lane in in_half]))


def join(low: Shorts, high: Shorts) -> tuple[Vector, Vector]:
    """Return int32 whose lower and upper 16 bits are given, in the order of ``widen``."""
    code, joined = low.code, []
    for start in (0, 4):
        lanes = [lane for i in range(4) for lane in (start + i, WIDTH + start + i)]
        both = shuffle(code, low.value, high.value, lanes + [HALF + lane for lane in lanes])
        joined.append(Vector(code, code.bitcast(both, INTS)))
    return joined[0], joined[1]


def pair_products(low: Shorts, high: Shorts, low_factor: Any, high_factor: Any) -> tuple[Vector, Vector]:
    """Return low * low_factor + high * high_factor as int32, in the order of ``widen``; factors are int16 scalars."""
    code = low.code
    factors = Shorts(code, splat(code, low_factor, WIDTH)), Shorts(code, splat(code, high_factor, WIDTH))
    results = []
    for numbers, both in zip(join(low, high), join(*factors), strict=True):
        results.append(Vector(code, _pair_products(code, numbers.value, both.value)))
    return results[0], results[1]


def _pair_products(code: Any, numbers: Any, factors: Any) -> Any:
    """Multiply the lower and upper 16 bits of int32 and add the two products (pmaddwd)."""
    if "avx2" in cpu_features():
        function = cgutils.get_or_insert_function(
            code.module, ir.FunctionType(INTS, [SHORTS] * 2), "llvm.x86.avx2.pmadd.wd"
        )
        return code.call(function, [code.bitcast(value, SHORTS) for value in (numbers, factors)])
    sixteen = ir.Constant(INTS, [16] * HALF)
    upper = code.mul(code.ashr(numbers, sixteen), code.ashr(factors, sixteen))
    lower = [code.ashr(code.shl(value, sixteen), sixteen) for value in (numbers, factors)]
    return code.add(upper, code.mul(*lower))


def wide_place(lane: int) -> tuple[int, int]:
    """Return which vector of ``widen`` holds a lane, and where in it."""
    half, inside = divmod(lane, HALF)
    return inside // 4, 4 * half + inside % 4


def _on_halves(code: Any, name: str, kind: Any, operands: list[Any]) -> Any:
    """Call an LLVM intrinsic that knows 128 bits only once for each half."""
    lanes = kind.count
    function = cgutils.get_or_insert_function(code.module, ir.FunctionType(kind, [kind] * 2), name)
    results = []
    for half in (0, 1):
        part = [shuffle(code, operand, operand, [lanes * half + i for i in range(lanes)]) for operand in operands]
        results.append(code.call(function, part))
    return end_to_end(code, results)


def _whole(code: Any, name: str, kind: Any, operands: list[Any]) -> Any:
    function = cgutils.get_or_insert_function(code.module, ir.FunctionType(kind, [kind] * 2), name)
    return code.call(function, operands)


def _rounding_product(code: Any, a: Any, b: Any) -> Any:
    if "avx2" in cpu_features():
        return _whole(code, "llvm.x86.avx2.pmul.hr.sw", SHORTS, [a, b])
    if "ssse3" in cpu_features():
        return _on_halves(code, "llvm.x86.ssse3.pmul.hr.sw.128", HALF_SHORTS, [a, b])
    if platform.machine().lower() in ("aarch64", "arm64"):
        return _on_halves(code, "llvm.aarch64.neon.sqrdmulh.v8i16", HALF_SHORTS, [a, b])
    return rounding_product_written_out(code, a, b)


def rounding_product_written_out(code: Any, a: Any, b: Any) -> Any:
    """Return (a * b + 2 ** 14) >> 15 of LLVM vectors of int16, for processors that have no such instruction."""
    wide = ir.VectorType(INT32, WIDTH)
    product = code.mul(code.sext(a, wide), code.sext(b, wide))
    rounded = code.add(product, ir.Constant(wide, [1 << (SHARE_BITS - 1)] * WIDTH))
    return code.trunc(code.ashr(rounded, ir.Constant(wide, [SHARE_BITS] * WIDTH)), SHORTS)


def _look_up_bytes(code: Any, table: Any, places: Any) -> Any:
    if "avx2" in cpu_features():
        return _whole(code, "llvm.x86.avx2.pshuf.b", BYTES, [table, places])
    if "ssse3" in cpu_features():
        return _on_halves(code, "llvm.x86.ssse3.pshuf.b.128", HALF_BYTES, [table, places])
    if platform.machine().lower() in ("aarch64", "arm64"):
        return _on_halves(code, "llvm.aarch64.neon.tbl1.v16i8", HALF_BYTES, [table, places])
    return look_up_written_out(code, table, places)


def look_up_written_out(code: Any, table: Any, places: Any) -> Any:
    """As the instruction: byte i is the one at ``places[i]`` of its own half of the table."""
    found = ir.Constant(BYTES, ir.Undefined)
    for i in range(2 * WIDTH):
        half = 2 * HALF * (i // (2 * HALF))
        place = code.add(code.and_(code.extract_element(places, INT32(i)), BYTE(2 * HALF - 1)), BYTE(half))
        found = code.insert_element(found, code.extract_element(table, code.zext(place, INT32)), INT32(i))
    return found
