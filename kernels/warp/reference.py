"""The compositor with whole arrays, step by step as ``WarpSpec`` tells it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def composite(
    image: NDArray[np.uint8],
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    border_px: float,
    strength: float,
) -> NDArray[np.uint8]:
    """Return the composited image, see ``lipforge.kernels.warp.composite``.

    Args:
        image: uint8 (H, W, 3) BGR.
        forward: float64 (2, 3), image px to crop px.
        inverse: float64 (2, 3), crop px to image px.
        flow: float32 (2, S, S), crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        border_px: width of the ramp in crop px.
        strength: in [0, 1].

    Returns:
        uint8 (H, W, 3) BGR.
    """
    return composite_planes(image, forward, inverse, flow, mask, colour[::-1] * np.float32(255.0), border_px, strength)


def composite_planes(
    image: NDArray[np.uint8],
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    painted: NDArray[np.float32],
    border_px: float,
    strength: float,
) -> NDArray[np.uint8]:
    """Return an image or a plane, composited.

    Args:
        image: uint8 (H, W, channels).
        forward: float64 (2, 3), px of this plane to crop px.
        inverse: float64 (2, 3), crop px to px of this plane.
        flow: float32 (2, S, S), crop px.
        mask: float32 (S, S), in [0, 1].
        painted: float32 (channels, S, S), the colour in levels of the image's channels.
        border_px: width of the ramp in crop px.
        strength: in [0, 1].

    Returns:
        uint8 (H, W, channels).
    """
    size_px = mask.shape[0]
    y, x = np.mgrid[0 : image.shape[0], 0 : image.shape[1]].astype(np.float64)
    crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
    crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
    edge = np.minimum(np.minimum(crop_x, size_px - 1 - crop_x), np.minimum(crop_y, size_px - 1 - crop_y)) + 0.5
    ramp = np.clip(edge / border_px, 0.0, 1.0) if border_px > 0 else np.ones_like(edge)

    fields = np.concatenate([flow, mask[None], painted]).transpose(1, 2, 0)
    sampled = sample_bilinear(fields, crop_x, crop_y)
    gain = (ramp * strength).astype(np.float32)
    flow_x, flow_y, weight = sampled[..., 0] * gain, sampled[..., 1] * gain, sampled[..., 2] * gain

    source_x = x + (inverse[0, 0] * flow_x + inverse[0, 1] * flow_y)
    source_y = y + (inverse[1, 0] * flow_x + inverse[1, 1] * flow_y)
    warped = sample_bilinear(image.astype(np.float32), source_x, source_y)
    blended = warped + weight[..., None] * (sampled[..., 3:] - warped)
    rounded = (np.clip(blended, 0.0, 255.0) + np.float32(0.5)).astype(np.uint8)
    return np.where((edge >= 0.0)[..., None], rounded, image)


def sample_bilinear(planes: NDArray[np.float32], x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float32]:
    """Sample float32 (h, w, channels) at positions clamped to the edges, giving float32 (..., channels)."""
    height, width = planes.shape[:2]
    x, y = np.clip(x, 0, width - 1), np.clip(y, 0, height - 1)
    left, top = x.astype(np.int64), y.astype(np.int64)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    right_share, lower_share = (x - left).astype(np.float32)[..., None], (y - top).astype(np.float32)[..., None]
    left_share, upper_share = np.float32(1.0) - right_share, np.float32(1.0) - lower_share
    return np.asarray(
        left_share * upper_share * planes[top, left]
        + right_share * upper_share * planes[top, right]
        + left_share * lower_share * planes[bottom, left]
        + right_share * lower_share * planes[bottom, right],
        np.float32,
    )
