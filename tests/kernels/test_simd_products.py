"""The instructions asked for by name against what they are written out as."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from numba.core import types

from lipforge.kernels.simd import products
from lipforge.kernels.simd.instructions import load, store
from lipforge.kernels.simd.lanes import INTS, intrinsic

CROPS = """
import hashlib, sys
import numpy as np
from lipforge.kernels.crop import crop_face, crop_face_i420
from lipforge.kernels.yuv import I420Frame

rng = np.random.default_rng(3)
image = rng.integers(0, 256, (90, 110, 3), dtype=np.uint8)
frame = I420Frame(image[..., 0].copy(), image[:45, :55, 1].copy(), image[:45, :55, 2].copy())
digest = hashlib.sha256()
for scale in (3.0, 1.0, 0.3):
    transform = np.array([[scale, -0.2 * scale, 3.0], [0.2 * scale, scale, -5.0]])
    digest.update(crop_face(image, transform, 37).tobytes())
    digest.update(crop_face_i420(frame, transform, 37).tobytes())
print(digest.hexdigest())
"""


def call_on(name, *addresses):
    """Compile a function of ``products`` and run it on the vectors at these addresses; the last one is the result."""

    @intrinsic
    def apply(typing_context, first, second, result):
        def emit(context, code, signature, arguments):
            kind = products.SHORTS if name != "narrow" else INTS
            if name == "narrow":
                operands = [[load(code, kind, code.add(arguments[0], arguments[0].type(32 * k))) for k in range(4)]]
            else:
                operands = [load(code, kind, address) for address in arguments[:2]]
            store(code, getattr(products, name)(code, *operands), arguments[2])
            return context.get_dummy_value()

        return types.void(types.intp, types.intp, types.intp), emit

    @numba.njit
    def run(first, second, result):
        apply(first, second, result)

    run(*addresses)


@pytest.mark.parametrize("features", [None, frozenset()])
@pytest.mark.parametrize("name", ["high_products", "pair_products", "narrow"])
def test_products_are_what_they_say(monkeypatch, rng, name, features):
    if features is not None:
        monkeypatch.setattr(products, "cpu_features", lambda: features)
    a, b = rng.integers(-(2**15), 2**15, (2, 16)).astype(np.int16)
    quarters = rng.integers(-300, 600, 32).astype(np.int32)
    quarters[:4] = -(2**31), 32767, 255, 256
    if name == "high_products":
        expected = (a.view(np.uint16).astype(np.uint32) * b.view(np.uint16) >> 16).astype(np.uint16)
    elif name == "pair_products":
        expected = (a.astype(np.int32) * b).reshape(8, 2).sum(axis=1, dtype=np.int32)
    else:
        expected = quarters.clip(0, 255).reshape(4, 2, 4).transpose(1, 0, 2).astype(np.uint8)
    result = np.zeros(32, np.uint8)
    first = quarters if name == "narrow" else a
    call_on(name, first.ctypes.data, b.ctypes.data, result.ctypes.data)
    np.testing.assert_array_equal(result[: expected.nbytes], expected.reshape(-1).view(np.uint8))


@pytest.mark.slow
def test_crops_are_the_same_bytes_on_a_processor_without_avx(tmp_path):
    """Compiled for plain x86-64 (or ARM) in one process and for this machine in another."""
    digests = set()
    for number, features in enumerate((None, "")):
        environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / str(number))}
        if features is not None:
            environment |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": features}
        script = [sys.executable, "-c", CROPS]
        done = subprocess.run(script, capture_output=True, text=True, timeout=300, check=True, env=environment)
        digests.add(done.stdout)
    assert len(digests) == 1
