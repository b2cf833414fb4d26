"""Fixed-point arithmetic on bytes: the three instructions that pixel blending is made of, on every processor.

A processor multiplies sixteen 16-bit numbers in the time of eight float32, and a byte needs no conversion to become
one. Each function says what it computes as plain LLVM, which runs anywhere (LLVM picks NEON instructions from it);
where AVX2 is there and LLVM would not find its instruction once surrounding shuffles are merged, it is named. Both
forms give the same bits; ``tests/kernels/test_simd_products.py`` runs them against each other.

Vectors here are LLVM values of one size, 32 bytes: ``BYTES``, ``SHORTS`` or ``INTS``.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir

from lipforge.kernels.simd.cpu import cpu_features
from lipforge.kernels.simd.instructions import BYTE, INT32, call_named, shuffle
from lipforge.kernels.simd.lanes import INTS, LANES, Vector

SHORT = ir.IntType(16)
SHORTS = ir.VectorType(SHORT, 2 * LANES)
BYTES = ir.VectorType(BYTE, 4 * LANES)


def high_products(code: Any, a: Any, b: Any) -> Any:
    """Return ``a * b >> 16`` of unsigned SHORTS; LLVM knows it as one instruction (pmulhuw)."""
    wide = ir.VectorType(INT32, 2 * LANES)
    product = code.mul(code.zext(a, wide), code.zext(b, wide))
    return code.trunc(code.lshr(product, ir.Constant(wide, [16] * (2 * LANES))), SHORTS)


def pair_products(code: Any, a: Any, b: Any) -> Any:
    """Return INTS: ``a[2i] * b[2i] + a[2i + 1] * b[2i + 1]`` of signed SHORTS (pmaddwd)."""
    if "avx2" in cpu_features():
        return call_named(code, "llvm.x86.avx2.pmadd.wd", INTS, a, b)
    even, odd = list(range(0, 2 * LANES, 2)), list(range(1, 2 * LANES, 2))
    halves = [[code.sext(shuffle(code, value, value, lanes), INTS) for value in (a, b)] for lanes in (even, odd)]
    return code.add(code.mul(*halves[0]), code.mul(*halves[1]))


def narrow(code: Any, quarters: list[Any]) -> Any:
    """Return BYTES of four INTS, clipped to 0..255; they must be below 2**15 (packusdw, packuswb).

    Both halves of a register are narrowed by themselves, as AVX2 does it: byte 4 k + i is number i of quarter k, and
    byte 16 + 4 k + i is number 4 + i.
    """
    if "avx2" in cpu_features():
        pairs = [call_named(code, "llvm.x86.avx2.packusdw", SHORTS, *quarters[k : k + 2]) for k in (0, 2)]
        return call_named(code, "llvm.x86.avx2.packuswb", BYTES, *pairs)
    cut = [Vector(code, value).at_least(0).at_most(255).value for value in quarters]
    first, second = (shuffle(code, cut[k], cut[k + 1], list(range(2 * LANES))) for k in (0, 2))
    numbers = shuffle(code, first, second, list(range(4 * LANES)))
    order = [8 * k + 4 * half + i for half in (0, 1) for k in range(4) for i in range(4)]
    narrowed = code.trunc(numbers, BYTES)
    return shuffle(code, narrowed, narrowed, order)
