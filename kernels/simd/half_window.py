"""How many pixels of an image row one window of crop cells serves, and the memory that a row's plan takes.

``row_plan`` makes the plan; this imports no numba.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.simd.number_formats import HALF

WINDOW_BITS = 13  # fraction bits of positions in a window, which is 8 cells wide: 16 bits in all
STEP_BITS = 18  # fraction bits of positions in the crop and of steps; seven steps stay exact to 13 bits
UNIT = 1 << STEP_BITS


def is_turned(forward: NDArray[np.float64]) -> bool:
    """Return whether the crop lies on its side in the image: then its x and y axes are to be exchanged."""
    return bool(abs(forward[1, 0]) > abs(forward[0, 0]))


def pixels_per_half(forward: NDArray[np.float64]) -> int:
    """Return how many neighbouring pixels (1 to 8) of an image row surely fit into a window.

    n pixels span (n - 1) steps; the first lies up to one cell behind the window's start, the last needs the cell to
    its right: 1 + (n - 1) * step < 7, with some reserve for roundings.
    """
    step = max(abs(float(forward[0, 0])), abs(float(forward[1, 0])))
    span = HALF - 2 - 0.01
    return HALF if step * (HALF - 1) <= span else 1 + int(span / step)


PLANNED = 8
"""Halves that ``row_plan.plan_windows`` plans at once."""

PLAN_BYTES = 7 * 4 * PLANNED


def plan_bytes(width: int, pixels: int) -> int:
    """Return how much memory the plan of a row of this many pixels takes."""
    return -(-width // (PLANNED * pixels)) * PLAN_BYTES
