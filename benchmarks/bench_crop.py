"""Face crop against OpenCV: bilinear at about the face's size, and the area-correct crop of a larger face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.crop import crop_face

SIZES = pytest.mark.parametrize(("face_px", "size_px"), [(96, 96), (200, 256), (300, 96), (600, 96)])


def group(benchmark, face_px: int, size_px: int) -> None:
    benchmark.group = f"crop {face_px} px face -> {size_px}"


@SIZES
def test_lipforge(benchmark, frame, make_face_transform, face_px, size_px):
    group(benchmark, face_px, size_px)
    transform, out = make_face_transform(face_px, size_px), np.empty((size_px, size_px, 3), np.uint8)
    benchmark(crop_face, frame, transform, size_px, out, reverse_channels=True)


@SIZES
def test_opencv_bilinear(benchmark, frame, make_face_transform, face_px, size_px):
    """Aliases where the face is larger than the crop."""
    group(benchmark, face_px, size_px)
    transform, out = make_face_transform(face_px, size_px), np.empty((size_px, size_px, 3), np.uint8)

    def crop():
        cv2.warpAffine(frame, transform, (size_px, size_px), dst=out, borderMode=cv2.BORDER_REPLICATE)
        return cv2.cvtColor(out, cv2.COLOR_BGR2RGB, dst=out)

    benchmark(crop)


@pytest.mark.parametrize(("face_px", "size_px"), [(300, 96), (600, 96)])
def test_opencv_warp_then_area(benchmark, frame, make_face_transform, face_px, size_px):
    """The usual way without aliasing: straighten the face at its own size, then shrink with INTER_AREA."""
    group(benchmark, face_px, size_px)
    transform = make_face_transform(face_px, face_px)

    def crop():
        straight = cv2.warpAffine(frame, transform, (face_px, face_px), borderMode=cv2.BORDER_REPLICATE)
        return cv2.cvtColor(cv2.resize(straight, (size_px, size_px), interpolation=cv2.INTER_AREA), cv2.COLOR_BGR2RGB)

    benchmark(crop)
