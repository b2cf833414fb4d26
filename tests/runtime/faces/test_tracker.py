from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.kernels.yuv import I420Frame
from lipforge.runtime.faces import FaceTracker
from lipforge.runtime.faces.detector import Detection

FRAME = np.zeros((480, 640, 3), np.uint8)


def tracker_for(world: Any) -> FaceTracker:
    return FaceTracker(None, CropSpec(), LipSpec(), detector=world, mesh=world)


def test_what_a_face_holds(world: Any, maker: SimpleNamespace) -> None:
    world.poses = [maker.pose_at(yaw=10)]
    face = tracker_for(world).track(FRAME)
    assert face is not None
    assert (face.landmarks.shape, face.landmarks.dtype) == ((468, 3), np.float32)
    assert (face.lips.shape, face.lips.dtype) == ((40, 2), np.float32)
    assert (face.transform.shape, face.transform.dtype) == ((2, 3), np.float64)
    assert face.score == pytest.approx(0.99)
    np.testing.assert_allclose(face.lips, maker.face_of(maker.pose_at(yaw=10)).lips, atol=1e-3)
    np.testing.assert_allclose(face.pose.rotation, maker.pose_at(yaw=10).rotation, atol=1e-4)


def test_planes_are_tracked_as_images_are(world: Any, maker: SimpleNamespace) -> None:
    world.poses = [maker.pose_at(x=610, y=450)]
    half = np.zeros((240, 320), np.uint8)
    planes = I420Frame(FRAME[..., 0].copy(), half, half.copy())
    found = [tracker_for(world).track(pixels) for pixels in (FRAME, planes)]
    assert all(face is not None for face in found)
    np.testing.assert_array_equal(found[0].lips, found[1].lips)
    world.poses = [maker.pose_at(x=650, y=450)]  # the eyes' middle lies outside
    assert tracker_for(world).track(planes) is None


def test_one_search_serves_a_whole_shot(world: Any, maker: SimpleNamespace) -> None:
    tracker = tracker_for(world)
    for frame in range(50):
        world.poses = [maker.pose_at(x=200 + 3 * frame, roll=frame / 2)]
        assert tracker.track(FRAME) is not None
    assert tracker.searches == 1
    assert world.looks == 2 + 49  # the first frame is looked at twice


def test_a_lost_face_is_searched_again(world: Any, maker: SimpleNamespace) -> None:
    tracker = tracker_for(world)
    world.poses = [maker.pose_at()]
    tracker.track(FRAME)
    world.poses = []
    assert tracker.track(FRAME) is None
    world.poses = [maker.pose_at(x=450, y=300)]
    face = tracker.track(FRAME)
    assert face is not None
    np.testing.assert_allclose(face.pose.origin[:2], (450, 300), atol=0.1)
    assert tracker.searches == 3


def test_a_cut_to_another_place_costs_no_frame(world: Any, maker: SimpleNamespace) -> None:
    tracker = tracker_for(world)
    world.poses = [maker.pose_at()]
    tracker.track(FRAME)
    world.poses = [maker.pose_at(x=480, y=330, scale=1.5)]
    face = tracker.track(FRAME)
    assert face is not None
    np.testing.assert_allclose(face.lips, maker.face_of(world.poses[0]).lips, atol=1e-3)


def test_no_face_is_none_and_dear_searches_are_rare(world: Any) -> None:
    tracker = tracker_for(world)
    assert [tracker.track(FRAME) for _ in range(21)] == [None] * 21
    assert [frame for frame, patient in enumerate(world.patience) if patient] == [0, 10, 20]


def test_a_small_face_is_found_by_the_patient_search(world: Any, maker: SimpleNamespace) -> None:
    world.poses, world.patient_only = [maker.pose_at(scale=0.6)], True
    assert tracker_for(world).track(FRAME) is not None


