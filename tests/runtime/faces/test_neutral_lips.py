from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from lipforge.kernels.errors import ConfigError, InputError
from lipforge.kernels.spec import LipSpec
from lipforge.runtime.faces import NeutralLips
from lipforge.runtime.faces.neutral_lips import close_mouth, mouth_gap, seal_mouth
from lipforge.runtime.faces.points import lip_indices

LIPS = LipSpec()
STILL = np.zeros((LIPS.points, 3), np.float32)
UPPER_INNER, LOWER_INNER = slice(21, 30), slice(39, 30, -1)


def test_it_needs_a_face_first(maker: SimpleNamespace) -> None:
    neutral = NeutralLips(LIPS)
    assert not neutral.ready
    with pytest.raises(InputError, match=r"call update\(face\)"):
        neutral.place(STILL, maker.face_of(maker.pose_at()))


def test_another_displacement_is_refused(maker: SimpleNamespace) -> None:
    neutral, face = NeutralLips(LIPS), maker.face_of(maker.pose_at())
    neutral.update(face)
    with pytest.raises(InputError, match="displacement"):
        neutral.place(np.zeros((LIPS.points, 2), np.float32), face)
    with pytest.raises(ConfigError, match="LipSpec"):
        NeutralLips(LipSpec(inner_points=16))


@pytest.mark.parametrize("angles", [{}, {"yaw": 25.0, "pitch": -10.0, "roll": 15.0}])
def test_a_closed_mouth_is_placed_where_it_was_tracked(maker: SimpleNamespace, angles: dict[str, float]) -> None:
    neutral, face = NeutralLips(LIPS), maker.face_of(maker.pose_at(**angles))
    neutral.update(face)
    placed = neutral.place(STILL, face)
    assert placed.dtype == np.float32
    np.testing.assert_allclose(placed, face.lips, atol=1e-3)


def test_an_open_mouth_is_closed_by_geometry(maker: SimpleNamespace) -> None:
    neutral, face = NeutralLips(LIPS), maker.face_of(maker.pose_at(), 12.0)
    neutral.update(face)
    placed = neutral.place(STILL, face)
    expected = maker.face_of(maker.pose_at(), 0.0).lips
    np.testing.assert_allclose(placed, expected, atol=0.5)
    np.testing.assert_array_equal(placed[UPPER_INNER], placed[LOWER_INNER])
    np.testing.assert_allclose(placed[[0, 10, 20, 30]], face.lips[[0, 10, 20, 30]], atol=1e-3)


def test_a_displacement_is_in_crop_pixels_of_a_frontal_face(maker: SimpleNamespace) -> None:
    neutral, face = NeutralLips(LIPS), maker.face_of(maker.pose_at(scale=4.0))
    neutral.update(face)
    lowered = STILL.copy()
    lowered[LOWER_INNER, 1] = 6.0
    moved = neutral.place(lowered, face) - neutral.place(STILL, face)
    per_unit = face.transform[0, 0] * 4.0  # about 1: this head is not exactly the crop's template
    np.testing.assert_allclose(moved[LOWER_INNER, 1], 6.0 * per_unit, rtol=1e-4)
    assert per_unit == pytest.approx(1.0, abs=0.1)
    assert np.abs(moved[UPPER_INNER]).max() == 0.0


def test_a_displacement_turns_with_the_head(maker: SimpleNamespace) -> None:
    neutral, face = NeutralLips(LIPS), maker.face_of(maker.pose_at(yaw=40))
    neutral.update(face)
    aside, forward = STILL.copy(), STILL.copy()
    aside[:, 0], forward[:, 2] = 5.0, -5.0
    base = neutral.place(STILL, face)
    scale = np.hypot(*face.transform[:, 0]) * face.pose.scale
    side_move, forward_move = neutral.place(aside, face) - base, neutral.place(forward, face) - base
    np.testing.assert_allclose(np.hypot(*side_move.T), 5 * scale * np.cos(np.radians(40)), rtol=1e-3)
    np.testing.assert_allclose(np.hypot(*forward_move.T), 5 * scale * np.sin(np.radians(40)), rtol=1e-3)


