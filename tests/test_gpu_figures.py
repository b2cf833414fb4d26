"""The script that measures a GPU tries every section out on a CPU, with small networks and Triton's interpreter."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu_figures.py"


def figures(tmp_path: Path, *words: str, **variables: str) -> tuple[dict[tuple[str, str], dict], str]:
    """Return the script's rows by what and how, and what it printed."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    environment.pop("PYTHONSAFEPATH", None)  # the script imports what lies beside it
    command = [sys.executable, str(SCRIPT), "--device", "cpu", "--tiny", "--each", "0", "--seconds", "1000"]
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "figures.json"), "--sections", *words],
        capture_output=True,
        text=True,
        timeout=280,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "figures.json").read_text())["figures"]
    return {(row["what"], row["how"]): row for row in rows}, done.stdout


def test_graphs_and_what_is_missing(tmp_path: Path) -> None:
    rows, printed = figures(tmp_path, "onnxruntime", "compile")
    assert rows["published generator", "onnxruntime CPU fp32"]["median_ms"] > 0
    assert rows["shipped networks", "onnxruntime CPU fp32"]["median_ms"] > 0
    assert rows["published generator", "torch.compile fp16"]["note"] == "left out: needs a CUDA device"
    assert rows["both", "onnxruntime TensorRT"]["median_ms"] is None
    assert "left out: the installed onnxruntime has no TensorrtExecutionProvider" in printed


@pytest.mark.slow
def test_networks_in_torch(tmp_path: Path) -> None:
    rows, _ = figures(tmp_path, "networks")
    assert rows["published generator", "torch bf16"]["median_ms"] > 0
    assert rows["shipped networks", "torch fp16"]["median_ms"] > 0


@pytest.mark.slow
def test_training_steps(tmp_path: Path) -> None:
    rows, _ = figures(tmp_path, "training")
    assert {what for what, _ in rows} == {"wav2lip, 2 windows of 5", "syncnet, 2 windows of 5"}
    assert all(row["median_ms"] > 0 and "TFLOP/s" in row["note"] for row in rows.values())


@pytest.mark.slow
def test_kernels_agree_before_they_are_timed(tmp_path: Path) -> None:
    pytest.importorskip("triton")
    rows, _ = figures(tmp_path, "kernels", TRITON_INTERPRET="1")
    assert len(rows) == 12
    assert all(row["median_ms"] > 0 for row in rows.values())
    checked = [row for (_, how), row in rows.items() if how in ("triton", "torch")]
    assert all(row["note"].startswith("within ") for row in checked)
