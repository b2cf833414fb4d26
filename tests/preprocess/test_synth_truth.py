"""The renderer's truth: geometry, motion and visibility agree with the pictures."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import LipSpec, MouthPart
from lipforge.preprocess.synth.expression import UNIT_INDEX, UNITS
from lipforge.preprocess.synth.face_boxes import render_faces
from lipforge.preprocess.synth.landmarks import average_lip_motion
from lipforge.preprocess.synth.motion_truth import flow_between, mouth_parts
from lipforge.preprocess.synth.scene import Scene, Studio, crop_picture, relaxed_units

pytestmark = pytest.mark.network


def _units(**values: float) -> np.ndarray:
    units = relaxed_units()
    for name, value in values.items():
        units[UNIT_INDEX[name]] = value
    return units


def _scene(studio: Studio, seed: int) -> Scene:
    return studio.sample_scene(np.random.default_rng(seed))


def _gap(lips: np.ndarray, spec: LipSpec) -> float:
    """Mean height between facing inner points, corners left out; (N, 2 or 3) with y down."""
    inner = lips[spec.outer_points :]
    half = spec.inner_points // 2
    return float(np.mean(inner[:half:-1, 1] - inner[1:half, 1]))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moving_the_reference_by_the_flow_gives_the_target(studio: Studio, seed: int) -> None:
    scene = _scene(studio, seed)
    shut, open_ = studio.capture(scene, relaxed_units()), studio.capture(scene, _units(jawOpen=0.5, mouthStretch=0.4))
    flow, visible = flow_between(shut, open_, studio.head.faces, studio.crop)
    reference, target = crop_picture(shut, studio.crop), crop_picture(open_, studio.crop)
    y, x = np.mgrid[:96, :96].astype(np.float32)
    moved = cv2.remap(
        reference,
        x + flow[..., 0].astype(np.float32),
        y + flow[..., 1].astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )
    seen = visible == 255
    error = np.abs(moved.astype(float) - target)[seen].mean()
    untouched = np.abs(reference.astype(float) - target)[seen].mean()
    # Light changes with the surface's slope, so the match is close, not exact (1.4 levels on average).
    assert error < 3.0
    assert error < 0.6 * untouched
    assert 0 < (~seen).sum() < 0.25 * seen.size, "an opening mouth shows something that was hidden, but not much"


def test_no_motion_has_no_flow_and_hides_nothing(studio: Studio) -> None:
    scene = _scene(studio, 4)
    capture = studio.capture(scene, _units(jawOpen=0.3))
    flow, visible = flow_between(capture, capture, studio.head.faces, studio.crop)
    assert np.abs(flow.astype(float)).max() < 0.02
    assert (visible == 255).mean() > 0.99


def test_relaxed_lips_are_sealed(studio: Studio) -> None:
    gaps = []
    for seed in range(20):
        scene = _scene(studio, seed)
        gaps.append(_gap(studio.capture(scene, relaxed_units()).lips, studio.lip_spec))
    assert max(gaps) < 0.8, "crop px; an open jaw gives 9"


@pytest.mark.parametrize("seed", range(4))
def test_teeth_and_tongue_show_between_the_lips_only(studio: Studio, seed: int) -> None:
    scene = _scene(studio, seed)
    inside = (MouthPart.TEETH, MouthPart.TONGUE)
    shut = mouth_parts(studio.capture(scene, relaxed_units()), studio.head, studio.crop)
    assert np.isin(shut, inside).sum() < 60, "quarters of a px, of a seam some 60 of them long"
    smile = studio.capture(scene, _units(jawOpen=0.3, mouthSmile=0.8, mouthUpperUp=1.0, mouthLowerDown=0.4))
    assert (mouth_parts(smile, studio.head, studio.crop) == MouthPart.TEETH).sum() > 100
    capture = studio.capture(scene, _units(jawOpen=1.0))
    wide = mouth_parts(capture, studio.head, studio.crop)
    assert (wide == MouthPart.DARK).sum() + (wide == MouthPart.TONGUE).sum() > 200
    inner = 2 * capture.lips[studio.lip_spec.outer_points :] + 0.5
    rows, columns = np.nonzero(np.isin(wide, inside))
    assert rows.min() >= inner[:, 1].min() - 3, "not through the skin above"
    assert rows.max() <= inner[:, 1].max() + 3, "nor through the chin"
    assert inner[:, 0].min() - 4 <= columns.min() <= columns.max() <= inner[:, 0].max() + 4


def test_the_same_seed_gives_the_same_picture(studio: Studio) -> None:
    first, second = (studio.capture(_scene(studio, 7), _units(jawOpen=0.4)).picture for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_lip_motion_is_linear_and_has_the_right_signs(studio: Studio) -> None:
    spec = studio.lip_spec
    motion = average_lip_motion(studio.head, studio.expression, studio.landmarks, spec)
    assert motion.shape == (len(UNITS), spec.points, 3)
    by_name = dict(zip(UNITS, motion, strict=True))
    assert _gap(by_name["jawOpen"], spec) > 10
    assert abs(_gap(by_name["jawOpen"] + by_name["mouthClose"], spec)) < 0.5, "mouthClose seals what jawOpen opens"
    corners = [0, spec.outer_points // 2]
    width = {name: float(np.diff(by_name[name][corners, 0])[0]) for name in ("mouthPucker", "mouthStretch")}
    assert width["mouthPucker"] < -2.0 < 2.0 < width["mouthStretch"]
    assert by_name["mouthPucker"][:, 2].mean() < 0, "puckered lips come towards the viewer"


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_in_a_face_box_the_mouth_moves_in_the_lower_half(studio: Studio, seed: int) -> None:
    mouths = np.stack([relaxed_units(), _units(jawOpen=0.6), _units(jawOpen=0.6)])
    shut, opened, still = render_faces(studio, _scene(studio, seed), mouths, 25, np.random.default_rng(seed)).astype(
        int
    )
    moved, unmoved = np.abs(opened - shut), np.abs(still - opened)  # the head sways from frame to frame in both
    assert moved[48:].mean() > 1.5 * unmoved[48:].mean()
    assert moved[:48].mean() < 1.3 * unmoved[:48].mean()
    rows = (moved.sum((1, 2)) * np.arange(96)).sum() / moved.sum()
    assert 55 < rows < 85, "about three quarters down"
