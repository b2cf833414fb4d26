"""The Triton kernels on a CUDA device against the references, at the sizes that they are for: `pytest -m gpu`."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lipforge.kernels.backend import choose
from lipforge.kernels.spec import MelSpec, WarpSpec

torch = pytest.importorskip("torch", reason="torch, which carries triton's arrays, is not installed: lipforge[train]")
pytest.importorskip("triton", reason="triton is not installed: pip install 'lipforge[gpu]'")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
]

SIZE_PX = 96
FACES = 40
FULL_HD = (1080, 1920)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Eight frames with detail a few pixels wide."""
    noise = np.random.default_rng(1).integers(0, 256, (8, *FULL_HD, 3), dtype=np.uint8)
    return np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in noise])


@pytest.fixture
def transforms(make_similarity: Callable[..., np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Faces of 60 to 1500 px anywhere, also half outside, at any angle."""
    places = zip(
        rng.uniform(60, 1500, FACES), rng.uniform(0, 360, FACES), rng.uniform(0, 1900, (FACES, 2)), strict=True
    )
    return np.stack([make_similarity(SIZE_PX / face_px, degrees, at, SIZE_PX) for face_px, degrees, at in places])


@pytest.mark.parametrize("padding", ["reflect", "constant"])
def test_mel_of_a_minute(rng: np.random.Generator, padding: str) -> None:
    time = np.arange(60 * 16_000 + 77) / 16_000
    audio = (0.4 * np.sin(900 * time) * np.sin(9 * time) + 0.05 * rng.normal(size=time.size)).astype(np.float32)
    spec = MelSpec(padding=padding)
    expected = choose("mel", "reference").load()(audio, spec)
    assert np.abs(choose("mel", "triton").load()(audio, spec) - expected).max() <= 2e-5


@pytest.mark.parametrize("as_float", [False, True])
def test_crops_of_full_hd_frames(frames: np.ndarray, transforms: np.ndarray, as_float: bool) -> None:
    indices = np.arange(FACES) % len(frames)
    arguments = {"frames": indices, "as_float": as_float, "reverse_channels": True}
    expected = choose("crop", "reference").load()(frames, transforms, SIZE_PX, **arguments)
    crops = choose("crop", "triton").load()(torch.from_numpy(frames).cuda(), transforms, SIZE_PX, **arguments)
    assert crops.is_cuda
    scale = 255.0 if as_float else 1.0
    difference = np.rint(np.abs(crops.cpu().numpy().astype(np.float64) - expected) * scale)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 5e-3


@pytest.mark.parametrize("border_px", [0.0, 6.0])
def test_composites_of_full_hd_frames(
    frames: np.ndarray, transforms: np.ndarray, rng: np.random.Generator, border_px: float
) -> None:
    count = len(frames)
    coarse = rng.normal(0.0, 1.0, (6 * count, 7, 7)).astype(np.float32)
    planes = np.stack([cv2.resize(plane, (SIZE_PX, SIZE_PX), interpolation=cv2.INTER_CUBIC) for plane in coarse])
    planes = planes.reshape(count, 6, SIZE_PX, SIZE_PX)
    arguments = {
        "flow": np.ascontiguousarray(4 * planes[:, :2]),
        "mask": np.clip(planes[:, 2], 0, 1),
        "colour": np.ascontiguousarray(np.clip(planes[:, 3:], 0, 1)),
        "spec": WarpSpec(border_px=border_px),
    }
    expected = choose("warp", "reference").load()(frames, transforms[:count], **arguments)
    result = choose("warp", "triton").load()(frames, transforms[:count], **arguments)
    differs = (result != expected).any(axis=3)
    assert differs.mean() <= 1e-3
    # Without a ramp a pixel whose centre lies on the square's edge may belong to it or not.
    largest = np.abs(result.astype(int) - expected).max(axis=3)
    assert (largest > 1).sum() <= (20 if border_px == 0.0 else 0)


def test_an_image_beyond_two_gigabytes_into_the_batch(frames: np.ndarray, transforms: np.ndarray) -> None:
    """Offsets of images are 64 bits wide: image 400 of Full HD starts 2.5 GB into the batch."""
    if torch.cuda.get_device_properties(0).total_memory < 6 * 2**30:
        pytest.skip("needs 6 GiB of device memory")
    many = torch.zeros((401, *FULL_HD, 3), dtype=torch.uint8, device="cuda")
    many[400] = torch.from_numpy(frames[0]).cuda()
    crop_batch = choose("crop", "triton").load()
    last = crop_batch(many, transforms[:1], SIZE_PX, frames=np.array([400]))
    np.testing.assert_array_equal(last.cpu().numpy(), crop_batch(frames[:1], transforms[:1], SIZE_PX))
