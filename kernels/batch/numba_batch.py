"""Batches on the CPU: the ops' public calls, image after image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lipforge.kernels.batch.arguments import check_composites, check_crops
from lipforge.kernels.crop import crop_face_planes
from lipforge.kernels.spec import WarpSpec
from lipforge.kernels.warp import WarpScratch, composite


def crop_batch(
    images: NDArray[np.uint8],
    transforms: NDArray[np.floating],
    size_px: int,
    *,
    frames: NDArray[np.integer] | None = None,
    as_float: bool = False,
    reverse_channels: bool = False,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Cut one crop for each transform; the contract is in ``lipforge.kernels.batch``.

    Args:
        images: uint8 (F, H, W, 3), C-contiguous.
        transforms: float32 or float64 (B, 2, 3), image px to crop px.
        size_px: S, width and height of the crops.
        frames: integer (B,), which image each crop is cut from; by default crop b from image b.
        as_float: give float32, the uint8 level divided by 255.
        reverse_channels: give the channels in reverse order (BGR in, RGB out).
        out: (B, 3, S, S), overwritten; a new array if None.

    Returns:
        uint8 (B, 3, S, S), or float32 in [0, 1].

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or a transform cannot be inverted.
    """
    indices, out = check_crops(images, transforms, size_px, frames, as_float, out)
    for target, index, transform in zip(out, indices, transforms, strict=True):
        crop_face_planes(
            images[index], transform, size_px, target, as_float=as_float, reverse_channels=reverse_channels
        )
    return out


def composite_batch(
    images: NDArray[np.uint8],
    transforms: NDArray[np.floating],
    flow: NDArray[np.float32],
    mask: NDArray[np.float32],
    colour: NDArray[np.float32],
    spec: WarpSpec,
    strength: float = 1.0,
    out: NDArray[np.uint8] | None = None,
) -> NDArray[np.uint8]:
    """Warp and blend the crop square of every image; ``lipforge.kernels.warp.composite`` says how.

    Args:
        images: uint8 (B, H, W, 3) BGR, C-contiguous; not changed.
        transforms: float32 or float64 (B, 2, 3), image px to crop px.
        flow: float32 (B, 2, S, S), x then y, in crop px.
        mask: float32 (B, S, S), in [0, 1].
        colour: float32 (B, 3, S, S) RGB, in [0, 1].
        spec: the border ramp.
        strength: in [0, 1]; 0 leaves the images as they are.
        out: uint8 (B, H, W, 3), overwritten, with no memory of ``images``; a new array if None.

    Returns:
        uint8 (B, H, W, 3) BGR.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, a value is not finite, or a transform cannot be
            inverted.
    """
    out = check_composites(images, transforms, flow, mask, colour, out)
    scratch = WarpScratch()
    np.copyto(out, images)
    for i, image in enumerate(out):
        composite(image, scratch, transforms[i], flow[i], mask[i], colour[i], spec, strength)
    return out
