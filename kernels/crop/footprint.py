"""How many samples a crop pixel needs, from the size of its footprint in the image."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# A bilinear sample blends a neighbourhood two pixels wide, with most weight in the middle: samples this far apart
# still give every image pixel between them at least 3/4 of the weight of one that is hit exactly.
LARGEST_TAP_DISTANCE_PX = 1.25

# Bounds the cost for absurd transforms; a face 40 times the crop's size would fill a 3800 px square.
MAX_TAPS_PER_AXIS = 32


def taps_per_axis(inverse: NDArray[np.float64]) -> int:
    """Return n: a crop pixel is the mean of n x n bilinear samples.

    Args:
        inverse: float64 (2, 3), crop px to image px.
    """
    (a, b, _), (c, d, _) = inverse.tolist()
    return taps_of(a, b, c, d)


def taps_of(a: float, b: float, c: float, d: float) -> int:
    """Return the same from the linear part, [[a, b], [c, d]]."""
    # The larger singular value of [[a, b], [c, d]]: the longest image of a crop pixel's length.
    squares, difference = a * a + b * b + c * c + d * d, a * a + b * b - c * c - d * d
    shrink = math.sqrt(0.5 * (squares + math.hypot(difference, 2.0 * (a * c + b * d))))
    # A similarity of exactly 1.25 must not need two samples because of its last bit.
    return min(max(1, math.ceil(shrink / LARGEST_TAP_DISTANCE_PX - 1e-9)), MAX_TAPS_PER_AXIS)
