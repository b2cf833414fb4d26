"""What the lips do over time, read from the face mesh: how far they are open, how wide, and their outline."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.runtime.faces.alignment import crop_transform
from lipforge.runtime.faces.points import LEFT_EYE_OUTER, RIGHT_EYE_OUTER, lip_indices
from lipforge.runtime.faces.similarity import apply_affine

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]

INNER_UPPER, INNER_LOWER = 13, 14  # of the mesh: middle of the inner upper and lower lip
RIGHT_CORNER, LEFT_CORNER = 61, 291
CHIN = 152


def aperture(landmarks: F32) -> F64:
    """Return the gap between the inner lips over the distance of the outer eye corners.

    Args:
        landmarks: float32 (T, 468, 3), image px; nan where there is no face.

    Returns:
        float64 (T,), 0 for lips that touch; nan where there is no face.
    """
    return _distance(landmarks, INNER_UPPER, INNER_LOWER) / _eye_distance(landmarks)


def mouth_width(landmarks: F32) -> F64:
    """Return the distance of the mouth corners over that of the outer eye corners, float64 (T,)."""
    return _distance(landmarks, RIGHT_CORNER, LEFT_CORNER) / _eye_distance(landmarks)


def lip_outlines(landmarks: F32, crop: CropSpec | None = None, lips: LipSpec | None = None) -> F64:
    """Return the lip points and the chin in crop px, each frame aligned by eyes and nose alone.

    Args:
        landmarks: float32 (T, 468, 3), image px; nan where there is no face.
        crop: the template, 40 px between the outer eye corners.
        lips: the points.

    Returns:
        float64 (T, N + 1, 2), the chin last; nan where there is no face.
    """
    crop, indices = crop or CropSpec(), [*lip_indices(lips or LipSpec()), CHIN]
    outlines = np.full((len(landmarks), len(indices), 2), np.nan)
    for outline, points in zip(outlines, landmarks, strict=True):
        if np.isfinite(points).all():
            outline[:] = apply_affine(crop_transform(points, crop), points[indices, :2])
    return outlines


def at_times(curve: F64, times: F64, wanted: F64) -> F64:
    """Return a curve at other times, between its samples by straight lines.

    Args:
        curve: float64 (T, ...), nan where nothing is known.
        times: float64 (T,), seconds, ascending.
        wanted: float64 (K,), seconds.

    Returns:
        float64 (K, ...): nan outside of ``times`` and beside a sample that is nan.
    """
    if not len(times):
        return np.full((len(wanted), *curve.shape[1:]), np.nan)
    right = np.clip(np.searchsorted(times, wanted), 1, max(len(times) - 1, 1))
    left = right - 1
    right = np.minimum(right, len(times) - 1)
    span = np.maximum(times[right] - times[left], 1e-9)
    share = np.clip((wanted - times[left]) / span, 0.0, 1.0).reshape(-1, *[1] * (curve.ndim - 1))
    # A weight of 0 must not let a nan through: a frame that is met exactly needs no neighbour.
    mixed = np.where(share == 0.0, curve[left], np.where(share == 1.0, curve[right], 0.0))
    inner = (share > 0.0) & (share < 1.0)
    mixed = np.where(inner, (1.0 - share) * curve[left] + share * curve[right], mixed)
    tolerance = 1e-6
    outside = (wanted < times[0] - tolerance) | (wanted > times[-1] + tolerance)
    mixed[outside] = np.nan
    return np.asarray(mixed, np.float64)


def _distance(landmarks: F32, a: int, b: int) -> F64:
    return np.asarray(np.linalg.norm((landmarks[:, a, :2] - landmarks[:, b, :2]).astype(np.float64), axis=-1))


def _eye_distance(landmarks: F32) -> F64:
    return _distance(landmarks, RIGHT_EYE_OUTER, LEFT_EYE_OUTER)
