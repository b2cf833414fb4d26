from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite, reference

SIZE_PX = 24
SPEC = WarpSpec()


def smooth(rng: np.random.Generator, planes: int, spread: float) -> np.ndarray:
    coarse = rng.normal(0.0, spread, (planes, 5, 5)).astype(np.float32)
    return np.stack([cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC) for plane in coarse])


@pytest.fixture
def outputs(rng) -> dict[str, np.ndarray]:
    return {
        "flow": smooth(rng, 2, 3.0),
        "mask": np.clip(smooth(rng, 1, 0.6)[0], 0.0, 1.0),
        "colour": rng.random((3, SIZE_PX, SIZE_PX), dtype=np.float32),
    }


def zeros() -> dict[str, np.ndarray]:
    shapes = {"flow": (2, SIZE_PX, SIZE_PX), "mask": (SIZE_PX, SIZE_PX), "colour": (3, SIZE_PX, SIZE_PX)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def inside_square(image: np.ndarray, transform: np.ndarray) -> np.ndarray:
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]]
    crop = np.einsum("ij,jhw->ihw", transform[:, :2], np.stack([x, y])) + transform[:, 2, None, None]
    return ((crop >= -0.5) & (crop <= SIZE_PX - 0.5)).all(axis=0)


@pytest.mark.parametrize("border_px", [0.0, 6.0])
@pytest.mark.parametrize("centre", [(80.0, 60.0), (150.0, 3.0), (0.0, 122.0)])
@pytest.mark.parametrize(("scale", "degrees"), [(0.25, 0.0), (0.31, 8.0), (1.0, 90.0), (3.0, 200.0), (0.05, 30.0)])
def test_fast_composite_equals_reference(photo, make_similarity, outputs, scale, degrees, centre, border_px):
    transform = make_similarity(scale, degrees, centre, SIZE_PX)
    forward, inverse = invert_affine(transform)
    expected = reference.composite(photo, forward, inverse, **outputs, border_px=border_px, strength=0.8)
    image = photo.copy()
    composite(image, WarpScratch(), transform, **outputs, spec=WarpSpec(border_px=border_px), strength=0.8)
    difference = np.abs(image.astype(int) - expected)
    assert difference.max() <= 1
    # A level may differ only where the two roundings of a value next to one half part.
    assert (difference > 0).mean() < 2e-2


def test_only_the_square_changes(photo, make_similarity, outputs):
    transform = make_similarity(0.3, 25.0, (80.0, 60.0), SIZE_PX)
    image = photo.copy()
    composite(image, WarpScratch(), transform, **outputs, spec=SPEC)
    changed = (image != photo).any(axis=2)
    assert changed.any()
    assert not (changed & ~inside_square(photo, transform)).any()


def test_zero_flow_and_mask_keep_every_byte(photo, make_similarity):
    transform = make_similarity(0.37, 17.0, (80.0, 60.0), SIZE_PX)
    planes = zeros()
    planes["colour"] += 1.0
    image = photo.copy()
    composite(image, WarpScratch(), transform, **planes, spec=SPEC)
    np.testing.assert_array_equal(image, photo)


def test_strength_zero_keeps_every_byte(photo, make_similarity, outputs):
    image = photo.copy()
    transform = make_similarity(0.3, 5.0, (80.0, 60.0), SIZE_PX)
    composite(image, WarpScratch(), transform, **outputs, spec=SPEC, strength=0.0)
    np.testing.assert_array_equal(image, photo)


def test_whole_flow_moves_whole_pixels(photo):
    planes = zeros()
    planes["flow"][0], planes["flow"][1] = 2.0, -1.0
    transform = np.array([[1.0, 0.0, -50.0], [0.0, 1.0, -40.0]])
    image = photo.copy()
    composite(image, WarpScratch(), transform, **planes, spec=WarpSpec(border_px=0.0))
    np.testing.assert_array_equal(image[40:64, 50:74], photo[39:63, 52:76])


def test_full_mask_paints_the_colour_in_bgr(photo):
    planes = zeros()
    planes["mask"] += 1.0
    planes["colour"][:] = np.array([1.0, 0.4, 0.2], np.float32)[:, None, None]
    transform = np.array([[0.5, 0.0, -20.25], [0.0, 0.5, -20.25]])
    image = photo.copy()
    composite(image, WarpScratch(), transform, **planes, spec=SPEC)
    middle = image[60:70, 60:70]
    np.testing.assert_array_equal(middle, np.broadcast_to(np.array([51, 102, 255], np.uint8), middle.shape))


