"""Vector code for the pixel kernels: eight pixels at once, one in each lane of a vector register.

Compilers do not vectorise loops that gather pixels from computed addresses, so the inner blocks of crop, warp and paste
are written out. Nothing here is machine code: numba's ``@intrinsic`` hands over an LLVM instruction builder (always
called ``code``), a ``Vector`` wraps one value of that builder and its operators append one instruction each. LLVM then
picks the instructions of whatever processor runs (AVX2, AVX-512, NEON), so the same source serves all of them.

To read or change a block, read it as numpy on arrays of eight: ``a + b * c`` means what it says. Three rules:

* A Python ``if`` or ``for`` in emitting code runs while the block is *built*; it chooses or repeats instructions.
* Scalars enter as arguments of the intrinsic and become vectors with ``spread``.
* Addresses are plain integers. Nothing checks bounds: the public calls check arrays, and the drivers keep the padding
  that each block's comment asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numba.extending
from llvmlite import ir
from numba.core import types

from lipforge.kernels.simd.instructions import (
    BYTE,
    FLOAT,
    INT32,
    INT64,
    call_named,
    cgutils,
    multiply_add,
    splat,
)

LANES = 8
FLOATS, INTS = ir.VectorType(FLOAT, LANES), ir.VectorType(INT32, LANES)


def intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """As numba's decorator, but typed as what compiled code calls: without the typing context."""
    return cast(Callable[..., Any], numba.extending.intrinsic(function))


def unpack(code: Any, packed: Any) -> list[Any]:
    """Return the members of a tuple argument."""
    return list(cgutils.unpack_tuple(code, packed))


@dataclass(frozen=True)
class Vector:
    """Eight float32 or eight int32; operators take another vector of the same type or a Python number."""

    code: Any
    value: Any

    @property
    def is_float(self) -> bool:
        """Whether the lanes hold float32 (else int32)."""
        return bool(self.value.type.element == FLOAT)

    def __add__(self, other: Vector | float) -> Vector:
        return self._new((self.code.fadd if self.is_float else self.code.add)(self.value, self._like(other)))

    def __sub__(self, other: Vector | float) -> Vector:
        return self._new((self.code.fsub if self.is_float else self.code.sub)(self.value, self._like(other)))

    def __mul__(self, other: Vector | float) -> Vector:
        return self._new((self.code.fmul if self.is_float else self.code.mul)(self.value, self._like(other)))

    def __neg__(self) -> Vector:
        return self._new(self.code.fneg(self.value) if self.is_float else self.code.neg(self.value))

    def __and__(self, bits: Vector | int) -> Vector:
        return self._new(self.code.and_(self.value, self._like(bits)))

    def __or__(self, bits: Vector | int) -> Vector:
        return self._new(self.code.or_(self.value, self._like(bits)))

    def __lshift__(self, bits: int) -> Vector:
        return self._new(self.code.shl(self.value, self._like(bits)))

    def __rshift__(self, bits: Vector | int) -> Vector:
        return self._new(self.code.lshr(self.value, self._like(bits)))

    def times_plus(self, factor: Vector | float, addend: Vector | float) -> Vector:
        """Return self * factor + addend, in one instruction where the processor has it."""
        return self._new(multiply_add(self.code, self.value, self._like(factor), self._like(addend)))

    def towards(self, other: Vector, share: Vector) -> Vector:
        """Return self + share * (other - self); exactly self where share is 0."""
        return (other - self).times_plus(share, self)

    def at_least(self, low: Vector | float) -> Vector:
        """Return the larger of both in each lane."""
        return self._choose(">", self._like(low))

    def at_most(self, high: Vector | float) -> Vector:
        """Return the smaller of both in each lane."""
        return self._choose("<", self._like(high))

    def floor(self) -> Vector:
        """Return the largest whole number not above, as float32."""
        return self._new(call_named(self.code, f"llvm.floor.v{LANES}f32", FLOATS, self.value))

    def to_ints(self) -> Vector:
        """Return int32, cut towards 0."""
        return self._new(self.code.fptosi(self.value, INTS))

    def to_floats(self) -> Vector:
        """Return float32."""
        return self._new(self.code.sitofp(self.value, FLOATS))

    def below(self, bound: Vector | int) -> Any:
        """Return, for ``replaced``, in which lanes the int32 is smaller."""
        return self.code.icmp_signed("<", self.value, self._like(bound))

    def above(self, bound: Vector | int) -> Any:
        """Return, for ``replaced``, in which lanes the int32 is larger."""
        return self.code.icmp_signed(">", self.value, self._like(bound))

    def replaced(self, condition: Any, substitute: Vector | float) -> Vector:
        """Return the substitute where the condition holds, else the value."""
        return self._new(self.code.select(condition, self._like(substitute), self.value))

    def shifted_down(self, bits: int) -> Vector:
        """Return int32 divided by 2**bits and rounded down, whatever the sign (``>>`` shifts zeros in)."""
        return self._new(self.code.ashr(self.value, self._like(bits)))

    def lane(self, index: int) -> Any:
        """Return the scalar in one lane."""
        return self.code.extract_element(self.value, INT32(index))

    def _choose(self, comparison: str, other: Any) -> Vector:
        compare = self.code.fcmp_ordered if self.is_float else self.code.icmp_signed
        return self._new(self.code.select(compare(comparison, self.value, other), self.value, other))

    def _new(self, value: Any) -> Vector:
        return Vector(self.code, value)

    def _like(self, other: Vector | float) -> Any:
        if isinstance(other, Vector):
            return other.value
        number = float(other) if self.is_float else int(other)
        return ir.Constant(self.value.type, [number] * LANES)


def spread(code: Any, scalar: Any) -> Vector:
    """Return a vector with the same float32 or int (cut to int32) in every lane."""
    if scalar.type == INT64:
        scalar = code.trunc(scalar, INT32)
    return Vector(code, splat(code, scalar, LANES))


def counting(code: Any) -> Vector:
    """Return the floats 0, 1, 2 ... 7: the lane numbers."""
    return Vector(code, ir.Constant(FLOATS, [float(i) for i in range(LANES)]))


def _stack_bytes(typing_context: Any, count: Any) -> Any:
    """Return the address of this many bytes (a constant) that live until the calling function returns.

    They start a cache line: vectors that straddle two lines would make a kernel's speed depend on luck.
    """
    room = ir.ArrayType(BYTE, count.literal_value)

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        memory = cgutils.alloca_once(code, room)
        memory.align = 64
        return code.ptrtoint(memory, INT64)

    return types.intp(count), emit


stack_bytes = cast(Callable[..., Any], numba.extending.intrinsic(prefer_literal=True)(_stack_bytes))


@intrinsic
def copy_bytes(typing_context: Any, destination: Any, source: Any, count: Any) -> Any:
    """Copy bytes from address to address; for the last, partly filled block of a row."""

    def emit(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
        to, origin = (code.inttoptr(address, BYTE.as_pointer()) for address in arguments[:2])
        cgutils.raw_memcpy(code, to, origin, arguments[2], 1)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp, types.intp), emit
