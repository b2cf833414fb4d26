"""The face box of the Wav2Lip family: in the published place, steady at rest, never behind."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.kernels.crop import crop_face
from lipforge.kernels.errors import ConfigError
from lipforge.kernels.spec import CropSpec, FaceBoxSpec
from lipforge.runtime.faces import Face
from lipforge.runtime.faces.alignment import crop_transform
from lipforge.runtime.faces.face_box import FaceBoxes
from lipforge.runtime.faces.similarity import apply_affine

F64 = NDArray[np.float64]
CROP = CropSpec()
WIDTH, HEIGHT = 400, 300


def face_of(landmarks: NDArray[np.floating[Any]]) -> Face:
    points = landmarks.astype(np.float32)
    pose: Any = None
    return Face(points, 1.0, crop_transform(points, CROP), pose, np.zeros((40, 2), np.float32))


def corners(transform: F64, size: int = 96) -> list[float]:
    """Left, top, right, bottom in image px, pixel edges counted from the image's corner as slices count them."""
    low = (np.array([-0.5, -0.5]) - transform[:, 2]) / np.diag(transform) + 0.5
    high = (np.array([size - 0.5] * 2) - transform[:, 2]) / np.diag(transform) + 0.5
    return [*low, *high]


def bounds(landmarks: NDArray[np.floating[Any]]) -> list[float]:
    return [*landmarks[:, :2].min(0) + 0.5, *landmarks[:, :2].max(0) + 0.5]


def test_the_published_box_is_the_mesh_and_its_pads(maker: SimpleNamespace) -> None:
    landmarks = maker.posed(maker.pose_at(y=110.0))
    box = bounds(landmarks)
    for pads in ((0, 10, 0, 0), (3, 0, 4, 5), (0, 0, 0, 0)):
        found = corners(FaceBoxes(FaceBoxSpec(pads_px=pads), CROP).step(face_of(landmarks), WIDTH, HEIGHT))
        grown = np.array(box) + np.array([-pads[2], -pads[0], pads[3], pads[1]])
        np.testing.assert_allclose(found, grown, atol=1e-3)
    shares = FaceBoxSpec(box=(-0.1, 0.2, 1.1, 1.1), pads_px=(0, 0, 0, 0))
    wide, high = box[2] - box[0], box[3] - box[1]
    np.testing.assert_allclose(
        corners(FaceBoxes(shares, CROP).step(face_of(landmarks), WIDTH, HEIGHT)),
        [box[0] - 0.1 * wide, box[1] + 0.2 * high, box[2] + 0.1 * wide, box[3] + 0.1 * high],
        atol=1e-3,
    )


def test_the_cut_is_the_published_slice_and_resize() -> None:
    """On whole edges: ``cv2.resize(image[top:bottom, left:right], (96, 96))``, where enlarging averages nothing."""
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8), (0, 0), 2)
    landmarks = np.full((468, 3), 150.0)
    landmarks[:, :2] = np.random.default_rng(1).uniform((120, 80), (179, 149), (468, 2))
    landmarks[:2, :2] = (119.5, 79.5), (179.5, 149.5)
    transform = FaceBoxes(FaceBoxSpec(), CROP).step(face_of(landmarks), WIDTH, HEIGHT)
    np.testing.assert_allclose(corners(transform), [120, 80, 180, 160], atol=1e-4)
    wanted = cv2.resize(image[80:160, 120:180], (96, 96))
    assert np.abs(crop_face(image, transform, 96).astype(int) - wanted)[2:-2, 2:-2].max() <= 1


def test_the_box_ends_where_the_image_does(maker: SimpleNamespace) -> None:
    landmarks = maker.posed(maker.pose_at(x=60.0, y=230.0))
    left, top, right, bottom = corners(FaceBoxes(FaceBoxSpec(), CROP).step(face_of(landmarks), WIDTH, HEIGHT))
    assert bounds(landmarks)[0] < 0
    assert bounds(landmarks)[3] > HEIGHT
    assert (left, bottom) == pytest.approx((0, HEIGHT))
    assert (top, right) == pytest.approx(tuple(np.array(bounds(landmarks))[[1, 2]]), abs=1e-3)
    outside = landmarks - np.array([5000, 0, 0])
    assert np.isfinite(FaceBoxes(FaceBoxSpec(), CROP).step(face_of(outside), WIDTH, HEIGHT)).all()


