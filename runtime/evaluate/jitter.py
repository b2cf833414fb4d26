"""Trembling of lips and chin: motion that changes its direction from frame to frame."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_FRAMES = 5


def jitter(outlines: F64, among: Mask | None = None) -> float:
    """Return the standard deviation of the points' trembling.

    For independent errors of a deviation s in every frame, ``p[t-1] - 2 p[t] + p[t+1]`` has the deviation sqrt(6) s,
    while smooth motion nearly cancels. The median over frames and points keeps quick speech out of it.

    Args:
        outlines: float64 (T, P, 2), crop px (40 between the outer eye corners); nan where there is no face.
        among: bool (T,), the frames to look at (with their neighbours); all by default.

    Returns:
        px of the crop; nan with fewer than 5 frames.
    """
    bends = outlines[2:] - 2 * outlines[1:-1] + outlines[:-2]
    if among is not None:
        bends = bends[among[2:] & among[1:-1] & among[:-2]]
    bends = bends[np.isfinite(bends).all((1, 2))]
    if len(bends) < LEAST_FRAMES:
        return float("nan")
    # Median of |x| of a normal distribution is 0.6745 of its deviation.
    return float(np.median(np.abs(bends)) / 0.6745 / np.sqrt(6))
