from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Peers get one core as our kernels do; more would measure the host."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(threads)


@pytest.fixture(scope="session")
def frame() -> np.ndarray:
    """A 720p BGR frame with detail a few pixels wide."""
    noise = np.random.default_rng(1).integers(0, 256, (720, 1280, 3), dtype=np.uint8)
    return cv2.GaussianBlur(noise, (0, 0), 1.5)


@pytest.fixture
def i420_planes(frame) -> list[np.ndarray]:
    """The frame as three planes of their own, for kernels that change them."""
    height, width = frame.shape[:2]
    joined = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
    u, v = joined[height:].reshape(2, height // 2, width // 2)
    return [joined[:height].copy(), u.copy(), v.copy()]


def face_transform(face_px: float, size_px: int, degrees: float = 8.0) -> np.ndarray:
    """Return the transform image -> crop of a face of this size in the frame's middle."""
    angle, scale = np.deg2rad(degrees), size_px / face_px
    linear = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.column_stack([linear, np.full(2, (size_px - 1) / 2) - linear @ np.array([640.0, 360.0])])


@pytest.fixture(scope="session")
def make_face_transform():
    return face_transform
