"""Numbers with confidence intervals by the bootstrap: over blocks of time within one video, over videos or clips."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Groups = NDArray[np.int64]

REPEATS = 1000
CONFIDENCE = 0.95
BLOCK_S = 0.4
"""Neighbouring frames resemble each other for about a syllable or two; drawn one by one they would promise too much."""
LEAST_BLOCKS = 3  # of a video


class Estimate(float):
    """A number with the ends of its 95 % confidence interval, ``low`` and ``high``."""

    low: float
    high: float

    def __new__(cls, value: float, low: float = float("nan"), high: float = float("nan")) -> Estimate:
        """Make one; ``low`` and ``high`` are nan where there is too little data for an interval."""
        made = super().__new__(cls, value)
        made.low, made.high = low, high
        return made

    def __getnewargs__(self) -> tuple[Any, ...]:
        return float(self), self.low, self.high


def bootstrap(rows: F64, statistic: Callable[[F64], F64], groups: Groups | None = None) -> Estimate:
    """Estimate a statistic of sums over samples, and its 95 % interval from seeded draws of samples.

    Samples of one clip, or neighbours in time, resemble each other: drawn one by one they would make the interval too
    narrow, so whole groups are drawn.

    Args:
        rows: float64 (n, k), what each sample adds to k sums.
        statistic: from sums (..., k) to values (...).
        groups: int (n,), the group of each sample; by default each is its own.

    Returns:
        The statistic of all samples; the interval is nan with fewer than two groups.
    """
    value, sums = float(statistic(rows.sum(0))), rows
    if groups is not None:
        names, places = np.unique(np.asarray(groups), return_inverse=True)
        sums = np.zeros((len(names), rows.shape[1]))
        np.add.at(sums, places, rows)
    if len(sums) < 2:
        return Estimate(value)
    repeated = statistic(_draws(len(sums)) @ sums)
    repeated = repeated[~np.isnan(repeated)]
    if not len(repeated):
        return Estimate(value)
    low, high = np.quantile(repeated, [(1.0 - CONFIDENCE) / 2.0, (1.0 + CONFIDENCE) / 2.0])
    return Estimate(value, float(low), float(high))


def mean_of_frames(values: F64, fps: float) -> Estimate:
    """Estimate the mean of successive frames, float64 (T,); those that are nan are left out."""
    known = values[np.isfinite(values)]
    return _over_blocks(np.column_stack([known, np.ones_like(known)]), ratio, fps)


def ratio_of_frames(values: F64, fps: float) -> Estimate:
    """Estimate the sum of the first over that of the second column of successive frames, float64 (T, 2)."""
    return _over_blocks(values[np.isfinite(values).all(1)], ratio, fps)


def correlation_of_frames(a: F64, b: F64, fps: float) -> Estimate:
    """Estimate Pearson's correlation of two curves float64 (T,) over the frames where both are known."""
    known = np.isfinite(a) & np.isfinite(b)
    return _over_blocks(correlation_rows(a[known], b[known]), correlation_of_sums, fps)


def mean_of_videos(values: Sequence[float]) -> Estimate:
    """Estimate the mean of one number a video; those that are nan are left out. Two tell nothing of its spread."""
    known = np.array([value for value in values if np.isfinite(value)], np.float64)
    found = bootstrap(np.column_stack([known, np.ones_like(known)]), ratio)
    return found if len(known) > 2 else Estimate(found)


def correlation_rows(a: F64, b: F64) -> F64:
    """Return what each pair of float64 (n,) adds to the six sums that ``correlation_of_sums`` takes."""
    if len(a):
        a, b = a - a.mean(), b - b.mean()  # the sums of squares are small then
    return np.stack([np.ones_like(a), a, b, a * a, b * b, a * b], 1)


def correlation_of_sums(sums: F64) -> F64:
    """Return Pearson's correlation from sums (..., 6) of ``correlation_rows``."""
    count, a, b, aa, bb, ab = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt((aa - a * a / count) * (bb - b * b / count))
        return np.asarray((ab - a * b / count) / np.maximum(spread, 1e-12))


def ratio(sums: F64) -> F64:
    """Return the first over the second of sums (..., 2)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums[..., 0] / sums[..., 1])


def _over_blocks(rows: F64, statistic: Callable[[F64], F64], fps: float) -> Estimate:
    if not len(rows):
        return Estimate(float("nan"))
    blocks = np.arange(len(rows)) // max(1, round(BLOCK_S * fps))
    found = bootstrap(rows, statistic, blocks)
    return found if blocks[-1] + 1 >= LEAST_BLOCKS else Estimate(found)


@functools.lru_cache(maxsize=8)
def _draws(count: int) -> F64:
    """Return how often each of ``count`` groups is in each draw, float64 (REPEATS, count); the same every time."""
    return np.random.default_rng(count).multinomial(count, np.full(count, 1.0 / count), REPEATS).astype(np.float64)
