"""Training on a device that is no CPU and no CUDA, without one; ``processes/fake_npu.py`` says what it proves."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from torch.utils import backend_registration

SCRIPT = Path(__file__).with_name("processes") / "fake_npu.py"

pytestmark = pytest.mark.skipif(
    not hasattr(backend_registration, "_setup_privateuseone_for_python_backend"),
    reason="devices written in Python came with torch 2.13",
)


@pytest.fixture(scope="module")
def results(frame_root: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    command = [sys.executable, "-P", str(SCRIPT), str(frame_root), str(tmp_path_factory.mktemp("npu"))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", ["syncnet", "gan"])
def test_three_steps_equal_those_of_the_cpu(case: str, results: dict[str, Any]) -> None:
    """Weights, averages, optimisers and metrics, bit by bit; what was written on the device loads on a CPU."""
    found = results[case]
    assert "on npu:0, 8 clips" in found["codes"]["npu"][1]
    assert [code for code, _ in found["codes"].values()] == [0, 0], found["codes"]["npu"][1]
    assert (found["weights"], found["learners"], found["metrics"]) == ([], [], [])


def test_half_precision_goes_through_scaler_and_clipping(results: dict[str, Any]) -> None:
    code, said = results["half"]["codes"]["npu"]
    assert code == 0, said


def test_a_run_resumes_on_the_device(results: dict[str, Any]) -> None:
    assert results["resumed"][0] == 0, results["resumed"][1]
    assert "step 2 of at most 3" in results["resumed"][1]
    assert results["resumed weights"] == []


def test_the_device_was_asked(results: dict[str, Any]) -> None:
    """Seeded, waited for where stages are timed, and its random numbers restored."""
    assert results["calls"] == ["manual_seed_all", "set_rng_state", "synchronize"]


def test_what_the_device_cannot_do_is_one_line(results: dict[str, Any]) -> None:
    bf16, card = results["bf16"], results["no such card"]
    assert bf16 == [2, "Error: loop.autocast=bf16: BatchNorm2d of syncnet has no bf16 on an NPU; use fp16 or none.\n"]
    assert card == [2, "Error: device npu:1: this machine has 1, numbered from 0.\n"]
