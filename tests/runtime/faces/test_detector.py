from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.runtime.faces.detector import BlazeDetector, FaceDetector, anchor_centres, letterbox
from lipforge.runtime.picture import Box, Picture

FULL_RANGE = ((4, 1),)
BACK = ((16, 2), (32, 6))
EYE = np.array([5.0, 0.0])


class BlobNetwork:
    """Reports a face of 20 px around every bright blob's centre, at the anchor nearest to it, like BlazeFace."""

    def __init__(self, size: int, layers: tuple[tuple[int, int], ...], logit: float = 2.0) -> None:
        self.anchors = anchor_centres(size, layers) * size
        self.logit = logit
        self.calls = 0

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        self.calls += 1
        regressors = np.zeros((1, len(self.anchors), 16), np.float32)
        logits = np.full((1, len(self.anchors), 1), -9.0, np.float32)
        bright = np.argwhere(image.max(axis=2) > 128)
        if len(bright):
            middle = bright.mean(axis=0)[::-1] + 0.5
            for rank, index in enumerate(np.argsort(np.hypot(*(self.anchors - middle).T))[:3]):
                offset = middle - self.anchors[index]
                regressors[0, index] = [*offset, 20, 20, *(offset - EYE), *(offset + EYE), *np.zeros(8)]
                logits[0, index] = self.logit - rank
        return [regressors, logits]


def picture(width: int, height: int, x: int, y: int, half: int = 6) -> NDArray[np.uint8]:
    image = np.zeros((height, width, 3), np.uint8)
    image[y - half : y + half + 1, x - half : x + half + 1] = 255
    return image


def test_numbers_of_anchors_are_those_of_the_networks() -> None:
    assert anchor_centres(192, FULL_RANGE).shape == (2304, 2)
    assert anchor_centres(256, BACK).shape == (896, 2)
    np.testing.assert_allclose(anchor_centres(256, BACK)[[0, 1, 2]] * 256, [[8, 8], [8, 8], [24, 8]])


@pytest.mark.parametrize(("width", "height"), [(640, 360), (361, 643), (97, 96), (1920, 1080)])
def test_a_face_is_placed_in_pixel_centre_coordinates(width: int, height: int) -> None:
    half = max(width, height) // 40
    detector = BlazeDetector(BlobNetwork(192, FULL_RANGE), 192, FULL_RANGE)
    seen = Picture.of(picture(width, height, width // 3, height // 2, half))
    (found,) = detector(seen, seen.whole)
    ratio = max(width, height) / 192
    np.testing.assert_allclose(found.centre, (width // 3, height // 2), atol=0.6 * ratio)
    assert found.side_px == pytest.approx(20 * ratio, rel=1e-3)
    np.testing.assert_allclose(found.eyes[1] - found.eyes[0], (10 * ratio, 0), atol=1e-3 * ratio)


def test_a_low_score_is_no_face() -> None:
    detector = BlazeDetector(BlobNetwork(192, FULL_RANGE, logit=-0.1), 192, FULL_RANGE)
    assert detector(Picture.of(picture(192, 192, 90, 90)), Box(0, 0, 192, 192)) == []


def test_letterbox_keeps_the_aspect_and_pads_with_black() -> None:
    square, ratio, left, top = letterbox(Picture.of(np.full((50, 130, 3), 200, np.uint8)), Box(7, 0, 100, 50), 192)
    assert (ratio, left, top) == (1.92, 0, 48)
    assert square[48:144].min() == 200
    assert square[:48].max() == square[144:].max() == 0


def test_patient_searches_are_only_run_when_asked_for() -> None:
    full, back = BlobNetwork(192, FULL_RANGE, logit=-5), BlobNetwork(256, BACK, logit=-5)
    detector = FaceDetector(BlazeDetector(full, 192, FULL_RANGE), BlazeDetector(back, 256, BACK))
    image = Picture.of(picture(640, 480, 100, 100))
    assert len(list(detector.searches(image, patient=False))) == 1
    assert (full.calls, back.calls) == (1, 0)
    assert len(list(detector.searches(image, patient=True))) == 3
    assert (full.calls, back.calls) == (1 + 1 + 4, 1)


@pytest.mark.parametrize("where", [(60, 50), (320, 240), (600, 440)])
def test_tiles_report_a_face_once_and_in_frame_coordinates(where: tuple[int, int]) -> None:
    full, back = BlobNetwork(192, FULL_RANGE), BlobNetwork(256, BACK)
    detector = FaceDetector(BlazeDetector(full, 192, FULL_RANGE), BlazeDetector(back, 256, BACK))
    *_, tiles = detector.searches(Picture.of(picture(640, 480, *where)), patient=True)
    (found,) = tiles
    np.testing.assert_allclose(found.centre, where, atol=2.0)
