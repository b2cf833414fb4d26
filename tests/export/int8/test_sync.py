"""Sync in the gate of 8 bits: what counts as a loss, who judges, and what the manifest keeps of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lipforge.export.export_bundle import ExportRequest, export_bundle
from lipforge.export.from_bundle import export_from_bundle
from lipforge.export.int8.inpaint_sync import longest_run, open_expert_judge
from lipforge.export.int8.sync import LOSSES, NOBODY, check_sync, judge_sync, open_judges
from lipforge.export.int8.target import Int8Options
from lipforge.export.int8.warp_sync import open_warp_judges, opening_of
from lipforge.export.targets import INT8, TargetOptions
from lipforge.kernels.errors import ConfigError, ExportError
from lipforge.kernels.spec import FaceBoxSpec, LipSpec
from lipforge.runtime.bundle import Bundle
from lipforge.runtime.engine import Arrays
from lipforge.runtime.int8_entry import Int8Sync
from lipforge.runtime.manifest import Manifest

BOX = FaceBoxSpec(pads_px=(0, 0, 0, 0))


@pytest.fixture(scope="module")
def expert(new_checkpoint: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained expert for faces like the dataset's."""
    folder = tmp_path_factory.mktemp("expert")

    def change(header: dict[str, Any]) -> None:
        header["specs"] |= {"face_box": BOX.to_dict(), "mel_chunk": {"columns": 16, "offset_frames": 0}}

    export_bundle(ExportRequest([new_checkpoint(folder / "run", "syncnet", change=change)], folder / "bundle"))
    return folder / "bundle"


