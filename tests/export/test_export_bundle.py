from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from lipforge.export import export_bundle as module
from lipforge.export.bundle_folder import read_reference
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.graph import opset_of
from lipforge.export.plan import BYTE, GraphPlan
from lipforge.export.trace import to_onnx
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import ConfigError, ExportError, InputError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import Manifest
from lipforge.train.checkpoint import build_model, load_checkpoint
from lipforge.train.models.warp import WarpNet


def perturbed(factor: float) -> Callable[..., onnx.ModelProto]:
    """Export as always, then scale one layer's weights."""

    def export(plan: GraphPlan, opset: int) -> onnx.ModelProto:
        model = to_onnx(plan, opset)
        weights = max(model.graph.initializer, key=lambda init: len(init.dims))
        weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(factor), weights.name))
        return model

    return export


def test_a_bundle_holds_what_the_formats_say(bundle: Path, atc_ops: set[str]) -> None:
    assert {file.name for file in bundle.iterdir()} == {
        "manifest.json",
        "audio2lips.onnx",
        "warp.onnx",
        "reference.npz",
    }
    manifest = Bundle.load(bundle).manifest
    assert (manifest.name, manifest.generator, manifest.fps, manifest.lookahead_ms) == ("tiny", "warp", 25.0, 125.0)
    assert manifest.source["checkpoints"]["warp"]["step"] == 7
    assert set(manifest.source["tools"]) == {"lipforge", "torch", "onnx", "onnxruntime", "numpy"}
    warp = manifest.graphs["warp"]
    assert [(entry.name, entry.dtype, entry.shape) for entry in (*warp.inputs, *warp.outputs)] == [
        ("reference", "uint8", ("B", 96, 96, 3)),
        ("reference_lips", "uint8", ("B", 2, 96, 96)),
        ("target_lips", "uint8", ("B", 2, 96, 96)),
        ("flow", "float32", ("B", 2, 192, 192)),
        ("mask", "float32", ("B", 1, 192, 192)),
        ("colour", "float32", ("B", 3, 192, 192)),
    ]
    for graph in manifest.graphs.values():
        assert graph.opset == opset_of(onnx.load(bundle / graph.file)) == 17
        assert set(graph.ops) <= atc_ops
        assert all(error <= graph.parity.tolerance[name] for name, error in graph.parity.max_abs.items())
    assert str(bundle) not in (bundle / "manifest.json").read_text()


def test_the_graphs_compute_what_the_trained_networks_compute(bundle: Path, audio2lips: Path, warp: Path) -> None:
    """Against the networks as they were trained, with nothing of the exporter in between."""
    random = np.random.default_rng(2)
    loaded = Bundle.load(bundle)
    mel = random.uniform(-4, 4, (5, 80, 32)).astype(np.float32)
    image, before, after = (
        random.integers(0, 256, (5, *shape), np.uint8) for shape in ((96, 96, 3), *[(2, 96, 96)] * 2)
    )
    with torch.no_grad():
        lips = build_model(load_checkpoint(audio2lips))(torch.from_numpy(mel)).numpy()
        floats = [torch.from_numpy(array) / 255 for array in (image.transpose(0, 3, 1, 2), before, after)]
        network = build_model(load_checkpoint(warp))
        assert isinstance(network, WarpNet)
        expected = [output.numpy() for output in network.fields(network(*floats), 2)]
    np.testing.assert_allclose(loaded.engine("audio2lips").run({"mel": mel})["lips"], lips, rtol=0, atol=1e-5)
    produced = loaded.engine("warp").run({"reference": image, "reference_lips": before, "target_lips": after})
    for name, truth, tolerance in zip(("flow", "mask", "colour"), expected, (2e-4, 1e-5, 1e-5), strict=True):
        assert np.ptp(truth) > 0.01
        np.testing.assert_allclose(produced[name], truth, rtol=0, atol=tolerance)


def test_a_checkpoint_takes_the_place_of_one_graph_of_a_bundle(
    bundle: Path, audio2lips: Path, warp: Path, tmp_path: Path
) -> None:
    export_bundle(ExportRequest([bundle, warp], tmp_path / "both"))
    again = Bundle.load(tmp_path / "both")
    first = Bundle.load(bundle)
    assert (tmp_path / "both" / "audio2lips.onnx").read_bytes() == (bundle / "audio2lips.onnx").read_bytes()
    assert again.manifest.graphs == first.manifest.graphs
    assert again.manifest.specs == first.manifest.specs
    assert again.manifest.source["checkpoints"] == first.manifest.source["checkpoints"]
    kept, made = read_reference(bundle / "reference.npz"), read_reference(tmp_path / "both" / "reference.npz")
    assert kept.keys() == made.keys()
    assert all(np.array_equal(kept[name], made[name]) for name in kept)
    assert verify_bundle(str(tmp_path / "both"))
    export_bundle(ExportRequest([audio2lips, bundle], tmp_path / "voice"))
    assert Bundle.load(tmp_path / "voice").manifest.graphs == first.manifest.graphs
    with pytest.raises(InputError, match="two bundles"):
        export_bundle(ExportRequest([bundle, tmp_path / "both", warp], tmp_path / "none"))
    with pytest.raises(InputError, match="give it checkpoints of these kinds"):
        export_bundle(ExportRequest([bundle], tmp_path / "none"))


