from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.catalogue import kernels_of
from lipforge.kernels.errors import InputError
from lipforge.kernels.paste import PasteScratch, paste_face, paste_face_i420, paste_face_nv12, reference
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec

SIZES = [24, 33, 8, 1]
YUV_SPECS = [YuvSpec(), YuvSpec("bt709", True, "centre"), YuvSpec("bt709", False, "left")]
PLACES = [
    (0.25, 0.0, (80, 60)),
    (0.31, 8.0, (150, 3)),  # half outside
    (1.0, 90.0, (80, 60)),
    (3.0, 200.0, (40, 30)),  # a face of 8 px
    (0.012, 30.0, (0, 122)),  # a face of 2000 px
    (0.2, 180.0, (80, 60)),
    (0.11, 275.0, (80, 60)),
    (0.5, 0.0, (1e4, -1e4)),  # outside
]


def predicted(rng: np.random.Generator, size_px: int) -> tuple[np.ndarray, np.ndarray]:
    crop = cv2.resize(rng.integers(0, 256, (5, 5, 3), dtype=np.uint8), (size_px, size_px))
    return crop, cv2.resize(rng.random((5, 5), dtype=np.float32), (size_px, size_px))


def feather(size_px: int) -> np.ndarray:
    ramp = np.clip(np.minimum(np.arange(size_px), np.arange(size_px)[::-1]) / 5.0, 0.0, 1.0).astype(np.float32)
    return np.ascontiguousarray(np.minimum(ramp[:, None], ramp[None]))


def strided(plane: np.ndarray, extra: int = 13) -> np.ndarray:
    wide = np.full((plane.shape[0], plane.shape[1] + extra, *plane.shape[2:]), 77, np.uint8)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


