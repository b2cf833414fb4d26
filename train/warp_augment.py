"""Random changes of a batch of pairs, on torch tensors; reference and target always change alike."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lipforge.train.config import WarpAugmentConfig, WarpDataConfig
from lipforge.train.mouth_parts import between_lips
from lipforge.train.task import Batch


def augment(batch: Batch, config: WarpDataConfig, generator: torch.Generator) -> Batch:
    """Return the batch changed at random, with ``seen``: the reference plus camera noise, the network's input.

    The noise stays out of ``reference``, which the compositor moves: the target has none of it.
    """
    batch = dict(batch)
    settings = config.augment
    _paint_teeth(batch, config, generator)
    _change_colours(batch, settings, generator)
    _lower_resolution(batch, settings, generator)
    _mirror(batch, settings, generator)
    level = torch.rand(len(batch["reference"]), 1, 1, 1, generator=generator) * settings.noise
    noise = torch.randn(batch["reference"].shape, generator=generator)
    batch["seen"] = (batch["reference"] + noise * level).clamp(0.0, 1.0)
    return batch


def _paint_teeth(batch: Batch, config: WarpDataConfig, generator: torch.Generator) -> None:
    """Paint teeth into open references of shut targets: rendered mouths are dark, real ones close over teeth."""
    inner, wanted = batch["reference_lips"][:, 1:], batch["target_lips"][:, 1:]
    count, _, size, _ = inner.shape
    open_area, wanted_area = inner.sum((1, 2, 3)), wanted.sum((1, 2, 3))
    chosen = torch.rand(count, generator=generator) < config.augment.teeth_share
    chosen &= (open_area > config.closed_area_px) & (wanted_area < 0.25 * open_area)
    rows = torch.nonzero(chosen)[:, 0]
    if len(rows):
        plane = inner[rows]
        fill = _teeth(plane, open_area[rows], size, generator)
        # The contour is what the tracker saw: it may lie over lips, or over a hand before them.
        plane = plane * between_lips(batch["reference_parts"][rows], size)
        batch["reference"][rows] = batch["reference"][rows] * (1.0 - plane) + fill * plane


def _teeth(plane: Tensor, area: Tensor, size: int, generator: torch.Generator) -> Tensor:
    """Make rows of teeth (K, 3, S, S): often an upper band over a dark cavity, else teeth all over."""
    count = len(plane)

    def uniform(channels: int = 1) -> Tensor:
        return torch.rand(count, channels, 1, 1, generator=generator)

    axis = torch.arange(size, dtype=torch.float32)
    x, y = axis.view(1, 1, 1, size), axis.view(1, 1, size, 1)
    gaps = 1.0 - 0.25 * uniform() * (torch.sin(x / (0.8 + uniform())) > 0.3)
    white = (0.35 + 0.6 * uniform()) * torch.tensor([0.9, 0.97, 1.0]).view(1, 3, 1, 1) * gaps
    middle = (plane * y).sum((2, 3), keepdim=True) / (area.view(-1, 1, 1, 1) + 1.0)
    edge = middle + 2.0 * torch.randn(count, 1, 1, 1, generator=generator)
    band = torch.sigmoid(2.0 * (edge - y))
    cavity = 0.25 * uniform(3)
    return torch.where(uniform() < 0.3, white, white * band + cavity * (1.0 - band))


def _change_colours(batch: Batch, settings: WarpAugmentConfig, generator: torch.Generator) -> None:
    count = len(batch["reference"])
    gamma = torch.exp(torch.randn(count, 1, 1, 1, generator=generator) * settings.gamma)
    gain = torch.exp(torch.randn(count, 3, 1, 1, generator=generator) * settings.gain)
    offset = torch.randn(count, 3, 1, 1, generator=generator) * settings.offset
    for name in ("reference", "target"):
        batch[name] = (batch[name].clamp_min(1e-4).pow(gamma) * gain + offset).clamp(0.0, 1.0)


def _lower_resolution(batch: Batch, settings: WarpAugmentConfig, generator: torch.Generator) -> None:
    """Resample the first part of the batch through a smaller size; the sampler has already shuffled it."""
    count = int(settings.low_resolution_share * len(batch["reference"]))
    if not count:
        return
    low, high = settings.low_resolution_px
    side, size = int(torch.randint(low, high, (), generator=generator)), batch["reference"].shape[-1]
    both = torch.cat([batch["reference"][:count], batch["target"][:count]])
    small = functional.interpolate(both, size=(side, side), mode="area")
    back = functional.interpolate(small, size=(size, size), mode="bilinear", align_corners=False)
    batch["reference"][:count], batch["target"][:count] = back[:count], back[count:]


def _mirror(batch: Batch, settings: WarpAugmentConfig, generator: torch.Generator) -> None:
    rows = torch.nonzero(torch.rand(len(batch["reference"]), generator=generator) < settings.mirror_share)[:, 0]
    for name, value in batch.items():
        flipped = value[rows].flip(-1)
        if name == "flow":
            flipped[:, 0] *= -1.0
        value[rows] = flipped
