"""Exact motion and visibility between two pictures of one scene."""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import CropSpec, MouthPart
from lipforge.preprocess.synth.head_data import CAVITY, I32, LOWER_TEETH, TONGUE, UPPER_TEETH, HeadData
from lipforge.preprocess.synth.scene import CANVAS_LEFT, CANVAS_TOP, OVERSAMPLING, Capture, crop_of

# A source counts as seen when its depth (decimetres) agrees with the reference's z-buffer within these.
_SAME_PIXEL, _NEIGHBOUR = 0.05, 0.03


def flow_between(
    reference: Capture, target: Capture, faces: I32, crop: CropSpec
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """Where each target pixel's surface point was in the reference, and whether it could be seen there.

    Returns:
        flow, float16 (S, S, 2) in crop px: ``target(p) = reference(p + flow(p))``; and visible, uint8 (S, S), 255 for
        a pixel whose every sample is visible in the reference.
    """
    size = crop.size_px
    flow, visible = np.zeros((size, size, 2), np.float32), np.zeros((size, size), np.uint8)
    nothing = np.zeros_like(target.seen.triangle, np.uint8)
    first = (CANVAS_TOP * OVERSAMPLING, CANVAS_LEFT * OVERSAMPLING)
    covered = tuple(nothing if c.covered is None else c.covered for c in (reference, target))
    shown = (target.seen.triangle, target.seen.weights, reference.seen.triangle, reference.seen.depth)
    _trace(shown, covered, reference.points, faces, first, flow, visible)
    return flow.astype(np.float16), visible


@numba.njit(cache=True, nogil=True)
def _trace(shown, covered, points, faces, first, flow, visible):  # type: ignore[no-untyped-def]
    """Fill ``flow`` and ``visible`` with the mean over each crop pixel's samples; only visible ones count for flow."""
    triangle, weights, reference_triangle, depth = shown
    before_reference, before_target = covered
    last = depth.shape[0] - 1
    for row in range(flow.shape[0]):
        for column in range(flow.shape[1]):
            count, sum_x, sum_y = 0, 0.0, 0.0
            for sample in range(OVERSAMPLING * OVERSAMPLING):
                y = first[0] + OVERSAMPLING * row + sample // OVERSAMPLING
                x = first[1] + OVERSAMPLING * column + sample % OVERSAMPLING
                face = triangle[y, x]
                if before_target[y, x]:  # what stands before the scene stays where it is
                    count += before_reference[y, x]
                elif face < 0:  # and so does the background
                    count += reference_triangle[y, x] < 0 and not before_reference[y, x]
                else:
                    from_x, from_y, from_z = np.float32(0.0), np.float32(0.0), np.float32(0.0)
                    for corner in range(3):
                        share, vertex = weights[y, x, corner], faces[face, corner]
                        from_x += share * points[vertex, 0]
                        from_y += share * points[vertex, 1]
                        from_z += share * points[vertex, 2]
                    if not (-3 < from_x < last + 3 and -3 < from_y < last + 3):
                        continue
                    at_x, at_y = min(max(int(np.rint(from_x)), 0), last), min(max(int(np.rint(from_y)), 0), last)
                    if not before_reference[at_y, at_x] and _is_seen(depth, at_x, at_y, from_z):
                        count += 1
                        sum_x += from_x - x
                        sum_y += from_y - y
            visible[row, column] = np.rint(count * (255 / OVERSAMPLING**2))
            if count:
                flow[row, column, 0] = sum_x / count / OVERSAMPLING
                flow[row, column, 1] = sum_y / count / OVERSAMPLING


@numba.njit(cache=True, nogil=True)
def _is_seen(depth, x, y, z):  # type: ignore[no-untyped-def]
    if abs(depth[y, x] - z) < _SAME_PIXEL:
        return True
    last = depth.shape[0] - 1
    above, below = depth[max(y - 1, 0), x], depth[min(y + 1, last), x]
    left, right = depth[y, max(x - 1, 0)], depth[y, min(x + 1, last)]
    return min(min(abs(above - z), abs(below - z)), min(abs(left - z), abs(right - z))) < _NEIGHBOUR


def mouth_parts(capture: Capture, head: HeadData, crop: CropSpec) -> npt.NDArray[np.uint8]:
    """What of the mouth's inside every sample shows, uint8 (kS, kS), k = OVERSAMPLING: a value of ``MouthPart``."""
    part_of_class = np.full(CAVITY + 1, MouthPart.OUTSIDE, np.uint8)
    part_of_class[[UPPER_TEETH, LOWER_TEETH]] = MouthPart.TEETH
    part_of_class[TONGUE], part_of_class[CAVITY] = MouthPart.TONGUE, MouthPart.DARK
    triangle = crop_of(capture.seen.triangle, crop)
    outside = triangle < 0
    if capture.covered is not None:
        outside |= crop_of(capture.covered, crop) > 0
    return np.where(outside, np.uint8(MouthPart.OUTSIDE), part_of_class[head.face_class[triangle]])
