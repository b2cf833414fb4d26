"""What both styles of vector code share: LLVM's types and the few instructions that need more than one call to append.

``code`` is always llvmlite's instruction builder, and values are what it returns.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba.core.cgutils
from llvmlite import ir

from lipforge.kernels.simd.cpu import has_fused_multiply_add

FLOAT, INT32, INT64, BYTE = ir.FloatType(), ir.IntType(32), ir.IntType(64), ir.IntType(8)

cgutils: Any = numba.core.cgutils  # partly annotated: strict type checking would refuse every call


def splat(code: Any, scalar: Any, lanes: int) -> Any:
    """Return the vector of this many copies of a scalar."""
    empty = ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined)
    return shuffle(code, code.insert_element(empty, scalar, INT32(0)), empty, [0] * lanes)


def shuffle(code: Any, first: Any, second: Any, lanes: Sequence[int]) -> Any:
    """Return the chosen elements of two vectors laid end to end."""
    return code.shuffle_vector(first, second, ir.Constant(ir.VectorType(INT32, len(lanes)), list(lanes)))


def load(code: Any, kind: Any, address: Any) -> Any:
    """Return the value of a type at an address (int64), which need not be aligned."""
    return code.load(code.inttoptr(address, kind.as_pointer()), align=1)


def store(code: Any, value: Any, address: Any) -> None:
    """Write a value to an address (int64), which need not be aligned."""
    code.store(value, code.inttoptr(address, value.type.as_pointer()), align=1)


def call_named(code: Any, name: str, result: Any, *operands: Any) -> Any:
    """Call one of LLVM's own functions; ``result`` is the type it returns."""
    signature = ir.FunctionType(result, [operand.type for operand in operands])
    return code.call(cgutils.get_or_insert_function(code.module, signature, name), operands)


def multiply_add(code: Any, value: Any, factor: Any, addend: Any) -> Any:
    """Return value * factor + addend of vectors of float32, rounded once where the CPU has such an instruction."""
    if has_fused_multiply_add():
        return call_named(code, f"llvm.fma.v{value.type.count}f32", value.type, value, factor, addend)
    return code.fadd(code.fmul(value, factor), addend)
