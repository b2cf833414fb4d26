from __future__ import annotations

import gc
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import onnxruntime
import pytest

from lipforge.kernels.errors import BackendError, ConfigError
from lipforge.runtime.backends import BACKENDS, Choice
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.cli import main
from lipforge.runtime.manifest import Manifest, sha256_of
from lipforge.runtime.onnx_engine import OnnxEngine
from lipforge.runtime.sync import SyncJob, sync

ASCEND = {
    "soc": "Ascend310P3",
    "precision": "fp16",
    "gears": [1, 4],
    "operator_table": {"name": "t", "date": "2026-08", "sha256": "0"},
    "models": {
        graph: {
            "onnx": f"{graph}.onnx",
            "om": graph,
            "float_inputs": [],
            "aipp": "",
            "aipp_inputs": [],
            "arguments": ["--framework=5"],
            "fp16_error": {output: 0.001},
            "budget": {output: 0.01},
            "largest_activation": 255.0,
        }
        for graph, output in (("audio2lips", "lips"), ("warp", "flow"))
    },
}


@pytest.fixture
def for_npu(bundle_copy: Path) -> Path:
    """A bundle whose manifest says how to convert it, with files that pass for OMs."""
    path = bundle_copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"ascend": ASCEND}))
    models = {}
    for graph in ("audio2lips", "warp"):
        om = bundle_copy / f"{graph}.om"
        om.write_bytes(b"no OM")
        models[graph] = {"file": om.name, "sha256": sha256_of(om)}
    conversion = {"schema": 1, "soc": "Ascend310P3", "models": models}
    (bundle_copy / "conversion.json").write_text(json.dumps(conversion))
    return bundle_copy


def test_a_plain_bundle_runs_on_onnxruntime_without_a_look_at_acl(
    bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "acl", None)
    assert Bundle.load(bundle_folder).choice == Choice("onnxruntime", "the bundle was not exported for an NPU")


def test_auto_takes_the_npu_that_the_bundle_was_converted_for(for_npu: Path, fake_acl: Any) -> None:
    assert Bundle.load(for_npu).choice.backend == "acl"
    assert Bundle.load(for_npu, "acl").choice.backend == "acl"
    assert Bundle.load(for_npu, "onnxruntime").choice == Choice("onnxruntime", "it was named")


