from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from lipforge.kernels.batch import reference
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp.triton_warp import composite_batch

SIZE_PX = 24
SPEC = WarpSpec()
# In the middle, over a corner, over another one, wholly outside.
CENTRES = [(80.0, 60.0), (150.0, 3.0), (0.0, 122.0), (1e4, -1e4)]


def smooth(rng: np.random.Generator, planes: int, spread: float) -> np.ndarray:
    coarse = rng.normal(0.0, spread, (planes, 5, 5)).astype(np.float32)
    return np.stack([cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC) for plane in coarse])


@pytest.fixture
def images(photo: np.ndarray) -> np.ndarray:
    return np.stack([photo, photo[::-1], photo[:, ::-1], photo])


@pytest.fixture
def planes(rng: np.random.Generator) -> dict[str, np.ndarray]:
    count = len(CENTRES)
    return {
        "flow": smooth(rng, 2 * count, 3.0).reshape(count, 2, SIZE_PX, SIZE_PX),
        "mask": np.clip(smooth(rng, count, 0.6), 0.0, 1.0),
        "colour": rng.random((count, 3, SIZE_PX, SIZE_PX), dtype=np.float32),
    }


@pytest.fixture
def transforms(make_similarity) -> np.ndarray:
    return np.stack([make_similarity(0.83, 8.0, centre, SIZE_PX) for centre in CENTRES])


# No right angles: there whole rows lie exactly on the square's edge, and the sign of a rounding error decides.
@pytest.mark.parametrize(
    ("scale", "degrees", "border_px"),
    [
        (0.25, 1.0, 6.0),
        (1.0, 91.0, 0.0),
        (3.0, 200.0, 6.0),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in [(0.25, 1.0, 0.0), (1.0, 91.0, 6.0), (3.0, 200.0, 0.0), (0.1, 30.0, 0.0), (0.1, 30.0, 6.0)]
        ),
    ],
)
def test_equals_reference(images, planes, make_similarity, scale, degrees, border_px) -> None:
    transforms = np.stack([make_similarity(scale, degrees, centre, SIZE_PX) for centre in CENTRES])
    spec = WarpSpec(border_px=border_px)
    expected = reference.composite_batch(images, transforms, **planes, spec=spec, strength=0.8)
    assert (expected != images).any()
    given = images.copy()
    difference = np.abs(composite_batch(given, transforms, **planes, spec=spec, strength=0.8).astype(int) - expected)
    assert difference.max() <= 1
    # Positions are float32 here: a level differs where a value lies within about 1e-3 of one half part.
    assert (difference > 0).mean() <= 1e-3
    np.testing.assert_array_equal(given, images)


def test_zero_flow_and_mask_and_zero_strength_keep_every_byte(images, planes, transforms) -> None:
    np.testing.assert_array_equal(composite_batch(images, transforms, **planes, spec=SPEC, strength=0.0), images)
    still = {**planes, "flow": planes["flow"] * np.float32(0), "mask": planes["mask"] * np.float32(0)}
    np.testing.assert_array_equal(composite_batch(images, transforms, **still, spec=SPEC), images)


def test_squares_outside_every_image_change_nothing(images, planes, make_similarity) -> None:
    outside = np.stack([make_similarity(0.5, 0.0, (1e4, -1e4), SIZE_PX)] * 4)
    np.testing.assert_array_equal(composite_batch(images, outside, **planes, spec=SPEC), images)


def test_huge_flow_is_clamped_to_the_image(images, planes, transforms) -> None:
    wild = {**planes, "flow": planes["flow"] * np.float32(1e30), "mask": planes["mask"] * np.float32(0)}
    result = composite_batch(images, transforms, **wild, spec=WarpSpec(border_px=0.0))
    for image, composed in zip(images, result, strict=True):
        corners = image[[0, 0, -1, -1], [0, -1, 0, -1]]
        moved = composed[(composed != image).any(axis=2)]
        assert all((pixel == corners).all(axis=1).any() for pixel in moved)


def test_tensors_in_tensor_out(images, planes, transforms) -> None:
    expected = composite_batch(images, transforms, **planes, spec=SPEC)
    tensors = {name: torch.from_numpy(plane) for name, plane in planes.items()}
    out = torch.zeros(images.shape, dtype=torch.uint8)
    assert composite_batch(torch.from_numpy(images), transforms, **tensors, spec=SPEC, out=out) is out
    np.testing.assert_array_equal(out.numpy(), expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"flow": np.zeros((4, 2, 24, 23), np.float32)}, r"flow must be a float32 .* of shape \(4, 2, 24, 24\)"),
        ({"colour": np.full((4, 3, 24, 24), np.inf, np.float32)}, "must be finite"),
        ({"strength": float("nan")}, "strength must lie between 0 and 1"),
        ({"spec": WarpSpec(border_px=-1.0)}, "border_px"),
        ({"transforms": np.ones((3, 2, 3)) * np.array([[1, 0, 0], [0, 1, 0]])}, "3 transforms for 4 images"),
    ],
)
def test_wrong_arguments_are_refused(images, planes, transforms, change, message) -> None:
    arguments = {"transforms": transforms, "spec": SPEC, **planes, **change}
    with pytest.raises(InputError, match=message):
        composite_batch(images, **arguments)


def test_out_that_shares_memory_is_refused(images, planes, transforms) -> None:
    tensor = torch.from_numpy(images)
    with pytest.raises(InputError, match="shares memory"):
        composite_batch(tensor, transforms, **planes, spec=SPEC, out=tensor)
