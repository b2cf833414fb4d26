"""Random changes of the mel that stand for other speakers: shorter throats, other microphones, missing bands.

Rendered speech comes from one engine; without these the network learns that engine's formants and not speech.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lipforge.train.config import MelAugmentConfig


def augment_mel(mel: Tensor, max_abs: float, config: MelAugmentConfig, generator: torch.Generator) -> Tensor:
    """Return stretches of mel changed at random, each alike over all of its columns.

    Args:
        mel: float32 (B, M, C), log-mel in [-max_abs, max_abs].
        max_abs: the recipe's limit; silence is -max_abs.
        config: ranges of the changes.
        generator: where chance comes from.

    Returns:
        float32 (B, M, C) in [-max_abs, max_abs].
    """
    changed = _warp_bands(mel, config, generator)
    changed = changed + _smooth_response(mel, config, generator)
    changed = changed + torch.randn(changed.shape, generator=generator) * (
        torch.rand(len(mel), 1, 1, generator=generator) * config.noise
    )
    changed = _mask_bands(changed, max_abs, config, generator)
    return changed.clamp(-max_abs, max_abs)


def _warp_bands(mel: Tensor, config: MelAugmentConfig, generator: torch.Generator) -> Tensor:
    """Stretch the mel axis about its lower end: vocal tract length perturbation (Jaitly and Hinton, 2013)."""
    count, bands = len(mel), mel.shape[1]
    factor = 1.0 + config.warp * (2.0 * torch.rand(count, 1, generator=generator) - 1.0)
    position = (torch.arange(bands, dtype=torch.float32)[None] * factor).clamp(max=bands - 1.0)
    low = position.floor().long().clamp(max=bands - 2)
    share = (position - low)[:, :, None]
    rows = low[:, :, None].expand(-1, -1, mel.shape[2])
    return mel.gather(1, rows) * (1.0 - share) + mel.gather(1, rows + 1) * share


def _smooth_response(mel: Tensor, config: MelAugmentConfig, generator: torch.Generator) -> Tensor:
    """Draw the response of another microphone and voice: the first cosines over the bands, (B, M, 1)."""
    count, bands = len(mel), mel.shape[1]
    waves = torch.arange(1.0, 5.0)[:, None] * torch.pi * (torch.arange(bands) + 0.5) / bands
    weights = torch.randn(count, 4, generator=generator) * config.response
    return (weights @ torch.cos(waves))[:, :, None]


def _mask_bands(mel: Tensor, max_abs: float, config: MelAugmentConfig, generator: torch.Generator) -> Tensor:
    """Silence one run of neighbouring bands in some stretches (SpecAugment, Park and others, 2019)."""
    count, bands = len(mel), mel.shape[1]
    chosen = torch.rand(count, 1, generator=generator) < config.mask_share
    width = torch.rand(count, 1, generator=generator) * config.mask_bands
    start = torch.rand(count, 1, generator=generator) * (bands - width)
    band = torch.arange(bands, dtype=torch.float32)[None]
    hidden = (chosen & (band >= start) & (band < start + width))[:, :, None]
    return torch.where(hidden, torch.full_like(mel, -max_abs), mel)
