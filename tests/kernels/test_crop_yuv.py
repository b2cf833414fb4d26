from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.crop import (
    CropScratch,
    crop_face,
    crop_face_i420,
    crop_face_nv12,
    crop_face_planes,
    reference,
)
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec

YUV_SPECS = [YuvSpec(), YuvSpec("bt709", True, "centre"), YuvSpec("bt709", False, "left")]
EVERY_YUV_SPEC = [
    YuvSpec(matrix, full_range, siting)
    for matrix in ("bt601", "bt709")
    for full_range in (False, True)
    for siting in ("left", "centre")
]
LARGEST_SAMPLE_ERROR = 0.08  # see test_crop


def strided(plane: np.ndarray, extra: int = 13) -> np.ndarray:
    wide = np.full((plane.shape[0], plane.shape[1] + extra, *plane.shape[2:]), 77, np.uint8)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


def planes_of(photo: np.ndarray) -> list[np.ndarray]:
    chroma = cv2.resize(photo, ((photo.shape[1] + 1) // 2, (photo.shape[0] + 1) // 2))
    return [photo[..., 0].copy(), chroma[..., 1] // 2 + 64, chroma[..., 2] // 2 + 64]


def true_crop(planes: list[np.ndarray], spec: YuvSpec, transform: np.ndarray, size_px: int) -> np.ndarray:
    """Return the RGB crop before it is rounded, as the reference has it."""
    forward, inverse = invert_affine(transform)
    shift = np.array([0.5 if spec.siting == "centre" else 0.0, 0.5])
    chroma = invert_affine(np.column_stack([2.0 * forward[:, :2], forward[:, :2] @ shift + forward[:, 2]]))[1]
    inverses = [inverse, chroma, chroma]
    means = [
        reference.mean_of_taps(plane[..., None], inverse, taps_per_axis(inverse), size_px)
        for plane, inverse in zip(planes, inverses, strict=True)
    ]
    matrix, offset = spec.to_rgb()
    return np.clip(np.concatenate(means, axis=2) @ matrix.T + offset, 0.0, 255.0)


def assert_near(rgb: np.ndarray, truth: np.ndarray, spec: YuvSpec) -> None:
    # Y, U and V may all be wrong at once, in the worst direction.
    error = LARGEST_SAMPLE_ERROR * np.abs(spec.to_rgb()[0]).sum(axis=1)
    assert (np.abs(rgb - truth) <= 0.5 + error).all()


@pytest.mark.parametrize("spec", YUV_SPECS)
@pytest.mark.parametrize("size_px", [33, 8, 1])
@pytest.mark.parametrize(("scale", "degrees"), [(12.0, 0.0), (1.0, 90.0), (0.7, 8.0), (0.37, 200.0), (0.048, 30.0)])
def test_crops_from_planes_equal_the_reference(photo, make_similarity, spec, size_px, scale, degrees):
    transform, planes = make_similarity(scale, degrees, (150.0, 60.0), size_px), planes_of(photo)
    truth = true_crop(planes, spec, transform, size_px)
    expected = np.empty((size_px, size_px, 3), np.uint8)
    inverses = [invert_affine(transform)[1], *[spec.chroma_transforms(invert_affine(transform)[0])[1]] * 2]
    reference.sample_yuv_crop(planes, inverses, [taps_per_axis(i) for i in inverses], *spec.to_rgb(), expected)

    i420 = I420Frame(*(strided(plane) for plane in planes), spec)
    nv12 = Nv12Frame(strided(planes[0]), strided(np.stack(planes[1:], axis=-1)), spec)
    rgb = crop_face_i420(i420, transform, size_px, reverse_channels=True)
    assert_near(rgb, truth, spec)
    assert np.abs(rgb.astype(int) - expected).max() <= 1
    np.testing.assert_array_equal(crop_face_nv12(nv12, transform, size_px, reverse_channels=True), rgb)
    np.testing.assert_array_equal(crop_face_i420(i420, transform, size_px), rgb[..., ::-1])


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    spec=st.sampled_from(EVERY_YUV_SPEC),
    scale=st.floats(0.03, 20.0),
    degrees=st.floats(-180.0, 180.0),
    shift=st.tuples(st.floats(-150.0, 150.0), st.floats(-150.0, 150.0)),
    size_px=st.integers(1, 40),
    padding=st.tuples(*[st.integers(0, 40)] * 3),
)
def test_random_frames_and_transforms(seed, spec, scale, degrees, shift, size_px, padding):
    rng = np.random.default_rng(seed)
    height, width = rng.integers(1, 80, 2)
    half = (height + 1) // 2, (width + 1) // 2
    planes = [rng.choice(np.array([16, 235], np.uint8), shape) for shape in ((height, width), half, half)]
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = np.column_stack([linear, shift])
    frame = I420Frame(*(strided(plane, extra) for plane, extra in zip(planes, padding, strict=True)), spec)
    rgb = crop_face_i420(frame, transform, size_px, reverse_channels=True)
    assert_near(rgb, true_crop(planes, spec, transform, size_px), spec)
    pairs = Nv12Frame(frame.y, strided(np.stack(planes[1:], axis=-1), padding[2]), spec)
    np.testing.assert_array_equal(crop_face_nv12(pairs, transform, size_px, reverse_channels=True), rgb)


def test_planes_hold_the_same_levels(photo, make_similarity):
    y, u, v = planes_of(photo)
    transform = make_similarity(0.8, 8.0, (80.0, 60.0), 13)
    for frame, crop in ((I420Frame(y, u, v), crop_face_i420), (Nv12Frame(y, np.stack([u, v], -1)), crop_face_nv12)):
        planes = crop_face_planes(frame, transform, 13, reverse_channels=True)
        expected = crop(frame, transform, 13, reverse_channels=True).transpose(2, 0, 1)
        np.testing.assert_array_equal(planes, expected.astype(np.float32) / np.float32(255.0))


def test_scratch_is_kept_and_nothing_else_is_needed(make_similarity, rng):
    """Crops with the working memory of other faces are the same, and a frame allocates nothing of its size."""
    half = (540, 960)
    frame = I420Frame(*(rng.integers(0, 256, shape, dtype=np.uint8) for shape in ((1080, 1920), half, half)))
    small, large = (make_similarity(scale, 8.0, (900.0, 500.0), 96) for scale in (1.0, 0.2))
    scratch, out = CropScratch(), np.empty((96, 96, 3), np.uint8)
    for transform in (small, large, small):
        crop_face_i420(frame, transform, 96, out, scratch=scratch)
        np.testing.assert_array_equal(out, crop_face_i420(frame, transform, 96))
    kept = scratch.record_buffer
    tracemalloc.start()
    for transform in (small, large):
        crop_face_i420(frame, transform, 96, out, scratch=scratch)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert scratch.record_buffer is kept
    assert peak < 8192


def test_agrees_with_converting_the_frame_first(make_similarity, rng):
    """OpenCV repeats chroma where we interpolate, so the content is smooth: about 3 levels per pixel."""
    image = cv2.resize(rng.integers(60, 190, (3, 4, 3), dtype=np.uint8), (160, 120), interpolation=cv2.INTER_LINEAR)
    yuv = cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)
    u, v = yuv[120:].reshape(2, 60, 80)
    transform = make_similarity(0.8, 8.0, (80.0, 60.0), 64)
    crop = crop_face_i420(I420Frame(yuv[:120], u, v, YuvSpec(siting="centre")), transform, 64)
    assert np.abs(crop.astype(int) - crop_face(image, transform, 64)).max() <= 5


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 2), (2, 1), (3, 2), (2, 5)])
def test_tiny_frames(make_similarity, height, width):
    half = ((height + 1) // 2, (width + 1) // 2)
    y, u, v = np.full((height, width), 126, np.uint8), np.full(half, 128, np.uint8), np.full(half, 128, np.uint8)
    transform = make_similarity(0.3, 45.0, (0.0, 0.0), 5)
    grey = np.full((5, 5, 3), round((126 - 16) * 255 / 219), np.uint8)
    np.testing.assert_array_equal(crop_face_i420(I420Frame(y, u, v), transform, 5), grey)
    np.testing.assert_array_equal(crop_face_nv12(Nv12Frame(y, np.stack([u, v], axis=-1)), transform, 5), grey)


@pytest.mark.parametrize("where", ["first", "last"])
def test_nothing_beyond_the_planes_is_read_into_the_crop(where):
    """A plane between guard bytes: its last pixels come out as they are."""
    guarded = np.full((3, 40, 40), 255, np.uint8)
    guarded[1] = 16
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    if where == "last":
        identity[:, 2] = -8.0
    grey = np.full((20, 20), 128, np.uint8)
    crop = crop_face_i420(I420Frame(guarded[1], grey, grey), identity, 40)
    assert (crop == 0).all()


def test_wrong_arguments_are_refused(photo, make_similarity):
    frame, transform = I420Frame(*planes_of(photo)), make_similarity(1.0, 0.0, (80.0, 60.0), 8)
    with pytest.raises(InputError, match="whole number"):
        crop_face_i420(frame, transform, 0)
    with pytest.raises(InputError, match="out must be"):
        crop_face_i420(frame, transform, 8, np.zeros((8, 9, 3), np.uint8))
    with pytest.raises(InputError, match="cannot be inverted"):
        crop_face_i420(frame, transform * np.nan, 8)


@pytest.mark.parametrize("reverse_channels", [False, True])
def test_absurd_transforms_are_left_to_the_reference(photo, reverse_channels):
    """A crop pixel of 500000 px: positions would overflow, so nothing fast is tried."""
    planes, transform = planes_of(photo), np.array([[2e-6, 0.0, 4.0], [0.0, 2e-6, 4.0]])
    truth = true_crop(planes, YuvSpec(), transform, 9)
    frames = I420Frame(*planes), Nv12Frame(planes[0], np.stack(planes[1:], -1))
    for frame, crop in zip(frames, (crop_face_i420, crop_face_nv12), strict=True):
        pixels = crop(frame, transform, 9, reverse_channels=reverse_channels)
        assert_near(pixels if reverse_channels else pixels[..., ::-1], truth, YuvSpec())
        for as_float in (False, True):
            result = crop_face_planes(frame, transform, 9, as_float=as_float, reverse_channels=reverse_channels)
            expected = pixels.transpose(2, 0, 1)
            np.testing.assert_array_equal(result, expected / np.float32(255.0) if as_float else expected)
