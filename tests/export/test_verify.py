from __future__ import annotations

import json
import shutil
from pathlib import Path

import onnx
import pytest
from onnx import numpy_helper

from lipforge.export.bundle_folder import read_reference, write_reference
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import ExportError, InputError
from lipforge.runtime.manifest import sha256_of


@pytest.fixture
def copied(bundle: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle, tmp_path / "copied"))


def spoil(folder: Path) -> None:
    """Change a weight of the warp graph."""
    model = onnx.load(folder / "warp.onnx")
    weights = max(model.graph.initializer, key=lambda init: len(init.dims))
    weights.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(weights) * 1.1, weights.name))
    onnx.save(model, folder / "warp.onnx")


def test_a_fresh_bundle_verifies(bundle: Path) -> None:
    reports = verify_bundle(bundle)
    assert {(report.graph, report.output, report.batch) for report in reports} == {
        (graph, output, batch)
        for graph, outputs in (("audio2lips", ["lips"]), ("warp", ["flow", "mask", "colour"]))
        for output in outputs
        for batch in (1, 3)
    }
    for report in reports:
        assert 0 <= report.mean_abs <= report.max_abs < 1e-3
        assert report.psnr_db > 80
        assert report.cosine > 0.999999


def test_a_changed_graph_is_found(copied: Path) -> None:
    spoil(copied)
    with pytest.raises(InputError, match=r"warp\.onnx: the content is not what was exported"):
        verify_bundle(copied)


def test_a_changed_graph_with_a_matching_hash_is_found(copied: Path) -> None:
    spoil(copied)
    path = copied / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["graphs"]["warp"]["sha256"] = sha256_of(copied / "warp.onnx")
    path.write_text(json.dumps(manifest))
    with pytest.raises(ExportError, match="warp: output flow differs from torch by"):
        verify_bundle(copied)


def test_a_damaged_reference_is_found(copied: Path) -> None:
    path = copied / "reference.npz"
    arrays = read_reference(path)
    del arrays["warp.mask"]
    write_reference(path, arrays)
    with pytest.raises(InputError, match=r"arrays of graph warp are missing: \['mask'\]"):
        verify_bundle(copied)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"reference\.npz: cannot be read"):
        verify_bundle(copied)
    path.unlink()
    with pytest.raises(InputError, match=r"reference\.npz: cannot be read"):
        verify_bundle(copied)
