"""Golden weights -> checkpoint -> every target that runs here -> outputs within the bounds that the target states."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lipforge.export.ascend.target import AscendOptions
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.half_budget import BYTE_BUDGET
from lipforge.export.int8.target import Int8Options
from lipforge.export.targets import ASCEND, FP16, INT8, ONNX, OPENVINO, TargetOptions
from lipforge.export.verify import verify_bundle
from lipforge.runtime.bundle import Bundle
from lipforge.train.checkpoint import build_model, load_checkpoint, save_checkpoint
from lipforge.train.models import build_network

LEVELS = {ONNX: 1.0, FP16: BYTE_BUDGET, OPENVINO: 1.0, ASCEND: 1.0}
"""Largest error in grey levels; the bundle for an NPU holds the float32 graphs."""
LEAST_PSNR_DB = 30.0
"""Of whole pictures in 8 bits; the gate itself judges mouths."""


def golden_checkpoint(
    model: dict[str, Any], new_checkpoint: Callable[..., Path], golden_weights: Callable[..., Any], folder: Path
) -> Path:
    template = load_checkpoint(new_checkpoint(folder / "template", "wav2lip"))
    with torch.device("meta"):
        network = build_network("wav2lip", model)
    header = {"kind": "wav2lip", "step": 1, "model": model, "config": {}, "specs": template.specs}
    header |= {"dataset": template.dataset}
    return save_checkpoint(folder / "run", header, golden_weights(network, 0.55), {})


def drawn_by_torch(checkpoint: Path, fed: dict[str, np.ndarray]) -> np.ndarray:
    """Return the picture as the network draws it, rounded: uint8 (B, S, S, 3)."""
    face, reference = (torch.from_numpy(fed[name]).permute(0, 3, 1, 2) / 255.0 for name in ("face", "reference"))
    masked = face.clone()
    masked[:, :, masked.shape[2] // 2 :] = 0.0
    with torch.no_grad():
        drawn = build_model(load_checkpoint(checkpoint))(
            torch.from_numpy(fed["mel"])[:, None], torch.cat([masked, reference], 1)
        )
    return np.rint(drawn.permute(0, 2, 3, 1).numpy() * 255.0)


def check(checkpoint: Path, target: str, options: TargetOptions, folder: Path) -> None:
    export_bundle(ExportRequest([checkpoint], folder, target, options=options))
    random = np.random.default_rng(12)
    fed: dict[str, np.ndarray] = {"mel": random.uniform(-4, 4, (2, 80, 16)).astype(np.float32)}
    fed |= {name: random.integers(0, 256, (2, 96, 96, 3), np.uint8) for name in ("face", "reference")}
    expected = drawn_by_torch(checkpoint, fed)
    assert np.ptp(expected) > 20
    error = Bundle.load(folder).engine("wav2lip").run(fed)["image"].astype(float) - expected
    if target in LEVELS:
        assert np.abs(error).max() <= LEVELS[target]
    else:
        assert 10 * np.log10(255**2 / np.mean(error**2)) >= LEAST_PSNR_DB
    assert verify_bundle(folder, "auto")


@pytest.mark.parametrize("target", [ONNX, FP16, INT8, OPENVINO, ASCEND])
def test_a_narrow_generator(
    target: str,
    data: Path,
    wav2lip: Path,
    new_checkpoint: Callable[..., Path],
    golden_weights: Callable[..., Any],
    tmp_path: Path,
) -> None:
    if target == OPENVINO:
        pytest.importorskip("openvino", reason="needs the extra openvino")
    calibration = data if target == INT8 else None
    options = TargetOptions(
        Int8Options(calibration, samples=6, judged=4, expert="none"), AscendOptions(gears=(1,), convert=False)
    )
    model = load_checkpoint(wav2lip).model_args
    check(golden_checkpoint(model, new_checkpoint, golden_weights, tmp_path), target, options, tmp_path / "bundle")


@pytest.mark.slow
@pytest.mark.parametrize("target", [FP16, INT8, OPENVINO])
def test_the_published_size(
    target: str, data: Path, new_checkpoint: Callable[..., Path], golden_weights: Callable[..., Any], tmp_path: Path
) -> None:
    if target == OPENVINO:
        pytest.importorskip("openvino", reason="needs the extra openvino")
    options = TargetOptions(Int8Options(data if target == INT8 else None, samples=6, judged=4, expert="none"))
    check(golden_checkpoint({}, new_checkpoint, golden_weights, tmp_path), target, options, tmp_path / "bundle")
