from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.runtime.faces.detector import Detection
from lipforge.runtime.faces.mesh import INPUT_PX, FaceMesh, FaceRegion
from lipforge.runtime.picture import Picture


class SpotNetwork:
    """Puts all landmarks at the middle of what is bright; counts px from the image's edge, as the real one does."""

    def __init__(self, logit: float = 3.0) -> None:
        self.logit = logit

    def __call__(self, image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        weight = image[..., 1] + 1e-9
        y, x = np.mgrid[:INPUT_PX, :INPUT_PX] + 0.5
        spot = ((x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum(), 4.0)
        return [np.tile(np.float32(spot), 468).reshape(1, -1, 1, 1), np.full((1, 1, 1, 1), self.logit, np.float32)]


def spot(x: float, y: float, radius: float, size: tuple[int, int] = (900, 1200)) -> NDArray[np.uint8]:
    rows, columns = np.mgrid[: size[0], : size[1]]
    level = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * radius**2))
    return np.repeat(level.astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("side_px", [60.0, 192.0, 300.0, 500.0, 830.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2])
def test_landmarks_come_back_to_the_pixel_they_were_found_at(side_px: float, angle: float) -> None:
    x, y = 611.3, 402.8
    region = FaceRegion(np.array([x - 0.07 * side_px, y + 0.05 * side_px]), side_px, angle)
    landmarks, score = FaceMesh(SpotNetwork())(Picture.of(spot(x, y, side_px / 20)), region)
    np.testing.assert_allclose(landmarks[:, :2], np.tile((x, y), (468, 1)), atol=0.1 + 1e-4 * side_px)
    np.testing.assert_allclose(landmarks[:, 2], 4 * side_px / INPUT_PX, rtol=1e-5)
    assert score == pytest.approx(1 / (1 + np.exp(-3)))


def test_a_region_may_hang_over_the_frame() -> None:
    landmarks, _ = FaceMesh(SpotNetwork())(Picture.of(spot(20, 30, 5)), FaceRegion(np.array([0.0, 0.0]), 600.0, 0.3))
    np.testing.assert_allclose(landmarks[0, :2], (20, 30), atol=1.0)


@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_what_lies_beyond_the_frame_is_black(angle: float) -> None:
    seen: list[NDArray[np.uint8]] = []

    def network(image: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        seen.append(image.copy())
        return SpotNetwork()(image)

    white = Picture.of(np.full((300, 400, 3), 255, np.uint8))
    region = FaceRegion(np.array([0.0, 150.0]), 192.0, angle)
    FaceMesh(network)(white, region)
    FaceMesh(network)(white, FaceRegion(np.array([200.0, 150.0]), 192.0, angle))
    rows, columns = np.mgrid[:INPUT_PX, :INPUT_PX] - (INPUT_PX - 1) / 2
    x = np.cos(angle) * columns - np.sin(angle) * rows
    assert (seen[0][x < -1] == 0).all()
    assert (seen[0][x > 0] == 255).all()
    assert (seen[1] == 255).all()


@pytest.mark.parametrize("size", [(1, 1), (3, 2000)])
def test_odd_frames_do_no_harm(size: tuple[int, int]) -> None:
    frame = np.full((*size, 3), 255, np.uint8)
    landmarks, _ = FaceMesh(SpotNetwork())(Picture.of(frame), FaceRegion(np.array([0.0, 0.0]), 700.0, 0.0))
    assert np.isfinite(landmarks).all()


def test_the_region_of_landmarks_turns_with_the_face(maker: SimpleNamespace) -> None:
    upright = FaceRegion.of_landmarks(maker.posed(maker.pose_at()))
    turned = FaceRegion.of_landmarks(maker.posed(maker.pose_at(roll=30)))
    assert turned.side_px == pytest.approx(upright.side_px, rel=1e-5)
    assert np.degrees(turned.angle - upright.angle) == pytest.approx(30, abs=1e-3)


def test_the_region_of_a_detection_is_level_with_the_eyes() -> None:
    found = Detection(np.array([10.0, 20.0, 110.0, 140.0]), np.array([[30.0, 60.0], [90.0, 120.0]]), 0.9)
    region = FaceRegion.of_detection(found)
    np.testing.assert_allclose(region.centre, (60, 80))
    assert (region.side_px, region.angle) == (180.0, pytest.approx(np.pi / 4))
