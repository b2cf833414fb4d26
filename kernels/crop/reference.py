"""The crop as a mean of bilinear samples, one tap of all pixels at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def sample_crop(
    image: NDArray[np.uint8],
    inverse: NDArray[np.float64],
    taps: int,
    reverse_channels: bool,
    out: NDArray[np.uint8],
) -> None:
    """Fill ``out`` with the crop, see ``lipforge.kernels.crop.crop_face``.

    Args:
        image: uint8 (H, W, 3).
        inverse: float64 (2, 3), crop px to image px.
        taps: a pixel is the mean of ``taps`` x ``taps`` bilinear samples.
        reverse_channels: give the channels in reverse order.
        out: uint8 (S, S, 3), overwritten.
    """
    mean = mean_of_taps(image, inverse, taps, out.shape[0])
    levels = (mean + np.float32(0.5)).astype(np.uint8)
    out[:] = levels[:, :, ::-1] if reverse_channels else levels


def sample_yuv_crop(
    planes: list[NDArray[np.uint8]],
    inverses: list[NDArray[np.float64]],
    taps: list[int],
    matrix: NDArray[np.float64],
    offset: NDArray[np.float64],
    out: NDArray[np.uint8],
) -> None:
    """Fill ``out`` with the RGB crop of a frame in YUV planes: sample each plane, then convert.

    Args:
        planes: luma, U and V, each uint8 (h, w).
        inverses: per plane float64 (2, 3), crop px to px of the plane.
        taps: per plane, samples per axis.
        matrix: float64 (3, 3), from levels of Y, U, V to levels of R, G, B.
        offset: float64 (3,), added to the product.
        out: uint8 (S, S, 3) RGB, overwritten.
    """
    means = [
        mean_of_taps(plane[..., None], inverse, count, out.shape[0])
        for plane, inverse, count in zip(planes, inverses, taps, strict=True)
    ]
    rgb = np.concatenate(means, axis=2) @ matrix.T + offset
    out[:] = (np.clip(rgb, 0.0, 255.0) + 0.5).astype(np.uint8)


def mean_of_taps(
    image: NDArray[np.uint8], inverse: NDArray[np.float64], taps: int, size_px: int
) -> NDArray[np.float32]:
    """Return the crop before rounding, float32 (S, S, channels), of an image uint8 (H, W, channels)."""
    crop_y, crop_x = np.mgrid[0:size_px, 0:size_px].astype(np.float64)
    total = np.zeros((size_px, size_px, image.shape[2]), np.float32)
    for j in range(taps):
        for i in range(taps):
            # Sample i sits in the middle of the i-th of `taps` equal parts of the pixel.
            x = crop_x + ((i + 0.5) / taps - 0.5)
            y = crop_y + ((j + 0.5) / taps - 0.5)
            total += _bilinear(
                image,
                inverse[0, 0] * x + (inverse[0, 1] * y + inverse[0, 2]),
                inverse[1, 0] * x + (inverse[1, 1] * y + inverse[1, 2]),
            )
    return total * np.float32(1.0 / (taps * taps))


def _bilinear(image: NDArray[np.uint8], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    height, width = image.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    weight_x = (x - left).astype(np.float32)[..., None]
    weight_y = (y - top).astype(np.float32)[..., None]
    pixels = image.astype(np.float32)
    upper = pixels[top, left] + weight_x * (pixels[top, right] - pixels[top, left])
    lower = pixels[bottom, left] + weight_x * (pixels[bottom, right] - pixels[bottom, left])
    return np.asarray(upper + weight_y * (lower - upper), np.float32)
