"""How far a quantised generator's mouths are from those of the float32 one: the number that decides."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.engine import Arrays

Run = Callable[[Arrays], Arrays]
"""Runs a graph: inputs by name in, outputs by name out."""


@dataclass(frozen=True)
class Mouth:
    """A face that a generator has drawn, and where the mouth is in it.

    Attributes:
        image: uint8 (S, S, 3).
        weight: float32 (S, S) in [0, 1]: how much a pixel counts.
    """

    image: NDArray[np.uint8]
    weight: NDArray[np.float32]


class MouthSamples(Protocol):
    """Real inputs of a bundle's graphs, and what its generator makes of them."""

    def __len__(self) -> int:
        """Return how many there are."""

    def feeds(self, graph: str) -> list[Arrays]:
        """Return the inputs of a graph, batch 1 each."""

    def draw(self, graphs: Mapping[str, Run], most: int | None = None) -> list[Mouth]:
        """Draw every sample, or the first ``most``, with these graphs; those not given are the bundle's own."""


@dataclass(frozen=True)
class Likeness:
    """How alike mouths are.

    Attributes:
        psnr_db: over all pixels of all mouths, peak 255; infinite if nothing differs.
        worst_db: of the sample that differs most.
    """

    psnr_db: float
    worst_db: float


def likeness(mouths: Sequence[Mouth], truths: Sequence[Mouth]) -> Likeness:
    """Compare mouths with the true ones, whose weights count."""
    errors, weights = [], []
    for mouth, truth in zip(mouths, truths, strict=True):
        squares = (mouth.image.astype(np.float64) - truth.image.astype(np.float64)) ** 2
        errors.append(float((squares.mean(2) * truth.weight).sum()))
        weights.append(float(truth.weight.sum()))
    single = [_psnr(error / weight) for error, weight in zip(errors, weights, strict=True)]
    return Likeness(_psnr(sum(errors) / sum(weights)), min(single))


def _psnr(mean_square: float) -> float:
    return float("inf") if mean_square == 0.0 else float(10.0 * np.log10(255.0**2 / mean_square))
