from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.kernels.errors import BackendError, ConfigError, MissingPackageError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.generator import load_generator
from lipforge.runtime.manifest import Manifest
from lipforge.runtime.onnx_engine import OnnxEngine

pytest.importorskip("openvino", reason="needs the extra openvino")

from lipforge.runtime.openvino_engine import OpenVinoEngine

ARRAYS = {
    "reference": ((96, 96, 3), np.uint8),
    "reference_lips": ((2, 96, 96), np.uint8),
    "target_lips": ((2, 96, 96), np.uint8),
    "flow": ((2, 192, 192), np.float32),
    "mask": ((1, 192, 192), np.float32),
    "colour": ((3, 192, 192), np.float32),
}


@pytest.fixture(scope="module")
def path() -> Path:
    return Bundle.load("synth-warp").paths["warp"]


def arrays(batch: int, seed: int = 1) -> dict[str, Any]:
    random = np.random.default_rng(seed)
    made: dict[str, Any] = {name: np.zeros((batch, *shape), dtype) for name, (shape, dtype) in ARRAYS.items()}
    for name in ("reference", "reference_lips", "target_lips"):
        made[name][:] = random.integers(0, 256, made[name].shape)
    return made


def test_it_computes_what_onnxruntime_does(path: Path) -> None:
    engine, other = OpenVinoEngine(path), OnnxEngine(path)
    assert (engine.inputs, engine.outputs, engine.path) == (other.inputs, other.outputs, path)
    for batch in (1, 3):
        fed = {entry.name: arrays(batch)[entry.name] for entry in engine.inputs}
        produced, expected = engine.run(fed), other.run(fed)
        assert list(produced) == ["flow", "mask", "colour"]
        for name, truth in expected.items():
            assert np.ptp(truth) > 0.1
            np.testing.assert_allclose(produced[name], truth, rtol=0, atol=1e-3 if name == "flow" else 1e-4)
    first = engine.run(fed)["flow"]
    kept = first.copy()
    engine.run({name: np.zeros_like(array) for name, array in fed.items()})
    np.testing.assert_array_equal(first, kept)  # an array of its own


def test_a_bound_run_reads_and_writes_the_callers_arrays(path: Path) -> None:
    engine = OpenVinoEngine(path)
    mine, others = arrays(1), arrays(1, seed=2)
    run, other = engine.bind(mine), engine.bind(others)
    run()
    other()
    assert run.arrays is mine
    for made in (mine, others):
        expected = engine.run({entry.name: made[entry.name] for entry in engine.inputs})
        for name, truth in expected.items():
            np.testing.assert_array_equal(made[name], truth)
    before = mine["flow"].copy()
    mine["target_lips"][:] = 0
    run()
    assert (mine["flow"] != before).any()


def test_arrays_that_do_not_fit_are_refused(path: Path) -> None:
    engine, made = OpenVinoEngine(path), arrays(1)
    with pytest.raises(ConfigError, match=r"target_lips wants contiguous uint8\('B', 2, 96, 96\), nothing was given"):
        engine.run({name: made[name] for name in ("reference", "reference_lips")})
    with pytest.raises(ConfigError, match="reference wants contiguous uint8"):
        engine.run(made | {"reference": made["reference"].astype(np.float32)})
    with pytest.raises(ConfigError, match="flow wants contiguous float32"):
        engine.bind(made | {"flow": np.zeros((1, 2, 48, 48), np.float32)})
    with pytest.raises(ConfigError, match="threads is 0"):
        OpenVinoEngine(path, threads=0)
    OpenVinoEngine(path, threads=2).run({entry.name: made[entry.name] for entry in engine.inputs})


def test_a_closed_engine_does_not_run(path: Path) -> None:
    engine, made = OpenVinoEngine(path), arrays(1)
    engine.close()
    engine.close()
    with pytest.raises(BackendError, match="the run failed"):
        engine.run({entry.name: made[entry.name] for entry in engine.inputs})


def test_a_file_that_is_no_graph_is_one_line(tmp_path: Path) -> None:
    for content in (b"hello", b""):
        (tmp_path / "a graph.onnx").write_bytes(content)
        with pytest.raises(BackendError, match=r"a graph\.onnx: OpenVINO cannot load it \(.+\)\.$") as caught:
            OpenVinoEngine(tmp_path / "a graph.onnx")
        assert "\n" not in str(caught.value)
    with pytest.raises(BackendError, match=r"OpenVINO cannot load it \(.*Could not open"):
        OpenVinoEngine(tmp_path / "missing.onnx")


def test_a_bundle_runs_on_it_when_it_is_named() -> None:
    bundle = Bundle.load("synth-warp", "openvino")
    assert (bundle.choice.backend, bundle.choice.reason) == ("openvino", "it was named")
    assert isinstance(bundle.engine("warp"), OpenVinoEngine)
    load_generator(bundle)
    assert Bundle.load("synth-warp").choice.backend == "onnxruntime"


def test_auto_takes_it_where_the_bundle_was_made_for_it(bundle_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle_copy / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"openvino": "2026.4.1"}))
    assert Manifest.read(bundle_copy).openvino == "2026.4.1"
    choice = Bundle.load(bundle_copy).choice
    assert (choice.backend, choice.reason) == ("openvino", "the bundle was made for OpenVINO")
    assert Bundle.load(bundle_copy, "onnxruntime").choice.backend == "onnxruntime"
    hide_openvino(monkeypatch)
    choice = Bundle.load(bundle_copy).choice
    assert choice.backend == "onnxruntime"
    assert choice.reason == "the bundle was made for OpenVINO, which is not installed"


def test_a_named_backend_that_is_missing_is_an_error_with_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_openvino(monkeypatch)
    with pytest.raises(MissingPackageError, match=r"pip install 'lipforge\[openvino\]'"):
        Bundle.load("synth-warp", "openvino")


def hide_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "openvino"]:
        monkeypatch.delitem(sys.modules, name)
    search, find = importlib.util.find_spec, sys.meta_path[:]

    class Blocked:
        @staticmethod
        def find_spec(name: str, *_: Any) -> None:
            if name.partition(".")[0] == "openvino":
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    monkeypatch.setattr(sys, "meta_path", [Blocked, *find])
    monkeypatch.setattr(
        "lipforge.runtime.backends.find_spec", lambda name: None if name == "openvino" else search(name)
    )
