"""Face crops in batches on a GPU or NPU: uint8 images as decoders give them in, planes as networks want them out.

Positions are float32, because an NPU has nothing wider. A float32 knows a position at x = 1900 to 1e-4 px only, so the
whole pixels of a crop's origin travel as an integer, and the float holds the rest. That rest is no larger than the crop
is in the image, whatever the size of the image. Positions are clamped to the image, so loads need no mask.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import triton
import triton.language as tl
from numpy.typing import NDArray

from lipforge.kernels.arrays import require_size
from lipforge.kernels.batch.placement import crop_placements
from lipforge.kernels.errors import InputError
from lipforge.kernels.triton_launch import (
    LARGEST_OFFSET,
    Array,
    as_given,
    config_of,
    kernel,
    launch,
    on_device,
    output,
)


def crop_batch(
    images: Array,
    transforms: NDArray[np.floating],
    size_px: int,
    *,
    frames: NDArray[np.integer] | None = None,
    as_float: bool = False,
    reverse_channels: bool = False,
    out: torch.Tensor | None = None,
) -> Any:
    """Cut one crop for each transform; see ``lipforge.kernels.batch`` for the contract that all backends keep.

    Args:
        images: uint8 (F, H, W, 3), C-contiguous; numpy, or a tensor on the accelerator.
        transforms: float32 or float64 numpy (B, 2, 3), image px to crop px.
        size_px: S, width and height of the crops.
        frames: integer numpy (B,), which image each crop is cut from; by default crop b from image b, and B = F.
        as_float: give float32, the uint8 level divided by 255.
        reverse_channels: give the channels in reverse order (BGR in, RGB out).
        out: tensor (B, 3, S, S) on the images' device, overwritten; a new one if None.

    Returns:
        uint8 (B, 3, S, S), or float32 in [0, 1]; numpy for numpy, else a tensor.

    Raises:
        InputError: an argument has the wrong shape, dtype or layout, or a transform cannot be inverted.
        BackendError: there is no accelerator, or the tensor is not on one.
    """
    require_size("size_px", size_px)
    pixels = on_device("images", images, torch.uint8, ("F", "H", "W", 3))
    count, height, width, _ = pixels.shape
    if max(height * width * 3, 3 * size_px * size_px) > LARGEST_OFFSET:
        raise InputError(f"images of {height} x {width} px or crops of {size_px} px are too large; scale them down.")
    reals, wholes = crop_placements(transforms, frames, count)
    dtype = torch.float32 if as_float else torch.uint8
    crops = output("out", out, dtype, (len(reals), 3, size_px, size_px), pixels.device)
    config = config_of(pixels.device)
    tiles_per_crop = triton.cdiv(size_px * size_px, config.crop_pixels)
    launch(
        crop_tiles,
        tiles_per_crop * len(reals),
        config.pixel_programs,
        config.pixel_warps,
        pixels.device,
        images=pixels,
        reals=torch.from_numpy(reals).to(pixels.device),
        wholes=torch.from_numpy(wholes).to(pixels.device),
        out=crops,
        height=height,
        width=width,
        size_px=size_px,
        tiles_per_crop=tiles_per_crop,
        AS_FLOAT=as_float,
        REVERSE=reverse_channels,
        PIXELS=config.crop_pixels,
    )
    return as_given(crops, images)


@kernel
def crop_tiles(
    images: tl.tensor,
    reals: tl.tensor,
    wholes: tl.tensor,
    out: tl.tensor,
    height: tl.tensor,
    width: tl.tensor,
    size_px: tl.tensor,
    tiles_per_crop: tl.tensor,
    tiles: tl.tensor,
    AS_FLOAT: tl.constexpr,
    REVERSE: tl.constexpr,
    PIXELS: tl.constexpr,
) -> None:
    """Fill ``out``, (B, 3, S, S), from ``images`` and the two tables of ``crop_placements``."""
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0)):
        crop = tile // tiles_per_crop
        index = (tile % tiles_per_crop) * PIXELS + tl.arange(0, PIXELS)
        row, column = index // size_px, index % size_px
        crop_x, crop_y = column.to(tl.float32), row.to(tl.float32)
        real, whole = reals + crop * 6, wholes + crop * 4
        origin_x, origin_y, taps = tl.load(whole), tl.load(whole + 1), tl.load(whole + 2)
        frame = images + tl.cast(tl.load(whole + 3), tl.int64) * (height * width * 3)
        first = tl.zeros((PIXELS,), tl.float32)
        second = tl.zeros((PIXELS,), tl.float32)
        third = tl.zeros((PIXELS,), tl.float32)
        for tap in tl.range(0, taps * taps):
            # Sample i sits in the middle of the i-th of `taps` equal parts of the pixel.
            x = crop_x + (tl.cast(tap % taps, tl.float32) + 0.5) / tl.cast(taps, tl.float32) - 0.5
            y = crop_y + (tl.cast(tap // taps, tl.float32) + 0.5) / tl.cast(taps, tl.float32) - 0.5
            image_x = tl.load(real) * x + (tl.load(real + 1) * y + tl.load(real + 2))
            image_y = tl.load(real + 3) * x + (tl.load(real + 4) * y + tl.load(real + 5))
            left, right, share_x = neighbours(image_x, origin_x, width)
            top, bottom, share_y = neighbours(image_y, origin_y, height)
            upper, lower = frame + top * width * 3, frame + bottom * width * 3
            first += bilinear(upper, lower, left * 3, right * 3, share_x, share_y)
            second += bilinear(upper, lower, left * 3 + 1, right * 3 + 1, share_x, share_y)
            third += bilinear(upper, lower, left * 3 + 2, right * 3 + 2, share_x, share_y)
        share = 1.0 / tl.cast(taps * taps, tl.float32)
        plane = size_px * size_px
        target = out + tl.cast(crop, tl.int64) * (3 * plane) + index
        inside = crop_y < tl.cast(size_px, tl.float32)
        store_level(target + (2 * plane if REVERSE else 0), first * share, inside, AS_FLOAT)
        store_level(target + plane, second * share, inside, AS_FLOAT)
        store_level(target + (0 if REVERSE else 2 * plane), third * share, inside, AS_FLOAT)


@kernel
def neighbours(position: tl.tensor, origin: tl.tensor, size: tl.tensor) -> tl.tensor:
    """Return the two pixels around ``origin + position``, clamped to 0 .. size - 1, and the share of the second."""
    lowest = tl.cast(-origin, tl.float32)
    highest = tl.cast(size - 1 - origin, tl.float32)
    clamped = tl.minimum(tl.maximum(position, lowest), highest)
    below = tl.floor(clamped)
    first = below.to(tl.int32) + origin
    return first, tl.minimum(first + 1, size - 1), clamped - below


@kernel
def bilinear(
    upper: tl.tensor, lower: tl.tensor, left: tl.tensor, right: tl.tensor, share_x: tl.tensor, share_y: tl.tensor
) -> tl.tensor:
    """Blend four values; ``upper`` and ``lower`` point at rows, ``left`` and ``right`` are offsets in them."""
    start = tl.load(upper + left).to(tl.float32)
    above = start + share_x * (tl.load(upper + right).to(tl.float32) - start)
    start = tl.load(lower + left).to(tl.float32)
    below = start + share_x * (tl.load(lower + right).to(tl.float32) - start)
    return above + share_y * (below - above)


@kernel
def store_level(target: tl.tensor, value: tl.tensor, inside: tl.tensor, AS_FLOAT: tl.constexpr) -> None:
    """Round to a level and store it as it is, or divided by 255."""
    level = (value + 0.5).to(tl.int32)
    if AS_FLOAT:
        tl.store(target, level.to(tl.float32) / 255.0, mask=inside)
    else:
        tl.store(target, level.to(tl.uint8), mask=inside)
