"""What is damaged, does not fit or finds no room: one clear line, and nothing is left behind, whatever the target."""

from __future__ import annotations

import json
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lipforge.export.ascend.target import AscendOptions
from lipforge.export.bundle_folder import read_reference, write_reference
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.int8.target import Int8Options
from lipforge.export.targets import ASCEND, INT8, ONNX, OPENVINO, TARGETS, TargetOptions
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import LipforgeError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import sha256_of

EVERY_TARGET = pytest.mark.parametrize("target", [pytest.param(target, id=target) for target in TARGETS])


@pytest.fixture(autouse=True)
def has_openvino(request: pytest.FixtureRequest) -> None:
    if OPENVINO in request.node.name:
        pytest.importorskip("openvino", reason="needs the extra openvino")


@pytest.fixture(scope="module")
def options(data: Path) -> TargetOptions:
    int8 = Int8Options(calibration=data, least_psnr_db=15.0, samples=4, judged=3, expert="none")
    return TargetOptions(int8, AscendOptions(gears=(1,), convert=False))


def cut_in_half(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


@contextmanager
def refused(folder: Path, *words: str) -> Iterator[None]:
    """Expect one clear line with these words, and a folder that holds what it held before."""
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(LipforgeError) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert not list(folder.glob(".*"))


def lose_weights(checkpoint: Path) -> None:
    (checkpoint / "model.safetensors").unlink()


def other_widths(checkpoint: Path) -> None:
    header = json.loads((checkpoint / "checkpoint.json").read_text())
    header["model"]["encoder"] = [8, 8, 16, 24]
    (checkpoint / "checkpoint.json").write_text(json.dumps(header))


@EVERY_TARGET
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda checkpoint: cut_in_half(checkpoint / "model.safetensors"), ("model.safetensors",)),
        (lambda checkpoint: cut_in_half(checkpoint / "checkpoint.json"), ("checkpoint.json",)),
        (lambda checkpoint: (checkpoint / "model.safetensors").write_bytes(b"<html>"), ("model.safetensors",)),
        (lose_weights, ("model.safetensors",)),
        (other_widths, ("weights do not fit warp",)),
    ],
    ids=["weights cut short", "header cut short", "weights of another kind", "no weights", "another network"],
)
def test_damaged_checkpoints(
    target: str,
    damage: Callable[[Path], None],
    words: tuple[str, ...],
    audio2lips: Path,
    warp: Path,
    options: TargetOptions,
    tmp_path: Path,
) -> None:
    spoiled = Path(shutil.copytree(warp, tmp_path / "runs" / warp.name))
    damage(spoiled)
    with refused(tmp_path, *words):
        export_bundle(ExportRequest([audio2lips, spoiled], tmp_path / "new", target, options=options))


def hash_again(bundle: Path) -> None:
    """Let the manifest vouch for what the files now are."""
    values = json.loads((bundle / "manifest.json").read_text())
    for graph in values["graphs"].values():
        graph["sha256"] = sha256_of(bundle / graph["file"])
    (bundle / "manifest.json").write_text(json.dumps(values))


def cut_graph(bundle: Path) -> None:
    cut_in_half(bundle / "warp.onnx")
    hash_again(bundle)


def swap_graphs(bundle: Path) -> None:
    (bundle / "warp.onnx").write_bytes((bundle / "audio2lips.onnx").read_bytes())
    hash_again(bundle)


def lose_array(bundle: Path) -> None:
    arrays = read_reference(bundle / "reference.npz")
    del arrays["warp.mask"]
    write_reference(bundle / "reference.npz", arrays)


@EVERY_TARGET
@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda bundle: cut_in_half(bundle / "manifest.json"), ("manifest.json: cannot be read",)),
        (lambda bundle: cut_in_half(bundle / "warp.onnx"), ("warp.onnx: the content is not what was exported",)),
        (lambda bundle: (bundle / "warp.onnx").unlink(), ("warp.onnx: the bundle's graph is missing",)),
        (cut_graph, ("warp.onnx: onnxruntime cannot load it",)),
        (swap_graphs, ("warp.onnx: its inputs are mel", "the manifest says reference")),
        (lambda bundle: (bundle / "reference.npz").unlink(), ("reference.npz: cannot be read",)),
    ],
    ids=["manifest", "graph", "no graph", "graph with its hash", "another graph", "no reference"],
)
def test_damaged_bundles(
    target: str,
    damage: Callable[[Path], None],
    words: tuple[str, ...],
    bundle: Path,
    options: TargetOptions,
    tmp_path: Path,
) -> None:
    spoiled = Path(shutil.copytree(bundle, tmp_path / "old"))
    damage(spoiled)
    with refused(tmp_path, *words):
        export_from_bundle(spoiled, tmp_path / "new", target, options)


