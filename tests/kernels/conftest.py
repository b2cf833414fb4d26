from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from lipforge.kernels.machine_code import Kernel, store

GOLDEN_DIR = Path(__file__).parents[1] / "golden"


def similarity(scale: float, degrees: float, centre_px: tuple[float, float], size_px: int) -> np.ndarray:
    """Return the transform image -> crop that puts an image point into the crop's middle."""
    angle = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = np.full(2, (size_px - 1) / 2)
    return np.column_stack([linear, middle - linear @ np.array(centre_px)])


@pytest.fixture
def make_similarity() -> Callable[..., np.ndarray]:
    return similarity


@pytest.fixture
def golden_mel() -> dict[str, np.ndarray]:
    with np.load(GOLDEN_DIR / "mel_wav2lip.npz") as data:
        return dict(data)


@pytest.fixture
def golden_whisper() -> dict[str, np.ndarray]:
    with np.load(GOLDEN_DIR / "mel_whisper.npz") as data:
        return dict(data)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20)


@pytest.fixture
def photo(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise with an odd size: every channel and row differs, and detail is a few pixels wide."""
    import cv2

    noise = rng.integers(0, 256, (123, 157, 3), dtype=np.uint8)
    return cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 1.5), None, 0, 255, cv2.NORM_MINMAX)


def allocated_bytes(call: Callable[[], None]) -> int:
    """Return the largest memory that Python and numpy hold at once during a warm call, beyond what they held before."""
    call()
    tracemalloc.start()
    try:
        call()  # what the tracer itself needs at first
        tracemalloc.reset_peak()
        before = tracemalloc.get_traced_memory()[0]
        call()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@pytest.fixture
def measure_allocation() -> Callable[[Callable[[], None]], int]:
    return allocated_bytes


@pytest.fixture
def kernels_that_allocate() -> Callable[[Iterable[Kernel]], list[str]]:
    """Return the names of those kernels whose machine code can ask for memory."""

    def find(kernels: Iterable[Kernel]) -> list[str]:
        names = []
        for kernel in kernels:
            kernel.prepare()
            code = store.load(kernel.name)
            assert code is not None
            if b"malloc" in code:
                names.append(kernel.name)
        return names

    return find
