"""The 468-point face mesh of MediaPipe, run on a turned square around the face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.crop import CropScratch
from lipforge.runtime.faces.detector import Detection
from lipforge.runtime.faces.network import Network, TfliteNetwork
from lipforge.runtime.faces.points import LEFT_EYE_OUTER, MESH_POINTS, RIGHT_EYE_OUTER
from lipforge.runtime.faces.similarity import apply_affine, invert_similarity
from lipforge.runtime.picture import Picture

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

INPUT_PX = 192
_CORNERS = (INPUT_PX - 1) * np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
_MARGIN = 1.5  # side of the region over side of the face, as in MediaPipe's face landmark graph


@dataclass(frozen=True)
class FaceRegion:
    """A turned square: ``centre`` float64 (2,) image px, ``side_px``, ``angle`` in radians, clockwise on screen."""

    centre: F64
    side_px: float
    angle: float

    @classmethod
    def of_detection(cls, found: Detection) -> FaceRegion:
        """Region for a detected face: around its box, level with its eyes."""
        return cls(found.centre, found.side_px * _MARGIN, _angle(found.eyes[1] - found.eyes[0]))

    @classmethod
    def of_landmarks(cls, landmarks: NDArray[np.floating]) -> FaceRegion:
        """Region for the next frame from landmarks (468, 2 or 3) in image px."""
        points = landmarks[:, :2].astype(np.float64)
        angle = _angle(points[LEFT_EYE_OUTER] - points[RIGHT_EYE_OUTER])
        turn = _rotation(angle)
        level = points @ turn  # rows times R = R^T applied to each point
        low, high = level.min(0), level.max(0)
        return cls(turn @ ((low + high) / 2), float(np.max(high - low)) * _MARGIN, angle)


def _angle(line: F64) -> float:
    return float(np.arctan2(line[1], line[0]))


def _rotation(angle: float) -> F64:
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.array([[cosine, -sine], [sine, cosine]])


class FaceMesh:
    """Finds the landmarks of the face inside a region. It keeps the network's input, so not for two threads at once.

    Args:
        network: gives landmarks (1404 values in px of the region) and the logit of "this is a face".
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._square = np.empty((INPUT_PX, INPUT_PX, 3), np.uint8)
        self._scratch = CropScratch()

    @classmethod
    def load(cls, models_dir: Path) -> FaceMesh:
        """Read the network from a folder of ``.tflite`` files.

        Raises:
            InputError: the file is missing or cannot be read.
        """
        path = models_dir / "face_landmark.tflite"
        return cls(TfliteNetwork(path, ("conv2d_20", "conv2d_30"), mean=0.0, scale=1 / 255))

    def __call__(self, picture: Picture, region: FaceRegion) -> tuple[F32, float]:
        """Return landmarks float32 (468, 3) in image px and the probability that this is a face.

        z has the scale of x and is smaller nearer the viewer; only differences of z mean anything.
        """
        step = region.side_px / INPUT_PX
        linear = _rotation(region.angle) * step
        raw, logit = self._network(self._cut_out(picture, region.centre, linear))
        points = raw.reshape(MESH_POINTS, 3).astype(np.float64)
        landmarks = np.empty((MESH_POINTS, 3), np.float32)
        # The network counts px from the region's left and top edge, not from the centre of its first pixel.
        landmarks[:, :2] = (points[:, :2] - INPUT_PX / 2) @ linear.T + region.centre
        landmarks[:, 2] = points[:, 2] * step
        return landmarks, float(1.0 / (1.0 + np.exp(-np.clip(float(logit.reshape(-1)[0]), -100.0, 100.0))))

    def _cut_out(self, picture: Picture, centre: F64, linear: F64) -> U8:
        """Resample the region to the network's size, averaging where it is larger, with black around the picture."""
        to_picture = np.column_stack([linear, centre - linear @ np.full(2, (INPUT_PX - 1) / 2)])
        out = picture.crop(self._scratch, invert_similarity(to_picture), INPUT_PX, self._square)
        corners = apply_affine(to_picture, _CORNERS)
        end = np.array([picture.width, picture.height]) - 0.5
        if np.any(corners < -0.5) or np.any(corners > end):
            # A crop repeats the edge of the picture. On such streaks the landmarks of a face that hangs over the edge
            # trembled three times as much as on black.
            positions = apply_affine(to_picture, _pixels()).reshape(INPUT_PX, INPUT_PX, 2)
            out[np.any((positions < -0.5) | (positions > end), axis=2)] = 0
        return out


def _pixels() -> F64:
    rows, columns = np.mgrid[:INPUT_PX, :INPUT_PX]
    return np.column_stack([columns.ravel(), rows.ravel()]).astype(np.float64)
