"""Face detection with MediaPipe's BlazeFace networks: full range first, then more patient searches."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lipforge.runtime.faces.network import Network, TfliteNetwork
from lipforge.runtime.picture import Box, Picture

F64 = NDArray[np.float64]
U8 = NDArray[np.uint8]

_MIN_SCORE = 0.5  # both limits as in MediaPipe's face detection graphs
_MIN_OVERLAP = 0.3
_TILE_SHARE = 0.6  # of the frame's side, so that 2 x 2 tiles overlap by a third


@dataclass(frozen=True)
class Detection:
    """A face found in an image.

    Attributes:
        box: float64 (4,), left, top, right, bottom in image px.
        eyes: float64 (2, 2), the subject's right and left eye in image px.
        score: 0.5 to 1.
    """

    box: F64
    eyes: F64
    score: float

    @property
    def centre(self) -> F64:
        """Middle of the box, float64 (2,)."""
        return (self.box[:2] + self.box[2:]) / 2

    @property
    def side_px(self) -> float:
        """The longer side of the box."""
        return float(np.max(self.box[2:] - self.box[:2]))


def anchor_centres(size_px: int, layers: tuple[tuple[int, int], ...]) -> F64:
    """Return float64 (n, 2) anchor centres in [0, 1]; ``layers`` holds (stride in px, anchors per cell)."""
    rows = []
    for stride, repeats in layers:
        cells = (np.arange(size_px // stride) + 0.5) * stride / size_px
        y, x = np.meshgrid(cells, cells, indexing="ij")
        rows.append(np.repeat(np.column_stack([x.ravel(), y.ravel()]), repeats, axis=0))
    return np.concatenate(rows)


class BlazeDetector:
    """One BlazeFace network on a letterboxed image.

    Args:
        network: gives regressors (1, n, 16) and score logits (1, n, 1).
        size_px: side of its square input.
        layers: its anchors, see ``anchor_centres``.
    """

    def __init__(self, network: Network, size_px: int, layers: tuple[tuple[int, int], ...]) -> None:
        self._network = network
        self._size = size_px
        self._anchors = anchor_centres(size_px, layers)

    def __call__(self, picture: Picture, box: Box) -> list[Detection]:
        """Find faces in a part of a picture, best first; where they are is told in px of the whole picture."""
        boxed, ratio, left, top = letterbox(picture, box, self._size)
        regressors, logits = self._network(boxed)
        scores = 1.0 / (1.0 + np.exp(-np.clip(logits.reshape(-1).astype(np.float64), -100.0, 100.0)))
        keep = np.flatnonzero(scores > _MIN_SCORE)
        values = regressors.reshape(-1, 16)[keep].astype(np.float64)
        points = values.reshape(-1, 8, 2)
        points[:, 0] += self._anchors[keep] * self._size  # box centre; points[:, 1] is its width and height
        points[:, 2:4] += self._anchors[keep][:, None] * self._size  # eyes; the other key points are not used
        corners = np.concatenate([points[:, 0] - points[:, 1] / 2, points[:, 0] + points[:, 1] / 2], axis=1)
        in_square = np.concatenate([corners, points[:, 2:4].reshape(-1, 4)], axis=1).reshape(-1, 4, 2)
        # Networks speak of edges (0 is the left edge of pixel 0), lipforge of pixel centres.
        in_image = (in_square - (left, top)) / ratio - 0.5 + (box.left, box.top)
        return _blend(in_image.reshape(-1, 8), scores[keep])


def letterbox(picture: Picture, box: Box, size_px: int) -> tuple[U8, float, int, int]:
    """Shrink or enlarge a part of a picture to fit a black square.

    Returns:
        The square, uint8 (size_px, size_px, 3) BGR; the ratio of sizes; the widths of the left and top bars in px.
    """
    ratio = size_px / max(box.height, box.width)
    width, height = max(1, round(box.width * ratio)), max(1, round(box.height * ratio))
    left, top = (size_px - width) // 2, (size_px - height) // 2
    square = np.zeros((size_px, size_px, 3), np.uint8)
    square[top : top + height, left : left + width] = picture.resized(box, width, height)
    return square, ratio, left, top


def _blend(rows: F64, scores: F64) -> list[Detection]:
    """Merge overlapping boxes into their mean weighted by score (MediaPipe's weighted suppression)."""
    found = []
    left = np.argsort(-scores, kind="stable")
    while len(left):
        together = _overlap(rows[left[0], :4], rows[left, :4]) > _MIN_OVERLAP
        together[0] = True
        group = left[together]
        row = np.average(rows[group], axis=0, weights=scores[group])
        found.append(Detection(row[:4], row[4:].reshape(2, 2), float(scores[left[0]])))
        left = left[~together]
    return found


def _overlap(box: F64, others: F64) -> F64:
    """Intersection over union of one box (4,) with others (n, 4)."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.clip(sides, 0.0, None), axis=1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=1) + np.prod(box[2:] - box[:2])
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


class FaceDetector:
    """The cascade: full range on the whole frame, the 256 px network, full range on 2 x 2 tiles (wide shots).

    Args:
        full_range: BlazeFace full range, 192 px.
        back: BlazeFace back camera, 256 px.
    """

    def __init__(self, full_range: BlazeDetector, back: BlazeDetector) -> None:
        self._full_range, self._back = full_range, back

    @classmethod
    def load(cls, models_dir: Path) -> FaceDetector:
        """Read both networks from a folder of ``.tflite`` files.

        Raises:
            InputError: a file is missing or cannot be read.
        """
        full = TfliteNetwork(
            models_dir / "face_detection_full_range.tflite",
            ("reshaped_regressor_face_4", "reshaped_classifier_face_4"),
            mean=127.5,
            scale=1 / 127.5,
        )
        back = TfliteNetwork(
            models_dir / "face_detection_back.tflite", ("regressors", "classificators"), mean=127.5, scale=1 / 127.5
        )
        return cls(BlazeDetector(full, 192, ((4, 1),)), BlazeDetector(back, 256, ((16, 2), (32, 6))))

    def searches(self, picture: Picture, *, patient: bool) -> Iterator[list[Detection]]:
        """Yield the faces of one search after another, cheapest first; the caller stops at the first real face.

        Args:
            picture: the frame.
            patient: also try the slower searches, about ten times the cost of the first.
        """
        yield self._full_range(picture, picture.whole)
        if patient:
            yield self._back(picture, picture.whole)
            yield self._tiles(picture)

    def _tiles(self, picture: Picture) -> list[Detection]:
        height, width = max(1, round(picture.height * _TILE_SHARE)), max(1, round(picture.width * _TILE_SHARE))
        found: list[Detection] = []
        for top in (0, picture.height - height):
            for left in (0, picture.width - width):
                found += self._full_range(picture, Box(left, top, width, height))
        rows = np.array([np.concatenate([d.box, d.eyes.ravel()]) for d in found]).reshape(-1, 8)
        return _blend(rows, np.array([d.score for d in found]))
