"""Feathered paste of a 96 px crop over a 300 px face against OpenCV: around the face only, and on the whole frame."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from lipforge.kernels.paste import PasteScratch, paste_face, paste_face_i420, paste_face_nv12
from lipforge.kernels.yuv import I420Frame, Nv12Frame

SIZE_PX, FACE_PX = 96, 300
LEFT, TOP, SIDE = 466, 186, 348  # the square around a face of 300 px turned by 8 degrees, even for chroma

pytestmark = pytest.mark.benchmark(group="paste 96 -> 300 px face")


@pytest.fixture(scope="module")
def crop() -> np.ndarray:
    return cv2.resize(np.random.default_rng(3).integers(0, 256, (12, 12, 3), dtype=np.uint8), (SIZE_PX, SIZE_PX))


@pytest.fixture(scope="module")
def mask() -> np.ndarray:
    ramp = np.clip(np.minimum(np.arange(SIZE_PX), np.arange(SIZE_PX)[::-1]) / 10.0, 0.0, 1.0).astype(np.float32)
    return np.ascontiguousarray(np.minimum(ramp[:, None], ramp[None]))


@pytest.fixture
def transform(make_face_transform) -> np.ndarray:
    return make_face_transform(FACE_PX, SIZE_PX)


def test_lipforge(benchmark, frame, crop, mask, transform):
    benchmark(paste_face, frame.copy(), PasteScratch(), transform, crop, mask)


@pytest.fixture
def full_hd() -> list[np.ndarray]:
    """The planes of a 1080p I420 frame; the face lies where it lies in the 720p frame."""
    noise = np.random.default_rng(1).integers(0, 256, (1080, 1920), dtype=np.uint8)
    luma = cv2.GaussianBlur(noise, (0, 0), 1.5)
    return [luma, *(cv2.resize(luma[shift:], (960, 540)) for shift in (1, 2))]


def test_lipforge_i420(benchmark, full_hd, crop, mask, transform):
    benchmark(paste_face_i420, I420Frame(*full_hd), PasteScratch(), transform, crop, mask)


def test_lipforge_nv12(benchmark, full_hd, crop, mask, transform):
    y, u, v = full_hd
    benchmark(paste_face_nv12, Nv12Frame(y, np.stack([u, v], axis=-1)), PasteScratch(), transform, crop, mask)


def blend(region: np.ndarray, back: np.ndarray, crop: np.ndarray, mask: np.ndarray) -> None:
    size = (region.shape[1], region.shape[0])
    weight = cv2.warpAffine(mask, back, size)
    cv2.blendLinear(cv2.warpAffine(crop, back, size), np.ascontiguousarray(region), weight, 1.0 - weight, dst=region)


def shifted(transform: np.ndarray) -> np.ndarray:
    """Return the transform crop -> pixels of the square around the face."""
    back = cv2.invertAffineTransform(transform)
    back[:, 2] -= LEFT, TOP
    return back


def test_opencv_around_the_face(benchmark, frame, crop, mask, transform):
    image, back = frame.copy(), shifted(transform)

    def paste():
        region = image[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
        square = region.copy()
        blend(square, back, crop, mask)
        region[:] = square

    benchmark(paste)


def test_full_frame_recipe(benchmark, frame, crop, mask, transform):
    """What face restoration tools do: warp crop and mask to the frame's size and blend everywhere in float."""
    image, back, size = frame.copy(), cv2.invertAffineTransform(transform), (1280, 720)

    def paste():
        weight = cv2.warpAffine(mask, back, size)[..., None]
        image[:] = weight * cv2.warpAffine(crop, back, size) + (1.0 - weight) * image

    benchmark(paste)


def test_opencv_around_the_face_from_and_to_i420(benchmark, full_hd, crop, mask, transform):
    y, u, v = full_hd
    back, half = shifted(transform), SIDE // 2
    joined = np.empty((SIDE * 3 // 2, SIDE), np.uint8)
    luma = y[TOP : TOP + SIDE, LEFT : LEFT + SIDE]
    chroma = [plane[TOP // 2 : TOP // 2 + half, LEFT // 2 : LEFT // 2 + half] for plane in (u, v)]

    def paste():
        joined[:SIDE] = luma
        planes = joined[SIDE:].reshape(2, half, half)
        planes[0], planes[1] = chroma
        square = cv2.cvtColor(joined, cv2.COLOR_YUV2BGR_I420)
        blend(square, back, crop, mask)
        back_again = cv2.cvtColor(square, cv2.COLOR_BGR2YUV_I420)
        luma[:] = back_again[:SIDE]
        chroma[0][:], chroma[1][:] = back_again[SIDE:].reshape(2, half, half)

    benchmark(paste)
