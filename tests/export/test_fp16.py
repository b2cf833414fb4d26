from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.fp16 import to_half
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.plan import GraphPlan
from lipforge.export.targets import FP16, INT8, ONNX, TargetOptions
from lipforge.export.trace import to_onnx
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import ExportError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import Manifest
from lipforge.train.checkpoint import load_checkpoint, save_checkpoint


def test_graphs_hold_half_and_take_and_give_what_they_did(
    bundle: Path, wav2lip: Path, new_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    export_from_bundle(bundle, tmp_path / "warp", FP16, TargetOptions())
    export_bundle(ExportRequest([wav2lip], tmp_path / "drawn", FP16))
    expert = new_checkpoint(tmp_path / "run", "syncnet")
    export_bundle(ExportRequest([expert], tmp_path / "judge", FP16))
    for folder in (tmp_path / "warp", tmp_path / "drawn", tmp_path / "judge"):
        manifest = Bundle.load(folder).manifest
        assert manifest.precision == "fp16"
        for graph in manifest.graphs.values():
            model = onnx.load(folder / graph.file)
            kinds = {init.data_type for init in model.graph.initializer if init.data_type != onnx.TensorProto.INT64}
            assert onnx.TensorProto.FLOAT16 in kinds
            assert all(error > 0 for error in graph.parity.max_abs.values())
        assert verify_bundle(folder)
    whole, half = Manifest.read(bundle), Manifest.read(tmp_path / "warp")
    for name, graph in whole.graphs.items():
        assert (graph.inputs, graph.outputs) == (half.graphs[name].inputs, half.graphs[name].outputs)
    assert whole.precision == "fp32"
    assert "precision" not in whole.to_dict()


def test_it_goes_one_way(bundle: Path, tmp_path: Path) -> None:
    export_from_bundle(bundle, tmp_path / "half", FP16, TargetOptions())
    with pytest.raises(ExportError, match="is in fp16; give the bundle or checkpoints in float32"):
        export_from_bundle(tmp_path / "half", tmp_path / "new", FP16, TargetOptions())
    assert not (tmp_path / "new").exists()
    copied = export_from_bundle(tmp_path / "half", tmp_path / "copy", ONNX, TargetOptions())
    assert copied.precision == "fp16"
    assert INT8 != FP16


@pytest.mark.parametrize(
    ("factor", "message"), [(1e6, "float16 ends at 65504"), (300.0, "float16 moves output lips by")]
)
def test_what_float16_does_not_bear_is_refused(
    factor: float, message: str, audio2lips: Path, warp: Path, tmp_path: Path
) -> None:
    """Large values overflow; large outputs lose more than lips may."""
    checkpoint = load_checkpoint(audio2lips)
    weights = dict(checkpoint.state_dict)
    weights["shapes.weight"] = weights["shapes.weight"] * factor
    header = {"kind": "audio2lips", "step": 7, "model": checkpoint.model_args, "specs": checkpoint.specs}
    header |= {"config": {}, "dataset": checkpoint.dataset}
    spoiled = save_checkpoint(tmp_path / "run", header, weights, {})
    with pytest.raises(ExportError, match=message):
        export_bundle(ExportRequest([spoiled, warp], tmp_path / "new", FP16, tolerance=1e9))
    assert not (tmp_path / "new").exists()


def test_a_graph_of_floats_only_is_sorted(plan_of: Callable[..., GraphPlan]) -> None:
    plan = plan_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)), 3, 8, 8)
    model = to_onnx(plan)
    before = model.SerializeToString(deterministic=True)
    half = to_half(model)
    onnx.checker.check_model(half, full_check=True)
    assert model.SerializeToString(deterministic=True) == before
    session_input = np.random.default_rng(1).normal(size=(2, 3, 8, 8)).astype(np.float32)
    with torch.no_grad():
        expected = plan.module(torch.from_numpy(session_input)).numpy()
    from lipforge.export.ascend.half import run_model

    np.testing.assert_allclose(run_model(half, {"x": session_input})["y"], expected, atol=5e-3 * np.abs(expected).max())
