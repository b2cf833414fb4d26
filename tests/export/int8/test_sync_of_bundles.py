"""The script that compares bundles by an expert, on networks that know nothing: equal bundles are equal."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.int8.target import Int8Options
from lipforge.export.targets import INT8, TargetOptions

SCRIPT = Path(__file__).parents[3] / "benchmarks" / "sync_of_bundles.py"


def test_bundles_are_compared_on_the_same_windows(
    wav2lip: Path,
    data: Path,
    new_checkpoint: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spec = importlib.util.spec_from_file_location("sync_of_bundles", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    expert = new_checkpoint(tmp_path / "expert", "syncnet")
    bundles = [tmp_path / name for name in ("whole", "again", "small")]
    for bundle in bundles[:2]:
        export_bundle(ExportRequest([wav2lip], bundle))
    options = Int8Options(data, least_psnr_db=20.0, samples=4, judged=3, expert="none")
    export_from_bundle(bundles[0], bundles[2], INT8, TargetOptions(options))
    losses = script.sync_losses(expert, data, bundles, 3)
    assert {len(values) for values in losses.values()} == {3}
    np.testing.assert_array_equal(losses[str(bundles[0])], losses[str(bundles[1])])
    assert np.isfinite(np.concatenate(list(losses.values()))).all()
    script.main([str(expert), str(data), *map(str, bundles), "--windows", "2"])
    table = capsys.readouterr().out.splitlines()
    assert len(table) == 2 + 4
    assert "+0.0000 ± 0.0000" in table[4]
