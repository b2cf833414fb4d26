from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.crop import crop_face, reference
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.errors import InputError


def assert_near(crop: np.ndarray, expected: np.ndarray) -> None:
    """At most one level apart, and only where float32 rounds a value next to one half to the other side."""
    difference = np.abs(crop.astype(int) - expected)
    assert difference.max() <= 1
    assert np.count_nonzero(difference) <= max(1, 2e-3 * crop.size)


IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


@pytest.mark.parametrize("reverse_channels", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 8.0, 90.0, 200.0])
@pytest.mark.parametrize("scale", [12.0, 1.3, 1.0, 0.7, 0.37, 0.048])
def test_fast_crop_equals_reference(photo, make_similarity, scale, degrees, reverse_channels):
    transform = make_similarity(scale, degrees, (150.0, 60.0), 33)  # half outside the image
    inverse = invert_affine(transform)[1]
    expected = np.empty((33, 33, 3), np.uint8)
    reference.sample_crop(photo, inverse, taps_per_axis(inverse), reverse_channels, expected)
    assert_near(crop_face(photo, transform, 33, reverse_channels=reverse_channels), expected)


@pytest.mark.parametrize("scale", [4.0, 1.5, 1.0, 0.9])
def test_agrees_with_opencv_where_the_face_is_not_larger(photo, make_similarity, scale):
    transform = make_similarity(scale, 8.0, (80.0, 60.0), 48)
    expected = cv2.warpAffine(photo, transform, (48, 48), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    # OpenCV rounds positions and weights, so one grey level is its own error.
    assert np.abs(crop_face(photo, transform, 48).astype(int) - expected).max() <= 1


def test_whole_shrinking_is_the_mean_of_the_covered_pixels(rng):
    image = rng.integers(0, 256, (60, 60, 3), dtype=np.uint8)
    transform = np.array([[1 / 3, 0.0, 0.5 / 3 - 0.5], [0.0, 1 / 3, 0.5 / 3 - 0.5]])
    means = image.reshape(20, 3, 20, 3, 3).astype(float).mean(axis=(1, 3))
    assert np.abs(crop_face(image, transform, 20) - means).max() <= 0.5 + 1e-3


def test_fine_detail_averages_out_instead_of_aliasing():
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 255
    transform = np.array([[0.27, 0.0, 1.0], [0.0, 0.27, 1.0]])
    crop = crop_face(stripes, transform, 48)[8:40, 8:40].astype(int)
    bilinear = cv2.warpAffine(stripes, transform, (48, 48))[8:40, 8:40].astype(int)
    assert np.ptp(crop) < 70
    assert np.ptp(bilinear) > 140


def test_identity_is_exact_and_edges_repeat(photo):
    np.testing.assert_array_equal(crop_face(photo, IDENTITY, 100), photo[:100, :100])
    shifted = IDENTITY + np.array([[0, 0, 10.0], [0, 0, 20.0]])
    crop = crop_face(photo, shifted, 40)
    np.testing.assert_array_equal(crop[20:, 10:], photo[:20, :30])
    np.testing.assert_array_equal(crop[:20, :10], np.broadcast_to(photo[0, 0], (20, 10, 3)))


def test_reversed_channels_and_out(photo):
    out = np.empty((20, 20, 3), np.uint8)
    assert crop_face(photo, IDENTITY.astype(np.float32), 20, out, reverse_channels=True) is out
    np.testing.assert_array_equal(out, photo[:20, :20, ::-1])


@pytest.mark.parametrize("centre", [(-1e4, 0.0), (0.0, 1e9)])
def test_far_outside_repeats_the_border(photo, make_similarity, centre):
    crop = crop_face(photo, make_similarity(0.5, 0.0, centre, 8), 8)
    assert crop.std(axis=(0, 1)).max() < 60


def test_one_pixel_image(make_similarity):
    image = np.array([[[3, 200, 77]]], np.uint8)
    crop = crop_face(image, make_similarity(0.3, 45.0, (0.0, 0.0), 5), 5)
    np.testing.assert_array_equal(crop, np.broadcast_to(image, (5, 5, 3)))


@pytest.mark.parametrize(
    ("image", "transform", "size_px", "out", "message"),
    [
        (np.zeros((9, 9, 4), np.uint8), IDENTITY, 8, None, r"image must be a uint8 array of shape \(H, W, 3\)"),
        (np.zeros((0, 9, 3), np.uint8), IDENTITY, 8, None, r"not uint8 \(0, 9, 3\)"),
        (np.zeros((9, 9, 3), np.float32), IDENTITY, 8, None, "not float32"),
        (np.zeros((9, 18, 3), np.uint8)[:, ::2], IDENTITY, 8, None, "not contiguous"),
        (np.zeros((9, 9, 3), np.uint8), np.eye(3), 8, None, r"transform must be .* \(2, 3\)"),
        (np.zeros((9, 9, 3), np.uint8), IDENTITY * 0, 8, None, "cannot be inverted"),
        (np.zeros((9, 9, 3), np.uint8), IDENTITY * np.nan, 8, None, "cannot be inverted"),
        (np.zeros((9, 9, 3), np.uint8), IDENTITY, 2.5, None, "whole number"),
        (np.zeros((9, 9, 3), np.uint8), IDENTITY, 8, np.zeros((8, 8), np.uint8), "out must be"),
    ],
)
def test_wrong_arguments_are_refused(image, transform, size_px, out, message):
    with pytest.raises(InputError, match=message):
        crop_face(image, transform, size_px, out)


def test_read_only_output_is_refused(photo):
    out = np.zeros((8, 8, 3), np.uint8)
    out.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        crop_face(photo, IDENTITY, 8, out)
