"""How far float16 may move an output, on whatever computes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

# Largest absolute error that float16 may cause, in the output's own unit. None of them shows: 0.1 px of a grid twice as
# fine as the crop is a twentieth of a crop pixel, and less than one grey level more in the reference sample does to the
# flow of the shipped network (0.13 px). Of colours, 0.01 of the range is 2.6 grey levels, seen through the mask; 0.005
# of the mask are 1.3 levels where it matters most. 0.01 head-frame units are 1 % of an open mouth.
BUDGET: Mapping[str, float] = {"flow": 0.1, "lips": 0.01, "mask": 0.005, "colour": 0.01}
BYTE_BUDGET = 2.0
SHARE_BUDGET = 0.01
"""Of the range of values, or of 1 if that is larger, for outputs that have no budget of their own."""


def half_budget(name: str, truths: Sequence[NDArray[np.generic]]) -> float:
    """Return the largest absolute error that float16 may cause in an output whose true values are these."""
    if truths[0].dtype == np.uint8:
        return BYTE_BUDGET
    span = max(float(np.ptp(truth.astype(np.float64))) for truth in truths)
    return BUDGET.get(name, SHARE_BUDGET * max(1.0, span))
