from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.crop import crop_face, crop_face_i420, crop_face_nv12, reference
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.errors import InputError
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec

YUV_SPECS = [YuvSpec(), YuvSpec("bt709", True, "centre"), YuvSpec("bt709", False, "left")]


def strided(plane: np.ndarray, extra: int = 13) -> np.ndarray:
    wide = np.full((plane.shape[0], plane.shape[1] + extra, *plane.shape[2:]), 77, np.uint8)
    wide[:, : plane.shape[1]] = plane
    return wide[:, : plane.shape[1]]


def planes_of(photo: np.ndarray) -> list[np.ndarray]:
    chroma = cv2.resize(photo, ((photo.shape[1] + 1) // 2, (photo.shape[0] + 1) // 2))
    return [photo[..., 0].copy(), chroma[..., 1] // 2 + 64, chroma[..., 2] // 2 + 64]


@pytest.mark.parametrize("spec", YUV_SPECS)
@pytest.mark.parametrize("size_px", [33, 8, 1])
@pytest.mark.parametrize(("scale", "degrees"), [(12.0, 0.0), (1.0, 90.0), (0.7, 8.0), (0.37, 200.0), (0.048, 30.0)])
def test_crops_from_planes_equal_the_reference(photo, make_similarity, spec, size_px, scale, degrees):
    transform, planes = make_similarity(scale, degrees, (150.0, 60.0), size_px), planes_of(photo)
    forward, inverse = invert_affine(transform)
    shift = np.array([0.5 if spec.siting == "centre" else 0.0, 0.5])
    chroma = np.column_stack([2.0 * forward[:, :2], forward[:, :2] @ shift + forward[:, 2]])
    inverses = [inverse, invert_affine(chroma)[1], invert_affine(chroma)[1]]
    expected = np.empty((size_px, size_px, 3), np.uint8)
    reference.sample_yuv_crop(planes, inverses, [taps_per_axis(i) for i in inverses], *spec.to_rgb(), expected)

    i420 = I420Frame(*(strided(plane) for plane in planes), spec)
    nv12 = Nv12Frame(strided(planes[0]), strided(np.stack(planes[1:], axis=-1)), spec)
    rgb = crop_face_i420(i420, transform, size_px, reverse_channels=True)
    difference = np.abs(rgb.astype(int) - expected)
    assert difference.max() <= 1
    # Only where float32 rounds a value next to one half to the other side.
    assert np.count_nonzero(difference) <= max(1, 2e-3 * rgb.size)
    np.testing.assert_array_equal(crop_face_nv12(nv12, transform, size_px, reverse_channels=True), rgb)
    np.testing.assert_array_equal(crop_face_i420(i420, transform, size_px), rgb[..., ::-1])


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
