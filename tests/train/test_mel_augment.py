"""Changes of mel windows."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lipforge.train.config import MelAugmentConfig
from lipforge.train.mel_augment import augment_mel

OFF = MelAugmentConfig(warp=0.0, response=0.0, noise=0.0, mask_share=0.0)


def _augment(mel: Tensor, config: MelAugmentConfig, seed: int = 0) -> Tensor:
    return augment_mel(mel, 4.0, config, torch.Generator().manual_seed(seed))


def _windows(count: int = 16) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return (torch.rand(count, 80, 1, generator=generator) * 6 - 3).expand(-1, -1, 32).contiguous()


def test_without_changes_nothing_changes() -> None:
    torch.testing.assert_close(_augment(_windows(), OFF), _windows())


@pytest.mark.parametrize("change", [{"warp": 0.15}, {"response": 0.3}, {"mask_share": 1.0}])
def test_all_columns_change_alike_and_windows_differ(change: dict[str, float]) -> None:
    out = _augment(_windows(), replace(OFF, **change))
    torch.testing.assert_close(out, out[:, :, :1].expand(-1, -1, 32))
    assert (out - _windows()).abs().amax((1, 2)).gt(0.05).float().mean() > 0.8


def test_values_stay_in_range_and_repeat_with_the_seed() -> None:
    strong = MelAugmentConfig(response=3.0, noise=3.0)
    first, second, other = (_augment(_windows(), strong, seed) for seed in (5, 5, 6))
    assert first.abs().max() <= 4.0
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_warping_moves_a_band_in_proportion_to_its_place() -> None:
    mel = torch.full((64, 80, 32), -4.0)
    mel[:, 40] = 2.0
    peak = _augment(mel, replace(OFF, warp=0.15)).amax(2).argmax(1).float()
    assert 40 / 1.16 <= peak.min() < 37
    assert 43 < peak.max() <= 40 / 0.84


def test_masked_bands_are_silent_and_few() -> None:
    silent = (_augment(_windows(), replace(OFF, mask_share=1.0)) == -4.0).all(2).sum(1)
    assert silent.max() <= 13
    assert silent.float().mean() > 2
