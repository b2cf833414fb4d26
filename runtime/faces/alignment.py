"""From landmarks to the smoothed transform between image and face crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec
from lipforge.runtime.faces.points import ALIGNMENT
from lipforge.runtime.faces.similarity import F64, compose_affine, fit_similarity_2d, invert_similarity
from lipforge.runtime.faces.steadying import Steadying


def crop_transform(landmarks: NDArray[np.floating], crop: CropSpec) -> F64:
    """Return float64 (2, 3), image px -> crop px, that puts the five alignment points onto ``crop.template``.

    Args:
        landmarks: float (468, 2 or 3) in image px.
        crop: the template.
    """
    steady = landmarks[list(ALIGNMENT), :2].astype(np.float64)
    return fit_similarity_2d(steady, np.array(crop.template, np.float64))


class TransformSmoother:
    """Smooths a sequence of crop transforms in their four parameters: shift x and y, size, angle."""

    def __init__(self, crop: CropSpec) -> None:
        template = np.array(crop.template, np.float64)
        self._centre = template.mean(0)
        # Size and angle are measured by how far they move the mouth, so that all four are in crop px.
        self._radius = 0.3 * crop.size_px
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next transform is taken as it is."""
        self._state: F64 | None = None
        self._steadying = Steadying(4)

    def step(self, measured: F64) -> F64:
        """Return the smoothed transform (2, 3) for this frame's measured one."""
        if self._state is None:
            self._state = measured.copy()
            return measured.copy()
        change = compose_affine(measured, invert_similarity(self._state))
        cosine, sine = change[0, 0], change[1, 0]
        shift = change[:, :2] @ self._centre + change[:, 2] - self._centre
        deviation = np.array(
            [*shift, self._radius * np.log(np.hypot(cosine, sine)), self._radius * np.arctan2(sine, cosine)]
        )
        self._state = compose_affine(self._moved(self._steadying.follow(deviation)), self._state)
        return self._state.copy()

    def _moved(self, step: F64) -> F64:
        size, angle = np.exp(step[2] / self._radius), step[3] / self._radius
        cosine, sine = size * np.cos(angle), size * np.sin(angle)
        linear = np.array([[cosine, -sine], [sine, cosine]])
        return np.column_stack([linear, self._centre + step[:2] - linear @ self._centre])
