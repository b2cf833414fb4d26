"""The Triton kernels against the references in Triton's interpreter, on any machine.

The interpreter must be chosen before triton is imported, so each op's cases run in a process of their own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch, which carries triton's arrays, is not installed: lipforge[train]")
pytest.importorskip("triton", reason="triton is not installed: pip install 'lipforge[gpu]'")

CASES = Path(__file__).parent / "triton_cases"
TIMEOUT_S = 280


@pytest.mark.parametrize(("op", "least"), [("mel", 11), ("crop", 20), ("warp", 17)])
def test_cases_pass_in_the_interpreter(op: str, least: int, tmp_path: Path) -> None:
    environ = {**os.environ, "TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": str(tmp_path), "PYTHONSAFEPATH": "1"}
    environ.pop("PYTEST_ADDOPTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(CASES / f"cases_{op}.py")]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    summary = done.stdout.strip().splitlines()[-1]
    assert "skipped" not in summary
    assert int(re.search(r"(\d+) passed", summary)[1]) >= least
