"""The compositor in one pass over the region: upsample, gather and blend pixel by pixel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.compiled import compiled
from lipforge.kernels.warp.scratch import FIELDS


@compiled
def pack_fields(
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    fields: NDArray[np.float32],
) -> tuple[float, float, bool]:
    """Interleave the six planes, so that a pixel's values lie next to each other.

    Args:
        flow: float32 (2, S, S), crop px.
        mask: float32 (S, S), in [0, 1].
        colour: float32 (3, S, S) RGB, in [0, 1].
        fields: float32 (S, S, 6), overwritten: flow x, flow y, mask, red, green, blue; colour in [0, 255].

    Returns:
        The largest |flow| along x and y in crop px, and whether every value is finite.
    """
    size_px = mask.shape[0]
    reach_x = reach_y = not_finite = np.float32(0.0)
    for y in range(size_px):
        for x in range(size_px):
            fields[y, x, 0] = flow[0, y, x]
            fields[y, x, 1] = flow[1, y, x]
            fields[y, x, 2] = mask[y, x]
            for channel in range(3):
                fields[y, x, 3 + channel] = colour[channel, y, x] * np.float32(255.0)
            for i in range(FIELDS):
                not_finite += fields[y, x, i] - fields[y, x, i]  # stays 0 unless a value is NaN or infinite
            reach_x = max(reach_x, abs(flow[0, y, x]))
            reach_y = max(reach_y, abs(flow[1, y, x]))
    return float(reach_x), float(reach_y), bool(not_finite == 0.0)


@compiled
def composite_region(
    image: NDArray[np.uint8],
    source: NDArray[np.uint8],
    source_left: int,
    source_top: int,
    bounds: tuple[int, int, int, int],
    forward: NDArray[np.float64],
    inverse: NDArray[np.float64],
    fields: NDArray[np.float32],
    border_px: float,
    strength: float,
) -> None:
    """Composite every pixel of ``bounds`` that lies in the crop square.

    Args:
        image: uint8 (H, W, 3) BGR, changed in place.
        source: uint8 (h, w, 3), copy of the image from (source_left, source_top) on; with all a flow can reach.
        source_left: column of the image where the copy starts.
        source_top: row of the image where the copy starts.
        bounds: left, top, right, bottom of the pixels to visit.
        forward: float64 (2, 3), image px to crop px.
        inverse: float64 (2, 3), crop px to image px.
        fields: float32 (S, S, 6) from ``pack_fields``.
        border_px: width of the ramp in crop px.
        strength: in [0, 1].
    """
    last = fields.shape[0] - 1
    left, top, right, bottom = bounds
    flat_fields, flat_source, flat_image = fields.reshape(-1), source.reshape(-1), image.reshape(-1)
    source_height, source_width = source.shape[:2]
    for y in range(top, bottom):
        for x in range(left, right):
            crop_x = forward[0, 0] * x + forward[0, 1] * y + forward[0, 2]
            crop_y = forward[1, 0] * x + forward[1, 1] * y + forward[1, 2]
            edge = min(min(crop_x, last - crop_x), min(crop_y, last - crop_y)) + 0.5
            if edge < 0.0:
                continue
            ramp = min(edge / border_px, 1.0) if border_px > 0.0 else 1.0
            gain = np.float32(ramp * strength)
            at, shares = _corners(crop_x, crop_y, last + 1, last + 1, FIELDS)
            flow_x = _bilinear(flat_fields, at, shares, np.uint64(0)) * gain
            flow_y = _bilinear(flat_fields, at, shares, np.uint64(1)) * gain
            weight = _bilinear(flat_fields, at, shares, np.uint64(2)) * gain
            if flow_x == 0.0 and flow_y == 0.0 and weight == 0.0:
                continue
            source_x = x + (inverse[0, 0] * flow_x + inverse[0, 1] * flow_y)
            source_y = y + (inverse[1, 0] * flow_x + inverse[1, 1] * flow_y)
            # The copy ends where the image ends or beyond the longest flow: clamping to it clamps to the image.
            pixel, pixel_shares = _corners(
                source_x - source_left, source_y - source_top, source_width, source_height, 3
            )
            start = np.uint64((y * image.shape[1] + x) * 3)
            for channel in range(np.uint64(3)):
                warped = _bilinear(flat_source, pixel, pixel_shares, channel)
                blended = warped
                if weight != 0.0:
                    painted = _bilinear(flat_fields, at, shares, np.uint64(5) - channel)
                    blended = warped + weight * (painted - warped)
                clipped = min(max(blended, np.float32(0.0)), np.float32(255.0))
                flat_image[start + channel] = np.uint8(np.int32(clipped + np.float32(0.5)))


@compiled
def _corners(x: float, y: float, width: int, height: int, channels: int) -> Any:
    """Return the offsets of the four neighbours of a clamped position in flat data, and their weights."""
    x, y = min(max(x, 0.0), width - 1.0), min(max(y, 0.0), height - 1.0)
    left, top = np.int64(x), np.int64(y)
    right_share, lower_share = np.float32(x - left), np.float32(y - top)
    left_share, upper_share = np.float32(1.0) - right_share, np.float32(1.0) - lower_share
    # Unsigned offsets spare numba's test for negative indices in every load.
    upper_left = np.uint64((top * width + left) * channels)
    across = np.uint64(channels if left < width - 1 else 0)
    down = np.uint64(width * channels if top < height - 1 else 0)
    return (
        (upper_left, upper_left + across, upper_left + down, upper_left + down + across),
        (left_share * upper_share, right_share * upper_share, left_share * lower_share, right_share * lower_share),
    )


@compiled
def _bilinear(flat: NDArray[Any], corners: Any, weights: Any, channel: Any) -> Any:
    """Blend the four neighbours of one channel."""
    return (
        weights[0] * np.float32(flat[corners[0] + channel])
        + weights[1] * np.float32(flat[corners[1] + channel])
        + weights[2] * np.float32(flat[corners[2] + channel])
        + weights[3] * np.float32(flat[corners[3] + channel])
    )
