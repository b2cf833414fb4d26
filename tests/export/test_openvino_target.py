from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from lipforge.export import openvino_target
from lipforge.export.cli import export
from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.targets import OPENVINO, TargetOptions
from lipforge.export.verify import verify_bundle
from lipforge.kernels.errors import ExportError, MissingPackageError
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.manifest import Manifest

pytest.importorskip("openvino", reason="needs the extra openvino")


def test_every_kind_of_bundle_is_proven_with_openvino(
    bundle: Path, wav2lip: Path, new_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    export_from_bundle(bundle, tmp_path / "warp", OPENVINO, TargetOptions())
    export_bundle(ExportRequest([wav2lip], tmp_path / "drawn", OPENVINO))
    for kind in ("syncnet", "wav2lip-disc"):
        export_bundle(ExportRequest([new_checkpoint(tmp_path / "run" / kind, kind)], tmp_path / kind, OPENVINO))
    for name in ("warp", "drawn", "syncnet", "wav2lip-disc"):
        loaded = Bundle.load(tmp_path / name)
        assert loaded.manifest.openvino
        assert loaded.choice.backend == "openvino"
        for backend in ("openvino", "onnxruntime", "auto"):
            assert verify_bundle(tmp_path / name, backend)
    assert "openvino" not in Manifest.read(bundle).to_dict()
    shown = CliRunner().invoke(export, ["inspect", str(tmp_path / "warp")]).output
    assert "verified with OpenVINO 20" in shown


def test_what_openvino_computes_otherwise_is_refused(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lipforge.runtime.openvino_engine import OpenVinoEngine

    whole = OpenVinoEngine.run

    def wrong(self: OpenVinoEngine, arrays: dict) -> dict:
        return {name: array + 0.01 for name, array in whole(self, arrays).items()}

    monkeypatch.setattr(OpenVinoEngine, "run", wrong)
    with pytest.raises(ExportError, match=r"output lips differs from torch by 0\.01"):
        export_from_bundle(bundle, tmp_path / "new", OPENVINO, TargetOptions())
    assert not list(tmp_path.iterdir())


def test_without_openvino_it_says_how_to_get_it(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise MissingPackageError(f"pip install 'lipforge[{name}]'")

    monkeypatch.setattr("lipforge.export.targets.require", missing)
    monkeypatch.setattr(openvino_target, "require", missing)
    with pytest.raises(MissingPackageError, match=r"lipforge\[openvino\]"):
        export_from_bundle(bundle, tmp_path / "new", OPENVINO, TargetOptions())
    assert not list(tmp_path.iterdir())
