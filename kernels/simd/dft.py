"""Small discrete Fourier transforms as straight-line vector code; a complex number is a pair of vectors."""

from __future__ import annotations

import math

from lipforge.kernels.simd.vectors import Value, VectorCode

Complex = tuple[Value, Value]

SIZES = (2, 4, 5, 10, 20)
"""Transforms that ``dft`` can print."""


def dft(code: VectorCode, x: list[Complex]) -> list[Complex]:
    """Print ``y[k] = sum over n of x[n] exp(-2 pi i n k / len(x))`` for one of ``SIZES``."""
    direct = {2: _dft2, 4: _dft4, 5: _dft5}
    if len(x) in direct:
        return direct[len(x)](code, x)
    return _good_thomas(code, x, {10: 2, 20: 4}[len(x)], 5)


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


def _good_thomas(code: VectorCode, x: list[Complex], rows: int, columns: int) -> list[Complex]:
    """Good and Thomas's prime-factor algorithm: sizes without a common factor need no factors between the stages."""
    size = rows * columns
    stage = [dft(code, [x[(columns * a + rows * b) % size] for a in range(rows)]) for b in range(columns)]
    y: list[Complex] = [x[0]] * size
    for a in range(rows):
        for b, value in enumerate(dft(code, [stage[b][a] for b in range(columns)])):
            # The index that is a modulo rows and b modulo columns (Chinese remainder theorem).
            y[next(k for k in range(size) if k % rows == a and k % columns == b)] = value
    return y


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
