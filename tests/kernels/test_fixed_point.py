from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llvmlite import ir
from numba.core import types

from lipforge.kernels.simd import fixed_point
from lipforge.kernels.simd.fixed_point import SHORTS, Shorts
from lipforge.kernels.simd.instructions import INT64, load, store
from lipforge.kernels.simd.lanes import intrinsic

PICTURES = """
import hashlib
import numpy as np
from lipforge.kernels.paste import PasteScratch, paste_face
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite

rng = np.random.default_rng(3)
image, crop = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((90, 110, 3), (24, 24, 3)))
flow, colour = rng.normal(0, 2, (2, 24, 24)).astype(np.float32), rng.random((3, 24, 24), np.float32)
mask, digest = rng.random((24, 24), np.float32), hashlib.sha256()
for scale in (3.0, 1.0, 0.3, 0.02):
    transform = np.array([[scale, -0.2 * scale, 3.0], [0.2 * scale, scale, -5.0]])
    composite(image, WarpScratch(), transform, flow, mask, colour, WarpSpec(2.0))
    paste_face(image, PasteScratch(), transform, crop, mask)
    digest.update(image.tobytes())
print(digest.hexdigest())
"""


def on_shorts(emit):
    """Compile ``emit(first, second)`` on two vectors of sixteen int16 and return a function of two arrays."""

    @intrinsic
    def run(typing_context: Any, first: Any, second: Any, result: Any) -> Any:
        def generate(context: Any, code: Any, signature: Any, arguments: Any) -> Any:
            operands = [Shorts(code, load(code, SHORTS, address)) for address in arguments[:2]]
            for i, value in enumerate(emit(code, *operands)):
                store(code, value, code.add(arguments[2], INT64(32 * i)))
            return context.get_dummy_value()

        return types.void(first, second, result), generate

    @numba.njit
    def compiled(first, second, result):
        run(first, second, result)

    def call(first, second, count=1):
        first, second = (np.ascontiguousarray(numbers, np.int16) for numbers in (first, second))
        result = np.zeros((count, 16), np.int16)
        compiled(first.ctypes.data, second.ctypes.data, result.ctypes.data)
        return result

    call(np.zeros(16), np.zeros(16), 3)  # compile outside of hypothesis' deadline
    return call


def product_both_ways(code, number, share):
    return number.times(share).value, fixed_point.rounding_product_written_out(code, number.value, share.value)


def look_up_both_ways(code, table, index):
    places = fixed_point.places_of(index)
    as_bytes = [code.bitcast(vector.value, fixed_point.BYTES) for vector in (table, places)]
    written = code.bitcast(fixed_point.look_up_written_out(code, *as_bytes), SHORTS)
    return fixed_point.look_up(table, places).value, written


def there_and_back(code, low, high):
    joined = fixed_point.join(low, high)
    widened = fixed_point.narrow(*fixed_point.widen(low)).value
    return widened, fixed_point.narrow(*joined).value, fixed_point.narrow(*(part >> 16 for part in joined)).value


@pytest.fixture(scope="module")
def product():
    return on_shorts(product_both_ways)


@pytest.fixture(scope="module")
def pick():
    return on_shorts(look_up_both_ways)


shorts = st.lists(st.integers(-32768, 32767), min_size=16, max_size=16)
shares = st.lists(st.integers(0, 32767), min_size=16, max_size=16)


@given(numbers=shorts, factors=shares)
def test_rounding_product_is_exact_and_the_same_on_every_machine(product, numbers, factors):
    expected = (np.array(numbers, np.int64) * np.array(factors) + (1 << 14)) >> 15
    instruction, written = product(numbers, factors, 2)
    np.testing.assert_array_equal(instruction, expected)
    np.testing.assert_array_equal(written, expected)


@given(table=shorts, index=st.lists(st.integers(0, 7), min_size=16, max_size=16))
def test_look_up_stays_in_its_half_and_is_the_same_on_every_machine(pick, table, index):
    expected = np.concatenate([np.array(table[half : half + 8])[index[half : half + 8]] for half in (0, 8)])
    instruction, written = pick(table, index, 2)
    np.testing.assert_array_equal(instruction, expected)
    np.testing.assert_array_equal(written, expected)


def test_widened_and_joined_numbers_come_back_in_order(rng):
    low, high = rng.integers(-32768, 32768, (2, 16)).astype(np.int16)
    widened, lower, upper = on_shorts(there_and_back)(low, high, 3)
    np.testing.assert_array_equal(widened, low)
    np.testing.assert_array_equal(lower, low)
    np.testing.assert_array_equal(upper, high)


@pytest.mark.parametrize("named", [True, False])
def test_pair_products_are_exact(monkeypatch, rng, named):
    if not named:
        monkeypatch.setattr(fixed_point, "cpu_features", lambda: frozenset())

    def emit(code, low, high):
        parts = fixed_point.pair_products(low, high, ir.IntType(16)(3), ir.IntType(16)(32706))
        return [fixed_point.narrow(*parts).value, fixed_point.narrow(*(part >> 16 for part in parts)).value]

    low, high = rng.integers(0, 10_902, (2, 16))
    lower, upper = on_shorts(emit)(low, high, 2)
    products = lower.view(np.uint16).astype(np.int64) + (upper.astype(np.int64) << 16)
    np.testing.assert_array_equal(products, 3 * low + 32706 * high)


def test_lanes_below_counts_each_half_by_itself():
    def emit(code, first, second):
        return [fixed_point.lanes_below(code, INT64(3), INT64(-2)).value]

    result = on_shorts(emit)(np.zeros(16), np.zeros(16))[0]
    np.testing.assert_array_equal(result, [-1] * 3 + [0] * 13)


@pytest.mark.slow
def test_pictures_are_the_same_bytes_on_a_processor_without_avx(tmp_path):
    """Compiled for a plain processor, with all instructions written out, in one process; for this one in another."""
    digests = set()
    for name, plain in (("plain", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}), ("this", {})):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / name), **plain}
        script = [sys.executable, "-c", PICTURES]
        done = subprocess.run(script, capture_output=True, text=True, timeout=600, check=True, env=environment)
        digests.add(done.stdout)
    assert len(digests) == 1
