"""What the tracker knows about the face in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.faces.head_pose import HeadPose


@dataclass(frozen=True)
class Face:
    """A tracked face.

    Attributes:
        landmarks: float32 (468, 3), mesh points in image px, not smoothed; z as in ``FaceMesh``.
        score: 0.5 to 1, how sure the mesh network is that this is a face.
        transform: float64 (2, 3), image px -> crop px, a similarity, smoothed over time.
        pose: the head frame in the image, smoothed over time.
        lips: float32 (N, 2), the lip points of ``LipSpec`` as tracked, in crop px.
    """

    landmarks: NDArray[np.float32]
    score: float
    transform: NDArray[np.float64]
    pose: HeadPose
    lips: NDArray[np.float32]
