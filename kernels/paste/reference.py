"""The paste with whole arrays: upsample crop and mask at every pixel's position, then blend."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.warp.reference import sample_bilinear


def paste_planes(
    image: NDArray[np.uint8], forward: NDArray[np.float64], crop: NDArray[np.float32], mask: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Return an image or a plane with the crop blended in, see ``lipforge.kernels.paste.paste_face``.

    Args:
        image: uint8 (H, W, channels).
        forward: float64 (2, 3), px of this plane to crop px.
        crop: float32 (S, S, channels), in levels of the image's channels.
        mask: float32 (S, S), in [0, 1].

    Returns:
        uint8 (H, W, channels).
    """
    size_px = mask.shape[0]
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float64)
    crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
    crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
    edge = np.minimum(np.minimum(crop_x, size_px - 1 - crop_x), np.minimum(crop_y, size_px - 1 - crop_y)) + 0.5
    sampled = sample_bilinear(np.concatenate([crop, mask[..., None]], axis=2), crop_x, crop_y)
    pixels = image.astype(np.float32)
    blended = pixels + sampled[..., -1:] * (sampled[..., :-1] - pixels)
    rounded = (np.clip(blended, 0.0, 255.0) + np.float32(0.5)).astype(np.uint8)
    return np.where((edge >= 0.0)[..., None], rounded, image)
