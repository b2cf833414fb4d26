"""Every Triton kernel assembles for Hopper (sm_90) on a machine without a GPU, with the sizes that ship."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch, which carries triton's arrays, is not installed: lipforge[train]")
pytest.importorskip("triton", reason="triton is not installed: pip install 'lipforge[gpu]'")

PROGRAM = Path(__file__).parent / "triton_cases" / "assemble.py"
TIMEOUT_S = 280
HOPPER_SHARED_BYTES = 227 * 1024


OPS = ("mel", "crop", "crop_float", "warp")


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """What came out for each op, from one process: it takes seconds to import torch."""
    # A cache of its own: nothing is taken from an earlier run. The interpreter's kernels cannot be compiled.
    cache = tmp_path_factory.mktemp("triton")
    environ = {**os.environ, "TRITON_CACHE_DIR": str(cache), "PYTHONSAFEPATH": "1"}
    environ.pop("TRITON_INTERPRET", None)
    command = [sys.executable, str(PROGRAM), *OPS]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(zip(OPS, map(json.loads, done.stdout.strip().splitlines()[-len(OPS) :]), strict=True))


@pytest.mark.parametrize("op", OPS)
def test_kernel_assembles_for_sm_90(op: str, assembled: dict[str, dict]) -> None:
    built = assembled[op]
    assert built["elf"] == b"\x7fELF".hex()
    assert ".target sm_90" in built["ptx"]
    assert built["cubin_bytes"] > 1000
    assert built["stack_bytes"] == 0, "registers spill: choose smaller tiles in triton_config.cuda_config"
    assert built["shared_bytes"] <= HOPPER_SHARED_BYTES
    if op == "mel":
        # Full float32 products: fused multiply-adds, no tensor-core instruction with its 10-bit mantissa.
        assert built["ptx"].count("fma.rn.f32") > 100
        assert "mma" not in built["ptx"]
    else:
        # Products and sums are rounded one by one, as in the references.
        assert "fma" not in built["ptx"].replace(".version", "")
        assert ".f64" not in built["ptx"]