@pytest.fixture(scope="module")
def drawing(wav2lip: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("whole") / "bundle"
    export_bundle(ExportRequest([wav2lip], folder))
    return Bundle.load(folder)


def runs_of(bundle: Bundle) -> dict[str, Callable[[Arrays], Arrays]]:
    return {name: bundle.engine(name).run for name in bundle.paths}


def test_a_loss_is_what_makes_a_measure_worse() -> None:
    assert LOSSES["lse_d"].measure(1.0, 1.1).loss == pytest.approx(0.1)
    assert LOSSES["lse_c"].measure(0.3, 0.2).loss == pytest.approx(0.1)
    assert LOSSES["lse_c"].measure(0.3, 0.4).loss < 0
    assert LOSSES["offset_ms"].measure(5.0, -5.0).loss == 10.0


@pytest.mark.parametrize("name", LOSSES)
def test_more_than_the_allowed_loss_is_refused(name: str) -> None:
    rule = LOSSES[name]
    step = rule.most * (-1 if rule.better == "high" else 1)
    found = Int8Sync("someone", 8, 600, {name: rule.measure(0.5, 0.5 + 0.99 * step)})
    check_sync(found, "bundle")
    worse = replace(found, measures={name: rule.measure(0.5, 0.5 + 1.01 * step)})
    with pytest.raises(ExportError, match=rf"bundle: 8 bits cost sync, by someone on 8 held-out clips: {name} 0\.500"):
        check_sync(worse, "bundle")


def test_nothing_measured_is_no_pass() -> None:
    with pytest.raises(ExportError, match="nothing could be measured on 12 held-out frames"):
        check_sync(Int8Sync("someone", 1, 12, {}), "bundle")


def test_an_expert_that_fits_judges_the_mouths_as_they_are_seen(drawing: Bundle, data: Path, expert: Path) -> None:
    own = runs_of(drawing)
    judge = open_expert_judge(drawing.manifest, data, str(expert), own)
    assert (judge.name, judge.clips, judge.frames) == ("bundle", 1, 12)

    def black(arrays: Arrays) -> Arrays:
        return {"image": np.zeros_like(own["wav2lip"](arrays)["image"])}

    same = judge_sync([judge], own).measures
    assert {one.loss for one in same.values()} == {0.0}
    changed = judge.measure({"wav2lip": black})
    assert changed["lse_d"] != judge.measure({})["lse_d"]


def test_an_expert_for_other_faces_is_refused(drawing: Bundle, data: Path) -> None:
    own = runs_of(drawing)
    with pytest.raises(ExportError, match=r"the expert synth-expert was made for FaceBoxSpec.*--expert none"):
        open_judges(drawing.manifest, data, "synth-expert", own)
    assert open_judges(drawing.manifest, data, NOBODY, own) == ()
    with pytest.raises(ConfigError, match="holds audio2lips, warp and no syncnet"):
        open_judges(drawing.manifest, data, "synth-warp", own)


def test_the_manifest_keeps_what_was_found(wav2lip: Path, data: Path, expert: Path, tmp_path: Path) -> None:
    options = Int8Options(data, least_psnr_db=20.0, samples=6, judged=4, expert=str(expert))
    written = export_bundle(ExportRequest([wav2lip], tmp_path / "new", INT8, options=TargetOptions(options)))
    read = Manifest.read(tmp_path / "new").int8
    assert read == written.int8
    assert read is not None
    assert read.sync is not None
    assert {"lse_d", "lse_c"} <= set(read.sync.measures)
    assert all(one.loss <= one.most for one in read.sync.measures.values())


def test_a_bundle_that_lost_sync_is_not_written(bundle: Path, data: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(LOSSES, "landmark_distance", replace(LOSSES["landmark_distance"], most=-1.0))
    options = Int8Options(data, least_psnr_db=20.0, samples=6, judged=4)
    with pytest.raises(
        ExportError, match=r"8 bits cost sync, by lips and synth-expert on 1 held-out clips: .*landmark_distance 0\.000"
    ):
        export_from_bundle(bundle, tmp_path / "new", INT8, TargetOptions(options))
    assert not list(tmp_path.iterdir())


def test_lips_that_come_late_or_stay_shut_show(data: Path) -> None:
    loaded = Bundle.load()
    judge, _ = open_warp_judges(loaded.manifest, data, "synth-expert", runs_of(loaded))
    own = runs_of(loaded)["audio2lips"]
    queue = [np.zeros((1, 40, 3), np.float32)] * 2

    def late(arrays: Arrays) -> Arrays:
        queue.append(own(arrays)["lips"])
        return {"lips": queue.pop(0)}

    def lower(arrays: Arrays) -> Arrays:
        return {"lips": own(arrays)["lips"] + np.float32(2.0)}

    assert judge.measure({"audio2lips": own})["landmark_distance"] == 0.0
    assert judge.measure({"audio2lips": lower})["landmark_distance"] == pytest.approx(2 * 2**0.5 / 40, rel=1e-3)
    assert judge.measure({"audio2lips": late})["landmark_distance"] > 0.0


def test_the_expert_sees_what_the_warp_network_draws(data: Path) -> None:
    loaded = Bundle.load()
    own = runs_of(loaded)
    _, judge = open_warp_judges(loaded.manifest, data, "synth-expert", own)
    assert (judge.name, judge.clips, judge.frames) == ("synth-expert", 1, 12)

    def still(arrays: Arrays) -> Arrays:
        return {name: np.zeros_like(field) for name, field in own["warp"](arrays).items()}

    assert judge.measure(own) == judge.measure({})
    assert judge.measure({"warp": still})["lse_d"] != judge.measure({})["lse_d"]


def test_an_expert_on_faces_that_a_crop_does_not_place_is_refused(data: Path, expert: Path) -> None:
    loaded = Bundle.load()
    with pytest.raises(ExportError, match=r"looks at faces cut out otherwise, by FaceBoxSpec.*--expert none"):
        open_judges(loaded.manifest, data, str(expert), runs_of(loaded))


def test_the_opening_is_the_widest_gap_of_the_inner_lips() -> None:
    spec = LipSpec()
    lips = np.zeros((2, spec.points, 3), np.float32)
    lips[1, spec.outer_points + 15, 1] = 5.0  # the middle of the lower lip stands below point 5 of the upper one
    lips[1, spec.outer_points + 5, 1] = -1.0
    np.testing.assert_array_equal(opening_of(lips, spec), [0.0, 6.0])


def test_the_longest_run_of_frames_is_taken() -> None:
    np.testing.assert_array_equal(longest_run(np.array([0, 1, 5, 6, 7, 9])), [5, 6, 7])
    assert len(longest_run(np.arange(500))) == 75
