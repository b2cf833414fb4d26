"""How much fine detail a region has, against the same region of the reference."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]

SIGMA_PX = 1.0  # the Laplacian alone would measure noise


def detail(patch: F32) -> F32:
    """Return the size of the Laplacian of a patch smoothed by one pixel.

    Args:
        patch: float32 (H, W), grey levels.

    Returns:
        float32 (H, W), grey levels.
    """
    return np.asarray(np.abs(cv2.Laplacian(cv2.GaussianBlur(patch, (0, 0), SIGMA_PX), cv2.CV_32F)), np.float32)
