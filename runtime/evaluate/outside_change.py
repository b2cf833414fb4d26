"""What changed where lip-sync has nothing to change: cheeks and neck, and the rest of the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.yuv import I420Frame
from lipforge.runtime.evaluate.face_patch import MARGIN_SHARE

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]


def change(patch: F32, reference: F32, region: Mask) -> float:
    """Return the mean absolute difference inside of a region, grey levels; patches float32 (H, W), mask bool (H, W)."""
    return float(np.abs(patch - reference)[region].mean()) if region.any() else float("nan")


def change_around(frame: I420Frame, reference: I420Frame, transform: F64, size_px: int) -> float:
    """Return the mean absolute difference of luma outside of the face crop and its margin.

    Args:
        frame: the video's picture.
        reference: the reference's, of the same size.
        transform: float64 (2, 3), image px to crop px of the face.
        size_px: side of the crop.

    Returns:
        Grey levels of 0 to 255; nan if the face fills the picture.
    """
    margin = MARGIN_SHARE * size_px
    corners = np.array(
        [[-margin, -margin], [size_px + margin, -margin], [size_px + margin] * 2, [-margin, size_px + margin]]
    )
    linear = np.linalg.inv(transform[:, :2])
    inside = np.zeros(frame.y.shape, np.uint8)
    cv2.fillConvexPoly(inside, np.round((corners - transform[:, 2]) @ linear.T).astype(np.int32), 1)
    around = inside == 0
    if not around.any():
        return float("nan")
    levels = 1.0 if frame.spec.full_range else 255 / 219
    return float(cv2.absdiff(frame.y, reference.y)[around].mean() * levels)
