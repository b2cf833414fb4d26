from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import LipSpec
from lipforge.runtime.faces import HeadTemplate, average_template, fit_head_frame
from lipforge.runtime.faces.head_pose import PoseSmoother
from lipforge.runtime.faces.points import RIGID, RIGID_MIRRORED

LIPS = LipSpec()
ANGLES = [{}, {"yaw": 25.0}, {"pitch": -15.0, "roll": 20.0}, {"yaw": -40.0, "pitch": 10.0, "roll": -8.0}]


@pytest.mark.parametrize("angles", ANGLES)
def test_a_known_pose_is_recovered(maker: SimpleNamespace, angles: dict[str, float]) -> None:
    true = maker.pose_at(**angles)
    pose = HeadTemplate.load(LIPS).fit(maker.posed(true))
    np.testing.assert_allclose(pose.rotation, true.rotation, atol=1e-5)
    np.testing.assert_allclose(pose.origin, true.origin, atol=1e-3)
    assert pose.scale == pytest.approx(true.scale, rel=1e-5)


def test_an_open_mouth_does_not_turn_the_head(maker: SimpleNamespace) -> None:
    template, pose = HeadTemplate.load(LIPS), maker.pose_at(yaw=10)
    closed, wide = template.fit(maker.posed(pose)), template.fit(maker.posed(pose, 15.0))
    np.testing.assert_array_equal(closed.rotation, wide.rotation)


def test_axes_are_those_of_the_head_frame(maker: SimpleNamespace) -> None:
    """Turning to the image's right brings the nose there; x is image right, y down, z away from the viewer."""
    pose = maker.pose_at(yaw=20)
    nose = pose.to_image(np.array([[0.0, 0.0, -20.0]]))[0] - pose.origin
    assert pose.frontal == pytest.approx(np.cos(np.radians(20)))
    assert abs(nose[0]) == pytest.approx(20 * pose.scale * np.sin(np.radians(20)))
    frontal = maker.pose_at()
    right, down = frontal.to_image(np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])) - frontal.origin
    assert right[0] > 0
    assert down[1] > 0


def test_there_and_back_again(maker: SimpleNamespace) -> None:
    pose = maker.pose_at(yaw=12, pitch=7, roll=-30)
    points = maker.head_points()
    np.testing.assert_allclose(pose.to_head(pose.to_image(points)), points, atol=1e-9)


def test_the_frame_by_definition_has_its_unit_and_origin(maker: SimpleNamespace) -> None:
    landmarks = maker.posed(maker.pose_at(yaw=15, roll=10))
    frame = fit_head_frame(landmarks, LIPS)
    eyes = frame.to_head(landmarks[[33, 263]])
    np.testing.assert_allclose(eyes, [[-20, 0, 0], [20, 0, 0]], atol=1e-4)
    np.testing.assert_allclose(frame.rotation.T @ frame.rotation, np.eye(3), atol=1e-9)
    assert np.linalg.det(frame.rotation) == pytest.approx(1.0)


def test_a_template_does_not_depend_on_the_poses_it_was_averaged_over(maker: SimpleNamespace) -> None:
    one = average_template([maker.posed(maker.pose_at())], LIPS)
    many = average_template([maker.posed(maker.pose_at(scale=0.7 + i, **a)) for i, a in enumerate(ANGLES)], LIPS)
    np.testing.assert_allclose(many.points, one.points, atol=1e-3)
    back = HeadTemplate.from_dict(one.to_dict(), LIPS)
    assert back.indices == one.indices
    np.testing.assert_allclose(back.points, one.points, atol=1e-3)


def test_no_face_no_template() -> None:
    with pytest.raises(InputError, match="at least one face"):
        average_template([], LIPS)


def test_the_shipped_template_is_a_symmetric_head() -> None:
    template = HeadTemplate.load(LIPS)
    places = dict(zip(template.indices, template.points, strict=True))
    assert set(RIGID) == set(places)
    np.testing.assert_allclose([places[33], places[263]], [[-20, 0, 0], [20, 0, 0]], atol=1e-6)
    for index, partner in zip(RIGID, RIGID_MIRRORED, strict=True):
        np.testing.assert_allclose(places[index], places[partner] * (-1, 1, 1), atol=1e-3)
    assert places[4][2] < -10 < 10 < places[127][2]  # the nose is near the viewer, the temples are not
    assert places[10][1] < -10 < 10 < places[4][1]  # forehead above the eyes, nose tip below


def test_the_unit_follows_the_spec() -> None:
    doubled = HeadTemplate.load(LipSpec(eye_distance=80.0))
    np.testing.assert_allclose(doubled.points, 2 * HeadTemplate.load(LIPS).points)


@pytest.mark.parametrize(
    "values",
    [
        {"indices": [33, 4], "points": [[0, 0, 0], [1, 1, 1]]},
        {"indices": [33, 263], "points": [[0, 0, 0]]},
        {"indices": [33, 263, 468], "points": [[-20, 0, 0], [20, 0, 0], [0, 0, 0]]},
    ],
)
def test_a_damaged_template_is_refused(values: dict[str, list[int]]) -> None:
    with pytest.raises(ConfigError, match=r"head_template\.json"):
        HeadTemplate.from_dict(values, LIPS)


def test_poses_are_steadied_and_cuts_are_not(maker: SimpleNamespace) -> None:
    smoother = PoseSmoother(LIPS)
    rng = np.random.default_rng(5)
    yaws = rng.normal(0, 0.3, 100)
    seen = [smoother.step(maker.pose_at(yaw=yaw)).rotation[0, 2] for yaw in yaws]
    assert np.std(np.diff(seen)) < 0.4 * np.std(np.diff(np.sin(np.radians(yaws))))
    other = maker.pose_at(x=500, yaw=30)
    jumped = smoother.step(other)
    np.testing.assert_allclose(jumped.rotation, other.rotation, atol=1e-9)
    np.testing.assert_allclose(jumped.origin, other.origin, atol=1e-6)
