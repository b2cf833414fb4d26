"""The person's own relaxed, closed mouth, learnt while the video plays, and lip targets placed on the face with it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

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
        self._indices = np.array(lip_indices(lips))
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
        gaps = _gaps(measured, self._lips)
        gap = _mean_gap(gaps, self._lips) / self._unit
        closed = _closed(measured, gaps, self._lips)
        if self._shown is None or self._learnt is None:
            self._shown, self._learnt = closed.copy(), closed
            self._least_gap = gap
            self._weight = 1.0
            return
        if gap < self._least_gap:
            self._weight *= math.exp((gap - self._least_gap) / _GAP_SOFTNESS)
            self._least_gap = gap
        weight = math.exp((self._least_gap - gap) / _GAP_SOFTNESS) * max(face.pose.frontal, 0.0) ** _FRONTAL_POWER
        self._weight = min(self._weight + weight, _MEMORY_FRAMES)
        self._learnt += weight / self._weight * (closed - self._learnt)
        self._shown += _limited(_LARGEST_STEP_SHARE * (self._learnt - self._shown), _LARGEST_STEP * self._unit)
        self._follow_mouth(closed - self._shown)

    def _follow_mouth(self, difference: F64) -> None:
        """Let the offset follow where the mouth is: sideways as a whole, up and down by the upper lip's edge."""
        quarter = self._lips.outer_points // 4
        aside, down = difference[:, 0], difference[quarter - 1 : quarter + 2, 1]
        # In plain numbers: numpy takes longer to begin with two of them than the rest of the frame's lips take.
        x, y = self._offset.tolist()
        step_x = _OFFSET_SHARE * (float(np.add.reduce(aside)) / len(aside) - x)
        step_y = _OFFSET_SHARE * (float(np.add.reduce(down)) / len(down) - y)
        share = _share_of(math.sqrt(step_x * step_x + step_y * step_y), _OFFSET_STEP * self._unit)
        largest = _LARGEST_OFFSET * self._unit
        self._offset[0] = min(max(x + share * step_x, -largest), largest)
        self._offset[1] = min(max(y + share * step_y, -largest), largest)

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
    return step * _share_of(math.sqrt(np.einsum("ij,ij->i", step, step).max()), largest)


def _share_of(length: float, largest: float) -> float:
    """Return what a length has to be multiplied by, at most 1, to be no more than ``largest``."""
    return min(1.0, largest / max(length, 1e-12))


@dataclass(frozen=True)
class _Order:
    """Where in an array of lip points those stand that meet when a mouth closes.

    Attributes:
        upper: of the inner contour, without the corners.
        lower: the points below them.
        outer_upper: of the outer contour, without the corners.
        outer_lower: the points below them.
        middle: the middle half of the inner ones.
        spread: float64 (outer, inner), interpolates what moves along the inner lip to the outer one.
    """

    upper: slice
    lower: slice
    outer_upper: slice
    outer_lower: slice
    middle: slice
    spread: F64


@lru_cache
def _order_of(lips: LipSpec) -> _Order:
    inner, outer = lips.inner_points // 2 - 1, lips.outer_points // 2 - 1
    places = np.linspace(0, inner - 1, outer)
    spread = np.column_stack([np.interp(places, np.arange(inner), one) for one in np.eye(inner)])
    return _Order(
        *_pairs(lips.outer_points, lips.inner_points),
        *_pairs(0, lips.outer_points),
        slice(inner // 4, inner - inner // 4),
        spread,
    )


def _pairs(start: int, count: int) -> tuple[slice, slice]:
    """Upper lip points of a contour without the corners, and the lower ones below them, as slices."""
    half = count // 2
    return slice(start + 1, start + half), slice(start + count - 1, start + half, -1)


def mouth_gap(points: F64, lips: LipSpec) -> float:
    """Return the mean distance of the inner lips in the middle half of the mouth, head units, 0 if they cross.

    Args:
        points: float64 (N, 3), head frame.
        lips: their order.
    """
    return _mean_gap(_gaps(points, lips), lips)


def close_mouth(points: F64, lips: LipSpec) -> F64:
    """Return the lips with the inner contours moved together and the outer ones following; corners stay.

    Args:
        points: float64 (N, 3), head frame.
        lips: their order.
    """
    return _closed(points, _gaps(points, lips), lips)


def _gaps(points: F64, lips: LipSpec) -> F64:
    """Return the way from the inner upper lip down to the lower one, point by point."""
    order = _order_of(lips)
    return points[order.lower] - points[order.upper]


def _mean_gap(gaps: F64, lips: LipSpec) -> float:
    heights = gaps[_order_of(lips).middle, 1]
    return max(float(np.add.reduce(heights)) / len(heights), 0.0)


def _closed(points: F64, gaps: F64, lips: LipSpec) -> F64:
    order = _order_of(lips)
    closed = points.copy()
    closed[order.upper] += _UPPER_SHARE * gaps
    closed[order.lower] = closed[order.upper]
    # Lips that are pressed over each other do not pull the outer contour apart.
    follow = order.spread @ (gaps * (gaps[:, 1:2] > 0))
    closed[order.outer_upper] += _UPPER_SHARE * follow
    closed[order.outer_lower] -= (1 - _UPPER_SHARE) * follow
    return closed


def seal_mouth(points: F64, lips: LipSpec) -> F64:
    """Return the lips with every crossing pair of inner points moved to its middle.

    Args:
        points: float64 (N, 3), head frame; returned as they are if none cross.
        lips: their order.
    """
    order = _order_of(lips)
    crossing = points[order.lower, 1] < points[order.upper, 1]
    if not crossing.any():
        return points
    sealed = points.copy()
    middle = (points[order.upper] + points[order.lower]) / 2
    sealed[order.upper][crossing] = middle[crossing]
    sealed[order.lower][crossing] = middle[crossing]
    return sealed
