from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lipforge.export.sources import read_sources
from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import WarpSpec

NewCheckpoint = Callable[..., Path]


def test_checkpoints_come_in_any_order_and_as_run_folders(audio2lips: Path, warp: Path) -> None:
    sources = read_sources([warp.parent, audio2lips])
    assert set(sources.checkpoints) == {"audio2lips", "warp"}
    assert (sources.generator, sources.fps) == ("warp", 25.0)
    assert sources.specs == read_sources([audio2lips, warp]).specs
    assert not any(network.training for network in sources.networks().values())


@pytest.mark.parametrize(
    ("kinds", "message"),
    [
        (["warp"], "no checkpoint of kind audio2lips; got warp"),
        (["audio2lips"], "no checkpoint of kind warp; got audio2lips"),
        (["warp", "audio2lips", "warp"], "two checkpoints of kind warp"),
        ([], "checkpoints of kinds nothing make no bundle; one is made of: audio2lips and warp; wav2lip; syncnet;"),
        (["warp", "wav2lip"], "checkpoints of kinds warp, wav2lip make no bundle"),
    ],
)
def test_one_of_each_kind_is_needed(kinds: list[str], message: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(InputError, match=message):
        read_sources([request.getfixturevalue(kind) for kind in kinds])


def test_what_is_no_checkpoint_is_refused(audio2lips: Path, tmp_path: Path) -> None:
    text = tmp_path / "a text.pt"
    text.write_text("hello")
    for path in (text, tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="a checkpoint is a folder"):
            read_sources([audio2lips, path])


def test_damaged_weights_are_refused(warp: Path, audio2lips: Path, tmp_path: Path) -> None:
    broken = tmp_path / "step-00000007"
    shutil.copytree(warp, broken)
    weights = (broken / "model.safetensors").read_bytes()
    (broken / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    with pytest.raises(InputError, match=r"model\.safetensors"):
        read_sources([audio2lips, broken])


def test_recipes_that_disagree_are_named(audio2lips: Path, new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    def other_lips(header: dict[str, Any]) -> None:
        header["specs"]["lips"]["eye_distance"] = 50.0

    other = new_checkpoint(tmp_path, "warp", other_lips)
    with pytest.raises(ConfigError, match=r"disagree on lips: eye_distance \(40\.0 and 50\.0\)"):
        read_sources([audio2lips, other])


def test_every_shared_recipe_must_agree(warp: Path, new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    def other_warp(header: dict[str, Any]) -> None:
        header["specs"]["warp"] = WarpSpec(border_px=1.0).to_dict()

    other = new_checkpoint(tmp_path, "audio2lips", other_warp)
    with pytest.raises(ConfigError, match="disagree on warp: border_px"):
        read_sources([other, warp])


def test_a_checkpoint_must_tell_its_frame_rate(warp: Path, new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    other = new_checkpoint(tmp_path, "audio2lips", lambda header: header["dataset"].pop("fps"))
    with pytest.raises(InputError, match=r"dataset\.fps is None"):
        read_sources([other, warp])


def test_a_missing_recipe_is_named(warp: Path, new_checkpoint: NewCheckpoint, tmp_path: Path) -> None:
    other = new_checkpoint(tmp_path, "audio2lips", lambda header: header["specs"].pop("mel"))
    with pytest.raises(InputError, match="no spec 'mel'"):
        read_sources([other, warp])
