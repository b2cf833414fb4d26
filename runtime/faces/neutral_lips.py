"""The person's own relaxed, closed mouth, learnt while the video plays, and lip targets placed on the face with it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_array
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import LipSpec
from lipforge.runtime.faces.face import Face
from lipforge.runtime.faces.points import lip_indices
from lipforge.runtime.faces.similarity import F64, apply_affine

# Head units (40 between the outer eye corners) and frames.
_GAP_SOFTNESS = 0.6  # a frame this much more open counts 1/e; the mesh sees shut lips 0.2 to 0.8 apart
_MEMORY_FRAMES = 60.0  # weight of the past, in fully closed frames
_LARGEST_STEP = 0.2  # per frame and point: slower than an eye notices, yet a closed mouth takes over within a second
_LARGEST_STEP_SHARE = 0.1  # of the way, so that the motion also ends softly
# Of a gap, what closing takes from the upper lip; the rest comes from the lower lip with the jaw.
_UPPER_SHARE = 0.25
_FRONTAL_POWER = 4  # depth is guessed less well on turned faces, so they teach less
# Guessed depth also shifts the mouth by up to 3 units when the head turns. The offset follows that within half a
# second, which is slower than speech, and stays within what such an error can be.
_OFFSET_SHARE, _OFFSET_STEP, _LARGEST_OFFSET = 0.08, 0.15, 4.0


class NeutralLips:
    """Learns the neutral lips of LipSpec in the head frame; explicit state, one per face and stream.

    The first frame is used as it is, with its mouth closed by geometry. Frames whose mouth is more closed than
    those seen so far then take over, slowly: no point of the neutral moves more than 0.35 units a frame in all.

    Args:
        lips: the lip points, in the order of ``Face.lips``.

    Raises:
        ConfigError: ``lips`` does not fit the face mesh.
    """

    def __init__(self, lips: LipSpec) -> None:
        self._lips = lips
        self._indices = list(lip_indices(lips))
        self._unit = lips.eye_distance / 40.0
        self.reset()

    def reset(self) -> None:
        """Forget the person."""
        self._shown: F64 | None = None
        self._learnt: F64 | None = None
        self._offset = np.zeros(2)
        self._weight = 0.0
        self._least_gap = np.inf

    @property
    def ready(self) -> bool:
        """True after the first ``update``."""
        return self._shown is not None

    @property
    def points(self) -> F64:
        """The neutral as placed now, float64 (N, 3), head units.

        Raises:
            InputError: no face was seen yet.
        """
        if self._shown is None:
            raise InputError("the neutral lips are not known yet: call update(face) with a tracked face first.")
        points = self._shown.copy()
        points[:, :2] += self._offset
        return points

    def update(self, face: Face) -> None:
        """Learn from the next tracked face of the stream."""
        measured = face.pose.to_head(face.landmarks[self._indices])
        gap = mouth_gap(measured, self._lips) / self._unit
        closed = close_mouth(measured, self._lips)
        if self._shown is None or self._learnt is None:
            self._shown, self._learnt = closed.copy(), closed
            self._least_gap = gap
            self._weight = 1.0
            return
        if gap < self._least_gap:
            self._weight *= float(np.exp((gap - self._least_gap) / _GAP_SOFTNESS))
            self._least_gap = gap
        weight = float(np.exp((self._least_gap - gap) / _GAP_SOFTNESS)) * max(face.pose.frontal, 0.0) ** _FRONTAL_POWER
        self._weight = min(self._weight + weight, _MEMORY_FRAMES)
        self._learnt += weight / self._weight * (closed - self._learnt)
        self._shown += _limited(_LARGEST_STEP_SHARE * (self._learnt - self._shown), _LARGEST_STEP * self._unit)
        self._follow_mouth(closed - self._shown)

    def _follow_mouth(self, difference: F64) -> None:
        """Let the offset follow where the mouth is: sideways as a whole, up and down by the upper lip's edge."""
        quarter = self._lips.outer_points // 4
        apart = np.array([difference[:, 0].mean(), difference[quarter - 1 : quarter + 2, 1].mean()])
        step = _limited(_OFFSET_SHARE * (apart - self._offset)[None], _OFFSET_STEP * self._unit)[0]
        largest = _LARGEST_OFFSET * self._unit
        self._offset = np.clip(self._offset + step, -largest, largest)

    def place(self, displacement: NDArray[np.float32], face: Face) -> NDArray[np.float32]:
        """Return the lip contours that a displacement asks for, on this face.

        Args:
            displacement: float32 (N, 3), head units, relative to the neutral.
            face: where the head is; from the same stream as the faces of ``update``.

        Returns:
            float32 (N, 2) crop px. Where the upper inner lip would be below the lower one, both meet in the middle.

        Raises:
            InputError: no face was seen yet, or the displacement has another shape or dtype.
        """
        require_array("displacement", displacement, np.float32, (self._lips.points, 3))
        shape = seal_mouth(self.points + displacement, self._lips)
        return apply_affine(face.transform, face.pose.to_image(shape)[:, :2]).astype(np.float32)


def _limited(step: F64, largest: float) -> F64:
    """Scale the rows of a step (n, d) together so that none is longer than ``largest``."""
    longest = float(np.linalg.norm(step, axis=1).max())
    return step * min(1.0, largest / max(longest, 1e-12))


def _pairs(lips: LipSpec, start: int, count: int) -> tuple[slice, slice]:
    """Upper lip points of a contour without the corners, and the lower ones below them, as slices."""
    half = count // 2
    return slice(start + 1, start + half), slice(start + count - 1, start + half, -1)


def mouth_gap(points: F64, lips: LipSpec) -> float:
    """Return the mean distance of the inner lips in the middle half of the mouth, head units, 0 if they cross.

    Args:
        points: float64 (N, 3), head frame.
        lips: their order.
    """
    upper, lower = _pairs(lips, lips.outer_points, lips.inner_points)
    height = points[lower, 1] - points[upper, 1]
    edge = len(height) // 4
    return float(max(height[edge : len(height) - edge].mean(), 0.0))


def close_mouth(points: F64, lips: LipSpec) -> F64:
    """Return the lips with the inner contours moved together and the outer ones following; corners stay.

    Args:
        points: float64 (N, 3), head frame.
        lips: their order.
    """
    upper, lower = _pairs(lips, lips.outer_points, lips.inner_points)
    gap = points[lower] - points[upper]
    closed = points.copy()
    closed[upper] += _UPPER_SHARE * gap
    closed[lower] = closed[upper]
    outer_upper, outer_lower = _pairs(lips, 0, lips.outer_points)
    follow = gap * (gap[:, 1:2] > 0)  # lips that are pressed over each other do not pull the outer contour apart
    places = np.linspace(0, len(gap) - 1, lips.outer_points // 2 - 1)
    follow = np.column_stack([np.interp(places, np.arange(len(gap)), follow[:, axis]) for axis in range(3)])
    closed[outer_upper] += _UPPER_SHARE * follow
    closed[outer_lower] -= (1 - _UPPER_SHARE) * follow
    return closed


def seal_mouth(points: F64, lips: LipSpec) -> F64:
    """Return the lips with every crossing pair of inner points moved to its middle.

    Args:
        points: float64 (N, 3), head frame.
        lips: their order.
    """
    upper, lower = _pairs(lips, lips.outer_points, lips.inner_points)
    sealed = points.copy()
    crossing = (points[lower, 1] < points[upper, 1])[:, None]
    middle = (points[upper] + points[lower]) / 2
    sealed[upper] = np.where(crossing, middle, points[upper])
    sealed[lower] = np.where(crossing, middle, points[lower])
    return sealed
