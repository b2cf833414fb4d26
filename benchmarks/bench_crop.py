"""Face crop against OpenCV: bilinear at about the face's size, and the area-correct crop of a larger face."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.crop import crop_face, crop_face_i420, crop_face_nv12
from lipforge.kernels.yuv import I420Frame, Nv12Frame

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


@pytest.mark.benchmark(group="crop 96 px face -> 96 from YUV planes")
def test_lipforge_i420(benchmark, i420_planes, make_face_transform):
    frame, out = I420Frame(*i420_planes), np.empty((96, 96, 3), np.uint8)
    benchmark(crop_face_i420, frame, make_face_transform(96, 96), 96, out, reverse_channels=True)


@pytest.mark.benchmark(group="crop 96 px face -> 96 from YUV planes")
def test_lipforge_nv12(benchmark, i420_planes, make_face_transform):
    y, u, v = i420_planes
    frame, out = Nv12Frame(y, np.stack([u, v], axis=-1)), np.empty((96, 96, 3), np.uint8)
    benchmark(crop_face_nv12, frame, make_face_transform(96, 96), 96, out, reverse_channels=True)


@pytest.mark.benchmark(group="crop 96 px face -> 96 from YUV planes")
@pytest.mark.parametrize("whole_frame", [False, True])
def test_opencv_convert_then_warp(benchmark, i420_planes, make_face_transform, whole_frame):
    """Convert the square around the face (or the whole frame), then warp."""
    y, u, v = i420_planes
    left, top, width, height = (0, 0, 1280, 720) if whole_frame else (576, 296, 128, 128)
    transform, out = make_face_transform(96, 96), np.empty((96, 96, 3), np.uint8)
    transform[:, 2] += transform[:, :2] @ np.array([left, top])
    joined = np.empty((height * 3 // 2, width), np.uint8)

    def crop():
        joined[:height] = y[top : top + height, left : left + width]
        chroma = joined[height:].reshape(2, height // 2, width // 2)
        chroma[0] = u[top // 2 :, left // 2 :][: height // 2, : width // 2]
        chroma[1] = v[top // 2 :, left // 2 :][: height // 2, : width // 2]
        rgb = cv2.cvtColor(joined, cv2.COLOR_YUV2RGB_I420)
        cv2.warpAffine(rgb, transform, (96, 96), dst=out, borderMode=cv2.BORDER_REPLICATE)

    benchmark(crop)
