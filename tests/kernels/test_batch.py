from __future__ import annotations

import numpy as np
import pytest

from lipforge.kernels.backend import choose
from lipforge.kernels.crop import crop_face
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite

BACKENDS = ("reference", "numba")
FRAMES = np.array([0, 1, 1])


@pytest.fixture
def images(photo: np.ndarray) -> np.ndarray:
    return np.stack([photo, photo[::-1]])


@pytest.fixture
def transforms(make_similarity) -> np.ndarray:
    return np.stack([make_similarity(scale, 8.0, (90.0, 60.0), 17) for scale in (0.4, 1.0, 2.0)])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("reverse_channels", [False, True])
def test_crops_are_those_of_the_single_call(images, transforms, backend, reverse_channels) -> None:
    crop_batch = choose("crop", backend).load()
    out = np.empty((3, 3, 17, 17), np.uint8)
    crops = crop_batch(images, transforms, 17, frames=FRAMES, reverse_channels=reverse_channels, out=out)
    assert crops is out
    for crop, frame, transform in zip(crops, FRAMES, transforms, strict=True):
        single = crop_face(images[frame], transform, 17, reverse_channels=reverse_channels)
        difference = np.abs(crop.astype(int) - single.transpose(2, 0, 1))
        assert difference.max() <= (0 if backend == "numba" else 1)  # fixed point against float
        assert (difference > 0).mean() < 0.02
    shares = crop_batch(images, transforms, 17, frames=FRAMES, reverse_channels=reverse_channels, as_float=True)
    np.testing.assert_array_equal(shares, crops.astype(np.float32) / np.float32(255.0))


@pytest.mark.parametrize("backend", BACKENDS)
def test_composites_are_those_of_the_single_call(images, transforms, backend, rng) -> None:
    flow = rng.normal(0, 2, (2, 2, 17, 17)).astype(np.float32)
    mask, colour = rng.random((2, 17, 17), np.float32), rng.random((2, 3, 17, 17), np.float32)
    given = images.copy()
    result = choose("warp", backend).load()(images, transforms[:2], flow, mask, colour, WarpSpec(), 0.7)
    np.testing.assert_array_equal(images, given)
    for i in range(2):
        composite(given[i], WarpScratch(), transforms[i], flow[i], mask[i], colour[i], WarpSpec(), 0.7)
    difference = np.abs(result.astype(int) - given)
    assert difference.max() <= (0 if backend == "numba" else 1)
    # The compiled compositor works in 16-bit fixed point: a value within 0.03 of one half may round to the other side.
    assert (difference > 0).mean() < 2e-2


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": None}, "3 transforms for 2 images; pass frames"),
        ({"frames": np.array([0, 1, 2])}, "between 0 and 1"),
        ({"frames": [0, 1, 1]}, "frames must be an integer numpy array"),
        ({"transforms": np.zeros((3, 2, 3))}, r"transforms\[0\]: transform cannot be inverted"),
        ({"images": np.zeros((9, 9, 3), np.uint8)}, r"\(F, H, W, 3\)"),
        ({"out": np.zeros((3, 17, 17, 3), np.uint8)}, r"out must be a uint8 array of shape \(3, 3, 17, 17\)"),
    ],
)
def test_wrong_crops_are_refused(images, transforms, backend, change, message) -> None:
    arguments = {"images": images, "transforms": transforms, "size_px": 17, "frames": FRAMES, **change}
    with pytest.raises(InputError, match=message):
        choose("crop", backend).load()(**arguments)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": np.zeros((2, 2, 9, 8), np.float32)}, r"flow must be .* \(2, 2, 9, 9\)"),
        ({"colour": np.full((2, 3, 9, 9), np.nan, np.float32)}, "must be finite"),
        ({"strength": 2.0}, "strength must lie between 0 and 1"),
        ({"spec": WarpSpec(border_px=-1.0)}, "border_px"),
    ],
)
def test_wrong_composites_are_refused(images, transforms, backend, change, message) -> None:
    planes = {"flow": (2, 2, 9, 9), "mask": (2, 9, 9), "colour": (2, 3, 9, 9)}
    zeros = {name: np.zeros(shape, np.float32) for name, shape in planes.items()}
    arguments = {"images": images, "transforms": transforms[:2], "spec": WarpSpec(), **zeros, **change}
    composite_batch = choose("warp", backend).load()
    with pytest.raises(InputError, match=message):
        composite_batch(**arguments)
    with pytest.raises(InputError, match="shares memory"):
        composite_batch(**{**arguments, **zeros, "strength": 1.0, "spec": WarpSpec(), "out": images})
