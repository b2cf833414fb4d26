"""Lip planes against OpenCV's fill, drawn four times as large and averaged (the same 4 x 4 samples a pixel)."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.polygon import draw_lips
from lipforge.kernels.spec import LipSpec

LIPS, SIZE_PX = LipSpec(), 96


@pytest.fixture(scope="module")
def lip_points() -> np.ndarray:
    turn = np.arange(20) / 20 * 2 * np.pi
    ring = np.stack([-np.cos(turn), -np.sin(turn)], axis=1)
    return np.concatenate([ring * (14, 9), ring * (11, 4)]).astype(np.float32) + np.float32([48, 50])


@pytest.mark.benchmark(group="lip planes 96")
def test_lipforge(benchmark, lip_points):
    benchmark(draw_lips, lip_points, LIPS, SIZE_PX, np.empty((2, SIZE_PX, SIZE_PX), np.uint8))


@pytest.mark.benchmark(group="lip planes 96")
def test_opencv_supersampled(benchmark, lip_points):
    large, planes = np.empty((4 * SIZE_PX, 4 * SIZE_PX), np.uint8), np.empty((2, SIZE_PX, SIZE_PX), np.uint8)

    def draw():
        for plane, contour in zip(planes, (lip_points[:20], lip_points[20:]), strict=True):
            large.fill(0)
            cv2.fillPoly(large, [np.round((contour + 0.5) * 4 - 0.5).astype(np.int32)], 255)
            cv2.resize(large, (SIZE_PX, SIZE_PX), dst=plane, interpolation=cv2.INTER_AREA)

    benchmark(draw)
