"""Faces whose lips do what a test says, as landmarks and as small moving pictures."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from lipforge.kernels.spec import CropSpec, LipSpec
from lipforge.runtime.faces.points import INNER, MESH_POINTS, OUTER

F64 = NDArray[np.float64]
FPS = 25.0
SCALE, CENTRE = 2.0, (30.0, 40.0)  # image px per crop px, and where the crop's corner lies


def talking(frames: int = 100, seed: int = 0) -> F64:
    """Openings in eye distances, as speech has them: smooth, closed now and then."""
    random = np.random.default_rng(seed)
    steps = np.convolve(random.normal(size=frames + 8), np.hanning(9), "valid")
    return np.clip(0.12 + 0.12 * steps / steps.std(), 0.0, 0.3)


def face_of(opening: F64, width: F64 | float = 0.5) -> NDArray[np.float32]:
    """Landmarks float32 (T, 468, 3), image px, of a face that looks ahead; 40 crop px between the outer eye corners."""
    frames = len(opening)
    points = np.random.default_rng(1).uniform(20, 76, (MESH_POINTS, 2))
    faces = np.repeat(points[None], frames, axis=0)
    for index, place in zip((33, 133, 362, 263, 2), CropSpec().template, strict=True):
        faces[:, index] = place
    faces[:, 263, 0] = 68.0
    faces[:, 152] = (48, 67)
    angle = np.pi + 2 * np.pi * np.arange(LipSpec().outer_points) / LipSpec().outer_points
    wide = np.broadcast_to(np.asarray(width, np.float64), (frames,)) * 20
    for ring, shrink, lip in ((OUTER, 1.0, 4.0), (INNER, 0.8, 0.0)):
        faces[:, list(ring), 0] = 48 + shrink * wide[:, None] * np.cos(angle)
        faces[:, list(ring), 1] = 50 + (20 * opening[:, None] + lip) * np.sin(angle)
    image = faces * SCALE + np.array(CENTRE)
    return np.concatenate([image, np.zeros((frames, MESH_POINTS, 1))], axis=2).astype(np.float32)


def textured(height: int = 288, width: int = 360, seed: int = 0) -> NDArray[np.uint8]:
    """Grey levels uint8 (H, W) with detail of every size, 30 to 220."""
    random = np.random.default_rng(seed)
    whole = np.zeros((height, width))
    for size in (1, 2, 5, 12, 30):
        coarse = random.normal(size=(height // size + 2, width // size + 2))
        whole += size**0.5 * np.kron(coarse, np.ones((size, size)))[:height, :width]
    whole = (whole - whole.min()) / np.ptp(whole)
    return np.asarray(30 + 190 * whole, np.uint8)


@pytest.fixture
def truth() -> SimpleNamespace:
    """The functions above, because test modules cannot import this file."""
    transform = np.array([[1 / SCALE, 0, -CENTRE[0] / SCALE], [0, 1 / SCALE, -CENTRE[1] / SCALE]])
    return SimpleNamespace(talking=talking, face_of=face_of, textured=textured, fps=FPS, transform=transform)
