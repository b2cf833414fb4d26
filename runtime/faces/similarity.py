"""Least-squares similarity transforms (Umeyama 1991) in two and three dimensions."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]


def fit_similarity_2d(source: F64, target: F64) -> F64:
    """Return the rotation, uniform scale and shift that bring ``source`` closest to ``target``.

    Args:
        source: float64 (n, 2), at least two different points.
        target: float64 (n, 2).

    Returns:
        float64 (2, 3) ``M`` with ``target ~ M[:, :2] @ source + M[:, 2]``.
    """
    from_centre, to_centre = source.mean(0), target.mean(0)
    a, b = source - from_centre, target - to_centre
    # In the plane the solution is one complex number: (cos, sin) scaled.
    energy = float((a * a).sum())
    cosine = float((a * b).sum()) / energy
    sine = float((a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]).sum()) / energy
    linear = np.array([[cosine, -sine], [sine, cosine]])
    return np.column_stack([linear, to_centre - linear @ from_centre])


def fit_similarity_3d(source: F64, target: F64) -> tuple[F64, float, F64]:
    """Return rotation (3, 3), scale and shift (3,) that bring ``source`` closest to ``target``.

    Args:
        source: float64 (n, 3), not all on one line.
        target: float64 (n, 3).

    Returns:
        ``R, s, t`` with ``target ~ s * R @ source + t``; R is a proper rotation.
    """
    from_centre, to_centre = source.mean(0), target.mean(0)
    a, b = source - from_centre, target - to_centre
    u, singular, vt = np.linalg.svd(b.T @ a)
    mirror = np.array([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = (u * mirror) @ vt
    scale = float((singular * mirror).sum() / (a * a).sum())
    return rotation, scale, to_centre - scale * rotation @ from_centre


def apply_affine(matrix: F64, points: NDArray[np.floating]) -> F64:
    """Return ``matrix`` (2, 3) applied to points (n, 2); float64 (n, 2)."""
    moved: F64 = points.astype(np.float64) @ matrix[:, :2].T + matrix[:, 2]
    return moved


def compose_affine(outer: F64, inner: F64) -> F64:
    """Return the (2, 3) matrix that first applies ``inner``, then ``outer``."""
    return np.column_stack([outer[:, :2] @ inner[:, :2], outer[:, :2] @ inner[:, 2] + outer[:, 2]])


def invert_similarity(matrix: F64) -> F64:
    """Return the inverse of a (2, 3) matrix."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def enlarge_transform(matrix: F64, factor: int) -> F64:
    """Return the (2, 3) matrix that leads to the same place on a grid of ``factor`` px to a px of the old one."""
    larger = matrix * factor
    larger[:, 2] += 0.5 * (factor - 1)
    return larger
