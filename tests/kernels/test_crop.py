from __future__ import annotations

import subprocess
import sys

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lipforge.kernels.arrays import invert_affine
from lipforge.kernels.crop import crop_face, crop_face_planes, reference
from lipforge.kernels.crop.footprint import taps_per_axis
from lipforge.kernels.errors import InputError

# ``vector_blend`` shows why a sample is never farther from its true value, in levels, before the rounding to one.
LARGEST_ERROR = 0.08

IDENTITY = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def true_crop(image: np.ndarray, transform: np.ndarray, size_px: int) -> np.ndarray:
    """Return the reference's crop before it is rounded, float32."""
    inverse = invert_affine(transform)[1]
    return reference.mean_of_taps(image, inverse, taps_per_axis(inverse), size_px)


def assert_near(crop: np.ndarray, truth: np.ndarray) -> None:
    assert np.abs(crop - truth).max() <= 0.5 + LARGEST_ERROR


def centred(make_similarity, image: np.ndarray, scale: float, degrees: float, size_px: int) -> np.ndarray:
    return make_similarity(scale, degrees, ((image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2), size_px)


@pytest.mark.parametrize("reverse_channels", [False, True])
@pytest.mark.parametrize("degrees", [0.0, 8.0, 90.0, 200.0])
@pytest.mark.parametrize("scale", [12.0, 1.3, 1.0, 0.7, 0.37, 0.048])
def test_fast_crop_equals_reference(photo, make_similarity, scale, degrees, reverse_channels):
    transform = make_similarity(scale, degrees, (150.0, 60.0), 33)  # half outside the image
    crop = crop_face(photo, transform, 33, reverse_channels=reverse_channels)
    assert_near(crop[..., ::-1] if reverse_channels else crop, true_crop(photo, transform, 33))


@pytest.mark.parametrize("size_px", [1, 2, 7, 8, 9, 13, 97, 128, 131, 257])
def test_odd_sizes(photo, make_similarity, size_px):
    transform = centred(make_similarity, photo, size_px / 90.0, 13.0, size_px)
    assert_near(crop_face(photo, transform, size_px), true_crop(photo, transform, size_px))


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 1), (2, 2), (3, 2), (1, 31), (37, 1), (2, 3)])
@pytest.mark.parametrize("degrees", [0.0, 31.0])
def test_tiny_images(rng, make_similarity, shape, degrees):
    image = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    transform = centred(make_similarity, image, 3.0, degrees, 11)
    assert_near(crop_face(image, transform, 11), true_crop(image, transform, 11))


@pytest.mark.parametrize("face_px", [8, 2000])
def test_tiny_and_huge_faces(rng, make_similarity, face_px):
    image = cv2.resize(rng.integers(0, 256, (100, 130, 3), dtype=np.uint8), (520, 400))
    transform = centred(make_similarity, image, 96 / face_px, 8.0, 96)
    assert_near(crop_face(image, transform, 96), true_crop(image, transform, 96))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.floats(0.02, 30.0),
    degrees=st.floats(-180.0, 180.0),
    shift=st.tuples(st.floats(-200.0, 200.0), st.floats(-200.0, 200.0)),
    size_px=st.integers(1, 40),
)
def test_random_transforms_of_noise(seed, scale, degrees, shift, size_px):
    rng = np.random.default_rng(seed)
    image = rng.choice(np.array([0, 255], np.uint8), (*rng.integers(1, 90, 2), 3))
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    transform = np.column_stack([linear, shift])
    assert_near(crop_face(image, transform, size_px), true_crop(image, transform, size_px))


@pytest.mark.parametrize("offset", [(2.0**-9, 2.0**-9), (0.5, 2.0**-13), (2.0**-13, 1 - 2.0**-16), (0.251, 0.7504)])
def test_checkerboards_where_weights_are_least_exact(offset):
    """Neighbours as different as can be: an error of the weights shows at its largest."""
    board = np.indices((60, 60)).sum(axis=0) % 2
    image = np.repeat((255 * board).astype(np.uint8)[..., None], 3, axis=2)
    transform = IDENTITY - np.array([[0.0, 0.0, 5 + offset[0]], [0.0, 0.0, 5 + offset[1]]])
    assert_near(crop_face(image, transform, 48), true_crop(image, transform, 48))


@pytest.mark.parametrize(
    "transform", [[[1e-4, 0, 3], [0, 1e-4, 5]], [[2e-6, 0, 0], [0, 2e-6, 0]], [[1, 0, 1e12], [0, 1, 7]]]
)
def test_absurd_transforms(photo, transform):
    transform = np.array(transform, float)
    assert_near(crop_face(photo, transform, 9), true_crop(photo, transform, 9))


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
    assert np.abs(crop_face(image, transform, 20) - means).max() <= 0.5 + 1e-2


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


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_quarter_turns_are_exact(photo, make_similarity, quarters):
    square = np.ascontiguousarray(photo[:99, :99])
    crop = crop_face(square, centred(make_similarity, square, 1.0, 90.0 * quarters, 99), 99)
    np.testing.assert_array_equal(crop, np.rot90(square, -quarters))


def test_a_place_in_the_image_does_not_matter(photo, make_similarity):
    """Weights are as exact at the far end of a large image as at its start."""
    transform = centred(make_similarity, photo, 0.9, 8.0, 64)
    large = np.zeros((2200, 4000, 3), np.uint8)
    large[2048 : 2048 + photo.shape[0], 3840 : 3840 + photo.shape[1]] = photo
    moved = transform.copy()
    moved[:, 2] -= transform[:, :2] @ np.array([3840.0, 2048.0])
    difference = np.abs(crop_face(large, moved, 64).astype(int) - crop_face(photo, transform, 64))[8:56, 8:56]
    assert difference.max() <= 1
    assert (difference > 0).mean() < 1e-3