def planes_of(photo: np.ndarray) -> list[np.ndarray]:
    chroma = cv2.resize(photo, ((photo.shape[1] + 1) // 2, (photo.shape[0] + 1) // 2))
    return [photo[..., 0], chroma[..., 1], chroma[..., 2]]


def assert_near(got: np.ndarray, expected: np.ndarray) -> None:
    difference = np.abs(got.astype(int) - expected)
    assert difference.max() <= 1
    # Positions and levels are 16-bit fixed point: a value within 0.03 of one half may round to the other side.
    assert np.count_nonzero(difference) <= max(2, 2e-2 * got.size)


@pytest.mark.parametrize("size_px", SIZES)
@pytest.mark.parametrize(("scale", "degrees", "centre"), PLACES)
def test_fast_paste_equals_reference(photo, rng, make_similarity, size_px, scale, degrees, centre):
    crop, mask = predicted(rng, size_px)
    transform = make_similarity(scale, degrees, centre, size_px)
    expected = reference.paste_planes(photo, invert_affine(transform)[0], crop.astype(np.float32), mask)
    image, other = photo.copy(), photo.copy()
    paste_face(image, PasteScratch(), transform, crop, mask)
    paste_face(other, PasteScratch(), transform, np.ascontiguousarray(crop[..., ::-1]), mask, reverse_channels=True)
    assert_near(image, expected)
    np.testing.assert_array_equal(other, image)


@pytest.mark.parametrize("spec", YUV_SPECS)
@pytest.mark.parametrize(("scale", "degrees", "centre"), PLACES)
def test_paste_into_planes_equals_reference(photo, rng, make_similarity, spec, scale, degrees, centre):
    crop, mask = predicted(rng, 24)
    transform, planes = make_similarity(scale, degrees, centre, 24), planes_of(photo)
    forward, shift = invert_affine(transform)[0], np.array([0.5 if spec.siting == "centre" else 0.0, 0.5])
    chroma = np.column_stack([2.0 * forward[:, :2], forward[:, :2] @ shift + forward[:, 2]])
    matrix, offset = spec.from_rgb()
    painted = (crop[..., ::-1] / 255.0 @ matrix.T + offset).astype(np.float32)
    i420 = I420Frame(*(strided(plane) for plane in planes), spec)
    nv12 = Nv12Frame(strided(planes[0]), strided(np.stack(planes[1:], axis=-1)), spec)
    paste_face_i420(i420, PasteScratch(), transform, crop, mask)
    paste_face_nv12(nv12, PasteScratch(), transform, np.ascontiguousarray(crop[..., ::-1]), mask, reverse_channels=True)
    for i, plane in enumerate((i420.y, i420.u, i420.v)):
        there = chroma if i else forward
        expected = reference.paste_planes(planes[i][..., None], there, painted[..., i : i + 1], mask)
        assert_near(plane, expected[..., 0])
    for got, same in ((nv12.y, i420.y), (nv12.uv[..., 0], i420.u), (nv12.uv[..., 1], i420.v)):
        assert_near(got, same)  # the reversed crop is mixed in another order
    assert (i420.y.base[:, 157:] == 77).all()


def test_only_pixels_under_the_mask_change(photo, rng, make_similarity):
    crop, mask = predicted(rng, 24)
    mask[:12], mask[:, 20:] = 0.0, 0.0
    transform = make_similarity(0.3, 25.0, (80.0, 60.0), 24)
    image = photo.copy()
    paste_face(image, PasteScratch(), transform, crop, mask)
    y, x = np.mgrid[0:123, 0:157]
    crop_x, crop_y = np.einsum("ij,jhw->ihw", transform[:, :2], np.stack([x, y])) + transform[:, 2, None, None]
    touched = (crop_x >= -0.5) & (crop_x < 20) & (crop_y > 11) & (crop_y <= 23.5)
    np.testing.assert_array_equal(image[~touched], photo[~touched])
    assert (image[touched] != photo[touched]).any(axis=1).mean() > 0.9


def test_agrees_with_opencv(photo, make_similarity, rng):
    crop, mask = predicted(rng, 33)[0], feather(33)
    transform = make_similarity(0.4, 8.0, (80.0, 60.0), 33)
    back = cv2.invertAffineTransform(transform)
    warped = cv2.warpAffine(crop, back, (157, 123)).astype(float)
    weight = cv2.warpAffine(mask, back, (157, 123))[..., None]
    image = photo.copy()
    paste_face(image, PasteScratch(), transform, crop, mask)
    # OpenCV rounds positions to 1/32 px: up to a few levels on this crop and mask.
    assert np.abs(image - (photo + weight * (warped - photo))).max() <= 4


def test_zero_mask_keeps_every_byte(photo, rng, make_similarity):
    image = photo.copy()
    paste_face(
        image,
        PasteScratch(),
        make_similarity(0.3, 5.0, (80, 60), 24),
        predicted(rng, 24)[0],
        np.zeros((24, 24), np.float32),
    )
    np.testing.assert_array_equal(image, photo)


@settings(deadline=None)  # the first example may compile
@given(
    seed=st.integers(0, 2**32 - 1),
    size_px=st.sampled_from([1, 2, 3, 7, 8, 15, 16, 17, 33, 64]),
    scale=st.floats(-4.5, 2.5).map(np.exp),
    degrees=st.floats(0.0, 360.0),
    stretch=st.floats(0.5, 2.0),
    centre=st.tuples(st.floats(-20.0, 103.0), st.floats(-20.0, 81.0)),
)
def test_any_transform_equals_reference(seed, size_px, scale, degrees, stretch, centre):
    rng = np.random.default_rng(seed)
    image, crop = (rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((61, 83, 3), (size_px, size_px, 3)))
    mask = np.clip(rng.normal(0.5, 1.0, (size_px, size_px)), 0.0, 1.0).astype(np.float32)
    cos, sin = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    linear = scale * np.array([[cos, -sin], [sin, cos]]) @ np.diag([1.0, stretch])
    transform = np.column_stack([linear, np.full(2, (size_px - 1) / 2) - linear @ np.array(centre)])
    expected = reference.paste_planes(image, invert_affine(transform)[0], crop.astype(np.float32), mask)
    got = image.copy()
    paste_face(got, PasteScratch(), transform, crop, mask)
    assert np.abs(got.astype(int) - expected).max() <= 1


def frame_of(kind: str) -> tuple[np.ndarray | I420Frame | Nv12Frame, object]:
    luma, chroma = np.full((720, 1280), 90, np.uint8), np.full((360, 640, 2), 90, np.uint8)
    if kind == "i420":
        return I420Frame(luma, chroma[..., 0].copy(), chroma[..., 1].copy()), paste_face_i420
    return (Nv12Frame(luma, chroma), paste_face_nv12) if kind == "nv12" else (np.dstack([luma] * 3), paste_face)


@pytest.mark.parametrize("degrees", [8.0, 90.0])
@pytest.mark.parametrize("kind", ["bgr", "i420", "nv12"])
def test_a_frame_allocates_nothing_of_its_size(make_similarity, rng, measure_allocation, kind, degrees):
    (frame, paste), scratch, (crop, mask) = frame_of(kind), PasteScratch(), predicted(rng, 24)
    transform = make_similarity(0.06, degrees, (640.0, 360.0), 24)  # a region of 400 px: 480 000 bytes
    assert measure_allocation(lambda: paste(frame, scratch, transform, crop, mask)) < 8_000


def test_compiled_code_allocates_nothing(kernels_that_allocate):
    assert kernels_that_allocate(kernels_of("polygon"))  # polygons do, so that the question is a good one
    assert kernels_that_allocate(kernels_of("paste")) == []


def test_crops_of_another_size_may_follow_in_the_same_memory(photo, rng, make_similarity):
    scratch = PasteScratch()
    for size_px in (33, 8, 24, 1, 16):
        crop, mask = predicted(rng, size_px)
        transform = make_similarity(size_px / 90, 100.0, (80.0, 60.0), size_px)
        shared, fresh = photo.copy(), photo.copy()
        paste_face(shared, scratch, transform, crop, mask)
        paste_face(fresh, PasteScratch(), transform, crop, mask)
        np.testing.assert_array_equal(shared, fresh)


def test_a_mask_of_minus_zero_is_zero(photo, rng, make_similarity):
    image = photo.copy()
    mask = np.full((24, 24), -0.0, np.float32)
    paste_face(image, PasteScratch(), make_similarity(0.3, 5.0, (80, 60), 24), predicted(rng, 24)[0], mask)
    np.testing.assert_array_equal(image, photo)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -0.1, 1.01])
