"""The Triton kernels against the references in Triton's interpreter, on any machine.

The interpreter must be chosen before triton is imported, so the cases run in a process of their own.
"""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="torch, which carries triton's arrays, is not installed: lipforge[train]")
pytest.importorskip("triton", reason="triton is not installed: pip install 'lipforge[gpu]'")

CASES = Path(__file__).parent / "triton_cases"
TIMEOUT_S = 280


@pytest.fixture(scope="module")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Counter[str]]:
    """Run the cases that a marker expression chooses, once; return how many passed of each file."""

    @functools.cache
    def run(which: str) -> Counter[str]:
        cache = tmp_path_factory.mktemp("triton")
        environ = {**os.environ, "TRITON_INTERPRET": "1", "TRITON_CACHE_DIR": str(cache), "PYTHONSAFEPATH": "1"}
        environ.pop("PYTEST_ADDOPTS", None)
        files = [str(path) for path in sorted(CASES.glob("cases_*.py"))]
        command = [sys.executable, "-m", "pytest", "-q", "-rA", "-p", "no:cacheprovider", "-m", which, *files]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
        assert "skipped" not in done.stdout.strip().splitlines()[-1]
        return Counter(re.findall(r"^PASSED .*cases_(\w+)\.py::", done.stdout, re.MULTILINE))

    return run


@pytest.mark.parametrize(
    ("which", "least"),
    [
        ("not slow", {"mel": 7, "crop": 17, "warp": 13}),
        pytest.param("slow", {"mel": 4, "crop": 5, "warp": 5}, marks=pytest.mark.slow),
    ],
    ids=["fast", "slow"],
)
@pytest.mark.parametrize("op", ["mel", "crop", "warp"])
def test_cases_pass_in_the_interpreter(op: str, which: str, least: dict[str, int], passed) -> None:
    assert passed(which)[op] >= least[op]
