"""The logarithm as straight-line vector code."""

from __future__ import annotations

from lipforge.kernels.simd.vectors import Value, VectorCode

SQRT_HALF_BITS = 0x3F3504F3
"""float32 bits of sqrt(1/2): mantissas are taken from [sqrt(1/2), sqrt(2)), where log(m) is smallest."""

MANTISSA_BITS = 23


def split_logarithm(code: VectorCode, x: Value) -> tuple[Value, Value]:
    """Print (e, log(m)) of ``x = m * 2**e``, so that the caller scales both to the base it wants.

    ``log(m) = 2 atanh(s)`` with ``s = (m - 1) / (m + 1)``, |s| < 0.172, by its series up to s**9: the first term left
    out is 7e-10. Positive normal numbers only.
    """
    builder = code.builder
    bits = builder.bitcast(x, code.ints)
    exponent = builder.ashr(builder.sub(bits, code.whole(SQRT_HALF_BITS)), code.whole(MANTISSA_BITS))
    mantissa = builder.bitcast(builder.sub(bits, builder.shl(exponent, code.whole(MANTISSA_BITS))), code.floats)
    excess = code.subtract(mantissa, code.constant(1.0))
    s = code.divide(excess, code.add(excess, code.constant(2.0)))
    square = code.multiply(s, s)
    series = code.constant(2.0 / 9.0)
    for power in (7, 5, 3, 1):
        series = code.multiply_add(series, square, code.constant(2.0 / power))
    return builder.sitofp(exponent, code.floats), code.multiply(series, s)
