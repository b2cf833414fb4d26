"""The operations that a codelet is written with, printed as LLVM vector instructions."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from lipforge.kernels.simd.instructions import FLOAT, INT32, INT64, call_named, multiply_add, shuffle, splat

INDEX = INT64

Value = Any
"""A value of the printed program: a vector, a pointer or an index. llvmlite has no types of its own."""


class VectorCode:
    """Prints operations on vectors of float32.

    Args:
        builder: where LLVM instructions go.
        lanes: float32 values in a vector.
    """

    def __init__(self, builder: Any, lanes: int) -> None:
        self.builder = builder
        self.lanes = lanes
        self.floats = ir.VectorType(FLOAT, lanes)
        self.ints = ir.VectorType(INT32, lanes)

    def constant(self, value: float) -> Value:
        """Return a vector with the same number in all lanes."""
        return ir.Constant(self.floats, [float(np.float32(value))] * self.lanes)

    def whole(self, value: int) -> Value:
        """Return a vector with the same int32 in all lanes."""
        return ir.Constant(self.ints, [value] * self.lanes)

    def index(self, base: Value, factor: int = 1, plus: int = 0) -> Value:
        """Return the index ``base * factor + plus``."""
        scaled = self.builder.mul(base, INDEX(factor)) if factor != 1 else base
        return self.builder.add(scaled, INDEX(plus)) if plus else scaled

    def load(self, pointer: Value, index: Value) -> Value:
        """Return the ``lanes`` neighbouring numbers from ``index`` on; no alignment is asked for."""
        return self.builder.load(self._vector_at(pointer, index), align=4)

    def store(self, vector: Value, pointer: Value, index: Value) -> None:
        """Write a vector to ``lanes`` neighbouring places from ``index`` on."""
        self.builder.store(vector, self._vector_at(pointer, index), align=4)

    def broadcast(self, pointer: Value, index: Value) -> Value:
        """Return one number of an array in all lanes."""
        number = self.builder.load(self.builder.gep(pointer, [index]), align=4)
        return splat(self.builder, number, self.lanes)

    def shuffle(self, a: Value, b: Value, lanes: Sequence[int]) -> Value:
        """Return the chosen lanes of ``a`` followed by ``b``."""
        return shuffle(self.builder, a, b, lanes)

    def add(self, a: Value, b: Value) -> Value:
        """Return ``a + b``."""
        return self.builder.fadd(a, b)

    def subtract(self, a: Value, b: Value) -> Value:
        """Return ``a - b``."""
        return self.builder.fsub(a, b)

    def multiply(self, a: Value, b: Value) -> Value:
        """Return ``a * b``."""
        return self.builder.fmul(a, b)

    def divide(self, a: Value, b: Value) -> Value:
        """Return ``a / b``."""
        return self.builder.fdiv(a, b)

    def multiply_add(self, a: Value, b: Value, c: Value) -> Value:
        """Return ``a * b + c``, rounded once where the CPU has such an instruction."""
        return multiply_add(self.builder, a, b, c)

    def multiply_subtract(self, a: Value, b: Value, c: Value) -> Value:
        """Return ``a * b - c``, rounded as ``multiply_add``."""
        return self.multiply_add(a, b, self.builder.fneg(c))

    def sqrt(self, a: Value) -> Value:
        """Return the square root, correctly rounded."""
        return call_named(self.builder, f"llvm.sqrt.v{self.lanes}f32", self.floats, a)

    def maximum(self, a: Value, b: Value) -> Value:
        """Return the larger of each pair; ``b`` where they cannot be compared."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def minimum(self, a: Value, b: Value) -> Value:
        """Return the smaller of each pair; ``b`` where they cannot be compared."""
        return self.builder.select(self.builder.fcmp_ordered("<", a, b), a, b)

    def fence(self) -> None:
        """Keep LLVM from moving loads and stores across this place; prints no instruction.

        In long straight-line code LLVM likes to load everything first, runs out of registers and saves what it loaded
        to the stack.
        """
        nothing = ir.FunctionType(ir.VoidType(), [])
        self.builder.asm(nothing, "", "~{memory}", [], side_effect=True)

    def _vector_at(self, pointer: Value, index: Value) -> Value:
        return self.builder.bitcast(self.builder.gep(pointer, [index]), self.floats.as_pointer())


def codelet(lanes: int, arrays: int, indices: int, body: Callable[..., None]) -> Callable[..., None]:
    """Make a piece of vector code callable from compiled functions.

    Args:
        lanes: float32 values in a vector.
        arrays: how many of the codelet's arguments are arrays; they come first.
        indices: how many integers follow.
        body: ``body(code, *pointers, *indices)`` prints the codelet with a ``VectorCode``.

    Returns:
        A function of float32 arrays (C-contiguous, any number of axes; addressed flat) and int64 indices, for
        compiled code only. Nothing checks bounds.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointers = [
            context.make_array(kind)(context, builder, value).data
            for kind, value in zip(signature.args[:arrays], arguments[:arrays], strict=True)
        ]
        body(VectorCode(builder, lanes), *pointers, *arguments[arrays:])
        return context.get_dummy_value()

    def typing(context: Any, *kinds: Any) -> Any:
        if len(kinds) != arrays + indices:
            raise TypeError(f"this codelet takes {arrays} arrays and {indices} indices, not {len(kinds)} arguments")
        return types.void(*kinds[:arrays], *[types.intp] * indices), generate

    # numba binds a call's arguments by the signature and would pack those of ``*kinds`` into a tuple.
    names = ["context", *(f"argument_{i}" for i in range(arrays + indices))]
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in names]
    typing.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return cast(Callable[..., None], intrinsic(typing))
