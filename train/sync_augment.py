"""Random changes of what the sync expert sees and hears: other cameras, boxes and voices, the same time."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from lipforge.train.mel_augment import augment_mel
from lipforge.train.wav2lip_config import SyncAugmentConfig

WHITE = np.float32(255.0)
NO_CHANGES = SyncAugmentConfig()


def augmented_mouths(
    pictures: npt.NDArray[np.uint8], config: SyncAugmentConfig, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return the lower halves of a window's crops, changed alike, float32 (T, 3, S / 2, S) in [0, 1].

    Args:
        pictures: uint8 (T, 3, S, S).
        config: ranges of the changes.
        random: where chance comes from.
    """
    size = pictures.shape[-1]
    down, right = random.integers(-config.shift_px, config.shift_px + 1, 2)
    rows = np.clip(np.arange(size // 2, size) + down, 0, size - 1)
    columns = np.clip(np.arange(size) + right, 0, size - 1)
    if random.random() < config.mirror_share:
        columns = columns[::-1]
    chosen = pictures[:, :, rows][..., columns] / WHITE
    gamma = np.float32(np.exp(random.normal() * config.gamma))
    gain = np.exp(random.normal(size=(3, 1, 1)) * config.gain).astype(np.float32)
    offset = (random.normal(size=(3, 1, 1)) * config.offset).astype(np.float32)
    changed = chosen if gamma == 1.0 else chosen**gamma
    return np.asarray(np.clip(changed * gain + offset, 0.0, 1.0), np.float32)


def augmented_mel(
    window: npt.NDArray[np.float32], max_abs: float, config: SyncAugmentConfig, random: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Return a mel window float32 (M, C), changed (``augment_mel``)."""
    if config.mel == NO_CHANGES.mel:
        return window
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    changed = augment_mel(torch.from_numpy(window)[None], max_abs, config.mel, generator)
    return np.asarray(changed[0].numpy())
