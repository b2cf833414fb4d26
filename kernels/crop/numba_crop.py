"""The crop in one pass: per pixel all taps, no buffer between image and crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled


@compiled
def sample_crop(
    image: NDArray[np.uint8],
    inverse: NDArray[np.float64],
    taps: int,
    reverse_channels: bool,
    out: NDArray[np.uint8],
) -> None:
    """Fill ``out`` with the crop; same arguments and result as ``reference.sample_crop``."""
    flat = image.reshape(-1)
    size_px = out.shape[0]
    last_x, last_y = image.shape[1] - 1, image.shape[0] - 1
    total = np.empty((size_px, 3), np.float32)
    channels = (2, 1, 0) if reverse_channels else (0, 1, 2)
    share = np.float32(1.0 / (taps * taps))
    for row in range(size_px):
        total[:] = 0.0
        for j in range(taps):
            for i in range(taps):
                offset_x, offset_y = (i + 0.5) / taps - 0.5, row + ((j + 0.5) / taps - 0.5)
                _add_tap(flat, last_x, last_y, inverse, offset_x, offset_y, total)
        for column in range(size_px):
            for channel in range(3):
                value = total[column, channels[channel]] * share + np.float32(0.5)
                out[row, column, channel] = np.uint8(np.int32(value))


@compiled
def _add_tap(
    flat: NDArray[np.uint8],
    last_x: int,
    last_y: int,
    inverse: NDArray[np.float64],
    offset_x: float,
    crop_y: float,
    total: NDArray[np.float32],
) -> None:
    """Add one bilinear sample of every pixel of a crop row to ``total``, float32 (S, 3)."""
    stride = (last_x + 1) * 3
    row_x = inverse[0, 1] * crop_y + inverse[0, 2]
    row_y = inverse[1, 1] * crop_y + inverse[1, 2]
    for column in range(total.shape[0]):
        crop_x = column + offset_x
        x = min(max(inverse[0, 0] * crop_x + row_x, 0.0), float(last_x))
        y = min(max(inverse[1, 0] * crop_x + row_y, 0.0), float(last_y))
        left, top = np.int64(x), np.int64(y)
        weight_x, weight_y = np.float32(x - left), np.float32(y - top)
        # Unsigned offsets spare numba's test for negative indices in every load.
        upper_left = np.uint64(top * stride + left * 3)
        lower_left = upper_left + np.uint64(stride if top < last_y else 0)
        across = np.uint64(3 if left < last_x else 0)
        for channel in range(np.uint64(3)):
            upper_start = np.float32(flat[upper_left + channel])
            lower_start = np.float32(flat[lower_left + channel])
            upper = upper_start + weight_x * (np.float32(flat[upper_left + across + channel]) - upper_start)
            lower = lower_start + weight_x * (np.float32(flat[lower_left + across + channel]) - lower_start)
            total[column, channel] += upper + weight_y * (lower - upper)