def test_auto_says_why_it_takes_the_cpu_and_acl_by_name_is_an_error(
    for_npu: Path, new_acl: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines = {
        "acl cannot be imported": None,
        "not CANN's but another of the same name": type(sys)("acl"),
        "no NPU is visible": new_acl(devices=0).module,
        "converted for Ascend310P3 and this NPU is Ascend910B4": new_acl(soc="Ascend910B4").module,
    }
    for reason, module in machines.items():
        monkeypatch.setitem(sys.modules, "acl", module)
        choice = Bundle.load(for_npu).choice
        assert choice.backend == "onnxruntime"
        assert reason in choice.reason
        with pytest.raises(BackendError, match="--backend acl: ") as caught:
            Bundle.load(for_npu, "acl")
        assert reason in str(caught.value)
    (for_npu / "conversion.json").unlink()
    assert "holds no OM yet" in Bundle.load(for_npu).choice.reason


def test_acl_for_a_plain_bundle_is_an_error(bundle_folder: Path, fake_acl: Any) -> None:
    with pytest.raises(BackendError, match=r"was not exported for an NPU\. Export it with --target ascend-om"):
        Bundle.load(bundle_folder, "acl")


def test_an_unknown_backend_is_an_error(bundle_folder: Path) -> None:
    with pytest.raises(ConfigError, match=f"allowed are {', '.join(BACKENDS)}"):
        Bundle.load(bundle_folder, "tpu")


def test_an_om_that_cannot_be_loaded_is_no_reason_to_fall_back(for_npu: Path, fake_acl: Any) -> None:
    with pytest.raises(BackendError, match="100013, PARSE_MODEL"):
        Bundle.load(for_npu).engine("warp")
    assert fake_acl.live() == {}


def test_a_provider_that_is_not_installed_is_an_error(bundle_folder: Path) -> None:
    with pytest.raises(BackendError, match="the installed onnxruntime has no CANNExecutionProvider; it has"):
        Bundle.load(bundle_folder, "onnxruntime-cann").engine("warp")


@pytest.mark.parametrize(
    ("backend", "wanted"),
    [
        ("onnxruntime-cuda", ["CUDAExecutionProvider"]),
        ("onnxruntime-tensorrt", ["TensorrtExecutionProvider", "CUDAExecutionProvider"]),
    ],
)
def test_a_provider_that_quietly_became_the_cpu_is_an_error(
    backend: str, wanted: list[str], bundle_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What onnxruntime does with a provider whose libraries are missing, without such a build at hand."""
    session = onnxruntime.InferenceSession

    class Fallen(session):  # type: ignore[misc, valid-type]
        def __init__(self, path: str, options: Any, providers: list[str]) -> None:
            assert providers == wanted
            super().__init__(path, options, providers=["CPUExecutionProvider"])

    available = [*onnxruntime.get_available_providers(), *wanted]
    monkeypatch.setattr(onnxruntime, "InferenceSession", Fallen)
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: available)
    with pytest.raises(BackendError, match=f"runs it on CPUExecutionProvider instead of {wanted[0]}"):
        Bundle.load(bundle_folder, backend).engine("warp")


def test_a_closed_engine_does_not_run(bundle_folder: Path) -> None:
    engine = OnnxEngine(bundle_folder / "warp.onnx")
    engine.close()
    with pytest.raises(BackendError):
        engine.run({})


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("gears", [], "gears must be a list of whole numbers above 0"),
        ("gears", [0], "gears must be"),
        ("precision", "int8", "precision is 'int8'"),
        ("models", {"warp": {}}, "the key 'onnx' is missing"),
        ("models", {"warp": ASCEND["models"]["warp"] | {"onnx": "../x.onnx"}}, "not a plain file name"),  # type: ignore[index]
        ("models", {"warp": ASCEND["models"]["warp"] | {"arguments": [1]}}, "arguments must be a list of texts"),  # type: ignore[index]
    ],
)
def test_values_that_are_not_usable_are_named(bundle_copy: Path, key: str, value: Any, message: str) -> None:
    values = json.loads((bundle_copy / "manifest.json").read_text()) | {"ascend": ASCEND | {key: value}}
    with pytest.raises(ConfigError, match=message):
        Manifest.from_dict(values)


def test_the_manifest_keeps_what_it_reads(for_npu: Path, tmp_path: Path) -> None:
    manifest = Manifest.read(for_npu)
    manifest.write(tmp_path)
    assert Manifest.read(tmp_path) == manifest
    assert json.loads((tmp_path / "manifest.json").read_text())["ascend"] == ASCEND


def test_sync_takes_a_backend_and_says_what_it_runs_on(
    for_npu: Path, make_video: Any, make_wav: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["sync", "--face", str(make_video()), "--audio", str(make_wav()), "-o", str(tmp_path / "out.mp4")]
    assert main([*words, "--model", str(for_npu), "--backend", "acl"]) == 2
    assert "Error: --backend acl: CANN's Python interface acl cannot be imported" in capsys.readouterr().err
    assert main([*words, "--model", str(for_npu), "--backend", "npu"]) == 2
    assert "--backend npu: allowed are auto, onnxruntime" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


@pytest.fixture
def converted(for_npu: Path, build_om: Any, tmp_path: Path) -> Path:
    """The hand-made bundle with OMs for batches of 1 and 4, in float32."""
    plain = tmp_path / "plain"  # atc takes no spaces, which the bundle's own folder has
    plain.mkdir()
    manifest = Manifest.read(for_npu)
    models = {}
    for name, graph in manifest.graphs.items():
        shapes = [f"{tensor.name}:{','.join(['-1', *map(str, tensor.shape[1:])])}" for tensor in graph.inputs]
        shutil.copy(for_npu / graph.file, plain)
        files = [f"--model={plain / graph.file}", f"--output={plain / name}"]
        batch = [f"--input_shape={';'.join(shapes)}", "--dynamic_batch_size=1,4", "--precision_mode_v2=origin"]
        build_om("--framework=5", "--soc_version=Ascend310P3", "--input_format=ND", *files, *batch)
        shutil.copy(plain / f"{name}.om", for_npu)
        models[name] = {"file": f"{name}.om", "sha256": sha256_of(for_npu / f"{name}.om")}
    conversion = {"schema": 1, "soc": "Ascend310P3", "models": models}
    (for_npu / "conversion.json").write_text(json.dumps(conversion))
    return for_npu


def test_a_video_synced_on_the_npu_is_the_one_synced_on_the_cpu(
    converted: Path, fake_acl: Any, disc_tracker: Any, make_video: Any, make_wav: Any, tmp_path: Path
) -> None:
    face, voice, frames = make_video(frames=12), make_wav(seconds=0.48), {}
    for backend in ("acl", "onnxruntime"):
        job = SyncJob(face, voice, tmp_path / f"{backend}.mp4")
        report = sync(job, Bundle.load(converted, backend), tracker=disc_tracker)
        assert report.driven_frames == 12
        with av.open(str(job.output)) as container:
            frames[backend] = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert fake_acl.calls["mdl.execute"] == 24
    assert np.array_equal(frames["acl"], frames["onnxruntime"])
    with av.open(str(face)) as container:
        untouched = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    assert max(np.abs(a.astype(int) - b).max() for a, b in zip(untouched, frames["acl"], strict=True)) > 20
    gc.collect()
    assert (fake_acl.live(), fake_acl.violations) == ({}, [])
