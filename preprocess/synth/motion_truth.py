"""Exact motion and visibility between two pictures of one scene."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lipforge.kernels.spec import CropSpec, MouthPart
from lipforge.preprocess.synth.head_data import CAVITY, F32, I32, LOWER_TEETH, TONGUE, UPPER_TEETH, HeadData
from lipforge.preprocess.synth.raster import interpolate
from lipforge.preprocess.synth.scene import OVERSAMPLING, Capture, crop_of

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
    mask = target.seen.triangle >= 0
    where = interpolate(reference.points, faces, target.seen, mask)
    rows, columns = np.nonzero(mask)
    flow = np.zeros((*mask.shape, 2), np.float32)
    flow[mask] = where[:, :2] - np.stack([columns, rows], 1)
    visible = np.zeros(mask.shape, np.float32)
    visible[mask] = _is_seen(where, reference)
    visible[~mask] = reference.seen.triangle[~mask] < 0  # background stays where it is
    return _average_down(crop_of(flow, crop), crop_of(visible, crop))


def mouth_parts(capture: Capture, head: HeadData, crop: CropSpec) -> npt.NDArray[np.uint8]:
    """What of the mouth's inside every sample shows, uint8 (kS, kS), k = OVERSAMPLING: a value of ``MouthPart``."""
    part_of_class = np.full(CAVITY + 1, MouthPart.OUTSIDE, np.uint8)
    part_of_class[[UPPER_TEETH, LOWER_TEETH]] = MouthPart.TEETH
    part_of_class[TONGUE], part_of_class[CAVITY] = MouthPart.TONGUE, MouthPart.DARK
    triangle = crop_of(capture.seen.triangle, crop)
    return np.where(triangle >= 0, part_of_class[head.face_class[triangle]], np.uint8(MouthPart.OUTSIDE)).astype(
        np.uint8
    )


def _is_seen(where: F32, reference: Capture) -> npt.NDArray[np.bool_]:
    depth = reference.seen.depth
    last = depth.shape[0] - 1
    x = np.clip(np.rint(where[:, 0]).astype(int), 0, last)
    y = np.clip(np.rint(where[:, 1]).astype(int), 0, last)
    seen = np.abs(depth[y, x] - where[:, 2]) < _SAME_PIXEL
    for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        neighbour = depth[np.clip(y + dy, 0, last), np.clip(x + dx, 0, last)]
        seen |= np.abs(neighbour - where[:, 2]) < _NEIGHBOUR
    inside = (where[:, :2] > -3).all(1) & (where[:, :2] < last + 3).all(1)
    return np.asarray(seen & inside)


def _average_down(
    flow: npt.NDArray[np.floating], visible: npt.NDArray[np.floating]
) -> tuple[npt.NDArray[np.float16], npt.NDArray[np.uint8]]:
    """Mean over each crop pixel's samples; only visible samples count towards its flow."""
    k = OVERSAMPLING
    size = flow.shape[0] // k
    blocks = (flow * visible[..., None]).reshape(size, k, size, k, 2).sum((1, 3))
    count = visible.reshape(size, k, size, k).sum((1, 3))
    mean = blocks / np.maximum(count, 1)[..., None] / k
    return mean.astype(np.float16), np.rint(count * (255 / k**2)).astype(np.uint8)
