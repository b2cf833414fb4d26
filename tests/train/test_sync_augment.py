"""Random changes of the expert's windows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from lipforge.kernels.spec import MelChunkSpec
from lipforge.train.config import MelAugmentConfig
from lipforge.train.face_clips import open_face_clips
from lipforge.train.sync_augment import augmented_mel, augmented_mouths
from lipforge.train.sync_data import SyncData
from lipforge.train.wav2lip_config import SyncAugmentConfig

PICTURES = np.random.default_rng(0).integers(0, 256, (5, 3, 96, 96), dtype=np.uint8)
HALVES = PICTURES[:, :, 48:] / np.float32(255.0)
STRONG = SyncAugmentConfig(0.5, 4, 0.25, 0.12, 0.03, MelAugmentConfig())


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_no_changes_are_none() -> None:
    np.testing.assert_array_equal(augmented_mouths(PICTURES, SyncAugmentConfig(), random()), HALVES)
    window = random().uniform(-4, 4, (80, 16)).astype(np.float32)
    np.testing.assert_array_equal(augmented_mel(window, 4.0, SyncAugmentConfig(), random()), window)


def test_mirror_and_shift_move_the_whole_window_alike() -> None:
    mirrored = augmented_mouths(PICTURES, SyncAugmentConfig(mirror_share=1.0), random())
    np.testing.assert_array_equal(mirrored, HALVES[..., ::-1])
    seen = set()
    for seed in range(40):
        moved = augmented_mouths(PICTURES, SyncAugmentConfig(shift_px=2), random(seed))
        places = [(down, right) for down in range(-2, 3) for right in range(-2, 3)]
        inside = [
            place
            for place in places
            if np.array_equal(
                moved[:, :, 2:-2, 2:-2],
                PICTURES[:, :, 50 + place[0] : 94 + place[0], 2 + place[1] : 94 + place[1]] / np.float32(255.0),
            )
        ]
        assert len(inside) == 1
        seen.add(inside[0])
    assert {down for down, _ in seen} == {right for _, right in seen} == {-2, -1, 0, 1, 2}


def test_colours_change_within_the_range_and_keep_their_order() -> None:
    changed = augmented_mouths(PICTURES, SyncAugmentConfig(gamma=0.3, gain=0.2, offset=0.05), random(3))
    assert 0.0 <= changed.min() < changed.max() <= 1.0
    for channel in range(3):
        order = np.argsort(HALVES[:, channel].ravel())
        assert (np.diff(changed[:, channel].ravel()[order]) >= 0).all()


def test_training_batches_alone_change_and_a_rank_gets_its_rows(frame_root: Path) -> None:
    faces = open_face_clips(frame_root)

    def data(augment: SyncAugmentConfig | None) -> SyncData:
        settings = {"batch_size": 8, "seed": 0, "windows_a_clip": 2, "augment": augment}
        return SyncData(faces.training, faces.mel, MelChunkSpec(), faces.fps, **settings)

    plain, changed = data(None), data(STRONG)
    whole, parts = changed.batch(5), [data(STRONG).batch(5, part) for part in (slice(0, 3), slice(3, 8))]
    assert all(torch.equal(value, torch.cat([part[name] for part in parts])) for name, value in whole.items())
    for name, value in plain.batch(5).items():
        assert torch.equal(value, whole[name]) == (name in ("matching", "window")), name
    rows, match = np.arange(4), np.array([True, False, True, False])
    for name, value in plain.assemble(rows, match, random()).items():
        assert torch.equal(value, changed.assemble(rows, match, random())[name]), "held-out windows stay as they are"
