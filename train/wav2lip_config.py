"""Configurations of the trainers of the Wav2Lip family; defaults are the published values."""

from __future__ import annotations

from dataclasses import dataclass, field

from lipforge.train.config import LoopConfig


@dataclass(frozen=True)
class SyncNetDataConfig:
    """Where windows come from.

    Attributes:
        filelists: folder of ``train.txt`` and ``val.txt``; empty means ``filelists`` in the data folder.
        validation_windows: held-out windows, the same at every evaluation, each judged with its own frames and with
            others.
    """

    filelists: str = ""
    validation_windows: int = 1024


@dataclass(frozen=True)
class SyncNetModelConfig:
    """Sizes of ``SyncNet``."""

    face: tuple[int, ...] = (32, 64, 128, 256, 512, 512)
    face_repeats: tuple[int, ...] = (2, 3, 2, 2, 0)
    audio: tuple[int, ...] = (32, 64, 128, 256)
    audio_repeats: tuple[int, ...] = (2, 2, 2, 2)
    embedding: int = 512


def _syncnet_loop() -> LoopConfig:
    return LoopConfig(
        steps=200_000,
        batch_size=64,
        learning_rate=1e-4,
        last_rate_share=1.0,
        warmup_steps=0,
        weight_decay=0.0,
        betas=(0.9, 0.999),
        ema_decay=0.0,
        validate_every=10_000,
        image_every=0,
        save_every=10_000,
        save_minutes=0.0,
    )


@dataclass(frozen=True)
class SyncNetConfig:
    """Configuration of ``lipforge train syncnet``."""

    loop: LoopConfig = field(default_factory=_syncnet_loop)
    data: SyncNetDataConfig = field(default_factory=SyncNetDataConfig)
    model: SyncNetModelConfig = field(default_factory=SyncNetModelConfig)
