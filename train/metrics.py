"""Measurements on held-out data, with confidence intervals by the bootstrap."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

REPEATS = 1000
CONFIDENCE = 0.95
Sums = npt.NDArray[np.float64]


class Estimate(float):
    """A number with the ends of its 95 % confidence interval, ``low`` and ``high``."""

    low: float
    high: float

    def __new__(cls, value: float, low: float, high: float) -> Estimate:
        """Make one; ``low`` and ``high`` are nan where there is too little data for an interval."""
        made = super().__new__(cls, value)
        made.low, made.high = low, high
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return float(self), self.low, self.high


def estimate_mean(values: Tensor, groups: Tensor | npt.NDArray[np.int64] | None = None) -> Estimate:
    """Return the mean of float (n,) with its interval (``bootstrap``)."""
    return bootstrap(torch.stack([values.double(), torch.ones_like(values, dtype=torch.float64)], 1), _ratio, groups)


def estimate_ratio(above: Tensor, below: Tensor, groups: Tensor | npt.NDArray[np.int64] | None = None) -> Estimate:
    """Return the sum of float (n,) over the sum of another, with its interval (``bootstrap``)."""
    return bootstrap(torch.stack([above.double(), below.double()], 1), _ratio, groups)


def estimate_correlation(a: Tensor, b: Tensor, groups: Tensor | npt.NDArray[np.int64] | None = None) -> Estimate:
    """Return Pearson's correlation of float (n,) with another, with its interval (``bootstrap``)."""
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()  # the sums of squares are small then
    return bootstrap(torch.stack([torch.ones_like(a), a, b, a * a, b * b, a * b], 1), _correlation, groups)


def bootstrap(
    rows: Tensor, statistic: Callable[[Sums], Sums], groups: Tensor | npt.NDArray[np.int64] | None = None
) -> Estimate:
    """Estimate a statistic of sums over samples, and its 95 % interval from seeded draws of samples.

    Samples of one clip resemble each other: drawn one by one they would make the interval too narrow, so whole groups
    are drawn.

    Args:
        rows: float (n, k), what each sample adds to k sums.
        statistic: from sums (..., k) to values (...).
        groups: int (n,), the clip of each sample; by default each is its own.

    Returns:
        The statistic of all samples; the interval is nan with fewer than two groups.
    """
    sums = rows.detach().cpu().double().numpy()
    value = float(statistic(sums.sum(0)))
    if groups is not None:
        _, places = np.unique(np.asarray(groups), return_inverse=True)
        grouped = np.zeros((int(places.max()) + 1, sums.shape[1]))
        np.add.at(grouped, places, sums)
        sums = grouped
    if len(sums) < 2:
        return Estimate(value, float("nan"), float("nan"))
    repeated = np.sort(statistic(_draws(len(sums)) @ sums))
    repeated = repeated[~np.isnan(repeated)]
    if not len(repeated):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(repeated, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Estimate(value, float(low), float(high))


@functools.lru_cache(maxsize=4)
def _draws(count: int) -> Sums:
    """Return how often each of ``count`` groups is in each draw, float64 (REPEATS, count); the same every time."""
    return np.random.default_rng(count).multinomial(count, np.full(count, 1.0 / count), REPEATS).astype(np.float64)


def _ratio(sums: Sums) -> Sums:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _correlation(sums: Sums) -> Sums:
    count, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt((aa - a * a / count) * (bb - b * b / count))
        return np.asarray((ab - a * b / count) / np.maximum(spread, 1e-12))
