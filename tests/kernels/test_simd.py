"""The generator of vector code: its algorithms against numpy, printed into small codelets."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from llvmlite import ir
from numba.core.errors import NumbaError

from lipforge.kernels.simd.dft import FACTORS, Slots, dft
from lipforge.kernels.simd.logarithm import split_logarithm
from lipforge.kernels.simd.transpose import transpose_tile
from lipforge.kernels.simd.vectors import INDEX, VectorCode, codelet

LANES = 8


def at(index: int) -> ir.Constant:
    return ir.Constant(INDEX, index)


@pytest.mark.parametrize("size", sorted(FACTORS))
def test_transform_equals_numpy(rng, size):
    def body(code, source, work, out):
        slots, results = (Slots(p, lambda n: at(2 * LANES * n)) for p in (work, out))
        given = Slots(source, lambda n: at(2 * LANES * n))
        for row in dft(code, size, lambda n: given.load(code, n), slots):
            for k, value in row.items():
                results.store(code, value, k)

    transform = codelet(LANES, 3, 0, body)
    run = numba.njit(lambda source, work, out: transform(source, work, out))
    x = rng.normal(size=(size, 2, LANES)).astype(np.float32)
    work, out = np.empty_like(x), np.empty_like(x)
    run(x, work, out)
    expected = np.fft.fft(x[:, 0] + 1j * x[:, 1].astype(np.float64), axis=0)
    np.testing.assert_allclose(out[:, 0] + 1j * out[:, 1].astype(np.float64), expected, atol=4e-6)


def test_logarithm_equals_numpy(rng):
    def body(code: VectorCode, x, out, i):
        exponent, rest = split_logarithm(code, code.load(x, i))
        code.store(code.multiply_add(exponent, code.constant(np.log(2.0)), rest), out, i)

    log = codelet(LANES, 2, 1, body)

    @numba.njit
    def run(x, out):
        for i in range(0, x.size, LANES):
            log(x, out, i)

    x = np.concatenate([10.0 ** rng.uniform(-37, 38, 992), 2.0 ** np.arange(-4, 4), [0.70710677, 0.7071069] * 4])
    x = x.astype(np.float32)
    out = np.empty_like(x)
    run(x, out)
    np.testing.assert_allclose(out, np.log(x.astype(np.float64)), rtol=2e-7, atol=2e-7)


def test_transpose(rng):
    def body(code: VectorCode, source, out):
        narrow = VectorCode(code.builder, 4)
        for i, column in enumerate(transpose_tile(code, source, [at(3), at(21), at(40), at(55)])):
            narrow.store(column, out, at(4 * i))

    transpose = codelet(8, 2, 0, body)
    run = numba.njit(lambda source, out: transpose(source, out))
    source, out = rng.normal(size=70).astype(np.float32), np.empty((8, 4), np.float32)
    run(source, out)
    np.testing.assert_array_equal(out, np.stack([source[i : i + 8] for i in (3, 21, 40, 55)], axis=1))


def test_a_codelet_with_too_few_arguments_is_not_compiled():
    twice = codelet(4, 2, 1, lambda code, source, out, i: code.store(code.load(source, i), out, i))
    with pytest.raises((TypeError, NumbaError)):
        numba.njit(lambda source: twice(source, source))(np.zeros(8, np.float32))


@pytest.mark.parametrize(
    ("variables", "lanes"),
    [
        ({"NUMBA_CPU_FEATURES": "+sse2,-avx2"}, 4),
        ({"NUMBA_CPU_FEATURES": "+avx2,+fma"}, 8),
        ({"NUMBA_CPU_FEATURES": "+avx2,+avx512f"}, 16),
        ({"NUMBA_CPU_NAME": "generic"}, 4),
        ({}, None),
    ],
)
def test_name_features_and_lanes_are_those_that_numba_uses(variables, lanes):
    program = """
from numba.core.registry import cpu_target
from lipforge.kernels.simd.cpu import cpu_name, feature_flags, native_lanes
codegen = cpu_target.target_context.codegen()
assert codegen._get_host_cpu_name() == cpu_name()
assert codegen._get_host_cpu_features() == feature_flags(), feature_flags()
print(native_lanes())
"""
    command = [sys.executable, "-P", "-c", program]
    environ = {**os.environ, **variables}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=120, check=True)
    assert lanes is None or int(done.stdout) == lanes
