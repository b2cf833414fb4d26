"""Batches of the warp trainer: crops, lip planes drawn by the runtime's own kernel, flow and visibility."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import LipSpec
from lipforge.train.config import WarpDataConfig
from lipforge.train.pairs import PairSet
from lipforge.train.sampler import Sampler, step_generator
from lipforge.train.task import Batch
from lipforge.train.warp_augment import augment

Points = npt.NDArray[np.float32]


class WarpData:
    """Makes batches from pairs; a batch depends on the seed and the step only.

    Args:
        pairs: where samples come from.
        lips: order of the lip points.
        size_px: side S of the crops.
        config: augmentation and the measure of a shut mouth.
        batch_size: pairs of a batch.
        seed: of sampling and augmentation.
    """

    def __init__(
        self, pairs: PairSet, lips: LipSpec, size_px: int, config: WarpDataConfig, *, batch_size: int, seed: int
    ) -> None:
        self._pairs, self._lips, self._size, self._config, self._seed = pairs, lips, size_px, config, seed
        self._sampler = Sampler(len(pairs), batch_size, seed)

    @property
    def heads(self) -> npt.NDArray[np.int64]:
        """Number of the head of every pair, int64 (P,)."""
        return self._pairs.index[:, 0]

    def batch(self, step: int) -> Batch:
        """Return the augmented training batch of a step; keys as in ``plain_batch``, plus ``seen``."""
        random = step_generator(self._seed, step, stream=0)
        rows = self._sampler.batch(step)
        contours = np.stack([self._wanted(row, random) for row in rows])
        batch = self._assemble(rows, contours)
        generator = torch.Generator().manual_seed(int(random.integers(2**62)))
        return augment(batch, self._config, generator)

    def plain_batch(self, rows: npt.NDArray[np.int64]) -> Batch:
        """Return pairs as they are.

        Returns:
            float32 tensors: ``reference``, ``target`` (B, 3, S, S) RGB in [0, 1]; ``seen``, the reference that the
            network gets; ``reference_lips``, ``target_lips`` (B, 2, S, S) in [0, 1]; ``flow`` (B, 2, S, S) crop px;
            ``visible`` (B, 1, S, S) in [0, 1]; ``seam`` (B, 1, S, S), where the lips of a shut target meet. And
            ``parts`` and ``reference_parts`` uint8 (B, kS, kS), the ``MouthPart`` of target and reference.
        """
        contours = []
        for row in rows:
            head, pair = self._pairs.index[row]
            source = self._pairs.heads[head]
            contours.append(source.target[source.pairs[pair, 1]])
        batch = self._assemble(rows, np.stack(contours))
        return {**batch, "seen": batch["reference"]}

    def _wanted(self, row: int, random: np.random.Generator) -> Points:
        """Choose and disturb the contour that the network is asked for, as a tracker and an audio net would."""
        head, pair = self._pairs.index[row]
        source = self._pairs.heads[head]
        target = source.pairs[pair, 1]
        points = source.target[target]
        tracked = source.tracked[target]
        if random.random() < self._config.augment.tracked_target_share and np.isfinite(tracked).all():
            points = tracked
        wanted: Points = points + self._smooth_offset(random)
        return wanted

    def _smooth_offset(self, random: np.random.Generator) -> Points:
        """Draw one offset of a whole contour and its first harmonics: noise that keeps a contour smooth."""
        parts = []
        sigma = self._config.augment.jitter_px
        shared = random.normal(0.0, sigma, (1, 2))
        for count in (self._lips.outer_points, self._lips.inner_points):
            angle = 2.0 * np.pi * np.arange(count)[:, None] / count
            waves = random.normal(0.0, 0.5 * sigma, (4, 2))
            ring = np.cos(angle) * waves[0] + np.sin(angle) * waves[1]
            parts.append(shared + ring + np.cos(2 * angle) * waves[2] + np.sin(2 * angle) * waves[3])
        return np.concatenate(parts).astype(np.float32)

    def _assemble(self, rows: npt.NDArray[np.int64], contours: Points) -> Batch:
        shape = (len(rows), self._size, self._size)
        images = np.empty((2, *shape, 3), np.uint8)
        flow, visible = np.empty((*shape, 2), np.float16), np.empty(shape, np.uint8)
        planes = np.zeros((3, len(rows), 2, self._size, self._size), np.uint8)
        parts, reference_parts = [], []
        for slot, row in enumerate(rows):
            head, pair = self._pairs.index[row]
            source = self._pairs.heads[head]
            reference, target = source.pairs[pair]
            images[0, slot], images[1, slot] = source.images[reference], source.images[target]
            flow[slot], visible[slot] = source.flow[pair], source.visible[pair]
            parts.append(source.parts[target])
            reference_parts.append(source.parts[reference])
            draw_lips(source.tracked[reference], self._lips, self._size, out=planes[0, slot])
            draw_lips(contours[slot], self._lips, self._size, out=planes[1, slot])
            self._draw_seam(source.target[target], planes[2, slot])
        crops = torch.from_numpy(images).permute(0, 1, 4, 2, 3).float() / 255.0
        lips = torch.from_numpy(planes).float() / 255.0
        return {
            "reference": crops[0],
            "target": crops[1],
            "reference_lips": lips[0],
            "target_lips": lips[1],
            "seam": lips[2, :, 1:],
            "flow": torch.from_numpy(flow).permute(0, 3, 1, 2).float(),
            "visible": torch.from_numpy(visible)[:, None].float() / 255.0,
            "parts": torch.from_numpy(np.stack(parts)),
            "reference_parts": torch.from_numpy(np.stack(reference_parts)),
        }

    def _draw_seam(self, points: Points, out: npt.NDArray[np.uint8]) -> None:
        """Draw the inner contour of a shut mouth widened to a band; leave ``out`` empty for an open one."""
        inner = points[self._lips.outer_points :]
        if enclosed_area(inner) >= self._config.closed_area_px:
            return
        half = self._lips.inner_points // 2
        widened = points.copy()
        upper, lower = self._lips.outer_points + np.arange(half), self._lips.outer_points + np.arange(half, 2 * half)
        widened[upper, 1] -= self._config.seam_half_px
        widened[lower, 1] += self._config.seam_half_px
        draw_lips(widened, self._lips, self._size, out=out)


def enclosed_area(points: Points) -> float:
    """Return the area in px^2 inside a closed contour float32 (n, 2) in ``LipSpec`` order; negative if lips cross."""
    x, y = points[:, 0].astype(np.float64), points[:, 1].astype(np.float64)
    return float(0.5 * (np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))))


def plane_area(plane: Tensor) -> Tensor:
    """Return the filled area in px^2 of planes (B, 1, S, S) in [0, 1] as (B,)."""
    return plane.sum((1, 2, 3))
