"""Smoothing on synthetic motion: trembling goes down, motion keeps up."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec
from lipforge.runtime.faces.alignment import TransformSmoother, crop_transform
from lipforge.runtime.faces.similarity import apply_affine, compose_affine, invert_similarity

F64 = NDArray[np.float64]
CROP = CropSpec()
STILL = np.array([[0.4, 0.0, -30.0], [0.0, 0.4, -20.0]])
PROBES = np.array([[28.0, 20.0], [68.0, 20.0], [48.0, 60.0]])


def shifted(transform: F64, x: float = 0.0, y: float = 0.0) -> F64:
    return transform + np.array([[0.0, 0.0, x], [0.0, 0.0, y]])


def apart(one: F64, other: F64) -> float:
    """How far two transforms put the same image points from each other, in crop px."""
    return float(np.hypot(*(apply_affine(compose_affine(one, invert_similarity(other)), PROBES) - PROBES).T).max())


def trembling(frames: int, seed: int = 0) -> list[F64]:
    rng = np.random.default_rng(seed)
    out = []
    for _ in range(frames):
        size, angle = np.exp(rng.normal(0, 0.003)), rng.normal(0, 0.003)
        turn = size * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        about = np.column_stack([turn, (48, 40) - turn @ (48, 40) + rng.normal(0, 0.12, 2)])
        out.append(compose_affine(about, STILL))
    return out


def test_the_template_is_reached(maker: SimpleNamespace) -> None:
    template = np.array(CROP.template)
    landmarks = np.zeros((468, 3), np.float32)
    inverse = invert_similarity(np.array([[0.3, 0.1, 5.0], [-0.1, 0.3, 9.0]]))
    landmarks[[33, 133, 362, 263, 2], :2] = apply_affine(inverse, template)
    np.testing.assert_allclose(
        crop_transform(landmarks, CROP), [[0.3, 0.1, 5.0], [-0.1, 0.3, 9.0]], rtol=1e-4, atol=1e-3
    )


def test_lips_do_not_move_the_crop(maker: SimpleNamespace) -> None:
    closed, wide = (crop_transform(maker.posed(maker.pose_at(), gap), CROP) for gap in (0.0, 15.0))
    np.testing.assert_array_equal(closed, wide)


def test_the_first_transform_is_taken_as_it_is() -> None:
    np.testing.assert_array_equal(TransformSmoother(CROP).step(STILL), STILL)


def test_trembling_falls_to_less_than_half() -> None:
    smoother = TransformSmoother(CROP)
    measured = trembling(200)
    smooth = [smoother.step(m) for m in measured]
    raw = np.median([apart(a, b) for a, b in zip(measured[21:], measured[20:], strict=False)])
    left = np.median([apart(a, b) for a, b in zip(smooth[21:], smooth[20:], strict=False)])
    assert raw > 0.2
    assert left < 0.5 * raw


@pytest.mark.parametrize("speed", [0.3, 1.0, 3.0, 8.0])
def test_steady_motion_lags_less_than_a_frame(speed: float) -> None:
    smoother = TransformSmoother(CROP)
    lags = []
    for frame in range(60):
        measured = shifted(STILL, speed * frame, -0.5 * speed * frame)
        lags.append(apart(smoother.step(measured), measured))
    assert max(lags[10:]) < min(0.7, speed * np.hypot(1, 0.5))
    assert max(lags) < 1.2 * speed * np.hypot(1, 0.5)


def test_a_sudden_start_is_followed_within_the_frame() -> None:
    smoother = TransformSmoother(CROP)
    for measured in trembling(50):
        smoother.step(measured)
    lags = []
    for frame in range(1, 6):
        measured = shifted(STILL, 4.0 * frame)
        lags.append(apart(smoother.step(measured), measured))
    assert max(lags) < 0.6


def test_a_nod_lags_less_than_a_frame() -> None:
    """A quick nod: 5 crop px up and down at 2 Hz; the lag is the shift in time that explains the difference."""
    smoother = TransformSmoother(CROP)
    time = np.arange(200)
    path = 5 * np.sin(2 * np.pi * 2 * time / 25)
    followed = np.array([smoother.step(shifted(STILL, y=y))[1, 2] for y in path]) - STILL[1, 2]

    def error(delay: float) -> float:
        return float(np.abs(followed[50:] - np.interp(time[50:] - delay, time, path)).sum())

    assert min(np.arange(0, 3, 0.05), key=error) < 0.5


def test_a_cut_is_taken_at_once_and_leaves_no_speed_behind() -> None:
    smoother = TransformSmoother(CROP)
    for measured in trembling(30):
        smoother.step(measured)
    other = shifted(STILL, 60.0, 20.0)
    np.testing.assert_allclose(smoother.step(other), other, atol=1e-9)
    np.testing.assert_allclose(smoother.step(other), other, atol=1e-9)


def test_size_and_angle_are_smoothed_too() -> None:
    smoother = TransformSmoother(CROP)
    smoother.step(STILL)
    turned = compose_affine(np.array([[1.0, -0.004, 0.15], [0.004, 1.0, -0.19]]), STILL)
    moved = smoother.step(turned)
    assert 0 < moved[1, 0] < 0.5 * turned[1, 0]


def test_faces_of_all_sizes_are_smoothed_alike() -> None:
    small, large = TransformSmoother(CROP), TransformSmoother(CROP)
    zoom = np.array([[0.1, 0.0, 0.0], [0.0, 0.1, 0.0]])
    for measured in trembling(20):
        a = small.step(measured)
        b = large.step(compose_affine(measured, zoom))
    np.testing.assert_allclose(compose_affine(a, zoom), b, atol=1e-9)


def test_reset_forgets() -> None:
    smoother = TransformSmoother(CROP)
    smoother.step(STILL)
    smoother.reset()
    near = shifted(STILL, 0.3)
    np.testing.assert_array_equal(smoother.step(near), near)
