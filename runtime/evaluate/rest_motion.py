"""How much the mouth moves while nobody speaks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
Mask = NDArray[np.bool_]

LEAST_REST_FRAMES = 5


def rest_motion(opening: F64, rest: Mask, fps: float) -> float:
    """Return how fast the lips open and close in pauses.

    Args:
        opening: float64 (T,), see ``lip_curves.aperture``.
        rest: bool (T,), see ``speech_frames.rest_frames``.
        fps: frames a second.

    Returns:
        Mean speed in eye distances a second; nan with fewer than 5 steps within pauses.
    """
    steps = np.abs(np.diff(opening)) * fps
    steps = steps[rest[1:] & rest[:-1] & np.isfinite(steps)]
    return float(steps.mean()) if len(steps) >= LEAST_REST_FRAMES else float("nan")
