"""One face of three forms: a BGR image, I420 and NV12 planes give and take the same pixels."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lipforge.kernels.crop import CropScratch
from lipforge.kernels.errors import InputError
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch
from lipforge.kernels.yuv import I420Frame, Nv12Frame, YuvSpec
from lipforge.runtime.picture import Box, Picture, Pixels

FORMS = ["bgr", "i420", "nv12"]
SHIFTED = np.array([[0.6, 0.05, -20.0], [-0.05, 0.6, -12.0]])
Scene = Callable[..., np.ndarray]


def in_form(image: np.ndarray, form: str, spec: YuvSpec) -> Pixels:
    """Convert smooth pictures; chroma is the mean of four pixels, so ``spec`` is centred."""
    if form == "bgr":
        return image.copy()
    matrix, offset = spec.from_rgb()
    yuv = image[..., ::-1].astype(float) / 255 @ matrix.T + offset
    height, width = image.shape[:2]
    padded = np.pad(yuv[..., 1:], ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    chroma = padded.reshape((height + 1) // 2, 2, (width + 1) // 2, 2, 2).mean(axis=(1, 3))
    luma, chroma = (np.ascontiguousarray(np.rint(part), np.uint8) for part in (yuv[..., 0], chroma))
    if form == "nv12":
        return Nv12Frame(luma, chroma, spec)
    return I420Frame(luma, *(np.ascontiguousarray(chroma[..., i]) for i in (0, 1)), spec)


@pytest.fixture
def smooth(scene: Scene) -> Callable[[int, int], np.ndarray]:
    return lambda width, height: cv2.GaussianBlur(scene(width, height, 3), (0, 0), 4)


@pytest.mark.parametrize("spec", [YuvSpec("bt709", True, "centre"), YuvSpec("bt2020", False, "centre")])
@pytest.mark.parametrize("size", [(160, 120), (161, 119)])
@pytest.mark.parametrize("form", FORMS)
def test_crops_of_all_forms_agree(
    smooth: Callable[..., np.ndarray], form: str, size: tuple[int, int], spec: YuvSpec
) -> None:
    image = smooth(*size)
    reference = Picture.of(image).crop(CropScratch(), SHIFTED, 64, np.empty((64, 64, 3), np.uint8))
    picture = Picture.of(in_form(image, form, spec))
    assert (picture.width, picture.height) == size
    crop = picture.crop(CropScratch(), SHIFTED, 64, np.empty((64, 64, 3), np.uint8))
    assert np.abs(crop.astype(int) - reference).max() <= 4
    rgb = picture.crop(CropScratch(), SHIFTED, 64, np.empty((64, 64, 3), np.uint8), rgb=True)
    assert np.array_equal(rgb[..., ::-1], crop)


@pytest.mark.parametrize(
    ("box", "size"),
    [
        (Box(0, 0, 161, 119), (161, 119)),
        (Box(0, 0, 161, 119), (40, 30)),
        (Box(7, 13, 90, 101), (31, 33)),
        (Box(100, 80, 61, 39), (200, 140)),
        (Box(160, 118, 1, 1), (3, 2)),
    ],
)
@pytest.mark.parametrize("form", FORMS)
def test_parts_of_all_forms_agree(
    smooth: Callable[..., np.ndarray], form: str, box: Box, size: tuple[int, int]
) -> None:
    image = smooth(161, 119)
    reference = Picture.of(image).resized(box, *size)
    resized = Picture.of(in_form(image, form, YuvSpec("bt601", False, "centre"))).resized(box, *size)
    assert resized.shape == (size[1], size[0], 3)
    assert np.abs(resized.astype(int) - reference).max() <= 24  # at the edge of the disc, half a pixel of chroma
    assert np.abs(resized.astype(int) - reference).mean() <= 1


@pytest.mark.parametrize("form", FORMS)
def test_a_composite_changes_the_pixels_given_and_only_the_square(smooth: Callable[..., np.ndarray], form: str) -> None:
    spec = YuvSpec("bt601", False, "centre")
    image = smooth(160, 120)
    pixels = in_form(image, form, spec)
    size = 32
    transform = np.array([[1.0, 0.0, -60.0], [0.0, 1.0, -40.0]])
    mask = np.zeros((size, size), np.float32)
    mask[8:24, 8:24] = 1.0
    colour = np.empty((3, size, size), np.float32)
    colour[:] = np.float32([0.8, 0.2, 0.3])[:, None, None]
    fields = np.zeros((2, size, size), np.float32), mask, colour
    Picture.of(pixels).composite(WarpScratch(), transform, fields, WarpSpec())
    after = Picture.of(pixels).resized(Box(0, 0, 160, 120), 160, 120).astype(int)
    before = Picture.of(in_form(image, form, spec)).resized(Box(0, 0, 160, 120), 160, 120).astype(int)
    assert np.abs(after[54:58, 74:78] - np.rint(255 * np.array([0.3, 0.2, 0.8]))).max() <= 3
    outside = np.ones((120, 160), bool)
    outside[38:74, 58:94] = False
    assert np.array_equal(after[outside], before[outside])


def test_a_picture_of_a_picture_is_itself() -> None:
    picture = Picture.of(np.zeros((4, 6, 3), np.uint8))
    assert Picture.of(picture) is picture
    assert picture.whole == Box(0, 0, 6, 4)


def test_other_things_are_refused() -> None:
    with pytest.raises(InputError, match="image is a list; allowed are"):
        Picture.of([[1, 2, 3]])  # type: ignore[arg-type]


@pytest.mark.parametrize("form", FORMS)
def test_read_only_pixels_are_refused_where_they_would_be_changed(form: str) -> None:
    pixels = in_form(np.zeros((8, 8, 3), np.uint8), form, YuvSpec())
    plane = pixels if isinstance(pixels, np.ndarray) else pixels.y
    Picture.of(pixels).require_writable()
    plane.flags.writeable = False
    with pytest.raises(InputError, match="read-only"):
        Picture.of(pixels).require_writable()