@EVERY_TARGET
@pytest.mark.parametrize(
    "damage", [lambda bundle: cut_in_half(bundle / "reference.npz"), lose_array], ids=["cut", "lost"]
)
def test_damaged_references(
    target: str, damage: Callable[[Path], None], bundle: Path, options: TargetOptions, tmp_path: Path
) -> None:
    spoiled = Path(shutil.copytree(bundle, tmp_path / "old"))
    damage(spoiled)
    with refused(tmp_path, "reference.npz"):
        export_from_bundle(spoiled, tmp_path / "new", target, options)
    with refused(tmp_path, "reference.npz"):
        verify_bundle(spoiled)


@contextmanager
def full_disk(limit: int) -> Iterator[None]:
    """Let the system refuse to make a file longer than that, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


@EVERY_TARGET
@pytest.mark.parametrize("limit", [2_000, 30_000])
def test_a_full_disk(
    target: str, limit: int, audio2lips: Path, warp: Path, bundle: Path, options: TargetOptions, tmp_path: Path
) -> None:
    """Graphs take some ten kB each, the reference more: one limit stops the first file, the other a later one."""
    request = ExportRequest([audio2lips, warp], tmp_path / "new", target, options=options)
    with refused(tmp_path, "cannot be written (File too large)"), full_disk(limit):
        export_bundle(request)
    shutil.copytree(bundle, tmp_path / "new")
    with refused(tmp_path, "cannot be written (File too large); nothing was changed"), full_disk(limit):
        export_bundle(replace(request, overwrite=True))
    with refused(tmp_path, "cannot be written (File too large)"), full_disk(limit):
        export_from_bundle(bundle, tmp_path / "other", target, options)
    Bundle.load(tmp_path / "new")


@EVERY_TARGET
def test_a_path_with_spaces_and_quotes(
    target: str, audio2lips: Path, warp: Path, options: TargetOptions, tmp_path: Path
) -> None:
    place = tmp_path / 'it\'s a "place" of mine'
    runs = [Path(shutil.copytree(run, place / kind / run.name)) for kind, run in (("a b", audio2lips), ("c d", warp))]
    export_bundle(ExportRequest(runs, place / "my bundle", target, options=options))
    assert verify_bundle(place / "my bundle")
    again = place / "and once more"
    if target in (ONNX, OPENVINO, ASCEND):
        export_from_bundle(place / "my bundle", again, target, TargetOptions(ascend=options.ascend))
        assert verify_bundle(again)


@EVERY_TARGET
def test_bundles_of_every_target_verify_on_every_backend_of_this_machine(
    target: str, wav2lip: Path, options: TargetOptions, tmp_path: Path
) -> None:
    pytest.importorskip("openvino", reason="needs the extra openvino")
    export_bundle(ExportRequest([wav2lip], tmp_path / "bundle", target, options=options))
    for backend in ("onnxruntime", "openvino", "auto"):
        assert verify_bundle(tmp_path / "bundle", backend)


@pytest.mark.parametrize("target", [INT8, OPENVINO])
def test_not_a_number_is_refused(
    target: str, audio2lips: Path, new_checkpoint: Callable[..., Path], options: TargetOptions, tmp_path: Path
) -> None:
    """Weights that are not finite are found by the comparison with torch, before anything is calibrated."""
    spoiled = new_checkpoint(tmp_path / "run", "warp")
    from safetensors.torch import load_file, save_file

    weights = load_file(spoiled / "model.safetensors")
    name = next(name for name, values in weights.items() if values.is_floating_point())
    weights[name] = torch.full_like(weights[name], float("nan"))
    save_file(weights, spoiled / "model.safetensors")
    header: dict[str, Any] = json.loads((spoiled / "checkpoint.json").read_text())
    header["files"]["model.safetensors"] = {
        "bytes": (spoiled / "model.safetensors").stat().st_size,
        "sha256": sha256_of(spoiled / "model.safetensors"),
    }
    (spoiled / "checkpoint.json").write_text(json.dumps(header))
    with refused(tmp_path, "differs from torch by nan"):
        export_bundle(ExportRequest([audio2lips, spoiled], tmp_path / "new", target, options=options))
