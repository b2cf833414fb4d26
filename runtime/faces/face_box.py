"""The upright face box of the Wav2Lip family, placed from the tracker's landmarks frame after frame."""

from __future__ import annotations

import numpy as np

from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import CropSpec, FaceBoxSpec
from lipforge.runtime.faces.face import Face
from lipforge.runtime.faces.similarity import F64, apply_affine, invert_similarity
from lipforge.runtime.faces.steadying import Steadying

LEAST_SIDE_PX = 2.0  # of a box that the image cuts off


class FaceBoxes:
    """Follows the box of one face: steady at rest, without lag in motion.

    The published inference averages the boxes of this and the next four frames, which shifts them ahead of the face.
    Here a box hung on the alignment is as steady as the alignment, and one hung on the landmarks is steadied by the
    same rule (``Steadying``).

    Args:
        spec: the box.
        crop: the crop that ``Face.transform`` leads to; the unit of steadying is its pixel.

    Raises:
        ConfigError: the spec describes no box.
    """

    def __init__(self, spec: FaceBoxSpec, crop: CropSpec) -> None:
        if spec.anchor not in ("landmarks", "alignment") or len(spec.box) != 4 or len(spec.pads_px) != 4:
            raise ConfigError(f"face_box: {spec.to_dict()} is no box; anchors are landmarks and alignment.")
        left, top, right, bottom = spec.box
        if right <= left or bottom <= top:
            raise ConfigError(f"face_box: box {list(spec.box)} is left, top, right, bottom and must have an inside.")
        self._spec, self._crop = spec, crop
        self.reset()

    def reset(self) -> None:
        """Forget the face: the next box is taken as it is."""
        self._state: F64 | None = None
        self._steadying = Steadying(4)

    def step(self, face: Face, width_px: int, height_px: int) -> F64:
        """Place the box of the next frame.

        Args:
            face: tracked in it.
            width_px: of the image.
            height_px: of the image.

        Returns:
            float64 (2, 3), image px to px of the box's square of ``size_px``; no turn, its own scale for each axis.
        """
        box = self._aligned(face) if self._spec.anchor == "alignment" else self._steadied(face)
        top, bottom, left, right = self._spec.pads_px
        low = np.maximum(box[:2] - np.array([left, top]), -0.5)
        high = np.minimum(box[2:] + np.array([right, bottom]), np.array([width_px, height_px]) - 0.5)
        return _square_transform(low, np.maximum(high - low, LEAST_SIDE_PX), self._spec.size_px)

    def _aligned(self, face: Face) -> F64:
        """Return left, top, right, bottom in image px of a box whose middle the alignment places."""
        shares = np.array(self._spec.box, np.float64).reshape(2, 2) * self._crop.size_px - 0.5
        middle = apply_affine(invert_similarity(face.transform), shares.mean(0)[None])[0]
        half = (shares[1] - shares[0]) / 2 / _scale(face)
        return np.concatenate([middle - half, middle + half])

    def _steadied(self, face: Face) -> F64:
        points = face.landmarks[:, :2].astype(np.float64)
        low, extent = points.min(0), np.ptp(points, axis=0)
        shares = np.array(self._spec.box, np.float64).reshape(2, 2)
        edges = low + shares * extent
        measured = np.concatenate([edges.mean(0), (edges[1] - edges[0]) / 2])  # middle and half sides
        if self._state is None:
            self._state = measured
        else:
            scale = _scale(face)
            self._state = self._state + self._steadying.follow((measured - self._state) * scale) / scale
        middle, half = self._state[:2], self._state[2:]
        return np.concatenate([middle - half, middle + half])


def _scale(face: Face) -> float:
    """Crop px in an image px."""
    return float(np.hypot(face.transform[0, 0], face.transform[1, 0]))


def _square_transform(low: F64, extent: F64, size_px: int) -> F64:
    """Stretch the box from ``low`` over ``extent`` to the square: edges to edges, so pixel centres shift by a half."""
    scale = size_px / extent
    return np.column_stack([np.diag(scale), -0.5 - scale * low])
