"""``--target onnx-int8``: bundles of both generators, from checkpoints and from bundles, or nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from lipforge.export.cli import export
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.int8.mouth import likeness
from lipforge.export.int8.samples import open_samples
from lipforge.export.int8.target import Int8Options
from lipforge.export.targets import INT8, TargetOptions
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import ConfigError, ExportError, InputError
from lipforge.kernels.spec import CropSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.generator import load_generator
from lipforge.runtime.manifest import Manifest

OPTIONS = Int8Options(least_psnr_db=20.0, samples=6, judged=4, expert="none")


def options_of(data: Path, **changes: Any) -> TargetOptions:
    return TargetOptions(int8=replace(OPTIONS, calibration=data, **changes))


@pytest.fixture(scope="module")
def quantised(bundle: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny warp bundle in 8 bits, not to be changed."""
    folder = tmp_path_factory.mktemp("int8") / "in 8 bits"
    export_from_bundle(bundle, folder, INT8, options_of(data))
    return folder


@pytest.fixture(scope="module")
def drawn(wav2lip: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny inpaint generator in 8 bits, straight from its checkpoint."""
    folder = tmp_path_factory.mktemp("int8") / "drawn"
    export_bundle(ExportRequest([wav2lip], folder, INT8, options=options_of(data)))
    return folder


def test_a_bundle_in_8_bits_is_a_bundle(quantised: Path, drawn: Path, bundle: Path) -> None:
    for folder in (quantised, drawn):
        loaded = Bundle.load(folder)
        assert {file.name for file in folder.iterdir()} == {
            "manifest.json",
            "reference.npz",
            *(graph.file for graph in loaded.manifest.graphs.values()),
        }
        entry = loaded.manifest.int8
        assert entry is not None
        assert entry.psnr_db >= entry.least_psnr_db == 20.0
        assert entry.worst_psnr_db <= entry.psnr_db
        assert (entry.calibrated, entry.judged) == (6, 4)
        for name, graph in loaded.manifest.graphs.items():
            assert graph.ops["QuantizeLinear"] > 5
            assert graph.opset == 17
            assert "ConvTranspose" not in graph.ops
            assert len(entry.graphs[name].float_layers) <= entry.graphs[name].layers / 2
        load_generator(loaded)
    before, after = Bundle.load(bundle).manifest, Bundle.load(quantised).manifest
    assert (before.specs, before.name, before.source) == (after.specs, after.name, after.source)
    for name, graph in before.graphs.items():
        assert (graph.inputs, graph.outputs) == (after.graphs[name].inputs, after.graphs[name].outputs)


def test_the_figure_in_the_manifest_is_what_the_graphs_show(quantised: Path, bundle: Path, data: Path) -> None:
    whole, small = Bundle.load(bundle), Bundle.load(quantised)
    own = {name: whole.engine(name).run for name in whole.paths}
    _, judging, _ = open_samples(whole.manifest, replace(OPTIONS, calibration=data), own)
    found = likeness(judging.draw({name: small.engine(name).run for name in small.paths}), judging.draw({}))
    entry = small.manifest.int8
    assert entry is not None
    assert found.psnr_db == pytest.approx(entry.psnr_db, abs=0.01)
    assert found.worst_db == pytest.approx(entry.worst_psnr_db, abs=0.01)


def test_an_error_of_the_audio_network_shows_in_the_mouth(data: Path) -> None:
    loaded = Bundle.load()  # the one that ships: untrained lips do not move
    own = {name: loaded.engine(name).run for name in loaded.paths}
    _, judging, _ = open_samples(loaded.manifest, replace(OPTIONS, calibration=data), own)

    def two_pixels_lower(arrays: Any) -> Any:
        lips = own["audio2lips"](arrays)["lips"].copy()
        lips[..., 1] += 2.0
        return {"lips": lips}

    truth = judging.draw({})
    assert likeness(judging.draw({"audio2lips": own["audio2lips"]}), truth).psnr_db == float("inf")
    assert likeness(judging.draw({"audio2lips": two_pixels_lower}), truth).psnr_db < 60.0


def test_fields_are_laid_over_the_crop_as_at_run_time(data: Path) -> None:
    """Their grid is finer than the crop: what is painted in its middle has to appear in the crop's middle."""
    loaded = Bundle.load()
    own = {name: loaded.engine(name).run for name in loaded.paths}
    _, judging, _ = open_samples(loaded.manifest, replace(OPTIONS, calibration=data), own)
    side = loaded.manifest.crop.size_px * loaded.manifest.warp.factor
    middle = slice(side // 4, 3 * side // 4)

    def white_middle(arrays: Any) -> Any:
        mask = np.zeros((1, 1, side, side), np.float32)
        mask[..., middle, middle] = 1.0
        return {
            "flow": np.zeros((1, 2, side, side), np.float32),
            "mask": mask,
            "colour": np.ones((1, 3, side, side), np.float32),
        }

    for mouth in judging.draw({"warp": white_middle}):
        np.testing.assert_array_equal(mouth.image[25:71, 25:71], 255)
        assert mouth.image[:23].max() < 255
        assert mouth.image[:, 73:].max() < 255


def test_samples_for_judging_are_not_those_for_calibration(bundle: Path, data: Path) -> None:
    loaded = Bundle.load(bundle)
    own = {name: loaded.engine(name).run for name in loaded.paths}
    calibration, judging, _ = open_samples(loaded.manifest, replace(OPTIONS, calibration=data), own)
    for graph, key in (("audio2lips", "mel"), ("warp", "reference")):
        seen = {feed[key].tobytes() for feed in calibration.feeds(graph)}
        assert not seen & {feed[key].tobytes() for feed in judging.feeds(graph)}


def test_verify_and_inspect_know_it(quantised: Path, drawn: Path) -> None:
    for folder in (quantised, drawn):
        reports = verify_bundle(folder)
        assert any(report.max_abs > 0 for report in reports)
    shown = CliRunner().invoke(export, ["inspect", str(quantised)]).output
    assert "8 bits: the mouth's PSNR against float32 is " in shown
    assert "  warp: " in shown


def test_mouths_that_change_too_much_are_refused_and_leave_nothing(bundle: Path, data: Path, tmp_path: Path) -> None:
    said: list[str] = []
    with pytest.raises(
        ExportError, match=r"PSNR against float32 is [\d.]+ dB on 4 held-out samples \(the worst [\d.]+\)"
    ):
        export_from_bundle(bundle, tmp_path / "new", INT8, options_of(data, least_psnr_db=99.0, say=said.append))
    assert not list(tmp_path.iterdir())
    assert any("measuring each layer alone" in line for line in said)


def test_the_same_inputs_give_the_same_bytes(quantised: Path, bundle: Path, data: Path, tmp_path: Path) -> None:
    export_from_bundle(bundle, tmp_path / "again", INT8, options_of(data))
    for file in quantised.iterdir():
        assert (tmp_path / "again" / file.name).read_bytes() == file.read_bytes(), file.name


def test_what_it_needs_is_said(bundle: Path, data: Path, quantised: Path, tmp_path: Path) -> None:
    def refused(*words: str) -> str:
        result = CliRunner().invoke(export, [str(bundle), "-o", str(tmp_path / "new"), *words])
        assert result.exit_code != 0
        assert not (tmp_path / "new").exists()
        return str(result.exception)

    assert "give --calibration DATA" in refused("--target", "onnx-int8")
    assert "no such folder" in refused("--target", "onnx-int8", "--calibration", str(tmp_path / "nowhere"))
    assert "only for --target onnx-int8 and openvino" in refused("--target", "ascend-om", "--calibration", str(data))
    with pytest.raises(ExportError, match="is in int8; give"):
        export_from_bundle(quantised, tmp_path / "new", INT8, options_of(data))


def test_judges_are_not_quantised(data: Path, new_checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    request = ExportRequest([new_checkpoint(tmp_path / "run", "syncnet")], tmp_path / "new", INT8)
    with pytest.raises(ExportError, match="syncnet: judges"):
        export_bundle(replace(request, options=options_of(data)))
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fps": 50}, "50 frames a second, the bundle was trained at 25"),
        ({"crop": CropSpec(size_px=64).to_dict()}, r"crop is CropSpec\(size_px=64"),
        ({"shards": [{"name": "shard-000000.tar", "samples": 9}]}, "holds 5 samples, dataset.json says 9"),
        ({"shards": [{"name": "shard-000001.tar", "samples": 5}]}, "missing, although dataset.json lists it"),
    ],
)
def test_datasets_that_do_not_fit(
    changes: dict[str, Any], message: str, bundle: Path, new_data: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises((ConfigError, InputError), match=message):
        export_from_bundle(bundle, tmp_path / "new", INT8, options_of(new_data(**changes)))
    assert not (tmp_path / "new").exists()


def test_faces_are_needed_for_an_inpaint_generator(
    wav2lip: Path, new_data: Callable[..., Path], tmp_path: Path
) -> None:
    options = options_of(new_data(faces=None))
    with pytest.raises(InputError, match="its clips have no pictures of faces"):
        export_bundle(ExportRequest([wav2lip], tmp_path / "new", INT8, options=options))
    assert not (tmp_path / "new").exists()


def test_a_manifest_without_these_keys_is_as_before(bundle: Path, quantised: Path) -> None:
    assert "int8" not in Manifest.read(bundle).to_dict()
    values = json.loads((quantised / "manifest.json").read_text())
    values["int8"]["psnr_db"] = "good"
    with pytest.raises(ConfigError, match=r"int8: psnr_db must be a number"):
        Manifest.from_dict(values)


def test_silence_lies_outside_of_the_sound(bundle: Path) -> None:
    from lipforge.export.int8.samples import mel_window

    manifest = Bundle.load(bundle).manifest
    spectrogram = np.arange(80 * 40, dtype=np.float32).reshape(80, 40)
    first, last = mel_window(spectrogram, 0, manifest), mel_window(spectrogram, 12, manifest)
    assert (first[0, :, :23] == -4).all()
    np.testing.assert_array_equal(first[0, :, 23:], spectrogram[:, :9])
    np.testing.assert_array_equal(last[0, :, :25], spectrogram[:, 15:])  # frame 12 is at column 38.4: from 15 on
    assert (last[0, :, 25:] == -4).all()
