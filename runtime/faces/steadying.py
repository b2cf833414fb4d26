"""Smoothing of the face's position that takes trembling away and adds no lag that could be seen.

The rule is that of the One-Euro filter (Casiez, Roussel, Vogel 2012): a low-pass whose cutoff rises with speed.
It works on *deviations* of the new measurement from the smoothed state, in crop px, so it acts the same for small
and large faces; and a deviation that trembling cannot explain is followed at once instead of after the filter has
understood that something moves.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]

# All in crop px (40 between the outer eye corners) and frames. A tracked still face trembles by 0.05 to 0.2 px.
_REST_CUTOFF = 0.02  # cycles per frame at rest: trembling falls to about a third
_CUTOFF_PER_SPEED = 0.5  # steady motion then lags at most 1 / (2 pi 0.5) = 0.32 px, whatever its speed
_SPEED_GAIN = 0.35  # of the low-pass on the speed
_SURELY_TREMBLING_PX, _SURELY_MOTION_PX = 0.6, 1.8  # between them the gain rises to 1
_CUT_PX = 12.0  # a jump of a third of the eye distance within a frame is a cut


class Steadying:
    """Gains for following a measurement, one per parameter; remembers speeds between frames.

    Args:
        parameters: how many values a deviation has.
    """

    def __init__(self, parameters: int) -> None:
        self._speed = np.zeros(parameters)

    def follow(self, deviation: F64) -> F64:
        """Return how far to move from the smoothed state: ``deviation`` (parameters,) in crop px times its gains."""
        size = np.abs(deviation)
        if float(size.max()) > _CUT_PX:
            self._speed[:] = 0.0
            return deviation.copy()
        self._speed += _SPEED_GAIN * (deviation - self._speed)
        ratio = 2 * np.pi * (_REST_CUTOFF + _CUTOFF_PER_SPEED * np.abs(self._speed))
        sure = np.clip((size - _SURELY_TREMBLING_PX) / (_SURELY_MOTION_PX - _SURELY_TREMBLING_PX), 0.0, 1.0)
        return np.asarray(np.maximum(ratio / (1 + ratio), sure) * deviation)