def test_reversed_channels_and_out(photo):
    out = np.empty((20, 20, 3), np.uint8)
    assert crop_face(photo, IDENTITY.astype(np.float32), 20, out, reverse_channels=True) is out
    np.testing.assert_array_equal(out, photo[:20, :20, ::-1])


@pytest.mark.parametrize("size_px", [1, 8, 13, 131])
@pytest.mark.parametrize("reverse_channels", [False, True])
def test_planes_hold_the_same_levels(photo, make_similarity, size_px, reverse_channels):
    transform = centred(make_similarity, photo, 0.8, 8.0, size_px)
    expected = crop_face(photo, transform, size_px, reverse_channels=reverse_channels).transpose(2, 0, 1)
    out = np.full((3, size_px, size_px), np.nan, np.float32)
    assert crop_face_planes(photo, transform, size_px, out, reverse_channels=reverse_channels) is out
    np.testing.assert_array_equal(out, expected.astype(np.float32) / np.float32(255.0))
    levels = crop_face_planes(photo, transform, size_px, as_float=False, reverse_channels=reverse_channels)
    np.testing.assert_array_equal(levels, expected)


@pytest.mark.parametrize("size_px", [5, 8, 13, 131])
def test_nothing_beyond_the_output_is_written(photo, make_similarity, size_px):
    transform = centred(make_similarity, photo, 1.0, 8.0, size_px)
    room = np.full(3 * size_px * size_px + 64, 77, np.uint8)
    crop_face(photo, transform, size_px, room[: 3 * size_px * size_px].reshape(size_px, size_px, 3))
    assert (room[3 * size_px * size_px :] == 77).all()
    room[:] = 77
    planes = room[: 3 * size_px * size_px].reshape(3, size_px, size_px)
    crop_face_planes(photo, transform, size_px, planes, as_float=False, reverse_channels=True)
    assert (room[3 * size_px * size_px :] == 77).all()


@pytest.mark.parametrize("centre", [(-1e4, 0.0), (0.0, 1e9)])
def test_far_outside_repeats_the_border(photo, make_similarity, centre):
    crop = crop_face(photo, make_similarity(0.5, 0.0, centre, 8), 8)
    assert crop.std(axis=(0, 1)).max() < 60


READS_UP_TO_A_FORBIDDEN_PAGE = """
import ctypes, mmap
import numpy as np
from lipforge.kernels.crop import crop_face, crop_face_i420, crop_face_nv12
from lipforge.kernels.yuv import I420Frame, Nv12Frame

def at_end_of_a_page(*shape):
    size = int(np.prod(shape))
    pages = mmap.mmap(-1, 8 * mmap.PAGESIZE)
    memory = np.frombuffer(pages, np.uint8)
    forbidden = memory.ctypes.data + 7 * mmap.PAGESIZE
    assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(forbidden), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    end = 7 * mmap.PAGESIZE
    memory[:end] = 90
    return memory[end - size : end].reshape(shape)

# Rounding moves the first sample on to the last pixels, the one after it lies farther inside.
just_before = np.array([[-1.0, 0.0, 30.0 - 2.0**-24], [0.0, -1.0, 28.0 - 2.0**-24]])
crop_face(at_end_of_a_page(30, 32, 3), just_before, 1)

for scale in (1.0, 0.3, 5.0):
    for angle in (0.0, 0.5):
        a, b = scale * np.cos(angle), scale * np.sin(angle)
        transform = np.array([[a, -b, 0.0], [b, a, 0.0]])
        transform[:, 2] = 20 - transform[:, :2] @ np.array([31.0, 29.0])
        crop_face(at_end_of_a_page(30, 32, 3), transform, 41)
        y, u, v, uv = (at_end_of_a_page(*shape) for shape in ((30, 32), (15, 16), (15, 16), (15, 16, 2)))
        crop_face_i420(I420Frame(y, u, v), transform, 41)
        crop_face_nv12(Nv12Frame(y, uv), transform, 41)
print("done")
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forbids memory with Linux's mprotect")
def test_no_byte_behind_an_image_is_read():
    """In a process of its own: a wrong load ends it."""
    script = [sys.executable, "-c", READS_UP_TO_A_FORBIDDEN_PAGE]
    assert subprocess.run(script, capture_output=True, text=True, timeout=240, check=False).stdout == "done\n"


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
    for crop in (crop_face, crop_face_planes):
        with pytest.raises(InputError, match=message):
            crop(image, transform, size_px, out)


def test_a_plane_too_large_for_32_bit_offsets_is_refused():
    # The rows overlap: 4 GiB of addresses in a few bytes of memory.
    from lipforge.kernels.crop.planes import described

    plane = np.lib.stride_tricks.as_strided(np.zeros(9, np.uint8), (2**20, 3), (2**13, 1))
    with pytest.raises(InputError, match="less than 4 GiB"):
        described(plane, 2)


def test_read_only_output_is_refused(photo):
    out = np.zeros((8, 8, 3), np.uint8)
    out.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        crop_face(photo, IDENTITY, 8, out)


def test_read_only_images_are_read(photo):
    expected = crop_face(photo, IDENTITY, 20)
    photo.flags.writeable = False
    np.testing.assert_array_equal(crop_face(photo, IDENTITY, 20), expected)
