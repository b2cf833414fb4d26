from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.catalogue import kernels_of
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


def assert_near(got: np.ndarray, expected: np.ndarray, given: np.ndarray) -> None:
    """Positions and levels are 16-bit fixed point: a value within 0.03 of one half may round to the other side."""
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1
    changed = np.count_nonzero(expected != given)
    assert np.count_nonzero(difference) <= max(2, 0.06 * changed)


# Faces of 380 px, 300 px, 24 px on their side, 8 px upside down, 480 px, 2000 px; in the middle and half outside.
@pytest.mark.parametrize("border_px", [0.0, 6.0])
@pytest.mark.parametrize("centre", [(80.0, 60.0), (150.0, 3.0), (0.0, 122.0)])
@pytest.mark.parametrize(
    ("scale", "degrees"),
    [(0.063, 0.0), (0.08, 8.0), (1.0, 90.0), (3.0, 180.0), (0.05, 30.0), (0.012, -75.0), (0.3, 270.0), (0.2, 180.0)],
)
def test_fast_composite_equals_reference(photo, make_similarity, outputs, scale, degrees, centre, border_px):
    transform = make_similarity(scale, degrees, centre, SIZE_PX)
    forward, inverse = invert_affine(transform)
    expected = reference.composite(photo, forward, inverse, **outputs, border_px=border_px, strength=0.8)
    image = photo.copy()
    composite(image, WarpScratch(), transform, **outputs, spec=WarpSpec(border_px=border_px), strength=0.8)
    assert_near(image, expected, photo)


def drawn_case(seed: int, size_px: int, reach_px: float) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return a photo and a generator's outputs: as smooth as real ones, with any reach."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (61, 83, 3), dtype=np.uint8)
    photo = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX)
    coarse = rng.normal(0.0, 1.0, (6, 4, 4)).astype(np.float32)
    planes = np.stack([cv2.resize(p, (size_px, size_px), interpolation=cv2.INTER_CUBIC) for p in coarse])
    planes = planes.reshape(6, size_px, size_px)
    return photo, {
        "flow": planes[:2] * np.float32(reach_px),
        "mask": np.clip(planes[2], 0.0, 1.0),
        "colour": np.clip(planes[3:], 0.0, 1.0),
    }


@settings(deadline=None)  # the first example may compile
@given(
    seed=st.integers(0, 2**32 - 1),
    size_px=st.sampled_from([1, 2, 3, 8, 16, 17, 33, 64]),
    scale=st.floats(-4.5, 2.5).map(np.exp),
    degrees=st.floats(0.0, 360.0),
    stretch=st.floats(0.5, 2.0),
    centre=st.tuples(st.floats(-20.0, 103.0), st.floats(-20.0, 81.0)),
    border_px=st.sampled_from([0.0, 0.3, 2.0, 6.0, 1e6]),
    strength=st.sampled_from([0.3, 1.0]),
    reach=st.floats(0.0, 4.0),
)
def test_any_transform_equals_reference(seed, size_px, scale, degrees, stretch, centre, border_px, strength, reach):
    image, outputs = drawn_case(seed, size_px, reach)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, stretch])
    transform = np.column_stack([linear, np.full(2, (size_px - 1) / 2) - linear @ np.array(centre)])
    forward, inverse = invert_affine(transform)
    expected = reference.composite(image, forward, inverse, **outputs, border_px=border_px, strength=strength)
    got = image.copy()
    composite(got, WarpScratch(), transform, **outputs, spec=WarpSpec(border_px=border_px), strength=strength)
    assert np.abs(got.astype(int) - expected).max() <= 1


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
    # Between cells whose flow points to opposite sides it crosses the image: for less than 1 % of a cell.
    assert np.mean([(pixel == corners).all(axis=1).any() for pixel in moved]) > 0.97


def test_square_outside_the_image_changes_nothing(photo, make_similarity, outputs):
    image = photo.copy()
    composite(image, WarpScratch(), make_similarity(0.5, 0.0, (1e4, -1e4), SIZE_PX), **outputs, spec=SPEC)
    np.testing.assert_array_equal(image, photo)


def test_scratch_is_reused_and_results_do_not_depend_on_it(photo, make_similarity, outputs):
    scratch, transforms = WarpScratch(), [make_similarity(s, 10.0, (80.0, 60.0), SIZE_PX) for s in (0.2, 0.9, 0.4)]
    composite(photo.copy(), scratch, transforms[0], **outputs, spec=SPEC)
    memory = scratch.copies.array
    for transform in transforms:
        shared, fresh = photo.copy(), photo.copy()
        composite(shared, scratch, transform, **outputs, spec=SPEC)
        composite(fresh, WarpScratch(), transform, **outputs, spec=SPEC)
        np.testing.assert_array_equal(shared, fresh)
    assert scratch.copies.array is memory


@pytest.mark.parametrize("degrees", [8.0, 90.0])
def test_a_frame_allocates_nothing_of_its_size(make_similarity, outputs, measure_allocation, degrees):
    frame, scratch = np.full((720, 1280, 3), 90, np.uint8), WarpScratch()
    transform = make_similarity(0.06, degrees, (640.0, 360.0), SIZE_PX)  # a region of 400 px: 480 000 bytes
    assert measure_allocation(lambda: composite(frame, scratch, transform, **outputs, spec=SPEC)) < 8_000


def test_compiled_code_allocates_nothing(kernels_that_allocate):
    assert kernels_that_allocate(kernels_of("polygon"))  # polygons do, so that the question is a good one
    assert kernels_that_allocate(kernels_of("warp")) == []


def test_empty_outputs_touch_nothing(photo, make_similarity, outputs):
    """Flow and mask that are zero everywhere but in one cell: only pixels around that cell may change."""
    planes = {**zeros(), "colour": outputs["colour"]}
    planes["mask"][20, 3] = 1.0
    transform = make_similarity(0.25, 40.0, (80.0, 60.0), SIZE_PX)
    image = photo.copy()
    composite(image, WarpScratch(), transform, **planes, spec=WarpSpec(border_px=0.0))
    y, x = np.mgrid[0 : photo.shape[0], 0 : photo.shape[1]]
    crop = np.einsum("ij,jhw->ihw", transform[:, :2], np.stack([x, y])) + transform[:, 2, None, None]
    near = (np.abs(crop - np.array([3, 20])[:, None, None]) < 1.0).all(axis=0)
    np.testing.assert_array_equal(image[~near], photo[~near])
    assert (image[near] != photo[near]).any()


def test_too_large_a_region_is_refused(outputs):
    wide = np.zeros((2, 20_000, 3), np.uint8)
    with pytest.raises(InputError, match=r"the flow can reach a region of 20000 x 2 px; at most 10900"):
        composite(wide, WarpScratch(), np.array([[1e-3, 0.0, 0.0], [0.0, 1.0, 0.0]]), **outputs, spec=SPEC)


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
