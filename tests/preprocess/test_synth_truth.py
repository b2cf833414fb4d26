"""The renderer's truth: geometry, motion and visibility agree with the pictures."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from lipforge.kernels.spec import LipSpec, MouthPart
from lipforge.preprocess.synth.appearance import Lens
from lipforge.preprocess.synth.expression import UNIT_INDEX, UNITS
from lipforge.preprocess.synth.eyes import Eyes, Glasses, eye_motion
from lipforge.preprocess.synth.face_boxes import render_faces
from lipforge.preprocess.synth.foreground import Foreground
from lipforge.preprocess.synth.landmarks import average_lip_motion
from lipforge.preprocess.synth.motion_truth import flow_between, mouth_parts
from lipforge.preprocess.synth.scene import Capture, Scene, Studio, crop_of, crop_picture, relaxed_units

pytestmark = pytest.mark.network


def _units(**values: float) -> np.ndarray:
    units = relaxed_units()
    for name, value in values.items():
        units[UNIT_INDEX[name]] = value
    return units


def _scene(studio: Studio, seed: int) -> Scene:
    """A lit head with nothing before it."""
    rng = np.random.default_rng(seed)
    while True:
        scene = studio.sample_scene(rng)
        if scene.look.drawn is None and scene.look.foreground is None:
            return scene


def _follow(picture: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """Move the reference's pixels as the truth says."""
    y, x = np.mgrid[:96, :96].astype(np.float32)
    at = flow.astype(np.float32)
    return cv2.remap(picture, x + at[..., 0], y + at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def _gap(lips: np.ndarray, spec: LipSpec) -> float:
    """Mean height between facing inner points, corners left out; (N, 2 or 3) with y down."""
    inner = lips[spec.outer_points :]
    half = spec.inner_points // 2
    return float(np.mean(inner[:half:-1, 1] - inner[1:half, 1]))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_moving_the_reference_by_the_flow_gives_the_target(studio: Studio, seed: int) -> None:
    scene = _scene(studio, seed)
    # From lamps, light would change with the surface's slope.
    light = replace(scene.look.light, key_colour=np.zeros(3), fill_colour=np.zeros(3), skin_gloss=0.0, lip_gloss=0.0)
    scene = replace(scene, look=replace(scene.look, light=light))
    shut, open_ = studio.capture(scene, relaxed_units()), studio.capture(scene, _units(jawOpen=0.5, mouthStretch=0.4))
    flow, visible = flow_between(shut, open_, studio.head.faces, studio.crop)
    reference, target = crop_picture(shut, studio.crop), crop_picture(open_, studio.crop)
    moved = _follow(reference, flow)
    seen = visible == 255
    moving = seen & (np.abs(flow.astype(float)).max(2) > 0.5)
    error = np.abs(moved.astype(float) - target)[moving].mean()
    untouched = np.abs(reference.astype(float) - target)[moving].mean()
    assert error < 3.0
    assert error < 0.5 * untouched + 0.3, "0.3: two roundings to whole grey levels"
    assert 0 < (~seen).sum() < 0.25 * seen.size, "an opening mouth shows something that was hidden, but not much"


def _flow_by_arrays(reference: Capture, target: Capture, studio: Studio) -> tuple[np.ndarray, np.ndarray]:
    """The truth of every sample of the canvas at once, nothing standing before it."""
    triangle, depth = target.seen.triangle, reference.seen.depth
    on_head, last = triangle >= 0, len(triangle) - 1
    corners = reference.points[studio.head.faces[triangle]]
    source = np.einsum("yxkd,yxk->yxd", corners, np.where(on_head[..., None], target.seen.weights, 0))
    y, x = np.mgrid[: last + 1, : last + 1]
    at = [np.clip(np.rint(source[..., k]).astype(int), 0, last) for k in (0, 1)]
    seen = np.abs(depth[at[1], at[0]] - source[..., 2]) < 0.05
    for dy, dx in ((1, 0), (-1, 0), (0, 1), (0, -1)):
        beside = depth[np.clip(at[1] + dy, 0, last), np.clip(at[0] + dx, 0, last)]
        seen |= np.abs(beside - source[..., 2]) < 0.03
    seen &= ((source[..., :2] > -3) & (source[..., :2] < last + 3)).all(2)
    seen = np.where(on_head, seen, reference.seen.triangle < 0)
    flow = np.where((on_head & seen)[..., None], source[..., :2] - np.stack([x, y], 2), 0)
    flow, seen = crop_of(flow, studio.crop), crop_of(seen, studio.crop)
    count = seen.reshape(96, 2, 96, 2).sum((1, 3))
    return flow.reshape(96, 2, 96, 2, 2).sum((1, 3)) / np.maximum(count, 1)[..., None] / 2, count


@pytest.mark.parametrize("seed", [9, 10])
def test_the_fast_truth_is_the_plain_one(studio: Studio, seed: int) -> None:
    scene = _scene(studio, seed)
    wide, round_ = studio.capture(scene, _units(jawOpen=0.8)), studio.capture(scene, _units(mouthPucker=1.2))
    flow, visible = flow_between(wide, round_, studio.head.faces, studio.crop)
    plain, count = _flow_by_arrays(wide, round_, studio)
    same = np.rint(count * 63.75) == visible
    assert same.mean() > 0.999, "a source on the border between two pixels may round either way"
    np.testing.assert_allclose(flow[same], plain[same], rtol=2e-3, atol=2e-3)  # float16


def test_the_truth_holds_for_a_head_that_moves_too(studio: Studio) -> None:
    scene = _scene(studio, 6)
    turned = replace(scene, pose=scene.pose.turned(np.array([1.0, -0.7, 0.8])))
    before, after = studio.capture(scene, relaxed_units()), studio.capture(turned, _units(jawOpen=0.4))
    flow, visible = flow_between(before, after, studio.head.faces, studio.crop)
    reference, target = crop_picture(before, studio.crop).astype(float), crop_picture(after, studio.crop).astype(float)
    on_head = (visible == 255) & (np.abs(flow.astype(float)).max(2) > 0.2)
    assert on_head[:32].sum() > 200, "what no mouth moves moves as well"
    error = np.abs(_follow(reference, flow) - target)[on_head].mean()
    assert error < 0.6 * np.abs(reference - target)[on_head].mean()


def test_what_stands_before_the_mouth_stays_and_hides(studio: Studio) -> None:
    scene = _scene(studio, 3)
    bar = np.zeros((256, 256, 4), np.float32)
    bar[164:180] = (20.0, 200.0, 30.0, 1.0)  # green, over rows 52 to 59 of the crop: the lower lip
    before = replace(scene, look=replace(scene.look, foreground=Foreground(bar), lens=Lens(1.0, 1.0, 0.0, 0.0)))
    shut, opened = (studio.capture(before, units) for units in (relaxed_units(), _units(jawOpen=0.6, mouthStretch=0.8)))
    flow, visible = flow_between(shut, opened, studio.head.faces, studio.crop)
    assert (flow[52:60] == 0).all()
    assert (visible[52:60] == 255).all()
    free, free_visible = flow_between(
        studio.capture(scene, relaxed_units()),
        studio.capture(scene, _units(jawOpen=0.6, mouthStretch=0.8)),
        studio.head.faces,
        studio.crop,
    )
    assert np.abs(free[52:60].astype(float)).max() > 2, "without the bar, lips move there"
    assert (visible[60:] <= free_visible[60:]).all()
    behind = (visible[60:64, 40:56] == 0) & (free_visible[60:64, 40:56] == 255)
    assert behind.any(), "what comes out below it was hidden"
    assert (crop_picture(opened, studio.crop)[53:59] == (20, 200, 30)).all()
    parts = mouth_parts(opened, studio.head, studio.crop)
    assert (parts[104:120] == MouthPart.OUTSIDE).all()
    assert (parts != MouthPart.OUTSIDE).any()


def test_a_foreground_is_at_the_same_place_in_every_picture(studio: Studio) -> None:
    scene = _scene(studio, 3)
    bar = np.zeros((256, 256, 4), np.float32)
    bar[:, 100:156] = (20.0, 200.0, 30.0, 1.0)
    scene = replace(scene, look=replace(scene.look, foreground=Foreground(bar), lens=Lens(1.0, 1.0, 0.0, 0.0)))
    crop_alone = studio.capture_part(scene, relaxed_units(), scene.transform, 96).picture
    of_canvas = crop_of(studio.capture(scene, relaxed_units()).picture, studio.crop)
    for picture in (crop_alone, of_canvas):
        green = (np.abs(picture - (20, 200, 30)) < 0.5).all(2)
        assert np.nonzero(green.all(0))[0].tolist() == list(range(100 - 32, 156 - 32))


def test_eyes_blink_and_look_around(studio: Studio) -> None:
    scene = replace(_scene(studio, 8), look=replace(_scene(studio, 8).look, glasses=None))
    straight, blink, aside = (
        crop_picture(studio.capture(replace(scene, eyes=eyes), relaxed_units()), studio.crop).astype(int)
        for eyes in (Eyes(), Eyes(shut=1.0), Eyes(right=0.06))
    )
    for other in (blink, aside):
        change = np.abs(other - straight).sum(2)
        assert change[10:30].max() > 60
        assert change[32:].max() < 12, "and nothing else changes"
    motion = eye_motion(250, 25, np.random.default_rng(1))
    lids = np.array([eyes.shut for eyes in motion])
    assert 2 <= ((lids[1:] > 0) & (lids[:-1] == 0)).sum() <= 6, "blinks of ten seconds"
    assert (lids == 0).mean() > 0.7


def test_glasses_lie_before_the_eyes(studio: Studio) -> None:
    scene = replace(_scene(studio, 8), look=replace(_scene(studio, 8).look, glasses=None))
    glasses = Glasses(0.26, 0.16, 3.0, 0.03, np.zeros(3), np.full(3, 20.0), 0.9)
    bare, worn = (
        crop_picture(studio.capture(one, relaxed_units()), studio.crop).astype(int)
        for one in (scene, replace(scene, look=replace(scene.look, glasses=glasses)))
    )
    rows, columns = np.nonzero(np.abs(worn - bare).sum(2) > 30)
    assert rows.min() >= 8
    assert rows.max() < 34
    assert columns.min() < 30 < 66 < columns.max()


def test_moments_of_a_scene_share_the_person(studio: Studio) -> None:
    scene = _scene(studio, 5)
    of_seeds = [studio.moments(scene, 4, np.random.default_rng(seed)) for seed in range(40)]
    moving = [len({one.pose for one in scenes}) > 1 for scenes in of_seeds]
    assert 0 < sum(moving) < 20
    assert all(one.person is scene.person for scenes in of_seeds for one in scenes)
    covered = replace(scene, look=replace(scene.look, foreground=Foreground(np.zeros((256, 256, 4), np.float32))))
    for seed in range(40):
        assert {one.pose for one in studio.moments(covered, 4, np.random.default_rng(seed))} == {scene.pose}


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
    scene = _scene(studio, seed)
    silent, speaking = (
        # Head, eyes and box move alike in both.
        render_faces(studio, scene, np.stack([relaxed_units(), mouth]), 25, np.random.default_rng(seed)).astype(int)
        for mouth in (relaxed_units(), _units(jawOpen=0.6))
    )
    np.testing.assert_array_equal(silent[0], speaking[0])
    moved = np.abs(speaking[1] - silent[1])
    assert moved[48:].mean() > 8 * moved[:48].mean()
    rows = (moved.sum((1, 2)) * np.arange(96)).sum() / moved.sum()
    assert 55 < rows < 85, "about three quarters down"
