"""How many samples a crop pixel needs, from the size of its footprint in the image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# A bilinear sample already blends a neighbourhood two pixels wide: up to this shrinking one sample does not alias
# visibly, and more samples would only blur.
BILINEAR_SHRINK_LIMIT = 1.25

# Bounds the cost for absurd transforms; a face 32 times the crop's size would fill a 3000 px square.
MAX_TAPS_PER_AXIS = 32


def taps_per_axis(inverse: NDArray[np.float64]) -> int:
    """Return n: a crop pixel is the mean of n x n bilinear samples.

    Args:
        inverse: float64 (2, 3), crop px to image px.
    """
    shrink = float(np.linalg.norm(inverse[:, :2], ord=2))
    if shrink <= BILINEAR_SHRINK_LIMIT:
        return 1
    return min(math.ceil(shrink), MAX_TAPS_PER_AXIS)
