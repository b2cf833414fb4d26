"""Pictures that were changed on purpose: the measure of that change moves and the others stay."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import CropSpec
from lipforge.kernels.yuv import I420Frame, YuvSpec
from lipforge.runtime.evaluate.judgement import Judgement, _compare_pixels  # the values as reports have them
from lipforge.runtime.evaluate.pixel_findings import PixelComparison
from lipforge.runtime.evaluate.tracked_frames import TrackedFrame, side_by_side

MOUTH = (slice(40 + 2 * 40, 40 + 2 * 84), slice(30 + 2 * 26, 30 + 2 * 70))  # of the image, see conftest
FULL = YuvSpec(full_range=True)


def frame_of(luma: np.ndarray, time_s: float, face: Any) -> TrackedFrame:
    half = np.full(((luma.shape[0] + 1) // 2, (luma.shape[1] + 1) // 2), 128, np.uint8)
    return TrackedFrame(time_s, I420Frame(np.ascontiguousarray(luma), half, half.copy(), FULL), face)


def compare(truth: SimpleNamespace, change: Any, frames: int = 12) -> dict[str, float]:
    """Compare a picture with what ``change`` makes of it, with coding noise on both."""
    face = SimpleNamespace(transform=truth.transform)
    comparison = PixelComparison(CropSpec())
    picture = truth.textured()
    random = np.random.default_rng(5)
    for number in range(frames):
        noise = [random.normal(0, 0.7, picture.shape) for _ in range(2)]
        changed = np.clip(np.rint(change(picture.astype(float).copy()) + noise[0]), 0, 255).astype(np.uint8)
        original = np.clip(np.rint(picture + noise[1]), 0, 255).astype(np.uint8)
        comparison.add(frame_of(changed, number / 25, face), frame_of(original, number / 25, face))
    video = SimpleNamespace(fps=25.0)
    found = Judgement(SimpleNamespace(video=video, notes={}))  # type: ignore[arg-type]
    _compare_pixels(found, comparison.findings())
    return {name: float(estimate) for name, estimate in found.values.items()}


def nothing(picture: np.ndarray) -> np.ndarray:
    return picture


def blurred_mouth(picture: np.ndarray) -> np.ndarray:
    inside = np.zeros(picture.shape)
    inside[MOUTH] = 1.0
    inside = cv2.GaussianBlur(inside, (0, 0), 6.0)  # or its edge would be a seam
    return np.asarray(picture + inside * (cv2.GaussianBlur(picture, (0, 0), 2.0) - picture))


def pasted_box(picture: np.ndarray, step: float = 6.0) -> np.ndarray:
    picture[40 + 20 : 40 + 180, 30 + 30 : 30 + 160] += step
    return picture


def brighter_cheeks(picture: np.ndarray) -> np.ndarray:
    x = np.arange(picture.shape[1])
    ramp = np.clip(np.abs(x - (30 + 96)) - 40, 0, 20) * 0.25  # without an edge
    inside = np.zeros(picture.shape)
    inside[40 + 84 : 40 + 190] = ramp * (np.abs(x - 126) < 90)
    return picture + cv2.GaussianBlur(inside, (0, 0), 6.0)


def other_background(picture: np.ndarray) -> np.ndarray:
    picture[:, 330:] += 20.0
    return picture


def test_a_copy_has_full_sharpness_no_seam_and_only_noise_outside(truth: SimpleNamespace) -> None:
    found = compare(truth, nothing)
    assert found["sharpness"] == pytest.approx(1.0, abs=0.01)
    assert found["eye_sharpness"] == pytest.approx(1.0, abs=0.01)
    assert found["seam"] < 0.3
    assert found["picture_change"] == pytest.approx(0.8, abs=0.05)  # mean of |N(0, 1)|
    assert 0.3 < found["cheek_change"] < 0.8  # cutting out between pixels averages some of the noise away


@pytest.mark.parametrize(
    ("change", "moved"),
    [
        (blurred_mouth, {"sharpness"}),
        (pasted_box, {"seam", "cheek_change"}),
        (brighter_cheeks, {"cheek_change"}),
        (other_background, {"picture_change"}),
    ],
)
def test_each_change_moves_its_own_measure_and_no_other(truth: SimpleNamespace, change: Any, moved: set[str]) -> None:
    found, usual = compare(truth, change), compare(truth, nothing)
    limits = {
        "sharpness": 0.1,
        "eye_sharpness": 0.05,
        "cheek_change": 0.5,
        "picture_change": 0.3,
        "seam": 0.8,
    }  # a blur reaches beyond the mouth
    assert {name for name, limit in limits.items() if abs(found[name] - usual[name]) > limit} == moved


def test_seam_grows_with_the_step_of_a_pasted_box(truth: SimpleNamespace) -> None:
    weak, strong = (compare(truth, partial(pasted_box, step=step), 4)["seam"] for step in (3.0, 9.0))
    assert 0.5 < weak < strong / 2
    assert strong < 9.0


def test_frames_are_met_at_their_times_and_the_rest_has_no_partner() -> None:
    def at(times: list[float]) -> list[TrackedFrame]:
        return [frame_of(np.zeros((2, 2), np.uint8), time, None) for time in times]

    mine, theirs = at([0.0, 1 / 30, 2 / 30, 0.2, 0.5]), at([0.0, 0.04, 0.08, 0.12])
    pairs = list(side_by_side(iter(mine), iter(theirs), 25.0))
    assert [None if other is None else round(other.time_s, 2) for _, other in pairs] == [0.0, 0.04, 0.08, None, None]
    assert [frame for frame, _ in pairs] == mine
    assert [other for _, other in side_by_side(iter(mine[:2]), iter([]), 25.0)] == [None, None]