def test_masks_outside_their_range_are_refused(photo, rng, make_similarity, bad):
    crop, mask = predicted(rng, 24)
    mask[3, 5] = bad
    image = photo.copy()
    with pytest.raises(InputError, match=r"mask must lie in \[0, 1\]"):
        paste_face(image, PasteScratch(), make_similarity(0.5, 0.0, (80.0, 60.0), 24), crop, mask)
    np.testing.assert_array_equal(image, photo)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"crop": np.zeros((24, 23, 3), np.uint8)}, r"crop must be a uint8 array of shape \(24, 24, 3\)"),
        ({"crop": np.zeros((24, 24, 3), np.float32)}, "not float32"),
        ({"mask": np.zeros((24, 25), np.float32)}, r"mask must be a float32 array of shape \(24, 24\)"),
        ({"mask": np.zeros((24, 48), np.float32)[:, ::2]}, "not contiguous"),
        ({"transform": np.zeros((2, 3))}, "cannot be inverted"),
    ],
)
def test_wrong_arguments_are_refused(photo, rng, make_similarity, change, message):
    crop, mask = predicted(rng, 24)
    arguments = {"transform": make_similarity(0.5, 0.0, (80, 60), 24), "crop": crop, "mask": mask, **change}
    with pytest.raises(InputError, match=message):
        paste_face(photo.copy(), PasteScratch(), **arguments)