def test_large_and_central_faces_come_first(world: Any, maker: SimpleNamespace) -> None:
    small, large = maker.pose_at(x=120, y=120, scale=1.0), maker.pose_at(x=430, y=200, scale=2.0)
    world.poses = [small, large]
    face = tracker_for(world).track(FRAME)
    assert face is not None
    assert face.pose.scale == pytest.approx(2.0, rel=1e-3)
    world.poses = [maker.pose_at(x=70, y=60, scale=1.5), maker.pose_at(x=330, y=200, scale=1.5)]
    face = tracker_for(world).track(FRAME)
    assert face is not None
    np.testing.assert_allclose(face.pose.origin[:2], (330, 200), atol=0.1)


def test_it_stays_with_its_face(world: Any, maker: SimpleNamespace) -> None:
    """A larger face comes in; even after a missed frame the tracker goes back to the one it followed."""
    tracker = tracker_for(world)
    mine, other = maker.pose_at(x=150, y=150, scale=1.0), maker.pose_at(x=450, y=200, scale=2.2)
    world.poses = [mine]
    tracker.track(FRAME)
    for shown in ([mine, other], [], [other, mine]):
        world.poses = shown
        face = tracker.track(FRAME)
    assert face is not None
    assert face.pose.scale == pytest.approx(1.0, rel=1e-3)


def test_after_a_long_absence_or_a_reset_the_larger_face_is_taken(world: Any, maker: SimpleNamespace) -> None:
    mine, other = maker.pose_at(x=150, y=150, scale=1.0), maker.pose_at(x=450, y=200, scale=2.2)
    tracker = tracker_for(world)
    for forget in (lambda: [tracker.track(FRAME) for _ in range(40)], tracker.reset):
        tracker.reset()
        world.poses = [mine]
        tracker.track(FRAME)
        world.poses = []
        forget()
        world.poses = [mine, other]
        face = tracker.track(FRAME)
        assert face is not None
        assert face.pose.scale == pytest.approx(2.2, rel=1e-3)


def test_a_false_detection_is_not_a_face(world: Any, maker: SimpleNamespace) -> None:
    cat = Detection(np.array([200.0, 100.0, 500.0, 400.0]), np.array([[260.0, 200.0], [400.0, 200.0]]), 0.95)
    world.false_alarms = [cat]
    tracker = tracker_for(world)
    assert tracker.track(FRAME) is None
    world.poses = [maker.pose_at(x=130, y=90, scale=0.9)]
    assert tracker.track(FRAME) is not None


@pytest.mark.parametrize("pose", [{"x": -30.0}, {"x": 660.0}, {"scale": 0.15}])
def test_a_face_outside_or_tiny_is_refused(world: Any, maker: SimpleNamespace, pose: dict[str, float]) -> None:
    world.poses = [maker.pose_at(**pose)]
    assert tracker_for(world).track(FRAME) is None


def test_two_runs_are_the_same(world: Any, maker: SimpleNamespace) -> None:
    tracker = tracker_for(world)
    runs = []
    for _ in range(2):
        tracker.reset()
        runs.append([])
        for frame in range(20):
            world.poses = [replace(maker.pose_at(x=200 + 2 * np.sin(frame)), scale=2.5)]
            face = tracker.track(FRAME)
            assert face is not None
            runs[-1].append(face.lips)
    np.testing.assert_array_equal(runs[0], runs[1])


@pytest.mark.parametrize(
    "image", [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4), np.uint8), np.zeros((8, 8, 3), np.uint8)[:, ::2], None]
)
def test_other_images_are_refused(world: Any, image: Any) -> None:
    with pytest.raises(InputError, match="image"):
        tracker_for(world).track(image)


def test_specs_and_folders_are_checked(world: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="LipSpec"):
        FaceTracker(None, CropSpec(), LipSpec(outer_points=8), detector=world, mesh=world)
    with pytest.raises(InputError, match="models fetch faces"):
        FaceTracker(tmp_path, CropSpec(), LipSpec())
    (tmp_path / "face_detection_full_range.tflite").write_bytes(b"not a network")
    with pytest.raises(InputError, match="cannot read this face model"):
        FaceTracker(tmp_path, CropSpec(), LipSpec())
