"""Confidence intervals by the bootstrap: over blocks of time within one video, over videos for a mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

REPEATS = 1000
CONFIDENCE = 0.95
BLOCK_S = 0.4
"""Neighbouring frames resemble each other for about a syllable or two; drawn one by one they would promise too much."""


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % confidence interval; ``low`` and ``high`` are nan where there is too little data."""

    value: float
    low: float = float("nan")
    high: float = float("nan")


def block_bootstrap(rows: F64, statistic: Callable[[F64], float], block: int) -> Estimate:
    """Estimate a statistic of successive frames, drawing blocks of them with replacement.

    Args:
        rows: float64 (T, k), one row a frame, in order of time.
        statistic: from rows (T, k) to a number; nan if it is not defined on them.
        block: frames in a block.

    Returns:
        The statistic of all rows; the interval is nan with fewer than three blocks.
    """
    value = statistic(rows) if len(rows) else float("nan")
    blocks = [rows[first : first + block] for first in range(0, len(rows), max(block, 1))]
    if len(blocks) < 3:
        return Estimate(value)
    draws = np.random.default_rng(len(rows)).integers(0, len(blocks), (REPEATS, len(blocks)))
    repeated = np.array([statistic(np.concatenate([blocks[place] for place in draw])) for draw in draws])
    return _between(value, repeated)


def mean_over(values: Sequence[float]) -> Estimate:
    """Estimate the mean of a few independent numbers, such as one a video; nan ones are left out."""
    known = np.array([value for value in values if np.isfinite(value)], np.float64)
    if not len(known):
        return Estimate(float("nan"))
    if len(known) < 3:
        return Estimate(float(known.mean()))
    draws = np.random.default_rng(len(known)).integers(0, len(known), (REPEATS, len(known)))
    return _between(float(known.mean()), known[draws].mean(1))


def _between(value: float, repeated: F64) -> Estimate:
    repeated = repeated[np.isfinite(repeated)]
    if len(repeated) < REPEATS // 2:
        return Estimate(value)
    low, high = np.quantile(repeated, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))