def test_the_ramp_leaves_no_seam(make_similarity):
    grey = np.full((123, 157, 3), 100, np.uint8)
    planes = zeros()
    planes["mask"] += 1.0
    planes["colour"] += 1.0
    composite(grey, WarpScratch(), make_similarity(0.25, 20.0, (80.0, 60.0), SIZE_PX), **planes, spec=SPEC)
    steps = max(np.abs(np.diff(grey.astype(int), axis=axis)).max() for axis in (0, 1))
    # 155 levels over 6 crop px of 4 image px each, seen at 20 degrees: below 7 a pixel.
    assert 4 <= steps <= 10
    assert grey.max() == 255


def test_huge_flow_is_clamped_to_the_image(photo, make_similarity, outputs):
    transform = make_similarity(0.3, 25.0, (80.0, 60.0), SIZE_PX)
    outputs["flow"] = outputs["flow"] * np.float32(1e30)
    outputs["mask"] = np.zeros_like(outputs["mask"])
    image = photo.copy()
    composite(image, WarpScratch(), transform, **outputs, spec=WarpSpec(border_px=0.0))
    moved = image[inside_square(photo, transform)]
    corners = photo[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert all((pixel == corners).all(axis=1).any() for pixel in moved)


def test_square_outside_the_image_changes_nothing(photo, make_similarity, outputs):
    image = photo.copy()
    composite(image, WarpScratch(), make_similarity(0.5, 0.0, (1e4, -1e4), SIZE_PX), **outputs, spec=SPEC)
    np.testing.assert_array_equal(image, photo)


def test_scratch_is_reused_and_results_do_not_depend_on_it(photo, make_similarity, outputs):
    scratch, transforms = WarpScratch(), [make_similarity(s, 10.0, (80.0, 60.0), SIZE_PX) for s in (0.2, 0.9, 0.4)]
    composite(photo.copy(), scratch, transforms[0], **outputs, spec=SPEC)
    buffer = scratch.byte_buffer
    for transform in transforms:
        shared, fresh = photo.copy(), photo.copy()
        composite(shared, scratch, transform, **outputs, spec=SPEC)
        composite(fresh, WarpScratch(), transform, **outputs, spec=SPEC)
        np.testing.assert_array_equal(shared, fresh)
    assert scratch.byte_buffer is buffer


def test_a_frame_allocates_nothing_of_its_size(make_similarity, outputs):
    frame, scratch = np.full((720, 1280, 3), 90, np.uint8), WarpScratch()
    transform = make_similarity(0.06, 8.0, (640.0, 360.0), SIZE_PX)  # a region of 400 px
    composite(frame, scratch, transform, **outputs, spec=SPEC)
    tracemalloc.start()
    composite(frame, scratch, transform, **outputs, spec=SPEC)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000


@pytest.mark.parametrize("name", ["flow", "mask", "colour"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(photo, make_similarity, outputs, name, bad):
    outputs[name].flat[100] = bad
    image = photo.copy()
    with pytest.raises(InputError, match="must be finite"):
        composite(image, WarpScratch(), make_similarity(0.5, 0.0, (80.0, 60.0), SIZE_PX), **outputs, spec=SPEC)
    np.testing.assert_array_equal(image, photo)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": np.zeros((2, 24, 23), np.float32)}, r"flow must be a float32 array of shape \(2, 24, 24\)"),
        ({"flow": np.zeros((24, 24, 2), np.float32).transpose(2, 0, 1)}, "not contiguous"),
        ({"mask": np.zeros((24, 25), np.float32)}, r"mask must be a float32 array of shape \(24, 24\)"),
        ({"colour": np.zeros((3, 24, 24))}, "not float64"),
        ({"strength": 1.5}, "strength must lie between 0 and 1"),
        ({"strength": float("nan")}, "strength must lie between 0 and 1"),
        ({"spec": WarpSpec(border_px=-1.0)}, "border_px"),
        ({"transform": np.zeros((2, 3))}, "cannot be inverted"),
    ],
)
def test_wrong_arguments_are_refused(photo, make_similarity, outputs, change, message):
    arguments = {"transform": make_similarity(0.5, 0.0, (80.0, 60.0), SIZE_PX), "spec": SPEC, **outputs, **change}
    with pytest.raises(InputError, match=message):
        composite(photo.copy(), WarpScratch(), **arguments)
