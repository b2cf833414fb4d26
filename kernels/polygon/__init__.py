"""Lip polygons: the outer and the inner lip contour as filled, anti-aliased planes.

Training and runtime call this one function, so a network meets at run time exactly the planes that it learnt from.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_output, require_size
from lipforge.kernels.errors import InputError
from lipforge.kernels.polygon.kernels import fill_contour
from lipforge.kernels.spec import LipSpec

__all__ = ["draw_lips"]


def draw_lips(
    points: NDArray[np.floating],
    lips: LipSpec,
    size_px: int,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Fill the outer and the inner lip contour, each into its own plane.

    A pixel's value is the share of its 4 x 4 sample points inside the contour. Inside is what lies to the right of
    the walking direction of ``LipSpec`` (over the upper lip to the image's right, back along the lower lip), on the
    screen with y down. Where lips cross - the tracked lower lip lies above the upper one - the inner contour runs the
    other way round and counts as empty: a closed mouth gives an empty inner plane, never a sliver. For the same reason
    points of a *mirrored* face must be put back into ``LipSpec`` order, or the planes mirrored instead of the points.

    Args:
        points: float (N, 2), x and y in crop px, in the order of ``LipSpec``; they may lie outside the crop.
            If any value is not finite (the tracker saw no face) both planes are empty.
        lips: how many points belong to the outer and to the inner contour.
        size_px: S, width and height of the planes.
        out: uint8 (2, S, S), C-contiguous, overwritten; a new array if None.

    Returns:
        uint8 (2, S, S): outer plane, inner plane; 255 inside, 0 outside.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout.
    """
    require_size("size_px", size_px)
    if not isinstance(points, np.ndarray) or points.shape != (lips.points, 2) or points.dtype.kind != "f":
        got = f"{points.dtype.name} {points.shape}" if isinstance(points, np.ndarray) else type(points).__name__
        raise InputError(f"points must be a float array of shape ({lips.points}, 2), not {got}.")
    if out is None:
        out = np.empty((2, size_px, size_px), np.uint8)
    require_output("out", out, np.uint8, (2, size_px, size_px))
    exact = np.ascontiguousarray(points, np.float64)
    if np.isfinite(exact).all():
        fill_contour(exact[: lips.outer_points], out[0])
        fill_contour(exact[lips.outer_points :], out[1])
    else:
        out.fill(0)
    return out
