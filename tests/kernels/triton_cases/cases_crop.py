from __future__ import annotations

import numpy as np
import pytest
import torch

from lipforge.kernels.batch import reference
from lipforge.kernels.crop.triton_crop import crop_batch
from lipforge.kernels.errors import InputError

SIZE_PX = 33  # 1089 pixels: the interpreter's tiles hold 1024
# The second image is another one, and used twice; the last crop lies wholly outside.
FRAMES = np.array([0, 1, 1, 0])
PLACES = [(0.0, (80.0, 60.0)), (8.0, (150.0, 3.0)), (90.0, (0.0, 122.0)), (200.0, (1e5, -1e9))]


@pytest.fixture
def images(photo: np.ndarray) -> np.ndarray:
    return np.stack([photo, photo[::-1, ::-1]])


@pytest.mark.parametrize(
    ("scale", "reverse_channels"),
    [
        (12.0, False),
        (1.0, False),
        (0.7, True),  # four samples a pixel
        *(
            pytest.param(scale, reverse, marks=pytest.mark.slow)
            for scale, reverse in [(12.0, True), (1.0, True), (0.7, False), (0.31, False), (0.31, True)]
        ),
    ],
)
def test_equals_reference(images, make_similarity, scale, reverse_channels) -> None:
    transforms = np.stack([make_similarity(scale, degrees, centre, SIZE_PX) for degrees, centre in PLACES])
    arguments = (images, transforms, SIZE_PX)
    expected = reference.crop_batch(*arguments, frames=FRAMES, reverse_channels=reverse_channels)
    crops = crop_batch(*arguments, frames=FRAMES, reverse_channels=reverse_channels)
    difference = np.abs(crops.astype(int) - expected)
    assert difference.max() <= 1
    # Positions are float32 here: a level differs where a value lies within 1e-3 of one half part.
    assert (difference > 0).mean() <= 3e-3


def test_float_crops_are_the_same_levels(images, make_similarity) -> None:
    transforms = np.stack([make_similarity(0.7, 8.0, (80.0, 60.0), 7)] * 2)
    levels, shares = crop_batch(images, transforms, 7), crop_batch(images, transforms, 7, as_float=True)
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares, levels.astype(np.float32) / np.float32(255.0))


def test_position_in_a_large_image_costs_no_precision(make_similarity) -> None:
    """A crop is the same wherever the same pixels stand: fractions must survive at x = 60000 too."""
    rng = np.random.default_rng(3)
    patch = rng.integers(0, 256, (1, 40, 40, 3), dtype=np.uint8)
    wide = np.zeros((1, 40, 60_040, 3), np.uint8)
    wide[:, :, 60_000:] = patch
    near = make_similarity(0.83, 5.0, (20.3, 20.6), 16)[None]
    far = near.copy()
    far[:, :, 2] -= near[:, :, :2] @ np.array([60_000.0, 0.0])
    np.testing.assert_array_equal(crop_batch(wide, far, 16), crop_batch(patch, near, 16))


def test_out_is_filled_and_returned(images, make_similarity) -> None:
    transforms = np.stack([make_similarity(0.7, 8.0, (80.0, 60.0), 5)] * 2)
    out = torch.full((2, 3, 5, 5), 99, dtype=torch.uint8)
    assert crop_batch(torch.from_numpy(images), transforms, 5, out=out) is out
    np.testing.assert_array_equal(out.numpy(), crop_batch(images, transforms, 5))


def test_no_crops_and_one_pixel() -> None:
    one = np.array([[[[3, 200, 77]]]], np.uint8)
    assert crop_batch(one, np.zeros((0, 2, 3)), 4, frames=np.zeros(0, int)).shape == (0, 3, 4, 4)
    np.testing.assert_array_equal(crop_batch(one, np.array([[[0.3, 0, 1], [0, 0.3, 1]]]), 1), one.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"images": np.zeros((2, 9, 9, 4), np.uint8)},
            r"images must be a uint8 array or tensor of shape \(F, H, W, 3\)",
        ),
        ({"images": np.zeros((2, 9, 18, 3), np.uint8)[:, :, ::2]}, "not contiguous"),
        ({"transforms": np.zeros((2, 2, 3))}, r"transforms\[0\]: transform cannot be inverted"),
        ({"transforms": np.eye(3)}, r"shape \(B, 2, 3\)"),
        ({"frames": np.array([0, 2])}, "between 0 and 1"),
        ({"frames": np.array([0.0, 1.0])}, "frames must be an integer numpy array"),
        ({"size_px": 0}, "at least 1"),
        ({"out": torch.zeros((2, 3, 8, 8))}, "out must be a uint8"),
        ({"out": np.zeros((2, 3, 8, 8), np.uint8)}, "out must be a tensor"),
    ],
)
def test_wrong_arguments_are_refused(change, message) -> None:
    transforms = np.array([[[1.0, 0, 0], [0, 1, 0]]] * 2)
    arguments = {"images": np.zeros((2, 9, 9, 3), np.uint8), "transforms": transforms, "size_px": 8, **change}
    with pytest.raises(InputError, match=message):
        crop_batch(**arguments)


def test_transforms_for_another_number_of_images_are_refused() -> None:
    with pytest.raises(InputError, match="3 transforms for 2 images; pass frames"):
        crop_batch(np.zeros((2, 9, 9, 3), np.uint8), np.array([[[1.0, 0, 0], [0, 1, 0]]] * 3), 8)
