"""Face crop against OpenCV: from BGR, area-correct where the face is larger, and straight from YUV planes."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.crop import CropScratch, crop_face, crop_face_i420, crop_face_nv12, crop_face_planes
from lipforge.kernels.yuv import I420Frame, Nv12Frame

SIZES = pytest.mark.parametrize(("face_px", "size_px"), [(96, 96), (200, 256), (300, 96), (600, 96)])
YUV_SIZES = pytest.mark.parametrize(("face_px", "size_px"), [(96, 96), (200, 256)])
HEIGHT, WIDTH = 1080, 1920


def group(benchmark, face_px: int, size_px: int, source: str = "BGR") -> None:
    benchmark.group = f"crop {face_px} px face -> {size_px} from {source}"


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
    transform, straight = make_face_transform(face_px, face_px), np.empty((face_px, face_px, 3), np.uint8)
    small = np.empty((size_px, size_px, 3), np.uint8)

    def crop():
        cv2.warpAffine(frame, transform, (face_px, face_px), dst=straight, borderMode=cv2.BORDER_REPLICATE)
        cv2.resize(straight, (size_px, size_px), dst=small, interpolation=cv2.INTER_AREA)
        return cv2.cvtColor(small, cv2.COLOR_BGR2RGB, dst=small)

    benchmark(crop)


@pytest.mark.benchmark(group="crop 96 px face -> 96 as float32 planes")
def test_lipforge_planes(benchmark, frame, make_face_transform):
    out = np.empty((3, 96, 96), np.float32)
    benchmark(crop_face_planes, frame, make_face_transform(96, 96), 96, out, reverse_channels=True)


@pytest.mark.benchmark(group="crop 96 px face -> 96 as float32 planes")
def test_opencv_warp_then_planes(benchmark, frame, make_face_transform):
    transform, crop, out = (
        make_face_transform(96, 96),
        np.empty((96, 96, 3), np.uint8),
        np.empty((3, 96, 96), np.float32),
    )

    def planes():
        cv2.warpAffine(frame, transform, (96, 96), dst=crop, borderMode=cv2.BORDER_REPLICATE)
        np.divide(crop.transpose(2, 0, 1)[::-1], np.float32(255.0), out=out)

    benchmark(planes)


@pytest.fixture
def full_hd_planes(frame) -> list[np.ndarray]:
    joined = cv2.cvtColor(cv2.resize(frame, (WIDTH, HEIGHT)), cv2.COLOR_BGR2YUV_I420)
    u, v = joined[HEIGHT:].reshape(2, HEIGHT // 2, WIDTH // 2)
    return [joined[:HEIGHT].copy(), u.copy(), v.copy()]


@pytest.fixture
def full_hd_transform(make_face_transform):
    def transform_of(face_px: int, size_px: int) -> np.ndarray:
        transform = make_face_transform(face_px, size_px)  # of a face in the middle of 720p
        transform[:, 2] -= transform[:, :2] @ np.array([(WIDTH - 1280) / 2, (HEIGHT - 720) / 2])
        return transform

    return transform_of


@YUV_SIZES
def test_lipforge_i420(benchmark, full_hd_planes, full_hd_transform, face_px, size_px):
    group(benchmark, face_px, size_px, "YUV 4:2:0, 1080p")
    frame, out, scratch = I420Frame(*full_hd_planes), np.empty((size_px, size_px, 3), np.uint8), CropScratch()
    transform = full_hd_transform(face_px, size_px)
    benchmark(crop_face_i420, frame, transform, size_px, out, reverse_channels=True, scratch=scratch)


@YUV_SIZES
def test_lipforge_nv12(benchmark, full_hd_planes, full_hd_transform, face_px, size_px):
    group(benchmark, face_px, size_px, "YUV 4:2:0, 1080p")
    y, u, v = full_hd_planes
    frame, out, scratch = (
        Nv12Frame(y, np.stack([u, v], axis=-1)),
        np.empty((size_px, size_px, 3), np.uint8),
        CropScratch(),
    )
    transform = full_hd_transform(face_px, size_px)
    benchmark(crop_face_nv12, frame, transform, size_px, out, reverse_channels=True, scratch=scratch)


@YUV_SIZES
@pytest.mark.parametrize("whole_frame", [False, True])
def test_opencv_convert_then_warp(benchmark, full_hd_planes, full_hd_transform, face_px, size_px, whole_frame):
    """Convert the square around the face (or the whole frame), then warp; every buffer is there already."""
    group(benchmark, face_px, size_px, "YUV 4:2:0, 1080p")
    y, u, v = full_hd_planes
    side = (int(face_px * 1.14) + 7) // 4 * 4  # around a square turned by 8 degrees
    left, top, width, height = (
        (0, 0, WIDTH, HEIGHT) if whole_frame else ((WIDTH - side) // 2, (HEIGHT - side) // 2, side, side)
    )
    transform, out = full_hd_transform(face_px, size_px), np.empty((size_px, size_px, 3), np.uint8)
    transform[:, 2] += transform[:, :2] @ np.array([left, top])
    joined, rgb = np.empty((height * 3 // 2, width), np.uint8), np.empty((height, width, 3), np.uint8)

    def crop():
        joined[:height] = y[top : top + height, left : left + width]
        chroma = joined[height:].reshape(2, height // 2, width // 2)
        chroma[0] = u[top // 2 :, left // 2 :][: height // 2, : width // 2]
        chroma[1] = v[top // 2 :, left // 2 :][: height // 2, : width // 2]
        cv2.cvtColor(joined, cv2.COLOR_YUV2RGB_I420, dst=rgb)
        cv2.warpAffine(rgb, transform, (size_px, size_px), dst=out, borderMode=cv2.BORDER_REPLICATE)

    benchmark(crop)
