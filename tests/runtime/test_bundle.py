from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.errors import BackendError, ConfigError, InputError
from lipforge.runtime.bundle import Bundle, shipped_bundles
from lipforge.runtime.generator import load_generator
from lipforge.runtime.manifest import NO_GENERATOR
from lipforge.runtime.onnx_engine import OnnxEngine


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_bundle_loads_and_its_engines_match_the_manifest(bundle: Bundle) -> None:
    engine = bundle.engine("audio2lips")

    assert bundle.manifest.lookahead_ms == 125.0
    assert engine.inputs == bundle.graph("audio2lips").inputs
    lips = engine.run({"mel": np.full((1, 80, 32), -4, np.float32)})["lips"]
    assert lips.shape == (1, 40, 3)
    assert not lips.any()


def test_a_bound_run_writes_into_the_given_arrays(bundle: Bundle) -> None:
    arrays = {"mel": np.zeros((1, 80, 32), np.float32), "lips": np.zeros((1, 40, 3), np.float32)}
    run = bundle.engine("audio2lips").bind(arrays)
    for level in (1.0, -2.0):
        arrays["mel"][:] = level
        run()
        expected = bundle.engine("audio2lips").run({"mel": arrays["mel"]})["lips"]
        assert np.array_equal(arrays["lips"], expected)
        assert arrays["lips"].any()


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((1, 80, 31), np.float32),
        np.zeros((1, 80, 32), np.float64),
        np.zeros((1, 32, 80), np.float32).transpose(0, 2, 1),
        np.zeros((80, 32), np.float32),
    ],
)
def test_binding_refuses_arrays_that_do_not_fit(bundle: Bundle, array: np.ndarray) -> None:
    with pytest.raises(ConfigError, match="mel wants contiguous float32"):
        bundle.engine("audio2lips").bind({"mel": array, "lips": np.zeros((1, 40, 3), np.float32)})


def test_run_with_a_missing_input_is_one_line(bundle: Bundle) -> None:
    with pytest.raises(BackendError) as caught:
        bundle.engine("audio2lips").run({})
    assert "\n" not in str(caught.value)


def test_no_threads_is_refused(bundle: Bundle) -> None:
    with pytest.raises(ConfigError, match="allowed are 1 and more"):
        OnnxEngine(bundle.paths["warp"], threads=0)


def test_a_missing_bundle_names_what_ships() -> None:
    with pytest.raises(InputError, match="no such bundle"):
        Bundle.load("no-such-bundle")


def test_a_text_file_is_not_a_bundle(tmp_path: Path) -> None:
    file = tmp_path / "model.txt"
    file.write_text("hello")
    with pytest.raises(InputError, match="is a file; a bundle is a folder"):
        Bundle.load(file)


def test_an_empty_folder_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a bundle"):
        Bundle.load(tmp_path)


def test_another_schema_version_is_refused(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, schema=7)
    with pytest.raises(ConfigError, match="schema is 7, this version of lipforge reads 1"):
        Bundle.load(bundle_copy)


def test_an_unknown_generator_is_refused(bundle_copy: Path) -> None:
    edit_manifest(bundle_copy, generator="dream")
    with pytest.raises(ConfigError, match="generator is 'dream'"):
        Bundle.load(bundle_copy)


def test_a_changed_graph_is_refused(bundle_copy: Path) -> None:
    with (bundle_copy / "warp.onnx").open("ab") as file:
        file.write(b"x")
    with pytest.raises(InputError, match="not what was exported"):
        Bundle.load(bundle_copy)


def test_a_missing_graph_is_refused(bundle_copy: Path) -> None:
    (bundle_copy / "warp.onnx").unlink()
    with pytest.raises(InputError, match=r"warp\.onnx: the bundle's graph is missing"):
        Bundle.load(bundle_copy)


def test_graphs_that_contradict_the_manifest_are_refused(bundle_copy: Path) -> None:
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    manifest["graphs"]["audio2lips"]["inputs"][0]["shape"] = ["B", 80, 16]
    edit_manifest(bundle_copy, graphs=manifest["graphs"])
    with pytest.raises(ConfigError, match="its inputs are mel"):
        load_generator(Bundle.load(bundle_copy))


def test_specs_that_contradict_the_graphs_are_refused(bundle_copy: Path) -> None:
    manifest = json.loads((bundle_copy / "manifest.json").read_text())
    edit_manifest(bundle_copy, lips=manifest["lips"] | {"outer_points": 24})
    with pytest.raises(ConfigError, match="lips wants contiguous"):
        load_generator(Bundle.load(bundle_copy))


def test_shipped_bundles_load() -> None:
    assert {"synth-warp", "synth-expert"} <= set(shipped_bundles())
    for name in shipped_bundles():
        bundle = Bundle.load(name)
        if bundle.manifest.generator == NO_GENERATOR:
            bundle.engine("syncnet")
        else:
            load_generator(bundle)
