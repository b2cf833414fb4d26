"""A face for a tracker to warm up on: without one it would not come to its landmarks."""

from __future__ import annotations

from importlib.resources import files

import cv2
import numpy as np
from numpy.typing import NDArray


def sample_face() -> NDArray[np.uint8]:
    """Return the package's sample picture, uint8 (600, 512, 3) BGR."""
    data = (files("lipforge.runtime") / "assets" / "sample_face.jpg").read_bytes()
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
