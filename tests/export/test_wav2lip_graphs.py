"""The Wav2Lip family as graphs: bytes in, what the trained network computes out, at any width."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner
from onnx import numpy_helper

from lipforge.export import export_bundle as module
from lipforge.export.cli import export
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.parity import compare
from lipforge.export.plan import GraphPlan
from lipforge.export.trace import to_onnx
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import ConfigError, ExportError, InputError
from lipforge.kernels.spec import CropSpec, FaceBoxSpec, LipSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.generator import load_generator
from lipforge.train.checkpoint import build_model, load_checkpoint, save_checkpoint
from lipforge.train.models import build_network
from lipforge.train.pth_exchange import export_pth, import_pth

NewCheckpoint = Callable[..., Path]
JUDGES = ("syncnet", "wav2lip-disc")


@pytest.fixture(scope="session")
def inpaint(wav2lip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exported generator, not to be changed."""
    folder = tmp_path_factory.mktemp("bundles") / "inpaint"
    export_bundle(ExportRequest([wav2lip], folder))
    return folder


@pytest.fixture(scope="session")
def judges(new_checkpoint: NewCheckpoint, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Checkpoint and bundle of the expert and of the critic."""
    root, made = tmp_path_factory.mktemp("judges"), {}
    for kind in JUDGES:
        checkpoint = new_checkpoint(root / kind, kind)
        export_bundle(ExportRequest([checkpoint], root / f"{kind} bundle"))
        made[kind] = checkpoint, root / f"{kind} bundle"
    return made


def bytes_of(random: np.random.Generator, *shape: int) -> np.ndarray:
    return random.integers(0, 256, shape, np.uint8)


def planes(pictures: np.ndarray) -> torch.Tensor:
    """uint8 (B, H, W, 3) to float32 (B, 3, H, W) in [0, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255.0


def drawn_by_torch(checkpoint: Path, mel: np.ndarray, face: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """In the words of the published inference, but rounded: masked face and reference over 255, picture times 255."""
    masked = planes(face)
    masked[:, :, masked.shape[2] // 2 :] = 0.0
    with torch.no_grad():
        drawn = build_model(load_checkpoint(checkpoint))(
            torch.from_numpy(mel)[:, None], torch.cat([masked, planes(reference)], 1)
        )
    return np.rint(drawn.permute(0, 2, 3, 1).numpy() * 255.0)


def test_the_bundle_says_what_its_runtime_needs(inpaint: Path, atc_ops: set[str]) -> None:
    manifest = Bundle.load(inpaint).manifest
    assert (manifest.generator, manifest.fps, manifest.lookahead_ms) == ("inpaint", 25.0, 172.5)
    assert manifest.specs["mel_chunk"].to_dict() == {"columns": 16, "offset_frames": -1}
    assert manifest.mel.padding == "reflect"
    assert manifest.face_box == FaceBoxSpec(size_px=96, pads_px=(0, 10, 0, 0))
    assert (manifest.crop, manifest.lips) == (CropSpec(), LipSpec())
    graph = manifest.graphs["wav2lip"]
    assert [(entry.name, entry.dtype, entry.shape) for entry in (*graph.inputs, *graph.outputs)] == [
        ("mel", "float32", ("B", 80, 16)),
        ("face", "uint8", ("B", 96, 96, 3)),
        ("reference", "uint8", ("B", 96, 96, 3)),
        ("image", "uint8", ("B", 96, 96, 3)),
    ]
    assert graph.opset == 17
    assert set(graph.ops) <= atc_ops  # so no batch norm: it is in the convolutions, the transposed ones too
    assert graph.ops["ConvTranspose"] == 6
    assert graph.ops["Cast"] == 3
    load_generator(Bundle.load(inpaint))


def test_the_picture_is_the_trained_networks(inpaint: Path, wav2lip: Path) -> None:
    random = np.random.default_rng(3)
    mel = random.uniform(-4, 4, (5, 80, 16)).astype(np.float32)
    face, reference = bytes_of(random, 5, 96, 96, 3), bytes_of(random, 5, 96, 96, 3)
    expected = drawn_by_torch(wav2lip, mel, face, reference)
    assert np.ptp(expected) > 30
    engine = Bundle.load(inpaint).engine("wav2lip")
    produced = engine.run({"mel": mel, "face": face, "reference": reference})["image"]
    difference = np.abs(produced.astype(float) - expected)
    assert difference.max() <= 1
    assert difference.mean() < 2e-3
    face[:, 48:] = 0
    again = engine.run({"mel": mel, "face": face, "reference": reference})["image"]
    np.testing.assert_array_equal(again, produced)  # the lower half is not looked at
    face[:, :48] = 0
    assert (engine.run({"mel": mel, "face": face, "reference": reference})["image"] != produced).any()


def test_expert_and_critic_judge_as_trained(judges: dict[str, tuple[Path, Path]], atc_ops: set[str]) -> None:
    random = np.random.default_rng(4)
    mel, faces = random.uniform(-4, 4, (3, 80, 16)).astype(np.float32), bytes_of(random, 3, 5, 96, 96, 3)
    checkpoint, bundle = judges["syncnet"]
    stacked = torch.cat([planes(faces[:, k])[:, :, 48:] for k in range(5)], 1)
    with torch.no_grad():
        sound, mouths = build_model(load_checkpoint(checkpoint))(torch.from_numpy(mel)[:, None], stacked)
    produced = Bundle.load(bundle).engine("syncnet").run({"mel": mel, "faces": faces})
    np.testing.assert_allclose(produced["sound"], sound.numpy(), atol=1e-5)
    np.testing.assert_allclose(produced["mouths"], mouths.numpy(), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(produced["mouths"], axis=1), 1.0, atol=1e-5)
    checkpoint, bundle = judges["wav2lip-disc"]
    with torch.no_grad():
        chance = build_model(load_checkpoint(checkpoint))(planes(faces[:, 0])[:, :, None])
    produced = Bundle.load(bundle).engine("wav2lip-disc").run({"face": faces[:, 0]})
    np.testing.assert_allclose(produced["chance"], chance.numpy(), atol=1e-5)
    for kind, (_, bundle) in judges.items():
        manifest = Bundle.load(bundle).manifest
        assert (manifest.generator, manifest.lookahead_ms) == ("none", 0.0)
        assert set(manifest.graphs[kind].ops) <= atc_ops  # so no ReduceL2
        with pytest.raises(ConfigError, match="generator 'none' draws nothing"):
            load_generator(Bundle.load(bundle))
    assert set(Bundle.load(judges["syncnet"][1]).manifest.specs) == {"mel", "mel_chunk"}


def test_inspect_and_verify_know_them(inpaint: Path, judges: dict[str, tuple[Path, Path]]) -> None:
    for bundle in (inpaint, *(bundle for _, bundle in judges.values())):
        assert all(report.max_abs <= 1.0 for report in verify_bundle(bundle))
        result = CliRunner().invoke(export, ["inspect", str(bundle)])
        assert result.exit_code == 0, result.output
    shown = CliRunner().invoke(export, ["inspect", str(inpaint)]).output
    assert shown.startswith("inpaint: generator inpaint, 25 frames a second, look-ahead 172.5 ms\n")
    assert "mel_chunk: columns 16, offset_frames -1\n" in shown
    assert "face_box: size_px 96, anchor landmarks" in shown
    assert "wav2lip.image batch 3: max " in CliRunner().invoke(export, ["verify", str(inpaint)]).output


def test_another_side_and_other_widths(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    def larger(header: dict[str, Any]) -> None:
        header["model"] |= {"face": [4] * 8, "face_repeats": [0] * 6, "decoder": [4] * 8, "decoder_repeats": [0] * 7}
        header["specs"]["mel_chunk"]["offset_frames"] = 0

    export_bundle(ExportRequest([new_checkpoint(tmp_path / "run", "wav2lip", larger)], tmp_path / "bundle"))
    manifest = Bundle.load(tmp_path / "bundle").manifest
    assert manifest.graphs["wav2lip"].outputs[0].shape == ("B", 192, 192, 3)
    assert manifest.face_box == FaceBoxSpec(size_px=192)
    assert manifest.lookahead_ms == 212.5


def test_a_checkpoint_may_say_how_its_faces_were_cut(new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    box = FaceBoxSpec(anchor="alignment", box=(0.1, -0.2, 0.9, 0.8), pads_px=(0, 0, 0, 0))
    for name, spec in (("face_box", box), ("crop", CropSpec())):
        run = tmp_path / name

        def cut(header: dict[str, Any], name: str = name, spec: Any = spec) -> None:
            header["specs"][name] = spec.to_dict()

        export_bundle(ExportRequest([new_checkpoint(run / "run", "wav2lip", cut)], run / "bundle"))
        manifest = Bundle.load(run / "bundle").manifest
        assert manifest.face_box == (box if name == "face_box" else None)
        load_generator(Bundle.load(run / "bundle"))

    def wrong(header: dict[str, Any]) -> None:
        header["specs"]["face_box"] = FaceBoxSpec(size_px=64).to_dict()

    with pytest.raises(ExportError, match="wav2lip: the network does not take the inputs that its recipe describes"):
        export_bundle(ExportRequest([new_checkpoint(tmp_path / "w", "wav2lip", wrong)], tmp_path / "bundle"))


def test_published_files_go_the_whole_way(wav2lip: Path, inpaint: Path, tmp_path: Path) -> None:
    """A checkpoint as the published code would have saved it, imported and exported, is the same graph."""
    export_pth(wav2lip, tmp_path / "wav2lip.pth")
    with pytest.raises(InputError, match=r"wav2lip\.pth: a \.pth file; turn it into a checkpoint with"):
        export_bundle(ExportRequest([tmp_path / "wav2lip.pth"], tmp_path / "bundle"))
    import_pth(tmp_path / "wav2lip.pth", tmp_path / "run")
    manifest = export_bundle(ExportRequest([tmp_path / "run"], tmp_path / "bundle"))
    assert (tmp_path / "bundle" / "wav2lip.onnx").read_bytes() == (inpaint / "wav2lip.onnx").read_bytes()
    assert manifest.specs == Bundle.load(inpaint).manifest.specs


@pytest.mark.parametrize("factor", [1.5, 1.01])
def test_a_graph_that_disagrees_is_refused(
    wav2lip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, factor: float
) -> None:
    """A small error may hide below one level everywhere; its mean gives it away."""

    def perturbed(plan: GraphPlan, opset: int) -> onnx.ModelProto:
        model = to_onnx(plan, opset)
        last = next(node for node in reversed(model.graph.node) if node.op_type == "Conv")
        weights = next(init for init in model.graph.initializer if init.name == last.input[1])
        weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * np.float32(factor), weights.name))
        return model

    monkeypatch.setattr(module, "to_onnx", perturbed)
    with pytest.raises(ExportError, match="wav2lip: output image differs from torch by"):
        export_bundle(ExportRequest([wav2lip], tmp_path / "bundle"))
    assert not list(tmp_path.iterdir())


def test_bytes_may_differ_where_rounding_decides_and_not_more_often() -> None:
    truth = np.full((1, 1000), 100, np.uint8)
    near = truth.copy()
    near[0, :20] += 1
    assert compare("g", {"image": near}, {"image": truth}, {"image": 1.0}).max_abs == {"image": 1.0}
    near[0, :21] = 101
    with pytest.raises(ExportError, match=r"0\.021 levels on average; rounding alone explains 0\.02"):
        compare("g", {"image": near}, {"image": truth}, {"image": 1.0})


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "gain"), [("wav2lip", 0.55), ("syncnet", 0.55), ("wav2lip-disc", 1.0)])
def test_networks_of_the_published_size(
    kind: str, gain: float, new_checkpoint: NewCheckpoint, golden_weights: Callable[..., Any], tmp_path: Path
) -> None:
    """Golden weights -> checkpoint -> graph, within the stated bounds on every output."""
    with torch.device("meta"):
        network = build_network(kind, {})
    template = load_checkpoint(new_checkpoint(tmp_path / "narrow", kind))
    header = {"kind": kind, "step": 1, "model": {}, "config": {}, "specs": template.specs, "dataset": template.dataset}
    weights = golden_weights(network, gain)
    manifest = export_bundle(
        ExportRequest([save_checkpoint(tmp_path / "run", header, weights, {})], tmp_path / "bundle")
    )
    parity = manifest.graphs[kind].parity
    assert all(error <= (1.0 if name == "image" else 1e-5) for name, error in parity.max_abs.items())
    assert "BatchNormalization" not in manifest.graphs[kind].ops
    verify_bundle(tmp_path / "bundle")
