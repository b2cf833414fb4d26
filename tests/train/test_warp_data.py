from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import MouthPart
from lipforge.train.config import WarpAugmentConfig, WarpDataConfig
from lipforge.train.pairs import load_pairs
from lipforge.train.sampler import Sampler
from lipforge.train.shards import open_dataset
from lipforge.train.warp_augment import augment
from lipforge.train.warp_data import WarpData, enclosed_area

STILL = WarpAugmentConfig(
    tracked_target_share=0.0,
    jitter_px=0.0,
    teeth_share=0.0,
    gamma=0.0,
    gain=0.0,
    offset=0.0,
    low_resolution_share=0.0,
    noise=0.0,
    mirror_share=0.0,
)


def open_data(root: Path, augment: WarpAugmentConfig, seed: int = 0) -> WarpData:
    dataset = open_dataset(root)
    config = WarpDataConfig(augment=augment)
    training, _ = load_pairs(dataset, config.validation_share)
    return WarpData(training, dataset.lips, dataset.crop.size_px, config, batch_size=12, seed=seed)


def test_sampler_passes_over_everything_and_shuffles() -> None:
    sampler = Sampler(7, 3, seed=1)
    drawn = np.concatenate([sampler.batch(step) for step in range(7)])
    for epoch in range(3):
        assert sorted(drawn[7 * epoch : 7 * epoch + 7]) == list(range(7))
    assert not np.array_equal(drawn[:7], drawn[7:14])
    np.testing.assert_array_equal(Sampler(7, 3, seed=1).batch(5), sampler.batch(5))


def test_batch_depends_on_seed_and_step_only(data_root: Path) -> None:
    ahead, again = open_data(data_root, WarpAugmentConfig()), open_data(data_root, WarpAugmentConfig())
    for step in range(3):
        ahead.batch(step)
    first, second = ahead.batch(3), again.batch(3)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["seen"], again.batch(4)["seen"])
    assert not torch.equal(first["seen"], open_data(data_root, WarpAugmentConfig(), seed=1).batch(3)["seen"])


def test_shapes_and_ranges(data_root: Path) -> None:
    batch = open_data(data_root, WarpAugmentConfig()).batch(0)
    channels = {"reference": 3, "target": 3, "seen": 3, "reference_lips": 2, "target_lips": 2, "flow": 2, "visible": 1}
    for name, count in {**channels, "seam": 1}.items():
        assert batch[name].shape == (12, count, 96, 96)
        assert batch[name].dtype == torch.float32
        assert torch.isfinite(batch[name]).all()
        assert name == "flow" or (batch[name].min() >= 0 and batch[name].max() <= 1)


def test_pairs_without_parts_are_refused(data_root: Path, tmp_path: Path) -> None:
    shutil.copytree(data_root, tmp_path / "old")
    for shard in (tmp_path / "old").glob("*.tar"):
        shard.write_bytes(shard.read_bytes().replace(b"parts.npy", b"pants.npy"))
    with pytest.raises(InputError, match=r"has no array .*parts.*an older version wrote it"):
        open_data(tmp_path / "old", STILL)


def test_truth_flow_rebuilds_the_target(data_root: Path) -> None:
    """The convention target(p) = reference(p + flow(p)) survives loading, colour changes and mirroring."""
    strong = WarpAugmentConfig(teeth_share=0.0, low_resolution_share=0.0)
    for settings in (STILL, strong):
        batch = open_data(data_root, settings).batch(0)
        moved = batch["flow"].abs().amax((1, 2, 3)) > 1
        assert moved.any()
        axis = torch.arange(96.0)
        y, x = torch.meshgrid(axis, axis, indexing="ij")
        places = torch.stack([x + batch["flow"][:, 0], y + batch["flow"][:, 1]], -1)
        rebuilt = torch.nn.functional.grid_sample(
            batch["reference"], (places + 0.5) * 2 / 96 - 1, padding_mode="border", align_corners=False
        )
        error = (rebuilt - batch["target"])[..., 2:-2, 2:-2].abs().mean((1, 2, 3))
        still = (batch["reference"] - batch["target"]).abs().mean((1, 2, 3))
        assert (error[moved] < 0.25 * still[moved]).all()


def test_mirror_flips_everything_alike(data_root: Path) -> None:
    plain = open_data(data_root, STILL).batch(0)
    always = open_data(data_root, WarpAugmentConfig(**{**vars(STILL), "mirror_share": 1.0})).batch(0)
    for name, value in plain.items():
        expected = value.flip(-1)
        if name == "flow":
            expected = expected * torch.tensor([-1.0, 1.0]).view(1, 2, 1, 1)
        assert torch.equal(always[name], expected), name


def test_planes_fit_the_picture(data_root: Path) -> None:
    batch = open_data(data_root, STILL).batch(0)
    areas = batch["target_lips"].sum((2, 3))
    shut = areas[:, 1] < 1
    assert shut.any()
    assert not shut.all()
    assert (areas[:, 0] > areas[:, 1]).all()
    assert (batch["seam"].sum((1, 2, 3))[shut] > 20).all()  # 20 px long, about 3 px high
    assert (batch["seam"].sum((1, 2, 3))[~shut] == 0).all()


def test_teeth_are_painted_only_into_the_open_reference_of_a_shut_target() -> None:
    def planes(opening: int) -> torch.Tensor:
        lips = torch.zeros(1, 2, 96, 96)
        lips[:, :, 50 : 50 + opening, 40:56] = 1
        return lips

    config = WarpDataConfig(augment=WarpAugmentConfig(**{**vars(STILL), "teeth_share": 1.0}))
    for reference, target, painted in ((10, 0, True), (10, 10, False), (0, 0, False)):
        crop = torch.full((1, 3, 96, 96), 0.5)
        parts = torch.zeros((1, 192, 192), dtype=torch.uint8)
        parts[:, 100:, 80:104] = MouthPart.DARK  # something stands before the columns from 52 on
        batch = {
            "reference": crop.clone(),
            "target": crop.clone(),
            "reference_lips": planes(reference),
            "target_lips": planes(target),
            "reference_parts": parts,
        }
        changed = (augment(batch, config, torch.Generator().manual_seed(0))["reference"] != crop).any(1)
        inside = batch["reference_lips"][:, 1] > 0
        assert bool(changed[inside].any()) == painted
        assert not changed[~inside].any()
        assert not changed[..., 52:].any()


def test_wanted_contour_is_disturbed_smoothly(data_root: Path) -> None:
    jitter = WarpAugmentConfig(**{**vars(STILL), "jitter_px": 0.3})
    offsets = open_data(data_root, jitter)._smooth_offset(np.random.default_rng(0))
    ring = offsets[:20]
    assert np.abs(np.diff(ring, axis=0)).max() < 0.5 * np.ptp(ring, axis=0).max()
    assert 0 < np.abs(offsets).max() < 2.0


@pytest.mark.parametrize(
    ("points", "area"), [([[0, 0], [2, 0], [2, 1], [0, 1]], 2.0), ([[0, 1], [2, 1], [2, 0]], -1.0)]
)
def test_enclosed_area_is_signed(points: list[list[float]], area: float) -> None:
    assert enclosed_area(np.array(points, np.float32)) == area