def test_the_reference_is_torchs(bundle: Path, audio2lips: Path) -> None:
    arrays = read_reference(bundle / "reference.npz")
    with torch.no_grad():
        lips = build_model(load_checkpoint(audio2lips))(torch.from_numpy(arrays["audio2lips.mel"])).numpy()
    np.testing.assert_array_equal(arrays["audio2lips.lips"], lips)
    assert (bundle / "reference.npz").stat().st_size < 1_500_000


def test_the_same_checkpoints_give_the_same_bytes(bundle: Path, audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    again = tmp_path / "tiny"
    export_bundle(ExportRequest([audio2lips, warp], again))
    for file in bundle.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name


def test_a_graph_that_disagrees_is_refused_and_leaves_nothing(
    audio2lips: Path, warp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ExportRequest([audio2lips, warp], tmp_path / "new" / "bundle")
    monkeypatch.setattr(module, "to_onnx", perturbed(1.5))
    with pytest.raises(ExportError, match=r"audio2lips: output lips differs from torch by [\d.e-]+, allowed is 0\.001"):
        export_bundle(request)
    assert not list((tmp_path / "new").glob("*"))
    assert not list((tmp_path / "new").glob(".*"))
    export_bundle(replace(request, tolerance=1e6))
    recorded = Manifest.read(request.output).graphs["audio2lips"].parity
    assert recorded.max_abs["lips"] > 1e-3
    assert recorded.tolerance == {"lips": 1e6}


def test_not_a_number_is_refused(audio2lips: Path, warp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "to_onnx", perturbed(float("nan")))
    with pytest.raises(ExportError, match="differs from torch by nan"):
        export_bundle(ExportRequest([audio2lips, warp], tmp_path / "bundle", tolerance=1e6))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["ascend", "int8", "tensorrt", ""])
def test_other_targets_are_refused(target: str, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="is not available; available now: onnx"):
        export_bundle(ExportRequest([], tmp_path / "bundle", target=target))


def test_an_existing_bundle_is_replaced_only_when_asked(audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    request = ExportRequest([audio2lips, warp], tmp_path / "a bundle", name="first")
    export_bundle(request)
    with pytest.raises(InputError, match="pass --overwrite"):
        export_bundle(replace(request, name="second"))
    assert Manifest.read(request.output).name == "first"
    export_bundle(replace(request, name="second", overwrite=True))
    assert Manifest.read(request.output).name == "second"
    assert [file.name for file in tmp_path.iterdir()] == ["a bundle"]


def test_files_that_are_not_the_bundles_survive_overwriting(audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    request = ExportRequest([audio2lips, warp], tmp_path / "bundle", overwrite=True)
    export_bundle(request)
    (request.output / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"files that are not the bundle's: \['notes.txt'\]"):
        export_bundle(request)
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "one.jpg").write_text("mine")
    with pytest.raises(InputError, match="is not a bundle"):
        export_bundle(replace(request, output=photos))
    with pytest.raises(InputError, match="is not a folder"):
        export_bundle(replace(request, output=photos / "one.jpg"))
    assert (request.output / "notes.txt").read_text() == (photos / "one.jpg").read_text() == "mine"


def test_an_empty_folder_may_be_filled(audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    (tmp_path / "bundle").mkdir()
    export_bundle(ExportRequest([audio2lips, warp], tmp_path / "bundle"))
    assert Bundle.load(tmp_path / "bundle").manifest.name == "bundle"


def test_a_full_disk_leaves_the_old_bundle(
    audio2lips: Path, warp: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = ExportRequest([audio2lips, warp], tmp_path / "bundle", overwrite=True)
    export_bundle(request)

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_reference", full)
    with pytest.raises(ExportError, match="cannot be written \\(No space left on device\\)"):
        export_bundle(request)
    assert [file.name for file in tmp_path.iterdir()] == ["bundle"]
    Bundle.load(request.output)


def test_weights_that_do_not_fit_are_refused(
    audio2lips: Path, new_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    def other_crop(header: dict[str, Any]) -> None:
        header["specs"]["crop"]["size_px"] = 64

    other = new_checkpoint(tmp_path / "run", "warp", other_crop)
    with pytest.raises((ExportError, ConfigError), match="warp: the network"):
        export_bundle(ExportRequest([audio2lips, other], tmp_path / "bundle"))
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize("opset", [13, 18])
def test_another_opset_is_what_the_saved_file_has(opset: int, audio2lips: Path, warp: Path, tmp_path: Path) -> None:
    manifest = export_bundle(ExportRequest([audio2lips, warp], tmp_path / "bundle", opset=opset))
    for graph in manifest.graphs.values():
        assert graph.opset == opset == opset_of(onnx.load(tmp_path / "bundle" / graph.file))


def test_bytes_become_shares() -> None:
    assert BYTE * 255 == 1.0
