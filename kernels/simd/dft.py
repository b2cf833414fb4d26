"""Small discrete Fourier transforms as straight-line vector code; a complex number is a pair of vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lipforge.kernels.simd.vectors import Value, VectorCode

Complex = tuple[Value, Value]

Read = Callable[[int], Complex]
"""Prints what makes one input."""


@dataclass(frozen=True)
class Slots:
    """Memory for the complex numbers of one transform.

    Attributes:
        pointer: to float32.
        place: gives the index of number n: ``lanes`` real parts, and the imaginary parts behind them.
    """

    pointer: Value
    place: Callable[[int], Value]

    def load(self, code: VectorCode, n: int) -> Complex:
        """Print the loads of number n."""
        return load_complex(code, self.pointer, self.place(n))

    def store(self, code: VectorCode, value: Complex, n: int) -> None:
        """Print the stores of number n."""
        store_complex(code, value, self.pointer, self.place(n))


def load_complex(code: VectorCode, pointer: Value, index: Value) -> Complex:
    """Print the loads of a real vector and of the imaginary one behind it."""
    return code.load(pointer, index), code.load(pointer, code.index(index, 1, code.lanes))


def store_complex(code: VectorCode, value: Complex, pointer: Value, index: Value) -> None:
    """Print the stores of a real vector and of the imaginary one behind it."""
    code.store(value[0], pointer, index)
    code.store(value[1], pointer, code.index(index, 1, code.lanes))


FACTORS = {10: (2, 5), 20: (4, 5)}
"""Sizes that are split, into factors without a common divisor. Sizes 2, 4 and 5 are printed directly."""


def dft(
    code: VectorCode, size: int, read: Read, slots: Slots, rows: Sequence[int] | None = None
) -> Iterator[dict[int, Complex]]:
    """Print ``y[k] = sum over n of x[n] exp(-2 pi i n k / size)``.

    This is Good and Thomas's prime-factor algorithm: a table of transforms along one factor, then along the other, with
    nothing in between. A table of 20 complex vectors does not fit into the registers. Left alone, LLVM mixes all
    transforms and moves every number to the stack and back several times; so the table is parked in ``slots`` by hand,
    and fences keep one short transform from starting before the one before it has ended.

    Args:
        code: prints.
        size: 10 or 20.
        read: gives x[n]; may read slot n.
        slots: ``size`` places. When a row is given out, the slots of its k are free.
        rows: order of the second step's transforms; row a gives the k that are a modulo the first factor.

    Yields:
        {k: y[k]} of one row.
    """
    first, second = FACTORS[size]
    for b in range(second):
        code.fence()
        inputs = [(second * a + first * b) % size for a in range(first)]
        for n, y in zip(inputs, _direct(code, [read(n) for n in inputs]), strict=True):
            slots.store(code, y, n)
    for a in range(first) if rows is None else rows:
        code.fence()
        row = _direct(code, [slots.load(code, (second * a + first * b) % size) for b in range(second)])
        # The index that is a modulo the first factor and b modulo the second (Chinese remainder theorem).
        yield {next(k for k in range(size) if (k % first, k % second) == (a, b)): y for b, y in enumerate(row)}


def multiply(code: VectorCode, x: Complex, y: Complex) -> Complex:
    """Print the product of two complex numbers."""
    real = code.multiply_subtract(x[0], y[0], code.multiply(x[1], y[1]))
    return real, code.multiply_add(x[0], y[1], code.multiply(x[1], y[0]))


def add(code: VectorCode, x: Complex, y: Complex) -> Complex:
    """Print the sum of two complex numbers."""
    return code.add(x[0], y[0]), code.add(x[1], y[1])


def subtract(code: VectorCode, x: Complex, y: Complex) -> Complex:
    """Print the difference of two complex numbers."""
    return code.subtract(x[0], y[0]), code.subtract(x[1], y[1])


def _add_turned(code: VectorCode, x: Complex, y: Complex) -> Complex:
    """Print x + i y."""
    return code.subtract(x[0], y[1]), code.add(x[1], y[0])


def _subtract_turned(code: VectorCode, x: Complex, y: Complex) -> Complex:
    """Print x - i y."""
    return code.add(x[0], y[1]), code.subtract(x[1], y[0])


def _direct(code: VectorCode, x: list[Complex]) -> list[Complex]:
    return {2: _dft2, 4: _dft4, 5: _dft5}[len(x)](code, x)


def _dft2(code: VectorCode, x: list[Complex]) -> list[Complex]:
    return [add(code, x[0], x[1]), subtract(code, x[0], x[1])]


def _dft4(code: VectorCode, x: list[Complex]) -> list[Complex]:
    a, b = add(code, x[0], x[2]), subtract(code, x[0], x[2])
    c, d = add(code, x[1], x[3]), subtract(code, x[1], x[3])
    return [add(code, a, c), _subtract_turned(code, b, d), subtract(code, a, c), _add_turned(code, b, d)]


def _dft5(code: VectorCode, x: list[Complex]) -> list[Complex]:
    a, b = add(code, x[1], x[4]), subtract(code, x[1], x[4])
    c, d = add(code, x[2], x[3]), subtract(code, x[2], x[3])
    cos1, cos2 = (code.constant(math.cos(2 * math.pi * k / 5)) for k in (1, 2))
    sin1, sin2 = (code.constant(math.sin(2 * math.pi * k / 5)) for k in (1, 2))

    def even(p: Value, q: Value) -> Complex:
        real, imaginary = (code.multiply_add(p, a[i], code.multiply_add(q, c[i], x[0][i])) for i in (0, 1))
        return real, imaginary

    odd1 = tuple(code.multiply_add(sin1, b[i], code.multiply(sin2, d[i])) for i in (0, 1))
    odd2 = tuple(code.multiply_subtract(sin2, b[i], code.multiply(sin1, d[i])) for i in (0, 1))
    even1, even2 = even(cos1, cos2), even(cos2, cos1)
    return [
        add(code, x[0], add(code, a, c)),
        _subtract_turned(code, even1, (odd1[0], odd1[1])),
        _subtract_turned(code, even2, (odd2[0], odd2[1])),
        _add_turned(code, even2, (odd2[0], odd2[1])),
        _add_turned(code, even1, (odd1[0], odd1[1])),
    ]
