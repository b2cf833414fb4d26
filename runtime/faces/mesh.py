"""The 468-point face mesh of MediaPipe, run on a turned square around the face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.faces.detector import Detection
from lipforge.runtime.faces.network import Network, TfliteNetwork
from lipforge.runtime.faces.points import LEFT_EYE_OUTER, MESH_POINTS, RIGHT_EYE_OUTER

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

INPUT_PX = 192
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
    """Finds the landmarks of the face inside a region.

    Args:
        network: gives landmarks (1404 values in px of the region) and the logit of "this is a face".
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    @classmethod
    def load(cls, models_dir: Path) -> FaceMesh:
        """Read the network from a folder of ``.tflite`` files.

        Raises:
            InputError: the file is missing or cannot be read.
        """
        path = models_dir / "face_landmark.tflite"
        return cls(TfliteNetwork(path, ("conv2d_20", "conv2d_30"), mean=0.0, scale=1 / 255))

    def __call__(self, image: U8, region: FaceRegion) -> tuple[F32, float]:
        """Return landmarks float32 (468, 3) in image px and the probability that this is a face.

        z has the scale of x and is smaller nearer the viewer; only differences of z mean anything.
        """
        step = region.side_px / INPUT_PX
        linear = _rotation(region.angle) * step
        raw, logit = self._network(_cut_out(image, region.centre, linear, step))
        points = raw.reshape(MESH_POINTS, 3).astype(np.float64)
        landmarks = np.empty((MESH_POINTS, 3), np.float32)
        # The network counts px from the region's left and top edge, not from the centre of its first pixel.
        landmarks[:, :2] = (points[:, :2] - INPUT_PX / 2) @ linear.T + region.centre
        landmarks[:, 2] = points[:, 2] * step
        return landmarks, float(1.0 / (1.0 + np.exp(-np.clip(float(logit.reshape(-1)[0]), -100.0, 100.0))))


def _cut_out(image: U8, centre: F64, linear: F64, step: float) -> U8:
    """Resample the region to the network's size; averages first where the face is much larger than that."""
    matrix = np.column_stack([linear, centre - linear @ np.full(2, (INPUT_PX - 1) / 2)])
    factor = int(step)
    if factor >= 2:
        image, matrix = _averaged(image, matrix, factor)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, matrix, (INPUT_PX, INPUT_PX), flags=flags), np.uint8)


def _averaged(image: U8, matrix: F64, factor: int) -> tuple[U8, F64]:
    """Shrink the part of the image under the region by a whole factor, and ``matrix`` with it.

    Bilinear sampling alone would skip pixels of a large face, and the landmarks would tremble.
    """
    height, width = image.shape[:2]
    end = INPUT_PX - 1.0
    corners = np.array([[0.0, 0.0], [end, 0.0], [0.0, end], [end, end]]) @ matrix[:, :2].T + matrix[:, 2]
    low = np.floor(corners.min(0)).astype(int) - factor
    high = np.ceil(corners.max(0)).astype(int) + factor + 1
    # The grid of averaged pixels is tied to the image, so a still face is averaged the same way in every frame.
    left, top = (max(0, int(v) // factor * factor) for v in low)
    right, bottom = min(width, int(high[0])), min(height, int(high[1]))
    columns, rows = (right - left) // factor, (bottom - top) // factor
    if columns < 1 or rows < 1:
        return image, matrix
    part = image[top : top + rows * factor, left : left + columns * factor]
    small = np.asarray(cv2.resize(part, (columns, rows), interpolation=cv2.INTER_AREA), np.uint8)
    shifted = matrix.copy()
    shifted[:, 2] -= (left, top)
    shifted /= factor
    shifted[:, 2] += 0.5 / factor - 0.5
    return small, shifted