def test_crossing_lips_are_sealed_in_the_middle(maker: SimpleNamespace) -> None:
    neutral, face = NeutralLips(LIPS), maker.face_of(maker.pose_at())
    neutral.update(face)
    pressed = STILL.copy()
    pressed[UPPER_INNER, 1], pressed[LOWER_INNER, 1] = 1.0, -2.0
    placed, base = neutral.place(pressed, face), neutral.place(STILL, face)
    np.testing.assert_array_equal(placed[UPPER_INNER], placed[LOWER_INNER])
    scale = face.transform[0, 0] * face.pose.scale
    np.testing.assert_allclose((placed - base)[UPPER_INNER, 1], -0.5 * scale, atol=1e-3)


def test_sealing_leaves_open_pairs_alone(maker: SimpleNamespace) -> None:
    points = maker.head_points(5.0)[list(lip_indices(LIPS))]
    np.testing.assert_array_equal(seal_mouth(points, LIPS), points)


def test_gap_and_closing(maker: SimpleNamespace) -> None:
    points = maker.head_points(10.0)[list(lip_indices(LIPS))]
    assert 8.0 < mouth_gap(points, LIPS) <= 10.0
    closed = close_mouth(points, LIPS)
    assert mouth_gap(closed, LIPS) == 0.0
    np.testing.assert_allclose(closed[5] - points[5], (0, 2.5, 0), atol=1e-9)  # upper lip's edge
    np.testing.assert_allclose(closed[15] - points[15], (0, -7.5, 0), atol=1e-9)  # lower lip's edge
    assert mouth_gap(close_mouth(closed, LIPS), LIPS) == 0.0


def mouth_of(maker: SimpleNamespace, gap: float, lowered: float) -> object:
    """A face whose lips hang lower than those of the made-up head by some units."""
    pose = maker.pose_at()
    landmarks = maker.posed(pose, gap)
    landmarks[list(lip_indices(LIPS)), 1] += np.float32(lowered * pose.scale)
    return replace(maker.face_of(pose), landmarks=landmarks)


def test_a_more_closed_mouth_takes_over_without_a_jump(maker: SimpleNamespace) -> None:
    """The first frames are wide open and their closing by geometry is 3 units off; then the mouth closes."""
    neutral = NeutralLips(LIPS)
    frames = [mouth_of(maker, 10.0, 3.0)] * 10 + [mouth_of(maker, 0.1, 0.0)] * 60
    placed = []
    for face in frames:
        neutral.update(face)
        placed.append(neutral.place(STILL, face))
    steps = np.hypot(*np.diff(placed, axis=0).transpose(2, 0, 1)).max(axis=1)
    assert steps.max() < 0.5
    assert np.abs(placed[0] - placed[-1]).max() > 2.0
    np.testing.assert_allclose(placed[-1], maker.face_of(maker.pose_at()).lips, atol=0.3)


def test_opening_the_mouth_does_not_change_the_neutral(maker: SimpleNamespace) -> None:
    neutral = NeutralLips(LIPS)
    closed, wide = maker.face_of(maker.pose_at()), maker.face_of(maker.pose_at(), 12.0)
    for _ in range(20):
        neutral.update(closed)
    before = neutral.points
    for _ in range(20):
        neutral.update(wide)
    assert np.abs(neutral.points - before).max() < 0.3


def test_the_offset_follows_the_mouth_and_is_bounded(maker: SimpleNamespace) -> None:
    neutral = NeutralLips(LIPS)
    neutral.update(maker.face_of(maker.pose_at()))
    moved = maker.face_of(maker.pose_at())
    landmarks = moved.landmarks.copy()
    landmarks[list(lip_indices(LIPS)), 0] += np.float32(30 * moved.pose.scale)
    before = neutral.points
    for _ in range(5):
        neutral.update(replace(moved, landmarks=landmarks))
    after = neutral.points
    assert 0.3 < (after - before)[:, 0].mean() < 5 * 0.35 + 1e-6


def test_reset_forgets_the_person(maker: SimpleNamespace) -> None:
    neutral = NeutralLips(LIPS)
    neutral.update(maker.face_of(maker.pose_at()))
    neutral.reset()
    assert not neutral.ready