def test_trembling_falls_to_less_than_half(maker: SimpleNamespace) -> None:
    random, landmarks = np.random.default_rng(0), maker.posed(maker.pose_at())
    boxes = FaceBoxes(FaceBoxSpec(), CROP)
    raw, steady = [], []
    for _ in range(120):
        seen = landmarks + random.normal(0, 0.25, landmarks.shape)
        raw.append(bounds(seen))
        steady.append(corners(boxes.step(face_of(seen), WIDTH, HEIGHT)))

    def tremble(values: list[Any]) -> float:
        return float(np.diff(np.array(values[20:]), axis=0).std())

    assert tremble(steady) < 0.5 * tremble(raw)


def test_a_moving_face_is_not_left_behind(maker: SimpleNamespace) -> None:
    """The published smoothing runs ahead of such a ramp by two frames' motion and collapses at its end."""
    boxes = FaceBoxes(FaceBoxSpec(pads_px=(0, 0, 0, 0)), CROP)
    for index in range(30):
        landmarks = maker.posed(maker.pose_at(x=120.0 + 5.0 * min(index, 20), y=140.0))
        found = corners(boxes.step(face_of(landmarks), WIDTH, HEIGHT))
        assert np.abs(np.array(found) - bounds(landmarks)).max() < 1.0, f"frame {index}"


def test_a_cut_is_followed_at_once_and_a_reset_forgets(maker: SimpleNamespace) -> None:
    here, there = (face_of(maker.posed(maker.pose_at(x=x, y=140.0))) for x in (100.0, 250.0))
    boxes = FaceBoxes(FaceBoxSpec(), CROP)
    first = boxes.step(here, WIDTH, HEIGHT)
    np.testing.assert_allclose(
        boxes.step(there, WIDTH, HEIGHT), FaceBoxes(FaceBoxSpec(), CROP).step(there, WIDTH, HEIGHT)
    )
    boxes.reset()
    np.testing.assert_array_equal(boxes.step(here, WIDTH, HEIGHT), first)


def test_a_box_on_the_alignment_stands_upright_on_a_tilted_head(maker: SimpleNamespace) -> None:
    spec = FaceBoxSpec(anchor="alignment", box=(0.1, -0.15, 0.9, 0.8), pads_px=(0, 0, 0, 0))
    for roll in (0.0, 20.0):
        for gap in (0.0, 15.0):
            face = face_of(maker.posed(maker.pose_at(x=200.0, y=140.0, roll=roll), gap))
            transform = FaceBoxes(spec, CROP).step(face, WIDTH, HEIGHT)
            left, top, right, bottom = corners(transform)
            scale = np.hypot(*face.transform[:, 0])
            assert right - left == pytest.approx(0.8 * 96 / scale)
            assert bottom - top == pytest.approx(0.95 * 96 / scale)
            middle = np.array([[(left + right) / 2 - 0.5, (top + bottom) / 2 - 0.5]])
            np.testing.assert_allclose(apply_affine(face.transform, middle)[0], [47.5, 0.325 * 96 - 0.5], atol=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        FaceBoxSpec(anchor="nose"),  # type: ignore[arg-type]
        FaceBoxSpec(box=(0.0, 0.0, 0.0, 1.0)),
        FaceBoxSpec(box=(0.0, 1.0)),  # type: ignore[arg-type]
        FaceBoxSpec(pads_px=(1,)),  # type: ignore[arg-type]
    ],
)
def test_a_box_without_sense_is_refused(spec: FaceBoxSpec) -> None:
    with pytest.raises(ConfigError, match="face_box: "):
        FaceBoxes(spec, CROP)
