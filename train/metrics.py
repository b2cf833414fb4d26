"""Measurements on held-out data, with confidence intervals by the bootstrap."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lipforge.runtime.evaluate import interval
from lipforge.runtime.evaluate.interval import Estimate

__all__ = ["Estimate", "bootstrap", "estimate_correlation", "estimate_mean", "estimate_ratio"]

Sums = npt.NDArray[np.float64]
Groups = Tensor | npt.NDArray[np.int64] | None


def estimate_mean(values: Tensor, groups: Groups = None) -> Estimate:
    """Return the mean of float (n,) with its interval (``bootstrap``)."""
    return bootstrap(torch.stack([values.double(), torch.ones_like(values, dtype=torch.float64)], 1), groups=groups)


def estimate_ratio(above: Tensor, below: Tensor, groups: Groups = None) -> Estimate:
    """Return the sum of float (n,) over the sum of another, with its interval (``bootstrap``)."""
    return bootstrap(torch.stack([above.double(), below.double()], 1), groups=groups)


def estimate_correlation(a: Tensor, b: Tensor, groups: Groups = None) -> Estimate:
    """Return Pearson's correlation of float (n,) with another, with its interval (``bootstrap``)."""
    rows = interval.correlation_rows(*(side.detach().cpu().double().numpy() for side in (a, b)))
    return bootstrap(torch.from_numpy(rows), interval.correlation_of_sums, groups)


def bootstrap(rows: Tensor, statistic: Callable[[Sums], Sums] = interval.ratio, groups: Groups = None) -> Estimate:
    """Estimate a statistic of sums over samples, see ``interval.bootstrap``.

    Args:
        rows: float (n, k), what each sample adds to k sums.
        statistic: from sums (..., k) to values (...).
        groups: int (n,), the clip of each sample; by default each is its own.
    """
    of_samples = None if groups is None else np.asarray(groups)
    return interval.bootstrap(rows.detach().cpu().double().numpy(), statistic, of_samples)
